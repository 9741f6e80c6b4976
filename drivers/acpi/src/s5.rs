// SPDX-License-Identifier: GPL-2.0
//! `\_S5`: what to write to the sleep registers to switch off. Source: ACPI specification 7.4.2.

use crate::handler::{Osl, registers};
use acpi::aml::Interpreter;
use acpi::aml::namespace::AmlName;
use acpi::aml::object::Object;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::str::FromStr;
use x86::acpi::{HEADER, Table, find, tables};

/// The two sleep types, by the interpreter or by search.
pub(crate) fn sleep_types() -> Option<(u8, u8)> {
    let dsdt = find(b"DSDT")?;
    by_interpreter(&dsdt).or_else(|| tables_with_code().find_map(|table| by_search(body(&table))))
}

pub(crate) fn body(table: &Table) -> &'static [u8] {
    table.bytes.as_slice().get(HEADER..).unwrap_or(&[])
}

fn tables_with_code() -> impl Iterator<Item = Table> {
    tables().filter(|table| matches!(&table.signature(), b"DSDT" | b"SSDT"))
}

#[allow(clippy::arc_with_non_send_sync, reason = "the interpreter wants an Arc and stays in this function")]
fn by_interpreter(dsdt: &Table) -> Option<(u8, u8)> {
    let registers = Arc::new(registers()?);
    let interpreter = Interpreter::new(Osl, dsdt.bytes.u8(8)?, registers, None);
    if let Err(error) = interpreter.load_table(body(dsdt)) {
        klog::pr_warn!("ACPI: the DSDT cannot be loaded: {error:?}");
        return None;
    }
    for ssdt in tables().filter(|table| table.signature() == *b"SSDT") {
        if let Err(error) = interpreter.load_table(body(&ssdt)) {
            klog::pr_warn!("ACPI: SSDT at {:#x}: {error:?}", ssdt.phys);
        }
    }
    let name = AmlName::from_str("\\_S5").ok()?;
    let object = interpreter.evaluate_if_present(name, Vec::new()).ok()??;
    let Object::Package(elements) = &*object else { return None };
    let integer = |index: usize| match elements.get(index).map(|element| &**element) {
        Some(Object::Integer(value)) => Some(*value as u8),
        _ => None,
    };
    let a = integer(0)?;
    Some((a, integer(1).unwrap_or(a)))
}

/// `Name (_S5, Package () {a, b, ...})` as bytes: name, PackageOp, length, count, then constants.
fn by_search(code: &[u8]) -> Option<(u8, u8)> {
    const PACKAGE: u8 = 0x12;
    let at = code.windows(5).position(|window| window == [b'_', b'S', b'5', b'_', PACKAGE])?;
    let after = code.get(at + 5..)?;
    // The two top bits of the length's first byte count its further bytes; then comes the number of elements.
    let elements = after.get(usize::from(*after.first()? >> 6) + 2..)?;
    let (a, rest) = constant(elements)?;
    Some((a, constant(rest).map_or(a, |(b, _)| b)))
}

/// A small integer constant and what follows it.
fn constant(code: &[u8]) -> Option<(u8, &[u8])> {
    match code {
        [value @ (0 | 1), rest @ ..] => Some((*value, rest)),
        [0x0a, value, rest @ ..] => Some((*value, rest)),
        [0x0b, value, _, rest @ ..] => Some((*value, rest)),
        _ => None,
    }
}
