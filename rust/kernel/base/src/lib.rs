// SPDX-License-Identifier: GPL-2.0
//! What needs no unsafe code of the API of modules: numbers, checks when a module is built, bit fields, tables of ids, parameters. The
//! crate `kernel` re-exports it under Rust-for-Linux's paths. No locks.

#![no_std]
#![forbid(unsafe_code)]

pub mod acpi;
pub mod barrier;
pub mod bitfield;
pub mod bits;
pub mod bug;
pub mod build_assert;
pub mod device;
pub mod device_id;
pub mod dma;
pub mod error;
pub mod ffi;
pub mod fmt;
pub mod id_pool;
pub mod io;
pub mod ioctl;
pub mod irq;
pub mod kuid;
pub mod module_param;
pub mod num;
pub mod of;
pub mod ordering;
#[cfg(feature = "CONFIG_PCI")]
pub mod pci_id;
pub mod print;
pub mod ptr;
pub mod seq_file;
pub mod set_once;
pub mod sizes;
pub mod std_vendor;
pub mod str;
pub mod sync;
pub mod time;
pub mod types;
pub mod uaccess;
#[doc(hidden)]
pub mod work_item;

#[doc(hidden)]
pub mod macros {
    //! What the macros of this crate expand to.
    pub use module_macro::{fmt, paste};
    pub use pin_init::Zeroable;
}
