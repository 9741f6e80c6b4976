// SPDX-License-Identifier: GPL-2.0
//! A timer that expires five times, ten milliseconds apart, and then stops: loading the module waits for that and says how long it
//! took. The callback runs in an interrupt, so it counts, and wakes who waits; nothing more.

#![no_std]
#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{Arc, ArcBorrow, Completion};
use kernel::time::hrtimer::{
    ArcHrTimerHandle, HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerPointer, HrTimerRestart, RelativeMode,
    impl_has_hr_timer,
};
use kernel::time::{Delta, Instant, Monotonic};

module! {
    type: Timer,
    name: "rust_timer",
    authors: ["The Rideau developers"],
    description: "A timer that expires five times",
    license: "GPL",
}

const TICKS: u32 = 5;
const PERIOD: Delta = Delta::from_millis(10);

#[pin_data]
struct Ticker {
    #[pin]
    timer: HrTimer<Self>,
    #[pin]
    done: Completion,
    ticks: Atomic<u32>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Ticker {
        mode: RelativeMode<Monotonic>,
        field: self.timer
    }
}

impl HrTimerCallback for Ticker {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut ctx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        if this.ticks.fetch_add(1, Relaxed) + 1 < TICKS {
            ctx.forward_now(PERIOD);
            return HrTimerRestart::Restart;
        }
        this.done.complete_all();
        HrTimerRestart::NoRestart
    }
}

/// Dropping the handle stops the timer.
struct Timer {
    _handle: ArcHrTimerHandle<Ticker>,
}

impl kernel::Module for Timer {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let init = pin_init!(Ticker { timer <- HrTimer::new(), done <- Completion::new(), ticks: Atomic::new(0) });
        let ticker = Arc::pin_init(init, GFP_KERNEL)?;
        let begin = Instant::<Monotonic>::now();
        let handle = ticker.clone().start(PERIOD);
        ticker.done.wait_for_completion();
        pr_info!("{} ticks in {} ms\n", ticker.ticks.load(Relaxed), begin.elapsed().as_millis());
        Ok(Self { _handle: handle })
    }
}
