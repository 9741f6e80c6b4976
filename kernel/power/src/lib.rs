// SPDX-License-Identifier: GPL-2.0
//! The machine sleeps, to the idle state (`freeze`, or `mem` with `s2idle`): file systems are written, programs and some kernel threads come
//! to rest, drivers put their devices to sleep, all CPUs idle with their timers off and time stands still, until a device wakes the
//! machine; then all goes back the same way. There is no deeper sleep: no firmware is asked for one.
//!
//! | file | what |
//! |---|---|
//! | `suspend` | the way there and back |
//! | `process` | tasks come to rest |
//! | `files` | the files in `/sys/power` |
//!
//! Lock: `process::misc::SYSTEM_TRANSITION` (sleeping, outermost of all), held from the first step to the last. Source: Linux's
//! `Documentation/admin-guide/pm/sleep-states.rst`, `Documentation/power/{freezing-of-tasks,basic-pm-debugging}.rst`.

#![no_std]
#![forbid(unsafe_code)]

mod files;
mod process;
mod suspend;

pub use files::init;
pub use suspend::pm_suspend;
