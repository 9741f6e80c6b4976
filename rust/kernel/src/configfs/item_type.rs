// SPDX-License-Identifier: GPL-2.0
//! Types of directories: which attributes they have, and whether others can be made in them. Statics that `configfs_attrs!` makes.

use super::ops::{self, AttributeOperations, Directory, GroupOperations};
use crate::ThisModule;
use crate::page::PAGE_SIZE;
use crate::str::CStr;
use ::configfs::{NewAttribute, NewGroup};
use core::marker::PhantomData;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use kernel_core::configfs::{Behind, Kind};
use vfs::SeqBuf;

/// An attribute of groups with `Data` behind them.
pub trait AnyAttribute<Data>: Sync {
    /// Its name.
    fn name(&self) -> &'static CStr;
    /// Its permissions.
    fn mode(&self) -> u32;
    /// Writes its text.
    fn show(&self, data: &Data, page: &mut [u8; PAGE_SIZE]) -> Result<usize>;
    /// Takes what was written.
    fn store(&self, data: &Data, page: &[u8]) -> Result;
}

/// Attribute number `ID`, whose operations are those of `O`.
pub struct Attribute<const ID: u64, O, Data> {
    name: &'static CStr,
    _p: PhantomData<fn() -> (O, Data)>,
}

impl<const ID: u64, O, Data> Attribute<ID, O, Data>
where
    O: AttributeOperations<ID, Data = Data>,
{
    /// The attribute `name`.
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, _p: PhantomData }
    }
}

impl<const ID: u64, O, Data> AnyAttribute<Data> for Attribute<ID, O, Data>
where
    O: AttributeOperations<ID, Data = Data>,
{
    fn name(&self) -> &'static CStr {
        self.name
    }

    fn mode(&self) -> u32 {
        if O::HAS_STORE { 0o644 } else { 0o444 }
    }

    fn show(&self, data: &Data, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        O::show(data, page)
    }

    fn store(&self, data: &Data, page: &[u8]) -> Result {
        if O::HAS_STORE { O::store(data, page) } else { Err(EIO) }
    }
}

/// The attributes of a type.
pub type AttributeList<Data> = &'static [&'static dyn AnyAttribute<Data>];

/// Makes a directory of a name.
pub(super) type Make<Data> = fn(&Data, &[u8]) -> Result<NewGroup>;

/// A type of directories: `Container` is a [`Subsystem`](super::Subsystem) or a [`Group`](super::Group) of `Data`.
pub struct ItemType<Container, Data: 'static> {
    owner: fn() -> &'static ThisModule,
    attributes: AttributeList<Data>,
    pub(super) make: Option<Make<Data>>,
    pub(super) dropped: Option<fn(&Data, &dyn core::any::Any)>,
    _p: PhantomData<fn() -> Container>,
}

impl<Container, Data: 'static> ItemType<Container, Data> {
    /// Directories in which none can be made.
    pub const fn new(owner: fn() -> &'static ThisModule, attributes: AttributeList<Data>) -> Self {
        Self { owner, attributes, make: None, dropped: None, _p: PhantomData }
    }

    /// Directories in which those of `Child` can be made.
    pub const fn new_with_child_ctor<Child>(owner: fn() -> &'static ThisModule, attributes: AttributeList<Data>) -> Self
    where
        Data: GroupOperations<Child = Child>,
        Child: 'static,
    {
        let dropped: Option<fn(&Data, &dyn core::any::Any)> =
            if Data::HAS_DROP_ITEM { Some(ops::dropped::<Data>) } else { None };
        Self { owner, attributes, make: Some(ops::make::<Data>), dropped, _p: PhantomData }
    }
}

impl<Container, Data: 'static> Kind<Container, Data> for ItemType<Container, Data> {
    fn new_group(&'static self, behind: Behind<Data>) -> Result<NewGroup> {
        let mut attributes = KVec::with_capacity(self.attributes.len(), GFP_KERNEL)?;
        for &attribute in self.attributes {
            let shown = Shown { behind: behind.clone(), attribute };
            let new = NewAttribute {
                name: attribute.name().to_bytes(),
                mode: attribute.mode(),
                attribute: Arc::new(shown, GFP_KERNEL)?,
            };
            attributes.push(new, GFP_KERNEL)?;
        }
        let group = Arc::new(Directory::new(behind, self), GFP_KERNEL)?;
        Ok(NewGroup { group, attributes, owner: (self.owner)().header() })
    }
}

/// An attribute of one directory.
struct Shown<Data: 'static> {
    behind: Behind<Data>,
    attribute: &'static dyn AnyAttribute<Data>,
}

impl<Data: 'static> kernfs::Attribute for Shown<Data> {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let mut page = KBox::<[u8; PAGE_SIZE]>::new_array(0, GFP_KERNEL)?;
        let len = self.attribute.show(self.behind.data(), &mut page)?;
        out.put(page.get(..len).ok_or(EIO)?)?;
        Ok(None)
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        self.attribute.store(self.behind.data(), data)?;
        Ok(data.len())
    }
}

/// A type of directories: `configfs_attrs! { container: C, data: D, child: Ch, attributes: [name: 0, other: 1] }`, `child` being
/// optional. `D` has `AttributeOperations<N>` for each number.
#[macro_export]
#[allow(clippy::crate_in_macro_def, reason = "the module is that of the crate that declares the type")]
macro_rules! configfs_attrs {
    (
        container: $container:ty,
        data: $data:ty,
        $(child: $child:ty,)?
        attributes: [$($name:ident: $attr:literal),* $(,)?] $(,)?
    ) => {{
        static ATTRIBUTES: $crate::configfs::AttributeList<$data> = &[
            $(&$crate::configfs::Attribute::<$attr, $data, $data>::new($crate::c_str!(::core::stringify!($name)))),*
        ];
        static TYPE: $crate::configfs::ItemType<$container, $data> = $crate::configfs_attrs!(
            @type $container, $data, ATTRIBUTES $(, $child)?
        );
        &TYPE
    }};
    (@type $container:ty, $data:ty, $attributes:ident) => {
        $crate::configfs::ItemType::<$container, $data>::new(
            $crate::module::this_module::<crate::LocalModule>, $attributes
        )
    };
    (@type $container:ty, $data:ty, $attributes:ident, $child:ty) => {
        $crate::configfs::ItemType::<$container, $data>::new_with_child_ctor::<$child>(
            $crate::module::this_module::<crate::LocalModule>, $attributes
        )
    };
}
