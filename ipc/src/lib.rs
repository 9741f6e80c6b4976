// SPDX-License-Identifier: GPL-2.0
//! System V IPC: shared memory, semaphores, message queues. Source: `sysvipc(7)` and the manual pages named there.
//!
//! | file | what |
//! |---|---|
//! | `ids` | identifiers, keys, permissions: what the three kinds have in common |
//! | `shm`, `shm_file` | shared memory, and a segment as mappings see it |
//! | `sem`, `sem_ops`, `semctl`, `undo` | semaphores: sets, operations, control, adjustments when a process ends |
//! | `msg`, `msgctl` | message queues |
//! | `show` | `/proc/sysvipc`, `/proc/sys/kernel` |
//!
//! Called by the system-call table; `undo` also when a process ends, `shm_file` by `mm` when mappings come and go. There is one
//! name space. Locks: an `Ids` table (spin), inside it a header's `perm`; an object's own state (spin) is taken alone, inside it a
//! wait queue's. Nothing is copied from or to user memory under any of them.

#![no_std]
#![forbid(unsafe_code)]

mod ids;
mod limits;
pub mod msg;
mod msgctl;
pub mod sem;
mod sem_ops;
mod semctl;
pub mod shm;
mod shm_file;
mod show;
mod undo;
mod user;

pub use msgctl::sys_msgctl;
pub use semctl::sys_semctl;

/// Follows the ends of processes. Before the first process.
pub fn init() {
    undo::init();
}

/// Makes the files in `/proc`. Once, at boot, after `proc`.
pub fn init_files() -> errno::Result {
    show::init()
}
