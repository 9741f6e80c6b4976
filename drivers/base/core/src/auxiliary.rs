// SPDX-License-Identifier: GPL-2.0
//! The auxiliary bus: parts of a device that other drivers serve. A driver makes them below its own device; their names are
//! `MODULE.NAME.ID`, and a driver for them matches what comes before the last dot.

use crate::bus::{Bus, BusOps};
use crate::dev::Device;
use core::any::TypeId;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use vfs::SeqBuf;

/// The bus.
pub static BUS: Bus = Bus::new("auxiliary", &Auxiliary);

/// What is known of a device on this bus.
#[derive(Debug)]
pub struct Info {
    /// Its number.
    pub id: u32,
    /// `MODULE.NAME`.
    pub matches: KString,
    /// What its parent's driver gave it: an address, and what is there.
    pub data: (usize, TypeId),
}

struct Auxiliary;

impl BusOps for Auxiliary {
    fn has_modalias(&self) -> bool {
        true
    }

    fn modalias(&self, device: &Device, out: &mut SeqBuf) -> Result {
        out.put(b"auxiliary:")?;
        out.put(device.info::<Info>().ok_or(ENODEV)?.matches.as_bytes())
    }
}

/// Registers the bus. Once, at boot, after sysfs. May sleep.
pub fn init() -> Result {
    BUS.register()
}

/// The device `MODULE.NAME.ID` below `parent`. `EEXIST`. May sleep.
pub fn add(parent: Arc<Device>, module: &[u8], name: &[u8], id: u32, data: (usize, TypeId)) -> Result<Arc<Device>> {
    let (module, name) = (module.escape_ascii(), name.escape_ascii());
    let matches = KString::from_fmt(format_args!("{module}.{name}"), GFP_KERNEL)?;
    let full = KString::from_fmt(format_args!("{matches}.{id}"), GFP_KERNEL)?;
    let info = KBox::new(Info { id, matches, data }, GFP_KERNEL)?;
    let device = Device::new(&BUS, full.as_bytes(), Some(parent), Some(info))?;
    device.register()?;
    Ok(device)
}
