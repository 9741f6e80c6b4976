// SPDX-License-Identifier: GPL-2.0
//! An open `/dev/vportNpM`: one at a time for each port. While the host's end is closed reads end the file and writes wait.

use crate::control::event;
use crate::device::Console;
use crate::port::Port;
use crate::queues::BUFFER;
use core::sync::atomic::Ordering::SeqCst;
use kernel::cdev::{CharOps, File, FileOps, IovIter, PollMask, PollTable};
use kernel::ext::{ModuleHeader, Mutex, WeakArc};
use kernel::prelude::*;
use kernel::sync::Arc;

/// Opens ports of a device.
pub(crate) struct Opener(WeakArc<Console>);

impl Opener {
    pub(crate) fn new(console: &Arc<Console>) -> Self {
        Self(Arc::downgrade(console))
    }
}

impl CharOps for Opener {
    fn open(&self, minor: u32, _: &File) -> Result<KBox<dyn FileOps>> {
        let console = self.0.upgrade().ok_or(ENXIO)?;
        let port = console.port(minor).ok_or(ENXIO)?;
        // Those are opened as terminals.
        if port.is_console() {
            return Err(ENXIO);
        }
        if port.guest_connected.swap(true, SeqCst) {
            return Err(EBUSY);
        }
        // From here on dropping it closes the port.
        let open = Open { port, console: self.0.clone(), reading: Mutex::new(KVec::new()) };
        *open.reading.lock() = KVec::from_elem(0u8, BUFFER, GFP_KERNEL)?;
        console.send_control(minor, event::PORT_OPEN, 1);
        Ok(KBox::new(open, GFP_KERNEL)?)
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        <crate::VirtioConsole as kernel::ModuleMetadata>::this_module().header()
    }
}

/// The open port.
struct Open {
    port: Arc<Port>,
    console: WeakArc<Console>,
    /// What is copied to the reader; one at a time.
    reading: Mutex<KVec<u8>>,
}

impl Open {
    fn would_read_block(&self) -> bool {
        self.port.is_open() && !self.port.queues.has_input() && self.port.is_host_there()
    }

    fn would_write_block(&self) -> bool {
        self.port.is_open() && !(self.port.is_host_there() && self.port.queues.has_room())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A port that was pulled out is closed already.
        if self.port.guest_connected.swap(false, SeqCst)
            && let Some(console) = self.console.upgrade()
        {
            console.send_control(self.port.id, event::PORT_OPEN, 0);
            self.port.queues.discard();
        }
    }
}

impl FileOps for Open {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let port = &*self.port;
        if !port.is_open() {
            return Err(ENODEV);
        }
        let mut buffer = match file.nonblock() {
            true => self.reading.try_lock().ok_or(EAGAIN)?,
            false => self.reading.lock_interruptible()?,
        };
        if !port.queues.has_input() {
            if !port.is_host_there() {
                return Ok(0);
            }
            if file.nonblock() {
                return Err(EAGAIN);
            }
            port.wait.wait_interruptible(|| !self.would_read_block())?;
        }
        if !port.is_open() {
            return Err(ENODEV);
        }
        let want = to.count().min(buffer.len());
        let Some(part) = buffer.get_mut(..want) else { return Ok(0) };
        // Nothing, if the host closed its end meanwhile.
        let len = port.queues.peek(part);
        let copied = to.copy_to_iter(part.get(..len).unwrap_or_default());
        port.queues.consume(copied);
        if copied == 0 && len != 0 { Err(EFAULT) } else { Ok(copied) }
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if from.is_empty() {
            return Ok(0);
        }
        let mut buffer = KVec::from_elem(0u8, from.count().min(BUFFER), GFP_KERNEL)?;
        let mut done = 0;
        // Linux writes up to 32 KB at once, as much as there are buffers here.
        while !from.is_empty() && done < 32768 {
            if self.would_write_block() {
                if done != 0 {
                    break;
                }
                if file.nonblock() {
                    return Err(EAGAIN);
                }
                self.port.wait.wait_interruptible(|| !self.would_write_block())?;
            }
            if !self.port.is_open() {
                return if done == 0 { Err(ENODEV) } else { Ok(done) };
            }
            let want = from.count().min(buffer.len());
            let Some(part) = buffer.get_mut(..want) else { break };
            let got = from.copy_from_iter(part);
            if got == 0 {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            let sent = self.port.queues.send(part.get(..got).unwrap_or_default());
            from.revert(got - sent);
            done += sent;
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        let port = &*self.port;
        table.add(&port.wait);
        if !port.is_open() {
            return PollMask::HUP;
        }
        let mut mask = PollMask::NONE;
        if !self.would_read_block() {
            mask |= PollMask::IN | PollMask::RDNORM;
        }
        if !self.would_write_block() {
            mask |= PollMask::OUT;
        }
        if !port.is_host_there() {
            mask |= PollMask::HUP;
        }
        mask
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        self.port.fasync.set(file, fd, on).map(drop)
    }
}
