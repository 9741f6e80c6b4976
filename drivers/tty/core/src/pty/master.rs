// SPDX-License-Identifier: GPL-2.0
//! The master's file: it reads what the slave writes and writes what the slave reads. Locks: `read_buffer` or `write_buffer`
//! (one reader, one writer; sleeping), then as in the parent's header.

use super::Pair;
use crate::{Tty, ioctl, job, mode};
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EAGAIN, EFAULT, EINVAL, EIO, ENOTTY, EPERM},
};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use sync::{Mutex, PollMask, PollTable};
use uapi::*;
use vfs::{File, FileOps, IovIter, fmode, user};

/// Bytes moved at once.
const CHUNK: usize = 2048;

/// An open master.
pub struct PtyMaster {
    pair: Arc<Pair>,
    slave: Arc<Tty>,
    read_buffer: Mutex<KBox<[u8; CHUNK]>>,
    write_buffer: Mutex<KBox<[u8; CHUNK]>>,
}

impl PtyMaster {
    pub(super) fn new(pair: Arc<Pair>, slave: Arc<Tty>) -> Result<Self> {
        let buffer = || KBox::<[u8; CHUNK]>::new_array(0, GFP_KERNEL);
        Ok(Self { pair, slave, read_buffer: Mutex::new(buffer()?), write_buffer: Mutex::new(buffer()?) })
    }

    /// The slave.
    pub fn slave(&self) -> &Arc<Tty> {
        &self.slave
    }

    /// Takes what is there: in packet mode one event, or data behind a zero.
    fn take(&self, buffer: &mut [u8], want: usize) -> usize {
        let mut out = self.pair.out.lock();
        let (mut at, want) = (0usize, want.min(buffer.len()));
        if out.packet {
            let Some(first) = buffer.first_mut().filter(|_| want != 0) else { return 0 };
            *first = core::mem::take(&mut out.status);
            if *first != 0 {
                return 1;
            }
            if out.ring.is_empty() {
                return 0;
            }
            at = 1;
        }
        let n = buffer.get_mut(at..want).map_or(0, |part| out.ring.read(part));
        at.saturating_add(n)
    }

    fn has_input(&self) -> bool {
        let out = self.pair.out.lock();
        !out.ring.is_empty() || out.packet && out.status != 0
    }

    /// Room was made: the slave's writers and its echo go on.
    fn wake_slave(&self) {
        if self.slave.echo_waits() {
            self.slave.drain_echo();
        }
        self.slave.room_made();
    }
}

impl Drop for PtyMaster {
    fn drop(&mut self) {
        self.pair.master_closed.store(true, Ordering::SeqCst);
        self.pair.host.master_closed();
        self.slave.hangup(false);
    }
}

