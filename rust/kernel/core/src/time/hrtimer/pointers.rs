// SPDX-License-Identifier: GPL-2.0
//! Objects with a timer in a box, or borrowed: how they are started, and the handles that stop them.

use super::{
    HasHrTimer, HrTimer, HrTimerCallback, HrTimerCallbackContext, HrTimerExpires, HrTimerHandle, HrTimerMode,
    HrTimerPointer, HrTimerRestart, RawHrTimerCallback,
};
use crate::alloc::{Allocator, Box};
use core::ffi::c_void;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;

/// What can be started as a timer if the handle is dropped: what is borrowed.
///
/// # Safety
/// The handle's `drop` stops the timer, and waits for its callback.
pub unsafe trait UnsafeHrTimerPointer: Sync + Sized {
    /// How times are given.
    type TimerMode: HrTimerMode;
    /// What stops it.
    type TimerHandle: HrTimerHandle;

    /// Starts the timer.
    ///
    /// # Safety
    /// The handle is dropped before what is borrowed goes, and not forgotten.
    unsafe fn start(self, expires: <Self::TimerMode as HrTimerMode>::Expires) -> Self::TimerHandle;
}

/// What can be started as a timer for as long as a function runs.
///
/// # Safety
/// The timer does not run any more when [`Self::start_scoped`] returns.
pub unsafe trait ScopedHrTimerPointer {
    /// How times are given.
    type TimerMode: HrTimerMode;

    /// Starts the timer, calls `f`, and stops the timer.
    fn start_scoped<T, F>(self, expires: <Self::TimerMode as HrTimerMode>::Expires, f: F) -> T
    where
        F: FnOnce() -> T;
}

// SAFETY: The handle is dropped, which stops the timer.
unsafe impl<P: UnsafeHrTimerPointer> ScopedHrTimerPointer for P {
    type TimerMode = P::TimerMode;

    fn start_scoped<T, F>(self, expires: <P::TimerMode as HrTimerMode>::Expires, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        // SAFETY: The handle goes at the end of this function, before what was borrowed for it.
        let handle = unsafe { self.start(expires) };
        let result = f();
        drop(handle);
        result
    }
}

/// The timer of an object.
///
/// # Safety
/// The object is there for `'a`.
unsafe fn timer_of<'a, T: HasHrTimer<T>>(object: NonNull<T>) -> &'a HrTimer<T> {
    // SAFETY: The caller's contract; the field is in it, and is accessed through shared references alone.
    unsafe { &*T::raw_get_timer(object.as_ptr()) }
}

/// Starts the timer of an object.
///
/// # Safety
/// The object is there until the timer is stopped, and `T::Pointer` is how its callback gets it.
unsafe fn start<T: HasHrTimer<T>>(object: NonNull<T>, expires: <T::TimerMode as HrTimerMode>::Expires) {
    let relative = <T::TimerMode as HrTimerMode>::RELATIVE;
    // SAFETY: The caller's contract.
    unsafe { timer_of(object).raw.start(object.as_ptr().cast(), relative, expires.as_nanos()) };
}

/// What the callback of the object at `ptr` gets beside it.
///
/// # Safety
/// `ptr` is what [`start`] was given, and the callback is running.
unsafe fn context<'a, T: HasHrTimer<T>>(ptr: *mut c_void) -> HrTimerCallbackContext<'a, T> {
    // SAFETY: The caller's contract.
    let timer = unsafe { NonNull::new_unchecked(T::raw_get_timer(ptr.cast::<T>()).cast_mut()) };
    HrTimerCallbackContext { timer, _p: PhantomData }
}

/// A timer runs whose object is in a box, which this has. Dropping it stops the timer.
pub struct BoxHrTimerHandle<T: HasHrTimer<T>, A: Allocator> {
    object: NonNull<T>,
    _box: PhantomData<Box<T, A>>,
}

// SAFETY: It has a box that can be sent; the timer's interrupt gets the object on any CPU.
unsafe impl<T: HasHrTimer<T> + Send, A: Allocator> Send for BoxHrTimerHandle<T, A> {}
// SAFETY: A shared reference gives nothing.
unsafe impl<T: HasHrTimer<T> + Sync, A: Allocator> Sync for BoxHrTimerHandle<T, A> {}

// SAFETY: The raw timer's cancel waits for the callback.
unsafe impl<T: HasHrTimer<T>, A: Allocator> HrTimerHandle for BoxHrTimerHandle<T, A> {
    fn cancel(&mut self) -> bool {
        // SAFETY: The object is there as long as this is.
        unsafe { timer_of(self.object) }.raw.cancel()
    }
}

impl<T: HasHrTimer<T>, A: Allocator> Drop for BoxHrTimerHandle<T, A> {
    fn drop(&mut self) {
        self.cancel();
        // SAFETY: It came out of a box in `start`, and nobody uses it any more.
        drop(unsafe { Box::<T, A>::from_raw(self.object.as_ptr()) });
    }
}

