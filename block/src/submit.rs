// SPDX-License-Identifier: GPL-2.0
//! The way of a bio from its maker to the driver: is it within the device, can the device do it, where is it on the disk, does it
//! have to be cut. Takes no lock.

use crate::bio::{Bio, BioEnd, BioVec, EndIo};
use crate::disk::Gendisk;
use crate::limits::QueueLimits;
use crate::trace::{Action, Extra};
use crate::types::{Op, OpFlags, SECTOR_SHIFT};
use errno::{Error, Result, code::*};
use kalloc::flags::{GFP_NOIO, GFP_NOWAIT};
use kalloc::{Arc, Flags, KBox};
use locking::SpinLock;
use mm_alloc::stat::{self, Item};
use sync::Completion;
use task_io::Plug;

/// Gives a bio to its device. Its receiver ([`Bio::set_end`]) hears of the end, perhaps before this returns; every error is told that
/// way: EIO beyond the device's end or when the device is gone, EOPNOTSUPP for what it cannot do, EAGAIN with `NOWAIT`, and the
/// driver's: EIO, ENOSPC, ETIMEDOUT, ENODATA (medium), EILSEQ (protection), EREMOTEIO (target). May sleep unless `NOWAIT` is set.
pub fn submit_bio(mut bio: KBox<Bio>) {
    let disk = bio.bdev().disk().clone();
    match prepare(&mut bio, &disk) {
        Ok(true) => dispatch(&disk, bio),
        Ok(false) => bio.end(Ok(())),
        Err(error) => bio.end(Err(error)),
    }
}

/// Checks and completes a bio; false if there is nothing to do.
fn prepare(bio: &mut KBox<Bio>, disk: &Gendisk) -> Result<bool> {
    if !disk.is_live() {
        return Err(EIO);
    }
    let limits = disk.limits();
    if bio.flags().any(OpFlags::PREFLUSH | OpFlags::FUA) || bio.op() == Op::Flush {
        if bio.op() != Op::Write && (bio.op() != Op::Flush || !bio.is_empty()) {
            return Err(EIO);
        }
        if !limits.write_cache {
            // Nothing is ever in a cache that is not there.
            let flags = bio.flags().without(OpFlags::PREFLUSH | OpFlags::FUA);
            bio.set_flags(flags);
            if bio.is_empty() {
                return Ok(false);
            }
        }
    } else if bio.is_empty() {
        return Ok(false);
    }
    if limits.max_sectors_of(bio.op()) == 0 {
        return Err(EOPNOTSUPP);
    }
    let unit = u64::from(limits.logical_block_size);
    if !(bio.len()).is_multiple_of(unit) || !bio.sector().is_multiple_of(unit >> SECTOR_SHIFT) {
        return Err(EINVAL);
    }
    check_end(bio)?;
    if !bio.remapped {
        let start = bio.bdev().start_sector();
        let sector = bio.sector().checked_add(start).ok_or(EIO)?;
        let before = bio.sector();
        bio.set_sector(sector);
        bio.remapped = true;
        account(bio);
        disk.trace_sent(bio, before);
    }
    Ok(true)
}

/// Whose I/O it is: the submitter's priority, and what its process reads; and the machine's sums.
fn account(bio: &mut Bio) {
    match bio.op() {
        Op::Read => stat::add(Item::SectorsIn, bio.sectors().cast_signed()),
        Op::Write => stat::add(Item::SectorsOut, bio.sectors().cast_signed()),
        _ => {}
    }
    task_io::count_in_task(|io| {
        if bio.priority() == 0 {
            bio.set_priority(io.priority());
        }
        if bio.op() == Op::Read {
            io.read_bytes.add(bio.len());
        }
    });
}

#[inline]
fn check_end(bio: &Bio) -> Result {
    let size = bio.bdev().nr_sectors();
    if bio.remapped || bio.is_empty() || bio.sector().checked_add(bio.sectors()).is_some_and(|end| end <= size) {
        return Ok(());
    }
    end_error(bio, size)
}

#[cold]
fn end_error(bio: &Bio, size: u64) -> Result {
    if let Ok(name) = bio.bdev().name() {
        klog::pr_info!(
            "attempt to access beyond end of device\n{name}: op {:?}, sector={}, nr_sectors = {} limit={size}",
            bio.op(),
            bio.sector(),
            bio.sectors()
        );
    }
    Err(EIO)
}

/// Hands a bio that is ready to the driver, in parts if it is too large.
fn dispatch(disk: &Arc<Gendisk>, bio: KBox<Bio>) {
    let limits = disk.limits();
    match fits(&bio, &limits, 0) {
        Some(len) if len < bio.len() => split(disk, bio, &limits),
        _ => disk.ops().submit_bio(disk, bio),
    }
}

