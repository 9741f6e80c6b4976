// SPDX-License-Identifier: GPL-2.0
//! How many open files, inodes and names there are (`/proc/sys/fs/file-nr`, `inode-nr`, `inode-state`, `dentry-state`). Each CPU counts
//! for itself and hands over what has come together; the parts are added up when somebody asks. What is unused is not counted but
//! looked for: no path that uses an inode or a name has to say so. Source: `proc(5)`. Atomics, no locks.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicI64, Ordering::Relaxed};
use x86_cpu::{MAX_CPUS, cpu_id};

/// How far a part may be from zero.
const BATCH: i64 = 32;

/// What one CPU has counted, or all have handed over.
#[repr(align(64))]
pub(crate) struct Part {
    files: AtomicI64,
    inodes: AtomicI64,
    names: AtomicI64,
}

impl Part {
    const fn new() -> Self {
        Self { files: AtomicI64::new(0), inodes: AtomicI64::new(0), names: AtomicI64::new(0) }
    }
}

static TOTALS: Part = Part::new();
static PARTS: [Part; MAX_CPUS] = [const { Part::new() }; MAX_CPUS];

/// Something that is counted.
pub(crate) trait Kind {
    /// Its place among others.
    fn of(part: &Part) -> &AtomicI64;
}

/// Open files.
pub(crate) struct Files;
/// Inodes in memory.
pub(crate) struct Inodes;
/// Dentries, of pipes and sockets too.
pub(crate) struct Names;

impl Kind for Files {
    #[inline(always)]
    fn of(part: &Part) -> &AtomicI64 {
        &part.files
    }
}

impl Kind for Inodes {
    #[inline(always)]
    fn of(part: &Part) -> &AtomicI64 {
        &part.inodes
    }
}

impl Kind for Names {
    #[inline(always)]
    fn of(part: &Part) -> &AtomicI64 {
        &part.names
    }
}

/// One more, until this is dropped.
pub(crate) struct One<K: Kind>(PhantomData<K>);

impl<K: Kind> One<K> {
    #[inline]
    pub(crate) fn new() -> Self {
        add::<K>(1);
        Self(PhantomData)
    }
}

impl<K: Kind> Drop for One<K> {
    #[inline]
    fn drop(&mut self) {
        add::<K>(-1);
    }
}

#[inline]
fn add<K: Kind>(amount: i64) {
    // Where the task is moved meanwhile, it counts in a part that another CPU uses too: no harm.
    let Some(part) = PARTS.get(cpu_id() as usize) else { return };
    let now = K::of(part).fetch_add(amount, Relaxed) + amount;
    if now.abs() >= BATCH {
        K::of(part).fetch_sub(now, Relaxed);
        K::of(&TOTALS).fetch_add(now, Relaxed);
    }
}

/// How many there are, but for [`slack`] on either side.
#[inline]
pub(crate) fn about<K: Kind>() -> u64 {
    K::of(&TOTALS).load(Relaxed).max(0).cast_unsigned()
}

/// How far [`about`] may be off.
pub(crate) const fn slack() -> u64 {
    BATCH.cast_unsigned() * MAX_CPUS as u64
}

/// How many there are now.
pub(crate) fn count<K: Kind>() -> u64 {
    let parts = PARTS.iter().fold(0i64, |sum, part| sum.wrapping_add(K::of(part).load(Relaxed)));
    K::of(&TOTALS).load(Relaxed).wrapping_add(parts).max(0).cast_unsigned()
}

/// Inodes in memory, and those of them that only the cache keeps.
pub fn inodes() -> (u64, u64) {
    let unused = crate::icache::count_unused();
    (count::<Inodes>().max(unused), unused)
}

/// Dentries, those of them that only the cache keeps, and those of the latter that name nothing.
pub struct Dentries {
    /// All.
    pub all: u64,
    /// Could be dropped now.
    pub unused: u64,
    /// Say that there is no such name.
    pub negative: u64,
}

/// Counts the dentries.
pub fn dentries() -> Dentries {
    let (unused, negative) = crate::dcache::count_unused();
    Dentries { all: count::<Names>().max(unused), unused, negative }
}
