// SPDX-License-Identifier: GPL-2.0
//! Single instructions that have no Rust intrinsic.

use core::arch::asm;

/// `pause`: a hint for spin loops.
#[inline(always)]
pub fn cpu_relax() {
    core::hint::spin_loop();
}

/// `hlt` with interrupts enabled in the same step (`sti; hlt`): sleeps until the next interrupt, with no window in which a
/// wake-up could be lost. Call with interrupts off; returns with interrupts on.
#[inline(always)]
pub fn safe_halt() {
    // SAFETY: `sti; hlt` only waits; the interrupt shadow of `sti` covers the `hlt`.
    unsafe { asm!("sti", "hlt", options(nomem, nostack)) };
}

/// Stops this CPU for ever.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: Turning interrupts off and halting has no effect on memory.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Drops one page's translations of the current address space from this CPU's TLB.
#[inline(always)]
pub fn invlpg(addr: usize) {
    // SAFETY: Dropping cached translations never changes what memory means.
    unsafe { asm!("invlpg [{}]", in(reg) addr, options(nostack, preserves_flags)) };
}

/// `invpcid` of the given type (0 address, 1 context, 2 all with globals, 3 all without globals).
///
/// # Safety
/// The CPU has INVPCID.
#[inline(always)]
pub unsafe fn invpcid(kind: u64, pcid: u64, addr: u64) {
    let descriptor = [pcid, addr];
    // SAFETY: The caller promises the instruction is there; it only drops cached translations.
    unsafe { asm!("invpcid {}, [{}]", in(reg) kind, in(reg) &descriptor, options(nostack, preserves_flags)) };
}

/// `stac`: opens the user-access window (SMAP).
///
/// # Safety
/// The CPU has SMAP, and the caller closes the window again with [`clac`] before anything but its user access runs.
#[inline(always)]
pub unsafe fn stac() {
    // SAFETY: The caller promises SMAP is there.
    unsafe { asm!("stac", options(nostack)) };
}

/// `clac`: closes the user-access window.
///
/// # Safety
/// The CPU has SMAP.
#[inline(always)]
pub unsafe fn clac() {
    // SAFETY: The caller promises SMAP is there.
    unsafe { asm!("clac", options(nostack)) };
}

/// A hardware random word, if RDRAND is there and answers.
pub fn rdrand() -> Option<u64> {
    if !crate::cpuid::features().rdrand {
        return None;
    }
    for _ in 0..10 {
        let value: u64;
        let ok: u8;
        // SAFETY: RDRAND is there (checked above) and writes registers only.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) ok, options(nomem, nostack)) };
        if ok != 0 {
            return Some(value);
        }
    }
    None
}

/// Resets the CPU: an exception without a table to handle it.
pub fn triple_fault() -> ! {
    let no_table = [0u8; 10];
    // SAFETY: This is meant to be the last instruction; nothing of memory changes.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &no_table, options(nostack)) };
    halt_forever()
}
