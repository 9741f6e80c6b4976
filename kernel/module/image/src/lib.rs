// SPDX-License-Identifier: GPL-2.0
//! Loadable modules as files: what is in an ELF64 relocatable object, where its sections go, and its relocation. Pure: bytes
//! and addresses in, bytes out. Called by `kernel/module`. No locks.
//!
//! Use: [`Elf::parse`], look at [`Elf::modinfo`] and [`Elf::versions`], [`Elf::layout`], reserve addresses for the two regions,
//! [`Elf::link`]. Nothing a file says makes this panic or read outside of it; whatever is wrong is a [`Bad`].
//! Source: the System V ABI and its x86-64 supplement; the texts are those of Linux's module loader.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod elf;
mod layout;
mod link;
mod tables;
#[cfg(test)]
mod tests;

pub use elf::{Elf, Section, Symbol};
pub use layout::{Layout, PAGE_SIZE, Region, Segment};
pub use link::{Linked, Resolve};
pub use tables::{Export, Exports, fnv1a};

use errno::Error;

/// Why a file is no module that this kernel takes: the error of `init_module`, and what goes into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The system call's error.
    pub error: Error,
    /// A sentence for the log.
    pub reason: &'static str,
    /// The number it is about (a section, a type, a value).
    pub number: u64,
}

impl Bad {
    pub(crate) const fn new(reason: &'static str, number: u64) -> Self {
        Self { error: errno::code::ENOEXEC, reason, number }
    }
}

impl From<kalloc::AllocError> for Bad {
    fn from(_: kalloc::AllocError) -> Self {
        Self { error: errno::code::ENOMEM, reason: "out of memory", number: 0 }
    }
}

/// The result of reading a module.
pub type Result<T = (), E = Bad> = core::result::Result<T, E>;
