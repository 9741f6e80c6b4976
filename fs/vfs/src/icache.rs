// SPDX-License-Identifier: GPL-2.0
//! The inode cache of a file system on a device: its inodes by number. An inode stays cached when no name and no file leads to it
//! any more, until memory is short (`shrink`) or the file system is unmounted. Look-ups take no lock.
//!
//! Locks: `reading` (sleeping, by number) around reading an inode from the device and entering it, so that there is one object for
//! each number; inside it a bucket's lock. Who drops an inode marks it (`iop::UNCACHED`) before looking for users, and who finds one
//! looks for the mark when it counts as a user: one of the two sees the other.

use crate::dentry::Dentry;
use crate::inode::{Inode, iop};
use crate::super_block::{SuperBlock, for_each_on_device};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*, fence};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVVec, KVec};
use rcu::RcuList;
use sync::Mutex;

/// Inodes cached in all file systems, and how many of them were seen unused at the last look.
static CACHED: AtomicUsize = AtomicUsize::new(0);
/// Bytes of slabs that they take.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Locks for reading inodes in: two numbers may share one.
const READERS: usize = 64;

/// The inodes of one file system.
pub(crate) struct InodeCache {
    buckets: KVVec<RcuList<Inode>>,
    reading: KVVec<Mutex<()>>,
    hand: AtomicUsize,
}

/// References to an unused inode: its bucket's, and the looker's.
const UNUSED: usize = 2;

/// Whether something of the inode is still on its way to the device: who read it in anew would get what is older there, and who waits
/// for its pages (a commit) finds them by the inode.
fn is_unsettled(inode: &Inode) -> bool {
    inode.dirty_flags() != 0 || inode.mapping().is_some_and(|mapping| mapping.is_writeback())
}

impl InodeCache {
    /// Sized by the machine's memory. ENOMEM.
    pub(crate) fn new() -> Result<Self> {
        let wanted = (mm::meminfo().total / 16).clamp(1024, 65536).next_power_of_two() as usize;
        let mut buckets = KVVec::with_capacity(wanted, GFP_KERNEL)?;
        for _ in 0..wanted {
            // The capacity is there.
            let _ = buckets.push_within_capacity(RcuList::new());
        }
        let mut reading = KVVec::with_capacity(READERS, GFP_KERNEL)?;
        for _ in 0..READERS {
            let _ = reading.push_within_capacity(Mutex::new(()));
        }
        Ok(Self { buckets, reading, hand: AtomicUsize::new(0) })
    }

    fn bucket(&self, ino: u64) -> Result<&RcuList<Inode>> {
        let hash = ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.buckets.get(hash as usize & (self.buckets.len() - 1)).ok_or(EINVAL)
    }

    fn reader(&self, ino: u64) -> Result<&Mutex<()>> {
        self.reading.get(ino as usize % READERS).ok_or(EINVAL)
    }

    /// The inode `ino`, if it is cached and not being deleted.
    fn find(&self, ino: u64) -> Option<Arc<Inode>> {
        let found: Arc<Inode> = {
            let section = rcu::read_lock();
            let mut list = self.bucket(ino).ok()?.iter(&section);
            list.find(|inode| inode.ino == ino && !inode.is_evicted()).map(Arc::from)?
        };
        found.is_cached().then_some(found)
    }

    /// The inode `ino`, if it is in the list.
    fn find_any(&self, ino: u64) -> Option<Arc<Inode>> {
        let section = rcu::read_lock();
        let mut list = self.bucket(ino).ok()?.iter(&section);
        list.find(|inode| inode.ino == ino).map(Arc::from)
    }

    fn enter(&self, inode: &Arc<Inode>) -> Result {
        // A new inode is in no list.
        self.bucket(inode.ino)?.lock().push(inode.clone()).map_err(|_| EEXIST)?;
        CACHED.fetch_add(1, Relaxed);
        BYTES.fetch_add(footprint(inode), Relaxed);
        Ok(())
    }

