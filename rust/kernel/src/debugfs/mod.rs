// SPDX-License-Identifier: GPL-2.0
//! Files for debugging: `kernel::debugfs`, over `fs/debugfs`. A [`File`] or [`Scope`] owns the data that its files show, so these
//! go first. Nothing here fails: what cannot be made is not there, as nothing may depend on it.

/// The files that show a value or set it: `each!` makes them, those that own the value and those of a scope.
macro_rules! kinds {
    ($each:ident) => {
        $each! {
            /// A file that shows a value as text.
            read_only_file: ReadFile where Writer;
            /// A file that shows a value's bytes.
            read_binary_file: BinaryReadFile where BinaryWriter;
            /// A file that shows a value as text, and sets it.
            read_write_file: ReadWriteFile where Writer, Reader;
            /// A file that shows a value's bytes, and sets them.
            read_write_binary_file: BinaryReadWriteFile where BinaryWriter, BinaryReader;
            /// A file that sets a value from text.
            write_only_file: WriteFile where Reader;
            /// A file that sets a value's bytes.
            write_binary_file: BinaryWriteFile where BinaryReader;
        }
    };
}

mod ops;
mod scope;
mod traits;

pub use kernel_core::debugfs::Writer;
pub use scope::{File, Scope, ScopedDir};
pub use traits::{BinaryReader, BinaryReaderMut, BinaryWriter, Reader};

use crate::str::CStr;
use crate::uaccess::UserSliceReader;
use core::fmt;
use kalloc::Arc;
use ops::{BinaryReadFile, BinaryReadWriteFile, BinaryWriteFile, ReadFile, ReadWriteFile, WriteFile};
use ops::{CallbackFile, ShowFile, TakeFile};
use pin_init::PinInit;

/// A directory. It goes with its last clone and the last file and directory in it.
#[derive(Clone)]
pub struct Dir(Option<Arc<::debugfs::Dir>>);

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident: $ops:ident where $($bound:path),+;)*) => {
        impl Dir { $(
            $(#[$doc])*
            pub fn $name<'a, T, E: 'a>(
                &'a self,
                name: &'a CStr,
                data: impl PinInit<T, E> + 'a,
            ) -> impl PinInit<File<T>, E> + 'a
            where
                T: $($bound +)+ Send + Sync + 'static,
            {
                File::with(self.0.clone(), name, data, $ops)
            }
        )* }
    };
}

kinds!(files);

impl Dir {
    /// A directory in the root.
    pub fn new(name: &CStr) -> Self {
        Self(::debugfs::Dir::new(name.to_bytes(), None).ok())
    }

    /// A directory in this one.
    pub fn subdir(&self, name: &CStr) -> Self {
        Self(self.0.as_ref().and_then(|parent| ::debugfs::Dir::new(name.to_bytes(), Some(parent)).ok()))
    }

    /// A file whose text `f` writes.
    pub fn read_callback_file<'a, T, E: 'a, F>(
        &'a self,
        name: &'a CStr,
        data: impl PinInit<T, E> + 'a,
        f: &'static F,
    ) -> impl PinInit<File<T>, E> + 'a
    where
        T: Send + Sync + 'static,
        F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
    {
        File::with(self.0.clone(), name, data, ShowFile(f))
    }

    /// A file whose text `f` writes, and whose writers `w` reads.
    pub fn read_write_callback_file<'a, T, E: 'a, F, W>(
        &'a self,
        name: &'a CStr,
        data: impl PinInit<T, E> + 'a,
        f: &'static F,
        w: &'static W,
    ) -> impl PinInit<File<T>, E> + 'a
    where
        T: Send + Sync + 'static,
        F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
        W: Fn(&T, &mut UserSliceReader) -> errno::Result + Send + Sync,
    {
        File::with(self.0.clone(), name, data, CallbackFile(f, w))
    }

    /// A file whose writers `w` reads.
    pub fn write_callback_file<'a, T, E: 'a, W>(
        &'a self,
        name: &'a CStr,
        data: impl PinInit<T, E> + 'a,
        w: &'static W,
    ) -> impl PinInit<File<T>, E> + 'a
    where
        T: Send + Sync + 'static,
        W: Fn(&T, &mut UserSliceReader) -> errno::Result + Send + Sync,
    {
        File::with(self.0.clone(), name, data, TakeFile(w))
    }

    /// A directory in this one whose files, which `init` makes, show parts of `data`.
    pub fn scope<'a, T: 'a, E: 'a, F>(
        &'a self,
        data: impl PinInit<T, E> + 'a,
        name: &'a CStr,
        init: F,
    ) -> impl PinInit<Scope<T>, E> + 'a
    where
        F: for<'data, 'dir> FnOnce(&'data T, &'dir ScopedDir<'data, 'dir>) + 'a,
    {
        Scope::in_dir(self.0.clone(), data, name, init)
    }
}
