// SPDX-License-Identifier: GPL-2.0
//! Damaged images: whatever a few bytes are changed to, mounting, reading and writing end in an error or a result, never in a
//! panic or without end. `EXT4_MUTATIONS` runs more (default 300).

mod common;

use common::vfs::Vfs;
use common::*;
use ext4_core::format::inode::mode;
use std::collections::BTreeSet;

/// Images to damage, with files that have every structure.
const TABLE: &[&str] = &[
    "-t ext4 -b 1024 -O ^has_journal",
    "-t ext4 -b 1024 -O ^has_journal,inline_data,ea_inode,^metadata_csum,uninit_bg -I 256",
    "-t ext2 -b 1024",
    "-t ext4 -b 1024 -O ^metadata_csum,bigalloc,orphan_file -C 4096 -J size=4",
];

fn fill(vfs: &mut Vfs) -> errno::Result {
    let deep = vfs.create(2, b"deep", mode::IFDIR | 0o755)?;
    for i in 0..220 {
        let name = format!("{i}{}", "-long-name".repeat(i % 10));
        let ino = vfs.create(deep, name.as_bytes(), mode::IFREG | 0o644)?;
        vfs.write(ino, 0, &vec![i as u8; 10 + 37 * i % 900], 0)?;
    }
    let holes = vfs.create(2, b"holes", mode::IFREG | 0o644)?;
    for i in 0..120u64 {
        vfs.write(holes, i * 5000, &[1; 700], i % 2)?;
    }
    let large = vfs.create(2, b"large", mode::IFREG | 0o644)?;
    vfs.write(large, 0, &vec![3; 400_000], 0)?;
    vfs.symlink(2, b"fast", b"target")?;
    vfs.symlink(2, b"slow", &[b't'; 200])?;
    vfs.xattr(large, b"small", Some(b"value"))?;
    vfs.xattr(large, b"middle", Some(&[7; 300]))?;
    let _ = vfs.xattr(large, b"big", Some(&[8; 5000]));
    let gone = vfs.create(deep, b"gone", mode::IFREG | 0o644)?;
    vfs.write(gone, 0, &[1; 5000], 0)?;
    // An orphan, as a crash leaves it.
    let mut inode = vfs.take(gone);
    let mut dir = vfs.take(deep);
    let credits = vfs.fs.credits_for_unlink(&dir);
    vfs.fs.run(credits, true, |tx| vfs.fs.unlink(tx, &mut dir, b"gone", &mut inode))?;
    vfs.put(dir);
    Ok(())
}

/// Where metadata is: everything but the content of files.
fn metadata(bytes: &[u8]) -> Vec<u64> {
    let fs = mount_bytes(bytes.to_vec(), true).unwrap();
    let bs = fs.geo.block_size as u64;
    let mut data = BTreeSet::new();
    for ino in 12..=fs.inodes_count() {
        let Ok(inode) = fs.inode(ino) else { continue };
        if inode.is_regular() && !inode.has_flag(0x20_0000) {
            let _ = fs.runs(&inode, 0, u64::from(u32::MAX), |run, _| {
                let start = run.allocated().unwrap();
                data.extend(start..start + u64::from(run.len));
                Ok(true)
            });
        }
    }
    (0..bytes.len() as u64 / bs)
        .filter(|block| !data.contains(block))
        .filter(|block| bytes[(block * bs) as usize..((block + 1) * bs) as usize].iter().any(|&byte| byte != 0))
        .map(|block| block * bs)
        .collect()
}

fn damage(bytes: &mut [u8], places: &[u64], bs: u64, random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        // The superblock and the first blocks more often.
        let base = if random.below(6) == 0 { 1024 } else { places[random.below(places.len() as u64) as usize] };
        let at = (base + random.below(bs)) as usize;
        if at + 4 > bytes.len() {
            continue;
        }
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at..at + 4].copy_from_slice(&(random.next() as u32).to_le_bytes()),
            3 => bytes[at..at + 4]
                .copy_from_slice(&[[0xff; 4], [0; 4], [0xff, 0xff, 0xff, 0x7f]][random.below(3) as usize]),
            4 => {
                let small = random.below(40) as u16;
                bytes[at & !1..(at & !1) + 2].copy_from_slice(&small.to_le_bytes());
            }
            _ => {
                let other = (places[random.below(places.len() as u64) as usize] + random.below(bs)) as usize;
                let len = (1 + random.below(64) as usize).min(bytes.len() - at.max(other));
                bytes.copy_within(other..other + len, at);
            }
        }
    }
}

/// The checksum of the superblock is put right, so that damage gets beyond it.
fn repair_super(bytes: &mut [u8]) {
    if let Some(mut sb) = ext4_core::format::SuperBlock::parse(&bytes[1024..]) {
        sb.update_checksum();
        bytes[1024 + 1020..2048].copy_from_slice(&sb.checksum.get().to_le_bytes());
    }
}

