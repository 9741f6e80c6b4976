// SPDX-License-Identifier: GPL-2.0
//! `gen_kallsyms VMLINUX OUTPUT`: makes the kernel's symbol table out of the image that the first link gave.
//!
//! Functions come from the ELF symbol table, lines from `.debug_line`. Runs on the host, called by `scripts/build.py`.

#![forbid(unsafe_code)]

mod encode;

use encode::{Function, Row};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;
use std::error::Error;

type Section<'a> = gimli::EndianSlice<'a, gimli::LittleEndian>;

/// The functions between `_text` and `_etext`.
fn functions(file: &object::File<'_>, text: u64, end: u64) -> Vec<Function> {
    let mut starts: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for symbol in file.symbols() {
        let inside = (text..end).contains(&symbol.address());
        let code = symbol.kind() == SymbolKind::Text || (symbol.kind() == SymbolKind::Unknown && symbol.is_global());
        let Ok(name) = symbol.name() else { continue };
        if !inside || !code || name.is_empty() || name.starts_with('.') {
            continue;
        }
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let entry = starts.entry(symbol.address()).or_insert((symbol.size(), name.clone()));
        if entry.0 < symbol.size() {
            *entry = (symbol.size(), name);
        }
    }
    // Labels of assembly code have no size: they reach to the next symbol.
    let next: Vec<u64> = starts.keys().skip(1).copied().chain([end]).collect();
    let sized = starts.into_iter().zip(next);
    sized
        .map(|((start, (size, name)), next)| {
            let size = if size == 0 { next - start } else { size };
            ((start - text) as u32, size as u32, name)
        })
        .collect()
}

/// The path of a file of a line program, below the tree's root where it is there.
fn path(
    dwarf: &gimli::Dwarf<Section<'_>>,
    unit: &gimli::Unit<Section<'_>>,
    entry: &gimli::FileEntry<Section<'_>>,
) -> String {
    let text = |value| dwarf.attr_string(unit, value).map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let Some(program) = unit.line_program.as_ref() else { return String::new() };
    let name = text(entry.path_name());
    let directory = entry.directory(program.header()).map(text).unwrap_or_default();
    let whole = if name.starts_with('/') || directory.is_empty() { name } else { format!("{directory}/{name}") };
    // Directories are relative to the compilation's, which the build maps to ".".
    whole.trim_start_matches("./").to_string()
}

/// All rows of `.debug_line` between `_text` and `_etext`, and the files that they name.
fn lines(file: &object::File<'_>, text: u64, end: u64) -> Result<(Vec<String>, Vec<Row>), Box<dyn Error>> {
    let load = |id: gimli::SectionId| -> Result<&[u8], gimli::Error> {
        Ok(file.section_by_name(id.name()).and_then(|s| s.data().ok()).unwrap_or(&[]))
    };
    let sections = gimli::DwarfSections::load(load)?;
    let dwarf = sections.borrow(|bytes| gimli::EndianSlice::new(bytes, gimli::LittleEndian));
    let (mut files, mut rows) = (BTreeMap::<String, u32>::new(), Vec::new());
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        let unit = dwarf.unit(header)?;
        let Some(program) = unit.line_program.clone() else { continue };
        let mut cache: BTreeMap<u64, u32> = BTreeMap::new();
        let mut machine = program.rows();
        while let Some((header, row)) = machine.next_row()? {
            if !(text..=end).contains(&row.address()) {
                continue;
            }
            let offset = (row.address() - text) as u32;
            let line = row.line().map_or(0, |l| l.get() as u32);
            if row.end_sequence() {
                rows.push((offset, 0, 0));
                continue;
            }
            let index = *cache.entry(row.file_index()).or_insert_with(|| {
                let name = row.file(header).map(|entry| path(&dwarf, &unit, entry)).unwrap_or_default();
                let next = files.len() as u32;
                *files.entry(name).or_insert(next)
            });
            rows.push((offset, index, line));
        }
    }
    let mut names = vec![String::new(); files.len()];
    for (name, index) in files {
        names[index as usize] = name;
    }
    Ok((names, rows))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, output] = arguments.as_slice() else {
        return Err("usage: gen_kallsyms VMLINUX OUTPUT".into());
    };
    let data = std::fs::read(input)?;
    let file = object::File::parse(&*data)?;
    let address = |name: &str| {
        let found = file.symbols().find(|symbol| symbol.name() == Ok(name)).map(|symbol| symbol.address());
        found.ok_or_else(|| format!("{input} has no symbol {name}"))
    };
    let (text, end) = (address("_text")?, address("_etext")?);
    let (files, rows) = lines(&file, text, end)?;
    std::fs::write(output, encode::encode(functions(&file, text, end), &files, rows))?;
    Ok(())
}
