// SPDX-License-Identifier: GPL-2.0
//! Character devices of drivers that may be modules: a [`Region`] is a major number of the driver's own, with a minor for each of its
//! devices; a [`Device`] is one of these in `/sys` and `/dev`. What the VFS keeps and calls is here, in the image: an open file keeps
//! the driver's module ([`prepare`], which `drivers/char/misc` uses too), and after a region was dropped nothing of the driver is called
//! any more but for files that are open still.
//!
//! Lock: a place's `registered` (sleeping), held while the driver opens a file.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

mod file;

pub use file::{Opener, prepare};

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use devtmpfs::Kind;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use module_core::Header;
use sync::Mutex;
use sysfs::Node;
use vfs::{CharDevice, Dev, File, FileOps, Inode, OpenFlags, alloc_chrdev_region, unregister_chrdev};

/// Most regions.
const REGIONS: usize = 32;

/// What a driver does.
pub trait CharOps: Send + Sync {
    /// Opens device `minor`: the operations of the file, which is made already. May sleep.
    fn open(&self, minor: u32, file: &File) -> Result<KBox<dyn FileOps>>;

    /// Bits of [`vfs::fmode`] that files of the devices have.
    fn mode(&self) -> u32 {
        0
    }

    /// The module that the driver is in.
    fn owner(&self) -> Option<&'static Header>;
}

/// A place for a region.
struct Slot {
    registered: Mutex<Option<Registered>>,
}

/// What is in a place.
struct Registered {
    /// The place's number, modulo [`REGIONS`]; never the same again.
    key: usize,
    ops: KBox<dyn CharOps>,
}

static SLOTS: [Slot; REGIONS] = [const { Slot { registered: Mutex::new(None) } }; REGIONS];
/// Regions that there were.
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl CharDevice for Slot {
    fn open(&self, inode: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let registered = self.registered.lock();
        let Registered { key, ops } = registered.as_ref().ok_or(ENXIO)?;
        let opener = Opener { key: *key, minor: inode.rdev.minor(), open };
        prepare(opener, ops.mode(), ops.owner())
    }
}

/// The driver's part of opening `file`. The place may be another driver's by now, whose module the file does not keep.
fn open(key: usize, minor: u32, file: &File) -> Result<KBox<dyn FileOps>> {
    let registered = SLOTS.get(key % REGIONS).ok_or(ENXIO)?.registered.lock();
    registered.as_ref().filter(|its| its.key == key).ok_or(ENXIO)?.ops.open(minor, file)
}

/// A major number. It is free again when this is dropped; may sleep.
pub struct Region {
    slot: &'static Slot,
    major: u32,
}

impl Region {
    /// A major that nobody has, for `minors` devices; `name` is what `/proc/devices` calls it. `EBUSY`: there are too many. May sleep.
    pub fn new(name: &'static str, minors: u32, ops: KBox<dyn CharOps>) -> Result<Self> {
        for (at, slot) in SLOTS.iter().enumerate() {
            let mut place = slot.registered.lock();
            if place.is_some() {
                continue;
            }
            let major = alloc_chrdev_region(minors, name, slot)?;
            let key = COUNT.fetch_add(1, Relaxed).wrapping_mul(REGIONS).wrapping_add(at);
            *place = Some(Registered { key, ops });
            return Ok(Self { slot, major });
        }
        Err(EBUSY)
    }

    /// The major number.
    pub fn major(&self) -> u32 {
        self.major
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        unregister_chrdev(self.major, 0);
        let registered = self.slot.registered.lock().take();
        drop(registered);
    }
}

/// A device in `/sys` and `/dev`. It goes when this is dropped; may sleep.
pub struct Device {
    class: &'static str,
    name: KString,
    parent: KString,
    dev: Dev,
    node: Arc<Node>,
}

impl Device {
    /// Shows device `minor` of a region, with its node (permissions 0600); `parent`: where in `/sys` the device is that it belongs to,
    /// empty if to none (`devices/virtual`). `EEXIST`. May sleep.
    pub fn new(region: &Region, minor: u32, class: &'static str, name: &str, parent: &str) -> Result<Self> {
        let (name, parent) = (KString::from_str(name, GFP_KERNEL)?, KString::from_str(parent, GFP_KERNEL)?);
        let dev = Dev::new(region.major, minor);
        let node = devtmpfs::create_device_with(&shown(class, &name, &parent, dev)?, |_| Ok(()))?;
        Ok(Self { class, name, parent, dev, node })
    }

    /// Adds a file with a text (and a newline) to its directory. May sleep.
    pub fn add_text(&self, name: &str, text: KString) -> Result {
        let show = move |out: &mut vfs::SeqBuf| {
            out.put(text.as_bytes())?;
            out.byte(b'\n')
        };
        sysfs::attr(&self.node, name, show).map(drop)
    }

    /// Tells programs that something about it changed. May sleep.
    pub fn changed(&self) {
        if let Ok(device) = shown(self.class, &self.name, &self.parent, self.dev) {
            device.announce(sysfs::uevent::Action::Change);
        }
    }
}

fn shown<'a>(class: &'a str, name: &'a KString, parent: &'a KString, dev: Dev) -> Result<devtmpfs::Device<'a>> {
    Ok(devtmpfs::Device {
        class,
        name: name.to_str().ok_or(EINVAL)?,
        node: None,
        kind: Kind::Char,
        dev,
        mode: 0o600,
        parent: Some(parent.to_str().ok_or(EINVAL)?).filter(|parent| !parent.is_empty()),
    })
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Ok(device) = shown(self.class, &self.name, &self.parent, self.dev) {
            devtmpfs::remove_device(&device);
        }
    }
}
