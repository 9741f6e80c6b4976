// SPDX-License-Identifier: GPL-2.0
//! Random operations on files whose content is known: each thread has a file of its own, and its lanes of a file that all share, whose
//! bytes lie in the same pages. What is read must be what was written.
//!
//! `dir=`, `threads=`, `seconds=`, `seed=`, `max=` (bytes of a file), `pressure=` (MiB of memory taken and given back all the time),
//! `drop=1` (caches are dropped all the time), `errors=full` (ENOSPC and EDQUOT may come) or `errors=any` (EIO and EROFS, too: then only
//! what is said to be written counts until the first error).

mod lanes;
mod ops;
mod places;

use ext4_tests::sys::{self, File, Pages, path};
use ext4_tests::{Rng, Words};
use lanes::Lanes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PAGE: u64 = 4096;
const LANE: u64 = 1500;
const LANES: u64 = 40;
const COPY: u64 = 1 << 16;

/// What all threads know.
struct Common {
    dir: String,
    threads: u64,
    max: u64,
    /// Errors of a full disk are no mistakes; nor those of a broken one.
    full: bool,
    any: bool,
    stop: AtomicBool,
    ops: AtomicU64,
    failed: AtomicU64,
    /// Errors that might come, and came.
    refused: AtomicU64,
}

/// A file and what it should hold.
struct Model {
    common: Arc<Common>,
    name: String,
    file: File,
    direct: Option<File>,
    append: File,
    /// Data passes through it to and from mapped memory: errors are values then, not signals.
    memory: File,
    data: Vec<u8>,
    rng: Rng,
    buffer: Pages,
    history: VecDeque<String>,
    unsupported: Vec<&'static str>,
    /// After EIO nothing is known any more.
    lost: bool,
}

/// A part of the file in memory.
struct Mapped {
    at: *mut u8,
    length: usize,
}

