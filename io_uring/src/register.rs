// SPDX-License-Identifier: GPL-2.0
//! `io_uring_register(2)`: files, buffers and an event descriptor that requests name by number.

use crate::abi::{op, setup};
use crate::ring::{Ring, RingFile};
use core::sync::atomic::Ordering::{Acquire, Release};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::Page;
use mm_alloc::layout::PAGE_SIZE;
use vfs::File;
use x86_mm::uaccess::{copy_to_user, get_user};

mod code {
    pub(super) const BUFFERS: u32 = 0;
    pub(super) const NO_BUFFERS: u32 = 1;
    pub(super) const FILES: u32 = 2;
    pub(super) const NO_FILES: u32 = 3;
    pub(super) const EVENTFD: u32 = 4;
    pub(super) const NO_EVENTFD: u32 = 5;
    pub(super) const FILES_UPDATE: u32 = 6;
    pub(super) const PROBE: u32 = 8;
    pub(super) const ENABLE_RINGS: u32 = 12;
    pub(super) const PBUF_RING: u32 = 22;
    pub(super) const NO_PBUF_RING: u32 = 23;
}

/// Most files, and most buffers.
const MAX_FILES: u32 = 32768;
const MAX_BUFFERS: u32 = 1 << 14;
/// Bytes of a buffer.
const MAX_BUFFER: usize = 1 << 30;
/// A place that stays as it is.
const SKIP: i32 = -2;

/// Memory of the program's that is held.
pub(crate) struct Buffer {
    start: u64,
    len: u64,
    /// Stay as long as the buffer is registered.
    _pages: KVec<Page>,
}

impl Buffer {
    fn new(start: usize, len: usize) -> Result<Arc<Self>> {
        if start == 0 || len == 0 {
            return Err(EFAULT);
        }
        if len > MAX_BUFFER {
            return Err(EFAULT);
        }
        let end = start.checked_add(len).ok_or(EOVERFLOW)?;
        let mm = mm::current_mm().ok_or(EFAULT)?;
        let first = start - start % PAGE_SIZE;
        let mut pages = KVec::with_capacity((end - first).div_ceil(PAGE_SIZE), GFP_KERNEL)?;
        for at in (first..end).step_by(PAGE_SIZE) {
            pages.push(mm.pin_page(at, true)?, GFP_KERNEL)?;
        }
        Ok(Arc::new(Self { start: start as u64, len: len as u64, _pages: pages }, GFP_KERNEL)?)
    }

    /// Whether `len` bytes at `at` lie within.
    pub(crate) fn holds(&self, at: u64, len: u32) -> bool {
        at.checked_sub(self.start).and_then(|skip| skip.checked_add(len.into())).is_some_and(|end| end <= self.len)
    }
}

fn file_of(fd: i32) -> Result<Option<Arc<File>>> {
    match fd {
        -1 => Ok(None),
        fd => {
            let file = vfs::fdtable::fdget(fd.cast_unsigned() as usize)?;
            // A ring that holds itself open would never be closed.
            if file.private::<RingFile>().is_some() { Err(EBADF) } else { Ok(Some(file)) }
        }
    }
}

