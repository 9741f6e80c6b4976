// SPDX-License-Identifier: GPL-2.0
//! Data with the files that show it: the files go before the data.

use super::ops::{MakeOps, ops};
use core::ffi::CStr;
use core::marker::{PhantomData, PhantomPinned};
use core::ops::Deref;
use errno::Result;
use kalloc::Arc;
use pin_init::{PinInit, pin_data, pin_init_from_closure};

/// What was made for some data, in the order in which it must go.
enum Entry {
    Nothing,
    File { _file: ::debugfs::File, _dir: Arc<::debugfs::Dir> },
    Dir { dir: Arc<::debugfs::Dir>, _parent: Option<Arc<::debugfs::Dir>> },
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Self::Dir { dir, .. } = self {
            // Somebody may have leaked a reference to it, or to a directory in it.
            dir.clear();
        }
    }
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

    /// Data whose files `init` makes, in the directory that `make` makes. `parent` stays as long.
    pub fn dir<'a, E: 'a, F>(
        parent: Option<Arc<::debugfs::Dir>>,
        make: impl FnOnce() -> Result<Arc<::debugfs::Dir>> + 'a,
        data: impl PinInit<T, E> + 'a,
        init: F,
    ) -> impl PinInit<Self, E> + 'a
    where
        T: 'a,
        F: for<'data> FnOnce(&'data T, ScopedDir<'data, 'data>) + 'a,
    {
        Self::build(data, move |data| {
            // Without a directory there are no files, and nobody is told, as in Linux.
            let made = make().ok();
            init(data, ScopedDir { dir: made.clone(), _p: PhantomData });
            match made {
                Some(dir) => Entry::Dir { dir, _parent: parent },
                None => Entry::Nothing,
            }
        })
    }

    /// Data with a file in `dir` that does `how` to it.
    pub fn file<'a, M, E: 'a>(
        dir: Option<Arc<::debugfs::Dir>>,
        name: &'a CStr,
        data: impl PinInit<T, E> + 'a,
        how: M,
    ) -> impl PinInit<Self, E> + 'a
    where
        T: Sync + 'static,
        M: MakeOps<T>,
    {
        Self::build(data, move |data: &T| {
            let Some(dir) = dir else { return Entry::Nothing };
            // SAFETY: The file goes before the data (invariant of `Scope`).
            let ops = unsafe { ops(data, how) };
            match ops.and_then(|ops| dir.file(name.to_bytes(), M::mode(), ops)) {
                Ok(file) => Entry::File { _file: file, _dir: dir },
                Err(_) => Entry::Nothing,
            }
        })
    }
}

impl<T> Deref for Scope<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// A directory of a [`Scope`], while its files are made.
pub struct ScopedDir<'data, 'dir> {
    dir: Option<Arc<::debugfs::Dir>>,
    _p: PhantomData<fn(&'data ()) -> &'dir ()>,
}

impl<'data> ScopedDir<'data, '_> {
    /// A directory in this one.
    pub fn dir<'dir2>(&'dir2 self, name: &CStr) -> ScopedDir<'data, 'dir2> {
        ScopedDir { dir: self.dir.as_ref().and_then(|dir| dir.subdir(name.to_bytes()).ok()), _p: PhantomData }
    }

    /// A file that does `how` to `data`. What cannot be made is not there.
    pub fn create<T: Sync + 'static, M: MakeOps<T>>(&self, name: &CStr, data: &'data T, how: M) {
        let Some(dir) = &self.dir else { return };
        // SAFETY: `'data` is that of the scope's data, and the scope's directory, which owns the file, is cleared before that goes.
        let ops = unsafe { ops(data, how) };
        let _ = ops.and_then(|ops| dir.file(name.to_bytes(), M::mode(), ops)).and_then(|file| dir.keep(file));
    }
}
