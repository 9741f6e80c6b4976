// SPDX-License-Identifier: GPL-2.0
//! From an address in the kernel's code to its function and source line: what traces and oopses print.
//!
//! The table is made by `scripts/kallsyms` out of the linked image and linked in by a second pass (section `.kallsyms`,
//! last of the read-only data, so that no code moves). Addresses in it are offsets from `_text`: KASLR changes nothing.
//! Reading takes no lock and no memory; any context, NMI included. A damaged table gives `None`, never a fault.
//!
//! A named container of level 0: the unsafe code turns two linker symbols into a slice. The table's form is `lib/kallsyms/table`.

#![no_std]

use core::fmt;
pub use kallsyms_table::{BLOCK_ROWS, BLOCK_SIZE, FUNCTION_SIZE, Functions, HEADER_SIZE, MAGIC, Reader, Symbol, Table};

/// Is told a function: address, name, module.
pub type Tell<'a> = dyn FnMut(usize, &[u8], &[u8]) + 'a;

/// A name out of a module's file, which may have any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(pub &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            f.write_str(if chunk.invalid().is_empty() { "" } else { "?" })
        })
    }
}

/// A place in a module's code; shown as traces have it, `name+0x12/0x340 [module]`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its address.
    pub address: usize,
    /// The function that it is in: name, distance from its start, size. `None`: the file does not say.
    pub function: Option<(Name<'a>, usize, usize)>,
    /// The module's name.
    pub module: Name<'a>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.function {
            Some((name, offset, size)) => write!(f, "{name}+{offset:#x}/{size:#x} [{}]", self.module),
            None => write!(f, "{:#018x} [{}]", self.address, self.module),
        }
    }
}

/// What the module loader knows of code outside the image. Any context.
pub trait Modules: Sync {
    /// Whether `address` is in a module's code.
    fn contains(&self, address: usize) -> bool;

    /// Tells `f` what `address` is, if that is in a module's code, with interrupts off. False: it is not, or the loader is busy.
    fn find(&self, address: usize, f: &mut dyn FnMut(&Place<'_>)) -> bool;

    /// Tells `f` the functions of module number `index` in the order of their addresses. False: there are not so many
    /// modules. May sleep, unlike the others.
    fn functions(&self, index: usize, f: &mut Tell<'_>) -> bool;
}

/// The module loader, when there is one.
pub static MODULES: hook::Hook<dyn Modules> = hook::Hook::new();

/// The running kernel's table, and where `_text` is.
#[cfg(target_os = "none")]
fn image() -> (&'static [u8], usize) {
    unsafe extern "C" {
        static __kallsyms_start: u8;
        static __kallsyms_stop: u8;
        static _text: u8;
    }
    let start = &raw const __kallsyms_start;
    let size = (&raw const __kallsyms_stop).addr().saturating_sub(start.addr());
    // SAFETY: The linker script defines both symbols around a section of read-only data that is never unmapped.
    (unsafe { core::slice::from_raw_parts(start, size) }, (&raw const _text).addr())
}

/// No kernel runs on the host.
#[cfg(not(target_os = "none"))]
fn image() -> (&'static [u8], usize) {
    (&[], 0)
}

/// The running kernel's table; `None` in the first pass of the link.
pub fn table() -> Option<Table<'static>> {
    Table::new(image().0)
}

/// Function and source line of `address`, which is in the kernel's code. For a return address pass `address - 1`: the
/// call, and not what follows it.
pub fn lookup(address: usize) -> Option<Symbol<'static>> {
    let (bytes, text) = image();
    let offset = u32::try_from(address.checked_sub(text)?).ok()?;
    Table::new(bytes)?.lookup(offset)
}

/// The functions of the running kernel in the order of their addresses: (address, size, name).
pub fn functions() -> impl Iterator<Item = (usize, usize, &'static str)> {
    let (bytes, text) = image();
    let all = Table::new(bytes).into_iter().flat_map(|table| table.functions());
    all.map(move |(offset, size, name)| (text.wrapping_add(offset as usize), size as usize, name))
}

/// Address of the function named `name` (first match).
pub fn address_of(name: &str) -> Option<usize> {
    functions().find(|(_, _, n)| *n == name).map(|(address, _, _)| address)
}
