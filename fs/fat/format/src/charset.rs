// SPDX-License-Identifier: GPL-2.0
//! Character sets: code page 437, in which short names are, and those that programs see.

/// What code page 437 has from 0x80 on.
const HIGH: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û',
    'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡',
    '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─',
    '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█',
    '▄', '▌', '▐', '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±', '≥',
    '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

/// Small letters beyond ASCII, and their capitals.
const PAIRS: [(u8, u8); 10] = [
    (0x81, 0x9a),
    (0x82, 0x90),
    (0x84, 0x8e),
    (0x86, 0x8f),
    (0x87, 0x80),
    (0x91, 0x92),
    (0x94, 0x99),
    (0xa4, 0xa5),
    (0xe5, 0xe4),
    (0xed, 0xe8),
];

/// The UTF-16 unit that a byte of code page 437 stands for.
pub fn from_437(byte: u8) -> u16 {
    // All of them are in the basic plane.
    HIGH.get(usize::from(byte).wrapping_sub(128)).map_or(byte.into(), |c| u32::from(*c) as u16)
}

/// The byte of code page 437 for a UTF-16 unit, if it has one.
pub fn to_437(unit: u16) -> Option<u8> {
    if unit < 128 {
        return u8::try_from(unit).ok();
    }
    let at = HIGH.iter().position(|c| u32::from(*c) == u32::from(unit))?;
    u8::try_from(at + 128).ok()
}

/// The capital of a letter of code page 437.
pub fn upper_437(byte: u8) -> u8 {
    PAIRS.iter().find(|pair| pair.0 == byte).map_or(byte.to_ascii_uppercase(), |pair| pair.1)
}

/// The small letter.
pub fn lower_437(byte: u8) -> u8 {
    PAIRS.iter().find(|pair| pair.1 == byte).map_or(byte.to_ascii_lowercase(), |pair| pair.0)
}

/// A character set that programs use (`iocharset=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charset {
    /// Seven bits.
    Ascii,
    /// ISO 8859-1.
    Latin1,
    /// UTF-8 without what is beyond the basic plane. Case of letters counts.
    Utf8,
}

impl Charset {
    /// As `/proc/mounts` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Latin1 => "iso8859-1",
            Self::Utf8 => "utf8",
        }
    }

    fn lower(self, byte: u8) -> u8 {
        match self {
            Self::Ascii => byte.to_ascii_lowercase(),
            Self::Latin1 if matches!(byte, 0xc0..=0xd6 | 0xd8..=0xde) => byte + 32,
            Self::Latin1 => byte.to_ascii_lowercase(),
            Self::Utf8 => byte,
        }
    }
}

/// How names are written for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coding {
    /// Names are UTF-8 whatever the character set, which then says which letters are the same.
    pub utf8: bool,
    /// The character set.
    pub io: Charset,
    /// What the character set lacks is `:` and four digits (`uni_xlate`).
    pub escapes: bool,
    /// Case of letters counts (`check=s`).
    pub strict: bool,
}

/// What is wrong with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// Too long.
    Long,
    /// Not text of this character set.
    Text,
}

/// Bytes of a name as programs see it, at most: 255 units in three bytes each, or five as escapes.
pub const NAME_BYTES: usize = 5 * crate::LONG_MAX;

