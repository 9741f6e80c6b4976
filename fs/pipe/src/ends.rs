// SPDX-License-Identifier: GPL-2.0
//! An open end of a pipe: reading, writing, waiting, polling.

use crate::ring::Pipe;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EAGAIN, EINVAL, ENOTTY, EPIPE};
use kalloc::Arc;
use mm_alloc::PAGE_SIZE;
use sync::{PollMask, PollTable};
use vfs::{File, FileOps, fmode};
use x86_mm::uaccess::{IovIter, UserPtr, put_user};

/// The operations of one open file.
pub(crate) struct PipeEnd {
    pub(crate) pipe: Arc<Pipe>,
    /// Key of the FIFO, if it has a name.
    pub(crate) fifo: Option<usize>,
    /// A FIFO's reader that came when nobody wrote, and did not wait: how many writers had come before. Until there is another one it is not
    /// hung up.
    pub(crate) alone_since: Option<u32>,
}

/// Bytes that `read` or `write` on a FIFO or pipe move at once without mixing with others' (`PIPE_BUF`).
const PIPE_BUF: usize = PAGE_SIZE;

impl PipeEnd {
    fn write_some(&self, file: &File, from: &mut IovIter<'_>, done: &mut usize) -> Result<bool> {
        let packet = file.flags().any(uapi::O_DIRECT);
        let mut ring = self.pipe.ring.lock_killable()?;
        if self.pipe.readers.load(Ordering::SeqCst) == 0 {
            drop(ring);
            vfs::hooks::send_current(uapi::SIGPIPE);
            return Err(EPIPE);
        }
        let was_empty = !self.pipe.has_data();
        let mut result = Ok(());
        if *done == 0 {
            match ring.merge(from) {
                Ok(n) => *done += n,
                Err(error) => result = Err(error),
            }
        }
        while result.is_ok() && !from.is_empty() && !ring.is_full() {
            match ring.append(from, packet) {
                Ok(n) => *done += n,
                Err(error) => result = Err(error),
            }
        }
        self.pipe.publish(&ring);
        drop(ring);
        // Edge-triggered epoll hears of a write that found no room, too, as on Linux.
        if was_empty || self.pipe.polled.load(Ordering::SeqCst) {
            self.pipe.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
        }
        result?;
        Ok(from.is_empty())
    }

    /// Writes until all is written, or no more can be; `done` counts the bytes.
    fn write_all(&self, file: &File, from: &mut IovIter<'_>, done: &mut usize, has_waited: &mut bool) -> Result {
        while !self.write_some(file, from, done)? {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            *has_waited = true;
            self.pipe.async_readers.kill(uapi::POLL_IN);
            self.pipe.write_wait.wait_interruptible_exclusive(|| self.pipe.writable())?;
        }
        Ok(())
    }

    /// Reads what is there, waiting for the first byte.
    fn read_some(&self, file: &File, to: &mut IovIter<'_>) -> Result<usize> {
        loop {
            let (result, was_full, more) = {
                // Who is killed here may have been chosen by the one wake-up that a write gives: it goes to another.
                let mut ring = self.pipe.ring.lock_killable().inspect_err(|_| {
                    self.pipe.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
                })?;
                let was_full = ring.is_full();
                let result = ring.take(to, true);
                self.pipe.publish(&ring);
                (result, was_full && !ring.is_full(), self.pipe.has_data())
            };
            if was_full {
                self.pipe.write_wait.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
            }
            match result {
                Ok(0) => {}
                Ok(n) => {
                    if more {
                        // Another reader may have been passed over by the one wake-up that a write gives.
                        self.pipe.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
                    }
                    file.accessed();
                    return Ok(n);
                }
                Err(error) => {
                    // The one wake-up that a write gives may have been ours.
                    self.pipe.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
                    return Err(error);
                }
            }
            if self.pipe.writers.load(Ordering::SeqCst) == 0 {
                // Data may have come in before the last writer left.
                if self.pipe.has_data() {
                    continue;
                }
                return Ok(0);
            }
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.pipe.read_wait.wait_interruptible_exclusive(|| self.pipe.readable())?;
        }
    }
}

