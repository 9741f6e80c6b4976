// SPDX-License-Identifier: GPL-2.0
//! Where devices have their memory and ports: a part of `kernel::io`.

pub mod resource;

/// A physical address.
pub type PhysAddr = u64;

/// The size of a [`Resource`](resource::Resource), in bytes.
pub type ResourceSize = u64;
