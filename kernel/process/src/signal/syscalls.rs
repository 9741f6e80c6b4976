// SPDX-License-Identifier: GPL-2.0
//! The signal system calls. Source: their man pages in section 2.

use super::action::{SIG_DFL, SIG_IGN, SigAction};
use super::deliver::{dequeue_from, recalc, set_blocked};
use super::send::{kill_all, kill_group, kill_process, kill_thread};
use super::{SIGKILL, SIGSTOP, SigInfo, SigSet, valid};
use crate::pid;
use crate::thread::{Thread, current_process, process_of, thread_of};
use crate::user::{copy_from_user, read_user, write_user, write_user_opt};
use core::sync::atomic::Ordering;
use errno::code::{EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTNOHAND, ESRCH};
use errno::{Error, Result};
use task::state::TaskFlags;
use task::{State, Task, current};
use x86_cpu::regs::PtRegs;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const SIGSET_SIZE: usize = 8;

#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
struct UserAction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

/// Runs `f` on the current thread, which every system call has.
pub(crate) fn this<R>(f: impl FnOnce(&Task, &Thread) -> Result<R>) -> Result<R> {
    let task = current();
    let thread = thread_of(&task).ok_or(ESRCH)?;
    f(&task, thread)
}

pub(crate) fn signal_arg(raw: usize) -> Result<u32> {
    let signal = raw as i32;
    u32::try_from(signal).map_err(|_| EINVAL)
}

/// `rt_sigaction(2)`.
pub fn sys_rt_sigaction(regs: &PtRegs) -> Result<usize> {
    let (signal, new, old, size) = (signal_arg(regs.arg0())?, regs.arg1(), regs.arg2(), regs.arg3());
    if size != SIGSET_SIZE || !valid(signal) {
        return Err(EINVAL);
    }
    let action = match new {
        0 => None,
        address => {
            let user: UserAction = read_user(address)?;
            Some(SigAction {
                handler: user.handler,
                flags: user.flags & KNOWN_FLAGS,
                restorer: user.restorer,
                mask: SigSet(user.mask).without(SigSet::UNMASKABLE).0,
            })
        }
    };
    if action.is_some() && (signal == SIGKILL || signal == SIGSTOP) {
        return Err(EINVAL);
    }
    let before = this(|_, thread| Ok(swap_action(thread, signal, action)))?;
    if old != 0 {
        let user =
            UserAction { handler: before.handler, flags: before.flags, restorer: before.restorer, mask: before.mask };
        write_user(old, &user)?;
    }
    Ok(0)
}

/// Flags that `sigaction` keeps; others read back as clear (Linux's probe for support).
const KNOWN_FLAGS: u64 = (uapi::SA_NOCLDSTOP | uapi::SA_NOCLDWAIT | uapi::SA_SIGINFO | uapi::SA_RESTORER) as u64
    | (uapi::SA_ONSTACK | uapi::SA_RESTART | uapi::SA_NODEFER | uapi::SA_RESETHAND) as u64;

fn swap_action(thread: &Thread, signal: u32, action: Option<SigAction>) -> SigAction {
    let process = thread.process();
    let actions = process.actions.lock_irqsave();
    let Some(action) = action else { return actions.get(signal) };
    let before = actions.set(signal, action);
    drop(actions);
    let now_ignored = action.handler == SIG_IGN || (action.handler == SIG_DFL && SigSet::IGNORED.has(signal));
    if now_ignored {
        // What is pending is thrown away, blocked or not (POSIX).
        let mut signals = process.signals.lock_irqsave();
        super::send::flush_all(process, &mut signals, SigSet::of(signal));
        drop(signals);
        if let Some(timers) = crate::hooks::TIMER_SIGNALS.get() {
            timers.flushed(signal);
        }
    }
    before
}

