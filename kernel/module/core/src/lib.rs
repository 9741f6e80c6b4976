// SPDX-License-Identifier: GPL-2.0
//! What loading a module needs of the trusted base: memory in the modules' range of addresses, mapped W^X ([`Area`]); the objects
//! that a module's file and the kernel share ([`Header`], [`Param`]); the image's exported symbols ([`exports`]).
//!
//! Called by `kernel/module` and, for the types, by the `module!` macro of the `kernel` crate. Lock: `area::RESERVED`, a spin lock
//! with nothing taken inside. Areas are made and dropped in task context with interrupts on.
//!
//! Trust: a module that passed the checks of `kernel/module` (version of the kernel and of every symbol) was compiled against
//! this image by the same compiler; its code and its objects are as the image's own. The safety comments call that *acceptance*.

#![no_std]

mod area;
mod exports;

use core::sync::atomic::{AtomicBool, Ordering};

pub use area::Area;
pub use exports::exports;
pub use module_header::{ExitFn, Header, InitFn, ModuleRef, Param, ParamValue, VERMAGIC};

/// Something warned of what must not be.
static WARNED: AtomicBool = AtomicBool::new(false);

/// Notes that a warning was given (`TAINT_WARN`). Any context.
pub fn note_warning() {
    WARNED.store(true, Ordering::Relaxed);
}

/// Whether one was.
pub fn has_warned() -> bool {
    WARNED.load(Ordering::Relaxed)
}
