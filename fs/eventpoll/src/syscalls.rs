// SPDX-License-Identifier: GPL-2.0
//! The system calls of epoll. Source: `epoll_create(2)`, `epoll_ctl(2)`, `epoll_wait(2)`.

use crate::ctl::{self, Wanted};
use crate::epoll::{self, EventPoll};
use errno::{Result, code::*};
use process::signal::syscalls::{restore_temporary_mask, set_temporary_mask};
use uapi::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use vfs::{fdget, get_unused_fd, user};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::access_ok;

const NS_PER_SEC: u64 = 1_000_000_000;

fn create(flags: u32) -> Result<usize> {
    if flags & !uapi::EPOLL_CLOEXEC != 0 {
        return Err(EINVAL);
    }
    let fd = get_unused_fd(flags & uapi::EPOLL_CLOEXEC != 0)?;
    Ok(fd.install(epoll::open()?) as usize)
}

/// `epoll_create(size)`.
pub fn sys_epoll_create(regs: &PtRegs) -> Result<usize> {
    if (regs.arg0() as i32) <= 0 { Err(EINVAL) } else { create(0) }
}

/// `epoll_create1(flags)`.
pub fn sys_epoll_create1(regs: &PtRegs) -> Result<usize> {
    create(regs.arg0() as u32)
}

/// `epoll_ctl(epfd, op, fd, event)`.
pub fn sys_epoll_ctl(regs: &PtRegs) -> Result<usize> {
    let (op, fd) = (regs.arg1() as u32, regs.arg2() as u32);
    let mut wanted = Wanted { events: 0, data: 0 };
    if op != EPOLL_CTL_DEL {
        let event: [u8; 12] = user::get(regs.arg3())?;
        let (events, data) = event.split_at(4);
        wanted.events = u32::from_le_bytes(events.try_into().map_err(|_| EFAULT)?);
        wanted.data = u64::from_le_bytes(data.try_into().map_err(|_| EFAULT)?);
    }
    let epfile = fdget(regs.arg0())?;
    let file = fdget(fd as usize)?;
    ctl::check_target(&epfile, &file)?;
    match op {
        EPOLL_CTL_ADD => ctl::add(&epfile, &file, fd, wanted)?,
        EPOLL_CTL_MOD => ctl::modify(&epfile, &file, fd, wanted)?,
        EPOLL_CTL_DEL => ctl::remove(&epfile, &file, fd)?,
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// How long to wait: not at all, until a time, or for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    Now,
    Until(u64),
    Never,
}

impl Limit {
    fn after_ns(ns: u64) -> Self {
        if ns == 0 { Self::Now } else { Self::Until(ktime::now_ns().saturating_add(ns)) }
    }

    fn from_ms(ms: i32) -> Self {
        match u64::try_from(ms) {
            Ok(ms) => Self::after_ns(ms * 1_000_000),
            Err(_) => Self::Never,
        }
    }

    fn from_timespec(address: usize) -> Result<Self> {
        if address == 0 {
            return Ok(Self::Never);
        }
        let [sec, nsec]: [i64; 2] = user::get(address)?;
        let (sec, nsec) = (u64::try_from(sec)?, u64::try_from(nsec)?);
        if nsec >= NS_PER_SEC {
            return Err(EINVAL);
        }
        Ok(Self::after_ns(sec.saturating_mul(NS_PER_SEC).saturating_add(nsec)))
    }
}

fn wait(regs: &PtRegs, limit: Limit) -> Result<usize> {
    let (events, max) = (regs.arg1(), regs.arg2() as i32);
    let max = usize::try_from(max).ok().filter(|max| (1..=i32::MAX as usize / 12).contains(max)).ok_or(EINVAL)?;
    if !access_ok(user::ptr(events), max * 12) {
        return Err(EFAULT);
    }
    let file = fdget(regs.arg0())?;
    collect(epoll::of(&file)?, events, max, limit)
}

fn collect(ep: &EventPoll, events: usize, max: usize, limit: Limit) -> Result<usize> {
    let mut expired = limit == Limit::Now;
    loop {
        if ep.shared.is_ready() {
            let n = ep.send_events(events, max)?;
            if n != 0 {
                return Ok(n);
            }
        }
        if expired {
            return Ok(0);
        }
        if task::current().signal_pending() {
            return Err(EINTR);
        }
        let deadline = match limit {
            Limit::Until(at) => Some(at),
            Limit::Now | Limit::Never => None,
        };
        let woken = ep.shared.waiters.wait_interruptible_deadline(deadline, || ep.shared.is_ready());
        // A call that waits for events is not restarted after a signal.
        expired = !woken.map_err(|_| EINTR)?;
    }
}

/// `epoll_wait(epfd, events, maxevents, timeout)`.
pub fn sys_epoll_wait(regs: &PtRegs) -> Result<usize> {
    wait(regs, Limit::from_ms(regs.arg3() as i32))
}

/// Waits with a temporary signal mask.
fn masked(regs: &PtRegs, limit: Limit) -> Result<usize> {
    let (mask, size) = (regs.arg4(), regs.arg5());
    set_temporary_mask(mask, size)?;
    let result = wait(regs, limit);
    if mask != 0 {
        restore_temporary_mask(result == Err(EINTR));
    }
    result
}

/// `epoll_pwait(epfd, events, maxevents, timeout, sigmask, sigsetsize)`.
pub fn sys_epoll_pwait(regs: &PtRegs) -> Result<usize> {
    masked(regs, Limit::from_ms(regs.arg3() as i32))
}

/// `epoll_pwait2(epfd, events, maxevents, timeout, sigmask, sigsetsize)`.
pub fn sys_epoll_pwait2(regs: &PtRegs) -> Result<usize> {
    masked(regs, Limit::from_timespec(regs.arg3())?)
}
