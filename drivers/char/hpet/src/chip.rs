// SPDX-License-Identifier: GPL-2.0
//! The registers. The counter runs since boot, and is the kernel's: only comparators that the kernel leaves are touched, each
//! with 32 bits and an interrupt of the I/O APIC that no device of the ISA bus has. Called by `dev`, and by interrupts.

use clocks::hpet_regs::*;
use core::sync::atomic::{AtomicBool, Ordering};
use irq::{IrqFlags, IrqRequest, IrqReturn, Trigger};
use kernel::hardware::{clocks, irq, irq_chip, locking, mm_alloc, sync, vfs};
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::Arc;
use locking::SpinLock;
use mm_alloc::MmioRegion;
use sync::{Mutex, WaitQueue};

/// Interrupts that devices of the ISA bus may have.
const LEGACY_LINES: u32 = 0xffff;
/// An interrupt is due at the earliest so many ticks from now are 10 microseconds.
const MARGIN_PER_SECOND: u64 = 100_000;

/// What changes of a comparator.
#[derive(Default)]
struct State {
    is_open: bool,
    /// Interrupts that nobody has read of.
    count: u64,
    /// Ticks from one interrupt to the next; 0: no program has said it.
    period: u32,
    /// They come.
    is_on: bool,
    /// The chip is to repeat them by itself.
    is_periodic: bool,
    /// When the next one is due, if it does not.
    next: u32,
}

/// A comparator.
struct Timer {
    state: SpinLock<State>,
    /// Its interrupt, while it is on.
    request: Mutex<Option<IrqRequest>>,
    wait: Arc<WaitQueue>,
    fasync: vfs::FasyncList,
}

/// The chip.
pub(crate) struct Chip {
    registers: MmioRegion,
    frequency: u64,
    timers: KVec<Timer>,
    /// The driver was unbound.
    is_gone: AtomicBool,
}

/// How many ticks, or interrupts a second, the one is of the other; rounded.
fn divide(frequency: u64, by: u64) -> u64 {
    frequency.saturating_add(by >> 1) / by.max(1)
}

/// When the interrupt after that of `last` is due: a period later, or when that is too near or gone, a period from `now` on.
fn after(last: u32, period: u32, now: u32, margin: u32) -> u32 {
    let next = last.wrapping_add(period);
    let left = next.wrapping_sub(now);
    // More than a period away is one that is gone.
    if left > period || left <= margin { now.wrapping_add(period.max(margin)) } else { next }
}

/// An open comparator; it is free again when this is dropped.
pub(crate) struct Open {
    pub(crate) chip: Arc<Chip>,
    at: usize,
}

