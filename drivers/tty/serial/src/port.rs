// SPDX-License-Identifier: GPL-2.0
//! The lines, which begin as the four standard ports of a PC, and what the driver knows of each: the chip, copies of its
//! registers, bytes on their way in and out. Called by everything in this crate.
//!
//! Locks: `Port::delivery` (sleeping) around moving input to the terminal; `Port::state`, interrupts off, innermost.

use crate::uart::{LSR_ERRORS, Uart};
use cmdline::SerialOptions;
use containers::ByteRing;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering::Relaxed, Ordering::SeqCst};
use errno::Result;
use irq::IrqRequest;
use kalloc::flags::GFP_KERNEL;
use locking::SpinLock;
use sync::{Mutex, WaitQueue};
use tty::Flag;
use uapi::*;
use x86_cpu::io::PortRange;

/// Bytes that wait to be sent, and bytes that wait for the line discipline.
const RING_SIZE: usize = 4096;
/// How long a break waits for the key of a system request.
const REQUEST_NS: u64 = 5_000_000_000;

/// What changes.
pub(crate) struct State {
    /// Copies of the chip's registers.
    pub(crate) lcr: u8,
    pub(crate) mcr: u8,
    pub(crate) ier: u8,
    pub(crate) divisor: u16,
    /// What `console=` said: the line starts with it.
    pub(crate) console_options: Option<SerialOptions>,
    pub(crate) rings: Option<Rings>,
    /// A byte that goes ahead of all others.
    pub(crate) xchar: Option<u8>,
    /// Sending is stopped: by ^S, by the other side's CTS.
    pub(crate) stopped: bool,
    pub(crate) cts_stopped: bool,
    /// `CRTSCTS`, `CREAD`.
    pub(crate) watch_cts: bool,
    pub(crate) receiving: bool,
    /// The carrier came or went; the thread looks.
    pub(crate) carrier_changed: bool,
    pub(crate) counts: serial_icounter_struct,
    /// A break came on the console: a byte until this time (ns since boot; 0: none is awaited) is a system request.
    request_until: u64,
    /// That byte, for who lets go of the lock.
    pub(crate) request: Option<u8>,
    /// What is undone when the machine wakes.
    pub(crate) asleep: Option<crate::pm::Asleep>,
}

/// Bytes on their way, while the port is open.
pub(crate) struct Rings {
    pub(crate) tx: ByteRing,
    pub(crate) rx: ByteRing,
    /// How each byte of `rx` arrived (`code`).
    pub(crate) rx_flags: ByteRing,
}

impl Rings {
    pub(crate) fn new() -> Result<Self> {
        let ring = || ByteRing::new(RING_SIZE, GFP_KERNEL);
        Ok(Self { tx: ring()?, rx: ring()?, rx_flags: ring()? })
    }
}

/// A flag as a byte of `rx_flags`, and back.
fn code(flag: Flag) -> u8 {
    match flag {
        Flag::Normal => 0,
        Flag::Break => 1,
        Flag::Parity => 2,
        Flag::Frame => 3,
        Flag::Overrun => 4,
    }
}

pub(crate) fn flag(code: u8) -> Flag {
    match code {
        1 => Flag::Break,
        2 => Flag::Parity,
        3 => Flag::Frame,
        4 => Flag::Overrun,
        _ => Flag::Normal,
    }
}

fn count(counter: &mut i32, by: usize) {
    *counter = counter.wrapping_add(i32::try_from(by).unwrap_or(0));
}

impl State {
    /// Takes what the receiver has; returns the line status after it.
    pub(crate) fn receive(&mut self, uart: &Uart, mut lsr: u8) -> u8 {
        for _ in 0..256 {
            if lsr & (UART_LSR_DR | UART_LSR_BI) as u8 == 0 {
                break;
            }
            // A break without data has no byte to be read.
            let byte = if lsr & UART_LSR_DR as u8 != 0 { uart.read(UART_RX) } else { 0 };
            count(&mut self.counts.rx, 1);
            let flag = if lsr & LSR_ERRORS != 0 { self.error_flag(lsr) } else { Flag::Normal };
            if !self.is_request(byte, flag) {
                self.store(byte, flag);
            }
            if lsr & UART_LSR_OE as u8 != 0 {
                self.store(0, Flag::Overrun);
            }
            lsr = uart.read(UART_LSR);
        }
        lsr
    }

