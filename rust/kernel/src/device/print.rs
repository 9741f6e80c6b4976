// SPDX-License-Identifier: GPL-2.0
//! `dev_*!`: records that begin with the driver and the device.

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
