// SPDX-License-Identifier: GPL-2.0
//! A hypervisor's random numbers (virtio device 4): one queue, into which a buffer is put that comes back with random bytes. There is
//! always one on its way or waiting to be read.
//!
//! Lock: `Port::inner`, spin, interrupts off. Source: Virtual I/O Device Version 1.2, 5.4.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

use hw_random::{HwRng, Registration};
use kernel::ext::{Alive, AliveGuard, Id, Ida, KString, SpinLock, WaitQueue};
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::prelude::*;
use kernel::sync::Arc;
use virtio::{Handler, Sg, VirtQueue, VirtioDevice, VirtioDriver, register_driver, unregister_driver};

module! {
    type: VirtioRng,
    name: "virtio_rng",
    authors: ["The Rideau developers"],
    description: "Virtio random number driver",
    license: "GPL",
    alias: ["virtio:d00000004v*"],
}

/// Bytes that are asked for at once.
const BUFFER: usize = 64;
/// Most entries of the queue.
const MOST: u16 = 8;
/// How good they are, of 1024: what Linux says of them.
const QUALITY: u32 = 1000;

/// Numbers in the generators' names: `virtio_rng.0`...
static NUMBERS: Ida = Ida::new();
/// Devices that are in memory.
static ALIVE: Alive = Alive::new();

struct Inner {
    /// Made when interrupts are connected.
    queue: Option<VirtQueue<DmaBuffer>>,
    /// The buffer, while the device does not have it.
    buffer: Option<DmaBuffer>,
    /// What of it nobody has read yet.
    at: usize,
    end: usize,
    /// The device goes, or is broken.
    gone: bool,
    /// The machine sleeps: the device is asked for nothing.
    asleep: bool,
    /// What takes the place of the queue, and of a buffer that the device had, when the machine wakes.
    spare: Option<(VirtQueue<DmaBuffer>, DmaBuffer)>,
}

/// A device.
struct Port {
    device: Arc<VirtioDevice>,
    inner: SpinLock<Inner>,
    /// Who waits for bytes.
    wait: WaitQueue,
    _number: Id,
    /// Dropped last.
    _alive: AliveGuard,
}

impl Port {
    /// Gives the device the buffer, if it does not have it and there is nothing in it.
    fn request(&self) {
        let mut guard = self.inner.lock_irqsave();
        let inner = &mut *guard;
        if inner.gone || inner.asleep || inner.at < inner.end {
            return;
        }
        let Some(queue) = &mut inner.queue else { return };
        let Some(buffer) = inner.buffer.take() else { return };
        let piece = Sg { addr: buffer.bus_addr(), len: BUFFER as u32 };
        if let Err((_, buffer)) = queue.add(&[piece], 0, buffer) {
            (inner.buffer, inner.gone) = (Some(buffer), true);
            return;
        }
        let kick = queue.prepare_kick();
        drop(guard);
        if kick {
            self.device.transport().notify(0);
        }
    }

    /// Copies what there is; how many bytes.
    fn copy(&self, out: &mut [u8]) -> Result<usize> {
        let mut inner = self.inner.lock_irqsave();
        let len = out.len().min(inner.end - inner.at);
        if let (Some(buffer), Some(out)) = (&inner.buffer, out.get_mut(..len)) {
            buffer.read_bytes(inner.at, out)?;
        }
        inner.at += len;
        Ok(len)
    }

    /// Whether a reader has nothing to wait for.
    fn is_ready(&self) -> bool {
        let inner = self.inner.lock_irqsave();
        inner.gone || inner.at < inner.end
    }

    fn is_gone(&self) -> bool {
        self.inner.lock_irqsave().gone
    }

    /// The device was reset and starts again: with an empty queue. Readers went on waiting. May sleep.
    fn wake(&self) -> Result {
        let (queue, buffer) = self.inner.lock_irqsave().spare.take().ok_or(EIO)?;
        self.device.activate(0, &queue)?;
        let unused = {
            let mut inner = self.inner.lock_irqsave();
            let before = inner.buffer.take();
            let (buffer, rest) = if before.is_some() { (before, Some(buffer)) } else { (Some(buffer), None) };
            inner.buffer = buffer;
            (inner.queue.replace(queue), rest)
        };
        // The device does not write to what it had any more.
        drop(unused);
        self.device.ready();
        self.inner.lock_irqsave().asleep = false;
        self.request();
        Ok(())
    }
}

/// The device as the core has it: who takes it back waits until nobody else has this very value, so it is not the [`Port`] itself.
struct Reader(Arc<Port>);

impl HwRng for Reader {
    fn read(&self, out: &mut [u8], wait: bool) -> Result<usize> {
        self.0.read(out, wait)
    }
}

