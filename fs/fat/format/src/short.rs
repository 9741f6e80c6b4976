// SPDX-License-Identifier: GPL-2.0
//! Short names: eight bytes and three, in code page 437, in capitals. How they are made for a long name, and how they are shown.

use crate::charset::{from_437, lower_437, to_437, upper_437};
use crate::entry::{Short, escape, unescape};

/// The part before the full stop is shown in small letters.
pub const LOWER_BASE: u8 = 8;
/// The part behind it.
pub const LOWER_EXT: u8 = 16;

/// `shortname=`: how short names are shown and made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Shown in small letters; made if all are capitals.
    Lower,
    /// Shown as they are; made if all are capitals.
    Win95,
    /// Shown, and made, with either part in small letters.
    WinNt,
    /// Shown with either part in small letters; made if all are capitals.
    Mixed,
}

/// What became of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// The short name.
    pub name: Short,
    /// Bits for small letters.
    pub lcase: u8,
    /// It says all: no slots are needed.
    pub alone: bool,
    /// It came out as it is; another file must not have it. Else a number makes it one of its own.
    pub exact: bool,
    base: Base,
}

/// How much of the first part is left if a number is put behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Base {
    len: usize,
    /// With two bytes for the number, and with six.
    short: usize,
    shorter: usize,
}

/// What was seen of a part's letters.
struct Letters {
    lower: bool,
    upper: bool,
    valid: bool,
}

impl Letters {
    const fn new() -> Self {
        Self { lower: true, upper: true, valid: true }
    }

    /// The byte that stands for a unit; `None`: it is left out.
    fn take(&mut self, unit: u16) -> Option<u8> {
        const DOT: u16 = b'.' as u16;
        const SPACE: u16 = b' ' as u16;
        if matches!(unit, DOT | SPACE) {
            self.valid = false;
            return None;
        }
        let replaced = u8::try_from(unit).is_ok_and(|byte| b"[];,+=".contains(&byte));
        let Some(byte) = to_437(unit).filter(|_| !replaced) else {
            self.valid = false;
            return Some(b'_');
        };
        if byte >= 0x7f {
            (self.lower, self.upper) = (false, false);
        }
        let capital = upper_437(byte);
        // The kernel's own idea of letters is Latin-1's; beyond ASCII both are refused above already.
        if capital.is_ascii_alphabetic() {
            if capital == byte {
                self.lower = false;
            } else {
                self.upper = false;
            }
        }
        Some(capital)
    }
}

/// Whether a name can be made: no letters that short and long names lack, no space at the end.
pub fn is_valid(units: &[u16]) -> bool {
    let bad = |unit: &u16| *unit < 32 || u8::try_from(*unit).is_ok_and(|byte| b"*?<>|\":/\\".contains(&byte));
    !units.is_empty() && !units.iter().any(bad) && units.last() != Some(&b' '.into())
}

/// Where the extension begins: behind the last full stop, unless nothing but full stops and spaces is before it or nothing behind.
fn split(units: &[u16]) -> (&[u16], &[u16]) {
    let dot = units.iter().rposition(|unit| *unit == u16::from(b'.'));
    let Some(dot) = dot.filter(|dot| dot + 1 != units.len()) else { return (units, &[]) };
    let (base, ext) = units.split_at(dot);
    if base.iter().all(|unit| *unit == u16::from(b'.') || *unit == u16::from(b' ')) {
        return (units, &[]);
    }
    (base, ext.get(1..).unwrap_or(&[]))
}

/// The short name for a long one, as far as that can be said without a look at the directory. `None`: there is nothing left of it.
pub fn make(units: &[u16], style: Style) -> Option<Made> {
    let (first, second) = split(units);
    let (mut of_base, mut of_ext) = (Letters::new(), Letters::new());
    let mut name = [b' '; 11];
    let mut whole = true;
    let mut base = Base { len: 0, short: 6, shorter: 2 };
    for unit in first {
        if base.len == 8 {
            whole = false;
            break;
        }
        if let (Some(byte), Some(place)) = (of_base.take(*unit), name.get_mut(base.len)) {
            *place = byte;
            base.len += 1;
        }
    }
    if base.len == 0 {
        return None;
    }
    let mut ext_len = 0;
    for unit in second {
        if ext_len == 3 {
            whole = false;
            break;
        }
        if let (Some(byte), Some(place)) = (of_ext.take(*unit), name.get_mut(8 + ext_len)) {
            *place = byte;
            ext_len += 1;
        }
    }
    name[0] = escape(name[0]);
    (base.short, base.shorter) = (base.len.min(6), base.len.min(2));
    let exact = whole && of_base.valid && of_ext.valid;
    let mut made = Made { name, lcase: 0, alone: false, exact, base };
    if exact && style == Style::WinNt {
        made.alone = (of_base.upper || of_base.lower) && (of_ext.upper || of_ext.lower);
        if made.alone {
            made.lcase |= if !of_base.upper { LOWER_BASE } else { 0 };
            made.lcase |= if !of_ext.upper { LOWER_EXT } else { 0 };
        }
    } else if exact {
        made.alone = of_base.upper && of_ext.upper;
    }
    Some(made)
}

