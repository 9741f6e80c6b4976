// SPDX-License-Identifier: GPL-2.0
//! Devices on the mainboard by their EISA id (`PNP0501`): ports and ISA interrupts. Firmware mostly says both as constants,
//! which are read out of the DSDT's bytes; the interpreter, which takes its time, is loaded only for a device that has code
//! there instead. Source: ACPI specification 6.1.5, 6.2.2, 6.3.7, 6.4.2, 20.2.

use crate::aml::{Aml, body, resources};
use acpi::aml::object::Object;
use alloc::vec::Vec;
use x86::acpi::find;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PnpDevice {
    /// Its ports: the first one and how many.
    pub io: Vec<(u16, u16)>,
    /// Its ISA interrupts.
    pub irqs: Vec<u8>,
}

/// An object with a name: the opcode of `Name`, then four letters.
const NAME: u8 = 0x08;
const METHOD: u8 = 0x14;
const BUFFER: u8 = 0x11;
const DWORD: u8 = 0x0c;
const DEVICE: [u8; 2] = [0x5b, 0x82];

/// An id like `PNP0501` as AML has it: three letters of five bits, four hexadecimal digits. `None`: it is no such id.
fn eisa_id(text: &str) -> Option<[u8; 4]> {
    let (letters, digits) = text.as_bytes().split_first_chunk::<3>()?;
    let [a, b, c] = letters.map(|letter| u16::from(letter.wrapping_sub(0x40) & 0x1f));
    let [high, low] = (a << 10 | b << 5 | c).to_be_bytes();
    let number = u16::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
    let [first, last] = number.to_be_bytes();
    (digits.len() == 4).then_some([high, low, first, last])
}

/// The length that begins `code` (it counts its own bytes), and how many bytes it takes.
fn package_length(code: &[u8]) -> Option<(usize, usize)> {
    let (&lead, rest) = code.split_first()?;
    let more = usize::from(lead >> 6);
    if more == 0 {
        return Some((usize::from(lead & 0x3f), 1));
    }
    let high = rest.get(..more)?.iter().rev().fold(0, |all, &byte| all << 8 | usize::from(byte));
    Some((high << 4 | usize::from(lead & 0xf), more + 1))
}

/// A constant and what follows it.
fn constant(code: &[u8]) -> Option<(u32, &[u8])> {
    Some(match code {
        [value @ (0 | 1), rest @ ..] => ((*value).into(), rest),
        [0x0a, value, rest @ ..] => ((*value).into(), rest),
        [0x0b, low, high, rest @ ..] => (u16::from_le_bytes([*low, *high]).into(), rest),
        [DWORD, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        [0xff, rest @ ..] => (u32::MAX, rest),
        _ => return None,
    })
}

/// What stands after `Name (name,` in `code`. `Err`: there is a method of that name, or only that.
fn named<'a>(code: &'a [u8], name: &[u8; 4]) -> Result<Option<&'a [u8]>, NeedsInterpreter> {
    let mut found = Ok(None);
    for (at, window) in code.windows(4).enumerate().filter(|(_, window)| *window == name) {
        let before = at.checked_sub(1).and_then(|before| code.get(before));
        if before == Some(&NAME) {
            return Ok(code.get(at + window.len()..));
        }
        // The length of a method is between its opcode and its name, in one to four bytes.
        if (2..=5).any(|back| at.checked_sub(back).and_then(|opcode| code.get(opcode)) == Some(&METHOD)) {
            found = Err(NeedsInterpreter);
        }
    }
    found
}

/// What is asked for is not a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NeedsInterpreter;

/// The smallest device around byte `at`: what follows its length.
fn device_around(code: &[u8], at: usize) -> Option<&[u8]> {
    code.windows(2).enumerate().take(at).filter(|(_, window)| *window == DEVICE).rev().find_map(|(start, _)| {
        let package = code.get(start + DEVICE.len()..)?;
        let (len, taken) = package_length(package)?;
        (at < start + DEVICE.len() + len).then(|| package.get(taken..len)).flatten()
    })
}

/// The devices in `code` with this id, by constants alone.
fn by_search(code: &[u8], id: [u8; 4]) -> Result<Vec<PnpDevice>, NeedsInterpreter> {
    let [a, b, c, d] = id;
    let wanted = [NAME, b'_', b'H', b'I', b'D', DWORD, a, b, c, d];
    let mut found = Vec::new();
    for (at, _) in code.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted) {
        let device = device_around(code, at).ok_or(NeedsInterpreter)?;
        // Without `_STA` it is there.
        if let Some(state) = named(device, b"_STA")?
            && constant(state).ok_or(NeedsInterpreter)?.0 & 1 == 0
        {
            continue;
        }
        let Some(list) = named(device, b"_CRS")? else { continue };
        let Some((&BUFFER, list)) = list.split_first() else { return Err(NeedsInterpreter) };
        let (len, taken) = package_length(list).ok_or(NeedsInterpreter)?;
        let (size, bytes) = list.get(taken..len).and_then(constant).ok_or(NeedsInterpreter)?;
        found.push(parse(bytes.get(..size as usize).unwrap_or(bytes)));
    }
    Ok(found)
}

