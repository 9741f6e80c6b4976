// SPDX-License-Identifier: GPL-2.0
//! `Param`: an entry of a module's section `__param`. The `module!` macro makes them. No locks: values synchronise themselves.

use core::fmt;
use errno::Result;

/// The value of a parameter.
pub trait ParamValue: Sync {
    /// Sets it from a text; `None` when only the name was given. `EINVAL`, `ERANGE`.
    fn set(&self, text: Option<&[u8]>) -> Result;

    /// Writes it as `/sys/module/*/parameters` shows it, without a newline.
    fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result;

    /// Whether the name alone is enough (switches).
    fn takes_no_text(&self) -> bool {
        false
    }
}

/// A parameter of a module.
#[repr(C)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: &'static dyn ParamValue,
    /// Permissions of its file in sysfs; 0: there is none.
    pub perm: u64,
}

impl Param {
    /// An entry.
    pub const fn new(name: &'static str, value: &'static dyn ParamValue, perm: u64) -> Self {
        Self { name, value, perm }
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param({})", self.name)
    }
}
