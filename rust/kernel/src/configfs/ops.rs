// SPDX-License-Identifier: GPL-2.0
//! What a module implements, and how configfs calls it.

use super::item_type::Make;
use super::{Group, ItemType};
use crate::error::VTABLE_DEFAULT_ERROR;
use crate::macros::vtable;
use crate::page::PAGE_SIZE;
use crate::str::{CStr, CString};
use crate::{build_error, fmt};
use ::configfs::NewGroup;
use core::any::Any;
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, ArcBorrow, InPlaceInit};
use kernel_core::configfs::Behind;
use pin_init::PinInit;

/// A group in which programs may make others.
#[vtable]
pub trait GroupOperations {
    /// The data behind what is made.
    type Child: 'static;

    /// A program makes directory `name`.
    fn make_group(&self, name: &CStr) -> Result<impl PinInit<Group<Self::Child>, Error>>;

    /// A program removes a directory that was made here.
    fn drop_item(&self, _child: ArcBorrow<'_, Group<Self::Child>>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Attribute number `ID` of a group.
#[vtable]
pub trait AttributeOperations<const ID: u64 = 0> {
    /// The data behind the group.
    type Data;

    /// Writes the text to `page`; how many bytes it has.
    fn show(data: &Self::Data, page: &mut [u8; PAGE_SIZE]) -> Result<usize>;

    /// A program wrote `page`.
    fn store(_data: &Self::Data, _page: &[u8]) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// A directory's operations.
pub(super) struct Directory<Data: 'static> {
    behind: Behind<Data>,
    make: Option<Make<Data>>,
    dropped: Option<fn(&Data, &dyn Any)>,
}

impl<Data: 'static> Directory<Data> {
    pub(super) fn new<Container>(behind: Behind<Data>, item_type: &ItemType<Container, Data>) -> Self {
        Self { behind, make: item_type.make, dropped: item_type.dropped }
    }
}

impl<Data: 'static> ::configfs::Group for Directory<Data> {
    fn make_group(&self, name: &[u8]) -> Result<NewGroup> {
        self.make.ok_or(EPERM)?(self.behind.data(), name)
    }

    fn drop_group(&self, child: &dyn ::configfs::Group) {
        if let Some(dropped) = self.dropped {
            let child: &dyn Any = child;
            dropped(self.behind.data(), child);
        }
    }
}

/// Has `parent` make a group.
pub(super) fn make<Parent: GroupOperations>(parent: &Parent, name: &[u8]) -> Result<NewGroup> {
    let name = CString::try_from_fmt(fmt::fmt!("{}", core::str::from_utf8(name)?))?;
    let group: Arc<Group<Parent::Child>> = Arc::pin_init(parent.make_group(&name)?, GFP_KERNEL)?;
    let kind = group.kind();
    kind.new_group(Behind::owned(group))
}

/// Tells `parent` that a group it made goes.
pub(super) fn dropped<Parent: GroupOperations>(parent: &Parent, child: &dyn Any) {
    let Some(child) = child.downcast_ref::<Directory<Parent::Child>>() else { return };
    if let Some(group) = child.behind.group() {
        parent.drop_item(group.as_arc_borrow());
    }
}
