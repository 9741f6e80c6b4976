// SPDX-License-Identifier: GPL-2.0
//! Loadable modules: `init_module(2)`, `finit_module(2)`, `delete_module(2)`, `/proc/modules`, `/sys/module`.
//!
//! | file | what |
//! |---|---|
//! | `syscalls` | the calls: permission, the file's bytes, decompression |
//! | `load` | from bytes to a running module |
//! | `signing` | whether somebody known has signed them |
//! | `unload` | back |
//! | `suites` | tests that a module brings |
//! | `request` | modules that the kernel asks for: `/proc/sys/kernel/modprobe` |
//! | `registry` | which modules there are, and their states |
//! | `symbols` | who defines a symbol, its version; names for traces |
//! | `args` | parameters of a module from a text |
//! | `show` | `/proc/modules`, `/sys/module`, `/proc/sys/kernel` |
//! | `taint` | what makes a report of this kernel less than trustworthy |
//!
//! `init` calls [`init`]; the `kernel` crate's `ThisModule` uses the reference counts of `module_core`. Reading and relocating
//! is `module_image` (pure), memory is `module_core`. Locks: `registry::MODULES` (sleeping), never held while code of a module
//! runs; `symbols::TEXTS` (spinning, interrupts off) for traces and faults, taken inside of it or alone.
//! Documentation: `Documentation/kbuild/modules.md`.

#![no_std]
#![forbid(unsafe_code)]

mod args;
mod load;
mod registry;
mod request;
mod show;
mod signing;
#[cfg(CONFIG_KUNIT = "y")]
mod suites;
mod symbols;
mod syscalls;
pub mod taint;
mod unload;

pub use registry::{Module, State};
pub use request::request_module;
pub use show::{set_async_probe, set_blacklist};
pub use signing::set_enforced;
pub use syscalls::{sys_delete_module, sys_finit_module, sys_init_module};

use errno::Result;

/// Makes the files, and lets traces and faults find modules. Once, at boot, after `proc` and `sysfs`.
pub fn init() -> Result {
    symbols::init();
    show::init()
}

/// Bytes as the log shows them.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| f.write_str(chunk.valid()))
    }
}
