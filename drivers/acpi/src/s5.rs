// SPDX-License-Identifier: GPL-2.0
//! `\_S5`: what to write to the sleep registers to switch off. Source: ACPI specification 7.4.2.

use crate::aml::{Aml, body};
use acpi::aml::namespace::AmlName;
use acpi::aml::object::Object;
use x86::acpi::{Table, tables};

/// The two sleep types, by the interpreter or by search.
pub(crate) fn sleep_types() -> Option<(u8, u8)> {
    by_interpreter().or_else(|| tables_with_code().find_map(|table| by_search(body(&table))))
}

fn tables_with_code() -> impl Iterator<Item = Table> {
    tables().filter(|table| matches!(&table.signature(), b"DSDT" | b"SSDT"))
}

fn by_interpreter() -> Option<(u8, u8)> {
    let object = Aml::load()?.evaluate(&AmlName::root(), "\\_S5")?;
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
