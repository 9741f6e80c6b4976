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
