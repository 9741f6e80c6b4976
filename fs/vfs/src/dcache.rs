// SPDX-License-Identifier: GPL-2.0
//! The dentry cache: one hash table of all names, read under RCU.
//!
//! Locks: a bucket's writer lock is taken alone; removing and adding a name happens under the directory inode's `lock`. Renames
//! are serialised among themselves by `RENAME_LOCK` and announce themselves in `RENAME_SEQ`, so that a reader that found
//! nothing while a rename ran looks again.

use crate::dentry::{Dentry, LongName, long_name};
use crate::inode::{Inode, iop};
use crate::name::Key;
use core::sync::atomic::{AtomicUsize, Ordering};
use errno::Result;
use kalloc::{Arc, ArcBorrow, KVec};
use locking::{SeqCount, SpinLock};
use rcu::{RcuList, ReadGuard};

const BUCKETS: usize = 1 << 14;
static TABLE: [RcuList<Dentry>; BUCKETS] = [const { RcuList::new() }; BUCKETS];

static RENAME_LOCK: SpinLock<()> = SpinLock::new(());
static RENAME_SEQ: SeqCount = SeqCount::new();

/// Cached dentries that could be dropped and looked up again.
static CACHED: AtomicUsize = AtomicUsize::new(0);
/// Above this many the cache is trimmed, whether memory is short or not.
static CACHED_MAX: AtomicUsize = AtomicUsize::new(16384);
static CLOCK_HAND: AtomicUsize = AtomicUsize::new(0);

#[inline(always)]
fn bucket(hash: u32) -> &'static RcuList<Dentry> {
    // In bounds: the mask is the (constant) length less one.
    &TABLE[hash as usize & (BUCKETS - 1)]
}

/// The dentry of `key` in `parent`, if it is cached.
#[inline(always)]
pub(crate) fn lookup<'g>(section: &'g ReadGuard, parent: &Dentry, key: &Key<'_>) -> Option<ArcBorrow<'g, Dentry>> {
    let hash = key.hash_in(parent.address());
    let seq = RENAME_SEQ.raw();
    if let found @ Some(_) = scan(section, parent, key, hash) {
        return found;
    }
    if seq & 1 == 0 && !RENAME_SEQ.read_retry(seq) {
        return None;
    }
    lookup_again(section, parent, key, hash)
}

#[inline(always)]
fn scan<'g>(section: &'g ReadGuard, parent: &Dentry, key: &Key<'_>, hash: u32) -> Option<ArcBorrow<'g, Dentry>> {
    bucket(hash).iter(section).find(|dentry| dentry.matches(section, parent, key, hash))
}

#[cold]
fn lookup_again<'g>(
    section: &'g ReadGuard,
    parent: &Dentry,
    key: &Key<'_>,
    hash: u32,
) -> Option<ArcBorrow<'g, Dentry>> {
    loop {
        let seq = RENAME_SEQ.read_begin();
        let found = scan(section, parent, key, hash);
        if found.is_some() || !RENAME_SEQ.read_retry(seq) {
            return found;
        }
    }
}

/// The dentry of `name` in `parent`, counted.
pub fn lookup_cached(parent: &Dentry, name: &[u8]) -> Option<Arc<Dentry>> {
    let section = rcu::read_lock();
    lookup(&section, parent, &Key::new(name)).map(Arc::from)
}

/// Makes a dentry for `name` in `parent` and puts it into the cache. The caller holds the directory's `lock` exclusively and
/// has seen that the name is not cached. May sleep.
pub(crate) fn add(parent: &Arc<Dentry>, key: &Key<'_>, inode: Option<Arc<Inode>>) -> Result<Arc<Dentry>> {
    let dentry = Dentry::new_child(parent, key, inode)?;
    parent.reserve_children(1)?;
    parent.add_child(&dentry)?;
    // A new dentry is in no list, so this succeeds.
    let _ = bucket(dentry.hash()).lock().push(dentry.clone());
    if !is_complete(parent) && CACHED.fetch_add(1, Ordering::Relaxed) > CACHED_MAX.load(Ordering::Relaxed) {
        trim();
    }
    Ok(dentry)
}

fn is_complete(dir: &Dentry) -> bool {
    dir.inode().is_some_and(|inode| inode.iflags() & iop::COMPLETE != 0)
}

/// Takes a dentry out of the cache (`d_drop`): its name no longer leads to it. The caller holds the directory's `lock`, or is
/// tearing the tree down.
pub(crate) fn unhash(dentry: &Dentry) {
    let Some(parent) = dentry.parent_arc() else { return };
    let child = parent.remove_child(dentry);
    if bucket(dentry.hash()).lock().remove(dentry) && !is_complete(&parent) {
        let _ = CACHED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }
    drop(child);
}

