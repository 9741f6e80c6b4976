// SPDX-License-Identifier: GPL-2.0
//! External interrupts at the hardware level: from a vector to whom it is for. Device interrupts go up to `kernel/irq` through
//! [`IRQ_DISPATCH`] with the number that was given when the vector was allocated; the CPUs' own vectors (timer, rescheduling,
//! calls of functions, stop) are handled here. [`chip`] is what `kernel/irq` uses to route, mask and compose.

use clock_hw::TIMEKEEPING;
use core::sync::atomic::{AtomicU32, Ordering};
use hook::Hook;
use x86_apic::irq_vectors::*;
use x86_apic::local;
use x86_cpu::preempt::{PREEMPT, hardirq_enter, in_interrupt, preempt_count_raw, set_irq_from_user};
use x86_cpu::regs::PtRegs;
use x86_cpu::{CpuId, PerCpu};
use x86_irq::vectors;

pub use x86_irq::chip;

/// The interrupt core (`kernel/irq`).
pub trait IrqDispatch: Sync {
    /// Interrupt `irq` arrived on this CPU. Hard interrupt context, interrupts off. The local APIC is told afterwards, so a
    /// level-triggered line that stays up must be masked before this returns.
    fn handle(&self, irq: u32);
    /// The outermost interrupt of this CPU is done: run softirqs. Interrupts off, preemption count as before the interrupt.
    /// Whether user mode was interrupted: `x86_cpu::preempt::irq_from_user`.
    fn irq_exit(&self);
}

/// Set by `kernel/irq`.
pub static IRQ_DISPATCH: Hook<dyn IrqDispatch> = Hook::new();

/// Interrupts that the hardware layer counts by itself, as `/proc/interrupts` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// `LOC`: local timer.
    LocalTimer,
    /// `RES`: rescheduling.
    Reschedule,
    /// `CAL`: function calls.
    CallFunction,
    /// `TLB`: TLB shoot-downs.
    Tlb,
    /// `SPU`: spurious.
    Spurious,
    /// `ERR`: APIC errors.
    Error,
    /// `NMI`.
    Nmi,
}

struct Counters {
    timer: AtomicU32,
    reschedule: AtomicU32,
    call: AtomicU32,
    tlb: AtomicU32,
    spurious: AtomicU32,
    error: AtomicU32,
}

x86_cpu::percpu! {
    static COUNTERS: Counters = Counters {
        timer: AtomicU32::new(0),
        reschedule: AtomicU32::new(0),
        call: AtomicU32::new(0),
        tlb: AtomicU32::new(0),
        spurious: AtomicU32::new(0),
        error: AtomicU32::new(0),
    };
}

fn bump(counter: &AtomicU32) {
    // Only this CPU writes, with interrupts off.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// One of CPU `cpu`'s counters; 0 for a CPU that is not there.
pub fn counter(cpu: CpuId, which: Counter) -> u32 {
    if which == Counter::Nmi {
        return load(&crate::traps::nmi::NMI_COUNT, cpu, |count| count);
    }
    load(&COUNTERS, cpu, |c| match which {
        Counter::LocalTimer => &c.timer,
        Counter::Reschedule => &c.reschedule,
        Counter::CallFunction => &c.call,
        Counter::Tlb => &c.tlb,
        Counter::Spurious => &c.spurious,
        Counter::Error | Counter::Nmi => &c.error,
    })
}

fn load<T: Sync>(data: &'static PerCpu<T>, cpu: CpuId, field: impl FnOnce(&'static T) -> &'static AtomicU32) -> u32 {
    data.on(cpu).map_or(0, |value| field(value).load(Ordering::Relaxed))
}

/// Counts a TLB shoot-down that this CPU served (it comes in as a function call).
pub fn count_tlb_flush() {
    bump(&COUNTERS.this_racy().tlb);
}

/// Every external interrupt. On the interrupt stack, interrupts off. Returns whether the interrupted code was preemptible and a
/// reschedule is due.
pub extern "C" fn do_irq(regs: &mut PtRegs) -> bool {
    let vector = !regs.orig_rax as u8;
    let user = regs.from_user();
    if vector == RESCHEDULE_VECTOR {
        return reschedule_interrupt(user);
    }
    let hardirq = hardirq_enter();
    set_irq_from_user(user);
    let idle = rcu::irq_enter();
    handle(vector);
    rcu::irq_exit(idle);
    drop(hardirq);
    if !in_interrupt()
        && let Some(core) = IRQ_DISPATCH.get()
    {
        core.irq_exit();
    }
    !user && preempt_count_raw() == 0
}

/// Another CPU wants this one to reschedule: no handler runs, no softirq can have become due.
fn reschedule_interrupt(user: bool) -> bool {
    let hardirq = hardirq_enter();
    local::eoi();
    bump(&COUNTERS.this_racy().reschedule);
    if let Some(sched) = PREEMPT.get() {
        sched.resched_ipi();
    }
    drop(hardirq);
    !user && preempt_count_raw() == 0
}

fn handle(vector: u8) {
    let counters = COUNTERS.this_racy();
    match vector {
        LOCAL_TIMER_VECTOR => {
            local::eoi();
            bump(&counters.timer);
            if let Some(time) = TIMEKEEPING.get() {
                time.event_interrupt();
            }
        }
        CALL_FUNCTION_VECTOR => {
            local::eoi();
            bump(&counters.call);
            x86_smp::call::run_queue();
        }
        REBOOT_VECTOR => {
            local::eoi();
            x86_irq::smp::stop_this_cpu();
        }
        // No EOI: the APIC did not put it into service.
        SPURIOUS_VECTOR => bump(&counters.spurious),
        ERROR_VECTOR => {
            bump(&counters.error);
            let status = local::error_status();
            local::eoi();
            klog::pr_debug!("APIC error on CPU{}: {status:#04x}", x86_cpu::cpu_id());
        }
        _ => device_interrupt(vector),
    }
}

fn device_interrupt(vector: u8) {
    match (vectors::irq_of(vector), IRQ_DISPATCH.get()) {
        (Some(irq), Some(core)) => core.handle(irq),
        _ => klog::pr_warn!("CPU {}: no irq handler for vector {vector}", x86_cpu::cpu_id()),
    }
    local::eoi();
}
