// SPDX-License-Identifier: GPL-2.0
//! Processes and threads: creation, execution, ends, waiting, signals, ids, credentials and limits as system calls.
//!
//! Called by the system-call table, by the terminal (signals, sessions), by `/proc`, and through `task::hooks` by entry code.
//! It depends on nearly every core crate and nothing core depends on it: those below reach it by their own hooks.
//!
//! | file | what |
//! |---|---|
//! | `thread` | `Thread` and `Process`, and the order of this crate's locks |
//! | `pid`, `group` | numbers, process groups, sessions |
//! | `fork`, `exec`, `exit`, `wait` | the life of a process |
//! | `orphans` | children whose parent ends; the end of a name space |
//! | `names` | what a process is called in which name space |
//! | `io_thread` | threads of a process that stay in the kernel |
//! | `pidfd`, `access` | processes as files; who may look inside one |
//! | `ns/` | name spaces; leaving what is shared |
//! | `signal/` | signals |
//! | `cpu_limit` | `RLIMIT_CPU` |
//! | `ids`, `setid`, `misc`, `times` | the remaining system calls |
//! | `ptrace/` | tracing |
//! | `coredump/` | core files |
//! | `rseq` | restartable sequences |
//! | `show` | what `/proc` shows of this crate's private fields |
//! | `vm` | `process_vm_readv` and its twin |
//! | `oom` | what the OOM killer keeps of a process |
//! | `fault`, `fault_log` | page faults and traps of user mode; the log's line about one that ends a program |
//! | `life` | kernel threads, the first process, hooks that others call |

#![no_std]
#![forbid(unsafe_code)]

pub mod access;
pub mod coredump;
pub mod cpu_limit;
pub mod exec;
pub mod exit;
mod fault;
pub mod fault_log;
pub mod fork;
pub mod group;
pub mod hooks;
pub mod ids;
pub mod io_thread;
pub mod ioport;
pub mod ldt;
mod life;
pub mod madvise;
pub mod misc;
mod names;
pub mod nproc;
pub mod ns;
pub mod oom;
mod orphans;
pub mod pid;
pub mod pidfd;
mod prctl;
pub mod ptrace;
pub mod rseq;
pub mod setid;
pub mod show;
pub mod signal;
mod state;
#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;
pub mod thread;
pub mod times;
pub mod umh;
mod user;
pub mod vm;
pub mod vsyscall;
pub mod wait;

pub use group::{ControllingTerminal, ProcessGroup, Session};
pub use life::{fatal_pending, init, start_init};
pub use state::state_of;
pub use thread::{Process, Thread, current_process, process_of, thread_of};
