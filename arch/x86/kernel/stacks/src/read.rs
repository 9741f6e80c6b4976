// SPDX-License-Identifier: GPL-2.0
//! What a back trace may read: words of one of this CPU's stacks, so that a wild frame pointer ends the trace and nothing else, and
//! bytes of the kernel's code. Any context.

use crate::ist;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// Bytes of a kernel stack (task, interrupt).
pub const STACK_SIZE: usize = 16384;

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
pub fn read(address: usize) -> Option<usize> {
    let stack = stack_of(address)?;
    if !address.is_multiple_of(8) || address.checked_add(8)? > stack.end {
        return None;
    }
    // SAFETY: Aligned and inside a live stack of this CPU.
    Some(unsafe { (address as *const usize).read_volatile() })
}

/// Whether `address` is in the kernel's code or a module's.
pub fn is_code(address: usize) -> bool {
    x86_head::sections::text().contains(&address) || kallsyms::MODULES.get().is_some_and(|all| all.contains(address))
}

/// The caller's stack and frame pointers.
#[inline(always)]
pub fn stack_and_frame() -> (usize, usize) {
    let (rsp, rbp): (usize, usize);
    // SAFETY: Reads two registers.
    unsafe {
        core::arch::asm!("mov {}, rsp", "mov {}, rbp", out(reg) rsp, out(reg) rbp, options(nomem, nostack, preserves_flags));
    }
    (rsp, rbp)
}

/// A byte of the kernel's code.
pub fn code_byte(address: usize) -> Option<u8> {
    // SAFETY: Inside the kernel's code, which is mapped and constant.
    x86_head::sections::text().contains(&address).then(|| unsafe { (address as *const u8).read() })
}
