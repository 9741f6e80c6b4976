// SPDX-License-Identifier: GPL-2.0
//! What drivers of this tree use and Rust-for-Linux has no name for: locks whose guards keep interrupts off, values set once, completions
//! that one waiter takes, work items, timers, pages, trees, growing strings, numbers of devices,
//! miscellaneous devices, counts of what a module made.

use core::sync::atomic::{AtomicU32, Ordering::*};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};

pub use ::device::{Id, Ida};
pub use ::sync::{Completion, Mutex, WaitQueue};
pub use containers::XArray;
pub use kalloc::{KString, WeakArc};
pub use ktime::hrtimer::{Clock, HrTimer, Restart};
pub use locking::{SetOnce, SpinLock};
pub use misc::{MiscOps, Registration as MiscRegistration};
pub use mm_alloc::Page;
pub use module_core::{Header as ModuleHeader, ModuleRef};
pub use workqueue::{DelayedWork, Work, spawn};

/// Counts what a module made and others may hold for a moment longer than it is in use: a static of the module.
pub struct Alive(AtomicU32);

impl Alive {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "a static of a module")]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// One more, as long as the value is there: the last field of what is counted.
    pub fn count(&'static self) -> AliveGuard {
        self.0.fetch_add(1, Relaxed);
        AliveGuard(self)
    }

    /// Waits until there is none: for a module that goes, after it took back all. May sleep.
    pub fn wait_gone(&self) {
        ::rcu::barrier();
        while self.0.load(Acquire) != 0 {
            ktime::sleep_ns(1_000_000);
            ::rcu::barrier();
        }
        // What the last one left to RCU.
        ::rcu::barrier();
    }
}

/// One that is counted.
pub struct AliveGuard(&'static Alive);

impl Drop for AliveGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Release);
    }
}

/// A thread of a module, which can be waited for: none of its code runs any more then.
pub struct Thread(Arc<Completion>);

impl Thread {
    /// Starts a thread that runs `f` and ends. ENOMEM. May sleep.
    pub fn run(name: &[u8], f: impl FnOnce() + Send + 'static) -> Result<Self> {
        // Unsized values cannot be called by value: the box holds a closure that gives its content away at the first call.
        let mut once = Some(f);
        let call = move || {
            if let Some(f) = once.take() {
                f();
            }
        };
        let call: KBox<dyn FnMut() + Send> = KBox::new(call, GFP_KERNEL)?;
        start(name, call)
    }

    /// Waits until it has ended. May sleep.
    pub fn join(self) {
        self.0.wait();
    }
}

/// Starts a thread that runs `call`, drops it, and says so: code of the image.
fn start(name: &[u8], mut call: KBox<dyn FnMut() + Send>) -> Result<Thread> {
    let done = Arc::new(Completion::new(), GFP_KERNEL)?;
    let tell = done.clone();
    let body = move || {
        call();
        drop(call);
        tell.complete_all();
    };
    ::task::kthread_run(name, body)?;
    Ok(Thread(done))
}

/// CPUs that run.
pub fn num_online_cpus() -> u32 {
    x86::smp::num_online()
}
