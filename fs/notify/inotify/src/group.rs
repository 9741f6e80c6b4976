// SPDX-License-Identifier: GPL-2.0
//! What an inotify file is: a table of watches and a queue of events.

use crate::limits::{Charge, MAX_QUEUED_EVENTS};
use crate::queue::{HEADER, Queue, Record};
use crate::watch::{KEPT, Watch};
use containers::Idr;
use core::fmt::Write;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use locking::SpinLock;
use sync::{Mutex, PollMask, PollTable, WaitQueue};
use uapi::{IN_IGNORED, IN_MASK_ADD, IN_MASK_CREATE};
use vfs::notify::{add_mark, find_mark, remove_mark};
use vfs::{FasyncList, File, FileOps, Inode, IovIter};
use x86_mm::uaccess::{UserPtr, put_user};

static NEXT: AtomicU64 = AtomicU64::new(1);

struct Watches {
    table: Idr<Arc<Watch>>,
    cursor: u32,
}

/// What a file and its watches share.
pub(crate) struct Group {
    id: u64,
    watches: Mutex<Watches>,
    queue: SpinLock<Queue>,
    waiters: Arc<WaitQueue>,
    fasync: FasyncList,
    _charge: Charge,
}

impl Group {
    pub(crate) fn new() -> Result<Arc<Self>> {
        let group = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            watches: Mutex::new(Watches { table: Idr::new(), cursor: 1 }),
            queue: SpinLock::new(Queue::new()),
            waiters: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            fasync: FasyncList::new(),
            _charge: Charge::instance()?,
        };
        Ok(Arc::new(group, GFP_KERNEL)?)
    }

    /// Adds an event for the readers.
    pub(crate) fn queue(&self, record: Record) {
        let limit = MAX_QUEUED_EVENTS.load(Ordering::Relaxed) as usize;
        if self.queue.lock().push(record, limit) {
            self.waiters.wake_up_poll(PollMask::IN | PollMask::RDNORM);
            self.fasync.kill(uapi::POLL_IN);
        }
    }

    /// An event was lost for want of memory.
    pub(crate) fn lost(&self) {
        let changed = self.queue.lock().push(Record { wd: -1, mask: 0, cookie: 0, name: KVec::new() }, 0);
        if changed {
            self.waiters.wake_up_poll(PollMask::IN | PollMask::RDNORM);
            self.fasync.kill(uapi::POLL_IN);
        }
    }

    /// Watch `wd` is off its inode: its number is free, and the readers hear of it. False if there is no such watch.
    pub(crate) fn forget(&self, wd: u32) -> bool {
        let Some(watch) = self.watches.lock().table.remove(wd) else { return false };
        self.queue(Record { wd: wd as i32, mask: IN_IGNORED, cookie: 0, name: KVec::new() });
        drop(watch);
        true
    }

    /// `inotify_add_watch(2)`: watches `inode`, or changes what is watched for.
    pub(crate) fn watch(self: &Arc<Self>, inode: &Arc<Inode>, mask: u32) -> Result<u32> {
        let mut watches = self.watches.lock();
        let kept = mask & KEPT;
        let old = find_mark(inode, self.id).and_then(|wd| watches.table.find(wd));
        if let Some(old) = old {
            if mask & IN_MASK_CREATE != 0 {
                return Err(EEXIST);
            }
            match mask & IN_MASK_ADD {
                0 => old.mask.store(kept, Ordering::Relaxed),
                _ => {
                    old.mask.fetch_or(kept, Ordering::Relaxed);
                }
            }
            return Ok(old.wd);
        }
        let charge = Charge::watch()?;
        // The number first, with nothing behind it: the watch knows its number.
        let Watches { table, cursor } = &mut *watches;
        let mut next = *cursor;
        while table.find(next).is_some() {
            next = next.checked_add(1).filter(|&n| n < i32::MAX as u32).ok_or(ENOSPC)?;
        }
        let watch = Watch {
            group: Arc::downgrade(self),
            owner: self.id,
            wd: next,
            mask: AtomicU32::new(kept),
            inode: inode.clone(),
            _charge: charge,
        };
        let watch = Arc::new(watch, GFP_KERNEL)?;
        table.insert(next, watch.clone(), GFP_KERNEL)?;
        *cursor = next + 1;
        if let Err(error) = add_mark(inode, watch) {
            drop(table.remove(next));
            return Err(error);
        }
        Ok(next)
    }

    /// `inotify_rm_watch(2)`.
    pub(crate) fn unwatch(&self, wd: i32) -> Result {
        let wd = u32::try_from(wd).map_err(|_| EINVAL)?;
        let watch = self.watches.lock().table.find(wd).cloned().ok_or(EINVAL)?;
        remove_mark(&watch.inode, (self.id, wd));
        // An event may have removed it meanwhile: then it was told of already.
        if self.forget(wd) { Ok(()) } else { Err(EINVAL) }
    }

    fn drop_watches(&self) {
        loop {
            let watch = {
                let mut watches = self.watches.lock();
                let Some((wd, _)) = watches.table.next(0) else { return };
                watches.table.remove(wd)
            };
            if let Some(watch) = watch {
                remove_mark(&watch.inode, (self.id, watch.wd));
            }
        }
    }
}

/// The operations of an inotify file.
pub(crate) struct InotifyFile(pub(crate) Arc<Group>);

impl InotifyFile {
    /// Copies one event out.
    fn put(record: &Record, to: &mut IovIter<'_>) -> Result {
        let room = record.name_room();
        let header = [record.wd as u32, record.mask, record.cookie, room as u32];
        let done = header.iter().all(|word| to.copy_to_iter(&word.to_le_bytes()) == 4)
            && to.copy_to_iter(&record.name) == record.name.len()
            && to.zero(room - record.name.len()) == room - record.name.len();
        if done { Ok(()) } else { Err(EFAULT) }
    }
}

impl FileOps for InotifyFile {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let mut done = 0;
        loop {
            let next = self.0.queue.lock().pop(to.count());
            match next {
                Ok(Some(record)) => {
                    Self::put(&record, to)?;
                    done += record.size();
                    continue;
                }
                Err(()) if done == 0 => return Err(EINVAL),
                _ if done != 0 => return Ok(done),
                _ => {}
            }
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.0.waiters.wait_interruptible(|| !self.0.queue.lock().is_empty())?;
        }
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.0.waiters);
        if self.0.queue.lock().is_empty() { PollMask::NONE } else { PollMask::IN | PollMask::RDNORM }
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        self.0.fasync.set(file, fd, on).map(|_| ())
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        if cmd != uapi::FIONREAD {
            return Err(ENOTTY);
        }
        let bytes = self.0.queue.lock().bytes();
        put_user(UserPtr::from(arg), i32::try_from(bytes).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    fn release(&self, _: &File) {
        self.0.drop_watches();
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn Write) -> core::fmt::Result {
        let watches = self.0.watches.lock();
        for (wd, watch) in watches.table.iter() {
            let (ino, dev, mask) = (watch.inode.ino, watch.inode.sb().dev.0, watch.mask.load(Ordering::Relaxed));
            writeln!(out, "inotify wd:{wd:x} ino:{ino:x} sdev:{dev:x} mask:{mask:x} ignored_mask:0 ")?;
        }
        Ok(())
    }
}

const _: () = assert!(HEADER == size_of::<[u32; 4]>());
