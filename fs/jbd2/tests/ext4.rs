// SPDX-License-Identifier: GPL-2.0
//! ext4's core over this journal, with power cuts: random operations on names and files of an image by mke2fs, on a disk that
//! records its writes. After a cut anywhere, with any of the writes since the last flush lost, our recovery and e2fsck's own
//! bring the image to a state with which `e2fsck -fp` has nothing to repair. Skipped, with a line, without e2fsprogs.

mod common;
use common::{Rng, cut_sized};
use ext4_core::{Create, Fs, Inode, NewFile, Options, Tx};
use ext4_store::host::{HostMutex, HostOnce};
use ext4_store::{Locks, Report, Store, Time};
use jbd2::format::{INCOMPAT_64BIT, INCOMPAT_ASYNC_COMMIT, INCOMPAT_CSUM_V3};
use jbd2::host::*;
use jbd2::*;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc as StdArc, Mutex, OnceLock};

type J = kalloc::Arc<Journal<HostSystem>>;

/// A metadata block.
#[derive(Clone)]
struct Buf(HostBuf);
struct Bytes(Vec<u8>);
struct Changed<'a>(Vec<u8>, &'a HostBuf);

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl Deref for Changed<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl DerefMut for Changed<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.1.set(|data| data.copy_from_slice(&self.0));
    }
}

impl ext4_store::Buffer for Buf {
    type Read<'a> = Bytes;
    type Write<'a> = Changed<'a>;
    fn block(&self) -> u64 {
        Buffer::block(&self.0)
    }
    fn read(&self) -> Bytes {
        Bytes(self.0.get())
    }
    fn write(&self) -> Changed<'_> {
        Changed(self.0.get(), &self.0)
    }
    fn is_verified(&self) -> bool {
        false
    }
    fn set_verified(&self) {}
}

/// The store: the journal's system has the buffers.
struct Base {
    disk: StdArc<Disk>,
    block_size: usize,
    blocks: u64,
    /// For looking at the image before there is a journal.
    plain: HostSystem,
    journal: OnceLock<J>,
    reports: Mutex<Vec<String>>,
    clock: AtomicU64,
    dead: AtomicBool,
}

struct TestStore(StdArc<Base>);

impl Base {
    fn buf(&self, block: u64) -> Buf {
        Buf(self.journal.get().map_or(&self.plain, |journal| journal.system()).bread(block))
    }
}

impl Locks for TestStore {
    type Mutex<T: Send + 'static> = HostMutex<T>;
    type Once<T: Send + Sync + 'static> = HostOnce<T>;
}

