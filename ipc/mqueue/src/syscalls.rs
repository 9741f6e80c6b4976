// SPDX-License-Identifier: GPL-2.0
//! `mq_open(2)`, `mq_unlink(2)`, `mq_timedsend(2)`, `mq_timedreceive(2)`, `mq_getsetattr(2)`.

use crate::account::{PRIORITIES, Size};
use crate::file::queue_of;
use crate::queue::{Message, Patience, Queue};
use crate::{fs, ns};
use errno::Result;
use errno::code::{EACCES, EBADF, EINVAL, EMSGSIZE};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec};
use vfs::namei::open::open_or_make;
use vfs::namei::{PathName, Start, remove};
use vfs::{File, OpenFlags, fdget, fmode, get_unused_fd};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{self, UserPtr, get_user, put_user};

/// `struct mq_attr` in words: flags, messages, bytes, messages now, and four that are reserved.
type Attr = [i64; 8];

/// The name of a queue: without a slash, and no directory's own name.
fn name_at(address: usize) -> Result<PathName> {
    let name = PathName::from_user(address, false)?;
    let bytes = name.as_bytes();
    if bytes.contains(&b'/') || bytes == b"." || bytes == b".." {
        return Err(EACCES);
    }
    Ok(name)
}

/// `mq_open(name, flags, mode, attributes)`.
pub fn sys_mq_open(regs: &PtRegs) -> Result<usize> {
    let (flags, mode, attr) = (regs.arg1() as u32, regs.arg2() as u32, regs.arg3());
    let wanted = match attr {
        0 => None,
        address => Some(get_user::<Attr>(address)?),
    };
    let name = name_at(regs.arg0())?;
    // Queues are closed by exec, whatever the flags say.
    let fd = get_unused_fd(true)?;
    let kept = uapi::O_ACCMODE | uapi::O_CREAT | uapi::O_EXCL | uapi::O_NONBLOCK | uapi::O_CLOEXEC;
    let ns = ns::current()?;
    let file = open_or_make(ns.root()?, name.as_bytes(), OpenFlags(flags & kept), mode & 0o7777, |dir, mode| {
        let size = match wanted {
            Some([_, messages, bytes, ..]) => Size::checked(&ns.limits, messages, bytes)?,
            None => Size::default_size(&ns.limits),
        };
        fs::new_queue(&ns.limits, dir, mode, size)
    })?;
    Ok(fd.install(file) as usize)
}

/// `mq_unlink(name)`.
pub fn sys_mq_unlink(regs: &PtRegs) -> Result<usize> {
    let name = name_at(regs.arg0())?;
    remove::unlink(Start::At(ns::current()?.root()?), &name).map(|()| 0)
}

/// The open queue of descriptor `fd`, with the right to do `mode` to it. `EBADF`.
fn open_queue(fd: usize, mode: u32) -> Result<Arc<File>> {
    let file = fdget(fd)?;
    if queue_of(&file).is_none() || file.mode() & mode != mode {
        return Err(EBADF);
    }
    Ok(file)
}

fn queue(file: &File) -> Result<&Arc<Queue>> {
    queue_of(file).ok_or(EBADF)
}

/// How long a call waits that was given a moment of the real-time clock. `EINVAL`.
fn timeout(address: usize) -> Result<Option<u64>> {
    const SECOND: u64 = 1_000_000_000;
    if address == 0 {
        return Ok(None);
    }
    let [seconds, nanoseconds]: [i64; 2] = get_user(address)?;
    let seconds = u64::try_from(seconds).map_err(|_| EINVAL)?;
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|ns| *ns < SECOND).ok_or(EINVAL)?;
    let at = seconds.saturating_mul(SECOND).saturating_add(nanoseconds);
    // On the clock that sleepers wait by, as the two stand now.
    Ok(Some(ktime::now_ns().saturating_add(at.saturating_sub(ktime::real_ns()))))
}

fn patience(file: &File, deadline: Option<u64>) -> Patience {
    if file.nonblock() { Patience::None } else { Patience::Until(deadline) }
}

/// `mq_timedsend(descriptor, text, length, priority, timeout)`.
pub fn sys_mq_timedsend(regs: &PtRegs) -> Result<usize> {
    let (fd, address, len, priority) = (regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3());
    let deadline = timeout(regs.arg4())?;
    let priority = u32::try_from(priority).ok().filter(|priority| *priority < PRIORITIES).ok_or(EINVAL)?;
    let file = open_queue(fd, fmode::WRITE)?;
    let queue = queue(&file)?;
    if len > queue.size.bytes {
        return Err(EMSGSIZE);
    }
    let mut text = KVVec::from_elem(0u8, len, GFP_KERNEL)?;
    uaccess::copy_from_user(&mut text, UserPtr::from(address))?;
    queue.send(Message { priority, text }, patience(&file, deadline))?;
    let now = vfs::current_time();
    file.inode().mtime.set(now);
    file.inode().ctime.set(now);
    Ok(0)
}

/// `mq_timedreceive(descriptor, text, length, priority, timeout)`.
pub fn sys_mq_timedreceive(regs: &PtRegs) -> Result<usize> {
    let (fd, address, len, priority) = (regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3());
    let deadline = timeout(regs.arg4())?;
    let file = open_queue(fd, fmode::READ)?;
    let queue = queue(&file)?;
    if len < queue.size.bytes {
        return Err(EMSGSIZE);
    }
    let message = queue.receive(patience(&file, deadline))?;
    let now = vfs::current_time();
    file.inode().atime.set(now);
    file.inode().ctime.set(now);
    if priority != 0 {
        put_user(priority, message.priority)?;
    }
    uaccess::copy_to_user(UserPtr::from(address), &message.text)?;
    Ok(message.text.len())
}

/// `mq_getsetattr(descriptor, new, old)`.
pub fn sys_mq_getsetattr(regs: &PtRegs) -> Result<usize> {
    let (fd, new, old) = (regs.arg0(), regs.arg1(), regs.arg2());
    let new = match new {
        0 => None,
        address => Some(get_user::<Attr>(address)?),
    };
    if new.is_some_and(|[flags, ..]| flags & !i64::from(uapi::O_NONBLOCK) != 0) {
        return Err(EINVAL);
    }
    let file = open_queue(fd, 0)?;
    let queue = queue(&file)?;
    let flags = i64::from(file.flags().0 & uapi::O_NONBLOCK);
    let (messages, bytes, count) = (queue.size.messages, queue.size.bytes, queue.count());
    if let Some([flags, ..]) = new {
        file.change_flags(flags as u32, uapi::O_NONBLOCK);
        let now = vfs::current_time();
        file.inode().atime.set(now);
        file.inode().ctime.set(now);
    }
    if old != 0 {
        let attr: Attr = [flags, messages as i64, bytes as i64, count as i64, 0, 0, 0, 0];
        put_user(old, attr)?;
    }
    Ok(0)
}