impl<T, A> HrTimerPointer for Pin<Box<T, A>>
where
    T: 'static + Send + Sync + HasHrTimer<T> + for<'a> HrTimerCallback<Pointer<'a> = Self>,
    A: Allocator,
{
    type TimerMode = T::TimerMode;
    type TimerHandle = BoxHrTimerHandle<T, A>;

    fn start(self, expires: <T::TimerMode as HrTimerMode>::Expires) -> BoxHrTimerHandle<T, A> {
        // SAFETY: The object is not moved: the handle keeps it where it is until it drops it. A box is not null.
        let object = unsafe { NonNull::new_unchecked(Box::into_raw(Pin::into_inner_unchecked(self))) };
        // SAFETY: The handle stops the timer before it drops the object.
        unsafe { start(object, expires) };
        BoxHrTimerHandle { object, _box: PhantomData }
    }
}

impl<T, A> RawHrTimerCallback for Pin<Box<T, A>>
where
    T: 'static + HasHrTimer<T> + for<'a> HrTimerCallback<Pointer<'a> = Self>,
    A: Allocator,
{
    type CallbackTarget<'a> = Pin<&'a mut T>;

    unsafe fn run(ptr: *mut c_void) -> bool {
        // SAFETY: The handle has the object, and does not touch it while the timer runs (the caller's contract).
        let (object, context) = unsafe { (Pin::new_unchecked(&mut *ptr.cast::<T>()), context::<T>(ptr)) };
        T::run(object, context) == HrTimerRestart::Restart
    }
}

/// A timer runs whose object is borrowed. Dropping this stops it.
pub struct PinHrTimerHandle<'a, T: HasHrTimer<T>> {
    object: Pin<&'a T>,
}

// SAFETY: The raw timer's cancel waits for the callback.
unsafe impl<T: HasHrTimer<T>> HrTimerHandle for PinHrTimerHandle<'_, T> {
    fn cancel(&mut self) -> bool {
        // SAFETY: The object is borrowed.
        unsafe { timer_of(NonNull::from(self.object.get_ref())) }.raw.cancel()
    }
}

impl<T: HasHrTimer<T>> Drop for PinHrTimerHandle<'_, T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

// SAFETY: The handle's `drop` cancels.
unsafe impl<'a, T> UnsafeHrTimerPointer for Pin<&'a T>
where
    T: Send + Sync + HasHrTimer<T> + HrTimerCallback<Pointer<'a> = Self>,
{
    type TimerMode = T::TimerMode;
    type TimerHandle = PinHrTimerHandle<'a, T>;

    unsafe fn start(self, expires: <T::TimerMode as HrTimerMode>::Expires) -> PinHrTimerHandle<'a, T> {
        // SAFETY: The object is borrowed as long as the handle is there, which stops the timer.
        unsafe { start(NonNull::from(self.get_ref()), expires) };
        PinHrTimerHandle { object: self }
    }
}

impl<'a, T: HasHrTimer<T> + HrTimerCallback<Pointer<'a> = Self>> RawHrTimerCallback for Pin<&'a T> {
    type CallbackTarget<'b> = Self;

    unsafe fn run(ptr: *mut c_void) -> bool {
        // SAFETY: The object is borrowed as long as the timer runs (the caller's contract).
        let (object, context) = unsafe { (Pin::new_unchecked(&*ptr.cast::<T>()), context::<T>(ptr)) };
        T::run(object, context) == HrTimerRestart::Restart
    }
}

/// A timer runs whose object is borrowed mutably. Dropping this stops it.
pub struct PinMutHrTimerHandle<'a, T: HasHrTimer<T>> {
    object: NonNull<T>,
    _object: PhantomData<&'a mut T>,
}

// SAFETY: The raw timer's cancel waits for the callback.
unsafe impl<T: HasHrTimer<T>> HrTimerHandle for PinMutHrTimerHandle<'_, T> {
    fn cancel(&mut self) -> bool {
        // SAFETY: The object is borrowed.
        unsafe { timer_of(self.object) }.raw.cancel()
    }
}

impl<T: HasHrTimer<T>> Drop for PinMutHrTimerHandle<'_, T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

// SAFETY: The handle's `drop` cancels.
unsafe impl<'a, T> UnsafeHrTimerPointer for Pin<&'a mut T>
where
    T: Send + Sync + HasHrTimer<T> + HrTimerCallback<Pointer<'a> = Self>,
{
    type TimerMode = T::TimerMode;
    type TimerHandle = PinMutHrTimerHandle<'a, T>;

    unsafe fn start(self, expires: <T::TimerMode as HrTimerMode>::Expires) -> PinMutHrTimerHandle<'a, T> {
        // SAFETY: It is not moved.
        let object = NonNull::from(unsafe { self.get_unchecked_mut() });
        // SAFETY: The object is borrowed as long as the handle is there, which stops the timer.
        unsafe { start(object, expires) };
        PinMutHrTimerHandle { object, _object: PhantomData }
    }
}

impl<'a, T: HasHrTimer<T> + HrTimerCallback<Pointer<'a> = Self>> RawHrTimerCallback for Pin<&'a mut T> {
    type CallbackTarget<'b> = Self;

    unsafe fn run(ptr: *mut c_void) -> bool {
        // SAFETY: The object is borrowed mutably by the handle, which does not touch it while the timer runs.
        let (object, context) = unsafe { (Pin::new_unchecked(&mut *ptr.cast::<T>()), context::<T>(ptr)) };
        T::run(object, context) == HrTimerRestart::Restart
    }
}
