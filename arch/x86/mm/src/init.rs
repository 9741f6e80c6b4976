// SPDX-License-Identifier: GPL-2.0
//! Start-up: the order in which memory management comes alive, and what each CPU sets in its control registers.

use crate::{extable, quicklist, table, tlb};
use boot_info::BootInfo;
use core::sync::atomic::Ordering;
use errno::Result;
use mm_alloc::kpt;
use x86_cpu::{cpu_id, cpuid, cr, msr};

/// PAT with Linux's meaning of the PWT and PCD bits: WB, WC, UC-, UC, WB, WP, UC-, WT.
const PAT: u64 = 0x0407_0506_0007_0106;
const EFER_NXE: u64 = 1 << 11;

/// Brings memory management up on the boot CPU, from the loader's map to a working heap: final kernel tables (no mapping both
/// writable and executable), page allocator, zero page. Called once, after `x86_cpu::cpuid::init` and `memblock::init` (between
/// which and this others may set early memory aside), interrupts off. `early` runs last before the page allocator takes over.
pub fn init(info: &BootInfo, early: impl FnOnce()) -> Result {
    // While text is still writable.
    extable::patch_smap_sites();
    kpt::init(info)?;
    early();
    mm_alloc::init()?;
    table::make_zero_page()?;
    kpt::KERNEL_TLB.set(&(&tlb::KernelRange as &dyn kpt::KernelTlb));
    init_cpu();
    Ok(())
}

/// Sets what this CPU's paging needs: NX, write protection, global pages, PCID, SMEP, SMAP, UMIP where it has them, and the
/// cache attributes. On each CPU once, interrupts off, with the kernel's own table in CR3.
pub fn init_cpu() {
    let f = cpuid::features();
    let mut cr4 = cr::read_cr4();
    for (has, bit) in [
        (f.pge, cr::CR4_PGE),
        (f.smep, cr::CR4_SMEP),
        (f.smap, cr::CR4_SMAP),
        (f.umip, cr::CR4_UMIP),
        (f.pcid, cr::CR4_PCIDE),
    ] {
        if has {
            cr4 |= bit;
        }
    }
    // SAFETY: Each bit is set only where the CPU has it; CR3's low bits are 0 (PCID 0), which PCIDE asks for. No user page is
    // touched outside of user-access sections, none is executed by the kernel.
    unsafe {
        if f.nx {
            msr::wrmsr(msr::EFER, msr::rdmsr(msr::EFER) | EFER_NXE);
        }
        msr::wrmsr(msr::PAT, PAT);
        cr::write_cr0(cr::read_cr0() | cr::CR0_WP);
        cr::write_cr3(kpt::kernel_pgd());
        cr::write_cr4(cr4);
    }
    kpt::flush_all_local();
    tlb::ONLINE.fetch_or(1 << cpu_id(), Ordering::SeqCst);
}

/// Gives this CPU's caches of pages back (memory is short, or the CPU goes offline).
pub fn drain_local() {
    quicklist::drain_local();
    mm_alloc::slab::drain_local();
    mm_alloc::pcp::drain_local();
}
