// SPDX-License-Identifier: GPL-2.0
//! Access to an address space from elsewhere: `/proc/PID/mem`, `cmdline`, `environ`, ptrace, and `execve` filling the new stack.

use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use crate::vma::Area;
use errno::{Result, code::*};
use mm_alloc::Page;
use mm_alloc::layout::{PAGE_MASK, PAGE_SIZE, TASK_SIZE};

/// Who looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The program itself, which its rights by protection keys bind.
    Program,
    /// Another, as the program may.
    Other,
    /// One who may also do what the program may not.
    Debugger,
}

impl Who {
    fn other(force: bool) -> Self {
        if force { Self::Debugger } else { Self::Other }
    }
}

impl Mm {
    /// Reads; returns how many bytes there were before the first that cannot be read. With `force` also what the program itself
    /// may not read. May sleep.
    pub fn read(&self, addr: usize, out: &mut [u8], force: bool) -> usize {
        let mut done = 0;
        while done < out.len() && !crate::throttle::dies() {
            let at = addr.saturating_add(done);
            let offset = at & !PAGE_MASK;
            let part = (out.len() - done).min(PAGE_SIZE - offset);
            let Some(to) = out.get_mut(done..done + part) else { break };
            if self
                .with_page(at, false, Who::other(force), |page| page.read(offset, to))
                .and_then(|copied| copied)
                .is_err()
            {
                break;
            }
            done += part;
        }
        done
    }

    /// Writes; as [`Mm::read`]. With `force` private mappings that the program may not write are written too (their pages are
    /// copied first, as a debugger wants it). May sleep.
    pub fn write(&self, addr: usize, bytes: &[u8], force: bool) -> usize {
        let mut done = 0;
        while done < bytes.len() && !crate::throttle::dies() {
            let at = addr.saturating_add(done);
            let offset = at & !PAGE_MASK;
            let part = (bytes.len() - done).min(PAGE_SIZE - offset);
            let Some(from) = bytes.get(done..done + part) else { break };
            if self
                .with_page(at, true, Who::other(force), |page| page.write(offset, from))
                .and_then(|copied| copied)
                .is_err()
            {
                break;
            }
            done += part;
        }
        done
    }

    /// Writes all or fails with EFAULT.
    pub fn write_all(&self, addr: usize, bytes: &[u8]) -> Result {
        if self.write(addr, bytes, true) == bytes.len() { Ok(()) } else { Err(EFAULT) }
    }

    /// The page behind `addr`, brought in for the program itself. EFAULT, ENOMEM.
    pub(crate) fn own_page(&self, addr: usize, write: bool) -> Result<Page> {
        self.with_page(addr, write, Who::Program, Page::clone)
    }

    /// Calls `f` with the page behind `addr`, brought in. The lock is held meanwhile: were the address space copied between the look and
    /// a write of `f`, the child would get what was written to its parent, or the parent would lose it. EFAULT, ENOMEM. May sleep.
    fn with_page<R>(&self, addr: usize, write: bool, who: Who, f: impl FnOnce(&Page) -> R) -> Result<R> {
        if addr >= TASK_SIZE {
            return Err(EFAULT);
        }
        let addr = addr & PAGE_MASK;
        for _ in 0..8 {
            let inner = self.inner.read();
            // Else a stack that has not grown so far yet: `fault_in` extends it.
            if let Some(slot) = inner.areas.containing(addr) {
                let flags = slot.value.flags;
                if !may_access(flags, write, who == Who::Debugger) {
                    return Err(EFAULT);
                }
                if who == Who::Program && !self.key_permits(flags, write) {
                    return Err(EFAULT);
                }
                if write && !flags.any(VmFlags::SHARED) && !slot.value.has_anon() {
                    self.prepare_anon(&inner.areas, addr);
                }
                let page = match slot.value.flags.any(if write { VmFlags::WRITE } else { VmFlags::READ }) {
                    true => self.table.page(addr, write),
                    false => Some(self.forced_page(Area::of(slot), addr, write)?),
                };
                if let Some(page) = page {
                    return Ok(f(&page));
                }
            }
            drop(inner);
            self.fault_in(addr, write)?;
        }
        Err(EFAULT)
    }
}

/// Whether memory with these flags may be accessed from elsewhere.
fn may_access(flags: VmFlags, write: bool, force: bool) -> bool {
    let may = if write { VmFlags::WRITE } else { VmFlags::READ };
    let could = if write { VmFlags::MAYWRITE } else { VmFlags::MAYREAD };
    let allowed = flags.any(may) || force && flags.any(could);
    // What is shared is not written behind its rights' back.
    allowed && !(write && (flags.any(VmFlags::IO) || !flags.any(VmFlags::WRITE) && !flags.is_cow()))
}