/// A list of resources: ports, at a fixed place or at the first that is possible, and ISA lines.
fn parse(bytes: &[u8]) -> PnpDevice {
    const LINES: u8 = 0x20;
    const PORTS: u8 = 0x40;
    const FIXED_PORTS: u8 = 0x48;
    let mut device = PnpDevice { io: Vec::new(), irqs: Vec::new() };
    for (tag, item) in resources(bytes) {
        match (tag, item) {
            (PORTS, [_, low, high, _, _, _, len]) => {
                device.io.push((u16::from_le_bytes([*low, *high]), (*len).into()));
            }
            (FIXED_PORTS, [low, high, len]) => {
                device.io.push((u16::from_le_bytes([*low, *high]) & 0x3ff, (*len).into()))
            }
            (LINES, [low, high, ..]) => {
                let lines = u16::from_le_bytes([*low, *high]);
                device.irqs.extend((0..16).filter(|line| lines & 1 << line != 0));
            }
            _ => {}
        }
    }
    device
}

fn by_interpreter(id: [u8; 4]) -> Vec<PnpDevice> {
    let Some(aml) = Aml::load() else { return Vec::new() };
    let wanted = u64::from(u32::from_le_bytes(id));
    let mut found = Vec::new();
    for path in &aml.devices() {
        let is = |name: &str, test: &dyn Fn(u64) -> bool| {
            aml.evaluate(path, name).map(|value| matches!(&*value, Object::Integer(number) if test(*number)))
        };
        if is("_HID", &|number| number == wanted) == Some(true)
            && is("_STA", &|state| state & 1 != 0) != Some(false)
            && let Some(list) = aml.evaluate(path, "_CRS")
            && let Object::Buffer(bytes) = &*list
        {
            found.push(parse(bytes));
        }
    }
    found
}

/// The devices with this id that are there, in the order of the DSDT. At boot.
pub fn devices_with_eisa_id(id: &str) -> Vec<PnpDevice> {
    let (Some(dsdt), Some(id)) = (find(b"DSDT"), eisa_id(id)) else { return Vec::new() };
    by_search(body(&dsdt), id).unwrap_or_else(|NeedsInterpreter| by_interpreter(id))
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(acpi_pnp)]
mod tests {
    use super::*;

    /// A port as QEMU describes it, in its bridge.
    const BRIDGE: &[u8] = b"\x5b\x82\x44\x04ISA_\x08_ADR\x0c\x00\x00\x01\x00\
        \x5b\x82\x32COM1\x08_HID\x0c\x41\xd0\x05\x01\x08_UID\x01\x08_STA\x0a\x0f\
        \x08_CRS\x11\x10\x0a\x0d\x47\x01\xf8\x03\xf8\x03\x00\x08\x22\x10\x00\x79\x00";

    #[test]
    fn ids_and_lengths() {
        assert_eq!(eisa_id("PNP0501"), Some([0x41, 0xd0, 0x05, 0x01]));
        assert!(["PNP050", "PNP05010", "PN", "PNP05g1"].into_iter().all(|text| eisa_id(text).is_none()));
        assert_eq!(package_length(&[0x2a]), Some((0x2a, 1)));
        assert_eq!(package_length(&[0x42, 0x04]), Some((0x42, 2)));
        assert_eq!(package_length(&[0x80]), None);
    }

    #[test]
    fn constants_are_found() {
        let id = eisa_id("PNP0501").unwrap_or_default();
        let one = PnpDevice { io: alloc::vec![(0x3f8, 8)], irqs: alloc::vec![4] };
        assert_eq!(by_search(BRIDGE, id), Ok(alloc::vec![one]));
        assert_eq!(by_search(BRIDGE, [0; 4]), Ok(Vec::new()));
        // Cut off anywhere it is no device, or one that the interpreter must look at.
        for len in 0..BRIDGE.len() {
            let _ = by_search(BRIDGE.get(..len).unwrap_or_default(), id);
        }
        // A device that is switched off, and one that is asked by code.
        let mut bytes = BRIDGE.to_vec();
        let state = bytes.windows(4).position(|window| window == b"_STA").unwrap_or(0) + 5;
        if let Some(state) = bytes.get_mut(state) {
            *state = 0;
        }
        assert_eq!(by_search(&bytes, id), Ok(Vec::new()));
        assert_eq!(named(b"\x14\x09_CRS\x00", b"_CRS"), Err(NeedsInterpreter));
        assert_eq!(named(b"\x14\x09_CRS\x00", b"_STA"), Ok(None));
    }
}
