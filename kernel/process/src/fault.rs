// SPDX-License-Identifier: GPL-2.0
//! Faults and traps of user mode: memory resolves the fault, or it becomes a signal. Source: Intel SDM volume 3, chapter 6;
//! `sigaction(2)` for the codes.

use crate::signal::{SigInfo, send};
use crate::thread::thread_of;
use core::sync::atomic::Ordering;
use mm::FaultSignal;
use task::current;
use task::hooks::{FaultHandler, TrapHandler};
use x86_cpu::regs::PtRegs;

/// Page-fault vector, for signal frames.
const TRAP_PF: u64 = 14;

pub(crate) struct Faults;

impl mm::FaultCounter for Faults {
    fn count(&self, major: bool) {
        if let Some(thread) = thread_of(&current()) {
            thread.count_fault(major);
        }
    }
}

impl FaultHandler for Faults {
    fn user_fault(&self, address: usize, error_code: u64, regs: &mut PtRegs) {
        let result = mm::handle_user_fault(address, error_code, regs.rsp as usize);
        match result {
            Ok(major) => {
                if let Some(thread) = thread_of(&current()) {
                    thread.count_fault(major);
                }
            }
            // A process that ends takes its signal on the way out; another tries again when there is memory.
            Err(FaultSignal::OutOfMemory) if crate::fatal_pending(&current()) => {}
            Err(FaultSignal::OutOfMemory) if crate::hooks::PAGE_FAULT_OOM.get().is_some() => {
                if let Some(killer) = crate::hooks::PAGE_FAULT_OOM.get() {
                    killer.out_of_memory();
                }
            }
            Err(_) if crate::vsyscall::emulate(address, error_code, regs) => {}
            Err(signal) => {
                let info = info_of(signal, address as u64);
                if info.signo == uapi::SIGSEGV {
                    crate::fault_log::segfault(address, error_code, regs);
                }
                raise(info, TRAP_PF, error_code, address as u64);
            }
        }
    }

    fn kernel_fault(&self, address: usize, error_code: u64) -> bool {
        mm::handle_kernel_fault(address, error_code)
    }
}

/// What a program is told of a fault that nothing can be done about.
fn info_of(signal: FaultSignal, address: u64) -> SigInfo {
    let (signo, code) = match signal {
        FaultSignal::KeyError(key) => return SigInfo::key_fault(address, key),
        FaultSignal::MapError => (uapi::SIGSEGV, uapi::SEGV_MAPERR),
        FaultSignal::AccessError => (uapi::SIGSEGV, uapi::SEGV_ACCERR),
        FaultSignal::BusError => (uapi::SIGBUS, uapi::BUS_ADRERR),
        FaultSignal::OutOfMemory => (uapi::SIGKILL, 0),
    };
    SigInfo::fault(signo, code as i32, address)
}

/// Notes the fault for the signal frame and forces the signal on the current task.
fn raise(info: SigInfo, trap: u64, error_code: u64, cr2: u64) {
    let task = current();
    if let Some(thread) = thread_of(&task) {
        for (slot, value) in thread.fault.iter().zip([cr2, error_code, trap]) {
            slot.store(value, Ordering::Relaxed);
        }
    }
    send::force(&task, info);
}

impl TrapHandler for Faults {
    fn user_trap(&self, vector: u8, error_code: u64, regs: &mut PtRegs) {
        if vector == 13 && crate::ioport::skip_interrupt_flag(regs) {
            return;
        }
        let ip = regs.rip;
        let info = match vector {
            0 => SigInfo::fault(uapi::SIGFPE, uapi::FPE_INTDIV as i32, ip),
            // TF stays as the program set it; the handler starts without it.
            1 => match crate::ptrace::step::trap_code(error_code, regs) {
                Some(code) => SigInfo::fault(uapi::SIGTRAP, code as i32, ip),
                None => return,
            },
            3 => SigInfo::kernel(uapi::SIGTRAP),
            6 => SigInfo::fault(uapi::SIGILL, uapi::ILL_ILLOPN as i32, ip),
            10 => SigInfo::kernel(uapi::SIGSEGV),
            11 | 12 => SigInfo::kernel(uapi::SIGBUS),
            16 | 19 => SigInfo::fault(uapi::SIGFPE, math_code(vector), ip),
            17 => SigInfo::fault(uapi::SIGBUS, uapi::BUS_ADRALN as i32, 0),
            _ => SigInfo::kernel(uapi::SIGSEGV),
        };
        crate::fault_log::trap(vector, info.signo, error_code, regs);
        raise(info, u64::from(vector), error_code, 0);
    }
}

/// Which floating-point exception: the unmasked bits of the status word, or of MXCSR (in the saved image).
fn math_code(vector: u8) -> i32 {
    const CONTROL_AT: usize = 0;
    const STATUS_AT: usize = 2;
    const MXCSR_AT: usize = 24;
    let word = |bytes: &[u8], at: usize| {
        let low = bytes.get(at).copied().unwrap_or(0);
        let high = bytes.get(at.saturating_add(1)).copied().unwrap_or(0);
        u32::from(u16::from_le_bytes([low, high]))
    };
    let raised = task::switch::with_fpu(|fpu| {
        let image = fpu.bytes();
        match vector {
            16 => word(image, STATUS_AT) & !word(image, CONTROL_AT),
            _ => {
                let mxcsr = word(image, MXCSR_AT);
                mxcsr & !(mxcsr >> 7)
            }
        }
    })
    .unwrap_or(0);
    let code = if raised & 0x01 != 0 {
        uapi::FPE_FLTINV
    } else if raised & 0x04 != 0 {
        uapi::FPE_FLTDIV
    } else if raised & 0x08 != 0 {
        uapi::FPE_FLTOVF
    } else if raised & 0x12 != 0 {
        uapi::FPE_FLTUND
    } else if raised & 0x20 != 0 {
        uapi::FPE_FLTRES
    } else {
        0
    };
    code as i32
}
