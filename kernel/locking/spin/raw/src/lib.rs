// SPDX-License-Identifier: GPL-2.0
//! Who may go on and who spins: locks without the values that they guard, which are `spin_locks`'. What is unsafe there rests on this
//! crate: it is part of the trusted base. The caller has disabled preemption (and interrupts, if handlers take the lock too).

#![no_std]
#![forbid(unsafe_code)]

mod rw;
mod ticket;

pub use rw::RawRwSpinLock;
pub use ticket::Ticket;
