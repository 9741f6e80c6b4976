// SPDX-License-Identifier: GPL-2.0
//! Data with the files that show it: the files go before the data.

use super::ops::{BinaryReadFile, BinaryReadWriteFile, BinaryWriteFile, MakeOps, ReadFile, ReadWriteFile, WriteFile};
use super::ops::{CallbackFile, ShowFile, TakeFile};
use super::traits::{BinaryReader, BinaryWriter, Reader, Writer};
use crate::str::CStr;
use crate::uaccess::UserSliceReader;
use core::fmt;
use core::marker::{PhantomData, PhantomPinned};
use core::ops::Deref;
use errno::Result;
use kalloc::Arc;
use pin_init::{PinInit, pin_data, pin_init_from_closure};

/// What was made for some data, in the order in which it must go.
enum Entry {
    Nothing,
    File { _file: ::debugfs::File, _dir: Arc<::debugfs::Dir> },
    Dir { _dir: Arc<::debugfs::Dir>, _parent: Option<Arc<::debugfs::Dir>> },
}

/// Data, and a directory whose files show parts of it.
///
/// # Invariants
/// The files refer to `data`, which is pinned and dropped after `entry`.
#[pin_data]
pub struct Scope<T> {
    entry: Entry,
    #[pin]
    data: T,
    #[pin]
    _pin: PhantomPinned,
}

/// Data, and a file that shows it.
#[pin_data]
pub struct File<T> {
    #[pin]
    scope: Scope<T>,
}

impl<T> Scope<T> {
    /// Builds the data, then what `make` makes for it.
    fn build<'a, E: 'a>(
        data: impl PinInit<T, E> + 'a,
        make: impl FnOnce(&T) -> Entry + 'a,
    ) -> impl PinInit<Self, E> + 'a
    where
        T: 'a,
    {
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for the value, which stays where it is. An error of the data's initializer leaves
            // nothing behind; the rest cannot fail.
            unsafe {
                data.__pinned_init(&raw mut (*slot).data)?;
                (&raw mut (*slot)._pin).write(PhantomPinned);
                let entry = make(&(*slot).data);
                (&raw mut (*slot).entry).write(entry);
            }
            Ok(())
        };
        // SAFETY: All fields are built, or none.
        unsafe { pin_init_from_closure(build) }
    }

    /// A directory in the root whose files, which `init` makes, show parts of `data`.
    pub fn dir<'a, E: 'a, F>(data: impl PinInit<T, E> + 'a, name: &'a CStr, init: F) -> impl PinInit<Self, E> + 'a
    where
        T: 'a,
        F: for<'data, 'dir> FnOnce(&'data T, &'dir ScopedDir<'data, 'dir>) + 'a,
    {
        Self::build(data, move |data| scoped(::debugfs::Dir::new(name.to_bytes(), None), None, data, init))
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
        Self::build(data, move |data| {
            let made = parent.as_ref().ok_or(errno::code::ENOENT);
            let made = made.and_then(|parent| ::debugfs::Dir::new(name.to_bytes(), Some(parent)));
            scoped(made, parent.clone(), data, init)
        })
    }
}

/// Has `init` fill the directory.
fn scoped<T, F>(made: Result<Arc<::debugfs::Dir>>, parent: Option<Arc<::debugfs::Dir>>, data: &T, init: F) -> Entry
where
    F: for<'data, 'dir> FnOnce(&'data T, &'dir ScopedDir<'data, 'dir>),
{
    // Without a directory there are no files, and nobody is told, as in Linux.
    let made = made.ok();
    init(data, &ScopedDir { dir: made.clone(), _p: PhantomData });
    match made {
        Some(dir) => Entry::Dir { _dir: dir, _parent: parent },
        None => Entry::Nothing,
    }
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
        let scope = Scope::build(data, move |data: &T| {
            let Some(dir) = dir else { return Entry::Nothing };
            // SAFETY: The file goes before the data (invariant of `Scope`).
            let file = unsafe { how.ops(data) };
            match file.and_then(|ops| dir.file(name.to_bytes(), super::mode::<T, M>(), ops)) {
                Ok(file) => Entry::File { _file: file, _dir: dir },
                Err(_) => Entry::Nothing,
            }
        });
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for the value, whose one field is built.
            unsafe { scope.__pinned_init(&raw mut (*slot).scope) }
        };
        // SAFETY: The field is built, or an error is returned.
        unsafe { pin_init_from_closure(build) }
    }
}

impl<T> Deref for Scope<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> Deref for File<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.scope
    }
}

/// A directory of a [`Scope`], while its files are made.
pub struct ScopedDir<'data, 'dir> {
    dir: Option<Arc<::debugfs::Dir>>,
    _p: PhantomData<fn(&'data ()) -> &'dir ()>,
}

macro_rules! files {
    ($($(#[$doc:meta])* $name:ident: $ops:ident where $($bound:path),+;)*) => {
        impl<'data> ScopedDir<'data, '_> { $(
            $(#[$doc])*
            pub fn $name<T>(&self, name: &CStr, data: &'data T)
            where
                T: $($bound +)+ Send + Sync + 'static,
            {
                self.create(name, data, $ops);
            }
        )* }
    };
}

files! {
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

impl<'data, 'dir> ScopedDir<'data, 'dir> {
    /// A directory in this one.
    pub fn dir<'dir2>(&'dir2 self, name: &CStr) -> ScopedDir<'data, 'dir2> {
        ScopedDir { dir: self.dir.as_ref().and_then(|dir| dir.subdir(name.to_bytes()).ok()), _p: PhantomData }
    }

    fn create<T: Sync + 'static, M: MakeOps<T>>(&self, name: &CStr, data: &'data T, how: M) {
        let Some(dir) = &self.dir else { return };
        // SAFETY: `'data` is that of the scope's data, and the scope's directory, which owns the file, goes before that.
        let ops = unsafe { how.ops(data) };
        // What cannot be made is not there.
        let _ =
            ops.and_then(|ops| dir.file(name.to_bytes(), super::mode::<T, M>(), ops)).and_then(|file| dir.keep(file));
    }

    /// A file whose text `f` writes.
    pub fn read_callback_file<T, F>(&self, name: &CStr, data: &'data T, f: &'static F)
    where
        T: Send + Sync + 'static,
        F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
    {
        self.create(name, data, ShowFile(f));
    }

    /// A file whose text `f` writes, and whose writers `w` reads.
    pub fn read_write_callback_file<T, F, W>(&self, name: &CStr, data: &'data T, f: &'static F, w: &'static W)
    where
        T: Send + Sync + 'static,
        F: Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
        W: Fn(&T, &mut UserSliceReader) -> Result + Send + Sync,
    {
        self.create(name, data, CallbackFile(f, w));
    }

    /// A file whose writers `w` reads.
    pub fn write_only_callback_file<T, W>(&self, name: &CStr, data: &'data T, w: &'static W)
    where
        T: Send + Sync + 'static,
        W: Fn(&T, &mut UserSliceReader) -> Result + Send + Sync,
    {
        self.create(name, data, TakeFile(w));
    }
}
