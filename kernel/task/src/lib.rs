// SPDX-License-Identifier: GPL-2.0
//! Tasks as the hardware sees them: a kernel stack, a saved context, floating-point and segment state, an address space to
//! load, flags, and slots in which upper crates keep what a task means to them (credentials, files, memory, scheduling).
//!
//! Called by the scheduler (`switch_to`), by the sleeping locks (`schedule`, `Task::wake`), by `process` (creation, exit) and
//! by everybody (`current`). What is decided above comes in through [`hooks`].
//!
//! Locks: none of its own but the name's. `on_cpu`, `state` and `flags` are atomics; the rules that order them are at
//! [`Task::wake`] and [`switch::switch_to`].

#![no_std]

pub mod context;
pub mod current;
pub mod debug_regs;
pub mod hooks;
pub mod inspect;
mod iowait;
pub mod kthread;
pub mod local;
#[cfg(CONFIG_DEBUG_ATOMIC_SLEEP)]
mod might_sleep;
pub mod restart;
pub mod switch;
mod task_struct;

pub use current::{CurrentTask, current, try_current};
pub use debug_regs::DebugRegs;
pub use inspect::Inspected;
pub use iowait::IoWait;
pub use kthread::{kthread_create, kthread_run};
pub use local::TaskLocal;
pub use switch::{schedule, set_current_state};
pub use task_state::state::{State, TaskFlags};
pub use task_state::{IoPorts, state};
pub use task_struct::{COMM_LEN, Task};

/// Reports a caller that may sleep where it must not (debug builds; see `CONFIG_DEBUG_ATOMIC_SLEEP`).
#[inline(always)]
#[track_caller]
pub fn might_sleep() {
    #[cfg(CONFIG_DEBUG_ATOMIC_SLEEP)]
    might_sleep::check_might_sleep(core::panic::Location::caller());
}
