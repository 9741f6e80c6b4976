// SPDX-License-Identifier: GPL-2.0
//! `/dev/rust-mailbox`: what one program writes another reads, line by line. Shows a misc device with `read`, `write`, `ioctl` and
//! `poll`, a mutex with a condition variable, work that is done later, and counters in debugfs.
//!
//! - `write(2)` puts one message (4096 bytes at most) into the box.
//! - `read(2)` takes one out, and waits for it (`EAGAIN` with `O_NONBLOCK`).
//! - `poll(2)`: `POLLIN` when there is one.
//! - `ioctl(2)`: `_IOR('m', 1, u32)` is how many there are; `_IO('m', 2)` throws all away, a little later.
//! - `/sys/kernel/debug/rust_mailbox/{written,read}`: messages so far.

#![no_std]
#![forbid(unsafe_code)]

use core::pin::Pin;
use kernel::alloc::KVec;
use kernel::debugfs::{Dir, File as DebugFile};
use kernel::device::Device;
use kernel::fs::file::flags::O_NONBLOCK;
use kernel::fs::{File, Kiocb};
use kernel::init::pin_init_scope;
use kernel::ioctl::{_IO, _IOC_SIZE, _IOR};
use kernel::iov::{IovIterDest, IovIterSource};
use kernel::miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration};
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::poll::{PollCondVar, PollTable};
use kernel::sync::{Arc, Mutex, global_lock};
use kernel::uaccess::UserSlice;
use kernel::workqueue::{self, Work, WorkItem, impl_has_work, new_work};
use kernel::{new_mutex, new_poll_condvar};

module! {
    type: Mailbox,
    name: "rust_mailbox",
    authors: ["The Rideau developers"],
    description: "A device through which programs send each other lines",
    license: "GPL",
}

const COUNT: u32 = _IOR::<u32>('m' as u32, 1);
const CLEAR: u32 = _IO('m' as u32, 2);
/// Longest message.
const MAX: usize = 4096;
/// `POLLIN | POLLRDNORM`, and `POLLOUT | POLLWRNORM`.
const READABLE: u32 = 0x41;
const WRITABLE: u32 = 0x104;

/// The box. Held by the module, by open files, and by work that is queued.
#[pin_data]
struct Shelf {
    #[pin]
    messages: Mutex<KVec<KVec<u8>>>,
    #[pin]
    arrived: PollCondVar,
    #[pin]
    clear: Work<Shelf>,
    /// Messages in the box, for `poll`, which must not wait for the lock.
    waiting: Atomic<u32>,
    written: Atomic<u64>,
    taken: Atomic<u64>,
}

impl_has_work! {
    impl HasWork<Self> for Shelf { self.clear }
}

impl WorkItem for Shelf {
    type Pointer = Arc<Shelf>;

    fn run(this: Arc<Shelf>) {
        let mut messages = this.messages.lock();
        messages.clear();
        this.waiting.store(0, Relaxed);
        drop(messages);
        pr_info!("cleared\n");
    }
}

impl Shelf {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            messages <- new_mutex!(KVec::new()),
            arrived <- new_poll_condvar!(),
            clear <- new_work!("Shelf::clear"),
            waiting: Atomic::new(0),
            written: Atomic::new(0),
            taken: Atomic::new(0),
        })
    }

    /// Takes the oldest message; `None`: a signal came, or `wait` is not set.
    fn take(&self, wait: bool) -> Result<KVec<u8>> {
        let mut messages = self.messages.lock();
        loop {
            if let Ok(first) = messages.remove(0) {
                self.taken.add(1, Relaxed);
                self.waiting.fetch_sub(1, Relaxed);
                return Ok(first);
            }
            if !wait {
                return Err(EAGAIN);
            }
            if self.arrived.wait_interruptible(&mut messages) {
                return Err(ERESTARTSYS);
            }
        }
    }
}

global_lock! {
    /// The one box of the module, while it is loaded.
    static SHELF: Mutex<Option<Arc<Shelf>>> = None;
}

/// An open file.
struct Open {
    shelf: Arc<Shelf>,
    device: ARef<Device>,
    nonblock: bool,
}

#[vtable]
impl MiscDevice for Open {
    type Ptr = Pin<KBox<Self>>;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Pin<KBox<Self>>> {
        let shelf = SHELF.lock().clone().ok_or(ENODEV)?;
        let nonblock = file.flags() & O_NONBLOCK != 0;
        Ok(KBox::pin(Self { shelf, device: misc.device().into(), nonblock }, GFP_KERNEL)?)
    }

    fn read_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let me = kiocb.file();
        let message = me.shelf.take(!me.nonblock)?;
        let done = iov.copy_to_iter(&message);
        if done == 0 && !message.is_empty() { Err(EFAULT) } else { Ok(done) }
    }

    fn write_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let me = kiocb.file();
        if iov.len() > MAX {
            return Err(EMSGSIZE);
        }
        let mut message = KVec::new();
        let len = iov.copy_from_iter_vec(&mut message, GFP_KERNEL)?;
        let mut messages = me.shelf.messages.lock();
        messages.push(message, GFP_KERNEL)?;
        me.shelf.waiting.add(1, Relaxed);
        drop(messages);
        me.shelf.written.add(1, Relaxed);
        me.shelf.arrived.notify_all();
        Ok(len)
    }

    fn ioctl(me: Pin<&Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            COUNT => {
                let count = u32::try_from(me.shelf.messages.lock().len())?;
                UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd)).writer().write(&count)?;
            }
            // One that is queued already does it for both.
            CLEAR => drop(workqueue::system().enqueue(me.shelf.clone())),
            _ => {
                dev_dbg!(me.device, "no request {cmd:#x}\n");
                return Err(ENOTTY);
            }
        }
        Ok(0)
    }

    fn poll(me: Pin<&Self>, file: &File, table: &mut PollTable<'_>) -> Result<u32> {
        table.register_wait(file, &me.shelf.arrived);
        Ok(if me.shelf.waiting.load(Relaxed) != 0 { READABLE | WRITABLE } else { WRITABLE })
    }
}

/// A counter's file in debugfs.
type Counter = DebugFile<Arc<Shelf>>;

#[pin_data(PinnedDrop)]
struct Mailbox {
    #[pin]
    device: MiscDeviceRegistration<Open>,
    #[pin]
    written: Counter,
    #[pin]
    read: Counter,
}

impl kernel::InPlaceModule for Mailbox {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init_scope(|| {
            let shelf = Arc::pin_init(Shelf::new(), GFP_KERNEL)?;
            *SHELF.lock() = Some(shelf.clone());
            let dir = Dir::new(c"rust_mailbox");
            Ok(try_pin_init!(Self {
                written <- dir.read_callback_file(c"written", shelf.clone(), &|shelf: &Arc<Shelf>, f| {
                    writeln!(f, "{}", shelf.written.load(Relaxed))
                }),
                read <- dir.read_callback_file(c"read", shelf.clone(), &|shelf: &Arc<Shelf>, f| {
                    writeln!(f, "{}", shelf.taken.load(Relaxed))
                }),
                device <- MiscDeviceRegistration::register(MiscDeviceOptions { name: c"rust-mailbox" }),
            }))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Mailbox {
    fn drop(self: Pin<&mut Self>) {
        *SHELF.lock() = None;
    }
}
