// SPDX-License-Identifier: GPL-2.0
//! The lists of wait queues: who waits, linked while it does, and taken off in every case. `wait_queue` makes a queue of it.
//!
//! An entry lives on the waiter's stack (or in a poll table) and is linked into the queue while it waits. The queue's spin lock
//! guards all links. A wake-up takes task entries off the queue itself, so the woken task finds nothing to undo.

#![no_std]

use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::ptr::NonNull;
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use task::{CurrentTask, State, Task, current};
use wait_event::{PollMask, WakeCallback};

enum Wakee {
    /// Wake this task; an exclusive one counts against the waker's number. The task is alive: it sleeps in the frame that
    /// holds the entry.
    Task { task: NonNull<Task>, exclusive: bool },
    /// Call this back, with the queue locked and interrupts off; the entry stays linked.
    Callback { callback: Arc<dyn WakeCallback>, exclusive: bool },
}

/// One waiter.
///
/// # Invariants
/// `linked`, `prev`, `next` are touched only under the lock of the queue that the entry was given to; while `linked` the entry
/// does not move and is not freed.
struct Entry {
    linked: bool,
    prev: *const EntryCell,
    next: *const EntryCell,
    wakee: Wakee,
}

struct EntryCell {
    inner: UnsafeCell<Entry>,
    _pin: PhantomPinned,
}

// SAFETY: Accesses follow `Entry`'s invariants (the queue's lock).
unsafe impl Send for EntryCell {}
// SAFETY: As above.
unsafe impl Sync for EntryCell {}

impl EntryCell {
    fn new(wakee: Wakee) -> Self {
        let entry = Entry { linked: false, prev: core::ptr::null(), next: core::ptr::null(), wakee };
        Self { inner: UnsafeCell::new(entry), _pin: PhantomPinned }
    }
}

struct List {
    head: *const EntryCell,
    tail: *const EntryCell,
}

// SAFETY: The raw links lead to entries that are `Send`, and are followed only under the lock around the list.
unsafe impl Send for List {}

impl List {
    /// # Safety
    /// `cell` is not linked anywhere and stays in place until it is removed.
    unsafe fn insert(&mut self, cell: *const EntryCell, at_tail: bool) {
        // SAFETY: The list's lock is held (`&mut self`), and linked entries are alive (invariant of `Entry`).
        unsafe {
            let entry = (*cell).inner.get();
            (*entry).linked = true;
            if at_tail {
                (*entry).prev = self.tail;
                (*entry).next = core::ptr::null();
                match self.tail.is_null() {
                    true => self.head = cell,
                    false => (*(*self.tail).inner.get()).next = cell,
                }
                self.tail = cell;
            } else {
                (*entry).prev = core::ptr::null();
                (*entry).next = self.head;
                match self.head.is_null() {
                    true => self.tail = cell,
                    false => (*(*self.head).inner.get()).prev = cell,
                }
                self.head = cell;
            }
        }
    }

    /// # Safety
    /// `cell` is alive and was only ever given to this list.
    unsafe fn remove(&mut self, cell: *const EntryCell) {
        // SAFETY: As in `insert`.
        unsafe {
            let entry = (*cell).inner.get();
            if !(*entry).linked {
                return;
            }
            (*entry).linked = false;
            let (prev, next) = ((*entry).prev, (*entry).next);
            match prev.is_null() {
                true => self.head = next,
                false => (*(*prev).inner.get()).next = next,
            }
            match next.is_null() {
                true => self.tail = prev,
                false => (*(*next).inner.get()).prev = prev,
            }
        }
    }
}

/// The waiters of a queue.
pub struct Waiters {
    list: SpinLock<List>,
}

impl Waiters {
    /// None.
    #[expect(clippy::new_without_default, reason = "made in constants, with a place")]
    #[track_caller]
    pub const fn new() -> Self {
        Self { list: SpinLock::new(List { head: core::ptr::null(), tail: core::ptr::null() }) }
    }

    /// Links the entry if it is not, and gives the task its state under the same lock: a waker that finds the entry finds the
    /// state too. (Set later, a waker in between would see a running task and pass over it.)
    #[inline]
    fn prepare(&self, cell: Pin<&EntryCell>, at_tail: bool, task: &Task, state: State) {
        let mut list = self.list.lock_irqsave();
        Self::link_locked(&mut list, cell, at_tail);
        task.set_state(state);
    }

    fn link(&self, cell: Pin<&EntryCell>, at_tail: bool) {
        Self::link_locked(&mut self.list.lock_irqsave(), cell, at_tail);
    }

    fn link_locked(list: &mut List, cell: Pin<&EntryCell>, at_tail: bool) {
        let cell: *const EntryCell = Pin::get_ref(cell);
        // SAFETY: The lock is held. Pinned, and whoever pinned it unlinks it before it goes away (`Waiting`, `Registration`).
        unsafe {
            if !(*(*cell).inner.get()).linked {
                list.insert(cell, at_tail);
            }
        }
    }

