// SPDX-License-Identifier: GPL-2.0
//! Tests on the build machine: tables made here, and mutations of them.

use crate::gpt::crc32;
use crate::{Kind, Source, Table, read};
use errno::{Result, code::EIO};

struct Image {
    bytes: Vec<u8>,
    unit: u32,
    reads: usize,
}

impl Image {
    fn new(sectors: usize, unit: u32) -> Self {
        Self { bytes: vec![0; sectors * 512], unit, reads: 0 }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn entry(&mut self, sector: usize, slot: usize, kind: u8, start: u32, sectors: u32) {
        let at = sector * 512 + 446 + 16 * slot;
        self.put(at + 4, &[kind]);
        self.put(at + 8, &start.to_le_bytes());
        self.put(at + 12, &sectors.to_le_bytes());
        self.put(sector * 512 + 510, &[0x55, 0xaa]);
    }

    fn table(&mut self) -> Option<Table> {
        read(self, false).unwrap()
    }

    fn found(&mut self) -> Vec<(u32, u64, u64)> {
        let table = self.table().expect("a table");
        table.partitions.iter().map(|part| (part.number, part.start, part.sectors)).collect()
    }
}

impl Source for Image {
    fn sectors(&self) -> u64 {
        (self.bytes.len() / 512) as u64
    }

    fn block_size(&self) -> u32 {
        self.unit
    }

