// SPDX-License-Identifier: GPL-2.0
//! The system calls. Source: section 2 of the manual, one page a call.

use crate::address::SockAddr;
use crate::family::find;
use crate::file::{open, socket_file, socket_of};
use crate::message::{Recv, Send, control_from_user, control_to_user};
use crate::options;
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use uapi::{MSG_DONTWAIT, O_CLOEXEC, O_NONBLOCK, SO_PEERGROUPS, SOL_SOCKET};
use vfs::{File, IovIter, get_unused_fd, user};
use x86_cpu::regs::PtRegs;

/// Type, and the flags that come in the same argument.
fn kind_and_flags(argument: usize) -> Result<(u32, u32)> {
    const TYPE_MASK: u32 = 0xf;
    let argument = argument as u32;
    let flags = argument & !TYPE_MASK;
    // `SOCK_CLOEXEC` and `SOCK_NONBLOCK` have the values of the open flags.
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 { Err(EINVAL) } else { Ok((argument & TYPE_MASK, flags)) }
}

/// `socket(family, type, protocol)`.
pub fn sys_socket(regs: &PtRegs) -> Result<usize> {
    let (kind, flags) = kind_and_flags(regs.arg1())?;
    let socket = find(regs.arg0() as u32)?.create(kind, regs.arg2() as u32)?;
    let file = open(socket, flags)?;
    Ok(get_unused_fd(flags & O_CLOEXEC != 0)?.install(file) as usize)
}

/// `socketpair(family, type, protocol, sv)`.
pub fn sys_socketpair(regs: &PtRegs) -> Result<usize> {
    let (kind, flags) = kind_and_flags(regs.arg1())?;
    let cloexec = flags & O_CLOEXEC != 0;
    let (first, second) = (get_unused_fd(cloexec)?, get_unused_fd(cloexec)?);
    user::put(regs.arg3(), &[first.fd(), second.fd()])?;
    let [a, b] = find(regs.arg0() as u32)?.pair(kind, regs.arg2() as u32)?;
    let (a, b) = (open(a, flags), open(b, flags));
    let (a, b) = (a?, b?);
    first.install(a);
    second.install(b);
    Ok(0)
}

/// `bind(fd, addr, len)`.
pub fn sys_bind(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let address = SockAddr::from_user(regs.arg1(), regs.arg2())?;
    socket_of(&file)?.bind(&address).map(|()| 0)
}

/// `connect(fd, addr, len)`.
pub fn sys_connect(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let address = SockAddr::from_user(regs.arg1(), regs.arg2())?;
    socket_of(&file)?.connect(&address, file.nonblock()).map(|()| 0)
}

/// As [`sys_connect`], without waiting for anybody: EAGAIN if that is needed.
pub fn connect_now(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let address = SockAddr::from_user(regs.arg1(), regs.arg2())?;
    socket_of(&file)?.connect(&address, true).map(|()| 0)
}

/// `listen(fd, backlog)`.
pub fn sys_listen(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    // `net.core.somaxconn`.
    let backlog = (regs.arg1() as u32).min(4096);
    socket_of(&file)?.listen(backlog.cast_signed()).map(|()| 0)
}

fn accept(fd: usize, addr: usize, len: usize, flags: u32) -> Result<usize> {
    vfs::fdget(fd)?;
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let file = socket_file(fd)?;
    accept_of(&file, addr, len, flags, file.nonblock())
}

/// The next connection that is there, as by `accept4` on `file`; EAGAIN if there is none.
pub fn accept_now(file: &File, addr: usize, len: usize, flags: u32) -> Result<usize> {
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    accept_of(file, addr, len, flags, true)
}

fn accept_of(file: &File, addr: usize, len: usize, flags: u32, nonblock: bool) -> Result<usize> {
    let guard = get_unused_fd(flags & O_CLOEXEC != 0)?;
    let socket = socket_of(file)?.accept(nonblock)?;
    let peer = socket.peer_name();
    let new = open(socket, flags)?;
    if addr != 0 {
        peer?.to_user(addr, len)?;
    }
    Ok(guard.install(new) as usize)
}

