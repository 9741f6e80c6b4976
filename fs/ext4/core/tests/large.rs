// SPDX-License-Identifier: GPL-2.0
//! What only size brings out: deep indices and trees, more subdirectories than links, blocks exchanged, orphans found again.

mod common;

use common::vfs::{Vfs, check};
use common::*;
use ext4_core::format::inode::mode;
use ext4_core::{Create, State};

const FILE: u16 = mode::IFREG | 0o644;
const DIR: u16 = mode::IFDIR | 0o755;

#[test]
fn an_index_of_three_levels() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal,large_dir -N 40000", "48M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let dir = vfs.create(2, b"dir", DIR).unwrap();
    let file = vfs.create(2, b"file", FILE).unwrap();
    // Long names fill an index fast: three to a leaf.
    let name = |i: u32| format!("{i:0>248}").into_bytes();
    let count = 30_000;
    for i in 0..count {
        if i % 60_000 == 59_999 {
            continue;
        }
        vfs.link(dir, &name(i), file).unwrap();
    }
    let inode = vfs.take(dir);
    let levels = vfs.fs.store.read_data_or_cached(vfs.fs.map(&inode, 0, 1).unwrap().block().unwrap())[30];
    assert_eq!(levels, 2, "levels below the root");
    let names = list(&vfs.fs, &inode).unwrap();
    assert_eq!(names.len(), count as usize + 2);
    assert_eq!(vfs.fs.lookup(&inode, &name(777)).unwrap().map(|found| found.0), Some(file));
    vfs.put(inode);
    check(&mut vfs, &image);
    for i in (0..count).step_by(2) {
        vfs.unlink(dir, &name(i), file).unwrap();
    }
    check(&mut vfs, &image);
    let inode = vfs.take(dir);
    assert_eq!(list(&vfs.fs, &inode).unwrap().len(), count as usize / 2 + 2);
}

#[test]
fn a_full_index_is_no_space() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal -N 5000", "64M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let dir = vfs.create(2, b"dir", DIR).unwrap();
    let file = vfs.create(2, b"file", FILE).unwrap();
    let mut made = 0u32;
    let error = loop {
        match vfs.link(dir, format!("{made:0>250}").as_bytes(), file) {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, errno::code::ENOSPC);
    assert!(made > 15_000, "{made}");
    check(&mut vfs, &image);
}

#[test]
fn more_subdirectories_than_links() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal,inline_data -I 256 -N 66000", "64M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let dir = vfs.create(2, b"dir", DIR).unwrap();
    for i in 0..65_100 {
        let ino = vfs.create(dir, format!("{i}").as_bytes(), DIR).unwrap();
        vfs.cache.remove(&ino);
    }
    assert_eq!(vfs.take(dir).raw.links_count, 1);
    check(&mut vfs, &image);
}

#[test]
fn a_deep_extent_tree() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal", "64M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let ino = vfs.create(2, b"holes", FILE).unwrap();
    let count = 24_000u32;
    let mut random = Random(3);
    let mut order: Vec<u32> = (0..count).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    for &i in &order {
        vfs.write(ino, u64::from(i) * 2048, &i.to_le_bytes(), 0).unwrap();
    }
    assert!(vfs.take(ino).raw.block[6] >= 2, "depth");
    check(&mut vfs, &image);
    for &i in &order[..count as usize / 2] {
        vfs.punch(ino, u64::from(i) * 2048, u64::from(i) * 2048 + 1024).unwrap();
    }
    check(&mut vfs, &image);
    let inode = vfs.take(ino);
    for &i in &order[count as usize / 2..] {
        let State::Written(block) = vfs.fs.map(&inode, i * 2, 1).unwrap().state else { panic!("block {i}") };
        assert_eq!(vfs.fs.store.read_data(block)[..4], i.to_le_bytes());
    }
    let mut runs = 0;
    vfs.fs
        .runs(&inode, 0, u64::from(u32::MAX), |_, _| {
            runs += 1;
            Ok(true)
        })
        .unwrap();
    assert_eq!(runs, count / 2);
    vfs.put(inode);
    let free = vfs.fs.statfs().free;
    vfs.truncate(ino, 0).unwrap();
    assert!(vfs.fs.statfs().free > free + u64::from(count / 2));
    check(&mut vfs, &image);
}

