// SPDX-License-Identifier: GPL-2.0
//! Devices that additional tables (SSDTs) bring, with what firmware says of them: ids, memory, properties (`_DSD`). The
//! interpreter is loaded only if there is such a table. Source: ACPI specification 5.2.11.2, 6.1, 6.2.5.

use crate::handler::{Osl, registers};
use crate::s5::body;
use acpi::aml::Interpreter;
use acpi::aml::namespace::{AmlName, NamespaceLevelKind};
use acpi::aml::object::Object;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;
use x86::acpi::{find, tables};

/// A value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Several of them.
    List(Vec<Value>),
}

/// A device.
#[derive(Clone, Debug)]
pub struct AcpiDevice {
    /// Its path in the name space.
    pub path: String,
    /// `_HID`, then those of `_CID`.
    pub ids: Vec<String>,
    /// Ranges of memory: address, bytes.
    pub memory: Vec<(u64, u64)>,
    /// Its properties.
    pub properties: Vec<(String, Value)>,
}

/// UUID of device properties, daffd814-6eba-4d8c-8a91-bc9bbf4aa301.
const PROPERTIES: [u8; 16] =
    [0x14, 0xd8, 0xff, 0xda, 0xba, 0x6e, 0x8c, 0x4d, 0x8a, 0x91, 0xbc, 0x9b, 0xbf, 0x4a, 0xa3, 0x01];

/// The devices of all tables whose `_HID` is a text, if there is an SSDT. At boot.
#[allow(clippy::arc_with_non_send_sync, reason = "the interpreter wants an Arc and stays in this function")]
pub fn devices() -> Vec<AcpiDevice> {
    let mut found = Vec::new();
    let additional = || tables().filter(|table| table.signature() == *b"SSDT");
    if additional().next().is_none() {
        return found;
    }
    let (Some(dsdt), Some(registers)) = (find(b"DSDT"), registers()) else { return found };
    let Some(revision) = dsdt.bytes.u8(8) else { return found };
    let interpreter = Interpreter::new(Osl, revision, Arc::new(registers), None);
    if let Err(error) = interpreter.load_table(body(&dsdt)) {
        klog::pr_warn!("ACPI: the DSDT cannot be loaded: {error:?}");
        return found;
    }
    for ssdt in additional() {
        if let Err(error) = interpreter.load_table(body(&ssdt)) {
            klog::pr_warn!("ACPI: SSDT at {:#x}: {error:?}", ssdt.phys);
        }
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
    found.extend(paths.iter().filter_map(|path| device(&interpreter, path)));
    found
}

fn device(interpreter: &Interpreter<Osl>, path: &AmlName) -> Option<AcpiDevice> {
    let evaluate = |name: &str| {
        let name = AmlName::from_str(name).ok()?.resolve(path).ok()?;
        interpreter.evaluate_if_present(name, Vec::new()).ok()?
    };
    let Object::String(hid) = &*evaluate("_HID")? else { return None };
    // Without `_STA` it is there and works.
    if evaluate("_STA").is_some_and(|state| matches!(&*state, Object::Integer(bits) if bits & 1 == 0)) {
        return None;
    }
    let mut ids = alloc::vec![hid.to_string()];
    if let Some(others) = evaluate("_CID") {
        match &*others {
            Object::String(id) => ids.push(id.to_string()),
            Object::Package(list) => ids.extend(list.iter().filter_map(|id| match &**id {
                Object::String(id) => Some(id.to_string()),
                _ => None,
            })),
            _ => {}
        }
    }
    let memory = evaluate("_CRS").map_or_else(Vec::new, |list| match &*list {
        Object::Buffer(bytes) => memory(bytes),
        _ => Vec::new(),
    });
    let properties = evaluate("_DSD").map_or_else(Vec::new, |list| properties(&list));
    Some(AcpiDevice { path: path.to_string(), ids, memory, properties })
}

/// The properties in a `_DSD`: pairs of a UUID and what it is about.
fn properties(data: &Object) -> Vec<(String, Value)> {
    let Object::Package(parts) = data else { return Vec::new() };
    let mut pairs = parts.iter();
    while let (Some(uuid), Some(about)) = (pairs.next(), pairs.next()) {
        let ours = matches!(&**uuid, Object::Buffer(bytes) if bytes[..] == PROPERTIES);
        let Object::Package(list) = &**about else { continue };
        if ours {
            return list.iter().filter_map(|item| property(item)).collect();
        }
    }
    Vec::new()
}

fn property(item: &Object) -> Option<(String, Value)> {
    let Object::Package(pair) = item else { return None };
    let Object::String(name) = &**pair.first()? else { return None };
    Some((name.to_string(), value(pair.get(1)?)?))
}

fn value(object: &Object) -> Option<Value> {
    match object {
        Object::String(text) => Some(Value::Text(text.to_string())),
        Object::Integer(number) => Some(Value::Number(*number)),
        Object::Package(list) => Some(Value::List(list.iter().filter_map(|item| value_of_part(item)).collect())),
        _ => None,
    }
}

/// A part of a list; lists in lists are not followed.
fn value_of_part(object: &Object) -> Option<Value> {
    match object {
        Object::String(text) => Some(Value::Text(text.to_string())),
        Object::Integer(number) => Some(Value::Number(*number)),
        _ => None,
    }
}

/// The fixed ranges of memory in a list of resources.
fn memory(mut bytes: &[u8]) -> Vec<(u64, u64)> {
    const FIXED_MEMORY: u8 = 0x86;
    let mut found = Vec::new();
    loop {
        match bytes {
            [tag, ..] if tag & 0x80 == 0 => {
                let next = bytes.get(1 + usize::from(tag & 7)..);
                let (0..0x78, Some(next)) = (tag & 0x78, next) else { return found };
                bytes = next;
            }
            [tag, low, high, rest @ ..] => {
                let len = usize::from(u16::from_le_bytes([*low, *high]));
                let Some((item, next)) = rest.split_at_checked(len) else { return found };
                if let (FIXED_MEMORY, [_, b0, b1, b2, b3, l0, l1, l2, l3, ..]) = (*tag, item) {
                    let word = |bytes| u64::from(u32::from_le_bytes(bytes));
                    found.push((word([*b0, *b1, *b2, *b3]), word([*l0, *l1, *l2, *l3])));
                }
                bytes = next;
            }
            _ => return found,
        }
    }
}
