// SPDX-License-Identifier: GPL-2.0
//! Clearing and copying pages. `rep stosq`/`movsq` are what the kernel can do without the vector registers: one
//! instruction for eight bytes, and microcoded to full width on hardware. No locks.

use crate::layout::PAGE_SIZE;
use core::arch::asm;

/// Clears one page.
///
/// # Safety
/// `page` is a page-aligned, mapped, writable page that the caller owns.
#[inline(always)]
pub unsafe fn clear_page(page: *mut u8) {
    // SAFETY: The caller owns the 4096 bytes; the direction flag is clear in the kernel.
    unsafe {
        asm!("rep stosq", inout("rdi") page => _, inout("rcx") PAGE_SIZE / 8 => _, in("rax") 0,
            options(nostack, preserves_flags));
    }
}

/// Copies one page.
///
/// # Safety
/// Both are mapped pages; `to` is owned by the caller. Others may write `from` meanwhile (user memory).
#[inline(always)]
pub unsafe fn copy_page(to: *mut u8, from: *const u8) {
    // SAFETY: As the caller promises; the copy is made in assembly, so a concurrent writer is no data race of Rust's.
    unsafe {
        asm!("rep movsq", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") PAGE_SIZE / 8 => _,
            options(nostack, preserves_flags));
    }
}

/// Whether two pages have the same bytes at this moment.
///
/// # Safety
/// Both are mapped pages. Others may write them meanwhile.
pub unsafe fn same_page(a: *const u8, b: *const u8) -> bool {
    let same: u8;
    // SAFETY: As the caller promises; the bytes are read in assembly, so a concurrent writer is no data race of Rust's.
    unsafe {
        asm!("repe cmpsq", "sete {same}", same = out(reg_byte) same,
            inout("rdi") a => _, inout("rsi") b => _, inout("rcx") PAGE_SIZE / 8 => _, options(nostack, readonly));
    }
    same != 0
}

/// Copies bytes that others may write or read meanwhile (shared pages): never a data race of Rust's.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, and they do not overlap.
#[inline(always)]
pub unsafe fn copy_shared(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: As the caller promises; eight bytes a step, then the rest.
    unsafe {
        asm!("rep movsq", "mov {rest:e}, %ecx", "rep movsb",
            rest = in(reg) (len & 7) as u32,
            inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len / 8 => _,
            options(nostack, preserves_flags, att_syntax));
    }
}

/// Fills bytes that others may look at meanwhile.
///
/// # Safety
/// `to` is writable for `len` bytes.
#[inline(always)]
pub unsafe fn fill_shared(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: As the caller promises.
    unsafe {
        asm!("rep stosq", "mov {rest:e}, %ecx", "rep stosb",
            rest = in(reg) (len & 7) as u32,
            inout("rdi") to => _, inout("rcx") len / 8 => _,
            in("rax") u64::from_ne_bytes([byte; 8]),
            options(nostack, preserves_flags, att_syntax));
    }
}
