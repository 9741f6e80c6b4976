// SPDX-License-Identifier: GPL-2.0
//! Multiple-mount protection: before a file system with the feature `mmp` is mounted for writing nobody else may have it, and a thread
//! (`kmmpd-DEVICE`) beats while it is. What the block says and means is `ext4_core::mmp`'s; it is read and written past every cache.
//!
//! No locks: the thread owns what it writes, and `end` waits for it.

use crate::store::{Base, KernelStore};
use core::sync::atomic::{AtomicBool, Ordering};
use errno::code::{EBUSY, EINTR, EIO};
use errno::{Error, Result};
use ext4_core::Fs;
use ext4_core::mmp::{self, MmpCheck, Protect, SEQ_CLEAN, SEQ_MAX};
use ext4_store::Report;
use jbd2::{BlockDevice as _, WriteFlags};
use kalloc::flags::{GFP_KERNEL, GFP_NOFS};
use kalloc::{Arc, KString, KVec};
use kernel::filesystem::sync::{Completion, WaitQueue};
use kernel::filesystem::{ktime, process, random, task};
use kernel::prelude::*;

/// A mount is warned of that takes longer (seconds).
const LONG: u64 = 20;
const SECOND: u64 = 1_000_000_000;

/// The block, which is ours. Whoever drops this says that nobody has the file system.
pub(crate) struct Taken {
    base: Arc<Base>,
    protect: Protect,
    data: KVec<u8>,
    seq: u32,
    /// Somebody else took it: it is his to say that it is free.
    lost: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.lost {
            // Whoever mounts it next waits if this fails.
            let _ = self.write(SEQ_CLEAN);
        }
    }
}

impl Taken {
    fn write(&mut self, seq: u32) -> Result {
        let now = (ktime::real_ns() / SECOND).cast_signed();
        let node = process::misc::hostname();
        self.protect.encode(&mut self.data, now, seq, &node, self.base.health.name.as_bytes());
        let flags = WriteFlags { preflush: false, fua: true };
        self.base.cache.device.write(self.protect.block, &self.data, flags)
    }

    /// Beats until it is told to end. `EBUSY` if somebody else wrote the block.
    fn run(&mut self, beat: &Beat) -> Result {
        let interval = u64::from(self.protect.interval) * SECOND;
        let mut failed = 0u32;
        while !beat.stop.load(Ordering::Acquire) && !self.base.health.is_shut_down() {
            self.seq = mmp::next(self.seq);
            let began = ktime::now_ns();
            if self.write(self.seq).is_err() {
                // Not with every beat.
                if failed.is_multiple_of(60) {
                    self.report(EIO);
                }
                failed = failed.wrapping_add(1);
            }
            let deadline = Some(began.saturating_add(interval));
            beat.queue.wait_idle_exclusive(deadline, || beat.stop.load(Ordering::Acquire));
            // Who was late looks whether somebody took the file system for left.
            let late = ktime::now_ns().saturating_sub(began) > interval.saturating_mul(2);
            if late && self.protect.decode(&read(&self.base, &self.protect)?)?.seq != self.seq {
                let why = "Error while updating MMP info. The filesystem seems to have been multiply mounted.";
                return Err(busy(&self.base, why));
            }
        }
        Ok(())
    }

    fn report(&self, error: Error) {
        self.base.health.report(&Report { what: "kmmpd", ino: 0, block: self.protect.block, error });
    }
}

/// The thread that says that the file system is in use.
pub(crate) struct Beat {
    stop: AtomicBool,
    queue: WaitQueue,
    ended: Completion,
}

/// The block as it is on the device now.
fn read(base: &Base, protect: &Protect) -> Result<KVec<u8>> {
    let mut data = KVec::from_elem(0u8, base.cache.device.block_size, GFP_NOFS)?;
    base.cache.device.read(protect.block, &mut data)?;
    Ok(data)
}

/// Sleeps. `EINTR` if a signal comes first: the mount fails.
fn wait(base: &Base, seconds: u64) -> Result {
    if seconds == 0 {
        return Ok(());
    }
    let deadline = ktime::now_ns().saturating_add(seconds.saturating_mul(SECOND));
    WaitQueue::new().wait_interruptible_deadline(Some(deadline), || false).map(drop).map_err(|_| {
        pr_warn!("EXT4-fs ({}): MMP startup interrupted, failing mount\n", base.health.name);
        EINTR
    })
}

fn busy(base: &Base, why: &str) -> Error {
    pr_warn!("EXT4-fs ({}): {why}\n", base.health.name);
    EBUSY
}

/// Makes sure that nobody else has the file system, and takes it; nothing without the feature. `EBUSY` if somebody has it, `EINTR`.
#[inline(never)]
pub(crate) fn take(base: &Arc<Base>, core: &Fs<KernelStore>) -> Result<Option<Taken>> {
    let Some(protect) = core.mmp()? else { return Ok(None) };
    let mut data = read(base, &protect)?;
    let found = protect.decode(&data)?;
    let check = protect.check(&found).map_err(|_| busy(base, "fsck is running on the filesystem"))?;
    let seconds = if let MmpCheck::Wait(seconds) = check { seconds } else { 0 };
    if seconds > LONG {
        let name = &base.health.name;
        pr_warn!("EXT4-fs ({name}): MMP interval {} higher than expected, please wait.\n", seconds * 2);
    }
    if seconds != 0 {
        wait(base, seconds)?;
        data = read(base, &protect)?;
        if protect.decode(&data)?.seq != found.seq {
            return Err(busy(base, "Device is already active on another node."));
        }
    }
    let seq = 1 + (random::u64() % u64::from(SEQ_MAX)) as u32;
    let mut taken = Taken { base: base.clone(), protect, data, seq, lost: false };
    taken.write(seq)?;
    let still = wait(base, seconds).and_then(|()| Ok(protect.decode(&read(base, &protect)?)?.seq == seq));
    match still {
        Ok(true) => Ok(Some(taken)),
        other => {
            taken.lost = true;
            Err(other.err().unwrap_or_else(|| busy(base, "Device is already active on another node.")))
        }
    }
}

/// Starts the thread.
pub(crate) fn start(mut taken: Taken) -> Result<Arc<Beat>> {
    let beat = Beat { stop: AtomicBool::new(false), queue: WaitQueue::new(), ended: Completion::new() };
    let beat = Arc::new(beat, GFP_KERNEL)?;
    let name = KString::from_fmt(format_args!("kmmpd-{}", taken.base.health.name), GFP_KERNEL)?;
    let its = beat.clone();
    task::kthread_run(name.as_bytes(), move || {
        if let Err(error) = taken.run(&its) {
            taken.report(error);
            taken.lost = true;
        }
        drop(taken);
        its.ended.complete();
    })?;
    Ok(beat)
}

/// Ends it: the file system is read-only or unmounted. What follows may be another's work already.
pub(crate) fn end(beat: &Beat) {
    beat.stop.store(true, Ordering::Release);
    beat.queue.wake_up_all();
    beat.ended.wait();
}
