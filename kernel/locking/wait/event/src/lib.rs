// SPDX-License-Identifier: GPL-2.0
//! What the crate `wait_queue` needs and is no unsafe code: what a wake-up says to callbacks, and what sleeping locks tell the
//! lock-order checker. No locks.

#![no_std]
#![forbid(unsafe_code)]

mod event;
mod lockdep;

pub use event::{PollMask, WakeCallback};
pub use lockdep::Notes;
