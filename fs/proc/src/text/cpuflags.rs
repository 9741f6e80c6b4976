// SPDX-License-Identifier: GPL-2.0
//! The `flags` of `/proc/cpuinfo`: the bits of CPUID by Linux's names and in Linux's order. Bits of features that a program
//! can only use if the kernel supports them (shadow stacks, five-level tables) have no name here until it does.

use errno::Result;
use vfs::SeqBuf;
use x86_cpu::cpuid::{cpuid, features};

/// Register of a CPUID result.
#[derive(Clone, Copy)]
enum Reg {
    A,
    B,
    C,
    D,
}

/// One word of flags: leaf, subleaf, register, and the names of its bits from 0 on (empty: not shown).
struct Word(u32, u32, Reg, [&'static str; 32]);

const NONE: &str = "";

#[rustfmt::skip]
static WORDS: [Word; 9] = [
    Word(1, 0, Reg::D, [
        "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", NONE, "sep", "mtrr", "pge", "mca", "cmov",
        "pat", "pse36", "pn", "clflush", NONE, "dts", "acpi", "mmx", "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe",
    ]),
    Word(0x8000_0001, 0, Reg::D, [
        NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, "syscall", NONE, NONE, NONE, NONE,
        NONE, NONE, NONE, "mp", "nx", NONE, "mmxext", NONE, NONE, "fxsr_opt", "pdpe1gb", "rdtscp", NONE, "lm",
        "3dnowext", "3dnow",
    ]),
    Word(1, 0, Reg::C, [
        "pni", "pclmulqdq", "dtes64", "monitor", "ds_cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", "sdbg", "fma", "cx16",
        "xtpr", "pdcm", NONE, "pcid", "dca", "sse4_1", "sse4_2", "x2apic", "movbe", "popcnt", "tsc_deadline_timer", "aes",
        "xsave", NONE, "avx", "f16c", "rdrand", "hypervisor",
    ]),
    Word(0x8000_0001, 0, Reg::C, [
        "lahf_lm", "cmp_legacy", "svm", "extapic", "cr8_legacy", "abm", "sse4a", "misalignsse", "3dnowprefetch", "osvw", "ibs",
        "xop", "skinit", "wdt", NONE, "lwp", "fma4", "tce", NONE, "nodeid_msr", NONE, "tbm", "topoext", "perfctr_core",
        "perfctr_nb", NONE, "bpext", "ptsc", "perfctr_llc", "mwaitx", NONE, NONE,
    ]),
    Word(7, 0, Reg::B, [
        "fsgsbase", "tsc_adjust", NONE, "bmi1", "hle", "avx2", NONE, "smep", "bmi2", "erms", "invpcid", "rtm", NONE, NONE,
        "mpx", NONE, "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", NONE, "clflushopt", "clwb", "intel_pt",
        "avx512pf", "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl",
    ]),
    Word(0xd, 1, Reg::A, [
        "xsaveopt", "xsavec", "xgetbv1", "xsaves", NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
        NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
    ]),
    Word(0x8000_0008, 0, Reg::B, [
        "clzero", "irperf", "xsaveerptr", NONE, "rdpru", NONE, NONE, NONE, NONE, "wbnoinvd", NONE, NONE, NONE, NONE, NONE, NONE,
        NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
    ]),
    Word(7, 0, Reg::C, [
        NONE, "avx512vbmi", "umip", "pku", "ospke", "waitpkg", "avx512_vbmi2", NONE, "gfni", "vaes", "vpclmulqdq", "avx512_vnni",
        "avx512_bitalg", NONE, "avx512_vpopcntdq", NONE, NONE, NONE, NONE, NONE, NONE, NONE, "rdpid", NONE, NONE, "cldemote",
        NONE, "movdiri", "movdir64b", NONE, NONE, NONE,
    ]),
    Word(7, 0, Reg::D, [
        NONE, NONE, "avx512_4vnniw", "avx512_4fmaps", "fsrm", NONE, NONE, NONE, "avx512_vp2intersect", NONE, "md_clear", NONE,
        NONE, NONE, "serialize", NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
        NONE,
    ]),
];

/// Bits of a word that the kernel does not use, by its own choice or the command line's: programs must not see them, as on Linux.
fn cleared(word: &Word) -> u32 {
    let f = features();
    let off = |bit: u32, used: bool| if used { 0 } else { 1u32 << bit };
    match (word.0, word.1, word.2) {
        (1, 0, Reg::C) => {
            // What needs the state that XSAVE keeps goes with it: FMA, XSAVE, AVX, F16C.
            let xsave = [12, 26, 27, 28, 29].into_iter().fold(0, |bits, bit| bits | off(bit, f.xsave));
            xsave | off(17, f.pcid) | off(21, f.x2apic)
        }
        (7, 0, Reg::B) => {
            // AVX2 and the AVX-512 family.
            let vector = [5, 16, 17, 21, 26, 27, 28, 30, 31].into_iter().fold(0, |bits, bit| bits | off(bit, f.xsave));
            // Bound registers are no longer supported by Linux either.
            vector | off(0, f.fsgsbase) | off(7, f.smep) | off(10, f.invpcid) | off(14, false) | off(20, f.smap)
        }
        (7, 0, Reg::C) => {
            let vector = [1, 6, 9, 10, 11, 12, 14].into_iter().fold(0, |bits, bit| bits | off(bit, f.xsave));
            // With `nopku` the CPU still has them, and says itself that the system does not use them.
            vector | off(2, f.umip) | off(3, f.xsave) | off(4, f.pku)
        }
        (7, 0, Reg::D) => [2, 3, 8].into_iter().fold(0, |bits, bit| bits | off(bit, f.xsave)),
        (0xd, 1, Reg::A) => {
            let xsave = [1, 2, 3].into_iter().fold(0, |bits, bit| bits | off(bit, f.xsave));
            xsave | off(0, f.xsaveopt)
        }
        _ => 0,
    }
}

fn read(word: &Word) -> u32 {
    let last = if word.0 >= 0x8000_0000 { features().max_ext_leaf } else { features().max_leaf };
    if word.0 > last {
        return 0;
    }
    let leaf = cpuid(word.0, word.1);
    let bits = match word.2 {
        Reg::A => leaf.eax,
        Reg::B => leaf.ebx,
        Reg::C => leaf.ecx,
        Reg::D => leaf.edx,
    };
    bits & !cleared(word)
}

/// Writes the names of the bits that are set, each with a space in front.
fn names(word: &Word, bits: u32, out: &mut SeqBuf) -> Result {
    for (index, name) in word.3.iter().enumerate() {
        if bits >> index & 1 != 0 && !name.is_empty() {
            out.byte(b' ')?;
            out.put(name.as_bytes())?;
        }
    }
    Ok(())
}

/// Writes the flags of this machine.
pub(super) fn show(out: &mut SeqBuf) -> Result {
    for (index, word) in WORDS.iter().enumerate() {
        names(word, read(word), out)?;
        if index == 1 {
            synthetic(out)?;
        }
    }
    if features().arat {
        out.put(b" arat")?;
    }
    Ok(())
}

/// What Linux derives.
fn synthetic(out: &mut SeqBuf) -> Result {
    if features().invariant_tsc {
        out.put(b" constant_tsc nonstop_tsc")?;
    }
    out.put(b" nopl")?;
    if features().max_leaf >= 0xb {
        out.put(b" xtopology")?;
    }
    out.put(b" cpuid")?;
    if features().tsc_khz != 0 {
        out.put(b" tsc_known_freq")?;
    }
    Ok(())
}

#[macros::kunit_tests(proc_cpuflags)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_their_names() {
        let mut out = SeqBuf::new(200);
        assert!(names(&WORDS[0], 1 << 0 | 1 << 10 | 1 << 25, &mut out).is_ok());
        assert!(names(&WORDS[2], 1 << 0 | 1 << 31, &mut out).is_ok());
        assert!(names(&WORDS[4], 1 << 0 | 1 << 31, &mut out).is_ok());
        assert!(names(&WORDS[7], 0b111 << 2, &mut out).is_ok());
        assert_eq!(out.text(), b" fpu sse pni hypervisor fsgsbase avx512vl umip pku ospke");
    }
}
