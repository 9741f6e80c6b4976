// SPDX-License-Identifier: GPL-2.0
//! Control registers and MSRs of a CPU, the same on every one: protections that the CPU has are turned on, none is optional.
//! Called by each CPU for itself at its start, interrupts off. Source: Intel SDM volume 3, 2.5 and 11.12 (PAT).

use crate::entry::{syscall, vectors};
use boot_info::BootInfo;
use x86_cpu::{cpu_id, cpuid, cr, msr, pkru};

/// EFER: SYSCALL enable.
const EFER_SCE: u64 = 1 << 0;
/// EFER: no-execute enable.
const EFER_NXE: u64 = 1 << 11;
/// PAT as Linux has it: WB WC UC- UC WB WP UC- WT. Page tables use index 1 (PWT) for write-combining, 3 for uncached.
const PAT_LAYOUT: u64 = 0x0407_0506_0007_0106;
/// Leaf 1 edx: PAT.
const CPUID_PAT: u32 = 1 << 16;

/// Takes the features away that the command line refuses. Boot CPU, before anything looks at them.
pub(crate) fn options(info: &BootInfo) {
    let refused = |name: &str| info.has_option(name.as_bytes());
    // SAFETY: One CPU, first thing at boot.
    unsafe {
        cpuid::restrict(|f| {
            f.smap &= !refused("nosmap");
            f.smep &= !refused("nosmep");
            f.pcid &= !refused("nopcid");
            f.fsgsbase &= !refused("nofsgsbase");
            f.xsave &= !refused("noxsave");
            f.xsaveopt &= !refused("noxsaveopt") && f.xsave;
            f.pku &= !refused("nopku") && f.xsave;
            f.x2apic &= !refused("nox2apic");
        });
    }
}

/// Sets this CPU up.
pub(crate) fn init() {
    let features = cpuid::features();
    // SAFETY: Protected mode with paging stays on; WP and NE only tighten what the kernel may do.
    unsafe { cr::write_cr0((cr::read_cr0() | cr::CR0_WP | cr::CR0_NE | cr::CR0_MP | cr::CR0_AM) & !cr::CR0_EM) };
    let wanted = [
        (cr::CR4_PGE, features.pge),
        (cr::CR4_FSGSBASE, features.fsgsbase),
        (cr::CR4_SMEP, features.smep),
        (cr::CR4_SMAP, features.smap),
        (cr::CR4_UMIP, features.umip),
        (cr::CR4_PKE, features.pku),
    ];
    let bits = wanted.iter().filter(|(_, has)| *has).fold(0, |bits, (bit, _)| bits | bit);
    // SAFETY: Only bits that CPUID has; the kernel executes no user page (SMEP), opens user access explicitly (SMAP), expects GS
    // base to be changed by user code (FSGSBASE), and accesses to user pages to fail (PKE).
    unsafe { cr::write_cr4(cr::read_cr4() | bits) };
    pkru::load(pkru::INIT);
    // PCIDE may be set only in long mode with PCID 0 in CR3.
    if features.pcid && features.pge && cr::read_cr3() & 0xfff == 0 {
        // SAFETY: As required above.
        unsafe { cr::write_cr4(cr::read_cr4() | cr::CR4_PCIDE) };
    }
    // SAFETY: EFER exists; NXE where CPUID has NX. PAT where CPUID has it.
    unsafe {
        let mut efer = msr::rdmsr(msr::EFER) | EFER_SCE;
        if features.nx {
            efer |= EFER_NXE;
        }
        msr::wrmsr(msr::EFER, efer);
        if features.hwcap & CPUID_PAT != 0 {
            msr::wrmsr(msr::PAT, PAT_LAYOUT);
        }
        if features.rdtscp {
            // What the vDSO's getcpu reads: CPU number, node above bit 12 (one node).
            msr::wrmsr(msr::TSC_AUX, u64::from(cpu_id()));
        }
    }
    x86_fpu::init_cpu();
    syscall::init_cpu();
    vectors::init();
}
