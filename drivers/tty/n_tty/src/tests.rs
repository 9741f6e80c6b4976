// SPDX-License-Identifier: GPL-2.0
//! Host tests: what a user sees and a program reads, flag by flag.

use super::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// The settings a Linux terminal has at first (`INIT_C_CC` and `tty_std_termios`).
fn sane() -> ktermios {
    let mut t = ktermios {
        c_iflag: ICRNL | IXON,
        c_oflag: OPOST | ONLCR,
        c_cflag: B38400 | CS8 | CREAD | HUPCL,
        c_lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        ..ktermios::default()
    };
    for (n, c) in [
        (VINTR, 3),
        (VQUIT, 0x1c),
        (VERASE, 0x7f),
        (VKILL, 0x15),
        (VEOF, 4),
        (VMIN, 1),
        (VSTART, 0x11),
        (VSTOP, 0x13),
        (VSUSP, 0x1a),
        (VREPRINT, 0x12),
        (VWERASE, 0x17),
        (VLNEXT, 0x16),
    ] {
        t.c_cc[n as usize] = c;
    }
    t
}

fn tty(change: impl FnOnce(&mut ktermios)) -> NTty {
    let mut t = sane();
    change(&mut t);
    NTty::new(t).unwrap()
}

fn echo(t: &mut NTty) -> String {
    let mut out = vec![];
    t.drain_echo(|p| {
        out.extend(p);
        p.len()
    });
    String::from_utf8_lossy(&out).into()
}

fn typed(t: &mut NTty, keys: &str) -> String {
    assert_eq!(t.receive(keys.as_bytes(), None), keys.len());
    echo(t)
}

fn read(t: &mut NTty) -> Option<String> {
    let mut buf = [0; 5000];
    t.read(&mut buf).map(|n| String::from_utf8_lossy(&buf[..n]).into())
}

fn some(s: &str) -> Option<String> {
    Some(s.into())
}

/// What the bytes on a line look like after backspaces, spaces and returns.
fn screen(text: &str) -> String {
    let (mut line, mut at) = (Vec::<char>::new(), 0usize);
    for c in text.chars() {
        match c {
            '\x08' => at = at.saturating_sub(1),
            '\r' => at = 0,
            '\t' => at = (at / 8 + 1) * 8,
            c => {
                if line.len() <= at {
                    line.resize(at + 1, ' ');
                }
                line[at] = c;
                at += 1;
            }
        }
    }
    line.resize(at.max(line.iter().rposition(|c| *c != ' ').map_or(0, |n| n + 1)), ' ');
    line.into_iter().collect()
}

fn write(t: &mut NTty, text: &str) -> String {
    let mut out = vec![];
    assert_eq!(t.write(text.as_bytes(), 10_000, &mut |p| out.extend(p)), text.len());
    String::from_utf8_lossy(&out).into()
}

#[test]
fn lines() {
    let mut t = tty(|_| {});
    assert_eq!(typed(&mut t, "ls"), "ls");
    assert_eq!(read(&mut t), None);
    assert_eq!(typed(&mut t, "\r"), "\r\n");
    assert!(t.take_effects().readable);
    typed(&mut t, "second\n");
    assert_eq!(t.input_len(), 10);
    assert_eq!((read(&mut t), read(&mut t), read(&mut t)), (some("ls\n"), some("second\n"), None));
    assert_eq!(t.read_mode(), ReadMode::Line);
}

#[test]
fn short_reads_of_a_line() {
    let mut t = tty(|_| {});
    typed(&mut t, "abc\n");
    let mut two = [0; 2];
    assert_eq!((t.read(&mut two), two), (Some(2), *b"ab"));
    assert_eq!((t.read(&mut two), two), (Some(2), *b"c\n"));
    assert_eq!(t.read(&mut two), None);
    assert_eq!(t.read(&mut []), None);
}

