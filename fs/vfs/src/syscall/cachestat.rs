// SPDX-License-Identifier: GPL-2.0
//! `cachestat`: how much of a file is cached. Source: `Documentation/admin-guide/mm/` of Linux 6.5, `cachestat(2)`. Pages that were
//! reclaimed are not remembered, so none is reported as evicted.

use crate::fdtable::fdget;
use crate::user;
use errno::{Result, code::*};
use mm_alloc::PageFlags;
use mm_alloc::layout::PAGE_SHIFT;
use x86_cpu::regs::PtRegs;

/// `cachestat(fd, range, stat, flags)`: `range` is `{ off, len }` in bytes (`len` 0: to the end); `stat` gets the numbers of pages
/// cached, dirty, under write-back, evicted, and recently evicted.
pub fn sys_cachestat(regs: &PtRegs) -> Result<usize> {
    let file = fdget(regs.arg0())?;
    let [offset, len]: [u64; 2] = user::get(regs.arg1())?;
    if regs.arg3() as u32 != 0 {
        return Err(EINVAL);
    }
    let mapping = file.ops().mapping(&file).ok_or(EBADF)?;
    let first = offset >> PAGE_SHIFT;
    let last = match len {
        0 => u64::MAX,
        len => (offset.saturating_add(len) - 1) >> PAGE_SHIFT,
    };
    let (mut cached, mut dirty, mut writeback) = (0u64, 0u64, 0u64);
    let mut from = first;
    loop {
        // In parts: preemption is off while pages are counted.
        let mut next = None;
        let mut budget = 1024;
        mapping.for_each_from(from, |index, page| {
            if index > last {
                return false;
            }
            if budget == 0 {
                next = Some(index);
                return false;
            }
            budget -= 1;
            cached += 1;
            dirty += u64::from(page.has(PageFlags::DIRTY));
            writeback += u64::from(page.has(PageFlags::WRITEBACK));
            true
        });
        match next {
            Some(index) => from = index,
            None => break,
        }
    }
    user::put(regs.arg2(), &[cached, dirty, writeback, 0, 0])?;
    Ok(0)
}
