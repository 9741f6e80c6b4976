// SPDX-License-Identifier: GPL-2.0
//! The link of a port: started and stopped, reset, and what is at its other end. Commands of our own are waited for by looking. The
//! port's `recovery` mutex is held. All sleep.

use crate::port::Port;
use crate::regs::*;
use ata_sat::{IDENTIFY_BYTES, Identity, Taskfile};
use core::sync::atomic::Ordering::*;
use errno::{Result, code::*};
use kalloc::Arc;
use kernel::hardware::ktime;
use klog::{pr_info, pr_warn};

const MS: u64 = 1_000_000;
/// Busy, or wants data.
const BUSY: u32 = 0x88;
/// Signatures of devices: a disk, a CD.
const SIG_DISK: u32 = 0x0000_0101;
const SIG_PACKET: u32 = 0xeb14_0101;
/// Time for a device to show itself on the link, and to be ready.
const SHOW_NS: u64 = 25 * MS;
const LINK_NS: u64 = 1000 * MS;
const READY_NS: u64 = 10_000 * MS;

impl Port {
    /// Waits until `mask` of a register is `value`. ETIMEDOUT.
    fn wait(&self, at: usize, mask: u32, value: u32, ns: u64) -> Result {
        let deadline = ktime::now_ns().saturating_add(ns);
        while self.read(at) & mask != value {
            if ktime::now_ns() > deadline {
                return Err(ETIMEDOUT);
            }
            ktime::sleep_ns(MS);
        }
        Ok(())
    }

    /// Lets the port start no commands any more. ETIMEDOUT.
    pub(crate) fn stop(&self) -> Result {
        let cmd = self.read(CMD);
        if cmd & (CMD_START | CMD_RUNNING) == 0 {
            return Ok(());
        }
        self.write(CMD, cmd & !CMD_START);
        self.wait(CMD, CMD_RUNNING, 0, 500 * MS)
    }

    /// Lets it receive no frames either: it touches no memory any more.
    pub(crate) fn stop_receiving(&self) -> Result {
        self.write(CMD, self.read(CMD) & !CMD_RECEIVE);
        self.wait(CMD, CMD_RECEIVING, 0, 500 * MS)
    }

    /// Prepares a port: its memory, power, received frames.
    pub(crate) fn prepare(&self) -> Result {
        self.write(PIE, 0);
        self.stop()?;
        self.stop_receiving()?;
        let (list, received) = self.memory.addresses();
        for (at, value) in [(CLB, list), (FB, received)] {
            self.write(at, value as u32);
            self.write(at + 4, (value >> 32) as u32);
        }
        self.write(SERR, u32::MAX);
        self.write(PIS, u32::MAX);
        let cmd = self.read(CMD) & !CMD_ICC;
        self.write(CMD, cmd | CMD_RECEIVE | CMD_SPIN_UP | CMD_POWER_ON | CMD_ACTIVE);
        Ok(())
    }

    /// Lets it start commands.
    pub(crate) fn start_engine(&self) {
        self.write(SERR, u32::MAX);
        self.write(PIS, u32::MAX);
        let packet = self.slots.lock_irqsave().device.is_some_and(|device| device.packet);
        let cmd = self.read(CMD) & !CMD_ATAPI;
        self.write(CMD, cmd | CMD_START | if packet { CMD_ATAPI } else { 0 });
    }

    /// Lets the device begin anew (COMRESET). ENODEV if there is none, ETIMEDOUT if it does not get ready. The port is stopped.
    pub(crate) fn reset_link(&self) -> Result {
        // At the start `reset_together` has done it.
        if !self.was_reset.swap(false, AcqRel) {
            self.hold_reset();
            ktime::sleep_ns(2 * MS);
            self.release_reset();
            let _ = self.wait(SSTS, 0xf, 3, SHOW_NS);
        }
        match self.read(SSTS) & 0xf {
            0 => return Err(ENODEV),
            3 => {}
            _ => self.wait(SSTS, 0xf, 3, LINK_NS).map_err(|_| ENODEV)?,
        }
        self.write(SERR, u32::MAX);
        self.wait(TFD, BUSY, 0, READY_NS)
    }

    /// Begins the reset of the link, without saving power on it.
    fn hold_reset(&self) {
        self.write(SCTL, 0x301);
    }

    fn release_reset(&self) {
        self.write(SCTL, 0x300);
    }

    /// Whether there is a device on the link.
    pub(crate) fn is_connected(&self) -> bool {
        self.read(SSTS) & 0xf == 3
    }

    /// Clears a status that stayed busy after an error, where the controller can. ETIMEDOUT.
    pub(crate) fn clear_busy(&self) -> Result {
        if self.read(TFD) & BUSY == 0 {
            return Ok(());
        }
        if self.cap & CAP_CLO == 0 {
            return Err(ETIMEDOUT);
        }
        self.write(CMD, self.read(CMD) | CMD_CLO);
        self.wait(CMD, CMD_CLO, 0, 500 * MS)
    }

