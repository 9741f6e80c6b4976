// SPDX-License-Identifier: GPL-2.0
//! The objects that a module's file and the kernel share ([`Header`], [`Param`]), and what says that they are of one build. The crate
//! `module_core` re-exports all of it. No locks.

#![no_std]
#![forbid(unsafe_code)]

mod header;
mod param;

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
