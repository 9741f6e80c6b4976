// SPDX-License-Identifier: GPL-2.0
//! The platform bus: devices that no bus can find, because firmware names them (`/sys/devices/platform`).

use crate::bus::{Bus, BusOps};
use crate::dev::Device;
use crate::fwnode::FwNode;
use core::any::Any;
use core::fmt;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use locking::SetOnce;
use sysfs::Node;
use vfs::{SeqBuf, seq_print};

/// The bus.
pub static BUS: Bus = Bus::new("platform", &Platform);

/// A range of addresses that a device answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
}

/// An interrupt of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// Its number.
    pub gsi: u32,
    /// It is level-triggered.
    pub level: bool,
    /// Its active level is low.
    pub low: bool,
}

/// What is known of a device on this bus.
#[derive(Debug, Default)]
pub struct Info {
    /// Its ids in ACPI: `_HID`, then those of `_CID`.
    pub acpi_ids: KVec<KString>,
    /// What firmware says of it.
    pub fwnode: Option<Arc<FwNode>>,
    /// Its registers.
    pub memory: KVec<Memory>,
    /// Its interrupts.
    pub interrupts: KVec<Interrupt>,
    /// What the API of drivers makes of these, once it was asked.
    pub shown: Shown,
}

/// A value that a level above keeps with a device.
#[derive(Default)]
pub struct Shown(SetOnce<KBox<dyn Any + Send + Sync>>);

impl Shown {
    /// The value, which is made by `make` at first. `None`: that failed, or it is of another type.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Option<KBox<T>>) -> Option<&T> {
        if self.0.get().is_none() {
            // Another CPU may have been faster; its value stays.
            let _ = self.0.set(make()?);
        }
        self.0.get()?.downcast_ref()
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

struct Platform;

impl BusOps for Platform {
    fn has_modalias(&self) -> bool {
        true
    }

    fn modalias(&self, device: &Device, out: &mut SeqBuf) -> Result {
        let info = device.info::<Info>().ok_or(ENODEV)?;
        if info.acpi_ids.is_empty() {
            out.put(b"platform:")?;
            return out.put(device.name());
        }
        out.put(b"acpi:")?;
        info.acpi_ids.iter().try_for_each(|id| seq_print!(out, "{id}:"))
    }

    fn has_driver_override(&self) -> bool {
        true
    }
}

/// Registers the bus. Once, at boot, after sysfs. May sleep.
pub fn init() -> Result {
    BUS.register()
}

fn home() -> Result<Arc<Node>> {
    sysfs::root()?.path_or_new("devices/platform")
}

/// A device called `name`. `EEXIST`. May sleep.
pub fn add(name: &[u8], info: Info) -> Result<Arc<Device>> {
    let device = Device::new_in(&BUS, name, home()?, Some(KBox::new(info, GFP_KERNEL)?))?;
    device.register()?;
    Ok(device)
}
