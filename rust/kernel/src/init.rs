// SPDX-License-Identifier: GPL-2.0
//! Building values in place: `kernel::init`, over `pinned-init`.

pub use kalloc::InPlaceInit;
pub use pinned_init::{Init, PinInit, Zeroable, zeroed};
