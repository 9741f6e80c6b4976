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

pub mod alloc;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod block;
#[doc(hidden)]
pub mod built_in;
pub mod error;
pub mod ext;
pub mod ffi;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod filesystem;
pub mod fmt;
pub mod init;
mod module;
pub mod module_param;
pub mod prelude;
pub mod print;
pub mod std_vendor;
pub mod sync;
pub mod tracepoint;
pub mod types;
#[cfg(feature = "CONFIG_VIRTIO")]
pub mod virtio;

pub use module::{InPlaceModule, Module, ModuleMetadata, ThisModule};

#[doc(hidden)]
pub mod __private {
    //! What the macros expand to.
    pub use crate::module::{Instance, bytes_of};
    pub use module_core::{Header, Param, VERMAGIC};
}
