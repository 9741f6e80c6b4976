// SPDX-License-Identifier: GPL-2.0
//! Transfers that go on after the call that began them.

use errno::Result;
use kalloc::KBox;

/// Who hears that a transfer is over.
pub trait IoDone: Send + Sync {
    /// It moved so many bytes, or failed. Any context, often a device's interrupt with interrupts off: must not sleep, nor drop the
    /// last reference to a file.
    fn done(self: KBox<Self>, result: Result<usize>);
}
