// SPDX-License-Identifier: GPL-2.0
//! ELF64 executables: what `execve` needs to know of a file before it maps anything. Pure: bytes in, a plan out. No locks.
//!
//! Use: read the first 64 bytes and call `FileHeader::parse`; read `phdrs_len()` bytes at `phoff()` and call
//! `Image::parse`: so far an error is `execve`'s (`ENOEXEC`). Then, after the old address space is gone, `Image::plan`
//! tells what to map; an error there means that the program is killed, as Linux does it.
//! Source: the System V ABI and its x86-64 supplement, `elf(5)`, observed behaviour of Linux's ELF loader.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod format;
mod plan;

pub use format::{Ehdr, FileHeader, Kind, Phdr};
pub use plan::{AddrRange, Image, Plan, Segment};

/// The smallest page.
pub const PAGE_SIZE: u64 = 4096;

#[cfg(test)]
mod tests;
