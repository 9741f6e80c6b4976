// SPDX-License-Identifier: GPL-2.0
//! Interrupts: `kernel::irq`, over `kernel/irq`. A registration owns its handler and lives where it was built; when it is dropped,
//! no handler runs any more.

use crate::device::{Bound, Device};
use crate::error::{Error, Result, code::*};
use crate::ffi::c_ulong;
use ::irq::{IrqFlags, Polarity, Trigger};
use core::ffi::CStr;
use core::marker::{PhantomData, PhantomPinned};
use core::ptr::with_exposed_provenance;
use kalloc::KBox;
use kalloc::flags::GFP_KERNEL;
use pin_init::{PinInit, pin_init_from_closure};

/// How an interrupt is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(c_ulong);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => { $(
        $(#[$doc])*
        pub const $name: Self = Self($value);
    )* };
}

/// Linux's values. This kernel neither suspends, nor makes threads of handlers that are none, nor moves interrupts to other CPUs, nor
/// polls for lost ones: what is said here about these needs nothing done.
impl Flags {
    flags! {
        /// As firmware says.
        TRIGGER_NONE = 0;
        /// The line's change from low to high.
        TRIGGER_RISING = 1;
        /// The line's change from high to low.
        TRIGGER_FALLING = 2;
        /// As long as the line is high.
        TRIGGER_HIGH = 4;
        /// As long as the line is low.
        TRIGGER_LOW = 8;
        /// Other devices may use the line too.
        SHARED = 0x80;
        /// It is no fault if the others do not want to share; nothing is said of that here.
        PROBE_SHARED = 0x100;
        /// That of a timer: not off in a suspended system, and no thread.
        TIMER = 0x200 | 0x4000 | 0x1_0000;
        /// One of each CPU.
        PERCPU = 0x400;
        /// It stays on its CPU.
        NOBALANCING = 0x800;
        /// It may be polled for.
        IRQPOLL = 0x1000;
        /// The line stays masked until the thread is done.
        ONESHOT = 0x2000;
        /// Not off in a suspended system.
        NO_SUSPEND = 0x4000;
        /// On again when the system resumes.
        FORCE_RESUME = 0x8000;
        /// Its handler is never made a thread.
        NO_THREAD = 0x1_0000;
        /// On again before devices resume.
        EARLY_RESUME = 0x2_0000;
        /// Its handler runs in a suspended system if another one of a shared line does.
        COND_SUSPEND = 0x4_0000;
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What the level below is told. `EINVAL` for what does not go together, or is not known.
    pub(crate) fn to_core(self, firmware: Option<(Trigger, Polarity)>) -> Result<IrqFlags> {
        let trigger = match self.0 & 0xf {
            0 => firmware,
            1 => Some((Trigger::Edge, Polarity::High)),
            2 => Some((Trigger::Edge, Polarity::Low)),
            4 => Some((Trigger::Level, Polarity::High)),
            8 => Some((Trigger::Level, Polarity::Low)),
            // Both edges are not to be had of an IOAPIC, nor several levels.
            _ => return Err(EINVAL),
        };
        let suspends = self.has(Self::COND_SUSPEND);
        if self.0 & !Self::KNOWN != 0 || suspends && (!self.has(Self::SHARED) || self.has(Self::NO_SUSPEND)) {
            return Err(EINVAL);
        }
        Ok(IrqFlags {
            shared: self.has(Self::SHARED),
            oneshot: self.has(Self::ONESHOT),
            no_suspend: self.has(Self::NO_SUSPEND),
            trigger,
        })
    }

    const KNOWN: c_ulong = 0x7_ff8f;
}

impl core::ops::BitAnd for Flags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl core::ops::Not for Flags {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a handler says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqReturn {
    /// Not from this device.
    None,
    /// Done.
    Handled,
}

/// What a handler with a thread says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadedIrqReturn {
    /// Not from this device.
    None,
    /// Done.
    Handled,
    /// The thread does the rest.
    WakeThread,
}

/// A handler: interrupt context, interrupts off.
pub trait Handler: Sync {
    /// Serves the device.
    fn handle(&self) -> IrqReturn;
}

/// A handler with a thread.
pub trait ThreadedHandler: Sync {
    /// Interrupt context, interrupts off.
    fn handle(&self) -> ThreadedIrqReturn {
        ThreadedIrqReturn::WakeThread
    }

    /// In a thread of its own; may sleep.
    fn handle_threaded(&self) -> IrqReturn;
}

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
