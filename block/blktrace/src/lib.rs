// SPDX-License-Identifier: GPL-2.0
//! Tracing of block devices as Debian's `blktrace` and `blkparse` know it: a program sets a trace up for a device (`BLKTRACESETUP`), starts
//! it, and reads the records of each CPU from `/sys/kernel/debug/block/NAME/traceN`.
//!
//! | file | what |
//! |---|---|
//! | `record` | a record's bytes |
//! | `ring` | the records of a CPU that nobody has read yet |
//! | `trace` | a trace: which events it takes, and its files |
//!
//! Called by block devices' files (`ioctl`), by `genhd` when a disk goes, and by the block layer for each event. One trace a disk, of the
//! disk or of a partition. Locks: `TRACES` (sleeping) around setting up and taking down; a CPU's ring (spin, interrupts off), innermost.
//! Source: `linux/blktrace_api.h` of the UAPI headers, `blktrace(8)`.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod record;
mod ring;
mod trace;

use block::{BlockDevice, Gendisk, Traced};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use sync::Mutex;
use trace::{Setup, Trace};
use x86_mm::uaccess::put_user;

/// `_IOWR(0x12, 115, struct blk_user_trace_setup)`.
pub const BLKTRACESETUP: u32 = 0xc048_1273;
/// Begins.
pub const BLKTRACESTART: u32 = 0x1274;
/// Stops; what was noted can be read still.
pub const BLKTRACESTOP: u32 = 0x1275;
/// Takes the trace and its files away.
pub const BLKTRACETEARDOWN: u32 = 0x1276;

/// Traces that are set up.
static TRACES: Mutex<KVec<(u64, Arc<Trace>)>> = Mutex::new(KVec::new());

/// A request of a program that has `bdev` open. EBUSY: the disk is traced. EINVAL. May sleep.
pub fn ioctl(bdev: &Arc<BlockDevice>, cmd: u32, arg: usize) -> Result {
    let disk = bdev.disk();
    match cmd {
        BLKTRACESETUP => {
            let setup = Setup::get(arg)?;
            let name = set_up(bdev, &setup)?;
            put_user(arg, name).inspect_err(|_| drop(take(disk)))
        }
        BLKTRACESTART => of(disk)?.start(),
        BLKTRACESTOP => of(disk)?.stop(),
        BLKTRACETEARDOWN => take(disk).map(drop).ok_or(EINVAL),
        _ => Err(ENOTTY),
    }
}

fn of(disk: &Gendisk) -> Result<Arc<Trace>> {
    let traces = TRACES.lock();
    traces.iter().find(|(disk_seq, _)| *disk_seq == disk.diskseq()).map(|(_, trace)| trace.clone()).ok_or(EINVAL)
}

/// Sets a trace up; its name.
fn set_up(bdev: &Arc<BlockDevice>, setup: &Setup) -> Result<[u8; trace::NAME]> {
    let disk = bdev.disk();
    let mut traces = TRACES.lock();
    if traces.iter().any(|(disk_seq, _)| *disk_seq == disk.diskseq()) {
        return Err(EBUSY);
    }
    traces.reserve(1, GFP_KERNEL)?;
    let trace = Trace::new(bdev, setup)?;
    let listener = Arc::new(Traced(trace.clone()), GFP_KERNEL)?;
    let name = trace.name();
    traces.push((disk.diskseq(), trace), GFP_KERNEL)?;
    disk.set_tracer(Some(listener));
    Ok(name)
}

/// Takes the disk's trace down.
fn take(disk: &Gendisk) -> Option<Arc<Trace>> {
    let mut traces = TRACES.lock();
    let at = traces.iter().position(|(disk_seq, _)| *disk_seq == disk.diskseq())?;
    let (_, trace) = traces.swap_remove(at)?;
    disk.set_tracer(None);
    trace.close();
    Some(trace)
}

/// The disk goes, and its trace with it. May sleep.
pub fn gone(disk: &Gendisk) {
    drop(take(disk));
}
