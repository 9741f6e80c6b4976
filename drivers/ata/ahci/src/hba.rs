// SPDX-License-Identifier: GPL-2.0
//! A controller: taken from firmware, reset, its ports started and looked at, its interrupts handed to them; and its removal.

use crate::link::reset_together;
use crate::ops;
use crate::port::Port;
use crate::regs::*;
use crate::show::PortDir;
use core::sync::atomic::Ordering::*;
use errno::{Result, code::*};
use irq::{IrqFlags, IrqRequest, IrqReturn, request_irq, request_isa_irq};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::hardware::{irq, ktime, mm_alloc, pci, workqueue};
use klog::{pr_info, pr_warn};
use mm_alloc::MmioRegion;
use pci::{MsiVectors, PciDevice, enable_msi};
use scsi::{Host, HostStatus};
use workqueue::Work;

const MS: u64 = 1_000_000;
/// The base address register with the controller's registers.
const BAR: usize = 5;

/// What interrupts come by; the handler goes first.
struct Interrupts {
    _request: IrqRequest,
    _messages: Option<MsiVectors>,
}

/// What an interrupt reaches.
struct Shared {
    regs: Arc<MmioRegion>,
    ports: KVec<Arc<Port>>,
}

impl Shared {
    fn interrupt(&self) -> IrqReturn {
        let which = self.regs.read32(IS);
        if which == 0 || which == u32::MAX {
            return IrqReturn::None;
        }
        for port in self.ports.iter().filter(|port| which >> port.number & 1 != 0) {
            port.interrupt();
        }
        // After the ports' own, whose sum it is.
        self.regs.write32(IS, which);
        IrqReturn::Handled
    }
}

