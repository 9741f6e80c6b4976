// SPDX-License-Identifier: GPL-2.0
//! The system calls about time: clocks, sleeping, interval timers and POSIX timers. Above `process`, since timers send signals
//! and clocks count processes' CPU time; the machinery is `ktime`'s. Called by the system call table.
//!
//! Locks: the mutexes of a process's timers (`owner::Timers`), outermost. Timer callbacks run in interrupts and take none of
//! them; they send signals.

#![no_std]
#![forbid(unsafe_code)]

pub mod adjtimex;
pub mod clock;
mod cpu_limit;
mod cpu_timer;
pub mod itimer;
pub mod nanosleep;
mod owner;
pub mod posix_timer;
mod user;

/// Follows processes, so that their timers end with them. Once, at boot.
pub fn init() {
    owner::init();
    posix_timer::init();
    cpu_limit::init();
}
