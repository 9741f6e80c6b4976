// SPDX-License-Identifier: GPL-2.0
//! What firmware says of a device: `kernel::device::property`, over the properties of `drivers/base/core` (on this machine they
//! come from ACPI).

use crate::error::{Result, code::*};
use crate::str::{CStr, CString};
use ::device::Value;
use core::fmt;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use kernel_raw::aref::ARef;
use kernel_raw::in_arc;

in_arc! {
    mod counted;
    /// A node of firmware's tree.
    pub struct FwNode(::device::FwNode);
}

/// Who prints that a property is missing: a device.
#[doc(hidden)]
pub trait Reporter {
    /// Prints an error.
    fn error(&self, text: fmt::Arguments<'_>);
}

impl FwNode {
    fn value(&self, name: &CStr) -> Result<&Value> {
        self.inner().property(name.to_bytes()).ok_or(EINVAL)
    }

    /// Whether it is of a device tree: never on this machine.
    pub fn is_of_node(&self) -> bool {
        false
    }

    /// Its path, to be shown.
    pub fn display_path(&self) -> impl fmt::Display + '_ {
        &self.inner().path
    }

    /// Whether it has the property.
    pub fn property_present(&self, name: &CStr) -> bool {
        self.inner().property(name.to_bytes()).is_some()
    }

    /// Whether it has the property, whatever its value: so it is with ACPI's properties.
    pub fn property_read_bool(&self, name: &CStr) -> bool {
        self.property_present(name)
    }

    /// Where `match_str` is in a list of texts. `EINVAL` (no such property), `EPROTO` (no texts), `ENODATA`.
    pub fn property_match_string(&self, name: &CStr, match_str: &CStr) -> Result<usize> {
        let parts = self.value(name)?.parts();
        if parts.iter().any(|part| !matches!(part, Value::Text(_))) {
            return Err(EPROTO);
        }
        let is = |part: &Value| matches!(part, Value::Text(text) if text.as_bytes() == match_str.to_bytes());
        parts.iter().position(is).ok_or(ENODATA)
    }

    /// The number of elements of a list of `T`. `EINVAL`, `EPROTO`, `EOVERFLOW`.
    pub fn property_count_elem<T: PropertyInt>(&self, name: &CStr) -> Result<usize> {
        let parts = self.value(name)?.parts();
        parts.iter().try_for_each(|part| T::of(part).map(drop))?;
        Ok(parts.len())
    }

    /// The first `len` elements of a list.
    pub fn property_read_array_vec<'fwnode, 'name, T: PropertyInt>(
        &'fwnode self,
        name: &'name CStr,
        len: usize,
    ) -> Result<PropertyGuard<'fwnode, 'name, KVec<T>>> {
        let read = || {
            let parts = self.value(name)?.parts().get(..len).ok_or(EOVERFLOW)?;
            let mut values = KVec::new();
            for part in parts {
                values.push(T::of(part)?, GFP_KERNEL)?;
            }
            Ok(values)
        };
        match read() {
            Err(ENOMEM) => Err(ENOMEM),
            inner => Ok(PropertyGuard { inner, fwnode: self, name }),
        }
    }

    /// The value of a property; the guard says what to do without one.
    pub fn property_read<'fwnode, 'name, T: Property>(
        &'fwnode self,
        name: &'name CStr,
    ) -> PropertyGuard<'fwnode, 'name, T> {
        PropertyGuard { inner: T::read_from_fwnode_property(self, name), fwnode: self, name }
    }

    /// The nodes below it.
    pub fn children<'a>(&'a self) -> impl Iterator<Item = ARef<FwNode>> + 'a {
        self.inner().children.iter().map(|node| ARef::from(FwNode::of(node)))
    }

    /// The node below it whose path ends with `name`.
    pub fn get_child_by_name(&self, name: &CStr) -> Option<ARef<Self>> {
        self.children().find(|node| {
            let last = node.inner().path.as_bytes().rsplit(|&byte| byte == b'.').next();
            last == Some(name.to_bytes())
        })
    }

    /// A reference to another node, with arguments. Firmware's references are not followed on this machine: `ENOENT`.
    pub fn property_get_reference_args(
        &self,
        _prop: &CStr,
        _nargs: NArgs<'_>,
        _index: u32,
    ) -> Result<FwNodeReferenceArgs> {
        Err(ENOENT)
    }
}

