// SPDX-License-Identifier: GPL-2.0
//! Devices that only AML names: their registers' place and interrupt, by `_HID` and `_CRS`. The interpreter is loaded only if the id is
//! somewhere in the DSDT's bytes. Source: ACPI specification 6.1.5, 6.2.2, 6.4.

use crate::handler::{Osl, registers};
use crate::s5::body;
use acpi::aml::Interpreter;
use acpi::aml::namespace::{AmlName, NamespaceLevelKind};
use acpi::aml::object::Object;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;
use x86::acpi::find;

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformDevice {
    /// Physical address of its registers.
    pub base: u64,
    /// Bytes of them.
    pub len: u64,
    /// Its interrupt.
    pub gsi: u32,
    /// The interrupt is level-triggered.
    pub level: bool,
    /// The interrupt's active level is low.
    pub low: bool,
}

/// The devices with id `hid` that have one range of memory and one interrupt, in the order of their names. At boot; takes its time
/// if there are any.
#[allow(clippy::arc_with_non_send_sync, reason = "the interpreter wants an Arc and stays in this function")]
pub fn devices_with_hid(hid: &str) -> Vec<PlatformDevice> {
    let mut found = Vec::new();
    let Some(dsdt) = find(b"DSDT") else { return found };
    if !body(&dsdt).windows(hid.len()).any(|window| window == hid.as_bytes()) {
        return found;
    }
    let (Some(registers), Some(revision)) = (registers(), dsdt.bytes.u8(8)) else { return found };
    let interpreter = Interpreter::new(Osl, revision, Arc::new(registers), None);
    if let Err(error) = interpreter.load_table(body(&dsdt)) {
        klog::pr_warn!("ACPI: the DSDT cannot be loaded: {error:?}");
        return found;
    }
    let mut paths = Vec::new();
    let walked = interpreter.namespace.lock().traverse(|path, level| {
        if matches!(level.kind, NamespaceLevelKind::Device) {
            paths.push(path.clone());
        }
        Ok(true)
    });
    if let Err(error) = walked {
        klog::pr_warn!("ACPI: namespace: {error:?}");
    }
    let evaluate = |path: &AmlName, name: &str| {
        let name = AmlName::from_str(name).ok()?.resolve(path).ok()?;
        interpreter.evaluate_if_present(name, Vec::new()).ok()?
    };
    for path in &paths {
        let its = evaluate(path, "_HID");
        if !its.is_some_and(|id| matches!(&*id, Object::String(text) if text == hid)) {
            continue;
        }
        if let Some(resources) = evaluate(path, "_CRS")
            && let Object::Buffer(bytes) = &*resources
            && let Some(device) = parse(bytes)
        {
            found.push(device);
        }
    }
    found
}

/// A list of resources: 32-bit fixed memory and an extended interrupt are looked at.
fn parse(mut bytes: &[u8]) -> Option<PlatformDevice> {
    const FIXED_MEMORY: u8 = 0x86;
    const INTERRUPT: u8 = 0x89;
    let (mut memory, mut interrupt) = (None, None);
    loop {
        match bytes {
            // Small ones: the length is in the low bits; 0x78 ends the list.
            [tag, ..] if tag & 0x80 == 0 => {
                if tag & 0x78 == 0x78 {
                    break;
                }
                bytes = bytes.get(1 + usize::from(tag & 7)..)?;
            }
            [tag, low, high, rest @ ..] => {
                let len = usize::from(u16::from_le_bytes([*low, *high]));
                let item = rest.get(..len)?;
                let word = |at: usize| Some(u32::from_le_bytes(*item.get(at..)?.first_chunk()?));
                match *tag {
                    FIXED_MEMORY if memory.is_none() => memory = Some((word(1)?, word(5)?)),
                    INTERRUPT if interrupt.is_none() && item.get(1) == Some(&1) => {
                        interrupt = Some((*item.first()?, word(2)?));
                    }
                    _ => {}
                }
                bytes = rest.get(len..)?;
            }
            _ => break,
        }
    }
    let ((base, len), (flags, gsi)) = (memory?, interrupt?);
    Some(PlatformDevice { base: base.into(), len: len.into(), gsi, level: flags & 2 == 0, low: flags & 4 != 0 })
}
