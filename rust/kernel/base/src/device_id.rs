// SPDX-License-Identifier: GPL-2.0
//! Tables of what a driver serves: `kernel::device_id`. The macros that declare one also put the aliases into `.modinfo`, where
//! depmod finds them.

/// An id, as a bus has them.
pub trait RawDeviceId: Copy + Send + Sync + 'static {}

/// An id that has a driver's own data with it.
pub trait RawDeviceIdIndex: RawDeviceId {}

/// A table: ids, each with the driver's data for it.
pub struct IdArray<T: RawDeviceId, U: 'static, const N: usize> {
    ids: [(T, &'static U); N],
}

impl<T: RawDeviceId, U: 'static, const N: usize> IdArray<T, U, N> {
    /// A table of these.
    pub const fn new(ids: [(T, &'static U); N]) -> Self {
        Self { ids }
    }
}

/// A table of any length.
pub trait IdTable<T: RawDeviceId, U: 'static> {
    /// The entries.
    fn entries(&self) -> &[(T, &'static U)];
}

impl<T: RawDeviceId, U: 'static> dyn IdTable<T, U> {
    /// The driver's data for the first id that is right.
    #[doc(hidden)]
    pub fn find(&self, is_right: impl Fn(&T) -> bool) -> Option<&'static U> {
        self.entries().iter().find(|(id, _)| is_right(id)).map(|(_, data)| *data)
    }
}

impl<T: RawDeviceId, U: 'static, const N: usize> IdTable<T, U> for IdArray<T, U, N> {
    fn entries(&self) -> &[(T, &'static U)] {
        &self.ids
    }
}

/// As long as the longest alias, a device tree's: 127 bytes and what is before them.
const ALIAS_MAX: usize = 160;

/// A line of `.modinfo` under construction: `alias=...` and a zero byte.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Alias {
    bytes: [u8; ALIAS_MAX],
    len: usize,
}

impl Default for Alias {
    fn default() -> Self {
        Self::new()
    }
}

impl Alias {
    /// Only `alias=`.
    pub const fn new() -> Self {
        Self { bytes: [0; ALIAS_MAX], len: 0 }.text(b"alias=")
    }

    /// With more text.
    pub const fn text(mut self, text: &[u8]) -> Self {
        let mut at = 0;
        while at < text.len() {
            self.bytes[self.len] = text[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    /// With a number of `digits` hexadecimal digits; `*` for any.
    pub const fn hex(mut self, value: u32, digits: usize, any: bool) -> Self {
        if any {
            return self.text(b"*");
        }
        let mut left = digits;
        while left > 0 {
            left -= 1;
            let digit = (value >> (4 * left)) as u8 & 15;
            self.bytes[self.len] = if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
            self.len += 1;
        }
        self
    }

    /// Its bytes with the zero byte.
    pub const fn size(&self) -> usize {
        self.len + 1
    }

    /// The line.
    pub const fn line<const N: usize>(&self) -> [u8; N] {
        let mut line = [0; N];
        let mut at = 0;
        while at < self.len {
            line[at] = self.bytes[at];
            at += 1;
        }
        line
    }
}

/// Declares a table, as `pci_device_table!` and its kin do.
#[macro_export]
macro_rules! module_device_table {
    (
        $table_type:literal, $device_id_ty:ty, $table_name:ident, $id_info_type:ty,
        [$(($id:expr, $info:expr $(,)?)),* $(,)?]
    ) => {
        static $table_name: $crate::device_id::IdArray<
            $device_id_ty,
            $id_info_type,
            { <[$device_id_ty]>::len(&[$($id,)*]) },
        > = $crate::device_id::IdArray::new([$(($id, &$info),)*]);

        $(
            #[cfg(MODULE)]
            const _: () = {
                const ALIAS: $crate::device_id::Alias = <$device_id_ty>::alias(&$id);
                #[used]
                #[unsafe(link_section = ".modinfo")]
                static INFO: [u8; ALIAS.size()] = ALIAS.line();
            };
        )*
    };
}
