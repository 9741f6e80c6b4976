// SPDX-License-Identifier: GPL-2.0
//! The raw spin lock. It protects nothing by itself and touches neither preemption nor interrupts; [`crate::SpinLock`] is the one to
//! use. How it is waited for: `raw_spin::Ticket`.

use core::ops::Deref;
use raw_spin::Ticket;

/// A [`Ticket`] that can be given back.
pub struct RawSpinLock(Ticket);

impl Deref for RawSpinLock {
    type Target = Ticket;

    #[inline(always)]
    fn deref(&self) -> &Ticket {
        &self.0
    }
}

impl RawSpinLock {
    /// An unlocked lock.
    pub const fn new() -> Self {
        Self(Ticket::new())
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// The caller took this lock and has not given it back yet.
    #[inline(always)]
    pub unsafe fn unlock(&self) {
        // Only the holder clears the low byte, so a byte store is enough and cheaper than a locked operation.
        let held = self.0.word().as_ptr().cast::<u8>();
        // SAFETY: `held` is the low byte of a live atomic (little endian). x86 makes the store atomic with the locked operations
        // on the whole word, and does not move it before earlier accesses.
        unsafe {
            core::arch::asm!("mov byte ptr [{}], 0", in(reg) held, options(nostack, preserves_flags));
        }
    }
}

impl Default for RawSpinLock {
    fn default() -> Self {
        Self::new()
    }
}
