// SPDX-License-Identifier: GPL-2.0
//! Writing dirty buffers: in the order of their blocks, neighbours in one bio. The bytes are copied to pages first, so that a buffer
//! can be changed again at once.

use crate::bios::{self, Piece};
use crate::buffer::{Buffer, QUEUED};
use crate::device::DeviceCache;
use block::{Bio, EndIo, Op, OpFlags};
use containers::sort;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering::*};
use errno::{Error, Result};
use kalloc::flags::GFP_NOFS;
use kalloc::{Arc, KBox, KVec, UniqueArc, WeakArc};
use mm_alloc::Page;
use mm_alloc::layout::PAGE_SIZE;
use sync::Completion;

/// Buffers written with one wait.
const BATCH: usize = 512;
/// Blocks of one bio.
const RUN: usize = 128;

/// Several bios, one wait.
struct Waiter {
    left: AtomicUsize,
    error: AtomicI32,
    done: Completion,
    /// Nobody waits: the cache remembers an error.
    cache: Option<WeakArc<DeviceCache>>,
}

impl Waiter {
    fn put(&self) {
        if self.left.fetch_sub(1, AcqRel) == 1 {
            self.done.complete_all();
        }
    }
}

/// Buffers on their way in one bio.
struct Group {
    buffers: KVec<Arc<Buffer>>,
    waiter: Arc<Waiter>,
}

impl Group {
    fn end(&self, result: Result) {
        // First: who waits for a buffer may ask for the error then.
        if let Err(error) = result {
            let _ = self.waiter.error.compare_exchange(0, error.to_errno(), Relaxed, Relaxed);
            if let Some(cache) = self.waiter.cache.as_ref().and_then(WeakArc::upgrade) {
                cache.lost.store(error.to_errno(), Release);
                // Any context: it may be the last reference.
                rcu::defer_drop(cache);
            }
        }
        for buffer in self.buffers.iter() {
            buffer.end_write(result);
        }
        self.waiter.put();
    }
}

impl EndIo for Group {
    fn end_io(&self, bio: KBox<Bio>) {
        self.end(bio.status());
    }
}

impl DeviceCache {
    pub(crate) fn queue_dirty(&self, buffer: &Arc<Buffer>) {
        if buffer.set(QUEUED) & QUEUED == 0 {
            self.dirty.lock().push(buffer.clone());
        }
        self.queue();
    }

    /// Writes what is on the dirty list now. With `sync` waits for it, and for writes of these buffers that were going on.
    pub(crate) fn write_dirty(&self, sync: bool) -> Result {
        let mut left = self.dirty.lock().len;
        let mut result = Ok(());
        while left != 0 {
            let mut batch = KVec::with_capacity(BATCH.min(left), GFP_NOFS)?;
            {
                let mut list = self.dirty.lock();
                while batch.len() < BATCH && left != 0 {
                    let Some(buffer) = list.pop() else {
                        left = 0;
                        break;
                    };
                    left -= 1;
                    // Before it is looked at: whoever makes it dirty from now on queues it again.
                    buffer.clear(QUEUED);
                    // There is room for so many.
                    let _ = batch.push_within_capacity(buffer);
                }
            }
            let flags = if sync { OpFlags::SYNC } else { OpFlags::BACKGROUND };
            result = result.and(self.write_batch(batch, OpFlags::META | flags, sync));
        }
        result
    }

    /// Writes those of `buffers` that are dirty and waits for all of them: the first error. May sleep.
    pub fn write_buffers(&self, buffers: &[Arc<Buffer>], flags: OpFlags) -> Result {
        let mut result = Ok(());
        for part in buffers.chunks(BATCH) {
            let mut batch = KVec::with_capacity(part.len(), GFP_NOFS)?;
            for buffer in part {
                let _ = batch.push_within_capacity(buffer.clone());
            }
            result = result.and(self.write_batch(batch, flags | OpFlags::SYNC, true));
        }
        result
    }

