// SPDX-License-Identifier: GPL-2.0
//! A device: its ports, what interrupts reach, and its life.

use crate::control::{self, NO_PORT, event};
use crate::file::Opener;
use crate::port::Port;
use crate::queues::{BUFFER, Queues};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kernel::cdev::{Device, Region};
use kernel::ext::{Alive, AliveGuard, Completion, KString, Mutex, SetOnce, SpinLock, Work};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::time::{Delta, delay::fsleep};
use virtio::{Handler, VirtioDevice};

/// Feature bits.
pub(crate) mod feature {
    pub(crate) const SIZE: u64 = 1 << 0;
    pub(crate) const MULTIPORT: u64 = 1 << 1;
    pub(crate) const EMERG_WRITE: u64 = 1 << 2;
    pub(crate) const KNOWN: u64 = SIZE | MULTIPORT | EMERG_WRITE;
}

/// Offsets of configuration.
pub(crate) mod config {
    pub(crate) const COLS: usize = 0;
    pub(crate) const ROWS: usize = 2;
    pub(crate) const MAX_PORTS: usize = 4;
    pub(crate) const EMERG_WRITE: usize = 8;
}

/// Most ports of a device that are used.
const MAX_PORTS: u32 = 511;
/// How long a host may take to read a message, in milliseconds.
const PATIENCE_MS: i64 = 1000;
/// Devices that are in memory: who holds one for a moment runs code of this module when he drops it.
pub(crate) static ALIVE: Alive = Alive::new();

/// A device.
pub(crate) struct Console {
    pub(crate) device: Arc<VirtioDevice>,
    multiport: bool,
    max_ports: u32,
    /// Numbers of the ports' nodes, until the device goes.
    region: Mutex<Option<Region>>,
    /// By port.
    queues: SetOnce<KVec<Arc<Queues>>>,
    /// Messages.
    control: SetOnce<Arc<Queues>>,
    /// By number. Interrupts use them under the lock: who takes one out drops it outside.
    ports: SpinLock<KVec<Option<Arc<Port>>>>,
    messages: SetOnce<Arc<Work>>,
    resized: SetOnce<Arc<Work>>,
    broken: SetOnce<Arc<Work>>,
    gone: AtomicBool,
    /// The first console is there.
    console: Completion,
    /// Dropped last.
    _alive: AliveGuard,
}

impl Console {
    /// The port with this number.
    pub(crate) fn port(&self, id: u32) -> Option<Arc<Port>> {
        self.ports.lock_irqsave().get(id as usize)?.clone()
    }

    /// Adds a port. EINVAL for a number that the device said it does not have. May sleep.
    pub(crate) fn add_port(&self, id: u32) -> Result<Arc<Port>> {
        let queues = self.queues.get().and_then(|all| all.get(id as usize)).ok_or(EINVAL)?;
        let name = KString::from_fmt(format_args!("vport{}p{id}", self.device.index()), GFP_KERNEL)?;
        let parent = self.device.sysfs_path()?;
        let node = {
            let region = self.region.lock();
            let region = region.as_ref().ok_or(ENODEV)?;
            let (name, parent) = (name.to_str().ok_or(EINVAL)?, parent.to_str().ok_or(EINVAL)?);
            Device::new(region, id, "virtio-ports", name, parent)?
        };
        let port = Port::new(id, queues.clone(), Some(node))?;
        queues.start()?;
        match self.ports.lock_irqsave().get_mut(id as usize) {
            Some(place) if place.is_none() => *place = Some(port.clone()),
            _ => return Err(EINVAL),
        }
        Ok(port)
    }

    /// A port goes. May sleep.
    pub(crate) fn remove_port(&self, id: u32) {
        let port = self.ports.lock_irqsave().get_mut(id as usize).and_then(Option::take);
        if let Some(port) = port {
            port.unplug();
            port.queues.discard();
        }
    }

    /// Tells the host about a port, if there are messages. May sleep.
    pub(crate) fn send_control(&self, id: u32, event: u16, value: u16) {
        let Some(control) = self.control.get() else { return };
        let message = control::message(id, event, value);
        for _ in 0..PATIENCE_MS {
            if self.gone.load(SeqCst) || control.send(&message) != 0 {
                return;
            }
            fsleep(Delta::from_millis(1));
        }
        pr_warn!("{}: the host does not read messages\n", self.device.name());
    }

    /// A console is there.
    pub(crate) fn console_added(&self) {
        self.console.complete();
    }

    /// Handles what the host says.
    fn handle_messages(&self) {
        let Some(control) = self.control.get() else { return };
        // Without memory they stay for the next interrupt.
        let Ok(mut buffer) = KVec::from_elem(0u8, BUFFER, GFP_KERNEL) else { return };
        loop {
            let len = control.peek(&mut buffer);
            if len == 0 || self.gone.load(SeqCst) {
                return;
            }
            control::handle(self, buffer.get(..len).unwrap_or_default());
            control.consume(len);
        }
    }

    /// The size in the configuration is that of the one port there is.
    fn read_size(&self) {
        if !self.multiport
            && self.device.has(feature::SIZE)
            && let Some(port) = self.port(0)
        {
            port.resize(self.device.config16(config::ROWS), self.device.config16(config::COLS));
        }
    }

    /// The device does not keep to the rules: its ports go.
    fn stop(&self) {
        self.device.fail();
        self.remove_all();
    }

    /// All ports go; the device was reset.
    fn remove_all(&self) {
        if let Some(control) = self.control.get() {
            control.stop();
        }
        for queues in self.queues.get().into_iter().flatten() {
            queues.stop();
        }
        for id in 0..self.max_ports {
            self.remove_port(id);
        }
    }