#[test]
fn end_of_file() {
    let mut t = tty(|_| {});
    assert_eq!(typed(&mut t, "\x04"), "");
    assert_eq!(t.input_len(), 0);
    assert!(t.is_readable());
    assert_eq!((read(&mut t), read(&mut t)), (some(""), None));
    typed(&mut t, "ab\x04");
    let mut two = [0; 2];
    // The mark right behind what was read goes along.
    assert_eq!((t.read(&mut two), t.read(&mut two)), (Some(2), None));
    typed(&mut t, "ab\x04");
    assert_eq!((t.read(&mut two[..1]), t.read(&mut two), t.read(&mut two)), (Some(1), Some(1), None));
}

#[test]
fn erases() {
    let mut t = tty(|_| {});
    assert_eq!(typed(&mut t, "ax\x7f"), "ax\x08 \x08");
    assert_eq!(typed(&mut t, "\x7f\x7f\x7f"), "\x08 \x08");
    assert_eq!(screen(&typed(&mut t, "a\x01\x7f")), "a");
    assert_eq!(typed(&mut t, "one two_3, \x17"), "one two_3, ".to_string() + &"\x08 \x08".repeat(7));
    assert_eq!(typed(&mut t, "\x15"), "\x08 \x08".repeat(5));
    typed(&mut t, "z\n");
    assert_eq!(read(&mut t), some("z\n"));
    let mut t = tty(|t| t.c_lflag &= !(ECHOE | ECHOKE));
    assert_eq!(typed(&mut t, "ab\x7f\x15"), "ab^?^U\r\n");
    let mut t = tty(|t| t.c_lflag |= ECHOPRT);
    assert_eq!(typed(&mut t, "abc\x7f\x7fd\x7f\x7fx"), "abc\\cb/d\\da/x");
    let mut t = tty(|t| t.c_lflag &= !ECHO);
    assert_eq!(typed(&mut t, "ab\x15c\x7fd\n"), "");
    assert_eq!(read(&mut t), some("d\n"));
}

#[test]
fn erases_characters_of_several_bytes() {
    let mut t = tty(|t| t.c_iflag |= IUTF8);
    assert_eq!(typed(&mut t, "é€\x7f"), "é€\x08 \x08");
    typed(&mut t, "\n");
    assert_eq!(read(&mut t), some("é\n"));
    let mut t = tty(|_| {});
    typed(&mut t, "é\x7f\n");
    let mut b = [0; 8];
    assert_eq!((t.read(&mut b), &b[..2]), (Some(2), &b"\xc3\n"[..]));
}

#[test]
fn erases_tabs() {
    for prompt in ["", "$ ", "1234567"] {
        for text in ["\t", "ab\t", "ab\tc\t", "\x01\t", "\t\t"] {
            let mut t = tty(|_| {});
            let mut seen = write(&mut t, prompt);
            let before = text.strip_suffix('\t').unwrap();
            seen += &typed(&mut t, before);
            let want = screen(&seen) + "!";
            seen += &typed(&mut t, "\t\x7f!");
            let (a, b) = (screen(&seen), want);
            assert_eq!(a, b, "{prompt:?} {text:?}");
        }
    }
}

#[test]
fn literal_and_reprint() {
    let mut t = tty(|_| {});
    assert_eq!(typed(&mut t, "a\x16\x03"), "a^\x08^C");
    assert_eq!(t.take_effects().sigint, false);
    assert_eq!(typed(&mut t, "\x12"), "^R\r\na^C");
    typed(&mut t, "\x16\n\n");
    assert_eq!(read(&mut t), some("a\x03\n\n"));
    let mut t = tty(|t| t.c_lflag &= !IEXTEN);
    typed(&mut t, "\x16\x17\n");
    assert_eq!(read(&mut t), some("\x16\x17\n"));
}