impl Coding {
    /// Writes UTF-16 for programs into `out`, which has [`NAME_BYTES`]. Returns the bytes in use.
    pub fn show<'a>(&self, units: &[u16], out: &'a mut [u8]) -> &'a [u8] {
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = out.get_mut(len..len + bytes.len()) {
                place.copy_from_slice(bytes);
                len += bytes.len();
            }
        };
        if self.utf8 {
            // Half of a pair stands for nothing.
            for c in char::decode_utf16(units.iter().copied()).flatten() {
                put(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        } else {
            for unit in units {
                self.put_unit(*unit, &mut put);
            }
        }
        out.get(..len).unwrap_or(b"")
    }

    fn put_unit(&self, unit: u16, put: &mut impl FnMut(&[u8])) {
        let one = match self.io {
            Charset::Ascii => u8::try_from(unit).ok().filter(u8::is_ascii),
            Charset::Latin1 => u8::try_from(unit).ok(),
            Charset::Utf8 => {
                if let Some(c) = char::from_u32(unit.into()) {
                    return put(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                None
            }
        };
        if let Some(byte) = one {
            return put(&[byte]);
        }
        if !self.escapes {
            return put(b"?");
        }
        let digit = |shift: u16| b"0123456789abcdef".get(usize::from(unit >> shift & 15)).copied().unwrap_or(b'0');
        put(&[b':', digit(12), digit(8), digit(4), digit(0)]);
    }

    /// A program's name as UTF-16: how many units of `out` it took.
    pub fn read(&self, name: &[u8], out: &mut [u16; crate::LONG_MAX]) -> Result<usize, Wrong> {
        let mut len = 0;
        let mut put = |unit: u16| {
            *out.get_mut(len).ok_or(Wrong::Long)? = unit;
            len += 1;
            Ok(())
        };
        if self.utf8 || self.io == Charset::Utf8 {
            for c in core::str::from_utf8(name).map_err(|_| Wrong::Text)?.chars() {
                let mut pair = [0; 2];
                let units = c.encode_utf16(&mut pair);
                // The character set of its own has the basic plane alone.
                if units.len() > 1 && !self.utf8 {
                    return Err(Wrong::Text);
                }
                units.iter().try_for_each(|unit| put(*unit))?;
            }
            return Ok(len);
        }
        let mut rest = name;
        while let Some((first, others)) = rest.split_first() {
            rest = others;
            let escape = others.get(..4).filter(|_| self.escapes && *first == b':');
            if let Some(digits) = escape {
                let digits = core::str::from_utf8(digits).map_err(|_| Wrong::Text)?;
                put(u16::from_str_radix(digits, 16).map_err(|_| Wrong::Text)?)?;
                rest = others.get(4..).unwrap_or(b"");
            } else if first.is_ascii() || self.io == Charset::Latin1 {
                put((*first).into())?;
            } else {
                return Err(Wrong::Text);
            }
        }
        Ok(len)
    }

    /// Whether two names are the same.
    pub fn same(&self, one: &[u8], other: &[u8]) -> bool {
        if self.strict {
            return one == other;
        }
        let lower = |byte: &u8| self.io.lower(*byte);
        one.len() == other.len() && one.iter().map(lower).eq(other.iter().map(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const DEFAULT: Coding = Coding { utf8: true, io: Charset::Ascii, escapes: false, strict: false };

    fn there_and_back(coding: Coding, name: &[u8]) -> Result<Vec<u8>, Wrong> {
        let mut units = [0; crate::LONG_MAX];
        let len = coding.read(name, &mut units)?;
        Ok(coding.show(&units[..len], &mut [0; NAME_BYTES]).to_vec())
    }

    #[test]
    fn code_page() {
        for byte in 0..=255 {
            assert_eq!(to_437(from_437(byte)), Some(byte));
        }
        assert_eq!(to_437(0x4e16), None);
        assert_eq!((upper_437(0x84), lower_437(0x8e), upper_437(b'x')), (0x8e, 0x84, b'X'));
    }

    #[test]
    fn codings() {
        let name = "na\u{ef}ve \u{1f600}".as_bytes();
        assert_eq!(there_and_back(DEFAULT, name).unwrap(), name);
        assert_eq!(there_and_back(DEFAULT, b"\xff"), Err(Wrong::Text));
        let latin = Coding { utf8: false, io: Charset::Latin1, ..DEFAULT };
        assert_eq!(there_and_back(latin, b"\xe9t\xe9").unwrap(), b"\xe9t\xe9");
        assert!(latin.same(b"\xc9T\xc9", b"\xe9t\xe9"));
        assert!(!DEFAULT.same(b"\xc9", b"\xe9"));
        assert!(DEFAULT.same(b"ABC", b"abc"));
        let ascii = Coding { utf8: false, escapes: true, ..DEFAULT };
        assert_eq!(ascii.show(&[0x4e16, 65], &mut [0; NAME_BYTES]), b":4e16A");
        assert_eq!(there_and_back(ascii, b":4e16A").unwrap(), b":4e16A");
        assert_eq!(there_and_back(Coding { escapes: false, ..ascii }, b"\xe9"), Err(Wrong::Text));
        assert_eq!(there_and_back(DEFAULT, &[b'a'; 256]), Err(Wrong::Long));
        let three = "\u{4e16}".repeat(255);
        assert_eq!(there_and_back(DEFAULT, three.as_bytes()).unwrap(), three.as_bytes());
    }
}
