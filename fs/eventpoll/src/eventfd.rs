// SPDX-License-Identifier: GPL-2.0
//! `eventfd(2)`: a 64-bit counter. Writing adds to it, reading takes it (or one of it); both wait while they cannot.

use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use sync::wait::WaitQueue;
use vfs::{AnonKind, File, FileOps, IovIter, OpenFlags, PollMask, PollTable, get_unused_fd};
use x86_cpu::regs::PtRegs;

/// Reading takes one, not all.
const EFD_SEMAPHORE: u32 = 1;

struct EventFd {
    count: SpinLock<u64>,
    semaphore: bool,
    waiters: Arc<WaitQueue>,
}

static KIND: AnonKind = AnonKind::new("[eventfd]");

impl EventFd {
    /// Takes from the counter; `None` if it is zero.
    fn take(&self) -> Option<u64> {
        let mut count = self.count.lock_irqsave();
        if *count == 0 {
            return None;
        }
        let taken = if self.semaphore { 1 } else { *count };
        *count -= taken;
        Some(taken)
    }

    /// Adds to the counter; false if it has no room.
    fn add(&self, n: u64) -> bool {
        let mut count = self.count.lock_irqsave();
        match count.checked_add(n) {
            Some(sum) if sum != u64::MAX => {
                *count = sum;
                true
            }
            _ => false,
        }
    }
}

impl FileOps for EventFd {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if to.count() < 8 {
            return Err(EINVAL);
        }
        let mut taken = self.take();
        if taken.is_none() {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.waiters.wait_interruptible(|| {
                taken = self.take();
                taken.is_some()
            })?;
        }
        let taken = taken.ok_or(EAGAIN)?;
        self.waiters.wake_up_poll(PollMask::OUT);
        if to.copy_to_iter(&taken.to_le_bytes()) == 8 { Ok(8) } else { Err(EFAULT) }
    }

    fn write(&self, file: &File, from: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if from.count() < 8 {
            return Err(EINVAL);
        }
        let mut bytes = [0; 8];
        from.copy_from_iter_full(&mut bytes)?;
        let n = u64::from_le_bytes(bytes);
        if n == u64::MAX {
            return Err(EINVAL);
        }
        if !self.add(n) {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.waiters.wait_interruptible(|| self.add(n))?;
        }
        self.waiters.wake_up_poll(PollMask::IN);
        Ok(8)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.waiters);
        let count = *self.count.lock_irqsave();
        let mut mask = PollMask::NONE;
        if count > 0 {
            mask |= PollMask::IN;
        }
        if count == u64::MAX {
            mask |= PollMask::ERR;
        }
        if count < u64::MAX - 1 {
            mask |= PollMask::OUT;
        }
        mask
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn Write) -> core::fmt::Result {
        writeln!(out, "eventfd-count: {:16x}", *self.count.lock_irqsave())?;
        writeln!(out, "eventfd-semaphore: {}", u32::from(self.semaphore))
    }
}

/// Adds 1 to the counter of the event descriptor `file` and wakes who waits for it; a full counter stays. EINVAL if it is none. Any
/// context but NMI.
pub fn eventfd_signal(file: &File) -> Result {
    let event = file.private::<EventFd>().ok_or(EINVAL)?;
    let _ = event.add(1);
    event.waiters.wake_up_poll(PollMask::IN);
    Ok(())
}

/// Whether `file` is an event descriptor.
pub fn is_eventfd(file: &File) -> bool {
    file.private::<EventFd>().is_some()
}

fn create(initial: u32, flags: u32) -> Result<usize> {
    if flags & !(EFD_SEMAPHORE | uapi::O_CLOEXEC | uapi::O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let fd = get_unused_fd(flags & uapi::O_CLOEXEC != 0)?;
    let event = EventFd {
        count: SpinLock::new(initial.into()),
        semaphore: flags & EFD_SEMAPHORE != 0,
        waiters: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
    };
    let flags = OpenFlags(uapi::O_RDWR | flags & uapi::O_NONBLOCK);
    Ok(fd.install(KIND.open(flags, KBox::new(event, GFP_KERNEL)?)?) as usize)
}

/// `eventfd(initial)`.
pub fn sys_eventfd(regs: &PtRegs) -> Result<usize> {
    create(regs.arg0() as u32, 0)
}

/// `eventfd2(initial, flags)`.
pub fn sys_eventfd2(regs: &PtRegs) -> Result<usize> {
    create(regs.arg0() as u32, regs.arg1() as u32)
}