impl Port {
    fn read(&self, out: &mut [u8], wait: bool) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            if self.is_gone() {
                return if done == 0 { Err(ENODEV) } else { Ok(done) };
            }
            let len = self.copy(rest)?;
            done += len;
            self.request();
            if len != 0 {
                continue;
            }
            if !wait {
                break;
            }
            if let Err(error) = self.wait.wait_killable(|| self.is_ready()) {
                return if done == 0 { Err(error) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

/// A device that is bound.
struct Bound {
    port: Arc<Port>,
    /// Taken back when the device goes.
    registration: kernel::ext::Mutex<Option<Registration>>,
}

impl Handler for Bound {
    fn queue_interrupt(&self, _: u16) {
        let mut empty = false;
        {
            let mut guard = self.port.inner.lock_irqsave();
            let inner = &mut *guard;
            let Some(queue) = &mut inner.queue else { return };
            match queue.get() {
                Ok(Some((buffer, len))) => {
                    (inner.buffer, inner.at) = (Some(buffer), 0);
                    inner.end = (len as usize).min(BUFFER);
                    empty = inner.end == 0;
                }
                Ok(None) => return,
                // It wrote nonsense into the ring.
                Err(_) => inner.gone = true,
            }
        }
        // A buffer with nothing in it goes back.
        if empty {
            self.port.request();
        }
        self.port.wait.wake_up_all();
    }

    fn config_changed(&self) {}

    fn sleeps(&self) -> bool {
        true
    }

    /// The reset takes the buffer from the device.
    fn freeze(&self) -> Result {
        let spare = (self.port.device.make_queue(0, MOST)?, DmaBuffer::new(BUFFER, false, GFP_KERNEL)?);
        let mut inner = self.port.inner.lock_irqsave();
        (inner.asleep, inner.spare) = (true, Some(spare));
        Ok(())
    }

    fn restore(&self, reached: Result) -> Result {
        let woken = reached.and_then(|()| self.port.wake());
        if woken.is_err() {
            self.port.inner.lock_irqsave().gone = true;
            self.port.wait.wake_up_all();
        }
        woken
    }

    fn remove(&self) {
        self.port.inner.lock_irqsave().gone = true;
        self.port.wait.wake_up_all();
        let registration = self.registration.lock().take();
        // Waits for readers, who see that it is gone.
        drop(registration);
        self.port.device.reset();
        // The device does not write to the buffer any more.
        let queue = self.port.inner.lock_irqsave().queue.take();
        drop(queue);
    }
}

struct Driver;

static DRIVER: Driver = Driver;

impl VirtioDriver for Driver {
    fn name(&self) -> &'static str {
        "virtio_rng"
    }

    fn device_types(&self) -> &'static [u32] {
        &[4]
    }

    fn features(&self) -> u64 {
        0
    }

    fn probe(&self, device: &Arc<VirtioDevice>) -> Result<Arc<dyn Handler>> {
        let number = NUMBERS.alloc(i32::MAX as u32)?;
        let name = KString::from_fmt(format_args!("virtio_rng.{}", number.get()), GFP_KERNEL)?;
        let inner = Inner {
            queue: None,
            buffer: Some(DmaBuffer::new(BUFFER, false, GFP_KERNEL)?),
            at: 0,
            end: 0,
            gone: false,
            asleep: false,
            spare: None,
        };
        let port = Port {
            device: device.clone(),
            inner: SpinLock::new(inner),
            wait: WaitQueue::new(),
            _number: number,
            _alive: ALIVE.count(),
        };
        let port = Arc::new(port, GFP_KERNEL)?;
        let reader = Arc::new(Reader(port.clone()), GFP_KERNEL)?;
        let bound = Bound { port: port.clone(), registration: kernel::ext::Mutex::new(None) };
        let bound = Arc::new(bound, GFP_KERNEL)?;
        let name_of = device.name().to_str().ok_or(EINVAL)?;
        device.transport().connect(name_of, &[0], bound.clone())?;
        let queue = device.new_queue(0, MOST)?;
        port.inner.lock_irqsave().queue = Some(queue);
        device.ready();
        port.request();
        match Registration::new(name.as_bytes(), QUALITY, reader) {
            Ok(registration) => *bound.registration.lock() = Some(registration),
            Err(error) => {
                bound.remove();
                return Err(error);
            }
        }
        Ok(bound)
    }
}

struct VirtioRng;

impl kernel::Module for VirtioRng {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_driver(&DRIVER)?;
        Ok(Self)
    }
}

impl Drop for VirtioRng {
    fn drop(&mut self) {
        unregister_driver(&DRIVER);
        // Who holds a device for a moment still runs code of this module when he drops it.
        ALIVE.wait_gone();
    }
}
