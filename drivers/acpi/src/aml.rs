// SPDX-License-Identifier: GPL-2.0
//! The interpreter with the tables in it, what is asked of it, and lists of resources. Source: ACPI specification 5.2.11, 6.4.

use acpi::aml::Interpreter;
use acpi::aml::namespace::{AmlName, NamespaceLevelKind};
use acpi::aml::object::WrappedObject;
use acpi_osl::{Osl, registers};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;
use x86::acpi::{HEADER, Table, find, tables};

/// `Memory32Fixed`: flags, address, bytes.
pub(crate) const FIXED_MEMORY: u8 = 0x86;

/// A table's code.
pub(crate) fn body(table: &Table) -> &'static [u8] {
    table.bytes.as_slice().get(HEADER..).unwrap_or(&[])
}

/// The additional tables (SSDTs).
pub(crate) fn additional() -> impl Iterator<Item = Table> {
    tables().filter(|table| table.signature() == *b"SSDT")
}

/// An interpreter that has loaded the DSDT, and what it could of the additional tables.
pub(crate) struct Aml(Interpreter<Osl>);

impl Aml {
    /// Loads the tables, which takes its time. `None` without a DSDT, or if it cannot be loaded.
    #[allow(clippy::arc_with_non_send_sync, reason = "the interpreter wants an Arc and stays with its caller")]
    pub(crate) fn load() -> Option<Self> {
        let dsdt = find(b"DSDT")?;
        let interpreter = Interpreter::new(Osl, dsdt.bytes.u8(8)?, Arc::new(registers()?), None);
        if let Err(error) = interpreter.load_table(body(&dsdt)) {
            klog::pr_warn!("ACPI: the DSDT cannot be loaded: {error:?}");
            return None;
        }
        for ssdt in additional() {
            if let Err(error) = interpreter.load_table(body(&ssdt)) {
                klog::pr_warn!("ACPI: SSDT at {:#x}: {error:?}", ssdt.phys);
            }
        }
        Some(Self(interpreter))
    }

    /// The paths of all devices.
    pub(crate) fn devices(&self) -> Vec<AmlName> {
        let mut paths = Vec::new();
        let walked = self.0.namespace.lock().traverse(|path, level| {
            if matches!(level.kind, NamespaceLevelKind::Device) {
                paths.push(path.clone());
            }
            Ok(true)
        });
        if let Err(error) = walked {
            klog::pr_warn!("ACPI: namespace: {error:?}");
        }
        paths
    }

    /// The value of `name` in `scope`, which is absolute; `None` if it has none.
    pub(crate) fn evaluate(&self, scope: &AmlName, name: &str) -> Option<WrappedObject> {
        let name = AmlName::from_str(name).ok()?.resolve(scope).ok()?;
        self.0.evaluate_if_present(name, Vec::new()).ok()?
    }
}

/// The items in a list of resources: tag and contents. The tag of a small one, below 0x80, is without its length.
pub(crate) fn resources(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || match bytes {
        // Small ones: the length is in the low bits; 0x78 ends the list.
        [tag, rest @ ..] if tag & 0x80 == 0 => {
            let (item, next) = rest.split_at_checked(usize::from(tag & 7)).filter(|_| tag & 0x78 != 0x78)?;
            bytes = next;
            Some((tag & 0x78, item))
        }
        [tag, low, high, rest @ ..] => {
            let (item, next) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
            bytes = next;
            Some((*tag, item))
        }
        _ => None,
    })
}

/// Address and bytes that a [`FIXED_MEMORY`] says.
pub(crate) fn fixed_memory(item: &[u8]) -> Option<(u64, u64)> {
    let word = |at: usize| Some(u64::from(u32::from_le_bytes(*item.get(at..)?.first_chunk()?)));
    Some((word(1)?, word(5)?))
}