impl FileOps for PtyMaster {
    fn can_splice(&self, _: &File, _: bool) -> bool {
        true
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, _pos: &mut i64) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let mut buffer = match file.nonblock() {
            true => self.read_buffer.try_lock().ok_or(EAGAIN)?,
            false => self.read_buffer.lock_interruptible()?,
        };
        let mut done = 0usize;
        loop {
            let n = self.take(&mut buffer[..], to.count());
            if n != 0 {
                let bytes = buffer.get(..n).unwrap_or_default();
                let copied = to.copy_to_iter(bytes);
                done = done.saturating_add(copied);
                if copied < n {
                    return if done == 0 { Err(EFAULT) } else { Ok(done) };
                }
                // A full chunk: there may be more. In packet mode each read gives one packet.
                if n == CHUNK && !to.is_empty() && !self.pair.out.lock().packet {
                    continue;
                }
            }
            if done != 0 {
                break;
            }
            if self.pair.is(&self.pair.slave_closed) {
                return Err(EIO);
            }
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.pair.read_wait.wait_interruptible(|| self.has_input() || self.pair.is(&self.pair.slave_closed))?;
        }
        drop(buffer);
        crate::file::update_time(&file.inode().atime);
        self.wake_slave();
        Ok(done)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, _pos: &mut i64) -> Result<usize> {
        let mut buffer = match file.nonblock() {
            true => self.write_buffer.try_lock().ok_or(EAGAIN)?,
            false => self.write_buffer.lock_interruptible()?,
        };
        let mut done = 0usize;
        let result = loop {
            if from.is_empty() {
                break Ok(());
            }
            // What the slave does not take now stays with the writer.
            let want = from.count().min(CHUNK);
            let Some(part) = buffer.get_mut(..want) else { break Ok(()) };
            let got = from.copy_from_iter(part);
            if got == 0 {
                break Err(EFAULT);
            }
            let taken = self.slave.receive(part.get(..got).unwrap_or_default(), None);
            done = done.saturating_add(taken);
            if taken < got {
                from.revert(got.saturating_sub(taken));
                if file.nonblock() {
                    break Err(EAGAIN);
                }
                let room = || self.slave.ld.lock().receive_room() != 0;
                if let Err(error) = self.pair.write_wait.wait_interruptible(room) {
                    break Err(error);
                }
            }
        };
        drop(buffer);
        if done != 0 {
            crate::file::update_time(&file.inode().mtime);
        }
        match result {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.pair.read_wait);
        table.add(&self.pair.write_wait);
        let mut mask = PollMask::NONE;
        {
            let out = self.pair.out.lock();
            if out.packet && out.status != 0 {
                mask |= PollMask::PRI | PollMask::IN | PollMask::RDNORM;
            }
            if !out.ring.is_empty() {
                mask |= PollMask::IN | PollMask::RDNORM;
            }
        }
        if self.pair.is(&self.pair.slave_closed) {
            mask |= PollMask::HUP;
        }
        if self.slave.ld.lock().receive_room() != 0 {
            mask |= PollMask::OUT | PollMask::WRNORM;
        }
        mask
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        crate::file::set_fasync(&self.pair.fasync, 0, file, fd, on)
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        if let Some(result) = self.own_ioctl(file, cmd, arg) {
            return result;
        }
        // The rest is about the slave, whose settings and size are the pty's.
        ioctl::common(&self.slave, cmd, arg, true).or_else(|| mode::ioctl(&self.slave, cmd, arg)).unwrap_or(Err(ENOTTY))
    }
}

impl PtyMaster {
    fn own_ioctl(&self, file: &File, cmd: u32, arg: usize) -> Option<Result<usize>> {
        let pair = &*self.pair;
        let put = |value: i32| user::put(arg, &value).map(|()| 0);
        Some(match cmd {
            TIOCGPTN => user::put(arg, &pair.index).map(|()| 0),
            TIOCSPTLCK => user::get::<i32>(arg).map(|on| {
                pair.locked.store(on != 0, Ordering::SeqCst);
                0
            }),
            TIOCGPTLCK => put(pair.is(&pair.locked).into()),
            TIOCPKT => user::get::<i32>(arg).map(|on| {
                let mut out = pair.out.lock();
                // Events from before do not count.
                if on != 0 && !out.packet {
                    out.status = 0;
                }
                out.packet = on != 0;
                0
            }),
            TIOCGPKT => put(pair.out.lock().packet.into()),
            TIOCSIG => self.signal(arg),
            TIOCGPTPEER => pair.host.open_peer(&self.slave, arg as u32),
            TIOCSCTTY => {
                let readable = file.mode() & fmode::READ != 0;
                job::set_controlling(&self.slave, readable, arg == 1).map(|()| 0)
            }
            TIOCNOTTY => Err(ENOTTY),
            FIONREAD => put(i32::try_from(pair.out.lock().ring.len()).unwrap_or(i32::MAX)),
            // Nothing waits on the way to the slave.
            TIOCOUTQ => put(0),
            TCFLSH => self.flush(arg),
            TIOCSTI => self.simulate_input(arg),
            _ => return None,
        })
    }

    fn flush(&self, arg: usize) -> Result<usize> {
        let which = arg as u32;
        if which > TCIOFLUSH {
            return Err(EINVAL);
        }
        if matches!(which, TCIFLUSH | TCIOFLUSH) {
            self.pair.out.lock().ring.clear();
            self.wake_slave();
        }
        if matches!(which, TCOFLUSH | TCIOFLUSH) {
            self.slave.flush_input();
        }
        Ok(0)
    }

    fn signal(&self, arg: usize) -> Result<usize> {
        let signal = u32::try_from(arg).map_err(|_| EINVAL)?;
        if !matches!(signal, SIGINT | SIGQUIT | SIGTSTP) {
            return Err(EINVAL);
        }
        job::signal_group(self.slave.group_id.load(Ordering::Relaxed), signal);
        Ok(0)
    }

    fn simulate_input(&self, arg: usize) -> Result<usize> {
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        let byte: u8 = user::get(arg)?;
        self.pair.out.lock().ring.push(byte);
        self.pair.wake_reader();
        Ok(0)
    }
}
