// SPDX-License-Identifier: GPL-2.0
//! A task's hardware breakpoints: DR0 to DR3 and DR7 as they are loaded while it runs, and its own view of DR6. Source: Intel SDM
//! volume 3, 18.2.

use core::arch::asm;

/// Enable bits of DR7, local and global.
const ENABLES: u64 = 0xff;
/// Bits of DR6 that are set when nothing happened.
const DR6_RESET: u64 = 0xffff_0ff0;

/// Hardware breakpoints of a task.
#[derive(Clone, Copy, Debug, Default)]
pub struct DebugRegs {
    /// Linear addresses (DR0 to DR3).
    pub address: [u64; 4],
    /// DR7: which are on, and what for. Without general detect (bit 13).
    pub control: u64,
    /// What the task's traps said (DR6, with the bits that happened set).
    pub status: u64,
}

impl DebugRegs {
    /// Whether any breakpoint is on.
    pub fn active(&self) -> bool {
        self.control & ENABLES != 0
    }

    /// Puts the breakpoints into force on this CPU, or none. Interrupts are off. Whoever filled `self` has refused addresses of
    /// the kernel.
    pub(crate) fn load(&self) {
        let [a, b, c, d] = self.address;
        let control = if self.active() { self.control & 0xffff_03ff } else { 0 };
        // SAFETY: Breakpoints cause #DB alone, and its handler copes with one at any place of the kernel. Reserved bits of DR7
        // are zero by the mask. They are off while the addresses change.
        unsafe {
            asm!("mov dr7, {}", in(reg) 0u64, options(nomem, nostack, preserves_flags));
            if control != 0 {
                asm!("mov dr0, {}", in(reg) a, options(nomem, nostack, preserves_flags));
                asm!("mov dr1, {}", in(reg) b, options(nomem, nostack, preserves_flags));
                asm!("mov dr2, {}", in(reg) c, options(nomem, nostack, preserves_flags));
                asm!("mov dr3, {}", in(reg) d, options(nomem, nostack, preserves_flags));
                asm!("mov dr7, {}", in(reg) control, options(nomem, nostack, preserves_flags));
            }
        }
    }
}

/// Takes what DR6 says of the trap that just happened (bits set that are), and clears it. Interrupts are off.
pub fn take_status() -> u64 {
    let status: u64;
    // SAFETY: DR6 is status that only handlers of #DB read.
    unsafe {
        asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags));
        asm!("mov dr6, {}", in(reg) DR6_RESET, options(nomem, nostack, preserves_flags));
    }
    status ^ DR6_RESET
}
