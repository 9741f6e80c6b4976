// SPDX-License-Identifier: GPL-2.0
//! CPUID: what this machine's CPUs can do, read once at boot into [`features`].

use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use x86_defs::features::read_features;

pub use x86_defs::features::Features;

struct FeatureCell(UnsafeCell<Features>);
// SAFETY: Written once by `init` on the boot CPU before any other CPU or reader runs; read-only afterwards.
unsafe impl Sync for FeatureCell {}

static FEATURES: FeatureCell = FeatureCell(UnsafeCell::new(Features::EMPTY));
static READY: AtomicBool = AtomicBool::new(false);

/// Executes CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    __cpuid_count(leaf, subleaf)
}

/// The machine's features. All false before [`init`].
#[inline(always)]
pub fn features() -> &'static Features {
    // SAFETY: `init` writes once, before any concurrent reader exists (see `FeatureCell`).
    unsafe { &*FEATURES.0.get() }
}

/// Reads CPUID into [`features`]. Called once, first thing on the boot CPU.
pub fn init() {
    if READY.swap(true, Ordering::Relaxed) {
        return;
    }
    let read = read_features(cpuid);
    // SAFETY: Only the first caller gets here, on the boot CPU, before anything reads concurrently.
    unsafe { *FEATURES.0.get() = read };
}

/// Takes features away (command line). Boot CPU, right after [`init`].
///
/// # Safety
/// Nothing reads [`features`] concurrently, and no decision was made yet from what is taken away.
pub unsafe fn restrict(change: impl FnOnce(&mut Features)) {
    // SAFETY: Alone, by the contract.
    change(unsafe { &mut *FEATURES.0.get() });
}
