// SPDX-License-Identifier: GPL-2.0
//! KUnit tests of what happens later: delayed work, timers that a box has and such that are borrowed.

use crate::prelude::*;
use crate::sync::{Arc, ArcBorrow, Completion};
use crate::time::hrtimer::{
    AbsoluteMode, AbsolutePinnedSoftMode, HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerHandle,
    HrTimerPointer, HrTimerRestart, RelativeHardMode, RelativePinnedMode, RelativeSoftMode, ScopedHrTimerPointer,
    impl_has_hr_timer,
};
use crate::time::{Delta, Instant, Monotonic, msecs_to_jiffies};
use crate::workqueue::{self, DelayedWork, WorkItem, impl_has_delayed_work, new_delayed_work};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// What is done later, and told.
#[pin_data]
struct Later {
    #[pin]
    work: DelayedWork<Later>,
    #[pin]
    done: Completion,
    times: AtomicU32,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Later { self.work }
}

impl WorkItem for Later {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.times.fetch_add(1, SeqCst);
        this.done.complete_all();
    }
}

impl Later {
    fn new() -> Result<Arc<Self>> {
        let init = pin_init!(Self { work <- new_delayed_work!(), done <- Completion::new(), times: AtomicU32::new(0) });
        Arc::pin_init(init, GFP_KERNEL)
    }
}

/// A timer that counts to three.
macro_rules! ticker {
    ($name:ident, $mode:ty, $pointer:ty, $this:ty) => {
        #[pin_data]
        struct $name {
            #[pin]
            timer: HrTimer<Self>,
            #[pin]
            done: Completion,
            ticks: Arc<AtomicU32>,
        }

        impl_has_hr_timer! {
            impl HasHrTimer<Self> for $name { mode: $mode, field: self.timer }
        }

        impl $name {
            fn new(ticks: &Arc<AtomicU32>) -> impl PinInit<Self> {
                let ticks = ticks.clone();
                pin_init!(Self { timer <- HrTimer::new(), done <- Completion::new(), ticks })
            }
        }

        impl HrTimerCallback for $name {
            type Pointer<'a> = $pointer;

            fn run(this: $this, mut context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
                if this.ticks.fetch_add(1, SeqCst) < 2 {
                    context.forward_now(Delta::from_micros(50));
                    return HrTimerRestart::Restart;
                }
                this.done.complete_all();
                HrTimerRestart::NoRestart
            }
        }
    };
}

