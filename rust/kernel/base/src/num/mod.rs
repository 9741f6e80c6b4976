// SPDX-License-Identifier: GPL-2.0
//! Numbers: `kernel::num`.

mod bounded;
pub mod casts;

pub use bounded::{Bounded, Primitive};
