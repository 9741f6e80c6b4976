// SPDX-License-Identifier: GPL-2.0
//! The devices that firmware describes, with what it says of them: ids, memory, properties (`_DSD`). The interpreter is loaded, and
//! they are found, only if there is an additional table (SSDT). Source: ACPI specification 5.2.11.2, 6.1, 6.2.5.

use crate::aml::{Aml, FIXED_MEMORY, additional, fixed_memory, resources};
use acpi::aml::namespace::AmlName;
use acpi::aml::object::Object;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

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
    /// Its interrupts.
    pub interrupts: Vec<AcpiInterrupt>,
    /// Its properties.
    pub properties: Vec<(String, Value)>,
}

/// An interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcpiInterrupt {
    /// Its number.
    pub number: u32,
    /// The number if it is an ISA line's (0 to 15), which the rest is not about.
    pub isa: Option<u8>,
    /// It is level-triggered.
    pub level: bool,
    /// Its active level is low.
    pub low: bool,
}

/// UUID of device properties, daffd814-6eba-4d8c-8a91-bc9bbf4aa301.
const PROPERTIES: [u8; 16] =
    [0x14, 0xd8, 0xff, 0xda, 0xba, 0x6e, 0x8c, 0x4d, 0x8a, 0x91, 0xbc, 0x9b, 0xbf, 0x4a, 0xa3, 0x01];

/// The devices of all tables whose `_HID` is a text, if there is an SSDT. At boot.
pub fn devices() -> Vec<AcpiDevice> {
    let Some(aml) = additional().next().and_then(|_| Aml::load()) else { return Vec::new() };
    aml.devices().iter().filter_map(|path| device(&aml, path)).collect()
}

fn device(aml: &Aml, path: &AmlName) -> Option<AcpiDevice> {
    let evaluate = |name: &str| aml.evaluate(path, name);
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
    let (memory, interrupts) = evaluate("_CRS").map_or_else(Default::default, |list| match &*list {
        Object::Buffer(bytes) => (memory(bytes), interrupts(bytes)),
        _ => Default::default(),
    });
    let properties = evaluate("_DSD").map_or_else(Vec::new, |list| properties(&list));
    Some(AcpiDevice { path: path.to_string(), ids, memory, interrupts, properties })
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
fn memory(bytes: &[u8]) -> Vec<(u64, u64)> {
    let item = |(tag, item)| if tag == FIXED_MEMORY { fixed_memory(item) } else { None };
    resources(bytes).filter_map(item).collect()
}

/// The interrupts in a list of resources, in its order: those of the extended item, and ISA lines. Source: ACPI specification 6.4.2.1,
/// 6.4.3.6.
fn interrupts(bytes: &[u8]) -> Vec<AcpiInterrupt> {
    const LINES: u8 = 0x20;
    const EXTENDED: u8 = 0x89;
    let mut found = Vec::new();
    for (tag, item) in resources(bytes) {
        match (tag, item) {
            (LINES, [low, high, ..]) => {
                let lines = u16::from_le_bytes([*low, *high]);
                let isa = (0..16).filter(|line| lines & 1 << line != 0);
                found.extend(isa.map(|isa| AcpiInterrupt {
                    number: isa.into(),
                    isa: Some(isa),
                    level: false,
                    low: false,
                }));
            }
            (EXTENDED, [flags, count, numbers @ ..]) => {
                let numbers =
                    numbers.as_chunks().0.iter().take((*count).into()).map(|number| u32::from_le_bytes(*number));
                let (level, low) = (flags & 2 == 0, flags & 4 != 0);
                found.extend(numbers.map(|number| AcpiInterrupt { number, isa: None, level, low }));
            }
            _ => {}
        }
    }
    found
}