#[test]
fn signals() {
    let mut t = tty(|_| {});
    assert_eq!(typed(&mut t, "abc\x03"), "^C");
    let e = t.take_effects();
    assert!(e.sigint && e.flush_output && !e.sigquit);
    assert_eq!(typed(&mut t, "x\n"), "x\r\n");
    assert_eq!(read(&mut t), some("x\n"));
    typed(&mut t, "\x1c");
    typed(&mut t, "\x1a");
    let e = t.take_effects();
    assert!(e.sigquit && e.sigtstp && !e.sigint);
    let mut t = tty(|t| t.c_lflag |= NOFLSH);
    assert_eq!(typed(&mut t, "abc\x03\n"), "abc^C\r\n");
    assert_eq!((read(&mut t), t.take_effects().flush_output), (some("abc\n"), false));
    let mut t = tty(|t| t.c_lflag &= !ISIG);
    typed(&mut t, "\x03\n");
    assert_eq!(read(&mut t), some("\x03\n"));
    // A character that is switched off has no meaning, not even NUL.
    let mut t = tty(|t| t.c_cc[VINTR as usize] = DISABLED_CHAR);
    typed(&mut t, "\0\x03\n");
    assert_eq!((read(&mut t), t.take_effects().sigint), (some("\0\x03\n"), false));
}

#[test]
fn flow() {
    let mut t = tty(|_| {});
    typed(&mut t, "\x13");
    assert_eq!((t.take_effects().stop, t.is_stopped()), (Some(true), true));
    typed(&mut t, "a\x13");
    assert_eq!(t.take_effects().stop, None);
    typed(&mut t, "\x11");
    assert_eq!(t.take_effects().stop, Some(false));
    let mut t = tty(|t| t.c_iflag |= IXANY);
    typed(&mut t, "\x13a");
    assert_eq!((t.take_effects().stop, t.is_stopped()), (Some(false), false));
    typed(&mut t, "\x13");
    let mut off = *t.termios();
    off.c_iflag &= !IXON;
    t.set_termios(off);
    assert!(!t.is_stopped());
    typed(&mut t, "\x13\x11\n");
    assert_eq!(read(&mut t), some("a\x13\x11\n"));
}

#[test]
fn input_mapping() {
    let go = |flags: u32, text: &str| {
        let mut t = tty(|t| t.c_iflag = flags);
        typed(&mut t, text);
        read(&mut t)
    };
    assert_eq!(go(0, "a\rb\n"), some("a\rb\n"));
    assert_eq!(go(IGNCR, "a\rb\n"), some("ab\n"));
    assert_eq!(go(IGNCR | ICRNL, "a\rb\n"), some("ab\n"));
    assert_eq!(go(INLCR | ICRNL, "a\nb\r"), some("a\rb\n"));
    assert_eq!(go(IUCLC, "ABc\n"), some("abc\n"));
    let mut t = tty(|t| t.c_iflag = ISTRIP);
    t.receive(&[0xe1, 0x8a], None);
    assert_eq!(read(&mut t), some("a\n"));
}

#[test]
fn breaks_and_parity() {
    let go = |flags: u32| {
        let mut t = tty(|t| {
            t.c_iflag = flags;
            t.c_lflag = ISIG;
        });
        let f = [Flag::Break, Flag::Parity, Flag::Frame, Flag::Overrun, Flag::Normal, Flag::Normal];
        t.receive(&[0, b'p', b'f', b'o', b'n', 0xff], Some(&f));
        let mut b = [0; 20];
        let n = t.read(&mut b).unwrap();
        (b[..n].to_vec(), t.take_effects().sigint)
    };
    assert_eq!(go(0), (b"\0pfn\xff".to_vec(), false));
    assert_eq!(go(IGNBRK), (b"pfn\xff".to_vec(), false));
    assert_eq!(go(BRKINT), (b"pfn\xff".to_vec(), true));
    assert_eq!(go(INPCK), (b"\0\0\0n\xff".to_vec(), false));
    assert_eq!(go(INPCK | IGNPAR), (b"\0n\xff".to_vec(), false));
    assert_eq!(go(INPCK | PARMRK), (b"\xff\0\0\xff\0p\xff\0fn\xff\xff".to_vec(), false));
}

