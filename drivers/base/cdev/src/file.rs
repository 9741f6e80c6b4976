// SPDX-License-Identifier: GPL-2.0
//! An open device of a driver that may be a module: the driver's operations, and the reference that keeps the module. Locks: none
//! of its own.

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use module_core::{Header, ModuleRef};
use vfs::{File, FileOps, PollMask, PollTable, fmode};
use x86_mm::uaccess::IovIter;

/// How a device is opened, once its file is made: `open(key, minor, file)` gives the driver's operations.
#[derive(Clone, Copy)]
pub struct Opener {
    /// Which of the caller's devices it is.
    pub key: usize,
    /// The minor number.
    pub minor: u32,
    /// Finds the driver by the two. `ENODEV`: it is gone by now.
    pub open: fn(usize, u32, &File) -> Result<KBox<dyn FileOps>>,
}

/// The fields are dropped in order: the driver's part goes before the reference to its module.
struct ModuleFile {
    inner: SetOnce<KBox<dyn FileOps>>,
    opener: Opener,
    mode: u32,
    _module: ModuleRef,
}

/// A file of a device, before its driver has opened it. `mode`: bits of [`fmode`] that its files have. `ENODEV`: the driver's module
/// is going.
pub fn prepare(opener: Opener, mode: u32, owner: Option<&'static Header>) -> Result<KBox<dyn FileOps>> {
    let module = ModuleRef::get(owner).ok_or(ENODEV)?;
    Ok(KBox::new(ModuleFile { inner: SetOnce::new(), opener, mode, _module: module }, GFP_KERNEL)?)
}

impl ModuleFile {
    fn inner(&self) -> Result<&dyn FileOps> {
        Ok(&**self.inner.get().ok_or(ENODEV)?)
    }
}

impl FileOps for ModuleFile {
    fn mode(&self) -> u32 {
        self.mode | fmode::OPENED
    }

    fn opened(&self, file: &File) -> Result {
        let ops = (self.opener.open)(self.opener.key, self.opener.minor, file)?;
        self.inner.set(ops).map_err(|_| EBUSY)
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        self.inner()?.read(file, to, pos)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        self.inner()?.write(file, from, pos)
    }

    fn llseek(&self, file: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        self.inner()?.llseek(file, pos, offset, whence)
    }

    fn poll(&self, file: &File, table: &mut PollTable) -> PollMask {
        self.inner().map_or(PollMask::ERR, |inner| inner.poll(file, table))
    }

    fn can_poll(&self) -> bool {
        self.inner().is_ok_and(|inner| inner.can_poll())
    }

    fn can_splice(&self, file: &File, write: bool) -> bool {
        self.inner().is_ok_and(|inner| inner.can_splice(file, write))
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        self.inner()?.fasync(file, fd, on)
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        self.inner()?.ioctl(file, cmd, arg)
    }

    fn flush(&self, file: &File) -> Result {
        self.inner()?.flush(file)
    }

    fn release(&self, file: &File) {
        // Without operations opening had failed: there is nothing to release.
        if let Ok(inner) = self.inner() {
            inner.release(file);
        }
    }

    fn fsync(&self, file: &File, datasync: bool) -> Result {
        self.inner()?.fsync(file, datasync)
    }

    fn mapping<'a>(&'a self, file: &'a File) -> Option<&'a Arc<mm::Mapping>> {
        self.inner().ok()?.mapping(file)
    }

    fn show_fdinfo(&self, file: &File, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        self.inner().map_or(Ok(()), |inner| inner.show_fdinfo(file, out))
    }
}