impl Store for TestStore {
    type Buf = Buf;
    type Handle = Handle<HostSystem>;
    fn block_size(&self) -> usize {
        self.0.block_size
    }
    fn device_blocks(&self) -> u64 {
        self.0.blocks
    }
    fn bread(&self, block: u64) -> errno::Result<Buf> {
        if block < self.0.blocks { Ok(self.0.buf(block)) } else { Err(errno::code::EIO) }
    }
    fn getblk(&self, block: u64) -> errno::Result<Buf> {
        self.bread(block)
    }
    fn start(&self, credits: u32, revokes: u32) -> errno::Result<Self::Handle> {
        Journal::start(self.0.journal.get().unwrap(), credits, revokes)
    }
    fn credits(&self, handle: &Self::Handle) -> u32 {
        handle.credits()
    }
    fn extend(&self, handle: &mut Self::Handle, more: u32, revokes: u32) -> errno::Result<bool> {
        handle.extend(more, revokes)
    }
    fn restart(&self, handle: &mut Self::Handle, credits: u32, revokes: u32) -> errno::Result {
        handle.restart(credits, revokes)
    }
    fn stop(&self, handle: Self::Handle) -> errno::Result {
        handle.stop()
    }
    fn set_sync(&self, handle: &mut Self::Handle) {
        handle.set_sync();
    }
    fn tid(&self, handle: &Self::Handle) -> u32 {
        handle.tid()
    }
    fn get_write_access(&self, handle: &mut Self::Handle, buf: &Buf) -> errno::Result {
        handle.get_write_access(&buf.0)
    }
    fn get_create_access(&self, handle: &mut Self::Handle, buf: &Buf) -> errno::Result {
        handle.get_create_access(&buf.0)
    }
    fn dirty_metadata(&self, handle: &mut Self::Handle, buf: &Buf) -> errno::Result {
        handle.dirty_metadata(&buf.0)
    }
    fn forget(&self, handle: &mut Self::Handle, block: u64) -> errno::Result {
        handle.revoke(block, Some(&self.0.buf(block).0))
    }
    fn order_data(&self, _: &mut Self::Handle, _: u32, _: u64, _: u64) -> errno::Result {
        Ok(())
    }
    fn now(&self) -> Time {
        Time { sec: 1_700_000_000 + self.0.clock.fetch_add(1, Ordering::Relaxed) as i64, nsec: 5 }
    }
    fn random(&self) -> u32 {
        self.0.clock.fetch_add(7, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) as u32
    }
    fn cpu(&self) -> usize {
        0
    }
    fn cpus(&self) -> usize {
        2
    }
    fn error(&self, report: &Report) -> errno::Error {
        self.0.dead.store(true, Ordering::Relaxed);
        self.0.reports.lock().unwrap().push(format!("{report:?}"));
        report.error
    }
}

fn tool(name: &str, arguments: &[&str], path: &Path) -> Option<(i32, String)> {
    let program = ["/usr/sbin", "/sbin"].iter().map(|dir| format!("{dir}/{name}")).find(|p| Path::new(p).exists())?;
    let output = Command::new(program).args(arguments).arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.code()?, text))
}

fn base(disk: &StdArc<Disk>, block_size: usize) -> StdArc<Base> {
    StdArc::new(Base {
        disk: disk.clone(),
        block_size,
        blocks: (disk.bytes().len() / block_size) as u64,
        plain: HostSystem::new(disk.clone(), disk.clone()),
        journal: OnceLock::new(),
        reports: Mutex::new(Vec::new()),
        clock: AtomicU64::new(0),
        dead: AtomicBool::new(false),
    })
}

/// Where the log of an image lies.
fn geometry(disk: &StdArc<Disk>, block_size: usize) -> Geometry {
    let fs = Fs::mount(TestStore(base(disk, block_size)), Options { read_only: true, ..Default::default() }).unwrap();
    let inode = fs.inode(8).unwrap();
    let blocks = (inode.raw.size / block_size as u64) as u32;
    let mut runs = Vec::new();
    let mut at = 0;
    while at < blocks {
        let found = fs.map(&inode, at, blocks - at).unwrap();
        runs.push(Run { logical: at, physical: found.block().unwrap(), len: found.len });
        at += found.len;
    }
    Geometry::new(runs).unwrap()
}

/// A file that the load knows.
struct File {
    dir: u32,
    name: Vec<u8>,
    inode: Inode,
}

struct Load {
    fs: Fs<TestStore>,
    base: StdArc<Base>,
    rng: Rng,
    dirs: Vec<Inode>,
    files: Vec<File>,
    count: u64,
}

impl Load {
    fn op<R>(
        fs: &Fs<TestStore>,
        credits: u32,
        f: impl FnOnce(&mut Tx<TestStore>) -> errno::Result<R>,
    ) -> errno::Result<R> {
        fs.run(credits, true, f)
    }

