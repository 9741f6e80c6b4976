// SPDX-License-Identifier: GPL-2.0
//! The task-state segment of each CPU: which stack an entry from user mode or an IST vector starts on. The context switch
//! writes `rsp0`; entry code reads it both through the hardware and through GS. Source: Intel SDM volume 3, 8.7.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Hardware layout of the 64-bit TSS. `rsp0` lies at offset 4, so 64-bit fields are kept as two halves where unaligned.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Tss {
    // Padding so that `rsp0` (offset 4 of the hardware structure) is 8-byte aligned.
    pad: AtomicU32,
    reserved0: AtomicU32,
    /// Stack pointers for rings 0 to 2.
    pub rsp: [AtomicU64; 3],
    reserved1: AtomicU64,
    /// Interrupt stack table, entries 1 to 7.
    pub ist: [AtomicU64; 7],
    reserved2: AtomicU64,
    reserved3: AtomicU32,
    /// Offset of the I/O permission bitmap (in the high half): beyond the limit, so no ports.
    iomap: AtomicU32,
}

/// Offset of the hardware structure in [`Tss`].
pub const HARDWARE_OFFSET: usize = 4;
/// Size of the hardware structure.
pub const HARDWARE_SIZE: usize = 104;

impl Tss {
    const fn new() -> Self {
        Self {
            pad: AtomicU32::new(0),
            reserved0: AtomicU32::new(0),
            rsp: [const { AtomicU64::new(0) }; 3],
            reserved1: AtomicU64::new(0),
            ist: [const { AtomicU64::new(0) }; 7],
            reserved2: AtomicU64::new(0),
            reserved3: AtomicU32::new(0),
            iomap: AtomicU32::new((HARDWARE_SIZE as u32) << 16),
        }
    }
}

crate::percpu! {
    /// This CPU's TSS. `rsp[0]` is the top of the current task's kernel stack; SYSCALL entry reads it as
    /// `gs:[TSS + 8]`.
    pub static TSS: Tss = Tss::new();
}

/// Sets the stack that entries from user mode start on. Called by the context switch with interrupts off.
#[inline(always)]
pub fn set_kernel_stack(top: usize) {
    TSS.this_racy().rsp[0].store(top as u64, Ordering::Relaxed);
}