/// `rt_sigprocmask(2)`.
pub fn sys_rt_sigprocmask(regs: &PtRegs) -> Result<usize> {
    let (how, new, old, size) = (regs.arg0() as u32, regs.arg1(), regs.arg2(), regs.arg3());
    if size != SIGSET_SIZE {
        return Err(EINVAL);
    }
    this(|_, thread| {
        let before = thread.blocked();
        if new != 0 {
            let set = SigSet(read_user::<u64>(new)?);
            let mask = match how {
                uapi::SIG_BLOCK => before.or(set),
                uapi::SIG_UNBLOCK => before.without(set),
                uapi::SIG_SETMASK => set,
                _ => return Err(EINVAL),
            };
            set_blocked(thread, mask);
        }
        write_user_opt(old, &before.0)?;
        Ok(0)
    })
}

/// `rt_sigpending(2)`.
pub fn sys_rt_sigpending(regs: &PtRegs) -> Result<usize> {
    if regs.arg1() > SIGSET_SIZE {
        return Err(EINVAL);
    }
    this(|_, thread| {
        let pending = thread.pending_set.load(Ordering::SeqCst) | thread.process().shared_set.load(Ordering::SeqCst);
        let bytes = (pending & thread.blocked().0).to_le_bytes();
        crate::user::copy_to_user(regs.arg0(), bytes.get(..regs.arg1()).ok_or(EINVAL)?)?;
        Ok(0)
    })
}

/// Installs a temporary mask until the call's return (`sigsuspend`, `ppoll`, `pselect`, `epoll_pwait`). A null `address` does
/// nothing. The caller ends with [`restore_temporary_mask`] unless a signal interrupts it.
pub fn set_temporary_mask(address: usize, size: usize) -> Result {
    if address == 0 {
        return Ok(());
    }
    if size != SIGSET_SIZE {
        return Err(EINVAL);
    }
    let set = SigSet(read_user::<u64>(address)?);
    this(|task, thread| {
        thread.saved_mask.store(thread.blocked().0, Ordering::Relaxed);
        task.set_flags(TaskFlags::RESTORE_SIGMASK);
        set_blocked(thread, set);
        Ok(())
    })
}

/// Goes back to the mask from before [`set_temporary_mask`], unless the call was interrupted: then delivery does it.
pub fn restore_temporary_mask(interrupted: bool) {
    let restored = this(|task, thread| {
        if !interrupted && task.test_flags(TaskFlags::RESTORE_SIGMASK) {
            task.clear_flags(TaskFlags::RESTORE_SIGMASK);
            set_blocked(thread, SigSet(thread.saved_mask.load(Ordering::Relaxed)));
        }
        Ok(())
    });
    debug_assert!(restored.is_ok());
}

/// `rt_sigsuspend(2)`.
pub fn sys_rt_sigsuspend(regs: &PtRegs) -> Result<usize> {
    if regs.arg1() != SIGSET_SIZE {
        return Err(EINVAL);
    }
    set_temporary_mask(regs.arg0(), SIGSET_SIZE)?;
    wait_for_signal()
}

/// `pause(2)`.
pub fn sys_pause(_: &PtRegs) -> Result<usize> {
    wait_for_signal()
}

fn wait_for_signal() -> Result<usize> {
    let task = current();
    loop {
        task.set_state(State::INTERRUPTIBLE);
        if task.signal_pending() {
            task.set_state(State::RUNNING);
            return Err(ERESTARTNOHAND);
        }
        task::schedule();
    }
}

/// `rt_sigtimedwait(2)`.
pub fn sys_rt_sigtimedwait(regs: &PtRegs) -> Result<usize> {
    let (set, info, timeout, size) = (regs.arg0(), regs.arg1(), regs.arg2(), regs.arg3());
    if size != SIGSET_SIZE {
        return Err(EINVAL);
    }
    let wanted = SigSet(read_user::<u64>(set)?).without(SigSet::UNMASKABLE);
    let deadline = match timeout {
        0 => None,
        address => Some(deadline_after(read_user::<[i64; 2]>(address)?)?),
    };
    let found = this(|task, thread| wait_for(task, thread, wanted, deadline))?;
    if info != 0 {
        crate::user::copy_to_user(info, &found.to_bytes())?;
    }
    Ok(found.signo as usize)
}

