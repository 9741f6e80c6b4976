// SPDX-License-Identifier: GPL-2.0
//! The idle task: waits for interrupts until there is something to run. No tick, no polling; a wake-up from another CPU comes
//! as the reschedule interrupt.

use crate::core::schedule_once;
use crate::rq::{IDLE, bit};
use core::sync::atomic::Ordering::SeqCst;
use x86_cpu::asm::safe_halt;
use x86_cpu::irqflags::{IrqGuard, local_irq_disable, local_irq_enable};
use x86_cpu::percpu::cpu_id;
use x86_cpu::preempt::{need_resched, preempt_count_add};

/// Runs the idle task of this CPU, which is the current task. Interrupts may be on or off.
pub(crate) fn run() -> ! {
    // The idle task is never preempted: it gives way by itself.
    preempt_count_add(1);
    let cpu = cpu_id();
    loop {
        IDLE.fetch_or(bit(cpu), SeqCst);
        loop {
            local_irq_disable();
            if need_resched() {
                break;
            }
            rcu::idle_enter();
            // Wakes at the next interrupt; between the look above and the halt none can slip in.
            safe_halt();
            local_irq_disable();
            rcu::idle_exit();
            local_irq_enable();
        }
        IDLE.fetch_and(!bit(cpu), SeqCst);
        {
            let _irq = IrqGuard::new();
            schedule_once(false);
        }
        local_irq_enable();
    }
}