/// `accept(fd, addr, len)`.
pub fn sys_accept(regs: &PtRegs) -> Result<usize> {
    accept(regs.arg0(), regs.arg1(), regs.arg2(), 0)
}

/// `accept4(fd, addr, len, flags)`.
pub fn sys_accept4(regs: &PtRegs) -> Result<usize> {
    accept(regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3() as u32)
}

/// `getsockname(fd, addr, len)`.
pub fn sys_getsockname(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    socket_of(&file)?.name()?.to_user(regs.arg1(), regs.arg2()).map(|()| 0)
}

/// `getpeername(fd, addr, len)`.
pub fn sys_getpeername(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    socket_of(&file)?.peer_name()?.to_user(regs.arg1(), regs.arg2()).map(|()| 0)
}

fn wait_flag(file: &File) -> u32 {
    if file.nonblock() { MSG_DONTWAIT } else { 0 }
}

/// `sendto(fd, buf, len, flags, addr, addrlen)`.
pub fn sys_sendto(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let mut data = IovIter::user(user::ptr(regs.arg1()), regs.arg2())?;
    let to = if regs.arg4() == 0 { None } else { Some(SockAddr::from_user(regs.arg4(), regs.arg5())?) };
    let mut message = Send::new(&mut data, regs.arg3() as u32 | wait_flag(&file));
    message.to = to.as_ref();
    socket_of(&file)?.send(&mut message)
}

/// `recvfrom(fd, buf, len, flags, addr, addrlen)`.
pub fn sys_recvfrom(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let mut data = IovIter::user(user::ptr(regs.arg1()), regs.arg2())?;
    let mut message = Recv::new(&mut data, regs.arg3() as u32 | wait_flag(&file));
    let n = socket_of(&file)?.receive(&mut message)?;
    if regs.arg4() != 0 {
        message.from.to_user(regs.arg4(), regs.arg5())?;
    }
    Ok(n)
}

/// `struct msghdr`, as far as it is read: name, its length, pieces, their number, control, its length, flags.
struct Header {
    name: usize,
    name_len: usize,
    iov: usize,
    iov_len: usize,
    control: usize,
    control_len: usize,
}

const NAME_LEN_AT: usize = 8;
const CONTROL_LEN_AT: usize = 40;
const FLAGS_AT: usize = 48;
/// Bytes of `struct msghdr`.
const HEADER: usize = 56;
/// Bytes of `struct mmsghdr`.
const MULTI: usize = 64;

impl Header {
    fn get(at: usize) -> Result<Self> {
        let [name, name_len, iov, iov_len, control, control_len, _]: [u64; 7] = user::get(at)?;
        let name_len = name_len as u32 as i32;
        Ok(Self {
            name: name as usize,
            name_len: if name == 0 { 0 } else { usize::try_from(name_len)?.min(crate::address::MAX) },
            iov: iov as usize,
            iov_len: if iov_len > 1024 { return Err(EMSGSIZE) } else { iov_len as usize },
            control: control as usize,
            control_len: usize::try_from(control_len)?,
        })
    }
}

fn send_one(file: &File, at: usize, flags: u32) -> Result<usize> {
    let header = Header::get(at)?;
    let to = if header.name == 0 { None } else { Some(SockAddr::from_user(header.name, header.name_len)?) };
    let mut data = IovIter::from_iovec(user::ptr(header.iov), header.iov_len)?;
    let mut message = Send::new(&mut data, flags | wait_flag(file));
    message.to = to.as_ref();
    socket_of(file)?.may_send()?;
    message.control = control_from_user(header.control, header.control_len)?;
    socket_of(file)?.send(&mut message)
}

