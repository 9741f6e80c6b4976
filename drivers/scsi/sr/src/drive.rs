// SPDX-License-Identifier: GPL-2.0
//! A drive: its requests (`scsi::Tags` has their commands); its medium; how it comes and goes.

use crate::{MAJOR, MAX_DRIVES, NUMBERS, ioctl};
use block::mq::{Expired, HwQueue, MqDisk, MqOps, MqParams, Queue, Refused, Request, TimeoutAction};
use block::{BlockDevice, DiskOps, Gendisk, GendiskParams, Op, QueueLimits};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use device::Id;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, WeakArc};
use kernel::ext::AliveGuard;
use kernel::hardware::{block, device, ktime, locking, sync};
use klog::pr_info;
use locking::SetOnce;
use scsi::{Command, Data, Direction, End, State, Tags, Unit, Upper};
use scsi_proto::{Cdb, Transfer, key};
use sync::Mutex;

/// How often a request is sent again.
const RETRIES: u32 = 3;
/// Blocks of a CD, in bytes and as a power of two.
const BLOCK: u32 = 2048;
const SHIFT: u32 = 11;
const READY_NS: u64 = 30_000_000_000;

/// A drive.
pub(crate) struct Drive {
    unit: Arc<Unit>,
    /// Its number: given back as soon as nobody has it open any more.
    index: Mutex<Option<Id>>,
    tags: Tags,
    me: SetOnce<WeakArc<Drive>>,
    /// Around looking at the medium.
    medium: Mutex<()>,
    /// What the block layer has of it, until it goes: they have references to it.
    shown: Mutex<Option<(Arc<Queue>, Arc<Gendisk>)>>,
    /// The medium may be another one, or none.
    changed: AtomicBool,
    /// The same for `CDROM_MEDIA_CHANGED`.
    pub(crate) reported: AtomicBool,
    gone: AtomicBool,
    /// `CDROM_SET_OPTIONS`.
    pub(crate) options: AtomicU32,
    /// How many have it open; the door is locked while that is so, if the options say so.
    openers: AtomicU32,
    /// Somebody opened it who wants a medium, since it was closed by all.
    for_data: AtomicBool,
    /// A program locked the door (`CDROM_LOCKDOOR`): it stays so when the drive is closed.
    pub(crate) kept_locked: AtomicBool,
    /// Dropped last.
    _alive: AliveGuard,
}

/// A drive while the driver is bound to its unit; dropped, it goes.
pub(crate) struct Bound(Arc<Drive>);

impl Drop for Bound {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Takes a unit. May sleep.
pub(crate) fn probe(unit: &Arc<Unit>) -> Result<Bound> {
    let index = NUMBERS.alloc(MAX_DRIVES)?;
    let number = index.get();
    let host = *unit.host().params();
    let depth = unit.max_depth().clamp(1, 64);
    let drive = Drive {
        unit: unit.clone(),
        index: Mutex::new(Some(index)),
        tags: Tags::new(host.hw_queues, depth)?,
        me: SetOnce::new(),
        medium: Mutex::new(()),
        shown: Mutex::new(None),
        changed: AtomicBool::new(true),
        reported: AtomicBool::new(false),
        gone: AtomicBool::new(false),
        options: AtomicU32::new(ioctl::DEFAULT_OPTIONS),
        openers: AtomicU32::new(0),
        for_data: AtomicBool::new(false),
        kept_locked: AtomicBool::new(false),
        _alive: crate::ALIVE.count(),
    };
    let drive = Arc::new(drive, GFP_KERNEL)?;
    // New, so it is empty.
    let _ = drive.me.set(Arc::downgrade(&drive));
    let params = MqParams { hw_queues: host.hw_queues, poll_queues: 0, depth, no_sched: false };
    let queue = Queue::new(params, KBox::new(OfQueue(drive.clone()), GFP_KERNEL)?)?;
    queue.set_timeout_ms(u32::try_from(unit.timeout_ns() / 1_000_000)?)?;
    let (name, path) = (KString::from_fmt(format_args!("sr{number}"), GFP_KERNEL)?, unit.sysfs_path()?);
    let params = GendiskParams {
        name: name.to_str().ok_or(EINVAL)?,
        major: MAJOR,
        first_minor: number,
        minors: 1,
        parent: path.to_str(),
        removable: true,
        no_part: true,
        owner: <crate::SrMod as kernel::ModuleMetadata>::this_module().header(),
    };
    let max_sectors = (host.max_sectors & !3).clamp(8, 0xffff * (BLOCK >> 9));
    let limits = QueueLimits {
        logical_block_size: BLOCK,
        physical_block_size: BLOCK,
        max_hw_sectors: max_sectors,
        max_sectors: max_sectors.min(block::BLK_DEF_MAX_SECTORS),
        max_segments: host.max_segments,
        max_segment_size: host.max_segment_size,
        seg_boundary_mask: host.seg_boundary_mask,
        dma_alignment: host.dma_alignment,
        ..QueueLimits::default()
    };
    let shown = Gendisk::new(&params, limits, KBox::new(MqDisk(queue.clone()), GFP_KERNEL)?)?;
    shown.set_adapter(host.owner);
    shown.set_read_only(true);
    let upper = Arc::new(OfUnit(drive.clone(), queue.clone()), GFP_KERNEL)?;
    unit.set_upper(upper, depth as usize * host.hw_queues as usize)?;
    *drive.shown.lock() = Some((queue, shown.clone()));
    // From here on it goes with its value.
    let bound = Bound(drive);
    bound.0.look_at_medium(&shown)?;
    pr_info!("sr {}: Attached scsi CD-ROM sr{number}", unit.name()?);
    shown.add()?;
    Ok(bound)
}

impl Drive {
    /// The unit below.
    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    pub(crate) fn openers(&self) -> u32 {
        self.openers.load(Acquire)
    }

