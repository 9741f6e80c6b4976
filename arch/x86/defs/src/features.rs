// SPDX-License-Identifier: GPL-2.0
//! What CPUs can do, as CPUID says it. Source: Intel SDM volume 2 (CPUID); KVM's leaves: Linux's `Documentation/virt/kvm/x86/cpuid.rst`.

use core::arch::x86_64::CpuidResult;

/// The features the kernel itself looks at, and the numbers it derives sizes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// Vendor string.
    pub vendor: [u8; 12],
    /// Display family.
    pub family: u32,
    /// Display model.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Highest basic leaf.
    pub max_leaf: u32,
    /// Highest extended leaf.
    pub max_ext_leaf: u32,
    /// Runs under a hypervisor.
    pub hypervisor: bool,
    /// KVM's paravirtual features (leaf 0x40000001 eax), zero without KVM.
    pub kvm_features: u32,
    /// No-execute pages.
    pub nx: bool,
    /// Global pages.
    pub pge: bool,
    /// 1 GB pages.
    pub gb_pages: bool,
    /// RDTSCP.
    pub rdtscp: bool,
    /// Invariant TSC.
    pub invariant_tsc: bool,
    /// TSC-deadline timer.
    pub tsc_deadline: bool,
    /// x2APIC.
    pub x2apic: bool,
    /// Process-context identifiers.
    pub pcid: bool,
    /// INVPCID.
    pub invpcid: bool,
    /// FSGSBASE.
    pub fsgsbase: bool,
    /// SMEP.
    pub smep: bool,
    /// SMAP.
    pub smap: bool,
    /// UMIP.
    pub umip: bool,
    /// Protection keys of user pages, and XSAVE that keeps PKRU.
    pub pku: bool,
    /// XSAVE.
    pub xsave: bool,
    /// XSAVEOPT.
    pub xsaveopt: bool,
    /// XSAVEC.
    pub xsavec: bool,
    /// XSAVES.
    pub xsaves: bool,
    /// User state components the CPU supports (leaf 0xd).
    pub xcr0_supported: u64,
    /// RDRAND.
    pub rdrand: bool,
    /// RDSEED.
    pub rdseed: bool,
    /// Enhanced REP MOVSB.
    pub erms: bool,
    /// Fast short REP MOVSB.
    pub fsrm: bool,
    /// MONITOR/MWAIT.
    pub mwait: bool,
    /// Always-running APIC timer.
    pub arat: bool,
    /// Hardware capabilities as ELF's AT_HWCAP has them (leaf 1 edx).
    pub hwcap: u32,
    /// Leaf 1 ecx, as read.
    pub leaf1_ecx: u32,
    /// Leaf 7 ebx, as read.
    pub leaf7_ebx: u32,
    /// Physical address bits.
    pub phys_bits: u32,
    /// Linear address bits.
    pub virt_bits: u32,
    /// Initial APIC id.
    pub apic_id: u32,
    /// TSC frequency by leaf 0x15/0x16, in kHz, zero if not given.
    pub tsc_khz: u32,
}

impl Features {
    /// Nothing known: the least that there can be.
    pub const EMPTY: Self = Self {
        vendor: [0; 12],
        family: 0,
        model: 0,
        stepping: 0,
        max_leaf: 0,
        max_ext_leaf: 0,
        hypervisor: false,
        kvm_features: 0,
        nx: false,
        pge: false,
        gb_pages: false,
        rdtscp: false,
        invariant_tsc: false,
        tsc_deadline: false,
        x2apic: false,
        pcid: false,
        invpcid: false,
        fsgsbase: false,
        smep: false,
        smap: false,
        umip: false,
        pku: false,
        xsave: false,
        xsaveopt: false,
        xsavec: false,
        xsaves: false,
        xcr0_supported: 0,
        rdrand: false,
        rdseed: false,
        erms: false,
        fsrm: false,
        mwait: false,
        arat: false,
        hwcap: 0,
        leaf1_ecx: 0,
        leaf7_ebx: 0,
        phys_bits: 36,
        virt_bits: 48,
        apic_id: 0,
        tsc_khz: 0,
    };
}

fn bit(word: u32, bit: u32) -> bool {
    word & (1 << bit) != 0
}

