// SPDX-License-Identifier: GPL-2.0
//! High-resolution timers: one ordered queue a CPU, one-shot programming of that CPU's event device for the first of them.
//!
//! A timer is started on the CPU that asks (unless its callback is running elsewhere right then) and calls back there, in hard
//! interrupt context with interrupts off. Starting and cancelling allocate nothing: a timer owns its queue node.
//!
//! Locks: a CPU's `BASE` (interrupts off) guards its queue and the state of timers whose `cpu` names it; inside it the timer's
//! own `node` lock. Callbacks run without either, and may take run queue locks and start timers.

use crate::{event, timekeeper};
use containers::{RBTree, RBTreeNode};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::{SpinGuard, SpinLock};
use x86_cpu::asm::cpu_relax;
use x86_cpu::irqflags::IrqGuard;
use x86_cpu::percpu::{CpuId, cpu_id};

/// The clock that a timer's expiry is given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`.
    Monotonic,
    /// `CLOCK_BOOTTIME`: goes on while the machine sleeps.
    Boottime,
    /// `CLOCK_REALTIME`: follows the clock when it is set.
    Realtime,
    /// `CLOCK_TAI`: real time and a constant.
    Tai,
    /// As `Realtime`; a timer on it wakes the machine (`CLOCK_REALTIME_ALARM`).
    RealtimeAlarm,
    /// As `Boottime`; a timer on it wakes the machine (`CLOCK_BOOTTIME_ALARM`).
    BoottimeAlarm,
}

impl Clock {
    /// The clock's value minus monotonic time.
    fn offset(self) -> i64 {
        match self {
            Self::Monotonic => 0,
            Self::Boottime | Self::BoottimeAlarm => timekeeper::boot_offset_ns(),
            Self::Realtime | Self::RealtimeAlarm => timekeeper::real_offset_ns(),
            Self::Tai => timekeeper::real_offset_ns().wrapping_add(timekeeper::tai_offset_ns()),
        }
    }

    /// Whether timers on it wake the machine.
    pub fn is_alarm(self) -> bool {
        matches!(self, Self::RealtimeAlarm | Self::BoottimeAlarm)
    }

    /// The clock now, in nanoseconds.
    pub fn now_ns(self) -> u64 {
        match self {
            Self::Monotonic => timekeeper::now_ns(),
            Self::Boottime | Self::BoottimeAlarm => timekeeper::boottime_ns(),
            Self::Realtime | Self::RealtimeAlarm => timekeeper::real_ns(),
            Self::Tai => timekeeper::tai_ns(),
        }
    }
}

/// What a callback wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Done.
    No,
    /// Queue again at the expiry that the callback set ([`HrTimer::forward_now`]).
    Yes,
}

type Callback = dyn Fn(&Arc<HrTimer>) -> Restart + Send + Sync;
type Key = (u64, u64);
type Node = RBTreeNode<Key, Option<Arc<HrTimer>>>;

const IDLE: u32 = 0;
const QUEUED: u32 = 1;

/// A timer. Dropping the last reference needs no cancel: a queued timer is held by its queue.
pub struct HrTimer {
    clock: Clock,
    /// Expiry on `clock`.
    expires: AtomicU64,
    /// The key under which it is queued.
    key: (AtomicU64, AtomicU64),
    cpu: AtomicU32,
    state: AtomicU32,
    /// The callback is running.
    running: AtomicBool,
    /// The node, while the timer is not queued.
    node: SpinLock<Option<Node>>,
    callback: KBox<Callback>,
}

pub(crate) struct Base {
    cpu: CpuId,
    queue: RBTree<Key, Option<Arc<HrTimer>>>,
    next_seq: u64,
    /// The interrupt handler is at work and will program the device when it is done.
    in_interrupt: bool,
}

