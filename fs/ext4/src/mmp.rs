// SPDX-License-Identifier: GPL-2.0
//! Multiple-mount protection: before a file system with the feature `mmp` is mounted for writing nobody else may have it, and a thread
//! (`kmmpd-DEVICE`) beats from then on: also while the log is replayed and orphans are finished, which may take long. What the block says
//! and means is `ext4_core::mmp`'s; it is read and written past every cache.
//!
//! No locks: the thread owns what it writes, and whoever drops a `Beating` waits for it.

use crate::store::{Base, KernelStore};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::code::{EBUSY, EIO, ENOMEM, ETIMEDOUT};
use errno::{Error, Result};
use ext4_core::Fs;
use ext4_core::mmp::{self, Mmp, MmpCheck, Protect, SEQ_CLEAN, SEQ_MAX};
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
struct Taken {
    base: Arc<Base>,
    protect: Protect,
    data: KVec<u8>,
    /// What the block says now: the number and how long others are to wait.
    said: Mmp,
    /// Somebody else took it, or nobody knows: it is not ours to say that it is free.
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
        self.said.seq = seq;
        self.said.node = mmp::node(&node);
        self.protect.encode(&mut self.data, now, &self.said, self.base.health.name.as_bytes());
        let flags = WriteFlags { preflush: false, fua: true };
        self.base.cache.device.write(self.protect.block, &self.data, flags)
    }

    /// Beats until it is told to end. `EBUSY` if somebody else wrote the block.
    fn run(&mut self, beat: &Beat) -> Result {
        let interval = u64::from(self.protect.interval) * SECOND;
        let (mut failed, mut seq) = (0u32, self.said.seq);
        while !beat.stop.load(Ordering::Acquire) && !self.base.health.is_shut_down() {
            seq = mmp::next(seq);
            let began = ktime::now_ns();
            if self.write(seq).is_err() {
                // Not with every beat.
                if failed.is_multiple_of(60) {
                    self.report(EIO);
                }
                failed = failed.wrapping_add(1);
            }
            let deadline = Some(began.saturating_add(interval));
            beat.queue.wait_idle_exclusive(deadline, || beat.stop.load(Ordering::Acquire));
            // Others took the file system for left if they have waited as long as the block said: who was late looks.
            let took = ktime::now_ns().saturating_sub(began) / SECOND;
            if took > u64::from(self.said.interval) {
                let found = read(&self.base, &self.protect)?;
                if (found.seq, &found.node) != (seq, &self.said.node) {
                    let why = "Error while updating MMP info. The filesystem seems to have been multiply mounted.";
                    return Err(busy(&self.base, why, Some(&found)));
                }
            }
            self.said.interval = mmp::check_interval(took);
        }
        Ok(())
    }

    fn report(&self, error: Error) {
        self.base.health.report(&Report { what: "kmmpd", ino: 0, block: self.protect.block, error });
    }
}

/// What the thread and who ends it share.
struct Beat {
    stop: AtomicBool,
    queue: WaitQueue,
    ended: Completion,
}

/// The thread that says that the file system is in use. Dropped: it has ended, and the block says that nobody has it (unless somebody
/// else took it); what follows may be another's work already.
pub(crate) struct Beating(Arc<Beat>);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
        self.0.queue.wake_up_all();
        self.0.ended.wait();
    }
}

/// The block's bytes as they are on the device now.
fn bytes(base: &Base, protect: &Protect) -> Result<KVec<u8>> {
    let mut data = KVec::from_elem(0u8, base.cache.device.block_size, GFP_NOFS)?;
    base.cache.device.read(protect.block, &mut data)?;
    Ok(data)
}

/// What the block says on the device now.
fn read(base: &Base, protect: &Protect) -> Result<Mmp> {
    bytes(base, protect).and_then(|data| protect.decode(&data)).inspect_err(|error| {
        let (name, block) = (&base.health.name, protect.block);
        pr_warn!("EXT4-fs warning (device {name}): Error {} while reading MMP block {block}\n", error.to_errno());
    })
}

