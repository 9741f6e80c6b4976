// SPDX-License-Identifier: GPL-2.0
//! The protected-mode part of bzImage: puts the kernel it carries in place and enters it with `boot_params`.
//!
//! Three ways in (`entry`): 32-bit (our own 16-bit code, GRUB), 64-bit (offset 0x200), and EFI (`efi`). Linked at address 0
//! by `stub.lds`, runs anywhere; `mkbzimage.py` joins it with `header.S` and the kernel. One CPU, no locks, no heap.

#![cfg_attr(not(test), no_std)]
// On the host there is only the unpacking to test.
#![cfg_attr(test, allow(dead_code))]

#[cfg(not(test))]
mod console;
#[cfg(not(test))]
mod efi;
#[cfg(not(test))]
mod entry;
#[cfg(not(test))]
mod payload;

#[cfg(not(test))]
use core::fmt::Write;

/// From `entry`, moved out of the kernel's way and relocated: puts the kernel at `dest`. Returns its entry point.
///
/// # Safety
/// Called once by `entry`; `dest` is where the kernel may go, identity mapped and free for the kernel's size.
#[cfg(not(test))]
#[unsafe(no_mangle)]
unsafe extern "C" fn stub_main(dest: usize) -> usize {
    // SAFETY: By the contract.
    match unsafe { payload::load(dest) } {
        Ok(entry) => entry,
        Err(why) => fatal(why),
    }
}

#[cfg(not(test))]
fn fatal(why: &str) -> ! {
    let _ = writeln!(console::Serial, "bzImage: {why}");
    loop {
        // SAFETY: Stops this CPU.
        unsafe { core::arch::asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(console::Serial, "bzImage: {info}");
    fatal("stopped")
}
