// SPDX-License-Identifier: GPL-2.0
//! `mprotect`, and the walk over ranges whose flags change that `mlock` and `madvise` share. Source: `mprotect(2)`.

use crate::account;
use crate::flags::{Prot, VmFlags};
use crate::mm_struct::{Inner, Mm};
use crate::mmap::check_room;
use crate::vma::{merge_changed, only_shifts, split_at, split_uncounted};
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use mm_alloc::layout::{PAGE_MASK, PAGE_SIZE, page_align};

const KNOWN: u32 =
    uapi::PROT_READ | uapi::PROT_WRITE | uapi::PROT_EXEC | uapi::PROT_SEM | uapi::PROT_GROWSDOWN | uapi::PROT_GROWSUP;

impl Mm {
    /// `mprotect(2)`. EINVAL, ENOMEM, EACCES. May sleep.
    pub fn mprotect(&self, start: usize, len: usize, prot: u32) -> Result {
        self.pkey_mprotect(start, len, prot, None)
    }

    /// `pkey_mprotect(2)`; without a key `mprotect(2)`. EINVAL, ENOMEM, EACCES. May sleep.
    pub(crate) fn pkey_mprotect(&self, start: usize, len: usize, prot: u32, key: Option<i32>) -> Result {
        let grows = prot & (uapi::PROT_GROWSDOWN | uapi::PROT_GROWSUP);
        if grows == uapi::PROT_GROWSDOWN | uapi::PROT_GROWSUP || start & !PAGE_MASK != 0 {
            return Err(EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let len = page_align(len);
        let end = start.checked_add(len).filter(|end| *end > start).ok_or(ENOMEM)?;
        if prot & !KNOWN != 0 {
            return Err(EINVAL);
        }
        let mut inner = self.inner.write_range(start, end);
        let key = match key {
            Some(key) => Some(inner.keys.find(key).ok_or(EINVAL)?),
            None => None,
        };
        let first = inner.areas.find(start).ok_or(ENOMEM)?;
        let mut start = start;
        if grows & uapi::PROT_GROWSDOWN != 0 {
            if first.start >= end {
                return Err(ENOMEM);
            }
            start = first.start;
            if !first.value.flags.any(VmFlags::GROWSDOWN) {
                return Err(EINVAL);
            }
        } else if first.start > start {
            return Err(ENOMEM);
        } else if grows & uapi::PROT_GROWSUP != 0 {
            return Err(EINVAL);
        }
        let mut locked = None;
        // What was done before an error stays done.
        let result = self.protect_range(&mut inner, start, end, prot & !grows, key, &mut locked);
        drop(inner);
        if let Some((from, to)) = locked {
            self.populate_locked(from, to);
        }
        result
    }

    /// Gives `[at, end)` the rights `prot` and `key`, or the key that goes with them, mapping by mapping. `locked`: from where to where
    /// there is private memory that must not fault and can be written only now.
    fn protect_range(
        &self,
        inner: &mut Inner,
        mut at: usize,
        end: usize,
        prot: u32,
        key: Option<u8>,
        locked: &mut Option<(usize, usize)>,
    ) -> Result {
        let rights = Prot(prot).to_flags();
        let implied = rights.any(VmFlags::READ) && self.reads_execute(Prot::READ);
        while at < end {
            let index = inner.areas.index(at);
            let Some(slot) = inner.areas.get(index) else { return Err(ENOMEM) };
            if slot.start > at {
                return Err(ENOMEM);
            }
            let stop = slot.end.min(end);
            let old = slot.value.flags;
            let (rights, asked) = match implied && old.any(VmFlags::MAYEXEC) {
                true => (rights.with(VmFlags::EXEC), prot | uapi::PROT_EXEC),
                false => (rights, prot),
            };
            let key = key.unwrap_or_else(|| self.key_for(&mut inner.keys, old, asked));
            let new = VmFlags(old.0 & !VmFlags::ACCESS.0 | rights.0).with_key(key);
            // The rights that it may get are four bits above.
            if rights.0 & !(old.0 >> 4) & VmFlags::ACCESS.0 != 0 {
                return Err(EACCES);
            }
            if old != new {
                self.protect_part(inner, at, stop, old, new)?;
                if old.any(VmFlags::LOCKED) && !old.any(VmFlags::WRITE) && new.any(VmFlags::WRITE) {
                    *locked = Some((locked.map_or(at, |(from, _)| from), stop));
                }
            }
            at = stop;
        }
        Ok(())
    }

    /// Gives `[start, end)`, within one mapping, other rights.
    fn protect_part(&self, inner: &mut Inner, start: usize, end: usize, old: VmFlags, mut new: VmFlags) -> Result {
        let mut charged = 0;
        let was_private_writable = old.any(VmFlags(VmFlags::ACCOUNT.0 | VmFlags::SHARED.0 | VmFlags::NORESERVE.0));
        if new.any(VmFlags::WRITE) && !old.is_data() && new.is_data() {
            check_room(inner, new, 0).and_then(|()| check_data(inner, (end - start) / PAGE_SIZE))?;
        }
        if new.any(VmFlags::WRITE) && !was_private_writable {
            charged = end - start;
            account::charge(charged)?;
            new = new.with(VmFlags::ACCOUNT);
        }
        let changed = self.set_flags(inner, start, end, new);
        if changed.is_err() {
            account::uncharge(charged);
        }
        changed?;
        // Pages that were read-only stay so in private memory: a write copies. In shared memory of a real file a write is to
        // be noticed; memory-only files need not.
        let index = inner.areas.index(start);
        let keep = match inner.areas.get(index) {
            Some(slot) => {
                let watched = slot.value.soft_clean.load(Ordering::Relaxed);
                watched || new.is_cow() || slot.value.mapping().is_none_or(|m| !m.is_memory())
            }
            None => true,
        };
        inner.areas.keep_claimed(start, end);
        self.table.protect(start, end, new.prot(), keep);
        Ok(())
    }

    /// Gives `[start, end)`, within one mapping, other flags: splits it off and joins it with its neighbours. As in Linux, only what
    /// was changed is joined: others that are alike stay apart. The figures follow.
    pub(crate) fn set_flags(&self, inner: &mut Inner, start: usize, end: usize, flags: VmFlags) -> Result {
        // What becomes part of a neighbour is no mapping more.
        let shifts = only_shifts(&inner.areas, inner.areas.index(start), start, end, flags);
        let split = if shifts { split_uncounted } else { split_at };
        split(&mut inner.areas, &self.table, start)?;
        split(&mut inner.areas, &self.table, end)?;
        let index = inner.areas.index(start);
        let Some(vma) = inner.areas.value_mut(index) else { return Err(ENOMEM) };
        let old = vma.set_flags(flags);
        self.count(inner, old, end - start, false);
        self.count(inner, flags, end - start, true);
        merge_changed(&mut inner.areas, index);
        Ok(())
    }

    /// Calls `change` with the flags of each mapping in `[start, end)` and gives it those that come back. ENOMEM at the first hole
    /// (with `pass` after all that is there was done), or what `change` says (at once). Where there is no room for a mapping more: ENOMEM,
    /// with `pass` EAGAIN, as `madvise(2)` has it.
    pub(crate) fn change_flags(
        &self,
        inner: &mut Inner,
        start: usize,
        end: usize,
        pass: bool,
        mut change: impl FnMut(&crate::vma::Vma) -> Result<VmFlags>,
    ) -> Result {
        let mut at = start;
        let mut holes = false;
        while at < end {
            let index = inner.areas.index(at);
            let Some(slot) = inner.areas.get(index).filter(|slot| slot.start < end) else {
                holes = true;
                break;
            };
            holes |= slot.start > at;
            if holes && !pass {
                break;
            }
            let (from, to) = (slot.start.max(at), slot.end.min(end));
            let (old, new) = (slot.value.flags, change(&slot.value)?);
            if old != new {
                self.set_flags(inner, from, to, new)
                    .map_err(|error| if pass && error == ENOMEM { EAGAIN } else { error })?;
            }
            at = to;
        }
        if holes { Err(ENOMEM) } else { Ok(()) }
    }
}

fn check_data(inner: &Inner, pages: usize) -> Result {
    let limit = rlimit::current(uapi::RLIMIT_DATA);
    let wanted = (inner.data.saturating_add(pages) as u64).saturating_mul(PAGE_SIZE as u64);
    if limit != rlimit::INFINITY && wanted > limit { Err(ENOMEM) } else { Ok(()) }
}