x86_cpu::percpu! {
    static BASE: SpinLock<Base> =
        SpinLock::new(Base { cpu: 0, queue: RBTree::new(), next_seq: 0, in_interrupt: false });
    /// Another CPU changed this CPU's queue and wants its device programmed again.
    static REPROGRAM: AtomicBool = AtomicBool::new(false);
}

impl Base {
    fn insert(&mut self, timer: &Arc<HrTimer>) {
        let Some(mut node) = timer.node.lock().take() else { return };
        let expires = timer.expires.load(Ordering::Relaxed);
        let at = expires.saturating_add_signed(timer.clock.offset().wrapping_neg());
        let key = (at, self.next_seq);
        self.next_seq = self.next_seq.wrapping_add(1);
        timer.key.0.store(key.0, Ordering::Relaxed);
        timer.key.1.store(key.1, Ordering::Relaxed);
        let (k, v) = node.key_value_mut();
        *k = key;
        *v = Some(timer.clone());
        self.queue.insert(node);
        timer.state.store(QUEUED, Ordering::Relaxed);
        if self.first_is(key) && !self.in_interrupt && self.cpu == cpu_id() {
            event::program(at);
        }
    }

    fn first_is(&self, key: Key) -> bool {
        self.queue.first().is_some_and(|(k, _)| *k == key)
    }

    fn remove(&mut self, timer: &HrTimer) -> bool {
        if timer.state.load(Ordering::Relaxed) != QUEUED {
            return false;
        }
        let key = (timer.key.0.load(Ordering::Relaxed), timer.key.1.load(Ordering::Relaxed));
        match self.queue.remove_node(&key) {
            Some(node) => {
                park(node);
                true
            }
            None => false,
        }
    }
}

/// Gives a node that came off a queue back to its timer; returns the timer.
fn park(mut node: Node) -> Option<Arc<HrTimer>> {
    let timer = node.key_value_mut().1.take()?;
    timer.state.store(IDLE, Ordering::Relaxed);
    *timer.node.lock() = Some(node);
    Some(timer)
}

impl HrTimer {
    /// A timer that will call `callback`. May sleep. A callback that refers to the timer's owner holds it weakly.
    pub fn new(
        clock: Clock,
        callback: impl Fn(&Arc<HrTimer>) -> Restart + Send + Sync + 'static,
    ) -> Result<Arc<HrTimer>> {
        let callback: KBox<Callback> = KBox::new(callback, GFP_KERNEL)?;
        let node = RBTreeNode::new((0, 0), None, GFP_KERNEL)?;
        let timer = Self {
            clock,
            expires: AtomicU64::new(0),
            key: (AtomicU64::new(0), AtomicU64::new(0)),
            cpu: AtomicU32::new(cpu_id()),
            state: AtomicU32::new(IDLE),
            running: AtomicBool::new(false),
            node: SpinLock::new(Some(node)),
            callback,
        };
        Ok(Arc::new(timer, GFP_KERNEL)?)
    }

