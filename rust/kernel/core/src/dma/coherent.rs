// SPDX-License-Identifier: GPL-2.0
//! Memory that the CPU and a device see alike.

use super::{Attrs, CoherentView, DmaAddress};
use crate::device::{self, Bound};
use crate::error::{Error, Result, code::*};
use crate::io::{IoBase, SysMem};
use crate::ptr::KnownSize;
use crate::sync::aref::ARef;
use crate::transmute::{AsBytes, FromBytes};
use crate::uaccess::SharedBytes;
use core::ptr::NonNull;
use kalloc::Flags;
use kernel_base::dma::zone_of;
use mm_alloc::dma::DmaBuffer;
use mm_alloc::{PAGE_SIZE, memblock};
use pin_init::Init;

/// Physically contiguous memory from a page boundary on, which the device reaches.
struct Memory {
    buffer: DmaBuffer,
    _device: ARef<device::Device>,
}

impl Memory {
    /// `size` bytes that are zero. `ENOMEM`.
    fn zeroed(dev: &device::Device<Bound>, size: usize, flags: Flags) -> Result<Self> {
        let zone = zone_of(dev.core().coherent_dma_mask(), memblock::end()).ok_or(ENOMEM)?;
        let buffer = DmaBuffer::new(size, false, flags | zone).map_err(|_| ENOMEM)?;
        Ok(Self { buffer, _device: dev.into() })
    }
}

/// Memory that the CPU and a device see alike: one `T`, or a slice. It is accessed like a device's (`kernel::io::Io`), as the
/// device may change it at any time.
///
/// # Invariants
/// `value` is in `memory`, and every byte of it has been written.
pub struct Coherent<T: KnownSize + ?Sized> {
    value: NonNull<T>,
    memory: Memory,
}

// SAFETY: It owns its memory, whose contents are plain bytes.
unsafe impl<T: KnownSize + ?Sized + Send> Send for Coherent<T> {}
// SAFETY: The contents are reached by accesses of their own alone, as a device's registers are.
unsafe impl<T: KnownSize + ?Sized + AsBytes + FromBytes + Sync> Sync for Coherent<T> {}

impl<T: AsBytes + FromBytes> Coherent<T> {
    /// A value whose bytes are zero. `ENOMEM`; `EINVAL` if it has none.
    #[inline]
    pub fn zeroed(dev: &device::Device<Bound>, gfp_flags: Flags) -> Result<Self> {
        Self::zeroed_with_attrs(dev, gfp_flags, Attrs::NONE)
    }

    /// As [`Self::zeroed`].
    pub fn zeroed_with_attrs(dev: &device::Device<Bound>, gfp_flags: Flags, dma_attrs: Attrs) -> Result<Self> {
        let _ = dma_attrs;
        const { assert!(align_of::<T>() <= PAGE_SIZE, "the alignment is too large") };
        if size_of::<T>() == 0 {
            return Err(EINVAL);
        }
        let memory = Memory::zeroed(dev, size_of::<T>(), gfp_flags)?;
        Ok(Self { value: memory.buffer.as_ptr().cast(), memory })
    }

    /// A value that `init` makes there. `ENOMEM`, or what `init` fails with.
    #[inline]
    pub fn init<E>(dev: &device::Device<Bound>, gfp_flags: Flags, init: impl Init<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        Self::init_with_attrs(dev, gfp_flags, Attrs::NONE, init)
    }

    /// As [`Self::init`].
    pub fn init_with_attrs<E>(
        dev: &device::Device<Bound>,
        gfp_flags: Flags,
        dma_attrs: Attrs,
        init: impl Init<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let memory = Self::zeroed_with_attrs(dev, gfp_flags, dma_attrs)?;
        // SAFETY: Memory for a `T` that nobody else knows; plain bytes need no drop if it fails half-way.
        unsafe { init.__init(memory.value.as_ptr())? };
        Ok(memory)
    }

    /// `len` values whose bytes are zero. `EINVAL` for none, `ENOMEM`.
    #[inline]
    pub fn zeroed_slice(dev: &device::Device<Bound>, len: usize, gfp_flags: Flags) -> Result<Coherent<[T]>> {
        Self::zeroed_slice_with_attrs(dev, len, gfp_flags, Attrs::NONE)
    }

    /// As [`Self::zeroed_slice`].
    pub fn zeroed_slice_with_attrs(
        dev: &device::Device<Bound>,
        len: usize,
        gfp_flags: Flags,
        dma_attrs: Attrs,
    ) -> Result<Coherent<[T]>> {
        let _ = dma_attrs;
        const { assert!(align_of::<T>() <= PAGE_SIZE, "the alignment is too large") };
        let size = len.checked_mul(size_of::<T>()).ok_or(ENOMEM)?;
        if size == 0 {
            return Err(EINVAL);
        }
        let memory = Memory::zeroed(dev, size, gfp_flags)?;
        Ok(Coherent { value: NonNull::slice_from_raw_parts(memory.buffer.as_ptr().cast(), len), memory })
    }

