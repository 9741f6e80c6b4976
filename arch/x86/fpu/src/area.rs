// SPDX-License-Identifier: GPL-2.0
//! `FpuState`: one thread's save area.

use crate::insn::{self, FCW_DEFAULT, MXCSR_DEFAULT};
use crate::{XFEATURES_LEGACY, area_size, xfeatures};
use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use core::ptr::NonNull;
use errno::{Error, code::ENOMEM};
use x86_defs::xstate::fill;

pub(crate) use x86_defs::xstate::{MXCSR_AT, XSTATE_BV_AT, put, read_u64};

/// A user thread's FPU registers while they are not in a CPU.
///
/// # Invariants
/// `area` is an allocation of `size` bytes, 64-byte aligned, owned by this value, and always a valid image for
/// XRSTOR/FXRSTOR on this machine.
pub struct FpuState {
    area: NonNull<u8>,
    size: usize,
}

// SAFETY: The area is plain owned memory.
unsafe impl Send for FpuState {}
// SAFETY: `&FpuState` only reads the area.
unsafe impl Sync for FpuState {}

impl FpuState {
    /// An area with the registers' initial values (a new program's). Fails with ENOMEM. May be called in atomic context as
    /// far as the allocator may.
    pub fn new() -> Result<Self, Error> {
        let size = area_size();
        let layout = Layout::from_size_align(size, 64).map_err(|_| ENOMEM)?;
        // SAFETY: The size is not zero.
        let area = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(ENOMEM)?;
        let mut state = Self { area, size };
        state.put_initial_controls();
        Ok(state)
    }

    /// A copy of the saved image (fork: the parent saves its registers first).
    pub fn try_clone(&self) -> Result<Self, Error> {
        let layout = Layout::from_size_align(self.size, 64).map_err(|_| ENOMEM)?;
        // SAFETY: The size is not zero.
        let area = NonNull::new(unsafe { alloc(layout) }).ok_or(ENOMEM)?;
        // SAFETY: Both areas have `size` bytes, and the new one is nobody else's.
        unsafe { area.copy_from_nonoverlapping(self.area, self.size) };
        Ok(Self { area, size: self.size })
    }

    /// Saves this CPU's registers into the area. Preemption is off, and the registers are this thread's.
    #[inline(always)]
    pub fn save(&mut self) {
        // SAFETY: By the type invariant, and `&mut self` makes the access unique.
        unsafe { insn::save(self.area.as_ptr()) };
    }

    /// Loads the area into this CPU's registers. Preemption is off; the area's thread runs on this CPU.
    #[inline(always)]
    pub fn restore(&self) {
        // SAFETY: The image is valid by the type invariant.
        unsafe { insn::restore(self.area.as_ptr()) };
    }

    /// Back to the initial values (exec, or a signal frame that cannot be read). The registers themselves must be loaded
    /// again before the thread returns to user mode.
    pub fn reset(&mut self) {
        self.bytes_mut().fill(0);
        self.put_initial_controls();
    }

    fn put_initial_controls(&mut self) {
        let bytes = self.bytes_mut();
        put(bytes, 0, &FCW_DEFAULT.to_le_bytes());
        put(bytes, MXCSR_AT, &MXCSR_DEFAULT.to_le_bytes());
    }

    /// Copies another thread's saved image (ptrace, fork of a thread that is not running).
    pub fn copy_from(&mut self, other: &FpuState) {
        let source = other.bytes();
        let target = self.bytes_mut();
        if target.len() == source.len() {
            target.copy_from_slice(source);
        }
    }

    /// The saved image, in the processor's own format.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: By the type invariant; writers have `&mut self`.
        unsafe { core::slice::from_raw_parts(self.area.as_ptr(), self.size) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariant; `&mut self` makes it unique.
        unsafe { core::slice::from_raw_parts_mut(self.area.as_ptr(), self.size) }
    }

    /// Gives components that are in their initial state (bit clear in `XSTATE_BV`) their initial bytes, as user space that
    /// reads the image expects, since XSAVEOPT leaves what was there before.
    pub(crate) fn write_out_init_components(&mut self) {
        if xfeatures() == 0 {
            return;
        }
        let present = read_u64(self.bytes(), XSTATE_BV_AT);
        let bytes = self.bytes_mut();
        if present & 1 == 0 {
            fill(bytes, 0, MXCSR_AT);
            put(bytes, 0, &FCW_DEFAULT.to_le_bytes());
            fill(bytes, 32, 128);
        }
        if present & 2 == 0 {
            fill(bytes, 160, 256);
        }
        if present & 0b110 == 0 {
            put(bytes, MXCSR_AT, &MXCSR_DEFAULT.to_le_bytes());
        }
        for component in 2..64u32 {
            if xfeatures() & (1 << component) != 0 && present & (1 << component) == 0 {
                let leaf = x86_cpu::cpuid::cpuid(0xd, component);
                fill(bytes, leaf.ebx as usize, leaf.eax as usize);
            }
        }
        put(bytes, XSTATE_BV_AT, &(present | XFEATURES_LEGACY).to_le_bytes());
    }
}

impl Drop for FpuState {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::from_size_align(self.size, 64) {
            // SAFETY: Allocated in `new` with this layout, and owned.
            unsafe { dealloc(self.area.as_ptr(), layout) };
        }
    }
}