    /// Whether this byte is (part of) a system request: a break on the console, and the byte after it. A second break goes to
    /// the terminal.
    fn is_request(&mut self, byte: u8, flag: Flag) -> bool {
        let until = core::mem::take(&mut self.request_until);
        if flag == Flag::Break {
            if until == 0 && self.console_options.is_some() && sysrq::is_on() {
                self.request_until = ktime::now_ns().saturating_add(REQUEST_NS);
                return true;
            }
        } else if until != 0 && byte != 0 && ktime::now_ns() < until {
            self.request = Some(byte);
            return true;
        }
        false
    }

    fn error_flag(&mut self, lsr: u8) -> Flag {
        let has = |bit: u32| lsr & bit as u8 != 0;
        if has(UART_LSR_OE) {
            count(&mut self.counts.overrun, 1);
        }
        if has(UART_LSR_BI) {
            count(&mut self.counts.brk, 1);
            Flag::Break
        } else if has(UART_LSR_PE) {
            count(&mut self.counts.parity, 1);
            Flag::Parity
        } else if has(UART_LSR_FE) {
            count(&mut self.counts.frame, 1);
            Flag::Frame
        } else {
            Flag::Normal
        }
    }

    fn store(&mut self, byte: u8, flag: Flag) {
        let Some(rings) = self.rings.as_mut().filter(|_| self.receiving) else { return };
        if rings.rx.push(byte) {
            rings.rx_flags.push(code(flag));
        } else {
            count(&mut self.counts.buf_overrun, 1);
        }
    }

    /// Gives the transmitter, which is empty, what it takes. Whether an interrupt is wanted when it is empty again.
    pub(crate) fn fill_transmitter(&mut self, uart: &Uart) {
        if let Some(byte) = self.xchar.take() {
            uart.write(UART_TX, byte);
            count(&mut self.counts.tx, 1);
            return self.want_room(uart, true);
        }
        if self.stopped || self.cts_stopped {
            return self.want_room(uart, false);
        }
        let Some(rings) = self.rings.as_mut() else { return };
        let mut sent = 0usize;
        while sent < uart.kind().fifo()
            && let Some(byte) = rings.tx.pop()
        {
            uart.write(UART_TX, byte);
            sent = sent.saturating_add(1);
        }
        let more = !rings.tx.is_empty();
        count(&mut self.counts.tx, sent);
        self.want_room(uart, more);
    }

    /// Switches the transmitter's interrupt.
    fn want_room(&mut self, uart: &Uart, on: bool) {
        let ier = self.ier & !(UART_IER_THRI as u8) | if on { UART_IER_THRI as u8 } else { 0 };
        if ier != self.ier {
            self.ier = ier;
            uart.write(UART_IER, ier);
        }
    }

    /// Begins to send: at once if the transmitter is empty, else with its interrupt.
    pub(crate) fn start_sending(&mut self, uart: &Uart) {
        // With the interrupt on, sending goes on by itself.
        if self.ier & UART_IER_THRI as u8 != 0 {
            return;
        }
        if self.xchar.is_none() && self.rings.as_ref().is_none_or(|r| r.tx.is_empty()) {
            return;
        }
        if uart.read(UART_LSR) & UART_LSR_THRE as u8 != 0 {
            self.fill_transmitter(uart);
        } else {
            self.want_room(uart, true);
        }
    }

    /// Looks at the modem lines.
    pub(crate) fn check_modem(&mut self, uart: &Uart) -> u8 {
        let msr = uart.read(UART_MSR);
        if msr & UART_MSR_ANY_DELTA as u8 == 0 {
            return msr;
        }
        let has = |bit: u32| msr & bit as u8 != 0;
        if has(UART_MSR_TERI) {
            count(&mut self.counts.rng, 1);
        }
        if has(UART_MSR_DDSR) {
            count(&mut self.counts.dsr, 1);
        }
        if has(UART_MSR_DDCD) {
            count(&mut self.counts.dcd, 1);
            self.carrier_changed = true;
        }
        if has(UART_MSR_DCTS) {
            count(&mut self.counts.cts, 1);
            if self.watch_cts {
                self.cts_stopped = !has(UART_MSR_CTS);
                self.start_sending(uart);
            }
        }
        msr
    }

