// SPDX-License-Identifier: GPL-2.0
//! Host tests: what sequences leave on the screen, and what keys send.

use super::*;
use crate::keyboard::{Decoder, Key, Set};
use crate::keymap::{Action, Keyboard, medium_raw};
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

fn term(text: &str) -> Emulator {
    let mut t = Emulator::new(10, 4).unwrap();
    t.write(text.as_bytes());
    t
}

fn line(t: &Emulator, row: usize) -> String {
    t.row(row).iter().map(|c| c.ch).collect::<String>().trim_end().to_string()
}

fn lines(text: &str) -> Vec<String> {
    let t = term(text);
    (0..4).map(|r| line(&t, r)).collect()
}

fn at(text: &str) -> (usize, usize) {
    term(text).cursor()
}

#[test]
fn text_and_wrapping() {
    assert_eq!(lines("one\r\ntwo\n3"), ["one", "two", "   3", ""]);
    assert_eq!(lines("0123456789AB"), ["0123456789", "AB", "", ""]);
    // The cursor stays in the last column until something follows.
    assert_eq!(at("0123456789"), (9, 0));
    assert_eq!(lines("0123456789\r\nx"), ["0123456789", "x", "", ""]);
    assert_eq!(lines("\x1b[?7l0123456789AB"), ["012345678B", "", "", ""]);
    assert_eq!(lines("1\r\n2\r\n3\r\n4\r\n5"), ["2", "3", "4", "5"]);
    assert_eq!(lines("ab\x08c\tx"), ["ac      x", "", "", ""]);
    assert_eq!(lines("a\x7f\0b"), ["ab", "", "", ""]);
    assert_eq!(lines("é€\u{4e2d}x\u{301}y"), ["é€\u{4e2d} xy", "", "", ""]);
}

#[test]
fn bad_utf8() {
    let mut t = term("");
    t.write(b"a\xffb\xc3c\xe2\x82d\xc0\x80\xed\xa0\x80");
    assert_eq!(line(&t, 0), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}\u{fffd}\u{fffd}");
}

#[test]
fn moves() {
    assert_eq!(at("\x1b[3;5H"), (4, 2));
    assert_eq!(at("\x1b[99;99H"), (9, 3));
    assert_eq!(at("\x1b[H"), (0, 0));
    assert_eq!(at("\x1b[3;5H\x1b[A\x1b[2D\x1b[C"), (3, 1));
    assert_eq!(at("\x1b[3;5H\x1b[9A\x1b[99D"), (0, 0));
    assert_eq!(at("\x1b[2;5H\x1b[E"), (0, 2));
    assert_eq!(at("\x1b[2;5H\x1b[F"), (0, 0));
    assert_eq!(at("\x1b[7G\x1b[3d"), (6, 2));
    assert_eq!(at("abc\x1b7\x1b[4;4H\x1b8"), (3, 0));
    assert_eq!(at("abc\x1b[s\x1b[4;4H\x1b[u"), (3, 0));
    assert_eq!(at("\x1b[3g\t"), (9, 0));
    assert_eq!(at("\x1b[4G\x1bH\r\t"), (3, 0));
    assert_eq!(at("\x1b[8G\x1b[0g"), (7, 0));
    assert_eq!(at("ab\x1bE"), (0, 1));
    assert_eq!(at("ab\x1bD"), (2, 1));
    assert_eq!(at("ab\n\x1bM"), (2, 0));
    assert_eq!(at("\x1b[20hab\n"), (0, 1));
}

