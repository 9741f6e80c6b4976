// SPDX-License-Identifier: GPL-2.0
//! `Dentry`: a name in a directory, and what it names (an inode, or nothing: a negative dentry).
//!
//! Readers walk under RCU (`dcache::lookup`) and take no reference and no lock. A dentry's inode is set at most once and stays
//! for the dentry's life; removing a name unhashes the dentry. Name and parent change only by rename, inside the dentry's `seq`
//! and the global `RENAME_SEQ`.
//!
//! Locks, in order: directory inode's `lock` (sleeping), bucket, `children`.

use crate::census::{Names, One};
use crate::inode::Inode;
use crate::name::{INLINE_NAME, Key, NAME_MAX, NameWords};
use crate::types::FileType;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, ArcBorrow, KVVec, KVec};
use locking::{SeqCount, SetOnce, SpinLock};
use rcu::{RcuArc, RcuLink, ReadGuard};

/// Flags of a dentry.
pub(crate) mod dflag {
    /// Something may be mounted here in some name space.
    pub(crate) const MOUNTED: u32 = 1 << 0;
}

/// A name too long to live in the dentry.
pub(crate) struct LongName(KVec<u8>);

/// A cached name. Always in an `Arc`.
pub struct Dentry {
    link: RcuLink<Dentry>,
    hash: AtomicU32,
    len: AtomicU32,
    words: NameWords,
    parent: RcuArc<Dentry>,
    flags: AtomicU32,
    seq: SeqCount,
    inode: SetOnce<Arc<Inode>>,
    long: RcuArc<LongName>,
    /// Position in the parent's `children`.
    cookie: AtomicU64,
    children: SpinLock<Children>,
    _counted: One<Names>,
}

rcu::rcu_listed!(Dentry, link);

impl Dentry {
    fn build(parent: Option<Arc<Dentry>>, key: &Key<'_>, inode: Option<Arc<Inode>>) -> Result<Arc<Self>> {
        if key.bytes.len() > NAME_MAX {
            return Err(ENAMETOOLONG);
        }
        let hash = parent.as_ref().map_or(0, |parent| key.hash_in(parent.address()));
        let cell = SetOnce::new();
        if let Some(inode) = inode {
            // The cell is new and empty.
            let _ = cell.set(inode);
        }
        let dentry = Self {
            link: RcuLink::new(),
            hash: AtomicU32::new(hash),
            len: AtomicU32::new(key.bytes.len() as u32),
            words: NameWords::new(key),
            parent: RcuArc::new(parent),
            flags: AtomicU32::new(0),
            seq: SeqCount::new(),
            inode: cell,
            long: RcuArc::new(long_name(key)?),
            cookie: AtomicU64::new(0),
            children: SpinLock::new(Children::new()),
            _counted: One::new(),
        };
        Ok(Arc::new(dentry, GFP_KERNEL)?)
    }

    /// The root of a file system.
    pub fn new_root(inode: Arc<Inode>) -> Result<Arc<Self>> {
        Self::build(None, &Key::new(b"/"), Some(inode))
    }

    /// A dentry that is in no directory (pipes, sockets, `O_TMPFILE`): shown by its inode's `dname`.
    pub fn new_anon(inode: Arc<Inode>, name: &[u8]) -> Result<Arc<Self>> {
        Self::build(None, &Key::new(name.get(..name.len().min(NAME_MAX)).unwrap_or(b"")), Some(inode))
    }

    /// A dentry for `key` in `parent`, not yet in the cache.
    pub(crate) fn new_child(parent: &Arc<Dentry>, key: &Key<'_>, inode: Option<Arc<Inode>>) -> Result<Arc<Self>> {
        Self::build(Some(parent.clone()), key, inode)
    }

    /// Its address, as a number to hash with.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// What it names; `None` for a negative dentry.
    #[inline(always)]
    pub fn inode(&self) -> Option<&Arc<Inode>> {
        self.inode.get()
    }

    /// What it names, `ENOENT` for a negative dentry.
    #[inline(always)]
    pub fn positive(&self) -> Result<&Arc<Inode>> {
        self.inode.get().ok_or(ENOENT)
    }

    /// Makes a negative dentry positive. False if it was positive already.
    pub(crate) fn instantiate(&self, inode: Arc<Inode>) -> bool {
        self.inode.set(inode).is_ok()
    }

