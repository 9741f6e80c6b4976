// SPDX-License-Identifier: GPL-2.0
//! Host tests: known pages, overlap handling against a model, and random bytes that must never panic.

extern crate std;

use super::*;
use crate::zero_page::offset;
use proptest::prelude::*;
use std::vec::Vec;

/// Physical memory that starts at `base`.
struct Flat {
    base: u64,
    bytes: Vec<u8>,
}

impl PhysRead for Flat {
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        let Some(from) = addr.checked_sub(self.base).and_then(|a| usize::try_from(a).ok()) else { return false };
        match from.checked_add(buf.len()).and_then(|to| self.bytes.get(from..to)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn zero_page_as_qemu_makes_it() {
    let mut mem = Flat { base: 0x1000, bytes: std::vec![0; 0x4000] };
    put(&mut mem.bytes, 0, b"console=ttyS0 nokaslr init=/bin/sh -- nosmp\0");
    put(&mut mem.bytes, 0x1000, &0u64.to_le_bytes());
    put(&mut mem.bytes, 0x1008, &9u32.to_le_bytes());
    put(&mut mem.bytes, 0x100c, &32u32.to_le_bytes());
    put(&mut mem.bytes, 0x1010, &[7; 32]);
    let mut page = std::vec![0u8; zero_page::SIZE];
    page[offset::E820_ENTRIES] = 2;
    put(&mut page, offset::E820_TABLE, &0u64.to_le_bytes());
    put(&mut page, offset::E820_TABLE + 8, &0x9_fc00u64.to_le_bytes());
    put(&mut page, offset::E820_TABLE + 16, &1u32.to_le_bytes());
    put(&mut page, offset::E820_TABLE + 20, &0x10_0000u64.to_le_bytes());
    put(&mut page, offset::E820_TABLE + 28, &0x100_0000u64.to_le_bytes());
    put(&mut page, offset::E820_TABLE + 36, &1u32.to_le_bytes());
    put(&mut page, offset::CMD_LINE_PTR, &0x1000u32.to_le_bytes());
    put(&mut page, offset::SETUP_DATA, &0x2000u64.to_le_bytes());
    put(&mut page, offset::RAMDISK_IMAGE, &0x80_0000u32.to_le_bytes());
    put(&mut page, offset::RAMDISK_SIZE, &0x1234u32.to_le_bytes());
    page[offset::TYPE_OF_LOADER] = 0xb0;
    let mut info = BootInfo::new();
    assert!(zero_page::parse(&mut info, &page, &mem));
    assert_eq!(info.protocol, Protocol::Linux64);
    assert_eq!(info.memory.regions().len(), 2);
    assert_eq!(info.memory.ram_end(), 0x110_0000);
    assert!(info.has_option(b"nokaslr"));
    assert!(!info.has_option(b"nosmp"));
    assert_eq!(info.option_value(b"init"), Some(&b"/bin/sh"[..]));
    assert_eq!(info.initrds(), &[PhysRange { start: 0x80_0000, len: 0x1234 }]);
    assert_eq!(info.seed.as_slice(), &[7; 32]);
    assert_eq!(info.loader_name(), "QEMU");
    assert!(!info.cmdline_unreadable);
}

#[test]
fn unreadable_and_long_command_lines() {
    let mem = Flat { base: 0x1000, bytes: std::vec![b'x'; 5000] };
    let mut info = BootInfo::new();
    info.read_cmdline(&mem, 0x9999_0000);
    assert!(info.cmdline_unreadable && info.cmdline.is_empty());
    let mut info = BootInfo::new();
    info.read_cmdline(&mem, 0x1000);
    assert!(info.cmdline_truncated && !info.cmdline_unreadable);
    assert_eq!(info.cmdline.len(), COMMAND_LINE_SIZE - 1);
}

#[test]
fn builtin_command_line() {
    let mem = Flat { base: 0x1000, bytes: b"quiet\0".to_vec() };
    let mut info = BootInfo::new();
    info.read_cmdline(&mem, 0x1000);
    info.add_builtin_cmdline(b"console=ttyS0", false);
    assert_eq!(info.cmdline.as_slice(), b"console=ttyS0 quiet");
    info.add_builtin_cmdline(b"debug", true);
    assert_eq!(info.cmdline.as_slice(), b"debug");
    assert!(!info.cmdline_truncated);
    info.add_builtin_cmdline(&[b'x'; COMMAND_LINE_SIZE], false);
    assert!(info.cmdline_truncated);
    assert_eq!(info.cmdline.len(), COMMAND_LINE_SIZE - 1);
}

#[test]
fn pvh_with_two_modules() {
    let mut mem = Flat { base: 0x1000, bytes: std::vec![0; 0x1000] };
    put(&mut mem.bytes, 0, &pvh::MAGIC.to_le_bytes());
    put(&mut mem.bytes, 4, &1u32.to_le_bytes());
    put(&mut mem.bytes, 12, &2u32.to_le_bytes());
    put(&mut mem.bytes, 16, &0x1100u64.to_le_bytes());
    put(&mut mem.bytes, 24, &0x1200u64.to_le_bytes());
    put(&mut mem.bytes, 32, &0xf_1230u64.to_le_bytes());
    put(&mut mem.bytes, 40, &0x1300u64.to_le_bytes());
    put(&mut mem.bytes, 48, &1u32.to_le_bytes());
    for (i, (start, len)) in [(0x10_0000u64, 5u64), (0x20_0000, 6)].iter().enumerate() {
        put(&mut mem.bytes, 0x100 + i * 32, &start.to_le_bytes());
        put(&mut mem.bytes, 0x108 + i * 32, &len.to_le_bytes());
    }
    put(&mut mem.bytes, 0x200, b"quiet\0");
    put(&mut mem.bytes, 0x308, &0x400_0000u64.to_le_bytes());
    put(&mut mem.bytes, 0x310, &1u32.to_le_bytes());
    let mut info = BootInfo::new();
    assert!(pvh::parse(&mut info, 0x1000, &mem));
    assert_eq!(info.initrds().len(), 2);
    assert_eq!(info.memory.total_ram(), 0x400_0000);
    assert_eq!(info.rsdp, Some(0xf_1230));
    assert!(info.has_option(b"quiet"));
    assert!(!pvh::parse(&mut BootInfo::new(), 0x1001, &mem));
}

#[test]
fn rsdp_in_the_bios_and_in_efi_tables() {
    let mut mem = Flat { base: 0, bytes: std::vec![0; 0x10_0000] };
    let mut table = *b"RSD PTR \0QEMU  \0....";
    let sum = table.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    put(&mut mem.bytes, 0xf_59c0, &table);
    let mut info = BootInfo::new();
    rsdp::find(&mut info, &mem);
    assert_eq!(info.rsdp, None);
    table[8] = 0u8.wrapping_sub(sum);
    put(&mut mem.bytes, 0xf_59c0, &table);
    rsdp::find(&mut info, &mem);
    assert_eq!(info.rsdp, Some(0xf_59c0));
    put(&mut mem.bytes, 0x1068, &2u64.to_le_bytes());
    put(&mut mem.bytes, 0x1070, &0x2000u64.to_le_bytes());
    put(
        &mut mem.bytes,
        0x2018,
        &[0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81],
    );
    put(&mut mem.bytes, 0x2028, &0x1234_5000u64.to_le_bytes());
    let efi = EfiInfo { system_table: 0x1000, memmap: 0, memmap_size: 0, desc_size: 0, desc_version: 0, is_64: true };
    let mut info = BootInfo { efi: Some(efi), ..BootInfo::new() };
    rsdp::find(&mut info, &mem);
    assert_eq!(info.rsdp, Some(0x1234_5000));
}

fn any_kind() -> impl Strategy<Value = MemKind> {
    prop_oneof![
        3 => Just(MemKind::Ram),
        1 => Just(MemKind::Reserved),
        1 => Just(MemKind::AcpiReclaim),
        1 => Just(MemKind::Unusable)
    ]
}

fn map_of(regions: &[(u64, u64, MemKind)]) -> MemMap {
    let mut map = MemMap::new();
    regions.iter().for_each(|(start, len, kind)| map.push(*start, *len, *kind));
    map
}

fn well_formed(map: &MemMap) -> bool {
    map.regions().windows(2).all(|w| w[0].end() < w[1].start || (w[0].end() == w[1].start && w[0].kind != w[1].kind))
}

proptest! {
    #[test]
    fn sanitize_against_a_model(regions in prop::collection::vec((0u64..200, 0u64..60, any_kind()), 0..40)) {
        let mut map = map_of(&regions);
        map.sanitize();
        prop_assert!(well_formed(&map));
        for addr in 0..300 {
            let want = regions.iter().filter(|(s, l, _)| addr >= *s && addr < s + l).map(|r| r.2).max();
            prop_assert_eq!(map.find(addr).map(|r| r.kind), want);
        }
    }

    #[test]
    fn overlay_and_remove(
        regions in prop::collection::vec((0u64..200, 0u64..60, any_kind()), 0..20),
        start in 0u64..250, len in 0u64..80, kind in any_kind(), limit in 0u64..300,
    ) {
        let mut map = map_of(&regions);
        map.sanitize();
        let before = map.clone();
        map.overlay(start, len, kind);
        prop_assert!(well_formed(&map));
        let mut removed = before.clone();
        removed.remove(start, len);
        let mut limited = before.clone();
        limited.limit_ram(limit);
        for addr in 0..350 {
            let old = before.find(addr).map(|r| r.kind);
            let inside = addr >= start && addr < start + len;
            prop_assert_eq!(map.find(addr).map(|r| r.kind), if inside { Some(kind) } else { old });
            prop_assert_eq!(removed.find(addr).map(|r| r.kind), if inside { None } else { old });
            let cut = old.filter(|k| *k != MemKind::Ram || addr < limit);
            prop_assert_eq!(limited.find(addr).map(|r| r.kind), cut);
        }
    }

    #[test]
    fn wild_regions_do_not_panic(regions in prop::collection::vec((any::<u64>(), any::<u64>(), any_kind()), 0..300)) {
        let mut map = map_of(&regions);
        map.sanitize();
        prop_assert!(well_formed(&map));
        map.overlay(regions.first().map_or(0, |r| r.1), u64::MAX, MemKind::Reserved);
        let _ = (map.total_ram(), map.ram_end());
    }

    #[test]
    fn random_zero_pages_do_not_panic(page in prop::collection::vec(any::<u8>(), 0..5000), base in any::<u64>()) {
        let mem = Flat { base: base % 0x1_0000_0000, bytes: page.clone() };
        zero_page::parse(&mut BootInfo::new(), &page, &mem);
    }

    #[test]
    fn random_start_infos_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 56..3000), count in 0u32..10) {
        put(&mut bytes, 0, &pvh::MAGIC.to_le_bytes());
        put(&mut bytes, 12, &count.to_le_bytes());
        put(&mut bytes, 16, &64u64.to_le_bytes());
        put(&mut bytes, 40, &128u64.to_le_bytes());
        let mem = Flat { base: 0, bytes };
        pvh::parse(&mut BootInfo::new(), 0, &mem);
    }
}
