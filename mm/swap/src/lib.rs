// SPDX-License-Identifier: GPL-2.0
//! Swap areas: `swapon(2)` and `swapoff(2)` on partitions and files, their transfers, and `/proc/swaps`. What pages go there and come
//! back is decided in `mm::swap`. Source: `swapon(2)`, `mkswap(8)`, `linux/swap.h`.
//!
//! | file | what |
//! |---|---|
//! | `lib` | the areas in use, `/proc/swaps` |
//! | `device` | transfers: places become bytes of the device |
//! | `on` | `swapon` |
//! | `off` | `swapoff` |
//!
//! Locks: `USED` (sleeping), outermost; not held while an area is emptied.

#![no_std]
#![forbid(unsafe_code)]

mod device;
mod off;
mod on;

pub use off::sys_swapoff;
pub use on::sys_swapon;

use block::{BdevHandle, BlockDevice};
use core::fmt::{self, Write};
use kalloc::{Arc, KVec};
use mm::swap::{Area, LIST, SwapList};
use sync::Mutex;
use vfs::{File, iop};

/// What an area keeps from others.
enum Claim {
    /// A device: claimed, and not to be written by programs.
    Device(BdevHandle),
    /// A file: not to be written, cut or removed.
    File,
}

/// An area in use. Dropping it gives the device or file back.
struct Used {
    area: Arc<Area>,
    file: Arc<File>,
    claim: Claim,
}

impl Drop for Used {
    fn drop(&mut self) {
        match &self.claim {
            Claim::Device(handle) => handle.bdev().set_swap(false),
            Claim::File => self.file.inode().change_iflags(0, iop::SWAPFILE),
        }
    }
}

static USED: Mutex<KVec<Used>> = Mutex::new(KVec::new());

/// An identity of a device among areas.
fn device_id(bdev: &Arc<BlockDevice>) -> usize {
    Arc::as_ptr(bdev).addr()
}

/// An identity of a file among areas.
fn file_id(file: &File) -> usize {
    Arc::as_ptr(file.inode()).addr()
}

/// Makes `/proc/swaps` show the areas. Once, at boot.
pub fn init() {
    static AREAS: &dyn SwapList = &Areas;
    LIST.set(&AREAS);
}

struct Areas;

impl SwapList for Areas {
    fn show(&self, out: &mut dyn Write) -> fmt::Result {
        /// Columns that a name takes at least.
        const NAME: usize = 40;
        for used in USED.lock().iter() {
            let path = vfs::path::shown(used.file.path()).map_err(|_| fmt::Error)?;
            let width = escaped(&path, out)?;
            let kind = if matches!(used.claim, Claim::Device(_)) { "partition" } else { "file\t" };
            let map = used.area.map();
            let (size, busy) = (kib(map.good()), kib(map.used()));
            let gap = NAME.saturating_sub(width).max(1);
            let tab = |value: u64| if value < 10_000_000 { "\t" } else { "" };
            writeln!(out, "{:gap$}{kind}\t{size}\t{}{busy}\t{}{}", " ", tab(size), tab(busy), used.area.priority())?;
        }
        Ok(())
    }
}

fn kib(pages: u64) -> u64 {
    pages.saturating_mul(swap_map::PAGE_SIZE as u64 / 1024)
}

/// Writes a path with blanks, line ends and backslashes as octal numbers; how many characters.
fn escaped(path: &[u8], out: &mut dyn Write) -> Result<usize, fmt::Error> {
    let mut width = 0;
    for chunk in path.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                ' ' | '\t' | '\n' | '\\' => {
                    write!(out, "\\{:03o}", letter as u32)?;
                    width += 4;
                }
                _ => {
                    out.write_char(letter)?;
                    width += letter.len_utf8();
                }
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\{byte:03o}")?;
            width += 4;
        }
    }
    Ok(width)
}
