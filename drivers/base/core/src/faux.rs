// SPDX-License-Identifier: GPL-2.0
//! The faux bus: devices that stand for no hardware, but that a driver wants in the tree (`/sys/devices/faux`). Every device on
//! it is bound at once to the one driver there is.

use crate::bus::{Bus, BusOps};
use crate::dev::Device;
use crate::driver::{Driver, DriverOps, ProbeType};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::SetOnce;

struct Faux;

impl BusOps for Faux {}

static BUS: Bus = Bus::new("faux", &Faux);
static ROOT: SetOnce<Arc<Device>> = SetOnce::new();

struct FauxDriver;

impl DriverOps for FauxDriver {
    fn matches(&self, device: &Device) -> bool {
        // All but the root itself.
        device.parent().is_some()
    }

    fn probe(&self, _: &Arc<Device>) -> Result {
        Ok(())
    }

    fn remove(&self, _: &Arc<Device>) {}

    /// Who has such a device relies on its being bound.
    fn has_bind_files(&self) -> bool {
        false
    }

    fn probe_type(&self) -> ProbeType {
        ProbeType::Now
    }
}

/// Registers bus, root and driver. Once, at boot, in a task, after sysfs.
pub fn init() -> Result {
    BUS.register()?;
    let root = Device::new(&BUS, b"faux", None, None)?;
    root.register()?;
    ROOT.set(root).map_err(|_| EBUSY)?;
    // The bus holds it for ever.
    Driver::register(&BUS, b"faux_driver", Arc::new(FauxDriver, GFP_KERNEL)?)?;
    Ok(())
}

/// A device of that name, below `parent` or the bus's root, bound to the driver. `EEXIST`. May sleep.
pub fn create(name: &[u8], parent: Option<Arc<Device>>) -> Result<Arc<Device>> {
    let parent = match parent {
        Some(parent) => parent,
        None => ROOT.get().ok_or(ENODEV)?.clone(),
    };
    let device = Device::new(&BUS, name, Some(parent), None)?;
    device.register()?;
    Ok(device)
}
