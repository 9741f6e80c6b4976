// SPDX-License-Identifier: GPL-2.0
//! Wait queues: tasks sleep until a condition holds; others make it true and wake them.
//!
//! An entry lives on the waiter's stack (or in a poll table) and is linked into the queue while it waits. The queue's spin lock
//! guards all links. A wake-up takes task entries off the queue itself, so the woken task finds nothing to undo.

use crate::{PollMask, WakeCallback};
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::pin::{Pin, pin};
use core::ptr::NonNull;
use errno::Result;
use errno::code::ERESTARTSYS;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use task::state::TaskFlags;
use task::{State, Task, current};

pub(crate) enum Wakee {
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
pub(crate) struct Entry {
    linked: bool,
    prev: *const EntryCell,
    next: *const EntryCell,
    wakee: Wakee,
}

pub(crate) struct EntryCell {
    inner: UnsafeCell<Entry>,
    _pin: PhantomPinned,
}

// SAFETY: Accesses follow `Entry`'s invariants (the queue's lock).
unsafe impl Send for EntryCell {}
// SAFETY: As above.
unsafe impl Sync for EntryCell {}

impl EntryCell {
    pub(crate) fn new(wakee: Wakee) -> Self {
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

/// A queue of waiters. `const`-constructible; a queue that can be polled lives in an `Arc` (see [`Registration`]).
pub struct WaitQueue {
    list: SpinLock<List>,
}

impl WaitQueue {
    /// An empty queue.
    #[track_caller]
    pub const fn new() -> Self {
        Self { list: SpinLock::new(List { head: core::ptr::null(), tail: core::ptr::null() }) }
    }

    /// Links the entry if it is not, and gives the task its state under the same lock: a waker that finds the entry finds the
    /// state too. (Set later, a waker in between would see a running task and pass over it.)
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
        // SAFETY: The lock is held. Pinned, and whoever pinned it unlinks it before it goes away (`Waiter`, `Registration`).
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

    /// Wakes one exclusive waiter and all that are not exclusive. Any context.
    #[inline]
    pub fn wake_up(&self) {
        self.wake(1, PollMask::ALL, State::NORMAL);
    }

    /// Wakes up to `n` exclusive waiters.
    pub fn wake_up_nr(&self, n: usize) {
        self.wake(n, PollMask::ALL, State::NORMAL);
    }

    /// Wakes everybody.
    pub fn wake_up_all(&self) {
        self.wake(usize::MAX, PollMask::ALL, State::NORMAL);
    }

    /// Wakes waiters, telling callbacks (epoll) which events occurred.
    pub fn wake_up_poll(&self, events: PollMask) {
        self.wake(1, events, State::NORMAL);
    }

    /// Wakes only interruptible sleepers (`wake_up_interruptible`).
    pub fn wake_up_interruptible(&self) {
        self.wake(1, PollMask::ALL, State::INTERRUPTIBLE);
    }

    fn wake(&self, mut exclusive_left: usize, events: PollMask, mask: State) {
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

    /// Sleeps until `condition` holds. Not interruptible by signals. May sleep.
    #[inline]
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        task::might_sleep();
        if condition() {
            return;
        }
        // Uninterruptible sleep without a deadline ends only by the condition.
        let _ = self.wait(State::UNINTERRUPTIBLE, false, None, &mut condition);
    }

    /// As [`Self::wait_until`] for a kernel thread that has nothing to do: does not count in the load average.
    pub fn wait_idle(&self, mut condition: impl FnMut() -> bool) {
        task::might_sleep();
        if !condition() {
            // As in `wait_until`.
            let _ = self.wait(State::IDLE, false, None, &mut condition);
        }
    }

    /// As [`Self::wait_idle`], counted by a wake-up of one, with an optional deadline; false if it passed first.
    pub fn wait_idle_exclusive(&self, deadline_ns: Option<u64>, mut condition: impl FnMut() -> bool) -> bool {
        task::might_sleep();
        condition() || self.wait(State::IDLE, true, deadline_ns, &mut condition).unwrap_or(false)
    }

    /// Sleeps until `condition` holds or a signal comes (`ERESTARTSYS`). May sleep.
    #[inline]
    pub fn wait_interruptible(&self, mut condition: impl FnMut() -> bool) -> Result {
        task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait(State::INTERRUPTIBLE, false, None, &mut condition).map(|_| ())
    }

    /// As [`Self::wait_interruptible`], but a wake-up of one counts this waiter.
    #[inline]
    pub fn wait_interruptible_exclusive(&self, mut condition: impl FnMut() -> bool) -> Result {
        task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait(State::INTERRUPTIBLE, true, None, &mut condition).map(|_| ())
    }

    /// Sleeps until `condition` holds or a fatal signal comes (`ERESTARTSYS`). May sleep.
    pub fn wait_killable(&self, mut condition: impl FnMut() -> bool) -> Result {
        task::might_sleep();
        if condition() {
            return Ok(());
        }
        self.wait(State::KILLABLE, false, None, &mut condition).map(|_| ())
    }

    /// As [`Self::wait_until`] with a deadline on the monotonic clock; false if it passed first.
    pub fn wait_until_deadline(&self, deadline_ns: u64, mut condition: impl FnMut() -> bool) -> bool {
        task::might_sleep();
        if condition() {
            return true;
        }
        self.wait(State::UNINTERRUPTIBLE, false, Some(deadline_ns), &mut condition).unwrap_or(false)
    }

    /// As [`Self::wait_interruptible`] with an optional deadline; `Ok(false)` if it passed first.
    pub fn wait_interruptible_deadline(
        &self,
        deadline_ns: Option<u64>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool> {
        task::might_sleep();
        if condition() {
            return Ok(true);
        }
        self.wait(State::INTERRUPTIBLE, false, deadline_ns, &mut condition)
    }

    /// Sleeps until it is woken once (a wake-up of one counts this waiter): `release` runs when the task is on the queue already,
    /// so no wake-up that follows it is lost. `interruptible`: a signal ends the sleep too; so does the deadline. What ended it
    /// is not told: the caller looks. May sleep; `release` must not.
    pub fn wait_released(&self, interruptible: bool, deadline_ns: Option<u64>, release: impl FnOnce()) {
        task::might_sleep();
        let state = if interruptible { State::INTERRUPTIBLE } else { State::UNINTERRUPTIBLE };
        let mut release = Some(release);
        // The first look releases and sleeps; any later one comes after a wake-up. An error says the same.
        let _ = self.wait(state, true, deadline_ns, &mut || match release.take() {
            Some(release) => {
                release();
                false
            }
            None => true,
        });
    }

    /// Sleeps in `state` until `condition` holds, or ends with `ERESTARTSYS` for what `state` says of signals; `Ok(false)` if the deadline
    /// passed first. `condition` is called on the queue already. For locks, which look themselves before.
    pub fn wait(
        &self,
        state: State,
        exclusive: bool,
        deadline_ns: Option<u64>,
        condition: &mut dyn FnMut() -> bool,
    ) -> Result<bool> {
        let task = current();
        let cell = pin!(EntryCell::new(Wakee::Task { task: NonNull::from(&*task), exclusive }));
        let waiter = Waiter { queue: self, cell: cell.as_ref() };
        let mut expired = false;
        loop {
            self.prepare(waiter.cell, exclusive, &task, state);
            if condition() {
                return Ok(true);
            }
            if expired || interrupted(&task, state) {
                // A wake-up of one may have chosen this waiter meanwhile; nobody else hears of it. So off the queue first, where
                // no wake-up finds it any more, and then a last look.
                self.unlink(waiter.cell);
                return match (condition(), expired) {
                    (true, _) => Ok(true),
                    (false, true) => Ok(false),
                    (false, false) => Err(ERESTARTSYS),
                };
            }
            match deadline_ns {
                None => task::schedule(),
                Some(deadline) => expired = sleep_until(deadline),
            }
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// A callback on a queue; takes itself off when dropped.
pub struct Registration {
    queue: Arc<WaitQueue>,
    cell: Pin<KBox<EntryCell>>,
}

impl Registration {
    /// Has `queue` call `callback` back. ENOMEM.
    #[inline]
    pub fn new(queue: &Arc<WaitQueue>, callback: Arc<dyn WakeCallback>, exclusive: bool) -> Result<Self> {
        let cell = KBox::pin(EntryCell::new(Wakee::Callback { callback, exclusive }), GFP_KERNEL)?;
        queue.link(cell.as_ref(), exclusive);
        Ok(Self { queue: queue.clone(), cell })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.queue.unlink(self.cell.as_ref());
    }
}

/// Whether a sleep in `state` must end for a signal.
pub(crate) fn interrupted(task: &Task, state: State) -> bool {
    if !task.test_flags(TaskFlags::SIGPENDING) {
        return false;
    }
    state.intersects(State::INTERRUPTIBLE)
        || (state.intersects(State::WAKEKILL) && task::hooks::SIGNALS.get().is_some_and(|s| s.fatal_pending(task)))
}

/// `schedule()` until woken or until the deadline; true when it passed.
pub fn sleep_until(deadline_ns: u64) -> bool {
    match task::hooks::SLEEP_TIMER.get() {
        Some(timer) => timer.schedule_until(deadline_ns),
        None => {
            task::schedule();
            false
        }
    }
}

/// Undoes the waiting on every way out.
struct Waiter<'a> {
    queue: &'a WaitQueue,
    cell: Pin<&'a EntryCell>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        current().set_state(State::RUNNING);
        // A waker may be about to touch the entry: taking the lock waits for it.
        self.queue.unlink(self.cell);
    }
}
