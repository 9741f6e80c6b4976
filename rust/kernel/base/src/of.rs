// SPDX-License-Identifier: GPL-2.0
//! Tables of device-tree ids: `kernel::of`. No machine of this kernel has a device tree, so they match a device whose ACPI
//! properties have a `compatible` (`PRP0001`).

use crate::device_id::{Alias, RawDeviceId, RawDeviceIdIndex};
use core::ffi::CStr;

/// A table.
pub type IdTable<T> = &'static dyn crate::device_id::IdTable<DeviceId, T>;

/// An id: what `compatible` says.
#[derive(Clone, Copy)]
pub struct DeviceId(&'static CStr);

impl RawDeviceId for DeviceId {}
impl RawDeviceIdIndex for DeviceId {}

impl DeviceId {
    /// This id, at most 127 bytes.
    pub const fn new(compatible: &'static CStr) -> Self {
        assert!(compatible.count_bytes() < 128, "compatible exceeds 128 bytes");
        Self(compatible)
    }

    /// Its text.
    #[doc(hidden)]
    pub fn as_bytes(&self) -> &'static [u8] {
        self.0.to_bytes()
    }

    #[doc(hidden)]
    pub const fn alias(&self) -> Alias {
        Alias::new().text(b"of:N*T*C").text(self.0.to_bytes())
    }
}

/// Declares a table of device-tree ids.
#[macro_export]
macro_rules! of_device_table {
    ($($tt:tt)*) => {
        $crate::module_device_table!("of", $crate::of::DeviceId, $($tt)*);
    };
}
