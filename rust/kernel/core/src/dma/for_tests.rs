// SPDX-License-Identifier: GPL-2.0
//! What tests have a device read.

/// An entry of a ring.
#[repr(C)]
#[derive(zerocopy::FromBytes, zerocopy::IntoBytes, Clone, Copy, PartialEq, Debug, Default)]
pub struct Entry {
    /// Where.
    pub address: u64,
    /// How much.
    pub len: u32,
    /// What is to be done.
    pub flags: u32,
}

// SAFETY: Numbers without gaps.
unsafe impl crate::transmute::AsBytes for Entry {}
// SAFETY: As above.
unsafe impl crate::transmute::FromBytes for Entry {}