#[test]
fn erases() {
    let full = "aaaaa\r\nbbbbb\r\nccccc\r\nddddd\x1b[2;3H";
    let with = |s: &str| lines(&(full.to_string() + s));
    assert_eq!(with("\x1b[J"), ["aaaaa", "bb", "", ""]);
    assert_eq!(with("\x1b[1J"), ["", "   bb", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[2J"), ["", "", "", ""]);
    assert_eq!(with("\x1b[K"), ["aaaaa", "bb", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[1K"), ["aaaaa", "   bb", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[2K"), ["aaaaa", "", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[2X"), ["aaaaa", "bb  b", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[P"), ["aaaaa", "bbbb", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[2@x"), ["aaaaa", "bbx bbb", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[4hxy"), ["aaaaa", "bbxybbb", "ccccc", "ddddd"]);
    assert_eq!(with("\x1b[L"), ["aaaaa", "", "bbbbb", "ccccc"]);
    assert_eq!(with("\x1b[2M"), ["aaaaa", "ddddd", "", ""]);
    assert_eq!(with("\x1b[999M\x1b[999L\x1b[999P\x1b[999@\x1b[65535X"), ["aaaaa", "", "", ""]);
    assert_eq!(with("\x1bc"), ["", "", "", ""]);
    assert_eq!(with("\x1b#8")[3], "EEEEEEEEEE");
}

#[test]
fn regions() {
    let full = "a\r\nb\r\nc\r\nd\x1b[2;3r";
    let with = |s: &str| lines(&(full.to_string() + s));
    assert_eq!(with("\x1b[3;1H\n"), ["a", "c", "", "d"]);
    assert_eq!(with("\x1b[2;1H\x1bM"), ["a", "", "b", "d"]);
    assert_eq!(with("\x1b[4;1H\n\nx"), ["a", "b", "c", "x"]);
    assert_eq!(with("\x1b[2;1H\x1b[L"), ["a", "", "b", "d"]);
    assert_eq!(with("\x1b[4;1H\x1b[L"), ["a", "b", "c", "d"]);
    assert_eq!(with("\x1b[?6hx\x1b[2;1Hy\x1b[9;1Hz"), ["a", "x", "z", "d"]);
    assert_eq!(at("\x1b[3;2r\x1b[9;9r\x1b[4;1H"), (0, 3));
}

#[test]
fn colours() {
    let attr = |s: &str| term(&(s.to_string() + "x")).row(0)[0].attr;
    assert_eq!(attr(""), 0x07);
    assert_eq!(attr("\x1b[31m"), 0x04);
    assert_eq!(attr("\x1b[1;34m"), 0x09);
    assert_eq!(attr("\x1b[33;44m"), 0x16);
    assert_eq!(attr("\x1b[7m"), 0x70);
    assert_eq!(attr("\x1b[7;1;31m"), 0x48);
    assert_eq!(attr("\x1b[2m"), 0x08);
    assert_eq!(attr("\x1b[4m"), 0x0f);
    assert_eq!(attr("\x1b[5m"), 0x87);
    assert_eq!(attr("\x1b[91m"), 0x0c);
    assert_eq!(attr("\x1b[31m\x1b[39m\x1b[44;49m"), 0x07);
    assert_eq!(attr("\x1b[1;4;5;7;31m\x1b[m"), 0x07);
    assert_eq!(attr("\x1b[38;5;196m"), 0x0c);
    assert_eq!(attr("\x1b[38;2;0;128;0m"), 0x02);
    assert_eq!(attr("\x1b[48;2;255;0;255m"), 0x57);
    assert_eq!(attr("\x1b[48;5;21;1m"), 0x1f);
    assert_eq!(attr("\x1b[38;5;232m"), 0x08);
    assert_eq!(attr("\x1b[?5h"), 0x70);
    // Erased places have the background only.
    let t = term("\x1b[1;33;44m\x1b[K");
    assert_eq!((t.row(0)[5].attr, t.row(1)[5].attr), (0x16, 0x07));
}

#[test]
fn character_sets() {
    let latin = |s: &[u8]| {
        let mut t = term("\x1b%@");
        t.write(s);
        line(&t, 0)
    };
    assert_eq!(latin(b"\xe9"), "é");
    assert_eq!(latin(b"\x0elqk\x0fq"), "┌─┐q");
    assert_eq!(latin(b"\x1b(0x\x1b(Bx"), "│x");
    assert_eq!(latin(b"\x1b(U\xc9\xcd"), "╔═");
    assert_eq!(latin(b"\x1b[11m\x01\x04\x1b[10m\x01"), "☺♦");
    assert_eq!((to_cp437('A'), to_cp437('█'), to_cp437('é'), to_cp437('中'), to_cp437('☺')), (65, 0xdb, 0x82, b'?', 1));
}

#[test]
fn reports_and_events() {
    let reply = |s: &str| {
        let mut t = term(s);
        let mut b = [0; 64];
        let n = t.read_reply(&mut b);
        String::from_utf8_lossy(&b[..n]).to_string()
    };
    assert_eq!(reply("\x1b[3;4H\x1b[6n"), "\x1b[3;4R");
    assert_eq!(reply("\x1b[5n"), "\x1b[0n");
    assert_eq!(reply("\x1b[c"), "\x1b[?6c");
    assert_eq!(reply("\x1bZ"), "\x1b[?6c");
    assert_eq!(reply("\x1b[1c\x1b[>c\x1b[?6n"), "");
    assert_eq!(reply("\x1b[2;3r\x1b[?6h\x1b[2;1H\x1b[6n"), "\x1b[2;1R");
    let mut t = term("");
    t.take_events();
    t.write(b"\x07\x1b[2q\x1b[12;3]");
    let e = t.take_events();
    assert_eq!((e.bell, e.leds, e.switch_to, e.palette), (true, Some(2), Some(3), false));
    t.write(b"\x1b]P1102030\x1b[?25l\x1b[?1h\x1b=");
    assert_eq!((t.palette()[4], t.take_events().palette), (Rgb(0x10, 0x20, 0x30), true));
    assert_eq!((t.modes().cursor_visible, t.modes().cursor_keys, t.modes().keypad), (false, true, true));
    t.write(b"\x1b]R");
    assert_eq!(t.palette(), &DEFAULT_PALETTE);
    t.write(b"\x1b[?25h");
    assert!(t.modes().cursor_visible);
}

#[test]
fn strings_are_not_shown() {
    assert_eq!(lines("a\x1b]0;title\x07b\x1b]2;t\x1b\\c\x1bPq#0\x1b\\d\x1b_x\x1b[1mye")[0], "abcdye");
    assert_eq!(lines("\x1b[[Ax\x1b[>1;2cy\x1b[ qz\x1b[1\x18w")[0], "xyzw");
    assert_eq!(at("\x1b[2\nB"), (0, 3));
}

#[test]
fn changes_and_sizes() {
    let mut t = term("");
    let mut rows = vec![];
    t.take_changes(|r, c, cells| rows.push((r, c, cells.len())));
    assert_eq!(rows, [(0, 0, 10), (1, 0, 10), (2, 0, 10), (3, 0, 10)]);
    rows.clear();
    t.write(b"\x1b[2;3Hab");
    t.take_changes(|r, c, cells| rows.push((r, c, cells.len())));
    assert_eq!(rows, [(1, 2, 2)]);
    t.write(b"\x1b[4;1Hlast");
    t.resize(5, 2).unwrap();
    assert_eq!((line(&t, 1), t.cursor(), t.size()), ("last".to_string(), (4, 1), (5, 2)));
    t.resize(20, 6).unwrap();
    assert_eq!((line(&t, 1), t.row(6).len()), ("last".to_string(), 0));
    assert!(Emulator::new(0, 0).is_ok());
}

#[test]
fn glyphs() {
    for c in "Aa0~─│┼é█".chars() {
        assert!(font::glyph(c).iter().any(|&r| r != 0), "{c}");
    }
    assert_eq!(font::glyph(' '), &[0; 16]);
    assert_eq!(font::glyph('\u{4e2d}'), font::glyph('?'));
    assert_eq!(font::glyph('█'), &[0xff; 16]);
    assert_ne!(font::glyph('A'), font::glyph('B'));
}

fn keys(k: &mut Keyboard, m: &Modes, codes: &[i32]) -> String {
    let mut out = String::new();
    for &c in codes {
        match k.key(Key { code: c.unsigned_abs() as u16, pressed: c > 0 }, m) {
            Action::None | Action::Leds => {}
            Action::Send(b) => out += core::str::from_utf8(b.as_slice()).unwrap(),
            other => out += &format!("{other:?}"),
        }
    }
    out
}

#[test]
fn keymap() {
    let m = Modes::default();
    let send = |codes: &[i32]| keys(&mut Keyboard::new(), &m, codes);
    assert_eq!(send(&[30, -30, 48, 2, 57, 28, 14, 15, 1]), "ab1 \r\x7f\t\x1b");
    assert_eq!(send(&[42, 30, 3, 41, -42, 30]), "A@~a");
    assert_eq!(send(&[58, -58, 30, 42, 30, 2, -42, 58, 58, -58, 30]), "Aa!a");
    assert_eq!(send(&[29, 46, 3, 26, 14, 2]), "\x03\0\x1b\x08");
    assert_eq!(send(&[56, 30, 28]), "\x1ba\x1b\r");
    assert_eq!(send(&[59, 63, 64, 68, 87, 88, 42, 59]), "\x1b[[A\x1b[[E\x1b[17~\x1b[21~\x1b[23~\x1b[24~\x1b[23~");
    assert_eq!(
        send(&[103, 108, 106, 105, 102, 107, 104, 109, 110, 111]),
        "\x1b[A\x1b[B\x1b[C\x1b[D\x1b[1~\x1b[4~\x1b[5~\x1b[6~\x1b[2~\x1b[3~"
    );
    assert_eq!(send(&[71, 72, 83, 55, 96, 69, 71, 83, 78]), "\x1b[1~\x1b[A\x1b[3~*\r7.+");
    assert_eq!(send(&[29, 56, 111]), "Reboot");
    assert_eq!(send(&[56, 60, 88, 106]), "Console(2)Console(12)NextConsole");
    assert_eq!(send(&[42, 104]), "ScrollBack");
    assert_eq!(send(&[70, -70, 70]), "Hold(true)Hold(false)");
    assert_eq!(send(&[56, 99, 48]), "SysRq(98)");
    assert_eq!(send(&[86, 42, 86]), "<>");
    let app = Modes { cursor_keys: true, keypad: true, new_line: true, repeat: false, ..m };
    assert_eq!(keys(&mut Keyboard::new(), &app, &[103, 79, 96, 28, 30, 30]), "\x1bOA\x1bOq\x1bOM\r\na");
    let mut k = Keyboard::new();
    keys(&mut k, &m, &[69, -69, 58]);
    assert_eq!(k.leds(), 6);
    assert_eq!(medium_raw(Key { code: 200, pressed: false }).as_slice(), [0x80, 0x81, 0xc8]);
    assert_eq!(medium_raw(Key { code: 30, pressed: true }).as_slice(), [30]);
}

#[test]
fn scan_codes() {
    let decode = |set, bytes: &[u8]| {
        let mut d = Decoder::new(set);
        bytes
            .iter()
            .filter_map(|&b| d.push(b))
            .map(|k| if k.pressed { k.code as i32 } else { -(k.code as i32) })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        decode(Set::One, &[0x1e, 0x9e, 0x2a, 0xaa, 0xe0, 0x48, 0xe0, 0xc8, 0xe0, 0x2a, 0xe0, 0x47]),
        [30, -30, 42, -42, 103, -103, 102]
    );
    assert_eq!(decode(Set::One, &[0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5, 0x1e]), [119, -119, 30]);
    assert_eq!(
        decode(Set::Two, &[0x1c, 0xf0, 0x1c, 0x12, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0x83, 0x78]),
        [30, -30, 42, 103, -103, 65, 87]
    );
    assert_eq!(decode(Set::Two, &[0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77, 0x1c]), [119, -119, 30]);
    assert_eq!(decode(Set::Two, &[0xfa, 0xff, 0x00, 0x1c]), [30]);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,12}".prop_map(String::into_bytes),
        (proptest::collection::vec(0u16..20, 0..4), "[@-~]", "[?>]?").prop_map(|(p, f, q)| {
            let p: Vec<String> = p.iter().map(|n| n.to_string()).collect();
            format!("\x1b[{q}{}{f}", p.join(";")).into_bytes()
        }),
        "\x1b[ -~]{1,3}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..8),
        Just(b"\x1b[65535;65535H\x1b[65535@".to_vec()),
    ]
}

proptest! {
    #[test]
    fn anything_stays_on_the_screen(pieces in proptest::collection::vec(piece(), 0..60), cols in 1usize..30, rows in 1usize..8, resize in any::<bool>()) {
        let mut t = Emulator::new(cols, rows).unwrap();
        for (n, p) in pieces.iter().enumerate() {
            t.write(p);
            if resize && n % 7 == 3 { t.resize(rows + n % 5, cols + n % 3).unwrap(); }
            let ((x, y), (cols, rows)) = (t.cursor(), t.size());
            prop_assert!(x < cols && y < rows);
            prop_assert!((0..rows).all(|r| t.row(r).len() == cols));
            let mut seen = 0;
            t.take_changes(|r, c, cells| { assert!(r < rows && c + cells.len() <= cols); seen += 1; });
            prop_assert!(seen <= rows);
            t.take_events();
            t.read_reply(&mut [0; 256]);
        }
    }

    #[test]
    fn changes_keep_a_copy_right(pieces in proptest::collection::vec(piece(), 0..60)) {
        let mut t = Emulator::new(12, 5).unwrap();
        let mut copy = vec![vec![Cell { ch: '!', attr: 0 }; 12]; 5];
        for p in pieces {
            t.write(&p);
            t.take_changes(|r, c, cells| copy[r][c..c + cells.len()].copy_from_slice(cells));
            for r in 0..5 { prop_assert_eq!(t.row(r), &copy[r][..]); }
        }
    }

    #[test]
    fn keys_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), two in any::<bool>()) {
        let mut d = Decoder::new(if two { Set::Two } else { Set::One });
        let mut k = Keyboard::new();
        for b in bytes { if let Some(key) = d.push(b) { k.key(key, &Modes::default()); } }
    }
}
