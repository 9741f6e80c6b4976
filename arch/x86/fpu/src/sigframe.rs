// SPDX-License-Identifier: GPL-2.0
//! The FPU part of a signal frame: the save area itself with `struct _fpx_sw_bytes` in the bytes that hardware leaves to
//! software (464..512), followed by a closing magic word. Source: `asm/sigcontext.h` of the UAPI headers.

use crate::area::{FpuState, MXCSR_AT, XSTATE_BV_AT, put, read_u64};
use crate::{FXSAVE_SIZE, MXCSR_MASK, XSAVE_MIN, area_size, sigframe_size, xfeatures};
use core::sync::atomic::Ordering;
use errno::{Error, Result, code::EINVAL};

/// First magic, in `_fpx_sw_bytes`: extended state follows.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Second magic, after the state.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Offset of `_fpx_sw_bytes`.
const SW_BYTES_AT: usize = 464;

impl FpuState {
    /// Makes the saved image into what a signal frame holds and passes it to `write`: the image (to go to a 64-byte aligned
    /// user address) and the closing magic (directly behind it, may be empty). The registers must have been saved before.
    pub fn write_sigframe<R>(&mut self, write: impl FnOnce(&[u8], &[u8]) -> R) -> R {
        self.write_out_init_components();
        if xfeatures() == 0 {
            put(self.bytes_mut(), SW_BYTES_AT, &[0; 48]);
            return write(self.bytes(), &[]);
        }
        let size = area_size();
        let mut software = [0u8; 48];
        put(&mut software, 0, &FP_XSTATE_MAGIC1.to_le_bytes());
        put(&mut software, 4, &u32::try_from(sigframe_size()).unwrap_or(0).to_le_bytes());
        put(&mut software, 8, &xfeatures().to_le_bytes());
        put(&mut software, 16, &u32::try_from(size).unwrap_or(0).to_le_bytes());
        put(self.bytes_mut(), SW_BYTES_AT, &software);
        write(self.bytes(), &FP_XSTATE_MAGIC2.to_le_bytes())
    }

    /// Takes the registers from a signal frame (rt_sigreturn). `read(offset, buffer)` copies from the frame. A frame without
    /// the magics holds the legacy part only: the other components become initial, as Linux does. On an error the state is
    /// initial and the caller sends SIGSEGV. The registers must be loaded again before return to user mode.
    pub fn read_sigframe(&mut self, mut read: impl FnMut(usize, &mut [u8]) -> Result) -> Result {
        let result = self.read_sigframe_raw(&mut read);
        if result.is_err() {
            self.reset();
        }
        result
    }

    fn read_sigframe_raw(&mut self, read: &mut dyn FnMut(usize, &mut [u8]) -> Result) -> Result {
        let mut software = [0u8; 48];
        read(SW_BYTES_AT, &mut software)?;
        let wanted = self.extended_features(&software, read)?;
        self.reset();
        let bytes = self.bytes_mut();
        let len = if wanted.is_some() { bytes.len() } else { FXSAVE_SIZE };
        read(0, bytes.get_mut(..len).ok_or(EINVAL)?)?;
        self.sanitize(wanted)
    }

    /// The components that an extended frame carries, or `None` for a legacy frame.
    fn extended_features(
        &self,
        software: &[u8],
        read: &mut dyn FnMut(usize, &mut [u8]) -> Result,
    ) -> Result<Option<u64>, Error> {
        if xfeatures() == 0 || read_u64(software, 0) as u32 != FP_XSTATE_MAGIC1 {
            return Ok(None);
        }
        let extended_size = (read_u64(software, 0) >> 32) as usize;
        let xstate_size = read_u64(software, 16) as u32 as usize;
        let sane = xstate_size >= XSAVE_MIN && xstate_size <= area_size() && xstate_size <= extended_size;
        if !sane {
            return Ok(None);
        }
        let mut magic2 = [0u8; 4];
        read(xstate_size, &mut magic2)?;
        // A frame written for a smaller area than ours would need its own length; only frames of this kernel's size count.
        let whole = u32::from_le_bytes(magic2) == FP_XSTATE_MAGIC2 && xstate_size == area_size();
        Ok(whole.then(|| read_u64(software, 8) & xfeatures()))
    }

    /// Makes what user space wrote harmless for XRSTOR: only known components, a clean header, a legal MXCSR.
    fn sanitize(&mut self, wanted: Option<u64>) -> Result {
        let mask = MXCSR_MASK.load(Ordering::Relaxed);
        let mxcsr = read_u64(self.bytes(), MXCSR_AT) as u32;
        let present = read_u64(self.bytes(), XSTATE_BV_AT);
        let legacy = xfeatures() == 0;
        let bytes = self.bytes_mut();
        // Linux refuses an illegal MXCSR through the #GP of its direct restore.
        if mxcsr & !mask != 0 {
            return Err(EINVAL);
        }
        if legacy {
            return Ok(());
        }
        let present = match wanted {
            Some(features) => present & features,
            None => crate::XFEATURES_LEGACY,
        };
        put(bytes, XSTATE_BV_AT, &[0; 64]);
        put(bytes, XSTATE_BV_AT, &present.to_le_bytes());
        Ok(())
    }
}
