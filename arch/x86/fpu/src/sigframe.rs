// SPDX-License-Identifier: GPL-2.0
//! The FPU part of a signal frame: the save area itself with `struct _fpx_sw_bytes` in the bytes that hardware leaves to
//! software (464..512), followed by a closing magic word. Source: `asm/sigcontext.h` of the UAPI headers.

use crate::area::{FpuState, MXCSR_AT, XSTATE_BV_AT, put, read_u64};
use crate::{FXSAVE_SIZE, MXCSR_MASK, XFEATURES_LEGACY, XSAVE_MIN, area_size, xfeatures};
use core::sync::atomic::Ordering;
use errno::code::{EFAULT, EINVAL};
use errno::{Error, Result};
use x86_mm::uaccess;

/// First magic, in `_fpx_sw_bytes`: extended state follows.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// Second magic, after the state.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Offset of `_fpx_sw_bytes`.
const SW_BYTES_AT: usize = 464;

/// `struct _fpx_sw_bytes` of this machine's frames.
fn software_bytes() -> [u8; 48] {
    let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let size = area_size() as u32;
    let words = [word(FP_XSTATE_MAGIC1, size + 4), xfeatures(), u64::from(size), 0, 0, 0];
    let mut bytes = [0u8; 48];
    for (to, from) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = from.to_le_bytes();
    }
    bytes
}

/// Writes this CPU's registers to `at` in user space as a signal frame's part, without a copy in between, as Linux does.
/// Preemption is off, and the registers are the calling thread's. EFAULT where that cannot be done (a page is missing, or the
/// CPU has no XSAVE); [`FpuState::write_sigframe`] is the other way.
pub fn save_to_user(at: usize) -> Result {
    let (mask, size) = (xfeatures(), area_size());
    if mask == 0 {
        return Err(EFAULT);
    }
    // XSAVE writes only its own words of the header.
    if uaccess::clear_user(at.wrapping_add(XSTATE_BV_AT), 64) != 0 {
        return Err(EFAULT);
    }
    // SAFETY: `init_cpu` enabled these components, and asked the CPU for their size.
    unsafe { uaccess::xsave_to_user(at, size, mask)? };
    uaccess::put_user(at.wrapping_add(SW_BYTES_AT), software_bytes())?;
    let present: u64 = uaccess::get_user(at.wrapping_add(XSTATE_BV_AT))?;
    uaccess::put_user(at.wrapping_add(XSTATE_BV_AT), present | XFEATURES_LEGACY)?;
    uaccess::put_user(at.wrapping_add(size), FP_XSTATE_MAGIC2)
}

/// Loads this CPU's registers from a signal frame that this kernel wrote. Preemption is off. An error where the frame is of
/// another form or memory is missing: the registers are then undefined, and [`FpuState::read_sigframe`] is the other way.
pub fn load_from_user(at: usize) -> Result {
    let (mask, size) = (xfeatures(), area_size());
    if mask == 0 {
        return Err(EINVAL);
    }
    let software: [u8; 48] = uaccess::get_user(at.wrapping_add(SW_BYTES_AT))?;
    if software != software_bytes() || uaccess::get_user::<u32>(at.wrapping_add(size))? != FP_XSTATE_MAGIC2 {
        return Err(EINVAL);
    }
    // SAFETY: As in `save_to_user`; the registers are the caller's to change.
    unsafe { uaccess::xrstor_from_user(at, size, mask) }
}

impl FpuState {
    /// Makes the saved image into what a signal frame holds and passes it to `write`: the image (to go to a 64-byte aligned
    /// user address) and the closing magic (directly behind it, may be empty). The registers must have been saved before.
    pub fn write_sigframe<R>(&mut self, write: impl FnOnce(&[u8], &[u8]) -> R) -> R {
        self.write_out_init_components();
        if xfeatures() == 0 {
            put(self.bytes_mut(), SW_BYTES_AT, &[0; 48]);
            return write(self.bytes(), &[]);
        }
        put(self.bytes_mut(), SW_BYTES_AT, &software_bytes());
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

    /// Checks what user space wrote for XRSTOR: only known components, a clean header, a legal MXCSR.
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
        // The header behind the first word, and components that are not there: XRSTOR would refuse them, as Linux does.
        let reserved = bytes.get(XSTATE_BV_AT + 8..XSAVE_MIN).ok_or(EINVAL)?;
        if wanted.is_some() && (present & !xfeatures() != 0 || reserved.iter().any(|&byte| byte != 0)) {
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
}
