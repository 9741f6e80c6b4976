// SPDX-License-Identifier: GPL-2.0
//! System calls: the table that entry code dispatches by. The calls themselves live in the crates whose business they are, as
//! `fn sys_name(&PtRegs) -> Result<usize>`. Called once, by `init`. No locks.

#![no_std]
#![forbid(unsafe_code)]

mod table;

use x86::SyscallFn;
use x86_cpu::regs::PtRegs;

/// A system call as entry code calls it: the result, or a negative errno.
macro_rules! entry {
    ($function:path) => {{
        extern "C" fn call(regs: &x86_cpu::regs::PtRegs) -> isize {
            match $function(regs) {
                Ok(value) => value as isize,
                Err(error) => error.to_ret(),
            }
        }
        call as SyscallFn
    }};
}
pub(crate) use entry;

/// The calls of the vsyscall page.
struct Vsyscalls;

impl process::hooks::Vsyscall for Vsyscalls {
    fn call(&self, number: usize, regs: &PtRegs) -> errno::Result<usize> {
        match number {
            0 => posix_time::clock::sys_gettimeofday(regs),
            1 => posix_time::clock::sys_time(regs),
            _ => process::misc::sys_getcpu(regs),
        }
    }
}

/// A number that nobody answers.
fn ni_syscall(_: &PtRegs) -> errno::Result<usize> {
    Err(errno::code::ENOSYS)
}

/// Hands the table to entry code. Before the first user program.
pub fn init() {
    let mut table = [entry!(ni_syscall); table::LEN];
    for &(number, function) in table::CALLS {
        if let Some(slot) = table.get_mut(number as usize) {
            *slot = function;
        }
    }
    static VSYSCALLS: &'static dyn process::hooks::Vsyscall = &Vsyscalls;
    process::hooks::VSYSCALL.set(&VSYSCALLS);
    io_uring::init();
    x86::register_syscalls(&table);
}
