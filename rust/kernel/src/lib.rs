// SPDX-License-Identifier: GPL-2.0
//! The kernel's API for modules: levels 1 and 2 under the names of Rust-for-Linux, so that a module written for Linux compiles
//! here. Modules (level 4) use this crate and pure ones only.
//!
//! A file here is a path of Rust-for-Linux; what is in it is the re-export of a crate of this tree, or a thin form over one.
//! What needs no unsafe code and nothing of the rest is in `rust/kernel/base`.
//! Locks: those of what is re-exported.

#![no_std]
#![feature(arbitrary_self_types)]
#![feature(derive_coerce_pointee)]

// Macros name this crate as modules do.
extern crate self as kernel;

pub mod alloc;
pub mod auxiliary;
pub mod bindings;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod block;
#[doc(hidden)]
pub mod built_in;
pub mod cdev;
pub mod clk;
pub mod configfs;
pub mod cpu;
pub mod cpumask;
pub mod cred;
pub mod debugfs;
pub mod device;
pub mod devres;
pub mod dma;
pub mod driver;
pub mod ext;
pub mod faux;
#[cfg(feature = "CONFIG_BLOCK")]
pub mod filesystem;
pub mod firmware;
pub mod fs;
pub mod gpu;
pub mod hardware;
#[cfg(feature = "CONFIG_HVC_DRIVER")]
pub mod hvc;
pub mod impl_flags;
pub mod init;
pub mod interop;
pub mod interrupt;
pub mod io;
pub mod iov;
pub mod irq;
pub mod kunit;
pub mod list;
pub mod macros;
pub mod maple_tree;
pub mod miscdevice;
pub mod module;
pub mod page;
#[cfg(feature = "CONFIG_PCI")]
pub mod pci;
pub mod platform;
pub mod prelude;
pub mod processor;
pub mod ptr;
pub mod rbtree;
pub mod revocable;
pub mod safety;
pub mod scatterlist;
pub mod seq_file;
pub mod soc;
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
pub mod workqueue;
pub mod xarray;

pub use ::uapi;
pub use kernel_base::{
    acpi, acpi_device_table, b_str, bitfield, bits, build_assert, build_assert_macro, build_error, c_str, const_assert,
    device_id, error, ffi, fmt, id_pool, ioctl, module_device_table, module_param, num, of, of_device_table, print,
    sizes, static_assert, std_vendor,
};
pub use kernel_base::{
    dbg, do_once_lite, pr_alert, pr_alert_once, pr_cont, pr_crit, pr_crit_once, pr_debug, pr_emerg, pr_emerg_once,
    pr_err, pr_err_once, pr_info, pr_info_once, pr_notice, pr_notice_once, pr_warn, pr_warn_once, print_macro,
};
pub use kernel_raw::bitmap;
pub use module::{InPlaceModule, Module, ModuleMetadata, ThisModule};

/// What records of this crate itself begin with.
pub(crate) const __LOG_PREFIX: &[u8] = b"rust_kernel\0";

/// The name of the file that a place in the source is in, as a C string.
#[inline]
pub fn file_from_location<'a>(loc: &'a core::panic::Location<'a>) -> &'a core::ffi::CStr {
    loc.file_as_c_str()
}

/// Two pointers to the same type: [`container_of!`] asks for it.
#[doc(hidden)]
pub fn assert_same_type<T>(_: *const T, _: *const T) {}

/// From a pointer to a field the pointer to what the field is in. Unsafe: the one is in the other.
#[macro_export]
macro_rules! container_of {
    ($field_ptr:expr, $container:ty, $($fields:tt)*) => {{
        let field_ptr = $field_ptr;
        let container_ptr = field_ptr.byte_sub(::core::mem::offset_of!($container, $($fields)*)).cast::<$container>();
        $crate::assert_same_type(field_ptr, &raw const (*container_ptr).$($fields)*);
        container_ptr
    }};
}

#[doc(hidden)]
pub mod __private {
    //! What the macros expand to.
    pub use crate::module::{Instance, bytes_of};
    pub use kalloc::kvec;
    pub use module_core::{Header, Param, VERMAGIC};
    pub use pin_init;
}
