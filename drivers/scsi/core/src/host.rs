// SPDX-License-Identifier: GPL-2.0
//! `Host`: an adapter, and what its driver does for it.

use crate::command::Command;
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, Ordering::*};
use device::{Id, Ida};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::ext::AliveGuard;
use kernel::hardware::{device, locking, module_core, sync};
use locking::SpinLock;
use module_core::Header;
use sync::Mutex;

/// What an adapter's driver does.
pub trait HostOps: Send + Sync {
    /// Starts a command; the driver keeps it until it calls [`crate::done`], perhaps at once. `last`: no other follows at once. `Err`
    /// gives it back: EBUSY if there is no room now ([`Host::room`] says when there is), else the error it ends with. Any context.
    fn queue_command(&self, command: KBox<Command>, last: bool) -> Result<(), (Error, KBox<Command>)>;

    /// Tells the hardware of commands of hardware queue `hw` that were queued without `last`. Any context.
    fn commit(&self, hw: u32) {
        let _ = hw;
    }

    /// A command takes too long: makes the adapter forget it. True when it is back (or was). May sleep.
    fn abort(&self, unit: &Unit, hw: u32, id: u64) -> bool;

    /// It could not be aborted: resets its unit. True when the command is back. May sleep.
    fn reset_unit(&self, unit: &Unit, hw: u32, id: u64) -> bool;

    /// Nothing else helped: whatever it takes, all commands are back when this returns. May sleep.
    fn reset_host(&self);

    /// A request of programs that only this adapter knows. ENOTTY. May sleep.
    fn ioctl(&self, unit: &Unit, cmd: u32, arg: usize) -> Result<usize> {
        let _ = (unit, cmd, arg);
        Err(ENOTTY)
    }
}

/// What an adapter is like.
#[derive(Clone, Copy)]
pub struct HostParams {
    /// What it is (said in the log).
    pub name: &'static str,
    /// Its driver (`proc_name`).
    pub driver: &'static str,
    /// The module of its driver: it stays while a disk is open. `None` for code of the image.
    pub owner: Option<&'static Header>,
    /// Hardware queues.
    pub hw_queues: u32,
    /// Commands that it has at a time, in each queue.
    pub can_queue: u32,
    /// Commands of one unit.
    pub cmd_per_lun: u32,
    /// Targets, from 0 on.
    pub targets: u32,
    /// The first number that no unit has.
    pub max_lun: u64,
    /// Sectors of a transfer.
    pub max_sectors: u32,
    /// Pieces of memory of a transfer.
    pub max_segments: u32,
    /// Bytes of a piece.
    pub max_segment_size: u32,
    /// Alignment of pieces, less one.
    pub dma_alignment: u32,
    /// Multiples of this plus one are not crossed by a piece.
    pub seg_boundary_mask: u64,
    /// Its units have no `WRITE SAME` that could be trusted (`no_write_same`).
    pub no_write_same: bool,
    /// What its driver calls it (`unique_id`): 0, or the number of the SATA port.
    pub unique_id: u32,
}

/// An adapter.
pub struct Host {
    number: Id,
    params: HostParams,
    parent: KString,
    ops: Arc<dyn HostOps>,
    pub(crate) units: SpinLock<KVec<Arc<Unit>>>,
    /// A unit was refused room.
    starved: AtomicBool,
    gone: AtomicBool,
    /// Around finding and removing units.
    pub(crate) scanning: Mutex<()>,
    /// Around bringing back what takes too long: one at a time.
    pub(crate) recovery: Mutex<()>,
    /// That goes on: what came back is not sent again meanwhile, or it would look as if it had not come back.
    pub(crate) recovering: AtomicBool,
    pub(crate) device: Mutex<Option<Arc<device::Device>>>,
    /// Dropped last.
    _alive: AliveGuard,
}

pub(crate) static NUMBERS: Ida = Ida::new();

impl Host {
    /// Shows an adapter whose device is at `parent` in `/sys`; [`Self::scan`] finds its units. EINVAL for one without queues, ENOMEM.
    /// May sleep.
    pub fn add(params: HostParams, parent: &str, ops: Arc<dyn HostOps>) -> Result<Arc<Self>> {
        if params.hw_queues == 0 || params.can_queue == 0 || params.cmd_per_lun == 0 {
            return Err(EINVAL);
        }
        let parent = KString::from_str(parent, GFP_KERNEL)?;
        let host = Self {
            number: NUMBERS.alloc(1 << 20)?,
            parent,
            params,
            ops,
            units: SpinLock::new(KVec::new()),
            starved: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            scanning: Mutex::new(()),
            recovery: Mutex::new(()),
            recovering: AtomicBool::new(false),
            device: Mutex::new(None),
            _alive: crate::ALIVE.count(),
        };
        let host = Arc::new(host, GFP_KERNEL)?;
        klog::pr_info!("scsi host{}: {}", host.number(), params.name);
        crate::show::add_host(&host).inspect_err(|_| crate::show::remove_host(&host))?;
        Ok(host)
    }