#[test]
fn output() {
    let go = |flags: u32, text: &str| write(&mut tty(|t| t.c_oflag = flags), text);
    assert_eq!(go(0, "a\n\t"), "a\n\t");
    assert_eq!(go(OPOST | ONLCR, "a\nb\r\n"), "a\r\nb\r\r\n");
    assert_eq!(go(OPOST | OLCUC, "aBc\n"), "ABC\n");
    assert_eq!(go(OPOST | OCRNL, "a\r"), "a\n");
    assert_eq!(go(OPOST | ONOCR, "\ra\r\r"), "a\r");
    assert_eq!(go(OPOST | XTABS, "ab\tc\t"), "ab      c       ");
    assert_eq!(go(OPOST | ONLRET | XTABS, "ab\n\t"), "ab\n        ");
    assert_eq!(go(OPOST | XTABS, "ab\n\t"), "ab\n      ");
    assert_eq!(go(OPOST | XTABS, "ab\x08\x08\x08\t"), "ab\x08\x08\x08        ");
    let mut t = tty(|t| {
        t.c_oflag = OPOST | XTABS;
        t.c_iflag = IUTF8;
    });
    assert_eq!(write(&mut t, "é\t"), "é       ");
}

#[test]
fn output_without_room() {
    let mut t = tty(|t| t.c_oflag = OPOST | ONLCR | XTABS);
    let mut out = Vec::<u8>::new();
    assert_eq!(t.write(b"ab\ncd", 3, &mut |p| out.extend(p)), 2);
    assert_eq!(t.write(b"\ncd", 3, &mut |p| out.extend(p)), 2);
    assert_eq!(t.write(b"\td", 6, &mut |p| out.extend(p)), 0);
    assert_eq!(t.write(b"\td", 7, &mut |p| out.extend(p)), 1);
    assert_eq!(out, b"ab\r\nc       ");
}

#[test]
fn without_lines() {
    let mut t = tty(|t| t.c_lflag &= !ICANON);
    assert_eq!(t.read_mode(), ReadMode::Bytes { min: 1, time: 0 });
    assert_eq!(typed(&mut t, "a\r\x04\n"), "a\r\n^D^J");
    assert!(t.take_effects().readable);
    assert_eq!(read(&mut t), some("a\n\x04\n"));
    let mut raw = *t.termios();
    raw.c_cc[VMIN as usize] = 3;
    t.set_termios(raw);
    typed(&mut t, "ab");
    assert!(t.is_readable() && !t.poll_readable());
    typed(&mut t, "c");
    assert!(t.poll_readable());
    raw.c_cc[VMIN as usize] = 0;
    raw.c_cc[VTIME as usize] = 7;
    t.set_termios(raw);
    assert_eq!(t.read_mode(), ReadMode::Timed { time: 7 });
}

#[test]
fn changes_of_mode() {
    let mut t = tty(|_| {});
    typed(&mut t, "part");
    let cooked = *t.termios();
    let mut raw = cooked;
    raw.c_lflag &= !ICANON;
    t.set_termios(raw);
    let mut b = [0; 2];
    assert_eq!((t.read(&mut b), b), (Some(2), *b"pa"));
    t.set_termios(cooked);
    assert_eq!(read(&mut t), some("rt"));
    assert_eq!(typed(&mut t, "x\x7f\x7f"), "x\x08 \x08");
}

#[test]
fn local_flags() {
    let mut t = tty(|t| t.c_lflag = ICANON | ECHONL);
    assert_eq!(typed(&mut t, "secret\n"), "\r\n");
    let mut t = tty(|t| t.c_lflag &= !ECHOCTL);
    assert_eq!(typed(&mut t, "\x01a\x7f\x7f"), "\x01a\x08 \x08");
    let mut t = tty(|t| t.c_lflag |= EXTPROC);
    assert_eq!(typed(&mut t, "a\x03\x7f"), "");
    assert_eq!(read(&mut t), some("a\x03\x7f"));
    typed(&mut t, "\x04");
    assert_eq!(read(&mut t), some(""));
    let mut t = tty(|t| {
        t.c_cc[VEOL as usize] = b';';
        t.c_cc[VEOL2 as usize] = b'!';
    });
    assert_eq!(typed(&mut t, "a;b!c\n"), "a;b!c\r\n");
    assert_eq!((read(&mut t), read(&mut t), read(&mut t)), (some("a;"), some("b!"), some("c\n")));
}

