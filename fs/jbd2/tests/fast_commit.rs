// SPDX-License-Identifier: GPL-2.0
//! Fast commits in the log of an image by mke2fs, made by hand: replayed here by ext4's core, and by e2fsck, both must find the same names
//! and content. Then areas that end in the middle, that are another transaction's, that are damaged; and power cuts while what the replay
//! changed goes home. Skipped, with a line, without e2fsprogs.

mod common;

use common::Rng;
use errno::code::*;
use ext4_core::format::inode::mode;
use ext4_core::format::{RawInode, SuperBlock};
use ext4_core::store::host::HostStore;
use ext4_core::{Fs, Options, Replayer, State};
use jbd2::fast_commit::*;
use jbd2::format::{INCOMPAT_FAST_COMMIT, Superblock};
use jbd2::host::*;
use jbd2::recovery::Recovered;
use jbd2::*;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc as StdArc;

const BS: usize = 1024;
const TID: u32 = 5;
/// Blocks for fast commits.
const AREA: u32 = 256;
/// Where the new file's data lies.
const DATA: u64 = 9000;
const OLD: u32 = 12;
const NEW: u32 = 13;
const DIR: u32 = 14;
const INNER: u32 = 15;

fn tool(name: &str, arguments: &[&str], path: &Path) -> Option<(i32, String)> {
    let program = ["/usr/sbin", "/sbin"].iter().map(|dir| format!("{dir}/{name}")).find(|p| Path::new(p).exists())?;
    let output = Command::new(program).args(arguments).arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.code()?, text))
}

/// The area under construction.
struct Area {
    bytes: Vec<u8>,
    crc: u32,
}

