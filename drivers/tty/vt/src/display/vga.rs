// SPDX-License-Identifier: GPL-2.0
//! VGA in text mode: a cell is a character of code page 437 and an attribute at 0xb8000; the chip blinks the cursor. Called under
//! `terminals::VT`. Source: IBM's VGA technical reference.

use super::cursor_height;
use boot_info::VgaText;
use errno::Result;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::mmio::MmioRegion;
use vt_emul::{Cell, Rgb, to_cp437};
use x86_cpu::io::PortRange;

const MEMORY: u64 = 0xb8000;
const MEMORY_LEN: usize = 0x8000;
const PORTS: u16 = 0x3b0;
const PORTS_LEN: u16 = 0x30;
/// Offsets from `PORTS`.
const CRTC: u16 = 0x24;
const GRAPHICS: u16 = 0x1e;
const DAC_WRITE: u16 = 0x18;
const DAC_DATA: u16 = 0x19;
const MISC_READ: u16 = 0x1c;

/// CRTC registers.
const COLUMNS: u8 = 0x01;
const OVERFLOW: u8 = 0x07;
const MAX_SCAN: u8 = 0x09;
const CURSOR_START: u8 = 0x0a;
const CURSOR_END: u8 = 0x0b;
const START_HIGH: u8 = 0x0c;
const START_LOW: u8 = 0x0d;
const CURSOR_HIGH: u8 = 0x0e;
const CURSOR_LOW: u8 = 0x0f;
const LAST_LINE: u8 = 0x12;
const CURSOR_OFF: u8 = 0x20;

/// Where the sixteen colours are in the palette chip, as a BIOS sets the attribute controller.
const DAC_ENTRIES: [u8; 16] = [0, 1, 2, 3, 4, 5, 20, 7, 56, 57, 58, 59, 60, 61, 62, 63];

/// The chip's registers.
pub(crate) struct VgaPorts(PortRange);

impl VgaPorts {
    pub(crate) fn claim() -> Option<Self> {
        PortRange::claim(PORTS, PORTS_LEN).map(Self)
    }

    fn read(&self, index_port: u16, register: u8) -> u8 {
        self.0.write8(index_port, register);
        self.0.read8(index_port.saturating_add(1))
    }

    fn write(&self, index_port: u16, register: u8, value: u8) {
        self.0.write8(index_port, register);
        self.0.write8(index_port.saturating_add(1), value);
    }

    /// Looks for a VGA that is in colour text mode.
    pub(crate) fn text_mode(&self) -> Option<VgaText> {
        // Bit 0: the colour addresses are in use; an absent chip reads as ones.
        if self.0.read8(MISC_READ) & 1 == 0 || self.0.read8(MISC_READ) == 0xff {
            return None;
        }
        let saved = self.read(CRTC, CURSOR_LOW);
        let holds = |value| {
            self.write(CRTC, CURSOR_LOW, value);
            self.read(CRTC, CURSOR_LOW) == value
        };
        let there = holds(0x55) && holds(0xaa);
        self.write(CRTC, CURSOR_LOW, saved);
        // Graphics register 6: bit 0 is graphics, bits 2 and 3 say which memory (3: 32 KB at 0xb8000).
        if !there || self.read(GRAPHICS, 6) & 0x0d != 0x0c {
            return None;
        }
        let cols = self.read(CRTC, COLUMNS).checked_add(1)?;
        let overflow = u16::from(self.read(CRTC, OVERFLOW));
        let lines = u16::from(self.read(CRTC, LAST_LINE)) | (overflow & 0x02) << 7 | (overflow & 0x40) << 3;
        let height = u16::from(self.read(CRTC, MAX_SCAN) & 0x1f).saturating_add(1);
        let rows = u8::try_from(lines.saturating_add(1) / height).ok()?;
        let sane = (40..=160).contains(&cols) && (20..=60).contains(&rows);
        sane.then_some(VgaText { cols, rows, cursor_x: 0, cursor_y: 0, mode: 3, font_height: height })
    }
}

