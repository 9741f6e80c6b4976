// SPDX-License-Identifier: GPL-2.0
//! A PCI device's memory and its configuration space.

use super::Device;
use crate::device::Bound;
use crate::devres::DevresLt;
use crate::error::{Result, code::*};
use crate::io::Region;
use crate::types::{CovariantForLt, ForLt};
use ::pci::{BarClaim, PciDevice};
use core::ffi::CStr;
use core::marker::PhantomData;
use kalloc::Arc;
use mm_alloc::MmioRegion;
use x86::pci_config::{read8, read16, read32, write8, write16, write32};

/// The memory behind a base address register: at least `SIZE` bytes of it, mapped as long as this is there.
///
/// # Invariants
/// The region has at least `SIZE` bytes.
pub struct Bar<'a, const SIZE: usize = 0> {
    region: MmioRegion,
    device: &'a Device<Bound>,
    /// Given back after the region is unmapped.
    _claim: BarClaim,
}

/// A [`Bar`] that may be kept longer than the driver is bound, but not used ([`Bar::into_devres`]).
pub type DevresBar<const SIZE: usize = 0> = DevresLt<Bar<'static, SIZE>>;

impl<const SIZE: usize> ForLt for Bar<'static, SIZE> {
    type Of<'a> = Bar<'a, SIZE>;
}

// SAFETY: What has the lifetime is a shared reference, so a longer one may become a shorter one.
unsafe impl<const SIZE: usize> CovariantForLt for Bar<'static, SIZE> {}

impl<const SIZE: usize> Bar<'_, SIZE> {
    /// Gives the mapping to the device's care: it can be kept in a driver's data, and goes when the driver is unbound. `ENOMEM`.
    /// May sleep.
    pub fn into_devres(self) -> Result<DevresBar<SIZE>> {
        let device = self.device.as_ref();
        // SAFETY: What it borrows is the device as one that a driver is bound to, which it is until it is revoked.
        unsafe { DevresLt::new(device, self) }
    }
}

impl<const SIZE: usize> Region for Bar<'_, SIZE> {
    const MIN_SIZE: usize = SIZE;

    fn maxsize(&self) -> usize {
        self.region.len()
    }

    fn raw_read8(&self, offset: usize) -> u8 {
        self.region.read8(offset)
    }

    fn raw_write8(&self, offset: usize, value: u8) {
        self.region.write8(offset, value);
    }

    fn raw_read16(&self, offset: usize) -> u16 {
        self.region.read16(offset)
    }

    fn raw_write16(&self, offset: usize, value: u16) {
        self.region.write16(offset, value);
    }

    fn raw_read32(&self, offset: usize) -> u32 {
        self.region.read32(offset)
    }

    fn raw_write32(&self, offset: usize, value: u32) {
        self.region.write32(offset, value);
    }

    fn raw_read64(&self, offset: usize) -> u64 {
        self.region.read64(offset)
    }

    fn raw_write64(&self, offset: usize, value: u64) {
        self.region.write64(offset, value);
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

/// The bytes of [`Device::config_space`], for [`ConfigSpace`].
pub struct Normal;
/// The bytes of [`Device::config_space_extended`], for [`ConfigSpace`].
pub struct Extended;

/// A kind of configuration space.
pub trait ConfigSpaceKind {
    /// Its size.
    const SIZE: ConfigSpaceSize;
}

impl ConfigSpaceKind for Normal {
    const SIZE: ConfigSpaceSize = ConfigSpaceSize::Normal;
}

impl ConfigSpaceKind for Extended {
    const SIZE: ConfigSpaceSize = ConfigSpaceSize::Extended;
}

/// A device's configuration space.
pub struct ConfigSpace<'a, Kind: ConfigSpaceKind = Extended> {
    function: Option<&'a PciDevice>,
    _kind: PhantomData<Kind>,
}

impl<Kind: ConfigSpaceKind> Region for ConfigSpace<'_, Kind> {
    const MIN_SIZE: usize = Kind::SIZE.into_raw();

    fn maxsize(&self) -> usize {
        Self::MIN_SIZE
    }

    fn raw_read8(&self, offset: usize) -> u8 {
        self.function.map_or(!0, |function| read8(function.address, offset as u16))
    }

    fn raw_write8(&self, offset: usize, value: u8) {
        self.function.inspect(|function| write8(function.address, offset as u16, value));
    }

    fn raw_read16(&self, offset: usize) -> u16 {
        self.function.map_or(!0, |function| read16(function.address, offset as u16))
    }

    fn raw_write16(&self, offset: usize, value: u16) {
        self.function.inspect(|function| write16(function.address, offset as u16, value));
    }

    fn raw_read32(&self, offset: usize) -> u32 {
        self.function.map_or(!0, |function| read32(function.address, offset as u16))
    }

    fn raw_write32(&self, offset: usize, value: u32) {
        self.function.inspect(|function| write32(function.address, offset as u16, value));
    }

    /// No single access is as wide.
    fn raw_read64(&self, offset: usize) -> u64 {
        u64::from(self.raw_read32(offset)) | u64::from(self.raw_read32(offset.wrapping_add(4))) << 32
    }

    fn raw_write64(&self, offset: usize, value: u64) {
        self.raw_write32(offset, value as u32);
        self.raw_write32(offset.wrapping_add(4), (value >> 32) as u32);
    }
}

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
        if region.len() < SIZE {
            return Err(EINVAL);
        }
        Ok(Bar { region, device: self, _claim: claim })
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
        ConfigSpace { function: self.function().ok(), _kind: PhantomData }
    }

    /// All of its configuration space. `EINVAL` if it has the standard bytes alone.
    pub fn config_space_extended(&self) -> Result<ConfigSpace<'_, Extended>> {
        if self.cfg_size() != ConfigSpaceSize::Extended {
            return Err(EINVAL);
        }
        Ok(ConfigSpace { function: self.function().ok(), _kind: PhantomData })
    }
}
