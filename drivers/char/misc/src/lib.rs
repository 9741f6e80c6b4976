// SPDX-License-Identifier: GPL-2.0
//! Miscellaneous character devices: major 10, a minor for each. A driver gives what opens its files; this crate gives the minor,
//! the node in `/dev`, the directory in `/sys/class/misc` and the line in `/proc/misc`.
//!
//! The driver may be a module: an open file keeps it loaded, and after `deregister` nothing of it is called any more but for
//! files that are open still. Lock: `DEVICES` (sleeping) guards the list and is held while a driver opens a file, as in Linux.
//! Source: Linux's `Documentation/driver-api/misc_devices.rst`, `/proc/misc` of `proc(5)`.

#![no_std]
#![forbid(unsafe_code)]

use device::{Device, Number};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernfs::{Node, Text};
use module_core::Header;
use sync::Mutex;
use vfs::{CharDevice, Dev, File, FileOps, Inode, OpenFlags, SeqBuf, register_chrdev, seq_print};

/// Major number (`MISC_MAJOR`).
const MAJOR: u32 = 10;
/// In place of a minor: one is to be chosen (`MISC_DYNAMIC_MINOR`).
pub const DYNAMIC_MINOR: u32 = 255;
/// Most minors there are.
const MINORS: u32 = 1 << 20;

/// What a driver does.
pub trait MiscOps: Send + Sync {
    /// Opens the device: the operations of the file, which is made already. May sleep.
    fn open(&self, file: &File) -> Result<KBox<dyn FileOps>>;

    /// Bits of [`vfs::fmode`] that files of the device have.
    fn mode(&self) -> u32;

    /// The module that the driver is in.
    fn owner(&self) -> Option<&'static Header>;
}

struct Entry {
    name: KString,
    minor: u32,
    ops: KBox<dyn MiscOps>,
}

/// Newest first, as `/proc/misc` shows them.
static DEVICES: Mutex<KVec<Entry>> = Mutex::new(KVec::new());

/// A device that is registered. Dropping it takes the device away; may sleep.
pub struct Registration {
    minor: u32,
    device: Arc<Device>,
}

impl Registration {
    /// Registers a device (`misc_register`). `minor` may be [`DYNAMIC_MINOR`]. `make` gives the operations, knowing the device,
    /// before anybody can open it. `EBUSY`, `EEXIST`. May sleep.
    pub fn new(name: &[u8], minor: u32, make: impl FnOnce(&Arc<Device>) -> Result<KBox<dyn MiscOps>>) -> Result<Self> {
        Self::with_node(name, None, minor, |_| Ok(()), make)
    }

    /// As [`Self::new`], for a device whose node has another name, and to whose directory in sysfs `fill` adds attributes.
    pub fn with_node(
        name: &[u8],
        node: Option<&'static str>,
        minor: u32,
        fill: impl FnOnce(&Arc<Node>) -> Result,
        make: impl FnOnce(&Arc<Device>) -> Result<KBox<dyn MiscOps>>,
    ) -> Result<Self> {
        let text = KString::from_bytes(name, GFP_KERNEL)?;
        let mut devices = DEVICES.lock();
        let minor = match minor {
            DYNAMIC_MINOR => (DYNAMIC_MINOR + 1..MINORS)
                .find(|minor| devices.iter().all(|entry| entry.minor != *minor))
                .ok_or(EBUSY)?,
            minor if minor < MINORS && devices.iter().all(|entry| entry.minor != minor) => minor,
            _ => return Err(EBUSY),
        };
        devices.reserve(1, GFP_KERNEL)?;
        let number = Number { dev: Dev::new(MAJOR, minor), mode: 0o600, node };
        let device = Device::create_class_device("misc", name, number, fill)?;
        let ops = make(&device).inspect_err(|_| device.destroy_class_device())?;
        // There is room.
        devices.insert(0, Entry { name: text, minor, ops }, GFP_KERNEL)?;
        Ok(Self { minor, device })
    }

    /// Its minor.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// The device, as sysfs shows it.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut devices = DEVICES.lock();
        let at = devices.iter().position(|entry| entry.minor == self.minor);
        let entry = at.and_then(|at| devices.remove(at).ok());
        self.device.destroy_class_device();
        drop(devices);
        drop(entry);
    }
}

struct Misc;

impl CharDevice for Misc {
    fn open(&self, inode: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let minor = inode.rdev.minor();
        if DEVICES.lock().iter().all(|entry| entry.minor != minor) {
            vfs::hooks::request_module(format_args!("char-major-{MAJOR}-{minor}"));
        }
        let devices = DEVICES.lock();
        let entry = devices.iter().find(|entry| entry.minor == minor).ok_or(ENODEV)?;
        let opener = cdev::Opener { key: 0, minor, open };
        cdev::prepare(opener, entry.ops.mode(), entry.ops.owner())
    }
}

/// The driver's part of opening `file`: what follows [`CharDevice::open`] when the file is made.
fn open(_: usize, minor: u32, file: &File) -> Result<KBox<dyn FileOps>> {
    let devices = DEVICES.lock();
    devices.iter().find(|entry| entry.minor == minor).ok_or(ENODEV)?.ops.open(file)
}

/// `/proc/misc`.
fn show(out: &mut SeqBuf) -> Result {
    for entry in DEVICES.lock().iter() {
        seq_print!(out, "{:3} {}\n", entry.minor, entry.name)?;
    }
    Ok(())
}

/// Takes the major number and makes `/proc/misc`. Once, at boot, in a task, after proc and devtmpfs.
pub fn init() -> Result {
    static MISC: Misc = Misc;
    proc::root()?.attr(b"misc", 0o444, Text(show))?;
    register_chrdev(MAJOR, 0, MINORS, "misc", &MISC)
}