/// Sleeps. `ETIMEDOUT` if a signal comes first: the mount fails.
fn wait(base: &Base, seconds: u64) -> Result {
    if seconds == 0 {
        return Ok(());
    }
    let deadline = ktime::now_ns().saturating_add(seconds.saturating_mul(SECOND));
    WaitQueue::new().wait_interruptible_deadline(Some(deadline), || false).map(drop).map_err(|_| {
        pr_warn!("EXT4-fs warning (device {}): MMP startup interrupted, failing mount\n", base.health.name);
        ETIMEDOUT
    })
}

/// Says why the file system cannot be had, and who has it.
fn busy(base: &Base, why: &str, by: Option<&Mmp>) -> Error {
    let name = &base.health.name;
    pr_warn!("EXT4-fs warning (device {name}): {why}\n");
    if let Some(by) = by {
        pr_warn!(
            "EXT4-fs warning (device {name}): MMP failure info: last update time: {}, last update node: {}, last update device: {}\n",
            by.time,
            Name(&by.node),
            Name(&by.device),
        );
    }
    EBUSY
}

/// A name from the disk, up to its NUL; what is not printable becomes `?`.
struct Name<'a>(&'a [u8]);

impl core::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let shown = |byte: u8| if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
        self.0.iter().take_while(|byte| **byte != 0).try_for_each(|byte| f.write_char(shown(*byte)))
    }
}

/// Makes sure that nobody else has the file system, takes it and begins to beat; nothing without the feature. `EBUSY` if somebody has
/// it, `ETIMEDOUT` if the wait was interrupted, `EINVAL` if the block cannot be where it is said to be, `EUCLEAN`, `EBADMSG`.
#[inline(never)]
pub(crate) fn protect(base: &Arc<Base>, core: &Fs<KernelStore>) -> Result<Option<Beating>> {
    let found = core.mmp().inspect_err(|_| {
        pr_warn!("EXT4-fs warning (device {}): Invalid MMP block in superblock\n", base.health.name);
    })?;
    let Some(protect) = found else { return Ok(None) };
    start(take(base, protect)?).map(Some)
}

#[inline(never)]
fn take(base: &Arc<Base>, protect: Protect) -> Result<Taken> {
    let active = "Device is already active on another node.";
    let mut found = read(base, &protect)?;
    let check = protect.check(&found).map_err(|_| busy(base, "fsck is running on the filesystem", Some(&found)))?;
    let seconds = if let MmpCheck::Wait(seconds) = check { seconds } else { 0 };
    if seconds > LONG {
        let (name, whole) = (&base.health.name, seconds * 2);
        pr_warn!("EXT4-fs warning (device {name}): MMP interval {whole} higher than expected, please wait.\n");
    }
    if seconds != 0 {
        wait(base, seconds)?;
        let now = read(base, &protect)?;
        if now.seq != found.seq {
            return Err(busy(base, active, Some(&now)));
        }
        found = now;
    }
    let seq = 1 + (random::u64() % u64::from(SEQ_MAX)) as u32;
    let data = bytes(base, &protect)?;
    found.interval = protect.first_interval();
    // Until it is sure that it is ours it is not ours to give back.
    let mut taken = Taken { base: base.clone(), protect, data, said: found, lost: true };
    taken.write(seq)?;
    wait(base, seconds)?;
    let now = read(base, &protect)?;
    if now.seq != seq {
        return Err(busy(base, active, Some(&now)));
    }
    taken.lost = false;
    Ok(taken)
}

/// Starts the thread.
fn start(mut taken: Taken) -> Result<Beating> {
    let base = taken.base.clone();
    let beat = Beat { stop: AtomicBool::new(false), queue: WaitQueue::new(), ended: Completion::new() };
    let beat = Arc::new(beat, GFP_KERNEL)?;
    let name = KString::from_fmt(format_args!("kmmpd-{}", base.health.name), GFP_KERNEL)?;
    let its = beat.clone();
    let started = task::kthread_run(name.as_bytes(), move || {
        if let Err(error) = taken.run(&its) {
            taken.lost = true;
            taken.report(error);
        }
        drop(taken);
        its.ended.complete();
    });
    match started {
        Ok(_) => Ok(Beating(beat)),
        Err(_) => {
            pr_warn!("EXT4-fs warning (device {0}): Unable to create kmmpd thread for {0}.\n", base.health.name);
            Err(ENOMEM)
        }
    }
}
