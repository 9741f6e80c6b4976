// SPDX-License-Identifier: GPL-2.0
//! Reading what e2fsprogs made, for a table of features: everything must be as in the directory that was copied, and blocks
//! as debugfs says.

mod common;

use common::*;
use ext4_core::Fs;
use ext4_core::store::host::HostStore;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// mke2fs's options of each image.
pub const TABLE: &[&str] = &[
    "-t ext4 -b 4096",
    "-t ext4 -b 1024",
    "-t ext4 -b 2048",
    "-t ext4 -b 1024 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 1024 -O ^has_journal",
    "-t ext4 -b 1024 -O ^64bit",
    "-t ext4 -b 1024 -O bigalloc -C 16384",
    "-t ext4 -b 4096 -O bigalloc -C 16384",
    "-t ext4 -b 1024 -O inline_data -I 256",
    "-t ext4 -b 4096 -O inline_data -I 512",
    "-t ext4 -b 1024 -O large_dir",
    "-t ext4 -b 1024 -O meta_bg,^resize_inode",
    "-t ext4 -b 1024 -I 128 -O ^extra_isize",
    "-t ext4 -b 1024 -I 1024",
    "-t ext2 -b 1024",
    "-t ext3 -b 1024",
    "-t ext3 -b 4096",
    "-t ext4 -b 1024 -O ea_inode",
    "-t ext4 -b 1024 -O metadata_csum_seed",
    "-t ext4 -b 1024 -O orphan_file",
    "-t ext4 -b 1024 -O sparse_super2",
    "-t ext4 -b 1024 -O ^flex_bg",
    "-t ext4 -b 1024 -O ^extent,^64bit",
    "-t ext4 -b 1024 -O ^dir_index",
    "-t ext4 -b 1024 -O ^filetype",
    "-t ext4 -b 1024 -O ^huge_file,^dir_nlink",
    "-t ext4 -b 1024 -O mmp",
    "-t ext4 -b 1024 -O quota,project",
    "-t ext4 -b 1024 -g 1024",
    "-r 0 -b 1024",
];

fn make_tree(root: &Path) {
    let file = |name: &str, data: &[u8]| std::fs::write(root.join(name), data).unwrap();
    file("empty", b"");
    file("small", b"a few bytes");
    file("middle", &[b'x'; 150]);
    file("block", &[b'y'; 4096]);
    let large: Vec<u8> = (0..700_000u32).map(|i| (i / 7 % 251) as u8).collect();
    file("large", &large);
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    for (offset, length) in [(0, 100), (100_000, 30_000), (400_000, 10), (1_930_000, 70_000)] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &vec![7; length], offset).unwrap();
    }
    sparse.set_len(2_000_000).unwrap();
    symlink("target", root.join("fast")).unwrap();
    symlink("t/".repeat(29) + "x", root.join("fast59")).unwrap();
    symlink("t/".repeat(200), root.join("slow")).unwrap();
    std::fs::create_dir(root.join("many")).unwrap();
    for i in 0..450 {
        let name = format!("many/{i}{}", "-name".repeat(i % 9));
        std::fs::write(root.join(name), format!("{i}")).unwrap();
    }
    std::fs::create_dir_all(root.join("deep/er/est")).unwrap();
    file("deep/er/est/leaf", b"leaf");
    std::fs::write(root.join("deep/\u{e4}\u{f6}\u{fc}"), b"not ASCII").unwrap();
    std::fs::hard_link(root.join("small"), root.join("deep/link")).unwrap();
}