/// A controller while a driver is bound to its function; dropped, it stops.
pub(crate) struct Bound {
    device: Arc<PciDevice>,
    shared: Arc<Shared>,
    hosts: KVec<Arc<Host>>,
    dirs: KVec<PortDir>,
    interrupts: Option<Interrupts>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Takes a controller. May sleep.
pub(crate) fn probe(device: &Arc<PciDevice>) -> Result<Bound> {
    device.enable();
    let shared = make(device).inspect_err(|_| device.disable())?;
    // From here on it stops with its value.
    let mut bound = Bound { device: device.clone(), shared, hosts: KVec::new(), dirs: KVec::new(), interrupts: None };
    bound.start()?;
    Ok(bound)
}

/// A controller that is reset, and its ports, which are not started yet.
fn make(device: &Arc<PciDevice>) -> Result<Arc<Shared>> {
    let regs = Arc::new(device.map_bar(BAR)?, GFP_KERNEL)?;
    if regs.read32(VS) == u32::MAX {
        return Err(ENODEV);
    }
    let (cap, implemented) = reset(&regs)?;
    device.set_master();
    let ports = make_ports(&regs, cap, implemented)?;
    let version = regs.read32(VS);
    pr_info!(
        "ahci {}: AHCI {:02x}{:02x}.{:02x}{:02x} {} slots {} ports {} Gbps 0x{implemented:x} impl",
        device.address,
        version >> 24 & 0xff,
        version >> 16 & 0xff,
        version >> 8 & 0xff,
        version & 0xff,
        (cap >> 8 & 0x1f) + 1,
        (cap & 0x1f) + 1,
        match cap >> 20 & 0xf {
            1 => "1.5",
            2 => "3",
            _ => "6",
        },
    );
    Ok(Arc::new(Shared { regs, ports }, GFP_KERNEL)?)
}

/// Takes the controller from firmware and resets it: its capabilities, and the ports that it has.
fn reset(regs: &MmioRegion) -> Result<(u32, u32)> {
    regs.write32(GHC, regs.read32(GHC) | GHC_AHCI);
    if regs.read32(CAP2) & CAP2_HANDOFF != 0 {
        regs.write32(BOHC, regs.read32(BOHC) | BOHC_OS);
        // Firmware that does not let go is not asked twice.
        let _ = wait(regs, BOHC, BOHC_BIOS, 0, 25 * MS);
    }
    // Firmware wrote these once; a reset may forget them.
    let (cap, ports) = (regs.read32(CAP), regs.read32(PI));
    regs.write32(GHC, regs.read32(GHC) | GHC_RESET);
    wait(regs, GHC, GHC_RESET, 0, 1000 * MS)?;
    regs.write32(GHC, regs.read32(GHC) | GHC_AHCI);
    regs.write32(CAP, cap);
    regs.write32(PI, ports);
    let count = (cap & 0x1f) + 1;
    let all = if count == 32 { u32::MAX } else { (1 << count) - 1 };
    let ports = if ports == 0 { all } else { ports };
    Ok((cap, ports))
}

/// Waits until `mask` of a register is `value`. ETIMEDOUT; ENODEV if the controller is gone.
fn wait(regs: &MmioRegion, at: usize, mask: u32, value: u32, ns: u64) -> Result {
    let deadline = ktime::now_ns().saturating_add(ns);
    loop {
        let now = regs.read32(at);
        if now == u32::MAX {
            return Err(ENODEV);
        }
        if now & mask == value {
            return Ok(());
        }
        if ktime::now_ns() > deadline {
            return Err(ETIMEDOUT);
        }
        ktime::sleep_ns(MS);
    }
}

fn make_ports(regs: &Arc<MmioRegion>, cap: u32, implemented: u32) -> Result<KVec<Arc<Port>>> {
    let mut ports = KVec::new();
    for number in (0..32).filter(|number| implemented >> number & 1 != 0) {
        let port = Arc::new(Port::new(regs, cap, number)?, GFP_KERNEL)?;
        let weak = Arc::downgrade(&port);
        let recover = Work::new(move || {
            if let Some(port) = weak.upgrade() {
                port.recover();
            }
        })?;
        let weak = Arc::downgrade(&port);
        let change = Work::new(move || {
            if let Some(port) = weak.upgrade() {
                ops::changed(&port);
            }
        })?;
        // New, so they are empty.
        let _ = port.recover_work.set(recover);
        let _ = port.change_work.set(change);
        ports.push(port, GFP_KERNEL)?;
    }
    Ok(ports)
}

impl Bound {
    fn start(&mut self) -> Result {
        let path = self.device.sysfs_path()?;
        let path = path.to_str().ok_or(EINVAL)?;
        for port in self.shared.ports.iter() {
            port.prepare()?;
            let dir = PortDir::new(path, port.id, port.number)?;
            self.hosts.push(ops::add(port, dir.path().ok_or(EINVAL)?)?, GFP_KERNEL)?;
            self.dirs.push(dir, GFP_KERNEL)?;
        }
        self.connect()?;
        self.shared.regs.write32(IS, u32::MAX);
        self.shared.regs.write32(GHC, self.shared.regs.read32(GHC) | GHC_AHCI | GHC_INTERRUPTS);
        reset_together(&self.shared.ports);
        for port in self.shared.ports.iter() {
            {
                let _recovery = port.recovery.lock();
                port.begin_anew(HostStatus::Reset);
            }
            if port.slots.lock_irqsave().device.is_none() {
                port.announce(None);
            }
            if let Some(work) = port.change_work.get() {
                // What is there at boot is there before the root file system is looked for.
                work.flush();
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result {
        let handler = || -> Result<KBox<irq::Handler>> {
            let shared = self.shared.clone();
            Ok(KBox::new(move |_| shared.interrupt(), GFP_KERNEL)?)
        };
        let name = KString::from_fmt(format_args!("ahci[{}]", self.device.address), GFP_KERNEL)?;
        let made = match enable_msi(&self.device, 0) {
            Ok(messages) => {
                let irq = messages.irq(0).ok_or(EINVAL)?;
                let request = request_irq(irq, name.as_bytes(), IrqFlags::default(), handler()?)?;
                Interrupts { _request: request, _messages: Some(messages) }
            }
            Err(_) => {
                let line = self.device.isa_irq()?;
                Interrupts { _request: request_isa_irq(line, name.as_bytes(), true, handler()?)?, _messages: None }
            }
        };
        self.interrupts = Some(made);
        Ok(())
    }

    /// Disks go, after what is dirty was written if the controller still works; what it has ends, and it touches no memory any more.
    fn remove(&mut self) {
        let present = self.device.is_present();
        if !present {
            // Nobody waits for what it has any more.
            self.stop_ports(present);
        }
        for host in self.hosts.iter() {
            host.remove();
        }
        self.stop_ports(present);
        for port in self.shared.ports.iter() {
            for work in [port.recover_work.get(), port.change_work.get()].into_iter().flatten() {
                work.cancel_sync();
            }
            let host = port.host.lock_irqsave().take();
            drop(host);
        }
        if present {
            let regs = &self.shared.regs;
            regs.write32(GHC, regs.read32(GHC) & !GHC_INTERRUPTS);
            self.device.disable();
        }
        let interrupts = self.interrupts.take();
        drop(interrupts);
        // Below them nothing is left.
        self.dirs.clear();
    }

    fn stop_ports(&self, present: bool) {
        for port in self.shared.ports.iter() {
            port.stopped.store(true, Release);
            let _recovery = port.recovery.lock();
            port.freeze();
            port.slots.lock_irqsave().device = None;
            if present && (port.stop().is_err() || port.stop_receiving().is_err()) {
                pr_warn!("ahci {}: port {} does not stop", self.device.address, port.number);
            }
            port.give_back(HostStatus::NoConnect);
        }
    }
}