/// How many arguments a reference has.
pub enum NArgs<'a> {
    /// As the property of that name says in the node that is referred to.
    Prop(&'a CStr),
    /// This many.
    N(u32),
}

/// A reference to another node, with arguments.
#[derive(Debug)]
pub struct FwNodeReferenceArgs {
    args: KVec<u64>,
}

impl FwNodeReferenceArgs {
    /// The arguments.
    pub fn as_slice(&self) -> &[u64] {
        &self.args
    }

    /// Their number.
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }
}

/// A number that a property can have.
pub trait PropertyInt: Copy + Default {
    /// That of a part of a value. `EPROTO`, `EOVERFLOW`.
    #[doc(hidden)]
    fn of(value: &Value) -> Result<Self>;
}

macro_rules! numbers {
    ($($unsigned:ident $signed:ident;)*) => { $(
        impl PropertyInt for $unsigned {
            fn of(value: &Value) -> Result<Self> {
                match value {
                    Value::Number(number) => Self::try_from(*number).map_err(|_| EOVERFLOW),
                    _ => Err(EPROTO),
                }
            }
        }

        impl PropertyInt for $signed {
            fn of(value: &Value) -> Result<Self> {
                $unsigned::of(value).map($unsigned::cast_signed)
            }
        }

        impl Property for $unsigned {
            fn read_from_fwnode_property(fwnode: &FwNode, name: &CStr) -> Result<Self> {
                Self::of(fwnode.value(name)?.parts().first().ok_or(ENODATA)?)
            }
        }

        impl Property for $signed {
            fn read_from_fwnode_property(fwnode: &FwNode, name: &CStr) -> Result<Self> {
                Self::of(fwnode.value(name)?.parts().first().ok_or(ENODATA)?)
            }
        }
    )* };
}
numbers! { u8 i8; u16 i16; u32 i32; u64 i64; }

/// What a property can be read as.
pub trait Property: Sized {
    /// The value of the property `name`.
    fn read_from_fwnode_property(fwnode: &FwNode, name: &CStr) -> Result<Self>;
}

impl Property for CString {
    fn read_from_fwnode_property(fwnode: &FwNode, name: &CStr) -> Result<Self> {
        let text = fwnode.value(name)?.text().ok_or(EPROTO)?;
        Self::try_from_fmt(format_args!("{text}"))
    }
}

impl<T: PropertyInt, const N: usize> Property for [T; N] {
    fn read_from_fwnode_property(fwnode: &FwNode, name: &CStr) -> Result<Self> {
        let parts = fwnode.value(name)?.parts().get(..N).ok_or(EOVERFLOW)?;
        let mut values = [T::default(); N];
        for (value, part) in values.iter_mut().zip(parts) {
            *value = T::of(part)?;
        }
        Ok(values)
    }
}

/// A value that may be missing.
pub struct PropertyGuard<'fwnode, 'name, T> {
    inner: Result<T>,
    fwnode: &'fwnode FwNode,
    name: &'name CStr,
}

impl<T> PropertyGuard<'_, '_, T> {
    /// The value; without one a record about `dev` says so.
    pub fn required_by(self, dev: &impl Reporter) -> Result<T> {
        if self.inner.is_err() {
            let name = self.name.to_bytes().escape_ascii();
            dev.error(format_args!("{}: property '{name}' is missing\n", self.fwnode.display_path()));
        }
        self.inner
    }

    /// The value, if there is one.
    pub fn optional(self) -> Option<T> {
        self.inner.ok()
    }

    /// The value, or `default`.
    pub fn or(self, default: T) -> T {
        self.inner.unwrap_or(default)
    }
}

impl<T: Default> PropertyGuard<'_, '_, T> {
    /// The value, or the type's default.
    pub fn or_default(self) -> T {
        self.inner.unwrap_or_default()
    }
}
