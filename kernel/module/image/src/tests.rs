// SPDX-License-Identifier: GPL-2.0
//! Files made here, linked, and damaged in every way.

use crate::*;
use errno::code::{EINVAL, ENOENT, ENOEXEC};
use proptest::prelude::*;
use std::vec::Vec;

const CORE: usize = 0xffff_ffff_c000_0000;
const INIT: usize = 0xffff_ffff_c010_0000;
const KERNEL: usize = 0xffff_ffff_8100_0040;

struct Part {
    name: &'static str,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    link: u32,
    info: u32,
}

fn part(name: &'static str, kind: u32, flags: u64, data: &[u8]) -> Part {
    Part { name, kind, flags, data: data.to_vec(), link: 0, info: 0 }
}

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A symbol: offset of the name, type and binding, section, value.
fn symbol(name: u32, info: u8, section: u16, value: u64) -> Vec<u8> {
    let mut bytes = name.to_le_bytes().to_vec();
    bytes.extend([info, 0]);
    bytes.extend(section.to_le_bytes());
    bytes.extend(words(&[value, 4]));
    bytes
}

const NAMES: &[u8] = b"\0external\0own\0";

/// Sections: 1 text, 2 its relocations, 3 data, 4 init text, 5 modinfo, 6 versions' names, 7 versions, 8 zeros, 9 symbols,
/// 10 their names. Symbols: 1 external, 2 own (in data).
fn parts(relocations: &[(u64, u32, u32, i64)]) -> Vec<Part> {
    let rela = relocations
        .iter()
        .flat_map(|&(at, kind, symbol, addend)| {
            words(&[at, u64::from(symbol) << 32 | u64::from(kind), addend.cast_unsigned()])
        })
        .collect::<Vec<u8>>();
    let symbols = [std::vec![0; 24], symbol(1, 0x10, 0, 0), symbol(10, 0x11, 3, 8)].concat();
    let mut parts = std::vec![
        part("", 0, 0, &[]),
        part(".text", 1, 6, &[0; 32]),
        part(".rela.text", 4, 0, &rela),
        part(".data", 1, 3, &[7; 16]),
        part(".init.text", 1, 6, &[0x90; 5]),
        part(".modinfo", 1, 2, b"name=x\0license=GPL\0parm=a\0parm=b\0"),
        part("__version_ext_names", 1, 2, b"external\0"),
        part("__version_ext_crcs", 1, 2, &5u32.to_le_bytes()),
        part(".bss", 8, 3, &[0; 64]),
        part(".symtab", 2, 0, &symbols),
        part(".strtab", 3, 0, NAMES),
    ];
    parts[2].info = 1;
    parts[2].link = 9;
    parts[9].link = 10;
    parts
}

fn file(mut parts: Vec<Part>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut offsets = Vec::new();
    let own = part(".shstrtab", 3, 0, &[]);
    parts.push(own);
    for part in &parts {
        offsets.push(names.len() as u32);
        names.extend(part.name.as_bytes());
        names.push(0);
    }
    parts.last_mut().unwrap().data = names;
    let mut bytes = std::vec![0u8; 64];
    let mut headers = Vec::new();
    for (part, name) in parts.iter().zip(offsets) {
        while !bytes.len().is_multiple_of(8) {
            bytes.push(0);
        }
        headers.extend(name.to_le_bytes());
        headers.extend(part.kind.to_le_bytes());
        headers.extend(words(&[
            part.flags,
            0,
            if part.kind == 0 { 0 } else { bytes.len() as u64 },
            part.data.len() as u64,
        ]));
        headers.extend(part.link.to_le_bytes());
        headers.extend(part.info.to_le_bytes());
        let entsize = if matches!(part.kind, 2 | 4) { 24 } else { 0 };
        headers.extend(words(&[if part.kind == 0 { 0 } else { 8 }, entsize]));
        if part.kind != 8 {
            bytes.extend(&part.data);
        }
    }
    while !bytes.len().is_multiple_of(8) {
        bytes.push(0);
    }
    let start = bytes.len() as u64;
    bytes.extend(headers);
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16..18].copy_from_slice(&1u16.to_le_bytes());
    bytes[18..20].copy_from_slice(&62u16.to_le_bytes());
    bytes[20] = 1;
    bytes[40..48].copy_from_slice(&start.to_le_bytes());
    bytes[58..60].copy_from_slice(&64u16.to_le_bytes());
    bytes[60..62].copy_from_slice(&(parts.len() as u16).to_le_bytes());
    bytes[62..64].copy_from_slice(&(parts.len() as u16 - 1).to_le_bytes());
    bytes
}