/// The screen.
pub(crate) struct Vga {
    ports: VgaPorts,
    memory: MmioRegion,
    cols: usize,
    rows: usize,
    font_height: usize,
    /// What is shown: access to the memory is slow, so that only what differs is written.
    shown: KVec<u16>,
    cursor: Option<(usize, usize, u32)>,
}

/// A value that no cell has (character 0 with attribute 0xff): the place must be written.
const UNKNOWN: u16 = 0xff00;

impl Vga {
    /// Maps the screen and clears it.
    pub(crate) fn map(text: &VgaText) -> Result<Self> {
        let ports = VgaPorts::claim().ok_or(errno::code::ENODEV)?;
        let (cols, rows) = (usize::from(text.cols), usize::from(text.rows));
        let memory = MmioRegion::map(MEMORY, MEMORY_LEN)?;
        let shown = KVec::from_elem(UNKNOWN, cols.saturating_mul(rows), GFP_KERNEL)?;
        let font_height = usize::from(text.font_height).clamp(8, 32);
        let mut this = Self { ports, memory, cols, rows, font_height, shown, cursor: None };
        this.ports.write(CRTC, START_HIGH, 0);
        this.ports.write(CRTC, START_LOW, 0);
        this.clear();
        Ok(this)
    }

    fn clear(&mut self) {
        for row in 0..self.rows {
            for col in 0..self.cols {
                self.draw(row, col, &[Cell { ch: ' ', attr: 7 }]);
            }
        }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.cols, self.rows)
    }

    fn place(&self, row: usize, col: usize) -> Option<usize> {
        (row < self.rows && col < self.cols).then(|| row.saturating_mul(self.cols).saturating_add(col))
    }

    pub(crate) fn draw(&mut self, row: usize, col: usize, cells: &[Cell]) {
        for (n, cell) in cells.iter().enumerate() {
            let Some(place) = self.place(row, col.saturating_add(n)) else { return };
            let value = u16::from(cell.attr) << 8 | u16::from(to_cp437(cell.ch));
            if let Some(shown) = self.shown.get_mut(place)
                && *shown != value
            {
                *shown = value;
                self.memory.write16(place.saturating_mul(2), value);
            }
        }
    }

    pub(crate) fn cursor(&mut self, at: Option<(usize, usize)>, shape: u32) {
        let height = cursor_height(shape);
        let wanted = at.filter(|_| height != 0).map(|(col, row)| (col, row, shape));
        if wanted == self.cursor {
            return;
        }
        self.cursor = wanted;
        let Some((col, row, _)) = wanted else {
            return self.ports.write(CRTC, CURSOR_START, CURSOR_OFF);
        };
        let place = self.place(row, col).unwrap_or(0);
        self.ports.write(CRTC, CURSOR_HIGH, (place >> 8) as u8);
        self.ports.write(CRTC, CURSOR_LOW, place as u8);
        // The last line of a letter's cell is left free, but for a block.
        let lines = (height.saturating_mul(self.font_height) / 16).max(1);
        let end = self.font_height.saturating_sub(if height == 16 { 1 } else { 2 });
        let start = end.saturating_add(1).saturating_sub(lines);
        self.ports.write(CRTC, CURSOR_START, start as u8 & 0x1f);
        self.ports.write(CRTC, CURSOR_END, end as u8 & 0x1f);
    }

    pub(crate) fn set_palette(&mut self, palette: &[Rgb; 16]) {
        for (entry, Rgb(red, green, blue)) in DAC_ENTRIES.iter().zip(palette) {
            self.ports.0.write8(DAC_WRITE, *entry);
            for part in [red, green, blue] {
                self.ports.0.write8(DAC_DATA, part >> 2);
            }
        }
    }

    pub(crate) fn forget(&mut self) {
        self.shown.iter_mut().for_each(|shown| *shown = UNKNOWN);
        self.cursor = None;
    }
}
