// SPDX-License-Identifier: GPL-2.0
//! `CoherentBox`: memory for a device that the device has not been told of yet.

use super::{Attrs, Coherent};
use crate::device::{self, Bound};
use crate::error::{Error, Result, code::EINVAL};
use crate::ptr::KnownSize;
use crate::transmute::{AsBytes, FromBytes};
use core::ops::{Deref, DerefMut};
use kalloc::Flags;
use pin_init::Init;

/// A [`Coherent`] that is still the CPU's alone, so that it can be filled by references; it becomes one by `into`.
///
/// ```
/// use kernel::device::{Bound, Device};
/// use kernel::dma::{Coherent, CoherentBox};
///
/// fn table(dev: &Device<Bound>) -> Result<Coherent<[u32]>> {
///     let mut table = CoherentBox::<[u32]>::zeroed_slice(dev, 256, GFP_KERNEL)?;
///     for (i, entry) in table.iter_mut().enumerate() {
///         *entry = i as u32;
///     }
///     Ok(table.into())
/// }
/// ```
///
/// # Invariants
/// Nobody else knows its address.
pub struct CoherentBox<T: KnownSize + ?Sized>(Coherent<T>);

impl<T: AsBytes + FromBytes> CoherentBox<[T]> {
    /// `count` values whose bytes are zero. `EINVAL` for none, `ENOMEM`.
    #[inline]
    pub fn zeroed_slice(dev: &device::Device<Bound>, count: usize, gfp_flags: Flags) -> Result<Self> {
        Coherent::zeroed_slice(dev, count, gfp_flags).map(Self)
    }

    /// As [`Self::zeroed_slice`].
    #[inline]
    pub fn zeroed_slice_with_attrs(
        dev: &device::Device<Bound>,
        count: usize,
        gfp_flags: Flags,
        dma_attrs: Attrs,
    ) -> Result<Self> {
        Coherent::zeroed_slice_with_attrs(dev, count, gfp_flags, dma_attrs).map(Self)
    }

    /// A copy of `data`. `EINVAL` if that is empty, `ENOMEM`.
    #[inline]
    pub fn from_slice(dev: &device::Device<Bound>, data: &[T], gfp_flags: Flags) -> Result<Self>
    where
        T: Copy,
    {
        Coherent::from_slice(dev, data, gfp_flags).map(Self)
    }

    /// As [`Self::from_slice`].
    #[inline]
    pub fn from_slice_with_attrs(
        dev: &device::Device<Bound>,
        data: &[T],
        gfp_flags: Flags,
        dma_attrs: Attrs,
    ) -> Result<Self>
    where
        T: Copy,
    {
        Coherent::from_slice_with_attrs(dev, data, gfp_flags, dma_attrs).map(Self)
    }

    /// Makes the value at `index` anew. `EINVAL` if there is none, or what `init` fails with.
    pub fn init_at<E>(&mut self, index: usize, init: impl Init<T, E>) -> Result
    where
        Error: From<E>,
    {
        let slot: *mut T = self.get_mut(index).ok_or(EINVAL)?;
        // SAFETY: Memory of a `T` that is ours; what was there is plain bytes, and so is what a failure leaves.
        unsafe { init.__init(slot)? };
        Ok(())
    }
}

impl<T: AsBytes + FromBytes> CoherentBox<T> {
    /// A value whose bytes are zero. `ENOMEM`; `EINVAL` if it has none.
    #[inline]
    pub fn zeroed(dev: &device::Device<Bound>, gfp_flags: Flags) -> Result<Self> {
        Coherent::zeroed(dev, gfp_flags).map(Self)
    }

    /// As [`Self::zeroed`].
    #[inline]
    pub fn zeroed_with_attrs(dev: &device::Device<Bound>, gfp_flags: Flags, dma_attrs: Attrs) -> Result<Self> {
        Coherent::zeroed_with_attrs(dev, gfp_flags, dma_attrs).map(Self)
    }
}

impl<T: KnownSize + ?Sized> Deref for CoherentBox<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariant nobody else accesses it.
        unsafe { self.0.as_ref() }
    }
}

impl<T: AsBytes + FromBytes + KnownSize + ?Sized> DerefMut for CoherentBox<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above.
        unsafe { self.0.as_mut() }
    }
}

impl<T: AsBytes + FromBytes + KnownSize + ?Sized> From<CoherentBox<T>> for Coherent<T> {
    #[inline]
    fn from(own: CoherentBox<T>) -> Self {
        own.0
    }
}
