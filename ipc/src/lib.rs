// SPDX-License-Identifier: GPL-2.0
//! System V IPC: shared memory, semaphores, message queues. Source: `sysvipc(7)` and the manual pages named there.
//!
//! | file | what |
//! |---|---|
//! | `ids` | identifiers, keys, permissions: what the three kinds have in common |
//! | `shm`, `shm_file` | shared memory, and a segment as mappings see it |
//! | `sem`, `sem_ops`, `semctl`, `undo` | semaphores: sets, operations, control, adjustments when a process ends |
//! | `msg`, `msgctl` | message queues |
//! | `ns`, `limits` | what one name space has of all that |
//! | `made` | segments that go with those who made them |
//! | `show` | `/proc/sysvipc`, `/proc/sys/kernel` |
//!
//! Called by the system-call table; `undo` also when a process ends, `shm_file` by `mm` when mappings come and go. Locks: an `Ids` table (spin), inside it a header's `perm`; an object's own state (spin) is taken alone, inside it a
//! wait queue's. Nothing is copied from or to user memory under any of them.

#![no_std]
#![forbid(unsafe_code)]

mod ids;
mod limits;
mod made;
pub mod msg;
mod msgctl;
mod ns;
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

/// The first name space, and following the ends of processes. Before the first process.
pub fn init() -> errno::Result {
    ns::init()?;
    undo::init();
    Ok(())
}

/// Makes the files in `/proc`. Once, at boot, after `proc`.
pub fn init_files() -> errno::Result {
    show::init()
}
