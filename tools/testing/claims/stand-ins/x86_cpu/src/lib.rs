// SPDX-License-Identifier: GPL-2.0
//! CPUs: a thread is on one most of the time, and on another now and then, as if it was moved. Fewer than there are threads, so that they
//! meet.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

pub mod asm {
    /// A moment.
    pub fn cpu_relax() {
        std::hint::spin_loop();
    }
}

/// A CPU's index.
pub type CpuId = u32;
/// Most CPUs that there can be.
pub const MAX_CPUS: usize = 64;
/// CPUs that there are.
pub const CPUS: usize = 3;

static THREADS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static HERE: u32 = THREADS.fetch_add(1, Ordering::Relaxed);
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

/// Where the caller is at the moment.
pub fn cpu_id() -> CpuId {
    let asked = ASKED.get();
    ASKED.set(asked.wrapping_add(1));
    let moved = u32::from(asked.is_multiple_of(13));
    (HERE.with(|here| *here) + moved) % CPUS as u32
}

/// A value of each CPU.
pub struct PerCpu<T: 'static>(pub [T; CPUS]);

impl<T> PerCpu<T> {
    /// That of `cpu`, if there is one.
    pub fn on(&'static self, cpu: CpuId) -> Option<&'static T> {
        self.0.get(cpu as usize)
    }
}

/// Declares a value of each CPU.
#[macro_export]
macro_rules! percpu {
    ($(#[$attr:meta])* $vis:vis static $name:ident: $ty:ty = $init:expr;) => {
        $(#[$attr])*
        $vis static $name: $crate::PerCpu<$ty> = $crate::PerCpu([const { $init }; $crate::CPUS]);
    };
}
