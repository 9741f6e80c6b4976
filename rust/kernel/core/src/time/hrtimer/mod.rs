// SPDX-License-Identifier: GPL-2.0
//! Timers with a callback: `kernel::time::hrtimer`, over `kernel/time`. An [`HrTimer`] is a field of what it is about; starting one
//! takes an `Arc` of that, and gives a handle that stops the timer when it is dropped. Callbacks run in an interrupt, or, in the soft
//! modes, in a worker with preemption off: they must not sleep. Stopping a soft timer may sleep.

mod pointers;

pub use crate::impl_has_hr_timer;
pub use kernel_base::time::hrtimer_mode::{
    AbsoluteHardMode, AbsoluteMode, AbsolutePinnedHardMode, AbsolutePinnedMode, AbsolutePinnedSoftMode,
    AbsoluteSoftMode, HrTimerExpires, HrTimerMode, RelativeHardMode, RelativeMode, RelativePinnedHardMode,
    RelativePinnedMode, RelativePinnedSoftMode, RelativeSoftMode,
};
pub use pointers::{
    BoxHrTimerHandle, PinHrTimerHandle, PinMutHrTimerHandle, ScopedHrTimerPointer, UnsafeHrTimerPointer,
};

use super::{ClockSource, Delta, Instant};
use core::ffi::c_void;
use core::marker::{PhantomData, PhantomPinned};
use core::pin::Pin;
use core::ptr::NonNull;
use kalloc::{Arc, ArcBorrow};
use kernel_base::time::hrtimer_raw::Raw;
use pin_init::{PinInit, pin_data, pin_init};

/// A point in time on the clock of the timer of `T`.
pub type HrTimerInstant<T> = Instant<<<T as HasHrTimer<T>>::TimerMode as HrTimerMode>::Clock>;

/// A field that is a timer of its object.
#[pin_data]
pub struct HrTimer<T> {
    raw: Raw,
    #[pin]
    _pin: PhantomPinned,
    _t: PhantomData<fn() -> *const T>,
}

impl<T> HrTimer<T> {
    /// A timer that is not started.
    pub fn new() -> impl PinInit<Self>
    where
        T: HrTimerCallback + HasHrTimer<T>,
    {
        let clock = <<T::TimerMode as HrTimerMode>::Clock as ClockSource>::CLOCK;
        pin_init!(Self {
            raw: Raw::new(clock, T::TimerMode::SOFT, run_of::<T::Pointer<'static>>),
            _pin: PhantomPinned,
            _t: PhantomData,
        })
    }

    /// Moves the expiry by whole intervals until it lies after `now`; how many. Does not start the timer.
    pub fn forward(self: Pin<&mut Self>, now: HrTimerInstant<T>, interval: Delta) -> u64
    where
        T: HasHrTimer<T>,
    {
        self.raw.forward(now.to_nanos(), interval.as_nanos())
    }

    /// As [`Self::forward`], from now.
    pub fn forward_now(self: Pin<&mut Self>, interval: Delta) -> u64
    where
        T: HasHrTimer<T>,
    {
        self.raw.forward_now(interval.as_nanos())
    }

    /// When it expires, or did.
    pub fn expires(&self) -> HrTimerInstant<T>
    where
        T: HasHrTimer<T>,
    {
        Instant::from_nanos(self.raw.expires())
    }
}

/// How an object with a timer is held while the timer runs.
pub trait RawHrTimerCallback {
    /// What the callback gets.
    type CallbackTarget<'a>;

    /// Calls the callback of the object at `ptr`; whether the timer goes on.
    ///
    /// # Safety
    /// `ptr` is what starting the timer kept, and the timer is the caller's.
    unsafe fn run(ptr: *mut c_void) -> bool;
}

/// What a [`Raw`] timer calls.
fn run_of<P: RawHrTimerCallback>(ptr: *mut c_void) -> bool {
    // SAFETY: The timer calls this with what starting it kept, until it is stopped; the object's handle has the timer, and this is the
    // only call of its callback.
    unsafe { P::run(ptr) }
}

/// An object with a timer.
pub trait HrTimerCallback {
    /// How it is held: an `Arc`, a pinned box, or a pinned reference.
    type Pointer<'a>: RawHrTimerCallback;

    /// The timer expired. Must not sleep.
    fn run(
        this: <Self::Pointer<'_> as RawHrTimerCallback>::CallbackTarget<'_>,
        ctx: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart
    where
        Self: Sized + HasHrTimer<Self>;
}

/// Says which field is the timer. Use `impl_has_hr_timer!`.
///
/// # Safety
/// The function gives the field of the object.
pub unsafe trait HasHrTimer<T> {
    /// How times are given.
    type TimerMode: HrTimerMode;

    /// The field of the object at `this`.
    ///
    /// # Safety
    /// `this` is valid.
    unsafe fn raw_get_timer(this: *const Self) -> *const HrTimer<T>;

    /// The object whose field is at `ptr`.
    ///
    /// # Safety
    /// `ptr` is the field of an object.
    unsafe fn timer_container_of(ptr: *mut HrTimer<T>) -> *mut Self
    where
        Self: Sized;
}

/// Whether a timer goes on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum HrTimerRestart {
    /// It is done.
    NoRestart = 0,
    /// It goes on at the time that it was forwarded to.
    Restart = 1,
}

/// What can be started as a timer.
pub trait HrTimerPointer: Sync + Sized {
    /// How times are given.
    type TimerMode: HrTimerMode;
    /// What stops it.
    type TimerHandle: HrTimerHandle;

