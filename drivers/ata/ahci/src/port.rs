// SPDX-License-Identifier: GPL-2.0
//! A port's slots: commands are put in, and ended when the controller says so. While a port recovers, commands wait (EBUSY).

use crate::regs::*;
use crate::table::{Memory, SLOTS};
use ata_sat::{Action, Identity, MOST_REPLY, Protocol, Taskfile};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use kernel::ext::AliveGuard;
use kernel::hardware::{locking, mm_alloc, sync, workqueue};
use locking::{SetOnce, SpinLock};
use mm_alloc::{MmioRegion, PhysAddr};
use scsi::{Command, Data, Direction, Host, HostStatus, done};
use sync::Mutex;
use workqueue::Work;

/// What a slot has.
pub(crate) struct Slot {
    pub(crate) command: KBox<Command>,
    pub(crate) protocol: Protocol,
    /// The registers go into its sense data: if it fails, or always.
    pub(crate) registers: Registers,
}

/// Whether a command's sender gets the registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registers {
    Never,
    IfFailed { long: bool },
    Always { long: bool },
}

/// What a command becomes.
struct Plan {
    task: Taskfile,
    /// Sectors to trim: from where, how many.
    trim: Option<(u64, u64)>,
    registers: Registers,
}

impl Plan {
    fn new(task: Taskfile) -> Self {
        Self { task, trim: None, registers: Registers::Never }
    }
}

/// A port's slots.
pub(crate) struct Slots {
    pub(crate) slots: KVec<Option<Slot>>,
    /// Those that the controller has, by bit.
    pub(crate) active: u32,
    /// They are queued commands.
    pub(crate) queued: bool,
    /// A command that goes alone waits: no more queued ones.
    alone_wanted: bool,
    /// Nothing is sent: the port recovers, or has no device.
    pub(crate) frozen: bool,
    /// The device; `None` without one.
    pub(crate) device: Option<Identity>,
    /// An answer that is made up.
    reply: KBox<[u8; MOST_REPLY]>,
}

/// A port.
pub(crate) struct Port {
    /// Its number among all ports since boot, from 1 on: `ata1`.
    pub(crate) id: u32,
    /// Its number in the controller.
    pub(crate) number: usize,
    regs: Arc<MmioRegion>,
    pub(crate) cap: u32,
    pub(crate) memory: Memory,
    pub(crate) slots: SpinLock<Slots>,
    pub(crate) recovery: Mutex<()>,
    pub(crate) host: SpinLock<Option<Arc<Host>>>,
    /// Recovers the port.
    pub(crate) recover_work: SetOnce<Arc<Work>>,
    /// Shows a device that came, hides one that went.
    pub(crate) change_work: SetOnce<Arc<Work>>,
    pub(crate) stopped: AtomicBool,
    /// Its link was reset with all others', and nobody looked yet.
    pub(crate) was_reset: AtomicBool,
    /// What interrupts said that recovery is to look at.
    pub(crate) seen: AtomicU32,
    /// No queued commands: the device does not say which of them failed.
    pub(crate) unqueued: AtomicBool,
    /// Dropped last.
    _alive: AliveGuard,
}

/// Ports since boot.
static IDS: AtomicU32 = AtomicU32::new(0);

