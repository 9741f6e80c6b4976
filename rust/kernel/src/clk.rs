// SPDX-License-Identifier: GPL-2.0
//! Frequencies: `kernel::clk`, as it is in Linux without `CONFIG_COMMON_CLK`: there are no clocks that a driver could switch on.

use crate::ffi::c_ulong;

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