fn deadline_after([seconds, nanos]: [i64; 2]) -> Result<u64> {
    let seconds = u64::try_from(seconds).map_err(|_| EINVAL)?;
    let nanos = u64::try_from(nanos).ok().filter(|&n| n < 1_000_000_000).ok_or(EINVAL)?;
    Ok(ktime::now_ns().saturating_add(seconds.saturating_mul(1_000_000_000)).saturating_add(nanos))
}

fn wait_for(task: &Task, thread: &Thread, wanted: SigSet, deadline: Option<u64>) -> Result<SigInfo> {
    let process = thread.process();
    let mut expired = false;
    thread.waiting_for.store(wanted.0, Ordering::SeqCst);
    let result = loop {
        task.set_state(State::INTERRUPTIBLE);
        if let Some(taken) = dequeue_from(thread, process, SigSet(!wanted.0)) {
            break Ok(taken);
        }
        recalc(task, thread);
        if task.signal_pending() {
            // It may be one of those that are waited for, come since they were looked for.
            break dequeue_from(thread, process, SigSet(!wanted.0)).ok_or(EINTR);
        }
        if expired {
            break Err(EAGAIN);
        }
        match deadline {
            // No reason to end the call when the machine sleeps.
            None => freezer::freezable(task::schedule),
            Some(deadline) if ktime::now_ns() >= deadline => expired = true,
            Some(deadline) => expired = freezer::freezable(|| sync::wait::sleep_until(deadline)),
        }
    };
    task.set_state(State::RUNNING);
    thread.waiting_for.store(0, Ordering::SeqCst);
    recalc(task, thread);
    let (mut info, shared) = result?;
    crate::hooks::signal_taken(&mut info, shared);
    Ok(info)
}

/// The identity that a signal from the current process carries.
pub(crate) fn sender(signal: u32, code: i32) -> SigInfo {
    let pid = crate::thread::with_thread(|t| t.process().own_pid()).unwrap_or(0);
    let uid = cred::current_cred().map_or(0, |c| c.uid);
    SigInfo::user(signal, code, pid, uid)
}

/// `kill(2)`.
pub fn sys_kill(regs: &PtRegs) -> Result<usize> {
    let target = regs.arg0() as i32;
    let signal = signal_arg(regs.arg1())?;
    let info = sender(signal, uapi::SI_USER as i32);
    match target {
        1.. => {
            let task = pid::find_thread_here(target.unsigned_abs()).ok_or(ESRCH)?;
            let process = process_of(&task).ok_or(ESRCH)?;
            kill_process(&process, signal, info)?;
        }
        0 => kill_group(&current_process().ok_or(ESRCH)?.group(), signal, info)?,
        -1 => kill_all(signal, info)?,
        i32::MIN => return Err(ESRCH),
        _ => kill_group(&*pid::find_group_here(target.unsigned_abs()).ok_or(ESRCH)?, signal, info)?,
    }
    Ok(0)
}

fn find_in_group(tgid: Option<u32>, tid: u32) -> Result<kalloc::Arc<Task>> {
    let task = pid::find_thread_here(tid).ok_or(ESRCH)?;
    let process = process_of(&task).ok_or(ESRCH)?;
    if tgid.is_some_and(|tgid| tgid != process.name().here()) {
        return Err(ESRCH);
    }
    Ok(task)
}

fn positive(raw: usize) -> Result<u32> {
    u32::try_from(raw as i32).ok().filter(|&id| id > 0).ok_or(EINVAL)
}

/// `tgkill(2)`.
pub fn sys_tgkill(regs: &PtRegs) -> Result<usize> {
    let (tgid, tid) = (positive(regs.arg0())?, positive(regs.arg1())?);
    let signal = signal_arg(regs.arg2())?;
    let task = find_in_group(Some(tgid), tid)?;
    kill_thread(&task, signal, sender(signal, uapi::SI_TKILL))?;
    Ok(0)
}