    /// Takes an inode out: it is deleted.
    pub(crate) fn remove(&self, inode: &Inode) {
        if let Ok(bucket) = self.bucket(inode.ino)
            && bucket.lock().remove(inode)
        {
            left(inode);
        }
    }

    /// Looks at the inodes of `count` buckets and drops those that nobody uses and that are clean; how many it dropped.
    fn scan(&self, count: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..count.min(self.buckets.len()) {
            let at = self.hand.fetch_add(1, Relaxed) & (self.buckets.len() - 1);
            let Some(bucket) = self.buckets.get(at) else { break };
            let mut victims: KVec<Arc<Inode>> = KVec::new();
            {
                let section = rcu::read_lock();
                for inode in bucket.iter(&section) {
                    if victims.push(Arc::from(inode), GFP_ATOMIC).is_err() {
                        break;
                    }
                }
            }
            for inode in victims {
                dropped += usize::from(self.drop_unused(bucket, &inode));
            }
        }
        dropped
    }

    fn drop_unused(&self, bucket: &RcuList<Inode>, inode: &Arc<Inode>) -> bool {
        if Arc::strong_count(inode) > UNUSED || is_unsettled(inode) || inode.is_evicted() {
            return false;
        }
        let Some(_reading) = self.reader(inode.ino).ok().and_then(Mutex::try_lock) else { return false };
        if !bucket.lock().remove(inode) {
            return false;
        }
        inode.change_iflags(iop::UNCACHED, 0);
        fence(SeqCst);
        // The bucket's reference is only given up after a grace period, so an unused inode still counts two. Who found it meanwhile
        // has a third, or sees the mark.
        if Arc::strong_count(inode) > UNUSED || is_unsettled(inode) {
            inode.change_iflags(0, iop::UNCACHED);
            // Just removed, so it is in no list.
            let _ = bucket.lock().push(inode.clone());
            return false;
        }
        left(inode);
        inode.ops().forget(inode);
        true
    }

    /// Inodes that only the cache keeps.
    fn count_unused(&self) -> u64 {
        let mut unused = 0;
        for bucket in self.buckets.iter() {
            let section = rcu::read_lock();
            // The bucket's reference lasts as long as the section: none of these is the last.
            unused +=
                bucket.iter(&section).filter(|inode| Arc::strong_count(&Arc::from(*inode)) <= UNUSED).count() as u64;
        }
        unused
    }

    /// The file system goes: all inodes leave the cache.
    pub(crate) fn clear(&self) {
        for bucket in self.buckets.iter() {
            loop {
                let section = rcu::read_lock();
                let Some(inode) = bucket.iter(&section).next().map(Arc::from) else { break };
                drop(section);
                if bucket.lock().remove(&inode) {
                    left(&inode);
                    inode.ops().forget(&inode);
                }
            }
        }
    }
}

impl SuperBlock {
    /// The inode `ino`, if it is cached, also while it is being deleted: for who waits for its pages (a commit).
    pub fn find_inode(&self, ino: u64) -> Option<Arc<Inode>> {
        self.icache()?.find_any(ino)
    }

    /// The inode `ino`, made by `read` if it is not cached (`iget`). `read` reads it from the device and must not ask for another
    /// inode. May sleep.
    pub fn iget(&self, ino: u64, read: impl FnOnce() -> Result<Arc<Inode>>) -> Result<Arc<Inode>> {
        let cache = self.icache().ok_or(EINVAL)?;
        if let Some(inode) = cache.find(ino) {
            return Ok(inode);
        }
        let _reading = cache.reader(ino)?.lock();
        if let Some(inode) = cache.find(ino) {
            return Ok(inode);
        }
        let inode = read()?;
        if inode.ino != ino {
            return Err(EINVAL);
        }
        cache.enter(&inode)?;
        Ok(inode)
    }

