// SPDX-License-Identifier: GPL-2.0
//! What `dev_*!` are made of: records that begin with the driver and the device.

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
