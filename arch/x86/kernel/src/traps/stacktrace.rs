// SPDX-License-Identifier: GPL-2.0
//! Back traces by frame pointers (the kernel is built with them), with names and lines from `kallsyms`. Reads only memory
//! that it knows to be one of this CPU's stacks, so a wild frame pointer ends the trace and nothing else. Any context.

use crate::ist;
use core::ops::Range;
use core::sync::atomic::Ordering;
use klog::{pr_emerg, pr_info};

/// Bytes of a kernel stack (task, interrupt).
pub(crate) const STACK_SIZE: usize = 16384;
/// Longest trace that is printed.
const MAX_FRAMES: usize = 48;

/// The stack that `sp` points into, as far as it may be read; `None` if it is none of ours.
fn stack_of(sp: usize) -> Option<Range<usize>> {
    let irq_top = ist::IRQ_STACK_TOP.this_racy().load(Ordering::Relaxed);
    let task_top = task::try_current().map_or(0, |task| task.stack_top());
    let own = [task_top, irq_top].into_iter().filter(|&top| top != 0).map(|top| top.wrapping_sub(STACK_SIZE)..top);
    let tables = x86_cpu::tss::TSS.this_racy().ist.iter().map(|slot| {
        let top = slot.load(Ordering::Relaxed) as usize;
        top.saturating_sub(ist::IST_SIZE - ist::TOP_RESERVED)..top
    });
    let boot = core::iter::once(x86_head::sections::boot_stack());
    own.chain(tables).chain(boot).find(|range| range.contains(&sp))
}

/// Reads a word of a stack of ours.
fn read(address: usize) -> Option<usize> {
    let stack = stack_of(address)?;
    if !address.is_multiple_of(8) || address.checked_add(8)? > stack.end {
        return None;
    }
    // SAFETY: Aligned and inside a live stack of this CPU.
    Some(unsafe { (address as *const usize).read_volatile() })
}

/// Whether `address` is in the kernel's code or a module's.
fn is_code(address: usize) -> bool {
    x86_head::sections::text().contains(&address) || kallsyms::MODULES.get().is_some_and(|all| all.contains(address))
}

/// Walks frames from `rbp` up, calling `f` with each return address.
pub fn walk(mut rbp: usize, mut f: impl FnMut(usize)) {
    for _ in 0..MAX_FRAMES {
        let (Some(next), Some(ret)) = (read(rbp), read(rbp.wrapping_add(8))) else { return };
        if !is_code(ret) {
            return;
        }
        f(ret);
        // Frames go up, except from the interrupt stack to the interrupted one.
        if next == rbp {
            return;
        }
        rbp = next;
    }
}

/// Prints a trace that starts at instruction `rip` (if given) with these stack and frame pointers.
pub(crate) fn show(rsp: usize, rbp: usize, rip: Option<usize>) {
    pr_emerg!("Call Trace:");
    pr_emerg!(" <TASK>");
    if let Some(rip) = rip {
        show_address(rip, 0);
    }
    let mut frames = 0;
    walk(rbp, |address| {
        frames += 1;
        show_address(address, 1);
    });
    if frames == 0 {
        show_candidates(rsp);
    }
    pr_emerg!(" </TASK>");
}

/// Without usable frame pointers: every word on the stack that points into code, marked as a guess.
fn show_candidates(rsp: usize) {
    let mut shown = 0;
    let mut at = rsp & !7;
    while let Some(word) = read(at) {
        if is_code(word) {
            show_named(word, 1, " ?");
            shown += 1;
            if shown == MAX_FRAMES {
                return;
            }
        }
        at += 8;
    }
}

fn show_address(address: usize, back: usize) {
    show_named(address, back, "");
}

/// `back`: bytes to go back, 1 for a return address so that the call is named and not what follows it.
fn show_named(address: usize, back: usize, mark: &str) {
    let place = address.wrapping_sub(back);
    if let Some(symbol) = kallsyms::lookup(place) {
        pr_emerg!("{mark} {symbol}");
    } else if !kallsyms::MODULES.get().is_some_and(|all| all.show(place, &mut |name| pr_emerg!("{mark} {name}"))) {
        pr_emerg!("{mark} {address:#018x}");
    }
}

/// Prints a trace of these return addresses (of a task that sleeps).
pub fn show_frames(frames: &[usize]) {
    pr_info!("Call Trace:");
    pr_info!(" <TASK>");
    for place in frames.iter().map(|frame| frame.wrapping_sub(1)) {
        if let Some(symbol) = kallsyms::lookup(place) {
            pr_info!(" {symbol}");
        } else if !kallsyms::MODULES.get().is_some_and(|all| all.show(place, &mut |name| pr_info!(" {name}"))) {
            pr_info!(" {place:#018x}");
        }
    }
    pr_info!(" </TASK>");
}

/// Prints the trace of the caller.
#[inline(never)]
pub fn dump_stack() {
    let (rsp, rbp): (usize, usize);
    // SAFETY: Reads two registers.
    unsafe {
        core::arch::asm!("mov {}, rsp", "mov {}, rbp", out(reg) rsp, out(reg) rbp, options(nomem, nostack, preserves_flags));
    }
    crate::traps::oops::show_heading();
    show(rsp, rbp, None);
}

/// [`dump_stack`] for the debug checks of `task`.
pub(crate) struct StackPrinter;

impl task::hooks::DebugReport for StackPrinter {
    fn dump_stack(&self) {
        dump_stack();
    }
}
