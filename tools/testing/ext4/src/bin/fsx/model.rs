// SPDX-License-Identifier: GPL-2.0
//! A file whose content is known: what it should hold, what was done to it last, and what an error means.

mod ops;

use crate::memory::scratch;
use crate::{Common, PAGE};
use ext4_tests::Rng;
use ext4_tests::sys::{self, File, Pages, path};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const COPY: u64 = 1 << 16;

/// A file and what it should hold.
pub(crate) struct Model {
    pub(crate) common: Arc<Common>,
    pub(crate) name: String,
    pub(crate) file: File,
    pub(crate) direct: Option<File>,
    pub(crate) append: File,
    /// Data passes through it to and from mapped memory: errors are values then, not signals.
    pub(crate) memory: File,
    pub(crate) data: Vec<u8>,
    pub(crate) rng: Rng,
    pub(crate) buffer: Pages,
    pub(crate) history: VecDeque<String>,
    pub(crate) unsupported: Vec<&'static str>,
    /// After EIO nothing is known any more.
    pub(crate) lost: bool,
}

impl Model {
    pub(crate) fn new(common: &Arc<Common>, name: String, seed: u64) -> sys::Result<Self> {
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
    pub(crate) fn wrong(&self, what: &str) {
        if self.common.failed.fetch_add(1, Relaxed) == 0 {
            let last: Vec<&str> = self.history.iter().map(String::as_str).collect();
            println!("WRONG {}: {what}\nlast operations:\n{}", self.name, last.join("\n"));
        }
        self.common.stop.store(true, Relaxed);
    }

    /// What an error means: nothing (false) if it may come, else a mistake.
    pub(crate) fn refused(&mut self, what: &'static str, errno: i32) {
        self.common.refused.fetch_add(u64::from(errno != libc::EOPNOTSUPP), Relaxed);
        match errno {
            libc::EOPNOTSUPP => self.unsupported.push(what),
            libc::ENOSPC | libc::EDQUOT if self.common.full => {}
            libc::EIO | libc::EROFS | libc::EFAULT | libc::ENOSPC if self.common.any => self.lost = true,
            _ => self.wrong(&format!("{what}: errno {errno}")),
        }
        self.history.push_back(format!("  refused: {errno}"));
    }

    pub(crate) fn note(&mut self, text: String) {
        if self.history.len() > 40 {
            self.history.pop_front();
        }
        self.history.push_back(text);
    }

    pub(crate) fn size(&self) -> u64 {
        self.data.len() as u64
    }

    /// Bytes of a range of the file as they should be.
    pub(crate) fn span(&self, at: u64, length: u64) -> &[u8] {
        &self.data[at as usize..(at + length) as usize]
    }

    pub(crate) fn random(&mut self, length: u64) {
        let (tag, mut rng) = (self.rng.next_u64(), self.rng.clone());
        for chunk in self.buffer[..length as usize].chunks_mut(8) {
            chunk.copy_from_slice(&(rng.next_u64() ^ tag).to_le_bytes()[..chunk.len()]);
        }
    }

    /// The file's content from `at` on becomes the first `length` bytes of the buffer.
    pub(crate) fn wrote(&mut self, at: u64, length: usize) {
        let end = at as usize + length;
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[at as usize..end].copy_from_slice(&self.buffer[..length]);
    }

    /// A write of `length` bytes at `at` failed in the middle: every byte is the old or the new one, and becomes known.
    pub(crate) fn settle(&mut self, at: u64, length: u64) {
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
    pub(crate) fn compare(&self, how: &str, at: u64, found: &[u8]) {
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
    pub(crate) fn range(&mut self, most: u64) -> (u64, u64) {
        let at = self.rng.below(most);
        let length = match self.rng.below(4) {
            0 => self.rng.below(100),
            1 => self.rng.below(PAGE),
            _ => self.rng.below(COPY),
        };
        (at, (length + 1).min(self.common.max.max(at + 1) - at))
    }

    pub(crate) fn step(&mut self) {
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