impl Mapped {
    fn new(file: &File, start: u64, length: u64) -> sys::Result<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let at = unsafe {
            libc::mmap(core::ptr::null_mut(), length as usize, rights, libc::MAP_SHARED, file.0, start as i64)
        };
        if at == libc::MAP_FAILED { Err(sys::errno()) } else { Ok(Self { at: at.cast(), length: length as usize }) }
    }

    /// Gives bytes of the mapping to the file `memory`, or takes them from there, by system calls.
    fn pass(&self, memory: &File, offset: u64, length: usize, store: bool) -> sys::Result<usize> {
        assert!(offset as usize + length <= self.length);
        // SAFETY: inside the mapping; a fault there ends the call with an error.
        let done = unsafe {
            let at = self.at.add(offset as usize).cast();
            if store { libc::pread(memory.0, at, length, 0) } else { libc::pwrite(memory.0, at, length, 0) }
        };
        if done < 0 { Err(sys::errno()) } else { Ok(done as usize) }
    }

    /// msync(2).
    fn sync(&self) -> sys::Result<()> {
        // SAFETY: the mapping is ours.
        if unsafe { libc::msync(self.at.cast(), self.length, libc::MS_SYNC) } < 0 { Err(sys::errno()) } else { Ok(()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours.
        unsafe { libc::munmap(self.at.cast(), self.length) };
    }
}

fn scratch() -> File {
    // SAFETY: a string with its NUL.
    let file = File(unsafe { libc::memfd_create(c"fsx".as_ptr(), 0) });
    assert!(file.0 >= 0, "memfd_create");
    file.truncate(1 << 20).expect("a scratch file");
    file
}

impl Model {
    fn new(common: &Arc<Common>, name: String, seed: u64) -> sys::Result<Self> {
        let text = path(&name);
        let file = File::open(&text, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o644)?;
        let direct = File::open(&text, libc::O_RDWR | libc::O_DIRECT, 0).ok();
        let append = File::open(&text, libc::O_WRONLY | libc::O_APPEND, 0)?;
        let buffer = Pages::new(1 << 20);
        Ok(Self {
            common: common.clone(),
            name,
            file,
            direct,
            append,
            memory: scratch(),
            data: Vec::new(),
            rng: Rng::new(seed),
            buffer,
            history: VecDeque::new(),
            unsupported: Vec::new(),
            lost: false,
        })
    }

    /// A mistake: says what happened, and ends the run.
    fn wrong(&self, what: &str) {
        if self.common.failed.fetch_add(1, Relaxed) == 0 {
            let last: Vec<&str> = self.history.iter().map(String::as_str).collect();
            println!("WRONG {}: {what}\nlast operations:\n{}", self.name, last.join("\n"));
        }
        self.common.stop.store(true, Relaxed);
    }

    /// What an error means: nothing (false) if it may come, else a mistake.
    fn refused(&mut self, what: &'static str, errno: i32) {
        self.common.refused.fetch_add(u64::from(errno != libc::EOPNOTSUPP), Relaxed);
        match errno {
            libc::EOPNOTSUPP => self.unsupported.push(what),
            libc::ENOSPC | libc::EDQUOT if self.common.full => {}
            libc::EIO | libc::EROFS | libc::EFAULT | libc::ENOSPC if self.common.any => self.lost = true,
            _ => self.wrong(&format!("{what}: errno {errno}")),
        }
        self.history.push_back(format!("  refused: {errno}"));
    }

    fn note(&mut self, text: String) {
        if self.history.len() > 40 {
            self.history.pop_front();
        }
        self.history.push_back(text);
    }

    fn size(&self) -> u64 {
        self.data.len() as u64
    }

    /// Bytes of a range of the file as they should be.
    fn span(&self, at: u64, length: u64) -> &[u8] {
        &self.data[at as usize..(at + length) as usize]
    }

    fn random(&mut self, length: u64) {
        let (tag, mut rng) = (self.rng.next_u64(), self.rng.clone());
        for chunk in self.buffer[..length as usize].chunks_mut(8) {
            chunk.copy_from_slice(&(rng.next_u64() ^ tag).to_le_bytes()[..chunk.len()]);
        }
    }

    /// The file's content from `at` on becomes the first `length` bytes of the buffer.
    fn wrote(&mut self, at: u64, length: usize) {
        let end = at as usize + length;
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[at as usize..end].copy_from_slice(&self.buffer[..length]);
    }

    /// A write of `length` bytes at `at` failed in the middle: every byte is the old or the new one, and becomes known.
    fn settle(&mut self, at: u64, length: u64) {
        let Ok(st) = self.file.stat() else { return };
        let size = st.st_size as u64;
        if size < self.size() || size > self.size().max(at + length) {
            return self.wrong(&format!("size {size} after a failed write, was {}", self.size()));
        }
        self.data.resize(size as usize, 0);
        let length = (at + length).min(size).saturating_sub(at);
        let mut found = vec![0u8; length as usize];
        match self.file.read(&mut found, at) {
            Ok(n) if n as u64 == length => {}
            other => return self.wrong(&format!("reading back: {other:?}")),
        }
        for (n, byte) in found.into_iter().enumerate() {
            let place = at as usize + n;
            if byte != self.data[place] && byte != self.buffer[n] && byte != 0 {
                return self.wrong(&format!("after a failed write, byte {place} is {byte:02x}, neither old nor new"));
            }
            self.data[place] = byte;
        }
    }

    /// Compares what was read at `at`.
    fn compare(&self, how: &str, at: u64, found: &[u8]) {
        let wanted = self.span(at, found.len() as u64);
        if let Some(n) = (0..found.len()).find(|n| found[*n] != wanted[*n]) {
            let count = (0..found.len()).filter(|n| found[*n] != wanted[*n]).count();
            let last = (0..found.len()).rfind(|n| found[*n] != wanted[*n]).unwrap_or(n);
            let show = |data: &[u8]| {
                data[n..(n + 16).min(data.len())].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            };
            self.wrong(&format!(
                "{how} at {at}+{}: {count} bytes differ from {} to {}: {} wanted {}, size {}",
                found.len(),
                at + n as u64,
                at + last as u64,
                show(found),
                show(wanted),
                self.size()
            ));
        }
    }

    /// A range: mostly small, anywhere up to `most`.
    fn range(&mut self, most: u64) -> (u64, u64) {
        let at = self.rng.below(most);
        let length = match self.rng.below(4) {
            0 => self.rng.below(100),
            1 => self.rng.below(PAGE),
            _ => self.rng.below(COPY),
        };
        (at, (length + 1).min(self.common.max.max(at + 1) - at))
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..18 => self.write(false),
            18..28 => self.write(true),
            28..40 => self.read(false),
            40..46 => self.read(true),
            46..58 => self.mapped(true),
            58..66 => self.mapped(false),
            66..72 => self.truncate(),
            72..84 => self.fallocate(),
            84..87 => self.append(),
            87..89 => self.copy_range(),
            89..91 => self.send(),
            91..93 => self.holes(),
            93..95 => self.places(),
            95..99 => self.settle_down(),
            _ => self.whole(),
        }
        let size = self.file.stat().map_or(0, |st| st.st_size as u64);
        if size != self.size() && !self.lost {
            self.wrong(&format!("the size is {size}, not {}", self.size()));
        }
        if self.lost {
            // Nothing is known after an error of the disk: begin anew.
            self.lost = false;
            self.note("anew".into());
            self.data.clear();
            if self.file.truncate(0).is_err() {
                self.common.stop.store(true, Relaxed);
            }
        }
    }
}