#[test]
fn blocks_exchanged() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal", "16M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let (a, b) = (vfs.create(2, b"a", FILE).unwrap(), vfs.create(2, b"b", FILE).unwrap());
    let one: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let two: Vec<u8> = (0..200_000u32).map(|i| (i % 241) as u8).collect();
    for at in (0..200_000).step_by(20_000) {
        vfs.write(a, at as u64, &one[at..at + 20_000], 0).unwrap();
        vfs.write(b, at as u64, &two[at..at + 20_000], 0).unwrap();
    }
    let (mut first, mut second) = (vfs.take(a), vfs.take(b));
    let (mut at, end) = (10, 150);
    while at < end {
        let credits = 4 * vfs.fs.credits_for_map(&first);
        let (moved, len) = vfs
            .fs
            .run(credits, true, |tx| vfs.fs.exchange_blocks(tx, &mut first, at, &mut second, at, end - at))
            .unwrap();
        assert_eq!(moved, len);
        at += len;
    }
    let (found_one, found_two) = (read_file(&vfs.fs, &first).unwrap(), read_file(&vfs.fs, &second).unwrap());
    let range = 10 * 1024..150 * 1024;
    assert!(found_one[range.clone()] == two[range.clone()] && found_two[range.clone()] == one[range.clone()]);
    assert!(found_one[..range.start] == one[..range.start] && found_one[range.end..] == one[range.end..]);
    vfs.put(first);
    vfs.put(second);
    check(&mut vfs, &image);
}

#[test]
fn orphans_are_found_again() {
    let scratch = Scratch::new();
    for words in ["-t ext4 -b 1024 -O ^has_journal", "-t ext4 -b 1024 -O orphan_file -J size=4"] {
        let image = scratch.file("image");
        mkfs(&image, words, "16M", None);
        let mut vfs = Vfs::new(mount(&image, false));
        let mut cut = 0;
        for i in 0..40u64 {
            let ino = vfs.create(2, format!("{i}").as_bytes(), FILE).unwrap();
            vfs.write(ino, 0, &vec![5; 30_000], 0).unwrap();
            let (mut inode, mut root) = (vfs.take(ino), vfs.take(2));
            vfs.fs
                .run(60, true, |tx| {
                    if i % 3 == 0 {
                        cut += 1;
                        inode.raw.size = 3000;
                        vfs.fs.orphan_add(tx, &mut inode)?;
                        return vfs.fs.write_inode(tx, &inode);
                    }
                    vfs.fs.unlink(tx, &mut root, format!("{i}").as_bytes(), &mut inode)
                })
                .unwrap();
            vfs.put(root);
        }
        // The machine stops here.
        let bytes = vfs.image();
        let fs = mount_bytes(bytes, false).unwrap();
        let found = fs
            .recover_orphans(|fs, mut inode| {
                let credits = fs.credits_for_truncate(&inode);
                loop {
                    let links = inode.raw.links_count;
                    if fs.run(credits, true, |tx| {
                        if links == 0 { fs.evict(tx, &mut inode) } else { fs.truncate(tx, &mut inode) }
                    })? {
                        return Ok(());
                    }
                }
            })
            .unwrap();
        assert_eq!(found, 40, "{words}");
        let mut vfs = Vfs::new(fs);
        check(&mut vfs, &image);
        assert_eq!(cut, 14);
    }
}

