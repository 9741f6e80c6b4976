// SPDX-License-Identifier: GPL-2.0
//! Restartable sequences (rseq(2)): a thread names a word of its memory in which it always finds the number of its CPU, and a
//! stretch of code that begins again elsewhere if the thread was preempted, moved or interrupted by a signal inside it.
//!
//! A thread that registered has `TaskFlags::RSEQ` set whenever it is switched out (`Task::set_on_switch`); on the way back to
//! user mode [`resume`] brings the words up to date. No locks: only the thread itself uses its registration.
//! Source: `linux/rseq.h`.

use crate::signal::syscalls::this;
use crate::thread::Thread;
use crate::user::{read_user, write_user};
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::{EBUSY, EFAULT, EINVAL, EPERM};
use task::current;
use task::state::TaskFlags;
use x86_cpu::regs::PtRegs;

/// Size and alignment of `struct rseq`.
const SIZE: usize = 32;
/// Offsets in it.
const CPU_ID_START: usize = 0;
const CPU_ID: usize = 4;
const RSEQ_CS: usize = 8;
const FLAGS: usize = 16;
/// `RSEQ_CPU_ID_UNINITIALIZED`.
const NO_CPU: u32 = u32::MAX;
const UNREGISTER: u32 = 1;
/// End of user addresses (`TASK_SIZE`).
const USER_END: u64 = (1 << 47) - 4096;

/// `rseq(2)`: registers or takes back the current thread's area.
pub fn sys_rseq(regs: &PtRegs) -> Result<usize> {
    let (area, len, flags, sig) = (regs.arg0(), regs.arg1() as u32 as usize, regs.arg2() as u32, regs.arg3() as u32);
    this(|task, thread| {
        let known = thread.rseq.load(Relaxed);
        let known_sig = thread.rseq_sig.load(Relaxed);
        if flags & UNREGISTER != 0 {
            if flags != UNREGISTER || known == 0 || known != area || len != SIZE {
                return Err(EINVAL);
            }
            if known_sig != sig {
                return Err(EPERM);
            }
            write_user(area.wrapping_add(CPU_ID_START), &0u32)?;
            write_user(area.wrapping_add(CPU_ID), &NO_CPU)?;
            forget(thread);
            return Ok(0);
        }
        if flags != 0 {
            return Err(EINVAL);
        }
        if known != 0 {
            if known != area || len != SIZE {
                return Err(EINVAL);
            }
            return Err(if known_sig != sig { EPERM } else { EBUSY });
        }
        if area % SIZE != 0 || len != SIZE {
            return Err(EINVAL);
        }
        if area as u64 > USER_END - SIZE as u64 {
            return Err(EFAULT);
        }
        thread.rseq_sig.store(sig, Relaxed);
        thread.rseq.store(area, Relaxed);
        task.set_on_switch(TaskFlags::RSEQ);
        // The words are filled in before the program sees them.
        task.set_flags(TaskFlags::RSEQ);
        Ok(0)
    })
}

/// The current thread has no area any more (unregistered, or a new program).
pub(crate) fn forget(thread: &Thread) {
    thread.rseq.store(0, Relaxed);
    thread.rseq_sig.store(0, Relaxed);
    let task = current();
    task.set_on_switch(0);
    task.clear_flags(TaskFlags::RSEQ);
}

/// A child with memory of its own keeps its parent's registration.
pub(crate) fn inherit(child: &task::Task, new: &Thread, parent: &Thread) {
    let area = parent.rseq.load(Relaxed);
    if area != 0 {
        new.rseq.store(area, Relaxed);
        new.rseq_sig.store(parent.rseq_sig.load(Relaxed), Relaxed);
        child.set_on_switch(TaskFlags::RSEQ);
        child.set_flags(TaskFlags::RSEQ);
    }
}

/// Before user mode (or a signal handler): leaves a sequence that was disturbed, tells the CPU. An area or sequence that is wrong
/// is a SIGSEGV. May sleep.
pub(crate) fn resume(thread: &Thread, regs: &mut PtRegs) {
    let area = thread.rseq.load(Relaxed);
    if area == 0 {
        return;
    }
    // First, so that a switch from here on is seen again.
    let task = current();
    task.clear_flags(TaskFlags::RSEQ);
    let done = leave_sequence(area, thread.rseq_sig.load(Relaxed), regs).and_then(|()| {
        let cpu = x86_cpu::cpu_id();
        write_user(area.wrapping_add(CPU_ID_START), &cpu)?;
        write_user(area.wrapping_add(CPU_ID), &cpu)
    });
    if done.is_err() {
        crate::signal::send::force(&task, crate::signal::SigInfo::kernel(uapi::SIGSEGV));
    }
}

/// Continues at the abort address if `regs` is inside the sequence that the area names.
fn leave_sequence(area: usize, sig: u32, regs: &mut PtRegs) -> Result {
    let descriptor: u64 = read_user(area.wrapping_add(RSEQ_CS))?;
    if descriptor == 0 {
        return Ok(());
    }
    if descriptor >= USER_END {
        return Err(EINVAL);
    }
    let [versions, start, length, abort]: [u64; 4] = read_user(descriptor as usize)?;
    let (version, flags) = (versions as u32, (versions >> 32) as u32);
    let end = start.checked_add(length).ok_or(EINVAL)?;
    let bad = start >= USER_END || end >= USER_END || abort >= USER_END || version != 0;
    // The abort address must not lie in the sequence, or it would never end.
    if bad || abort.wrapping_sub(start) < length {
        return Err(EINVAL);
    }
    let found: u32 = read_user(abort.wrapping_sub(4) as usize)?;
    if found != sig {
        return Err(EINVAL);
    }
    if regs.rip.wrapping_sub(start) >= length {
        return write_user(area.wrapping_add(RSEQ_CS), &0u64);
    }
    // Flags that once kept a sequence from being left are refused, as Linux does.
    let area_flags: u32 = read_user(area.wrapping_add(FLAGS))?;
    if flags != 0 || area_flags != 0 {
        return Err(EINVAL);
    }
    write_user(area.wrapping_add(RSEQ_CS), &0u64)?;
    regs.rip = abort;
    Ok(())
}