/// `tkill(2)`.
pub fn sys_tkill(regs: &PtRegs) -> Result<usize> {
    let tid = positive(regs.arg0())?;
    let signal = signal_arg(regs.arg1())?;
    let task = find_in_group(None, tid)?;
    kill_thread(&task, signal, sender(signal, uapi::SI_TKILL))?;
    Ok(0)
}

fn user_siginfo(signal: u32, address: usize, to_self: bool) -> Result<SigInfo> {
    let mut bytes = [0; super::info::SIGINFO_SIZE];
    copy_from_user(&mut bytes, address)?;
    let mut info = SigInfo::from_bytes(&bytes).ok_or(errno::code::E2BIG)?;
    info.signo = signal;
    // Only the kernel and `kill` may claim to be the kernel or `kill`.
    if (info.code >= 0 || info.code == uapi::SI_TKILL) && !to_self {
        return Err(EPERM);
    }
    Ok(info)
}

/// `rt_sigqueueinfo(2)`.
pub fn sys_rt_sigqueueinfo(regs: &PtRegs) -> Result<usize> {
    let pid = u32::try_from(regs.arg0() as i32).map_err(|_| ESRCH)?;
    let signal = signal_arg(regs.arg1())?;
    // Its own number is the first thread's alone.
    let info = user_siginfo(signal, regs.arg2(), pid == current().own_tid())?;
    let task = pid::find_thread_here(pid).ok_or(ESRCH)?;
    let process = process_of(&task).ok_or(ESRCH)?;
    kill_process(&process, signal, info)?;
    Ok(0)
}

/// `rt_tgsigqueueinfo(2)`.
pub fn sys_rt_tgsigqueueinfo(regs: &PtRegs) -> Result<usize> {
    let (tgid, tid) = (positive(regs.arg0())?, positive(regs.arg1())?);
    let signal = signal_arg(regs.arg2())?;
    let info = user_siginfo(signal, regs.arg3(), tid == current().own_tid())?;
    kill_thread(&*find_in_group(Some(tgid), tid)?, signal, info)?;
    Ok(0)
}

/// Smallest alternate stack (`MINSIGSTKSZ`).
const MINSIGSTKSZ: u64 = 2048;

/// `sigaltstack(2)`.
pub fn sys_sigaltstack(regs: &PtRegs) -> Result<usize> {
    let (new, old) = (regs.arg0(), regs.arg1());
    let sp = regs.rsp;
    this(|_, thread| {
        let [base, size, flags] =
            [0, 1, 2].map(|i: usize| thread.altstack.get(i).map_or(0, |w| w.load(Ordering::Relaxed)));
        if new != 0 {
            let [base, flags, size] = read_user::<[u64; 3]>(new)?;
            set_altstack(thread, sp, [base, size, flags & 0xffff_ffff])?;
        }
        let on = sp.wrapping_sub(base) < size && size != 0;
        let shown = if on { flags | u64::from(uapi::SS_ONSTACK) } else { flags };
        write_user_opt(old, &[base, shown, size])?;
        Ok(0)
    })
}

/// Sets base, size and flags of the alternate stack; `sp` is the user stack pointer now.
pub(crate) fn set_altstack(thread: &Thread, sp: u64, [base, size, flags]: [u64; 3]) -> Result<(), Error> {
    let [old_base, old_size, _] =
        [0, 1, 2].map(|i: usize| thread.altstack.get(i).map_or(0, |w| w.load(Ordering::Relaxed)));
    let autodisarm = u64::from(uapi::SS_AUTODISARM);
    if sp.wrapping_sub(old_base) < old_size && old_size != 0 {
        return Err(EPERM);
    }
    let mode = flags & !autodisarm;
    let value = if mode == u64::from(uapi::SS_DISABLE) {
        [0, 0, flags]
    } else if mode == 0 || mode == u64::from(uapi::SS_ONSTACK) {
        if size < MINSIGSTKSZ {
            return Err(ENOMEM);
        }
        [base, size, flags & autodisarm]
    } else {
        return Err(EINVAL);
    };
    for (word, value) in thread.altstack.iter().zip(value) {
        word.store(value, Ordering::Relaxed);
    }
    Ok(())
}