    /// Sets and clears bits of the modem control register.
    pub(crate) fn change_mcr(&mut self, uart: &Uart, set: u32, clear: u32) {
        self.mcr = self.mcr & !(clear as u8) | set as u8;
        uart.write(UART_MCR, self.mcr);
    }
}

/// One port.
pub(crate) struct Port {
    pub(crate) index: u32,
    /// First of its ports, and its ISA interrupt: those of the table, or of the device that has it, or had it last.
    base: AtomicU16,
    irq: AtomicU8,
    uart: Uart,
    /// The chip is being taken away: nobody opens the terminal.
    pub(crate) closing: AtomicBool,
    /// What comes wakes the machine (`power/wakeup`).
    pub(crate) may_wakeup: AtomicBool,
    pub(crate) state: SpinLock<State>,
    /// See the module's text.
    pub(crate) delivery: Mutex<()>,
    /// The interrupt, while the port is open.
    pub(crate) request: Mutex<Option<IrqRequest>>,
    /// Those who wait for modem lines (`TIOCMIWAIT`).
    pub(crate) modem_wait: WaitQueue,
}

/// COM1 to COM4.
pub(crate) static PORTS: [Port; 4] =
    [Port::new(0, 0x3f8, 4), Port::new(1, 0x2f8, 3), Port::new(2, 0x3e8, 4), Port::new(3, 0x2e8, 3)];

const NO_COUNTS: serial_icounter_struct = serial_icounter_struct {
    cts: 0,
    dsr: 0,
    rng: 0,
    dcd: 0,
    rx: 0,
    tx: 0,
    frame: 0,
    overrun: 0,
    parity: 0,
    brk: 0,
    buf_overrun: 0,
    reserved: [0; 9],
};

impl Port {
    const fn new(index: u32, base: u16, irq: u8) -> Self {
        // DTR, RTS and the interrupt's gate are off until the port is opened.
        let state = State {
            lcr: UART_LCR_WLEN8 as u8,
            mcr: 0,
            ier: 0,
            divisor: 12,
            console_options: None,
            rings: None,
            xchar: None,
            stopped: false,
            cts_stopped: false,
            watch_cts: false,
            receiving: true,
            carrier_changed: false,
            counts: NO_COUNTS,
            request_until: 0,
            request: None,
            asleep: None,
        };
        Self {
            index,
            base: AtomicU16::new(base),
            irq: AtomicU8::new(irq),
            uart: Uart::new(),
            closing: AtomicBool::new(false),
            may_wakeup: AtomicBool::new(false),
            state: SpinLock::new(state),
            delivery: Mutex::new(()),
            request: Mutex::new(None),
            modem_wait: WaitQueue::new(),
        }
    }

    /// First of its ports.
    pub(crate) fn base(&self) -> u16 {
        self.base.load(Relaxed)
    }

    /// Its ISA interrupt.
    pub(crate) fn irq(&self) -> u8 {
        self.irq.load(Relaxed)
    }

    /// Its interrupt is another one, and so are its ports, if it has no chip.
    pub(crate) fn move_to(&self, base: u16, irq: u8) {
        self.base.store(base, Relaxed);
        self.irq.store(irq, Relaxed);
    }

    /// Looks for a chip behind `io`, if none is known. Only while nobody else does.
    pub(crate) fn probe(&self, io: PortRange) -> Option<&Uart> {
        if !self.uart.is_there() && self.uart.find(io) {
            let mut state = self.state.lock_irqsave();
            // What probing leaves.
            (state.lcr, state.mcr, state.ier) = (UART_LCR_WLEN8 as u8, 0, 0);
            (state.request_until, state.request, state.carrier_changed) = (0, None, false);
        }
        self.uart()
    }

    /// The chip is gone.
    pub(crate) fn forget(&self) {
        let _state = self.state.lock_irqsave();
        self.uart.forget();
    }

    /// The chip, if there is one.
    #[inline(always)]
    pub(crate) fn uart(&self) -> Option<&Uart> {
        self.uart.is_there().then_some(&self.uart)
    }

    /// Whether it may be opened.
    pub(crate) fn is_usable(&self) -> bool {
        !self.closing.load(SeqCst) && self.uart.is_there()
    }

    /// Whether the kernel log uses it: it is never switched off then.
    pub(crate) fn is_console(&self) -> bool {
        printk::console::consoles().any(|c| c.name() == "ttyS" && c.index() == self.index)
    }
}
