// SPDX-License-Identifier: GPL-2.0
//! A PCI device's memory and its configuration space.

use super::Device;
use crate::device::Bound;
use crate::devres::DevresLt;
use crate::error::{Result, code::*};
use crate::io::{IoBase, IoCapable, Mmio, MmioBackend, MmioRaw, Region, io_backend};
use crate::types::covariant_by_lifetime;
use ::pci::{BarClaim, PciDevice};
use core::ffi::CStr;
use kalloc::Arc;
use mm_alloc::MmioRegion;
use x86::pci_config::{read8, read16, read32, write8, write16, write32};

/// The memory behind a base address register: at least `SIZE` bytes of it, mapped as long as this is there.
///
/// # Invariants
/// `raw` is `_region`, which has at least `SIZE` bytes.
pub struct Bar<'a, const SIZE: usize = 0> {
    raw: MmioRaw<Region<SIZE>>,
    /// Holds the mapping.
    _region: MmioRegion,
    device: &'a Device<Bound>,
    /// Given back after the region is unmapped.
    _claim: BarClaim,
}

/// A [`Bar`] that may be kept longer than the driver is bound, but not used ([`Bar::into_devres`]).
pub type DevresBar<const SIZE: usize = 0> = DevresLt<Bar<'static, SIZE>>;

covariant_by_lifetime!(Bar<'_, const SIZE: usize>);

impl<const SIZE: usize> Bar<'_, SIZE> {
    /// Gives the mapping to the device's care: it can be kept in a driver's data, and goes when the driver is unbound. `ENOMEM`.
    /// May sleep.
    pub fn into_devres(self) -> Result<DevresBar<SIZE>> {
        let device = self.device.as_ref();
        // SAFETY: What it borrows is the device as one that a driver is bound to, which it is until it is revoked.
        unsafe { DevresLt::new(device, self) }
    }
}

impl<'a, const SIZE: usize> IoBase<'a> for &'a Bar<'_, SIZE> {
    type Backend = MmioBackend;
    type Target = Region<SIZE>;

    #[inline]
    fn as_view(self) -> Mmio<'a, Region<SIZE>> {
        // SAFETY: By the type invariant it is mapped as long as this is there, which is longer than the reference.
        unsafe { Mmio::from_raw(self.raw) }
    }
}

/// How large a configuration space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ConfigSpaceSize {
    /// The standard 256 bytes.
    Normal = 256,
    /// The 4096 of PCI Express.
    Extended = 4096,
}

impl ConfigSpaceSize {
    /// The bytes.
    pub const fn into_raw(self) -> usize {
        self as usize
    }
}

/// What [`Device::config_space`] is a view of.
pub type Normal = Region<256>;
/// What [`Device::config_space_extended`] is a view of.
pub type Extended = Region<4096>;

/// A view of a device's configuration space; its accesses are 1, 2 or 4 bytes wide.
///
/// # Invariants
/// The pointer is an offset in the configuration space, and says how much of it this is.
pub struct ConfigSpace<'a, T: ?Sized = Extended> {
    function: Option<&'a PciDevice>,
    place: *mut T,
}

// SAFETY: The pointer is a number.
unsafe impl<T: ?Sized + Sync> Send for ConfigSpace<'_, T> {}
// SAFETY: As above.
unsafe impl<T: ?Sized + Sync> Sync for ConfigSpace<'_, T> {}

impl<'a, const SIZE: usize> ConfigSpace<'a, Region<SIZE>> {
    /// The first `SIZE` bytes of a device's.
    fn new(function: Option<&'a PciDevice>) -> Self {
        Self { function, place: Region::ptr_from_raw_parts_mut(core::ptr::null_mut(), SIZE) }
    }
}

io_backend! {
    /// How [`ConfigSpace`] is reached.
    pub struct ConfigSpaceBackend of ConfigSpace;
    |view| view.place;
    |view, part| ConfigSpace { function: view.function, place: part };
}

macro_rules! accesses {
    ($($ty:ident $read:ident $write:ident;)*) => { $(
        impl IoCapable<$ty> for ConfigSpaceBackend {
            fn io_read(view: ConfigSpace<'_, $ty>) -> $ty {
                view.function.map_or(!0, |function| $read(function.address, view.place.addr() as u16))
            }

            fn io_write(view: ConfigSpace<'_, $ty>, value: $ty) {
                if let Some(function) = view.function {
                    $write(function.address, view.place.addr() as u16, value);
                }
            }
        }
    )* };
}
accesses! { u8 read8 write8; u16 read16 write16; u32 read32 write32; }

impl Device<Bound> {
    /// Maps the memory behind base address register `bar`, which has at least `SIZE` bytes. `EINVAL`, `EBUSY` (somebody has it),
    /// `ENOMEM` (nothing is there, or no memory). May sleep. `name` is whose it is in Linux's `/proc/iomem`, a file that is not there.
    pub fn iomap_region_sized<const SIZE: usize>(&self, bar: u32, name: &'static CStr) -> Result<Bar<'_, SIZE>> {
        let _ = name;
        if self.resource_len(bar)? == 0 {
            return Err(ENOMEM);
        }
        let function = self.as_ref().core().info::<Arc<PciDevice>>().ok_or(ENODEV)?;
        let claim = PciDevice::claim_bar(function, bar as usize)?;
        let region = function.map_bar(bar as usize)?;
        // Whole words of it: no part of a bus is narrower.
        let raw = MmioRaw::new_region(region.virt(), region.len() & !3)?;
        Ok(Bar { raw, _region: region, device: self, _claim: claim })
    }

    /// As [`Self::iomap_region_sized`], of any size.
    pub fn iomap_region(&self, bar: u32, name: &'static CStr) -> Result<Bar<'_>> {
        self.iomap_region_sized::<0>(bar, name)
    }

    /// The size of its configuration space.
    pub fn cfg_size(&self) -> ConfigSpaceSize {
        match self.function().map(PciDevice::config_size) {
            Ok(4096) => ConfigSpaceSize::Extended,
            _ => ConfigSpaceSize::Normal,
        }
    }

    /// The standard bytes of its configuration space.
    pub fn config_space(&self) -> ConfigSpace<'_, Normal> {
        ConfigSpace::new(self.function().ok())
    }

    /// All of its configuration space. `EINVAL` if it has the standard bytes alone.
    pub fn config_space_extended(&self) -> Result<ConfigSpace<'_, Extended>> {
        if self.cfg_size() != ConfigSpaceSize::Extended {
            return Err(EINVAL);
        }
        Ok(ConfigSpace::new(self.function().ok()))
    }
}
