// SPDX-License-Identifier: GPL-2.0
//! How much memory has been promised (`Committed_AS`), and when a promise is refused. Source:
//! Linux's `Documentation/mm/overcommit-accounting.rst`. No locks.

use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use mm_alloc::buddy;
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE};

static COMMITTED: AtomicI64 = AtomicI64::new(0);

x86_cpu::percpu! {
    /// What this CPU's changes of [`COMMITTED`] come to that are not in there yet.
    static LOCAL: AtomicI64 = AtomicI64::new(0);
}

/// Pages that a CPU keeps for itself before it tells the others.
const BATCH: i64 = 256;

/// Changes the number of promised pages.
fn add(pages: i64) {
    // Atomic, since the caller may be moved to another CPU; but nearly always on a line of this CPU's own.
    let local = LOCAL.this_racy();
    let now = local.fetch_add(pages, Ordering::Relaxed).saturating_add(pages);
    if !(-BATCH..=BATCH).contains(&now) {
        COMMITTED.fetch_add(local.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The number of promised pages, exact but for what changes meanwhile.
fn sum() -> i64 {
    let local = |cpu| LOCAL.on(cpu).map_or(0, |local| local.load(Ordering::Relaxed));
    let locals: i64 = (0..x86_cpu::MAX_CPUS as x86_cpu::percpu::CpuId).map(local).sum();
    COMMITTED.load(Ordering::Relaxed).saturating_add(locals)
}
/// `vm.overcommit_memory`: 0 refuses obvious excess, 1 never refuses, 2 keeps to the limit.
pub static OVERCOMMIT: AtomicU8 = AtomicU8::new(0);
/// `vm.overcommit_ratio`, percent.
pub static OVERCOMMIT_RATIO: AtomicU32 = AtomicU32::new(50);
/// `vm.overcommit_kbytes`: the limit in KiB, if it is not 0.
pub static OVERCOMMIT_KBYTES: AtomicU64 = AtomicU64::new(0);
/// `vm.user_reserve_kbytes`: what mode 2 keeps from one process, so that its user can still end it.
pub static USER_RESERVE_KBYTES: AtomicU64 = AtomicU64::new(1 << 17);
/// `vm.admin_reserve_kbytes`: what mode 2 keeps for the administrator.
pub static ADMIN_RESERVE_KBYTES: AtomicU64 = AtomicU64::new(1 << 13);

const NEVER: u8 = 2;

/// Sets the reserves by the memory there is. At boot.
pub fn init() {
    let free_kib = (buddy::free_pages_total() as u64) << (PAGE_SHIFT - 10);
    USER_RESERVE_KBYTES.store((free_kib / 32).min(1 << 17), Ordering::Relaxed);
    ADMIN_RESERVE_KBYTES.store((free_kib / 32).min(1 << 13), Ordering::Relaxed);
}

/// Whether no more than the limit is promised (mode 2).
pub fn is_strict() -> bool {
    OVERCOMMIT.load(Ordering::Relaxed) == NEVER
}

/// Pages promised now.
pub fn committed() -> u64 {
    sum().max(0).cast_unsigned()
}

/// Pages that mode 2 may promise.
pub fn commit_limit() -> u64 {
    let memory = match OVERCOMMIT_KBYTES.load(Ordering::Relaxed) {
        0 => (buddy::managed_pages() as u64).saturating_mul(OVERCOMMIT_RATIO.load(Ordering::Relaxed).into()) / 100,
        kbytes => kbytes >> (PAGE_SHIFT - 10),
    };
    memory.saturating_add(crate::swap::total_pages())
}

/// The limit for the current process.
fn strict_limit() -> i64 {
    let pages = |kbytes: &AtomicU64| kbytes.load(Ordering::Relaxed) >> (PAGE_SHIFT - 10);
    let mut allowed = commit_limit();
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        allowed = allowed.saturating_sub(pages(&ADMIN_RESERVE_KBYTES));
    }
    let own = task::try_current().and_then(|task| crate::with_mm_of(&task, |mm| mm.total_pages()));
    if let Some(own) = own {
        allowed = allowed.saturating_sub(pages(&USER_RESERVE_KBYTES).min(own as u64 / 32));
    }
    i64::try_from(allowed).unwrap_or(i64::MAX)
}

/// Promises `bytes` more. ENOMEM.
pub fn charge(bytes: usize) -> Result {
    let pages = (bytes / PAGE_SIZE) as i64;
    add(pages);
    let refused = match OVERCOMMIT.load(Ordering::Relaxed) {
        1 => false,
        NEVER => sum() > strict_limit(),
        _ => pages > (buddy::managed_pages() as u64).saturating_add(crate::swap::total_pages()).cast_signed(),
    };
    if refused {
        uncharge(bytes);
        return Err(ENOMEM);
    }
    Ok(())
}

/// Takes a promise back.
pub fn uncharge(bytes: usize) {
    add(-((bytes / PAGE_SIZE) as i64));
}