    fn read(&mut self, sector: u64, to: &mut [u8]) -> Result {
        self.reads += 1;
        let at = usize::try_from(sector).map_err(|_| EIO)?.checked_mul(512).ok_or(EIO)?;
        let from = self.bytes.get(at..).and_then(|rest| rest.get(..to.len())).ok_or(EIO)?;
        to.copy_from_slice(from);
        Ok(())
    }
}

fn mbr() -> Image {
    let mut image = Image::new(20_000, 512);
    image.put(440, &0x1234_abcdu32.to_le_bytes());
    image.entry(0, 0, 0x83, 2048, 1000);
    image.entry(0, 2, 0x05, 4096, 10_000);
    image.entry(0, 3, 0x82, 15_000, 500);
    // Three logical partitions.
    image.entry(4096, 0, 0x83, 8, 100);
    image.entry(4096, 1, 0x05, 1000, 1000);
    image.entry(5096, 0, 0x83, 8, 200);
    image.entry(5096, 1, 0x05, 3000, 1000);
    image.entry(7096, 0, 0x83, 8, 300);
    image
}

fn gpt(unit: u32) -> Image {
    let scale = (unit / 512) as usize;
    let (last, per) = (4095u64, unit as usize);
    let mut image = Image::new(4096 * scale, unit);
    image.entry(0, 0, 0xee, 1, 4095);
    let mut array = vec![0u8; 128 * 128];
    for (slot, first, end) in [(0usize, 100u64, 199u64), (1, 200, 200), (127, 3000, 3999)] {
        let entry = &mut array[slot * 128..][..128];
        entry[..16].fill(0x11 + slot as u8);
        entry[16..32].copy_from_slice(&core::array::from_fn::<u8, 16, _>(|i| i as u8 + 1));
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&end.to_le_bytes());
        for (i, unit) in "root é/x".encode_utf16().enumerate() {
            entry[56 + 2 * i..58 + 2 * i].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let blocks = (array.len() / per) as u64;
    for (lba, other, place) in [(1u64, last, 2u64), (last, 1, last - blocks)] {
        let mut header = vec![0u8; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x10000u32.to_le_bytes());
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        for (at, value) in [(24, lba), (32, other), (40, 2 + blocks), (48, last - blocks - 1), (72, place)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc32(&array).to_le_bytes());
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        image.put(lba as usize * per, &header);
        image.put(place as usize * per, &array);
    }
    image
}

#[test]
fn checksum() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn mbr_with_logical_partitions() {
    let mut image = mbr();
    assert_eq!(
        image.found(),
        [(1, 2048, 1000), (3, 4096, 2), (4, 15_000, 500), (5, 4104, 100), (6, 5104, 200), (7, 7104, 300)]
    );
    let table = image.table().unwrap();
    assert_eq!(table.kind, Kind::Msdos);
    assert_eq!(table.partitions[0].uuid.as_bytes(), b"1234abcd-01");
    assert!(table.partitions[1].extended);
}

#[test]
fn no_table() {
    assert!(Image::new(100, 512).table().is_none());
    // A boot sector of FAT.
    let mut image = mbr();
    image.put(446, b"e");
    assert!(image.table().is_none());
    assert!(Image::new(0, 512).table().is_none());
}

#[test]
fn a_chain_that_loops_ends() {
    let mut image = mbr();
    image.entry(7096, 1, 0x05, 0, 1000);
    assert!(image.found().len() <= 256);
    // Without partitions in it.
    let mut image = Image::new(1000, 512);
    image.entry(0, 0, 0x0f, 10, 900);
    image.entry(10, 0, 0x05, 0, 900);
    assert_eq!(image.found(), [(1, 10, 2)]);
    assert!(image.reads < 210);
}

#[test]
fn gpt_and_its_copy() {
    for unit in [512, 4096] {
        let scale = u64::from(unit / 512);
        let want = [(1, 100 * scale, 100 * scale), (2, 200 * scale, scale), (128, 3000 * scale, 1000 * scale)];
        let mut image = gpt(unit);
        assert_eq!(image.found(), want);
        let table = image.table().unwrap();
        assert_eq!(table.kind, Kind::Gpt);
        assert!(!table.damaged);
        assert_eq!(table.partitions[0].uuid.as_bytes(), b"04030201-0605-0807-090a-0b0c0d0e0f10");
        assert_eq!(table.partitions[0].name.as_bytes(), b"root !/x");
        // The first header or its array is damaged: the copy serves.
        for at in [unit as usize + 30, 2 * unit as usize + 5] {
            let mut image = gpt(unit);
            image.bytes[at] ^= 1;
            assert_eq!(image.found(), want);
            assert!(image.table().unwrap().damaged);
        }
        // Both are.
        let mut image = gpt(unit);
        let last = image.bytes.len() - unit as usize;
        image.bytes[unit as usize] ^= 1;
        image.bytes[last] ^= 1;
        let table = image.table().unwrap();
        assert_eq!(table.kind, Kind::Msdos);
    }
}

/// A small generator: the tests need no better one.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[test]
fn mutations() {
    let mut state = 42;
    for (make, places) in [
        (mbr as fn() -> Image, &[0usize, 4096, 5096, 7096][..]),
        (|| gpt(512), &[0, 1, 2, 3, 4095][..]),
        (|| gpt(4096), &[0, 8, 16, 4095 * 8][..]),
    ] {
        let mut image = make();
        let clean = places.iter().map(|&at| image.bytes[at * 512..][..512].to_vec()).collect::<Vec<_>>();
        for _ in 0..4000 {
            image.reads = 0;
            for (&at, sector) in places.iter().zip(&clean) {
                image.put(at * 512, sector);
            }
            for _ in 0..1 + next(&mut state) % 8 {
                let sector = places[next(&mut state) % places.len()];
                let byte = if sector == 0 || next(&mut state) % 2 == 0 {
                    440 + next(&mut state) % 72
                } else {
                    next(&mut state) % 128
                };
                image.bytes[sector * 512 + byte] = match next(&mut state) % 3 {
                    0 => 0xff,
                    1 => 0,
                    _ => next(&mut state) as u8,
                };
            }
            // The header's checksum is made right again half of the time, so that what it guards is looked at.
            if places[1] < 16 && next(&mut state) % 2 == 0 {
                let at = image.unit as usize;
                let len = u32::from_le_bytes(image.bytes[at + 12..at + 16].try_into().unwrap()) as usize;
                if len <= image.unit as usize && len >= 20 {
                    image.bytes[at + 16..at + 20].fill(0);
                    let sum = crc32(&image.bytes[at..at + len]);
                    image.bytes[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
                }
            }
            let result = read(&mut image, false);
            if let Ok(Some(table)) = result {
                assert!(table.partitions.len() <= 256);
                assert!(table.partitions.iter().all(|part| part.number != 0 && part.sectors != 0));
            }
            assert!(image.reads < 70_000);
        }
    }
}
