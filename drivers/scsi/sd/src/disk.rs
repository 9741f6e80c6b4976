// SPDX-License-Identifier: GPL-2.0
//! A disk's requests: nothing is allocated on their way (`scsi::Tags`).

use crate::learn::{Discard, Facts};
use block::mq::{Expired, HwQueue, MqOps, Queue, Refused, Request, TimeoutAction};
use block::{BlockDevice, DiskOps, Gendisk, Geometry, Op, OpFlags, disk_name};
use core::sync::atomic::{AtomicBool, Ordering::*};
use device::Id;
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec, WeakArc};
use kernel::ext::AliveGuard;
use kernel::hardware::{block, device, locking, mm_alloc, rcu, sync, workqueue};
use locking::SetOnce;
use mm_alloc::dma::DmaBuffer;
use rcu::RcuArc;
use scsi::{Command, Data, Direction, End, Tags, Unit, Upper};
use scsi_proto::{Cdb, Transfer, key};
use sync::Mutex;
use workqueue::Work;

/// How often a request is sent again (`SD_MAX_RETRIES`).
const RETRIES: u32 = 5;
/// Bytes of an UNMAP's list.
const LIST: usize = 24;
/// Distance of two lists.
const LIST_STEP: usize = 32;

/// A disk.
pub(crate) struct Disk {
    unit: Arc<Unit>,
    /// Its name (`sda`), and the number in it: that is given back as soon as nobody has the disk open any more.
    pub(crate) name: KString,
    pub(crate) index: Mutex<Option<Id>>,
    tags: Tags,
    /// Memory for lists of UNMAP, by hardware queue.
    lists: KVec<DmaBuffer>,
    /// A block of zeros for WRITE SAME.
    zeros: DmaBuffer,
    facts: RcuArc<Facts>,
    /// Around asking the disk again.
    pub(crate) learning: Mutex<()>,
    /// What the block layer has of it, until it goes: they have references to it.
    pub(crate) shown: Mutex<Option<(Arc<Queue>, Arc<Gendisk>)>>,
    me: SetOnce<WeakArc<Disk>>,
    /// The disk refused to give blocks back, or to write the same ones.
    refused_discard: AtomicBool,
    refused_zeroes: AtomicBool,
    /// Tells the block layer of it.
    pub(crate) limits_work: SetOnce<Arc<Work>>,
    pub(crate) gone: AtomicBool,
    /// The medium may have been changed.
    pub(crate) changed: AtomicBool,
    /// Dropped last.
    _alive: AliveGuard,
}

