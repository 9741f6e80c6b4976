// SPDX-License-Identifier: GPL-2.0
//! A port as the terminal layer's device. Called by it, see `tty::TtyOps` for what is held.

use crate::owner::{OWNERS, name};
use crate::port::{PORTS, Port, Rings};
use crate::uart::{self, BASE_BAUD, Uart, divisor};
use errno::{
    Result,
    code::{EBUSY, EINVAL, ENODEV, EPERM},
};
use irq::{IrqFlags, Trigger};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use tty::{DriverOps, Tty, TtyOps};
use uapi::*;
use vfs::{File, user};
use x86_cpu::io::PortRange;

/// How a port was set up, as `TIOCGSERIAL` shows it (`UPF_BOOT_AUTOCONF`, `ASYNC_SKIP_TEST`): a chip is looked for, its loop is
/// not tested.
const FLAGS: i32 = 0x1000_0040;

/// One port.
struct Line {
    port: &'static Port,
}

/// All ports.
pub(crate) struct Lines;

impl DriverOps for Lines {
    fn line(&self, index: u32) -> Result<KBox<dyn TtyOps>> {
        let port = PORTS.get(index as usize).ok_or(ENODEV)?;
        Ok(KBox::new(Line { port }, GFP_KERNEL)?)
    }

    fn init_termios(&self, index: u32) -> ktermios {
        let mut termios = tty::std_termios();
        let console = PORTS.get(index as usize).and_then(|p| p.state.lock_irqsave().console_options);
        let wanted = console.unwrap_or_default();
        let mut c_cflag = CREAD | HUPCL | CLOCAL;
        c_cflag |= match wanted.bits {
            5 => CS5,
            6 => CS6,
            7 => CS7,
            _ => CS8,
        };
        match wanted.parity {
            b'o' => c_cflag |= PARENB | PARODD,
            b'e' => c_cflag |= PARENB,
            _ => {}
        }
        if wanted.flow {
            c_cflag |= CRTSCTS;
        }
        termios.c_cflag = c_cflag;
        tty::encode_baud(&mut termios, wanted.baud, wanted.baud);
        termios
    }

    fn is_present(&self, _index: u32) -> bool {
        // `owner` makes the nodes.
        false
    }
}

/// The line control register for `c_cflag`.
fn line_control(c_cflag: u32) -> u8 {
    let mut lcr = match c_cflag & CSIZE {
        CS5 => UART_LCR_WLEN5,
        CS6 => UART_LCR_WLEN6,
        CS7 => UART_LCR_WLEN7,
        _ => UART_LCR_WLEN8,
    };
    if c_cflag & CSTOPB != 0 {
        lcr |= UART_LCR_STOP;
    }
    if c_cflag & PARENB != 0 {
        lcr |= UART_LCR_PARITY;
        if c_cflag & PARODD == 0 {
            lcr |= UART_LCR_EPAR;
        }
        if c_cflag & CMSPAR != 0 {
            lcr |= UART_LCR_SPAR;
        }
    }
    lcr as u8
}

/// What `TIOCGSERIAL` says.
pub(crate) fn settings(port: &Port) -> serial_struct {
    serial_struct {
        type_: port.uart().map_or(0, |u| u.kind().number()).cast_signed(),
        line: port.index.cast_signed(),
        port: port.base().into(),
        irq: port.irq().into(),
        flags: FLAGS,
        xmit_fifo_size: port.uart().map_or(1, |u| u.kind().fifo()) as i32,
        baud_base: BASE_BAUD.cast_signed(),
        close_delay: 50,
        closing_wait: 3000,
        ..Default::default()
    }
}

impl Line {
    /// Runs `f` with the chip and the port's state; nothing without a chip.
    fn with<R: Default>(&self, f: impl FnOnce(&Uart, &mut crate::port::State) -> R) -> R {
        match self.port.uart() {
            Some(uart) => f(uart, &mut self.port.state.lock_irqsave()),
            None => R::default(),
        }
    }

