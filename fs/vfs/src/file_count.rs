// SPDX-License-Identifier: GPL-2.0
//! How many files are open in all, and the limit (`/proc/sys/fs/file-max`, `file-nr`). Each CPU counts for itself and hands over
//! what has come together; only near the limit are the parts added up. Source: `proc(5)`. Atomics, no locks.

use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use errno::{Result, code::ENFILE};
use mm_alloc::layout::PAGE_SHIFT;
use x86_cpu::{MAX_CPUS, cpu_id};

/// How far a part may be from zero.
const BATCH: i64 = 32;
/// The least limit at boot.
const LEAST: u64 = 8192;

#[repr(align(64))]
struct Part(AtomicI64);

static TOTAL: AtomicI64 = AtomicI64::new(0);
static PARTS: [Part; MAX_CPUS] = [const { Part(AtomicI64::new(0)) }; MAX_CPUS];
static LIMIT: AtomicU64 = AtomicU64::new(LEAST);

/// One open file.
pub(crate) struct Counted(());

impl Counted {
    /// `ENFILE` at the limit, unless the caller administers.
    #[inline]
    pub(crate) fn new() -> Result<Self> {
        if TOTAL.load(Ordering::Relaxed).max(0).cast_unsigned().saturating_add(slack()) >= max() {
            near_limit()?;
        }
        add(1);
        Ok(Self(()))
    }
}

impl Drop for Counted {
    #[inline]
    fn drop(&mut self) {
        add(-1);
    }
}

/// How far the total may be off.
const fn slack() -> u64 {
    BATCH.cast_unsigned() * MAX_CPUS as u64
}

#[inline]
fn add(amount: i64) {
    // Where the task is moved meanwhile, it counts in a part that another CPU uses too: no harm.
    let Some(part) = PARTS.get(cpu_id() as usize) else { return };
    let now = part.0.fetch_add(amount, Ordering::Relaxed) + amount;
    if now.abs() >= BATCH {
        part.0.fetch_sub(now, Ordering::Relaxed);
        TOTAL.fetch_add(now, Ordering::Relaxed);
    }
}

#[cold]
fn near_limit() -> Result {
    static SAID: AtomicBool = AtomicBool::new(false);
    if open_files() < max() || cred::capable(cred::CAP_SYS_ADMIN) {
        return Ok(());
    }
    if !SAID.swap(true, Ordering::Relaxed) {
        klog::pr_info!("VFS: file-max limit {} reached", max());
    }
    Err(ENFILE)
}

/// Open files now.
pub fn open_files() -> u64 {
    let parts = PARTS.iter().fold(0i64, |sum, part| sum.wrapping_add(part.0.load(Ordering::Relaxed)));
    TOTAL.load(Ordering::Relaxed).wrapping_add(parts).max(0).cast_unsigned()
}

/// Most open files.
pub fn max() -> u64 {
    LIMIT.load(Ordering::Relaxed)
}

/// Sets [`max`].
pub fn set_max(limit: u64) {
    LIMIT.store(limit, Ordering::Relaxed);
}

/// The limit by the memory there is: a tenth of it in files of a KiB. Once, at boot.
pub(crate) fn init() {
    let kib = (mm_alloc::buddy::free_pages_total() as u64) << (PAGE_SHIFT - 10);
    set_max((kib / 10).max(LEAST));
}
