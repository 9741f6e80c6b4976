// SPDX-License-Identifier: GPL-2.0
//! After an error: which command failed and why, the others wait and are sent again, and the port goes on. If the device does not say
//! what failed, or does not answer at all, its link is reset. All sleep.

use crate::port::{Port, Registers, packet_task, refuse};
use crate::regs::*;
use ata_sat::{Protocol, Taskfile};
use core::sync::atomic::Ordering::*;
use errno::{Result, code::*};
use klog::{pr_err, pr_warn};
use scsi::{Direction, HostStatus, done};
use scsi_proto::key;

/// Bytes of sense data that a CD is asked for.
const SENSE: u32 = 18;

impl Port {
    /// The port was frozen by an interrupt that says something is wrong.
    pub(crate) fn recover(&self) {
        let _recovery = self.recovery.lock();
        if self.stopped.load(Acquire) {
            return;
        }
        self.freeze();
        self.finish_frozen();
        if !self.is_connected() {
            return self.lost();
        }
        let known = self.slots.lock_irqsave().device.is_some();
        let changed = self.read(SERR) & (1 << 26 | 1 << 16) != 0;
        if !known || changed {
            return self.begin_anew(HostStatus::Reset);
        }
        if self.mend().is_err() {
            self.begin_anew(HostStatus::Reset);
        }
    }

    /// A command takes too long: everything comes back, `id` as late.
    pub(crate) fn reset_for(&self, id: u64) {
        let _recovery = self.recovery.lock();
        if self.stopped.load(Acquire) {
            return;
        }
        self.freeze();
        self.finish_frozen();
        if self.has(id) {
            self.begin_anew(HostStatus::TimeOut);
        } else if self.mend().is_err() {
            self.begin_anew(HostStatus::Reset);
        }
    }

    /// There is no device any more.
    fn lost(&self) {
        self.slots.lock_irqsave().device = None;
        // Without it nothing stops, and nothing is sent.
        let _ = self.stop();
        self.give_back(HostStatus::NoConnect);
        self.tell_change();
        self.listen();
    }

    fn tell_change(&self) {
        if let Some(work) = self.change_work.get() {
            work.queue();
        }
    }

    /// Lets changes of the link interrupt, while nothing else can happen.
    pub(crate) fn listen(&self) {
        self.write(SERR, u32::MAX);
        self.write(PIS, u32::MAX);
        self.write(PIE, INT_PHY | INT_CONNECT);
    }

    /// Commands go on.
    pub(crate) fn thaw(&self) {
        {
            let mut slots = self.slots.lock_irqsave();
            slots.frozen = false;
            self.write(PIE, INT_ALL);
        }
        if let Some(host) = self.host() {
            host.room();
        }
    }

    /// Resets the link; what the port has comes back with `status`; a device that came or went is told of.
    pub(crate) fn begin_anew(&self, status: HostStatus) {
        let old = self.slots.lock_irqsave().device;
        if self.stop().is_err() {
            pr_err!("ata{} does not stop", self.id);
        }
        let found = match self.look() {
            Ok(found) => found,
            // Once more: a device may need a second reset.
            Err(_) => self.look().unwrap_or_else(|error| {
                pr_err!("ata{}: the device does not answer: {error}", self.id);
                None
            }),
        };
        self.give_back(if found.is_none() { HostStatus::NoConnect } else { status });
        let same = match (&old, &found) {
            (Some(old), Some(new)) => old.serial == new.serial && old.model == new.model && old.blocks == new.blocks,
            (None, None) => true,
            _ => false,
        };
        self.slots.lock_irqsave().device = found;
        if !same {
            self.announce(found.as_ref());
            self.tell_change();
        }
        if found.is_some() {
            // The engine may have been started for a disk.
            if self.stop().is_ok() {
                self.start_engine();
            }
            self.thaw();
        } else {
            let _ = self.stop();
            self.listen();
        }
    }

    /// Finds the command that failed, ends it, gives the others back to be sent again, and lets commands go on. An error: the link must
    /// be reset.
    fn mend(&self) -> Result {
        let (task, slot) = (self.read(TFD), (self.read(CMD) >> 8 & 0x1f) as usize);
        let interface = self.read(SERR) & 0x0fff != 0 || (self.seen.swap(0, AcqRel) | self.read(PIS)) & INT_FATAL != 0;
        let queued = self.slots.lock_irqsave().queued;
        self.stop()?;
        if interface {
            return Err(EIO);
        }
        self.clear_busy()?;
        if task & 0x21 == 0 {
            // Nothing failed.
            self.give_back(HostStatus::Busy);
            self.start_engine();
            self.thaw();
            return Ok(());
        }
        self.start_engine();
        if queued {
            let Ok((tag, status, error)) = self.ask_failed() else {
                // One at a time there is no doubt.
                pr_warn!("ata{}: the device does not say which command failed: no more queued ones", self.id);
                self.unqueued.store(true, Relaxed);
                self.begin_anew(HostStatus::Busy);
                return Ok(());
            };
            self.fail(tag.into(), status, error);
        } else {
            self.fail_alone(slot, task as u8, (task >> 8) as u8)?;
        }
        self.give_back(HostStatus::Busy);
        self.thaw();
        Ok(())
    }

    /// Asks the device which queued command failed: its tag, status and error. EIO.
    fn ask_failed(&self) -> Result<(u8, u8, u8)> {
        self.call(&Taskfile::read_error_log(), &[], 512)?;
        let mut log = [0u8; 512];
        self.memory.scratch(&mut log)?;
        ata_sat::failed_of_log(&log).ok_or(EIO)
    }

    /// Ends a command with what the registers say.
    fn fail(&self, slot: usize, status: u8, error: u8) {
        let Some(its) = self.take(slot) else { return };
        let mut command = its.command;
        let cause = ata_sat::sense_of(status, error).unwrap_or((key::ABORTED_COMMAND, 0, 0));
        pr_warn!("ata{}: failed command {:#x}: status {status:#x}, error {error:#x}", self.id, command.cdb.opcode());
        if its.registers == Registers::Never {
            refuse(&mut command, cause);
        } else {
            self.add_registers(&mut command);
        }
        done(command);
    }

    /// The same for the one command that a port has; a CD is asked what was wrong.
    fn fail_alone(&self, slot: usize, status: u8, error: u8) -> Result {
        let slot = if self.slots.lock_irqsave().slots.get(slot).is_some_and(Option::is_some) { slot } else { 0 };
        let packet = self
            .slots
            .lock_irqsave()
            .slots
            .get(slot)
            .and_then(Option::as_ref)
            .is_some_and(|its| its.protocol == Protocol::Packet);
        if !packet {
            self.fail(slot, status, error);
            return Ok(());
        }
        let ask = [scsi_proto::opcode::REQUEST_SENSE, 0, 0, 0, SENSE as u8, 0];
        // The table of slot 0 is ours now: only this command was in it.
        self.call(&packet_task(1), &ask, SENSE)?;
        let mut sense = [0u8; SENSE as usize];
        self.memory.scratch(&mut sense)?;
        let Some(its) = self.take(slot) else { return Ok(()) };
        let mut command = its.command;
        if command.direction != Direction::None {
            command.residual = command.len() as u32;
        }
        command.status = scsi_proto::status::CHECK_CONDITION;
        if scsi_proto::sense(&sense).is_some() {
            command.sense_buffer(sense.len()).copy_from_slice(&sense);
        } else {
            refuse(&mut command, (error >> 4, 0, 0));
        }
        done(command);
        Ok(())
    }
}
