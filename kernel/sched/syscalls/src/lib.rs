// SPDX-License-Identifier: GPL-2.0
//! The system calls about scheduling: `sched_*(2)`, `getpriority(2)`, `setpriority(2)`, `ioprio_get(2)`, `ioprio_set(2)`. Above `process`, whose tables find the
//! tasks they name. Called by the system call table; takes no lock of its own.

#![no_std]
#![forbid(unsafe_code)]

mod affinity;
mod ioprio;
mod policy;
mod priority;
mod target;

pub use affinity::{sys_sched_getaffinity, sys_sched_setaffinity};
pub use ioprio::{sys_ioprio_get, sys_ioprio_set};
pub use policy::{
    sys_sched_get_priority_max, sys_sched_get_priority_min, sys_sched_getattr, sys_sched_getparam,
    sys_sched_getscheduler, sys_sched_rr_get_interval, sys_sched_setattr, sys_sched_setparam, sys_sched_setscheduler,
};
pub use priority::{sys_getpriority, sys_setpriority};

use x86_cpu::regs::PtRegs;

/// `sched_yield(2)`.
pub fn sys_sched_yield(_: &PtRegs) -> errno::Result<usize> {
    sched::sched_yield();
    Ok(0)
}
