// SPDX-License-Identifier: GPL-2.0
//! Miscellaneous devices: `kernel::miscdevice`, over `drivers/char/misc`. A device is a type that implements [`MiscDevice`];
//! each open file has a value of its `Ptr`.
//!
//! ```no_run
//! use kernel::fs::{File, Kiocb};
//! use kernel::iov::IovIterDest;
//! use kernel::miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration};
//!
//! /// An open file of `/dev/zeroes`.
//! struct Zeroes;
//!
//! #[vtable]
//! impl MiscDevice for Zeroes {
//!     type Ptr = KBox<Self>;
//!
//!     fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
//!         Ok(KBox::new(Zeroes, GFP_KERNEL)?)
//!     }
//!
//!     fn read_iter(_kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
//!         Ok(iov.copy_to_iter(&[0; 64]))
//!     }
//! }
//!
//! let options = MiscDeviceOptions { name: c"zeroes" };
//! let _registration = KBox::pin_init(MiscDeviceRegistration::<Zeroes>::register(options), GFP_KERNEL)?;
//! # Ok::<(), Error>(())
//! ```

use crate::error::VTABLE_DEFAULT_ERROR;
use crate::fs::{File, Kiocb};
use crate::iov::{IovIterDest, IovIterSource};
use crate::module::ModuleMetadata;
use crate::seq_file::SeqFile;
use crate::sync::poll::PollTable;
use crate::types::ForeignOwnable;
use crate::{build_error, macros::vtable};
use core::fmt;
use core::marker::PhantomData;
use errno::{Result, code::*};
use kernel_core::miscdevice::{Borrowed, Operations, Registration};
use module_core::Header;
use vfs::PollMask;
use x86_mm::uaccess::IovIter;

pub use kernel_core::miscdevice::MiscDeviceOptions;

/// A device that is registered. It goes when this is dropped.
pub type MiscDeviceRegistration<T> = Registration<Adapter<T>>;

/// A device's operations. The defaults of those that are optional are never called.
#[vtable]
pub trait MiscDevice: Sized + 'static {
    /// What each open file has.
    type Ptr: ForeignOwnable + Send + Sync;

    /// Opens a file.
    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr>;

    /// The file is closed: its last reference is gone.
    fn release(device: Self::Ptr, _file: &File) {
        drop(device);
    }

    /// `read(2)`.
    fn read_iter(_kiocb: Kiocb<'_, Self::Ptr>, _iov: &mut IovIterDest<'_>) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `write(2)`.
    fn write_iter(_kiocb: Kiocb<'_, Self::Ptr>, _iov: &mut IovIterSource<'_>) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ioctl(2)`.
    fn ioctl(
        _device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        _cmd: u32,
        _arg: usize,
    ) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ioctl(2)` of a 32-bit program: none run here.
    fn compat_ioctl(
        _device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        _cmd: u32,
        _arg: usize,
    ) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `poll(2)` and its kin: what is ready (`POLLIN`...), after registering what would be waited for. Must not sleep.
    fn poll(
        _device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _file: &File,
        _table: &mut PollTable<'_>,
    ) -> Result<u32> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Lines for `/proc/PID/fdinfo`.
    fn show_fdinfo(_device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>, _m: &SeqFile<'_>, _file: &File) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The operations of `T`, for the crate below.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<fn() -> T>);

impl<T: MiscDevice> Operations for Adapter<T> {
    type Ptr = T::Ptr;

    fn open(file: &File, device: &Registration<Self>) -> Result<T::Ptr> {
        T::open(file, device)
    }

    fn release(private: T::Ptr, file: &File) {
        T::release(private, file);
    }

    fn read(kiocb: Kiocb<'_, T::Ptr>, to: &mut IovIter<'_>) -> Result<usize> {
        if T::HAS_READ_ITER { IovIterDest::with(to, |iov| T::read_iter(kiocb, iov)) } else { Err(EINVAL) }
    }

    fn write(kiocb: Kiocb<'_, T::Ptr>, from: &mut IovIter<'_>) -> Result<usize> {
        if T::HAS_WRITE_ITER { IovIterSource::with(from, |iov| T::write_iter(kiocb, iov)) } else { Err(EINVAL) }
    }

    fn ioctl(private: Borrowed<'_, Self>, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        if T::HAS_IOCTL { T::ioctl(private, file, cmd, arg).map(isize::cast_unsigned) } else { Err(ENOTTY) }
    }

    fn poll(private: Borrowed<'_, Self>, file: &File, table: &mut vfs::PollTable) -> PollMask {
        if !T::HAS_POLL {
            return PollMask::DEFAULT;
        }
        T::poll(private, file, &mut PollTable::new(table)).map_or(PollMask::ERR, PollMask)
    }

    fn can_poll() -> bool {
        T::HAS_POLL
    }

    fn show_fdinfo(private: Borrowed<'_, Self>, file: &File, out: &mut dyn fmt::Write) {
        if T::HAS_SHOW_FDINFO {
            T::show_fdinfo(private, &SeqFile::new(out), file);
        }
    }

    fn owner() -> Option<&'static Header> {
        <T::OwnerModule as ModuleMetadata>::this_module().header()
    }
}
