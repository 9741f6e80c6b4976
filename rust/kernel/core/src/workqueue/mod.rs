// SPDX-License-Identifier: GPL-2.0
//! Work that is done later, where sleeping is allowed: `kernel::workqueue`, over `kernel/workqueue`. A [`Work`] is a field of what
//! the work is about; queueing gives that away until the work is done.
//!
//! ```
//! use kernel::sync::{Arc, Completion};
//! use kernel::workqueue::{self, Work, WorkItem, impl_has_work, new_work};
//!
//! #[pin_data]
//! struct Report {
//!     #[pin]
//!     work: Work<Report>,
//!     #[pin]
//!     sent: Completion,
//! }
//!
//! impl_has_work! {
//!     impl HasWork<Self> for Report { self.work }
//! }
//!
//! impl WorkItem for Report {
//!     type Pointer = Arc<Report>;
//!
//!     fn run(this: Arc<Report>) {
//!         this.sent.complete_all();
//!     }
//! }
//!
//! let report = pin_init!(Report { work <- new_work!(), sent <- Completion::new() });
//! let report = Arc::pin_init(report, GFP_KERNEL)?;
//! assert!(workqueue::system().enqueue(report.clone()).is_ok());
//! report.sent.wait_for_completion();
//! # Ok::<(), Error>(())
//! ```

mod delayed;

pub use crate::{impl_has_delayed_work, impl_has_work, new_delayed_work, new_work};
pub use delayed::{DelayedWork, HasDelayedWork, RawDelayedWorkItem};
#[doc(hidden)]
pub use kernel_base::work_item::Context;

use crate::sync::LockClassKey;
use crate::sync::aref::{ARef, AlwaysRefCounted};
use crate::time::{Jiffies, jiffies_to_nsecs};
use core::ffi::{CStr, c_void};
use core::marker::{PhantomData, PhantomPinned};
use core::pin::Pin;
use core::ptr::NonNull;
use kalloc::{AllocError, Arc, Flags, KBox};
use kernel_base::work_item::Item;
use pin_init::{PinInit, pin_data, pin_init};

/// A [`Work`], in place.
#[macro_export]
macro_rules! new_work {
    ($($name:literal)?) => {
        $crate::workqueue::Work::new($crate::optional_name!($($name)?), $crate::static_lock_class!())
    };
}

/// A queue of work. There is one pool of workers for each CPU behind all of them.
#[derive(Debug)]
pub struct Queue(Context);

impl Queue {
    /// Queues `w`. For an `Arc`: `Err` with it if it is queued already (or, seldom, if there is no memory). Any context but NMI.
    pub fn enqueue<W, const ID: u64>(&self, w: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        w.__enqueue(self.0)
    }

    /// As [`Self::enqueue`], `delay` ticks from now.
    pub fn enqueue_delayed<W, const ID: u64>(&self, w: W, delay: Jiffies) -> W::EnqueueOutput
    where
        W: RawDelayedWorkItem<ID> + Send + 'static,
    {
        w.__enqueue_delayed(jiffies_to_nsecs(delay), self.0)
    }

    /// Runs `func` once in a worker. May sleep now, unless `flags` say otherwise.
    pub fn try_spawn<T: FnOnce() + Send + 'static>(&self, flags: Flags, func: T) -> Result<(), AllocError> {
        let init = pin_init!(ClosureWork { work <- new_work!("Queue::try_spawn"), func: Some(func) });
        let closure = <KBox<_> as kalloc::InPlaceInit<_>>::try_pin_init::<AllocError>(
            pin_init::pin_init_scope(|| Ok(Infallibly(init))),
            flags,
        )?;
        self.enqueue(closure);
        Ok(())
    }
}

/// An initializer that cannot fail, where one that can is wanted.
struct Infallibly<I>(I);

// SAFETY: The initializer inside builds the value, and never fails.
unsafe impl<T, I: PinInit<T>> PinInit<T, AllocError> for Infallibly<I> {
    unsafe fn __pinned_init(self, slot: *mut T) -> Result<(), AllocError> {
        // SAFETY: The caller's contract is the same.
        match unsafe { self.0.__pinned_init(slot) } {
            Ok(()) => Ok(()),
            Err(never) => match never {},
        }
    }
}

