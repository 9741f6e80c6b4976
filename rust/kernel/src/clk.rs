// SPDX-License-Identifier: GPL-2.0
//! Frequencies, and clocks that a driver switches on: `kernel::clk`. Rust-for-Linux has the side of who uses a clock; who has one is
//! firmware's device tree and drivers in C. There is neither here, so that each look-up ends as on a PC with Linux: no clock has that name.

use crate::device::Device;
use crate::error::{Result, code::*};
use crate::ffi::c_ulong;
use core::convert::Infallible;
use core::ffi::CStr;
use core::ops::Deref;

/// A frequency.
///
/// ```
/// use kernel::clk::Hertz;
///
/// assert_eq!(Hertz::from_mhz(100).as_khz(), 100_000);
/// assert_eq!(Hertz(1_999).as_khz(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hertz(pub c_ulong);

impl Hertz {
    const KHZ: c_ulong = 1_000;
    const MHZ: c_ulong = 1_000_000;
    const GHZ: c_ulong = 1_000_000_000;

    /// So many kilohertz.
    pub const fn from_khz(khz: c_ulong) -> Self {
        Self(khz * Self::KHZ)
    }

    /// So many megahertz.
    pub const fn from_mhz(mhz: c_ulong) -> Self {
        Self(mhz * Self::MHZ)
    }

    /// So many gigahertz.
    pub const fn from_ghz(ghz: c_ulong) -> Self {
        Self(ghz * Self::GHZ)
    }

    /// In hertz.
    pub const fn as_hz(&self) -> c_ulong {
        self.0
    }

    /// Whole kilohertz.
    pub const fn as_khz(&self) -> c_ulong {
        self.0 / Self::KHZ
    }

    /// Whole megahertz.
    pub const fn as_mhz(&self) -> c_ulong {
        self.0 / Self::MHZ
    }

    /// Whole gigahertz.
    pub const fn as_ghz(&self) -> c_ulong {
        self.0 / Self::GHZ
    }
}

impl From<Hertz> for c_ulong {
    fn from(frequency: Hertz) -> Self {
        frequency.0
    }
}

/// A clock, or none: one that is not there is on, and of no rate.
pub struct Clk(Option<Infallible>);

impl Clk {
    /// The clock that `dev` calls `name`. `ENOENT`: there is none.
    pub fn get(_dev: &Device, _name: Option<&CStr>) -> Result<Self> {
        Err(ENOENT)
    }

    /// What becomes of an order to the clock.
    fn order(&self) -> Result {
        match self.0 {
            Some(never) => match never {},
            None => Ok(()),
        }
    }

    /// Switches it on. Does not sleep.
    #[inline]
    pub fn enable(&self) -> Result {
        self.order()
    }

    /// Takes an `enable` back.
    #[inline]
    pub fn disable(&self) {
        let _ = self.order();
    }

    /// What must be done before it is switched on. May sleep.
    #[inline]
    pub fn prepare(&self) -> Result {
        self.order()
    }

    /// Takes a `prepare` back.
    #[inline]
    pub fn unprepare(&self) {
        let _ = self.order();
    }

    /// Both, in this order.
    #[inline]
    pub fn prepare_enable(&self) -> Result {
        self.prepare()?;
        self.enable().inspect_err(|_| self.unprepare())
    }

    /// Takes both back.
    #[inline]
    pub fn disable_unprepare(&self) {
        self.disable();
        self.unprepare();
    }

    /// Its rate.
    #[inline]
    pub fn rate(&self) -> Hertz {
        match self.0 {
            Some(never) => match never {},
            None => Hertz(0),
        }
    }

    /// Sets its rate, or one near to that.
    #[inline]
    pub fn set_rate(&self, _rate: Hertz) -> Result {
        self.order()
    }
}

/// A clock that a device can do without.
pub struct OptionalClk(Clk);

impl OptionalClk {
    /// The clock that `dev` calls `name`, or none.
    pub fn get(dev: &Device, name: Option<&CStr>) -> Result<Self> {
        match Clk::get(dev, name) {
            Err(ENOENT) => Ok(Self(Clk(None))),
            other => Ok(Self(other?)),
        }
    }
}

impl Deref for OptionalClk {
    type Target = Clk;

    fn deref(&self) -> &Clk {
        &self.0
    }
}