    fn step(&mut self) {
        let Self { fs, base, rng, dirs, files, count } = self;
        *count += 1;
        let new = NewFile { mode: 0o100644, uid: 0, gid: 0, rdev: (0, 0), acls: [None, None] };
        let dir_index = rng.below(dirs.len() as u64) as usize;
        let name = format!("file {count} {}", "x".repeat(rng.below(60) as usize)).into_bytes();
        match rng.below(14) {
            0..=3 => {
                let dir = &mut dirs[dir_index];
                let credits = fs.credits_for_create(dir);
                if let Ok(inode) = Self::op(fs, credits, |tx| fs.create(tx, dir, &name, new)) {
                    files.push(File { dir: dir.ino, name, inode });
                }
            }
            4 if dirs.len() < 12 => {
                let dir = &mut dirs[dir_index];
                let new = NewFile { mode: 0o040755, ..new };
                let credits = fs.credits_for_create(dir);
                if let Ok(inode) = Self::op(fs, credits, |tx| fs.mkdir(tx, dir, &name, new)) {
                    dirs.push(inode);
                }
            }
            5..=8 if !files.is_empty() => {
                // Some blocks of data, written before the transaction can commit.
                let index = rng.below(files.len() as u64) as usize;
                let inode = &mut files[index].inode;
                let (lblk, len) = (rng.below(60) as u32, 1 + rng.below(8) as u32);
                let credits = fs.credits_for_map(inode) + 4;
                let _ = Self::op(fs, credits, |tx| {
                    let how = Create { convert: true, ..Create::default() };
                    let found = fs.map_create(tx, inode, lblk, len, how)?;
                    let block = found.block().ok_or(errno::code::EIO)?;
                    for step in 0..u64::from(found.len) {
                        base.disk.write(block + step, &vec![0xda; base.block_size], WriteFlags::default())?;
                    }
                    inode.raw.size = inode.raw.size.max(u64::from(lblk + found.len) * base.block_size as u64);
                    fs.write_inode(tx, inode)
                });
            }
            9 | 10 if !files.is_empty() => {
                let index = rng.below(files.len() as u64) as usize;
                let mut file = files.swap_remove(index);
                let dir = dirs.iter_mut().find(|dir| dir.ino == file.dir).unwrap();
                let credits = fs.credits_for_unlink(dir);
                Self::op(fs, credits, |tx| fs.unlink(tx, dir, &file.name, &mut file.inode)).unwrap();
                if rng.one_in(8) {
                    // Stays open: an orphan.
                    return;
                }
                let credits = fs.credits_for_truncate(&file.inode);
                while !Self::op(fs, credits, |tx| fs.evict(tx, &mut file.inode)).unwrap() {}
            }
            11 if !files.is_empty() => {
                let index = rng.below(files.len() as u64) as usize;
                let inode = &mut files[index].inode;
                let size = rng.below(inode.raw.size + 1);
                let credits = fs.credits_for_truncate(inode);
                let mut first = true;
                loop {
                    let done = Self::op(fs, credits, |tx| {
                        if first {
                            inode.raw.size = size;
                            fs.orphan_add(tx, inode)?;
                            fs.write_inode(tx, inode)?;
                        }
                        fs.truncate(tx, inode)
                    });
                    first = false;
                    if done.unwrap() {
                        break;
                    }
                }
            }
            12 => {
                let journal = base.journal.get().unwrap();
                journal.commit_all().unwrap();
                fs.committed(journal.committed_tid(), |_, _| {});
            }
            _ => {
                for buf in base.journal.get().unwrap().system().buffers() {
                    if rng.one_in(4) {
                        buf.write_back().unwrap();
                    }
                }
            }
        }
        let committed = base.journal.get().unwrap().committed_tid();
        fs.committed(committed, |_, _| {});
        assert!(!base.dead.load(Ordering::Relaxed), "{:?}", base.reports.lock().unwrap());
    }
}

/// A fresh file system with its journal: the directory and path of its image, the device, what holds its state.
type Fresh = (PathBuf, PathBuf, StdArc<Disk>, StdArc<Base>);

