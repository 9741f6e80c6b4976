// SPDX-License-Identifier: GPL-2.0
//! The bus of the device model that has the functions (`/sys/bus/pci`): their directories, what they match, and dynamic ids.

use crate::device::PciDevice;
use crate::{BarKind, devices, enumerate};
use ::device::{Bus, BusOps, Device};
use core::fmt;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use sync::Mutex;
use sysfs::Node;
use vfs::{SeqBuf, seq_print};
use x86::pci_config;

/// The bus.
pub static BUS: Bus = Bus::new("pci", &Pci);
/// Any value (`PCI_ANY_ID`).
pub const ANY: u32 = !0;

/// What a driver serves (`struct pci_device_id` without the driver's data).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Vendor or [`ANY`].
    pub vendor: u32,
    /// Device or [`ANY`].
    pub device: u32,
    /// Subsystem's vendor or [`ANY`].
    pub subvendor: u32,
    /// Subsystem's device or [`ANY`].
    pub subdevice: u32,
    /// Class, where `class_mask` has ones.
    pub class: u32,
    /// Bits of the class that count.
    pub class_mask: u32,
}

impl Id {
    /// Whether it is the id of `device`.
    pub fn matches(&self, device: &PciDevice) -> bool {
        let is = |wanted: u32, value: u16| wanted == ANY || wanted == u32::from(value);
        is(self.vendor, device.vendor)
            && is(self.device, device.device)
            && is(self.subvendor, device.subsystem.0)
            && is(self.subdevice, device.subsystem.1)
            && (self.class ^ device.class) & self.class_mask == 0
    }

    /// What a program writes to `new_id` and `remove_id`: vendor, device, subvendor, subdevice, class, mask; hexadecimal. A seventh
    /// number is the driver's data in Linux; drivers have none for such ids here, so it can only be 0. `EINVAL`.
    fn parse(text: &[u8]) -> Result<Self> {
        let mut values = [None; 7];
        let words = core::str::from_utf8(text)?.split_ascii_whitespace();
        for (slot, word) in values.iter_mut().zip(words) {
            *slot = Some(u32::from_str_radix(word.trim_start_matches("0x"), 16).map_err(|_| EINVAL)?);
        }
        let [Some(vendor), Some(device), subvendor, subdevice, class, mask, None | Some(0)] = values else {
            return Err(EINVAL);
        };
        let (subvendor, subdevice) = (subvendor.unwrap_or(ANY), subdevice.unwrap_or(ANY));
        Ok(Self { vendor, device, subvendor, subdevice, class: class.unwrap_or(0), class_mask: mask.unwrap_or(0) })
    }
}

/// Ids that programs added to a driver. Lock: its own (sleeping).
pub struct DynamicIds(Mutex<KVec<Id>>);

impl DynamicIds {
    /// None yet.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "the lock's class is its place")]
    pub fn new() -> Self {
        Self(Mutex::new(KVec::new()))
    }

    /// Whether one of them is that of `device`.
    pub fn matches(&self, device: &PciDevice) -> bool {
        self.0.lock().iter().any(|id| id.matches(device))
    }

    /// `new_id`. `EINVAL`, `EEXIST`.
    pub fn add(&self, text: &[u8]) -> Result {
        let id = Id::parse(text)?;
        let mut ids = self.0.lock();
        if ids.contains(&id) {
            return Err(EEXIST);
        }
        Ok(ids.push(id, GFP_KERNEL)?)
    }

    /// `remove_id`: the first id that has what `text` says. `EINVAL`, `ENODEV`.
    pub fn remove(&self, text: &[u8]) -> Result {
        let id = Id::parse(text)?;
        let has = |wanted: u32, value: u32| wanted == ANY || wanted == value;
        let mut ids = self.0.lock();
        let at = ids.iter().position(|other| {
            (other.vendor, other.device) == (id.vendor, id.device)
                && has(id.subvendor, other.subvendor)
                && has(id.subdevice, other.subdevice)
                && (other.class ^ id.class) & id.class_mask == 0
        });
        ids.remove(at.ok_or(ENODEV)?).map(drop).map_err(|_| ENODEV)
    }
}

