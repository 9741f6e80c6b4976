// SPDX-License-Identifier: GPL-2.0
//! CRC-32C by the CPU's own instruction (SSE 4.2), which works on general registers: any context. Source: Intel SDM volume 2, CRC32.

use core::arch::asm;
use crc32c::{ENGINE, Engine};

/// Leaf 1 ecx: SSE 4.2.
const SSE4_2: u32 = 1 << 20;

/// The instruction is there.
struct Instruction;

impl Engine for Instruction {
    fn update(&self, crc: u32, bytes: &[u8]) -> u32 {
        let mut crc = u64::from(crc);
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            // SAFETY: Only `init` makes this reachable, where the CPU has the instruction. It reads the 64 bytes of `block`, and writes a
            // register.
            unsafe {
                asm!(
                    "crc32 {crc}, qword ptr [{at}]",
                    "crc32 {crc}, qword ptr [{at} + 8]",
                    "crc32 {crc}, qword ptr [{at} + 16]",
                    "crc32 {crc}, qword ptr [{at} + 24]",
                    "crc32 {crc}, qword ptr [{at} + 32]",
                    "crc32 {crc}, qword ptr [{at} + 40]",
                    "crc32 {crc}, qword ptr [{at} + 48]",
                    "crc32 {crc}, qword ptr [{at} + 56]",
                    crc = inout(reg) crc,
                    at = in(reg) block.as_ptr(),
                    options(pure, readonly, nostack, preserves_flags)
                );
            }
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            // SAFETY: As above; it reads and writes registers only.
            unsafe {
                asm!(
                    "crc32 {crc}, {word}",
                    crc = inout(reg) crc,
                    word = in(reg) u64::from_le_bytes(*word),
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
        for &byte in rest {
            // SAFETY: As above; it reads and writes registers only.
            unsafe {
                asm!(
                    "crc32 {crc:e}, {byte}",
                    crc = inout(reg) crc,
                    byte = in(reg_byte) byte,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
        crc as u32
    }
}

/// Tells [`crc32c`](crc32c::crc32c) of the instruction, if the CPUs have it. Boot CPU, after the features were read.
pub fn init() {
    static INSTRUCTION: &dyn Engine = &Instruction;
    if crate::cpuid::features().leaf1_ecx & SSE4_2 != 0 {
        ENGINE.set(&INSTRUCTION);
    }
}
