// SPDX-License-Identifier: GPL-2.0
//! Adding, changing and removing items.

use crate::epoll::{Entry, of};
use crate::item::{Item, PRIVATE};
use crate::limits::Charge;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use sync::{Mutex, PollTable, WakeCallback};
use uapi::{EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLWAKEUP};
use vfs::File;

/// How deep epolls may lie in each other (`EP_MAX_NESTS`).
const MAX_NESTS: usize = 4;
/// Held while an epoll is added to another, so that two such additions cannot close a loop together.
static NESTING: Mutex<()> = Mutex::new(());
/// What may go with `EPOLLEXCLUSIVE`.
const EXCLUSIVE_OK: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/// What a program wants to know of a file.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) events: u32,
    pub(crate) data: u64,
}

/// Checks what `epoll_ctl` checks before it looks at the operation.
pub(crate) fn check_target(epfile: &Arc<File>, file: &Arc<File>) -> Result {
    if !file.ops().can_poll() {
        return Err(EPERM);
    }
    if Arc::ptr_eq(epfile, file) {
        return Err(EINVAL);
    }
    of(epfile).map(|_| ())
}

fn key(file: &Arc<File>, fd: u32) -> (usize, u32) {
    (Arc::as_ptr(file).addr(), fd)
}

/// The address of the file that was added to an epoll under `fd`, to compare; of several the one number `nth`, by address.
/// `EINVAL` if `epfile` is no epoll, `ENOENT`. May sleep.
pub fn target(epfile: &File, fd: u32, nth: u32) -> Result<usize> {
    let items = of(epfile)?.items.lock();
    let mut from = 0;
    for left in (0..=nth).rev() {
        let live = items.iter().filter(|((_, n), entry)| *n == fd && entry.item.file.strong_count() != 0);
        let next = live.map(|((file, _), _)| *file).filter(|&file| file >= from).min().ok_or(ENOENT)?;
        if left == 0 {
            return Ok(next);
        }
        from = next.saturating_add(1);
    }
    Err(ENOENT)
}

/// `EPOLL_CTL_ADD`. May sleep.
pub(crate) fn add(epfile: &Arc<File>, file: &Arc<File>, fd: u32, wanted: Wanted) -> Result {
    let ep = of(epfile)?;
    let nested = of(file).is_ok();
    if wanted.events & EPOLLEXCLUSIVE != 0 && (nested || wanted.events & !EXCLUSIVE_OK != 0) {
        return Err(EINVAL);
    }
    let _nesting = if nested { Some(NESTING.lock()) } else { None };
    if nested {
        check_loop(epfile, file)?;
    }
    let mut items = ep.items.lock();
    if items.contains_key(&key(file, fd)) {
        return Err(EEXIST);
    }
    // Files that were closed leave their items behind; when the table would grow they are looked for.
    if items.len().is_power_of_two() && items.len() >= 16 {
        ep.prune(&mut items);
    }
    let charge = match Charge::new(&ep.user) {
        Ok(charge) => charge,
        Err(_) => {
            ep.prune(&mut items);
            Charge::new(&ep.user)?
        }
    };
    ep.reserve(items.len() + 1)?;
    let events = wanted.events | EPOLLERR | EPOLLHUP;
    let item = Item::new(&ep.shared, file, fd, events, wanted.data)?;
    let callback: Arc<dyn WakeCallback> = item.clone();
    let mut table = PollTable::for_callback(callback, events & EPOLLEXCLUSIVE != 0);
    let ready = file.poll(&mut table).0 & events & !PRIVATE;
    table.stop();
    if let Some(error) = table.error() {
        return Err(error);
    }
    items.insert(key(file, fd), Entry { item: item.clone(), _table: table, _charge: charge })?;
    drop(items);
    if ready != 0 {
        item.queue();
        ep.shared.wake();
    }
    Ok(())
}

/// `EPOLL_CTL_MOD`. May sleep.
pub(crate) fn modify(epfile: &Arc<File>, file: &Arc<File>, fd: u32, wanted: Wanted) -> Result {
    let ep = of(epfile)?;
    if wanted.events & EPOLLEXCLUSIVE != 0 {
        return Err(EINVAL);
    }
    let items = ep.items.lock();
    let item = &items.get(&key(file, fd)).ok_or(ENOENT)?.item;
    if item.events.load(Ordering::Acquire) & EPOLLEXCLUSIVE != 0 {
        return Err(EINVAL);
    }
    item.data.store(wanted.data, Ordering::Relaxed);
    item.events.store(wanted.events | EPOLLERR | EPOLLHUP, Ordering::SeqCst);
    if item.poll(file) != 0 {
        item.queue();
        ep.shared.wake();
    }
    Ok(())
}

/// `EPOLL_CTL_DEL`. May sleep.
pub(crate) fn remove(epfile: &Arc<File>, file: &Arc<File>, fd: u32) -> Result {
    let ep = of(epfile)?;
    let mut items = ep.items.lock();
    let Entry { item, _table: registrations, .. } = items.remove(&key(file, fd)).ok_or(ENOENT)?;
    // After this no wake-up queues it.
    drop(registrations);
    ep.forget(&item);
    Ok(())
}

/// `ELOOP` if `target` watches `epfile`, directly or not, or if the nesting would be too deep.
fn check_loop(epfile: &Arc<File>, target: &Arc<File>) -> Result {
    let mut level = KVec::new();
    level.push(target.clone(), GFP_KERNEL)?;
    for _ in 0..=MAX_NESTS {
        let mut next = KVec::new();
        for file in &level {
            if Arc::ptr_eq(file, epfile) {
                return Err(ELOOP);
            }
            let Ok(ep) = of(file) else { continue };
            for (_, entry) in ep.items.lock().iter() {
                if let Some(inner) = entry.item.file.upgrade().filter(|inner| of(inner).is_ok()) {
                    next.push(inner, GFP_KERNEL)?;
                }
            }
        }
        if next.is_empty() {
            return Ok(());
        }
        level = next;
    }
    Err(ELOOP)
}
