// SPDX-License-Identifier: GPL-2.0
//! Character sets of 256 characters: Latin-1, DEC's line drawing, and code page 437, which is what VGA's font has.
//! No locks.

/// A set that `ESC (` and `ESC )` choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Charset {
    /// ISO 8859-1.
    #[default]
    Latin1,
    /// Latin-1 with line drawing in place of small letters.
    Graphics,
    /// Code page 437: characters as the font has them.
    Cp437,
}

/// DEC's special graphics for 0x5f to 0x7e.
const GRAPHICS: [char; 32] = [
    '\u{a0}', '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '░', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─', '⎼', '⎽', '├',
    '┤', '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
];

/// Code page 437 from 0x80 on.
const HIGH: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û',
    'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡',
    '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─',
    '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█',
    '▄', '▌', '▐', '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±', '≥',
    '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

/// Code page 437 below 0x20.
const LOW: [char; 32] = [
    ' ', '☺', '☻', '♥', '♦', '♣', '♠', '•', '◘', '○', '◙', '♂', '♀', '♪', '♫', '☼', '►', '◄', '↕', '‼', '¶', '§', '▬',
    '↨', '↑', '↓', '→', '←', '∟', '↔', '▲', '▼',
];

impl Charset {
    /// The character of a byte.
    pub(crate) fn decode(self, byte: u8) -> char {
        match self {
            Charset::Graphics if (0x5f..0x7f).contains(&byte) => {
                GRAPHICS.get(usize::from(byte - 0x5f)).copied().unwrap_or(' ')
            }
            Charset::Cp437 => match byte {
                0x80.. => HIGH.get(usize::from(byte - 0x80)).copied().unwrap_or(' '),
                0..0x20 => LOW.get(usize::from(byte)).copied().unwrap_or(' '),
                0x7f => '⌂',
                _ => char::from(byte),
            },
            _ => char::from(byte),
        }
    }
}

/// The byte of VGA's font that shows `c`, or comes near.
pub fn to_cp437(c: char) -> u8 {
    if c.is_ascii_graphic() || c == ' ' {
        return c as u8;
    }
    if let Some(n) = HIGH.iter().position(|&h| h == c) {
        return n as u8 | 0x80;
    }
    if let Some(n) = LOW.iter().position(|&l| l == c) {
        return n as u8;
    }
    match c {
        '\u{a0}' => b' ',
        '⎺' | '⎻' | '⎼' | '⎽' | '━' | '╌' | '╴' | '╶' => 0xc4,
        '┃' | '╎' | '╵' | '╷' => 0xb3,
        '╭' => 0xda,
        '╮' => 0xbf,
        '╯' => 0xd9,
        '╰' => 0xc0,
        '◆' => 0x04,
        '‘' | '’' => b'\'',
        '“' | '”' => b'"',
        '–' | '—' | '‐' | '−' => b'-',
        '…' => b'.',
        '€' => b'E',
        'À' | 'Á' | 'Â' | 'Ã' => b'A',
        'È' | 'Ê' | 'Ë' => b'E',
        'Ì' | 'Í' | 'Î' | 'Ï' => b'I',
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ø' => b'O',
        'Ù' | 'Ú' | 'Û' => b'U',
        '\u{fffd}' => 0xfe,
        _ => b'?',
    }
}

/// A character of code page 437 like `c`.
pub(crate) fn similar(c: char) -> char {
    Charset::Cp437.decode(to_cp437(c))
}
