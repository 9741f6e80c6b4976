// SPDX-License-Identifier: GPL-2.0
//! Colours and attributes, as one byte of VGA: foreground in the low half, background in the high. No locks.

/// Red, green, blue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rgb(pub u8, pub u8, pub u8);

/// The colours of a VGA in its order: black, blue, green, cyan, red, magenta, brown, grey, and bright.
pub const DEFAULT_PALETTE: [Rgb; 16] = [
    Rgb(0, 0, 0),
    Rgb(0, 0, 0xaa),
    Rgb(0, 0xaa, 0),
    Rgb(0, 0xaa, 0xaa),
    Rgb(0xaa, 0, 0),
    Rgb(0xaa, 0, 0xaa),
    Rgb(0xaa, 0x55, 0),
    Rgb(0xaa, 0xaa, 0xaa),
    Rgb(0x55, 0x55, 0x55),
    Rgb(0x55, 0x55, 0xff),
    Rgb(0x55, 0xff, 0x55),
    Rgb(0x55, 0xff, 0xff),
    Rgb(0xff, 0x55, 0x55),
    Rgb(0xff, 0x55, 0xff),
    Rgb(0xff, 0xff, 0x55),
    Rgb(0xff, 0xff, 0xff),
];

/// From the order of ECMA-48 (red is 1) to that of VGA (red is 4).
pub(crate) fn from_ansi(color: u16) -> u8 {
    let c = (color & 15) as u8;
    c & 0b1010 | (c & 1) << 2 | (c & 4) >> 2
}

/// How bright the foreground is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Intensity {
    /// Faint.
    Half,
    /// As usual.
    #[default]
    Normal,
    /// Bright.
    Bold,
}

/// What new characters look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Foreground and background.
    pub color: u8,
    /// Brightness.
    pub intensity: Intensity,
    /// Shown by a colour.
    pub italic: bool,
    /// Shown by a colour.
    pub underline: bool,
    /// Blinking, or a bright background.
    pub blink: bool,
    /// Foreground and background exchanged.
    pub reverse: bool,
}

/// Colours that stand for what a screen cannot show, and those of new characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Defaults {
    pub(crate) color: u8,
    pub(crate) underline: u8,
    pub(crate) half: u8,
    pub(crate) italic: u8,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { color: 0x07, underline: 0x0f, half: 0x08, italic: 0x02 }
    }
}

impl Attr {
    pub(crate) fn new(defaults: &Defaults) -> Self {
        Self {
            color: defaults.color,
            intensity: Intensity::Normal,
            italic: false,
            underline: false,
            blink: false,
            reverse: false,
        }
    }

    /// The byte of a cell; `reverse_screen` is DECSCNM.
    pub(crate) fn byte(&self, d: &Defaults, reverse_screen: bool) -> u8 {
        let mut a = self.color;
        if self.italic {
            a = a & 0xf0 | d.italic;
        } else if self.underline {
            a = a & 0xf0 | d.underline;
        } else if self.intensity == Intensity::Half {
            a = a & 0xf0 | d.half;
        }
        if self.reverse != reverse_screen {
            a = a & 0x88 | a.rotate_left(4) & 0x77;
        }
        if self.blink {
            a ^= 0x80;
        }
        if self.intensity == Intensity::Bold {
            a ^= 0x08;
        }
        a
    }

    /// The byte of an erased cell: the background, without what belongs to characters.
    pub(crate) fn erase_byte(&self, reverse_screen: bool) -> u8 {
        let plain = Attr { intensity: Intensity::Normal, italic: false, underline: false, reverse: false, ..*self };
        plain.byte(&Defaults::default(), reverse_screen)
    }

    /// Applies the parameters of an SGR sequence.
    pub(crate) fn select(&mut self, params: &[u16], d: &Defaults) {
        let mut rest = params.iter().copied();
        while let Some(p) = rest.next() {
            match p {
                0 => *self = Self::new(d),
                1 => self.intensity = Intensity::Bold,
                2 => self.intensity = Intensity::Half,
                3 => self.italic = true,
                4 | 21 => self.underline = true,
                5 => self.blink = true,
                7 => self.reverse = true,
                22 => self.intensity = Intensity::Normal,
                23 => self.italic = false,
                24 => self.underline = false,
                25 => self.blink = false,
                27 => self.reverse = false,
                30..=37 => self.color = self.color & 0xf0 | from_ansi(p - 30),
                90..=97 => {
                    self.color = self.color & 0xf0 | from_ansi(p - 90);
                    self.intensity = Intensity::Bold;
                }
                38 => {
                    if let Some(rgb) = parse_color(&mut rest) {
                        self.foreground(rgb);
                    }
                }
                39 => self.color = self.color & 0xf0 | d.color & 0x0f,
                40..=47 => self.color = self.color & 0x0f | from_ansi(p - 40) << 4,
                100..=107 => self.color = self.color & 0x0f | from_ansi(p - 100) << 4,
                48 => {
                    if let Some(Rgb(r, g, b)) = parse_color(&mut rest) {
                        // Backgrounds err on the dark side.
                        self.color = self.color & 0x0f | (r & 0x80) >> 1 | (g & 0x80) >> 2 | (b & 0x80) >> 3;
                    }
                }
                49 => self.color = self.color & 0x0f | d.color & 0xf0,
                _ => {}
            }
        }
    }

    /// The nearest of the sixteen colours.
    fn foreground(&mut self, Rgb(r, g, b): Rgb) {
        let max = r.max(g).max(b);
        let on = |c: u8, bit: u8| if c > max / 2 { bit } else { 0 };
        let mut hue = on(r, 4) | on(g, 2) | on(b, 1);
        self.intensity = if hue == 7 && max <= 0x55 {
            hue = 0;
            Intensity::Bold
        } else if max > 0xaa {
            Intensity::Bold
        } else {
            Intensity::Normal
        };
        self.color = self.color & 0xf0 | hue;
    }
}

/// The colour after 38 or 48: `5;N` of 256, or `2;R;G;B`.
fn parse_color(params: &mut impl Iterator<Item = u16>) -> Option<Rgb> {
    match params.next()? {
        5 => Some(of_256(params.next()? & 0xff)),
        2 => Some(Rgb(params.next()? as u8, params.next()? as u8, params.next()? as u8)),
        _ => None,
    }
}

fn of_256(n: u16) -> Rgb {
    let level = |on: bool, yes: u8, no: u8| if on { yes } else { no };
    match n {
        0..8 => Rgb(level(n & 1 != 0, 0xaa, 0), level(n & 2 != 0, 0xaa, 0), level(n & 4 != 0, 0xaa, 0)),
        8..16 => Rgb(level(n & 1 != 0, 0xff, 0x55), level(n & 2 != 0, 0xff, 0x55), level(n & 4 != 0, 0xff, 0x55)),
        16..232 => {
            let n = n - 16;
            let step = |v: u16| (v * 85 / 2) as u8;
            Rgb(step(n / 36), step(n / 6 % 6), step(n % 6))
        }
        _ => {
            let v = (n & 0xff).saturating_sub(232).saturating_mul(10).saturating_add(8) as u8;
            Rgb(v, v, v)
        }
    }
}
