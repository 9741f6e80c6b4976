// SPDX-License-Identifier: GPL-2.0
//! Files mapped by blocks of pointers: all levels, long runs, and their change to extents.

mod common;

use common::vfs::{Vfs, check};
use common::*;
use ext4_core::Create;
use ext4_core::format::inode::mode;

const FILE: u16 = mode::IFREG | 0o644;

#[test]
fn block_maps_of_three_levels() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext2 -b 1024", "16M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let ino = vfs.create(2, b"sparse", FILE).unwrap();
    let places = [0u64, 11, 12, 267, 268, 65_803, 65_804, 100_000, 5_000_000];
    for place in places {
        vfs.write(ino, place * 1024, &place.to_le_bytes(), 0).unwrap();
    }
    check(&mut vfs, &image);
    vfs.punch(ino, 200 * 1024, 4_000_000 * 1024).unwrap();
    check(&mut vfs, &image);
    let inode = vfs.take(ino);
    for place in places {
        let found = vfs.fs.map(&inode, place as u32, 1).unwrap().block();
        assert_eq!(found.is_some(), !(200..4_000_000).contains(&place), "{place}");
    }
    vfs.put(inode);
    vfs.unlink(2, b"sparse", ino).unwrap();
    check(&mut vfs, &image);
}

#[test]
fn a_file_of_pointers_gets_extents() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal,^64bit,quota", "64M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let file = vfs.create(2, b"file", FILE).unwrap();
    let mut inode = vfs.take(file);
    // As an older system made it: no blocks yet, so the flag alone is the map.
    inode.raw.flags &= !ext4_core::format::inode::flag::EXTENTS;
    inode.raw.block.fill(0);
    let exact = Create { exact: true, ..Create::default() };
    // Through all levels, in runs and with holes.
    for (lblk, len) in [(0, 40), (100, 700), (20_000, 3), (70_000, 400), (200_000, 1)] {
        let mut at = lblk;
        while at < lblk + len {
            let credits = vfs.fs.credits_for_map(&inode) + 8;
            let found =
                vfs.fs.run(credits, true, |tx| vfs.fs.map_create(tx, &mut inode, at, lblk + len - at, exact)).unwrap();
            at += found.len;
        }
    }
    for lblk in (300_000u32..302_000).step_by(2) {
        let credits = vfs.fs.credits_for_map(&inode) + 8;
        vfs.fs.run(credits, true, |tx| vfs.fs.map_create(tx, &mut inode, lblk, 1, exact)).unwrap();
    }
    inode.raw.size = 302_000 * 1024;
    let all = |inode: &ext4_core::Inode| {
        let mut blocks = Vec::new();
        vfs.fs
            .runs(inode, 0, u64::from(u32::MAX), |run, _| {
                blocks.extend((0..run.len).map(|i| (run.lblk + i, run.block().unwrap() + u64::from(i))));
                Ok(true)
            })
            .unwrap();
        blocks
    };
    let before = all(&inode);
    assert_eq!(before.len(), 40 + 700 + 3 + 400 + 1 + 1000);
    let plan = vfs.fs.plan_migration(&inode).unwrap();
    let credits = vfs.fs.credits_for_migration(&plan);
    vfs.fs.run(credits, true, |tx| vfs.fs.migrate(tx, &mut inode, &plan)).unwrap();
    assert!(inode.uses_extents());
    assert_eq!(all(&inode), before);
    assert!(vfs.fs.plan_migration(&inode).is_err(), "it has extents");
    vfs.put(inode);
    check(&mut vfs, &image);
}

#[test]
fn a_long_run_of_pointers() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext3 -b 1024 -O ^has_journal", "64M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let file = vfs.create(2, b"file", FILE).unwrap();
    let mut inode = vfs.take(file);
    // Twice over the bounds of blocks of pointers that are not there yet, in as few calls as it takes.
    for (first, len) in [(0u32, 2000u32), (65_804, 1500)] {
        let mut at = first;
        while at < first + len {
            let credits = vfs.fs.credits_for_map(&inode) + 8;
            let how = Create::default();
            let found =
                vfs.fs.run(credits, true, |tx| vfs.fs.map_create(tx, &mut inode, at, first + len - at, how)).unwrap();
            for lblk in at..at + found.len {
                let there = vfs.fs.map(&inode, lblk, 1).unwrap().block();
                assert_eq!(there, Some(found.block().unwrap() + u64::from(lblk - at)), "{lblk}");
            }
            at += found.len;
        }
    }
    inode.raw.size = 67_304 * 1024;
    let credits = 8;
    vfs.fs.run(credits, true, |tx| vfs.fs.write_inode(tx, &inode)).unwrap();
    vfs.put(inode);
    check(&mut vfs, &image);
}
