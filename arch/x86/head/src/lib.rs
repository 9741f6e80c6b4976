// SPDX-License-Identifier: GPL-2.0
//! The way into `vmlinux`: from the first instruction (PVH or `startup_64`) to `start_kernel` in crate `init`.
//!
//! 1. `entry` (assembly): long mode, our GDT, boot stack. Runs at the physical address, identity mapped.
//! 2. `early_map::head_phys`: clears .bss, builds the early page tables, applies the relocations for the link address.
//!    Still at the physical address, so it touches no pointer that lies in memory.
//! 3. `setup::head_main`: at the link address, ordinary Rust. Reads what the loader said into the one [`BootInfo`], picks
//!    the KASLR slide, maps the image there too and relocates it again.
//! 4. `setup::head_final`: at the final address. Drops the old mappings, installs an IDT that reports early exceptions.
//!
//! One CPU, interrupts off, no locks. What remains afterwards: the early page tables (until `x86_mm` loads its own), the
//! boot stack (the idle task of CPU 0 keeps it) and the `BootInfo`.

#![no_std]

mod early_map;
mod early_trap;
mod entry;
mod kaslr;
mod phys;
pub mod sections;
mod setup;

pub use ::early_serial;
pub use boot_info::BootInfo;

/// Start of the direct map of physical memory (without 5-level paging), as in Linux.
pub const PAGE_OFFSET: usize = 0xffff_8880_0000_0000;
/// Start of the 1 GB of addresses in which the kernel image lies (`__START_KERNEL_map`).
pub const KERNEL_MAP: usize = 0xffff_ffff_8000_0000;
/// Bytes from [`KERNEL_MAP`] on that the image and its KASLR slide share; modules come after it.
pub const KERNEL_MAP_SIZE: usize = 1 << 30;
/// Link address of `_text` (`vmlinux.lds` has the same number).
pub const LINK_TEXT: usize = KERNEL_MAP + 0x100_0000;
/// Bytes of physical memory that the early tables map at [`PAGE_OFFSET`].
pub const EARLY_DIRECT_MAP: u64 = 1 << 32;

/// Names the function `fn(&'static BootInfo) -> !` that runs after the head. Used once, by crate `init`, which may have no
/// unsafe code of its own.
#[macro_export]
macro_rules! kernel_entry {
    ($path:path) => {
        /// Called by `x86_head` on the boot stack, interrupts off, early page tables loaded.
        #[unsafe(no_mangle)]
        pub extern "C" fn start_kernel(info: &'static $crate::BootInfo) -> ! {
            let entry: fn(&'static $crate::BootInfo) -> ! = $path;
            entry(info)
        }
    };
}
