// SPDX-License-Identifier: GPL-2.0
//! An adapter: a device comes and goes; what it reports.

use crate::control::Control;
use crate::events::{Event, Events};
use crate::ring::Ring;
use crate::spec::{self, CONTROL, EVENTS, FIRST, config};
use kernel::ext::{Alive, AliveGuard, Mutex, SetOnce, Work, num_online_cpus};
use kernel::prelude::*;
use kernel::sync::Arc;
use scsi::{Command, Host, HostOps, HostParams, Unit};
use virtio::{Handler, VirtioDevice, features};

/// Adapters that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

/// An adapter.
struct Adapter {
    device: Arc<VirtioDevice>,
    rings: SetOnce<KVec<Ring>>,
    control: SetOnce<Control>,
    events: SetOnce<Events>,
    /// Until it goes: the middle layer has a reference to this.
    host: Mutex<Option<Arc<Host>>>,
    /// The same for interrupts, which do not sleep.
    room: kernel::ext::SpinLock<Option<Arc<Host>>>,
    /// Looks at reports.
    reports: SetOnce<Arc<Work>>,
    /// Stops a device that wrote nonsense.
    failed: SetOnce<Arc<Work>>,
    /// Dropped last.
    _alive: AliveGuard,
}

impl Adapter {
    fn rings(&self) -> &[Ring] {
        self.rings.get().map_or(&[], |rings| rings)
    }

    /// Gives everything back. Only after the device's reset. Any context.
    fn drain(&self) {
        self.rings().iter().for_each(Ring::drain);
        if let Some(control) = self.control.get() {
            control.drain();
        }
        if let Some(events) = self.events.get() {
            events.drain();
        }
    }

    fn host(&self) -> Option<Arc<Host>> {
        self.host.lock().clone()
    }

    /// Looks at what the device reported. May sleep.
    fn look_at_reports(&self) {
        let (Some(events), Some(host)) = (self.events.get(), self.host()) else { return };
        loop {
            match events.next(&self.device) {
                Ok(Some(event)) => handle(&host, event),
                Ok(None) => return,
                Err(_) => return self.broken(),
            }
        }
    }

    fn broken(&self) {
        if let Some(work) = self.failed.get() {
            work.queue();
        }
    }

    /// Takes a command back that takes too long: whether it is back now.
    fn manage(&self, what: u32, unit: &Unit, hw: u32, id: u64) -> bool {
        let Some(ring) = self.rings().get(hw as usize) else { return true };
        // Perhaps only the interrupt was lost.
        if ring.interrupt().is_err() {
            self.broken();
        }
        if !ring.has(id) {
            return true;
        }
        let did = self.control.get().map(|control| control.call(&self.device, what, unit.target(), unit.lun(), id));
        if ring.interrupt().is_err() {
            self.broken();
        }
        matches!(did, Some(Ok(true))) && !ring.has(id)
    }
}

/// A report.
fn handle(host: &Arc<Host>, event: Event) {
    let scan = |target, lun| {
        if let Err(error) = host.scan_target(target, lun) {
            pr_err!("virtio_scsi: host{}: target {target}: {error}\n", host.number());
        }
    };
    if event.what & spec::T_MISSED != 0 {
        // Nobody knows what came or went.
        for target in 0..host.params().targets {
            host.drop_missing(target);
            scan(target, None);
        }
    }
    match (event.what & !spec::T_MISSED, event.place, event.reason) {
        (spec::T_TRANSPORT_RESET, Some((target, lun)), spec::RESET_RESCAN) => match host.unit(target, lun) {
            Some(unit) => unit.rescan(),
            None => scan(target, if lun == 0 { None } else { Some(lun) }),
        },
        (spec::T_TRANSPORT_RESET, Some((target, lun)), spec::RESET_REMOVED) => {
            if let Some(unit) = host.unit(target, lun) {
                host.remove_unit(&unit);
            }
        }
        // The low byte is the sense code, the next its qualifier. The unit attention comes with the next command, too.
        (spec::T_PARAM_CHANGE, Some((target, lun)), reason) if !matches!(reason & 0xff, 0x28 | 0x3f) => {
            if let Some(unit) = host.unit(target, lun) {
                unit.rescan();
            }
        }
        _ => {}
    }
}

/// What the middle layer reaches.
struct Ops(Arc<Adapter>);

impl HostOps for Ops {
    fn queue_command(&self, command: KBox<Command>, last: bool) -> Result<(), (Error, KBox<Command>)> {
        if self.0.device.is_gone() {
            return Err((EIO, command));
        }
        match self.0.rings().get(command.hw as usize) {
            Some(ring) => ring.submit(&self.0.device, command, last),
            None => Err((EIO, command)),
        }
    }

    fn commit(&self, hw: u32) {
        if let Some(ring) = self.0.rings().get(hw as usize) {
            ring.commit(&self.0.device);
        }
    }

    fn abort(&self, unit: &Unit, hw: u32, id: u64) -> bool {
        self.0.manage(spec::TMF_ABORT_TASK, unit, hw, id)
    }

    fn reset_unit(&self, unit: &Unit, hw: u32, id: u64) -> bool {
        self.0.manage(spec::TMF_LUN_RESET, unit, hw, id)
    }

    /// There is no way to reset the device and to go on: it is given up.
    fn reset_host(&self) {
        self.0.device.fail();
        self.0.drain();
    }
}

struct Port(Arc<Adapter>);

