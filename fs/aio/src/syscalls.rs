// SPDX-License-Identifier: GPL-2.0
//! The calls. Source: `io_setup(2)`, `io_submit(2)`, `io_getevents(2)`, `io_cancel(2)`, `io_destroy(2)`.

use crate::context::{Context, find, map};
use crate::request;
use errno::{Result, code::*};
use kalloc::Arc;
use process::signal::syscalls::{restore_temporary_mask, set_temporary_mask};
use task_io::Plug;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

/// Requests in one call from which on they are kept together.
const PLUG_THRESHOLD: usize = 2;

/// `io_setup(nr_events, ctxp)`.
pub fn sys_io_setup(regs: &PtRegs) -> Result<usize> {
    let (asked, at) = (regs.arg0() as u32, regs.arg1());
    if get_user::<usize>(at)? != 0 || asked == 0 {
        return Err(EINVAL);
    }
    let mm = mm::current_mm().ok_or(EINVAL)?;
    let context = Context::new(mm.id(), asked)?;
    let number = map(&context)?;
    if let Err(error) = put_user(at, number) {
        mm.munmap(number, context.ring.bytes())?;
        return Err(error);
    }
    Ok(0)
}

/// `io_destroy(ctx)`.
pub fn sys_io_destroy(regs: &PtRegs) -> Result<usize> {
    let number = regs.arg0();
    let context = find(number)?;
    context.kill()?;
    mm::current_mm().ok_or(EINVAL)?.munmap(number, context.ring.bytes())?;
    Ok(0)
}

/// `io_submit(ctx, nr, iocbpp)`: how many were taken; the first one's error if none was.
pub fn sys_io_submit(regs: &PtRegs) -> Result<usize> {
    let (count, list) = (regs.arg1().cast_signed(), regs.arg2());
    let count = usize::try_from(count).map_err(|_| EINVAL)?;
    let context = find(regs.arg0())?;
    context.drop_spent();
    let count = count.min(context.ring.nr() as usize);
    let _plug = (count > PLUG_THRESHOLD).then(Plug::start);
    let mut result: Result = Ok(());
    let mut done = 0;
    while done < count && result.is_ok() {
        let at = list.wrapping_add(done * 8);
        result = get_user::<usize>(at).and_then(|iocb| request::submit(&context, iocb));
        done += usize::from(result.is_ok());
    }
    if done == 0 { result.map(|()| 0) } else { Ok(done) }
}

/// When waiting ends: `None` never, `Some(0)` at once. The time at `at` is relative.
fn deadline(at: usize) -> Result<Option<u64>> {
    if at == 0 {
        return Ok(None);
    }
    let [seconds, ns] = get_user::<[i64; 2]>(at)?;
    // As Linux: what is not a time is not looked at more closely; one that has passed already is over.
    let span = seconds.saturating_mul(1_000_000_000).saturating_add(ns).max(0).cast_unsigned();
    Ok(Some(if span == 0 { 0 } else { ktime::now_ns().saturating_add(span) }))
}

/// Takes between `least` and `most` events; fewer when the time is over. EINTR if there are none then.
fn events(context: &Arc<Context>, least: usize, most: usize, to: usize, deadline: Option<u64>) -> Result<usize> {
    let mut done = 0;
    loop {
        context.drop_spent();
        let got = context.reap(most - done, to.wrapping_add(done * crate::ring::EVENT));
        match got {
            Ok(n) => done += n,
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
        if done >= least || context.is_dead() {
            return Ok(done);
        }
        let waited: Result = match deadline {
            Some(0) => return Ok(done),
            None => context.waiters.wait_interruptible(|| context.has_events()),
            Some(deadline) => {
                match context.waiters.wait_interruptible_deadline(Some(deadline), || context.has_events()) {
                    Ok(true) => Ok(()),
                    Ok(false) => return Ok(done),
                    Err(error) => Err(error),
                }
            }
        };
        if waited.is_err() {
            return if done == 0 { Err(EINTR) } else { Ok(done) };
        }
    }
}

fn getevents(regs: &PtRegs) -> Result<usize> {
    let deadline = deadline(regs.arg4())?;
    let context = find(regs.arg0())?;
    let (least, most) = (regs.arg1().cast_signed(), regs.arg2().cast_signed());
    let (Ok(least), Ok(most)) = (usize::try_from(least), usize::try_from(most)) else { return Err(EINVAL) };
    if least > most {
        return Err(EINVAL);
    }
    events(&context, least, most, regs.arg3(), deadline)
}

/// `io_getevents(ctx, min_nr, nr, events, timeout)`.
pub fn sys_io_getevents(regs: &PtRegs) -> Result<usize> {
    getevents(regs)
}

/// `io_pgetevents(ctx, min_nr, nr, events, timeout, sig)`: `sig` is a mask's address and size.
pub fn sys_io_pgetevents(regs: &PtRegs) -> Result<usize> {
    let [mask, size] = match regs.arg5() {
        0 => [0, 0],
        at => get_user::<[usize; 2]>(at)?,
    };
    if mask != 0 {
        set_temporary_mask(mask, size)?;
    }
    let result = getevents(regs);
    if mask != 0 {
        restore_temporary_mask(result == Err(EINTR));
    }
    result
}

/// `io_cancel(ctx, iocb, result)`: a request that waits for a file is ended, and its event comes (EINPROGRESS); others cannot be taken
/// back, and are not found (EINVAL).
pub fn sys_io_cancel(regs: &PtRegs) -> Result<usize> {
    let at = regs.arg1();
    // `aio_key`, as `io_submit` wrote it.
    if get_user::<u32>(at.wrapping_add(8))? != 0 {
        return Err(EINVAL);
    }
    let context = find(regs.arg0())?;
    if context.polls.cancel(at) { Err(EINPROGRESS) } else { Err(EINVAL) }
}
