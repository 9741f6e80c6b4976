// SPDX-License-Identifier: GPL-2.0
//! The bus of systems on a chip: what the machine is made of, as `/sys/devices/soc0` says. Source: Linux's
//! `Documentation/ABI/testing/sysfs-devices-soc`. No locks of its own.

use crate::bus::{Bus, BusOps};
use crate::dev::Device;
use crate::ida::{Id, Ida};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use sysfs::Node;
use vfs::seq_print;

static BUS: Bus = Bus::new("soc", &Soc);
static NUMBERS: Ida = Ida::new();

/// What is said of it: name of the file, text.
pub type Texts = KVec<(&'static str, KString)>;

struct Soc;

struct Info {
    /// Given back when the last reference to the device goes.
    _number: Id,
    texts: Arc<Texts>,
}

impl BusOps for Soc {
    fn attributes(&self, device: &Arc<Device>, node: &Arc<Node>) -> Result {
        let texts = &device.info::<Info>().ok_or(ENODEV)?.texts;
        for (at, (name, _)) in texts.iter().enumerate() {
            let texts = texts.clone();
            sysfs::attr(node, name, move |out| seq_print!(out, "{}\n", texts.get(at).ok_or(ENODEV)?.1))?;
        }
        Ok(())
    }
}

/// Registers the bus. Once, at boot, after sysfs. May sleep.
pub fn init() -> Result {
    BUS.register()
}

/// The device `socN` with these texts. May sleep.
pub fn add(texts: Texts) -> Result<Arc<Device>> {
    let number = NUMBERS.alloc(i32::MAX as u32)?;
    let name = KString::from_fmt(format_args!("soc{}", number.get()), GFP_KERNEL)?;
    let info = KBox::new(Info { _number: number, texts: Arc::new(texts, GFP_KERNEL)? }, GFP_KERNEL)?;
    let device = Device::new(&BUS, name.as_bytes(), None, Some(info))?;
    device.register()?;
    Ok(device)
}

/// Takes it away. May sleep.
pub fn remove(device: &Arc<Device>) {
    device.unregister();
}