impl Handler for Port {
    fn queue_interrupt(&self, queue: u16) {
        let adapter = &self.0;
        let result = match queue {
            CONTROL => adapter.control.get().map_or(Ok(()), Control::interrupt),
            EVENTS => {
                if let Some(work) = adapter.reports.get() {
                    work.queue();
                }
                Ok(())
            }
            queue => {
                let ring = adapter.rings().get(usize::from(queue - FIRST));
                ring.map_or(Ok(0), Ring::interrupt).map(|ended| {
                    let host = if ended != 0 { adapter.room.lock_irqsave().clone() } else { None };
                    if let Some(host) = host {
                        host.room();
                    }
                })
            }
        };
        if result.is_err() {
            adapter.broken();
        }
    }

    fn config_changed(&self) {}

    fn remove(&self) {
        let adapter = &self.0;
        if adapter.device.is_gone() {
            // Nobody waits for what it has any more.
            adapter.drain();
        }
        if let Some(work) = adapter.reports.get() {
            work.cancel_sync();
        }
        let host = adapter.host.lock().take();
        if let Some(host) = host {
            // What was written goes out first, if it still can.
            host.remove();
        }
        adapter.device.reset();
        for work in [adapter.reports.get(), adapter.failed.get()].into_iter().flatten() {
            work.cancel_sync();
        }
        adapter.drain();
        let room = adapter.room.lock_irqsave().take();
        drop(room);
    }
}

/// Works on `adapter` later, while it is there.
fn work_on(adapter: &Arc<Adapter>, f: impl Fn(&Adapter) + Send + Sync + 'static) -> Result<Arc<Work>> {
    let weak = Arc::downgrade(adapter);
    Work::new(move || {
        if let Some(adapter) = weak.upgrade() {
            f(&adapter);
        }
    })
}

/// Takes a device.
pub(crate) fn probe(device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
    let adapter = Adapter {
        device: device.clone(),
        rings: SetOnce::new(),
        control: SetOnce::new(),
        events: SetOnce::new(),
        host: Mutex::new(None),
        room: kernel::ext::SpinLock::new(None),
        reports: SetOnce::new(),
        failed: SetOnce::new(),
        _alive: ALIVE.count(),
    };
    let adapter = Arc::new(adapter, GFP_KERNEL)?;
    let handler: Arc<dyn Handler> = Arc::new(Port(adapter.clone()), GFP_KERNEL)?;
    let queues = device.config32(config::NUM_QUEUES).clamp(1, num_online_cpus().max(1));
    let mut cpus = KVec::with_capacity(queues as usize + 2, GFP_KERNEL)?;
    for queue in 0..queues + u32::from(FIRST) {
        cpus.push(queue.saturating_sub(FIRST.into()), GFP_KERNEL)?;
    }
    device.transport().connect(device.name().to_str().unwrap_or("virtio"), &cpus, handler.clone())?;

    let wanted = device.config32(config::SEG_MAX).clamp(1, 254);
    let control = Control::new(device)?;
    let events = Events::new(device)?;
    let mut rings = KVec::with_capacity(queues as usize, GFP_KERNEL)?;
    for index in 0..u16::try_from(queues)? {
        rings.push(Ring::new(device, FIRST + index, wanted)?, GFP_KERNEL)?;
    }
    let size = u32::from(rings.first().map_or(4, Ring::size));
    let segments = wanted.min(size.saturating_sub(2).max(1));
    let can_queue = if device.has(features::INDIRECT_DESC) { size } else { (size / 4).max(1) };
    // New, so they are empty.
    let _ = adapter.control.set(control);
    let _ = adapter.events.set(events);
    let _ = adapter.rings.set(rings);
    let _ = adapter.reports.set(work_on(&adapter, Adapter::look_at_reports)?);
    let _ = adapter.failed.set(work_on(&adapter, |adapter| {
        adapter.device.fail();
        adapter.drain();
    })?);
    device.ready();
    let path = device.sysfs_path()?;
    let max_sectors = device.config32(config::MAX_SECTORS);
    let params = HostParams {
        name: "Virtio SCSI HBA",
        driver: "virtio_scsi",
        owner: <crate::VirtioScsi as kernel::ModuleMetadata>::this_module().header(),
        hw_queues: queues,
        can_queue,
        cmd_per_lun: device.config32(config::CMD_PER_LUN).clamp(1, can_queue),
        targets: u32::from(device.config16(config::MAX_TARGET)).min(255) + 1,
        max_lun: u64::from(device.config32(config::MAX_LUN)).min(0x3fff) + 1,
        max_sectors: if max_sectors == 0 { 0xffff } else { max_sectors },
        max_segments: segments,
        max_segment_size: u32::MAX,
        dma_alignment: 3,
        seg_boundary_mask: u64::MAX,
        no_write_same: false,
        unique_id: 0,
    };
    let host = Host::add(params, path.to_str().ok_or(EINVAL)?, Arc::new(Ops(adapter.clone()), GFP_KERNEL)?)
        .inspect_err(|_| handler.remove())?;
    *adapter.host.lock() = Some(host.clone());
    *adapter.room.lock_irqsave() = Some(host.clone());
    if (device.has(spec::feature::HOTPLUG) || device.has(spec::feature::CHANGE))
        && let Some(events) = adapter.events.get()
    {
        events.begin(device);
    }
    if let Err(error) = host.scan() {
        pr_err!("{}: host{}: {error}\n", device.name(), host.number());
    }
    Ok(handler)
}