    /// Its number: `host0` has 0.
    pub fn number(&self) -> u32 {
        self.number.get()
    }

    /// What it is like.
    pub fn params(&self) -> &HostParams {
        &self.params
    }

    /// Where in `/sys` its device is.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.parent.to_str()
    }

    /// Its driver.
    #[inline]
    pub fn ops(&self) -> &dyn HostOps {
        &*self.ops
    }

    /// Whether it goes: no units are looked for any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Acquire)
    }

    /// A unit wanted room and there was none.
    pub(crate) fn note_starved(&self) {
        self.starved.store(true, SeqCst);
    }

    /// The adapter has room again. Any context, without the driver's locks: commands that waited are queued here.
    pub fn room(&self) {
        if !self.starved.load(SeqCst) || !self.starved.swap(false, SeqCst) {
            return;
        }
        let mut at = 0;
        loop {
            let unit = self.units.lock_irqsave().get(at).cloned();
            let Some(unit) = unit else { return };
            unit.run();
            at += 1;
        }
    }

    /// The unit at this address.
    pub fn unit(&self, target: u32, lun: u64) -> Option<Arc<Unit>> {
        let units = self.units.lock_irqsave();
        units.iter().find(|unit| unit.target() == target && unit.lun() == lun).cloned()
    }

    /// Its units of one target, or all. ENOMEM. May sleep.
    pub(crate) fn units_of(&self, target: Option<u32>) -> Result<KVec<Arc<Unit>>> {
        loop {
            let count = self.units.lock_irqsave().len();
            let mut list = KVec::with_capacity(count, GFP_KERNEL)?;
            let units = self.units.lock_irqsave();
            if units.len() > count {
                continue;
            }
            for unit in units.iter().filter(|unit| target.is_none_or(|wanted| wanted == unit.target())) {
                // There is room for all.
                let _ = list.push_within_capacity(unit.clone());
            }
            return Ok(list);
        }
    }

    /// Commands that the adapter has.
    pub(crate) fn busy(&self) -> u32 {
        self.units.lock_irqsave().iter().map(|unit| unit.busy()).sum()
    }

    /// Puts a unit into the list. `scanning` is held. ENOMEM.
    pub(crate) fn insert(&self, unit: &Arc<Unit>) -> Result {
        let needed = self.units.lock_irqsave().len() + 1;
        let mut list = KVec::with_capacity(needed, GFP_KERNEL)?;
        let mut units = self.units.lock_irqsave();
        // Only who holds `scanning` changes it.
        for other in units.iter() {
            let _ = list.push_within_capacity(other.clone());
        }
        let _ = list.push_within_capacity(unit.clone());
        core::mem::swap(&mut *units, &mut list);
        drop(units);
        Ok(())
    }

    fn forget(&self, unit: &Unit) {
        let mut units = self.units.lock_irqsave();
        let at = units.iter().position(|other| core::ptr::eq(&**other, unit));
        let gone = at.map(|at| units.remove(at));
        drop(units);
        drop(gone);
    }

    /// Takes a unit away: its driver gives it up, and it is not shown any more. May sleep.
    pub fn remove_unit(&self, unit: &Arc<Unit>) {
        let _scanning = self.scanning.lock();
        self.take_away(unit);
    }

    /// The same, while `scanning` is held.
    pub(crate) fn take_away(&self, unit: &Arc<Unit>) {
        if unit.begin_to_go() {
            // The driver above writes out what it has.
            crate::show::remove_unit(unit);
            unit.set_gone();
            self.forget(unit);
            crate::show::remove_target(self, unit.target());
        }
    }

    /// The adapter goes; its driver gives back all commands, those that come from now on too. May sleep.
    pub fn remove(&self) {
        self.gone.store(true, SeqCst);
        {
            let _scanning = self.scanning.lock();
            loop {
                let unit = self.units.lock_irqsave().first().cloned();
                let Some(unit) = unit else { break };
                self.take_away(&unit);
            }
        }
        // Without the lock: the files that go now are waited for, and `scan` takes it.
        crate::show::remove_host(self);
    }
}
