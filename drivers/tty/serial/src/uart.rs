// SPDX-License-Identifier: GPL-2.0
//! The registers of one UART: detection, line settings, polled output. Called by `port` and `console`, which hold the port's
//! lock; none here. Source: National Semiconductor's PC16550D data sheet.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use uapi::*;
use x86_cpu::io::{PortRange, PortWindow};

/// Bits per second at divisor 1.
pub(crate) const BASE_BAUD: u32 = 115_200;
/// Bytes that a 16550A's transmitter takes at once.
pub(crate) const FIFO_SIZE: usize = 16;
/// Ports of a chip.
pub(crate) const PORTS: u16 = 8;
/// Bits of the line status that tell of a byte received badly.
pub(crate) const LSR_ERRORS: u8 = (UART_LSR_BI | UART_LSR_PE | UART_LSR_FE | UART_LSR_OE) as u8;
const BOTH_EMPTY: u8 = (UART_LSR_TEMT | UART_LSR_THRE) as u8;

/// What kind of chip it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Without a scratch register.
    I8250,
    /// Without a FIFO.
    I16450,
    /// With a FIFO that does not work.
    I16550,
    /// With a FIFO of 16 bytes.
    I16550A,
}

impl Kind {
    /// Name as the kernel log and `/proc/tty/driver/serial` show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::I8250 => "8250",
            Self::I16450 => "16450",
            Self::I16550 => "16550",
            Self::I16550A => "16550A",
        }
    }

    /// As `TIOCGSERIAL` shows it (`PORT_*`).
    pub fn number(self) -> u32 {
        match self {
            Self::I8250 => 1,
            Self::I16450 => 2,
            Self::I16550 => 3,
            Self::I16550A => 4,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::I8250,
            2 => Self::I16450,
            3 => Self::I16550,
            _ => Self::I16550A,
        }
    }

    /// How many bytes the transmitter takes when it is empty.
    pub(crate) fn fifo(self) -> usize {
        if self == Self::I16550A { FIFO_SIZE } else { 1 }
    }
}

/// The bytes in the receiver's FIFO of a 16550A at which it interrupts, by the upper bits of the FIFO's control register.
pub(crate) const TRIGGERS: [u8; 4] = [1, 4, 8, 14];

/// One chip, or the place of one that is missing: then reads give ones, and writes do nothing. Without a lock of its own, so
/// that a panic can use it whoever holds the port's.
pub(crate) struct Uart {
    io: PortWindow,
    kind: AtomicU8,
    /// Which of `TRIGGERS`.
    trigger: AtomicU8,
}

impl Uart {
    /// No chip.
    pub(crate) const fn new() -> Self {
        Self { io: PortWindow::new(), kind: AtomicU8::new(0), trigger: AtomicU8::new(2) }
    }

    /// Whether there is a chip.
    #[inline(always)]
    pub(crate) fn is_there(&self) -> bool {
        self.io.is_open()
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        Kind::from_number(self.kind.load(Relaxed))
    }

    /// Looks for a chip at these ports; leaves it with interrupts off and FIFOs empty.
    pub(crate) fn find(&self, io: PortRange) -> bool {
        // Nobody else sees it before it is known what it is.
        let trial = Self::new();
        trial.io.set(io.part(0, PORTS));
        if !trial.detect() {
            return false;
        }
        self.kind.store(trial.kind.load(Relaxed), Relaxed);
        self.trigger.store(trial.trigger.load(Relaxed), Relaxed);
        self.io.set(io.part(0, PORTS));
        true
    }

    /// There is no chip any more.
    pub(crate) fn forget(&self) {
        self.io.set(None);
    }

    fn detect(&self) -> bool {
        // The low bits of IER hold what is written to them; an absent chip reads as ones, or as what the bus last carried.
        let saved = self.read(UART_IER);
        self.write(UART_IER, 0);
        let low = self.read(UART_IER) & 0x0f;
        self.write(UART_IER, 0x0f);
        let high = self.read(UART_IER) & 0x0f;
        self.write(UART_IER, saved & 0x0f);
        if (low, high) != (0, 0x0f) {
            return false;
        }
        // In loopback the modem lines show what was written to the modem control register.
        let mcr = self.read(UART_MCR);
        self.write(UART_MCR, (UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS) as u8);
        let looped = self.read(UART_MSR) & 0xf0;
        self.write(UART_MCR, mcr);
        if looped != (UART_MSR_DCD | UART_MSR_CTS) as u8 {
            return false;
        }
        self.kind.store(self.find_kind().number() as u8, Relaxed);
        self.write(UART_IER, 0);
        self.write(UART_LCR, UART_LCR_WLEN8 as u8);
        self.reset_fifos();
        true
    }

