// SPDX-License-Identifier: GPL-2.0
//! The registers of one UART: detection, line settings, polled output. Called by `port` and `console`, which hold the port's
//! lock; none here. Source: National Semiconductor's PC16550D data sheet.

use uapi::*;
use x86_cpu::io::PortRange;

/// Bits per second at divisor 1.
pub(crate) const BASE_BAUD: u32 = 115_200;
/// Bytes that a 16550A's transmitter takes at once.
pub(crate) const FIFO_SIZE: usize = 16;
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

    /// How many bytes the transmitter takes when it is empty.
    pub(crate) fn fifo(self) -> usize {
        if self == Self::I16550A { FIFO_SIZE } else { 1 }
    }
}

/// One chip.
pub(crate) struct Uart {
    io: PortRange,
    pub(crate) kind: Kind,
}

impl Uart {
    /// Looks for a chip at I/O port `base`; leaves it with interrupts off and FIFOs empty.
    pub(crate) fn probe(base: u16) -> Option<Self> {
        let mut uart = Self { io: PortRange::claim(base, 8)?, kind: Kind::I8250 };
        // The low bits of IER hold what is written to them; an absent chip reads as ones, or as what the bus last carried.
        let saved = uart.read(UART_IER);
        uart.write(UART_IER, 0);
        let low = uart.read(UART_IER) & 0x0f;
        uart.write(UART_IER, 0x0f);
        let high = uart.read(UART_IER) & 0x0f;
        uart.write(UART_IER, saved & 0x0f);
        if (low, high) != (0, 0x0f) {
            return None;
        }
        // In loopback the modem lines show what was written to the modem control register.
        let mcr = uart.read(UART_MCR);
        uart.write(UART_MCR, (UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS) as u8);
        let looped = uart.read(UART_MSR) & 0xf0;
        uart.write(UART_MCR, mcr);
        if looped != (UART_MSR_DCD | UART_MSR_CTS) as u8 {
            return None;
        }
        uart.kind = uart.find_kind();
        uart.write(UART_IER, 0);
        uart.write(UART_LCR, UART_LCR_WLEN8 as u8);
        uart.reset_fifos();
        Some(uart)
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

    /// Empties the FIFOs and switches them on, with an interrupt at half full.
    pub(crate) fn reset_fifos(&self) {
        if self.kind != Kind::I16550A {
            return;
        }
        self.write(UART_FCR, UART_FCR_ENABLE_FIFO as u8);
        self.write(UART_FCR, (UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT) as u8);
        self.write(UART_FCR, (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8) as u8);
    }

    /// Switches the FIFOs on as [`Self::reset_fifos`] does, and leaves what is in them.
    pub(crate) fn keep_fifos(&self) {
        if self.kind == Kind::I16550A {
            self.write(UART_FCR, (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8) as u8);
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
                room = self.kind.fifo();
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
