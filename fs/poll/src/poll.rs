// SPDX-License-Identifier: GPL-2.0
//! `poll(2)` and `ppoll(2)`.

use crate::limits::{INTERRUPTED, Limit, interrupted, with_mask};
use errno::Result;
use errno::code::{EINVAL, ERESTART_RESTARTBLOCK, ERESTARTNOHAND};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use sync::{PollMask, PollTable};
use vfs::FilesStruct;
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{UserPtr, copy_from_user, put_user};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Descriptors that need no allocation.
const ON_STACK: usize = 64;

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// What one descriptor has to say; registers with its queues as `table` does.
fn poll_one(files: &FilesStruct, entry: PollFd, table: &mut PollTable) -> PollMask {
    let Ok(fd) = u32::try_from(entry.fd) else { return PollMask::NONE };
    match files.get(fd) {
        Ok(file) => file.poll(table) & (PollMask(u32::from(entry.events)) | PollMask::ERR | PollMask::HUP),
        Err(_) => PollMask::NVAL,
    }
}

/// Waits until something is ready; returns the number of ready descriptors.
fn wait(entries: &mut [PollFd], limit: Limit) -> Result<usize> {
    let mut table = if limit == Limit::Now { PollTable::query() } else { PollTable::for_task()? };
    let mut expired = limit == Limit::Now;
    loop {
        let mut count = 0;
        // Not kept while the task sleeps: another thread may replace the table meanwhile.
        let files = vfs::fdtable::current_files()?;
        for entry in entries.iter_mut() {
            let ready = poll_one(&files, *entry, &mut table);
            entry.revents = ready.0 as u16;
            if ready != PollMask::NONE {
                count += 1;
                table.stop();
            }
        }
        drop(files);
        // Once registered is enough.
        table.stop();
        if let Some(error) = table.error() {
            return Err(error);
        }
        if count != 0 {
            return Ok(count);
        }
        if expired {
            return Ok(0);
        }
        if interrupted() {
            return Err(INTERRUPTED);
        }
        expired = table.wait(limit.deadline());
    }
}

fn do_poll(address: usize, n: usize, limit: Limit) -> Result<usize> {
    if n as u64 > rlimit::current(uapi::RLIMIT_NOFILE) {
        return Err(EINVAL);
    }
    if n <= ON_STACK {
        let mut small = [PollFd::default(); ON_STACK];
        return poll_array(address, small.get_mut(..n).ok_or(EINVAL)?, limit);
    }
    let mut large = KVec::from_elem(PollFd::default(), n, GFP_KERNEL)?;
    poll_array(address, &mut large, limit)
}

fn poll_array(address: usize, entries: &mut [PollFd], limit: Limit) -> Result<usize> {
    copy_from_user(entries.as_mut_bytes(), UserPtr::from(address))?;
    let count = wait(entries, limit)?;
    // `revents` is the last two bytes of the entry; the rest is the program's, also while it waited here.
    let mut slot = UserPtr::from(address).wrapping_byte_add(6);
    for entry in entries.iter() {
        put_user(slot, entry.revents)?;
        slot = slot.wrapping_byte_add(size_of::<PollFd>());
    }
    Ok(count)
}

/// `poll(2)`.
pub fn sys_poll(regs: &PtRegs) -> Result<usize> {
    let (address, n, timeout) = (regs.arg0(), regs.arg1() as u32 as usize, regs.arg2() as i32);
    let limit = match u64::try_from(timeout) {
        Err(_) => Limit::Never,
        Ok(ms) => Limit::after_ns(ms.saturating_mul(1_000_000)),
    };
    restartable(address, n, limit)
}

/// A wait that `restart_syscall` takes up again with the same deadline when a signal without handler interrupted it.
fn restartable(address: usize, n: usize, limit: Limit) -> Result<usize> {
    let result = do_poll(address, n, limit);
    if result != Err(ERESTARTNOHAND) {
        return result;
    }
    let until = match limit {
        Limit::Until(at) => at,
        Limit::Now | Limit::Never => u64::MAX,
    };
    task::restart::set(resume, [address as u64, n as u64, until, 0, 0, 0]);
    Err(ERESTART_RESTARTBLOCK)
}

fn resume(args: &[u64; 6]) -> Result<usize> {
    let [address, n, until, ..] = *args;
    let limit = if until == u64::MAX { Limit::Never } else { Limit::Until(until) };
    restartable(address as usize, n as usize, limit)
}

/// `ppoll(2)`.
pub fn sys_ppoll(regs: &PtRegs) -> Result<usize> {
    let (address, n, timeout) = (regs.arg0(), regs.arg1() as u32 as usize, regs.arg2());
    let limit = Limit::from_user(timeout, 1)?;
    let result = with_mask(regs.arg3(), regs.arg4(), || do_poll(address, n, limit));
    limit.finish(result, timeout, 1)
}
