// SPDX-License-Identifier: GPL-2.0
//! Work that is done after a while.
//!
//! ```
//! use kernel::sync::Arc;
//! use kernel::time::msecs_to_jiffies;
//! use kernel::workqueue::{self, DelayedWork, WorkItem, impl_has_delayed_work, new_delayed_work};
//!
//! #[pin_data]
//! struct Watchdog {
//!     port: u32,
//!     #[pin]
//!     work: DelayedWork<Watchdog>,
//! }
//!
//! impl_has_delayed_work! {
//!     impl HasDelayedWork<Self> for Watchdog { self.work }
//! }
//!
//! impl WorkItem for Watchdog {
//!     type Pointer = Arc<Self>;
//!
//!     fn run(this: Arc<Self>) {
//!         pr_warn!("port {} is silent\n", this.port);
//!     }
//! }
//!
//! let init = pin_init!(Watchdog { port: 3, work <- new_delayed_work!("Watchdog::work") });
//! let watchdog = Arc::pin_init(init, GFP_KERNEL)?;
//! let _ = workqueue::system().enqueue_delayed(watchdog, msecs_to_jiffies(500));
//! # Ok::<(), Error>(())
//! ```

use super::{Context, HasWork, RawWorkItem, Work, WorkItem, WorkItemPointer, run_of};
use crate::sync::LockClassKey;
use crate::sync::aref::{ARef, AlwaysRefCounted};
use core::ffi::CStr;
use core::pin::Pin;
use kalloc::{Arc, KBox};
use kernel_base::work_item::Item;
use pin_init::{PinInit, pin_data, pin_init};

/// A [`DelayedWork`], in place.
#[macro_export]
macro_rules! new_delayed_work {
    ($($name:literal)?) => {
        $crate::workqueue::DelayedWork::new(
            $crate::optional_name!($($name)?),
            $crate::static_lock_class!(),
            $crate::optional_name!($($name)?),
            $crate::static_lock_class!(),
        )
    };
}

/// A field that makes its object able to be queued, at once or after a while.
#[pin_data]
#[repr(transparent)]
pub struct DelayedWork<T: ?Sized, const ID: u64 = 0> {
    #[pin]
    work: Work<T, ID>,
}

impl<T: ?Sized, const ID: u64> DelayedWork<T, ID> {
    /// Work that is not queued. Use `new_delayed_work!`.
    pub fn new(
        _work_name: &'static CStr,
        _work_key: Pin<&'static LockClassKey>,
        _timer_name: &'static CStr,
        _timer_key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self>
    where
        T: WorkItem<ID>,
    {
        let item = || Item::new(run_of::<T::Pointer, ID>).with_timer();
        pin_init!(Self { work <- Work::of_item(item) })
    }

    /// The work.
    ///
    /// # Safety
    /// `me` is one.
    #[doc(hidden)]
    pub unsafe fn raw_as_work(me: *mut Self) -> *mut Work<T, ID> {
        me.cast()
    }
}

/// An object with a field of the type `DelayedWork<T, ID>`. Use `impl_has_delayed_work!`.
///
/// # Safety
/// [`HasWork::raw_get_work`] gives what is in that field.
pub unsafe trait HasDelayedWork<T, const ID: u64 = 0>: HasWork<T, ID> {}

/// Says which field has the work: `impl_has_delayed_work! { impl HasDelayedWork<Self> for MyType { self.work } }`.
#[macro_export]
macro_rules! impl_has_delayed_work {
    ($(impl$({$($generics:tt)*})? HasDelayedWork<$work_type:ty $(, $id:tt)?> for $self:ty { self.$field:ident })*) => { $(
        // SAFETY: The field has this type, or the function below does not compile.
        unsafe impl$(<$($generics)+>)? $crate::workqueue::HasDelayedWork<$work_type $(, $id)?> for $self {}

        // SAFETY: As above.
        unsafe impl$(<$($generics)+>)? $crate::workqueue::HasWork<$work_type $(, $id)?> for $self {
            #[inline]
            unsafe fn raw_get_work(ptr: *mut Self) -> *mut $crate::workqueue::Work<$work_type $(, $id)?> {
                // SAFETY: The caller says that `ptr` is valid.
                unsafe {
                    let field: *mut $crate::workqueue::DelayedWork<$work_type $(, $id)?> = &raw mut (*ptr).$field;
                    $crate::workqueue::DelayedWork::raw_as_work(field)
                }
            }
        }
    )* };
}

/// What can be queued for later.
///
/// # Safety
/// The work is in a [`DelayedWork`].
pub unsafe trait RawDelayedWorkItem<const ID: u64>: RawWorkItem<ID> {
    /// Queues it in so many nanoseconds.
    #[doc(hidden)]
    fn __enqueue_delayed(self, nanos: u64, context: Context) -> Self::EnqueueOutput;
}

// SAFETY: By the contract of `HasDelayedWork`.
unsafe impl<T, const ID: u64> RawDelayedWorkItem<ID> for Arc<T>
where
    T: WorkItem<ID, Pointer = Self> + HasDelayedWork<T, ID>,
{
    fn __enqueue_delayed(self, nanos: u64, context: Context) -> Result<(), Self> {
        let ptr = Arc::into_raw(self).cast_mut();
        // SAFETY: The reference just given away keeps the object; its work's `run` takes it back.
        let queued = unsafe { (*T::raw_get_work(ptr)).item().queue_after(ptr.cast(), nanos, context) };
        if queued {
            return Ok(());
        }
        // SAFETY: Nobody took it: it is ours still.
        Err(unsafe { Arc::from_raw(ptr) })
    }
}

// SAFETY: By the contract of `HasDelayedWork`.
unsafe impl<T, const ID: u64> RawDelayedWorkItem<ID> for Pin<KBox<T>>
where
    T: WorkItem<ID, Pointer = Self> + HasDelayedWork<T, ID>,
{
    fn __enqueue_delayed(self, nanos: u64, context: Context) {
        // SAFETY: The object stays where it is until `run` pins it again.
        let ptr = KBox::into_raw(unsafe { Pin::into_inner_unchecked(self) });
        // SAFETY: The object is valid; its work's `run` takes it back.
        let queued = unsafe { (*T::raw_get_work(ptr)).item().queue_after(ptr.cast(), nanos, context) };
        if !queued {
            // Nobody else has the box, so it was not queued: there was no memory. The work is done here and now.
            // SAFETY: Nobody took it.
            unsafe { <Self as WorkItemPointer<ID>>::run(ptr.cast()) };
        }
    }
}

// SAFETY: By the contract of `HasDelayedWork`.
unsafe impl<T, const ID: u64> RawDelayedWorkItem<ID> for ARef<T>
where
    T: AlwaysRefCounted + WorkItem<ID, Pointer = Self> + HasDelayedWork<T, ID>,
{
    fn __enqueue_delayed(self, nanos: u64, context: Context) -> Result<(), Self> {
        let ptr = ARef::into_raw(self);
        // SAFETY: The reference just given away keeps the object; its work's `run` takes it back.
        let queued =
            unsafe { (*T::raw_get_work(ptr.as_ptr())).item().queue_after(ptr.as_ptr().cast(), nanos, context) };
        if queued {
            return Ok(());
        }
        // SAFETY: Nobody took it: it is ours still.
        Err(unsafe { ARef::from_raw(ptr) })
    }
}