#[test]
fn delayed_allocation_keeps_its_promise() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal", "8M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let ino = vfs.create(2, b"file", FILE).unwrap();
    let mut inode = vfs.take(ino);
    let fs = &vfs.fs;
    let mut promised = 0u32;
    while fs.reserve(&mut inode, 1, false).is_ok() {
        promised += 1;
    }
    assert!(u64::from(promised) > 4000 && fs.statfs().available == 0, "{promised}");
    // Nobody else gets what was promised.
    let mut other = vfs.fs.inode(2).unwrap();
    let how = Create { exact: true, ..Create::default() };
    assert!(fs.run(60, false, |tx| fs.map_create(tx, &mut other, 5000, 1, how)).is_err());
    let mut at = 0;
    while at < promised {
        let how = Create { reserved: true, ..Create::default() };
        let found = fs.run(80, false, |tx| fs.map_create(tx, &mut inode, at, promised - at, how)).unwrap();
        at += found.len;
    }
    assert_eq!((inode.reserved, fs.delayed_clusters()), (0, 0));
    inode.raw.size = u64::from(promised) * 1024;
    fs.run(4, true, |tx| fs.write_inode(tx, &inode)).unwrap();
    vfs.put(inode);
    check(&mut vfs, &image);
}

/// Files without extents: each has one block that waits, behind those that the inode points to. On a full disk all get their place, and the
/// blocks of pointers with it.
#[test]
fn promised_blocks_of_pointers() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal,^extent,^64bit -N 1024", "4M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let mut files = Vec::new();
    for number in 0..900 {
        let ino = vfs.create(2, format!("file{number}").as_bytes(), FILE).unwrap();
        files.push(vfs.take(ino));
    }
    let fs = &vfs.fs;
    // Others have the rest, but for 1000 clusters.
    let mut greedy = fs.inode(2).unwrap();
    let rest = fs.statfs().free - 1000;
    fs.reserve(&mut greedy, rest, true).unwrap();
    let mut waiting = 0;
    for inode in &mut files {
        if fs.reserve(inode, 1, true).is_err() {
            break;
        }
        if fs.promise_nodes(inode, 1, true).is_err() {
            fs.unreserve(inode, 1);
            break;
        }
        waiting += 1;
    }
    assert_eq!(waiting, 500);
    for inode in files.iter_mut().take(waiting) {
        let how = Create { reserved: true, ..Create::default() };
        let found = fs.run(80, false, |tx| fs.map_create(tx, inode, 20, 1, how)).unwrap();
        assert_eq!((found.len, inode.reserved), (1, 0));
        fs.return_nodes(inode, 1);
        inode.raw.size = 21 * 1024;
        fs.run(4, true, |tx| fs.write_inode(tx, inode)).unwrap();
    }
    assert_eq!(fs.delayed_clusters(), rest);
    fs.unreserve(&mut greedy, rest);
    for inode in files {
        vfs.put(inode);
    }
    check(&mut vfs, &image);
}

#[test]
fn growing_while_mounted() {
    let scratch = Scratch::new();
    let kinds = [
        "-t ext4 -b 1024 -O ^has_journal",
        "-t ext4 -b 1024 -O ^has_journal,^metadata_csum,^64bit,^flex_bg",
        "-t ext4 -b 1024 -O ^has_journal,meta_bg,^resize_inode",
        "-t ext2 -b 1024",
        "-t ext4 -b 4096 -O ^has_journal -g 8192",
    ];
    for words in kinds {
        let image = scratch.file("image");
        mkfs(&image, words, "12M", None);
        let mut vfs = Vfs::new(mount(&image, false));
        println!("{words}");
        for megabytes in [13u64, 20, 60, 140] {
            vfs.fs.store.grow((megabytes << 20) as usize);
            let blocks = (megabytes << 20) / vfs.fs.geo.block_size as u64;
            let target = vfs.fs.grow_begin(blocks).unwrap();
            for _ in 0..1000 {
                if vfs.fs.run(vfs.fs.credits_for_grow(), true, |tx| vfs.fs.grow_step(tx, target)).unwrap() {
                    break;
                }
            }
            assert_eq!(vfs.fs.blocks_count(), target);
            for number in 1..vfs.fs.groups_count() {
                vfs.fs.run(100, true, |tx| vfs.fs.write_backup(tx, number)).unwrap();
            }
            let ino = vfs.create(2, format!("at{megabytes}").as_bytes(), FILE).unwrap();
            vfs.write(ino, 0, &vec![1; 3_000_000], 0).unwrap();
            check(&mut vfs, &image);
            let again = mount(&image, true);
            // What is kept for splits is computed at mount.
            let (mut ours, theirs) = (vfs.fs.statfs(), again.statfs());
            ours.available = theirs.available;
            assert_eq!(ours, theirs, "{words}");
        }
        assert_eq!(vfs.fs.grow_begin(5), Err(errno::code::EINVAL));
    }
}

