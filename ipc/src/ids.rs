// SPDX-License-Identifier: GPL-2.0
//! Identifiers: a table of objects of one kind by index, where an identifier is the index and a sequence number that changes when
//! indices are used again; keys; owners and permissions. Locks: the table's, a spin lock, held for look-ups alone; each object's
//! `perm`, inside it.

use crate::user::Record;
use containers::{Idr, XArray};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use cred::{CAP_IPC_OWNER, CAP_SYS_ADMIN, Cred};
use errno::Result;
use errno::code::{EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM};
use kalloc::Arc;
use kalloc::flags::GFP_ATOMIC;
use locking::SpinLock;
use pid_namespace::PidName;

/// Indices are below this; the sequence number is above.
pub(crate) const MOST: u32 = 1 << 15;
/// Sequence numbers are below this (identifiers are positive).
const SEQUENCES: u32 = (1 << 16) - 1;
/// Indices are taken in turn over at least so many.
const LEAST_CYCLE: u32 = 64;

const IPC_PRIVATE: i32 = 0;
pub(crate) const READ: u32 = 0o444;
pub(crate) const WRITE: u32 = 0o222;

/// Owner and permissions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Perm {
    pub(crate) key: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) cuid: u32,
    pub(crate) cgid: u32,
    pub(crate) mode: u32,
}

/// What each object begins with.
pub(crate) struct Header {
    pub(crate) id: AtomicU32,
    pub(crate) removed: AtomicBool,
    pub(crate) perm: SpinLock<Perm>,
}

impl Header {
    /// A new object of the caller's.
    pub(crate) fn new(key: i32, mode: u32) -> Result<Self> {
        let cred = cred::current_cred()?;
        let perm = Perm { key, uid: cred.euid, gid: cred.egid, cuid: cred.euid, cgid: cred.egid, mode: mode & 0o777 };
        Ok(Self { id: AtomicU32::new(0), removed: AtomicBool::new(false), perm: SpinLock::new(perm) })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn perm(&self) -> Perm {
        *self.perm.lock()
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }

    /// `EACCES` unless the caller has the rights `wanted` (as bits of a mode, in any of the three places).
    pub(crate) fn check(&self, wanted: u32) -> Result {
        let cred = cred::current_cred()?;
        if self.perm().grants(&cred, wanted) || cred.capable(CAP_IPC_OWNER) { Ok(()) } else { Err(EACCES) }
    }

    /// `EPERM` unless the caller owns or made it, or administers.
    pub(crate) fn check_owner(&self) -> Result {
        if cred::capable(CAP_SYS_ADMIN) { Ok(()) } else { self.check_identity() }
    }

    /// `EPERM` unless the caller owns or made it.
    pub(crate) fn check_identity(&self) -> Result {
        let cred = cred::current_cred()?;
        let perm = self.perm();
        if cred.euid == perm.uid || cred.euid == perm.cuid { Ok(()) } else { Err(EPERM) }
    }

    /// `ipc64_perm` at the start of `record`.
    pub(crate) fn fill<const N: usize>(&self, record: &mut Record<N>, extra_mode: u32) {
        let perm = self.perm();
        record.words(&[perm.key.cast_unsigned(), perm.uid, perm.gid, perm.cuid, perm.cgid, perm.mode | extra_mode]);
        record.u16(24, (self.id() / MOST) as u16);
    }

    /// `IPC_SET`: owner and mode from the words of an `ipc64_perm`.
    pub(crate) fn set(&self, new: [u32; 6]) -> Result {
        let [_, uid, gid, _, _, mode] = new;
        if uid == u32::MAX || gid == u32::MAX {
            return Err(EINVAL);
        }
        let mut perm = self.perm.lock();
        (perm.uid, perm.gid) = (uid, gid);
        perm.mode = perm.mode & !0o777 | mode & 0o777;
        Ok(())
    }
}

impl Perm {
    fn grants(&self, cred: &Cred, wanted: u32) -> bool {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
        let granted = if cred.euid == self.cuid || cred.euid == self.uid {
            self.mode >> 6
        } else if cred.in_group(self.cgid) || cred.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        wanted & !granted == 0
    }
}

/// An object of some kind.
pub(crate) trait Object {
    fn header(&self) -> &Header;
}

struct Table<T> {
    objects: Idr<Arc<T>>,
    /// Index by key, for all keys but `IPC_PRIVATE`.
    keys: XArray<u32>,
    next: u32,
    last: Option<u32>,
    sequence: u32,
}

/// All objects of one kind in one name space.
pub(crate) struct Ids<T: Object> {
    table: SpinLock<Table<T>>,
    /// The identifier that the next object is to have, or one with the same sequence number and the next free index; -1 for any.
    pub(crate) next_id: AtomicI32,
}

impl<T: Object> Ids<T> {
    pub(crate) const fn new() -> Self {
        let table = Table { objects: Idr::new(), keys: XArray::new(), next: 0, last: None, sequence: 0 };
        Self { table: SpinLock::new(table), next_id: AtomicI32::new(-1) }
    }

    pub(crate) fn count(&self) -> u32 {
        self.table.lock().objects.count()
    }

    /// The highest index in use, 0 if none is: what the `_INFO` commands give.
    pub(crate) fn highest(&self) -> usize {
        self.table.lock().objects.iter().map(|(index, _)| index as usize).max().unwrap_or(0)
    }

