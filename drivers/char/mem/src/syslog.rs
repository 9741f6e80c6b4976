// SPDX-License-Identifier: GPL-2.0
//! `syslog(2)`. Locks: `READER`, so that two destructive reads do not mix.

use core::sync::atomic::Ordering;
use cred::{CAP_SYS_ADMIN, CAP_SYSLOG};
use errno::{Result, code::*};
use printk::syslog as log;
use sync::Mutex;
use vfs::user;
use x86_cpu::regs::PtRegs;

static READER: Mutex<()> = Mutex::new(());

const READ: usize = 2;
const READ_ALL: usize = 3;
const READ_CLEAR: usize = 4;
const SIZE_BUFFER: usize = 10;

/// Whether the caller may read the log, if that is a privilege (`dmesg_restrict`).
pub(crate) fn may_read() -> Result {
    if log::RESTRICTED.load(Ordering::Relaxed) != 0 { may_change() } else { Ok(()) }
}

fn may_change() -> Result {
    if cred::capable(CAP_SYSLOG) || cred::capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) }
}

/// `syslog(action, buf, len)`.
pub fn sys_syslog(regs: &PtRegs) -> Result<usize> {
    let (action, address) = (regs.arg0(), regs.arg1());
    let len = regs.arg2() as i32;
    if action == READ_ALL || action == SIZE_BUFFER {
        may_read()?;
    } else {
        may_change()?;
    }
    match action {
        // Opening and closing do nothing, and always did.
        0 | 1 => Ok(0),
        READ | READ_ALL | READ_CLEAR => read(action, address, len),
        5 => {
            log::clear();
            Ok(0)
        }
        6 => {
            log::console_off();
            Ok(0)
        }
        7 => {
            log::console_on();
            Ok(0)
        }
        8 => log::console_level(usize::try_from(len)?).map(|()| 0),
        9 => Ok(log::size_unread()),
        SIZE_BUFFER => Ok(log::BUFFER_SIZE),
        _ => Err(EINVAL),
    }
}

fn read(action: usize, address: usize, len: i32) -> Result<usize> {
    if address == 0 || len < 0 {
        return Err(EINVAL);
    }
    let len = usize::try_from(len)?;
    if len == 0 {
        return Ok(0);
    }
    let mut at = address;
    let mut sink = |piece: &[u8]| {
        user::copy_out(at, piece)?;
        at = at.wrapping_add(piece.len());
        Ok(())
    };
    if action != READ {
        return log::read_all(len, action == READ_CLEAR, &mut sink);
    }
    let _reader = READER.lock_interruptible()?;
    loop {
        let n = log::read(len, &mut sink)?;
        if n != 0 {
            return Ok(n);
        }
        printk::readers().ok_or(EAGAIN)?.wait_interruptible(log::unread)?;
    }
}
