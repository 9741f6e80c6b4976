// SPDX-License-Identifier: GPL-2.0
//! The table's form and its look-up: binary search among functions, and among blocks of rows of the line table.

use crate::{BLOCK_ROWS, BLOCK_SIZE, FUNCTION_SIZE, HEADER_SIZE, MAGIC, Reader};

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The function's path, demangled.
    pub name: &'a str,
    /// How far the address is into the function, in bytes.
    pub offset: usize,
    /// The function's size in bytes.
    pub size: usize,
    /// Source file and line (of the innermost inlined function).
    pub source: Option<(&'a str, u32)>,
}

/// A symbol table in memory.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    functions: &'a [u8],
    blocks: &'a [u8],
    /// The whole table: the offsets of the header count from its start.
    bytes: &'a [u8],
    lines: u32,
    files: u32,
    file_count: u32,
    strings: u32,
}

/// A row of the line table.
#[derive(Clone, Copy, Default)]
struct Row {
    address: u32,
    file: u32,
    line: u32,
}

impl<'a> Table<'a> {
    /// A table in `bytes`, or `None` if that is not one.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut header = Reader::new(bytes.get(..HEADER_SIZE)?);
        if header.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let (functions, blocks, file_count) = (header.u32()?, header.u32()?, header.u32()?);
        let (lines, files, strings) = (header.u32()?, header.u32()?, header.u32()?);
        let mut rest = Reader::new(bytes.get(HEADER_SIZE..)?);
        let functions = rest.take(usize::try_from(functions).ok()?.checked_mul(FUNCTION_SIZE)?)?;
        let blocks = rest.take(usize::try_from(blocks).ok()?.checked_mul(BLOCK_SIZE)?)?;
        Some(Self { functions, blocks, bytes, lines, files, file_count, strings })
    }

    /// Function and line of `offset` bytes from `_text`.
    pub fn lookup(&self, offset: u32) -> Option<Symbol<'a>> {
        let (entry, start) = last_at_most(self.functions, FUNCTION_SIZE, offset)?;
        let (_, size, name) = self.function(entry)?;
        let into = offset.checked_sub(start)?;
        if into >= size {
            return None;
        }
        let source = self.line(offset, start).and_then(|row| Some((self.file(row.file)?, row.line)));
        Some(Symbol { name, offset: into as usize, size: size as usize, source })
    }

    /// The functions: (offset from `_text`, size, name).
    pub fn functions(self) -> Functions<'a> {
        Functions { table: self, at: 0 }
    }

    fn function(&self, index: usize) -> Option<(u32, u32, &'a str)> {
        let start = index.checked_mul(FUNCTION_SIZE)?;
        let mut entry = Reader::new(self.functions.get(start..)?);
        let (offset, size, name) = (entry.u32()?, entry.u32()?, entry.u32()?);
        Some((offset, size, Reader::at(self.bytes, self.strings.checked_add(name)?)?.string()?))
    }

    /// The last row at or below `offset` that belongs to the function which starts at `function`.
    fn line(&self, offset: u32, function: u32) -> Option<Row> {
        let (block, first) = last_at_most(self.blocks, BLOCK_SIZE, offset)?;
        let mut entry = Reader::new(self.blocks.get(block.checked_mul(BLOCK_SIZE)?.checked_add(4)?..)?);
        let mut rows = Reader::at(self.bytes, self.lines.checked_add(entry.u32()?)?)?;
        let mut row = Row { address: first, file: 0, line: 0 };
        let mut best = None;
        for index in 0..BLOCK_ROWS {
            let Some(delta) = rows.uleb() else { break };
            if index > 0 && delta == 0 {
                break; // the end of a short block
            }
            row.address = row.address.wrapping_add(delta);
            row.file = row.file.wrapping_add_signed(rows.zigzag()?);
            row.line = row.line.wrapping_add_signed(rows.zigzag()?);
            if row.address > offset {
                break;
            }
            best = Some(row);
        }
        best.filter(|row| row.address >= function && row.line != 0)
    }

    fn file(&self, index: u32) -> Option<&'a str> {
        if index >= self.file_count {
            return None;
        }
        let mut at = Reader::at(self.bytes, self.files.checked_add(index.checked_mul(4)?)?)?;
        Reader::at(self.bytes, self.strings.checked_add(at.u32()?)?)?.string()
    }
}

/// The last entry of `size` bytes whose first number is at most `wanted`: its index and that number.
fn last_at_most(entries: &[u8], size: usize, wanted: u32) -> Option<(usize, u32)> {
    let key = |index: usize| Reader::new(entries.get(index.checked_mul(size)?..)?).u32();
    let (mut low, mut high) = (0usize, entries.len().checked_div(size)?);
    while low < high {
        let middle = low.midpoint(high);
        if key(middle)? <= wanted {
            low = middle.checked_add(1)?;
        } else {
            high = middle;
        }
    }
    let index = low.checked_sub(1)?;
    Some((index, key(index)?))
}

/// See [`Table::functions`].
pub struct Functions<'a> {
    table: Table<'a>,
    at: usize,
}

impl<'a> Iterator for Functions<'a> {
    type Item = (u32, u32, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.table.function(self.at)?;
        self.at = self.at.saturating_add(1);
        Some(item)
    }
}
