// SPDX-License-Identifier: GPL-2.0
//! `dev_*!`: records that begin with the driver and the device.

use super::{Device, DeviceContext};
use core::fmt::Arguments;
use klog::Level;

macro_rules! methods {
    ($($name:ident $level:ident;)*) => {
        impl<Ctx: DeviceContext> Device<Ctx> { $(
            #[doc = concat!("Prints at the level `", stringify!($level), "`. Use the macro.")]
            pub fn $name(&self, args: Arguments<'_>) {
                self.core().print(Level::$level, args);
            }
        )* }
    };
}
methods! {
    pr_emerg Emerg; pr_alert Alert; pr_crit Crit; pr_err Err; pr_warn Warning; pr_notice Notice; pr_info Info;
}

impl<Ctx: DeviceContext> Device<Ctx> {
    /// Prints at the level `Debug`, in a build with debug assertions. Use the macro.
    pub fn pr_dbg(&self, args: Arguments<'_>) {
        if cfg!(debug_assertions) {
            self.core().print(Level::Debug, args);
        }
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! dev_printk {
    ($method:ident, $dev:expr, $($f:tt)*) => {
        $crate::device::Device::$method($dev.as_ref(), $crate::macros::fmt!($($f)*))
    };
}

/// Prints a record about a device, at the level `Emerg`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_emerg { ($($f:tt)*) => { $crate::dev_printk!(pr_emerg, $($f)*) }; }
/// Prints a record about a device, at the level `Alert`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_alert { ($($f:tt)*) => { $crate::dev_printk!(pr_alert, $($f)*) }; }
/// Prints a record about a device, at the level `Crit`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_crit { ($($f:tt)*) => { $crate::dev_printk!(pr_crit, $($f)*) }; }
/// Prints a record about a device, at the level `Err`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_err { ($($f:tt)*) => { $crate::dev_printk!(pr_err, $($f)*) }; }
/// Prints a record about a device, at the level `Warning`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_warn { ($($f:tt)*) => { $crate::dev_printk!(pr_warn, $($f)*) }; }
/// Prints a record about a device, at the level `Notice`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_notice { ($($f:tt)*) => { $crate::dev_printk!(pr_notice, $($f)*) }; }
/// Prints a record about a device, at the level `Info`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_info { ($($f:tt)*) => { $crate::dev_printk!(pr_info, $($f)*) }; }
/// Prints a record about a device, at the level `Debug`: the device, then as `pr_info!`.
#[macro_export]
macro_rules! dev_dbg { ($($f:tt)*) => { $crate::dev_printk!(pr_dbg, $($f)*) }; }
