// SPDX-License-Identifier: GPL-2.0
//! Random operations on files whose content is known: each thread has a file of its own, and its lanes of a file that all share, whose
//! bytes lie in the same pages. What is read must be what was written.
//!
//! `dir=`, `threads=`, `seconds=`, `seed=`, `max=` (bytes of a file), `pressure=` (MiB of memory taken and given back all the time),
//! `drop=1` (caches are dropped all the time), `errors=full` (ENOSPC and EDQUOT may come) or `errors=any` (EIO and EROFS, too: then only
//! what is said to be written counts until the first error).

use ext4_tests::sys::{self, File, Pages, path};
use ext4_tests::{Rng, Words};
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

    fn write(&mut self, direct: bool) {
        let (mut at, mut length) = self.range(self.common.max);
        let unit = if self.rng.one_in(3) { 512 } else { PAGE };
        if direct {
            (at, length) = (at / unit * unit, length.next_multiple_of(unit));
        }
        self.random(length);
        self.note(format!("{} {at}+{length}", if direct { "direct write" } else { "write" }));
        let file = if direct { self.direct.as_ref().unwrap_or(&self.file) } else { &self.file };
        match file.write(&self.buffer[..length as usize], at) {
            Ok(done) => {
                self.wrote(at, done);
                if done as u64 != length {
                    self.settle(at, length);
                }
            }
            Err(errno) => {
                self.refused("write", errno);
                self.settle(at, length);
            }
        }
    }

    fn append(&mut self) {
        let (_, length) = self.range(self.common.max);
        let at = self.size();
        if at + length > self.common.max {
            return;
        }
        self.random(length);
        self.note(format!("append {at}+{length}"));
        match self.append.write(&self.buffer[..length as usize], 0) {
            Ok(done) => {
                self.wrote(at, done);
                if done as u64 != length {
                    self.settle(at, length);
                }
            }
            Err(errno) => {
                self.refused("write", errno);
                self.settle(at, length);
            }
        }
    }

    fn read(&mut self, direct: bool) {
        let (mut at, mut length) = self.range(self.size().max(1));
        if direct {
            (at, length) = (at / PAGE * PAGE, length.next_multiple_of(PAGE));
        }
        let wanted = length.min(self.size().saturating_sub(at));
        self.note(format!("{} {at}+{length}", if direct { "direct read" } else { "read" }));
        let file = if direct { self.direct.as_ref().unwrap_or(&self.file) } else { &self.file };
        match file.read(&mut self.buffer[..length as usize], at) {
            Ok(done) if done as u64 == wanted => self.compare("read", at, &self.buffer[..done]),
            Ok(done) => self.wrong(&format!("read of {at}+{length} gives {done}, size {}", self.size())),
            Err(errno) => self.refused("read", errno),
        }
    }

    fn mapped(&mut self, store: bool) {
        if self.data.is_empty() {
            return;
        }
        let (at, length) = self.range(self.size());
        let length = length.min(self.size() - at);
        let start = at / PAGE * PAGE;
        self.note(format!("{} {at}+{length}", if store { "mapped write" } else { "mapped read" }));
        let map = match Mapped::new(&self.file, start, at - start + length) {
            Ok(map) => map,
            Err(errno) => return self.refused("mmap", errno),
        };
        if store {
            self.random(length);
            self.memory.write(&self.buffer[..length as usize], 0).expect("a scratch file");
        }
        match map.pass(&self.memory, at - start, length as usize, store) {
            Ok(done) if store && done as u64 == length => self.wrote(at, done),
            Ok(done) if !store && done as u64 == length => {
                let read = self.memory.read(&mut self.buffer[..done], 0).expect("a scratch file");
                self.compare("mapped read", at, &self.buffer[..read]);
            }
            Ok(_) | Err(libc::EFAULT) if store && (self.common.full || self.common.any) => self.settle(at, length),
            Ok(done) => self.wrong(&format!("only {done} mapped bytes")),
            Err(errno) => self.refused("mapped", errno),
        }
        if store && self.rng.one_in(6) {
            if let Err(errno) = map.sync() {
                self.refused("msync", errno);
            }
        }
    }

    fn truncate(&mut self) {
        let size = match self.rng.below(4) {
            0 => self.rng.below(self.size() + 1),
            1 => self.rng.below(self.common.max / PAGE) * PAGE,
            _ => self.rng.below(self.common.max),
        };
        self.note(format!("truncate {} to {size}", self.size()));
        match self.file.truncate(size) {
            Ok(()) => self.data.resize(size as usize, 0),
            Err(errno) => self.refused("truncate", errno),
        }
    }

    fn fallocate(&mut self) {
        let (mut at, mut length) = self.range(self.common.max);
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        let which = self.rng.below(8);
        let (what, mode) = match which {
            0 => ("allocate", 0),
            1 => ("allocate beyond", keep),
            2 | 3 => ("punch", libc::FALLOC_FL_PUNCH_HOLE | keep),
            4 => ("zero", libc::FALLOC_FL_ZERO_RANGE),
            5 => ("zero within", libc::FALLOC_FL_ZERO_RANGE | keep),
            6 => ("collapse", libc::FALLOC_FL_COLLAPSE_RANGE),
            _ => ("insert", libc::FALLOC_FL_INSERT_RANGE),
        };
        if self.unsupported.contains(&what) {
            return;
        }
        // The shifts take whole clusters.
        let unit = 16 * PAGE;
        if which == 6 {
            (at, length) = (at / unit * unit, length.next_multiple_of(unit));
            if at + length >= self.size() {
                return;
            }
        }
        if which == 7 {
            (at, length) = (at / unit * unit, length.next_multiple_of(unit));
            if at >= self.size() || self.size() + length > self.common.max {
                return;
            }
        }
        self.note(format!("{what} {at}+{length} of {}", self.size()));
        if let Err(errno) = self.file.fallocate(mode, at, length) {
            self.refused(what, errno);
            if (0..=1).contains(&which) && (self.common.full || self.common.any) {
                // What it got it may keep, with the size that belongs to it.
                let size = self.file.stat().map_or(0, |st| st.st_size as u64);
                if size >= self.size() && size <= at + length {
                    self.data.resize(size as usize, 0);
                }
            }
            if (2..=5).contains(&which) && self.common.full {
                self.buffer[..length as usize].fill(0);
                self.settle(at, length);
            }
            return;
        }
        let (from, end, old) = (at as usize, (at + length) as usize, self.data.len());
        match which {
            0 => self.data.resize(old.max(end), 0),
            2..=5 => {
                if which == 4 {
                    self.data.resize(old.max(end), 0);
                }
                let end = end.min(self.data.len());
                if from < end {
                    self.data[from..end].fill(0);
                }
            }
            6 => drop(self.data.drain(from..end)),
            7 => drop(self.data.splice(from..from, std::iter::repeat_n(0, length as usize))),
            _ => {}
        }
    }

    fn copy_range(&mut self) {
        let (from, length) = self.range(self.size().max(1));
        let length = length.min(self.size().saturating_sub(from));
        let to = self.rng.below(self.common.max - length.min(self.common.max - 1));
        if length == 0 || from < to + length && to < from + length || self.unsupported.contains(&"copy_file_range") {
            return;
        }
        self.note(format!("copy_file_range {from}+{length} to {to}"));
        let (mut source, mut target) = (from as i64, to as i64);
        let fd = self.file.0;
        // SAFETY: takes numbers and two places for numbers.
        let done = unsafe {
            libc::syscall(libc::SYS_copy_file_range, fd, &raw mut source, fd, &raw mut target, length as usize, 0)
        };
        self.buffer[..length as usize].copy_from_slice(&self.data[from as usize..(from + length) as usize]);
        if done < 0 {
            let errno = sys::errno();
            self.refused("copy_file_range", errno);
            self.settle(to, length);
        } else {
            self.wrote(to, done as usize);
        }
    }

    fn send(&mut self) {
        let (at, length) = self.range(self.size().max(1));
        let wanted = length.min(self.size().saturating_sub(at));
        self.note(format!("sendfile {at}+{length}"));
        self.memory.seek(0, libc::SEEK_SET).ok();
        let mut offset = at as i64;
        // SAFETY: takes numbers and a place for one.
        let done = unsafe { libc::sendfile(self.memory.0, self.file.0, &mut offset, length as usize) };
        if done < 0 {
            let errno = sys::errno();
            return self.refused("sendfile", errno);
        }
        if done as u64 != wanted {
            return self.wrong(&format!("sendfile gives {done} of {wanted}"));
        }
        self.memory.read(&mut self.buffer[..done as usize], 0).expect("a scratch file");
        self.compare("sendfile", at, &self.buffer[..done as usize]);
    }

    /// Holes hold zeroes, and what is no hole is data.
    fn holes(&mut self) {
        self.note("holes".into());
        let (mut at, size) = (0, self.size());
        while at < size {
            let data = match self.file.seek(at, libc::SEEK_DATA) {
                Ok(data) => data,
                Err(libc::ENXIO) => size,
                Err(errno) => return self.refused("seek", errno),
            };
            if data < at || data > size {
                return self.wrong(&format!("SEEK_DATA from {at} gives {data}"));
            }
            if let Some(n) = self.span(at, data - at).iter().position(|byte| *byte != 0) {
                return self.wrong(&format!("a hole from {at} to {data}, but byte {} is data", at + n as u64));
            }
            if data == size {
                break;
            }
            at = match self.file.seek(data, libc::SEEK_HOLE) {
                Ok(hole) if hole > data && hole <= size => hole,
                other => return self.wrong(&format!("SEEK_HOLE from {data} gives {other:?}, size {size}")),
            };
        }
    }

    /// What FIEMAP leaves out, or calls unwritten, is zeroes.
    fn places(&mut self) {
        self.note("fiemap".into());
        let runs = match sys::fiemap(&self.file, 1, 1000) {
            Ok(runs) => runs,
            Err(errno) => return self.refused("fiemap", errno),
        };
        let (mut at, size) = (0, self.size());
        for (start, _, length, flags) in runs {
            if start < at && flags & 0x200 == 0 {
                return self.wrong(&format!("FIEMAP: a run at {start} after one up to {at}"));
            }
            let end = if flags & 0x800 != 0 { start } else { start + length };
            for (from, to) in [(at, start), (end.min(start), end)].into_iter().take(1 + usize::from(flags & 0x800 != 0))
            {
                let (from, to) = (from.min(size), to.min(size).max(from.min(size)));
                if self.span(from, to - from).iter().any(|byte| *byte != 0) {
                    return self.wrong(&format!("FIEMAP has nothing from {from} to {to}, where data is"));
                }
            }
            at = start + length;
        }
        let from = at.min(size);
        if self.span(from, size - from).iter().any(|byte| *byte != 0) {
            self.wrong(&format!("FIEMAP has nothing from {from} on, where data is"));
        }
    }

    fn settle_down(&mut self) {
        let which = self.rng.below(6);
        self.note(["fsync", "fdatasync", "sync_file_range", "drop pages", "reopen", "syncfs"][which as usize].into());
        let fd = self.file.0;
        // SAFETY: these take numbers.
        let done = unsafe {
            match which {
                0 => libc::fsync(fd),
                1 => libc::fdatasync(fd),
                2 => libc::sync_file_range(fd, 0, 0, 7),
                3 => libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED),
                4 => 0,
                _ => {
                    if self.rng.one_in(4) {
                        libc::syncfs(fd)
                    } else {
                        0
                    }
                }
            }
        };
        if done != 0 {
            let errno = sys::errno();
            self.refused("fsync", errno);
        }
        if which == 4 {
            match File::open(&path(&self.name), libc::O_RDWR, 0) {
                Ok(file) => self.file = file,
                Err(errno) => self.refused("open", errno),
            }
        }
    }

    /// The whole file, by read(2).
    fn whole(&mut self) {
        self.note("whole".into());
        let mut at = 0;
        while at < self.size() {
            let length = self.buffer.len().min((self.size() - at) as usize);
            match self.file.read(&mut self.buffer[..length], at) {
                Ok(done) if done > 0 => {
                    self.compare("whole", at, &self.buffer[..done]);
                    at += done as u64;
                }
                Ok(_) => return self.wrong(&format!("the file ends at {at}, not at {}", self.size())),
                Err(errno) => return self.refused("read", errno),
            }
        }
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

/// A thread's part of the file that all share: pieces that share their pages with others'.
struct Lanes {
    model: Model,
    index: u64,
    pieces: Vec<Vec<u8>>,
}

impl Lanes {
    fn new(common: &Arc<Common>, index: u64, seed: u64) -> sys::Result<Self> {
        let name = format!("{}/lanes", common.dir);
        drop(File::open(&path(&name), libc::O_RDWR | libc::O_CREAT, 0o644)?);
        let file = File::open(&path(&name), libc::O_RDWR, 0)?;
        let append = File::open(&path(&name), libc::O_RDONLY, 0)?;
        file.truncate(LANE * LANES * common.threads)?;
        let model = Model {
            common: common.clone(),
            name,
            file,
            direct: None,
            append,
            memory: scratch(),
            data: Vec::new(),
            rng: Rng::new(seed),
            buffer: Pages::new(1 << 16),
            history: VecDeque::new(),
            unsupported: Vec::new(),
            lost: false,
        };
        Ok(Self { model, index, pieces: vec![vec![0; LANE as usize]; LANES as usize] })
    }

    fn step(&mut self) {
        let number = self.model.rng.below(LANES);
        let start = (number * self.model.common.threads + self.index) * LANE;
        let from = self.model.rng.below(LANE);
        let length = 1 + self.model.rng.below(LANE - from);
        let at = start + from;
        let which = self.model.rng.below(8);
        let model = &mut self.model;
        model.note(format!("lane {number}: {which} at {at}+{length}"));
        model.random(length);
        let piece = &mut self.pieces[number as usize][from as usize..(from + length) as usize];
        let page = at / PAGE * PAGE;
        let outcome = match which {
            0 | 1 => model
                .file
                .write(&model.buffer[..length as usize], at)
                .map(|done| piece[..done].copy_from_slice(&model.buffer[..done])),
            2 | 3 => Mapped::new(&model.file, page, at - page + length).and_then(|map| {
                model.memory.write(&model.buffer[..length as usize], 0).expect("a scratch file");
                let done = map.pass(&model.memory, at - page, length as usize, true)?;
                piece[..done].copy_from_slice(&model.buffer[..done]);
                Ok(())
            }),
            4 => {
                let mode = if from % 2 == 0 { libc::FALLOC_FL_PUNCH_HOLE } else { libc::FALLOC_FL_ZERO_RANGE };
                model.file.fallocate(mode | libc::FALLOC_FL_KEEP_SIZE, at, length).map(|()| piece.fill(0))
            }
            5 if from % 8 == 0 => model.file.sync(true),
            _ => model.file.read(&mut model.buffer[..length as usize], at).map(|done| {
                if done != piece.len() || model.buffer[..done] != *piece {
                    let n = (0..done).find(|n| model.buffer[*n] != piece[*n]).unwrap_or(done);
                    model.wrong(&format!(
                        "byte {} of the shared file (read {at}+{length}, {done} bytes)",
                        at + n as u64
                    ));
                }
            }),
        };
        match outcome {
            Ok(()) | Err(libc::EOPNOTSUPP) => {}
            Err(errno) => {
                // What of it arrived is not known.
                let full = matches!(errno, libc::ENOSPC | libc::EDQUOT | libc::EFAULT) && model.common.full;
                if !full && !model.common.any {
                    model.wrong(&format!("errno {errno}"));
                }
                match model.file.read(&mut model.buffer[..length as usize], at) {
                    Ok(done) if done == piece.len() => piece.copy_from_slice(&model.buffer[..done]),
                    _ => model.common.stop.store(true, Relaxed),
                }
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