#[pin_data]
struct ClosureWork<T> {
    #[pin]
    work: Work<ClosureWork<T>>,
    func: Option<T>,
}

impl<T: FnOnce() + 'static> WorkItem for ClosureWork<T> {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        // SAFETY: The function is not pinned.
        let func = unsafe { &mut this.as_mut().get_unchecked_mut().func };
        if let Some(func) = func.take() {
            func();
        }
    }
}

impl_has_work! {
    impl{T} HasWork<Self> for ClosureWork<T> { self.work }
}

/// What can be queued.
pub trait RawWorkItem<const ID: u64> {
    /// What queueing says.
    type EnqueueOutput;

    /// Queues it.
    fn __enqueue(self, context: Context) -> Self::EnqueueOutput;
}

/// What can be queued and comes back when the work is done.
///
/// # Safety
/// `run` takes back what `__enqueue` gave away.
pub unsafe trait WorkItemPointer<const ID: u64>: RawWorkItem<ID> {
    /// Runs the work of the object at `ptr`.
    ///
    /// # Safety
    /// `ptr` is what `__enqueue` gave away, once.
    unsafe fn run(ptr: *mut c_void);
}

/// What an [`Item`] calls.
fn run_of<P: WorkItemPointer<ID>, const ID: u64>(ptr: *mut c_void) {
    // SAFETY: The item calls this once with each object that was queued, and `__enqueue` alone queues any (`Work::item`).
    unsafe { P::run(ptr) };
}

/// An object with work.
pub trait WorkItem<const ID: u64 = 0> {
    /// How it is held.
    type Pointer: WorkItemPointer<ID>;

    /// The work.
    fn run(this: Self::Pointer);
}

/// A field that makes its object able to be queued.
#[pin_data]
pub struct Work<T: ?Sized, const ID: u64 = 0> {
    item: Item,
    #[pin]
    _pin: PhantomPinned,
    _inner: PhantomData<fn() -> *const T>,
}

impl<T: ?Sized, const ID: u64> Work<T, ID> {
    /// Work that is not queued. Use `new_work!`.
    pub fn new(_name: &'static CStr, _key: Pin<&'static LockClassKey>) -> impl PinInit<Self>
    where
        T: WorkItem<ID>,
    {
        Self::of_item(|| Item::new(run_of::<T::Pointer, ID>))
    }

    /// Work of what `item` makes.
    fn of_item(item: impl FnOnce() -> Item) -> impl PinInit<Self> {
        pin_init!(Self { item: item(), _pin: PhantomPinned, _inner: PhantomData })
    }

    /// What is queued: with what `__enqueue` gives away, and nothing else.
    pub(crate) fn item(&self) -> &Item {
        &self.item
    }
}

/// An object with a field of the type `Work<T, ID>`. Use `impl_has_work!`.
///
/// # Safety
/// The function gives the field of the object.
pub unsafe trait HasWork<T, const ID: u64 = 0> {
    /// The field of the object at `ptr`.
    ///
    /// # Safety
    /// `ptr` is valid.
    unsafe fn raw_get_work(ptr: *mut Self) -> *mut Work<T, ID>;
}

/// Says which field has the work: `impl_has_work! { impl HasWork<Self> for MyType { self.work } }`.
#[macro_export]
macro_rules! impl_has_work {
    ($(impl$({$($generics:tt)*})? HasWork<$work_type:ty $(, $id:tt)?> for $self:ty { self.$field:ident })*) => { $(
        // SAFETY: The field has this type, or this does not compile.
        unsafe impl$(<$($generics)+>)? $crate::workqueue::HasWork<$work_type $(, $id)?> for $self {
            #[inline]
            unsafe fn raw_get_work(ptr: *mut Self) -> *mut $crate::workqueue::Work<$work_type $(, $id)?> {
                // SAFETY: The caller says that `ptr` is valid.
                unsafe { &raw mut (*ptr).$field }
            }
        }
    )* };
}

impl<T, const ID: u64> RawWorkItem<ID> for Arc<T>
where
    T: WorkItem<ID, Pointer = Self> + HasWork<T, ID>,
{
    type EnqueueOutput = Result<(), Self>;

    fn __enqueue(self, context: Context) -> Result<(), Self> {
        let ptr = Arc::into_raw(self).cast_mut();
        // SAFETY: The reference just given away keeps the object; its work's `run` takes it back.
        let queued = unsafe { (*T::raw_get_work(ptr)).item().queue(ptr.cast(), context) };
        if queued {
            return Ok(());
        }
        // SAFETY: Nobody took it: it is ours still.
        Err(unsafe { Arc::from_raw(ptr) })
    }
}

