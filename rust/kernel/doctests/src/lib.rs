// SPDX-License-Identifier: GPL-2.0
//! The examples in the documentation of the API of modules, each as a test of the KUnit suite `rust_doctests_kernel`. `build.rs` makes
//! them of the comments: an example is compiled as a module's code would be, and runs unless it is marked `no_run`.
//!
//! A test is called as in Linux, `rust_doctest_kernel_FILE_rs_N`. No locks.

#![no_std]
#![forbid(unsafe_code)]

/// What records of the examples begin with.
#[allow(dead_code, reason = "an example may print nothing")]
pub(crate) const __LOG_PREFIX: &[u8] = b"rust_doctests_kernel\0";

/// The module that the examples are in.
#[cfg(CONFIG_KUNIT = "y")]
struct LocalModule;

#[cfg(CONFIG_KUNIT = "y")]
static THIS_MODULE: kernel::ThisModule = kernel::ThisModule::new(None);

#[cfg(CONFIG_KUNIT = "y")]
impl kernel::ModuleMetadata for LocalModule {
    const NAME: &'static core::ffi::CStr = c"rust_doctests_kernel";

    fn this_module() -> &'static kernel::ThisModule {
        &THIS_MODULE
    }
}

#[cfg(CONFIG_KUNIT = "y")]
include!(concat!(env!("OUT_DIR"), "/examples.rs"));
