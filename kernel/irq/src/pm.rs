// SPDX-License-Identifier: GPL-2.0
//! Interrupts of devices that sleep. They still arrive, but no handler is called: each is kept for later, a level-triggered line
//! masked, and one that is to wake the machine does. When devices wake, what was kept is handled. The CPUs' own interrupts go on.

use crate::desc::{self, Desc, NR_IRQS, Source};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use errno::{Result, code::EINVAL};
use klog::pr_warn;
use x86::irq::chip::Trigger;
use x86::smp::call;

/// No handler is called.
const SUSPENDED: u32 = 1;
/// It wakes the machine.
const ARMED: u32 = 2;
/// It arrived.
const PENDING: u32 = 4;
/// It is a level-triggered line,
const LEVEL: u32 = 8;
/// which was masked when it arrived.
const MASKED: u32 = 16;

/// A number's part.
pub(crate) struct Sleep {
    state: AtomicU32,
    /// How often it was asked to wake the machine.
    wake: AtomicU32,
}

impl Sleep {
    pub(crate) const fn new() -> Self {
        Self { state: AtomicU32::new(0), wake: AtomicU32::new(0) }
    }

    /// Whose interrupt it was is gone, and its masks.
    pub(crate) fn forget(&self) {
        self.state.store(0, SeqCst);
    }

    #[inline]
    pub(crate) fn is_suspended(&self) -> bool {
        self.state.load(SeqCst) & SUSPENDED != 0
    }
}

/// `irq` arrived while it seemed suspended; false: it is not any more. Hard interrupt context.
#[cold]
pub(crate) fn arrived(irq: u32, desc: &Desc) -> bool {
    let kept = desc.sleep.state.fetch_update(SeqCst, SeqCst, |state| {
        let masked = if state & LEVEL != 0 { MASKED } else { 0 };
        (state & SUSPENDED != 0).then_some(state | PENDING | masked)
    });
    let Ok(before) = kept else { return false };
    if before & LEVEL != 0 && before & MASKED == 0 {
        // Should it be unmasked on another CPU before this: the two counts come out even, and it arrives again.
        desc::mask(irq, desc);
    }
    if before & ARMED != 0 {
        wakeup::irq_wakeup(irq);
    }
    true
}

/// `irq` wakes a machine whose devices sleep; nests. `EINVAL` without such a number.
pub fn enable_irq_wake(irq: u32) -> Result {
    desc::desc(irq)?.sleep.wake.fetch_add(1, SeqCst);
    Ok(())
}

/// Undoes one [`enable_irq_wake`].
pub fn disable_irq_wake(irq: u32) -> Result {
    let wake = &desc::desc(irq)?.sleep.wake;
    wake.fetch_update(SeqCst, SeqCst, |times| times.checked_sub(1)).map(drop).map_err(|_| EINVAL)
}

/// From here on devices' interrupts are kept; no handler, nor thread of one, runs any more when this returns. May sleep.
pub fn suspend_device_irqs() {
    for desc in (0..NR_IRQS as u32).filter_map(|irq| desc::desc(irq).ok()) {
        let config = desc.config.lock();
        match desc.actions.get() {
            Some(actions) if actions.0.iter().all(|action| !action.no_suspend) => {}
            _ => continue,
        }
        let level = if matches!(config.source, Source::Line(Trigger::Level)) { LEVEL } else { 0 };
        let armed = if desc.sleep.wake.load(SeqCst) != 0 { ARMED } else { 0 };
        desc.sleep.state.store(SUSPENDED | level | armed, SeqCst);
    }
    rcu::synchronize();
    for desc in (0..NR_IRQS as u32).filter_map(|irq| desc::desc(irq).ok()) {
        let actions = if desc.sleep.is_suspended() { desc.actions.get() } else { None };
        actions.iter().flat_map(|actions| &actions.0).for_each(|action| action.drain());
    }
}

/// Undoes [`suspend_device_irqs`], and handles what arrived meanwhile. May sleep.
pub fn resume_device_irqs() {
    for irq in 0..NR_IRQS as u32 {
        let Ok(desc) = desc::desc(irq) else { continue };
        if !desc.sleep.is_suspended() {
            continue;
        }
        let config = desc.config.lock();
        let state = desc.sleep.state.swap(0, SeqCst);
        if state & MASKED != 0 {
            // It arrives again if the device still has something.
            desc::unmask(irq, desc);
        } else if state & PENDING != 0 && !call::on_cpu(config.cpu, &|| desc::dispatch(irq, desc)) {
            pr_warn!("irq {irq}: lost while devices slept");
        }
    }
}