#[test]
fn too_long_a_line() {
    let mut t = tty(|t| t.c_lflag &= !ECHO);
    let long = "x".repeat(5000);
    typed(&mut t, &long);
    assert_eq!(t.receive_room(), 1);
    typed(&mut t, "\n");
    let line = read(&mut t).unwrap();
    assert_eq!((line.len(), line.ends_with("x\n")), (4096, true));
    // Full of complete lines: nothing more is taken until a reader comes.
    let lines = "0123456\n".repeat(600);
    let taken = t.receive(lines.as_bytes(), None);
    assert_eq!((taken, t.receive_room(), t.should_throttle()), (4095, 0, true));
    for _ in 0..500 {
        read(&mut t);
    }
    assert!(t.should_unthrottle());
    let mut raw = tty(|t| t.c_lflag = 0);
    assert_eq!(raw.receive(long.as_bytes(), None), 4095);
}

#[test]
fn echo_that_waits() {
    let mut t = tty(|_| {});
    t.receive(b"abc", None);
    t.drain_echo(|p| p.len().min(1));
    assert!(t.has_echo());
    assert_eq!(echo(&mut t), "bc");
    t.flush_input();
    assert!(!t.is_readable() && !t.has_echo());
}

proptest! {
    /// Without editing and mapping what goes in comes out, in any pieces, through many turns of the buffer.
    #[test]
    fn raw_is_a_pipe(pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..900), 0usize..900), 1..40)) {
        let mut t = tty(|t| { t.c_iflag = 0; t.c_lflag = 0; });
        let (mut sent, mut got) = (Vec::<u8>::new(), Vec::<u8>::new());
        for (data, want) in pieces {
            let n = t.receive(&data, None);
            sent.extend(&data[..n]);
            let mut out = vec![0; want];
            if let Some(n) = t.read(&mut out) { got.extend(&out[..n]); }
            prop_assert_eq!(t.input_len(), sent.len() - got.len());
        }
        prop_assert_eq!(&sent[..got.len()], &got[..]);
    }

    /// Lines come out as they went in, in any pieces.
    #[test]
    fn lines_come_out(lines in proptest::collection::vec("[a-z]{0,40}", 1..300), want in 1usize..60, piece in 1usize..100) {
        let mut t = tty(|t| t.c_lflag &= !ECHO);
        let input = lines.join("\n") + "\n";
        let (mut at, mut got) = (0, Vec::<u8>::new());
        while at < input.len() || t.is_readable() {
            let end = (at + piece).min(input.len());
            at += t.receive(&input.as_bytes()[at..end], None);
            let mut out = vec![0; want];
            if let Some(n) = t.read(&mut out) {
                prop_assert!(!out[..n.max(1) - 1].contains(&b'\n'));
                got.extend(&out[..n]);
            }
        }
        prop_assert_eq!(got, input.as_bytes());
    }

    /// Any bytes with any settings keep the positions in order and never panic.
    #[test]
    fn anything(steps in proptest::collection::vec((any::<[u32; 3]>(), proptest::collection::vec(any::<u8>(), 0..600), 0usize..700), 1..20)) {
        let mut t = tty(|_| {});
        for (flags, data, want) in steps {
            let mut s = sane();
            [s.c_iflag, s.c_oflag, s.c_lflag] = flags;
            t.set_termios(s);
            let f: Vec<Flag> = data.iter().map(|b| if b % 50 == 7 { Flag::Parity } else if b % 50 == 8 { Flag::Break } else { Flag::Normal }).collect();
            t.receive(&data, if flags[0] & 1 << 31 != 0 { Some(&f) } else { None });
            prop_assert!(t.head.wrapping_sub(t.tail) <= N_TTY_BUF_SIZE);
            prop_assert!(t.canon_head.wrapping_sub(t.tail) <= t.head.wrapping_sub(t.tail));
            let mut n = 0;
            let used = t.write(&data, 300, &mut |p| n += p.len());
            prop_assert!(n <= 300 && used <= data.len());
            let mut out = vec![0; want];
            t.read(&mut out);
            echo(&mut t);
            t.take_effects();
        }
    }
}
