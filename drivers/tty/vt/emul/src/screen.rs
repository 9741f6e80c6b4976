// SPDX-License-Identifier: GPL-2.0
//! The screen: cells in rows. Scrolling moves row numbers, not cells. What changed is noted a row, so that a back end
//! copies only that. No locks.

use core::ops::Range;
use kalloc::flags::GFP_KERNEL;
use kalloc::{AllocError, KVec};

/// A character on the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The character.
    pub ch: char,
    /// Foreground in the low half, background in the high, as VGA has it.
    pub attr: u8,
}

/// The columns of a row that changed.
#[derive(Clone, Copy)]
struct Changed {
    start: u16,
    end: u16,
}

const UNCHANGED: Changed = Changed { start: u16::MAX, end: 0 };

pub(crate) struct Screen {
    cols: usize,
    cells: KVec<Cell>,
    /// Which stored row each row of the screen is.
    rows: KVec<u16>,
    changed: KVec<Changed>,
}

impl Screen {
    pub(crate) fn new(cols: usize, rows: usize, blank: Cell) -> Result<Self, AllocError> {
        let mut order = KVec::with_capacity(rows, GFP_KERNEL)?;
        order.extend((0..rows).map(|r| r as u16), GFP_KERNEL)?;
        let cells = KVec::from_elem(blank, cols.checked_mul(rows).ok_or(AllocError)?, GFP_KERNEL)?;
        let all = Changed { start: 0, end: cols as u16 };
        Ok(Self { cols, cells, rows: order, changed: KVec::from_elem(all, rows, GFP_KERNEL)? })
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    fn stored(&self, row: usize) -> Range<usize> {
        let start = self.rows.get(row).map_or(usize::MAX, |&r| usize::from(r).saturating_mul(self.cols));
        start..start.saturating_add(self.cols)
    }

    /// The cells of a row; none if there is no such row.
    pub(crate) fn row(&self, row: usize) -> &[Cell] {
        self.cells.get(self.stored(row)).unwrap_or(&[])
    }

    fn row_mut(&mut self, row: usize) -> &mut [Cell] {
        let range = self.stored(row);
        self.cells.get_mut(range).unwrap_or(&mut [])
    }

    fn touch(&mut self, row: usize, cols: Range<usize>) {
        if let Some(c) = self.changed.get_mut(row) {
            c.start = c.start.min(cols.start as u16);
            c.end = c.end.max(cols.end as u16);
        }
    }

    pub(crate) fn touch_all(&mut self) {
        for row in 0..self.rows() {
            self.touch(row, 0..self.cols);
        }
    }

    #[inline]
    pub(crate) fn put(&mut self, row: usize, col: usize, cell: Cell) {
        if let Some(c) = self.row_mut(row).get_mut(col) {
            *c = cell;
            self.touch(row, col..col + 1);
        }
    }

    /// Fills columns of a row; what is outside is left out.
    pub(crate) fn fill(&mut self, row: usize, cols: Range<usize>, cell: Cell) {
        let end = cols.end.min(self.cols);
        let cols = cols.start.min(end)..end;
        if let Some(c) = self.row_mut(row).get_mut(cols.clone()) {
            c.fill(cell);
        }
        self.touch(row, cols);
    }

    /// Moves the rows of `area` up by `n`; blank ones come in below.
    pub(crate) fn scroll_up(&mut self, area: Range<usize>, n: usize, blank: Cell) {
        let Some(rows) = self.rows.get_mut(area.clone()) else { return };
        let n = n.min(rows.len());
        rows.rotate_left(n);
        for row in area.end - n..area.end {
            self.row_mut(row).fill(blank);
        }
        for row in area {
            self.touch(row, 0..self.cols);
        }
    }

    /// Moves the rows of `area` down by `n`; blank ones come in above.
    pub(crate) fn scroll_down(&mut self, area: Range<usize>, n: usize, blank: Cell) {
        let Some(rows) = self.rows.get_mut(area.clone()) else { return };
        let n = n.min(rows.len());
        rows.rotate_right(n);
        for row in area.start..area.start + n {
            self.row_mut(row).fill(blank);
        }
        for row in area {
            self.touch(row, 0..self.cols);
        }
    }

    /// Moves the cells of a row from `col` on right by `n`.
    pub(crate) fn insert(&mut self, row: usize, col: usize, n: usize, blank: Cell) {
        let cols = self.cols;
        if let Some(cells) = self.row_mut(row).get_mut(col..) {
            let n = n.min(cells.len());
            cells.rotate_right(n);
            cells.iter_mut().take(n).for_each(|c| *c = blank);
            self.touch(row, col..cols);
        }
    }

    /// Moves the cells of a row right of `col + n` left to `col`.
    pub(crate) fn delete(&mut self, row: usize, col: usize, n: usize, blank: Cell) {
        let cols = self.cols;
        if let Some(cells) = self.row_mut(row).get_mut(col..) {
            let n = n.min(cells.len());
            cells.rotate_left(n);
            cells.iter_mut().rev().take(n).for_each(|c| *c = blank);
            self.touch(row, col..cols);
        }
    }

    /// Exchanges foreground and background everywhere.
    pub(crate) fn reverse(&mut self) {
        for c in self.cells.iter_mut() {
            c.attr = c.attr & 0x88 | c.attr.rotate_left(4) & 0x77;
        }
        self.touch_all();
    }

    /// The first column and the cells of what changed in a row, which is not changed any more then.
    pub(crate) fn take_row(&mut self, row: usize) -> Option<(usize, &[Cell])> {
        let c = core::mem::replace(self.changed.get_mut(row)?, UNCHANGED);
        let cells = self.row(row).get(usize::from(c.start)..usize::from(c.end))?;
        Some((usize::from(c.start), cells))
    }

    /// Calls `show` with each row that changed, the columns and their cells; afterwards nothing is changed.
    pub(crate) fn take_changes(&mut self, mut show: impl FnMut(usize, usize, &[Cell])) {
        for row in 0..self.rows() {
            if let Some((col, cells)) = self.take_row(row) {
                show(row, col, cells);
            }
        }
    }
}
