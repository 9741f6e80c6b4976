// SPDX-License-Identifier: GPL-2.0
//! Resources that a driver has as long as it is bound: `kernel::devres`, over the list that a device keeps (`drivers/base/core`).
//!
//! [`Devres`] is a resource that may be kept longer than that, but not used: it is dropped when the driver is unbound, or with the
//! `Devres`, whatever is first. [`register`] hands a resource over altogether.

#[cfg(CONFIG_KUNIT = "y")]
mod tests;

use crate::alloc::Flags;
use crate::device::{Bound, Device};
use crate::error::{Error, Result, code::*};
use crate::revocable::{Revocable, RevocableGuard};
use crate::sync::aref::ARef;
use crate::sync::{Completion, rcu};
use crate::types::{CovariantForLt, ForLt};
use core::ops::Deref;
use core::pin::Pin;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, InPlaceInit, KBox};
use pin_init::{PinInit, pin_data, pin_init_from_closure};

/// What the device and the [`Devres`] share.
#[pin_data]
struct Inner<T> {
    #[pin]
    data: Revocable<T>,
    /// The resource is dropped.
    #[pin]
    revoked: Completion,
}

impl<T> Inner<T> {
    fn new(data: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        crate::try_pin_init!(Self { data <- Revocable::new(data), revoked <- Completion::new() })
    }

    /// The driver is unbound: drops the resource, or waits for who just does. May sleep.
    fn revoke(&self) {
        if self.data.revoke() {
            self.revoked.complete_all();
        } else {
            self.revoked.wait_for_completion();
        }
    }
}

/// What the device keeps.
struct Node<T>(Arc<Inner<T>>);

// SAFETY: The one thing that is done with it is to drop it, which drops the resource: `T` may be dropped in any thread.
unsafe impl<T: Send> Send for Node<T> {}
// SAFETY: Nothing of the resource can be reached through a shared reference.
unsafe impl<T: Send> Sync for Node<T> {}

impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        self.0.revoke();
    }
}

/// A resource of a device, for as long as a driver is bound to that.
///
/// When the driver is unbound the resource is taken back: who uses it just then is waited for, and later comers get nothing.
/// Dropping the `Devres` drops the resource too; either way it is dropped completely when that returns.
pub struct Devres<T: Send + 'static> {
    device: ARef<Device>,
    inner: Arc<Inner<T>>,
}

// SAFETY: It may drop the resource in any thread, and shows it only where `T: Sync`.
unsafe impl<T: Send> Send for Devres<T> {}
// SAFETY: It shows the resource to several threads only if that may be.
unsafe impl<T: Send + Sync> Sync for Devres<T> {}

impl<T: Send + 'static> Devres<T> {
    /// Builds the resource and notes it with the device. `ENOMEM`, or what the initializer says. May sleep.
    pub fn new<E>(dev: &Device<Bound>, data: impl PinInit<T, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        let build = move |slot: *mut T| {
            // SAFETY: The slot is what we were given, under the same contract.
            unsafe { data.__pinned_init(slot) }.map_err(Error::from)
        };
        // SAFETY: The inner initializer builds the value or leaves nothing behind; so does this one.
        let data = unsafe { pin_init_from_closure::<T, Error>(build) };
        let inner = Arc::pin_init::<Error>(Inner::new(data), GFP_KERNEL)?;
        let node = KBox::new(Node(inner.clone()), GFP_KERNEL)?;
        dev.core().add_resource(node)?;
        Ok(Self { device: dev.into(), inner })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The resource, without looking: `dev` shows that the driver is still bound. `EINVAL` if it is another device.
    pub fn access<'a>(&'a self, dev: &'a Device<Bound>) -> Result<&'a T> {
        if !core::ptr::eq::<::device::Device>(self.device.core(), dev.core()) {
            return Err(EINVAL);
        }
        // SAFETY: It is revoked by who drops this, which is borrowed, or when the driver is unbound, which it is not for `'a`.
        Ok(unsafe { self.inner.data.access() })
    }

    /// The resource, for a short time in which nothing sleeps; `None` once it was taken back.
    pub fn try_access(&self) -> Option<RevocableGuard<'_, T>> {
        self.inner.data.try_access()
    }

    /// Calls `f` with the resource; `None` once it was taken back. `f` does not sleep.
    pub fn try_access_with<R, F: FnOnce(&T) -> R>(&self, f: F) -> Option<R> {
        self.inner.data.try_access_with(f)
    }

    /// As [`Self::try_access`] in a section that the caller has.
    pub fn try_access_with_guard<'a>(&'a self, guard: &'a rcu::Guard) -> Option<&'a T> {
        self.inner.data.try_access_with_guard(guard)
    }
}

