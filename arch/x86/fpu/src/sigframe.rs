// SPDX-License-Identifier: GPL-2.0
//! The FPU part of a signal frame: the save area itself with `struct _fpx_sw_bytes` in the bytes that hardware leaves to
//! software (464..512), followed by a closing magic word. Source: `asm/sigcontext.h` of the UAPI headers.

use crate::area::{FpuState, XSTATE_BV_AT, put, read_u64};
use crate::{FXSAVE_SIZE, MXCSR_MASK, XFEATURES_LEGACY, xfeatures, xstate_size};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EFAULT, EINVAL};
use x86_defs::xstate::{self, SW_BYTES_AT};
use x86_mm::uaccess;

pub use x86_defs::xstate::{FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2};

/// `struct _fpx_sw_bytes` of this machine's frames.
fn software_bytes() -> [u8; 48] {
    xstate::software_bytes(xstate_size() as u32, xfeatures())
}

/// Writes this CPU's registers to `at` in user space as a signal frame's part, without a copy in between, as Linux does.
/// Preemption is off, and the registers are the calling thread's. EFAULT where that cannot be done (a page is missing, or the
/// CPU has no XSAVE); [`FpuState::write_sigframe`] is the other way.
pub fn save_to_user(at: usize) -> Result {
    let (mask, size) = (xfeatures(), xstate_size());
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
    let (mask, size) = (xfeatures(), xstate_size());
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
    /// Makes the saved image into what a signal frame holds and passes it to `write(offset, bytes)` in parts: the image (to go to
    /// a 64-byte aligned user address) and the closing magic. A later part may lie in an earlier one. The registers must have
    /// been saved before.
    pub fn write_sigframe(&mut self, mut write: impl FnMut(usize, &[u8]) -> Result) -> Result {
        self.write_out_init_components();
        if xfeatures() == 0 {
            put(self.bytes_mut(), SW_BYTES_AT, &[0; 48]);
            return self.each_part(&mut write);
        }
        put(self.bytes_mut(), SW_BYTES_AT, &software_bytes());
        self.each_part(&mut write)?;
        write(xstate_size(), &FP_XSTATE_MAGIC2.to_le_bytes())
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
        let wanted = xstate::extended_features(&software, xfeatures(), xstate_size(), read)?;
        self.reset();
        let bytes = self.bytes_mut();
        let len = if wanted.is_some() { bytes.len() } else { FXSAVE_SIZE };
        read(0, bytes.get_mut(..len).ok_or(EINVAL)?)?;
        xstate::sanitize(self.bytes_mut(), wanted, xfeatures(), MXCSR_MASK.load(Ordering::Relaxed))?;
        // A frame that says nothing of PKRU allows everything: to XRSTOR that is its initial state.
        let present = read_u64(self.bytes(), XSTATE_BV_AT);
        self.take_pkru(present, read)
    }
}
