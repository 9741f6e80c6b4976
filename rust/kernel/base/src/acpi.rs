// SPDX-License-Identifier: GPL-2.0
//! Tables of ACPI ids: `kernel::acpi`.

use crate::device_id::{Alias, RawDeviceId, RawDeviceIdIndex};
use core::ffi::CStr;

/// A table.
pub type IdTable<T> = &'static dyn crate::device_id::IdTable<DeviceId, T>;

/// An id: `_HID` or `_CID`, at most 15 bytes.
#[derive(Clone, Copy)]
pub struct DeviceId(&'static CStr);

impl RawDeviceId for DeviceId {}
impl RawDeviceIdIndex for DeviceId {}

impl DeviceId {
    /// This id. Too long a one does not compile in a table.
    pub const fn new(id: &'static CStr) -> Self {
        assert!(id.count_bytes() < 16, "ID exceeds 16 bytes");
        Self(id)
    }

    /// Its text.
    #[doc(hidden)]
    pub fn as_bytes(&self) -> &'static [u8] {
        self.0.to_bytes()
    }

    #[doc(hidden)]
    pub const fn alias(&self) -> Alias {
        Alias::new().text(b"acpi*:").text(self.0.to_bytes()).text(b":*")
    }
}

/// Declares a table of ACPI ids.
#[macro_export]
macro_rules! acpi_device_table {
    ($($tt:tt)*) => {
        $crate::module_device_table!("acpi", $crate::acpi::DeviceId, $($tt)*);
    };
}