fn resolve(name: &[u8]) -> Result<usize> {
    if name == b"external" { Ok(KERNEL) } else { Err(Bad { error: ENOENT, reason: "unknown", number: 0 }) }
}

fn link(relocations: &[(u64, u32, u32, i64)]) -> Result<Linked> {
    let bytes = file(parts(relocations));
    let elf = Elf::parse(&bytes)?;
    let layout = elf.layout()?;
    elf.link(&layout, CORE, INIT, &mut resolve)
}

#[test]
fn a_module_is_laid_out_and_read() {
    let bytes = file(parts(&[]));
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.modinfo(b"name"), Some(&b"x"[..]));
    assert_eq!(elf.modinfo_all(b"parm").collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(elf.modinfo(b"par"), None);
    assert_eq!(elf.versions().unwrap().collect::<Vec<_>>(), [(&b"external"[..], 5)]);
    let layout = elf.layout().unwrap();
    assert_eq!(layout.size(Region::Core), 2 * PAGE_SIZE);
    assert_eq!(layout.size(Region::Init), PAGE_SIZE);
    assert_eq!(layout.segment(Region::Core, Segment::Text), 0..PAGE_SIZE);
    assert_eq!(layout.segment(Region::Core, Segment::Data), PAGE_SIZE..2 * PAGE_SIZE);
    let linked = elf.link(&layout, CORE, INIT, &mut resolve).unwrap();
    assert_eq!(linked.core[PAGE_SIZE], 7);
    assert_eq!(linked.core[PAGE_SIZE + 16], 0);
    assert_eq!(linked.init[4], 0x90);
}

/// Places of access to a program's memory, in code that stays and in code that goes.
#[test]
fn sites_are_patched_in_both_regions() {
    let build = |list: &[u8]| {
        let mut all = parts(&[]);
        for index in [1, 4] {
            all[index].data[..3].copy_from_slice(&[0x0f, 0x1f, 0x00]);
        }
        all.push(part("__smap_sites", 1, 2, list));
        file(all)
    };
    let patched = |bytes: &[u8]| {
        let elf = Elf::parse(bytes)?;
        let layout = elf.layout()?;
        let mut linked = elf.link(&layout, CORE, INIT, &mut resolve)?;
        elf.patch_smap(&layout, (CORE, INIT), &mut linked).map(|()| linked)
    };
    let bytes = build(&[0; 16]);
    let (region, at) = Elf::parse(&bytes).unwrap().layout().unwrap().place_of(11).unwrap();
    assert_eq!(region, Region::Core);
    let entry = |from: usize, to: usize, open: u32| {
        [(to.wrapping_sub(CORE + at + from) as u32).to_le_bytes(), open.to_le_bytes()].concat()
    };
    let linked = patched(&build(&[entry(0, CORE, 1), entry(8, INIT, 0)].concat())).unwrap();
    assert_eq!((&linked.core[..3], &linked.init[..3]), (&[0x0f, 0x01, 0xcb][..], &[0x0f, 0x01, 0xca][..]));
    for wrong in [INIT + 1, INIT + PAGE_SIZE - 2, INIT + PAGE_SIZE, CORE - 1] {
        assert!(patched(&build(&[entry(0, CORE, 1), entry(8, wrong, 0)].concat())).is_err());
    }
}

