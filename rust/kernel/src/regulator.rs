// SPDX-License-Identifier: GPL-2.0
//! Supplies of voltage that a driver switches on: `kernel::regulator`. Rust-for-Linux has the side of who uses one; who has one is
//! firmware's device tree, tables of boards and drivers in C. There is none of these here, so that each look-up ends as on a PC with Linux
//! (`CONFIG_REGULATOR`): there is no such supply, and no other is put in its place.

use crate::device::{Bound, Device};
use crate::error::{self, Result, code::*};
use core::convert::Infallible;
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

/// The supply that `dev` calls `name`.
fn find(_dev: &Device, _name: &CStr) -> Result<Infallible> {
    Err(ENODEV)
}

/// Switches a supply on until the device is unbound. `ENODEV`: there is none.
pub fn devm_enable(dev: &Device<Bound>, name: &CStr) -> Result {
    match find(dev, name).inspect_err(|_| crate::dev_warn!(dev, "there is no supply {}\n", name))? {}
}

/// As [`devm_enable`], for a supply that the device can do without.
pub fn devm_enable_optional(dev: &Device<Bound>, name: &CStr) -> Result {
    match find(dev, name)? {}
}

/// A supply of voltage, in the state that its type says.
pub struct Regulator<State: RegulatorState> {
    inner: Infallible,
    _state: PhantomData<State>,
}

impl<T: RegulatorState> Regulator<T> {
    fn find(dev: &Device, name: &CStr) -> Result<Self> {
        let found = find(dev, name).inspect_err(|_| crate::dev_warn!(dev, "there is no supply {}\n", name));
        found.map(|inner| Self { inner, _state: PhantomData })
    }

    /// Asks for a voltage between these.
    pub fn set_voltage(&self, _min_voltage: Voltage, _max_voltage: Voltage) -> Result {
        match self.inner {}
    }

    /// The voltage now.
    pub fn get_voltage(&self) -> Result<Voltage> {
        match self.inner {}
    }
}

impl Regulator<Disabled> {
    /// The supply that `dev` calls `name`. `ENODEV`: there is none.
    pub fn get(dev: &Device, name: &CStr) -> Result<Self> {
        Self::find(dev, name)
    }

    /// Switches it on.
    pub fn try_into_enabled(self) -> Result<Regulator<Enabled>, Error<Disabled>> {
        match self.inner {}
    }
}

impl Regulator<Enabled> {
    /// The supply that `dev` calls `name`, switched on. `ENODEV`: there is none.
    pub fn get(dev: &Device, name: &CStr) -> Result<Self> {
        match Regulator::<Disabled>::find(dev, name)?.inner {}
    }

    /// Takes that back.
    pub fn try_into_disabled(self) -> Result<Regulator<Disabled>, Error<Enabled>> {
        match self.inner {}
    }
}

impl<T: IsEnabled> Regulator<T> {
    /// Whether it is on.
    pub fn is_enabled(&self) -> bool {
        match self.inner {}
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
