// SPDX-License-Identifier: GPL-2.0
//! Orphans that a damaged disk names: rings, numbers that cannot be, inodes that are in use. Nothing goes on for ever, nothing that has a
//! name is freed, and the next mount finds no list.

mod common;

use common::vfs::Vfs;
use common::{Scratch, debugfs, fsck, mkfs, mount_bytes, read_file};
use ext4_core::Fs;
use ext4_core::format::{SuperBlock, le};
use ext4_core::store::host::HostStore;
use std::path::Path;

const FILE: u16 = 0o100_644;
const PLAIN: &str = "-t ext4 -b 1024 -O ^has_journal,^metadata_csum,^64bit";

/// A file with a name, and three that lost theirs and were open when the machine stopped: the image, and their numbers.
fn made(image: &Path, words: &str) -> (u32, [u32; 3]) {
    mkfs(image, words, "8M", None);
    let mut vfs = Vfs::new(mount_bytes(std::fs::read(image).unwrap(), false).unwrap());
    let kept = vfs.create(2, b"kept", FILE).unwrap();
    vfs.write(kept, 0, &[7; 30_000], 0).unwrap();
    let gone = [b"a", b"b", b"c"].map(|name| {
        let ino = vfs.create(2, name, FILE).unwrap();
        vfs.write(ino, 0, &[5; 30_000], 0).unwrap();
        let (mut inode, mut root) = (vfs.take(ino), vfs.take(2));
        vfs.fs.run(60, true, |tx| vfs.fs.unlink(tx, &mut root, name, &mut inode)).unwrap();
        vfs.put(root);
        ino
    });
    std::fs::write(image, vfs.image()).unwrap();
    (kept, gone)
}

/// Mounts the bytes and finishes what orphans there are: how many, and what was reported.
fn recover(bytes: Vec<u8>) -> (Fs<HostStore>, u32, Vec<String>) {
    recover_on(mount_bytes(bytes, false).unwrap())
}

fn recover_on(fs: Fs<HostStore>) -> (Fs<HostStore>, u32, Vec<String>) {
    let found = fs
        .recover_orphans(|fs, mut inode| {
            for _ in 0..100 {
                let credits = fs.credits_for_truncate(&inode);
                let links = inode.raw.links_count;
                if fs.run(credits, true, |tx| {
                    if links == 0 { fs.evict(tx, &mut inode) } else { fs.truncate(tx, &mut inode) }
                })? {
                    return Ok(());
                }
            }
            panic!("inode {} takes for ever", inode.ino);
        })
        .unwrap();
    let reports = fs.store.reports();
    assert!(!fs.has_orphans());
    (fs, found, reports)
}

fn is_kept(fs: &Fs<HostStore>, kept: u32) {
    assert_eq!(read_file(fs, &fs.file_inode(kept).unwrap()).unwrap(), vec![7; 30_000]);
}

#[test]
fn damaged_lists_end() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    // What is done to the image, how many orphans are finished, what is reported.
    type Row<'a> = (&'a str, fn(u32, [u32; 3]) -> Vec<String>, u32, &'a str);
    let rows: [Row<'_>; 8] = [
        ("sound", |_, _| vec![], 3, ""),
        ("ring", |_, [a, _, c]| vec![format!("sif <{a}> dtime {c}")], 3, "orphan_ring"),
        ("ring of one", |_, [_, _, c]| vec![format!("sif <{c}> dtime {c}")], 1, "orphan_ring"),
        ("beyond the end", |_, [a, ..]| vec![format!("sif <{a}> dtime 4000000000")], 2, "orphan_next"),
        ("not in use", |_, _| vec!["ssv last_orphan 200".into()], 0, "orphan_not_in_use"),
        ("reserved", |_, _| vec!["ssv last_orphan 2".into()], 0, "orphan_number"),
        ("a file in use", |kept, [a, ..]| vec![format!("sif <{a}> dtime {kept}")], 4, ""),
        (
            "a device",
            |kept, [a, ..]| vec![format!("sif <{kept}> mode 020644"), format!("sif <{a}> dtime {kept}")],
            3,
            "orphan_kind",
        ),
    ];
    for (what, change, wanted, wrong) in rows {
        let (kept, gone) = made(&image, PLAIN);
        let text = debugfs(&image, &change(kept, gone));
        let (fs, found, reports) = recover(std::fs::read(&image).unwrap());
        assert_eq!(found, wanted, "{what}: {text} {reports:?}");
        assert_eq!(reports.iter().any(|report| report.contains("orphan")), !wrong.is_empty(), "{what}: {reports:?}");
        assert!(wrong.is_empty() || reports.iter().any(|report| report.contains(wrong)), "{what}: {reports:?}");
        if what != "a device" {
            is_kept(&fs, kept);
        }
        if found >= 3 && what != "a device" {
            std::fs::write(&image, fs.store.image()).unwrap();
            assert_eq!(fsck(&image), None, "{what}");
        }
    }
}