// SAFETY: `run` takes back the reference that `__enqueue` gave away.
unsafe impl<T, const ID: u64> WorkItemPointer<ID> for Arc<T>
where
    T: WorkItem<ID, Pointer = Self> + HasWork<T, ID>,
{
    unsafe fn run(ptr: *mut c_void) {
        // SAFETY: The caller's contract.
        T::run(unsafe { Arc::from_raw(ptr.cast_const().cast()) });
    }
}

impl<T, const ID: u64> RawWorkItem<ID> for Pin<KBox<T>>
where
    T: WorkItem<ID, Pointer = Self> + HasWork<T, ID>,
{
    type EnqueueOutput = ();

    fn __enqueue(self, context: Context) {
        // SAFETY: The object stays where it is until `run` pins it again.
        let ptr = KBox::into_raw(unsafe { Pin::into_inner_unchecked(self) });
        // SAFETY: The object is valid; its work's `run` takes it back.
        let queued = unsafe { (*T::raw_get_work(ptr)).item().queue(ptr.cast(), context) };
        if !queued {
            // Nobody else has the box, so it was not queued: there was no memory. The work is done here and now.
            // SAFETY: Nobody took it.
            unsafe { <Self as WorkItemPointer<ID>>::run(ptr.cast()) };
        }
    }
}

// SAFETY: `run` takes back the box that `__enqueue` gave away.
unsafe impl<T, const ID: u64> WorkItemPointer<ID> for Pin<KBox<T>>
where
    T: WorkItem<ID, Pointer = Self> + HasWork<T, ID>,
{
    unsafe fn run(ptr: *mut c_void) {
        // SAFETY: The caller's contract.
        T::run(KBox::into_pin(unsafe { KBox::from_raw(ptr.cast()) }));
    }
}

impl<T, const ID: u64> RawWorkItem<ID> for ARef<T>
where
    T: AlwaysRefCounted + WorkItem<ID, Pointer = Self> + HasWork<T, ID>,
{
    type EnqueueOutput = Result<(), Self>;

    fn __enqueue(self, context: Context) -> Result<(), Self> {
        let ptr = ARef::into_raw(self);
        // SAFETY: The reference just given away keeps the object; its work's `run` takes it back.
        let queued = unsafe { (*T::raw_get_work(ptr.as_ptr())).item().queue(ptr.as_ptr().cast(), context) };
        if queued {
            return Ok(());
        }
        // SAFETY: Nobody took it: it is ours still.
        Err(unsafe { ARef::from_raw(ptr) })
    }
}

// SAFETY: `run` takes back the reference that `__enqueue` gave away.
unsafe impl<T, const ID: u64> WorkItemPointer<ID> for ARef<T>
where
    T: AlwaysRefCounted + WorkItem<ID, Pointer = Self> + HasWork<T, ID>,
{
    unsafe fn run(ptr: *mut c_void) {
        // SAFETY: The caller's contract; references are not null.
        T::run(unsafe { ARef::from_raw(NonNull::new_unchecked(ptr.cast())) });
    }
}

macro_rules! queues {
    ($($(#[$doc:meta])* $name:ident $context:ident;)*) => { $(
        $(#[$doc])*
        pub fn $name() -> &'static Queue {
            static QUEUE: Queue = Queue(Context::$context);
            &QUEUE
        }
    )* };
}
queues! {
    /// The usual queue.
    system Task;
    /// For work that should not wait for other work: here the workers' pools see to that.
    system_highpri Task;
    /// For work that takes long.
    system_long Task;
    /// For work that need not stay on its CPU.
    system_unbound Task;
    /// For work that stops when the machine sleeps.
    system_freezable Task;
    /// For work that may wait for the sake of power.
    system_power_efficient Task;
    /// Both of the above.
    system_freezable_power_efficient Task;
    /// For work that must not sleep, and is not interrupted by other work: a softirq's in Linux.
    system_bh BottomHalf;
    /// As [`system_bh`], before other such work; here the workers' pools see to that.
    system_bh_highpri BottomHalf;
}
