// SPDX-License-Identifier: GPL-2.0
//! `Operations`: what a driver implements.

use super::driver::{Calls, Slot};
use super::request::Request;
use crate::build_error;
use crate::error::{Result, VTABLE_DEFAULT_ERROR};
use crate::macros::vtable;
use crate::sync::aref::ARef;
use crate::types::ForeignOwnable;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;

type Borrowed<'a, T> = <T as ForeignOwnable>::Borrowed<'a>;

/// A driver of block devices. None of it may sleep.
#[vtable]
pub trait Operations: Sized {
    /// What the driver keeps for a disk.
    type QueueData: ForeignOwnable + Sync;

    /// Starts a request. With `is_last` false others follow at once, and the hardware may be told of them together. An error ends
    /// the request, but `ENOMEM` and `EBUSY`: then it is tried again later.
    fn queue_rq(queue_data: Borrowed<'_, Self::QueueData>, rq: ARef<Request<Self>>, is_last: bool) -> Result;

    /// The hardware is to be told of what was queued.
    fn commit_rqs(queue_data: Borrowed<'_, Self::QueueData>);

    /// A request that was given to [`Request::complete`] is to be ended.
    fn complete(rq: ARef<Request<Self>>);

    /// Looks for requests that are done, on queues that are polled.
    fn poll() -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The functions of `T` for [`super::driver::Driver`].
pub(super) struct CallsOf<T>(PhantomData<T>);

impl<T: Operations> CallsOf<T> {
    pub(super) const CALLS: Calls = Calls { queue_rq: Self::queue_rq, commit_rqs: Self::commit_rqs };

    /// # Safety
    /// `data` is a `T::QueueData` that was given away; `slot` is one of a disk of `T`, just started, and one of its two counts is this
    /// call's.
    unsafe fn queue_rq(data: *mut c_void, slot: NonNull<Slot>, is_last: bool) -> Result {
        // SAFETY: A `Request<T>` is a slot; the count is handed on.
        let request = unsafe { ARef::from_raw(slot.cast::<Request<T>>()) };
        // SAFETY: The disk is there during the call, and with it its data.
        T::queue_rq(unsafe { T::QueueData::borrow(data) }, request, is_last)
    }

    /// # Safety
    /// `data` is a `T::QueueData` that was given away.
    unsafe fn commit_rqs(data: *mut c_void) {
        // SAFETY: As in `queue_rq`.
        T::commit_rqs(unsafe { T::QueueData::borrow(data) });
    }
}
