// SPDX-License-Identifier: GPL-2.0
//! Objects that programs make and remove: `kernel::configfs`, over `fs/configfs`. A [`Subsystem`] is a directory of its own; what
//! `mkdir` makes in it (and in what was made) are [`Group`]s. Attributes are declared by [`configfs_attrs!`].

mod item_type;
mod ops;

pub use crate::configfs_attrs;
pub use item_type::{Attribute, AttributeList, ItemType};
pub use kernel_core::configfs::{Group, Subsystem};
pub use ops::{AttributeOperations, GroupOperations};