    /// Enters a newly made inode. EEXIST if its number is in use, which means that the file system's map of inodes is wrong.
    pub fn insert_inode(&self, inode: &Arc<Inode>) -> Result {
        let cache = self.icache().ok_or(EINVAL)?;
        let _reading = cache.reader(inode.ino)?.lock();
        if cache.find(inode.ino).is_some() {
            return Err(EEXIST);
        }
        cache.enter(inode)
    }

    /// Drops cached inodes that nobody uses, looking at about `count`; how many went. May sleep.
    pub fn shrink_inodes(&self, count: usize) -> usize {
        self.icache().map_or(0, |cache| cache.scan(count))
    }

    /// Drops all cached inodes that nobody uses (`drop_caches`). May sleep.
    pub fn shrink_all_inodes(&self) -> usize {
        self.icache().map_or(0, |cache| cache.scan(cache.buckets.len()))
    }
}

/// Bytes of slabs of an inode and the file system's part of it.
fn footprint(inode: &Inode) -> usize {
    let ops = inode.ops();
    let own = mm_alloc::slab::footprint(size_of_val(ops), align_of_val(ops));
    own + mm_alloc::slab::footprint(size_of::<Inode>() + COUNTS, align_of::<Inode>())
}

/// Bytes of an `Arc`'s counts.
pub(crate) const COUNTS: usize = 8;

fn left(inode: &Inode) {
    CACHED.fetch_sub(1, Relaxed);
    BYTES.fetch_sub(footprint(inode), Relaxed);
}

/// Pages of slabs that are dentries' and inodes' which can be dropped when memory is short (`SReclaimable`).
pub fn reclaimable_pages() -> u64 {
    let bytes = BYTES.load(Relaxed).saturating_add(crate::dcache::reclaimable_bytes());
    (bytes / mm_alloc::layout::PAGE_SIZE) as u64
}

/// Inodes that only the caches keep, of all file systems on devices. May sleep.
pub(crate) fn count_unused() -> u64 {
    let mut unused = 0;
    for_each_on_device(|sb| unused += sb.icache().map_or(0, InodeCache::count_unused));
    unused
}

/// Inodes cached now, of all file systems on devices.
pub fn cached() -> usize {
    CACHED.load(Relaxed)
}

/// `vm.vfs_cache_pressure`: how many names and inodes are looked at when memory is short, in percent of the usual number.
pub static CACHE_PRESSURE: AtomicU32 = AtomicU32::new(100);

struct Caches;

impl mm::reclaim::Shrinker for Caches {
    fn shrink(&self, count: usize) -> usize {
        let names = count.saturating_mul(CACHE_PRESSURE.load(Relaxed) as usize) / 100;
        let mut dropped = 0;
        if names != 0 {
            dropped += crate::dcache::shrink(names);
            for_each_on_device(|sb| {
                dropped += sb.shrink_inodes(names);
                sb.prune_known();
            });
        }
        dropped + crate::hooks::DEVICES.get().map_or(0, |devices| devices.shrink(count))
    }

    fn shrink_all(&self) {
        crate::dcache::shrink_all();
        for_each_on_device(|sb| {
            sb.shrink_all_inodes();
            sb.prune_known();
        });
        if let Some(devices) = crate::hooks::DEVICES.get() {
            devices.shrink(usize::MAX);
        }
    }
}

/// Tells reclaim of the caches here. Once, at boot.
pub(crate) fn init() {
    static CACHES: &dyn mm::reclaim::Shrinker = &Caches;
    mm::reclaim::SHRINKER.set(&CACHES);
    crate::dcache::set_limit();
}

/// A root dentry for a file system whose root inode is `ino`, made by `read`.
pub fn root_of(sb: &SuperBlock, ino: u64, read: impl FnOnce() -> Result<Arc<Inode>>) -> Result<Arc<Dentry>> {
    Dentry::new_root(sb.iget(ino, read)?)
}