fn fresh(name: &str, make: &[&str], block_size: usize, config: Config) -> Option<Fresh> {
    let dir = PathBuf::from(std::env::temp_dir()).join(format!("jbd2-ext4-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let image = dir.join("image");
    // The disk was another's before: what nobody has written yet is not zeros.
    let mut old = Rng(block_size as u64);
    let words: Vec<u8> = (0..(12u32 << 20) / 8).flat_map(|_| old.next().to_le_bytes()).collect();
    std::fs::write(&image, words).unwrap();
    let size = block_size.to_string();
    let journal_size = if block_size == 1024 { "size=1" } else { "size=4" };
    let fill = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
    let mut arguments = vec!["-q", "-F", "-b", &size, "-J", journal_size, "-E", fill];
    arguments.extend_from_slice(make);
    let Some((0, _)) = tool("mke2fs", &arguments, &image) else {
        println!("skipped: no e2fsprogs");
        return None;
    };
    let start = std::fs::read(&image).unwrap();
    let disk = Disk::new(start.clone(), block_size);
    let log = geometry(&disk, block_size);
    let sys = HostSystem::new(disk.clone(), disk.clone());
    let (journal, _) = Journal::open(sys, log, block_size, config).unwrap();
    // The file system says that its log may be needed; the journal's superblock may have got features.
    {
        let mut block = vec![0; block_size];
        let (number, offset) = if block_size == 1024 { (1, 0) } else { (0, 1024) };
        disk.read(number, &mut block).unwrap();
        let mut sb = ext4_core::format::SuperBlock::parse(&block[offset..]).unwrap();
        sb.feature_incompat.set(sb.feature_incompat.get() | 4);
        sb.update_checksum();
        block[offset..offset + 1024].copy_from_slice(zerocopy::IntoBytes::as_bytes(&sb));
        disk.write(number, &block, WriteFlags::default()).unwrap();
    }
    let base = base(&disk, block_size);
    base.journal.set(journal).ok().unwrap();
    Some((dir, image, disk, base))
}

/// What a mount makes of a disk: the log replayed, orphans finished while a thread commits, all brought home. It must come to an end.
fn recovered(bytes: Vec<u8>, block_size: usize, config: Config, context: &str) -> Vec<u8> {
    let (done, end) = std::sync::mpsc::channel();
    let recovery =
        std::thread::spawn(move || {
            let disk = Disk::new(bytes, block_size);
            let log = geometry(&disk, block_size);
            let sys = HostSystem::new(disk.clone(), disk.clone());
            let (journal, _) = Journal::open(sys, log, block_size, config).unwrap();
            let base = base(&disk, block_size);
            base.journal.set(journal.clone()).ok().unwrap();
            journal.begin_thread();
            let of_thread = journal.clone();
            let thread = std::thread::spawn(move || of_thread.run_thread());
            let fs = Fs::mount(TestStore(base.clone()), Options::default()).unwrap();
            fs.recover_orphans(|fs, mut inode| {
                let credits = fs.credits_for_truncate(&inode);
                let gone = inode.raw.links_count == 0;
                while !fs.run(credits, true, |tx| {
                    if gone { fs.evict(tx, &mut inode) } else { fs.truncate(tx, &mut inode) }
                })? {}
                Ok(())
            })
            .unwrap();
            journal.flush().unwrap();
            journal.close().unwrap();
            thread.join().unwrap();
            let reports = base.reports.lock().unwrap();
            assert!(reports.is_empty(), "{reports:?}");
            done.send(disk.bytes()).unwrap();
        });
    match end.recv_timeout(std::time::Duration::from_secs(60)) {
        Ok(bytes) => bytes,
        // It panicked, or does not end.
        Err(error) => panic!("{context}: {error}, {}", if recovery.is_finished() { "panicked" } else { "no end" }),
    }
}

fn run(name: &str, make: &[&str], block_size: usize, config: Config, seed: u64, steps: u32, cuts: u32) {
    let Some((dir, image, disk, base)) = fresh(name, make, block_size, config) else { return };
    let start = disk.bytes();
    disk.record();
    let fs = Fs::mount(TestStore(base.clone()), Options::default()).unwrap();
    let root = fs.root().unwrap();
    let rng = Rng(seed * 1_000_003 + 17);
    let mut load = Load { fs, base: base.clone(), rng, dirs: vec![root], files: Vec::new(), count: 0 };
    for _ in 0..steps {
        load.step();
    }
    base.journal.get().unwrap().commit_all().unwrap();
    let events = disk.events();
    for number in 0..cuts {
        let at = load.rng.below(events.len() as u64 + 1) as usize;
        let after = cut_sized(&start, &events[..at], &mut load.rng, block_size);
        let context = format!("{name}, seed {seed}, cut at {at} of {}", events.len());
        let bytes = if number % 2 == 0 { recovered(after, block_size, config, &context) } else { after };
        std::fs::write(&image, &bytes).unwrap();
        let (status, text) = tool("e2fsck", &["-fp"], &image).unwrap();
        assert!(status <= 1, "{context}: e2fsck -fp gives {status}: {text}");
        let (status, text) = tool("e2fsck", &["-fn"], &image).unwrap();
        assert_eq!(status, 0, "{context}: e2fsck -fn: {text}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn power_cuts() {
    let rounds: u64 = std::env::var("CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let plain = Config { max_batch_ns: 0, ..Config::default() };
    let sums = Config { set_incompat: INCOMPAT_CSUM_V3 | INCOMPAT_64BIT, ..plain };
    let asynchronous = Config { set_incompat: INCOMPAT_CSUM_V3 | INCOMPAT_ASYNC_COMMIT, ..plain };
    for seed in 0..rounds {
        run("default", &["-t", "ext4"], 1024, sums, seed, 600, 12);
        run("4k", &["-t", "ext4"], 4096, sums, seed, 600, 8);
        run("ext3", &["-t", "ext3"], 1024, plain, seed, 600, 12);
        run("orphan_file", &["-t", "ext4", "-O", "orphan_file"], 1024, sums, seed, 600, 8);
        run("async", &["-t", "ext4"], 1024, asynchronous, seed, 600, 8);
    }
}

/// Blocks that need a revoke record each, many more than an operation begins with: in extents, and behind pointers.
#[test]
fn many_revokes() {
    let config = Config { max_batch_ns: 0, ..Config::default() };
    for kind in ["ext4", "ext3"] {
        let Some((dir, image, disk, base)) = fresh(&format!("revokes-{kind}"), &["-t", kind], 1024, config) else {
            return;
        };
        let fs = Fs::mount(TestStore(base.clone()), Options { journal_data: true, ..Options::default() }).unwrap();
        let mut root = fs.root().unwrap();
        let new = NewFile { mode: 0o100644, uid: 0, gid: 0, rdev: (0, 0), acls: [None, None] };
        let mut inode =
            fs.run(fs.credits_for_create(&root), true, |tx| fs.create(tx, &mut root, b"large", new)).unwrap();
        let mut at = 0;
        while at < 3000 {
            at += fs
                .run(fs.credits_for_map(&inode) + 4, true, |tx| {
                    let found = fs.map_create(tx, &mut inode, at, 3000 - at, Create::default())?;
                    inode.raw.size = u64::from(at + found.len) * 1024;
                    fs.write_inode(tx, &inode)?;
                    Ok(found.len)
                })
                .unwrap();
        }
        fs.run(fs.credits_for_unlink(&root), true, |tx| fs.unlink(tx, &mut root, b"large", &mut inode)).unwrap();
        let mut steps = 0;
        while !fs.run(fs.credits_for_truncate(&inode), true, |tx| fs.evict(tx, &mut inode)).unwrap() {
            steps += 1;
            assert!(steps < 1000, "no end");
        }
        let journal = base.journal.get().unwrap();
        journal.flush().unwrap();
        fs.committed(journal.committed_tid(), |_, _| {});
        std::fs::write(&image, disk.bytes()).unwrap();
        let (status, text) = tool("e2fsck", &["-fp"], &image).unwrap();
        assert!(status <= 1, "{kind}: e2fsck -fp gives {status}: {text}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