/// crc32c of Castagnoli without inversions, as the area has it.
fn crc32c(seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

impl Area {
    fn new(features: u32, tid: u32) -> Self {
        let mut area = Self { bytes: Vec::new(), crc: 0 };
        area.push(HEAD, &[features.to_le_bytes(), tid.to_le_bytes()].concat());
        area
    }
    fn raw(&mut self, tag: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&tag.to_le_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(value);
    }
    fn push(&mut self, tag: u16, value: &[u8]) {
        let left = BS - self.bytes.len() % BS;
        if value.len() + 8 > left {
            let from = self.bytes.len();
            self.raw(PAD, &vec![0; left - 4]);
            self.crc = crc32c(self.crc, &self.bytes[from..].to_vec());
        }
        let from = self.bytes.len();
        self.raw(tag, value);
        self.crc = crc32c(self.crc, &self.bytes[from..].to_vec());
    }
    fn name(&mut self, tag: u16, parent: u32, ino: u32, name: &str) {
        self.push(tag, &[&parent.to_le_bytes()[..], &ino.to_le_bytes(), name.as_bytes()].concat());
    }
    fn inode(&mut self, ino: u32, mode: u16, links: u16, size: u64) {
        let raw = RawInode { mode, links_count: links, size, ..sample() };
        let mut bytes = vec![0; 256];
        raw.encode(&mut bytes);
        bytes.truncate(128 + 32);
        self.push(INODE, &[&ino.to_le_bytes()[..], &bytes].concat());
    }
    fn add(&mut self, ino: u32, block: u32, len: u16, start: u32) {
        let words = [ino, block, u32::from(len), start].map(u32::to_le_bytes);
        self.push(ADD_RANGE, &words.concat());
    }
    fn tail(&mut self, tid: u32) {
        let left = BS - self.bytes.len() % BS;
        if left < 16 {
            self.push(PAD, &vec![0; left - 4]);
        }
        let from = self.bytes.len();
        let left = BS - from % BS;
        self.raw(TAIL, &vec![0; left - 4]);
        self.bytes[from + 4..from + 8].copy_from_slice(&tid.to_le_bytes());
        let crc = crc32c(self.crc, &self.bytes[from..from + 8].to_vec());
        self.bytes[from + 8..from + 12].copy_from_slice(&crc.to_le_bytes());
        self.crc = 0;
    }
}

fn sample() -> RawInode {
    let mut bytes = [0; 256];
    bytes[0x80] = 32;
    RawInode { flags: 0x8_0000, generation: 77, ..RawInode::decode(&bytes) }
}

/// A file with data, a directory with a file, a name that goes.
fn changes(area: &mut Area) {
    area.inode(NEW, mode::IFREG | 0o644, 1, 3000);
    area.add(NEW, 0, 3, DATA as u32);
    area.name(CREAT, 2, NEW, "new");
    area.inode(DIR, mode::IFDIR | 0o755, 2, 1024);
    area.name(CREAT, 2, DIR, "dir");
    area.inode(INNER, mode::IFREG | 0o600, 1, 0);
    area.name(CREAT, DIR, INNER, "inner");
    area.tail(TID);
    // A second fast commit.
    area.name(LINK, DIR, NEW, "linked");
    area.name(UNLINK, 2, NEW, "new");
    area.name(UNLINK, 2, OLD, "old");
    area.inode(NEW, mode::IFREG | 0o644, 1, 2500);
    area.tail(TID);
}

/// An image with the file `old`, whose log has such an area: its directory, path, bytes.
fn made(name: &str, area: &[u8]) -> Option<(PathBuf, PathBuf, Vec<u8>)> {
    let dir = std::env::temp_dir().join(format!("jbd2-fast-{}-{name}", std::process::id()));
    std::fs::create_dir_all(dir.join("from")).unwrap();
    std::fs::write(dir.join("from/old"), vec![6; 40_000]).unwrap();
    let image = dir.join("image");
    std::fs::File::create(&image).unwrap().set_len(12 << 20).unwrap();
    let from = dir.join("from").display().to_string();
    let arguments = ["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "fast_commit", "-J", "size=2", "-d", &from];
    let Some(done) = tool("mke2fs", &arguments, &image) else {
        println!("skipped: no e2fsprogs");
        return None;
    };
    assert_eq!(done.0, 0, "{}", done.1);
    let mut bytes = std::fs::read(&image).unwrap();
    let log = geometry(&bytes);
    let place = |block: u32| log.map(block).unwrap() as usize * BS;
    let mut head = [0u8; 1024];
    head.copy_from_slice(&bytes[place(0)..][..1024]);
    let mut sb = Superblock(kalloc::KBox::new(head, kalloc::flags::GFP_KERNEL).unwrap());
    sb.set_incompat(sb.incompat() | INCOMPAT_FAST_COMMIT);
    sb.set_fast_commit_blocks(AREA);
    sb.set_start(sb.first());
    sb.set_sequence(TID);
    sb.seal();
    let first = sb.max_len() - AREA + 1;
    bytes[place(0)..][..1024].copy_from_slice(&*sb.0);
    for (index, block) in area.chunks(BS).enumerate() {
        bytes[place(first + index as u32)..][..block.len()].copy_from_slice(block);
    }
    for index in 0..3 {
        bytes[(DATA as usize + index) * BS..][..BS].fill(0xa0 + index as u8);
    }
    set_super(&mut bytes, |sb| sb.feature_incompat.set(sb.feature_incompat.get() | 4));
    std::fs::write(&image, &bytes).unwrap();
    Some((dir, image, bytes))
}

fn set_super(bytes: &mut [u8], f: impl FnOnce(&mut SuperBlock)) {
    let mut sb = SuperBlock::parse(&bytes[1024..]).unwrap();
    f(&mut sb);
    sb.update_checksum();
    bytes[1024..2048].copy_from_slice(zerocopy::IntoBytes::as_bytes(&sb));
}

fn geometry(bytes: &[u8]) -> Geometry {
    let fs = Fs::mount(HostStore::new(bytes.to_vec(), BS), Options { read_only: true, ..Options::default() }).unwrap();
    let inode = fs.inode(8).unwrap();
    let (blocks, mut at, mut runs) = ((inode.raw.size / BS as u64) as u32, 0, Vec::new());
    while at < blocks {
        let found = fs.map(&inode, at, blocks - at).unwrap();
        runs.push(Run { logical: at, physical: found.block().unwrap(), len: found.len });
        at += found.len;
    }
    Geometry::new(runs).unwrap()
}

/// ext4's core as it replays, on a copy of the disk. `home`: how many blocks get home before the power is cut.
struct Core {
    disk: StdArc<Disk>,
    replayer: Option<Replayer<HostStore>>,
    after: Vec<u8>,
    log: Vec<u64>,
    home: usize,
}

impl Core {
    fn new(disk: &StdArc<Disk>, home: usize) -> Self {
        Self { disk: disk.clone(), replayer: None, after: Vec::new(), log: Vec::new(), home }
    }
    fn replayer(&mut self) -> errno::Result<&mut Replayer<HostStore>> {
        if self.replayer.is_none() {
            self.replayer = Some(Replayer::new(HostStore::new(self.disk.bytes(), BS))?);
        }
        Ok(self.replayer.as_mut().unwrap())
    }
}

impl Replay for Core {
    fn inode_size(&self) -> usize {
        256
    }
    fn announce(&mut self, ino: u32) -> errno::Result {
        self.replayer()?.announce(ino)
    }
    fn announce_blocks(&mut self, start: u64, len: u32) -> errno::Result {
        self.replayer()?.announce_blocks(start, len)
    }
    fn record(&mut self, record: &Record<'_>) -> errno::Result {
        let replayer = self.replayer()?;
        match *record {
            Record::AddRange { ino, block, len, start, unwritten } => {
                replayer.add_range(ino, ext4_core::format::extent::Extent { block, len, start, unwritten })
            }
            Record::DelRange { ino, block, len } => replayer.del_range(ino, block, len),
            Record::Inode { ino, bytes } => replayer.inode(ino, bytes),
            Record::Name { change: Change::Create, parent, ino, name } => replayer.create(parent, ino, name),
            Record::Name { change: Change::Link, parent, ino, name } => replayer.link(parent, ino, name),
            Record::Name { change: Change::Unlink, parent, ino, name } => replayer.unlink(parent, ino, name),
        }
    }
    fn finish(&mut self) -> errno::Result {
        self.replayer()?.finish()?;
        self.after = self.replayer()?.store().image();
        let log = geometry(&self.after);
        self.log = (0..log.blocks()).map(|at| log.map(at).unwrap()).collect();
        Ok(())
    }
    fn changed(&self, each: &mut dyn FnMut(u64, &[u8]) -> errno::Result) -> errno::Result {
        let before = self.disk.bytes();
        for (block, (new, old)) in self.after.chunks(BS).zip(before.chunks(BS)).enumerate() {
            // The log is written meanwhile: the copy has it as it was.
            if new != old && !self.log.contains(&(block as u64)) {
                each(block as u64, new)?;
            }
        }
        Ok(())
    }
    fn write_home(&mut self) -> errno::Result {
        let mut blocks = Vec::new();
        self.changed(&mut |block, data| {
            blocks.push((block, data.to_vec()));
            Ok(())
        })?;
        for (block, data) in blocks.iter().take(self.home) {
            self.disk.write(*block, data, WriteFlags::default())?;
        }
        if blocks.len() > self.home { Err(EIO) } else { Ok(()) }
    }
}

/// Recovers the log of an image: what came of it, and the bytes afterwards.
fn recover(bytes: &[u8], home: usize) -> (errno::Result<Recovered>, Vec<u8>) {
    let disk = Disk::new(bytes.to_vec(), BS);
    let log = geometry(bytes);
    let sys = HostSystem::new(disk.clone(), disk.clone());
    let done = Journal::read_superblock(&sys, &log, BS)
        .and_then(|mut sb| Journal::recover(&sys, &log, &mut sb, Some(&mut Core::new(&disk, home))));
    (done, disk.bytes())
}

/// The image is sound, and has what `changes` says.
fn verify(image: &Path, mut bytes: Vec<u8>, context: &str) {
    set_super(&mut bytes, |sb| sb.feature_incompat.set(sb.feature_incompat.get() & !4));
    let fs = Fs::mount(HostStore::new(bytes, BS), Options::default()).unwrap();
    fs.run(4, true, |tx| fs.sync_super(tx)).unwrap();
    let root = fs.root().unwrap();
    assert_eq!(root.raw.links_count, 4, "{context}");
    assert_eq!(fs.lookup(&root, b"new").unwrap(), None, "{context}");
    assert_eq!(fs.lookup(&root, b"old").unwrap(), None, "{context}");
    assert_eq!(fs.lookup(&root, b"dir").unwrap().map(|found| found.0), Some(DIR), "{context}");
    let dir = fs.file_inode(DIR).unwrap();
    assert_eq!(fs.lookup(&dir, b"inner").unwrap().map(|found| found.0), Some(INNER), "{context}");
    assert_eq!(fs.lookup(&dir, b"linked").unwrap().map(|found| found.0), Some(NEW), "{context}");
    let file = fs.file_inode(NEW).unwrap();
    assert_eq!((file.raw.size, file.raw.blocks, file.raw.links_count), (2500, 6, 1), "{context}");
    let found = fs.map(&file, 0, 9).unwrap();
    assert_eq!((found.state, found.len), (State::Written(DATA), 3), "{context}");
    std::fs::write(image, fs.store.image()).unwrap();
    let (status, text) = tool("e2fsck", &["-fn"], image).unwrap();
    assert_eq!(status, 0, "{context}: {text}");
}

#[test]
fn replayed() {
    let mut area = Area::new(0, TID);
    changes(&mut area);
    let Some((dir, image, bytes)) = made("replayed", &area.bytes) else { return };
    let (done, after) = recover(&bytes, usize::MAX);
    let done = done.unwrap();
    assert_eq!((done.fast_tags, done.needed, done.next_tid), (14, true, TID + 1));
    verify(&image, after.clone(), "recovered");
    // The log is empty, and the area is not looked at again.
    let (again, _) = recover(&after, usize::MAX);
    assert!(!again.unwrap().needed);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Without directories, which e2fsck (1.47) does not replay: the same files as it finds.
#[test]
fn files_as_e2fsck_replays_them() {
    let mut area = Area::new(0, TID);
    area.inode(NEW, mode::IFREG | 0o644, 1, 3000);
    area.add(NEW, 0, 3, DATA as u32);
    area.name(CREAT, 2, NEW, "new");
    area.name(LINK, 2, NEW, "linked");
    area.inode(NEW, mode::IFREG | 0o644, 2, 2500);
    area.tail(TID);
    area.name(UNLINK, 2, OLD, "old");
    area.tail(TID);
    let Some((dir, image, bytes)) = made("e2fsck", &area.bytes) else { return };
    let (done, ours) = recover(&bytes, usize::MAX);
    assert_eq!(done.unwrap().fast_tags, 9);
    let (status, text) = tool("e2fsck", &["-fy"], &image).unwrap();
    assert!(status <= 1, "{text}");
    let look = |bytes: Vec<u8>| {
        let fs = Fs::mount(HostStore::new(bytes, BS), Options { read_only: true, ..Options::default() }).unwrap();
        let root = fs.root().unwrap();
        let names = [&b"new"[..], b"linked", b"old"].map(|name| fs.lookup(&root, name).unwrap());
        let raw = fs.file_inode(NEW).unwrap().raw;
        (names, raw.mode, raw.links_count, raw.size, raw.blocks, raw.block)
    };
    assert_eq!(look(ours), look(std::fs::read(&image).unwrap()), "{text}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn cut_on_the_way_home() {
    let mut area = Area::new(0, TID);
    changes(&mut area);
    let Some((dir, image, bytes)) = made("home", &area.bytes) else { return };
    for home in [0, 1, 2, 3, 5, 8] {
        let (done, cut) = recover(&bytes, home);
        assert_eq!(done.err(), Some(EIO), "{home} blocks");
        // Now it is a transaction: nobody need know of fast commits.
        std::fs::write(&image, &cut).unwrap();
        let (status, text) = tool("e2fsck", &["-fy"], &image).unwrap();
        assert!(status <= 1, "{home} blocks: {text}");
        verify(&image, std::fs::read(&image).unwrap(), &format!("{home} blocks home, by e2fsck: {text}"));
        let disk = Disk::new(cut, BS);
        let log = geometry(&disk.bytes());
        let sys = HostSystem::new(disk.clone(), disk.clone());
        let mut sb = Journal::read_superblock(&sys, &log, BS).unwrap();
        let done = Journal::recover(&sys, &log, &mut sb, None).unwrap();
        assert_eq!((done.fast_tags, done.next_tid), (0, TID + 2), "{home} blocks");
        assert!(done.replayed > 4);
        verify(&image, disk.bytes(), &format!("{home} blocks home"));
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn areas_that_end() {
    // What the area is, what comes of it, how many records count.
    type Row = (&'static str, fn() -> Area, Result<u32, errno::Error>);
    fn area(f: impl FnOnce(&mut Area)) -> Area {
        let mut area = Area::new(0, TID);
        changes(&mut area);
        f(&mut area);
        area
    }
    let rows: [Row; 9] = [
        ("nothing after", || area(|_| {}), Ok(14)),
        ("another transaction's", || Area::new(0, TID - 1), Ok(0)),
        ("no head", || Area { bytes: vec![1; 64], crc: 0 }, Ok(0)),
        ("features", || Area::new(1, TID), Err(EOPNOTSUPP)),
        ("no tail", || Area::new(0, TID), Err(ECANCELED)),
        (
            "a tail of another one",
            || {
                let mut area = Area::new(0, TID);
                area.tail(TID - 1);
                area
            },
            Err(EBADMSG),
        ),
        ("a second one without a tail", || area(|area| area.name(UNLINK, DIR, INNER, "inner")), Ok(14)),
        (
            "a second one with a wrong sum",
            || {
                area(|area| {
                    area.name(UNLINK, DIR, INNER, "inner");
                    area.crc ^= 1;
                    area.tail(TID);
                })
            },
            Ok(14),
        ),
        (
            "an unknown tag",
            || {
                area(|area| {
                    area.raw(77, &[0; 20]);
                    area.tail(TID);
                })
            },
            Ok(14),
        ),
    ];
    for (what, area, wanted) in rows {
        let Some((dir, image, bytes)) = made("ends", &area().bytes) else { return };
        let (done, after) = recover(&bytes, usize::MAX);
        assert_eq!(done.map(|done| done.fast_tags), wanted, "{what}");
        if wanted == Ok(14) {
            verify(&image, after, what);
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Bytes of the area changed, its sums made right or not: an error or a result.
#[test]
fn damaged_areas() {
    let rounds: u64 = std::env::var("CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let mut whole = Area::new(0, TID);
    changes(&mut whole);
    let Some((dir, _, bytes)) = made("damaged", &whole.bytes) else { return };
    let log = geometry(&bytes);
    let first = log.blocks() - AREA + 1;
    let mut rng = Rng(99);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..rounds * 60 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(whole.bytes.len() as u64) as usize;
            let place = log.map(first + (at / BS) as u32).unwrap() as usize * BS + at % BS;
            bytes[place] = rng.next() as u8;
        }
        if rng.one_in(2) {
            // Whatever the records are, the tail says that they are so.
            for block in 0..whole.bytes.len() / BS {
                let place = log.map(first + block as u32).unwrap() as usize * BS;
                reseal(&mut bytes[place..place + BS]);
            }
        }
        match recover(&bytes, usize::MAX).0 {
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
    }
    println!("{good} recovered, {bad} refused");
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Makes the sum of a fast commit within a block right.
fn reseal(block: &mut [u8]) {
    let (mut at, mut crc) = (0, 0);
    while let Some(&[a, b, c, d]) = block.get(at..).and_then(|rest| rest.first_chunk()) {
        let (tag, len) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        if at + 4 + len > block.len() {
            return;
        }
        if tag == TAIL && len >= 8 {
            let sum = crc32c(crc, &block[at..at + 8]);
            block[at + 8..at + 12].copy_from_slice(&sum.to_le_bytes());
            return;
        }
        crc = crc32c(crc, &block[at..at + 4 + len]);
        at += 4 + len;
    }
}
