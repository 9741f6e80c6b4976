// SPDX-License-Identifier: GPL-2.0
//! Mount options. Source: `tmpfs(5)`. Parsing only; no locks.

use crate::limits::Limits;
use core::fmt::Write;
use errno::{Result, code::*};
use mm_alloc::layout::PAGE_SIZE;
use vfs::{FsContext, option};

/// What a mount was told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pages of contents; 0 is no limit.
    pub pages: u64,
    /// Inodes; 0 is no limit.
    pub inodes: u64,
    /// Mode of the root.
    pub mode: u32,
    /// Owner of the root.
    pub uid: u32,
    /// Group of the root.
    pub gid: u32,
    /// Contents stay in memory.
    pub noswap: bool,
    /// Which of the limits were given.
    pub given: Given,
}

/// Which options were given, for remounting and showing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// `size` or `nr_blocks`.
    pub size: bool,
    /// `nr_inodes`.
    pub inodes: bool,
    /// Something that a remount cannot change (`mode`, `uid`, `gid`) or does not mind.
    pub other: bool,
}

const ROOT_MODE: u32 = 0o777 | uapi::S_ISVTX;

impl Options {
    /// tmpfs's defaults: half of memory.
    pub fn tmpfs() -> Self {
        let half = mm::meminfo().total / 2;
        Self { pages: half, inodes: half, mode: ROOT_MODE, uid: 0, gid: 0, noswap: false, given: Given::default() }
    }

    /// No limits, and a root that belongs to root (ramfs, rootfs, devtmpfs).
    pub fn unlimited() -> Self {
        Self { pages: 0, inodes: 0, mode: 0o755, uid: 0, gid: 0, noswap: false, given: Given::default() }
    }

    /// Reads the options of a tmpfs. `EINVAL`.
    pub fn parse(mut self, context: &FsContext<'_>) -> Result<Self> {
        for (key, value) in context.iter_options() {
            self.option(key, value)?;
        }
        Ok(self)
    }

    fn option(&mut self, key: &[u8], value: Option<&[u8]>) -> Result {
        match (key, value) {
            (b"size", Some(value)) => {
                self.pages = size(value)?.div_ceil(PAGE_SIZE as u64);
                self.given.size = true;
            }
            (b"nr_blocks", Some(value)) => {
                self.pages = number_with_suffix(value)?;
                self.given.size = true;
            }
            (b"nr_inodes", Some(value)) => {
                self.inodes = number_with_suffix(value)?;
                self.given.inodes = true;
            }
            (b"mode", Some(value)) => {
                self.mode = option::number(value, 8)? & 0o7777;
                self.given.other = true;
            }
            (b"uid", Some(value)) => {
                self.uid = option::id(value)?;
                self.given.other = true;
            }
            (b"gid", Some(value)) => {
                self.gid = option::id(value)?;
                self.given.other = true;
            }
            (b"noswap", None) => self.noswap = true,
            // What is the case here anyway.
            (b"inode64", None) => {}
            (b"huge", Some(b"never")) => {}
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Reads the options of a ramfs, which is never swapped: `mode`; others are ignored, as `ramfs` always did.
    pub fn parse_ramfs(mut self, context: &FsContext<'_>) -> Result<Self> {
        self.noswap = true;
        for (key, value) in context.iter_options() {
            if let (b"mode", Some(value)) = (key, value) {
                self.mode = option::number(value, 8)? & 0o7777;
            }
        }
        Ok(self)
    }
}

fn number(text: &[u8]) -> Result<u64> {
    core::str::from_utf8(text)?.parse().map_err(|_| EINVAL)
}

/// A number with one of `k`, `m`, `g`, `t`, `p`, `e` behind it.
fn number_with_suffix(text: &[u8]) -> Result<u64> {
    let (digits, shift) = match text.split_last() {
        Some((suffix, digits)) => match suffix.to_ascii_lowercase() {
            b'k' => (digits, 10),
            b'm' => (digits, 20),
            b'g' => (digits, 30),
            b't' => (digits, 40),
            b'p' => (digits, 50),
            b'e' => (digits, 60),
            _ => (text, 0),
        },
        None => return Err(EINVAL),
    };
    number(digits)?.checked_mul(1 << shift).ok_or(EINVAL)
}

/// A size in bytes, or in percent of memory.
fn size(text: &[u8]) -> Result<u64> {
    match text.strip_suffix(b"%") {
        Some(percent) => {
            let percent = number(percent)?;
            let bytes = mm::meminfo().total.saturating_mul(PAGE_SIZE as u64);
            Ok((bytes / 100).saturating_mul(percent))
        }
        None => number_with_suffix(text),
    }
}

/// Shows what differs from the defaults, as `/proc/mounts` has it.
pub(crate) fn show(limits: &Limits, root: (u32, u32, u32), out: &mut dyn Write) -> core::fmt::Result {
    let (pages, inodes) = (limits.pages.max(), limits.inodes.max());
    let default = Options::tmpfs();
    if pages != default.pages {
        write!(out, ",size={}k", pages.saturating_mul(PAGE_SIZE as u64 / 1024))?;
    }
    if inodes != default.inodes {
        write!(out, ",nr_inodes={inodes}")?;
    }
    let (mode, uid, gid) = root;
    if mode != ROOT_MODE {
        write!(out, ",mode={mode:03o}")?;
    }
    if uid != 0 {
        write!(out, ",uid={uid}")?;
    }
    if gid != 0 {
        write!(out, ",gid={gid}")?;
    }
    out.write_str(",inode64")?;
    if limits.noswap { out.write_str(",noswap") } else { Ok(()) }
}
