// SPDX-License-Identifier: GPL-2.0
//! Miscellaneous devices: `kernel::miscdevice`, over `drivers/char/misc`. A device is a type that implements [`MiscDevice`];
//! each open file has a value of its `Ptr`.

use crate::device::Device;
use crate::error::VTABLE_DEFAULT_ERROR;
use crate::fs::{File, Kiocb};
use crate::iov::{IovIterDest, IovIterSource};
use crate::module::ModuleMetadata;
use crate::seq_file::SeqFile;
use crate::sync::poll::PollTable;
use crate::types::ForeignOwnable;
use crate::{build_error, macros::vtable};
use core::ffi::{CStr, c_void};
use core::fmt;
use core::marker::{PhantomData, PhantomPinned};
use core::pin::Pin;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use misc::{MiscOps, Registration};
use module_core::Header;
use pin_init::{PinInit, pin_data, pin_init_from_closure, pinned_drop};
use vfs::{FileOps, PollMask, fmode};
use x86_mm::uaccess::IovIter;

/// What a device is like.
#[derive(Copy, Clone)]
pub struct MiscDeviceOptions {
    /// Its name, and that of its node in `/dev`.
    pub name: &'static CStr,
}

/// A device that is registered. It goes when this is dropped.
#[pin_data(PinnedDrop)]
pub struct MiscDeviceRegistration<T> {
    device: SetOnce<Arc<::device::Device>>,
    inner: Option<Registration>,
    #[pin]
    _pin: PhantomPinned,
    _t: PhantomData<T>,
}

// SAFETY: There is no `T` in it; the rest may be used anywhere.
unsafe impl<T> Send for MiscDeviceRegistration<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for MiscDeviceRegistration<T> {}

impl<T: MiscDevice> MiscDeviceRegistration<T> {
    /// Registers a device with a minor of its own. `EEXIST`, `ENOMEM`. May sleep.
    pub fn register(opts: MiscDeviceOptions) -> impl PinInit<Self, Error> {
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for the value, which stays where it is. On an error what was written is dropped.
            unsafe {
                slot.write(Self { device: SetOnce::new(), inner: None, _pin: PhantomPinned, _t: PhantomData });
                let opener = Opener::<T> { registration: NonNull::new_unchecked(slot), _t: PhantomData };
                let made = Registration::new(opts.name.to_bytes(), misc::DYNAMIC_MINOR, |device| {
                    // Set once, just here.
                    let _ = (*slot).device.set(device.clone());
                    Ok(KBox::new(opener, GFP_KERNEL)?)
                });
                match made {
                    Ok(registration) => (&raw mut (*slot).inner).write(Some(registration)),
                    Err(error) => {
                        (&raw mut (*slot).device).drop_in_place();
                        return Err(error);
                    }
                }
            }
            Ok(())
        };
        // SAFETY: All is built, or an error is returned and nothing is left.
        unsafe { pin_init_from_closure(build) }
    }

    /// The device, as sysfs shows it.
    pub fn device(&self) -> &Device {
        let Some(device) = self.device.get() else { build_error!("a registration has its device from the start") };
        // SAFETY: `Normal` promises nothing.
        unsafe { Device::from_core(device) }
    }
}

#[pinned_drop]
impl<T> PinnedDrop for MiscDeviceRegistration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Nothing is moved out of the pinned value but the registration, which is not pinned.
        let inner = unsafe { &mut self.get_unchecked_mut().inner };
        // Nobody opens the device after this; until then an open may refer to this value.
        drop(inner.take());
    }
}

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

/// Opens files of the device.
///
/// # Invariants
/// The registration is valid as long as this is known to the core: it takes it away first when it is dropped.
struct Opener<T> {
    registration: NonNull<MiscDeviceRegistration<T>>,
    _t: PhantomData<T>,
}

// SAFETY: The registration may be used anywhere.
unsafe impl<T> Send for Opener<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Opener<T> {}

impl<T: MiscDevice> MiscOps for Opener<T> {
    fn open(&self, file: &vfs::File) -> Result<KBox<dyn FileOps>> {
        // SAFETY: By the type invariant; the core holds its lock, which taking the device away needs.
        let registration = unsafe { self.registration.as_ref() };
        let open = KBox::new(Open::<T> { private: AtomicPtr::default(), _t: PhantomData }, GFP_KERNEL)?;
        let private = T::open(File::from_vfs(file), registration)?;
        open.private.store(private.into_foreign(), Ordering::Release);
        Ok(open)
    }

    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn owner(&self) -> Option<&'static Header> {
        <T::OwnerModule as ModuleMetadata>::this_module().header()
    }
}

/// An open file of the device.
///
/// # Invariants
/// `private` came from `T::Ptr::into_foreign`, and is taken back by `release` alone, which nothing follows.
struct Open<T> {
    private: AtomicPtr<c_void>,
    _t: PhantomData<fn() -> T>,
}

impl<T: MiscDevice> Open<T> {
    fn private(&self) -> *mut c_void {
        self.private.load(Ordering::Acquire)
    }

    fn borrow(&self) -> <T::Ptr as ForeignOwnable>::Borrowed<'_> {
        // SAFETY: By the type invariant.
        unsafe { T::Ptr::borrow(self.private()) }
    }
}

impl<T: MiscDevice> FileOps for Open<T> {
    fn read(&self, _: &vfs::File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if !T::HAS_READ_ITER {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant.
        let kiocb = unsafe { Kiocb::<T::Ptr>::new(self.private(), pos) };
        IovIterDest::with(to, |iov| T::read_iter(kiocb, iov))
    }

    fn write(&self, _: &vfs::File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if !T::HAS_WRITE_ITER {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariant.
        let kiocb = unsafe { Kiocb::<T::Ptr>::new(self.private(), pos) };
        IovIterSource::with(from, |iov| T::write_iter(kiocb, iov))
    }

    fn llseek(&self, _: &vfs::File, _: &mut i64, _: i64, _: u32) -> Result<i64> {
        Err(ESPIPE)
    }

    fn ioctl(&self, file: &vfs::File, cmd: u32, arg: usize) -> Result<usize> {
        if !T::HAS_IOCTL {
            return Err(ENOTTY);
        }
        T::ioctl(self.borrow(), File::from_vfs(file), cmd, arg).map(isize::cast_unsigned)
    }

    fn poll(&self, file: &vfs::File, table: &mut vfs::PollTable) -> PollMask {
        if !T::HAS_POLL {
            return PollMask::DEFAULT;
        }
        let ready = T::poll(self.borrow(), File::from_vfs(file), &mut PollTable::new(table));
        ready.map_or(PollMask::ERR, PollMask)
    }

    fn can_poll(&self) -> bool {
        T::HAS_POLL
    }

    fn release(&self, file: &vfs::File) {
        let private = self.private.swap(core::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: By the type invariant it is taken back once: the file's last reference is gone.
        if let Some(private) = unsafe { T::Ptr::try_from_foreign(private) } {
            T::release(private, File::from_vfs(file));
        }
    }

    fn show_fdinfo(&self, file: &vfs::File, out: &mut dyn fmt::Write) -> fmt::Result {
        if T::HAS_SHOW_FDINFO {
            T::show_fdinfo(self.borrow(), &SeqFile::new(out), File::from_vfs(file));
        }
        Ok(())
    }
}
