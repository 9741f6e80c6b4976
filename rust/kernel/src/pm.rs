// SPDX-License-Identifier: GPL-2.0
//! Drivers and a machine that sleeps: what the traits of buses (`pci::Driver`, `platform::Driver`, `auxiliary::Driver`) have for it, each by
//! default nothing to do. Rust-for-Linux has no such callbacks yet; these are those of C's `struct dev_pm_ops`, by its names, with what
//! `unbind` is given. `Documentation/driver-model.md` says when they are called.
//!
//! ```
//! # use core::pin::Pin;
//! # use kernel::{device::Core, platform, prelude::*};
//! struct Gauge;
//!
//! impl platform::Driver for Gauge {
//!     type IdInfo = ();
//!     type Data<'bound> = Self;
//!
//!     fn probe<'bound>(
//!         _dev: &'bound platform::Device<Core<'_>>,
//!         _info: Option<&'bound Self::IdInfo>,
//!     ) -> impl PinInit<Self, Error> + 'bound {
//!         Ok(Gauge)
//!     }
//!
//!     fn suspend<'bound>(dev: &'bound platform::Device<Core<'_>>, _this: Pin<&Self>) -> Result {
//!         dev_info!(dev, "sleeps\n");
//!         Ok(())
//!     }
//!
//!     fn resume<'bound>(dev: &'bound platform::Device<Core<'_>>, _this: Pin<&Self>) -> Result {
//!         dev_info!(dev, "works again\n");
//!         Ok(())
//!     }
//! }
//! ```

/// The callbacks of a bus's trait of drivers, for its devices `$device`.
macro_rules! callbacks {
    ($device:ty) => {
        $crate::pm::callbacks! { @each $device:
            /// The machine is about to sleep: from here on the driver makes no more devices below this one. `EAGAIN` leaves the device awake.
            prepare;
            /// The device is not used any more: it ends what it does. Devices below it sleep. An error keeps the machine awake, and the
            /// device works as before.
            suspend;
            /// As [`Self::suspend`], when all devices have done that.
            suspend_late;
            /// As [`Self::suspend_late`], when no handler of a device's interrupt is called any more.
            suspend_noirq;
            /// Undoes [`Self::suspend_noirq`]; no handler is called yet.
            resume_noirq;
            /// Undoes [`Self::suspend_late`].
            resume_early;
            /// Undoes [`Self::suspend`]: the device works when this returns.
            resume;
        }

        /// Undoes [`Self::prepare`].
        fn complete<'bound>(dev: &'bound $device, this: ::core::pin::Pin<&Self::Data<'bound>>) {
            let _ = (dev, this);
        }
    };
    (@each $device:ty: $($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        fn $name<'bound>(
            dev: &'bound $device,
            this: ::core::pin::Pin<&Self::Data<'bound>>,
        ) -> $crate::error::Result {
            let _ = (dev, this);
            Ok(())
        }
    )* };
}
pub(crate) use callbacks;

/// Calls that of driver `$driver` for a phase.
macro_rules! call {
    ($driver:ident, $device:expr, $data:expr, $phase:expr) => {
        match $phase {
            ::device::Phase::Prepare => $driver::prepare($device, $data),
            ::device::Phase::Suspend => $driver::suspend($device, $data),
            ::device::Phase::SuspendLate => $driver::suspend_late($device, $data),
            ::device::Phase::SuspendNoirq => $driver::suspend_noirq($device, $data),
            ::device::Phase::ResumeNoirq => $driver::resume_noirq($device, $data),
            ::device::Phase::ResumeEarly => $driver::resume_early($device, $data),
            ::device::Phase::Resume => $driver::resume($device, $data),
            ::device::Phase::Complete => {
                $driver::complete($device, $data);
                Ok(())
            }
        }
    };
}
pub(crate) use call;
