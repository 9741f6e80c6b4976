// SPDX-License-Identifier: GPL-2.0
//! Devices that only AML names: their registers' place and interrupt, by `_HID` and `_CRS`. The interpreter is loaded only if the id
//! is somewhere in the DSDT's bytes. Source: ACPI specification 6.1.5, 6.2.2, 6.4.

use crate::aml::{Aml, FIXED_MEMORY, body, fixed_memory, resources};
use acpi::aml::object::Object;
use alloc::vec::Vec;
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
pub fn devices_with_hid(hid: &str) -> Vec<PlatformDevice> {
    let named = |dsdt| body(&dsdt).windows(hid.len()).any(|window| window == hid.as_bytes());
    let Some(aml) = find(b"DSDT").filter(|&dsdt| named(dsdt)).and_then(|_| Aml::load()) else { return Vec::new() };
    let is = |id: &Object| matches!(id, Object::String(text) if text == hid);
    let mut found = Vec::new();
    for path in &aml.devices() {
        if aml.evaluate(path, "_HID").is_some_and(|id| is(&id))
            && let Some(list) = aml.evaluate(path, "_CRS")
            && let Object::Buffer(bytes) = &*list
            && let Some(device) = parse(bytes)
        {
            found.push(device);
        }
    }
    found
}

/// A list of resources: 32-bit fixed memory and an extended interrupt are looked at.
fn parse(bytes: &[u8]) -> Option<PlatformDevice> {
    const INTERRUPT: u8 = 0x89;
    let (mut memory, mut interrupt) = (None, None);
    for (tag, item) in resources(bytes) {
        match (tag, item) {
            (FIXED_MEMORY, _) => memory = memory.or(fixed_memory(item)),
            // Flags, how many, and the first one's number.
            (INTERRUPT, [flags, 1, n0, n1, n2, n3, ..]) => {
                interrupt = interrupt.or(Some((*flags, u32::from_le_bytes([*n0, *n1, *n2, *n3]))));
            }
            _ => {}
        }
    }
    let ((base, len), (flags, gsi)) = (memory?, interrupt?);
    Some(PlatformDevice { base, len, gsi, level: flags & 2 == 0, low: flags & 4 != 0 })
}
