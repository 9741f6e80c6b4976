// SPDX-License-Identifier: GPL-2.0
//! Out of memory: shrinking caches, and when that frees nothing, ending the process whose end frees most.
//!
//! Called by the page allocator's slow path (`mm_alloc::reclaim`) in the context of whoever wants memory, which may hold any
//! sleeping lock: so nothing here waits for a lock but [`KILLER`] is only tried, and address spaces are looked at without theirs.
//! What must wait is done by the thread `oom_reaper`.
//!
//! | file | what |
//! |---|---|
//! | `badness` | who frees most; the figures of `/proc/PID/oom_score` |
//! | `kill` | choosing, ending, the verdict for the allocation |
//! | `report` | the texts in the log |
//! | `reaper` | the thread that takes a victim's memory if it does not end by itself |
//! | `shrink` | caches |
//!
//! Locks: `kill::KILLER` (tried) -> `process`'s and `mm`'s spin locks. `reaper::QUEUE` (spin) alone.

#![no_std]
#![forbid(unsafe_code)]

pub mod badness;
mod kill;
mod reaper;
mod report;
mod shrink;

pub use kill::{DUMP_TASKS, KILL_ALLOCATING_TASK, PANIC_ON_OOM, kill_manually, page_fault_out_of_memory};
pub use report::memory as show_memory;

use errno::Result;
use mm_alloc::reclaim::{OOM, OutOfMemory, RECLAIM, Reclaim};

/// Registers with the allocator and starts the reaper. Once, in process 1, before the first program.
pub fn init() -> Result {
    static SPACES: &dyn mm::swap::AddressSpaces = &shrink::AllSpaces;
    static RECLAIMER: &dyn Reclaim = &shrink::Caches;
    static KILLER: &dyn OutOfMemory = &kill::Killer;
    reaper::start()?;
    RECLAIM.set(&RECLAIMER);
    mm::swap::ADDRESS_SPACES.set(&SPACES);
    OOM.set(&KILLER);
    process::hooks::PAGE_FAULT_OOM.set(&FAULTS);
    Ok(())
}

struct Faults;
static FAULTS: &dyn process::hooks::PageFaultOom = &Faults;

impl process::hooks::PageFaultOom for Faults {
    fn out_of_memory(&self) {
        page_fault_out_of_memory();
    }
}