ticker!(Boxed, RelativePinnedMode<Monotonic>, Pin<KBox<Self>>, Pin<&mut Self>);
ticker!(Borrowed, RelativeHardMode<Monotonic>, Pin<&'a Self>, Pin<&Self>);
ticker!(Soft, RelativeSoftMode<Monotonic>, Arc<Self>, ArcBorrow<'_, Self>);
ticker!(SoftBoxed, AbsolutePinnedSoftMode<Monotonic>, Pin<KBox<Self>>, Pin<&mut Self>);
ticker!(AtOnce, AbsoluteMode<Monotonic>, Pin<&'a mut Self>, Pin<&mut Self>);

fn counter() -> Result<Arc<AtomicU32>> {
    Ok(Arc::new(AtomicU32::new(0), GFP_KERNEL)?)
}

#[macros::kunit_tests(rust_kernel_later)]
mod cases {
    use super::*;

    /// Not before its time, once however often it is queued while it waits, and again afterwards.
    #[test]
    fn delayed_work() -> Result {
        let later = Later::new()?;
        let begin = Instant::<Monotonic>::now();
        assert!(workqueue::system().enqueue_delayed(later.clone(), msecs_to_jiffies(20)).is_ok());
        assert!(workqueue::system().enqueue_delayed(later.clone(), msecs_to_jiffies(20)).is_err());
        assert!(workqueue::system().enqueue(later.clone()).is_err());
        assert_eq!(later.times.load(SeqCst), 0);
        later.done.wait_for_completion();
        // A jiffy is rounded up to: the last one has begun already.
        assert!(begin.elapsed() >= Delta::from_millis(15));
        assert_eq!(later.times.load(SeqCst), 1);
        // With no delay, and as plain work.
        for times in [2, 3] {
            let queued = match times {
                2 => workqueue::system().enqueue_delayed(later.clone(), 0),
                _ => workqueue::system().enqueue(later.clone()),
            };
            assert!(queued.is_ok());
            let mut tries = 0;
            while later.times.load(SeqCst) < times && tries < 2000 {
                crate::time::delay::fsleep(Delta::from_millis(1));
                tries += 1;
            }
            assert_eq!(later.times.load(SeqCst), times);
        }
        Ok(())
    }

    /// Work of a bottom half runs where nothing may sleep, and the same work elsewhere runs where it may.
    #[test]
    fn bottom_halves() -> Result {
        for (queue, expected) in
            [(workqueue::system_bh(), true), (workqueue::system_bh_highpri(), true), (workqueue::system(), false)]
        {
            let told = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
            let atomic = Arc::new(AtomicU32::new(9), GFP_KERNEL)?;
            let (tells, sees) = (told.clone(), atomic.clone());
            queue.try_spawn(GFP_KERNEL, move || {
                sees.store(x86_cpu::preempt::in_atomic().into(), SeqCst);
                tells.complete_all();
            })?;
            told.wait_for_completion();
            assert_eq!(atomic.load(SeqCst), u32::from(expected));
        }
        Ok(())
    }

    /// The handle has the box: dropping it stops the timer, and frees it.
    #[test]
    fn timers_in_boxes() -> Result {
        let ticks = counter()?;
        let handle = KBox::pin_init(Boxed::new(&ticks), GFP_KERNEL)?.start(Delta::from_micros(50));
        let mut tries = 0;
        while ticks.load(SeqCst) < 3 && tries < 2000 {
            crate::time::delay::fsleep(Delta::from_millis(1));
            tries += 1;
        }
        assert_eq!((ticks.load(SeqCst), Arc::strong_count(&ticks)), (3, 2));
        drop(handle);
        assert_eq!(Arc::strong_count(&ticks), 1);
        let mut handle = KBox::pin_init(Boxed::new(&ticks), GFP_KERNEL)?.start(Delta::from_secs(3600));
        assert!(handle.cancel());
        assert!(!handle.cancel());
        drop(handle);
        assert_eq!((ticks.load(SeqCst), Arc::strong_count(&ticks)), (3, 1));
        Ok(())
    }

    /// What is borrowed is given back stopped.
    #[test]
    fn timers_that_are_borrowed() -> Result {
        let ticks = counter()?;
        stack_pin_init!(let borrowed = Borrowed::new(&ticks));
        let seen = borrowed.as_ref().start_scoped(Delta::from_micros(50), || {
            borrowed.done.wait_for_completion();
            ticks.load(SeqCst)
        });
        assert_eq!(seen, 3);
        // One that does not expire before its scope ends never does.
        stack_pin_init!(let never = Borrowed::new(&ticks));
        never.as_ref().start_scoped(Delta::from_secs(3600), || {});
        assert_eq!(ticks.load(SeqCst), 3);
        // A time that is over expires at once.
        let others = counter()?;
        stack_pin_init!(let now = AtOnce::new(&others));
        let over = Instant::<Monotonic>::now();
        now.as_mut().start_scoped(over, || {
            let mut tries = 0;
            while others.load(SeqCst) < 3 && tries < 2000 {
                crate::time::delay::fsleep(Delta::from_millis(1));
                tries += 1;
            }
        });
        assert_eq!(others.load(SeqCst), 3);
        Ok(())
    }

    /// A callback in a thread: it goes on, is waited for, and one that was stopped is not called, however often it is started.
    #[test]
    fn soft_timers() -> Result {
        let ticks = counter()?;
        let soft = Arc::pin_init(Soft::new(&ticks), GFP_KERNEL)?;
        let mut handle = soft.clone().start(Delta::from_micros(50));
        soft.done.wait_for_completion();
        assert_eq!(ticks.load(SeqCst), 3);
        assert!(!handle.cancel());
        drop(handle);
        for _ in 0..50 {
            // At any point: before it expires, between that and its callback, or after it.
            let mut handle = soft.clone().start(Delta::from_micros(20));
            crate::time::delay::udelay(Delta::from_micros(20));
            handle.cancel();
            let now = ticks.load(SeqCst);
            crate::time::delay::udelay(Delta::from_micros(40));
            assert_eq!(ticks.load(SeqCst), now);
        }
        let mut handle = soft.clone().start(Delta::from_secs(3600));
        assert!(handle.cancel() && !handle.cancel());
        drop(handle);
        drop(soft);
        assert_eq!(Arc::strong_count(&ticks), 1);
        let begin = Instant::<Monotonic>::now() + Delta::from_micros(200);
        let others = counter()?;
        let handle = KBox::pin_init(SoftBoxed::new(&others), GFP_KERNEL)?.start(begin);
        let mut tries = 0;
        while others.load(SeqCst) < 3 && tries < 2000 {
            crate::time::delay::fsleep(Delta::from_millis(1));
            tries += 1;
        }
        assert!(Instant::<Monotonic>::now() > begin);
        drop(handle);
        assert_eq!((others.load(SeqCst), Arc::strong_count(&others)), (3, 1));
        Ok(())
    }
}
