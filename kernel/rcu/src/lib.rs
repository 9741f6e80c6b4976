// SPDX-License-Identifier: GPL-2.0
//! Read-copy-update: readers that take no lock and write no shared memory; writers that replace what readers see and free the
//! old once no reader can have it any more.
//!
//! A read section is a stretch with preemption off ([`read_lock`]), so a CPU that switches tasks, idles, or has never started
//! is outside of any. A grace period is over when each CPU has been seen so (`rcu_grace`). Deferred frees are collected per CPU and
//! done after a grace period by the kernel thread `rcu_reclaim`, in task context, where drops may sleep (`rcu_defer`).
//! [`RcuArc`] is the pointer to use, [`RcuList`] the chain (of a hash bucket).
//!
//! Called by everybody above tasks. The scheduler reports context switches ([`note_context_switch`]) and idleness
//! ([`idle_enter`]); interrupt entry calls [`irq_enter`].
//!
//! Locks: `rcu_queue::QUEUE` (per CPU, interrupts off, innermost), `rcu_grace::GRACE` (a mutex, held for a grace period).

#![no_std]

mod list;
mod pointer;

pub use list::{RcuLink, RcuList, RcuListed};
pub use pointer::RcuArc;
pub use rcu_defer::{barrier, call, defer_drop, start_reclaim};
pub use rcu_grace::{
    Host, cpu_starting, host, idle_enter, idle_exit, irq_enter, irq_exit, note_context_switch, synchronize,
};

use x86_cpu::preempt::{PreemptGuard, preempt_disable};

/// A read section: what RCU pointers gave stays alive until it drops. Must not sleep while it lives. Nests.
#[must_use]
pub struct ReadGuard {
    _preempt: PreemptGuard,
}

/// Begins a read section. Any context but NMI. One instruction.
#[inline(always)]
pub fn read_lock() -> ReadGuard {
    ReadGuard { _preempt: preempt_disable() }
}

impl ReadGuard {
    /// The section as what it is: a stretch with preemption off.
    #[inline(always)]
    pub fn pinned(&self) -> &PreemptGuard {
        &self._preempt
    }

    /// The read section that a caller with preemption off is in anyway (a spin lock's holder, an interrupt handler).
    #[inline(always)]
    pub fn nested() -> Self {
        read_lock()
    }
}
