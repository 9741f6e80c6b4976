// SPDX-License-Identifier: GPL-2.0
//! Filters of machine code: where instructions name a place as an absolute address, because that compresses better, they get it back as a
//! distance. Offsets are from the block's start. Source: the .xz file format, 5.3.2, and the filters' descriptions in the LZMA SDK.

/// A filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bcj {
    X86,
    PowerPc,
    Arm,
    ArmThumb,
    Sparc,
}

impl Bcj {
    /// Of its number.
    pub(crate) fn of(id: u64) -> Option<Self> {
        match id {
            4 => Some(Self::X86),
            5 => Some(Self::PowerPc),
            7 => Some(Self::Arm),
            8 => Some(Self::ArmThumb),
            9 => Some(Self::Sparc),
            _ => None,
        }
    }

    /// Turns all of a block back.
    pub(crate) fn apply(self, data: &mut [u8]) {
        match self {
            Self::X86 => x86(data),
            Self::ArmThumb => arm_thumb(data),
            Self::PowerPc => words(data, |word, at| power_pc(word.swap_bytes(), at).map(u32::swap_bytes)),
            Self::Sparc => words(data, |word, at| sparc(word.swap_bytes(), at).map(u32::swap_bytes)),
            Self::Arm => words(data, arm),
        }
    }
}

/// Changes each aligned word (read as little-endian) for which `change` gives another.
fn words(data: &mut [u8], change: impl Fn(u32, u32) -> Option<u32>) {
    for (i, bytes) in data.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        if let Some(word) = change(u32::from_le_bytes(*bytes), (i as u32).wrapping_mul(4)) {
            *bytes = word.to_le_bytes();
        }
    }
}

/// BL of a 24-bit count of words, from 8 after the instruction.
fn arm(word: u32, at: u32) -> Option<u32> {
    let to = ((word & 0xff_ffff) << 2).wrapping_sub(at.wrapping_add(8)) >> 2;
    (word >> 24 == 0xeb).then_some(0xeb00_0000 | to & 0xff_ffff)
}

/// Branch with link, not absolute.
fn power_pc(word: u32, at: u32) -> Option<u32> {
    let to = (word & 0x03ff_fffc).wrapping_sub(at) & 0x03ff_fffc;
    (word & 0xfc00_0003 == 0x4800_0001).then_some(0x4800_0001 | to)
}

/// CALL near enough that the upper bits are a sign.
fn sparc(word: u32, at: u32) -> Option<u32> {
    let to = (word << 2).wrapping_sub(at) >> 2;
    let sign = 0x4000_0000u32.wrapping_sub(to & 0x40_0000) | 0x4000_0000;
    matches!(word >> 22, 0x100 | 0x1ff).then_some(sign | to & 0x3f_ffff)
}

/// BL of two halfwords, from 4 after the first.
fn arm_thumb(data: &mut [u8]) {
    let mut at = 0;
    while let Some([a, b, c, d]) = data.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        if *b & 0xf8 != 0xf0 || *d & 0xf8 != 0xf8 {
            at += 2;
            continue;
        }
        let from = (u32::from(*b) & 7) << 19 | u32::from(*a) << 11 | (u32::from(*d) & 7) << 8 | u32::from(*c);
        let to = (from << 1).wrapping_sub((at as u32).wrapping_add(4)) >> 1;
        (*a, *b) = ((to >> 11) as u8, 0xf0 | (to >> 19) as u8 & 7);
        (*c, *d) = (to as u8, 0xf8 | (to >> 8) as u8 & 7);
        at += 4;
    }
}

/// Whether it can be the highest byte of a near address.
fn is_sign(byte: u8) -> bool {
    matches!(byte, 0 | 0xff)
}

/// CALL and JMP with 32 bits, from after the instruction. Opcodes that stand within what may have been an operand of the one before are
/// told from others by `seen`: which of the three bytes before look like opcodes, the nearest in bit 0.
fn x86(data: &mut [u8]) {
    let (mut at, mut seen, mut last) = (0usize, 0u32, None::<usize>);
    while let Some(&[op, a, b, c, d]) = data.get(at..).and_then(|rest| rest.first_chunk::<5>()) {
        if op & 0xfe != 0xe8 {
            at += 1;
            continue;
        }
        let since = last.map_or(usize::MAX, |last| at - last);
        seen = if since > 3 { 0 } else { seen << (since - 1) & 7 };
        last = Some(at);
        let operand = [a, b, c, d];
        // How many bytes of the operand, from the highest, another opcode's would reach.
        let reach = [0usize, 1, 2, 2, 3, 3, 3, 3].get(seen as usize).copied().unwrap_or(3);
        let allowed =
            seen == 0 || matches!(seen, 1 | 2 | 4) && operand.get(3 - reach).is_some_and(|byte| !is_sign(*byte));
        if !allowed || !is_sign(d) {
            seen = seen << 1 | 1;
            at += 1;
            continue;
        }
        let next = (at as u32).wrapping_add(5);
        let mut to = u32::from_le_bytes(operand).wrapping_sub(next);
        let shift = 8 * reach as u32;
        if seen != 0 && is_sign((to >> (24 - shift)) as u8) {
            // Once is enough: the bits below are then the complement of the operand's, whose highest byte is no sign.
            to = (to ^ (1u32 << (32 - shift)).wrapping_sub(1)).wrapping_sub(next);
        }
        to &= 0x01ff_ffff;
        to |= 0u32.wrapping_sub(to & 0x0100_0000);
        if let Some(place) = data.get_mut(at + 1..at + 5) {
            place.copy_from_slice(&to.to_le_bytes());
        }
        at += 5;
    }
}
