// SPDX-License-Identifier: GPL-2.0
//! Which driver is behind a device number. Drivers register ranges of minors; opening a device node asks here.
//!
//! Locks: a spin lock around the short sorted list; opening copies the entry out of it. Source: `/proc/devices`, `makedev(3)`.

use crate::file::{FileOps, OpenFlags};
use crate::inode::Inode;
use crate::types::Dev;
use errno::{Result, code::*};
use hook::Hook;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use locking::SpinLock;

/// A character driver.
pub trait CharDevice: Sync {
    /// Opens device `inode.rdev`: the operations of the new file. May sleep.
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>>;
}

/// The block layer, when there is one.
pub trait BlockOpen: Sync {
    /// Opens block device `inode.rdev`.
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>>;
}

/// Opens block devices.
pub static BLOCK: Hook<dyn BlockOpen> = Hook::new();

#[derive(Clone, Copy)]
struct Range {
    first: Dev,
    last: Dev,
    name: &'static str,
    device: &'static dyn CharDevice,
}

static RANGES: SpinLock<KVec<Range>> = SpinLock::new(KVec::new());

/// Gives `count` minors of `major` from `first` on to `device`. `EBUSY` if any of them is taken. May sleep.
pub fn register_chrdev(
    major: u32,
    first: u32,
    count: u32,
    name: &'static str,
    device: &'static dyn CharDevice,
) -> Result {
    let last = first.checked_add(count.checked_sub(1).ok_or(EINVAL)?).ok_or(EINVAL)?;
    if major > 0xfff || last > 0xf_ffff {
        return Err(EINVAL);
    }
    let range = Range { first: Dev::new(major, first), last: Dev::new(major, last), name, device };
    loop {
        let needed = RANGES.lock().len() + 1;
        let mut room = KVec::with_capacity(needed, GFP_KERNEL)?;
        let mut ranges = RANGES.lock();
        if ranges.iter().any(|other| other.first <= range.last && range.first <= other.last) {
            return Err(EBUSY);
        }
        if room.capacity() <= ranges.len() {
            continue;
        }
        let at = ranges.partition_point(|other| other.first < range.first);
        room.extend(ranges.iter().take(at).copied(), GFP_KERNEL)?;
        room.push(range, GFP_KERNEL)?;
        room.extend(ranges.iter().skip(at).copied(), GFP_KERNEL)?;
        core::mem::swap(&mut *ranges, &mut room);
        drop(ranges);
        return Ok(());
    }
}

/// Majors that are given to who asks for any, in this order.
fn dynamic_majors() -> impl Iterator<Item = u32> {
    (234..=254).rev().chain((384..=511).rev())
}

/// Gives `count` minors, from 0 on, of a major that nobody has to `device`, and says which (`alloc_chrdev_region`). `EBUSY` if there is
/// none. May sleep.
pub fn alloc_chrdev_region(count: u32, name: &'static str, device: &'static dyn CharDevice) -> Result<u32> {
    for major in dynamic_majors() {
        // All of its minors must be free: who has some of it gets the others when it asks by number.
        let is_free = RANGES.lock().iter().all(|range| range.first.major() != major);
        if is_free {
            match register_chrdev(major, 0, count, name, device) {
                // Somebody was faster.
                Err(EBUSY) => {}
                result => return result.map(|()| major),
            }
        }
    }
    Err(EBUSY)
}

/// Takes back the range that starts at `first`.
pub fn unregister_chrdev(major: u32, first: u32) {
    RANGES.lock().retain(|range| range.first != Dev::new(major, first));
}

/// Calls `f` for each major and name, in order (`/proc/devices`). `f` must not sleep.
pub fn for_each_chrdev(mut f: impl FnMut(u32, &'static str)) {
    let ranges = RANGES.lock();
    let mut previous = None;
    for range in ranges.iter() {
        let this = (range.first.major(), range.name);
        if previous != Some(this) {
            f(this.0, this.1);
        }
        previous = Some(this);
    }
}

/// Who has the device.
fn find(dev: Dev) -> Option<&'static dyn CharDevice> {
    let ranges = RANGES.lock();
    let at = ranges.partition_point(|range| range.last < dev);
    ranges.get(at).filter(|range| range.first <= dev).map(|range| range.device)
}

pub(crate) fn open_chr(inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
    let dev = inode.rdev;
    let device = find(dev).or_else(|| {
        crate::hooks::request_module(format_args!("char-major-{}-{}", dev.major(), dev.minor()));
        find(dev)
    });
    device.ok_or(ENXIO)?.open(inode, flags)
}

pub(crate) fn open_blk(inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
    BLOCK.get().ok_or(ENXIO)?.open(inode, flags)
}
