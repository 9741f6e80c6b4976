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
mod header;
mod param;

pub use area::Area;
pub use exports::exports;
pub use header::{ExitFn, Header, InitFn, ModuleRef};
pub use param::{Param, ParamValue};

/// What every module of this build has in `vermagic` of its `.modinfo`: the release, and the traits of the build that change how
/// objects look (lock checking makes every lock larger).
pub const VERMAGIC: &str = match core::str::from_utf8(&VERMAGIC_BYTES) {
    Ok(text) => text,
    Err(_) => "",
};

const TRAITS: &str = if cfg!(CONFIG_PROVE_LOCKING) {
    " SMP preempt mod_unload modversions lockdep "
} else {
    " SMP preempt mod_unload modversions "
};

const VERMAGIC_BYTES: [u8; uapi::UTS_RELEASE.len() + TRAITS.len()] = {
    let mut bytes = [0; uapi::UTS_RELEASE.len() + TRAITS.len()];
    let (release, traits) = bytes.split_at_mut(uapi::UTS_RELEASE.len());
    release.copy_from_slice(uapi::UTS_RELEASE.as_bytes());
    traits.copy_from_slice(TRAITS.as_bytes());
    bytes
};
