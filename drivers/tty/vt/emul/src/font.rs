// SPDX-License-Identifier: GPL-2.0
//! Bitmaps of characters for frame buffers: Spleen 8x16 (BSD licence), a PSF1 file with a table of characters, which is
//! sorted when this crate is compiled. No locks.

/// How many pixels a character is wide.
pub const WIDTH: usize = 8;
/// How many rows of pixels a character has.
pub const HEIGHT: usize = 16;

const FILE: &[u8] = spleen_font::FONT_8X16;
/// After the magic 36 04, the mode and the height.
const HEADER: usize = 4;
const GLYPHS: usize = if FILE[2] & 1 != 0 { 512 } else { 256 };
const TABLE: usize = HEADER + GLYPHS * HEIGHT;

const _: () = assert!(FILE[0] == 0x36 && FILE[1] == 0x04 && FILE[3] as usize == HEIGHT && FILE[2] & 2 != 0);

/// How many characters the table names.
const fn count() -> usize {
    let (mut at, mut n) = (TABLE, 0);
    while at + 1 < FILE.len() {
        if FILE[at] < 0xfe || FILE[at + 1] != 0xff {
            n += 1;
        }
        at += 2;
    }
    n
}

/// Character and glyph, in the order of characters.
const fn index() -> [(u16, u16); count()] {
    let mut list = [(0u16, 0u16); count()];
    let (mut at, mut n, mut glyph) = (TABLE, 0, 0u16);
    while at + 1 < FILE.len() {
        let c = FILE[at] as u16 | (FILE[at + 1] as u16) << 8;
        if c == 0xffff {
            glyph += 1;
        } else if c != 0xfffe {
            let mut i = n;
            while i > 0 && list[i - 1].0 > c {
                list[i] = list[i - 1];
                i -= 1;
            }
            list[i] = (c, glyph);
            n += 1;
        }
        at += 2;
    }
    list
}

static INDEX: [(u16, u16); count()] = index();

fn lookup(c: char) -> Option<&'static [u8; HEIGHT]> {
    let code = u16::try_from(u32::from(c)).ok()?;
    let found = INDEX.binary_search_by_key(&code, |e| e.0).ok()?;
    let glyph = usize::from(INDEX.get(found)?.1);
    FILE.get(HEADER.checked_add(glyph.checked_mul(HEIGHT)?)?..)?.first_chunk()
}

/// The rows of `c`, top first; the highest bit is the leftmost pixel. What the font lacks is shown by something like it,
/// or by a question mark.
pub fn glyph(c: char) -> &'static [u8; HEIGHT] {
    static BLANK: [u8; HEIGHT] = [0; HEIGHT];
    if matches!(c, ' ' | '\u{a0}') {
        return &BLANK;
    }
    lookup(c).or_else(|| lookup(crate::charset::similar(c))).or_else(|| lookup('?')).unwrap_or(&BLANK)
}
