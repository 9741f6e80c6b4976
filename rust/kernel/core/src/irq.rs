// SPDX-License-Identifier: GPL-2.0
//! Interrupts: `kernel::irq`, over `kernel/irq`. A registration owns its handler and lives where it was built; when it is dropped,
//! no handler runs any more.

pub use kernel_base::irq::{Flags, Handler, IrqReturn, ThreadedHandler, ThreadedIrqReturn};

use crate::device::{Bound, Device};
use crate::error::{Error, Result, code::*};
use ::irq::{Polarity, Trigger};
use core::ffi::CStr;
use core::marker::{PhantomData, PhantomPinned};
use core::ptr::with_exposed_provenance;
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use pin_init::{PinInit, pin_init_from_closure};

/// An interrupt of a device that may be requested.
pub struct IrqRequest<'a> {
    irq: u32,
    /// How firmware says that a line signals; `None` for a message.
    trigger: Option<(Trigger, Polarity)>,
    _device: PhantomData<&'a Device<Bound>>,
}

impl<'a> IrqRequest<'a> {
    /// Interrupt `irq` of `device`, a message.
    ///
    /// # Safety
    /// It is an interrupt of this device for `'a`.
    #[cfg_attr(not(feature = "CONFIG_PCI"), allow(dead_code, reason = "for buses that know interrupts"))]
    pub(crate) unsafe fn new(_device: &'a Device<Bound>, irq: u32) -> Self {
        Self { irq, trigger: None, _device: PhantomData }
    }

    /// A line of `device`.
    ///
    /// # Safety
    /// It is one of this device for `'a`.
    pub(crate) unsafe fn of_line(_device: &'a Device<Bound>, line: &::device::platform::Interrupt) -> Self {
        let trigger = if line.level { Trigger::Level } else { Trigger::Edge };
        let polarity = if line.low { Polarity::Low } else { Polarity::High };
        Self { irq: line.gsi, trigger: Some((trigger, polarity)), _device: PhantomData }
    }

    /// Its number.
    pub fn irq(&self) -> u32 {
        self.irq
    }
}

type Hard = fn(usize) -> ::irq::IrqReturn;

/// Requests the interrupt for the handler at `address`. Code of the image: what the interrupt layer keeps, and may drop late, are
/// an address and functions that it no longer calls then.
fn request(of: &IrqRequest<'_>, flags: Flags, name: &CStr, address: usize, hard: Hard) -> Result<::irq::IrqRequest> {
    let flags = flags.to_core(of.trigger)?;
    let handler = KBox::new(move |_: u32| hard(address), GFP_KERNEL)?;
    ::irq::request_irq(of.irq, name.to_bytes(), flags, handler)
}

/// As [`request`], with a thread.
fn request_threaded(
    of: &IrqRequest<'_>,
    flags: Flags,
    name: &CStr,
    address: usize,
    hard: Hard,
    thread: fn(usize),
) -> Result<::irq::IrqRequest> {
    let flags = flags.to_core(of.trigger)?;
    let handler: KBox<::irq::Handler> = KBox::new(move |_: u32| hard(address), GFP_KERNEL)?;
    let thread = KBox::new(move |_: u32| thread(address), GFP_KERNEL)?;
    ::irq::request_threaded_irq(of.irq, name.to_bytes(), flags, Some(handler), thread)
}

/// The handler at `address`.
///
/// # Safety
/// `address` is that of a `T` inside of a registration that is not dropped yet.
unsafe fn handler_at<'h, T>(address: usize) -> &'h T {
    // SAFETY: The caller's contract.
    unsafe { &*with_exposed_provenance(address) }
}

fn hard<T: Handler>(address: usize) -> ::irq::IrqReturn {
    // SAFETY: The registration frees the interrupt before its handler goes.
    match unsafe { handler_at::<T>(address) }.handle() {
        IrqReturn::None => ::irq::IrqReturn::None,
        IrqReturn::Handled => ::irq::IrqReturn::Handled,
    }
}

fn hard_threaded<T: ThreadedHandler>(address: usize) -> ::irq::IrqReturn {
    // SAFETY: The registration frees the interrupt before its handler goes.
    match unsafe { handler_at::<T>(address) }.handle() {
        ThreadedIrqReturn::None => ::irq::IrqReturn::None,
        ThreadedIrqReturn::Handled => ::irq::IrqReturn::Handled,
        ThreadedIrqReturn::WakeThread => ::irq::IrqReturn::WakeThread,
    }
}

fn thread<T: ThreadedHandler>(address: usize) {
    // SAFETY: The registration frees the interrupt, and waits for the thread, before its handler goes.
    let _ = unsafe { handler_at::<T>(address) }.handle_threaded();
}

macro_rules! registrations {
    ($($(#[$doc:meta])* $name:ident $handler:ident |$request:ident, $flags:ident, $irq_name:ident, $address:ident| $call:expr;)*) => { $(
        $(#[$doc])*
        ///
        /// # Invariants
        /// `action` calls `handler` alone, and is dropped before it.
        pub struct $name<'a, T: $handler> {
            action: ::irq::IrqRequest,
            handler: T,
            request: IrqRequest<'a>,
            _pin: PhantomPinned,
        }

        impl<'a, T: $handler> $name<'a, T> {
            /// Registers a handler. `EBUSY`, `EINVAL`, `ENOMEM`. May sleep.
            ///
            /// # Safety
            /// The registration is dropped: it is not leaked.
            pub unsafe fn new(
                $request: IrqRequest<'a>,
                $flags: Flags,
                $irq_name: &'static CStr,
                handler: impl PinInit<T, Error> + 'a,
            ) -> impl PinInit<Self, Error> + 'a
            where
                T: 'a,
            {
                let make = move |slot: *mut Self| {
                    // SAFETY: The slot is valid for writes of its fields.
                    let place = unsafe { &raw mut (*slot).handler };
                    // SAFETY: As above; the value does not move, as the registration is pinned.
                    unsafe { handler.__pinned_init(place)? };
                    let $address = place.expose_provenance();
                    let requested: Result<::irq::IrqRequest> = $call;
                    match requested {
                        Ok(action) => {
                            // SAFETY: As above: the other fields.
                            unsafe {
                                (&raw mut (*slot).action).write(action);
                                (&raw mut (*slot).request).write($request);
                            }
                            Ok(())
                        }
                        Err(error) => {
                            // SAFETY: It was just built, and nobody has it.
                            unsafe { place.drop_in_place() };
                            Err(error)
                        }
                    }
                };
                // SAFETY: On success every field was written (the last has no bytes); on an error nothing is left.
                unsafe { pin_init_from_closure(make) }
            }

            /// The handler.
            pub fn handler(&self) -> &T {
                &self.handler
            }

            /// Waits until no call of the handler, or of its thread, that began or was asked for before is running. Not from the
            /// handler. May sleep.
            pub fn synchronize(&self) {
                self.action.synchronize();
            }

            /// The interrupt's number.
            pub fn irq(&self) -> u32 {
                debug_assert_eq!(self.request.irq, self.action.irq());
                self.request.irq
            }
        }
    )* };
}
registrations! {
    /// A handler that is registered.
    Registration Handler |request, flags, name, address| {
        if flags.has(Flags::ONESHOT) {
            Err(EINVAL)
        } else {
            self::request(&request, flags, name, address, hard::<T>)
        }
    };
    /// A handler with a thread that is registered.
    ThreadedRegistration ThreadedHandler |request, flags, name, address| {
        request_threaded(&request, flags, name, address, hard_threaded::<T>, thread::<T>)
    };
}