fn receive_one(file: &File, at: usize, flags: u32) -> Result<usize> {
    let header = Header::get(at)?;
    let mut data = IovIter::from_iovec(user::ptr(header.iov), header.iov_len)?;
    let mut message = Recv::new(&mut data, flags | wait_flag(file));
    message.wants_control = header.control != 0 && header.control_len != 0;
    let n = socket_of(file)?.receive(&mut message)?;
    let (from, mut out_flags) = (message.from, message.out_flags);
    let control = core::mem::take(&mut message.control);
    if header.name != 0 {
        let bytes = from.as_bytes();
        user::copy_out(header.name, bytes.get(..bytes.len().min(header.name_len)).unwrap_or(&[]))?;
        user::put(at.wrapping_add(NAME_LEN_AT), &(bytes.len() as u32))?;
    }
    let room = if header.control == 0 { 0 } else { header.control_len };
    let (used, control_flags) = control_to_user(control, header.control, room, flags)?;
    out_flags |= control_flags | flags & uapi::MSG_CMSG_CLOEXEC;
    user::put(at.wrapping_add(CONTROL_LEN_AT), &(used as u64))?;
    user::put(at.wrapping_add(FLAGS_AT), &out_flags)?;
    Ok(n)
}

/// How a message is laid out that is received with all that belongs to it into one buffer: a header of four words (`struct
/// io_uring_recvmsg_out`), room for the sender's address, room for control messages, the data.
#[derive(Clone, Copy)]
pub struct InOne {
    name: usize,
    control: usize,
    /// Most bytes of the buffer that are used; 0: all.
    pub most: u32,
}

impl InOne {
    /// Bytes of the header.
    const HEADER: usize = 16;

    /// As a `struct msghdr` says it, of which lengths count alone; its one piece is a length, too. EINVAL, EOVERFLOW, EFAULT.
    pub fn get(at: usize) -> Result<Self> {
        let [_, name, iov, iov_len, _, control, _]: [u64; 7] = user::get(at)?;
        let most = match iov_len {
            0 => 0,
            1 => {
                let [_, len]: [u64; 2] = user::get(iov as usize)?;
                u32::try_from(len).map_err(|_| EINVAL)?
            }
            _ => return Err(EINVAL),
        };
        let name = usize::try_from(name as u32 as i32).map_err(|_| EOVERFLOW)?;
        let control = i32::try_from(control).map_err(|_| EOVERFLOW)? as usize;
        let all = Self::HEADER + name + control;
        if i32::try_from(all).is_err() { Err(EOVERFLOW) } else { Ok(Self { name, control, most }) }
    }

    /// Receives a message so into `len` bytes at `buffer`, if there is one: bytes of the buffer that are used, and of them data. EFAULT
    /// if there is not even room for what comes before the data, EAGAIN.
    pub fn receive(self, file: &File, buffer: usize, len: usize, flags: u32) -> Result<(usize, usize)> {
        let before = Self::HEADER + self.name + self.control;
        let room = len.checked_sub(before).ok_or(EFAULT)?;
        let mut data = IovIter::user(user::ptr(buffer.wrapping_add(before)), room)?;
        let mut message = Recv::new(&mut data, flags | MSG_DONTWAIT);
        message.wants_control = self.control != 0;
        let n = socket_of(file)?.receive(&mut message)?;
        let (from, mut out_flags) = (message.from, message.out_flags);
        let control = core::mem::take(&mut message.control);
        let name_at = buffer.wrapping_add(Self::HEADER);
        let name = from.as_bytes();
        user::copy_out(name_at, name.get(..name.len().min(self.name)).unwrap_or(&[]))?;
        let (used, control_flags) = control_to_user(control, name_at.wrapping_add(self.name), self.control, flags)?;
        out_flags |= control_flags | flags & uapi::MSG_CMSG_CLOEXEC;
        user::put(buffer, &[name.len() as u32, used as u32, n as u32, out_flags])?;
        let n = n.min(room);
        Ok((before + n, n))
    }
}

/// `sendmsg(fd, msg, flags)`.
pub fn sys_sendmsg(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    send_one(&file, regs.arg1(), regs.arg2() as u32)
}

