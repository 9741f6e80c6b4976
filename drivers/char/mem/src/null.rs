// SPDX-License-Identifier: GPL-2.0
//! `/dev/null`, `/dev/zero` and `/dev/full`. No state, no locks.

use errno::{Result, code::*};
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use mm::MmapRequest;
use mm_alloc::Page;
use vfs::{File, FileOps, IovIter, fmode};

struct Null;
struct Zero;
struct Full;

pub(crate) fn null() -> Result<KBox<dyn FileOps>> {
    Ok(KBox::new(Null, GFP_KERNEL)?)
}

pub(crate) fn zero() -> Result<KBox<dyn FileOps>> {
    Ok(KBox::new(Zero, GFP_KERNEL)?)
}

pub(crate) fn full() -> Result<KBox<dyn FileOps>> {
    Ok(KBox::new(Full, GFP_KERNEL)?)
}

/// Zeros as far as the reader's memory goes.
fn read_zeros(to: &mut IovIter<'_>) -> Result<usize> {
    const CHUNK: usize = 1 << 16;
    let mut done = 0;
    while to.count() != 0 {
        let want = to.count().min(CHUNK);
        let n = to.zero(want);
        done += n;
        if n < want {
            return if done == 0 { Err(EFAULT) } else { Ok(done) };
        }
        if task::current().signal_pending() {
            break;
        }
    }
    Ok(done)
}

/// All that is written is gone.
fn swallow(from: &mut IovIter<'_>) -> Result<usize> {
    let n = from.count();
    from.advance(n);
    Ok(n)
}

/// The position is always 0.
fn stay(pos: &mut i64) -> Result<i64> {
    *pos = 0;
    Ok(0)
}

impl FileOps for Null {
    fn can_splice(&self, _: &File, write: bool) -> bool {
        write
    }

    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn read(&self, _: &File, _: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        swallow(from)
    }

    fn llseek(&self, _: &File, pos: &mut i64, _: i64, _: u32) -> Result<i64> {
        stay(pos)
    }

    fn can_poll(&self) -> bool {
        false
    }
}

impl FileOps for Zero {
    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        read_zeros(to)
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        swallow(from)
    }

    fn llseek(&self, _: &File, pos: &mut i64, _: i64, _: u32) -> Result<i64> {
        stay(pos)
    }

    fn mmap(&self, _: &File, request: &MmapRequest) -> Result {
        // A private map is fresh memory. A shared one would have to be a memory object that all who map it see.
        if request.shared { Err(ENODEV) } else { Ok(()) }
    }

    fn fault(&self, _: &File, _: u64, _: bool) -> Result<Page> {
        Page::alloc_zeroed(GFP_KERNEL)
    }

    fn can_poll(&self) -> bool {
        false
    }
}

impl FileOps for Full {
    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        read_zeros(to)
    }

    fn write(&self, _: &File, _: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        Err(ENOSPC)
    }

    fn llseek(&self, _: &File, pos: &mut i64, _: i64, _: u32) -> Result<i64> {
        stay(pos)
    }

    fn can_poll(&self) -> bool {
        false
    }
}