    fn find_kind(&self) -> Kind {
        self.write(UART_FCR, UART_FCR_ENABLE_FIFO as u8);
        let iir = self.read(UART_IIR);
        self.write(UART_FCR, 0);
        match iir >> 6 {
            3 => Kind::I16550A,
            2 => Kind::I16550,
            _ => {
                let saved = self.read(UART_SCR);
                let holds = |value| {
                    self.write(UART_SCR, value);
                    self.read(UART_SCR) == value
                };
                let scratch = holds(0xa5) && holds(0x5a);
                self.write(UART_SCR, saved);
                if scratch { Kind::I16450 } else { Kind::I8250 }
            }
        }
    }

    /// Reads a register (`UART_*` of the ABI's `serial_reg.h`).
    #[inline(always)]
    pub(crate) fn read(&self, register: u32) -> u8 {
        self.io.read8(register as u16)
    }

    /// Writes a register.
    #[inline(always)]
    pub(crate) fn write(&self, register: u32, value: u8) {
        self.io.write8(register as u16, value);
    }

    /// Bytes that wait in the receiver when it interrupts; `None`: there is no such choice.
    pub(crate) fn trigger(&self) -> Option<u8> {
        let is_known = self.is_there() && self.kind() == Kind::I16550A;
        TRIGGERS.get(usize::from(self.trigger.load(Relaxed))).copied().filter(|_| is_known)
    }

    /// Chooses the most that is not above `bytes`, now and for every open.
    pub(crate) fn set_trigger(&self, bytes: u8) {
        let choice = TRIGGERS.iter().rposition(|&trigger| trigger <= bytes).unwrap_or(0);
        self.trigger.store(choice as u8, Relaxed);
        self.write(UART_FCR, self.fifo_control());
    }

    fn fifo_control(&self) -> u8 {
        UART_FCR_ENABLE_FIFO as u8 | self.trigger.load(Relaxed) << 6
    }

    /// Empties the FIFOs and switches them on.
    pub(crate) fn reset_fifos(&self) {
        if self.kind() != Kind::I16550A {
            return;
        }
        self.write(UART_FCR, UART_FCR_ENABLE_FIFO as u8);
        self.write(UART_FCR, (UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT) as u8);
        self.write(UART_FCR, self.fifo_control());
    }

    /// Switches the FIFOs on as [`Self::reset_fifos`] does, and leaves what is in them.
    pub(crate) fn keep_fifos(&self) {
        if self.kind() == Kind::I16550A {
            self.write(UART_FCR, self.fifo_control());
        }
    }

    /// Sets speed and format. `lcr` without the divisor latch bit.
    pub(crate) fn set_line(&self, divisor: u16, lcr: u8) {
        self.write(UART_LCR, lcr | UART_LCR_DLAB as u8);
        let [low, high] = divisor.to_le_bytes();
        self.write(UART_DLL, low);
        self.write(UART_DLM, high);
        self.write(UART_LCR, lcr);
    }

    /// Waits until the transmitter takes bytes again, but not for ever: a dead chip must not stop the kernel.
    fn wait_for_room(&self, mask: u8) -> u8 {
        for _ in 0..1_000_000 {
            let lsr = self.read(UART_LSR);
            if lsr & mask == mask {
                return lsr;
            }
            core::hint::spin_loop();
        }
        0
    }

    /// Sends bytes by polling, `\n` as `\r\n`. Returns once the last byte is in the chip.
    pub(crate) fn write_polled(&self, bytes: &[u8]) {
        let mut room = 0usize;
        let mut put = |byte| {
            if room == 0 {
                self.wait_for_room(UART_LSR_THRE as u8);
                room = self.kind().fifo();
            }
            self.write(UART_TX, byte);
            room = room.saturating_sub(1);
        };
        for &byte in bytes {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
    }

    /// Waits until everything has left the chip.
    pub(crate) fn drain(&self) {
        self.wait_for_room(BOTH_EMPTY);
    }
}

/// The divisor for a speed; 0 (hang up) has that of 9600.
pub(crate) fn divisor(baud: u32) -> u16 {
    let baud = if baud == 0 { 9600 } else { baud };
    let rounded = BASE_BAUD.saturating_add(baud / 2) / baud;
    u16::try_from(rounded.max(1)).unwrap_or(u16::MAX)
}
