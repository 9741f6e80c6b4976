// SPDX-License-Identifier: GPL-2.0
//! `FwNode`: what firmware says of a device, as properties with names. No locks: it does not change.

use kalloc::{Arc, KString, KVec};

/// A property's value.
#[derive(Debug)]
pub enum Value {
    /// A text.
    Text(KString),
    /// A number.
    Number(u64),
    /// Several of them.
    List(KVec<Value>),
}

/// A property.
#[derive(Debug)]
pub struct Property {
    /// Its name.
    pub name: KString,
    /// Its value.
    pub value: Value,
}

/// A node of firmware's tree.
#[derive(Debug)]
pub struct FwNode {
    /// Its path (`\_SB_.T432`).
    pub path: KString,
    /// What is said of it.
    pub properties: KVec<Property>,
    /// Nodes below it.
    pub children: KVec<Arc<FwNode>>,
}

impl FwNode {
    /// The value of property `name`.
    pub fn property(&self, name: &[u8]) -> Option<&Value> {
        self.properties.iter().find(|property| property.name.as_bytes() == name).map(|property| &property.value)
    }
}

impl Value {
    /// Its parts: itself, or those of a list.
    pub fn parts(&self) -> &[Value] {
        match self {
            Self::List(list) => list,
            single => core::slice::from_ref(single),
        }
    }

    /// The first of its parts that is a text.
    pub fn text(&self) -> Option<&KString> {
        self.parts().iter().find_map(|part| match part {
            Self::Text(text) => Some(text),
            _ => None,
        })
    }
}