/// Usage as debugfs lists it: `id blocks inodes`.
fn usage(image: &std::path::Path, kind: &str) -> Vec<(u32, u64, u64)> {
    let (_, text) = run("debugfs", &["-R", &format!("list_quota {kind}"), image.to_str().unwrap()]);
    let numbers = |line: &str| line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    let mut found: Vec<_> =
        text.lines().map(numbers).filter(|n| n.len() == 7).map(|n| (n[0] as u32, n[1], n[4])).collect();
    found.sort_unstable();
    found
}

#[test]
fn quotas_are_counted_and_kept() {
    use ext4_core::{Quota, QuotaKind};
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O quota,project,^has_journal", "16M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let ids: Vec<u32> = (1..=40).map(|i| i * 0x0101_0307).collect();
    let mut files = Vec::new();
    for (number, &id) in ids.iter().enumerate() {
        vfs.fs.quota_attach(id, id + 1, id + 2).unwrap();
        let ino = vfs.create(2, format!("{number}").as_bytes(), FILE).unwrap();
        vfs.write(ino, 0, &vec![1; 1000 * number], 0).unwrap();
        let mut inode = vfs.take(ino);
        vfs.fs
            .run(80, true, |tx| {
                vfs.fs.set_owner(tx, &mut inode, id, id + 1, id + 2)?;
                vfs.fs.write_inode(tx, &inode)
            })
            .unwrap();
        assert_eq!(vfs.fs.quota_get(QuotaKind::User, id).unwrap().space, inode.raw.blocks * 512, "{number}");
        vfs.put(inode);
        files.push(ino);
    }
    check(&mut vfs, &image);
    let users = usage(&image, "user");
    assert_eq!(users.iter().filter(|user| user.2 > 0).count(), 41, "{users:?}");
    assert!(users.contains(&(ids[30], 30 * 1024, 1)), "{users:?}");
    assert_eq!(usage(&image, "project").iter().filter(|project| project.2 > 0).count(), 41);
    let mut listed = Vec::new();
    let mut from = 1;
    while let Ok((id, quota)) = vfs.fs.quota_next(QuotaKind::User, from) {
        assert_eq!(quota, vfs.fs.quota_get(QuotaKind::User, id).unwrap());
        listed.push(id);
        from = id + 1;
    }
    // Besides them the one that made the files.
    assert_eq!(listed.iter().filter(|id| **id != 1000).copied().collect::<Vec<_>>(), ids);
    assert_eq!(vfs.fs.quota_next(QuotaKind::User, u32::MAX).err(), Some(errno::code::ENOENT));
    // A hard limit of 40 KiB holds for who is not privileged; what was written before stays.
    let new = Quota { block_hard: 40, ..Quota::default() };
    vfs.fs.quota_set(QuotaKind::User, ids[30], &new).unwrap();
    let (exists, invalid, none) = (Err(errno::code::EEXIST), Err(errno::code::EINVAL), Some(errno::code::ESRCH));
    assert_eq!(vfs.fs.quota_switch(QuotaKind::User, true, false), exists);
    assert_eq!(vfs.fs.quota_switch(QuotaKind::User, true, true), Ok(()));
    assert_eq!(vfs.fs.quota_switch(QuotaKind::User, true, true), exists);
    // Read-only nothing is counted, but limits may be turned on and off if it was.
    vfs.fs.set_read_only(true);
    assert_eq!(vfs.fs.quota_get(QuotaKind::User, ids[30]).err(), none);
    assert_eq!(vfs.fs.quota_next(QuotaKind::User, 1).err(), none);
    assert_eq!(vfs.fs.quota_grace(QuotaKind::User).err(), none);
    assert_eq!(vfs.fs.quota_set(QuotaKind::User, ids[30], &new).err(), none);
    assert_eq!(vfs.fs.quota_set_grace(QuotaKind::User, 1, 1).err(), none);
    assert_eq!([true, false].map(|on| vfs.fs.quota_switch(QuotaKind::User, false, on)), [invalid, exists]);
    assert_eq!([false, true].map(|on| vfs.fs.quota_switch(QuotaKind::User, true, on)), [Ok(()), Ok(())]);
    vfs.fs.set_read_only(false);
    let mut inode = vfs.take(files[30]);
    let mut at = 30;
    let error = loop {
        match vfs.fs.run(90, false, |tx| vfs.fs.map_create(tx, &mut inode, at, 1, Create::default())) {
            Ok(found) => at = found.lblk + found.len,
            Err(error) => break error,
        }
    };
    assert_eq!((error, at), (errno::code::EDQUOT, 40));
    assert_eq!(vfs.fs.reserve(&mut inode, 1, false), Err(errno::code::EDQUOT));
    inode.raw.size = 40 * 1024;
    vfs.fs.run(4, true, |tx| vfs.fs.write_inode(tx, &inode)).unwrap();
    vfs.put(inode);
    for (number, ino) in files.into_iter().enumerate() {
        vfs.unlink(2, format!("{number}").as_bytes(), ino).unwrap();
    }
    check(&mut vfs, &image);
    assert_eq!(usage(&image, "user").iter().filter(|user| user.2 > 0).count(), 1);
}