    /// It goes. May sleep.
    fn remove(&self) {
        let Some((queue, shown)) = self.shown.lock().take() else { return };
        self.gone.store(true, Release);
        shown.remove();
        queue.drain();
        self.unit.clear_upper();
        // Nobody can open it any more: the next drive may have its number, though RCU keeps this one for a moment.
        if shown.openers() == 0 {
            let index = self.index.lock().take();
            drop(index);
        }
    }

    /// Whether there is a medium that can be read; what changed is noted. ENOMEM. May sleep.
    pub(crate) fn is_ready(&self) -> Result<bool> {
        for _ in 0..50 {
            let answer = self.unit.execute_plain(Cdb::test_unit_ready(), READY_NS, 0)?;
            let Some(sense) = answer.sense_data().filter(|_| answer.result.is_err()) else {
                return Ok(answer.result.is_ok());
            };
            match (sense.key, sense.asc, sense.ascq) {
                (key::UNIT_ATTENTION, ..) => self.note_change(),
                // It becomes ready.
                (key::NOT_READY, 0x04, 0x01) => wait_a_moment(),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    fn note_change(&self) {
        self.changed.store(true, Release);
        self.reported.store(true, Release);
    }

    /// Takes the medium's size over, if it may be another one. May sleep.
    pub(crate) fn look_at_medium(&self, shown: &Arc<Gendisk>) -> Result {
        let _medium = self.medium.lock();
        let ready = self.is_ready()?;
        if !ready {
            self.changed.store(true, Release);
            shown.set_capacity(0);
            return Ok(());
        }
        if !self.changed.load(Acquire) && shown.capacity() != 0 {
            return Ok(());
        }
        let answer =
            self.unit.ask(Cdb::read_capacity_10(), 8).ok().and_then(|bytes| scsi_proto::capacity10(&bytes)).flatten();
        // As Linux: a drive that does not say has as much as would fit, and blocks are of 2048 bytes in any case.
        let sectors = match answer {
            Some(capacity) if capacity.block == BLOCK => capacity.blocks << (SHIFT - 9),
            Some(capacity) if capacity.block == 512 => capacity.blocks & !3,
            _ => 0x1f_ffff,
        };
        shown.set_capacity(sectors);
        self.changed.store(false, Release);
        Ok(())
    }

    /// Whether it goes, or is offline.
    fn is_away(&self) -> bool {
        self.gone.load(Acquire) || self.unit.state() != State::Running
    }

    /// Somebody opens it. ENXIO if it is gone or offline, EROFS to write; without `nonblock` ENOMEDIUM. May sleep.
    fn opened(&self, shown: &Arc<Gendisk>, write: bool, nonblock: bool) -> Result {
        if self.is_away() {
            return Err(ENXIO);
        }
        self.look_at_medium(shown)?;
        let nonblock = nonblock && self.options.load(Relaxed) & ioctl::USE_FFLAGS != 0;
        if !nonblock {
            if shown.capacity() == 0 && self.options.load(Relaxed) & ioctl::AUTO_CLOSE != 0 {
                // A tray that is open is closed.
                self.unit.execute_plain(Cdb::start_stop(true, true), READY_NS, 3)?;
                self.look_at_medium(shown)?;
            }
            if shown.capacity() == 0 {
                return Err(ENOMEDIUM);
            }
            if write {
                return Err(EROFS);
            }
        }
        self.openers.fetch_add(1, AcqRel);
        if !nonblock {
            self.for_data.store(true, Release);
            if self.options.load(Relaxed) & ioctl::LOCK != 0 {
                // A drive that cannot lock its door is read all the same.
                let _ = self.unit.execute_plain(Cdb::prevent_removal(true), READY_NS, 3);
            }
        }
        Ok(())
    }

    fn released(&self) {
        if self.openers.fetch_sub(1, AcqRel) != 1 || self.gone.load(Acquire) {
            return;
        }
        if !self.kept_locked.load(Acquire) {
            // The same.
            let _ = self.unit.execute_plain(Cdb::prevent_removal(false), READY_NS, 3);
        }
        if self.for_data.swap(false, AcqRel) && self.options.load(Relaxed) & ioctl::AUTO_EJECT != 0 {
            // Nobody waits for its outcome.
            let _ = self.unit.execute_plain(Cdb::start_stop(false, true), READY_NS, 3);
        }
    }

    fn send(&self, hw: u32, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        let (sector, sectors) = (request.sector(), request.sectors());
        if request.op() != Op::Read || self.changed.load(Acquire) || (sector | sectors) & 3 != 0 {
            // A medium that nobody has looked at is not read.
            return Err(Refused::Failed(request, EIO));
        }
        let Ok(blocks) = u32::try_from(sectors >> 2) else { return Err(Refused::Failed(request, EIO)) };
        let Some(me) = self.me.get().and_then(WeakArc::upgrade) else { return Err(Refused::Failed(request, EIO)) };
        self.tags.send(&self.unit, me, hw, request, last, |command| {
            command.cdb = Cdb::transfer(Transfer { write: false, lba: sector >> 2, blocks, fua: false }, false);
            command.direction = Direction::In;
            command.data = Data::Request;
            command.allowed = RETRIES;
            command.timeout_ns = self.unit.timeout_ns();
        })
    }
}

/// A moment for a drive that becomes ready. May sleep.
fn wait_a_moment() {
    ktime::sleep_ns(200_000_000);
}

impl End for Drive {
    fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    fn end(&self, mut command: KBox<Command>, result: Result) {
        let Some(request) = command.request.take() else { return };
        if let Some(sense) = command.sense_data()
            && (sense.key == key::UNIT_ATTENTION && sense.asc == 0x28 || sense.asc == 0x3a)
        {
            self.note_change();
        }
        self.tags.keep(&request, command);
        request.complete(result);
    }
}

/// What the queue has of a drive.
struct OfQueue(Arc<Drive>);

impl MqOps for OfQueue {
    fn queue_rq(&self, hw: &HwQueue, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        self.0.send(hw.index(), request, last)
    }

    fn commit_rqs(&self, hw: &HwQueue) {
        self.0.unit.host().ops().commit(hw.index());
    }

    fn has_timeout(&self) -> bool {
        true
    }

    fn timeout(&self, hw: &HwQueue, expired: Expired) -> TimeoutAction {
        self.0.tags.late(&self.0.unit, hw, expired)
    }
}

impl DiskOps for OfQueue {
    fn open(&self, shown: &Arc<Gendisk>, write: bool) -> Result {
        self.0.opened(shown, write, false)
    }

    fn open_nonblock(&self, shown: &Arc<Gendisk>, write: bool) -> Result {
        self.0.opened(shown, write, true)
    }

    fn release(&self, _: &Arc<Gendisk>) {
        self.0.released();
    }

    fn ioctl(&self, bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result<usize> {
        if self.0.is_away() {
            return Err(ENODEV);
        }
        ioctl::ioctl(&self.0, bdev, write, cmd, arg)
    }
}

/// What the unit has of a drive.
struct OfUnit(Arc<Drive>, Arc<Queue>);

impl Upper for OfUnit {
    fn rescan(&self) {
        let shown = self.0.shown.lock().as_ref().map(|(_, shown)| shown.clone());
        if let Some(shown) = shown {
            self.0.changed.store(true, Release);
            // Without memory it is looked at when it is opened.
            let _ = self.0.look_at_medium(&shown);
        }
    }

    fn queue(&self) -> &Arc<Queue> {
        &self.1
    }
}