impl<T: Send + 'static> Drop for Devres<T> {
    fn drop(&mut self) {
        // SAFETY: Who uses the resource borrows this value; so nobody does.
        if unsafe { self.inner.data.revoke_nosync() } {
            self.inner.revoked.complete_all();
        } else {
            self.inner.revoked.wait_for_completion();
        }
        let is_ours = |resource: &::device::Resource| {
            (**resource).downcast_ref::<Node<T>>().is_some_and(|node| Arc::ptr_eq(&node.0, &self.inner))
        };
        // Gone already if the driver was unbound first.
        drop(self.device.core().take_resource(is_ours));
    }
}

/// The resource of a [`DevresLt`], for a short time.
pub struct DevresGuard<'a, F: CovariantForLt>(RevocableGuard<'a, F::Of<'static>>);

impl<'a, F: CovariantForLt> Deref for DevresGuard<'a, F> {
    type Target = F::Of<'a>;

    fn deref(&self) -> &Self::Target {
        F::cast_ref(&*self.0)
    }
}

/// As [`Devres`], for a resource that borrows what is there as long as the driver is bound.
pub struct DevresLt<F: ForLt>(Devres<F::Of<'static>>)
where
    for<'a> F::Of<'a>: Send;

impl<F: ForLt> DevresLt<F>
where
    for<'a> F::Of<'a>: Send,
{
    /// As [`Devres::new`].
    ///
    /// # Safety
    /// What the resource borrows stays until the driver is unbound, which may be after `'a`.
    pub unsafe fn new<'a, E>(dev: &'a Device<Bound>, data: impl PinInit<F::Of<'a>, E>) -> Result<Self>
    where
        Error: From<E>,
    {
        let build = move |slot: *mut F::Of<'static>| {
            // SAFETY: The slot is what we were given; types that differ in a lifetime alone have the same form.
            unsafe { data.__pinned_init(slot.cast()) }
        };
        // SAFETY: The inner initializer builds the value or leaves nothing behind; so does this one. The caller promises that the
        // value may be used until it is revoked.
        let data = unsafe { pin_init_from_closure::<F::Of<'static>, E>(build) };
        Ok(Self(Devres::new(dev, data)?))
    }

    /// The device.
    pub fn device(&self) -> &Device {
        self.0.device()
    }

    /// Calls `f` with the resource; `dev` shows that the driver is still bound. `EINVAL` if it is another device.
    pub fn access_with<R, G>(&self, dev: &Device<Bound>, f: G) -> Result<R>
    where
        G: for<'a> FnOnce(&F::Of<'a>) -> R,
    {
        self.0.access(dev).map(f)
    }

    /// Calls `f` with the resource; `None` once it was taken back. `f` does not sleep.
    pub fn try_access_with<R, G>(&self, f: G) -> Option<R>
    where
        G: for<'a> FnOnce(&F::Of<'a>) -> R,
    {
        self.0.try_access_with(f)
    }
}

impl<F: CovariantForLt> DevresLt<F>
where
    for<'a> F::Of<'a>: Send,
{
    /// As [`Devres::access`].
    pub fn access<'a>(&'a self, dev: &'a Device<Bound>) -> Result<&'a F::Of<'a>> {
        self.0.access(dev).map(F::cast_ref)
    }

    /// As [`Devres::try_access`].
    pub fn try_access(&self) -> Option<DevresGuard<'_, F>> {
        self.0.try_access().map(DevresGuard)
    }
}

/// A resource that nobody looks at any more.
struct Kept<T>(#[expect(dead_code, reason = "it is there to be dropped")] Pin<KBox<T>>);

// SAFETY: Nothing of the value can be reached through a shared reference.
unsafe impl<T: Send> Sync for Kept<T> {}

/// Builds `data`, and drops it when the driver is unbound; at once if it cannot be kept. `ENOMEM`, or what the initializer says.
/// May sleep.
pub fn register<T, E>(dev: &Device<Bound>, data: impl PinInit<T, E>, flags: Flags) -> Result
where
    T: Send + 'static,
    Error: From<E>,
{
    let kept = KBox::new(Kept(KBox::pin_init(data, flags)?), flags)?;
    dev.core().add_resource(kept)
}