    /// `shmget(2)` and its kin: the identifier of the object with `key`, or of a new one by `make`. `existing` checks one that is
    /// there.
    pub(crate) fn get(
        &self,
        key: i32,
        flags: u32,
        limit: u32,
        existing: impl FnOnce(&T) -> Result,
        make: impl FnOnce() -> Result<Arc<T>>,
    ) -> Result<usize> {
        let (create, exclusive) = (flags & uapi::IPC_CREAT != 0, flags & uapi::IPC_EXCL != 0);
        if key != IPC_PRIVATE {
            if let Some(found) = self.table.lock().with_key(key) {
                return Self::found(&found, flags, create && exclusive, existing);
            }
            if !create {
                return Err(ENOENT);
            }
        }
        let made = make()?;
        let mut table = self.table.lock();
        if key != IPC_PRIVATE
            && let Some(other) = table.with_key(key)
        {
            // Somebody was faster.
            drop(table);
            return Self::found(&other, flags, exclusive, existing);
        }
        table.insert(&made, key, limit, &self.next_id)
    }

    fn found(found: &T, flags: u32, exclusive: bool, existing: impl FnOnce(&T) -> Result) -> Result<usize> {
        if exclusive {
            return Err(EEXIST);
        }
        existing(found)?;
        found.header().check(flags)?;
        Ok(found.header().id() as usize)
    }

    /// The object with identifier `id`. `EINVAL`.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<T>> {
        let id = u32::try_from(id).map_err(|_| EINVAL)?;
        let table = self.table.lock();
        table.objects.find(id % MOST).filter(|object| object.header().id() == id).cloned().ok_or(EINVAL)
    }

    /// The object at `index` (`SHM_STAT` and its kin).
    pub(crate) fn at(&self, index: i32) -> Result<Arc<T>> {
        let index = u32::try_from(index).map_err(|_| EINVAL)?;
        self.table.lock().objects.find(index % MOST).cloned().ok_or(EINVAL)
    }

    /// The first object at or after `index`, with its own.
    pub(crate) fn next(&self, index: u32) -> Option<(u32, Arc<T>)> {
        let table = self.table.lock();
        let (index, object) = table.objects.next(index)?;
        Some((index, object.clone()))
    }

    /// Takes an object off the table. False if somebody else did.
    pub(crate) fn remove(&self, object: &T) -> bool {
        let header = object.header();
        let gone = {
            let mut table = self.table.lock();
            if header.removed.swap(true, Ordering::SeqCst) {
                return false;
            }
            table.forget_key(header);
            table.objects.remove(header.id() % MOST)
        };
        drop(gone);
        true
    }

    /// The object is found by its identifier alone from now on (a segment that goes when its last user does).
    pub(crate) fn make_private(&self, object: &T) {
        self.table.lock().forget_key(object.header());
    }

    /// The sum of what `f` gives for each object.
    pub(crate) fn sum(&self, f: impl Fn(&T) -> u64) -> u64 {
        self.table.lock().objects.iter().fold(0, |sum, (_, object)| sum.saturating_add(f(object)))
    }
}

impl<T: Object> Table<T> {
    fn with_key(&self, key: i32) -> Option<Arc<T>> {
        let index = *self.keys.load(key.cast_unsigned().into())?;
        self.objects.find(index).cloned()
    }

    fn forget_key(&mut self, header: &Header) {
        let key = core::mem::replace(&mut header.perm.lock().key, IPC_PRIVATE);
        if key != IPC_PRIVATE {
            self.keys.erase(key.cast_unsigned().into());
        }
    }

    fn insert(&mut self, made: &Arc<T>, key: i32, limit: u32, next_id: &AtomicI32) -> Result<usize> {
        let count = self.objects.count();
        if count >= limit {
            return Err(ENOSPC);
        }
        let chosen = u32::try_from(next_id.swap(-1, Ordering::Relaxed)).ok();
        if let Some(chosen) = chosen {
            let index = self.objects.alloc(made.clone(), chosen % MOST, MOST, GFP_ATOMIC)?;
            return self.number(made, key, chosen / MOST, index);
        }
        // Indices go round in a range that grows with the number of objects, so that the table stays small.
        let end = (count.saturating_mul(3) / 2).clamp(LEAST_CYCLE, MOST);
        let index = self.objects.alloc_cyclic(made.clone(), &mut self.next, 0, end, GFP_ATOMIC)?;
        if self.last.is_some_and(|last| index <= last) {
            self.sequence = (self.sequence + 1) % SEQUENCES;
        }
        self.last = Some(index);
        self.number(made, key, self.sequence, index)
    }

    /// Gives the object at `index` its identifier, and lets it be found by its key.
    fn number(&mut self, made: &T, key: i32, sequence: u32, index: u32) -> Result<usize> {
        if key != IPC_PRIVATE
            && let Err(error) = self.keys.store(key.cast_unsigned().into(), index, GFP_ATOMIC)
        {
            self.objects.remove(index);
            return Err(error.into());
        }
        let id = sequence * MOST + index;
        made.header().id.store(id, Ordering::Relaxed);
        Ok(id as usize)
    }
}

/// Seconds since 1970, as the objects note times.
pub(crate) fn now() -> u64 {
    ktime::real_coarse_ns() / 1_000_000_000
}

/// What the caller is called: who asks later may be of another name space.
pub(crate) fn pid() -> PidName {
    process::thread::with_thread(|thread| thread.process().name().clone()).unwrap_or_default()
}
