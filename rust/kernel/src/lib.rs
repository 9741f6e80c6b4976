// SPDX-License-Identifier: GPL-2.0
//! The kernel's API for modules: levels 1 and 2 under the names of Rust-for-Linux, so that a module written for Linux compiles
//! here. Modules (level 4) use this crate and pure ones only.
//!
//! A file here is a path of Rust-for-Linux; what is in it is the re-export of a crate of this tree, or a thin form over one.
//! What unsafe code is in is in `rust/kernel/core`, which is re-exported as it is: a path that is not a file here is one there.
//! Locks: those of what is re-exported.

#![no_std]
#![forbid(unsafe_code)]

// Macros name this crate as modules do.
extern crate self as kernel;

pub use ::uapi;
pub use kernel_core::*;

#[allow(hidden_glob_reexports, reason = "modules must not reach it")]
use kernel_core::for_kernel;

pub mod auxiliary;
pub mod cdev;
pub mod clk;
pub mod configfs;
pub mod debugfs;
pub mod device;
pub mod driver;
pub mod ext;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod filesystem;
pub mod firmware;
pub mod gpu;
pub mod hardware;
#[cfg(feature = "CONFIG_HVC_DRIVER")]
pub mod hvc;
pub mod impl_flags;
pub mod io;
pub mod kunit;
pub mod maple_tree;
pub mod miscdevice;
pub mod module;
#[cfg(feature = "CONFIG_PCI")]
pub mod pci;
pub mod platform;
pub mod pm;
pub mod prelude;
pub mod processor;
pub mod rbtree;
pub mod regulator;
pub mod scatterlist;
pub mod soc;
pub mod sync;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
pub mod xarray;

/// What records of this crate itself begin with.
pub(crate) const __LOG_PREFIX: &[u8] = b"rust_kernel\0";

#[doc(hidden)]
pub mod __private {
    //! What the macros expand to.
    pub use crate::module::bytes_of;
    pub use kernel_core::__private::*;
}
