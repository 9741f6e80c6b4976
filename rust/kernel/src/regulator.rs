// SPDX-License-Identifier: GPL-2.0
//! Supplies of voltage that a driver switches on: `kernel::regulator`. Rust-for-Linux has the side of who uses one; who has one is
//! firmware's device tree, tables of boards and drivers in C. There is none of these here. As Linux on a PC with ACPI, whose firmware is taken
//! to supply what is not known (`CONFIG_REGULATOR`), each name has the dummy: a supply that is always on, and whose voltage nobody knows.

use crate::device::{Bound, Device};
use crate::error::{self, Result, code::*};
use core::ffi::CStr;
use core::marker::PhantomData;

mod private {
    pub trait Sealed {}

    impl Sealed for super::Enabled {}
    impl Sealed for super::Disabled {}
}

/// What a [`Regulator`] is known to be.
pub trait RegulatorState: private::Sealed + 'static {
    /// Whether to drop it switches it off.
    const DISABLE_ON_DROP: bool;
}

/// Switched on by who has it.
pub struct Enabled;

/// Not switched on by who has it; by others it may be.
pub struct Disabled;

impl RegulatorState for Enabled {
    const DISABLE_ON_DROP: bool = true;
}

impl RegulatorState for Disabled {
    const DISABLE_ON_DROP: bool = false;
}

/// The states in which it can be asked whether a supply is on.
pub trait IsEnabled: RegulatorState {}
impl IsEnabled for Disabled {}

/// A change of state that failed.
pub struct Error<State: RegulatorState> {
    /// Why.
    pub error: error::Error,
    /// The supply as it was.
    pub regulator: Regulator<State>,
}

/// Switches a supply on until the device is unbound.
pub fn devm_enable(dev: &Device<Bound>, name: &CStr) -> Result {
    Regulator::<Enabled>::get(dev, name).map(drop)
}

/// As [`devm_enable`], for a supply that the device can do without: there is no dummy for such. `ENODEV`: there is none.
pub fn devm_enable_optional(_dev: &Device<Bound>, _name: &CStr) -> Result {
    Err(ENODEV)
}

/// A supply of voltage, in the state that its type says.
pub struct Regulator<State: RegulatorState>(PhantomData<State>);

impl<T: RegulatorState> Regulator<T> {
    fn dummy(dev: &Device, name: &CStr) -> Self {
        crate::dev_warn!(dev, "supply {} not found, using dummy regulator\n", name);
        Self(PhantomData)
    }

    /// Asks for a voltage between these. `EINVAL`: it cannot be set. (0 to 0 is what was set at first: no change.)
    pub fn set_voltage(&self, min_voltage: Voltage, max_voltage: Voltage) -> Result {
        if (min_voltage, max_voltage) == (Voltage(0), Voltage(0)) { Ok(()) } else { Err(EINVAL) }
    }

    /// The voltage now. `EINVAL`: nobody knows it.
    pub fn get_voltage(&self) -> Result<Voltage> {
        Err(EINVAL)
    }
}

impl Regulator<Disabled> {
    /// The supply that `dev` calls `name`.
    pub fn get(dev: &Device, name: &CStr) -> Result<Self> {
        Ok(Self::dummy(dev, name))
    }

    /// Switches it on.
    pub fn try_into_enabled(self) -> Result<Regulator<Enabled>, Error<Disabled>> {
        Ok(Regulator(PhantomData))
    }
}

impl Regulator<Enabled> {
    /// The supply that `dev` calls `name`, switched on.
    pub fn get(dev: &Device, name: &CStr) -> Result<Self> {
        Ok(Self::dummy(dev, name))
    }

    /// Takes that back.
    pub fn try_into_disabled(self) -> Result<Regulator<Disabled>, Error<Enabled>> {
        Ok(Regulator(PhantomData))
    }
}

impl<T: IsEnabled> Regulator<T> {
    /// Whether it is on, whoever wanted that.
    pub fn is_enabled(&self) -> bool {
        true
    }
}

/// A voltage.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Voltage(i32);

impl Voltage {
    /// So many microvolts.
    pub fn from_microvolts(uv: i32) -> Self {
        Self(uv)
    }

    /// In microvolts.
    pub fn as_microvolts(self) -> i32 {
        self.0
    }
}
