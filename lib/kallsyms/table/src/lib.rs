// SPDX-License-Identifier: GPL-2.0
//! The kernel's table of functions and source lines: its form, and the look-up in it. Reading takes no lock and no memory; any
//! context. A damaged table gives `None`, never a fault. `scripts/kallsyms` makes it, `kallsyms` has the running kernel's.

#![no_std]
#![forbid(unsafe_code)]

mod reader;
mod table;

pub use reader::Reader;
pub use table::{Functions, Symbol, Table};

/// First bytes of a table.
pub const MAGIC: [u8; 8] = *b"RDKSYM01";
/// Rows of the line table that share an entry of the index: the longest decoding of one look-up.
pub const BLOCK_ROWS: usize = 64;
/// Size of the header: the magic and six 32-bit numbers (functions, blocks, files, and the offsets of lines, file
/// names and strings). After it come the functions, the block index, and what the offsets say.
pub const HEADER_SIZE: usize = 8 + 6 * 4;
/// Size of a function's entry: offset from `_text`, size, offset of the name among the strings.
pub const FUNCTION_SIZE: usize = 12;
/// Size of a block's entry: offset from `_text` of its first row, offset of its rows among the lines.
pub const BLOCK_SIZE: usize = 8;

/// Prints as Linux does: `name+0x12/0x340 (kernel/sched/src/lib.rs:42)`.
impl core::fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}+{:#x}/{:#x}", self.name, self.offset, self.size)?;
        match self.source {
            Some((file, line)) => write!(f, " ({file}:{line})"),
            None => Ok(()),
        }
    }
}
