// SPDX-License-Identifier: GPL-2.0
//! The head in ordinary Rust: reads the boot information, moves the image to its KASLR address, hands over.
//! Called by `entry`; one CPU, interrupts off, no locks.

use crate::early_map::{self, PAGE_2M, SIZE_2M, Table, early_kernel_pd, early_pml4, index};
use crate::phys::EarlyPhys;
use crate::{LINK_TEXT, early_serial, early_trap, entry, kaslr, sections};
use boot_info::{BootInfo, PhysRead, pvh, rsdp, zero_page};
use core::cell::UnsafeCell;
use x86_cpu::{cpuid::cpuid, cr, msr};

/// The one `BootInfo`: written by `head_main`, read-only from `start_kernel` on.
struct Holder(UnsafeCell<BootInfo>);
// SAFETY: Written by the boot CPU before any other runs, and before the shared reference is given out.
unsafe impl Sync for Holder {}
static BOOT_INFO: Holder = Holder(UnsafeCell::new(BootInfo::new()));

/// EFER.NXE: page-table bit 63 means no-execute.
const EFER_NXE: u64 = 1 << 11;
/// CR4.LA57: 5-level paging.
const CR4_LA57: u64 = 1 << 12;

/// Second call from `entry`, at the link address: fills [`BOOT_INFO`], picks the slide and prepares the image for it.
/// Returns the slide.
///
/// # Safety
/// Called once by `entry`; `boot_ptr` is the physical address that the loader passed, `tsc` the time of entry.
#[unsafe(no_mangle)]
unsafe extern "C" fn head_main(boot_ptr: u64, proto: u32, tsc: u64) -> u64 {
    set_control_registers();
    if !early_map::relocations_known() {
        early_serial::fatal("the image has relocations that the head does not know");
    }
    let size = sections::image().len();
    // SAFETY: The early tables map the image at its link address with `_text` first.
    let text = unsafe { early_kernel_pd[index(LINK_TEXT, 1)] } & early_map::ADDR_MASK & !(SIZE_2M as u64 - 1);
    // SAFETY: The early tables are loaded and this is the only one made.
    let mem = unsafe { EarlyPhys::new(text) };
    // SAFETY: Nobody else runs, and the shared reference is given out by `head_final` only.
    let info = unsafe { &mut *BOOT_INFO.0.get() };
    info.entry_tsc = tsc;
    if !read_boot_info(info, boot_ptr, proto, &mem) {
        early_serial::fatal("no valid boot information from the loader");
    }
    if info.cmdline_unreadable {
        early_serial::warn("the loader's command line cannot be read and is not used");
    }
    #[cfg(CONFIG_CMDLINE_BOOL)]
    info.add_builtin_cmdline(env!("CONFIG_CMDLINE").as_bytes(), cfg!(CONFIG_CMDLINE_OVERRIDE));
    rsdp::find(info, &mem);
    let slide = kaslr::slide(info, size);
    info.kernel.phys_base = text;
    info.kernel.size = size as u64;
    info.kernel.slide = slide;
    info.kernel.virt_base = LINK_TEXT as u64 + slide;
    if slide != 0 {
        map_kernel(text, size, slide);
        // SAFETY: The image is writable where it runs and relocated to there; its old and its new address both stay mapped
        // until we left the former.
        unsafe { early_map::relocate(LINK_TEXT, true, slide) };
    }
    slide
}

fn read_boot_info(info: &mut BootInfo, boot_ptr: u64, proto: u32, mem: &EarlyPhys) -> bool {
    if proto == entry::PROTO_PVH {
        return pvh::parse(info, boot_ptr, mem);
    }
    let mut page = [0u8; zero_page::SIZE];
    mem.read(boot_ptr, &mut page) && zero_page::parse(info, &page, mem)
}

/// Global pages, write protection for the kernel too, no-execute where the CPU has it.
fn set_control_registers() {
    if cr::read_cr4() & CR4_LA57 != 0 {
        early_serial::fatal("entered with 5-level paging");
    }
    let pge = if cpuid(1, 0).edx & 1 << 13 != 0 { cr::CR4_PGE } else { 0 };
    let nx = cpuid(0x8000_0000, 0).eax > 0x8000_0000 && cpuid(0x8000_0001, 0).edx & 1 << 20 != 0;
    // SAFETY: Values that long mode allows; everything is mapped writable and executable, so WP and NXE change nothing yet.
    unsafe {
        cr::write_cr4(cr::CR4_PAE | pge);
        cr::write_cr0(1 | cr::CR0_MP | 1 << 4 | cr::CR0_NE | cr::CR0_WP | cr::CR0_AM | cr::CR0_PG);
        if nx {
            msr::wrmsr(msr::EFER, msr::rdmsr(msr::EFER) | EFER_NXE);
        }
    }
}

/// Adds the image at its link address plus `slide` to the early tables.
fn map_kernel(text: u64, size: usize, slide: u64) {
    for at in (0..size).step_by(SIZE_2M) {
        let slot = index(LINK_TEXT + slide as usize + at, 1);
        // SAFETY: One CPU; `kaslr::slide` sees to it that the new range does not touch the one we run in.
        unsafe { early_kernel_pd[slot] = (text + at as u64) | PAGE_2M };
    }
}

/// Last call from `entry`, at the final address: leaves mapped only what is to stay. Returns the `BootInfo`.
///
/// # Safety
/// Called once by `entry`, after `head_main`.
#[unsafe(no_mangle)]
unsafe extern "C" fn head_final() -> *const BootInfo {
    // SAFETY: The only mutable reference ended with `head_main`.
    let info = unsafe { &*BOOT_INFO.0.get() };
    let first = index(LINK_TEXT + info.kernel.slide as usize, 1);
    let last = first + sections::image().len().div_ceil(SIZE_2M);
    // SAFETY: One CPU; nothing refers to the entries cleared here: we run at the final address, and the identity map was
    // for the way here. Reloading CR3 makes the TLB forget them.
    unsafe {
        let pd: *mut Table = &raw mut early_kernel_pd;
        for (slot, entry) in (*pd).iter_mut().enumerate() {
            if slot < first || slot >= last {
                *entry = 0;
            }
        }
        let pml4: *mut Table = &raw mut early_pml4;
        (*pml4)[index(0, 3)] = 0;
        cr::write_cr3(cr::read_cr3());
        early_trap::install();
    }
    info
}
