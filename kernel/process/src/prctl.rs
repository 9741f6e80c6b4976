// SPDX-License-Identifier: GPL-2.0
//! `prctl(2)`, second part: the time-stamp counter, and what checkpoint programs ask. Source: prctl(2).

use crate::signal::syscalls::this;
use crate::thread::{MCE_EARLY, MCE_PROCESS, Thread};
use crate::user::write_user;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::EINVAL;
use x86_cpu::regs::PtRegs;

/// The options that `misc::sys_prctl` leaves.
pub(crate) fn more(option: u32, regs: &PtRegs) -> Result<usize> {
    let (arg, rest) = (regs.arg1(), regs.arg3() | regs.arg4());
    match option {
        uapi::PR_GET_TSC => {
            let state = if task::switch::no_tsc() { uapi::PR_TSC_SIGSEGV } else { uapi::PR_TSC_ENABLE };
            write_user(arg, &state)?;
        }
        uapi::PR_SET_TSC => match arg as u32 {
            uapi::PR_TSC_ENABLE => task::switch::set_no_tsc(false),
            uapi::PR_TSC_SIGSEGV => task::switch::set_no_tsc(true),
            _ => return Err(EINVAL),
        },
        uapi::PR_GET_TIMING => return Ok(uapi::PR_TIMING_STATISTICAL as usize),
        uapi::PR_SET_TIMING if arg == uapi::PR_TIMING_STATISTICAL as usize => {}
        uapi::PR_GET_TID_ADDRESS => {
            let address = this(|_, thread| Ok(thread.clear_child_tid.load(Ordering::Relaxed)))?;
            write_user(arg, &address)?;
        }
        uapi::PR_SET_THP_DISABLE if regs.arg2() == 0 && rest == 0 => {
            mm::with_current_mm(|mm| {
                mm.disable_huge_pages(arg != 0);
                Ok(())
            })?;
        }
        uapi::PR_GET_THP_DISABLE if arg == 0 && regs.arg2() == 0 && rest == 0 => {
            return mm::with_current_mm(|mm| Ok(usize::from(mm.huge_pages_disabled())));
        }
        uapi::PR_MCE_KILL if rest == 0 => this(|_, thread| mce_kill(thread, arg, regs.arg2()))?,
        uapi::PR_MCE_KILL_GET if arg == 0 && regs.arg2() == 0 && rest == 0 => {
            return this(|_, thread| Ok(mce_rule(thread.mce_kill.load(Ordering::Relaxed)) as usize));
        }
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// `PR_MCE_KILL`. As in Linux a rule that is none leaves the thread with a rule of its own: the one before.
fn mce_kill(thread: &Thread, what: usize, rule: usize) -> Result {
    let before = thread.mce_kill.load(Ordering::Relaxed);
    // Numbers beyond 32 bits are none of these.
    let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (now, result) = match (short(what), short(rule)) {
        (uapi::PR_MCE_KILL_CLEAR, 0) => (before & !MCE_PROCESS, Ok(())),
        (uapi::PR_MCE_KILL_SET, uapi::PR_MCE_KILL_EARLY) => (MCE_PROCESS | MCE_EARLY, Ok(())),
        (uapi::PR_MCE_KILL_SET, uapi::PR_MCE_KILL_LATE) => (MCE_PROCESS, Ok(())),
        (uapi::PR_MCE_KILL_SET, uapi::PR_MCE_KILL_DEFAULT) => (0, Ok(())),
        (uapi::PR_MCE_KILL_SET, _) => (before | MCE_PROCESS, Err(EINVAL)),
        _ => (before, Err(EINVAL)),
    };
    thread.mce_kill.store(now, Ordering::Relaxed);
    result
}

fn mce_rule(bits: u32) -> u32 {
    match bits {
        bits if bits & MCE_PROCESS == 0 => uapi::PR_MCE_KILL_DEFAULT,
        bits if bits & MCE_EARLY != 0 => uapi::PR_MCE_KILL_EARLY,
        _ => uapi::PR_MCE_KILL_LATE,
    }
}
