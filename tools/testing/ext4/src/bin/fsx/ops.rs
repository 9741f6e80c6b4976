// SPDX-License-Identifier: GPL-2.0
//! What is done to a file, and what the file should hold then.

use super::{Mapped, Model, PAGE};
use ext4_tests::sys::{self, File, path};

impl Model {
    pub(super) fn write(&mut self, direct: bool) {
        let (mut at, mut length) = self.range(self.common.max);
        let unit = if self.rng.one_in(3) { 512 } else { PAGE };
        if direct {
            (at, length) = (at / unit * unit, length.next_multiple_of(unit));
        }
        self.random(length);
        self.note(format!("{} {at}+{length}", if direct { "direct write" } else { "write" }));
        let file = if direct { self.direct.as_ref().unwrap_or(&self.file) } else { &self.file };
        let result = file.write(&self.buffer[..length as usize], at);
        self.written(result, at, length);
    }

    pub(super) fn append(&mut self) {
        let (_, length) = self.range(self.common.max);
        let at = self.size();
        if at + length > self.common.max {
            return;
        }
        self.random(length);
        self.note(format!("append {at}+{length}"));
        let result = self.append.write(&self.buffer[..length as usize], 0);
        self.written(result, at, length);
    }

    /// Notes what a write of `length` bytes at `at` did.
    fn written(&mut self, result: Result<usize, i32>, at: u64, length: u64) {
        match result {
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

    pub(super) fn read(&mut self, direct: bool) {
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

    pub(super) fn mapped(&mut self, store: bool) {
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

    pub(super) fn truncate(&mut self) {
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

    pub(super) fn fallocate(&mut self) {
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

    pub(super) fn copy_range(&mut self) {
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

    pub(super) fn send(&mut self) {
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

    pub(super) fn settle_down(&mut self) {
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
    pub(super) fn whole(&mut self) {
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
}