    /// Starts the timer.
    fn start(self, expires: <Self::TimerMode as HrTimerMode>::Expires) -> Self::TimerHandle;
}

/// What stops a timer.
///
/// # Safety
/// After `cancel` the callback does not run.
pub unsafe trait HrTimerHandle {
    /// Stops the timer, and waits for its callback; whether it was waiting to expire.
    fn cancel(&mut self) -> bool;
}

/// A timer that holds an `Arc` runs. Dropping this stops it.
pub struct ArcHrTimerHandle<T: HasHrTimer<T>> {
    inner: Arc<T>,
}

impl<T> ArcHrTimerHandle<T>
where
    T: HasHrTimer<T>,
{
    fn timer(&self) -> &HrTimer<T> {
        // SAFETY: The object is valid, and the field is in it.
        unsafe { &*T::raw_get_timer(Arc::as_ptr(&self.inner)) }
    }
}

// SAFETY: The raw timer's cancel waits for the callback.
unsafe impl<T: HasHrTimer<T>> HrTimerHandle for ArcHrTimerHandle<T> {
    fn cancel(&mut self) -> bool {
        self.timer().raw.cancel()
    }
}

impl<T: HasHrTimer<T>> Drop for ArcHrTimerHandle<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T> HrTimerPointer for Arc<T>
where
    T: 'static + Send + Sync + HasHrTimer<T> + for<'a> HrTimerCallback<Pointer<'a> = Self>,
{
    type TimerMode = T::TimerMode;
    type TimerHandle = ArcHrTimerHandle<T>;

    fn start(self, expires: <T::TimerMode as HrTimerMode>::Expires) -> ArcHrTimerHandle<T> {
        let handle = ArcHrTimerHandle { inner: self };
        let object = Arc::as_ptr(&handle.inner).cast_mut().cast();
        // The handle keeps the object, and stops the timer before it goes.
        handle.timer().raw.start(object, <T::TimerMode as HrTimerMode>::RELATIVE, expires.as_nanos());
        handle
    }
}

impl<T> RawHrTimerCallback for Arc<T>
where
    T: 'static + HasHrTimer<T> + for<'a> HrTimerCallback<Pointer<'a> = Self>,
{
    type CallbackTarget<'a> = ArcBorrow<'a, T>;

    unsafe fn run(ptr: *mut c_void) -> bool {
        // SAFETY: The handle keeps the object while the timer runs (the caller's contract).
        let object: ArcBorrow<'_, T> = unsafe { Arc::borrow_raw(ptr.cast_const().cast()) };
        // SAFETY: The field of that object.
        let timer = unsafe { NonNull::new_unchecked(T::raw_get_timer(&raw const *object).cast_mut()) };
        T::run(object, HrTimerCallbackContext { timer, _p: PhantomData }) == HrTimerRestart::Restart
    }
}

/// What a callback may do to its timer.
///
/// # Invariants
/// The timer's callback is running.
pub struct HrTimerCallbackContext<'a, T: HasHrTimer<T>> {
    timer: NonNull<HrTimer<T>>,
    _p: PhantomData<&'a ()>,
}

impl<T: HasHrTimer<T>> HrTimerCallbackContext<'_, T> {
    /// Moves the expiry by whole intervals until it lies after `now`; how many. The callback then returns `Restart`.
    pub fn forward(&mut self, now: HrTimerInstant<T>, interval: Delta) -> u64 {
        // SAFETY: The timer is valid while its callback runs.
        unsafe { self.timer.as_ref() }.raw.forward(now.to_nanos(), interval.as_nanos())
    }

    /// As [`Self::forward`], from now.
    pub fn forward_now(&mut self, interval: Delta) -> u64 {
        // SAFETY: The timer is valid while its callback runs.
        unsafe { self.timer.as_ref() }.raw.forward_now(interval.as_nanos())
    }
}

/// Says which field is the timer:
/// `impl_has_hr_timer! { impl HasHrTimer<Self> for T { mode: RelativeMode<Monotonic>, field: self.timer } }`.
#[macro_export]
macro_rules! impl_has_hr_timer {
    (
        impl$({$($generics:tt)*})? HasHrTimer<$timer_type:ty> for $self:ty {
            mode : $mode:ty,
            field : self.$field:ident $(,)?
        }
        $($rest:tt)*
    ) => {
        // SAFETY: The field has this type, or this does not compile.
        unsafe impl$(<$($generics)*>)? $crate::time::hrtimer::HasHrTimer<$timer_type> for $self {
            type TimerMode = $mode;

            #[inline]
            unsafe fn raw_get_timer(this: *const Self) -> *const $crate::time::hrtimer::HrTimer<$timer_type> {
                // SAFETY: The caller says that `this` is valid.
                unsafe { &raw const (*this).$field }
            }

            #[inline]
            unsafe fn timer_container_of(ptr: *mut $crate::time::hrtimer::HrTimer<$timer_type>) -> *mut Self {
                ptr.cast::<u8>().wrapping_sub(::core::mem::offset_of!(Self, $field)).cast()
            }
        }
    };
}
