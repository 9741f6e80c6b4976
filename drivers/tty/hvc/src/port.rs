// SPDX-License-Identifier: GPL-2.0
//! The lines: which are taken, and bytes on their way in and out. Output waits in a ring until the driver has room; input that the
//! terminal does not take yet waits in another.

use crate::{DRIVER, HvcOps, LINES, console};
use containers::ByteRing;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::{SetOnce, SpinLock};
use sync::Mutex;
use tty::Tty;
use uapi::winsize;
use workqueue::Work;

/// Bytes of each ring.
const RING_SIZE: usize = 4096;
/// Bytes that are moved at once.
pub(crate) const CHUNK: usize = 256;
/// Below so many bytes waiting to be sent, writers are woken.
const WAKEUP_CHARS: usize = 256;
/// On the console this key (^O) says that the next is a system request; twice, it is itself.
const REQUEST: u8 = 0x0f;

/// What changes.
pub(crate) struct State {
    /// The driver, while the line is taken.
    pub(crate) ops: Option<Arc<dyn HvcOps>>,
    pub(crate) rings: Option<Rings>,
    /// The terminal is open.
    pub(crate) tty: Option<Arc<Tty>>,
    /// Output is stopped (^S).
    pub(crate) stopped: bool,
    /// The next key is a system request.
    request: bool,
}

/// Bytes on their way.
pub(crate) struct Rings {
    pub(crate) tx: ByteRing,
    rx: ByteRing,
}

/// A line.
pub(crate) struct Port {
    pub(crate) index: u32,
    pub(crate) state: SpinLock<State>,
    /// Held while input goes to the terminal, so that it stays in order.
    delivery: Mutex<()>,
    /// Does what interrupts cannot.
    work: SetOnce<Arc<Work>>,
    taken: AtomicBool,
}

const fn port(index: u32) -> Port {
    Port {
        index,
        state: SpinLock::new(State { ops: None, rings: None, tty: None, stopped: false, request: false }),
        delivery: Mutex::new(()),
        work: SetOnce::new(),
        taken: AtomicBool::new(false),
    }
}

/// All lines.
pub(crate) static PORTS: [Port; LINES] = [port(0), port(1), port(2), port(3), port(4), port(5), port(6), port(7)];

impl State {
    /// Gives the driver what waits, as far as it has room.
    pub(crate) fn send(&mut self) {
        let (Some(ops), Some(rings)) = (&self.ops, &mut self.rings) else { return };
        if self.stopped {
            return;
        }
        let mut chunk = [0; CHUNK];
        loop {
            let len = rings.tx.peek(&mut chunk);
            let taken = ops.put(chunk.get(..len).unwrap_or_default()).min(len);
            rings.tx.consume(taken);
            if taken == 0 {
                return;
            }
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.rings.as_ref().map_or(0, |rings| rings.tx.len())
    }

    /// Takes system requests out of what came: how much is left, and the last of them.
    fn filter(&mut self, bytes: &mut [u8]) -> (usize, Option<u8>) {
        let (mut kept, mut key) = (0, None);
        for at in 0..bytes.len() {
            let Some(&byte) = bytes.get(at) else { break };
            if byte == REQUEST {
                self.request = !self.request;
                if self.request {
                    continue;
                }
            } else if core::mem::take(&mut self.request) {
                key = Some(byte);
                continue;
            }
            if let Some(place) = bytes.get_mut(kept) {
                *place = byte;
                kept += 1;
            }
        }
        (kept, key)
    }

    /// Takes from the driver what there is room for; the value is a system request among it.
    fn fetch(&mut self, is_console: bool) -> Option<u8> {
        let mut bytes = [0; CHUNK];
        let mut request = None;
        while let (Some(ops), Some(rings)) = (&self.ops, &self.rings) {
            let room = rings.rx.room().min(CHUNK);
            let got = bytes.get_mut(..room).map_or(0, |part| ops.get(part).min(room));
            let Some(part) = bytes.get_mut(..got).filter(|part| !part.is_empty()) else { break };
            let (kept, key) = if is_console { self.filter(part) } else { (got, None) };
            request = key.or(request);
            if let Some(rings) = &mut self.rings {
                rings.rx.write(part.get(..kept).unwrap_or_default());
            }
        }
        request
    }
}

impl Port {
    /// Makes what the line needs, once. May sleep.
    pub(crate) fn prepare(&'static self) -> Result {
        if self.work.get().is_none() {
            let work = Work::new(move || self.serve())?;
            // Set once: the caller has a lock.
            let _ = self.work.set(work);
        }
        let mut state = self.state.lock_irqsave();
        if state.rings.is_some() {
            return Ok(());
        }
        drop(state);
        let rings = Rings { tx: ByteRing::new(RING_SIZE, GFP_KERNEL)?, rx: ByteRing::new(RING_SIZE, GFP_KERNEL)? };
        state = self.state.lock_irqsave();
        state.rings = Some(rings);
        Ok(())
    }

