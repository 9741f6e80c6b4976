// SPDX-License-Identifier: GPL-2.0
//! A port: its queues, its node, who is connected on either side; and, if it is a console, its terminal.

use crate::control::event;
use crate::device::{Console, config, feature};
use crate::queues::Queues;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kernel::cdev::{Device, FasyncList, POLL_OUT};
use kernel::ext::{KString, Mutex, SetOnce, SpinLock, WaitQueue, Work};
use kernel::hvc::{Hvc, HvcOps};
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::VirtioDevice;

/// A port. Always in an `Arc`.
pub(crate) struct Port {
    pub(crate) id: u32,
    pub(crate) queues: Arc<Queues>,
    /// A program has it open, or it is a console.
    pub(crate) guest_connected: AtomicBool,
    /// Somebody listens at the host.
    pub(crate) host_connected: AtomicBool,
    /// Who waits for input, for room, or for the host.
    pub(crate) wait: Arc<WaitQueue>,
    pub(crate) fasync: FasyncList,
    /// Signals those who want it.
    signal: SetOnce<Arc<Work>>,
    /// Its terminal, if it is a console. Used in interrupts, and dropped by who may sleep.
    hvc: SpinLock<Option<Arc<Hvc>>>,
    named: AtomicBool,
    /// Its directory and node.
    node: Mutex<Option<Device>>,
}

impl Port {
    pub(crate) fn new(id: u32, queues: Arc<Queues>, node: Option<Device>) -> Result<Arc<Self>> {
        let port = Self {
            id,
            queues,
            guest_connected: AtomicBool::new(false),
            host_connected: AtomicBool::new(false),
            wait: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            fasync: FasyncList::new(),
            signal: SetOnce::new(),
            hvc: SpinLock::new(None),
            named: AtomicBool::new(false),
            node: Mutex::new(node),
        };
        let port = Arc::new(port, GFP_KERNEL)?;
        let weak = Arc::downgrade(&port);
        let signal = Work::new(move || {
            if let Some(port) = weak.upgrade() {
                port.send_signal();
            }
        })?;
        // Set once, just here.
        let _ = port.signal.set(signal);
        Ok(port)
    }

    pub(crate) fn is_console(&self) -> bool {
        self.hvc.lock_irqsave().is_some()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.guest_connected.load(SeqCst)
    }

    pub(crate) fn is_host_there(&self) -> bool {
        self.host_connected.load(SeqCst)
    }

    /// As Linux says it: there is something to be done about the port.
    fn send_signal(&self) {
        if self.is_open() {
            self.fasync.kill(POLL_OUT);
        }
    }

    /// Something came. Hard interrupt context.
    pub(crate) fn input_came(&self) {
        if let Some(hvc) = &*self.hvc.lock_irqsave() {
            return hvc.input_came();
        }
        // Nobody has it open: nobody wants it.
        if !self.is_open() {
            return self.queues.discard();
        }
        self.wait.wake_up_all();
        self.want_signal();
    }

    fn want_signal(&self) {
        if self.fasync.is_active()
            && let Some(signal) = self.signal.get()
        {
            signal.queue();
        }
    }

    /// There is room again. Hard interrupt context.
    pub(crate) fn room_made(&self) {
        match &*self.hvc.lock_irqsave() {
            Some(hvc) => hvc.room_made(),
            None => self.wait.wake_up_all(),
        }
    }

    /// The host opened or closed its end. May sleep.
    pub(crate) fn host_changed(&self, connected: bool) {
        self.host_connected.store(connected, SeqCst);
        self.wait.wake_up_all();
        self.send_signal();
    }

    /// The host says what the port is called. May sleep.
    pub(crate) fn set_name(&self, name: &[u8]) -> Result {
        if self.named.swap(true, SeqCst) {
            return Ok(());
        }
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = KString::from_bytes(name, GFP_KERNEL)?;
        if let Some(node) = &*self.node.lock() {
            node.add_text("name", text)?;
            node.changed();
        }
        Ok(())
    }

    /// Makes it a console. May sleep.
    pub(crate) fn make_console(&self, console: &Console) -> Result {
        if self.is_console() {
            return Ok(());
        }
        let ops = Terminal { queues: self.queues.clone(), device: console.device.clone() };
        let hvc = Arc::new(kernel::hvc::alloc(Arc::new(ops, GFP_KERNEL)?)?, GFP_KERNEL)?;
        self.guest_connected.store(true, SeqCst);
        // Messages come one after another: nobody else sets it.
        *self.hvc.lock_irqsave() = Some(hvc.clone());
        console.send_control(self.id, event::PORT_OPEN, 1);
        // What came before.
        hvc.input_came();
        console.console_added();
        Ok(())
    }

    /// The terminal's size. May sleep.
    pub(crate) fn resize(&self, rows: u16, cols: u16) {
        let hvc = self.hvc.lock_irqsave().clone();
        if let Some(hvc) = hvc {
            hvc.resize(rows, cols);
        }
    }

    /// The port goes. May sleep.
    pub(crate) fn unplug(&self) {
        if self.is_open() {
            self.send_signal();
            self.guest_connected.store(false, SeqCst);
            self.host_connected.store(false, SeqCst);
            self.wait.wake_up_all();
        }
        // The terminal is hung up.
        let hvc = self.hvc.lock_irqsave().take();
        drop(hvc);
        if let Some(signal) = self.signal.get() {
            signal.cancel_sync();
        }
        let node = self.node.lock().take();
        drop(node);
    }
}

/// What moves a terminal's bytes.
struct Terminal {
    queues: Arc<Queues>,
    device: Arc<VirtioDevice>,
}

impl HvcOps for Terminal {
    fn put(&self, bytes: &[u8]) -> usize {
        self.queues.send(bytes)
    }

    fn get(&self, out: &mut [u8]) -> usize {
        let len = self.queues.peek(out);
        if len != 0 {
            self.queues.consume(len);
        }
        len
    }

    fn put_emergency(&self, bytes: &[u8]) {
        if self.device.has(feature::EMERG_WRITE) {
            for &byte in bytes {
                self.device.transport().write_config(config::EMERG_WRITE, &u32::from(byte).to_le_bytes());
            }
        }
    }
}
