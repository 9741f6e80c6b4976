// SPDX-License-Identifier: GPL-2.0
//! The part of the API of modules that is made of unsafe code, and what that needs. The crate `kernel`, which forbids unsafe code,
//! re-exports it and has the rest, each under Rust-for-Linux's path. Nobody else uses this crate.
//!
//! What is public here and hidden in the documentation is for `kernel`; modules reach it too, so it is as safe to call as the rest, but
//! for what is in `for_kernel`.
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
pub mod configfs;
pub mod cpu;
pub mod cpumask;
pub mod cred;
pub mod debugfs;
pub mod device;
pub mod devres;
pub mod dma;
pub mod driver;
pub mod faux;
#[doc(hidden)]
pub mod for_kernel;
pub mod fs;
pub mod init;
pub mod interop;
pub mod interrupt;
pub mod io;
pub mod iov;
pub mod irq;
pub mod jump_label;
pub mod list;
pub mod macros;
pub mod miscdevice;
pub mod module;
pub mod page;
#[cfg(feature = "CONFIG_PCI")]
pub mod pci;
pub mod pid_namespace;
pub mod platform;
pub mod ptr;
pub mod revocable;
pub mod safety;
pub mod security;
pub mod str;
pub mod sync;
pub mod task;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
pub mod time;
pub mod tracepoint;
pub mod types;
pub mod workqueue;

pub use kernel_base::{
    acpi, acpi_device_table, b_str, bitfield, bits, bug, build_assert, build_assert_macro, build_error, c_str,
    const_assert, device_id, error, ffi, fmt, id_pool, ioctl, module_device_table, module_param, num, of,
    of_device_table, print, seq_file, seq_print, sizes, static_assert, std_vendor, uaccess, warn_on,
};
pub use kernel_base::{
    dbg, do_once_lite, pr_alert, pr_alert_once, pr_cont, pr_crit, pr_crit_once, pr_debug, pr_emerg, pr_emerg_once,
    pr_err, pr_err_once, pr_info, pr_info_once, pr_notice, pr_notice_once, pr_warn, pr_warn_once, print_macro,
};
pub use kernel_raw::{bitmap, transmute};
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
    pub use crate::module::Instance;
    pub use kalloc::kvec;
    pub use module_core::{Header, Param, VERMAGIC};
    pub use pin_init;
}