    fn unlink(&self, cell: Pin<&EntryCell>) {
        let mut list = self.list.lock_irqsave();
        // SAFETY: The lock is held; the entry is alive and only ever was on this queue.
        unsafe { list.remove(Pin::get_ref(cell)) };
    }

    /// Whether anybody waits at this moment.
    pub fn is_active(&self) -> bool {
        !self.list.lock_irqsave().head.is_null()
    }

    /// Wakes up to `exclusive_left` (not 0) exclusive waiters and all others whose state is in `mask`; callbacks are told `events`. Any
    /// context.
    pub fn wake(&self, mut exclusive_left: usize, events: PollMask, mask: State) {
        let mut list = self.list.lock_irqsave();
        let mut cursor = list.head;
        while !cursor.is_null() {
            // SAFETY: Linked entries are alive and their links stable while the lock is held.
            let entry = unsafe { &*(*cursor).inner.get() };
            let next = entry.next;
            let (woken, exclusive) = match &entry.wakee {
                Wakee::Task { task, exclusive } => {
                    let (task, exclusive) = (*task, *exclusive);
                    // SAFETY: The sleeper's frame holds the entry, so the task is alive; it cannot leave that frame before it
                    // has unlinked the entry under this lock, or seen it unlinked.
                    let task = unsafe { task.as_ref() }.to_arc();
                    let woken = task.wake(mask);
                    // One that was not asleep, or not in such a sleep, stays: it may yet sleep on this queue.
                    if woken {
                        // SAFETY: The lock is held; the entry is linked here, and its owner cannot unlink it meanwhile.
                        unsafe { list.remove(cursor) };
                    }
                    (woken, exclusive)
                }
                Wakee::Callback { callback, exclusive } => (callback.wake(events), *exclusive),
            };
            if woken && exclusive {
                exclusive_left -= 1;
                if exclusive_left == 0 {
                    break;
                }
            }
            cursor = next;
        }
    }

    /// Calls `f` with an entry for the current task, which is on the queue from [`Waiting::prepare`] on, and off it and running again
    /// when this returns. `exclusive`: it counts against a waker's number, and waits at the end.
    #[inline]
    pub fn enter<R>(&self, exclusive: bool, f: impl FnOnce(&Waiting<'_>) -> R) -> R {
        let task = current();
        let cell = pin!(EntryCell::new(Wakee::Task { task: NonNull::from(&*task), exclusive }));
        f(&Waiting { queue: self, cell: cell.as_ref(), task, exclusive })
    }
}

/// The current task's place in a queue. Undoes the waiting on every way out.
pub struct Waiting<'a> {
    queue: &'a Waiters,
    cell: Pin<&'a EntryCell>,
    task: CurrentTask,
    exclusive: bool,
}

impl Waiting<'_> {
    /// The task.
    #[inline]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// On the queue, in `state`, from here on: no wake-up is missed that comes later.
    #[inline]
    pub fn prepare(&self, state: State) {
        self.queue.prepare(self.cell, self.exclusive, &self.task, state);
    }

    /// Off the queue: no wake-up finds the task there any more.
    #[inline]
    pub fn leave(&self) {
        self.queue.unlink(self.cell);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.task.set_state(State::RUNNING);
        // A waker may be about to touch the entry: taking the lock waits for it.
        self.leave();
    }
}

/// A queue that can be polled. [`queue!`](crate::queue) makes one.
///
/// # Safety
/// The waiters are part of the value, and stay what they are while it is shared.
pub unsafe trait HasWaiters {
    /// They.
    fn waiters(&self) -> &Waiters;
}

/// Makes a type that is [`Waiters`] and nothing else.
#[macro_export]
macro_rules! queue {
    ($(#[$doc:meta])* $vis:vis struct $name:ident;) => {
        $(#[$doc])*
        $vis struct $name($crate::Waiters);

        // SAFETY: They are its field.
        unsafe impl $crate::HasWaiters for $name {
            #[inline(always)]
            fn waiters(&self) -> &$crate::Waiters {
                &self.0
            }
        }
    };
}

/// A callback on a queue; takes itself off when dropped.
pub struct Registration<Q: HasWaiters> {
    queue: Arc<Q>,
    cell: Pin<KBox<EntryCell>>,
}

impl<Q: HasWaiters> Registration<Q> {
    /// Has `queue` call `callback` back. ENOMEM.
    #[inline]
    pub fn new(queue: &Arc<Q>, callback: Arc<dyn WakeCallback>, exclusive: bool) -> Result<Self> {
        let cell = KBox::pin(EntryCell::new(Wakee::Callback { callback, exclusive }), GFP_KERNEL)?;
        queue.waiters().link(cell.as_ref(), exclusive);
        Ok(Self { queue: queue.clone(), cell })
    }
}

impl<Q: HasWaiters> Drop for Registration<Q> {
    fn drop(&mut self) {
        self.queue.waiters().unlink(self.cell.as_ref());
    }
}
