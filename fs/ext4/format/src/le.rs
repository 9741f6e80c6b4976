// SPDX-License-Identifier: GPL-2.0
//! Little-endian numbers at an offset of a slice. Reading past the end gives zero, writing there does nothing: callers have
//! checked the length of a block once, and a mistake must not panic.

/// The 16-bit number at `at`.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at.wrapping_add(2)) {
        Some(&[a, b]) => u16::from_le_bytes([a, b]),
        _ => 0,
    }
}

/// The 32-bit number at `at`.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at.wrapping_add(4)) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// The 64-bit number at `at`.
#[inline]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at.wrapping_add(4))) << 32
}

/// Puts bytes at `at`.
#[inline]
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.wrapping_add(value.len())) {
        place.copy_from_slice(value);
    }
}

/// Puts a 16-bit number at `at`.
#[inline]
pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    put(bytes, at, &value.to_le_bytes());
}

/// Puts a 32-bit number at `at`.
#[inline]
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_le_bytes());
}

/// Puts a 64-bit number at `at`.
#[inline]
pub fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    put(bytes, at, &value.to_le_bytes());
}

/// The low 32 bits.
#[inline]
pub const fn lo32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The high 32 bits.
#[inline]
pub const fn hi32(value: u64) -> u32 {
    (value >> 32) as u32
}