#[test]
fn four_at_once() {
    let scratch = Scratch::new();
    for words in [
        "-t ext4 -b 1024 -O ^has_journal",
        "-t ext4 -b 1024 -O quota,^has_journal",
        "-t ext4 -b 1024 -O orphan_file -J size=4",
    ] {
        let image = scratch.file("image");
        mkfs(&image, words, "24M", None);
        let mut vfs = Vfs::new(mount(&image, false));
        let dirs: Vec<u32> = (0..4).map(|i| vfs.create(2, format!("dir{i}").as_bytes(), DIR).unwrap()).collect();
        vfs.cache.clear();
        std::thread::scope(|scope| {
            for &dir in &dirs {
                let mut vfs = vfs.share();
                scope.spawn(move || {
                    let mut random = Random(u64::from(dir) * 31 + 7);
                    let mut files: Vec<(Vec<u8>, u32)> = Vec::new();
                    for step in 0..1500u32 {
                        match random.below(4) {
                            0 | 1 => {
                                let name = format!("file{step}").into_bytes();
                                let Ok(ino) = vfs.create(dir, &name, FILE) else { continue };
                                let length = [100, 3000, 90_000][random.below(3) as usize];
                                let _ = vfs.write(ino, random.below(5000), &vec![dir as u8; length], random.below(3));
                                files.push((name, ino));
                            }
                            2 if !files.is_empty() => {
                                let (name, ino) = files.swap_remove(random.below(files.len() as u64) as usize);
                                vfs.unlink(dir, &name, ino).unwrap();
                            }
                            _ if !files.is_empty() => {
                                let (_, ino) = files[random.below(files.len() as u64) as usize];
                                vfs.truncate(ino, random.below(60_000)).unwrap();
                            }
                            _ => {}
                        }
                    }
                    for (_, ino) in files {
                        let inode = vfs.take(ino);
                        let data = read_file(&vfs.fs, &inode).unwrap();
                        assert!(data.iter().all(|&byte| byte == 0 || byte == dir as u8), "another's data in {ino}");
                        let mut inode = inode;
                        vfs.fs.discard_preallocations(&mut inode);
                    }
                });
            }
        });
        check(&mut vfs, &image);
    }
}

