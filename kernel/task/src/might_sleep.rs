// SPDX-License-Identifier: GPL-2.0
//! The check for callers that may sleep where they must not.

pub(crate) fn check_might_sleep(place: &core::panic::Location<'_>) {
    use x86_cpu::{irqflags::irqs_disabled, preempt::in_atomic};
    if crate::try_current().is_some() && (in_atomic() || irqs_disabled()) {
        klog::pr_err!(
            "BUG: sleeping function called from invalid context at {}:{}; preempt_count {:#x}, irqs_disabled {}",
            place.file(),
            place.line(),
            x86_cpu::preempt::preempt_count(),
            irqs_disabled()
        );
        if let Some(reporter) = crate::hooks::DEBUG_REPORT.get() {
            reporter.dump_stack();
        }
    }
}
