// SPDX-License-Identifier: GPL-2.0
//! Writes the table that the crate `kallsyms` reads.

use kallsyms_table::{BLOCK_ROWS, MAGIC};
use std::collections::BTreeMap;

/// A function: offset from `_text`, size, name.
pub(crate) type Function = (u32, u32, String);
/// A row of the line table: offset from `_text`, file, line (0: nothing is known from here on).
pub(crate) type Row = (u32, u32, u32);

/// Strings, each once, behind their length.
#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
    known: BTreeMap<String, u32>,
}

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        if let Some(&at) = self.known.get(text) {
            return at;
        }
        let at = self.bytes.len() as u32;
        uleb(&mut self.bytes, text.len() as u32);
        self.bytes.extend_from_slice(text.as_bytes());
        self.known.insert(text.to_string(), at);
        at
    }
}

fn uleb(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(out: &mut Vec<u8>, value: i32) {
    uleb(out, ((value << 1) ^ (value >> 31)).cast_unsigned());
}

/// Sorted, with one row an address and no row that repeats the one before it.
fn tidy(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| row.0);
    // The last row of an address counts: earlier ones describe no byte. An end of a sequence gives way to a start.
    let mut kept: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match kept.last_mut() {
            Some(last) if last.0 == row.0 => {
                if row.2 != 0 {
                    *last = row;
                }
            }
            _ => kept.push(row),
        }
    }
    kept.dedup_by(|b, a| (a.1, a.2) == (b.1, b.2));
    kept
}

/// The table of `functions` (in any order), `files` and `rows`.
pub(crate) fn encode(mut functions: Vec<Function>, files: &[String], rows: Vec<Row>) -> Vec<u8> {
    functions.sort();
    functions.dedup_by_key(|f| f.0);
    let mut strings = Strings::default();
    let mut entries = Vec::new();
    for (offset, size, name) in &functions {
        for number in [*offset, *size, strings.add(name)] {
            entries.extend_from_slice(&number.to_le_bytes());
        }
    }
    let rows = tidy(rows);
    let (mut blocks, mut lines) = (Vec::new(), Vec::new());
    for block in rows.chunks(BLOCK_ROWS) {
        let mut last: Row = (block[0].0, 0, 0);
        blocks.extend_from_slice(&last.0.to_le_bytes());
        blocks.extend_from_slice(&(lines.len() as u32).to_le_bytes());
        for &(address, file, line) in block {
            uleb(&mut lines, address - last.0);
            zigzag(&mut lines, (file.wrapping_sub(last.1)).cast_signed());
            zigzag(&mut lines, (line.wrapping_sub(last.2)).cast_signed());
            last = (address, file, line);
        }
    }
    lines.push(0); // ends the last block if it is short
    let names: Vec<u8> = files.iter().flat_map(|file| strings.add(file).to_le_bytes()).collect();

    let lines_at = (kallsyms_table::HEADER_SIZE + entries.len() + blocks.len()) as u32;
    let files_at = lines_at + lines.len() as u32;
    let strings_at = files_at + names.len() as u32;
    let mut table = MAGIC.to_vec();
    let counts = [functions.len() as u32, rows.len().div_ceil(BLOCK_ROWS) as u32, files.len() as u32];
    for number in counts.into_iter().chain([lines_at, files_at, strings_at]) {
        table.extend_from_slice(&number.to_le_bytes());
    }
    for part in [entries, blocks, lines, names, strings.bytes] {
        table.extend_from_slice(&part);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use kallsyms_table::Table;
    use proptest::prelude::*;

    #[test]
    fn small() {
        let functions = vec![(0x100, 0x20, "b".to_string()), (0, 0x80, "a".to_string())];
        let rows = vec![(0x10, 0, 5), (0, 1, 7), (0x100, 0, 9), (0x80, 0, 0)];
        let bytes = encode(functions, &["x.rs".to_string(), "y.rs".to_string()], rows);
        let table = Table::new(&bytes).unwrap();
        let at = |offset| table.lookup(offset).map(|s| (s.name, s.offset, s.source));
        assert_eq!(at(0), Some(("a", 0, Some(("y.rs", 7)))));
        assert_eq!(at(0x7f), Some(("a", 0x7f, Some(("x.rs", 5)))));
        assert_eq!(at(0x80), None);
        assert_eq!(at(0x11f), Some(("b", 0x1f, Some(("x.rs", 9)))));
        assert_eq!(at(0x120), None);
        assert_eq!(table.functions().count(), 2);
    }

    proptest! {
        /// Every row is found again, whatever the rows are.
        #[test]
        fn rows_come_back(rows in proptest::collection::btree_map(0u32..100_000, (0u32..50, 1u32..5000), 1..400)) {
            let files: Vec<String> = (0..50).map(|n| format!("f{n}.rs")).collect();
            let list = rows.iter().map(|(&a, &(f, l))| (a, f, l)).collect();
            let bytes = encode(vec![(0, 200_000, "all".into())], &files, list);
            let table = Table::new(&bytes).unwrap();
            for (&address, &(file, line)) in &rows {
                let symbol = table.lookup(address).unwrap();
                prop_assert_eq!(symbol.source, Some((files[file as usize].as_str(), line)));
            }
        }

        /// No table, however damaged, makes the reader fail.
        #[test]
        fn damage_is_survived(at in 0usize..2000, value: u8, offset in 0u32..0x200) {
            let rows = (0..300).map(|n| (n * 2, n % 3, n + 1)).collect();
            let files = ["a".into(), "b".into(), "c".into()];
            let mut bytes = encode(vec![(0, 0x80, "one".into()), (0x80, 0x100, "two".into())], &files, rows);
            let length = bytes.len();
            bytes[at % length] = value;
            if let Some(table) = Table::new(&bytes) {
                let _ = table.lookup(offset);
                let _ = table.functions().count();
            }
            let _ = Table::new(&bytes[..at % length]).map(|t| t.lookup(offset));
        }
    }
}
