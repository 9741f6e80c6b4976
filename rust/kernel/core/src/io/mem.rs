// SPDX-License-Identifier: GPL-2.0
//! A device's memory by the [`Resource`] that says where it is: `kernel::io::mem`.

use super::resource::{Flags, Region, Resource};
use super::{IoBase, Mmio, MmioBackend, MmioRaw};
use crate::device::{Bound, Device};
use crate::devres::DevresLt;
use crate::error::{Result, code::*};
use crate::str::CString;
use crate::types::covariant_by_lifetime;
use mm_alloc::MmioRegion;

/// A device's wish for one of its resources.
pub struct IoRequest<'a> {
    device: &'a Device<Bound>,
    resource: Resource,
}

impl<'a> IoRequest<'a> {
    /// The wish for `resource`, which is one of `device`'s.
    pub(crate) fn new(device: &'a Device<Bound>, resource: Resource) -> Self {
        Self { device, resource }
    }

    /// Maps it; `SIZE` bytes at least. `EINVAL` if there are fewer or it is no memory, `ENOMEM`. May sleep.
    pub fn iomap_sized<const SIZE: usize>(self) -> Result<IoMem<'a, SIZE>> {
        IoMem::map(self.device, &self.resource)
    }

    /// As [`Self::iomap_sized`], and nobody else can request it meanwhile. `EBUSY` if somebody has.
    pub fn iomap_exclusive_sized<const SIZE: usize>(self) -> Result<ExclusiveIoMem<'a, SIZE>> {
        let name = self.resource.name().unwrap_or(c"");
        let name = CString::try_from(name)?;
        let (start, size) = (self.resource.start(), self.resource.size());
        let region = self.resource.request_region(start, size, name, self.resource.flags()).ok_or(EBUSY)?;
        Ok(ExclusiveIoMem { memory: self.iomap_sized()?, _region: region })
    }

    /// As [`Self::iomap_sized`], of any size.
    pub fn iomap(self) -> Result<IoMem<'a>> {
        self.iomap_sized()
    }

    /// As [`Self::iomap_exclusive_sized`], of any size.
    pub fn iomap_exclusive(self) -> Result<ExclusiveIoMem<'a, 0>> {
        self.iomap_exclusive_sized()
    }
}

/// A device's memory, mapped as long as this is there.
///
/// # Invariants
/// `raw` is `_region`, which has at least `SIZE` bytes.
pub struct IoMem<'a, const SIZE: usize = 0> {
    raw: MmioRaw<super::Region<SIZE>>,
    _region: MmioRegion,
    device: &'a Device<Bound>,
}

/// An [`IoMem`] that may be kept longer than the driver is bound, but not used.
pub type DevresIoMem<const SIZE: usize = 0> = DevresLt<IoMem<'static, SIZE>>;

covariant_by_lifetime!(IoMem<'_, const SIZE: usize>);

impl<'a, const SIZE: usize> IoMem<'a, SIZE> {
    fn map(device: &'a Device<Bound>, resource: &Resource) -> Result<Self> {
        if !resource.flags().contains(Flags::IORESOURCE_MEM) {
            return Err(EINVAL);
        }
        let size = usize::try_from(resource.size())?;
        let region = MmioRegion::map(resource.start(), size)?;
        Ok(Self { raw: MmioRaw::new_region(region.virt(), size & !3)?, _region: region, device })
    }

    /// Gives the mapping to the device's care: it can be kept in a driver's data, and goes when the driver is unbound. `ENOMEM`.
    /// May sleep.
    pub fn into_devres(self) -> Result<DevresIoMem<SIZE>> {
        let device = self.device;
        // SAFETY: What it borrows is the device as one that a driver is bound to, which it is until it is revoked.
        unsafe { DevresLt::new(device, self) }
    }
}

impl<'a, const SIZE: usize> IoBase<'a> for &'a IoMem<'_, SIZE> {
    type Backend = MmioBackend;
    type Target = super::Region<SIZE>;

    #[inline]
    fn as_view(self) -> Mmio<'a, super::Region<SIZE>> {
        // SAFETY: By the type invariant it is mapped as long as this is there, which is longer than the reference.
        unsafe { Mmio::from_raw(self.raw) }
    }
}

/// An [`IoMem`] that nobody else can request meanwhile.
pub struct ExclusiveIoMem<'a, const SIZE: usize> {
    memory: IoMem<'a, SIZE>,
    _region: Region,
}

/// An [`ExclusiveIoMem`] that may be kept longer than the driver is bound, but not used.
pub type DevresExclusiveIoMem<const SIZE: usize> = DevresLt<ExclusiveIoMem<'static, SIZE>>;

covariant_by_lifetime!(ExclusiveIoMem<'_, const SIZE: usize>);

impl<const SIZE: usize> ExclusiveIoMem<'_, SIZE> {
    /// As [`IoMem::into_devres`].
    pub fn into_devres(self) -> Result<DevresExclusiveIoMem<SIZE>> {
        let device = self.memory.device;
        // SAFETY: As there.
        unsafe { DevresLt::new(device, self) }
    }
}

impl<'a, const SIZE: usize> IoBase<'a> for &'a ExclusiveIoMem<'_, SIZE> {
    type Backend = MmioBackend;
    type Target = super::Region<SIZE>;

    #[inline]
    fn as_view(self) -> Mmio<'a, super::Region<SIZE>> {
        self.memory.as_view()
    }
}
