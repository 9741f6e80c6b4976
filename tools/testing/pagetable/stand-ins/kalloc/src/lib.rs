// SPDX-License-Identifier: GPL-2.0
//! The kernel's containers, by the standard library's.

use std::ops::{BitOr, Deref};

#[derive(Clone, Copy)]
pub struct Flags(pub u32);

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Flags {
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

pub mod flags {
    use super::Flags;
    pub const GFP_KERNEL: Flags = Flags(0);
    pub const GFP_HIGHUSER: Flags = Flags(1);
    pub const __GFP_MOVABLE: Flags = Flags(8);
    pub const GFP_HIGHUSER_MOVABLE: Flags = Flags(9);
    pub const GFP_ATOMIC: Flags = Flags(2);
    pub const __GFP_NOWARN: Flags = Flags(4);
}

pub struct Arc<T>(std::sync::Arc<T>);

impl<T> Arc<T> {
    pub fn new(value: T, _: Flags) -> errno::Result<Self> {
        Ok(Self(std::sync::Arc::new(value)))
    }

    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        std::sync::Arc::get_mut(&mut this.0)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

pub struct KVec<T> {
    items: Vec<T>,
    room: usize,
}

#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
impl<T> KVec<T> {
    pub fn with_room(room: usize) -> Self {
        Self { items: Vec::with_capacity(room), room }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn capacity(&self) -> usize {
        self.room
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    pub fn push_within_capacity(&mut self, item: T) -> Result<(), T> {
        if self.items.len() == self.room {
            return Err(item);
        }
        self.items.push(item);
        Ok(())
    }
}

#[derive(Default)]
pub struct KVVec<T>(Vec<T>);

impl<T: Clone> KVVec<T> {
    pub fn with_capacity(room: usize, _: Flags) -> errno::Result<Self> {
        Ok(Self(Vec::with_capacity(room)))
    }

    pub fn push(&mut self, item: T, _: Flags) -> errno::Result {
        self.0.push(item);
        Ok(())
    }

    pub fn extend_from_slice(&mut self, items: &[T], _: Flags) -> errno::Result {
        self.0.extend_from_slice(items);
        Ok(())
    }
}

impl<T> Deref for KVVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> std::ops::DerefMut for KVVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