/// Bytes from `skip` on that one request can take; `None` if the rest fits.
fn fits(bio: &Bio, limits: &QueueLimits, skip: u64) -> Option<u64> {
    let unit = u64::from(limits.logical_block_size);
    let most = u64::from(limits.max_sectors_of(bio.op())) << SECTOR_SHIFT;
    let left = bio.len() - skip;
    if !bio.op().has_data() {
        return (left > most).then(|| (most - most % unit).max(unit));
    }
    if left <= most && bio.segments().len() <= limits.max_segments as usize && limits.virt_boundary_mask == 0 {
        return None;
    }
    let (mut at, mut bytes, mut pieces) = (0u64, 0u64, 0u32);
    let mut before: Option<&BioVec> = None;
    for segment in bio.segments() {
        let first = at.max(skip);
        at += u64::from(segment.len);
        if at <= skip {
            continue;
        }
        let gap = before.is_some_and(|before| !limits.joins(before, segment));
        if pieces == limits.max_segments || bytes >= most || gap {
            break;
        }
        before = Some(segment);
        bytes += at - first;
        pieces += 1;
    }
    let take = bytes.min(most);
    let whole = take - take % unit;
    // Pieces so small that a block does not fit into the most segments: the driver gets one more than it asked for.
    Some(whole.max(unit).min(left)).filter(|&len| len < left)
}

/// Ends the whole when all its parts have ended.
struct Parent {
    state: SpinLock<ParentState>,
}

struct ParentState {
    bio: Option<KBox<Bio>>,
    left: u64,
    error: Option<Error>,
}

impl Parent {
    fn done(&self, status: Result) {
        let mut state = self.state.lock_irqsave();
        if let Err(error) = status {
            state.error.get_or_insert(error);
        }
        state.left -= 1;
        if state.left == 0 {
            let (bio, error) = (state.bio.take(), state.error);
            drop(state);
            if let Some(bio) = bio {
                bio.end(error.map_or(Ok(()), Err));
            }
        }
    }
}

impl EndIo for Parent {
    fn end_io(&self, bio: KBox<Bio>) {
        self.done(bio.status());
    }
}

fn split(disk: &Arc<Gendisk>, bio: KBox<Bio>, limits: &QueueLimits) {
    let flags = if bio.flags().has(OpFlags::NOWAIT) { GFP_NOWAIT } else { GFP_NOIO };
    // One count is held here until all parts are made.
    let state = ParentState { bio: None, left: 1, error: None };
    let parent = match Arc::new(Parent { state: SpinLock::new(state) }, flags) {
        Ok(parent) => parent,
        Err(error) => return bio.end(Err(error.into())),
    };
    let _plug = Plug::start();
    let mut skip = 0;
    let mut failed = Ok(());
    while skip < bio.len() {
        let len = fits(&bio, limits, skip).unwrap_or(bio.len() - skip);
        if skip + len < bio.len() {
            bio.trace(Action::Split, Extra::Number(bio.sector().saturating_add((skip + len) >> SECTOR_SHIFT)));
        }
        match part_of(&bio, &parent, skip, len, flags) {
            Ok(part) => {
                parent.state.lock_irqsave().left += 1;
                disk.ops().submit_bio(disk, part);
            }
            Err(error) => {
                failed = Err(error);
                break;
            }
        }
        skip += len;
    }
    parent.state.lock_irqsave().bio = Some(bio);
    parent.done(failed);
}

fn part_of(bio: &Bio, parent: &Arc<Parent>, skip: u64, len: u64, flags: Flags) -> Result<KBox<Bio>> {
    let mut part = bio.part(skip, len, flags)?;
    if skip != 0 {
        // The cache is to be flushed once, before the first.
        let rest = part.flags().without(OpFlags::PREFLUSH);
        part.set_flags(rest);
    }
    part.set_end(BioEnd::Shared(parent.clone()));
    Ok(part)
}

/// Wakes the submitter and gives it the bio.
struct Waiter {
    done: Completion,
    bio: SpinLock<Option<KBox<Bio>>>,
}

impl EndIo for Waiter {
    fn end_io(&self, bio: KBox<Bio>) {
        *self.bio.lock_irqsave() = Some(bio);
        self.done.complete();
    }
}

/// Submits a bio and waits for its end; gives it back with its status. Replaces its receiver. `Err` only if it could not be
/// submitted (ENOMEM). Sleeps.
pub fn submit_bio_wait(mut bio: KBox<Bio>) -> Result<KBox<Bio>> {
    let waiter = Arc::new(Waiter { done: Completion::new(), bio: SpinLock::new(None) }, GFP_NOIO)?;
    bio.set_end(BioEnd::Shared(waiter.clone()));
    let flags = bio.flags() | OpFlags::SYNC;
    bio.set_flags(flags);
    submit_bio(bio);
    waiter.done.wait_io();
    let bio = waiter.bio.lock_irqsave().take().ok_or(EIO)?;
    bio.status().map(|()| bio)
}