    /// Sends a command of our own through slot 0, whose data are the first `len` scratch bytes, and waits for it. EIO if it failed,
    /// ETIMEDOUT. The port is started and has no commands.
    pub(crate) fn call(&self, task: &Taskfile, packet: &[u8], len: u32) -> Result {
        if len == 0 {
            self.memory.put(0, task, packet, core::iter::empty())?;
        } else {
            self.memory.put(0, task, packet, self.scratch_piece(len))?;
        }
        core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
        self.write(CI, 1);
        let deadline = ktime::now_ns().saturating_add(5000 * MS);
        loop {
            if self.read(PIS) & (INT_TASKFILE | INT_FATAL) != 0 {
                return Err(EIO);
            }
            if self.read(CI) & 1 == 0 {
                return if self.read(TFD) & 0x21 != 0 { Err(EIO) } else { Ok(()) };
            }
            if ktime::now_ns() > deadline {
                return Err(ETIMEDOUT);
            }
            ktime::sleep_ns(MS / 4);
        }
    }

    /// After a command of our own failed: the port can be used again.
    pub(crate) fn restart(&self) -> Result {
        self.stop()?;
        self.clear_busy()?;
        self.start_engine();
        Ok(())
    }

    /// Asks a device that has just been reset what it is. ENODEV for one that is not known, EIO. The port is stopped, then started.
    pub(crate) fn identify(&self) -> Result<Identity> {
        let packet = match self.read(SIG) {
            SIG_DISK => false,
            SIG_PACKET => true,
            _ => return Err(ENODEV),
        };
        self.start_engine();
        self.call(&Taskfile::identify(packet), &[], IDENTIFY_BYTES as u32)?;
        let mut bytes = kalloc::KVec::zeroed(IDENTIFY_BYTES, kalloc::flags::GFP_KERNEL)?;
        self.memory.scratch(&mut bytes)?;
        let device = ata_sat::identify(&bytes, packet).ok_or(EIO)?;
        if let Some(mode) = device.udma
            && self.call(&Taskfile::set_mode(mode), &[], 0).is_err()
        {
            // It goes on as firmware left it.
            self.restart()?;
        }
        Ok(device)
    }

    /// Resets the link and finds out what is there: `None` if nothing is. The port is started then.
    pub(crate) fn look(&self) -> Result<Option<Identity>> {
        self.stop()?;
        match self.reset_link() {
            Ok(()) => {}
            Err(ENODEV) => return Ok(None),
            Err(error) => return Err(error),
        }
        self.identify().map(Some)
    }

    /// Says what was found, as libata does.
    pub(crate) fn announce(&self, device: Option<&Identity>) {
        let number = self.id;
        let speed = match self.read(SSTS) >> 4 & 0xf {
            1 => "1.5",
            2 => "3.0",
            _ => "6.0",
        };
        let Some(device) = device else {
            return pr_info!(
                "ata{number}: SATA link down (SStatus {:X} SControl {:X})",
                self.read(SSTS),
                self.read(SCTL)
            );
        };
        pr_info!(
            "ata{number}: SATA link up {speed} Gbps (SStatus {:X} SControl {:X})",
            self.read(SSTS),
            self.read(SCTL)
        );
        let (model, firmware) =
            (device.model.trim_ascii_end().escape_ascii(), device.firmware.trim_ascii_end().escape_ascii());
        let kind = if device.packet { "ATAPI" } else { "ATA" };
        pr_info!("ata{number}.00: {kind}: {model}, {firmware}, max UDMA/{}", udma_name(device.udma));
        if !device.packet {
            let queue = device.queue.min(self.depth() as u8);
            pr_info!(
                "ata{number}.00: {} sectors, LBA{} NCQ (depth {queue})",
                device.blocks,
                if device.long { "48" } else { "" }
            );
        }
        if device.block != 512 && !device.packet {
            pr_warn!("ata{number}.00: blocks of {} bytes", device.block);
        }
    }
}

/// What people call a mode of Ultra DMA.
fn udma_name(mode: Option<u8>) -> u32 {
    match mode {
        Some(0) => 16,
        Some(1) => 25,
        Some(2) => 33,
        Some(3) => 44,
        Some(4) => 66,
        Some(5) => 100,
        Some(_) => 133,
        None => 0,
    }
}

/// Resets the links of all ports at once: a port without a device takes its whole time to be known for empty.
pub(crate) fn reset_together(ports: &[Arc<Port>]) {
    for port in ports.iter().filter(|port| port.stop().is_ok()) {
        port.hold_reset();
        port.was_reset.store(true, Release);
    }
    ktime::sleep_ns(2 * MS);
    let begun = || ports.iter().filter(|port| port.was_reset.load(Acquire));
    begun().for_each(|port| port.release_reset());
    let deadline = ktime::now_ns().saturating_add(SHOW_NS);
    while begun().any(|port| port.read(SSTS) & 0xf != 3) && ktime::now_ns() < deadline {
        ktime::sleep_ns(MS);
    }
}
