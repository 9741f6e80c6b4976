// SPDX-License-Identifier: GPL-2.0
//! Access to an address space from elsewhere: `/proc/PID/mem`, `cmdline`, `environ`, ptrace, and `execve` filling the new stack.

use crate::flags::VmFlags;
use crate::mm_struct::Mm;
use errno::{Result, code::*};
use mm_alloc::PageFlags;
use mm_alloc::layout::{PAGE_MASK, PAGE_SIZE, TASK_SIZE};

impl Mm {
    /// Reads; returns how many bytes there were before the first that cannot be read. With `force` also what the program itself
    /// may not read. May sleep.
    pub fn read(&self, addr: usize, out: &mut [u8], force: bool) -> usize {
        let mut done = 0;
        while done < out.len() {
            let at = addr.saturating_add(done);
            let offset = at & !PAGE_MASK;
            let part = (out.len() - done).min(PAGE_SIZE - offset);
            let Ok(page) = self.remote_page(at, false, force) else { break };
            let copied = out.get_mut(done..done + part).is_some_and(|bytes| page.read(offset, bytes).is_ok());
            if !copied {
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
        while done < bytes.len() {
            let at = addr.saturating_add(done);
            let offset = at & !PAGE_MASK;
            let part = (bytes.len() - done).min(PAGE_SIZE - offset);
            let Ok(page) = self.remote_page(at, true, force) else { break };
            match bytes.get(done..done + part) {
                Some(from) if page.write(offset, from).is_ok() => done += part,
                _ => break,
            }
        }
        done
    }

    /// Writes all or fails with EFAULT.
    pub fn write_all(&self, addr: usize, bytes: &[u8]) -> Result {
        if self.write(addr, bytes, true) == bytes.len() { Ok(()) } else { Err(EFAULT) }
    }

    /// The page behind `addr`, brought in. EFAULT, ENOMEM.
    pub(crate) fn remote_page(&self, addr: usize, write: bool, force: bool) -> Result<mm_alloc::Page> {
        if addr >= TASK_SIZE {
            return Err(EFAULT);
        }
        let addr = addr & PAGE_MASK;
        for _ in 0..8 {
            let forced_write = {
                let inner = self.inner.read();
                match inner.areas.containing(addr) {
                    // A stack that has not grown so far yet: `fault_in` extends it.
                    None => false,
                    Some(slot) => {
                        let flags = slot.value.flags;
                        let may = if write { VmFlags::WRITE } else { VmFlags::READ };
                        let could = if write { VmFlags::MAYWRITE } else { VmFlags::MAYREAD };
                        if !(flags.any(may) || force && flags.any(could)) || flags.any(VmFlags::IO) && write {
                            return Err(EFAULT);
                        }
                        if write && !flags.any(VmFlags::WRITE) && !flags.is_cow() {
                            return Err(EFAULT);
                        }
                        // Under the lock: else the tables could go meanwhile.
                        if flags.any(may)
                            && let Some(page) = self.table.page(addr, write)
                        {
                            return Ok(page);
                        }
                        !flags.any(may)
                    }
                }
            };
            if forced_write {
                return self.forced_page(addr, write);
            }
            self.fault_in(addr, write)?;
        }
        Err(EFAULT)
    }

    /// The page of a mapping whose own rights do not allow the access.
    fn forced_page(&self, addr: usize, write: bool) -> Result<mm_alloc::Page> {
        let inner = self.inner.read();
        let slot = inner.areas.containing(addr).ok_or(EFAULT)?;
        for _ in 0..8 {
            self.force_in(slot, addr, write)?;
            // It may have left for swap space just now.
            if let Some(page) = self.table.page(addr, false)
                && !(write && page.has(PageFlags::SWAP_CACHE))
            {
                return Ok(page);
            }
        }
        Err(EFAULT)
    }
}
