// SPDX-License-Identifier: GPL-2.0
//! Fast commits: random operations on an image, with the records that Linux would have written for them; replayed on the image as it was
//! before (only the data of files is new there), they give the same names and content, and e2fsck has nothing to say. Then records of
//! random bytes, which must end in an error or a result.

mod common;

use common::vfs::Vfs;
use common::*;
use ext4_core::format::extent::Extent;
use ext4_core::format::inode::mode;
use ext4_core::format::{GroupDesc, RawInode};
use ext4_core::store::host::HostStore;
use ext4_core::{Fs, Replayer};
use std::collections::BTreeMap;

/// A record, as it lies in the log.
#[derive(Clone, Debug)]
enum Record {
    Add(u32, Extent),
    Del(u32, u32, u32),
    Create(u32, u32, Vec<u8>),
    Link(u32, u32, Vec<u8>),
    Unlink(u32, u32, Vec<u8>),
    Inode(u32, Vec<u8>),
}

/// What is to be recorded of a file with the next fast commit: the blocks that changed.
type Changed = BTreeMap<u32, Option<(u32, u32)>>;

/// A load, and what Linux notes of it.
struct Load {
    vfs: Vfs,
    random: Random,
    /// Directories, and names: directory and name to inode.
    dirs: Vec<u32>,
    names: BTreeMap<(u32, Vec<u8>), u32>,
    pending: Vec<Record>,
    changed: Changed,
    log: Vec<Record>,
    count: u32,
}

fn table_record(fs: &Fs<HostStore>, ino: u32) -> Vec<u8> {
    let (geo, bs) = (&fs.geo, fs.geo.block_size);
    let (group, index) = geo.locate_inode(ino);
    let descs = fs.store.read_data_or_cached(geo.gdt_block(group / geo.desc_per_block));
    let desc = GroupDesc::decode(&descs[(group % geo.desc_per_block) as usize * geo.desc_size..][..geo.desc_size]);
    let at = index as usize * geo.inode_size;
    fs.store.read_data_or_cached(desc.inode_table + (at / bs) as u64)[at % bs..][..geo.inode_size].to_vec()
}

