// SPDX-License-Identifier: GPL-2.0
//! Transfers that go on after the call that began them.

use crate::file::File;
use errno::Result;
use kalloc::KBox;

/// Who hears that a transfer is over.
pub trait IoDone: Send + Sync {
    /// It moved so many bytes, or failed. Any context, often a device's interrupt with interrupts off: must not sleep, nor drop the
    /// last reference to a file.
    fn done(self: KBox<Self>, result: Result<usize>);
}

/// What of a write is to be on stable storage before it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durable {
    /// Nothing.
    No,
    /// The data, and what is needed to find it.
    Data,
    /// All that changed.
    All,
}

impl Durable {
    /// What the flags of one write (`RWF_*`) ask for.
    pub fn of_write(rwf: u32) -> Self {
        match rwf & (uapi::RWF_DSYNC | uapi::RWF_SYNC) {
            0 => Self::No,
            flags if flags & uapi::RWF_SYNC != 0 => Self::All,
            _ => Self::Data,
        }
    }

    /// What the flags of an open file ask for with each write.
    pub fn of_file(file: &File) -> Self {
        match file.flags() {
            // `O_SYNC` holds `O_DSYNC` and a bit of its own.
            flags if flags.has(uapi::O_SYNC) => Self::All,
            flags if flags.any(uapi::O_DSYNC) => Self::Data,
            _ => Self::No,
        }
    }
}

/// The priority that a request asks for, if it may (`ioprio_set(2)`). EINVAL, EPERM.
pub fn priority(asked: u16) -> Result<u16> {
    let may = || cred::capable(cred::CAP_SYS_ADMIN) || cred::capable(cred::CAP_SYS_NICE);
    task_io::check_priority(asked.into(), may).map(|()| asked)
}

/// A transfer between a file and memory, whose end is told.
pub struct Kiocb {
    /// First byte of the file.
    pub pos: u64,
    /// From memory to the file.
    pub write: bool,
    /// What the request itself asks for; the file's flags may ask for more.
    pub durable: Durable,
    /// The submitter looks for the end itself, by the file's `poll_direct`, where the device has queues for that.
    pub polled: bool,
    /// Who hears of the end.
    pub done: KBox<dyn IoDone>,
}
