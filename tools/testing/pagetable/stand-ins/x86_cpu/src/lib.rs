// SPDX-License-Identifier: GPL-2.0
//! What the page tables ask of the processor.

use std::sync::atomic::{AtomicU32, Ordering};

/// Each thread is on a CPU of its own.
pub fn cpu_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static ID: u32 = NEXT.fetch_add(1, Ordering::Relaxed));
    ID.with(|id| *id)
}

pub mod asm {
    pub fn cpu_relax() {
        std::thread::yield_now();
    }
}

pub mod preempt {
    pub struct PreemptGuard;

    pub fn preempt_disable() -> PreemptGuard {
        PreemptGuard
    }
}

pub mod cpuid {
    pub struct Features {
        pub nx: bool,
        pub pge: bool,
    }

    pub fn features() -> Features {
        Features { nx: true, pge: true }
    }
}
