// SPDX-License-Identifier: GPL-2.0
//! The preemption count of this CPU, with the need-resched flag folded in upside down (bit 31 clear = a reschedule is due),
//! so that `preempt_enable` is one decrement and one branch.
//!
//! Layout as Linux's `preempt.h`: bits 0-7 preemption depth, 8-15 softirq, 16-19 hard interrupt, 20-23 NMI, 31 not-need-resched.

use core::arch::asm;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering};
use hook::Hook;

/// One level of preemption-off.
pub const PREEMPT_OFFSET: u32 = 1;
/// One level of softirq context.
pub const SOFTIRQ_OFFSET: u32 = 1 << 8;
/// One level of hard interrupt context.
pub const HARDIRQ_OFFSET: u32 = 1 << 16;
/// NMI context.
pub const NMI_OFFSET: u32 = 1 << 20;
const SOFTIRQ_MASK: u32 = 0xff << 8;
const HARDIRQ_MASK: u32 = 0xf << 16;
const NMI_MASK: u32 = 0xf << 20;
/// Set while no reschedule is due.
pub const NO_RESCHED: u32 = 1 << 31;

crate::percpu! {
    static PREEMPT_COUNT: AtomicU32 = AtomicU32::new(NO_RESCHED);
}

/// What `preempt_enable` calls when the count drops to zero with a reschedule due; the scheduler registers it.
pub trait Preempt: Sync {
    /// Reschedules (preemption is enabled and the count is zero). Does nothing when interrupts are off.
    fn preempt_schedule(&self);
    /// The same, from an interrupt: interrupts are off and stay so.
    fn preempt_schedule_irq(&self);
    /// The reschedule interrupt arrived at this CPU. Hard interrupt context, interrupts off; reads no RCU data.
    fn resched_ipi(&self);
}

/// The registered scheduler.
pub static PREEMPT: Hook<dyn Preempt> = Hook::new();

/// Who can interrupt another CPU so that it reschedules.
pub trait SendResched: Sync {
    /// Sends the reschedule interrupt to `cpu`, which is online and not this one. Any context.
    fn send(&self, cpu: crate::percpu::CpuId);
}

/// The sender; `arch/x86/kernel` registers it before it starts the second CPU.
pub static SEND_RESCHED: Hook<dyn SendResched> = Hook::new();

crate::percpu! {
    /// Whether the hard interrupt being handled came from user mode.
    static IRQ_FROM_USER: AtomicU32 = AtomicU32::new(0);
}

/// Interrupt entry says where it came from (before `HARDIRQ_OFFSET` handlers run); the time accounting asks.
#[inline(always)]
pub fn set_irq_from_user(from_user: bool) {
    IRQ_FROM_USER.this_racy().store(u32::from(from_user), Ordering::Relaxed);
}

/// Whether the hard interrupt being handled on this CPU came from user mode.
#[inline(always)]
pub fn irq_from_user() -> bool {
    IRQ_FROM_USER.this_racy().load(Ordering::Relaxed) != 0
}

/// The raw count of this CPU.
#[inline(always)]
pub fn preempt_count_raw() -> u32 {
    let count: u32;
    // SAFETY: GS base is this CPU's offset, so this reads this CPU's count.
    unsafe {
        asm!("mov {:e}, gs:[rip + {}]", out(reg) count, sym PREEMPT_COUNT, options(readonly, nostack, preserves_flags));
    }
    count
}

/// The depth: zero means preemptible (if interrupts are on too).
#[inline(always)]
pub fn preempt_count() -> u32 {
    preempt_count_raw() & !NO_RESCHED
}

/// Replaces the depth, keeping the need-resched flag: used by the context switch, whose tasks each have their own depth.
///
/// # Safety
/// No guard that the count stands for is left, or it is that of the task that runs from here on.
#[inline(always)]
pub unsafe fn preempt_count_set(depth: u32) {
    let slot = PREEMPT_COUNT.this_racy();
    let flag = slot.load(Ordering::Relaxed) & NO_RESCHED;
    slot.store(flag | depth, Ordering::Relaxed);
}