impl Load {
    fn note(&mut self, ino: u32, range: Option<(u32, u32)>) {
        let known = self.changed.entry(ino).or_default();
        if let Some((from, to)) = range {
            *known = Some(known.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
        }
    }

    /// Blocks of bytes.
    fn blocks(&self, from: u64, to: u64) -> Option<(u32, u32)> {
        let bs = self.vfs.fs.geo.block_size as u64;
        Some(((from / bs) as u32, to.div_ceil(bs) as u32))
    }

    fn ranges(&mut self, ino: u32) {
        let Some(Some((mut at, end))) = self.changed.get(&ino).copied() else { return };
        self.changed.insert(ino, None);
        let inode = self.vfs.fs.inode(ino).unwrap();
        if inode.is_inline() {
            return;
        }
        while at < end {
            let found = self.vfs.fs.map(&inode, at, end - at).unwrap();
            self.log.push(match found.allocated() {
                Some(start) => {
                    let unwritten = found.block().is_none();
                    Record::Add(ino, Extent { block: at, len: found.len, start, unwritten })
                }
                None => Record::Del(ino, at, found.len),
            });
            at += found.len;
        }
    }

    fn record(&mut self, ino: u32) {
        let mut bytes = table_record(&self.vfs.fs, ino);
        let raw = RawInode::decode(&bytes);
        if raw.flags & 0x1000_0000 == 0 && bytes.len() > 128 {
            bytes.truncate(128 + usize::from(raw.extra_isize));
        }
        self.log.push(Record::Inode(ino, bytes));
    }

    fn fast_commit(&mut self) {
        for record in std::mem::take(&mut self.pending) {
            if let Record::Create(_, ino, _) = record {
                self.record(ino);
                self.ranges(ino);
            }
            self.log.push(record);
        }
        for ino in self.changed.keys().copied().collect::<Vec<_>>() {
            self.ranges(ino);
            self.record(ino);
        }
        self.changed.clear();
    }

    /// The inode is gone: what would be recorded of it is forgotten.
    fn gone(&mut self, ino: u32) {
        if !self.names.values().any(|&other| other == ino) {
            self.changed.remove(&ino);
            self.pending.retain(|record| !matches!(record, Record::Create(_, made, _) if *made == ino));
        }
    }

    fn some_file(&mut self) -> Option<(u32, Vec<u8>, u32)> {
        let dirs = self.dirs.clone();
        let files: Vec<_> = self.names.iter().filter(|(_, ino)| !dirs.contains(ino)).collect();
        if files.is_empty() {
            return None;
        }
        let ((dir, name), ino) = files[self.random.below(files.len() as u64) as usize];
        Some((*dir, name.clone(), *ino))
    }

    fn is_file(&self, ino: u32) -> bool {
        self.vfs.fs.inode(ino).unwrap().is_regular()
    }

    fn step(&mut self) {
        self.count += 1;
        let dir = self.dirs[self.random.below(self.dirs.len() as u64) as usize];
        let name = format!("{}-{}", self.count, "n".repeat(self.random.below(90) as usize)).into_bytes();
        match self.random.below(16) {
            0..=3 => {
                let ino = self.vfs.create(dir, &name, mode::IFREG | 0o644).unwrap();
                self.pending.push(Record::Create(dir, ino, name.clone()));
                self.names.insert((dir, name), ino);
                self.note(ino, None);
            }
            4 => {
                let ino = match self.random.below(2) {
                    0 => self.vfs.symlink(dir, &name, &vec![b't'; 10 + self.random.below(80) as usize]).unwrap(),
                    _ => self.vfs.create(dir, &name, mode::IFCHR | 0o600).unwrap(),
                };
                let long = self.vfs.fs.inode(ino).unwrap().uses_extents();
                self.pending.push(Record::Create(dir, ino, name.clone()));
                self.names.insert((dir, name), ino);
                self.note(ino, long.then_some((0, 1)));
            }
            5 if self.dirs.len() < 8 => {
                let ino = self.vfs.create(dir, &name, mode::IFDIR | 0o755).unwrap();
                self.pending.push(Record::Create(dir, ino, name.clone()));
                self.names.insert((dir, name), ino);
                self.dirs.push(ino);
            }
            6 | 7 => {
                let Some((dir, name, ino)) = self.some_file() else { return };
                self.vfs.unlink(dir, &name, ino).unwrap();
                self.names.remove(&(dir, name.clone()));
                self.pending.push(Record::Unlink(dir, ino, name));
                self.note(ino, None);
                self.gone(ino);
            }
            8 => {
                let Some((_, _, ino)) = self.some_file() else { return };
                self.vfs.link(dir, &name, ino).unwrap();
                self.pending.push(Record::Link(dir, ino, name.clone()));
                self.names.insert((dir, name), ino);
                self.note(ino, None);
            }
            9 => {
                let (Some(from), Some(over)) = (self.some_file(), self.some_file()) else { return };
                if from.2 == over.2 {
                    return;
                }
                self.vfs.rename(from.0, &from.1, from.2, over.0, &over.1, Some(over.2)).unwrap();
                self.names.remove(&(from.0, from.1.clone()));
                self.names.insert((over.0, over.1.clone()), from.2);
                self.pending.push(Record::Unlink(over.0, over.2, over.1.clone()));
                self.pending.push(Record::Link(over.0, from.2, over.1));
                self.pending.push(Record::Unlink(from.0, from.2, from.1));
                self.note(from.2, None);
                self.note(over.2, None);
                self.gone(over.2);
            }
            10 => {
                // An empty directory goes.
                let empty = self
                    .names
                    .iter()
                    .find(|(_, ino)| self.dirs.contains(ino) && !self.names.keys().any(|(parent, _)| parent == *ino));
                let Some(((parent, name), &ino)) = empty.map(|(key, ino)| (key.clone(), ino)) else { return };
                self.vfs.unlink(parent, &name, ino).unwrap();
                self.names.remove(&(parent, name.clone()));
                self.dirs.retain(|&dir| dir != ino);
                self.pending.push(Record::Unlink(parent, ino, name));
                self.gone(ino);
            }
            11 => self.fast_commit(),
            what => {
                let Some((_, _, ino)) = self.some_file().filter(|file| self.is_file(file.2)) else { return };
                let pos = self.random.below(60_000);
                let end = pos + 1 + self.random.below(9000);
                match what {
                    12 | 13 => {
                        let way = self.random.below(2);
                        self.vfs.write(ino, pos, &vec![self.count as u8; (end - pos) as usize], way).unwrap();
                    }
                    14 => {
                        let size = self.vfs.with(ino, |_, inode| inode.raw.size);
                        self.vfs.truncate(ino, pos).unwrap();
                        let range = self.blocks(pos, pos.max(size).max(pos + 1));
                        return self.note(ino, range);
                    }
                    _ if self.count % 2 == 0 => self.vfs.punch(ino, pos, end).unwrap(),
                    _ => self.vfs.fallocate(ino, pos, end, false).unwrap(),
                }
                let range = self.blocks(pos, end);
                self.note(ino, range);
            }
        }
    }
}

/// What a walk finds: by path, the type, links, size, and content.
fn tree(fs: &Fs<HostStore>) -> BTreeMap<Vec<u8>, (u16, u16, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![(2, Vec::new())];
    while let Some((ino, path)) = todo.pop() {
        let inode = fs.inode(ino).unwrap();
        let (content, size) = match inode.kind() {
            mode::IFREG => (read_file(fs, &inode).unwrap(), inode.raw.size),
            mode::IFLNK => (fs.read_link(&inode).unwrap().to_vec(), inode.raw.size),
            mode::IFDIR => (Vec::new(), 0),
            _ => (format!("{:?}", inode.rdev()).into_bytes(), 0),
        };
        if inode.is_dir() {
            for (name, child, _) in list(fs, &inode).unwrap() {
                if name != b"." && name != b".." {
                    todo.push((child, [&path[..], b"/", &name].concat()));
                }
            }
        }
        assert!(found.insert(path, (inode.raw.mode, inode.raw.links_count, size, content)).is_none());
    }
    found
}

fn replay(bytes: Vec<u8>, bs: usize, log: &[Record]) -> errno::Result<HostStore> {
    let store = HostStore::new(bytes, bs);
    let mut replayer = Replayer::new(store.share())?;
    for record in log {
        match record {
            Record::Add(ino, extent) => {
                replayer.announce(*ino)?;
                replayer.announce_blocks(extent.start, extent.len)?;
            }
            Record::Del(ino, ..) | Record::Inode(ino, _) => replayer.announce(*ino)?,
            Record::Create(dir, ino, _) | Record::Link(dir, ino, _) | Record::Unlink(dir, ino, _) => {
                replayer.announce(*dir)?;
                replayer.announce(*ino)?;
            }
        }
    }
    for record in log {
        match record {
            Record::Add(ino, extent) => replayer.add_range(*ino, *extent),
            Record::Del(ino, block, len) => replayer.del_range(*ino, *block, *len),
            Record::Create(dir, ino, name) => replayer.create(*dir, *ino, name),
            Record::Link(dir, ino, name) => replayer.link(*dir, *ino, name),
            Record::Unlink(dir, ino, name) => replayer.unlink(*dir, *ino, name),
            Record::Inode(ino, bytes) => replayer.inode(*ino, bytes),
        }?;
    }
    replayer.finish()?;
    Ok(store)
}

/// The superblock's counts, as a mount and its end make them.
fn settled(store: &HostStore) -> Vec<u8> {
    Vfs::new(mount_bytes(store.image(), false).unwrap()).image()
}

const TABLE: &[&str] = &[
    "-t ext4 -b 1024 -O ^has_journal",
    "-t ext4 -b 4096 -O ^has_journal,^metadata_csum,uninit_bg,^64bit",
    "-t ext4 -b 1024 -O ^has_journal,inline_data -I 256",
    "-t ext4 -b 1024 -O ^has_journal,quota",
    "-t ext4 -b 1024 -O ^has_journal,bigalloc -C 4096",
    "-t ext4 -b 2048 -I 128 -O ^has_journal,^dir_index,^filetype",
];

fn loaded(image: &std::path::Path, words: &str, seed: u64, steps: u32) -> (Vec<u8>, Vec<u8>, Vec<Record>) {
    mkfs(image, words, "24M", None);
    let random = Random(seed * 77 + 5);
    let vfs = Vfs::new(mount_bytes(std::fs::read(image).unwrap(), false).unwrap());
    let mut load = Load {
        vfs,
        random,
        dirs: vec![2],
        names: BTreeMap::new(),
        pending: Vec::new(),
        changed: BTreeMap::new(),
        log: Vec::new(),
        count: 0,
    };
    for _ in 0..steps / 2 {
        load.step();
    }
    // A whole transaction: what was noted so far is in it.
    load.pending.clear();
    load.changed.clear();
    load.log.clear();
    let start = load.vfs.image();
    let bs = load.vfs.fs.geo.block_size;
    load.vfs = Vfs::new(mount_bytes(start.clone(), false).unwrap());
    // What is freed is not given out before the next one.
    load.vfs.fs.store.hold_freed();
    for _ in 0..steps / 2 {
        load.step();
    }
    load.fast_commit();
    let end = load.vfs.image();
    // The data of files lies on the disk in any case.
    let mut crashed = start;
    let fs = mount_bytes(end.clone(), true).unwrap();
    for ino in load.names.values() {
        let inode = fs.inode(*ino).unwrap();
        if (!inode.is_regular() && !inode.is_symlink()) || inode.is_inline() || inode.is_fast_symlink() {
            continue;
        }
        let mut at = 0;
        while at < 400 {
            let found = fs.map(&inode, at, 400 - at).unwrap();
            if let Some(block) = found.block() {
                let (from, to) = (block as usize * bs, (block as usize + found.len as usize) * bs);
                crashed[from..to].copy_from_slice(&end[from..to]);
            }
            at += found.len;
        }
    }
    (crashed, end, load.log)
}

#[test]
fn as_if_committed() {
    let rounds: u64 = std::env::var("EXT4_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let scratch = Scratch::new();
    let image = scratch.file("image");
    for words in TABLE {
        for seed in 0..rounds {
            let context = format!("{words}, seed {seed}");
            let (crashed, end, log) = loaded(&image, words, seed, 500);
            std::fs::write(&image, &end).unwrap();
            assert_eq!(fsck(&image), None, "{context}: the load");
            let wanted = tree(&mount_bytes(end, true).unwrap());
            let bs = mount_bytes(crashed.clone(), true).unwrap().geo.block_size;
            let store = replay(crashed, bs, &log).unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert_eq!(store.reports(), Vec::<String>::new(), "{context}");
            let once = settled(&store);
            std::fs::write(&image, &once).unwrap();
            assert_eq!(fsck(&image), None, "{context}");
            assert!(tree(&mount_bytes(once, true).unwrap()) == wanted, "{context}: another tree");
            // All is home, but the log was not emptied: the same once more.
            let again = replay(store.image(), bs, &log).unwrap_or_else(|error| panic!("{context}: again: {error:?}"));
            let twice = settled(&again);
            std::fs::write(&image, &twice).unwrap();
            assert_eq!(fsck(&image), None, "{context}: again");
            assert!(tree(&mount_bytes(twice, true).unwrap()) == wanted, "{context}: another tree the second time");
        }
    }
}

/// Changes a record into what nobody wrote.
fn damage(record: &mut Record, random: &mut Random, inodes: u64) {
    let number = |random: &mut Random| match random.below(3) {
        0 => random.next() as u32,
        _ => random.below(inodes.min(60)) as u32,
    };
    let word = |random: &mut Random| match random.below(3) {
        0 => random.next() as u32,
        1 => u32::MAX - random.below(3) as u32,
        _ => random.below(30_000) as u32,
    };
    match record {
        Record::Add(ino, extent) => match random.below(4) {
            0 => *ino = number(random),
            1 => extent.block = word(random),
            2 => extent.len = word(random) % 0x8001,
            _ => extent.start = u64::from(word(random)),
        },
        Record::Del(ino, block, len) => match random.below(3) {
            0 => *ino = number(random),
            1 => *block = word(random),
            _ => *len = word(random),
        },
        Record::Create(dir, ino, name) | Record::Link(dir, ino, name) | Record::Unlink(dir, ino, name) => {
            match random.below(3) {
                0 => *dir = number(random),
                1 => *ino = number(random),
                _ => {
                    let at = random.below(name.len() as u64) as usize;
                    name[at] = random.next() as u8;
                }
            }
        }
        Record::Inode(ino, bytes) => match random.below(5) {
            0 => *ino = number(random),
            1 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
            _ => {
                let at = random.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
        },
    }
}

#[test]
fn damaged_records_end() {
    let rounds: u64 = std::env::var("EXT4_MUTATIONS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let scratch = Scratch::new();
    let image = scratch.file("image");
    for (number, words) in TABLE.iter().enumerate() {
        let (crashed, _, log) = loaded(&image, words, 40, 300);
        let fs = mount_bytes(crashed.clone(), true).unwrap();
        let (bs, inodes) = (fs.geo.block_size, fs.inodes_count().into());
        let mut random = Random(number as u64 * 31 + 7);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..rounds / TABLE.len() as u64 {
            let mut log = log.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(log.len() as u64) as usize;
                match random.below(5) {
                    0 => drop(log.remove(at)),
                    1 => {
                        let to = random.below(log.len() as u64) as usize;
                        log.swap(at, to);
                    }
                    _ => damage(&mut log[at], &mut random, inodes),
                }
            }
            match replay(crashed.clone(), bs, &log) {
                Ok(_) => good += 1,
                Err(_) => bad += 1,
            }
        }
        println!("{words}: {good} replayed, {bad} refused");
    }
}

/// The root's number is never given out again, whatever a record says.
#[test]
fn the_root_stays() {
    let scratch = Scratch::new();
    let (crashed, _, log) = loaded(&scratch.file("image"), TABLE[0], 3, 60);
    let bs = mount_bytes(crashed.clone(), true).unwrap().geo.block_size;
    let new =
        log.iter().find_map(|record| if let Record::Inode(_, bytes) = record { Some(bytes.clone()) } else { None });
    let log = [Record::Inode(2, new.unwrap())];
    assert_eq!(replay(crashed, bs, &log).err(), Some(errno::code::EUCLEAN));
}