impl Port {
    /// A port that is not started. ENOMEM.
    pub(crate) fn new(regs: &Arc<MmioRegion>, cap: u32, number: usize) -> Result<Self> {
        let mut slots = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            slots.push(None, GFP_KERNEL)?;
        }
        Ok(Self {
            id: IDS.fetch_add(1, Relaxed) + 1,
            number,
            regs: regs.clone(),
            cap,
            memory: Memory::new(cap & CAP_64 == 0)?,
            slots: SpinLock::new(Slots {
                slots,
                active: 0,
                queued: false,
                alone_wanted: false,
                frozen: true,
                device: None,
                reply: KBox::new([0; MOST_REPLY], GFP_KERNEL)?,
            }),
            recovery: Mutex::new(()),
            host: SpinLock::new(None),
            recover_work: SetOnce::new(),
            change_work: SetOnce::new(),
            stopped: AtomicBool::new(false),
            was_reset: AtomicBool::new(false),
            seen: AtomicU32::new(0),
            unqueued: AtomicBool::new(false),
            _alive: crate::ALIVE.count(),
        })
    }

    pub(crate) fn read(&self, at: usize) -> u32 {
        self.regs.read32(0x100 + self.number * 0x80 + at)
    }

    pub(crate) fn write(&self, at: usize, value: u32) {
        self.regs.write32(0x100 + self.number * 0x80 + at, value);
    }

    /// How many slots the controller has.
    pub(crate) fn depth(&self) -> u32 {
        (self.cap >> 8 & 0x1f) + 1
    }

    /// The adapter that the middle layer has of it. Any context.
    pub(crate) fn host(&self) -> Option<Arc<Host>> {
        self.host.lock_irqsave().clone()
    }

    /// Takes a command. EBUSY: not now. Any context.
    pub(crate) fn submit(&self, mut command: KBox<Command>) -> Result<(), (Error, KBox<Command>)> {
        let mut slots = self.slots.lock_irqsave();
        let Some(device) = slots.device else {
            let recovers = slots.frozen && !self.stopped.load(Acquire) && self.read(SSTS) & 0xf == 3;
            drop(slots);
            if recovers {
                return Err((EBUSY, command));
            }
            command.host_status = HostStatus::NoConnect;
            done(command);
            return Ok(());
        };
        if slots.frozen {
            return Err((EBUSY, command));
        }
        if device.packet {
            let write = command.direction == Direction::Out;
            let features = u16::from(command.direction != Direction::None);
            let plan = Plan::new(Taskfile { write, ..packet_task(features) });
            return self.start(&mut slots, command, &plan);
        }
        let ncq = self.cap & CAP_NCQ != 0 && !self.unqueued.load(Relaxed);
        match ata_sat::translate(&command.cdb, &device, ncq, &mut slots.reply) {
            Action::Command(task) => self.start(&mut slots, command, &Plan::new(task)),
            Action::Trim(lba, blocks) => {
                let plan = Plan { trim: Some((lba, blocks)), ..Plan::new(Taskfile::trim()) };
                self.start(&mut slots, command, &plan)
            }
            Action::Pass(ata_sat::Pass { task, always, long }) => {
                let registers = if always { Registers::Always { long } } else { Registers::IfFailed { long } };
                self.start(&mut slots, command, &Plan { registers, ..Plan::new(task) })
            }
            Action::Reply(len) => {
                let text = slots.reply.get(..len).unwrap_or_default();
                reply(&mut command, text);
                drop(slots);
                done(command);
                Ok(())
            }
            Action::Refused(cause) => {
                drop(slots);
                refuse(&mut command, cause);
                done(command);
                Ok(())
            }
        }
    }

    /// Starts a command in a free slot. Queued ones go together, others alone.
    fn start(&self, slots: &mut Slots, command: KBox<Command>, plan: &Plan) -> Result<(), (Error, KBox<Command>)> {
        let task = &plan.task;
        let queued = task.protocol == Protocol::Ncq;
        if slots.active != 0 && (!queued || !slots.queued || slots.alone_wanted) {
            slots.alone_wanted |= !queued;
            return Err((EBUSY, command));
        }
        let most = match slots.device {
            Some(device) if queued => u32::from(device.queue).min(self.depth()),
            _ => 1,
        };
        let slot = slots.active.trailing_ones();
        if slot >= most {
            return Err((EBUSY, command));
        }
        let put = match plan.trim {
            Some((lba, blocks)) => {
                self.memory.put_trim(slot as usize, &ata_sat::trim_ranges(lba, blocks)).and_then(|at| {
                    self.memory.put(slot as usize, task, &[], core::iter::once((at, ata_sat::TRIM_BYTES as u32)))
                })
            }
            None if task.protocol == Protocol::NonData => {
                self.memory.put(slot as usize, task, &[], core::iter::empty())
            }
            None => self.memory.put(slot as usize, task, command.cdb.bytes(), command.pieces()),
        };
        if let Err(error) = put {
            return Err((error, command));
        }
        let Some(place) = slots.slots.get_mut(slot as usize) else { return Err((EIO, command)) };
        *place = Some(Slot { command, protocol: task.protocol, registers: plan.registers });
        slots.active |= 1 << slot;
        slots.queued = queued;
        if !queued {
            slots.alone_wanted = false;
        }
        // The controller must see the table before the bit; x86 keeps stores in order.
        core::sync::atomic::fence(Release);
        if queued {
            self.write(SACT, 1 << slot);
        }
        self.write(CI, 1 << slot);
        Ok(())
    }

    /// The port interrupted. Any context.
    pub(crate) fn interrupt(&self) {
        let status = self.read(PIS);
        self.write(PIS, status);
        if status & INT_BAD != 0 {
            self.seen.fetch_or(status, AcqRel);
            self.freeze();
            if let Some(work) = self.recover_work.get() {
                work.queue();
            }
            return;
        }
        self.finish();
    }

    /// Nothing is sent any more, and nothing interrupts.
    pub(crate) fn freeze(&self) {
        let mut slots = self.slots.lock_irqsave();
        slots.frozen = true;
        self.write(PIE, 0);
    }

    /// Takes out a command that the controller is done with.
    fn take_done(&self, slots: &mut Slots) -> Option<KBox<Command>> {
        let busy = if slots.queued { self.read(SACT) | self.read(CI) } else { self.read(CI) };
        // A port that is gone reads as ones.
        let ended = slots.active & !busy;
        let slot = ended.trailing_zeros() as usize;
        let its = slots.slots.get_mut(slot)?.take()?;
        slots.active &= !(1 << slot);
        let mut command = its.command;
        command.residual = match its.protocol {
            Protocol::Ncq | Protocol::NonData => 0,
            _ if command.direction == Direction::None => 0,
            // A trim has a list of its own in place of its data.
            Protocol::Dma if matches!(command.data, Data::Piece(..)) => 0,
            Protocol::Dma | Protocol::Packet => command.len().saturating_sub(self.memory.moved(slot).into()) as u32,
        };
        if let Registers::Always { long } = its.registers {
            self.add_registers(&mut command, long);
        }
        Some(command)
    }

    /// Puts the registers of the command that ended last into its sense data.
    pub(crate) fn add_registers(&self, command: &mut Command, long: bool) {
        let sense = ata_sat::registers_sense(&self.memory.registers(), long);
        command.status = scsi_proto::status::CHECK_CONDITION;
        command.sense_buffer(sense.len()).copy_from_slice(&sense);
    }

    /// Ends what the controller is done with, while it works. Any context.
    pub(crate) fn finish(&self) {
        let mut some = false;
        loop {
            let command = {
                let mut slots = self.slots.lock_irqsave();
                if slots.frozen {
                    // An error stopped it: who recovers looks at the registers.
                    return;
                }
                self.take_done(&mut slots)
            };
            let Some(command) = command else { break };
            some = true;
            done(command);
        }
        if some && let Some(host) = self.host() {
            host.room();
        }
    }

    /// The same while it is frozen: only what ended before the error.
    pub(crate) fn finish_frozen(&self) {
        loop {
            let command = self.take_done(&mut self.slots.lock_irqsave());
            match command {
                Some(command) => done(command),
                None => return,
            }
        }
    }

    /// Takes a slot's command back. The port is stopped.
    pub(crate) fn take(&self, slot: usize) -> Option<Slot> {
        let mut slots = self.slots.lock_irqsave();
        let its = slots.slots.get_mut(slot)?.take();
        slots.active &= !(1u32.checked_shl(slot as u32).unwrap_or(0));
        its
    }

    /// Takes all commands back, with this status. The port is stopped.
    pub(crate) fn give_back(&self, status: HostStatus) {
        for slot in 0..SLOTS {
            if let Some(its) = self.take(slot) {
                let mut command = its.command;
                command.host_status = status;
                done(command);
            }
        }
    }

    /// Whether it has this command.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.slots.lock_irqsave().slots.iter().flatten().any(|slot| slot.command.id() == id)
    }

    /// Where the scratch bytes are, as the one piece of data of a command of our own.
    pub(crate) fn scratch_piece(&self, len: u32) -> impl Iterator<Item = (PhysAddr, u32)> {
        core::iter::once((self.memory.scratch_at(), len))
    }
}