impl Chip {
    /// The chip at this address, whose counter the kernel has switched on.
    pub(crate) fn new(address: u64) -> Result<Self> {
        let found = clocks::hpet_found().filter(|found| found.address == address).ok_or(ENODEV)?;
        let registers = MmioRegion::map(address, SIZE)?;
        let count = (registers.read32(CAPABILITIES) >> CAP_LAST_SHIFT & CAP_LAST_MASK) as usize + 1;
        let mut timers = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let timer = Timer {
                state: SpinLock::new(State::default()),
                request: Mutex::new(None),
                wait: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
                fasync: vfs::FasyncList::new(),
            };
            timers.push(timer, GFP_KERNEL)?;
        }
        Ok(Self { registers, frequency: found.frequency, timers, is_gone: AtomicBool::new(false) })
    }

    /// Says what there is.
    pub(crate) fn report(&self) {
        let (count, address) = (self.timers.len(), self.registers.phys());
        // The first two have the lines of the old timer and the clock when they have any; the others as firmware left them.
        let route = |at: usize| match at {
            0 => 2,
            1 => 8,
            _ => (self.config(at) & TIMER_ROUTE_MASK) >> TIMER_ROUTE_SHIFT,
        };
        let routes = core::fmt::from_fn(|f| {
            (0..count).try_for_each(|at| write!(f, "{}{}", if at == 0 { " " } else { ", " }, route(at)))
        });
        let plural = if count > 1 { "s" } else { "" };
        klog::pr_info!("hpet0: at MMIO {address:#x}, IRQ{plural}{routes}");
        let bits = if self.registers.read32(CAPABILITIES) & CAP_WIDE != 0 { 64 } else { 32 };
        let (whole, rest) = (self.frequency / 1_000_000, self.frequency % 1_000_000);
        klog::pr_info!("hpet0: {count} comparators, {bits}-bit {whole}.{rest:06} MHz counter");
    }

    fn config(&self, at: usize) -> u32 {
        self.registers.read32(timer_config(at))
    }

    fn set_config(&self, at: usize, value: u32) {
        self.registers.write32(timer_config(at), value);
    }

    fn set_comparator(&self, at: usize, value: u32) {
        self.registers.write32(timer_comparator(at), value);
    }

    fn now(&self) -> u32 {
        self.registers.read32(COUNTER)
    }

    fn margin(&self) -> u32 {
        (self.frequency / MARGIN_PER_SECOND) as u32
    }

    /// The first comparator that neither the kernel nor a program has. `EBUSY`.
    pub(crate) fn open(this: &Arc<Self>) -> Result<Open> {
        for (at, timer) in this.timers.iter().enumerate().skip(clocks::HPET_OWN_COMPARATORS) {
            let mut state = timer.state.lock_irqsave();
            if !state.is_open {
                *state = State { is_open: true, ..State::default() };
                return Ok(Open { chip: this.clone(), at });
            }
        }
        Err(EBUSY)
    }

    /// Whether it has no driver any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// The driver is unbound: nothing is touched any more when this returns, and who waits is told. May sleep.
    pub(crate) fn go(&self) {
        self.is_gone.store(true, Ordering::Release);
        for (at, timer) in self.timers.iter().enumerate() {
            self.switch_off(at, timer);
            timer.wait.wake_up_all();
        }
    }

    /// Stops interrupts of a comparator, if they are on. May sleep.
    fn switch_off(&self, at: usize, timer: &Timer) {
        let mut request = timer.request.lock();
        {
            let mut state = timer.state.lock_irqsave();
            if !core::mem::take(&mut state.is_on) {
                return;
            }
            self.set_config(at, self.config(at) & !TIMER_ENABLE);
        }
        // Waits for a handler that still runs.
        drop(request.take());
    }

    /// Takes an interrupt of the I/O APIC that the comparator can have; it does not fire meanwhile.
    fn request_line(this: &Arc<Self>, at: usize) -> Result<IrqRequest> {
        let name = CString::try_from_fmt(fmt!("hpet{at}"))?;
        let routes = this.registers.read32(timer_routes(at)) & !LEGACY_LINES;
        for line in (0..u32::BITS).filter(|line| routes & 1 << line != 0) {
            let config = this.config(at) & !(TIMER_ROUTE_MASK | TIMER_ENABLE | TIMER_PERIODIC | TIMER_MESSAGES)
                | TIMER_LEVEL
                | TIMER_32BIT;
            this.set_config(at, config | line << TIMER_ROUTE_SHIFT);
            // As far away as can be, and nothing left over.
            this.set_comparator(at, this.now());
            this.registers.write32(STATUS, 1 << at);
            let (chip, waker) = (this.clone(), this.clone());
            let handler = KBox::new(move |_: u32| chip.interrupt(at), GFP_KERNEL)?;
            let thread = KBox::new(move |_: u32| waker.signal(at), GFP_KERNEL)?;
            let trigger = Some((Trigger::Level, irq_chip::Polarity::Low));
            let flags = IrqFlags { shared: true, trigger, ..IrqFlags::default() };
            match irq::request_threaded_irq(line, name.to_bytes(), flags, Some(handler), thread) {
                Ok(request) => return Ok(request),
                Err(error) => klog::pr_err!("hpet: IRQ {line} is not free: {error}"),
            }
        }
        Err(EIO)
    }

    /// The hard handler.
    fn interrupt(&self, at: usize) -> IrqReturn {
        let Some(timer) = self.timers.get(at) else { return IrqReturn::None };
        let mut state = timer.state.lock_irqsave();
        if self.registers.read32(STATUS) & 1 << at == 0 {
            return IrqReturn::None;
        }
        if state.is_on {
            state.count += 1;
            if !state.is_periodic {
                state.next = after(state.next, state.period, self.now(), self.margin());
                self.set_comparator(at, state.next);
            }
        }
        self.registers.write32(STATUS, 1 << at);
        drop(state);
        timer.wait.wake_up_all();
        if timer.fasync.is_active() { IrqReturn::WakeThread } else { IrqReturn::Handled }
    }

    /// The thread.
    fn signal(&self, at: usize) {
        if let Some(timer) = self.timers.get(at) {
            timer.fasync.kill(kernel::uapi::POLL_IN);
        }
    }
}

impl Open {
    fn timer(&self) -> Result<&Timer> {
        if self.chip.is_gone() {
            return Err(ENODEV);
        }
        self.chip.timers.get(self.at).ok_or(ENODEV)
    }

    /// What waits for interrupts.
    pub(crate) fn wait_queue(&self) -> Option<&Arc<WaitQueue>> {
        self.chip.timers.get(self.at).map(|timer| &timer.wait)
    }

    /// Who wants signals.
    pub(crate) fn fasync(&self) -> Result<&vfs::FasyncList> {
        Ok(&self.chip.timers.get(self.at).ok_or(ENODEV)?.fasync)
    }

    /// `EIO` as long as no program said how many interrupts are to come.
    pub(crate) fn check(&self) -> Result {
        if self.timer()?.state.lock_irqsave().period == 0 { Err(EIO) } else { Ok(()) }
    }

    /// How many interrupts came since this was asked last.
    pub(crate) fn take(&self) -> Result<u64> {
        Ok(core::mem::take(&mut self.timer()?.state.lock_irqsave().count))
    }