    /// Lets the work run: there is input, or room for those who sleep or want a signal. Any context.
    pub(crate) fn kick(&self) {
        if let Some(work) = self.work.get() {
            work.queue();
        }
    }

    /// The driver has room again.
    fn room(&self) {
        let mut state = self.state.lock_irqsave();
        state.send();
        if state.tty.is_some() && state.waiting() < WAKEUP_CHARS {
            drop(state);
            self.kick();
        }
    }

    /// The work.
    fn serve(&self) {
        let Some(tty) = self.state.lock_irqsave().tty.clone() else { return };
        self.deliver(&tty);
        if tty.echo_waits() {
            tty.drain_echo();
        }
        if self.state.lock_irqsave().waiting() < WAKEUP_CHARS {
            tty.room_made();
        }
    }

    /// Gives the terminal what came, as far as it takes it. May sleep.
    fn deliver(&self, tty: &Tty) {
        let _delivery = self.delivery.lock();
        let is_console = console::is_on(self.index) && sysrq::is_on();
        let mut bytes = [0; CHUNK];
        loop {
            let (len, key) = {
                let mut state = self.state.lock_irqsave();
                let key = state.fetch(is_console);
                (state.rings.as_ref().map_or(0, |rings| rings.rx.peek(&mut bytes)), key)
            };
            // It prints, perhaps on this line.
            if let Some(key) = key {
                sysrq::handle(key);
            }
            if len == 0 {
                return;
            }
            let taken = tty.receive(bytes.get(..len).unwrap_or_default(), None);
            if let Some(rings) = &mut self.state.lock_irqsave().rings {
                rings.rx.consume(taken);
            }
            if taken < len {
                // The terminal is full; `unthrottle` brings the rest.
                return;
            }
        }
    }
}

/// A line that is taken. It is free again when this is dropped: the terminal is hung up then; may sleep.
pub struct Hvc {
    port: &'static Port,
}

impl Hvc {
    pub(crate) fn new(ops: Arc<dyn HvcOps>) -> Result<Self> {
        let port = PORTS.iter().find(|port| !port.taken.swap(true, Ordering::AcqRel)).ok_or(ENOSPC)?;
        {
            let mut state = port.state.lock_irqsave();
            (state.ops, state.stopped, state.request) = (Some(ops), false, false);
        }
        console::register(port.index);
        Ok(Self { port })
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.port.index
    }

    /// Something came. Any context.
    pub fn input_came(&self) {
        self.port.kick();
    }

    /// There is room again. Any context.
    pub fn room_made(&self) {
        self.port.room();
    }

    /// The window has this size now; who uses the terminal is told. May sleep.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        if let Ok(tty) = DRIVER.line(self.port.index) {
            // This driver takes every size.
            let _ = tty.resize(size);
        }
    }
}

impl Drop for Hvc {
    fn drop(&mut self) {
        console::unregister(self.port.index);
        let (ops, tty) = {
            let mut state = self.port.state.lock_irqsave();
            if let Some(rings) = &mut state.rings {
                rings.tx.clear();
                rings.rx.clear();
            }
            (state.ops.take(), state.tty.clone())
        };
        drop(ops);
        if let Some(tty) = tty {
            // Who closes it waits no longer for the host to take the rest.
            tty.write_wakeup();
            tty.hangup(false);
        }
        self.port.taken.store(false, Ordering::Release);
    }
}