/// An entry was made in `parent`, whose `lock` is held. If entries have several names there, it may be found now by some that are cached
/// as not there: those go.
pub(crate) fn entry_made(parent: &Dentry) {
    if parent.inode().is_none_or(|dir| dir.iflags() & iop::ALIASES == 0) {
        return;
    }
    let mut from = 0;
    while let Some((cookie, negative)) = parent.next_negative(from) {
        unhash(&negative);
        from = cookie + 1;
    }
}

/// A name about to be made: what may fail has been done. The directory's `lock` is held from `new` to `commit`.
pub(crate) struct Pending<'a> {
    parent: &'a Arc<Dentry>,
    dentry: Arc<Dentry>,
    cached: bool,
}

impl<'a> Pending<'a> {
    /// `key` is to be made in `parent`; `negative` is its dentry, if it is cached. May sleep.
    pub(crate) fn new(parent: &'a Arc<Dentry>, key: &Key<'_>, negative: Option<Arc<Dentry>>) -> Result<Self> {
        if let Some(dentry) = negative {
            return Ok(Self { parent, dentry, cached: true });
        }
        parent.reserve_children(1)?;
        Ok(Self { parent, dentry: Dentry::new_child(parent, key, None)?, cached: false })
    }

    /// The name stands for `inode` now.
    pub(crate) fn commit(self, inode: Arc<Inode>) -> Arc<Dentry> {
        // It was negative, and the directory's lock keeps it so.
        self.dentry.instantiate(inode);
        if !self.cached {
            // There is room, and a new dentry is in no list: neither fails.
            let _ = self.parent.add_child(&self.dentry);
            let _ = bucket(self.dentry.hash()).lock().push(self.dentry.clone());
            if !is_complete(self.parent) {
                CACHED.fetch_add(1, Ordering::Relaxed);
            }
        }
        entry_made(self.parent);
        self.dentry
    }
}

/// A rename prepared outside of locks: what may fail has been done.
pub(crate) struct Move<'a> {
    dentry: &'a Arc<Dentry>,
    parent: &'a Arc<Dentry>,
    key: &'a Key<'a>,
    long: Option<Arc<LongName>>,
}

impl<'a> Move<'a> {
    /// `dentry` is to become `key` in `parent`, whose `lock` is held. May sleep.
    pub(crate) fn prepare(dentry: &'a Arc<Dentry>, parent: &'a Arc<Dentry>, key: &'a Key<'a>) -> Result<Self> {
        // Two may come to the same directory (an exchange).
        parent.reserve_children(2)?;
        Ok(Self { dentry, parent, key, long: long_name(key)? })
    }
}