    /// Applies the settings to the chip.
    fn apply(&self, t: &ktermios, baud: u32) {
        self.with(|uart, state| {
            if baud != 0 {
                state.divisor = divisor(baud);
            }
            state.lcr = line_control(t.c_cflag);
            state.receiving = t.c_cflag & CREAD != 0;
            state.watch_cts = t.c_cflag & CRTSCTS != 0;
            uart.set_line(state.divisor, state.lcr);
            let modem = t.c_cflag & CLOCAL == 0 || state.watch_cts;
            let interrupts = UART_IER_RLSI | UART_IER_RDI | if modem { UART_IER_MSI } else { 0 };
            state.ier = state.ier & UART_IER_THRI as u8 | interrupts as u8;
            uart.write(UART_IER, state.ier);
            state.cts_stopped = state.watch_cts && uart.read(UART_MSR) & UART_MSR_CTS as u8 == 0;
            state.start_sending(uart);
        });
    }

    fn get_serial(&self) -> serial_struct {
        settings(self.port)
    }

    /// `TIOCSSERIAL`: nothing of a standard port can be changed.
    fn set_serial(&self, arg: usize) -> Result<usize> {
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        let mut wanted = [0u8; size_of::<serial_struct>()];
        user::copy_in(arg, &mut wanted)?;
        let wanted: serial_struct = uapi::FromBytes::read_from(&wanted).ok_or(EINVAL)?;
        let now = self.get_serial();
        let fixed = |s: &serial_struct| {
            (s.type_, s.port, s.irq, s.flags, s.custom_divisor, s.baud_base, s.close_delay, s.closing_wait)
        };
        if fixed(&wanted) == fixed(&now) { Ok(0) } else { Err(EINVAL) }
    }

    /// `TIOCSERCONFIG`: who alone has the port open lets the kernel look for its chip again.
    fn configure(&self, tty: &Arc<Tty>) -> Result {
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        let _owners = OWNERS.try_lock().ok_or(EBUSY)?;
        tty.reconfigure(&|| {
            // One that is there is not disturbed: it may be the log's.
            if let Some(io) = PortRange::claim(self.port.base(), uart::PORTS) {
                self.port.probe(io);
            }
        })
    }

    /// `TIOCMIWAIT`: waits until one of the modem lines in `lines` changes.
    fn wait_for_modem(&self, lines: u32) -> Result<usize> {
        let counts = || self.port.state.lock_irqsave().counts;
        self.with(|uart, state| {
            state.ier |= UART_IER_MSI as u8;
            uart.write(UART_IER, state.ier);
        });
        let before = counts();
        self.port.modem_wait.wait_interruptible(|| {
            let now = counts();
            (lines & TIOCM_RNG != 0 && now.rng != before.rng)
                || (lines & TIOCM_DSR != 0 && now.dsr != before.dsr)
                || (lines & TIOCM_CD != 0 && now.dcd != before.dcd)
                || (lines & TIOCM_CTS != 0 && now.cts != before.cts)
        })?;
        Ok(0)
    }
}

impl TtyOps for Line {
    fn has_device(&self) -> bool {
        self.port.is_usable()
    }

    fn open(&self, tty: &Arc<Tty>) -> Result {
        let port = self.port;
        let uart = port.uart().ok_or(errno::code::EIO)?;
        let rings = Rings::new()?;
        {
            let mut state = port.state.lock_irqsave();
            state.rings = Some(rings);
            (state.xchar, state.stopped, state.cts_stopped) = (None, false, false);
            uart.reset_fifos();
            // What was pending before belongs to nobody.
            for register in [UART_LSR, UART_RX, UART_IIR, UART_MSR] {
                uart.read(register);
            }
            state.change_mcr(uart, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2, 0);
        }
        let (hard, thread) = (tty.clone(), tty.clone());
        let isa = x86_line(port.irq());
        let flags = IrqFlags { shared: true, trigger: Some((isa.1, isa.2)), ..IrqFlags::default() };
        let handler = KBox::new(move |_: u32| port.interrupt(&hard), GFP_KERNEL)?;
        let thread = KBox::new(move |_: u32| port.interrupt_thread(&thread), GFP_KERNEL)?;
        let request = irq::request_threaded_irq(isa.0, name(port.index).as_bytes(), flags, Some(handler), thread)?;
        *port.request.lock() = Some(request);
        let termios = tty.termios();
        self.apply(&termios, tty::baud_rate(&termios));
        Ok(())
    }

