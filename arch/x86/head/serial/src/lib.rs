// SPDX-License-Identifier: GPL-2.0
//! A polled writer for an 8250 serial port, good from the first instruction on: `earlyprintk=serial` and fatal messages of
//! the head. Whoever uses it after the console driver took over must serialise with that. Takes no lock itself.

#![no_std]
#![forbid(unsafe_code)]

use boot_info::BootInfo;
use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};
use x86_cpu::io::PortRange;

/// I/O port of the chosen UART; 0 when output is off.
static PORT: AtomicU16 = AtomicU16::new(0);

/// Ports of ttyS0 to ttyS3 on a PC.
const STANDARD: [u16; 4] = [0x3f8, 0x2f8, 0x3e8, 0x2e8];
const CLOCK: u32 = 115_200;
/// Reads of the line status before a byte is given up, so that a missing UART costs time but never hangs.
const SPINS: u32 = 100_000;

/// Ports of a UART.
const PORTS: u16 = 8;
const DATA: u16 = 0;
const IER: u16 = 1;
const FCR: u16 = 2;
const LCR: u16 = 3;
const MCR: u16 = 4;
const LSR: u16 = 5;
const LCR_DLAB: u8 = 0x80;
const LSR_THRE: u8 = 0x20;

/// Looks for `earlyprintk=serial[,ttySn|,0xPORT][,BAUD][,keep]` (or `earlyprintk=ttySn[,...]`) on the command line and sets
/// the port up. Returns whether output is on. An unknown word turns it off; the baud rate defaults to 9600 as Linux's does.
pub fn setup(info: &BootInfo) -> bool {
    let Some(value) = info.option_value(b"earlyprintk") else { return false };
    let mut port = None;
    let mut baud = 9600;
    for (at, word) in value.split(|b| *b == b',').enumerate() {
        match word {
            b"serial" if at == 0 => {}
            b"keep" => {}
            _ => match (port_word(word), number(word)) {
                (Some(found), _) if port.is_none() => port = Some(found),
                (_, Some(rate)) if at != 0 => baud = rate,
                _ => return false,
            },
        }
    }
    init(port.unwrap_or(0x3f8), baud);
    true
}

fn port_word(word: &[u8]) -> Option<u16> {
    if let Some(line) = word.strip_prefix(b"ttyS") {
        return STANDARD.get(number(line)? as usize).copied();
    }
    let hex = core::str::from_utf8(word.strip_prefix(b"0x")?).ok()?;
    u16::from_str_radix(hex, 16).ok()
}

fn number(word: &[u8]) -> Option<u32> {
    core::str::from_utf8(word).ok()?.parse().ok()
}

/// Turns output on: 8 bits, no parity, one stop bit, `baud` (0: leave the divisor), interrupts off, FIFO on.
pub fn init(port: u16, baud: u32) {
    let divisor = u16::try_from(CLOCK / baud.clamp(1, CLOCK)).unwrap_or(u16::MAX).to_le_bytes();
    let [low, high] = divisor;
    // Ports that no UART can have are ignored, as one without a UART ignores this.
    let Some(uart) = PortRange::claim_firmware(port, PORTS) else { return };
    uart.write8(IER, 0);
    if baud != 0 {
        uart.write8(LCR, 3 | LCR_DLAB);
        uart.write8(DATA, low);
        uart.write8(IER, high);
    }
    uart.write8(LCR, 3);
    uart.write8(FCR, 1);
    uart.write8(MCR, 3);
    PORT.store(port, Ordering::Relaxed);
}

/// The port in use, if output is on.
pub fn port() -> Option<u16> {
    Some(PORT.load(Ordering::Relaxed)).filter(|port| *port != 0)
}

/// Turns output off (the real console took over).
pub fn disable() {
    PORT.store(0, Ordering::Relaxed);
}

/// Writes `bytes`, with a carriage return before each newline. Nothing happens when output is off.
pub fn write(bytes: &[u8]) {
    let Some(uart) = port().and_then(|port| PortRange::claim_firmware(port, PORTS)) else { return };
    for byte in bytes {
        if *byte == b'\n' {
            put(&uart, b'\r');
        }
        put(&uart, *byte);
    }
}

fn put(uart: &PortRange, byte: u8) {
    for _ in 0..SPINS {
        if uart.read8(LSR) & LSR_THRE != 0 {
            break;
        }
    }
    uart.write8(DATA, byte);
}

/// `fmt::Write` to the early port.
pub struct EarlySerial;

impl fmt::Write for EarlySerial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

/// Says why the kernel cannot start, on the first serial line, and stops this CPU.
pub fn fatal(why: &str) -> ! {
    message(&["Rideau cannot start: ", why, "\n"]);
    x86_cpu::asm::halt_forever()
}

/// Says on the first serial line what would otherwise not be seen, as the console may be what got lost.
pub fn warn(why: &str) {
    message(&["Rideau: ", why, "\n"]);
}

fn message(parts: &[&str]) {
    let before = PORT.load(Ordering::Relaxed);
    if before == 0 {
        init(STANDARD[0], 0);
    }
    parts.iter().for_each(|part| write(part.as_bytes()));
    PORT.store(before, Ordering::Relaxed);
}