/// `recvmsg(fd, msg, flags)`.
pub fn sys_recvmsg(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    receive_one(&file, regs.arg1(), regs.arg2() as u32)
}

/// Does `one` for each of `count` messages at `at`; an error after the first only ends it.
fn multiple(at: usize, count: usize, mut one: impl FnMut(usize, usize) -> Result<usize>) -> Result<usize> {
    for index in 0..count.min(1024) {
        let message = at.wrapping_add(index * MULTI);
        match one(index, message).and_then(|n| user::put(message.wrapping_add(HEADER), &(n as u32))) {
            Ok(()) => {}
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
        }
    }
    Ok(count.min(1024))
}

/// `sendmmsg(fd, msgvec, count, flags)`.
pub fn sys_sendmmsg(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let flags = regs.arg3() as u32;
    multiple(regs.arg1(), regs.arg2() as u32 as usize, |_, message| send_one(&file, message, flags))
}

/// `recvmmsg(fd, msgvec, count, flags, timeout)`: the time limit is looked at after each message, as in Linux.
pub fn sys_recvmmsg(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let flags = regs.arg3() as u32;
    let mut deadline = None;
    if regs.arg4() != 0 {
        let [sec, nsec]: [i64; 2] = user::get(regs.arg4())?;
        if sec < 0 || !(0..1_000_000_000).contains(&nsec) {
            return Err(EINVAL);
        }
        let ns = sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(nsec.unsigned_abs());
        deadline = Some(ktime::now_ns().saturating_add(ns));
    }
    multiple(regs.arg1(), regs.arg2() as u32 as usize, |index, message| {
        if index != 0 && deadline.is_some_and(|deadline| ktime::now_ns() >= deadline) {
            return Err(EAGAIN);
        }
        // With MSG_WAITFORONE only the first is waited for.
        let wait = if index != 0 && flags & uapi::MSG_WAITFORONE != 0 { MSG_DONTWAIT } else { 0 };
        receive_one(&file, message, flags & !uapi::MSG_WAITFORONE | wait)
    })
}

/// `shutdown(fd, how)`.
pub fn sys_shutdown(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let how = regs.arg1() as u32;
    if how > uapi::SHUT_RDWR {
        return Err(EINVAL);
    }
    socket_of(&file)?.shutdown(how).map(|()| 0)
}

/// `setsockopt(fd, level, name, value, len)`.
pub fn sys_setsockopt(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let (level, name) = (regs.arg1() as u32, regs.arg2() as u32);
    let len = usize::try_from(regs.arg4() as i32)?;
    if len > 4096 {
        return Err(EINVAL);
    }
    let mut value = KVec::from_elem(0u8, len, GFP_KERNEL)?;
    user::copy_in(regs.arg3(), &mut value)?;
    let socket = socket_of(&file)?;
    if level == SOL_SOCKET {
        options::set(&**socket, name, &value)?;
    } else {
        socket.set_option(level, name, &value)?;
    }
    Ok(0)
}

/// `getsockopt(fd, level, name, value, len)`.
pub fn sys_getsockopt(regs: &PtRegs) -> Result<usize> {
    let file = socket_file(regs.arg0())?;
    let (level, name) = (regs.arg1() as u32, regs.arg2() as u32);
    let room: i32 = user::get(regs.arg4())?;
    let room = usize::try_from(room)?;
    let mut value = KVec::new();
    let socket = socket_of(&file)?;
    if level == SOL_SOCKET {
        options::get(&**socket, name, &mut value)?;
    } else {
        socket.get_option(level, name, &mut value)?;
    }
    if level == SOL_SOCKET && name == SO_PEERGROUPS && value.len() > room {
        // Part of a list would be misleading.
        user::put(regs.arg4(), &(value.len() as i32))?;
        return Err(ERANGE);
    }
    let len = value.len().min(room);
    user::copy_out(regs.arg3(), value.get(..len).unwrap_or(&[]))?;
    user::put(regs.arg4(), &(len as i32))?;
    Ok(0)
}