/// Does what was asked.
pub(crate) fn register(ring: &Arc<Ring>, what: u32, arg: usize, count: u32) -> Result<usize> {
    if !ring.is_issuer() {
        return Err(EEXIST);
    }
    match what {
        code::BUFFERS => buffers(ring, arg, count)?,
        code::FILES => files(ring, arg, count)?,
        code::NO_BUFFERS | code::NO_FILES | code::NO_EVENTFD | code::ENABLE_RINGS if arg != 0 || count != 0 => {
            return Err(EINVAL);
        }
        code::NO_BUFFERS => {
            let old = core::mem::take(&mut *ring.buffers.lock_irqsave());
            if old.is_empty() {
                return Err(ENXIO);
            }
        }
        code::NO_FILES => {
            let old = core::mem::take(&mut *ring.files.lock_irqsave());
            if old.is_empty() {
                return Err(ENXIO);
            }
        }
        code::EVENTFD => event(ring, arg, count)?,
        code::NO_EVENTFD => {
            let old = ring.event.lock_irqsave().take();
            drop(old.ok_or(ENXIO)?);
        }
        code::FILES_UPDATE => return update_files(ring, arg, count),
        code::PROBE => probe(arg, count)?,
        code::PBUF_RING | code::NO_PBUF_RING if arg == 0 || count != 1 => return Err(EINVAL),
        code::PBUF_RING => ring.groups.register(arg)?,
        code::NO_PBUF_RING => ring.groups.unregister(arg)?,
        code::ENABLE_RINGS => {
            if ring.flags & setup::R_DISABLED == 0 || is_enabled(ring) {
                return Err(EBADFD);
            }
            ring.set_issuer();
            ring.enabled.store(true, Release);
            if let Some(poll) = &ring.sqpoll {
                poll.wake();
            }
        }
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// Whether requests are taken.
pub(crate) fn is_enabled(ring: &Ring) -> bool {
    ring.enabled.load(Acquire)
}

fn buffers(ring: &Ring, arg: usize, count: u32) -> Result {
    if count == 0 || count > MAX_BUFFERS {
        return Err(EINVAL);
    }
    if !ring.buffers.lock_irqsave().is_empty() {
        return Err(EBUSY);
    }
    let mut list = KVec::with_capacity(count as usize, GFP_KERNEL)?;
    for index in 0..count as usize {
        let [start, len] = get_user::<[usize; 2]>(arg.wrapping_add(index * 16))?;
        list.push(Buffer::new(start, len)?, GFP_KERNEL)?;
    }
    let old = core::mem::replace(&mut *ring.buffers.lock_irqsave(), list);
    drop(old);
    Ok(())
}

fn files(ring: &Ring, arg: usize, count: u32) -> Result {
    if count == 0 {
        return Err(EINVAL);
    }
    if count > MAX_FILES || count > vfs::fdtable::nofile_limit() {
        return Err(EMFILE);
    }
    if !ring.files.lock_irqsave().is_empty() {
        return Err(EBUSY);
    }
    let mut list = KVec::with_capacity(count as usize, GFP_KERNEL)?;
    for index in 0..count as usize {
        list.push(file_of(get_user::<i32>(arg.wrapping_add(index * 4))?)?, GFP_KERNEL)?;
    }
    let old = core::mem::replace(&mut *ring.files.lock_irqsave(), list);
    drop(old);
    Ok(())
}

/// `struct io_uring_files_update`: from which place on, and descriptors.
fn update_files(ring: &Ring, arg: usize, count: u32) -> Result<usize> {
    let [first, fds] = get_user::<[u64; 2]>(arg)?;
    let (first, reserved) = (first as u32 as usize, first >> 32);
    if reserved != 0 || count == 0 {
        return Err(EINVAL);
    }
    let there = ring.files.lock_irqsave().len();
    if there == 0 {
        return Err(ENXIO);
    }
    if first.checked_add(count as usize).is_none_or(|end| end > there) {
        return Err(EINVAL);
    }
    for index in 0..count as usize {
        let done = |error| if index == 0 { Err(error) } else { Ok(index) };
        let fd = match get_user::<i32>((fds as usize).wrapping_add(index * 4)) {
            Ok(SKIP) => continue,
            Ok(fd) => fd,
            Err(error) => return done(error),
        };
        let mut file = match file_of(fd) {
            Ok(file) => file,
            Err(error) => return done(error),
        };
        if let Some(place) = ring.files.lock_irqsave().get_mut(first + index) {
            core::mem::swap(place, &mut file);
        }
        drop(file);
    }
    Ok(count as usize)
}

fn event(ring: &Ring, arg: usize, count: u32) -> Result {
    if count != 1 {
        return Err(EINVAL);
    }
    let file = vfs::fdtable::fdget(get_user::<i32>(arg)?.cast_unsigned() as usize)?;
    if !eventpoll::is_eventfd(&file) {
        return Err(EINVAL);
    }
    let mut event = ring.event.lock_irqsave();
    if event.is_some() {
        return Err(EBUSY);
    }
    *event = Some(file);
    ring.heard.store(true, Release);
    Ok(())
}

/// `struct io_uring_probe`: which operations there are.
fn probe(arg: usize, count: u32) -> Result {
    const HEADER: usize = 16;
    let last = op::ALL.iter().copied().max().unwrap_or(0);
    if count > 256 {
        return Err(EINVAL);
    }
    let count = count.min(u32::from(last) + 1);
    let mut header = [0u8; HEADER];
    let [its_last, its_count, ..] = &mut header;
    (*its_last, *its_count) = (last, count as u8);
    copy_to_user(arg, &header)?;
    for index in 0..count as u8 {
        let there = u8::from(op::ALL.contains(&index));
        let entry = [index, 0, there, 0, 0, 0, 0, 0];
        copy_to_user(arg.wrapping_add(HEADER + usize::from(index) * 8), &entry)?;
    }
    Ok(())
}
