// SPDX-License-Identifier: GPL-2.0
//! The bus `scsi` (adapters, targets, units; drivers above bind to units), `/sys/class/scsi_host`, `/sys/class/scsi_device`, and what
//! programs are told. Source: Linux's `drivers/scsi/scsi_sysfs.c` (names and texts).

use crate::host::Host;
use crate::unit::{State, Unit};
use core::sync::atomic::Ordering::Relaxed;
use device::{Bus, BusOps, Device};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::ext::AliveGuard;
use kernel::hardware::{device, kernfs, sysfs, vfs, workqueue};
use kernfs::TextRw;
use sysfs::Node;
use sysfs::device::Device as ClassDevice;
use sysfs::uevent::Action;
use vfs::{SeqBuf, seq_print};

/// The bus. Drivers of units register with it.
pub static BUS: Bus = Bus::new("scsi", &Scsi);

/// What a device of the bus is.
enum Kind {
    Host,
    Target,
    Unit(Arc<Unit>),
}

/// What the device model keeps of a device of the bus.
struct Thing {
    kind: Kind,
    /// Dropped last.
    _alive: AliveGuard,
}

impl Thing {
    fn new(kind: Kind) -> Result<KBox<Self>> {
        Ok(KBox::new(Self { kind, _alive: crate::ALIVE.count() }, GFP_KERNEL)?)
    }
}

/// The unit that a device of the bus is, if it is one.
pub fn unit_of(device: &Device) -> Option<&Arc<Unit>> {
    match &device.info::<Thing>()?.kind {
        Kind::Unit(unit) => Some(unit),
        Kind::Host | Kind::Target => None,
    }
}

struct Scsi;

impl BusOps for Scsi {
    fn is_module(&self) -> bool {
        cfg!(MODULE)
    }

    fn uevent(&self, device: &Device, out: &mut SeqBuf) -> Result {
        match &device.info::<Thing>().ok_or(ENODEV)?.kind {
            Kind::Host => seq_print!(out, "DEVTYPE=scsi_host\n"),
            Kind::Target => seq_print!(out, "DEVTYPE=scsi_target\n"),
            Kind::Unit(unit) => {
                seq_print!(out, "DEVTYPE=scsi_device\nMODALIAS=scsi:t-0x{:02x}\n", kind(unit))
            }
        }
    }

    fn attributes(&self, device: &Arc<Device>, node: &Arc<Node>) -> Result {
        match unit_of(device) {
            Some(unit) => unit_attributes(unit, node),
            None => Ok(()),
        }
    }
}

fn kind(unit: &Unit) -> u8 {
    unit.inquiry().map_or(0x1f, |inquiry| inquiry.kind)
}

/// What an attribute is about, while it is there. `ENODEV`.
fn live<T: Send + Sync + 'static>(owner: &Arc<T>) -> impl Fn() -> Result<Arc<T>> + Send + Sync + use<T> {
    let weak = Arc::downgrade(owner);
    move || weak.upgrade().ok_or(ENODEV)
}

/// Bytes that do not change.
struct Bytes(KVec<u8>);