    fn shutdown(&self, tty: &Tty) {
        let hang_up = tty.termios().c_cflag & HUPCL != 0 && !self.port.is_console();
        self.with(|uart, state| {
            state.ier = 0;
            uart.write(UART_IER, 0);
            let lines = if hang_up { UART_MCR_DTR | UART_MCR_RTS } else { 0 };
            state.change_mcr(uart, 0, UART_MCR_OUT2 | lines);
            uart.write(UART_LCR, state.lcr);
        });
        // Waits for a handler that still runs.
        drop(self.port.request.lock().take());
        let (rings, asleep) = {
            let mut state = self.port.state.lock_irqsave();
            (state.rings.take(), state.asleep.take())
        };
        drop(rings);
        // Closed on the machine's way to sleep: when it wakes there is nothing to be undone.
        if let Some(asleep) = asleep {
            asleep.stop_waking();
        }
    }

    fn carrier_raised(&self) -> bool {
        self.with(|uart, _| uart.read(UART_MSR) & UART_MSR_DCD as u8 != 0)
    }

    fn write(&self, _tty: &Tty, bytes: &[u8]) -> usize {
        self.port.state.lock_irqsave().rings.as_mut().map_or(bytes.len(), |r| r.tx.write(bytes))
    }

    fn flush_chars(&self, _tty: &Tty) {
        self.with(|uart, state| state.start_sending(uart));
    }

    fn write_room(&self) -> usize {
        self.port.state.lock_irqsave().rings.as_ref().map_or(0, |r| r.tx.room())
    }

    fn chars_in_buffer(&self) -> usize {
        self.port.state.lock_irqsave().rings.as_ref().map_or(0, |r| r.tx.len())
    }

    fn flush_output(&self, _tty: &Tty) {
        self.with(|_, state| {
            if let Some(rings) = &mut state.rings {
                rings.tx.clear();
            }
        });
    }

    fn stop(&self, _tty: &Tty) {
        self.port.state.lock_irqsave().stopped = true;
    }

    fn start(&self, _tty: &Tty) {
        self.with(|uart, state| {
            state.stopped = false;
            state.start_sending(uart);
        });
    }

    fn throttle(&self, tty: &Tty, termios: &ktermios) {
        if termios.c_iflag & IXOFF != 0 {
            self.send_xchar(tty, termios.c_cc.get(VSTOP as usize).copied().unwrap_or_default());
        }
        if termios.c_cflag & CRTSCTS != 0 {
            self.with(|uart, state| state.change_mcr(uart, 0, UART_MCR_RTS));
        }
    }

    fn unthrottle(&self, tty: &Tty, termios: &ktermios) {
        if termios.c_iflag & IXOFF != 0 {
            self.send_xchar(tty, termios.c_cc.get(VSTART as usize).copied().unwrap_or_default());
        }
        if termios.c_cflag & CRTSCTS != 0 {
            self.with(|uart, state| state.change_mcr(uart, UART_MCR_RTS, 0));
        }
        self.port.deliver(tty);
    }

    fn set_termios(&self, tty: &Tty, old: &ktermios, new: &ktermios) {
        let wanted = tty::baud_rate(new);
        let baud = wanted.min(BASE_BAUD);
        self.apply(new, baud);
        self.with(|uart, state| match (tty::baud_rate(old), wanted) {
            (0, 0) => {}
            // Speed 0 hangs up; leaving it raises the lines again.
            (_, 0) => state.change_mcr(uart, 0, UART_MCR_DTR | UART_MCR_RTS),
            (0, _) => state.change_mcr(uart, UART_MCR_DTR | UART_MCR_RTS, 0),
            _ => {}
        });
        if baud != wanted {
            let mut real = *new;
            tty::encode_baud(&mut real, baud, baud);
            tty.adjust_termios(real);
        }
    }

