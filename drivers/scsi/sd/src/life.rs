// SPDX-License-Identifier: GPL-2.0
//! A disk comes, changes and goes.

use crate::disk::{Disk, DiskOfQueue, DiskOfUnit};
use crate::learn::{learn, test};
use crate::{MAX_DISKS, MINORS, NUMBERS, number, show};
use block::mq::{MqDisk, MqParams, Queue};
use block::{Gendisk, GendiskParams, disk_name};
use core::sync::atomic::Ordering::*;
use device::Device;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernel::hardware::{block, device, workqueue};
use klog::{pr_notice, pr_warn};
use scsi::Unit;
use scsi_proto::Cdb;
use workqueue::Work;

/// A disk while the driver is bound to its unit; dropped, it goes.
pub(crate) struct Bound {
    disk: Arc<Disk>,
    _files: show::Files,
}

impl Bound {
    /// Has the disk write its cache, if it has one. May sleep.
    pub(crate) fn sync(&self) {
        self.disk.sync();
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.disk.remove();
    }
}

/// Takes a unit. May sleep.
pub(crate) fn probe(device: &Arc<Device>, unit: &Arc<Unit>) -> Result<Bound> {
    let index = NUMBERS.alloc(MAX_DISKS)?;
    let (major, first_minor) = number(index.get());
    let name = disk_name("sd", index.get())?;
    let text = name.to_str().ok_or(EINVAL)?;
    let facts = match learn(unit, text) {
        Err(ENOMEM) => return Err(ENOMEM),
        // A disk that does not say what it is has no size.
        result => result.unwrap_or_default(),
    };
    let host = *unit.host().params();
    let depth = unit.max_depth().max(1);
    let disk = Disk::new(unit, index, host.hw_queues, depth, facts)?;
    let params = MqParams { hw_queues: host.hw_queues, poll_queues: 0, depth, no_sched: false };
    let queue = Queue::new(params, KBox::new(DiskOfQueue(disk.clone()), GFP_KERNEL)?)?;
    queue.set_timeout_ms(u32::try_from(unit.timeout_ns() / 1_000_000)?)?;
    let path = unit.sysfs_path()?;
    let removable = unit.inquiry().is_some_and(|inquiry| inquiry.removable);
    let params = GendiskParams {
        name: text,
        major,
        first_minor,
        minors: MINORS,
        parent: path.to_str(),
        removable,
        no_part: false,
        owner: <crate::SdMod as kernel::ModuleMetadata>::this_module().header(),
    };
    let shown = Gendisk::new(&params, facts.limits(unit), KBox::new(MqDisk(queue.clone()), GFP_KERNEL)?)?;
    shown.set_adapter(host.owner);
    shown.set_read_only(facts.read_only);
    shown.set_capacity(facts.sectors());
    let weak = Arc::downgrade(&disk);
    let work = Work::new(move || {
        if let Some(disk) = weak.upgrade() {
            disk.tell_refusals();
        }
    })?;
    // New, so it is empty.
    let _ = disk.limits_work.set(work);
    let files = show::add(device, &disk)?;
    let upper = Arc::new(DiskOfUnit(disk.clone(), queue.clone()), GFP_KERNEL)?;
    unit.set_upper(upper, depth as usize * host.hw_queues as usize)?;
    *disk.shown.lock() = Some((queue, shown.clone()));
    // From here on it goes with its value.
    let bound = Bound { disk, _files: files };
    facts.announce(unit, text)?;
    shown.add()?;
    pr_notice!("sd {}: [{text}] Attached SCSI {}disk", unit.name()?, if removable { "removable " } else { "" });
    Ok(bound)
}

impl Disk {
    /// It goes: what is dirty is written out, if the unit still takes it. May sleep.
    fn remove(&self) {
        let Some((queue, shown)) = self.shown.lock().take() else { return };
        shown.remove();
        self.sync();
        self.gone.store(true, Release);
        if let Some(work) = self.limits_work.get() {
            work.cancel_sync();
        }
        queue.drain();
        self.unit().clear_upper();
        // Nobody can open it any more: the next disk may have its letter, though RCU keeps this one for a moment.
        if shown.openers() == 0 {
            let index = self.index.lock().take();
            drop(index);
        }
    }

    /// Has the disk write its cache, if it has one. May sleep.
    fn sync(&self) {
        if !self.facts().write_cache {
            return;
        }
        pr_notice!("sd: [{}] Synchronizing SCSI cache", self.name);
        if let Ok(answer) = self.unit().execute_plain(Cdb::synchronize_cache(), self.unit().timeout_ns(), 3)
            && let Err(error) = answer.result
        {
            pr_warn!("sd: [{}] Synchronizing SCSI cache failed: {error}", self.name);
        }
    }

    /// Tells the block layer what the disk refused. May sleep.
    fn tell_refusals(&self) {
        let _learning = self.learning.lock();
        let mut facts = self.facts();
        self.take_refusals(&mut facts);
        // Without memory the next request is refused as this one was.
        if self.set_facts(facts).is_ok()
            && let Some(shown) = self.shown()
        {
            let _ = shown.update_limits(|limits| take_over(limits, &facts.limits(self.unit())));
        }
    }

    /// Asks the disk again what it is like, and tells of what changed. May sleep.
    pub(crate) fn look_again(&self) {
        let _learning = self.learning.lock();
        let Some(shown) = self.shown() else { return };
        if self.gone.load(Acquire) {
            return;
        }
        let Ok(mut facts) = learn(self.unit(), self.name.to_str().unwrap_or("sd")) else { return };
        self.take_refusals(&mut facts);
        if self.set_facts(facts).is_err() {
            return;
        }
        self.changed.store(false, Release);
        let _ = shown.update_limits(|limits| take_over(limits, &facts.limits(self.unit())));
        shown.set_read_only(facts.read_only);
        shown.set_capacity(facts.sectors());
    }

    /// Somebody opens it. ENXIO if it is gone or offline, ENOMEDIUM without a medium (but for who says `nonblock`), EROFS to write on a
    /// protected one. May sleep.
    pub(crate) fn opened(&self, shown: &Arc<Gendisk>, write: bool, nonblock: bool) -> Result {
        let is_there = || !self.gone.load(Acquire) && self.unit().state() == scsi::State::Running;
        if !is_there() {
            return Err(ENXIO);
        }
        if shown.is_removable() {
            let (ready, _) = test(self.unit())?;
            if self.changed.load(Acquire) || ready != (shown.capacity() != 0) {
                self.look_again();
            }
            if shown.capacity() == 0 && !nonblock {
                return Err(ENOMEDIUM);
            }
        }
        if write && self.facts().read_only {
            return Err(EROFS);
        }
        // It may have gone while it was asked.
        if is_there() { Ok(()) } else { Err(ENXIO) }
    }
}

/// What an administrator may have set stays; the rest is the disk's.
fn take_over(limits: &mut block::QueueLimits, new: &block::QueueLimits) {
    let (max_sectors, rotational, add_random) = (limits.max_sectors, limits.rotational, limits.add_random);
    let kept = limits.max_hw_sectors == new.max_hw_sectors;
    *limits = *new;
    if kept {
        limits.max_sectors = max_sectors;
    }
    (limits.rotational, limits.add_random) = (rotational, add_random);
}
