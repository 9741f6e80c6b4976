// SPDX-License-Identifier: GPL-2.0
//! The kernel's API for modules: levels 1 and 2 under the names of Rust-for-Linux, so that a module written for Linux compiles
//! here. Modules (level 4) use this crate and pure ones only.
//!
//! A file here is a path of Rust-for-Linux; what is in it is the re-export of a crate of this tree, or a thin form over one.
//! Locks: those of what is re-exported.

#![no_std]
#![feature(arbitrary_self_types)]

// Macros name this crate as modules do.
extern crate self as kernel;

pub mod acpi;
pub mod alloc;
pub mod auxiliary;
pub mod bindings;
pub mod bitmap;
pub mod bits;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod block;
pub mod build_assert;
#[doc(hidden)]
pub mod built_in;
pub mod cdev;
pub mod configfs;
pub mod cred;
pub mod debugfs;
pub mod device;
pub mod device_id;
pub mod dma;
pub mod driver;
pub mod error;
pub mod ext;
pub mod faux;
pub mod ffi;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod filesystem;
pub mod fmt;
pub mod fs;
#[cfg(feature = "CONFIG_HVC_DRIVER")]
pub mod hvc;
#[cfg(feature = "CONFIG_HW_RANDOM")]
pub mod hw_random;
pub mod id_pool;
pub mod init;
pub mod io;
pub mod ioctl;
pub mod iov;
pub mod irq;
pub mod macros;
pub mod miscdevice;
pub mod module;
pub mod module_param;
pub mod num;
pub mod of;
pub mod page;
#[cfg(feature = "CONFIG_PCI")]
pub mod pci;
pub mod platform;
pub mod prelude;
pub mod print;
pub mod ptr;
pub mod rbtree;
pub mod revocable;
pub mod scatterlist;
pub mod seq_file;
pub mod sizes;
pub mod soc;
pub mod std_vendor;
pub mod str;
pub mod sync;
pub mod task;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
pub mod time;
pub mod tracepoint;
pub mod transmute;
pub mod types;
pub mod uaccess;
#[cfg(feature = "CONFIG_VIRTIO")]
pub mod virtio;
pub mod workqueue;

pub use module::{InPlaceModule, Module, ModuleMetadata, ThisModule};

/// What records of this crate itself begin with.
pub(crate) const __LOG_PREFIX: &[u8] = b"rust_kernel\0";

#[doc(hidden)]
pub mod __private {
    //! What the macros expand to.
    pub use crate::module::{Instance, bytes_of};
    pub use kalloc::kvec;
    pub use module_core::{Header, Param, VERMAGIC};
    pub use pin_init;
}
