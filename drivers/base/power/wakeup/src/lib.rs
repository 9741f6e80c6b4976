// SPDX-License-Identifier: GPL-2.0
//! What wakes the machine: interrupts that are to (`kernel/irq`) and events that drivers report, counted so that a program can say up to
//! which it knows of them (`/sys/power/wakeup_count`). And where the machine waits for them once all devices sleep: the idle tasks look at
//! [`is_entered`], whoever puts the machine to sleep waits in [`sleep`].
//!
//! Lock: `STATE` (spin, interrupts off), innermost but for the wait queue's.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use locking::SpinLock;
use sync::WaitQueue;

/// Number of no interrupt.
const NO_IRQ: u32 = u32::MAX;

/// How far the way to the idle state is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// Nobody sleeps.
    None,
    /// CPUs are to idle until something happens.
    Entered,
    /// It happened.
    Woken,
}

struct State {
    idle: Idle,
    /// Events so far.
    events: u32,
    /// The events that a program knows of, if it asked that others end the way to sleep.
    known: Option<u32>,
    /// Wake-ups since [`clear`].
    wakeups: u32,
    /// The first interrupt among them.
    irq: u32,
}

static STATE: SpinLock<State> =
    SpinLock::new(State { idle: Idle::None, events: 0, known: None, wakeups: 0, irq: NO_IRQ });
/// Copy of `idle`, for the idle tasks.
static ENTERED: AtomicBool = AtomicBool::new(false);
static WAIT: WaitQueue = WaitQueue::new();

/// The machine is to be awake (`pm_system_wakeup`). Any context but NMI.
pub fn system_wakeup() {
    wake(None);
}

/// Interrupt `irq`, which is to wake the machine, arrived while devices slept (`pm_system_irq_wakeup`). Hard interrupt context.
pub fn irq_wakeup(irq: u32) {
    wake(Some(irq));
}

fn wake(irq: Option<u32>) {
    let sleeps = {
        let mut state = STATE.lock_irqsave();
        state.wakeups = state.wakeups.saturating_add(1);
        if let Some(irq) = irq
            && state.irq == NO_IRQ
        {
            state.irq = irq;
        }
        let sleeps = state.idle != Idle::None;
        if sleeps {
            state.idle = Idle::Woken;
            ENTERED.store(false, SeqCst);
        }
        sleeps
    };
    if sleeps {
        WAIT.wake_up_all();
    }
}

/// A device that may wake the machine has something for it (`pm_wakeup_hard_event`): also one that is just going to sleep does not. Any
/// context but NMI.
pub fn event() {
    {
        let mut state = STATE.lock_irqsave();
        state.events = state.events.wrapping_add(1);
    }
    system_wakeup();
}

/// Events so far.
pub fn count() -> u32 {
    STATE.lock_irqsave().events
}

/// A program knows of `count` events: any other ends the next way to sleep. False if there were others already.
pub fn save_count(count: u32) -> bool {
    let mut state = STATE.lock_irqsave();
    let same = state.events == count;
    state.known = same.then_some(count);
    same
}

/// What a program knew of holds for one way to sleep.
pub fn forget_count() {
    STATE.lock_irqsave().known = None;
}

/// Whether something wants the machine awake (`pm_wakeup_pending`).
pub fn is_pending() -> bool {
    let mut state = STATE.lock_irqsave();
    if state.known.is_some_and(|known| known != state.events) {
        state.known = None;
        return true;
    }
    state.wakeups != 0
}

/// A way to sleep begins: forgets what woke the machine before.
pub fn clear() {
    let mut state = STATE.lock_irqsave();
    (state.wakeups, state.irq) = (0, NO_IRQ);
}

/// The interrupt that woke the machine last.
pub fn irq() -> Option<u32> {
    let irq = STATE.lock_irqsave().irq;
    (irq != NO_IRQ).then_some(irq)
}

/// Whether CPUs are to idle with their timers off. Any context.
#[inline]
pub fn is_entered() -> bool {
    ENTERED.load(SeqCst)
}

/// Has the CPUs idle until something wakes the machine; `kick` brings the other ones to look at [`is_entered`]. At once if something did
/// since [`clear`]. May sleep.
pub fn sleep(kick: impl Fn()) {
    {
        let mut state = STATE.lock_irqsave();
        if state.wakeups != 0 {
            return;
        }
        state.idle = Idle::Entered;
        ENTERED.store(true, SeqCst);
    }
    kick();
    WAIT.wait_until(|| !ENTERED.load(SeqCst));
    STATE.lock_irqsave().idle = Idle::None;
    kick();
}

#[macros::kunit_tests(wakeup)]
mod tests {
    use super::*;

    /// A count holds as long as nothing happens, and one that is not true is refused.
    #[test]
    fn counts() {
        let before = count();
        assert!(save_count(before));
        clear();
        assert!(!is_pending());
        event();
        assert_eq!(count(), before.wrapping_add(1));
        assert!(is_pending());
        clear();
        // That it is one more than known was told.
        assert!(!is_pending());
        assert!(!save_count(before));
        assert!(save_count(before.wrapping_add(1)));
        forget_count();
        event();
        clear();
        assert!(!is_pending());
    }

    /// The first interrupt is remembered; one before the sleep ends it at once.
    #[test]
    fn interrupts() {
        clear();
        assert_eq!(irq(), None);
        irq_wakeup(8);
        irq_wakeup(9);
        assert_eq!(irq(), Some(8));
        assert!(is_pending());
        sleep(|| ());
        assert!(!is_entered());
        clear();
        assert!(!is_pending());
    }
}
