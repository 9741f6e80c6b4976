// SPDX-License-Identifier: GPL-2.0
//! That interrupts are off on this CPU, as a value: `kernel::interrupt`.

use crate::types::NotThreadSafe;
use x86_cpu::irqflags::IrqGuard;

/// Interrupts are off on this CPU as long as this is there.
pub struct LocalInterruptDisabled {
    /// None if they are off for another reason.
    _guard: Option<IrqGuard>,
    _here: NotThreadSafe,
}

/// Turns interrupts off on this CPU. Dropping the value turns them on again, if they were on.
#[inline]
pub fn local_interrupt_disable() -> LocalInterruptDisabled {
    LocalInterruptDisabled { _guard: Some(IrqGuard::new()), _here: NotThreadSafe }
}

impl LocalInterruptDisabled {
    /// For a function that is called with interrupts off.
    ///
    /// # Safety
    /// They are, and stay so during `'a`.
    #[inline]
    pub unsafe fn assume_disabled<'a>() -> &'a Self {
        &LocalInterruptDisabled { _guard: None, _here: NotThreadSafe }
    }
}
