// SPDX-License-Identifier: GPL-2.0
//! The schedulers there are. mq-deadline is part of the core; others, which may be modules, register a [`SchedulerType`] and are part of
//! the table until they take it back. A disk's scheduler keeps its module.
//!
//! Lock: `TABLE` (sleeping), innermost.

use super::deadline;
use super::request::Request;
use crate::bio::Bio;
use crate::limits::QueueLimits;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KBox, KVec};
use module_core::{Header, ModuleRef};
use sync::Mutex;

/// Longest name of a scheduler, with its end in Linux (`ELV_NAME_MAX`).
const NAME_MAX: usize = 16;

/// The requests of one disk's scheduler, in the order that its policy wants. Its caller has a lock with interrupts off around all of it:
/// nothing here sleeps.
pub trait Policy: Send {
    /// How many wait.
    fn len(&self) -> usize;

    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts one in; given back if there is no room.
    fn insert(&mut self, request: KBox<Request>) -> Result<(), KBox<Request>>;

    /// Takes the one to be sent next; with it, of what kind it is if [`Self::done`] is to be called when it is over.
    fn dispatch(&mut self, now: u64) -> Option<(KBox<Request>, Option<u32>)>;

    /// Takes any: nothing is sent any more.
    fn take_any(&mut self, now: u64) -> Option<KBox<Request>>;

    /// Joins a bio with a request that waits; else gives it back.
    fn merge(&mut self, bio: KBox<Bio>, limits: &QueueLimits) -> Result<(), KBox<Bio>>;

    /// A request that [`Self::dispatch`] gave a kind for is over: it took `total` since it was made, `device` since it was sent.
    fn done(&mut self, kind: u32, total: u64, device: u64, now: u64) {
        let _ = (kind, total, device, now);
    }

    /// Tunable number `index` of its type's, as its file shows it.
    fn tunable(&self, index: usize) -> u64 {
        let _ = index;
        0
    }

    /// Sets it.
    fn set_tunable(&mut self, index: usize, value: u64) {
        let _ = (index, value);
    }
}

/// A kind of scheduler: a static of who has it.
pub struct SchedulerType {
    /// Its name, at most 15 bytes.
    pub name: &'static str,
    /// What an administrator can change: names of files in `iosched`.
    pub tunables: &'static [&'static str],
    /// Whether there, too, is how many requests those may use that nobody waits for (`async_depth`).
    pub has_async_depth: bool,
    /// Whether somebody waits for a bio, as this scheduler sees it.
    pub urgent: fn(&Bio) -> bool,
    /// Makes one, with room for so many requests. ENOMEM. May sleep.
    pub new: fn(u32) -> Result<KBox<dyn Policy>>,
}

/// An entry of the table.
#[derive(Clone, Copy)]
struct Entry {
    kind: &'static SchedulerType,
    owner: Option<&'static Header>,
    /// No other entry has or had it.
    id: u64,
}

static TABLE: Mutex<KVec<Entry>> = Mutex::new(KVec::new());
static LAST: AtomicU64 = AtomicU64::new(0);

/// The one that is always there.
const OWN: Entry = Entry { kind: &deadline::TYPE, owner: None, id: 0 };

/// A type that somebody uses.
pub(super) struct Chosen {
    pub(super) kind: &'static SchedulerType,
    pub(super) id: u64,
    /// Keeps the type's module: to be dropped after everything of it.
    pub(super) owner: ModuleRef,
}

impl Entry {
    fn choose(&self) -> Option<Chosen> {
        Some(Chosen { kind: self.kind, id: self.id, owner: ModuleRef::get(self.owner)? })
    }
}

/// Finds the type of that name and keeps it. May sleep.
pub(super) fn choose(name: &str) -> Option<Chosen> {
    if name == OWN.kind.name {
        return OWN.choose();
    }
    TABLE.lock().iter().find(|entry| entry.kind.name == name)?.choose()
}

/// Whether there is a scheduler of that name. May sleep.
pub fn is_scheduler(name: &str) -> bool {
    name == OWN.kind.name || TABLE.lock().iter().any(|entry| entry.kind.name == name)
}

/// Whether a scheduler could have that name.
pub fn is_scheduler_name(name: &str) -> bool {
    !name.is_empty() && name.len() < NAME_MAX
}

/// Tells `f` the name of each scheduler, but `none`. May sleep.
pub fn for_each_scheduler(mut f: impl FnMut(&str) -> Result) -> Result {
    f(OWN.kind.name)?;
    TABLE.lock().iter().try_for_each(|entry| f(entry.kind.name))
}

/// Adds a scheduler, which `owner` has (`None`: the image). EBUSY: there is one of that name; EINVAL: the name is too long; ENOMEM. May sleep.
pub fn register_scheduler(kind: &'static SchedulerType, owner: Option<&'static Header>) -> Result {
    if !is_scheduler_name(kind.name) {
        return Err(EINVAL);
    }
    let mut table = TABLE.lock();
    if kind.name == OWN.kind.name || kind.name == "none" || table.iter().any(|entry| entry.kind.name == kind.name) {
        return Err(EBUSY);
    }
    let id = LAST.fetch_add(1, Relaxed).wrapping_add(1);
    table.push(Entry { kind, owner, id }, GFP_KERNEL)?;
    drop(table);
    klog::pr_info!("io scheduler {} registered", kind.name);
    Ok(())
}

/// Takes it out again; no disk uses it any more, as each that does keeps its module. May sleep.
pub fn unregister_scheduler(kind: &'static SchedulerType) {
    let mut table = TABLE.lock();
    table.retain(|entry| !core::ptr::eq(entry.kind, kind));
    // The last gives the memory back.
    let unused = table.is_empty().then(|| core::mem::take(&mut *table));
    drop(table);
    drop(unused);
}
