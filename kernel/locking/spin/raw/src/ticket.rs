// SPDX-License-Identifier: GPL-2.0
//! The word of a spin lock: a compare-and-exchange to take it when nobody has it, a byte store to give it back.
//!
//! Who must wait takes a ticket, so that CPUs get the lock in the order they asked. Not so under a hypervisor: a CPU whose turn it
//! is may not be running there, and all behind it would wait for it; then whoever comes when the lock is free has it (Linux's
//! `virt_spin_lock`).

use core::sync::atomic::{AtomicU32, Ordering};
use x86_cpu::asm::cpu_relax;

/// Bits 0-7: somebody has it. Bits 8-19: the ticket whose turn it is. Bits 20-31: the next ticket (on top, so that its carry is
/// lost). Both tickets are zero when nobody waits; more CPUs than tickets cannot be.
pub struct Ticket(AtomicU32);

const LOCKED: u32 = 1;
const LOCKED_MASK: u32 = 0xff;
const SERVING_SHIFT: u32 = 8;
const NEXT_SHIFT: u32 = 20;
const TICKETS: u32 = 0xfff;

impl Ticket {
    /// An unlocked lock.
    #[expect(clippy::new_without_default, reason = "made in constants")]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Takes the lock, spinning while another CPU has it.
    #[inline(always)]
    pub fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        if x86_cpu::cpuid::features().hypervisor {
            self.wait_unfair();
        } else {
            self.wait_turn();
        }
    }

    /// Takes it as soon as it is free.
    fn wait_unfair(&self) {
        loop {
            while self.0.load(Ordering::Relaxed) != 0 {
                cpu_relax();
            }
            if self.try_lock() {
                return;
            }
        }
    }

    /// Takes it when all who asked earlier have had it.
    fn wait_turn(&self) {
        let ticket = self.0.fetch_add(1 << NEXT_SHIFT, Ordering::Relaxed) >> NEXT_SHIFT;
        while self.0.load(Ordering::Relaxed) >> SERVING_SHIFT & TICKETS != ticket {
            cpu_relax();
        }
        let following = (ticket + 1) & TICKETS;
        loop {
            let word = self.0.load(Ordering::Relaxed);
            if word & LOCKED_MASK != 0 {
                cpu_relax();
                continue;
            }
            let next = word >> NEXT_SHIFT;
            // The last in the queue leaves a lock that the short way can take again.
            let taken =
                if next == following { LOCKED } else { next << NEXT_SHIFT | following << SERVING_SHIFT | LOCKED };
            if self.0.compare_exchange(word, taken, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Takes the lock if nobody has it or waits for it.
    #[inline(always)]
    pub fn try_lock(&self) -> bool {
        self.0.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Whether somebody has the lock at this moment.
    pub fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed) & LOCKED_MASK != 0
    }

    /// The word. Who has the lock gives it back by a store of zero to the low byte.
    #[inline(always)]
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }
}