impl Disk {
    /// Disk `index` with `depth` requests in each of `queues` hardware queues. ENOMEM.
    pub(crate) fn new(unit: &Arc<Unit>, index: Id, queues: u32, depth: u32, facts: Facts) -> Result<Arc<Self>> {
        let mut lists = KVec::with_capacity(queues as usize, GFP_KERNEL)?;
        for _ in 0..queues {
            lists.push(DmaBuffer::new(depth as usize * LIST_STEP, false, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let disk = Self {
            unit: unit.clone(),
            name: disk_name("sd", index.get())?,
            index: Mutex::new(Some(index)),
            tags: Tags::new(queues, depth)?,
            lists,
            zeros: DmaBuffer::new(4096, false, GFP_KERNEL)?,
            facts: RcuArc::new(Some(Arc::new(facts, GFP_KERNEL)?)),
            learning: Mutex::new(()),
            shown: Mutex::new(None),
            me: SetOnce::new(),
            refused_discard: AtomicBool::new(false),
            refused_zeroes: AtomicBool::new(false),
            limits_work: SetOnce::new(),
            gone: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            _alive: crate::ALIVE.count(),
        };
        let disk = Arc::new(disk, GFP_KERNEL)?;
        // New, so it is empty.
        let _ = disk.me.set(Arc::downgrade(&disk));
        Ok(disk)
    }

    /// What is known of it.
    pub(crate) fn facts(&self) -> Facts {
        let section = rcu::read_lock();
        self.facts.load(&section).copied().unwrap_or_default()
    }

    /// Takes over what was learned. ENOMEM. `learning` is held, so that nothing is lost.
    pub(crate) fn set_facts(&self, facts: Facts) -> Result {
        self.facts.replace(Some(Arc::new(facts, GFP_KERNEL)?));
        Ok(())
    }

    /// The unit below.
    pub(crate) fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    /// The disk as the block layer has it, until it goes. May sleep.
    pub(crate) fn shown(&self) -> Option<Arc<Gendisk>> {
        self.shown.lock().as_ref().map(|(_, shown)| shown.clone())
    }

    /// What the block layer is told after the disk refused something.
    pub(crate) fn take_refusals(&self, facts: &mut Facts) {
        if self.refused_discard.load(Acquire) {
            (facts.discard, facts.max_discard) = (Discard::Disabled, 0);
        }
        if self.refused_zeroes.load(Acquire) {
            facts.max_write_same = 0;
        }
    }

    /// The command for a request, and its data.
    fn build(&self, request: &Request, hw: u32) -> Result<(Cdb, Direction, Data)> {
        let facts = self.facts();
        let unit = facts.shift - 9;
        let (sector, sectors) = (request.sector(), request.sectors());
        if (sector | sectors) & ((1 << unit) - 1) != 0 {
            return Err(EIO);
        }
        let (lba, blocks) = (sector >> unit, u32::try_from(sectors >> unit)?);
        let zeros = || Data::Piece(self.zeros.bus_addr(), 1 << facts.shift);
        match request.op() {
            Op::Flush => Ok((Cdb::synchronize_cache(), Direction::None, Data::None)),
            op @ (Op::Read | Op::Write) => {
                let (write, fua) = (op == Op::Write, request.flags().has(OpFlags::FUA));
                let cdb = Cdb::transfer(Transfer { write, lba, blocks, fua }, facts.long);
                Ok((cdb, if write { Direction::Out } else { Direction::In }, Data::Request))
            }
            Op::Discard if self.refused_discard.load(Acquire) => Err(EOPNOTSUPP),
            Op::Discard => match facts.discard {
                Discard::Unmap => {
                    let lists = self.lists.get(hw as usize).ok_or(EIO)?;
                    let at = request.tag() as usize * LIST_STEP;
                    lists.write_bytes(at, &Cdb::unmap_list(lba, blocks))?;
                    Ok((Cdb::unmap(), Direction::Out, Data::Piece(lists.bus_addr() + at as u64, LIST as u32)))
                }
                Discard::WriteSame16 => Ok((Cdb::write_same_16(lba, blocks, true), Direction::Out, zeros())),
                Discard::WriteSame10 => {
                    let cdb = Cdb::write_same_10(lba, blocks, true).ok_or(EOPNOTSUPP)?;
                    Ok((cdb, Direction::Out, zeros()))
                }
                Discard::Full | Discard::Disabled => Err(EOPNOTSUPP),
            },
            Op::WriteZeroes if facts.max_write_same == 0 || self.refused_zeroes.load(Acquire) => Err(EOPNOTSUPP),
            Op::WriteZeroes => {
                let unmap =
                    facts.zeroes && facts.discard != Discard::Disabled && !request.flags().has(OpFlags::NOUNMAP);
                let cdb = if facts.write_same_16 {
                    Cdb::write_same_16(lba, blocks, unmap)
                } else {
                    Cdb::write_same_10(lba, blocks, unmap).ok_or(EOPNOTSUPP)?
                };
                Ok((cdb, Direction::Out, zeros()))
            }
            Op::SecureErase => Err(EOPNOTSUPP),
        }
    }

    fn send(&self, hw: u32, request: KBox<Request>, last: bool) -> Result<(), Refused> {
        if self.changed.load(Relaxed) {
            // Nothing goes to a medium that nobody has looked at.
            return Err(Refused::Failed(request, EIO));
        }
        let (cdb, direction, data) = match self.build(&request, hw) {
            Ok(built) => built,
            Err(error) => return Err(Refused::Failed(request, error)),
        };
        let Some(me) = self.me.get().and_then(WeakArc::upgrade) else { return Err(Refused::Failed(request, EIO)) };
        let allowed = if request.flags().has(OpFlags::FAILFAST_DEV) { 0 } else { RETRIES };
        let timeout_ns = self.unit.timeout_ns().saturating_mul(if request.op() == Op::Flush { 2 } else { 1 });
        self.tags.send(&self.unit, me, hw, request, last, |command| {
            command.cdb = cdb;
            command.direction = direction;
            command.data = data;
            command.allowed = allowed;
            command.timeout_ns = timeout_ns;
        })
    }

    /// What the block layer hears of an error; the disk may have refused a kind of command for good.
    fn error_of(&self, command: &Command, op: Op, error: Error) -> Error {
        let sense = command.sense_data();
        if sense.is_some_and(|sense| sense.asc == 0x3a || sense.key == key::UNIT_ATTENTION && sense.asc == 0x28)
            && self.unit.inquiry().is_some_and(|inquiry| inquiry.removable)
        {
            self.changed.store(true, Release);
        }
        let unknown = sense.is_some_and(|sense| sense.key == key::ILLEGAL_REQUEST && matches!(sense.asc, 0x20 | 0x24));
        let refused = match op {
            Op::Discard if unknown => &self.refused_discard,
            Op::WriteZeroes if unknown => &self.refused_zeroes,
            _ => return error,
        };
        if !refused.swap(true, AcqRel)
            && let Some(work) = self.limits_work.get()
        {
            work.queue();
        }
        EOPNOTSUPP
    }
}

impl End for Disk {
    fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    fn end(&self, mut command: KBox<Command>, result: Result) {
        let Some(request) = command.request.take() else { return };
        let result = result.map_err(|error| self.error_of(&command, request.op(), error));
        self.tags.keep(&request, command);
        request.complete(result);
    }
}

/// What the queue has of a disk.
pub(crate) struct DiskOfQueue(pub(crate) Arc<Disk>);

impl MqOps for DiskOfQueue {
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

impl DiskOps for DiskOfQueue {
    fn open(&self, shown: &Arc<Gendisk>, write: bool) -> Result {
        self.0.opened(shown, write, false)
    }

    fn open_nonblock(&self, shown: &Arc<Gendisk>, write: bool) -> Result {
        self.0.opened(shown, write, true)
    }

    fn ioctl(&self, bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result<usize> {
        if self.0.gone.load(Acquire) {
            return Err(ENODEV);
        }
        scsi::ioctl(&self.0.unit, bdev.is_partition(), write, cmd, arg)
    }

    fn getgeo(&self, disk: &Gendisk) -> Result<Geometry> {
        // Linux's default, cut to what fits. Linux would first look what the partition table means, and says 255 heads for SATA.
        Ok(Geometry { heads: 64, sectors: 32, cylinders: (disk.capacity() >> 11) as u16 })
    }
}

/// What the unit has of a disk.
pub(crate) struct DiskOfUnit(pub(crate) Arc<Disk>, pub(crate) Arc<Queue>);

impl Upper for DiskOfUnit {
    fn rescan(&self) {
        self.0.look_again();
    }

    fn queue(&self) -> &Arc<Queue> {
        &self.1
    }
}