/// Reads and changes whatever can be; errors do not matter.
/// Whether it could be mounted, and damage was seen.
fn exercise(bytes: Vec<u8>, random: &mut Random) -> Option<bool> {
    let fs = mount_bytes(bytes, false).ok()?;
    let _ =
        fs.recover_orphans(|fs, mut inode| {
            for _ in 0..1000 {
                let links = inode.raw.links_count;
                let credits = fs.credits_for_truncate(&inode);
                if fs.run(credits, true, |tx| {
                    if links == 0 { fs.evict(tx, &mut inode) } else { fs.truncate(tx, &mut inode) }
                })? {
                    break;
                }
            }
            Ok(())
        });
    let mut vfs = Vfs::new(fs);
    for ino in (2..=vfs.fs.inodes_count().min(300)).filter(|&ino| ino == 2 || ino > 10) {
        let Ok(inode) = vfs.fs.inode(ino) else { continue };
        let _ = vfs.fs.xattr_list(&inode, |index, name| {
            let _ = vfs.fs.xattr_get(&inode, index, name);
            Ok(())
        });
        let _ = vfs.fs.read_link(&inode);
        if inode.is_dir() {
            let _ = list(&vfs.fs, &inode);
            let _ = vfs.fs.lookup(&inode, b"some name");
            let _ = vfs.fs.is_empty_dir(&inode);
        } else if inode.is_regular() && inode.raw.size < 4_000_000 {
            let _ = vfs.fs.seek(&inode, 0, true, |_| None);
            let _ = vfs.fs.runs(&inode, 0, 5000, |_, _| Ok(true));
            if inode.is_inline() {
                let _ = vfs.fs.inline_read(&inode);
            }
        }
        match random.below(12) {
            0 if inode.is_dir() => {
                for i in 0..20 {
                    let _ = vfs.create(ino, format!("new-{i}-{}", "x".repeat(30)).as_bytes(), mode::IFREG | 0o600);
                }
            }
            1 if inode.is_regular() => {
                let _ = vfs.write(ino, random.below(600_000), &[9; 5000], 0);
            }
            2 if inode.is_regular() && inode.raw.size < 1 << 30 => {
                let _ = vfs.truncate(ino, random.below(300_000));
            }
            3 => {
                let _ = vfs.xattr(ino, b"new", Some(&[1; 100]));
            }
            4 if inode.is_regular() => {
                let _ = vfs.punch(ino, 3000, 200_000);
            }
            5 if inode.is_dir() => {
                if let Ok(names) = list(&vfs.fs, &inode) {
                    for (name, child, _) in names.into_iter().take(10) {
                        if name != b"." && name != b".." && vfs.fs.file_inode(child).is_ok() && child != ino {
                            let _ = vfs.unlink(ino, &name, child);
                        }
                    }
                }
            }
            6 if inode.is_regular() => {
                let _ = vfs.shift(ino, 8, 8, true);
                let _ = vfs.shift(ino, 8, 8, false);
            }
            _ => {}
        }
    }
    let reports = vfs.fs.store.reports();
    if std::env::var("EXT4_SHOW").is_ok() {
        println!("{reports:?}");
    }
    Some(!reports.is_empty())
}

#[test]
fn mutations() {
    let count: u64 = std::env::var("EXT4_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let first: u64 = std::env::var("EXT4_FIRST").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let scratch = Scratch::new();
    let mut bases = Vec::new();
    for words in TABLE {
        let image = scratch.file("image");
        mkfs(&image, words, if words.contains("bigalloc") { "12M" } else { "3M" }, None);
        let mut vfs = Vfs::new(mount(&image, false));
        fill(&mut vfs).unwrap();
        let bytes = vfs.image();
        let places = metadata(&bytes);
        // Without damage there is nothing to report.
        assert_eq!(exercise(bytes.clone(), &mut Random(5)), Some(false), "{words}");
        bases.push((bytes, places));
    }
    let (mut mounted, mut seen) = (0, 0);
    for number in first..count {
        let mut random = Random(number * 7_368_787 + 11);
        let (base, places) = &bases[number as usize % bases.len()];
        let mut bytes = base.clone();
        damage(&mut bytes, places, 1024, &mut random);
        if random.below(4) != 0 {
            repair_super(&mut bytes);
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| exercise(bytes, &mut random)));
        match outcome {
            Ok(Some(damaged)) => {
                mounted += 1;
                seen += u64::from(damaged);
            }
            Ok(None) => {}
            Err(_) => panic!("mutation {number} panicked"),
        }
    }
    println!("{mounted} of {count} could be mounted, damage was seen in {seen}");
    assert!(count < 100 || seen * 3 > (count - first), "{mounted} of {count}: damage does not get deep");
}