impl sysfs::Attribute for Bytes {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        out.put(&self.0)?;
        Ok(None)
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// An attribute that is only written.
fn written(node: &Arc<Node>, name: &str, store: impl Fn(&[u8]) -> Result + Send + Sync + 'static) -> Result {
    let store = move |data: &[u8]| store(data).map(|()| data.len());
    node.attr(name.as_bytes(), 0o200, TextRw(|_: &mut SeqBuf| Err(EIO), store)).map(drop)
}

/// A number as a program writes it. EINVAL.
fn number(data: &[u8]) -> Result<u32> {
    core::str::from_utf8(data.trim_ascii()).ok().and_then(|text| text.parse().ok()).ok_or(EINVAL)
}

fn unit_attributes(unit: &Arc<Unit>, node: &Arc<Node>) -> Result {
    identity_attributes(unit, node)?;
    type Counter = fn(&Unit) -> u32;
    let counters: [(&'static str, Counter); 4] = [
        ("iorequest_cnt", |unit| unit.counters.requests.load(Relaxed)),
        ("iodone_cnt", |unit| unit.counters.done.load(Relaxed)),
        ("ioerr_cnt", |unit| unit.counters.errors.load(Relaxed)),
        ("iotmo_cnt", |unit| unit.counters.timeouts.load(Relaxed)),
    ];
    for (name, get) in counters {
        let u = live(unit);
        sysfs::attr(node, name, move |out| seq_print!(out, "0x{:x}\n", get(&*u()?)))?;
    }
    sysfs::constant(node, "iocounterbits", "32")?;
    let u = live(unit);
    sysfs::attr(node, "device_busy", move |out| seq_print!(out, "{}\n", u()?.busy()))?;
    let (u, v) = (live(unit), live(unit));
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", u()?.depth());
    sysfs::attr_rw(node, "queue_depth", show, move |data| v()?.set_depth(number(data)?).map(|()| data.len()))?;
    let (u, v) = (live(unit), live(unit));
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", u()?.timeout_ns() / 1_000_000_000);
    sysfs::attr_rw(node, "timeout", show, move |data| {
        let (unit, seconds) = (v()?, number(data)?);
        if seconds == 0 {
            return Err(EINVAL);
        }
        unit.timeout_ns.store(u64::from(seconds) * 1_000_000_000, Relaxed);
        unit.tell_timeout(seconds)?;
        Ok(data.len())
    })?;
    let (u, v) = (live(unit), live(unit));
    let show = move |out: &mut SeqBuf| {
        out.put(match u()?.state() {
            State::Running => b"running\n",
            State::Cancel => b"cancel\n",
            State::Deleted => b"deleted\n",
            State::Offline => b"offline\n",
        })
    };
    sysfs::attr_rw(node, "state", show, move |data| {
        let online = match data.trim_ascii() {
            b"running" => true,
            b"offline" => false,
            _ => return Err(EINVAL),
        };
        v()?.set_online(online).map(|()| data.len())
    })?;
    let u = live(unit);
    written(node, "rescan", move |_| {
        u()?.rescan();
        Ok(())
    })?;
    let u = live(unit);
    written(node, "delete", move |_| {
        let (unit, alive) = (u()?, crate::ALIVE.count());
        // Not here: the directory cannot go while one of its files is used.
        workqueue::spawn(move || {
            unit.host().remove_unit(&unit);
            drop(unit);
            drop(alive);
        })
    })
}

/// Who the unit is.
fn identity_attributes(unit: &Arc<Unit>, node: &Arc<Node>) -> Result {
    let Some((inquiry, bytes)) = unit.inquiry.get() else { return Err(ENODEV) };
    for (name, field) in
        [("vendor", &inquiry.vendor[..]), ("model", &inquiry.model[..]), ("rev", &inquiry.revision[..])]
    {
        let text = KString::from_bytes(field, GFP_KERNEL)?;
        sysfs::attr(node, name, move |out| {
            out.put(text.as_bytes())?;
            out.byte(b'\n')
        })?;
    }
    let (kind, version, queues) = (inquiry.kind, inquiry.version & 0xf, inquiry.queues);
    let level = if version >= 2 { version + 1 } else { version };
    sysfs::attr(node, "type", move |out| seq_print!(out, "{kind}\n"))?;
    sysfs::attr(node, "scsi_level", move |out| seq_print!(out, "{level}\n"))?;
    sysfs::attr(node, "modalias", move |out| seq_print!(out, "scsi:t-0x{kind:02x}\n"))?;
    sysfs::constant(node, "queue_type", if queues { "simple" } else { "none" })?;
    node.attr(b"inquiry", 0o444, Bytes(bytes.try_clone(GFP_KERNEL)?))?;
    for page in [0, 0x80, 0x83, 0x89, 0xb0, 0xb1, 0xb2] {
        if let Some(bytes) = unit.page(page) {
            let name = KString::from_fmt(format_args!("vpd_pg{page:x}"), GFP_KERNEL)?;
            node.attr(name.as_bytes(), 0o444, Bytes(KVec::from_slice(bytes, GFP_KERNEL)?))?;
        }
    }
    if let Some(id) = unit.page(0x83).and_then(scsi_proto::wwid) {
        let text = KString::from_fmt(format_args!("{id}\n"), GFP_KERNEL)?;
        sysfs::attr(node, "wwid", move |out| out.put(text.as_bytes()))?;
    }
    Ok(())
}

/// Shows an adapter.
pub(crate) fn add_host(host: &Arc<Host>) -> Result {
    let home = sysfs::root()?.path_or_new(host.parent().ok_or(EINVAL)?)?;
    let name = KString::from_fmt(format_args!("host{}", host.number()), GFP_KERNEL)?;
    let device = Device::new_in(&BUS, name.as_bytes(), home, Some(Thing::new(Kind::Host)?))?;
    device.register()?;
    *host.device.lock() = Some(device.clone());
    let node = device.node().ok_or(ENODEV)?;
    let class = host_class(&name, node)?;
    let dir = sysfs::device::add(&class)?;
    dir.fill_by_module();
    host_attributes(host, &dir)?;
    sysfs::device::announce(&class, Action::Add);
    Ok(())
}

fn host_class<'a>(name: &'a KString, node: &'a Arc<Node>) -> Result<ClassDevice<'a>> {
    Ok(ClassDevice {
        class: "scsi_host",
        name: name.to_str().ok_or(EINVAL)?,
        dev: None,
        node: None,
        parent: Some(node),
    })
}

fn host_attributes(host: &Arc<Host>, node: &Arc<Node>) -> Result {
    let params = *host.params();
    let h = live(host);
    sysfs::attr(node, "host_busy", move |out| seq_print!(out, "{}\n", h()?.busy()))?;
    for (name, value) in [
        ("unique_id", params.unique_id),
        ("cmd_per_lun", params.cmd_per_lun),
        ("can_queue", params.can_queue),
        ("sg_tablesize", params.max_segments),
        ("nr_hw_queues", params.hw_queues),
    ] {
        sysfs::attr(node, name, move |out| seq_print!(out, "{value}\n"))?;
    }
    sysfs::constant(node, "proc_name", params.driver)?;
    sysfs::constant(node, "supported_mode", "Initiator")?;
    sysfs::constant(node, "active_mode", "Initiator")?;
    let h = live(host);
    sysfs::attr(node, "state", move |out| out.put(if h()?.is_gone() { b"deleted\n" } else { b"running\n" }))?;
    let h = live(host);
    written(node, "scan", move |data| scan(&h()?, data))
}

/// `scan`: channel, target and unit; `-` for all.
fn scan(host: &Arc<Host>, data: &[u8]) -> Result {
    let mut words = data.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut next = || -> Result<Option<u32>> {
        match words.next() {
            Some(b"-") => Ok(None),
            Some(word) => number(word).map(Some),
            None => Err(EINVAL),
        }
    };
    let (channel, target, lun) = (next()?, next()?, next()?);
    if channel.is_some_and(|channel| channel != 0) || target.is_some_and(|target| target >= host.params().targets) {
        return Err(EINVAL);
    }
    match target {
        Some(target) => host.scan_target(target, lun.map(u64::from)),
        None => (0..host.params().targets).try_for_each(|target| host.scan_target(target, lun.map(u64::from))),
    }
}

/// Hides an adapter.
pub(crate) fn remove_host(host: &Host) {
    let Some(device) = host.device.lock().take() else { return };
    let name = KString::from_fmt(format_args!("host{}", host.number()), GFP_KERNEL);
    if let (Ok(name), Some(node)) = (name, device.node())
        && let Ok(class) = host_class(&name, node)
    {
        // What is gone already is fine.
        let _ = sysfs::device::remove(&class);
    }
    device.unregister();
}

fn target_name(host: u32, target: u32) -> Result<KString> {
    Ok(KString::from_fmt(format_args!("target{host}:0:{target}"), GFP_KERNEL)?)
}

/// Shows a unit, and its target with the first one; a driver that is there gets it. `scanning` is held.
pub(crate) fn add_unit(unit: &Arc<Unit>) -> Result {
    let host = unit.host();
    let above = host.device.lock().clone().ok_or(ENODEV)?;
    let target = target_name(host.number(), unit.target())?;
    let target = match BUS.find_device(target.as_bytes()) {
        Some(device) => device,
        None => {
            let info = Thing::new(Kind::Target)?;
            let device = Device::new(&BUS, target.as_bytes(), Some(above), Some(info))?;
            device.register()?;
            device
        }
    };
    let name = unit.name()?;
    let info = Thing::new(Kind::Unit(unit.clone()))?;
    let device = Device::new(&BUS, name.as_bytes(), Some(target), Some(info))?;
    *unit.device.lock() = Some(device.clone());
    device.register()?;
    let node = device.node().ok_or(ENODEV)?;
    let class = unit_class(&name, node)?;
    sysfs::device::add(&class)?;
    sysfs::device::announce(&class, Action::Add);
    Ok(())
}

fn unit_class<'a>(name: &'a KString, node: &'a Arc<Node>) -> Result<ClassDevice<'a>> {
    Ok(ClassDevice {
        class: "scsi_device",
        name: name.to_str().ok_or(EINVAL)?,
        dev: None,
        node: None,
        parent: Some(node),
    })
}

/// Its driver gives a unit up, and it is hidden.
pub(crate) fn remove_unit(unit: &Unit) {
    let Some(device) = unit.device.lock().take() else { return };
    if let (Ok(name), Some(node)) = (unit.name(), device.node())
        && let Ok(class) = unit_class(&name, node)
    {
        // What is gone already is fine.
        let _ = sysfs::device::remove(&class);
    }
    device.unregister();
}

/// Hides a target that has no units any more. `scanning` is held.
pub(crate) fn remove_target(host: &Host, target: u32) {
    let left = host.units_of(Some(target)).is_ok_and(|units| !units.is_empty());
    let name = target_name(host.number(), target);
    if !left
        && let Ok(name) = name
        && let Some(device) = BUS.find_device(name.as_bytes())
    {
        device.unregister();
    }
}

/// What programs call a report that something changed.
pub(crate) fn attention_name(asc: u8, ascq: u8) -> Option<&'static str> {
    Some(match (asc, ascq) {
        (0x3f, 0x03) => "INQUIRY_DATA_HAS_CHANGED",
        (0x2a, 0x09) => "CAPACITY_DATA_HAS_CHANGED",
        (0x38, 0x07) => "THIN_PROVISIONING_SOFT_THRESHOLD_REACHED",
        (0x2a, 0x01) => "MODE_PARAMETERS_CHANGED",
        (0x3f, 0x0e) => "REPORTED_LUNS_DATA_HAS_CHANGED",
        (0x2a, 0x06) => "ASYMMETRIC_ACCESS_STATE_CHANGED",
        _ => return None,
    })
}

/// Tells programs that a unit reported a change.
pub(crate) fn attention(unit: &Unit, asc: u8, ascq: u8) {
    let device = unit.device.lock().clone();
    if let (Some(name), Some(node)) = (attention_name(asc, ascq), device.as_ref().and_then(|device| device.node())) {
        sysfs::uevent::emit(Action::Change, node, "scsi", |out| {
            seq_print!(out, "SDEV_UA={name}\nDEVTYPE=scsi_device\nMODALIAS=scsi:t-0x{:02x}\n", kind(unit))
        });
    }
}