impl FileOps for PipeEnd {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _pos: &mut i64) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let result = self.read_some(file, to);
        // Whatever came of it, as on Linux.
        self.pipe.async_writers.kill(uapi::POLL_OUT);
        result
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, _pos: &mut i64) -> Result<usize> {
        let total = from.count();
        if total == 0 {
            return Ok(0);
        }
        let mut done = 0;
        let mut has_waited = false;
        let result = self.write_all(file, from, &mut done, &mut has_waited);
        debug_assert!(total > PIPE_BUF || done == total || done == 0 || file.flags().any(uapi::O_NONBLOCK));
        // Whatever came of it, as on Linux.
        self.pipe.async_readers.kill(uapi::POLL_IN);
        if has_waited && !self.pipe.is_full() {
            // One wake-up is for one writer: pass it on.
            self.pipe.write_wait.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
        }
        if done == 0 {
            result?;
        }
        file.inode().touch_mtime();
        Ok(done)
    }

    fn poll(&self, file: &File, table: &mut PollTable) -> PollMask {
        let mut ready = PollMask::NONE;
        if table.is_waiting() && !self.pipe.polled.load(Ordering::Relaxed) {
            self.pipe.polled.store(true, Ordering::SeqCst);
        }
        if file.mode() & fmode::READ != 0 {
            table.add(&self.pipe.read_wait);
            if self.pipe.has_data() {
                ready |= PollMask::IN | PollMask::RDNORM;
            }
            let had_writer = self.alone_since != Some(self.pipe.writer_opens.load(Ordering::SeqCst));
            if self.pipe.writers.load(Ordering::SeqCst) == 0 && had_writer {
                ready |= PollMask::HUP;
            }
        }
        if file.mode() & fmode::WRITE != 0 {
            table.add(&self.pipe.write_wait);
            if !self.pipe.is_full() {
                ready |= PollMask::OUT | PollMask::WRNORM;
            }
            if self.pipe.readers.load(Ordering::SeqCst) == 0 {
                ready |= PollMask::ERR;
            }
        }
        ready
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        let (readers, writers) = (&self.pipe.async_readers, &self.pipe.async_writers);
        let _change = self.pipe.async_change.lock();
        if file.mode() & fmode::READ != 0 {
            readers.set(file, fd, on)?;
        }
        if file.mode() & fmode::WRITE != 0
            && let Err(error) = writers.set(file, fd, on)
        {
            // All or nothing; taking it off again cannot fail.
            let _ = readers.set(file, -1, false);
            return Err(error);
        }
        Ok(())
    }

    fn ioctl(&self, _file: &File, cmd: u32, arg: usize) -> Result<usize> {
        if cmd != uapi::FIONREAD {
            return Err(ENOTTY);
        }
        let bytes = self.pipe.ring.lock_killable()?.bytes();
        put_user(UserPtr::from(arg), i32::try_from(bytes).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    fn fcntl(&self, _file: &File, cmd: u32, arg: usize) -> Result<usize> {
        match cmd {
            uapi::F_GETPIPE_SZ => Ok(self.pipe.size()),
            uapi::F_SETPIPE_SZ => self.pipe.resize(arg as u32 as usize),
            _ => Err(EINVAL),
        }
    }

    fn can_splice(&self, _file: &File, _write: bool) -> bool {
        true
    }

    fn check_flags(&self, _file: &File, _flags: u32) -> Result {
        Ok(())
    }

    fn release(&self, file: &File) {
        if file.mode() & fmode::READ != 0 {
            self.pipe.readers.fetch_sub(1, Ordering::SeqCst);
        }
        if file.mode() & fmode::WRITE != 0 {
            self.pipe.writers.fetch_sub(1, Ordering::SeqCst);
        }
        let (readers, writers) = (&self.pipe.readers, &self.pipe.writers);
        if (readers.load(Ordering::SeqCst) == 0) != (writers.load(Ordering::SeqCst) == 0) {
            self.pipe.read_wait.wake_up_all();
            self.pipe.write_wait.wake_up_all();
            self.pipe.async_readers.kill(uapi::POLL_IN);
            self.pipe.async_writers.kill(uapi::POLL_OUT);
        }
        if let Some(key) = self.fifo {
            crate::fifo::put(key);
        }
    }
}