/// Carries renames out, as one step for readers: no look-up finds `replaced` gone and its successor not there yet. The
/// directories' locks are held.
pub(crate) fn apply_moves<const N: usize>(moves: [Move<'_>; N], replaced: Option<&Arc<Dentry>>) {
    if let Some(replaced) = replaced {
        drop_tree(replaced);
    }
    for step in &moves {
        if let Some(old) = step.dentry.parent_arc() {
            // Out of the old list before the new cookie overwrites the old one; readdir is kept out by the directory's lock.
            drop(old.remove_child(step.dentry));
        }
        // There is room, so this does not fail.
        let _ = step.parent.add_child(step.dentry);
    }
    let _renames = RENAME_LOCK.lock();
    RENAME_SEQ.write_begin();
    if let Some(replaced) = replaced {
        unhash(replaced);
    }
    for step in moves {
        // The bucket's own reference must not be the last: the caller holds one.
        bucket(step.dentry.hash()).lock().remove(step.dentry);
        step.dentry.rehome(step.parent.clone(), step.key, step.long);
        // Just removed, so it is in no list.
        let _ = bucket(step.dentry.hash()).lock().push(step.dentry.clone());
    }
    RENAME_SEQ.write_end();
}

/// Whether `dentry` is `ancestor` or below it. The shape of the tree is held still by the caller (`rename_lock`), or the answer
/// may be outdated.
pub(crate) fn is_subdir(dentry: &Arc<Dentry>, ancestor: &Dentry) -> bool {
    let section = rcu::read_lock();
    let mut at = dentry.as_arc_borrow();
    loop {
        if core::ptr::eq(&*at, ancestor) {
            return true;
        }
        match at.parent(&section) {
            // The parent was borrowed for the section, the start by the caller: the shorter of both is used.
            Some(parent) => at = parent,
            None => return false,
        }
    }
}

/// Whether `dentry` is directory `inode` or below it, as far as the tree holds still.
pub(crate) fn is_inside(dentry: &Arc<Dentry>, inode: &Arc<Inode>) -> bool {
    let section = rcu::read_lock();
    let mut at = dentry.as_arc_borrow();
    loop {
        if at.inode().is_some_and(|own| Arc::ptr_eq(own, inode)) {
            return true;
        }
        match at.parent(&section) {
            Some(parent) => at = parent,
            None => return false,
        }
    }
}

/// Drops every cached name below `root`, deepest first. For a file system that goes away.
pub(crate) fn drop_tree(root: &Arc<Dentry>) {
    let mut at = root.clone();
    loop {
        if let Some(child) = at.any_child() {
            at = child;
            continue;
        }
        if Arc::ptr_eq(&at, root) {
            return;
        }
        let parent = at.parent_arc();
        unhash(&at);
        at = parent.unwrap_or_else(|| root.clone());
    }
}

/// Drops the cached name `dentry` and all below it: what it named no longer exists by that name (`d_invalidate`). For file
/// systems whose contents change by themselves (a process ends). May sleep.
pub fn invalidate(dentry: &Arc<Dentry>) {
    drop_tree(dentry);
    unhash(dentry);
}

/// Drops some dentries that nobody uses. A dentry that somebody picked up meanwhile is put back; the directory's lock (only
/// tried: we may hold another) keeps a second dentry of the same name from being made in between.
#[cold]
fn trim() {
    trim_buckets(256);
}

/// The cache may grow as memory allows (one dentry for 4 KB); it is made smaller when memory is short. Once, at boot.
pub(crate) fn set_limit() {
    CACHED_MAX.store((mm::meminfo().total as usize).max(16384), Ordering::Relaxed);
}

/// Bytes of slabs of the dentries that can be dropped.
pub(crate) fn reclaimable_bytes() -> usize {
    let one = mm_alloc::slab::footprint(size_of::<Dentry>() + crate::icache::COUNTS, align_of::<Dentry>());
    CACHED.load(Ordering::Relaxed).saturating_mul(one)
}

/// Drops dentries that nobody uses, looking at `buckets` of the table; how many went. May sleep.
pub fn shrink(buckets: usize) -> usize {
    let before = CACHED.load(Ordering::Relaxed);
    trim_buckets(buckets.min(BUCKETS));
    before.saturating_sub(CACHED.load(Ordering::Relaxed))
}

/// Drops all dentries that nobody uses. May sleep.
pub fn shrink_all() {
    // Parents can go only after their children.
    while shrink(BUCKETS) != 0 {
        // The last references go after a grace period.
        rcu::barrier();
    }
}

fn trim_buckets(buckets: usize) {
    for _ in 0..buckets {
        let list = bucket(CLOCK_HAND.fetch_add(1, Ordering::Relaxed) as u32);
        let victims: KVec<Arc<Dentry>> = {
            let section = rcu::read_lock();
            let mut victims = KVec::new();
            for dentry in list.iter(&section) {
                if victims.push(Arc::from(dentry), kalloc::flags::GFP_ATOMIC).is_err() {
                    break;
                }
            }
            victims
        };
        for dentry in victims {
            trim_one(dentry);
        }
    }
}

/// References of an unused dentry: its bucket's, its parent's, and the caller's.
const UNUSED: usize = 3;

fn trim_one(dentry: Arc<Dentry>) {
    let Some(parent) = dentry.parent_arc() else { return };
    if is_complete(&parent) || Arc::strong_count(&dentry) > UNUSED || dentry.any_child().is_some() {
        return;
    }
    let Some(dir) = parent.inode() else { return };
    let Some(_lock) = dir.lock.try_write() else { return };
    if dentry.is_unhashed() {
        return;
    }
    if !bucket(dentry.hash()).lock().remove(&dentry) {
        return;
    }
    // The bucket's reference is only given up after a grace period, so an unused dentry still counts three.
    if Arc::strong_count(&dentry) > UNUSED || dentry.any_child().is_some() {
        // Just removed, so it is in no list.
        let _ = bucket(dentry.hash()).lock().push(dentry.clone());
        return;
    }
    drop(parent.remove_child(&dentry));
    let _ = CACHED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
}

/// Adds `inode` under `name` to a directory of a file system that fills its tree itself (devtmpfs, kernfs roots). Takes the
/// directory's lock. May sleep.
pub fn add_entry(parent: &Arc<Dentry>, name: &[u8], inode: Arc<Inode>) -> Result<Arc<Dentry>> {
    let dir = parent.positive()?;
    let _lock = dir.lock.write();
    if let Some(old) = lookup_cached(parent, name) {
        if old.inode().is_some() {
            return Err(errno::code::EEXIST);
        }
        unhash(&old);
    }
    add(parent, &Key::new(name), Some(inode))
}
