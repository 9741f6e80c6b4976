// SPDX-License-Identifier: GPL-2.0
//! Chooses where in its gigabyte of addresses the kernel image runs. Called by `setup`. No locks.

use crate::early_map::SIZE_2M;
use crate::{KERNEL_MAP, KERNEL_MAP_SIZE, LINK_TEXT};
use boot_info::BootInfo;
use x86_cpu::cpuid::cpuid;

/// The slide in bytes: a multiple of 2 MB that keeps an image of `size` bytes inside the gigabyte. 0 with `nokaslr`, and 0
/// when the command line could not be read, since it may have said so. Never a slide to a range that overlaps the link
/// address: both are mapped while the image moves.
pub(crate) fn slide(info: &BootInfo, size: usize) -> u64 {
    if info.cmdline_unreadable || info.has_option(b"nokaslr") {
        return 0;
    }
    let room = KERNEL_MAP_SIZE.saturating_sub(LINK_TEXT - KERNEL_MAP).saturating_sub(size);
    let first = size.div_ceil(SIZE_2M) as u64;
    match (room / SIZE_2M) as u64 {
        last if last >= first => (first + random(info) % (last - first + 1)) * SIZE_2M as u64,
        _ => 0,
    }
}

/// A number from RDRAND if there is one, the time-stamp counter and the loader's seed, mixed.
fn random(info: &BootInfo) -> u64 {
    let mut hash = mix(x86_cpu::tsc::rdtsc());
    for byte in info.seed.as_slice() {
        hash = mix(hash ^ u64::from(*byte));
    }
    if cpuid(1, 0).ecx & 1 << 30 != 0
        && let Some(number) = x86_cpu::asm::rdrand()
    {
        hash ^= number;
    }
    mix(hash ^ x86_cpu::tsc::rdtsc())
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
