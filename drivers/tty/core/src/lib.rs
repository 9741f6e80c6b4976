// SPDX-License-Identifier: GPL-2.0
//! The terminal layer: what `/dev/ttyS0`, `/dev/tty1` and `/dev/pts/0` have in common. Programs come through `TtyFile` (a
//! `vfs::FileOps`), devices through `Tty::receive` and `TtyOps`; between the two is the line discipline of crate `n_tty`.
//!
//! | file | what |
//! |---|---|
//! | `driver` | drivers, their lines, device numbers |
//! | `ops` | what a driver implements for a line |
//! | `terminal` | `Tty`: a line with its line discipline; what a device gives it |
//! | `file` | an open terminal; `read`, `write`: moving bytes |
//! | `ioctl`, `mode` | requests; those about `termios` |
//! | `job` | sessions, foreground groups, background access |
//! | `hangup` | hanging up |
//! | `special` | `/dev/tty` and `/dev/console` |
//! | `show` | `/proc/tty` |
//! | `pty` | pairs of a master and a slave |
//!
//! # Locks
//! Outermost first: `job::JOB` (changes of controlling terminals), `Tty::open` (opening, closing, hanging up), `Tty::config`
//! (changes of termios), `Tty::write_lock` and `Tty::read_lock` (one writer, one reader), all of which sleep; then the spin
//! locks `Tty::ld` (line discipline), the driver's own (which interrupts may take), wait queues. `Tty::ctrl` (session, group,
//! window size) is a leaf. `ld` of a pty's slave is taken in writes to its master; a master has none. Interrupt handlers never
//! take `ld`: a driver brings input from a thread. Signals are sent without a lock held.

#![no_std]
#![feature(arbitrary_self_types)]
#![forbid(unsafe_code)]

mod driver;
mod file;
mod hangup;
mod ioctl;
mod job;
mod mode;
mod ops;
pub mod pty;
mod read;
mod show;
mod special;
mod speed;
mod terminal;
mod write;

pub use driver::{Driver, DriverOps, Kind, for_each_device, register_driver};
pub use file::TtyFile;
pub use hangup::sys_vhangup;
pub use mode::{raw_termios, std_termios};
pub use n_tty::Flag;
pub use ops::TtyOps;
pub use speed::{baud_rate, encode_baud, input_baud_rate};
pub use terminal::{How, Tty};

/// Registers `/dev/tty` and `/dev/console` and the pty driver, makes `/proc/tty`. Called once, when tasks run; needs the VFS and proc.
pub fn init() -> errno::Result {
    special::init()?;
    pty::init()?;
    show::init()
}