#[test]
fn relocations_store_what_the_abi_says() {
    let linked = link(&[(0, 4, 1, -4), (4, 11, 2, 0), (8, 1, 2, 1), (16, 2, 2, -4), (24, 24, 1, 0)]).unwrap();
    let word = |at: usize| i32::from_le_bytes(linked.core[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(linked.core[at..at + 8].try_into().unwrap()) as usize;
    assert_eq!(word(0) as isize, KERNEL.wrapping_sub(CORE).wrapping_sub(4) as isize);
    assert_eq!(word(4) as isize as usize, CORE + PAGE_SIZE + 8);
    assert_eq!(long(8), CORE + PAGE_SIZE + 9);
    assert_eq!(word(16) as usize, PAGE_SIZE + 8 - 16 - 4);
    assert_eq!(long(24), KERNEL.wrapping_sub(CORE + 24));
}

#[test]
fn bad_relocations_are_refused() {
    let reason = |r: &[(u64, u32, u32, i64)]| link(r).map(|_| ()).unwrap_err();
    assert_eq!(reason(&[(0, 10, 2, 0)]).reason, "overflow in relocation type");
    let far = "relocation leads outside of what its symbol is in, offset";
    for bad in [(0, 2, 1, 1 << 40), (0, 4, 1, -8), (0, 4, 2, -4), (0, 11, 2, 1 << 16), (0, 1, 2, i64::MIN)] {
        assert_eq!(reason(&[bad]).reason, far, "{bad:?}");
    }
    assert_eq!(reason(&[(29, 2, 1, 0)]).reason, "Invalid relocation offset");
    assert_eq!(reason(&[(u64::MAX, 1, 1, 0)]).reason, "Invalid relocation offset");
    assert_eq!(reason(&[(0, 9, 1, 0)]).reason, "Unknown rela relocation");
    assert_eq!(reason(&[(0, 1, 77, 0)]).reason, "Invalid ELF symbol");
    assert_eq!(reason(&[(0, 1, 1, 0), (0, 1, 1, 0)]).error, ENOEXEC);
}

#[test]
fn wrong_files_are_refused() {
    let good = file(parts(&[]));
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Elf::parse(&bytes).map(|_| ()).unwrap_err().reason
    };
    assert_eq!(with(0, 0), "Invalid ELF header magic: != \\177ELF");
    assert_eq!(with(16, 2), "Invalid ELF header type");
    assert_eq!(with(18, 3), "Invalid architecture in ELF header");
    assert_eq!(with(58, 63), "Invalid ELF section header size");
    let mut both = parts(&[]);
    both[1].flags = 7;
    let bytes = file(both);
    assert_eq!(Elf::parse(&bytes).unwrap().layout().unwrap_err().error, ENOEXEC);
    for len in 0..good.len() {
        assert!(Elf::parse(&good[..len]).is_err(), "{len}");
    }
}

#[test]
fn sections_do_not_overlap() {
    let good = file(parts(&[]));
    let headers = u64::from_le_bytes(good[40..48].try_into().unwrap()) as usize;
    let offset_of = |bytes: &[u8], index: usize| {
        let at = headers + 64 * index + 24;
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let (text, data) = (offset_of(&good, 1), offset_of(&good, 3));
    for (offset, overlaps) in [(text, true), (text + 31, true), (data, false)] {
        let mut bytes = good.clone();
        bytes[headers + 64 * 3 + 24..headers + 64 * 3 + 32].copy_from_slice(&offset.to_le_bytes());
        let reason = Elf::parse(&bytes).map(|_| ()).map_err(|bad| (bad.error, bad.reason));
        let refused = Err((ENOEXEC, "ELF section overlaps another, section"));
        assert_eq!(reason, if overlaps { refused } else { Ok(()) }, "{offset}");
    }
}

/// Symbols that no compiler makes.
#[test]
fn bad_symbols_and_tables_are_refused() {
    let reason = |change: &dyn Fn(&mut Vec<Part>)| {
        let mut parts = parts(&[(0, 1, 1, 0)]);
        change(&mut parts);
        Elf::parse(&file(parts)).map(|_| ()).map_err(|bad| bad.reason)
    };
    assert_eq!(reason(&|_| ()), Ok(()));
    let own = |at: usize, value: u8| reason(&|parts: &mut Vec<Part>| parts[9].data[48 + at] = value);
    assert_eq!(own(0, 77), Err("Invalid ELF symbol name"));
    assert_eq!(own(4, 0x16), Err("Invalid ELF symbol type"));
    assert_eq!(own(4, 0x31), Err("Invalid ELF symbol type"));
    assert_eq!(own(4, 0x12), Err("ELF function symbol in a section without code"));
    assert_eq!(own(5, 4), Err("Invalid ELF symbol type"));
    assert_eq!(own(6, 99), Err("Invalid ELF symbol section"));
    assert_eq!(own(7, 0xff), Err("Invalid ELF symbol section"));
    assert_eq!(own(8, 13), Err("ELF symbol outside of its section"));
    assert_eq!(own(15, 0x80), Err("ELF symbol outside of its section"));
    assert_eq!(reason(&|parts| parts[9].data[3] = 1), Err("ELF Spec violation: symbol 0 is not empty"));
    assert_eq!(reason(&|parts| parts[9].data.push(0)), Err("Invalid ELF symbol table size"));
    assert_eq!(reason(&|parts| parts[9].link = 3), Err("Invalid ELF sh_link"));
    assert_eq!(reason(&|parts| parts[2].data.truncate(23)), Err("Invalid ELF relocation table size in section"));
    assert_eq!(reason(&|parts| parts[2].link = 3), Err("Invalid ELF sh_link in relocation section"));
    assert_eq!(reason(&|parts| parts[2].info = 0), Err("Invalid ELF relocation target"));
    for kind in [1, 5, 6, 9] {
        let not_read = Err("relocations of another type than RELA in section");
        assert_eq!(reason(&|parts| parts[2].kind = kind), not_read);
    }
    assert_eq!(reason(&|parts| parts[3].name = ".modinfo"), Err("Only one .modinfo section must exist."));
    let headers = |parts: &mut Vec<Part>| (3..5).for_each(|at| parts[at].name = ".gnu.linkonce.this_module");
    assert_eq!(reason(&headers), Err("Only one .gnu.linkonce.this_module section must exist."));
}

#[test]
fn exports_are_found_by_hash() {
    let mut names = [b"one".as_slice(), b"two", b"three"].map(|name| (fnv1a(name), name));
    names.sort();
    let mut bytes = Vec::new();
    for (index, (hash, _)) in names.iter().enumerate() {
        bytes.extend(hash.to_le_bytes());
        bytes.extend((100 - (index as i32 * 16 + 8)).to_le_bytes());
        bytes.extend((index as u32).to_le_bytes());
    }
    let table = Exports::new(&bytes, 0x1000);
    for (index, (_, name)) in names.iter().enumerate() {
        assert_eq!(table.find(name), Some(Export { address: 0x1000 + 100, version: index as u32 }));
    }
    assert_eq!(table.find(b"four"), None);
    assert_eq!(Exports::new(&[], 0).find(b"one"), None);
    assert_eq!(EINVAL.to_errno(), -22);
}

proptest! {
    /// Whatever is changed in a file: it is linked or refused.
    #[test]
    fn damage_is_survived(changes in prop::collection::vec((0usize..2000, any::<u8>()), 1..6), cut in 0usize..2000) {
        let mut bytes = file(parts(&[(0, 4, 1, -4), (4, 11, 2, 0), (8, 1, 2, 1)]));
        let len = bytes.len();
        for (at, value) in changes {
            bytes[at % len] ^= value;
        }
        bytes.truncate(len - if cut % 4 == 0 { cut % len } else { 0 });
        if let Ok(elf) = Elf::parse(&bytes) {
            let _ = elf.modinfo(b"vermagic");
            let _ = elf.versions().map(|v| v.count());
            if let Ok(layout) = elf.layout()
                && layout.size(Region::Core) < 1 << 24
                && layout.size(Region::Init) < 1 << 24
                && let Ok(mut linked) = elf.link(&layout, CORE, INIT, &mut resolve)
            {
                let _ = elf.patch_smap(&layout, (CORE, INIT), &mut linked);
                let _ = elf.symbols_in(&layout, Region::Core).chain(elf.symbols_in(&layout, Region::Init)).count();
            }
        }
    }
}
