// SPDX-License-Identifier: GPL-2.0
//! The requests on a tracee. Locks: its `signals`, `trace`.

pub(super) use super::siginfo::signal_data;
use super::{EVENT_STOP, PT_SEIZED, SYSEMU, SYSEMU_SINGLESTEP, attach, regs, siginfo, step};
use crate::signal::stop::{self, LISTENING, TRACED, TRAP_NOTIFY, TRAP_STOP};
use crate::signal::{SigInfo, send, send_to_thread};
use crate::thread::{Thread, process_of, thread_of};
use crate::user::{copy_from_user, copy_to_user, read_user, write_user};
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::{EINVAL, EIO, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use task::{Inspected, State, Task};

/// `PTRACE_GETFPREGS` and its kin, of x86.
const GETREGS: u32 = 12;
const SETREGS: u32 = 13;
const GETFPREGS: u32 = 14;
const SETFPREGS: u32 = 15;
const OLDSETOPTIONS: u32 = 21;
const ARCH_PRCTL: u32 = 30;

/// Does one request. The current thread traces `task`, which is stopped (but for `KILL` and `INTERRUPT`).
pub(super) fn request(task: &Task, request: u32, addr: usize, data: usize) -> Result<usize> {
    let thread = thread_of(task).ok_or(ESRCH)?;
    match request {
        uapi::PTRACE_PEEKTEXT | uapi::PTRACE_PEEKDATA => peek(task, addr, data)?,
        uapi::PTRACE_POKETEXT | uapi::PTRACE_POKEDATA => poke(task, addr, data)?,
        uapi::PTRACE_PEEKUSR => {
            let word = stopped(task, |s| regs::peek_user(task, s, addr))?;
            write_user(data, &word)?;
        }
        uapi::PTRACE_POKEUSR => stopped(task, |s| regs::poke_user(task, s, addr, data as u64))?,
        uapi::PTRACE_CONT | uapi::PTRACE_SYSCALL | uapi::PTRACE_SINGLESTEP | SYSEMU | SYSEMU_SINGLESTEP => {
            resume(task, thread, request, data)?
        }
        uapi::PTRACE_KILL => {
            // Cannot fail for want of room.
            let _ = send_to_thread(task, SigInfo::kernel(uapi::SIGKILL));
        }
        GETREGS => {
            let words = stopped(task, |s| Ok(regs::get(task, s)))?;
            write_user(data, &words)?;
        }
        SETREGS => {
            let words: [u64; regs::REGS] = read_user(data)?;
            stopped(task, |s| regs::put_all(task, s, zerocopy::IntoBytes::as_bytes(&words)))?;
        }
        GETFPREGS => {
            let bytes = stopped(task, |s| regs::get_set(task, s, uapi::NT_PRFPREG))?;
            copy_to_user(data, &bytes)?;
        }
        SETFPREGS => {
            let mut bytes = [0; x86_fpu::FXSAVE_SIZE];
            copy_from_user(&mut bytes, data)?;
            stopped(task, |s| regs::put_set(task, s, uapi::NT_PRFPREG, &bytes))?;
        }
        uapi::PTRACE_GETREGSET | uapi::PTRACE_SETREGSET => {
            regset(task, addr as u32, data, request == uapi::PTRACE_SETREGSET)?;
        }
        ARCH_PRCTL => arch_prctl(task, data as u32, addr)?,
        uapi::PTRACE_DETACH => attach::detach(task, thread, data)?,
        uapi::PTRACE_SETOPTIONS | OLDSETOPTIONS => set_options(thread, data)?,
        uapi::PTRACE_GETEVENTMSG => siginfo::message(thread, data)?,
        uapi::PTRACE_GETSIGINFO => siginfo::get(thread, data)?,
        uapi::PTRACE_SETSIGINFO => siginfo::set(thread, data)?,
        uapi::PTRACE_PEEKSIGINFO => return siginfo::peek(thread, addr, data),
        uapi::PTRACE_GETSIGMASK => siginfo::get_mask(task, thread, addr, data)?,
        uapi::PTRACE_SETSIGMASK => siginfo::set_mask(task, thread, addr, data)?,
        uapi::PTRACE_INTERRUPT => interrupt(task, thread)?,
        uapi::PTRACE_LISTEN => listen(task, thread)?,
        uapi::PTRACE_GET_SYSCALL_INFO => return syscall_info(task, thread, addr, data),
        uapi::PTRACE_GET_RSEQ_CONFIGURATION => return rseq(thread, addr, data),
        // `PTRACE_SINGLEBLOCK` too: it wants a feature of the processor that is not used here.
        _ => return Err(EIO),
    }
    Ok(0)
}

/// Runs `f` on the stopped task's registers. `ESRCH` if it was killed meanwhile.
fn stopped<R>(task: &Task, f: impl FnOnce(&mut Inspected<'_>) -> Result<R>) -> Result<R> {
    task.inspect(State::TRACED, f).ok_or(ESRCH)?
}

/// The tracee's memory. `EIO` for a program that became one which its tracer may not look into after it had begun to trace it (a file that
/// may be executed, and not be read).
fn memory(task: &Task) -> Result<Arc<mm::Mm>> {
    let process = process_of(task).ok_or(EIO)?;
    if !process.is_dumpable() && !cred::capable(cred::CAP_SYS_PTRACE) {
        return Err(EIO);
    }
    mm::mm_of(task).ok_or(EIO)
}

fn peek(task: &Task, addr: usize, data: usize) -> Result {
    let mut word = [0; 8];
    let mm = memory(task)?;
    if mm.read(addr, &mut word, true) != word.len() {
        return Err(EIO);
    }
    copy_to_user(data, &word)
}

fn poke(task: &Task, addr: usize, word: usize) -> Result {
    let mm = memory(task)?;
    if mm.write(addr, &word.to_le_bytes(), true) == size_of_val(&word) { Ok(()) } else { Err(EIO) }
}

fn set_options(thread: &Thread, data: usize) -> Result {
    let new = attach::options(data).ok_or(EINVAL)?;
    let keep = super::PT_PTRACED | PT_SEIZED;
    let _signals = thread.process().signals.lock_irqsave();
    thread.ptrace.store(thread.ptrace.load(Relaxed) & keep | new, Relaxed);
    Ok(())
}

/// Lets the tracee go on with signal `data`, until what `request` says.
fn resume(task: &Task, thread: &Thread, request: u32, data: usize) -> Result {
    let signal = signal_data(data)?;
    let emulate = request == SYSEMU || request == SYSEMU_SINGLESTEP;
    let trace = request == uapi::PTRACE_SYSCALL || emulate;
    thread.trace.lock_irqsave().sysemu = emulate;
    stopped(task, |s| {
        s.trace_syscalls(trace);
        Ok(())
    })?;
    if request == uapi::PTRACE_SINGLESTEP || request == SYSEMU_SINGLESTEP {
        step::enable(task)?;
    } else {
        step::disable(task);
    }
    let _signals = thread.process().signals.lock_irqsave();
    thread.trace.lock_irqsave().code = signal;
    thread.jobctl.fetch_and(!TRACED, Relaxed);
    task.wake(State::TRACED);
    Ok(())
}

/// `PTRACE_INTERRUPT`: a trap comes, whatever the tracee does.
fn interrupt(task: &Task, thread: &Thread) -> Result {
    if thread.ptrace.load(Relaxed) & PT_SEIZED == 0 || thread.is_exiting() {
        return Err(EIO);
    }
    let _signals = thread.process().signals.lock_irqsave();
    if stop::set_pending(task, thread, TRAP_STOP) {
        let listening = thread.jobctl.load(Relaxed) & LISTENING != 0;
        send::signal_wake_tracing(task, thread, listening);
    }
    Ok(())
}

/// `PTRACE_LISTEN`: the tracee stays stopped, and its tracer hears when the group stop ends.
fn listen(task: &Task, thread: &Thread) -> Result {
    if thread.ptrace.load(Relaxed) & PT_SEIZED == 0 {
        return Err(EIO);
    }
    let _signals = thread.process().signals.lock_irqsave();
    let info = thread.trace.lock_irqsave().info;
    if info.is_none_or(|info| info.code >> 8 != EVENT_STOP as i32) {
        return Err(EIO);
    }
    let old = thread.jobctl.fetch_or(LISTENING, Relaxed);
    if old & TRAP_NOTIFY != 0 {
        send::signal_wake_tracing(task, thread, true);
    }
    Ok(())
}

/// `PTRACE_GETREGSET` and `PTRACE_SETREGSET`.
fn regset(task: &Task, kind: u32, iov: usize, set: bool) -> Result {
    let [base, len]: [usize; 2] = read_user(iov)?;
    let size = regs::set_size(kind)?;
    if len % 8 != 0 {
        return Err(EINVAL);
    }
    let len = len.min(size);
    if set {
        let mut bytes = KVec::from_elem(0, len, GFP_KERNEL)?;
        copy_from_user(&mut bytes, base)?;
        stopped(task, |s| regs::put_set(task, s, kind, &bytes))?;
    } else {
        let bytes = stopped(task, |s| regs::get_set(task, s, kind))?;
        copy_to_user(base, bytes.get(..len).ok_or(EINVAL)?)?;
    }
    write_user(iov.wrapping_add(size_of::<usize>()), &len)
}

/// `PTRACE_ARCH_PRCTL`.
fn arch_prctl(task: &Task, code: u32, addr: usize) -> Result {
    match code {
        uapi::ARCH_SET_FS | uapi::ARCH_SET_GS => {
            let (base, selector) = if code == uapi::ARCH_SET_FS { (21, 25) } else { (22, 26) };
            let put = |s: &mut task::Inspected<'_>| {
                regs::put(task, s, base, addr as u64)?;
                regs::put(task, s, selector, 0)
            };
            stopped(task, put).map_err(|_| errno::code::EPERM)
        }
        uapi::ARCH_GET_FS | uapi::ARCH_GET_GS => {
            let segments = stopped(task, |s| Ok(s.segments()))?;
            write_user(addr, if code == uapi::ARCH_GET_FS { &segments.fs_base } else { &segments.gs_base })
        }
        _ => Err(EINVAL),
    }
}

/// `PTRACE_GET_SYSCALL_INFO`: bytes that there are.
fn syscall_info(task: &Task, thread: &Thread, size: usize, data: usize) -> Result<usize> {
    const TRAP: i32 = (uapi::SIGTRAP | 0x80) as i32;
    let (code, message) = {
        let trace = thread.trace.lock_irqsave();
        (trace.info.map_or(0, |info| info.code), trace.message)
    };
    let r = stopped(task, |s| Ok(*s.regs()))?;
    let mut words = [0u64; 11];
    let op = match message as u32 {
        _ if code != TRAP => uapi::PTRACE_SYSCALL_INFO_NONE,
        uapi::PTRACE_EVENTMSG_SYSCALL_ENTRY => uapi::PTRACE_SYSCALL_INFO_ENTRY,
        uapi::PTRACE_EVENTMSG_SYSCALL_EXIT => uapi::PTRACE_SYSCALL_INFO_EXIT,
        _ => uapi::PTRACE_SYSCALL_INFO_NONE,
    };
    let head = [u64::from(op as u8) | u64::from(uapi::AUDIT_ARCH_X86_64) << 32, r.rip, r.rsp];
    let failed = (-4095..0).contains(&(r.rax as i64));
    let (tail, actual) = match op as u8 as u32 {
        uapi::PTRACE_SYSCALL_INFO_ENTRY => ([r.orig_rax, r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9], 80),
        uapi::PTRACE_SYSCALL_INFO_EXIT => ([r.rax, u64::from(failed), 0, 0, 0, 0, 0], 33),
        _ => ([0; 7], 24),
    };
    for (to, from) in words.iter_mut().zip(head.into_iter().chain(tail)) {
        *to = from;
    }
    let bytes = zerocopy::IntoBytes::as_bytes(&words);
    copy_to_user(data, bytes.get(..actual.min(size)).ok_or(EIO)?)?;
    Ok(actual)
}

/// `PTRACE_GET_RSEQ_CONFIGURATION`: bytes that there are.
fn rseq(thread: &Thread, size: usize, data: usize) -> Result<usize> {
    let address = thread.rseq.load(Relaxed) as u64;
    let length = if address == 0 { 0 } else { 32 };
    let signature = u64::from(thread.rseq_sig.load(Relaxed));
    let words = [address, length | signature << 32, 0];
    let bytes = zerocopy::IntoBytes::as_bytes(&words);
    copy_to_user(data, bytes.get(..bytes.len().min(size)).ok_or(EIO)?)?;
    Ok(bytes.len())
}
