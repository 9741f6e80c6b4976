// SPDX-License-Identifier: GPL-2.0
//! `TtyFile`: an open terminal. Called by the VFS. A file from before a hang-up is dead: it reads nothing and writes `EIO`.

use crate::{Tty, ioctl, read, special, write};
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EIO, ENOTTY, ESRCH},
};
use kalloc::Arc;
use sync::{PollMask, PollTable};
use uapi::TIOCSPGRP;
use vfs::types::AtomicTime;
use vfs::{FasyncList, File, FileOps, IovIter, OwnerKind, Timespec};

/// An open terminal.
pub struct TtyFile {
    tty: Arc<Tty>,
    generation: u32,
    console: bool,
}

impl TtyFile {
    pub(crate) fn new(tty: Arc<Tty>, generation: u32, console: bool) -> Self {
        Self { tty, generation, console }
    }

    /// The terminal.
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// Whether it was opened as `/dev/console`.
    pub(crate) fn is_console(&self) -> bool {
        self.console
    }

    /// Whether the terminal was hung up since this was opened.
    #[inline]
    pub(crate) fn is_hung_up(&self) -> bool {
        self.generation != self.tty.generation.load(Ordering::Relaxed) && !self.console
    }
}

impl Drop for TtyFile {
    fn drop(&mut self) {
        self.tty.close(self.generation, self.console);
    }
}

/// `O_ASYNC` on a terminal: if nobody is the file's owner yet, the group in front is, or else the caller.
pub(crate) fn set_fasync(list: &FasyncList, group: u32, file: &File, fd: i32, on: bool) -> Result {
    if list.set(file, fd, on)? && on {
        let (kind, id) = match group {
            0 => (OwnerKind::Process, vfs::hooks::current_name().own()),
            group => (OwnerKind::Group, vfs::hooks::number_here(group)),
        };
        match file.set_owner(kind, id, false) {
            // The group is gone by now.
            Ok(()) | Err(ESRCH) => {}
            Err(error) => {
                list.set(file, -1, false)?;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// A terminal was read or written: `time`, of the node that it was opened by, moves (`tty_update_time`), in steps of eight seconds,
/// so that nobody can time the keys of somebody else. `w` and `finger` show how long a terminal was idle by it.
pub(crate) fn update_time(time: &AtomicTime) {
    let sec = (ktime::real_ns() / 1_000_000_000).cast_signed();
    if let Some(moved) = step(time.get(), sec) {
        time.set(moved);
    }
}

/// What becomes of `time` at second `sec`, if it changes.
fn step(time: Timespec, sec: i64) -> Option<Timespec> {
    // Only seconds, as in Linux.
    ((time.sec ^ sec) & !7 != 0).then_some(Timespec { sec, ..time })
}

impl FileOps for TtyFile {
    fn can_splice(&self, _: &File, _: bool) -> bool {
        true
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, _pos: &mut i64) -> Result<usize> {
        if self.is_hung_up() {
            return Ok(0);
        }
        if self.tty.has_failed() {
            return Err(EIO);
        }
        let done = read::read(self, file.nonblock(), to)?;
        if done != 0 {
            update_time(&file.inode().atime);
        }
        Ok(done)
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, _pos: &mut i64) -> Result<usize> {
        if self.is_hung_up() {
            return Err(EIO);
        }
        if self.console
            && let Some(other) = special::redirected()
        {
            return write::write(&other, &|| false, file.nonblock(), true, from);
        }
        if self.tty.has_failed() {
            return Err(EIO);
        }
        let done = write::write(&self.tty, &|| self.is_hung_up(), file.nonblock(), self.console, from)?;
        if done != 0 {
            update_time(&file.inode().mtime);
        }
        Ok(done)
    }

    fn poll(&self, _file: &File, table: &mut PollTable) -> PollMask {
        let tty = &*self.tty;
        table.add(&tty.read_wait);
        table.add(&tty.write_wait);
        let input = PollMask::IN | PollMask::RDNORM;
        let output = PollMask::OUT | PollMask::WRNORM;
        if self.is_hung_up() {
            return input | output | PollMask::ERR | PollMask::HUP;
        }
        let mut mask = PollMask::NONE;
        let ld = tty.ld.lock();
        if ld.poll_readable() {
            mask |= input;
        }
        if tty.ops.other_closed() {
            mask |= PollMask::HUP;
        }
        if tty.ops.chars_in_buffer() < crate::terminal::WAKEUP_CHARS && tty.ops.write_room() > 0 {
            mask |= output;
        }
        mask
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        if on && self.is_hung_up() {
            return Err(EIO);
        }
        let list = if self.console { &self.tty.console_fasync } else { &self.tty.fasync };
        set_fasync(list, self.tty.group_id.load(Ordering::Relaxed), file, fd, on)
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        if self.is_hung_up() {
            return Err(if cmd == TIOCSPGRP { ENOTTY } else { EIO });
        }
        match ioctl::ioctl(self, file, cmd, arg) {
            // The request may have waited while somebody hung up.
            Err(ENOTTY) if self.is_hung_up() => Err(EIO),
            result => result,
        }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(tty_times)]
mod tests {
    use super::step;
    use vfs::Timespec;

    #[test]
    fn moves_every_eight_seconds() {
        let at = |sec| Timespec { sec, nsec: 5 };
        assert!(step(at(16), 16).is_none() && step(at(16), 23).is_none());
        assert_eq!(step(at(16), 24), Some(at(24)));
        assert_eq!(step(at(23), 24), Some(at(24)));
        // A clock that was set back moves it too.
        assert_eq!(step(at(1000), 3), Some(at(3)));
    }
}
