// SPDX-License-Identifier: GPL-2.0
//! The screens: each shows cells and a cursor. Called under `terminals::VT`; no locks of their own.

pub(crate) mod framebuffer;
pub(crate) mod vga;

use vt_emul::{Cell, Rgb};

/// A screen.
pub(crate) enum Display {
    /// Nobody sees anything.
    None,
    /// VGA in text mode.
    Text(vga::Vga),
    /// Pixels.
    Pixels(framebuffer::FrameBuffer),
}

impl Display {
    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::None => (80, 25),
            Self::Text(vga) => vga.size(),
            Self::Pixels(pixels) => pixels.size(),
        }
    }

    /// What it is, as the log tells it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::None => "colour dummy device",
            Self::Text(_) => "colour VGA+",
            Self::Pixels(_) => "colour frame buffer device",
        }
    }

    /// Shows cells from a place on.
    pub(crate) fn draw(&mut self, row: usize, col: usize, cells: &[Cell]) {
        match self {
            Self::None => {}
            Self::Text(vga) => vga.draw(row, col, cells),
            Self::Pixels(pixels) => pixels.draw(row, col, cells),
        }
    }

    /// Shows the cursor at column and row, of the shape that `CSI ? c` names; `None` hides it.
    pub(crate) fn cursor(&mut self, at: Option<(usize, usize)>, shape: u32) {
        match self {
            Self::None => {}
            Self::Text(vga) => vga.cursor(at, shape),
            Self::Pixels(pixels) => pixels.cursor(at, shape),
        }
    }

    /// Takes other colours. What is on the screen must be drawn again.
    pub(crate) fn set_palette(&mut self, palette: &[Rgb; 16]) {
        match self {
            Self::None => {}
            Self::Text(vga) => vga.set_palette(palette),
            Self::Pixels(pixels) => pixels.set_palette(palette),
        }
    }

    /// Blanks what is not part of a terminal of this size.
    pub(crate) fn clear_outside(&mut self, cols: usize, rows: usize) {
        let (width, height) = self.size();
        let blank = Cell { ch: ' ', attr: 7 };
        for row in 0..height {
            for col in if row < rows { cols.min(width) } else { 0 }..width {
                self.draw(row, col, &[blank]);
            }
        }
    }

    /// Forgets what is on the screen (a program drew on it).
    pub(crate) fn forget(&mut self) {
        match self {
            Self::None => {}
            Self::Text(vga) => vga.forget(),
            Self::Pixels(pixels) => pixels.forget(),
        }
    }
}

/// Shapes of the cursor, as `CSI ? n c` numbers them: how much of a character's height it covers, in sixteenths; 0 for none.
pub(crate) fn cursor_height(shape: u32) -> usize {
    match shape & 0xf {
        1 => 0,
        0 | 2 => 2,
        3 => 5,
        4 => 8,
        5 => 10,
        _ => 16,
    }
}
