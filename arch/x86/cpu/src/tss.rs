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
    rsp: [AtomicU64; 3],
    reserved1: AtomicU64,
    /// Interrupt stack table, entries 1 to 7.
    ist: [AtomicU64; 7],
    reserved2: AtomicU64,
    /// Offset of the I/O permission bitmap (in the high half): the one that follows, or beyond the limit, so no ports.
    iomap: AtomicU32,
    /// One bit a port, clear if the program may use it, and a last word of ones that the hardware wants.
    io_bitmap: [AtomicU32; IO_WORDS + 1],
}

/// Words of an I/O permission bitmap.
pub const IO_WORDS: usize = 65536 / 32;
/// Where the bitmap lies in the hardware structure.
const IO_BITMAP_OFFSET: u32 = 104;
/// An offset beyond the limit.
const NO_IO_BITMAP: u32 = 0x8000;

/// Offset of the hardware structure in [`Tss`].
pub const HARDWARE_OFFSET: usize = 4;
/// Size of the hardware structure, bitmap included.
pub const HARDWARE_SIZE: usize = IO_BITMAP_OFFSET as usize + (IO_WORDS + 1) * 4;

/// Offset of the current stack top in [`Tss`], for entry code; two words that it may use follow.
pub const RSP0_OFFSET: usize = core::mem::offset_of!(Tss, rsp);

const _: () = assert!(core::mem::offset_of!(Tss, io_bitmap) == HARDWARE_OFFSET + IO_BITMAP_OFFSET as usize);

impl Tss {
    const fn new() -> Self {
        Self {
            pad: AtomicU32::new(0),
            reserved0: AtomicU32::new(0),
            rsp: [const { AtomicU64::new(0) }; 3],
            reserved1: AtomicU64::new(0),
            ist: [const { AtomicU64::new(0) }; 7],
            reserved2: AtomicU64::new(0),
            iomap: AtomicU32::new(NO_IO_BITMAP << 16),
            io_bitmap: [const { AtomicU32::new(u32::MAX) }; IO_WORDS + 1],
        }
    }

    /// Where the stacks of the interrupt stack table begin; 0: there is none.
    pub fn ist_tops(&self) -> impl Iterator<Item = usize> {
        self.ist.iter().map(|slot| slot.load(Ordering::Relaxed) as usize)
    }

    /// Sets where stack `index` (1 to 7) of the interrupt stack table begins.
    ///
    /// # Safety
    /// Below `top` is a stack that nothing but the gates with this index use.
    pub unsafe fn set_ist(&self, index: usize, top: usize) {
        if let Some(slot) = index.checked_sub(1).and_then(|at| self.ist.get(at)) {
            slot.store(top as u64, Ordering::Relaxed);
        }
    }
}

crate::percpu! {
    /// This CPU's TSS. `rsp[0]` is the top of the current task's kernel stack; SYSCALL entry reads it as
    /// `gs:[TSS + 8]`.
    pub static TSS: Tss = Tss::new();
}

/// Sets the stack that entries from user mode start on. Called by the context switch with interrupts off.
///
/// # Safety
/// It is the top of the stack of the task that runs when this CPU goes to user mode next, or 0 and none does.
#[inline(always)]
pub unsafe fn set_kernel_stack(top: usize) {
    TSS.this_racy().rsp[0].store(top as u64, Ordering::Relaxed);
}

crate::percpu! {
    /// Number of the bitmap that was copied last, 0: none.
    static IO_LOADED: AtomicU64 = AtomicU64::new(0);
}

/// Takes all I/O ports from user mode on this CPU. Interrupts are off.
pub fn forbid_io() {
    TSS.this_racy().iomap.store(NO_IO_BITMAP << 16, Ordering::Relaxed);
}

/// Gives user mode on this CPU the ports whose bits are clear in `words`. `number` names this content, never another, and is not
/// 0. Interrupts are off.
pub fn allow_io(number: u64, words: &[u32]) {
    let tss = TSS.this_racy();
    if IO_LOADED.this_racy().swap(number, Ordering::Relaxed) != number {
        for (to, from) in tss.io_bitmap.iter().take(IO_WORDS).zip(words) {
            to.store(*from, Ordering::Relaxed);
        }
    }
    tss.iomap.store(IO_BITMAP_OFFSET << 16, Ordering::Relaxed);
}
