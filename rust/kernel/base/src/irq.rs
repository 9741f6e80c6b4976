// SPDX-License-Identifier: GPL-2.0
//! What interrupts are asked for with, and what handlers are and say.

use crate::error::{Result, code::*};
use crate::ffi::c_ulong;
use ::irq::{IrqFlags, Polarity, Trigger};

/// How an interrupt is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(c_ulong);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => { $(
        $(#[$doc])*
        pub const $name: Self = Self($value);
    )* };
}

/// Linux's values. This kernel neither makes threads of handlers that are none, nor moves interrupts to other CPUs, nor polls for lost ones;
/// it sleeps to the idle state alone, where lines that stay on serve all their handlers, and the others are on again at one time, as they
/// were: what is said here about these needs nothing done. `NO_SUSPEND` does.
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

    /// Whether one of `other` is said.
    #[doc(hidden)]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What the level below is told. `EINVAL` for what does not go together, or is not known.
    #[doc(hidden)]
    pub fn to_core(self, firmware: Option<(Trigger, Polarity)>) -> Result<IrqFlags> {
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