    /// Locks the queue that this timer belongs to. Interrupts are off already.
    fn lock_base(&self) -> Option<SpinGuard<'static, Base>> {
        loop {
            let cpu = self.cpu.load(Ordering::Relaxed);
            let guard = BASE.on(cpu)?.lock();
            if self.cpu.load(Ordering::Relaxed) == cpu {
                return Some(guard);
            }
        }
    }

    /// (Re)starts the timer, to expire at `expires` nanoseconds on its clock. Any context but NMI.
    pub fn start(self: &Arc<Self>, expires: u64) {
        let _irq = IrqGuard::new();
        let this = cpu_id();
        while let Some(mut base) = self.lock_base() {
            base.remove(self);
            if base.cpu == this || self.running.load(Ordering::Relaxed) {
                self.expires.store(expires, Ordering::Relaxed);
                base.insert(self);
                return;
            }
            self.cpu.store(this, Ordering::Relaxed);
        }
    }

    /// Starts the timer `delta` nanoseconds from now.
    pub fn start_after(self: &Arc<Self>, delta: u64) {
        self.start(self.clock.now_ns().saturating_add(delta));
    }

    /// Takes the timer off its queue. `Some(true)`: it was queued; `Some(false)`: it was not; `None`: its callback is running
    /// on another CPU (or is the caller). Any context but NMI.
    pub fn try_cancel(&self) -> Option<bool> {
        let _irq = IrqGuard::new();
        let mut base = self.lock_base()?;
        let removed = base.remove(self);
        if !removed && self.running.load(Ordering::Relaxed) { None } else { Some(removed) }
    }

    /// Cancels, waiting until a callback that is running has ended (and cancels again if that restarted it). Returns whether
    /// the timer was queued. Not from the callback, nor with a lock held that the callback takes.
    pub fn cancel(&self) -> bool {
        // Fast path: fired and done, or never started.
        loop {
            match self.try_cancel() {
                Some(was_queued) => return was_queued,
                None => cpu_relax(),
            }
        }
    }

    /// Whether the timer is queued or its callback runs.
    pub fn is_active(&self) -> bool {
        self.state.load(Ordering::Relaxed) == QUEUED || self.running.load(Ordering::Relaxed)
    }

    /// Whether the timer is queued.
    pub fn is_queued(&self) -> bool {
        self.state.load(Ordering::Relaxed) == QUEUED
    }

    /// The expiry, on the timer's clock.
    pub fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    /// The timer's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Nanoseconds until the expiry; 0 when it passed.
    pub fn remaining(&self) -> u64 {
        self.expires().saturating_sub(self.clock.now_ns())
    }

    /// Sets the expiry of a timer that is not queued, without queueing it: for [`Self::remaining`] and [`Self::forward`].
    pub fn set_expires(&self, expires: u64) {
        self.expires.store(expires, Ordering::Relaxed);
    }

    /// Moves the expiry by whole intervals until it lies after now; returns how many. As [`Self::forward`].
    pub fn forward_now(&self, interval: u64) -> u64 {
        self.forward(self.clock.now_ns(), interval)
    }

    /// Moves the expiry by whole intervals until it lies after `now`, a time on the timer's clock; returns how many. From the
    /// callback (which then returns [`Restart::Yes`]), or while the timer is not queued.
    pub fn forward(&self, now: u64, interval: u64) -> u64 {
        let (expires, interval) = (self.expires(), interval.max(1));
        if now < expires {
            return 0;
        }
        let periods = (now - expires) / interval + 1;
        self.expires.store(expires.saturating_add(periods.saturating_mul(interval)), Ordering::Relaxed);
        periods
    }
}

/// This CPU gets its queue. Once a CPU, before its event device is registered; interrupts off.
pub(crate) fn init_cpu() {
    BASE.this_racy().lock().cpu = cpu_id();
}

/// Looks at the clock in one interrupt before it is given up.
const ROUNDS: u32 = 3;
/// The longest pause after an interrupt that was given up.
const PAUSE_MAX_NS: u64 = 100_000_000;

/// Runs what has expired on this CPU and programs the next. Hard interrupt context. Timers that expire faster than their
/// callbacks run do not keep the CPU: after some rounds the device pauses for as long as they took.
pub(crate) fn interrupt() {
    let this = BASE.this_racy();
    let mut base = this.lock();
    base.in_interrupt = true;
    let entered = timekeeper::now_ns();
    let (mut now, mut rounds) = (entered, 1);
    let next = loop {
        let next = match base.queue.first() {
            None => break None,
            Some((key, _)) => key.0,
        };
        if next > now {
            now = timekeeper::now_ns();
            if next > now {
                break Some(next);
            }
            if rounds >= ROUNDS {
                break Some(now.saturating_add(now.saturating_sub(entered).min(PAUSE_MAX_NS)));
            }
            rounds += 1;
        }
        let Some(timer) = base.queue.pop_first_node().and_then(park) else { continue };
        timer.running.store(true, Ordering::Relaxed);
        drop(base);
        if timer.clock.is_alarm() {
            // One that is just going to sleep does not.
            wakeup::system_wakeup();
        }
        let restart = (timer.callback)(&timer);
        base = this.lock();
        timer.running.store(false, Ordering::Release);
        // Somebody may have started it meanwhile; that wins.
        if restart == Restart::Yes && timer.state.load(Ordering::Relaxed) == IDLE {
            base.insert(&timer);
        }
        // The last reference may go here: not under the lock, which a drop must not need.
        drop(base);
        drop(timer);
        base = this.lock();
    };
    base.in_interrupt = false;
    drop(base);
    match next {
        Some(at) => event::program(at),
        None => event::stop(),
    }
}