    fn interrupt(&self, queue: u16) -> Result {
        if self.multiport && queue / 2 == 1 {
            let Some(control) = self.control.get() else { return Ok(()) };
            if queue == 3 {
                return if control.is_output_broken() { Err(EIO) } else { Ok(()) };
            }
            control.input_interrupt()?;
            if control.has_input()
                && let Some(work) = self.messages.get()
            {
                work.queue();
            }
            return Ok(());
        }
        let id = usize::from(if queue < 2 { 0 } else { queue / 2 - 1 });
        let Some(queues) = self.queues.get().and_then(|all| all.get(id)) else { return Ok(()) };
        let is_input = queue.is_multiple_of(2);
        if is_input {
            queues.input_interrupt()?;
        } else if queues.is_output_broken() {
            return Err(EIO);
        }
        let ports = self.ports.lock_irqsave();
        match ports.get(id) {
            Some(Some(port)) if !is_input => port.room_made(),
            Some(Some(port)) if queues.has_input() => port.input_came(),
            _ => {}
        }
        Ok(())
    }
}

/// What the transport has.
struct Bound(Arc<Console>);

impl Handler for Bound {
    fn queue_interrupt(&self, queue: u16) {
        if !self.0.gone.load(SeqCst)
            && self.0.interrupt(queue).is_err()
            && let Some(work) = self.0.broken.get()
        {
            work.queue();
        }
    }

    fn config_changed(&self) {
        if let Some(work) = self.0.resized.get() {
            work.queue();
        }
    }

    fn remove(&self) {
        let console = &*self.0;
        console.gone.store(true, SeqCst);
        // The host reads and writes nothing any more.
        console.device.reset();
        for work in [&console.messages, &console.resized, &console.broken].into_iter().filter_map(SetOnce::get) {
            work.cancel_sync();
        }
        console.remove_all();
        let region = console.region.lock().take();
        drop(region);
    }
}

/// Works on `console` later, while it is there.
fn work_on(console: &Arc<Console>, f: fn(&Console)) -> Result<Arc<Work>> {
    let weak = Arc::downgrade(console);
    Work::new(move || {
        if let Some(console) = weak.upgrade() {
            f(&console);
        }
    })
}

/// Takes a device.
pub(crate) fn probe(device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
    let multiport = device.has(feature::MULTIPORT);
    let max_ports = if multiport { device.config32(config::MAX_PORTS) } else { 1 };
    if max_ports == 0 {
        pr_err!("{}: invalid max_nr_ports {max_ports}\n", device.name());
        return Err(EINVAL);
    }
    let max_ports = max_ports.min(MAX_PORTS);
    let mut ports = KVec::with_capacity(max_ports as usize, GFP_KERNEL)?;
    for _ in 0..max_ports {
        ports.push(None, GFP_KERNEL)?;
    }
    let console = Console {
        device: device.clone(),
        multiport,
        max_ports,
        region: Mutex::new(None),
        queues: SetOnce::new(),
        control: SetOnce::new(),
        ports: SpinLock::new(ports),
        messages: SetOnce::new(),
        resized: SetOnce::new(),
        broken: SetOnce::new(),
        gone: AtomicBool::new(false),
        console: Completion::new(),
        _alive: ALIVE.count(),
    };
    let console = Arc::new(console, GFP_KERNEL)?;
    let _ = console.messages.set(work_on(&console, Console::handle_messages)?);
    let _ = console.resized.set(work_on(&console, Console::read_size)?);
    let _ = console.broken.set(work_on(&console, Console::stop)?);
    let region = Region::new("virtio-portsdev", max_ports, KBox::new(Opener::new(&console), GFP_KERNEL)?)?;
    *console.region.lock() = Some(region);
    let bound = Arc::new(Bound(console.clone()), GFP_KERNEL)?;
    let queue_count = if multiport { 2 * (max_ports as usize + 1) } else { 2 };
    let cpus = KVec::from_elem(0u32, queue_count, GFP_KERNEL)?;
    device.transport().connect(device.name().to_str().unwrap_or("virtio"), &cpus, bound.clone())?;
    let started = start(&console);
    if let Err(error) = started {
        bound.remove();
        return Err(error);
    }
    Ok(bound)
}

/// Switches the queues on and looks for ports.
fn start(console: &Arc<Console>) -> Result {
    let device = &console.device;
    let mut queues = KVec::with_capacity(console.max_ports as usize, GFP_KERNEL)?;
    for id in 0..u16::try_from(console.max_ports)? {
        // Queues 2 and 3 are those of messages, whether there are any or not.
        let index = if id == 0 { 0 } else { 2 * (id + 1) };
        queues.push(Arc::new(Queues::new(device, index)?, GFP_KERNEL)?, GFP_KERNEL)?;
    }
    // Set once, just here.
    let _ = console.queues.set(queues);
    if console.multiport {
        let _ = console.control.set(Arc::new(Queues::new(device, 2)?, GFP_KERNEL)?);
    }
    device.ready();
    if !console.multiport {
        let port = console.add_port(0)?;
        port.host_changed(true);
        port.make_console(console)?;
        console.read_size();
        return Ok(());
    }
    if let Some(control) = console.control.get() {
        control.start()?;
    }
    console.send_control(NO_PORT, event::DEVICE_READY, 1);
    // Who wants this console for the log wants it before the first program.
    if kernel::hvc::is_wanted() {
        for _ in 0..PATIENCE_MS {
            if console.console.try_wait() {
                break;
            }
            fsleep(Delta::from_millis(1));
        }
    }
    Ok(())
}
