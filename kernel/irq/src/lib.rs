// SPDX-License-Identifier: GPL-2.0
//! Device interrupts: numbers, handlers (hard and threaded), counting, and what runs when the outermost interrupt ends. Drivers
//! register here; `arch/x86/kernel` dispatches through `IRQ_DISPATCH`.
//!
//! Locks: each number's `config` mutex (requests and frees), around RCU's grace-period mutex. Dispatch takes none.

#![no_std]
#![forbid(unsafe_code)]

mod action;
mod desc;
mod pm;

pub use action::{
    Handler, IrqFlags, IrqRequest, IrqReturn, ThreadHandler, request_irq, request_isa_irq, request_threaded_irq,
};
pub use desc::{NR_IRQS, alloc_message, count, describe, disable_irq, enable_irq, free_message, spurious};
pub use pm::{disable_irq_wake, enable_irq_wake, resume_device_irqs, suspend_device_irqs};
pub use x86::irq::chip::{MsiMessage, Polarity, Trigger, isa_line};

use x86::irq::{IRQ_DISPATCH, IrqDispatch};

struct Dispatch;

impl IrqDispatch for Dispatch {
    fn handle(&self, irq: u32) {
        random::add_interrupt(irq);
        desc::handle(irq);
    }
    fn irq_exit(&self) {
        printk::wake_readers();
    }
}

/// Takes device interrupts over. Once, on the boot CPU, before drivers start.
pub fn init() {
    static DISPATCH: &dyn IrqDispatch = &Dispatch;
    IRQ_DISPATCH.set(&DISPATCH);
}