/// The ATA command that carries a packet. `features`: 1 for data by DMA.
pub(crate) fn packet_task(features: u16) -> Taskfile {
    // Middle and high byte: most bytes at once, for a device that moves them by programmed I/O: 8 KB.
    Taskfile { features, lba: 0x20_0000, protocol: Protocol::Packet, ..Taskfile::new(0xa0) }
}

/// Answers a command with bytes that were made up.
fn reply(command: &mut Command, text: &[u8]) {
    let wanted = command.len() as usize;
    let given = text.get(..text.len().min(wanted)).unwrap_or_default();
    let fits = match &command.data {
        Data::Buffer(buffer, _) => buffer.write_bytes(0, given).is_ok(),
        // There is nobody who would look.
        Data::None => true,
        Data::Request | Data::Piece(..) => given.is_empty(),
    };
    if fits {
        command.residual = (wanted - given.len()) as u32;
    } else {
        refuse(command, (scsi_proto::key::ILLEGAL_REQUEST, 0x24, 0));
    }
}

/// Ends a command with sense data.
pub(crate) fn refuse(command: &mut Command, cause: ata_sat::Cause) {
    let sense = ata_sat::fixed_sense(cause);
    command.status = scsi_proto::status::CHECK_CONDITION;
    command.sense_buffer(sense.len()).copy_from_slice(&sense);
}
