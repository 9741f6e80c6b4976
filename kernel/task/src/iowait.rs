// SPDX-License-Identifier: GPL-2.0
//! Sleeps that wait for a device: while an [`IoWait`] lives, uninterruptible sleeps of the current task count as I/O wait
//! (`iowait` and `procs_blocked` of `/proc/stat`). The scheduler does the counting. Locks: none.

use crate::{TaskFlags, try_current};
use core::marker::PhantomData;

/// The current task waits for a device until this is dropped. One inside another changes nothing.
pub struct IoWait {
    outermost: bool,
    /// It is the current task's: not to be given to another.
    _here: PhantomData<*const ()>,
}

impl IoWait {
    /// From here on. Task context.
    pub fn new() -> Self {
        let outermost = try_current().is_some_and(|task| {
            let outermost = !task.test_flags(TaskFlags::IN_IOWAIT);
            if outermost {
                task.set_flags(TaskFlags::IN_IOWAIT);
            }
            outermost
        });
        Self { outermost, _here: PhantomData }
    }
}

impl Default for IoWait {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for IoWait {
    fn drop(&mut self) {
        if self.outermost
            && let Some(task) = try_current()
        {
            task.clear_flags(TaskFlags::IN_IOWAIT);
        }
    }
}
