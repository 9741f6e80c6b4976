// SPDX-License-Identifier: GPL-2.0
//! A linear frame buffer as the firmware left it (EFI's, VESA's): cells are drawn with the 8x16 font. Called under
//! `terminals::VT`.

use super::cursor_height;
use boot_info::{ColorField, Framebuffer};
use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::mmio::{Cache, MmioRegion};
use vt_emul::font::{HEIGHT, WIDTH, glyph};
use vt_emul::{Cell, DEFAULT_PALETTE, Rgb};

/// No cell has this: the place must be drawn.
const UNKNOWN: Cell = Cell { ch: '\0', attr: 0xff };

/// The screen.
pub(crate) struct FrameBuffer {
    memory: MmioRegion,
    info: Framebuffer,
    cols: usize,
    rows: usize,
    /// The sixteen colours as pixels.
    colors: [u32; 16],
    /// What is shown, without the cursor: writes to the memory are slow.
    shown: KVec<Cell>,
    /// Column, row and height of the cursor.
    cursor: Option<(usize, usize, usize)>,
}

fn field(value: u8, field: ColorField) -> u32 {
    let size = field.size.min(8);
    (u32::from(value) >> 8u8.saturating_sub(size)).checked_shl(field.pos.into()).unwrap_or(0)
}

impl FrameBuffer {
    /// Whether this one can be drawn on.
    pub(crate) fn is_usable(info: &Framebuffer) -> bool {
        matches!(info.bpp, 15 | 16 | 24 | 32) && info.width as usize >= WIDTH && info.height as usize >= HEIGHT
    }

    /// Maps the screen and clears it.
    pub(crate) fn map(info: &Framebuffer) -> Result<Self> {
        let len = (info.pitch as usize).saturating_mul(info.height as usize);
        let memory = MmioRegion::map_with(info.base, len, Cache::WriteCombine)?;
        let (cols, rows) = (info.width as usize / WIDTH, info.height as usize / HEIGHT);
        let shown = KVec::from_elem(UNKNOWN, cols.saturating_mul(rows), GFP_KERNEL)?;
        let mut this = Self { memory, info: *info, cols, rows, colors: [0; 16], shown, cursor: None };
        this.set_palette(&DEFAULT_PALETTE);
        for offset in (0..len).step_by(8) {
            this.memory.write64(offset, 0);
        }
        Ok(this)
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.cols, self.rows)
    }

    fn place(&self, row: usize, col: usize) -> Option<usize> {
        (row < self.rows && col < self.cols).then(|| row.saturating_mul(self.cols).saturating_add(col))
    }

    pub(crate) fn draw(&mut self, row: usize, col: usize, cells: &[Cell]) {
        for (n, cell) in cells.iter().enumerate() {
            let col = col.saturating_add(n);
            let Some(place) = self.place(row, col) else { return };
            let Some(shown) = self.shown.get_mut(place) else { return };
            if *shown != *cell {
                *shown = *cell;
                self.draw_cell(row, col, *cell);
            }
        }
    }

    /// Draws a cell, with the cursor if that is here.
    fn draw_cell(&self, row: usize, col: usize, cell: Cell) {
        let cursor = match self.cursor {
            Some((x, y, height)) if (x, y) == (col, row) => HEIGHT.saturating_sub(height),
            _ => HEIGHT,
        };
        let color = |n: u8| self.colors.get(usize::from(n & 15)).copied().unwrap_or(0);
        let (front, back) = (color(cell.attr), color(cell.attr >> 4));
        let pixel = if self.info.bpp == 15 { 2 } else { usize::from(self.info.bpp / 8) };
        let left = col.saturating_mul(WIDTH).saturating_mul(pixel);
        let top = row.saturating_mul(HEIGHT);
        for (line, &bits) in glyph(cell.ch).iter().enumerate() {
            let bits = if line >= cursor { 0xff } else { bits };
            let at = top.saturating_add(line).saturating_mul(self.info.pitch as usize).saturating_add(left);
            self.draw_line(at, bits, front, back);
        }
    }

    /// Draws eight pixels from byte `at` on.
    #[inline]
    fn draw_line(&self, at: usize, bits: u8, front: u32, back: u32) {
        let pixel = |n: u32| if bits & 0x80 >> n != 0 { front } else { back };
        match self.info.bpp {
            32 if !at.is_multiple_of(8) => {
                for n in 0..8 {
                    self.memory.write32(at.saturating_add(4 * n as usize), pixel(n));
                }
            }
            32 => {
                for pair in 0..4 {
                    let both = u64::from(pixel(2 * pair)) | u64::from(pixel(2 * pair + 1)) << 32;
                    self.memory.write64(at.saturating_add(8 * pair as usize), both);
                }
            }
            24 => {
                for n in 0..8 {
                    let [low, middle, high, _] = pixel(n).to_le_bytes();
                    for (byte, value) in [low, middle, high].into_iter().enumerate() {
                        self.memory.write8(at.saturating_add(3 * n as usize).saturating_add(byte), value);
                    }
                }
            }
            _ => {
                for n in 0..8 {
                    self.memory.write16(at.saturating_add(2 * n as usize), pixel(n) as u16);
                }
            }
        }
    }

    fn redraw(&self, row: usize, col: usize) {
        if let Some(cell) = self.place(row, col).and_then(|place| self.shown.get(place)) {
            self.draw_cell(row, col, *cell);
        }
    }

    pub(crate) fn cursor(&mut self, at: Option<(usize, usize)>, shape: u32) {
        let height = cursor_height(shape);
        let wanted = at.filter(|_| height != 0).map(|(col, row)| (col, row, height));
        let old = core::mem::replace(&mut self.cursor, wanted);
        if wanted == old {
            return;
        }
        for (col, row, _) in [old, wanted].into_iter().flatten() {
            self.redraw(row, col);
        }
    }

    pub(crate) fn set_palette(&mut self, palette: &[Rgb; 16]) {
        let Framebuffer { red, green, blue, .. } = self.info;
        for (pixel, Rgb(r, g, b)) in self.colors.iter_mut().zip(palette) {
            *pixel = field(*r, red) | field(*g, green) | field(*b, blue);
        }
        self.forget();
    }

    pub(crate) fn forget(&mut self) {
        self.shown.iter_mut().for_each(|shown| *shown = UNKNOWN);
    }
}
