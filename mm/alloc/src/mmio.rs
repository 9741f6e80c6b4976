// SPDX-License-Identifier: GPL-2.0
//! `MmioRegion`: a device's registers (or firmware's tables) mapped into the kernel, with bounds-checked volatile access. Reads
//! outside give all ones and writes outside are dropped, as on a bus with nobody there. No locks.

use crate::kpt::Prot;
use crate::layout::{PAGE_MASK, PhysAddr, pages_for};
use crate::{memblock, vmalloc};
use errno::{Result, code::*};

/// Local APICs, and where messages become interrupts (Intel SDM volume 3, 11.11.1).
const INTERRUPTS: core::ops::Range<PhysAddr> = 0xfee0_0000..0xfef0_0000;

/// How a region is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cache {
    /// Device registers.
    Uncached,
    /// Frame buffers.
    WriteCombine,
    /// Memory: firmware tables.
    WriteBack,
}

/// A mapped range of physical addresses.
///
/// # Invariants
/// `virt` is mapped for `len` bytes by this value until it is dropped.
pub struct MmioRegion {
    virt: usize,
    phys: PhysAddr,
    len: usize,
}

macro_rules! access {
    ($($read:ident, $write:ident, $ty:ty;)*) => {
        $(
            /// Reads at byte `offset`; all ones if that is outside or not aligned.
            #[inline]
            pub fn $read(&self, offset: usize) -> $ty {
                match self.at::<$ty>(offset) {
                    // SAFETY: In bounds of our mapping and aligned; any bit pattern is a value.
                    Some(ptr) => unsafe { ptr.read_volatile() },
                    None => <$ty>::MAX,
                }
            }

            /// Writes at byte `offset`; does nothing if that is outside or not aligned.
            #[inline]
            pub fn $write(&self, offset: usize, value: $ty) {
                if let Some(ptr) = self.at::<$ty>(offset) {
                    // SAFETY: In bounds of our mapping and aligned; it is not the kernel's memory (checked when mapped).
                    unsafe { ptr.write_volatile(value) };
                }
            }
        )*
    };
}

impl MmioRegion {
    /// Maps device registers, uncached. EINVAL for an empty or wrapping range, or one that touches the kernel's memory
    /// or the local APICs. May be called where GFP_ATOMIC allocations may.
    pub fn map(phys: PhysAddr, len: usize) -> Result<Self> {
        Self::map_with(phys, len, Cache::Uncached)
    }

    /// Maps with the given cache mode.
    pub fn map_with(phys: PhysAddr, len: usize, cache: Cache) -> Result<Self> {
        if phys < INTERRUPTS.end && phys.saturating_add(len as u64) > INTERRUPTS.start {
            return Err(EINVAL);
        }
        Self::map_any(phys, len, cache)
    }

    /// Maps the registers of local APICs, which [`Self::map`] does not.
    ///
    /// # Safety
    /// Nothing is written there that makes a CPU start anew, or raise an exception.
    pub unsafe fn map_local_apic(phys: PhysAddr, len: usize) -> Result<Self> {
        Self::map_any(phys, len, Cache::Uncached)
    }

    fn map_any(phys: PhysAddr, len: usize, cache: Cache) -> Result<Self> {
        let last = phys.checked_add(len as u64).and_then(|e| e.checked_sub(1)).ok_or(EINVAL)?;
        if len == 0 || last >> x86_cpu::cpuid::features().phys_bits != 0 || memblock::is_kernel_memory(phys, last) {
            return Err(EINVAL);
        }
        let prot = match cache {
            Cache::Uncached => Prot::UNCACHED,
            Cache::WriteCombine => Prot::WRITE_COMBINE,
            Cache::WriteBack => Prot::RW,
        };
        let offset = phys as usize & !PAGE_MASK;
        // SAFETY: The range is not memory that the kernel hands out, so no mapping of it changes a Rust object.
        let start = unsafe { vmalloc::map_phys(phys & PAGE_MASK as u64, pages_for(offset + len), prot)? };
        Ok(Self { virt: start + offset, phys, len })
    }

    /// Maps firmware's tables (ACPI, SMBIOS) for reading, cached.
    pub fn map_table(phys: PhysAddr, len: usize) -> Result<Self> {
        Self::map_with(phys, len, Cache::WriteBack)
    }

    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        let addr = self.virt + offset;
        (end <= self.len && addr.is_multiple_of(align_of::<T>())).then(|| core::ptr::with_exposed_provenance_mut(addr))
    }

    access! {
        read8, write8, u8;
        read16, write16, u16;
        read32, write32, u32;
        read64, write64, u64;
    }

    /// Copies bytes out, one at a time. EINVAL if that is outside.
    pub fn read_bytes(&self, offset: usize, to: &mut [u8]) -> Result {
        if offset.checked_add(to.len()).is_none_or(|end| end > self.len) {
            return Err(EINVAL);
        }
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.read8(offset + i);
        }
        Ok(())
    }

    /// Bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the region is empty (it never is).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Physical address of the first byte.
    pub fn phys(&self) -> PhysAddr {
        self.phys
    }

    /// Gives the mapping up to the caller, by its address: [`Self::unmap`] takes it back, else it stays for ever.
    pub fn into_virt(self) -> usize {
        let virt = self.virt;
        core::mem::forget(self);
        virt
    }

    /// Takes a mapping back.
    ///
    /// # Safety
    /// `virt` came from [`Self::into_virt`], and nobody uses the mapping any more.
    pub unsafe fn unmap(virt: usize) {
        // SAFETY: By the caller's contract this is the start of a mapping that is his; its length is the area's.
        unsafe { vmalloc::unmap_area(virt & PAGE_MASK) };
    }

    /// Kernel address of the first byte, for drivers at level 1.
    pub fn virt(&self) -> usize {
        self.virt
    }
}

impl Drop for MmioRegion {
    fn drop(&mut self) {
        let offset = self.virt & !PAGE_MASK;
        // SAFETY: By the type invariant this is our mapping, and nobody borrows it any more.
        unsafe { vmalloc::unmap_phys(self.virt & PAGE_MASK, pages_for(offset + self.len)) };
    }
}