/// Programs this CPU's device for its first timer: it just got one, or another CPU changed the queue. Interrupts off.
pub(crate) fn reprogram() {
    let next = BASE.this_racy().lock().queue.first().map(|(key, _)| key.0);
    if let Some(at) = next {
        event::program(at);
    }
}

/// The reschedule interrupt asks this too: a remote change wants the device programmed again. Interrupts off.
#[inline]
pub fn resched_ipi() {
    let flag = REPROGRAM.this_racy();
    if flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::SeqCst) {
        reprogram();
    }
}

/// Who wants to know that real time was set (timerfd's `TFD_TIMER_CANCEL_ON_SET`).
pub trait ClockSet: Sync {
    /// It was. Task context.
    fn clock_set(&self);
}

/// The one that wants to know.
pub static CLOCK_SET: hook::Hook<dyn ClockSet> = hook::Hook::new();

/// Real time was set, or the machine woke: sorts every queue anew. Any context but NMI and timer callbacks.
pub(crate) fn clock_was_set() {
    for cpu in 0..x86_cpu::MAX_CPUS as CpuId {
        let Some(base) = BASE.on(cpu) else { continue };
        {
            let mut base = base.lock_irqsave();
            let mut old = core::mem::replace(&mut base.queue, RBTree::new());
            while let Some(mut node) = old.pop_first_node() {
                let (key, timer) = node.key_value_mut();
                if let Some(timer) = timer.as_ref().filter(|t| t.clock != Clock::Monotonic) {
                    key.0 = timer.expires().saturating_add_signed(timer.clock.offset().wrapping_neg());
                    timer.key.0.store(key.0, Ordering::Relaxed);
                }
                base.queue.insert(node);
            }
        }
        if let Some(flag) = REPROGRAM.on(cpu) {
            flag.store(true, Ordering::SeqCst);
        }
        let _irq = IrqGuard::new();
        if cpu == cpu_id() {
            resched_ipi();
        } else if event::online(cpu)
            && let Some(sender) = x86_cpu::preempt::SEND_RESCHED.get()
        {
            sender.send(cpu);
        }
    }
    if let Some(hook) = CLOCK_SET.get() {
        hook.clock_set();
    }
}

/// When, in boot time, the first timer expires that wakes the machine. Any context but NMI.
pub fn next_alarm() -> Option<u64> {
    let mut first: Option<u64> = None;
    for base in (0..x86_cpu::MAX_CPUS as CpuId).filter_map(|cpu| BASE.on(cpu)) {
        let base = base.lock_irqsave();
        // In the order of expiry.
        let alarm = base.queue.iter().find(|(_, timer)| timer.as_ref().is_some_and(|timer| timer.clock.is_alarm()));
        if let Some((key, _)) = alarm {
            first = Some(first.map_or(key.0, |first| first.min(key.0)));
        }
    }
    first.map(|at| at.saturating_add_signed(timekeeper::boot_offset_ns()))
}

/// Timers queued on `cpu`, for `/proc/timer_list`-like reports.
pub fn queued(cpu: CpuId) -> usize {
    BASE.on(cpu).map_or(0, |base| base.lock_irqsave().queue.len())
}