/// A file whose content cannot leave its inode keeps it there.
#[test]
fn inline_content_is_not_lost() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal,inline_data -I 256", "4M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let (ino, other) = (vfs.create(2, b"small", FILE).unwrap(), vfs.create(2, b"other", FILE).unwrap());
    let content: Vec<u8> = (1..=100).collect();
    vfs.write(ino, 0, &content, 0).unwrap();
    let (mut inode, mut greedy) = (vfs.take(ino), vfs.take(other));
    assert!(inode.is_inline());
    let fs = &vfs.fs;
    let before = fs.statfs().free;
    let broken = fs.run(60, true, |tx| fs.inline_leave(tx, &mut inode, |_, _, _| Err(errno::code::EIO)));
    assert_eq!((broken, inode.is_inline()), (Err(errno::code::EIO), true));
    assert_eq!((fs.inline_read(&inode).unwrap().to_vec(), fs.statfs().free), (content.clone(), before));
    // All that is free is promised to another.
    let mut promised = before;
    while fs.reserve(&mut greedy, promised, true).is_err() {
        promised -= 1;
    }
    let full = fs.run(60, false, |tx| fs.inline_leave(tx, &mut inode, |_, _, _| panic!("there was a block")));
    assert_eq!((full, inode.is_inline()), (Err(errno::code::ENOSPC), true));
    fs.unreserve(&mut greedy, promised);
    let mut found = Vec::new();
    fs.run(60, true, |tx| {
        fs.inline_leave(tx, &mut inode, |_, block, data| {
            found.extend_from_slice(data);
            fs.store.write_data(block, 0, data);
            Ok(())
        })
    })
    .unwrap();
    assert_eq!((found, inode.is_inline()), (content, false));
    vfs.put(inode);
    vfs.put(greedy);
    check(&mut vfs, &image);
}

#[test]
fn blocks_where_they_are_wanted() {
    use ext4_core::{Run, Use};
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal", "48M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    let fs = &vfs.fs;
    let fixed = fs.fixed_metadata().unwrap();
    let free: Vec<Run> = (0..fs.groups_count()).flat_map(|number| fs.free_space(number).unwrap().to_vec()).collect();
    // Nothing is two things, and all that dumpe2fs calls free is.
    let mut all: Vec<Run> = fixed.iter().chain(&free).copied().collect();
    all.sort_unstable();
    assert!(all.windows(2).all(|pair| pair[0].start + pair[0].len <= pair[1].start), "{all:?}");
    assert_eq!(free.iter().map(|run| run.len).sum::<u64>(), fs.statfs().free);
    assert_eq!(fixed.iter().filter(|run| run.what == Use::Super).map(|run| run.len).sum::<u64>(), 4);
    let hole = *free.iter().max_by_key(|run| run.len).unwrap();
    let goal = hole.start + hole.len / 2;
    let file = vfs.create(2, b"file", FILE).unwrap();
    let mut inode = vfs.take(file);
    assert!(vfs.fs.set_goal(&mut inode, 0, 1).is_err(), "the superblock");
    vfs.fs.set_goal(&mut inode, 10, goal).unwrap();
    let credits = vfs.fs.credits_for_map(&inode) + 8;
    let found = vfs.fs.run(credits, true, |tx| vfs.fs.preallocate(tx, &mut inode, 10, 60)).unwrap();
    assert_eq!(found, 60);
    assert_eq!(vfs.fs.map(&inode, 10, 50).unwrap().state, State::Unwritten(goal));
    // A run that goes on in the next group is shorter in each than others are.
    let second = free.windows(2).find(|pair| pair[0].start + pair[0].len == pair[1].start).unwrap()[1].start;
    vfs.fs.set_goal(&mut inode, 100, second - 7).unwrap();
    let mut at = 100;
    while at < 140 {
        let credits = vfs.fs.credits_for_map(&inode) + 8;
        at = vfs.fs.run(credits, true, |tx| vfs.fs.preallocate(tx, &mut inode, at, 140)).unwrap();
    }
    assert_eq!(vfs.fs.map(&inode, 100, 40).unwrap().state, State::Unwritten(second - 7));
    assert_eq!(vfs.fs.map(&inode, 139, 1).unwrap().state, State::Unwritten(second + 32));
    vfs.put(inode);
    check(&mut vfs, &image);
}