/// Reads them by `cpuid` (leaf, sub-leaf).
pub fn read_features(cpuid: impl Fn(u32, u32) -> CpuidResult) -> Features {
    let mut f = Features::EMPTY;
    let l0 = cpuid(0, 0);
    f.max_leaf = l0.eax;
    for (i, word) in [l0.ebx, l0.edx, l0.ecx].into_iter().enumerate() {
        f.vendor[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
    }
    let l1 = cpuid(1, 0);
    f.hwcap = l1.edx;
    f.leaf1_ecx = l1.ecx;
    f.apic_id = l1.ebx >> 24;
    f.stepping = l1.eax & 0xf;
    f.family = (l1.eax >> 8) & 0xf;
    f.model = (l1.eax >> 4) & 0xf;
    if f.family == 0xf {
        f.family += (l1.eax >> 20) & 0xff;
    }
    if f.family >= 6 {
        f.model |= (l1.eax >> 12) & 0xf0;
    }
    f.pge = bit(l1.edx, 13);
    f.mwait = bit(l1.ecx, 3);
    f.pcid = bit(l1.ecx, 17);
    f.x2apic = bit(l1.ecx, 21);
    f.tsc_deadline = bit(l1.ecx, 24);
    f.xsave = bit(l1.ecx, 26);
    f.rdrand = bit(l1.ecx, 30);
    f.hypervisor = bit(l1.ecx, 31);
    if f.max_leaf >= 6 {
        f.arat = bit(cpuid(6, 0).eax, 2);
    }
    if f.max_leaf >= 7 {
        let l7 = cpuid(7, 0);
        f.leaf7_ebx = l7.ebx;
        f.fsgsbase = bit(l7.ebx, 0);
        f.smep = bit(l7.ebx, 7);
        f.erms = bit(l7.ebx, 9);
        f.invpcid = bit(l7.ebx, 10);
        f.rdseed = bit(l7.ebx, 18);
        f.smap = bit(l7.ebx, 20);
        f.umip = bit(l7.ecx, 2);
        f.fsrm = bit(l7.edx, 4);
    }
    if f.xsave && f.max_leaf >= 0xd {
        let ld = cpuid(0xd, 0);
        f.xcr0_supported = (u64::from(ld.edx) << 32) | u64::from(ld.eax);
        let ld1 = cpuid(0xd, 1);
        f.xsaveopt = bit(ld1.eax, 0);
        f.xsavec = bit(ld1.eax, 1);
        f.xsaves = bit(ld1.eax, 3);
        f.pku = bit(cpuid(7, 0).ecx, 3) && f.xcr0_supported & crate::xstate::XFEATURE_PKRU != 0;
    }
    read_tsc_frequency(&mut f, &cpuid);
    read_extended(&mut f, &cpuid);
    if f.hypervisor {
        let base = cpuid(0x4000_0000, 0);
        if [base.ebx, base.ecx, base.edx] == [0x4b4d_564b, 0x564b_4d56, 0x4d] {
            f.kvm_features = cpuid(0x4000_0001, 0).eax;
        }
    }
    f
}

fn read_tsc_frequency(f: &mut Features, cpuid: &dyn Fn(u32, u32) -> CpuidResult) {
    if f.max_leaf >= 0x15 {
        let l = cpuid(0x15, 0);
        if l.eax != 0 && l.ebx != 0 && l.ecx != 0 {
            let khz = u64::from(l.ecx) * u64::from(l.ebx) / u64::from(l.eax) / 1000;
            f.tsc_khz = u32::try_from(khz).unwrap_or(0);
        }
    }
}

fn read_extended(f: &mut Features, cpuid: &dyn Fn(u32, u32) -> CpuidResult) {
    f.max_ext_leaf = cpuid(0x8000_0000, 0).eax;
    if f.max_ext_leaf >= 0x8000_0001 {
        let l = cpuid(0x8000_0001, 0);
        f.nx = bit(l.edx, 20);
        f.gb_pages = bit(l.edx, 26);
        f.rdtscp = bit(l.edx, 27);
    }
    if f.max_ext_leaf >= 0x8000_0007 {
        f.invariant_tsc = bit(cpuid(0x8000_0007, 0).edx, 8);
    }
    if f.max_ext_leaf >= 0x8000_0008 {
        let l = cpuid(0x8000_0008, 0);
        f.phys_bits = l.eax & 0xff;
        f.virt_bits = (l.eax >> 8) & 0xff;
    }
}

#[cfg(test)]
mod tests;
