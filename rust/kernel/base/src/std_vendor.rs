// SPDX-License-Identifier: GPL-2.0
//! What programs know from `std`: `dbg!`.

/// Prints an expression's text and value at `KERN_INFO`, and gives the value on. For debugging only.
#[macro_export]
macro_rules! dbg {
    () => { $crate::pr_info!("[{}:{}:{}]\n", ::core::file!(), ::core::line!(), ::core::column!()) };
    ($value:expr $(,)?) => {
        match $value {
            value => {
                $crate::pr_info!(
                    "[{}:{}:{}] {} = {:#?}\n",
                    ::core::file!(), ::core::line!(), ::core::column!(), ::core::stringify!($value), &value
                );
                value
            }
        }
    };
    ($($value:expr),+ $(,)?) => { ($($crate::dbg!($value)),+,) };
}