fn same_tree(fs: &Fs<HostStore>, number: u32, host: &Path, found: &mut usize) {
    let dir = fs.file_inode(number).unwrap();
    let names = list(fs, &dir).unwrap();
    let mut ours: Vec<_> =
        names.iter().map(|n| n.0.clone()).filter(|n| n != b"." && n != b".." && n != b"lost+found").collect();
    ours.sort();
    let mut theirs: Vec<_> = std::fs::read_dir(host)
        .unwrap()
        .map(|e| std::os::unix::ffi::OsStrExt::as_bytes(&*e.unwrap().file_name()).to_vec())
        .collect();
    theirs.sort();
    assert_eq!(ours, theirs, "{host:?}");
    assert_eq!(names.iter().filter(|n| n.0 == b"." || n.0 == b"..").count(), 2);
    assert!(fs.lookup(&dir, b"no such name").unwrap().is_none());
    for (name, ino, _) in &names {
        let path = host.join(String::from_utf8(name.clone()).unwrap());
        let (looked, _) = fs.lookup(&dir, name).unwrap().unwrap();
        assert_eq!(looked, *ino);
        if !ours.contains(name) {
            continue;
        }
        *found += 1;
        let inode = fs.file_inode(*ino).unwrap();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(u32::from(inode.raw.mode), meta.mode(), "{path:?}");
        assert_eq!(inode.raw.mtime.sec, meta.mtime(), "{path:?}");
        if meta.is_dir() {
            same_tree(fs, *ino, &path, found);
            assert_eq!(fs.is_empty_dir(&inode).unwrap(), std::fs::read_dir(&path).unwrap().next().is_none());
        } else if meta.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            assert_eq!(
                fs.read_link(&inode).unwrap().to_vec(),
                std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str())
            );
        } else {
            assert_eq!(inode.raw.size, meta.len());
            assert!(read_file(fs, &inode).unwrap() == std::fs::read(&path).unwrap(), "{path:?}");
        }
    }
}

/// Blocks of a file as debugfs lists them.
fn same_blocks(fs: &Fs<HostStore>, image: &Path, name: &str) {
    let (ino, _) = fs.lookup(&fs.root().unwrap(), name.as_bytes()).unwrap().unwrap();
    let inode = fs.file_inode(ino).unwrap();
    if inode.is_inline() {
        return;
    }
    let end = inode.raw.size.div_ceil(fs.geo.block_size as u64) as u32;
    let blocks: Vec<u32> = (0..end).step_by(5).collect();
    let text = debugfs(image, &blocks.iter().map(|at| format!("bmap <{ino}> {at}")).collect::<Vec<_>>());
    let answers = text.lines().filter(|line| !line.starts_with("debugfs:"));
    let theirs: Vec<u64> = answers.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    let ours: Vec<u64> = blocks.iter().map(|&at| fs.map(&inode, at, 1).unwrap().allocated().unwrap_or(0)).collect();
    assert_eq!(ours, theirs, "{name}");
}

/// What `statfs` takes off the size is what mke2fs noted as overhead.
fn same_overhead(fs: &Fs<HostStore>, image: &Path, words: &str) {
    let (_, text) = run("dumpe2fs", &["-h", image.to_str().unwrap()]);
    let value =
        |name: &str| -> Option<u64> { text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()) };
    let Some(overhead) = value("Overhead clusters:") else { return };
    let ratio = value("Cluster size:").map_or(1, |size| size / fs.geo.block_size as u64);
    assert_eq!(fs.blocks_count() - fs.statfs().blocks, overhead * ratio, "{words}");
}

#[test]
fn whatever_mke2fs_makes() {
    let scratch = Scratch::new();
    let tree = scratch.file("tree");
    std::fs::create_dir(&tree).unwrap();
    make_tree(&tree);
    for words in TABLE {
        let image = scratch.file("image");
        mkfs(&image, words, if words.contains("bigalloc") { "40M" } else { "16M" }, Some(&tree));
        // With indices: mke2fs makes plain directories, e2fsck -D turns them.
        let (_, text) = run("e2fsck", &["-fyD", image.to_str().unwrap()]);
        println!("{words}: {text}");
        let fs = mount(&image, true);
        let root = fs.root().unwrap();
        assert!(root.is_dir());
        let mut found = 0;
        same_tree(&fs, 2, &tree, &mut found);
        assert!(found > 450, "{words}: {text}");
        let many = fs.file_inode(fs.lookup(&root, b"many").unwrap().unwrap().0).unwrap();
        let indexed = fs.geo.has_compat(ext4_core::format::feature::compat::DIR_INDEX);
        assert_eq!(many.has_flag(0x1000), indexed, "{words}");
        same_blocks(&fs, &image, "sparse");
        same_overhead(&fs, &image, words);
        assert_eq!(fs.store.reports(), Vec::<String>::new(), "{words}");
    }
}

