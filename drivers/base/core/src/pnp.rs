// SPDX-License-Identifier: GPL-2.0
//! The bus of devices on the mainboard that firmware describes with their ports and interrupts (Plug and Play;
//! `/sys/devices/pnp0`).

use crate::bus::{Bus, BusOps};
use crate::dev::Device;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use sysfs::Node;
use vfs::{SeqBuf, seq_print};

/// The bus.
pub static BUS: Bus = Bus::new("pnp", &Pnp);
/// Where in `/sys` its devices are.
pub const HOME: &str = "devices/pnp0";

/// What is known of a device on this bus.
#[derive(Debug, Default)]
pub struct Info {
    /// Its ids (`PNP0501`), the one that says most first.
    pub ids: KVec<KString>,
    /// Its ports: the first one and how many.
    pub io: KVec<(u16, u16)>,
    /// Its ISA interrupts.
    pub irqs: KVec<u8>,
}

struct Pnp;

impl BusOps for Pnp {
    fn attributes(&self, device: &Arc<Device>, node: &Arc<Node>) -> Result {
        let weak = Arc::downgrade(device);
        sysfs::attr(node, "id", move |out| {
            let device = weak.upgrade().ok_or(ENODEV)?;
            device.info::<Info>().ok_or(ENODEV)?.ids.iter().try_for_each(|id| seq_print!(out, "{id}\n"))
        })?;
        let weak = Arc::downgrade(device);
        let resources = move |out: &mut SeqBuf| show(weak.upgrade().ok_or(ENODEV)?.info().ok_or(ENODEV)?, out);
        sysfs::attr(node, "resources", resources).map(drop)
    }
}

/// What a device uses.
fn show(info: &Info, out: &mut SeqBuf) -> Result {
    out.put(b"state = active\n")?;
    for (start, len) in info.io.iter() {
        seq_print!(out, "io {start:#x}-{:#x}\n", start.saturating_add(len.saturating_sub(1)))?;
    }
    info.irqs.iter().try_for_each(|irq| seq_print!(out, "irq {irq}\n"))
}

/// Registers the bus. Once, at boot, after sysfs. May sleep.
pub fn init() -> Result {
    BUS.register()
}

/// The device of that number, `00:03`. `EEXIST`. May sleep.
pub fn add(number: u8, info: Info) -> Result<Arc<Device>> {
    let name = KString::from_fmt(format_args!("00:{number:02x}"), GFP_KERNEL)?;
    let home = sysfs::root()?.path_or_new(HOME)?;
    let device = Device::new_in(&BUS, name.as_bytes(), home, Some(KBox::new(info, GFP_KERNEL)?))?;
    device.register()?;
    Ok(device)
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(pnp)]
mod tests {
    use super::*;

    #[test]
    fn resources_as_linux_shows_them() -> Result {
        let mut info = Info::default();
        info.io.push((0x3f8, 8), GFP_KERNEL)?;
        info.irqs.push(4, GFP_KERNEL)?;
        let mut out = SeqBuf::new(256);
        show(&info, &mut out)?;
        assert_eq!(out.text(), b"state = active\nio 0x3f8-0x3ff\nirq 4\n");
        Ok(())
    }
}
