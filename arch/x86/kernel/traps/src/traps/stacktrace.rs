// SPDX-License-Identifier: GPL-2.0
//! Back traces by frame pointers (the kernel is built with them), with names and lines from `kallsyms`. Any context.

use klog::{pr_emerg, pr_info};
use x86_stacks::read::{is_code, read, stack_and_frame};

pub use x86_stacks::read::STACK_SIZE;

/// Longest trace that is printed.
const MAX_FRAMES: usize = 48;

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
    } else if !kallsyms::MODULES.get().is_some_and(|all| all.find(place, &mut |found| pr_emerg!("{mark} {found}"))) {
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
        } else if !kallsyms::MODULES.get().is_some_and(|all| all.find(place, &mut |found| pr_info!(" {found}"))) {
            pr_info!(" {place:#018x}");
        }
    }
    pr_info!(" </TASK>");
}

/// Prints the trace of the caller.
#[inline(never)]
pub fn dump_stack() {
    let (rsp, rbp) = stack_and_frame();
    crate::traps::oops::show_heading();
    show(rsp, rbp, None);
}

/// [`dump_stack`] for the debug checks of `task`.
pub struct StackPrinter;

impl task::hooks::DebugReport for StackPrinter {
    fn dump_stack(&self) {
        dump_stack();
    }
}
