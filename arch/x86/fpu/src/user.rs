// SPDX-License-Identifier: GPL-2.0
//! A saved state as debuggers see and change it: the XSAVE image with the enabled components in the software bytes (`NT_X86_XSTATE`),
//! or its first part alone (`NT_PRFPREG`).

use crate::area::{FpuState, MXCSR_AT, XSTATE_BV_AT, put, read_u64};
use crate::{FXSAVE_SIZE, MXCSR_MASK, XFEATURES_LEGACY, xfeatures, xstate_size};
use core::sync::atomic::Ordering;
use errno::{Result, code::EINVAL};

/// Where the software bytes begin.
const SW_BYTES_AT: usize = 464;
/// Bytes of the XSAVE header.
const HEADER: usize = 64;

fn check_mxcsr(bytes: &[u8]) -> Result {
    let mxcsr = read_u64(bytes, MXCSR_AT) as u32;
    if mxcsr & !MXCSR_MASK.load(Ordering::Relaxed) != 0 { Err(EINVAL) } else { Ok(()) }
}

impl FpuState {
    /// Fills `out` with the beginning of the image as `NT_X86_XSTATE` has it, which is [`xstate_size`] bytes long. The registers
    /// must have been saved before.
    pub fn user_image(&mut self, out: &mut [u8]) -> Result {
        self.write_out_init_components();
        let mut software = [0u8; 48];
        put(&mut software, 0, &xfeatures().to_le_bytes());
        put(self.bytes_mut(), SW_BYTES_AT, &software);
        self.each_part(&mut |at, bytes| {
            let Some(rest) = out.get_mut(at..) else { return Ok(()) };
            for (to, from) in rest.iter_mut().zip(bytes) {
                *to = *from;
            }
            Ok(())
        })
    }

    /// Replaces the x87 and SSE registers by those of an FXSAVE image; `EINVAL` if it is not one.
    pub fn set_fxsave(&mut self, image: &[u8]) -> Result {
        if image.len() != FXSAVE_SIZE {
            return Err(EINVAL);
        }
        check_mxcsr(image)?;
        self.write_out_init_components();
        put(self.bytes_mut(), 0, image);
        if xfeatures() != 0 {
            let present = read_u64(self.bytes(), XSTATE_BV_AT) | XFEATURES_LEGACY;
            put(self.bytes_mut(), XSTATE_BV_AT, &present.to_le_bytes());
        }
        Ok(())
    }

    /// Replaces all registers by those of an XSAVE image of this machine's size; `EINVAL` if it is not one.
    pub fn set_xsave(&mut self, image: &[u8]) -> Result {
        let header = image.get(XSTATE_BV_AT..XSTATE_BV_AT + HEADER).ok_or(EINVAL)?;
        let present = read_u64(header, 0);
        let reserved = header.iter().skip(8).any(|&byte| byte != 0);
        if image.len() != xstate_size() || present & !xfeatures() != 0 || reserved {
            return Err(EINVAL);
        }
        check_mxcsr(image)?;
        let area = self.bytes_mut();
        area.copy_from_slice(image.get(..area.len()).ok_or(EINVAL)?);
        self.take_pkru(present, &mut |at, to| {
            to.copy_from_slice(image.get(at..at.wrapping_add(to.len())).ok_or(EINVAL)?);
            Ok(())
        })
    }
}
