// SPDX-License-Identifier: GPL-2.0
//! The lock-order checker of debug builds (`CONFIG_PROVE_LOCKING`; empty in others): `locking` and the sleeping locks tell it what
//! they take. No locks, no memory.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(CONFIG_LOCKDEP)]
mod check;
#[cfg(any(CONFIG_LOCKDEP, test))]
mod lock_order;

#[cfg(CONFIG_LOCKDEP)]
pub use check::{Class, Held, forget, reports, spin_acquire, spin_release};
