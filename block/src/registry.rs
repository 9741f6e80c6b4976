// SPDX-License-Identifier: GPL-2.0
//! Which disks there are, by number and by name; the numbers they have; and the names of their drivers' majors.
//!
//! A number of [`BLOCK_EXT_MAJOR`] is a [`Number`], which the device has: whatever fails on the way gives it back, and it is nobody
//! else's as long as somebody has the device, though that may be gone from the registry.
//!
//! Locks: `DISKS` (sleeping), then the spin locks `MAJORS`, `BDEVS`, `EXT_MINORS` (interrupts off), none inside another.

use crate::bdev::BlockDevice;
use crate::disk::Gendisk;
use containers::{IdPool, RBTree, RBTreeNode};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KString, KVec};
use kdev::Dev;
use locking::SpinLock;
use sync::Mutex;

/// Major of partitions (and disks) for which a driver has no minors of its own.
pub const BLOCK_EXT_MAJOR: u32 = 259;
/// Numbers of that major.
const EXT_COUNT: u32 = 1 << 20;

static DISKS: Mutex<KVec<Arc<Gendisk>>> = Mutex::new(KVec::new());
static BDEVS: SpinLock<RBTree<u32, Arc<BlockDevice>>> = SpinLock::new(RBTree::new());
static MAJORS: SpinLock<KVec<(u32, &'static str)>> = SpinLock::new(KVec::new());
static EXT_MINORS: SpinLock<IdPool> = SpinLock::new(IdPool::new());

/// A device's number. One of [`BLOCK_EXT_MAJOR`] is free again when this is dropped, in any context.
pub(crate) struct Number {
    dev: Dev,
    ext: bool,
}

impl Number {
    /// One of the driver's own.
    pub(crate) fn of(major: u32, minor: u32) -> Self {
        Self { dev: Dev::new(major, minor), ext: false }
    }

    /// The next free number of [`BLOCK_EXT_MAJOR`]. ENOSPC, ENOMEM.
    pub(crate) fn ext() -> Result<Self> {
        let minor = EXT_MINORS.lock_irqsave().alloc(0, EXT_COUNT, GFP_ATOMIC)?;
        Ok(Self { dev: Dev::new(BLOCK_EXT_MAJOR, minor), ext: true })
    }

    #[inline]
    pub(crate) fn dev(&self) -> Dev {
        self.dev
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if self.ext {
            EXT_MINORS.lock_irqsave().free(self.dev.minor());
        }
    }
}

/// How many numbers of [`BLOCK_EXT_MAJOR`] are taken.
#[cfg(any(test, CONFIG_KUNIT = "y"))]
pub(crate) fn ext_count() -> u32 {
    EXT_MINORS.lock_irqsave().count()
}

/// A disk is found by its name. EEXIST if another one has it, ENOMEM. May sleep.
pub(crate) fn enter(disk: &Arc<Gendisk>) -> Result {
    let mut disks = DISKS.lock();
    if disks.iter().any(|other| other.name().as_bytes() == disk.name().as_bytes()) {
        return Err(EEXIST);
    }
    Ok(disks.push(disk.clone(), GFP_KERNEL)?)
}

/// It is not any more. May sleep.
pub(crate) fn leave(disk: &Arc<Gendisk>) {
    DISKS.lock().retain(|other| !Arc::ptr_eq(other, disk));
}

/// A device is found by its number. EBUSY if that is another one's, ENOMEM.
pub(crate) fn register(bdev: &Arc<BlockDevice>) -> Result {
    let node = RBTreeNode::new(bdev.dev().0, bdev.clone(), GFP_KERNEL)?;
    let mut bdevs = BDEVS.lock();
    if bdevs.get(&bdev.dev().0).is_some() {
        return Err(EBUSY);
    }
    let replaced = bdevs.insert(node);
    drop(bdevs);
    drop(replaced);
    Ok(())
}

/// It is not any more.
pub(crate) fn unregister(bdev: &Arc<BlockDevice>) {
    let mut bdevs = BDEVS.lock();
    let its = bdevs.get(&bdev.dev().0).is_some_and(|found| Arc::ptr_eq(found, bdev));
    let gone = if its { bdevs.remove_node(&bdev.dev().0) } else { None };
    drop(bdevs);
    drop(gone);
}

/// The device with number `dev`. Does not open it.
pub fn lookup(dev: Dev) -> Option<Arc<BlockDevice>> {
    BDEVS.lock().get(&dev.0).cloned()
}

/// The device with this name (`vda1`), as `root=/dev/vda1` has it without `/dev/`. May sleep.
pub fn lookup_name(name: &[u8]) -> Option<Arc<BlockDevice>> {
    let disks = disks().ok()?;
    for disk in disks.iter() {
        for part in disk.parts().ok()?.iter() {
            if part.name().ok()?.as_bytes() == name {
                return Some(part.clone());
            }
        }
    }
    None
}

/// All disks, in the order in which they came. ENOMEM. May sleep.
pub fn disks() -> Result<KVec<Arc<Gendisk>>> {
    Ok(DISKS.lock().try_clone(GFP_KERNEL)?)
}

/// The name of disk `index` of a kind: `vda` to `vdz`, `vdaa`... ENOMEM.
pub fn disk_name(prefix: &str, index: u32) -> Result<KString> {
    let mut letters = [0u8; 8];
    let (mut first, mut rest) = (letters.len(), u64::from(index) + 1);
    while rest != 0 && first != 0 {
        rest -= 1;
        first -= 1;
        if let Some(letter) = letters.get_mut(first) {
            *letter = b'a' + (rest % 26) as u8;
        }
        rest /= 26;
    }
    let mut name = KString::from_str(prefix, GFP_KERNEL)?;
    name.push_bytes(letters.get(first..).unwrap_or_default(), GFP_KERNEL)?;
    Ok(name)
}

/// Takes major number `major` (0: any free one) for a driver; returns it. EBUSY, EINVAL. May sleep.
pub fn register_blkdev(major: u32, name: &'static str) -> Result<u32> {
    if major > 511 {
        return Err(EINVAL);
    }
    loop {
        let needed = MAJORS.lock().len() + 1;
        let mut room: KVec<(u32, &'static str)> = KVec::with_capacity(needed, GFP_KERNEL)?;
        let mut majors = MAJORS.lock();
        if room.capacity() <= majors.len() {
            continue;
        }
        let taken = |wanted: u32| majors.iter().any(|&(other, _)| other == wanted);
        let major = match major {
            0 => (1..=254).rev().find(|&wanted| !taken(wanted)).ok_or(EBUSY)?,
            wanted if taken(wanted) => return Err(EBUSY),
            wanted => wanted,
        };
        let at = majors.partition_point(|&(other, _)| other < major);
        room.extend_from_slice(&majors, GFP_KERNEL)?;
        room.insert(at, (major, name), GFP_KERNEL)?;
        core::mem::swap(&mut *majors, &mut room);
        drop(majors);
        return Ok(major);
    }
}

/// Gives a major number back.
pub fn unregister_blkdev(major: u32) {
    MAJORS.lock().retain(|entry| entry.0 != major);
}

/// Calls `f` for each major number and its driver's name, in order (`/proc/devices`). `f` must not sleep.
pub fn for_each_major(mut f: impl FnMut(u32, &'static str)) {
    for &(major, name) in MAJORS.lock().iter() {
        f(major, name);
    }
}
