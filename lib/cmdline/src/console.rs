// SPDX-License-Identifier: GPL-2.0
//! `console=` and `earlyprintk=`. No locks. Source: serial-console.rst and kernel-parameters.txt of the admin guide.

use crate::{memparse, simple_strtoul};

/// A wish for a console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Console<'a> {
    /// The driver's name: `ttyS`, `tty`, `hvc`, `ttynull`.
    pub name: &'a [u8],
    /// Which of its devices.
    pub index: u32,
    /// What follows the comma: for serial lines see `parse_serial_options`.
    pub options: Option<&'a [u8]>,
}

/// Reads the value of a `console=`.
pub fn parse_console(value: &[u8]) -> Console<'_> {
    if matches!(value, b"" | b"null") {
        return Console { name: b"ttynull", index: 0, options: None };
    }
    let (device, options) = match value.iter().position(|&c| c == b',') {
        Some(comma) => (value.get(..comma).unwrap_or(value), value.get(comma.saturating_add(1)..)),
        None => (value, None),
    };
    let digit = device.iter().position(u8::is_ascii_digit).unwrap_or(device.len());
    let (name, number) = device.split_at_checked(digit).unwrap_or((device, &[]));
    let index = simple_strtoul(number, 10).0 as u32;
    // A bare number is a serial line.
    Console { name: if name.is_empty() { b"ttyS" } else { name }, index, options }
}

/// Settings of a serial line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SerialOptions {
    /// Bits per second.
    pub baud: u32,
    /// `n`, `o` or `e`.
    pub parity: u8,
    /// Bits per character, 5 to 8.
    pub bits: u8,
    /// Whether RTS/CTS flow control is on.
    pub flow: bool,
}

impl Default for SerialOptions {
    fn default() -> Self {
        Self { baud: 9600, parity: b'n', bits: 8, flow: false }
    }
}

/// Reads `115200n8r`; what is missing or makes no sense has its default.
pub fn parse_serial_options(text: &[u8]) -> SerialOptions {
    let mut o = SerialOptions::default();
    let (baud, rest) = simple_strtoul(text, 10);
    if let Ok(baud @ 1..) = u32::try_from(baud) {
        o.baud = baud;
    }
    let mut rest = rest.iter();
    if let Some(c) = rest.next()
        && matches!(c, b'n' | b'o' | b'e')
    {
        o.parity = *c;
    }
    if let Some(c @ b'5'..=b'8') = rest.next() {
        o.bits = c - b'0';
    }
    o.flow = rest.next() == Some(&b'r');
    o
}

/// The early console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EarlyConsole {
    /// A 16550 at an I/O port, with its speed.
    Serial {
        /// The first I/O port.
        port: u16,
        /// Bits per second.
        baud: u32,
    },
    /// The VGA text screen.
    Vga,
    /// The EFI frame buffer.
    Efi,
}

/// Reads the value of `earlyprintk=`: `serial`, `ttyS1`, `serial,0x3f8,115200`, `vga`, `efi`, each perhaps with `,keep`.
/// Returns the console and whether it stays once the real one is there; `None` if it names none that we know.
pub fn parse_earlyprintk(value: &[u8]) -> Option<(EarlyConsole, bool)> {
    let mut parts = value.split(|&c| c == b',');
    let keep = value.split(|&c| c == b',').any(|p| p == b"keep");
    let first = parts.next()?;
    let (mut port, mut baud) = (0x3f8, 9600);
    match first {
        b"vga" => return Some((EarlyConsole::Vga, keep)),
        b"efi" | b"efifb" => return Some((EarlyConsole::Efi, keep)),
        b"serial" | b"" => {}
        _ => port = serial_port(first)?,
    }
    for part in parts {
        if part == b"keep" || part.is_empty() {
        } else if let Some(p) = serial_port(part) {
            port = p;
        } else if part.first()?.is_ascii_digit() {
            // The rate may have a parity suffix; 0 divides nothing.
            baud = u32::try_from(memparse(part).0).ok().filter(|&b| b != 0).unwrap_or(baud);
        }
    }
    Some((EarlyConsole::Serial { port, baud }, keep))
}

/// `ttyS0` to `ttyS3` or `0x3f8`.
fn serial_port(text: &[u8]) -> Option<u16> {
    match text {
        [b't', b't', b'y', b'S', n @ b'0'..=b'3'] => [0x3f8, 0x2f8, 0x3e8, 0x2e8].get(usize::from(n - b'0')).copied(),
        [b'0', b'x', ..] => u16::try_from(simple_strtoul(text, 16).0).ok(),
        _ => None,
    }
}