#[test]
fn damaged_orphan_files_end() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    let words = "-t ext4 -b 1024 -J size=1 -O orphan_file,^metadata_csum,^64bit";
    let (kept, gone) = made(&image, words);
    let bytes = std::fs::read(&image).unwrap();
    let fs = mount_bytes(bytes.clone(), false).unwrap();
    let own = SuperBlock::parse(&bytes[1024..]).unwrap().orphan_file_inum.get();
    let block = fs.map(&fs.inode(own).unwrap(), 0, 1).unwrap().block().unwrap();
    // What is in the first free slots of the first block, how many orphans are finished, what is reported.
    let rows: [(&str, Vec<u32>, u32, &str); 6] = [
        ("sound", vec![], 3, ""),
        ("twice", vec![gone[0], gone[1]], 3, "orphan_not_in_use"),
        ("beyond the end", vec![u32::MAX], 3, "orphan_number"),
        ("reserved", vec![8, 2], 3, "orphan_number"),
        ("itself", vec![own], 3, "orphan_number"),
        ("a file in use", vec![kept], 4, ""),
    ];
    for (what, numbers, wanted, wrong) in rows {
        let mut bytes = bytes.clone();
        let at = block as usize * 1024;
        let mut slots = (0..250).filter(|slot| le::u32_at(&bytes, at + slot * 4) == 0).collect::<Vec<_>>().into_iter();
        for number in numbers {
            le::put_u32(&mut bytes, at + slots.next().unwrap() * 4, number);
        }
        let (fs, found, reports) = recover(bytes);
        assert_eq!(found, wanted, "{what}: {reports:?}");
        assert_eq!(reports.is_empty(), wrong.is_empty(), "{what}: {reports:?}");
        assert!(wrong.is_empty() || reports.iter().any(|report| report.contains(wrong)), "{what}: {reports:?}");
        is_kept(&fs, kept);
        // The journal's inode is there.
        assert!(fs.inode(8).unwrap().raw.size > 0);
    }
}

#[test]
fn a_read_only_mount_finishes_them_too() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    for (words, in_list) in [
        ("-t ext4 -b 1024 -O ^has_journal,quota", true),
        ("-t ext4 -b 1024 -J size=1 -O orphan_file,quota,^metadata_csum", false),
        ("-t ext4 -b 1024 -J size=1 -O orphan_file,metadata_csum", false),
    ] {
        let (kept, _) = made(&image, words);
        let fs = mount_bytes(std::fs::read(&image).unwrap(), true).unwrap();
        assert_eq!((fs.has_orphans(), fs.has_orphan_file(), fs.orphan_file_empty()), (in_list, !in_list, in_list));
        assert!(!fs.orphans_empty());
        if in_list {
            assert_eq!(fs.forget_orphans(), Err(errno::code::EROFS));
        }
        // As the module does: only for this it is written.
        fs.set_read_only(false);
        fs.load_for_writing().unwrap();
        let (fs, found, reports) = recover_on(fs);
        assert_eq!((found, reports.is_empty()), (3, true), "{reports:?}");
        fs.run(8, true, |tx| fs.sync_super(tx)).unwrap();
        fs.set_read_only(true);
        assert!(fs.orphans_empty());
        is_kept(&fs, kept);
        std::fs::write(&image, fs.store.image()).unwrap();
        assert_eq!(fsck(&image), None, "{words}");
    }
}

#[test]
fn what_was_changed_under_a_read_only_mount_is_seen() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    for words in [PLAIN, "-t ext4 -b 1024 -O ^has_journal,metadata_csum"] {
        made(&image, words);
        let fs = mount_bytes(std::fs::read(&image).unwrap(), true).unwrap();
        let now = || SuperBlock::parse(&std::fs::read(&image).unwrap()[1024..]).unwrap();
        // Another's superblock, and a damaged one, are not taken.
        let mut other = now();
        other.last_orphan.set(0);
        other.uuid[0] ^= 1;
        other.update_checksum();
        fs.refresh_super(&other);
        assert!(fs.has_orphans());
        if other.has_metadata_csum() {
            let mut damaged = now();
            damaged.last_orphan.set(0);
            fs.refresh_super(&damaged);
            assert!(fs.has_orphans());
        }
        debugfs(&image, &["ssv last_orphan 0".into(), "ssv state 3".into()]);
        fs.set_read_only(false);
        fs.refresh_super(&now());
        assert!(fs.has_orphans(), "what is written here is ours");
        fs.set_read_only(true);
        fs.refresh_super(&now());
        assert!(fs.orphans_empty());
        assert_eq!(fs.with_super(|sb| sb.state.get()), 3);
    }
}

#[test]
fn a_forgotten_list_is_begun_anew() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    let (kept, _) = made(&image, PLAIN);
    let fs = mount_bytes(std::fs::read(&image).unwrap(), false).unwrap();
    fs.forget_orphans().unwrap();
    assert!(!fs.has_orphans());
    let mut inode = fs.file_inode(kept).unwrap();
    fs.run(20, true, |tx| fs.orphan_add(tx, &mut inode)).unwrap();
    assert!(fs.has_orphans());
    fs.run(20, true, |tx| {
        fs.orphan_remove(tx, &mut inode)?;
        fs.write_inode(tx, &inode)
    })
    .unwrap();
    assert!(!fs.has_orphans());
    is_kept(&fs, kept);
}