/// A function on the bus: what a `Device` of it has as its information.
pub fn function(device: &Device) -> Option<&PciDevice> {
    device.info::<Arc<PciDevice>>().map(|device| &**device)
}

/// A function's alias.
struct Alias<'a>(&'a PciDevice);

impl fmt::Display for Alias<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PciDevice { vendor, device, subsystem: (sv, sd), class, .. } = *self.0;
        let (base, sub, interface) = (class >> 16 & 0xff, class >> 8 & 0xff, class & 0xff);
        write!(f, "pci:v{vendor:08X}d{device:08X}sv{sv:08X}sd{sd:08X}bc{base:02X}sc{sub:02X}i{interface:02X}")
    }
}

struct Pci;

impl BusOps for Pci {
    fn uevent(&self, device: &Device, out: &mut SeqBuf) -> Result {
        let its = function(device).ok_or(ENODEV)?;
        seq_print!(out, "PCI_CLASS={:X}\nPCI_ID={:04X}:{:04X}\n", its.class, its.vendor, its.device)?;
        seq_print!(out, "PCI_SUBSYS_ID={:04X}:{:04X}\n", its.subsystem.0, its.subsystem.1)?;
        seq_print!(out, "PCI_SLOT_NAME={}\n", its.address)
    }

    fn has_modalias(&self) -> bool {
        true
    }

    fn modalias(&self, device: &Device, out: &mut SeqBuf) -> Result {
        seq_print!(out, "{}", Alias(function(device).ok_or(ENODEV)?))
    }

    fn has_driver_override(&self) -> bool {
        true
    }

    fn attributes(&self, device: &Arc<Device>, node: &Arc<Node>) -> Result {
        let its = device.info::<Arc<PciDevice>>().ok_or(ENODEV)?.clone();
        let (subvendor, subdevice) = its.subsystem;
        for (name, value, digits) in [
            ("vendor", u32::from(its.vendor), 4),
            ("device", u32::from(its.device), 4),
            ("subsystem_vendor", u32::from(subvendor), 4),
            ("subsystem_device", u32::from(subdevice), 4),
            ("class", its.class, 6),
            ("revision", u32::from(its.revision), 2),
        ] {
            sysfs::attr(node, name, move |out| seq_print!(out, "0x{value:0digits$x}\n"))?;
        }
        let resources = its.clone();
        sysfs::attr(node, "resource", move |out| show_resources(&resources, out))?;
        node.attr(b"config", 0o644, Config(its)).map(drop)
    }
}

/// Start, end and flags of each range (`IORESOURCE_*`).
fn show_resources(device: &PciDevice, out: &mut SeqBuf) -> Result {
    for slot in 0..13 {
        let (start, end, flags) = match device.bars.get(slot).copied().flatten() {
            None => (0, 0, 0u64),
            Some(bar) => {
                let flags = match bar.kind {
                    BarKind::Io => 0x4_0101,
                    BarKind::Memory { wide, prefetchable } => {
                        let prefetch = if prefetchable { 0x2008 } else { 0 };
                        0x4_0200 | prefetch | if wide { 0x10_0004 } else { 0 }
                    }
                };
                (bar.start, bar.start.saturating_add(bar.size).saturating_sub(1), flags)
            }
        };
        seq_print!(out, "0x{start:016x} 0x{end:016x} 0x{flags:016x}\n")?;
    }
    Ok(())
}

/// The configuration space, to be read: all of it by who may administrate, else the standard part.
struct Config(Arc<PciDevice>);

impl sysfs::Attribute for Config {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let len = if cred::capable(cred::CAP_SYS_ADMIN) { self.0.config_size() } else { 64 };
        for at in (0..len).step_by(4) {
            out.put(&pci_config::read32(self.0.address, at).to_le_bytes())?;
        }
        Ok(None)
    }

    fn store(&self, _: &[u8]) -> Result<usize> {
        Err(EPERM)
    }

    fn size(&self) -> u64 {
        u64::from(self.0.config_size())
    }
}

