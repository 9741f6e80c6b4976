// SPDX-License-Identifier: GPL-2.0
//! Looks at the CPU time of processes with `RLIMIT_CPU`, by delayed work: at the earliest moment at which a process can have used
//! up what its limit leaves it.

use crate::clock::process_cpu_ns;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use process::Process;
use process::cpu_limit::{CpuWatch, CpuWatches, WATCHES, check};
use workqueue::DelayedWork;

/// The shortest time between two looks.
const PAUSE_NS: u64 = 1_000_000;

struct Watch {
    work: DelayedWork,
}

impl CpuWatch for Watch {
    fn look_soon(&self) {
        self.work.queue_after(PAUSE_NS);
    }
}

/// One look; how long the next can wait.
fn look(process: &Process) -> Option<u64> {
    if process.is_zombie() {
        return None;
    }
    let left = check(process, process_cpu_ns(process))?;
    Some((left / u64::from(process.thread_count().max(1))).max(PAUSE_NS))
}

struct Maker;

impl CpuWatches for Maker {
    fn watch(&self, process: &Arc<Process>) -> Result<Arc<dyn CpuWatch>> {
        let target: WeakArc<Process> = Arc::downgrade(process);
        let work = DelayedWork::new_again(move || target.upgrade().and_then(|process| look(&process)))?;
        Ok(Arc::new(Watch { work }, GFP_KERNEL)? as Arc<dyn CpuWatch>)
    }
}

pub(crate) fn init() {
    static MAKER: &dyn CpuWatches = &Maker;
    WATCHES.set(&MAKER);
}
