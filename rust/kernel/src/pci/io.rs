// SPDX-License-Identifier: GPL-2.0
//! A PCI device's memory and its configuration space.

use super::Device;
use crate::device::Bound;
use crate::error::{Result, code::*};
use crate::io::Region;
use ::pci::PciDevice;
use core::ffi::CStr;
use core::marker::PhantomData;
use mm_alloc::MmioRegion;
use x86::pci_config::{read8, read16, read32, write8, write16, write32};

/// The memory behind a base address register: at least `SIZE` bytes of it, mapped as long as this is there.
///
/// # Invariants
/// The region has at least `SIZE` bytes.
pub struct Bar<'a, const SIZE: usize = 0> {
    region: MmioRegion,
    _device: PhantomData<&'a Device<Bound>>,
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

/// A device's configuration space: its 256 standard bytes.
pub struct ConfigSpace<'a> {
    function: Option<&'a PciDevice>,
}

impl Region for ConfigSpace<'_> {
    const MIN_SIZE: usize = 256;

    fn maxsize(&self) -> usize {
        256
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
    /// Maps the memory behind base address register `bar`, which has at least `SIZE` bytes. `EINVAL`, `ENOMEM`. May sleep.
    /// `name` is whose it is in Linux's `/proc/iomem`, a file that is not there.
    pub fn iomap_region_sized<const SIZE: usize>(&self, bar: u32, name: &'static CStr) -> Result<Bar<'_, SIZE>> {
        let _ = name;
        let region = self.function()?.map_bar(bar as usize)?;
        if region.len() < SIZE {
            return Err(EINVAL);
        }
        Ok(Bar { region, _device: PhantomData })
    }

    /// As [`Self::iomap_region_sized`], of any size.
    pub fn iomap_region(&self, bar: u32, name: &'static CStr) -> Result<Bar<'_>> {
        self.iomap_region_sized::<0>(bar, name)
    }

    /// Its configuration space.
    pub fn config_space(&self) -> ConfigSpace<'_> {
        ConfigSpace { function: self.function().ok() }
    }
}