impl Made {
    /// The `n`th name with a number: `~1` to `~9`, then four digits of `seed` before it.
    pub fn numbered(&self, n: u32, seed: u32) -> Short {
        let mut name = self.name;
        let mut place = |at: usize, bytes: &[u8]| {
            for (to, from) in name.iter_mut().take(8).skip(at).zip(bytes) {
                *to = *from;
            }
        };
        place(self.base.short, b"  ");
        if (1..10).contains(&n) {
            place(self.base.short, &[b'~', b'0' + n as u8]);
        } else {
            let tail = seed.wrapping_sub(n.wrapping_mul(11));
            let digit = |shift: u32| b"0123456789ABCDEF".get((tail >> shift & 15) as usize).copied().unwrap_or(b'0');
            place(self.base.shorter, b"      ");
            let last = b'1' + (seed >> 16 & 7) as u8;
            place(self.base.shorter, &[digit(12), digit(8), digit(4), digit(0), b'~', last]);
        }
        name
    }
}

/// A short name as it is shown: UTF-16 and how many units.
pub fn shown(name: &Short, lcase: u8, style: Style) -> ([u16; 12], usize) {
    let mut out = [0; 12];
    let mut len = 0;
    let mut put = |unit: u16| {
        if let Some(place) = out.get_mut(len) {
            *place = unit;
            len += 1;
        }
    };
    let (base, ext) = name.split_at(8);
    let lower = |bit: u8| match style {
        Style::Lower => true,
        Style::Win95 => false,
        Style::WinNt | Style::Mixed => lcase & bit != 0,
    };
    let trimmed = |part: &[u8]| part.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    for (i, byte) in base.iter().take(trimmed(base)).enumerate() {
        let byte = if i == 0 { unescape(*byte) } else { *byte };
        put(from_437(if lower(LOWER_BASE) { lower_437(byte) } else { byte }));
    }
    let ext_len = trimmed(ext);
    if ext_len != 0 {
        put(b'.'.into());
    }
    for byte in ext.iter().take(ext_len) {
        put(from_437(if lower(LOWER_EXT) { lower_437(*byte) } else { *byte }));
    }
    (out, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn made(text: &str, style: Style) -> Made {
        make(&wide(text), style).unwrap()
    }

    #[test]
    fn examples() {
        let row = |text: &str, name: &[u8; 11], alone| {
            let made = made(text, Style::Mixed);
            assert_eq!((made.name, made.alone), (*name, alone), "{text}");
        };
        row("FILE.TXT", b"FILE    TXT", true);
        row("file.txt", b"FILE    TXT", false);
        row("File.txt", b"FILE    TXT", false);
        row("LONGERNAME.TXT", b"LONGERNATXT", false);
        row("A.B.C", b"AB      C  ", false);
        row(".bashrc", b"BASHRC     ", false);
        row("two words", b"TWOWORDS   ", false);
        row("a+b", b"A_B        ", false);
        row("file.html", b"FILE    HTM", false);
        row("x\u{4e16}", b"X_         ", false);
        assert!(make(&wide("..."), Style::Mixed).is_none());
        assert!(made("caf\u{e9}", Style::Mixed).exact);
        assert_eq!(made("caf\u{e9}", Style::Mixed).name, *b"CAF\x90       ");
        assert_eq!(made("\u{3c3}x", Style::Mixed).name[0], 0xe4);
    }

    #[test]
    fn windows_nt() {
        let both = made("file.txt", Style::WinNt);
        assert_eq!((both.alone, both.lcase), (true, LOWER_BASE | LOWER_EXT));
        let base = made("file.TXT", Style::WinNt);
        assert_eq!((base.alone, base.lcase), (true, LOWER_BASE));
        assert!(!made("File.TXT", Style::WinNt).alone);
    }

    #[test]
    fn numbers() {
        let name = made("longer name.text", Style::Mixed);
        assert_eq!(name.numbered(1, 0), *b"LONGER~1TEX");
        assert_eq!(name.numbered(10, 0x0001_0100 + 110), *b"LO0100~2TEX");
        assert_eq!(made("ab.c", Style::Mixed).numbered(2, 0), *b"AB~2    C  ");
    }

    #[test]
    fn as_shown() {
        let text = |name: &Short, lcase, style| {
            let (units, len) = shown(name, lcase, style);
            String::from_utf16(&units[..len]).unwrap()
        };
        assert_eq!(text(b"FILE    TXT", 0, Style::Mixed), "FILE.TXT");
        assert_eq!(text(b"FILE    TXT", LOWER_BASE, Style::Mixed), "file.TXT");
        assert_eq!(text(b"FILE    TXT", 0, Style::Lower), "file.txt");
        assert_eq!(text(b"FILE    TXT", LOWER_EXT, Style::Win95), "FILE.TXT");
        assert_eq!(text(b"\x05       X  ", 0, Style::Mixed), "\u{3c3}.X");
        assert_eq!(text(b"A          ", 0, Style::Mixed), "A");
    }

    #[test]
    fn refused() {
        assert!(is_valid(&wide("a b.c")));
        for name in ["", "a ", "a*", "a:b", "\u{1}", "a\\b"] {
            assert!(!is_valid(&wide(name)), "{name:?}");
        }
    }
}
