// SPDX-License-Identifier: GPL-2.0
//! The raw ticket lock: fair, one word, two instructions when nobody waits. It protects nothing by itself and touches neither
//! preemption nor interrupts; [`crate::SpinLock`] is the one to use.

use core::sync::atomic::{AtomicU32, Ordering};
use x86_cpu::asm::cpu_relax;

/// A ticket lock: low half = ticket being served, high half = next ticket to hand out.
pub struct RawSpinLock(AtomicU32);

const NEXT: u32 = 1 << 16;

impl RawSpinLock {
    /// An unlocked lock.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes the lock, spinning while another CPU has it. The caller has disabled preemption (and interrupts, if handlers take
    /// this lock too).
    #[inline(always)]
    pub fn lock(&self) {
        let old = self.0.fetch_add(NEXT, Ordering::Acquire);
        let ticket = (old >> 16) as u16;
        if old as u16 != ticket {
            self.wait(ticket);
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, ticket: u16) {
        while self.0.load(Ordering::Acquire) as u16 != ticket {
            cpu_relax();
        }
    }

    /// Takes the lock if nobody has it.
    #[inline(always)]
    pub fn try_lock(&self) -> bool {
        let old = self.0.load(Ordering::Relaxed);
        (old >> 16) as u16 == old as u16
            && self.0.compare_exchange(old, old.wrapping_add(NEXT), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whether somebody has the lock at this moment.
    pub fn is_locked(&self) -> bool {
        let v = self.0.load(Ordering::Relaxed);
        (v >> 16) as u16 != v as u16
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// The caller took this lock and has not given it back yet.
    #[inline(always)]
    pub unsafe fn unlock(&self) {
        // Only the holder changes the low half, so a 16-bit store is enough and cheaper than a locked add.
        let owner = self.0.as_ptr().cast::<u16>();
        // SAFETY: `owner` is the low half of a live atomic (little endian); only the holder, this CPU, writes it; x86 makes
        // aligned 16-bit stores atomic with the locked operations on the whole word.
        unsafe {
            core::arch::asm!("inc word ptr [{}]", in(reg) owner, options(nostack));
        }
    }
}

impl Default for RawSpinLock {
    fn default() -> Self {
        Self::new()
    }
}