/// Registers the bus, and every function that was found. Once, at boot, after [`crate::init`] and sysfs. May sleep.
pub fn init() -> Result {
    BUS.register()?;
    devices()?.iter().try_for_each(add)
}

/// Shows a function, and binds a driver.
fn add(function: &Arc<PciDevice>) -> Result {
    let name = kalloc::KString::from_fmt(format_args!("{}", function.address), GFP_KERNEL)?;
    let path = function.sysfs_path()?;
    let home = path.to_str().and_then(|path| path.rsplit_once('/')).map_or("devices", |(home, _)| home);
    let home = sysfs::root()?.path_or_new(home)?;
    let info = KBox::new(function.clone(), GFP_KERNEL)?;
    Device::new_in(&BUS, name.as_bytes(), home, Some(info))?.register()
}

/// Looks for functions that came to the bus behind `bridge`, assigns their ranges, shows them and binds drivers; how many. For who
/// has the slot: one at a time. ENOMEM. May sleep.
pub fn scan_behind(bridge: &Arc<PciDevice>) -> Result<usize> {
    let found = enumerate::find_behind(bridge)?;
    for function in &found {
        // The others may work.
        if let Err(error) = add(function) {
            klog::pr_err!("pci {}: not added: {error}", function.address);
        }
    }
    Ok(found.len())
}

/// Takes away the functions behind `bridge`: drivers are unbound, whether the functions still answer or not. May sleep.
pub fn remove_behind(bridge: &PciDevice) -> Result {
    loop {
        let taken = enumerate::take_behind(bridge)?;
        if taken.is_empty() {
            return Ok(());
        }
        // Once more afterwards: a port among them may just have found a card, and finds none now.
        for function in &taken {
            let name = kalloc::KString::from_fmt(format_args!("{}", function.address), GFP_KERNEL)?;
            if let Some(device) = BUS.find_device(name.as_bytes()) {
                device.unregister();
            }
            if function.is_present() {
                function.disable();
            }
        }
    }
}

/// Whether functions are known behind `bridge`.
pub fn has_behind(bridge: &PciDevice) -> bool {
    enumerate::has_behind(bridge)
}

/// Whether there is a device on the bus behind `bridge`, known or not.
pub fn answers_behind(bridge: &PciDevice) -> bool {
    enumerate::answers_behind(bridge)
}

/// Number of the bus behind `bridge`.
pub fn bus_behind(bridge: &PciDevice) -> u8 {
    *enumerate::buses_behind(bridge).start()
}

#[macros::kunit_tests(pci_bus)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_programs() {
        let any = |vendor, device| Id { vendor, device, subvendor: ANY, subdevice: ANY, class: 0, class_mask: 0 };
        assert_eq!(Id::parse(b"1b36 0005\n"), Ok(any(0x1b36, 5)));
        assert_eq!(Id::parse(b"1b36"), Err(EINVAL));
        assert_eq!(Id::parse(b"1b36 x"), Err(EINVAL));
        assert_eq!(Id::parse(b"1 2 3 4 5 6 0").is_ok(), true);
        assert_eq!(Id::parse(b"1 2 3 4 5 6 7"), Err(EINVAL));
        let ids = DynamicIds::new();
        assert_eq!((ids.add(b"1 2"), ids.add(b"1 2")), (Ok(()), Err(EEXIST)));
        assert_eq!((ids.remove(b"1 2"), ids.remove(b"1 2")), (Ok(()), Err(ENODEV)));
        assert_eq!((ids.add(b"1 2 3 4"), ids.add(b"1 2 3 5")), (Ok(()), Ok(())));
        assert_eq!((ids.remove(b"1 2 3 6"), ids.remove(b"1 2 3 5")), (Err(ENODEV), Ok(())));
        assert_eq!((ids.remove(b"1 2"), ids.remove(b"1 2")), (Ok(()), Err(ENODEV)));
    }
}
