// SPDX-License-Identifier: GPL-2.0
//! Who may look inside a process, and directories of processes as pidfds. Locks: none.

use super::dir::subject_of;
use errno::{Result, code::*};
use kalloc::Arc;
use process::Process;
use process::pidfd::{PROC_DIR, ProcDir};
use vfs::File;

pub(super) use process::access::{look_inside, may_access_fscreds as may_access};

struct Directories;

impl ProcDir for Directories {
    fn process_of(&self, file: &File) -> Result<Arc<Process>> {
        let subject = subject_of(file.inode()).ok_or(EBADF)?;
        process::process_of(&*subject.task()?).ok_or(ESRCH)
    }
}

/// Lets `pidfd_send_signal` take directories of processes. Once, at boot.
pub(crate) fn init() {
    static DIRECTORIES: &dyn ProcDir = &Directories;
    PROC_DIR.set(&DIRECTORIES);
}
