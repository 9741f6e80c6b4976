// SPDX-License-Identifier: GPL-2.0
//! Oopses: the report about a fault of the kernel itself, and what happens to whoever was running. In task context that
//! task dies (SIGSEGV's wait status, as on Linux); in an interrupt, in the idle task, or with `panic_on_oops` the machine
//! panics. Locks that the task held stay held: the report is honest about the machine being in doubt.

use super::stacktrace;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use klog::{pr_alert, pr_emerg};
use x86_cpu::irqflags::local_irq_disable;
use x86_cpu::preempt::{in_interrupt, preempt_count};
use x86_cpu::regs::PtRegs;
use x86_cpu::{cpu_id, cr, msr};
use x86_stacks::read::code_byte;

/// `kernel.panic_on_oops` and `oops=panic`.
pub static PANIC_ON_OOPS: AtomicBool = AtomicBool::new(false);
/// Oopses so far.
static OOPS_COUNT: AtomicU32 = AtomicU32::new(0);

/// Bytes of code before and from the faulting instruction that are shown.
const CODE_BEFORE: usize = 42;
const CODE_BYTES: usize = 64;

/// Oopses since boot.
pub fn count() -> u32 {
    OOPS_COUNT.load(Ordering::Relaxed)
}

/// Reports an exception of the kernel that nothing expected, and ends the task.
pub fn die(what: &str, regs: &PtRegs, error_code: u64) -> ! {
    local_irq_disable();
    report(what, regs, error_code);
    end_of_task()
}

/// Reports a page fault of the kernel.
pub(super) fn page_fault(regs: &PtRegs, address: usize, error_code: u64) -> ! {
    local_irq_disable();
    if address < 4096 {
        pr_alert!("BUG: kernel NULL pointer dereference, address: {address:016x}");
    } else {
        pr_alert!("BUG: unable to handle page fault for address: {address:016x}");
    }
    let access = match error_code {
        code if code & 16 != 0 => "instruction fetch",
        code if code & 2 != 0 => "write access",
        _ => "read access",
    };
    let reason = match error_code {
        code if code & 8 != 0 => "reserved bit violation",
        code if code & 32 != 0 => "protection keys violation",
        code if code & 1 != 0 => "permissions violation",
        _ => "not-present page",
    };
    pr_alert!("#PF: supervisor {access} in kernel mode");
    pr_alert!("#PF: error_code({error_code:#06x}) - {reason}");
    report("Oops", regs, error_code);
    end_of_task()
}

/// #DF: usually the kernel stack ran into its guard page.
pub(super) fn double_fault(regs: &PtRegs, error_code: u64) -> ! {
    let address = cr::read_cr2() as usize;
    if let Some(task) = task::try_current() {
        let bottom = task.stack_top().wrapping_sub(stacktrace::STACK_SIZE);
        if address < bottom && address >= bottom.wrapping_sub(4096) {
            pr_emerg!(
                "BUG: kernel stack overflow (stack is {bottom:#x}..{:#x}, fault at {address:#x})",
                task.stack_top()
            );
        }
    }
    report("double fault", regs, error_code);
    crate::panic::panic(format_args!("Fatal exception: double fault"));
}

/// Prints everything about `regs`, under one heading.
fn report(what: &str, regs: &PtRegs, error_code: u64) {
    let number = OOPS_COUNT.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    pr_emerg!("{what}: {error_code:04x} [#{number}] SMP");
    show_regs(regs);
    stacktrace::show(regs.rsp as usize, regs.rbp as usize, Some(regs.rip as usize));
    pr_emerg!("---[ end trace 0000000000000000 ]---");
}

/// Ends whoever runs; see the header. Interrupts off.
pub fn end_of_task() -> ! {
    if in_interrupt() {
        crate::panic::panic(format_args!("Fatal exception in interrupt"));
    }
    if PANIC_ON_OOPS.load(Ordering::Relaxed) {
        crate::panic::panic(format_args!("Fatal exception"));
    }
    let Some(task) = task::try_current() else {
        crate::panic::panic(format_args!("Fatal exception before the first task"));
    };
    if task.tid() == 0 {
        crate::panic::panic(format_args!("Attempted to kill the idle task!"));
    }
    let depth = preempt_count();
    if depth != 0 {
        pr_alert!("note: pid {} exited with preempt_count {depth}", task.tid());
    }
    const SIGSEGV: i32 = 11;
    task::kthread::exit_abandoned(SIGSEGV)
}

/// A line of text made without allocation; what does not fit is cut.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for &byte in text.as_bytes() {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Prints registers and code bytes as Linux's `show_regs` does.
pub fn show_regs(regs: &PtRegs) {
    show_heading();
    let rip = regs.rip as usize;
    let modules = || kallsyms::MODULES.get();
    if let Some(symbol) = kallsyms::lookup(rip) {
        pr_emerg!("RIP: {:04x}:{symbol}", regs.cs);
    } else if !modules().is_some_and(|all| all.find(rip, &mut |found| pr_emerg!("RIP: {:04x}:{found}", regs.cs))) {
        pr_emerg!("RIP: {:04x}:{rip:#018x}", regs.cs);
    }
    show_code(rip);
    pr_emerg!("RSP: {:04x}:{:016x} EFLAGS: {:08x}", regs.ss, regs.rsp, regs.rflags);
    pr_emerg!("RAX: {:016x} RBX: {:016x} RCX: {:016x}", regs.rax, regs.rbx, regs.rcx);
    pr_emerg!("RDX: {:016x} RSI: {:016x} RDI: {:016x}", regs.rdx, regs.rsi, regs.rdi);
    pr_emerg!("RBP: {:016x} R08: {:016x} R09: {:016x}", regs.rbp, regs.r8, regs.r9);
    pr_emerg!("R10: {:016x} R11: {:016x} R12: {:016x}", regs.r10, regs.r11, regs.r12);
    pr_emerg!("R13: {:016x} R14: {:016x} R15: {:016x}", regs.r13, regs.r14, regs.r15);
    let (fs, gs, kernel_gs) = msr::segment_bases();
    pr_emerg!("FS:  {fs:016x} GS:{gs:016x} knlGS:{kernel_gs:016x}");
    pr_emerg!(
        "CR0: {:016x} CR2: {:016x} CR3: {:016x} CR4: {:016x}",
        cr::read_cr0(),
        cr::read_cr2(),
        cr::read_cr3(),
        cr::read_cr4()
    );
}

/// Who runs where.
pub(crate) fn show_heading() {
    match task::try_current() {
        Some(task) => {
            let comm = task.comm();
            let end = comm.iter().position(|&b| b == 0).unwrap_or(comm.len());
            let name = core::str::from_utf8(comm.get(..end).unwrap_or(&[])).unwrap_or("?");
            pr_emerg!("CPU: {} PID: {} Comm: {name}", cpu_id(), task.tid());
        }
        None => pr_emerg!("CPU: {} PID: 0 Comm: swapper", cpu_id()),
    }
}

fn show_code(rip: usize) {
    let text = x86_head::sections::text();
    let start = rip.saturating_sub(CODE_BEFORE);
    if !text.contains(&start) || !text.contains(&(start.saturating_add(CODE_BYTES))) {
        return pr_emerg!("Code: Unable to access opcode bytes at {rip:#x}.");
    }
    let mut line = Line { bytes: [0; 256], len: 0 };
    for address in start..start + CODE_BYTES {
        let Some(byte) = code_byte(address) else { break };
        let _ = if address == rip { write!(line, " <{byte:02x}>") } else { write!(line, " {byte:02x}") };
    }
    pr_emerg!("Code:{}", line.as_str());
}