/// A damaged directory that says it is terabytes long: what is not there is passed over at once, in every way through it.
#[test]
fn a_directory_of_holes() {
    for options in ["-t ext4 -b 1024 -O ^has_journal,^dir_index", "-t ext2 -b 1024 -O ^dir_index"] {
        let scratch = Scratch::new();
        let image = scratch.file("image");
        mkfs(&image, options, "8M", None);
        let mut vfs = Vfs::new(mount(&image, false));
        let dir = vfs.create(2, b"dir", DIR).unwrap();
        vfs.create(dir, b"file", FILE).unwrap();
        let mut inode = vfs.take(dir);
        inode.raw.size = u64::from(u32::MAX) << 10;
        assert_eq!(list(&vfs.fs, &inode).unwrap().len(), 3);
        assert!(!vfs.fs.is_empty_dir(&inode).unwrap());
        assert_eq!(vfs.fs.lookup(&inode, b"none").unwrap(), None);
    }
}

/// Data that waits keeps what it was promised when there is no room for the tree that is to say where it is.
#[test]
fn a_promise_outlives_a_full_disk() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O ^has_journal", "8M", None);
    let mut vfs = Vfs::new(mount(&image, false));
    vfs.fs.set_last_clusters(0).unwrap();
    let file = vfs.create(2, b"file", FILE).unwrap();
    let filler = vfs.create(2, b"filler", FILE).unwrap();
    let mut inode = vfs.take(file);
    vfs.fs.reserve(&mut inode, 10, true).unwrap();
    let mut other = vfs.take(filler);
    let mut at = 0;
    loop {
        let credits = vfs.fs.credits_for_map(&other) + 8;
        match vfs.fs.run(credits, true, |tx| vfs.fs.preallocate(tx, &mut other, at, at + 500)) {
            Ok(to) => at = to,
            Err(error) => {
                assert_eq!(error, errno::code::ENOSPC);
                break;
            }
        }
    }
    vfs.put(other);
    let how = Create { reserved: true, ..Create::default() };
    let credits = vfs.fs.credits_for_map(&inode) + 8;
    for lblk in [0, 2, 4, 6] {
        vfs.fs.run(credits, true, |tx| vfs.fs.map_create(tx, &mut inode, lblk, 1, how)).unwrap();
    }
    let refused = vfs.fs.run(credits, true, |tx| vfs.fs.map_create(tx, &mut inode, 8, 1, how));
    assert_eq!(refused.err(), Some(errno::code::ENOSPC));
    assert_eq!(vfs.fs.delayed_clusters(), 6);
    vfs.unlink(2, b"filler", filler).unwrap();
    for lblk in [8, 10, 12, 14, 16, 18] {
        vfs.fs.run(credits, true, |tx| vfs.fs.map_create(tx, &mut inode, lblk, 1, how)).unwrap();
    }
    assert_eq!(vfs.fs.delayed_clusters(), 0);
    inode.raw.size = 19 * 1024;
    vfs.fs.run(8, true, |tx| vfs.fs.write_inode(tx, &inode)).unwrap();
    vfs.put(inode);
    check(&mut vfs, &image);
}
