// SPDX-License-Identifier: GPL-2.0
//! Name spaces of process numbers: `kernel::pid_namespace`. There is the first one alone, as in a Linux without `CONFIG_PID_NS`:
//! every task that has a number has it there.

use crate::sync::aref::AlwaysRefCounted;
use core::ptr::NonNull;

/// A name space of process numbers.
///
/// # Invariants
/// The value is a static.
#[derive(Debug)]
pub struct PidNamespace(());

/// The first.
static INIT: PidNamespace = PidNamespace(());

impl PidNamespace {
    /// The name space in which a task that is not gone has its number.
    pub(crate) fn of(task: &::task::Task) -> Option<&'static Self> {
        let gone = task.state() == ::task::State::DEAD && ::process::process_of(task).is_none();
        (!gone).then_some(&INIT)
    }
}

// SAFETY: By the type invariant the value is always there.
unsafe impl AlwaysRefCounted for PidNamespace {
    fn inc_ref(&self) {}

    unsafe fn dec_ref(_: NonNull<Self>) {}
}
