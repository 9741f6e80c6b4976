// SPDX-License-Identifier: GPL-2.0
//! Data with the files that show it: the files go before the data.

use super::Writer;
use super::ops::{BinaryReadFile, BinaryReadWriteFile, BinaryWriteFile, ReadFile, ReadWriteFile, WriteFile};
use super::ops::{CallbackFile, ShowFile, TakeFile};
use super::traits::{BinaryReader, BinaryWriter, Reader};
use crate::str::CStr;
use crate::uaccess::UserSliceReader;
use core::fmt;
use core::ops::Deref;
use errno::Result;
use kalloc::Arc;
use kernel_core::debugfs::{self as raw, MakeOps};
use pin_init::{PinInit, pin_data, pin_init};

/// Data, and a directory whose files show parts of it.
#[pin_data]
pub struct Scope<T> {
    #[pin]
    inner: raw::Scope<T>,
}

/// Data, and a file that shows it.
#[pin_data]
pub struct File<T> {
    #[pin]
    inner: raw::Scope<T>,
}

impl<T> Scope<T> {
    /// A directory in the root whose files, which `init` makes, show parts of `data`.
    pub fn dir<'a, E: 'a, F>(data: impl PinInit<T, E> + 'a, name: &'a CStr, init: F) -> impl PinInit<Self, E> + 'a
    where
        T: 'a,
        F: for<'data, 'dir> FnOnce(&'data T, &'dir ScopedDir<'data, 'dir>) + 'a,
    {
        let make = || ::debugfs::Dir::new(name.to_bytes(), None);
        pin_init!(Self { inner <- raw::Scope::dir(None, make, data, filling(init)) }? E)
    }

    /// As [`Self::dir`], in a directory.
    pub(super) fn in_dir<'a, E: 'a, F>(
        parent: Option<Arc<::debugfs::Dir>>,
        data: impl PinInit<T, E> + 'a,
        name: &'a CStr,
        init: F,
    ) -> impl PinInit<Self, E> + 'a
    where
        T: 'a,
        F: for<'data, 'dir> FnOnce(&'data T, &'dir ScopedDir<'data, 'dir>) + 'a,
    {
        let above = parent.clone();
        let make = move || ::debugfs::Dir::new(name.to_bytes(), Some(above.as_ref().ok_or(errno::code::ENOENT)?));
        pin_init!(Self { inner <- raw::Scope::dir(parent, make, data, filling(init)) }? E)
    }
}

/// Has `init` fill a directory.
fn filling<T, F>(init: F) -> impl for<'data> FnOnce(&'data T, raw::ScopedDir<'data, 'data>)
where
    F: for<'data, 'dir> FnOnce(&'data T, &'dir ScopedDir<'data, 'dir>),
{
    move |data, dir| init(data, &ScopedDir(dir))
}

impl<T> File<T> {
    /// A file in `dir` that does `how` to `data`.
    pub(super) fn with<'a, M, E: 'a>(
        dir: Option<Arc<::debugfs::Dir>>,
        name: &'a CStr,
        data: impl PinInit<T, E> + 'a,
        how: M,
    ) -> impl PinInit<Self, E> + 'a
    where
        T: Sync + 'static,
        M: MakeOps<T>,
    {
        pin_init!(Self { inner <- raw::Scope::file(dir, name, data, how) }? E)
    }
}

impl<T> Deref for Scope<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> Deref for File<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

/// A directory of a [`Scope`], while its files are made.
pub struct ScopedDir<'data, 'dir>(raw::ScopedDir<'data, 'dir>);

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident: $ops:ident where $($bound:path),+;)*) => {
        impl<'data> ScopedDir<'data, '_> { $(
            $(#[$doc])*
            pub fn $name<T>(&self, name: &CStr, data: &'data T)
            where
                T: $($bound +)+ Send + Sync + 'static,
            {
                self.0.create(name, data, $ops);
            }
        )* }
    };
}

kinds!(files);

impl<'data, 'dir> ScopedDir<'data, 'dir> {
    /// A directory in this one.
    pub fn dir<'dir2>(&'dir2 self, name: &CStr) -> ScopedDir<'data, 'dir2> {
        ScopedDir(self.0.dir(name))
    }

    /// A file whose text `f` writes.
    pub fn read_callback_file<T, F>(&self, name: &CStr, data: &'data T, f: &'static F)
    where
        T: Send + Sync + 'static,
        F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
    {
        self.0.create(name, data, ShowFile(f));
    }

    /// A file whose text `f` writes, and whose writers `w` reads.
    pub fn read_write_callback_file<T, F, W>(&self, name: &CStr, data: &'data T, f: &'static F, w: &'static W)
    where
        T: Send + Sync + 'static,
        F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
        W: Fn(&T, &mut UserSliceReader) -> Result + Send + Sync,
    {
        self.0.create(name, data, CallbackFile(f, w));
    }

    /// A file whose writers `w` reads.
    pub fn write_only_callback_file<T, W>(&self, name: &CStr, data: &'data T, w: &'static W)
    where
        T: Send + Sync + 'static,
        W: Fn(&T, &mut UserSliceReader) -> Result + Send + Sync,
    {
        self.0.create(name, data, TakeFile(w));
    }
}
