// SPDX-License-Identifier: GPL-2.0
//! The XSAVE image in a signal frame: what the kernel writes there, and what it accepts from a program. Source: Intel SDM volume 1
//! chapter 13; `asm/sigcontext.h` of the UAPI headers.

use errno::code::EINVAL;
use errno::{Error, Result};

/// First magic, in `_fpx_sw_bytes`: extended state follows.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Second magic, after the state.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Offset of `_fpx_sw_bytes`.
pub const SW_BYTES_AT: usize = 464;

/// x87 and SSE: always there, and what FXSAVE knows.
pub const XFEATURES_LEGACY: u64 = 0b11;
/// Rights by protection keys.
pub const XFEATURE_PKRU: u64 = 1 << 9;
/// Bytes of the FXSAVE image.
pub const FXSAVE_SIZE: usize = 512;
/// FXSAVE image plus XSAVE header.
pub const XSAVE_MIN: usize = FXSAVE_SIZE + 64;

/// Offset of MXCSR in the image.
pub const MXCSR_AT: usize = 24;
/// Offset of `XSTATE_BV`, the first word of the XSAVE header.
pub const XSTATE_BV_AT: usize = FXSAVE_SIZE;

/// `struct _fpx_sw_bytes` of frames with `size` bytes of state and these components.
pub fn software_bytes(size: u32, xfeatures: u64) -> [u8; 48] {
    let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let words = [word(FP_XSTATE_MAGIC1, size + 4), xfeatures, u64::from(size), 0, 0, 0];
    let mut bytes = [0u8; 48];
    for (to, from) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = from.to_le_bytes();
    }
    bytes
}

/// The components that an extended frame carries, or `None` for a legacy frame. `software`: its software bytes;
/// `read(offset, buffer)` copies from it.
pub fn extended_features(
    software: &[u8],
    xfeatures: u64,
    area_size: usize,
    read: &mut dyn FnMut(usize, &mut [u8]) -> Result,
) -> Result<Option<u64>, Error> {
    if xfeatures == 0 || read_u64(software, 0) as u32 != FP_XSTATE_MAGIC1 {
        return Ok(None);
    }
    let extended_size = (read_u64(software, 0) >> 32) as usize;
    let xstate_size = read_u64(software, 16) as u32 as usize;
    let sane = xstate_size >= XSAVE_MIN && xstate_size <= area_size && xstate_size <= extended_size;
    if !sane {
        return Ok(None);
    }
    let mut magic2 = [0u8; 4];
    read(xstate_size, &mut magic2)?;
    // A frame written for a smaller area than ours would need its own length; only frames of this kernel's size count.
    let whole = u32::from_le_bytes(magic2) == FP_XSTATE_MAGIC2 && xstate_size == area_size;
    Ok(whole.then(|| read_u64(software, 8) & xfeatures))
}

/// Checks what user space wrote for XRSTOR: only known components, a clean header, a legal MXCSR.
pub fn sanitize(bytes: &mut [u8], wanted: Option<u64>, xfeatures: u64, mxcsr_mask: u32) -> Result {
    let mxcsr = read_u64(bytes, MXCSR_AT) as u32;
    let present = read_u64(bytes, XSTATE_BV_AT);
    let legacy = xfeatures == 0;
    // Linux refuses an illegal MXCSR through the #GP of its direct restore.
    if mxcsr & !mxcsr_mask != 0 {
        return Err(EINVAL);
    }
    if legacy {
        return Ok(());
    }
    // The header behind the first word, and components that are not there: XRSTOR would refuse them, as Linux does.
    let reserved = bytes.get(XSTATE_BV_AT + 8..XSAVE_MIN).ok_or(EINVAL)?;
    if wanted.is_some() && (present & !xfeatures != 0 || reserved.iter().any(|&byte| byte != 0)) {
        return Err(EINVAL);
    }
    let present = match wanted {
        Some(features) => present & features,
        None => XFEATURES_LEGACY,
    };
    put(bytes, XSTATE_BV_AT, &[0; 64]);
    put(bytes, XSTATE_BV_AT, &present.to_le_bytes());
    Ok(())
}

/// Reads a little-endian word; zero out of range.
#[inline]
pub fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at.wrapping_add(8)).and_then(|s| <[u8; 8]>::try_from(s).ok());
    word.map_or(0, u64::from_le_bytes)
}

/// Writes `value` at `at`, if it fits.
#[inline]
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(slot) = bytes.get_mut(at..at.wrapping_add(value.len())) {
        slot.copy_from_slice(value);
    }
}

/// Clears `len` bytes at `at`, if they are there.
#[inline]
pub fn fill(bytes: &mut [u8], at: usize, len: usize) {
    if let Some(slot) = bytes.get_mut(at..at.wrapping_add(len)) {
        slot.fill(0);
    }
}

#[cfg(test)]
mod tests;