    fn write_batch(&self, mut batch: KVec<Arc<Buffer>>, flags: OpFlags, wait: bool) -> Result {
        if wait {
            for buffer in batch.iter() {
                buffer.wait_written();
            }
        }
        sort::sort_by_key(&mut batch, |buffer| buffer.pos());
        let cache = (!wait).then(|| self.me.clone());
        let waiter = Waiter { left: AtomicUsize::new(1), error: AtomicI32::new(0), done: Completion::new(), cache };
        let waiter = Arc::new(waiter, GFP_NOFS)?;
        let mut result = Ok(());
        let plug = block::Plug::start();
        let mut rest: &[Arc<Buffer>] = &batch;
        while !rest.is_empty() {
            let (run, others) = rest.split_at(run_length(rest));
            rest = others;
            result = result.and(self.write_group(run, flags, &waiter));
        }
        drop(plug);
        waiter.put();
        if wait {
            waiter.done.wait_io();
        }
        // What could not be written now comes again.
        for buffer in batch.iter().filter(|buffer| buffer.is_dirty()) {
            self.queue_dirty(buffer);
        }
        if !wait {
            return result;
        }
        match waiter.error.load(Acquire) {
            0 => result,
            errno => Err(Error::from_errno(errno)),
        }
    }

    /// Writes those of `run`, which are neighbours, that are dirty.
    fn write_group(&self, run: &[Arc<Buffer>], flags: OpFlags, waiter: &Arc<Waiter>) -> Result {
        let bdev = self.bdev()?;
        let mut rest = run;
        while !rest.is_empty() {
            let skip = rest.iter().take_while(|buffer| !buffer.is_dirty()).count();
            rest = rest.get(skip..).unwrap_or(&[]);
            let room = rest.len();
            let group = Group { buffers: KVec::with_capacity(room, GFP_NOFS)?, waiter: waiter.clone() };
            let mut group = UniqueArc::new(group, GFP_NOFS)?;
            let mut pieces = KVec::with_capacity(room, GFP_NOFS)?;
            let looked = snapshot(rest, &mut group.buffers, &mut pieces)?;
            rest = rest.get(looked.max(1)..).unwrap_or(&[]);
            let Some(pos) = group.buffers.first().map(|buffer| buffer.pos()) else { continue };
            waiter.left.fetch_add(1, AcqRel);
            let group: Arc<Group> = group.into();
            let end: Arc<dyn EndIo> = group.clone();
            // One bio at most: a run is shorter than what a bio takes.
            if let Err(error) = bios::submit(&bdev, Op::Write, flags, pos, pieces.iter().cloned(), &end) {
                group.end(Err(error));
                return Err(error);
            }
        }
        Ok(())
    }
}

/// How many buffers at the front of `sorted` lie side by side.
fn run_length(sorted: &[Arc<Buffer>]) -> usize {
    let next = |pair: &[Arc<Buffer>]| match pair {
        [one, two] => one.pos() + u64::from(one.size()) == two.pos(),
        _ => false,
    };
    1 + sorted.windows(2).take(RUN - 1).take_while(|pair| next(pair)).count()
}

/// Takes the buffers' dirty state and copies their bytes, up to the first that cannot be written now; how many were taken. ENOMEM: none.
fn snapshot(run: &[Arc<Buffer>], buffers: &mut KVec<Arc<Buffer>>, pieces: &mut KVec<Piece>) -> Result<usize> {
    let mut page: Option<(Page, usize)> = None;
    for buffer in run {
        let size = buffer.size() as usize;
        let (target, offset) = match page.take() {
            Some((page, used)) if used + size <= PAGE_SIZE => (page, used),
            _ => match Page::alloc(GFP_NOFS) {
                Ok(page) => (page, 0),
                Err(error) if buffers.is_empty() => return Err(error),
                Err(_) => break,
            },
        };
        if !buffer.begin_write() {
            break;
        }
        // In bounds: the room was checked. The capacity is there.
        let _ = target.write(offset, &buffer.read());
        let _ = buffers.push_within_capacity(buffer.clone());
        let _ = pieces.push_within_capacity(Piece { page: target.clone(), offset, len: size });
        page = Some((target, offset + size));
    }
    Ok(buffers.len())
}
