// SPDX-License-Identifier: GPL-2.0
//! Which CPU panics. No locks.

use core::sync::atomic::{AtomicU32, Ordering};
use x86_cpu::CpuId;

/// The CPU that panics; `NONE` while all is well.
static PANIC_CPU: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = u32::MAX;

/// Whether some CPU panics.
pub fn in_progress() -> bool {
    PANIC_CPU.load(Ordering::Relaxed) != NONE
}

/// CPU `cpu` panics; false if one does already.
pub fn claim(cpu: CpuId) -> bool {
    PANIC_CPU.compare_exchange(NONE, cpu, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}