    /// Whether some came.
    pub(crate) fn is_pending(&self) -> bool {
        self.timer().is_ok_and(|timer| {
            let state = timer.state.lock_irqsave();
            state.period != 0 && state.count != 0
        })
    }

    /// So many interrupts a second are to come, once they are switched on.
    pub(crate) fn set_frequency(&self, frequency: usize) -> Result {
        let ticks = divide(self.chip.frequency, frequency as u64);
        // What is due must be nearer than half the counter's way.
        self.timer()?.state.lock_irqsave().period = ticks.min(i32::MAX as u64) as u32;
        Ok(())
    }

    /// Interrupts a second, 0 if nobody said it; whether the chip can repeat them; the comparator's number.
    pub(crate) fn info(&self) -> Result<(u64, u32, usize)> {
        let period = self.timer()?.state.lock_irqsave().period;
        let frequency = if period == 0 { 0 } else { divide(self.chip.frequency, period.into()) };
        Ok((frequency, self.chip.config(self.at) & TIMER_PERIODIC_CAPABLE, self.at))
    }

    /// Whether the chip is to repeat interrupts by itself. `ENXIO`: it cannot.
    pub(crate) fn set_periodic(&self, on: bool) -> Result {
        let timer = self.timer()?;
        let mut state = timer.state.lock_irqsave();
        // One that goes has this lock after it has said so.
        if self.chip.is_gone() {
            return Err(ENODEV);
        }
        let config = self.chip.config(self.at);
        if config & TIMER_PERIODIC_CAPABLE == 0 {
            return Err(ENXIO);
        }
        if !on && state.is_periodic && config & TIMER_PERIODIC != 0 {
            self.chip.set_config(self.at, config & !TIMER_PERIODIC);
            // From here on the handler says when.
            state.next = self.chip.now().wrapping_add(state.period.max(self.chip.margin()));
            self.chip.set_comparator(self.at, state.next);
        }
        state.is_periodic = on;
        Ok(())
    }

    /// Lets interrupts come. `EIO`: nobody said how many, or there is no line; `EBUSY`: they come already. May sleep.
    pub(crate) fn switch_on(&self) -> Result {
        let timer = self.timer()?;
        self.check()?;
        let mut request = timer.request.lock();
        // One that goes has been here, or sees that they are on.
        if self.chip.is_gone() {
            return Err(ENODEV);
        }
        if timer.state.lock_irqsave().is_on {
            return Err(EBUSY);
        }
        *request = Some(Chip::request_line(&self.chip, self.at)?);
        let (chip, at) = (&*self.chip, self.at);
        let mut state = timer.state.lock_irqsave();
        state.is_on = true;
        let first = |now: u32| now.wrapping_add(state.period).wrapping_add(chip.margin());
        let config = chip.config(at) | TIMER_32BIT;
        if state.is_periodic {
            chip.set_config(at, config | TIMER_PERIODIC | TIMER_SET_VALUE);
            chip.set_comparator(at, first(chip.now()));
            chip.set_comparator(at, state.period);
            chip.registers.write32(STATUS, 1 << at);
            chip.set_config(at, config | TIMER_PERIODIC | TIMER_ENABLE);
        } else {
            let next = first(chip.now());
            state.next = next;
            chip.set_comparator(at, next);
            chip.registers.write32(STATUS, 1 << at);
            chip.set_config(at, config | TIMER_ENABLE);
        }
        Ok(())
    }

    /// No more interrupts. May sleep.
    pub(crate) fn switch_off(&self) -> Result {
        self.chip.switch_off(self.at, self.timer()?);
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(timer) = self.chip.timers.get(self.at) else { return };
        self.chip.switch_off(self.at, timer);
        let mut state = timer.state.lock_irqsave();
        // See `set_periodic`.
        if !self.chip.is_gone() {
            self.chip.set_config(self.at, self.chip.config(self.at) & !(TIMER_ENABLE | TIMER_PERIODIC));
        }
        *state = State::default();
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(hpet)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_frequency() {
        assert_eq!(divide(100_000_000, 64), 1_562_500);
        assert_eq!(divide(100_000_000, 1_562_500), 64);
        assert_eq!(divide(14_318_180, 3), 4_772_727);
        assert_eq!(divide(10, 100), 0);
    }

    #[test]
    fn interrupts_keep_their_distance() {
        // In time, also beyond the counter's end.
        assert_eq!(after(1000, 100, 1010, 10), 1100);
        assert_eq!(after(u32::MAX - 50, 100, u32::MAX - 40, 10), 49);
        // Too late for it, or nearly.
        assert_eq!(after(1000, 100, 1095, 10), 1195);
        assert_eq!(after(1000, 100, 1500, 10), 1600);
        // A period that nobody keeps pace with.
        assert_eq!(after(1000, 1, 2000, 10), 2010);
    }
}
