// SPDX-License-Identifier: GPL-2.0
//! Host tests: leaves as a CPU would give them.

use super::*;

const NONE: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };

#[test]
fn an_old_cpu_has_nothing() {
    let f = read_features(|_, _| NONE);
    assert!(!f.nx && !f.xsave && !f.pku && f.max_leaf == 0 && f.tsc_khz == 0);
    assert_eq!((f.phys_bits, f.virt_bits), (36, 48));
}

#[test]
fn leaves_are_decoded() {
    let f = read_features(|leaf, sub| match (leaf, sub) {
        (0, _) => CpuidResult { eax: 0x16, ebx: 0x756e_6547, ecx: 0x6c65_746e, edx: 0x4965_6e69 },
        (1, _) => CpuidResult { eax: 0x0009_06ea, ebx: 7 << 24, ecx: 1 << 26 | 1 << 31, edx: 1 << 13 },
        (7, _) => CpuidResult { ebx: 1 << 20, ecx: 1 << 2 | 1 << 3, ..NONE },
        (0xd, 0) => CpuidResult { eax: 0x2e7, ..NONE },
        (0x15, _) => CpuidResult { eax: 2, ebx: 200, ecx: 24_000_000, edx: 0 },
        (0x8000_0000, _) => CpuidResult { eax: 0x8000_0008, ..NONE },
        (0x8000_0001, _) => CpuidResult { edx: 1 << 20, ..NONE },
        (0x8000_0008, _) => CpuidResult { eax: 48 << 8 | 39, ..NONE },
        (0x4000_0000, _) => CpuidResult { ebx: 0x4b4d_564b, ecx: 0x564b_4d56, edx: 0x4d, ..NONE },
        (0x4000_0001, _) => CpuidResult { eax: 8, ..NONE },
        _ => NONE,
    });
    assert_eq!(&f.vendor, b"GenuineIntel");
    assert_eq!((f.family, f.model, f.stepping, f.apic_id), (6, 0x9e, 10, 7));
    assert!(f.pge && f.xsave && f.smap && f.umip && f.pku && f.nx && f.hypervisor && !f.smep);
    assert_eq!((f.xcr0_supported, f.tsc_khz, f.kvm_features), (0x2e7, 2_400_000, 8));
    assert_eq!((f.phys_bits, f.virt_bits), (39, 48));
}
