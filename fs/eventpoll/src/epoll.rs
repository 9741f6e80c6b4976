// SPDX-License-Identifier: GPL-2.0
//! The epoll file: its items, and collecting what is ready of them.

use crate::item::{Item, PRIVATE, Shared};
use crate::limits::{Charge, User};
use containers::HashMap;
use core::fmt::Write;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use sync::{Mutex, PollMask, PollTable};
use uapi::{EPOLLET, EPOLLONESHOT};
use vfs::{AnonKind, File, FileOps, OpenFlags, user};

/// An item with its registrations at the file's wait queues.
pub(crate) struct Entry {
    pub(crate) item: Arc<Item>,
    pub(crate) _table: PollTable,
    pub(crate) _charge: Charge,
}

/// Items by the file's address and the descriptor it was added by.
pub(crate) type Items = HashMap<(usize, u32), Entry>;

/// An epoll.
pub(crate) struct EventPoll {
    pub(crate) shared: Arc<Shared>,
    pub(crate) items: Mutex<Items>,
    /// Whom watched files count for.
    pub(crate) user: Arc<User>,
    /// One task at a time collects; the list is its room.
    scan: Mutex<KVec<Arc<Item>>>,
}

static KIND: AnonKind = AnonKind::new("[eventpoll]");

/// A new epoll file. May sleep.
pub(crate) fn open() -> Result<Arc<File>> {
    let ep = EventPoll {
        shared: Shared::new()?,
        items: Mutex::new(Items::new()),
        user: User::current()?,
        scan: Mutex::new(KVec::new()),
    };
    KIND.open(OpenFlags(uapi::O_RDWR), KBox::new(ep, GFP_KERNEL)?)
}

/// The epoll behind a file. `EINVAL`.
pub(crate) fn of(file: &File) -> Result<&EventPoll> {
    file.private::<EventPoll>().ok_or(EINVAL)
}

impl EventPoll {
    /// Makes room for `n` items in both lists. May sleep.
    pub(crate) fn reserve(&self, n: usize) -> Result {
        let mut scan = self.scan.lock();
        if scan.capacity() < n {
            let extra = n.next_power_of_two() - scan.len();
            scan.reserve(extra, GFP_KERNEL)?;
        }
        // With `scan` held nobody swaps the two lists.
        self.shared.reserve(scan.capacity().max(n))
    }

    /// Writes up to `max` events to the program's array at `to`; returns how many. May sleep. `EFAULT` if the first failed.
    pub(crate) fn send_events(&self, to: usize, max: usize) -> Result<usize> {
        let mut list = self.scan.lock();
        self.shared.take(&mut list);
        let mut sent = 0;
        let mut seen = 0;
        let mut result = Ok(());
        for item in list.iter() {
            if sent == max {
                break;
            }
            match send(item, to, sent) {
                Ok(true) => sent += 1,
                Ok(false) => {}
                Err(error) => result = Err(error),
            }
            // Also after an error: the item was queued again.
            seen += 1;
            if result.is_err() {
                break;
            }
        }
        if seen == list.len() {
            list.clear();
        } else {
            drop(list.drain(..seen));
            self.shared.put_back(&mut list);
        }
        drop(list);
        // What was left, and level-triggered items, are for the next one who waits.
        if self.shared.is_ready() {
            self.shared.waiters.wake_up();
        }
        if sent == 0 { result.map(|()| 0) } else { Ok(sent) }
    }

    /// Drops items whose file is gone: they were closed without being removed.
    pub(crate) fn prune(&self, items: &mut Items) {
        items.retain(|_, entry| entry.item.file.strong_count() != 0);
        let _scan = self.scan.lock();
        self.shared.retain(|item| item.file.strong_count() != 0);
    }

    /// Takes a removed item off the list, so that only items of the table are on it.
    pub(crate) fn forget(&self, gone: &Arc<Item>) {
        let _scan = self.scan.lock();
        self.shared.retain(|item| !core::ptr::eq(item, &**gone));
    }
}

/// Sends what `item` has to say as event number `index`, and queues it again if it is level-triggered.
fn send(item: &Arc<Item>, to: usize, index: usize) -> Result<bool> {
    let Some(file) = item.file.upgrade() else { return Ok(false) };
    // Before asking: what comes after this queues the item again.
    item.taken();
    let ready = item.poll(&file);
    if ready == 0 {
        return Ok(false);
    }
    let mut event = [0; 12];
    let (first, last) = event.split_at_mut(4);
    first.copy_from_slice(&ready.to_le_bytes());
    last.copy_from_slice(&item.data.load(Ordering::Relaxed).to_le_bytes());
    if let Err(error) = user::copy_out(to.wrapping_add(index * 12), &event) {
        item.queue();
        return Err(error);
    }
    let wanted = item.events.load(Ordering::Acquire);
    if wanted & EPOLLONESHOT != 0 {
        item.events.fetch_and(PRIVATE, Ordering::AcqRel);
    } else if wanted & EPOLLET == 0 {
        item.queue();
    }
    Ok(true)
}

impl FileOps for EventPoll {
    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        table.add(&self.shared.pollers);
        /// Queued items that are looked at; if all of them turn out not to be ready the next wait looks at the rest.
        const LOOK: usize = 64;
        let Ok(items) = self.shared.peek(LOOK) else { return PollMask::NONE };
        let full = items.len() == LOOK;
        let ready = items.iter().any(|item| item.file.upgrade().is_some_and(|file| item.poll(&file) != 0));
        if ready || full { PollMask::IN | PollMask::RDNORM } else { PollMask::NONE }
    }

    fn release(&self, _: &File) {
        let items = core::mem::replace(&mut *self.items.lock(), Items::new());
        // Registrations go first, so that nothing queues any more.
        drop(items);
        self.shared.clear();
    }

    fn show_fdinfo(&self, _: &File, out: &mut dyn Write) -> core::fmt::Result {
        for entry in self.items.lock().iter().map(|(_, entry)| entry) {
            let item = &entry.item;
            let Some(file) = item.file.upgrade() else { continue };
            let inode = file.inode();
            writeln!(
                out,
                "tfd: {:8} events: {:8x} data: {:16x}  pos:{} ino:{:x} sdev:{:x}",
                item.fd,
                item.events.load(Ordering::Relaxed),
                item.data.load(Ordering::Relaxed),
                file.position(),
                inode.ino,
                inode.sb().dev.0
            )?;
        }
        Ok(())
    }
}