    fn send_xchar(&self, _tty: &Tty, byte: u8) {
        self.with(|uart, state| {
            state.xchar = Some(byte);
            state.start_sending(uart);
        });
    }

    fn break_ctl(&self, on: bool) -> Option<Result> {
        self.with(|uart, state| {
            let set = UART_LCR_SBC as u8;
            state.lcr = state.lcr & !set | if on { set } else { 0 };
            uart.write(UART_LCR, state.lcr);
        });
        Some(Ok(()))
    }

    fn wait_until_sent(&self, deadline: u64) {
        let empty = || match self.port.uart() {
            Some(uart) => uart.read(UART_LSR) & UART_LSR_TEMT as u8 != 0,
            None => true,
        };
        // A FIFO of 16 bytes is sent within 4 ms at 38400 bits a second; one whose other side takes nothing never. A signal ends the wait.
        while !empty() && ktime::now_ns() < deadline {
            let next = ktime::now_ns().saturating_add(1_000_000);
            if self.port.modem_wait.wait_interruptible_deadline(Some(next), || false).is_err() {
                return;
            }
        }
    }

    fn tiocmget(&self) -> Result<u32> {
        Ok(self.with(|uart, state| {
            let msr = u32::from(state.check_modem(uart));
            let mcr = u32::from(state.mcr);
            let pairs = [
                (msr & UART_MSR_DCD, TIOCM_CAR),
                (msr & UART_MSR_RI, TIOCM_RNG),
                (msr & UART_MSR_DSR, TIOCM_DSR),
                (msr & UART_MSR_CTS, TIOCM_CTS),
                (mcr & UART_MCR_DTR, TIOCM_DTR),
                (mcr & UART_MCR_RTS, TIOCM_RTS),
                (mcr & UART_MCR_OUT1, TIOCM_OUT1),
                // The interrupt's gate on PCs: no line that programs see.
                (mcr & UART_MCR_LOOP, TIOCM_LOOP),
            ];
            pairs.into_iter().filter(|(on, _)| *on != 0).fold(0, |all, (_, bit)| all | bit)
        }))
    }

    fn tiocmset(&self, set: u32, clear: u32) -> Result {
        let bits = |lines: u32| {
            let pairs = [
                (TIOCM_DTR, UART_MCR_DTR),
                (TIOCM_RTS, UART_MCR_RTS),
                (TIOCM_OUT1, UART_MCR_OUT1),
                (TIOCM_LOOP, UART_MCR_LOOP),
            ];
            pairs.into_iter().filter(|(line, _)| lines & line != 0).fold(0, |all, (_, bit)| all | bit)
        };
        self.with(|uart, state| state.change_mcr(uart, bits(set), bits(clear)));
        Ok(())
    }

    fn ioctl(&self, tty: &Arc<Tty>, _file: &File, cmd: u32, arg: usize) -> Option<Result<usize>> {
        Some(match cmd {
            TIOCGSERIAL => put_bytes(arg, &self.get_serial()),
            TIOCSSERIAL => self.set_serial(arg),
            TIOCSERCONFIG => self.configure(tty).map(|()| 0),
            TIOCSERGETLSR => {
                let lsr = self.with(|uart, _| uart.read(UART_LSR));
                let empty = lsr & UART_LSR_TEMT as u8 != 0 && self.chars_in_buffer() == 0;
                user::put(arg, &u32::from(empty)).map(|()| 0)
            }
            TIOCMIWAIT => self.wait_for_modem(arg as u32),
            TIOCGICOUNT => {
                let counts = self.port.state.lock_irqsave().counts;
                put_bytes(arg, &counts)
            }
            _ => return None,
        })
    }
}

fn put_bytes<T: AsBytes>(arg: usize, value: &T) -> Result<usize> {
    user::put(arg, value)?;
    Ok(0)
}

/// Where the platform brings ISA interrupt `isa`.
fn x86_line(isa: u8) -> (u32, Trigger, irq::Polarity) {
    let line = irq::isa_line(isa);
    (line.gsi, line.trigger, line.polarity)
}
