// SPDX-License-Identifier: GPL-2.0
//! Ids of PCI devices. Numbers are those of the PCI ID repository and of the PCI Code and ID Assignment Specification.

use crate::device_id::{Alias, RawDeviceId, RawDeviceIdIndex};
use crate::error::{Error, Result, code::EINVAL};
use ::pci::bus::{ANY, Id};
use core::fmt;

/// A vendor.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Vendor(u16);

macro_rules! vendors {
    ($($name:ident = $value:literal;)*) => {
        impl Vendor {
            $(
                #[allow(missing_docs, reason = "the name says it")]
                pub const $name: Self = Self($value);
            )*
        }
    };
}
vendors! {
    AMD = 0x1022; ATI = 0x1002; BROADCOM = 0x14e4; INTEL = 0x8086; MARVELL = 0x11ab; MELLANOX = 0x15b3; NVIDIA = 0x10de;
    QEMU = 0x1234; QUALCOMM = 0x17cb; REALTEK = 0x10ec; REDHAT = 0x1b36; REDHAT_QUMRANET = 0x1af4; SAMSUNG = 0x144d;
    VMWARE = 0x15ad; XILINX = 0x10ee;
}

impl Vendor {
    /// The vendor of this number.
    #[doc(hidden)]
    pub const fn from_raw(value: u16) -> Self {
        Self(value)
    }

    /// Its number.
    pub const fn as_raw(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.0)
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Class, subclass and programming interface.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Class(u32);

macro_rules! classes {
    ($($name:ident = $value:literal;)*) => {
        impl Class {
            $(
                #[allow(missing_docs, reason = "the name says it")]
                pub const $name: Self = Self($value << 8);
            )*
        }
    };
}
classes! {
    STORAGE_SCSI = 0x0100; STORAGE_IDE = 0x0101; STORAGE_RAID = 0x0104; NETWORK_ETHERNET = 0x0200; DISPLAY_VGA = 0x0300;
    DISPLAY_3D = 0x0302; MULTIMEDIA_AUDIO = 0x0401; BRIDGE_HOST = 0x0600; BRIDGE_ISA = 0x0601; BRIDGE_PCI = 0x0604;
    COMMUNICATION_SERIAL = 0x0700; SYSTEM_OTHER = 0x0880; SERIAL_SMBUS = 0x0c05;
}

impl Class {
    /// The class of these 24 bits.
    #[doc(hidden)]
    pub const fn from_raw(value: u32) -> Self {
        Self(value)
    }

    /// Its 24 bits.
    pub const fn as_raw(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:06x}", self.0)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Which bits of a class count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassMask {
    /// All.
    Full,
    /// Class and subclass.
    ClassSubclass,
}

impl TryFrom<u32> for ClassMask {
    type Error = Error;

    fn try_from(bits: u32) -> Result<Self> {
        match bits {
            0xff_ffff => Ok(Self::Full),
            0xff_ff00 => Ok(Self::ClassSubclass),
            _ => Err(EINVAL),
        }
    }
}

impl ClassMask {
    /// The bits.
    pub const fn as_raw(self) -> u32 {
        match self {
            Self::Full => 0xff_ffff,
            Self::ClassSubclass => 0xff_ff00,
        }
    }
}

/// An id that a driver serves.
#[derive(Clone, Copy)]
pub struct DeviceId(Id);

impl RawDeviceId for DeviceId {}
impl RawDeviceIdIndex for DeviceId {}

/// A table.
pub type IdTable<T> = &'static dyn crate::device_id::IdTable<DeviceId, T>;

impl DeviceId {
    /// This device of this vendor.
    pub const fn from_id(vendor: Vendor, device: u32) -> Self {
        let vendor = vendor.0 as u32;
        Self(Id { vendor, device, subvendor: ANY, subdevice: ANY, class: 0, class_mask: 0 })
    }

    /// Any device of this class.
    pub const fn from_class(class: u32, class_mask: u32) -> Self {
        Self(Id { vendor: ANY, device: ANY, subvendor: ANY, subdevice: ANY, class, class_mask })
    }

    /// Devices of this class and vendor.
    pub const fn from_class_and_vendor(class: Class, class_mask: ClassMask, vendor: Vendor) -> Self {
        let mut id = Self::from_class(class.0, class_mask.as_raw());
        id.0.vendor = vendor.0 as u32;
        id
    }

    /// As the bus has it.
    #[doc(hidden)]
    pub fn as_raw(&self) -> &Id {
        &self.0
    }

    #[doc(hidden)]
    pub const fn alias(&self) -> Alias {
        let Id { vendor, device, subvendor, subdevice, class, class_mask } = self.0;
        let (base, sub, interface) = (class_mask >> 16 & 0xff, class_mask >> 8 & 0xff, class_mask & 0xff);
        Alias::new()
            .text(b"pci:v")
            .hex(vendor, 8, vendor == ANY)
            .text(b"d")
            .hex(device, 8, device == ANY)
            .text(b"sv")
            .hex(subvendor, 8, subvendor == ANY)
            .text(b"sd")
            .hex(subdevice, 8, subdevice == ANY)
            .text(b"bc")
            .hex(class >> 16 & 0xff, 2, base != 0xff)
            .text(b"sc")
            .hex(class >> 8 & 0xff, 2, sub != 0xff)
            .text(b"i")
            .hex(class & 0xff, 2, interface != 0xff)
            .text(b"*")
    }
}
