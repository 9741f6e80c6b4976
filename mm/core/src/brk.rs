// SPDX-License-Identifier: GPL-2.0
//! `brk`: the heap's end. Source: `brk(2)`; the system call answers with the end it has, also on failure.

use crate::account;
use crate::anon::AnonId;
use crate::flags::{Prot, VmFlags};
use crate::layout::STACK_GUARD_GAP;
use crate::mm_struct::Mm;
use crate::mmap::{check_room, max_map_count};
use crate::unmap::Removed;
use crate::vma::{Backing, Vma};
use mm_alloc::layout::{PAGE_SHIFT, PAGE_SIZE, TASK_SIZE, page_align};

const HEAP: VmFlags = VmFlags(
    VmFlags::READ.0
        | VmFlags::WRITE.0
        | VmFlags::MAYREAD.0
        | VmFlags::MAYWRITE.0
        | VmFlags::MAYEXEC.0
        | VmFlags::ACCOUNT.0,
);

impl Mm {
    /// Moves the heap's end to `wanted` if that is possible; returns the end. May sleep.
    pub fn brk(&self, wanted: usize) -> usize {
        let mut removed = Removed::new();
        let mut inner = self.inner.write_some();
        let (start_brk, brk) = (inner.marks.start_brk, inner.marks.brk);
        if wanted < start_brk || wanted > TASK_SIZE || start_brk == 0 {
            return brk;
        }
        let (old, new) = (page_align(brk), page_align(wanted));
        let data = inner.marks.end_data.saturating_sub(inner.marks.start_data);
        let limit = rlimit::current(uapi::RLIMIT_DATA);
        if wanted.saturating_sub(start_brk).saturating_add(data) as u64 > limit {
            return brk;
        }
        if new < old {
            if self.unmap_locked(&mut inner, new, old, &mut removed).is_err() {
                return brk;
            }
        } else if new > old {
            let mut flags = HEAP.with(inner.default_flags);
            if self.reads_execute(Prot::RW) {
                flags = flags.with(VmFlags::EXEC);
            }
            // A page stays free above, and the gap below a stack.
            let clear = match inner.areas.find(old) {
                Some(next) if next.value.flags.any(VmFlags::GROWSDOWN) => {
                    next.start.saturating_sub(STACK_GUARD_GAP) >= new
                }
                Some(next) => next.start >= new + PAGE_SIZE,
                None => true,
            };
            if !clear
                || inner.areas.len() > max_map_count()
                || check_room(&inner, flags, (new - old) / PAGE_SIZE).is_err()
                || account::charge(new - old).is_err()
            {
                return brk;
            }
            let index = inner.areas.index(old);
            let pgoff = (old >> PAGE_SHIFT) as u64;
            let grown = match inner.areas.before(index) {
                Some(heap)
                    if heap.end == old
                        && AnonId::NONE.fits(heap.value.anon())
                        && heap.value.continues_with(heap.len(), flags, pgoff, &Backing::Anon) =>
                {
                    heap.value.grows();
                    let start = heap.start;
                    inner.areas.set_bounds(index - 1, start, new)
                }
                _ => Vma::new(flags, pgoff, Backing::Anon, &self.table, old, new)
                    .is_ok_and(|vma| inner.areas.insert(old, new, vma).is_ok()),
            };
            if !grown {
                account::uncharge(new - old);
                return brk;
            }
            self.count(&mut inner, flags, new - old, true);
        }
        inner.marks.brk = wanted;
        let locked = inner.default_flags.any(VmFlags::LOCKED) && new > old;
        drop(inner);
        drop(removed);
        if locked {
            // As `mmap`: what cannot be brought in now faults later.
            self.populate(old, new, true);
        }
        wanted
    }
}
