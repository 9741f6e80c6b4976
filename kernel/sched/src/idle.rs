// SPDX-License-Identifier: GPL-2.0
//! The idle task: waits for interrupts until there is something to run. No tick, no polling (but with `idle=poll`); a wake-up from
//! another CPU comes as the reschedule interrupt.

use crate::core::schedule_once;
use crate::rq::{IDLE, bit};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use x86_cpu::asm::{cpu_relax, safe_halt};
use x86_cpu::irqflags::{IrqGuard, local_irq_disable, local_irq_enable};
use x86_cpu::percpu::cpu_id;
use x86_cpu::preempt::{need_resched, preempt_disable_no_resched};

static POLL: AtomicBool = AtomicBool::new(false);

/// Idle CPUs look for work instead of waiting for interrupts (`idle=poll`). At boot.
pub fn poll() {
    POLL.store(true, Relaxed);
}

/// The machine sleeps: waits for an interrupt with this CPU's timer off. Interrupts are off; they are on when this returns.
#[cold]
fn sleep() {
    ktime::freeze::enter(crate::online_count());
    rcu::idle_enter();
    safe_halt();
    local_irq_disable();
    rcu::idle_exit();
    ktime::freeze::leave();
    local_irq_enable();
}

/// Has every other CPU look at what it idles for. Any context.
pub fn kick_all() {
    let Some(sender) = x86_cpu::preempt::SEND_RESCHED.get() else { return };
    let _irq = IrqGuard::new();
    for cpu in crate::wake::cpus(crate::online_cpus()).filter(|&cpu| cpu != cpu_id()) {
        sender.send(cpu);
    }
}

/// Runs the idle task of this CPU, which is the current task. Interrupts may be on or off.
pub(crate) fn run() -> ! {
    // The idle task is never preempted: it gives way by itself.
    let _preempt = preempt_disable_no_resched();
    let cpu = cpu_id();
    loop {
        IDLE.fetch_or(bit(cpu), SeqCst);
        loop {
            local_irq_disable();
            if need_resched() {
                break;
            }
            if wakeup::is_entered() {
                sleep();
                continue;
            }
            rcu::idle_enter();
            if POLL.load(Relaxed) {
                local_irq_enable();
                while !need_resched() {
                    cpu_relax();
                }
                local_irq_disable();
                rcu::idle_exit();
                break;
            }
            // Wakes at the next interrupt; between the look above and the halt none can slip in.
            safe_halt();
            local_irq_disable();
            rcu::idle_exit();
            local_irq_enable();
        }
        // Whoever woke this CPU took it out, most often; nobody else puts it in.
        if IDLE.load(SeqCst) & bit(cpu) != 0 {
            IDLE.fetch_and(!bit(cpu), SeqCst);
        }
        {
            let _irq = IrqGuard::new();
            schedule_once(false);
        }
        local_irq_enable();
    }
}
