// SPDX-License-Identifier: GPL-2.0
//! `FpuState`: one thread's save area.

use crate::insn::{self, FCW_DEFAULT, MXCSR_DEFAULT};
use crate::{XFEATURES_LEGACY, area_size, pkru_at, saved, xstate_size};
use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use core::ptr::NonNull;
use errno::{Result, code::ENOMEM};
use x86_cpu::pkru;
use x86_defs::xstate::{XFEATURE_PKRU, fill};

pub(crate) use x86_defs::xstate::{MXCSR_AT, XSTATE_BV_AT, put, read_u64};

/// A user thread's FPU registers while they are not in a CPU.
///
/// # Invariants
/// `area` is an allocation of `size` bytes, 64-byte aligned, owned by this value, and always a valid image for
/// XRSTOR/FXRSTOR on this machine.
pub struct FpuState {
    area: NonNull<u8>,
    size: usize,
    /// PKRU while the thread does not run.
    pkru: u32,
}

/// For the room between components in images.
static ZEROS: [u8; 256] = [0; 256];

// SAFETY: The area is plain owned memory.
unsafe impl Send for FpuState {}
// SAFETY: `&FpuState` only reads the area.
unsafe impl Sync for FpuState {}

impl FpuState {
    /// An area with the registers' initial values (a new program's). Fails with ENOMEM. May be called in atomic context as
    /// far as the allocator may.
    pub fn new() -> Result<Self> {
        let size = area_size();
        let layout = Layout::from_size_align(size, 64).map_err(|_| ENOMEM)?;
        // SAFETY: The size is not zero.
        let area = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(ENOMEM)?;
        let mut state = Self { area, size, pkru: pkru::INIT };
        state.put_initial_controls();
        Ok(state)
    }

    /// A copy of the saved image (fork: the parent saves its registers first).
    pub fn try_clone(&self) -> Result<Self> {
        let layout = Layout::from_size_align(self.size, 64).map_err(|_| ENOMEM)?;
        // SAFETY: The size is not zero.
        let area = NonNull::new(unsafe { alloc(layout) }).ok_or(ENOMEM)?;
        // SAFETY: Both areas have `size` bytes, and the new one is nobody else's.
        unsafe { area.copy_from_nonoverlapping(self.area, self.size) };
        Ok(Self { area, size: self.size, pkru: self.pkru })
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
        self.pkru = pkru::INIT;
    }

    /// PKRU as it is kept here.
    #[inline(always)]
    pub fn pkru(&self) -> u32 {
        self.pkru
    }

    /// Keeps another PKRU. Where there is none it is what [`pkru::read`] gives.
    #[inline(always)]
    pub fn set_pkru(&mut self, value: u32) {
        self.pkru = value;
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
        self.pkru = other.pkru;
    }

    /// The saved image, in the processor's own format, without PKRU.
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
        if saved() == 0 {
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
            if saved() & (1 << component) != 0 && present & (1 << component) == 0 {
                let leaf = x86_cpu::cpuid::cpuid(0xd, component);
                fill(bytes, leaf.ebx as usize, leaf.eax as usize);
            }
        }
        let mut present = present & !XFEATURE_PKRU | XFEATURES_LEGACY;
        if pkru_at().is_some() && self.pkru != 0 {
            present |= XFEATURE_PKRU;
        }
        // In the save area the last bit means nothing: what is restored does not have PKRU.
        put(self.bytes_mut(), XSTATE_BV_AT, &present.to_le_bytes());
    }

    /// Passes the image of all components to `write`, part by part, each with its offset. The area was written out.
    pub(crate) fn each_part(&self, write: &mut dyn FnMut(usize, &[u8]) -> Result) -> Result {
        write(0, self.bytes())?;
        let Some(at) = pkru_at() else { return Ok(()) };
        let (mut done, end) = (self.size, xstate_size());
        while done < end {
            let part = ZEROS.get(..end - done).unwrap_or(&ZEROS);
            write(done, part)?;
            done += part.len();
        }
        write(at, &u64::from(self.pkru).to_le_bytes())
    }

    /// Takes PKRU from an image of all components, of which `present` are not in their initial state.
    pub(crate) fn take_pkru(&mut self, present: u64, read: &mut dyn FnMut(usize, &mut [u8]) -> Result) -> Result {
        let Some(at) = pkru_at() else { return Ok(()) };
        let mut value = [0; 4];
        if present & XFEATURE_PKRU != 0 {
            read(at, &mut value)?;
        }
        self.pkru = u32::from_le_bytes(value);
        Ok(())
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
