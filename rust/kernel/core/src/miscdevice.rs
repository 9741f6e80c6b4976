// SPDX-License-Identifier: GPL-2.0
//! Miscellaneous devices, their open files and the values of these: the part of `kernel::miscdevice` that holds pointers, over
//! `drivers/char/misc`.

use crate::build_error;
use crate::device::Device;
use crate::fs::{File, Kiocb};
use crate::types::ForeignOwnable;
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
use misc::MiscOps;
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
pub struct Registration<T> {
    device: SetOnce<Arc<::device::Device>>,
    inner: Option<misc::Registration>,
    #[pin]
    _pin: PhantomPinned,
    _t: PhantomData<T>,
}

// SAFETY: There is no `T` in it; the rest may be used anywhere.
unsafe impl<T> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers a device with a minor of its own. `EEXIST`, `ENOMEM`. May sleep.
    pub fn register(opts: MiscDeviceOptions) -> impl PinInit<Self, Error> {
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for the value, which stays where it is. On an error what was written is dropped.
            unsafe {
                slot.write(Self { device: SetOnce::new(), inner: None, _pin: PhantomPinned, _t: PhantomData });
                let opener = Opener::<T> { registration: NonNull::new_unchecked(slot), _t: PhantomData };
                let made = misc::Registration::new(opts.name.to_bytes(), misc::DYNAMIC_MINOR, |device| {
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
impl<T> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Nothing is moved out of the pinned value but the registration, which is not pinned.
        let inner = unsafe { &mut self.get_unchecked_mut().inner };
        // Nobody opens the device after this; until then an open may refer to this value.
        drop(inner.take());
    }
}

/// What a kind of devices does. All but `poll` may sleep.
pub trait Operations: Sized + 'static {
    /// What each open file has.
    type Ptr: ForeignOwnable + Send + Sync;

    /// Opens a file.
    fn open(file: &File, device: &Registration<Self>) -> Result<Self::Ptr>;
    /// The file's last reference is gone.
    fn release(private: Self::Ptr, file: &File);
    /// `read(2)`.
    fn read(kiocb: Kiocb<'_, Self::Ptr>, to: &mut IovIter<'_>) -> Result<usize>;
    /// `write(2)`.
    fn write(kiocb: Kiocb<'_, Self::Ptr>, from: &mut IovIter<'_>) -> Result<usize>;
    /// `ioctl(2)`.
    fn ioctl(private: Borrowed<'_, Self>, file: &File, cmd: u32, arg: usize) -> Result<usize>;
    /// `poll(2)`.
    fn poll(private: Borrowed<'_, Self>, file: &File, table: &mut vfs::PollTable) -> PollMask;
    /// Whether there is one.
    fn can_poll() -> bool;
    /// Lines for `/proc/PID/fdinfo`.
    fn show_fdinfo(private: Borrowed<'_, Self>, file: &File, out: &mut dyn fmt::Write);
    /// The module.
    fn owner() -> Option<&'static Header>;
}

/// An open file's value, borrowed.
pub type Borrowed<'a, T> = <<T as Operations>::Ptr as ForeignOwnable>::Borrowed<'a>;

/// Opens files of the device.
///
/// # Invariants
/// The registration is valid as long as this is known to the core: it takes it away first when it is dropped.
struct Opener<T> {
    registration: NonNull<Registration<T>>,
    _t: PhantomData<T>,
}

// SAFETY: The registration may be used anywhere.
unsafe impl<T> Send for Opener<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Opener<T> {}

impl<T: Operations> MiscOps for Opener<T> {
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
        T::owner()
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

impl<T: Operations> Open<T> {
    fn private(&self) -> *mut c_void {
        self.private.load(Ordering::Acquire)
    }

    fn borrow(&self) -> Borrowed<'_, T> {
        // SAFETY: By the type invariant.
        unsafe { T::Ptr::borrow(self.private()) }
    }
}

impl<T: Operations> FileOps for Open<T> {
    fn read(&self, _: &vfs::File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant.
        T::read(unsafe { Kiocb::new(self.private(), pos) }, to)
    }

    fn write(&self, _: &vfs::File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant.
        T::write(unsafe { Kiocb::new(self.private(), pos) }, from)
    }

    fn llseek(&self, _: &vfs::File, _: &mut i64, _: i64, _: u32) -> Result<i64> {
        Err(ESPIPE)
    }

    fn ioctl(&self, file: &vfs::File, cmd: u32, arg: usize) -> Result<usize> {
        T::ioctl(self.borrow(), File::from_vfs(file), cmd, arg)
    }

    fn poll(&self, file: &vfs::File, table: &mut vfs::PollTable) -> PollMask {
        T::poll(self.borrow(), File::from_vfs(file), table)
    }

    fn can_poll(&self) -> bool {
        T::can_poll()
    }

    fn release(&self, file: &vfs::File) {
        let private = self.private.swap(core::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: By the type invariant it is taken back once: the file's last reference is gone.
        if let Some(private) = unsafe { T::Ptr::try_from_foreign(private) } {
            T::release(private, File::from_vfs(file));
        }
    }

    fn show_fdinfo(&self, file: &vfs::File, out: &mut dyn fmt::Write) -> fmt::Result {
        T::show_fdinfo(self.borrow(), File::from_vfs(file), out);
        Ok(())
    }
}