    /// The directory it is in; a root and an anonymous dentry have none.
    #[inline(always)]
    pub fn parent<'g>(&self, section: &'g ReadGuard) -> Option<ArcBorrow<'g, Dentry>> {
        self.parent.borrow(section)
    }

    /// The directory it is in, counted.
    pub fn parent_arc(&self) -> Option<Arc<Dentry>> {
        self.parent.get()
    }

    /// Whether it has no parent: the root of a file system, or anonymous.
    #[inline(always)]
    pub fn is_root(&self) -> bool {
        self.parent.as_ptr().is_null()
    }

    /// Whether the name was removed (or never was in a directory, for an anonymous dentry that is not a root).
    #[inline(always)]
    pub fn is_unhashed(&self) -> bool {
        !self.is_root() && !self.link.is_listed()
    }

    #[inline(always)]
    pub(crate) fn hash(&self) -> u32 {
        self.hash.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn test_flags(&self, flags: u32) -> bool {
        self.flags.load(Ordering::Acquire) & flags != 0
    }

    pub(crate) fn set_flags(&self, flags: u32) {
        self.flags.fetch_or(flags, Ordering::AcqRel);
    }

    pub(crate) fn clear_flags(&self, flags: u32) {
        self.flags.fetch_and(!flags, Ordering::AcqRel);
    }

    /// Whether this is `key` in `parent`, and was throughout the call.
    #[inline(always)]
    pub(crate) fn matches(&self, section: &ReadGuard, parent: *const Dentry, key: &Key<'_>, hash: u32) -> bool {
        if self.hash.load(Ordering::Relaxed) != hash {
            return false;
        }
        let seq = self.seq.raw();
        core::ptr::eq(self.parent.as_ptr(), parent)
            && self.len.load(Ordering::Relaxed) as usize == key.bytes.len()
            && self.words.matches(key)
            && (key.bytes.len() <= INLINE_NAME
                || self.long.borrow(section).is_some_and(|long| long.0.as_slice() == key.bytes))
            && seq & 1 == 0
            && !self.seq.read_retry(seq)
    }

    /// Calls `f` with the name as it is now. `f` may run more than once, with preemption off.
    pub fn with_name<R>(&self, mut f: impl FnMut(&[u8]) -> R) -> R {
        let section = rcu::read_lock();
        loop {
            let seq = self.seq.read_begin();
            let len = self.len.load(Ordering::Relaxed) as usize;
            let result = if len <= INLINE_NAME {
                f(self.words.bytes().get(..len).unwrap_or(b""))
            } else {
                f(self.long.borrow(&section).as_ref().map_or(b"".as_slice(), |long| long.0.as_slice()))
            };
            if !self.seq.read_retry(seq) {
                return result;
            }
        }
    }

    /// A copy of the name.
    pub fn name(&self) -> Result<KVec<u8>> {
        let mut out = KVec::with_capacity(NAME_MAX, GFP_KERNEL)?;
        self.with_name(|name| {
            out.clear();
            // The capacity is there: names are never longer.
            let _ = out.extend_from_slice(name, kalloc::flags::GFP_ATOMIC);
        });
        Ok(out)
    }

    /// Gives it a new name and parent. The caller holds both directories' locks and is inside `RENAME_SEQ`; the dentry is in no
    /// bucket and in no `children`. `long` is `long_name(key)`.
    pub(crate) fn rehome(&self, parent: Arc<Dentry>, key: &Key<'_>, long: Option<Arc<LongName>>) {
        self.seq.write_begin();
        self.hash.store(key.hash_in(parent.address()), Ordering::Relaxed);
        self.len.store(key.bytes.len() as u32, Ordering::Relaxed);
        self.words.set(key);
        self.long.replace(long);
        self.parent.replace(Some(parent));
        self.seq.write_end();
    }

    /// Makes room for `n` children more. The directory's lock keeps others from using it. May sleep.
    pub(crate) fn reserve_children(&self, n: usize) -> Result {
        loop {
            let needed = {
                let children = self.children.lock();
                if children.slots.capacity() - children.slots.len() >= n {
                    return Ok(());
                }
                (children.slots.len() * 2).max(4).saturating_add(n)
            };
            let mut room = KVVec::with_capacity(needed, GFP_KERNEL)?;
            let mut children = self.children.lock();
            if room.capacity() > children.slots.len() {
                for slot in children.slots.drain(..) {
                    // The capacity was checked.
                    let _ = room.push_within_capacity(slot);
                }
                core::mem::swap(&mut children.slots, &mut room);
            }
            drop(children);
        }
    }

    /// Puts `child` into the list of children, where there is room for it; it gets the next cookie.
    pub(crate) fn add_child(&self, child: &Arc<Dentry>) -> Result {
        let mut children = self.children.lock();
        let cookie = children.next;
        child.cookie.store(cookie, Ordering::Relaxed);
        children.slots.push_within_capacity((cookie, Some(child.clone()))).map_err(|_| ENOMEM)?;
        children.next += 1;
        children.live += 1;
        Ok(())
    }

    /// Takes `child` out of the list of children.
    pub(crate) fn remove_child(&self, child: &Dentry) -> Option<Arc<Dentry>> {
        let cookie = child.cookie.load(Ordering::Relaxed);
        let mut children = self.children.lock();
        let index = children.slots.binary_search_by_key(&cookie, |slot| slot.0).ok()?;
        let slot = children.slots.get_mut(index)?;
        if !slot.1.as_ref().is_some_and(|found| core::ptr::eq(&**found, child)) {
            return None;
        }
        let found = slot.1.take();
        children.live -= 1;
        if children.live == 0 {
            children.slots.clear();
        } else if children.live < children.slots.len() / 2 {
            children.slots.retain(|slot| slot.1.is_some());
        }
        found
    }

    /// Positive children with cookies of at least `from`, in order, into `out`; how many. One lock for all of them.
    pub(crate) fn next_children(&self, from: u64, out: &mut [Option<(u64, Arc<Dentry>)>]) -> usize {
        let children = self.children.lock();
        let start = children.slots.partition_point(|slot| slot.0 < from);
        let rest = children.slots.get(start..).unwrap_or(&[]);
        let positive = rest.iter().filter_map(|(cookie, child)| {
            child.as_ref().filter(|child| child.inode().is_some()).map(|child| (*cookie, child.clone()))
        });
        let mut count = 0;
        for (slot, found) in out.iter_mut().zip(positive) {
            *slot = Some(found);
            count += 1;
        }
        count
    }

    /// Copies the name into `out`; its length. Bytes behind it may change too.
    pub(crate) fn copy_name(&self, out: &mut [u8; NAME_MAX]) -> usize {
        let section = rcu::read_lock();
        loop {
            let seq = self.seq.read_begin();
            let len = self.len.load(Ordering::Relaxed) as usize;
            if len <= INLINE_NAME {
                // The whole place at once: its size is known, a name's is not.
                if let Some(to) = out.first_chunk_mut::<INLINE_NAME>() {
                    *to = self.words.bytes();
                }
            } else {
                let long = self.long.borrow(&section);
                for (to, from) in out.iter_mut().zip(long.as_ref().map_or(b"".as_slice(), |long| long.0.as_slice())) {
                    *to = *from;
                }
            }
            if !self.seq.read_retry(seq) {
                return len;
            }
        }
    }

    /// The child that names `inode`.
    pub(crate) fn child_of(&self, inode: &Arc<Inode>) -> Option<Arc<Dentry>> {
        let children = self.children.lock();
        let mut there = children.slots.iter().filter_map(|slot| slot.1.as_ref());
        there.find(|child| child.inode().is_some_and(|named| Arc::ptr_eq(named, inode))).cloned()
    }

    /// The first negative child with a cookie of at least `from`, and its cookie.
    pub(crate) fn next_negative(&self, from: u64) -> Option<(u64, Arc<Dentry>)> {
        let children = self.children.lock();
        let start = children.slots.partition_point(|slot| slot.0 < from);
        children.slots.get(start..)?.iter().find_map(|(cookie, child)| {
            child.as_ref().filter(|child| child.inode().is_none()).map(|child| (*cookie, child.clone()))
        })
    }

    /// Any child, negative ones too.
    pub(crate) fn any_child(&self) -> Option<Arc<Dentry>> {
        self.children.lock().slots.iter().find_map(|slot| slot.1.clone())
    }

    /// Whether no name in it is cached.
    pub(crate) fn is_leaf(&self) -> bool {
        self.children.lock().live == 0
    }

    /// Whether a name exists in this directory (of a file system whose directories are complete in the cache).
    pub fn has_children(&self) -> bool {
        let children = self.children.lock();
        children.live != 0
            && children.slots.iter().any(|slot| slot.1.as_ref().is_some_and(|child| child.inode().is_some()))
    }

    /// The type of what it names.
    pub fn file_type(&self) -> Option<FileType> {
        self.inode().map(|inode| inode.file_type())
    }
}

/// The external name of `key`, if it needs one.
pub(crate) fn long_name(key: &Key<'_>) -> Result<Option<Arc<LongName>>> {
    if key.bytes.len() <= INLINE_NAME {
        return Ok(None);
    }
    Ok(Some(Arc::new(LongName(KVec::from_slice(key.bytes, GFP_KERNEL)?), GFP_KERNEL)?))
}

/// The dentries in a directory in the order they came. Removed ones leave holes, which are closed when they are many, so that
/// adding and removing cost little and a directory's reader can go on by cookie.
struct Children {
    slots: KVVec<(u64, Option<Arc<Dentry>>)>,
    next: u64,
    live: usize,
}

impl Children {
    const fn new() -> Self {
        // Cookies 0 and 1 are `.` and `..`.
        Self { slots: KVVec::new(), next: 2, live: 0 }
    }
}
