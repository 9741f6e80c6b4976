// SPDX-License-Identifier: GPL-2.0
//! The keys that this kernel trusts: the one that the build signs modules with (`scripts/certs.py` makes it), and those of
//! `CONFIG_SYSTEM_TRUSTED_KEYS`. Called by `kernel/module`. No locks: a constant.

#![no_std]
#![forbid(unsafe_code)]

use asymmetric_keys::Ring;

/// The ring of trusted keys (`.builtin_trusted_keys`).
pub const fn trusted() -> Ring<'static> {
    Ring::new(include_bytes!(env!("SYSTEM_CERTIFICATES")))
}
