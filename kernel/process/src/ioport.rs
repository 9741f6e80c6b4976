// SPDX-License-Identifier: GPL-2.0
//! I/O ports for programs: `ioperm(2)` and `iopl(2)`. The I/O privilege level itself stays 0, as on Linux since 5.5: level 3 is
//! all ports, and never the right to turn interrupts off. Children and new programs keep both.
//!
//! The set in force is in the task's context (`task::switch::set_io_ports`); no locks but the thread's own `ioperm`.

use crate::signal::syscalls::this;
use crate::thread::Thread;
use core::sync::atomic::Ordering::Relaxed;
use errno::Result;
use errno::code::{EINVAL, EPERM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use task::IoPorts;
use x86_cpu::regs::PtRegs;

const PORTS: usize = 65536;

/// `ioperm(2)`.
pub fn sys_ioperm(regs: &PtRegs) -> Result<usize> {
    let (first, count, on) = (regs.arg0(), regs.arg1(), regs.arg2() as i32 != 0);
    let end = first.checked_add(count).filter(|&end| end > first && end <= PORTS).ok_or(EINVAL)?;
    if on && !cred::capable(cred::CAP_SYS_RAWIO) {
        return Err(EPERM);
    }
    this(|_, thread| {
        let old = thread.ioperm.lock().clone();
        if old.is_none() && !on {
            return Ok(0);
        }
        let new = IoPorts::changed(old.as_deref(), first, end, on)?;
        let new = if new.is_empty() { None } else { Some(Arc::new(new, GFP_KERNEL)?) };
        let before = core::mem::replace(&mut *thread.ioperm.lock(), new.clone());
        if thread.iopl.load(Relaxed) != 3 {
            drop(task::switch::set_io_ports(new));
        }
        drop(before);
        Ok(0)
    })
}

/// `iopl(2)`.
pub fn sys_iopl(regs: &PtRegs) -> Result<usize> {
    let level = regs.arg0() as u32;
    if level > 3 {
        return Err(EINVAL);
    }
    this(|_, thread| {
        let old = thread.iopl.load(Relaxed);
        if level > old && !cred::capable(cred::CAP_SYS_RAWIO) {
            return Err(EPERM);
        }
        if level == old {
            return Ok(0);
        }
        let ports =
            if level == 3 { Some(Arc::new(IoPorts::all()?, GFP_KERNEL)?) } else { thread.ioperm.lock().clone() };
        thread.iopl.store(level, Relaxed);
        drop(task::switch::set_io_ports(ports));
        Ok(0)
    })
}

/// With level 3 CLI and STI do nothing, since the right that they need is not given. True if the instruction at `regs` was one.
pub(crate) fn skip_interrupt_flag(regs: &mut PtRegs) -> bool {
    const CLI: u8 = 0xfa;
    const STI: u8 = 0xfb;
    let level = this(|_, thread| Ok(thread.iopl.load(Relaxed))).unwrap_or(0);
    if level != 3 || !matches!(crate::user::read_user::<u8>(regs.rip as usize), Ok(CLI | STI)) {
        return false;
    }
    regs.rip = regs.rip.wrapping_add(1);
    true
}

/// A child has what its parent has; the set in force went with the task's context.
pub(crate) fn inherit(new: &Thread, parent: &Thread) {
    new.iopl.store(parent.iopl.load(Relaxed), Relaxed);
    let ports = parent.ioperm.lock().clone();
    *new.ioperm.lock() = ports;
}