    /// A copy of `data`. `EINVAL` if that is empty, `ENOMEM`.
    #[inline]
    pub fn from_slice(dev: &device::Device<Bound>, data: &[T], gfp_flags: Flags) -> Result<Coherent<[T]>>
    where
        T: Copy,
    {
        Self::from_slice_with_attrs(dev, data, gfp_flags, Attrs::NONE)
    }

    /// As [`Self::from_slice`].
    pub fn from_slice_with_attrs(
        dev: &device::Device<Bound>,
        data: &[T],
        gfp_flags: Flags,
        dma_attrs: Attrs,
    ) -> Result<Coherent<[T]>>
    where
        T: Copy,
    {
        let memory = Self::zeroed_slice_with_attrs(dev, data.len(), gfp_flags, dma_attrs)?;
        // SAFETY: As many values; nobody else knows the memory.
        unsafe { memory.value.cast::<T>().as_ptr().copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(memory)
    }
}

impl<T> Coherent<[T]> {
    /// How many values there are: at least one.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.value.len()
    }
}

impl<T: KnownSize + ?Sized> Coherent<T> {
    /// Its bytes.
    #[inline]
    pub fn size(&self) -> usize {
        T::size(self.value.as_ptr())
    }

    /// Where the device sees it.
    #[inline]
    pub fn dma_address(&self) -> DmaAddress {
        self.memory.buffer.bus_addr()
    }

    /// Its address.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.value.as_ptr()
    }

    /// Its address, to write to.
    #[inline]
    pub fn as_mut_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }

    /// The value.
    ///
    /// # Safety
    /// Neither the device nor anybody else writes to it as long as the reference is there.
    #[inline]
    pub unsafe fn as_ref(&self) -> &T {
        // SAFETY: By the type invariant, and the caller's contract.
        unsafe { self.value.as_ref() }
    }

    /// The value, to change it.
    ///
    /// # Safety
    /// Neither the device nor anybody else accesses it as long as the reference is there.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the caller sees to it")]
    pub unsafe fn as_mut(&self) -> &mut T {
        // SAFETY: By the type invariant, and the caller's contract.
        unsafe { &mut *self.value.as_ptr() }
    }
}

impl<T: KnownSize + AsBytes + ?Sized> SharedBytes for Coherent<T> {
    fn count(&self) -> usize {
        self.size()
    }

    fn copy_out(&self, at: usize, to: &mut [u8]) -> Result {
        if at.checked_add(to.len()).is_none_or(|end| end > self.size()) {
            return Err(ERANGE);
        }
        let bytes = self.as_ptr().cast::<u8>();
        for (i, byte) in to.iter_mut().enumerate() {
            // SAFETY: In bounds of the memory, which is there as long as this is.
            *byte = unsafe { bytes.add(at + i).read_volatile() };
        }
        Ok(())
    }
}

impl<'a, T: KnownSize + ?Sized> IoBase<'a> for &'a Coherent<T> {
    type Backend = super::CoherentIoBackend;
    type Target = T;

    #[inline]
    fn as_view(self) -> CoherentView<'a, T> {
        // SAFETY: By the type invariant the memory is there as long as this is.
        CoherentView::new(unsafe { SysMem::new(self.value.as_ptr()) }, self.memory.buffer.bus_addr())
    }
}

/// Memory for a device alone: the kernel does not look into it.
pub struct CoherentHandle(Memory);

impl CoherentHandle {
    /// `size` bytes. `EINVAL` for none, `ENOMEM`.
    #[inline]
    pub fn alloc(dev: &device::Device<Bound>, size: usize, gfp_flags: Flags) -> Result<Self> {
        Self::alloc_with_attrs(dev, size, gfp_flags, Attrs::NONE)
    }

    /// As [`Self::alloc`].
    pub fn alloc_with_attrs(
        dev: &device::Device<Bound>,
        size: usize,
        gfp_flags: Flags,
        dma_attrs: Attrs,
    ) -> Result<Self> {
        let _ = dma_attrs;
        if size == 0 {
            return Err(EINVAL);
        }
        Memory::zeroed(dev, size, gfp_flags).map(Self)
    }

    /// Where the device sees it.
    #[inline]
    pub fn dma_address(&self) -> DmaAddress {
        self.0.buffer.bus_addr()
    }

    /// Its bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.0.buffer.len()
    }
}
