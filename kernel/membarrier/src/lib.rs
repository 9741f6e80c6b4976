// SPDX-License-Identifier: GPL-2.0
//! `membarrier(2)`: a barrier on all CPUs that run threads of a process (or registered processes), so that the fast side of an
//! algorithm needs none. What a process registered for is kept in its address space. Called by the system call table.
//!
//! A CPU that does not have the address space loaded when the mask is read loads CR3 before it runs the program, which orders
//! and serialises; one that has it, lazily or not, takes an interrupt, whose return does. No locks.
//! Source: membarrier(2), `linux/membarrier.h`.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};
use errno::Result;
use errno::code::{EINVAL, EPERM};
use task::state::TaskFlags;
use uapi::{
    MEMBARRIER_CMD_GLOBAL as GLOBAL, MEMBARRIER_CMD_GLOBAL_EXPEDITED as GLOBAL_EXPEDITED,
    MEMBARRIER_CMD_PRIVATE_EXPEDITED as PRIVATE, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ as RSEQ,
    MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as SYNC_CORE, MEMBARRIER_CMD_QUERY as QUERY,
    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED as REGISTER_GLOBAL,
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as REGISTER_PRIVATE,
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ as REGISTER_RSEQ,
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as REGISTER_SYNC_CORE,
};
use x86_cpu::regs::PtRegs;

/// `MEMBARRIER_CMD_FLAG_CPU`: only the CPU in the third argument.
const FLAG_CPU: u32 = 1;
/// Everything that `QUERY` tells.
const COMMANDS: u32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL
    | PRIVATE
    | REGISTER_PRIVATE
    | SYNC_CORE
    | REGISTER_SYNC_CORE
    | RSEQ
    | REGISTER_RSEQ;

/// `membarrier(2)`.
pub fn sys_membarrier(regs: &PtRegs) -> Result<usize> {
    let (command, flags) = (regs.arg0() as u32, regs.arg1() as u32);
    let cpu = match (command, flags) {
        (RSEQ, FLAG_CPU) => Some(regs.arg2() as i32),
        (_, 0) => None,
        _ => return Err(EINVAL),
    };
    match command {
        QUERY => return Ok(COMMANDS as usize),
        GLOBAL => {
            fence(SeqCst);
            rcu::synchronize();
        }
        GLOBAL_EXPEDITED => {
            fence(SeqCst);
            x86::smp::on_other_cpus(&|| fence(SeqCst));
        }
        REGISTER_GLOBAL | REGISTER_PRIVATE | REGISTER_SYNC_CORE | REGISTER_RSEQ => {
            mm::with_current_mm(|mm| Ok(mm.membarrier.fetch_or(command, SeqCst)))?;
        }
        PRIVATE => private(REGISTER_PRIVATE, None, &|| fence(SeqCst))?,
        SYNC_CORE => private(REGISTER_SYNC_CORE, None, &|| fence(SeqCst))?,
        RSEQ => private(REGISTER_RSEQ, cpu, &disturb)?,
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// Makes the interrupted task look at its restartable sequence, if it has any, before it goes on.
fn disturb() {
    if let Some(task) = task::try_current()
        && task.on_switch() & TaskFlags::RSEQ != 0
    {
        task.set_flags(TaskFlags::RSEQ);
    }
}

/// Runs `f` on the other CPUs that have the caller's address space (on `cpu` alone, if given), which must have registered.
fn private(registration: u32, cpu: Option<i32>, f: &(dyn Fn() + Sync)) -> Result {
    mm::with_current_mm(|mm| {
        if mm.membarrier.load(Relaxed) & registration == 0 {
            return Err(EPERM);
        }
        fence(SeqCst);
        let mut mask = mm.page_table().loaded_on();
        if let Some(cpu) = cpu {
            let Some(bit) = u32::try_from(cpu).ok().and_then(|n| 1u64.checked_shl(n)) else { return Ok(()) };
            mask &= bit;
        }
        let _preempt = x86_cpu::preempt_disable();
        // The caller's own sequence is not disturbed: it cannot be inside one during a system call.
        x86::smp::on_cpus(mask & !(1 << x86_cpu::cpu_id()), f);
        fence(SeqCst);
        Ok(())
    })
}