#[test]
fn hashes_as_debugfs_computes_them() {
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -E hash_seed=00112233-4455-6677-8899-aabbccddeeff", "1M", None);
    let fs = mount(&image, true);
    let seed = fs.geo.hash_seed;
    for (name, number) in [("legacy", 0u8), ("half_md4", 1), ("tea", 2)] {
        for file in [
            "a",
            "hello",
            "a name of thirty-two bytes here!",
            "\u{e4}\u{f6}\u{fc}\u{df} beyond ASCII, and rather longer than that",
        ] {
            let command = format!("dx_hash -h {name} -s 00112233-4455-6677-8899-aabbccddeeff \"{file}\"");
            let (_, text) = run("debugfs", &["-R", &command, image.to_str().unwrap()]);
            let line = text.lines().last().unwrap();
            let ours = ext4_core::format::hash::hash(file.as_bytes(), number, &seed).unwrap();
            let expected = format!("0x{:x} (minor 0x{:x})", ours.major, ours.minor);
            assert!(line.contains(&expected), "{name} {file}: {line} / {expected}");
        }
    }
}

#[test]
fn attributes_as_debugfs_sets_them() {
    let scratch = Scratch::new();
    for words in [
        "-t ext4 -b 1024",
        "-t ext4 -b 1024 -I 128 -O ^extra_isize",
        "-t ext4 -b 4096 -O ea_inode",
        "-t ext4 -b 1024 -O inline_data",
    ] {
        let image = scratch.file("image");
        mkfs(&image, words, "4M", None);
        let mut commands = vec!["mkdir d".to_string()];
        let mut expected = Vec::new();
        for (name, size) in [("user.a", 5), ("user.middle", 300), ("trusted.t", 40), ("security.s", 1)] {
            let value = format!("{}", name.len()).repeat(size)[..size].to_string();
            std::fs::write(scratch.file(name), &value).unwrap();
            commands.push(format!("ea_set -f {} d {name}", scratch.file(name).display()));
            expected.push((name, value));
        }
        if words.contains("ea_inode") {
            let value = "larg".repeat(1024);
            std::fs::write(scratch.file("large"), &value).unwrap();
            commands.push(format!("ea_set -f {} d user.large", scratch.file("large").display()));
            expected.push(("user.large", value));
        }
        let text = debugfs(&image, &commands);
        let fs = mount(&image, true);
        let dir = fs.file_inode(fs.lookup(&fs.root().unwrap(), b"d").unwrap().unwrap().0).unwrap();
        let mut count = 0;
        fs.xattr_list(&dir, |_, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(count, expected.len(), "{words}: {text}");
        for (name, value) in expected {
            let (index, rest) = ext4_core::format::xattr::index::split(name.as_bytes()).unwrap();
            let ours = fs.xattr_get(&dir, index, rest).unwrap();
            assert!(*ours == *value.as_bytes(), "{words} {name}: {} bytes", ours.len());
        }
        assert!(fs.xattr_get(&dir, 1, b"none").is_err());
    }
}

#[test]
fn multiple_mount_protection() {
    use ext4_core::mmp::{Mmp, MmpCheck, SEQ_CLEAN, SEQ_FSCK, node};
    let scratch = Scratch::new();
    let image = scratch.file("image");
    mkfs(&image, "-t ext4 -b 1024 -O mmp", "4M", None);
    let fs = mount(&image, false);
    let protect = fs.mmp().unwrap().unwrap();
    let block = protect.block;
    let mut data = fs.store.read_data(block);
    let mmp = protect.decode(&data).unwrap();
    assert_eq!((mmp.seq, protect.check(&mmp)), (SEQ_CLEAN, Ok(MmpCheck::Free)));
    let said = Mmp { seq: 77, interval: protect.first_interval(), node: node(b"host"), ..mmp };
    protect.encode(&mut data, 1, &said, b"vda");
    let mmp = protect.decode(&data).unwrap();
    assert!(matches!(protect.check(&mmp), Ok(MmpCheck::Wait(21))), "{:?}", protect.check(&mmp));
    // e2fsck reads it as we do: a number of a mount makes it wait, and say so.
    fs.store.write_data(block, 0, &data);
    std::fs::write(&image, fs.store.image()).unwrap();
    let (_, text) = run("debugfs", &["-R", "dump_mmp", image.to_str().unwrap()]);
    assert!(text.contains("sequence: 0000004d") && text.contains("node_name: host"), "{text}");
    protect.encode(&mut data, 2, &Mmp { seq: SEQ_FSCK, ..said }, b"");
    assert_eq!(protect.check(&protect.decode(&data).unwrap()), Err(errno::code::EBUSY));
    data[5] ^= 1;
    assert_eq!(protect.decode(&data), Err(errno::code::EBADMSG));
}
