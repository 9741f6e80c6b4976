// SPDX-License-Identifier: GPL-2.0
//! `/dev/kmsg`: each read gives one record of the log, each write adds one. Locks: the cursor's mutex.

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVec};
use printk::syslog::{Cursor, write_user};
use sync::Mutex;
use vfs::{File, FileOps, IovIter, OpenFlags, PollMask, PollTable, fmode};

/// Longest record in its form for programs.
const RECORD_MAX: usize = 8192;
/// Longest line a program may write.
const LINE_MAX: usize = 1024 - 32;

struct Kmsg {
    cursor: Mutex<Cursor>,
}

pub(crate) fn open(flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
    if flags.0 & uapi::O_ACCMODE != uapi::O_WRONLY {
        crate::syslog::may_read()?;
    }
    Ok(KBox::new(Kmsg { cursor: Mutex::new(Cursor::oldest()) }, GFP_KERNEL)?)
}

impl FileOps for Kmsg {
    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let mut record = KVec::from_elem(0u8, RECORD_MAX, GFP_KERNEL)?;
        let mut cursor = self.cursor.lock_interruptible()?;
        loop {
            match cursor.read(&mut record) {
                Ok(len) => {
                    let bytes = record.get(..len).ok_or(EINVAL)?;
                    if len > to.count() {
                        return Err(EINVAL);
                    }
                    return if to.copy_to_iter(bytes) == len { Ok(len) } else { Err(EFAULT) };
                }
                Err(EAGAIN) if !file.nonblock() => {
                    printk::readers().ok_or(EAGAIN)?.wait_interruptible(|| cursor.readable())?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let len = from.count();
        if len > LINE_MAX {
            return Err(EINVAL);
        }
        let mut text = [0; LINE_MAX];
        let text = text.get_mut(..len).ok_or(EINVAL)?;
        from.copy_from_iter_full(text)?;
        write_user(text);
        Ok(len)
    }

    fn llseek(&self, _: &File, _: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        if offset != 0 {
            return Err(ESPIPE);
        }
        let mut cursor = self.cursor.lock();
        match whence {
            uapi::SEEK_SET => cursor.seek_oldest(),
            uapi::SEEK_DATA => cursor.seek_cleared(),
            uapi::SEEK_END => cursor.seek_end(),
            _ => return Err(EINVAL),
        }
        Ok(0)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        if let Some(readers) = printk::readers() {
            table.add(readers);
        }
        // Somebody who reads just now holds the cursor: then there is, for this moment, nothing for others.
        let Some(cursor) = self.cursor.try_lock() else { return PollMask::NONE };
        let mut mask = PollMask::NONE;
        if cursor.readable() {
            mask |= PollMask::IN | PollMask::RDNORM;
        }
        if cursor.lost() {
            mask |= PollMask::ERR | PollMask::PRI;
        }
        mask
    }
}
