// SPDX-License-Identifier: GPL-2.0
//! What the page tables ask of the processor.

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
