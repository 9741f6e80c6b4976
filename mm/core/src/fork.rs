// SPDX-License-Identifier: GPL-2.0
//! `fork`: a copy of the address space. Pages are shared until one side writes; mappings without private pages are not copied at
//! all, since their pages come back from the file by a fault.

use crate::account;
use crate::anon::AnonId;
use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::Arc;

impl Mm {
    /// A copy for a child process. ENOMEM. May sleep.
    pub fn fork(&self) -> Result<Arc<Self>> {
        let mut inner = self.inner.write();
        let child = Mm::new(inner.places, inner.randomize)?;
        child.set_exe_file(self.exe_file());
        child.dumpable.store(self.dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
        child.no_huge.store(self.no_huge.load(Ordering::Relaxed), Ordering::Relaxed);
        child.set_read_implies_exec(self.read_implies_exec.load(Ordering::Relaxed));
        child.inherit_ldt(self);
        let mut copied = false;
        let result = self.copy_areas(&mut inner, &child, &mut copied);
        if copied {
            // The parent's writable translations must go before either runs on.
            self.table.flush_all();
        }
        result?;
        if self.scanned.load(Ordering::Relaxed) {
            crate::huge::khugepaged::enter(&child);
        }
        Ok(child)
    }

    fn copy_areas(&self, parent: &mut crate::mm_struct::Inner, child: &Arc<Mm>, copied: &mut bool) -> Result {
        let mut to = child.inner.write();
        to.marks = parent.marks;
        to.keys = parent.keys;
        to.areas.reserve(parent.areas.len())?;
        for slot in parent.areas.iter() {
            let vma = &*slot.value;
            if vma.flags.any(VmFlags::DONTCOPY) {
                continue;
            }
            let mut copy = vma.copy_for(slot.start, slot.start, slot.end, &child.table)?;
            copy.set_flags(vma.flags.without(VmFlags(VmFlags::LOCKED.0 | VmFlags::LOCKONFAULT.0)));
            let wipe = vma.flags.any(VmFlags::WIPEONFORK);
            let has_anon = vma.has_anon() && !wipe;
            copy.set_anon(if has_anon { child.inherited_anon() } else { AnonId::NONE });
            let flags = copy.flags;
            if flags.any(VmFlags::ACCOUNT) {
                account::charge(slot.len())?;
            }
            if to.areas.push(slot.start, slot.end, copy).is_err() {
                account::uncharge(if flags.any(VmFlags::ACCOUNT) { slot.len() } else { 0 });
                return Err(ENOMEM);
            }
            child.count(&mut to, flags, slot.len(), true);
            if has_anon {
                *copied = true;
                let _moving = vma.mapping().map(|mapping| mapping.moving());
                self.table.fork_range(&child.table, slot.start, slot.end, vma.flags.is_cow())?;
            }
        }
        if child.table.has_swap() && !crate::swap::note(child) {
            return Err(ENOMEM);
        }
        Ok(())
    }
}
