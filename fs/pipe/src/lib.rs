// SPDX-License-Identifier: GPL-2.0
//! Pipes and FIFOs: a ring of page buffers between writers and readers. Source: `pipe(7)`, `pipe(2)`, `fifo(7)`.
//!
//! | file | what |
//! |---|---|
//! | `ring` | the buffers and what reading and writing do with them |
//! | `ends` | the open files at either end: waiting, polling, requests |
//! | `fifo` | FIFOs: named pipes, found by their inode |
//! | `splice` | `splice(2)`, `tee(2)`, `vmsplice(2)` |
//! | `user` | what the pipes of one user may have together |
//! | `create` | `pipe(2)`: the file system without names behind it |
//!
//! Locks: a pipe's `ring` mutex (held while copying, which may fault), then its wait queues; of two rings (`splice`, `tee`) the one
//! at the lower address first. `splice` holds a ring while the file at the other end is read or written, which may wait for as long as
//! its other end likes: who waits for a ring can be killed. `FIFOS` is taken alone.

#![no_std]
#![forbid(unsafe_code)]

mod create;
mod ends;
mod fifo;
mod ring;
mod splice;
mod user;

pub use create::{sys_pipe, sys_pipe2};
pub use ring::{max_size, set_max_size};
pub use splice::{sys_splice, sys_tee, sys_vmsplice};
pub use user::{set_user_pages_hard, set_user_pages_soft, user_pages_hard, user_pages_soft};

/// Makes the pipe file system and connects FIFOs. Once, at boot, in task context.
pub fn init() -> errno::Result {
    create::init()?;
    fifo::init();
    Ok(())
}