/// `AMOUNT` in this CPU's count for as long as it lives. Nothing is rescheduled when it goes.
#[must_use]
pub struct CountGuard<const AMOUNT: u32>(PhantomData<*mut ()>);

impl<const AMOUNT: u32> CountGuard<AMOUNT> {
    #[inline(always)]
    fn new() -> Self {
        // SAFETY: One instruction on this CPU's own count; interrupts leave it as they found it. Not `nomem`: a compiler barrier.
        unsafe { asm!("add dword ptr gs:[rip + {}], {}", sym PREEMPT_COUNT, const AMOUNT, options(nostack)) };
        Self(PhantomData)
    }
}

impl<const AMOUNT: u32> Drop for CountGuard<AMOUNT> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: As in `new`; this undoes it.
        unsafe { asm!("sub dword ptr gs:[rip + {}], {}", sym PREEMPT_COUNT, const AMOUNT, options(nostack)) };
    }
}

/// A hard interrupt handler begins.
#[inline(always)]
pub fn hardirq_enter() -> CountGuard<HARDIRQ_OFFSET> {
    CountGuard::new()
}

/// The handler of an NMI begins.
#[inline(always)]
pub fn nmi_enter() -> CountGuard<{ NMI_OFFSET + HARDIRQ_OFFSET }> {
    CountGuard::new()
}

/// Disables preemption, as [`preempt_disable`] does; a reschedule that becomes due is the caller's business.
#[inline(always)]
pub fn preempt_disable_no_resched() -> CountGuard<1> {
    CountGuard::new()
}

/// Marks a reschedule as due on this CPU.
#[inline(always)]
pub fn set_need_resched() {
    // SAFETY: One instruction on this CPU's own count.
    unsafe { asm!("and dword ptr gs:[rip + {}], 0x7fffffff", sym PREEMPT_COUNT, options(nostack)) };
}

/// Withdraws the mark (the scheduler has run).
#[inline(always)]
pub fn clear_need_resched() {
    // SAFETY: One instruction on this CPU's own count.
    unsafe { asm!("or dword ptr gs:[rip + {}], 0x80000000", sym PREEMPT_COUNT, options(nostack)) };
}

/// Whether a reschedule is due on this CPU.
#[inline(always)]
pub fn need_resched() -> bool {
    preempt_count_raw() & NO_RESCHED == 0
}

/// Whether the caller runs in a hard interrupt, softirq or NMI.
#[inline(always)]
pub fn in_interrupt() -> bool {
    preempt_count_raw() & (SOFTIRQ_MASK | HARDIRQ_MASK | NMI_MASK) != 0
}

/// Whether the caller runs in a hard interrupt handler.
#[inline(always)]
pub fn in_hardirq() -> bool {
    preempt_count_raw() & HARDIRQ_MASK != 0
}

/// Whether the caller must not sleep.
#[inline(always)]
pub fn in_atomic() -> bool {
    preempt_count() != 0
}

/// Keeps the caller on this CPU and unpreempted for as long as it lives. Nests.
#[must_use]
pub struct PreemptGuard(PhantomData<*mut ()>);

/// Disables preemption.
#[inline(always)]
pub fn preempt_disable() -> PreemptGuard {
    // SAFETY: One instruction on this CPU's own count. Not `nomem`: a compiler barrier.
    unsafe { asm!("inc dword ptr gs:[rip + {}]", sym PREEMPT_COUNT, options(nostack)) };
    PreemptGuard(PhantomData)
}

impl Drop for PreemptGuard {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: As in `preempt_disable`; this undoes its increment.
        unsafe {
            asm!(
                "dec dword ptr gs:[rip + {}]",
                "jz {}",
                sym PREEMPT_COUNT,
                label { preempt_schedule() },
                options(nostack),
            );
        }
    }
}

#[cold]
#[inline(never)]
fn preempt_schedule() {
    if let Some(scheduler) = PREEMPT.get() {
        scheduler.preempt_schedule();
    }
}