fn thread(common: &Arc<Common>, index: u64, seed: u64) {
    let name = format!("{}/file{index}", common.dir);
    let (mut own, mut lanes) =
        match (Model::new(common, name, seed * 1000 + index), Lanes::new(common, index, seed * 1000 + 500 + index)) {
            (Ok(own), Ok(lanes)) => (own, lanes),
            (own, lanes) => {
                println!("cannot begin: {:?} {:?}", own.err(), lanes.err());
                common.failed.fetch_add(u64::from(!common.any), Relaxed);
                return;
            }
        };
    while !common.stop.load(Relaxed) {
        if own.rng.one_in(5) {
            lanes.step();
        } else {
            own.step();
        }
        common.ops.fetch_add(1, Relaxed);
    }
    if common.failed.load(Relaxed) == 0 {
        own.whole();
    }
}

/// Takes memory and gives it back, again and again.
fn press(common: &Common, bytes: usize) {
    while !common.stop.load(Relaxed) {
        let mut memory = Pages::new(bytes);
        for at in (0..bytes).step_by(4096) {
            memory[at] = 1;
            if common.stop.load(Relaxed) {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn main() {
    let words = Words::new();
    let errors = words.text("errors").unwrap_or("");
    let common = Arc::new(Common {
        dir: words.text("dir").expect("dir=").into(),
        threads: words.number("threads", 4),
        max: words.number("max", 300_000),
        full: errors == "full" || errors == "any",
        any: errors == "any",
        stop: AtomicBool::new(false),
        ops: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    });
    let (seed, seconds) = (words.number("seed", 1), words.number("seconds", 10));
    let mut threads = Vec::new();
    for index in 0..common.threads {
        let common = common.clone();
        threads.push(std::thread::spawn(move || thread(&common, index, seed)));
    }
    let pressure = words.number("pressure", 0) as usize;
    if pressure > 0 {
        let common = common.clone();
        threads.push(std::thread::spawn(move || press(&common, pressure << 20)));
    }
    let (start, mut dropped, mut said) = (Instant::now(), Instant::now(), Instant::now());
    while start.elapsed() < Duration::from_secs(seconds) && !common.stop.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
        if words.number("drop", 0) == 1 && dropped.elapsed() > Duration::from_millis(700) {
            std::fs::write("/proc/sys/vm/drop_caches", "3").ok();
            dropped = Instant::now();
        }
        if said.elapsed() > Duration::from_secs(20) {
            println!("fsx: {} operations so far", common.ops.load(Relaxed));
            said = Instant::now();
        }
    }
    common.stop.store(true, Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends well"));
    let failed = common.failed.load(Relaxed);
    println!("fsx: {} operations, {} refused, {failed} wrong", common.ops.load(Relaxed), common.refused.load(Relaxed));
    std::process::exit(i32::from(failed != 0));
}
