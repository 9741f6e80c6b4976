// SPDX-License-Identifier: GPL-2.0
//! `TaskLocal<T>`: a slot in each task that belongs to one upper crate. The crate declares a static, puts a value into each
//! task before the task first runs, and reads it from then on with two loads and a test.

use crate::task_struct::Task;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use kalloc::KBox;

/// Slots in a task. Slot 0 is never filled: it is what an unused `TaskLocal` points at.
pub(crate) const SLOTS: usize = 32;

static NEXT_SLOT: AtomicUsize = AtomicUsize::new(1);
/// How to drop what is in each slot; null for slots not handed out.
static DROP_FNS: [AtomicPtr<()>; SLOTS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; SLOTS];

pub(crate) type Slots = [AtomicPtr<()>; SLOTS];

/// One crate's value in every task.
///
/// # Invariants
/// `index` is 0, or a slot number that `NEXT_SLOT` handed to this static alone; so a pointer in that slot of any task is null
/// or came from a `KBox<T>` in [`TaskLocal::set`].
pub struct TaskLocal<T: Send + Sync + 'static> {
    index: AtomicUsize,
    value: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> TaskLocal<T> {
    /// An unused slot.
    pub const fn new() -> Self {
        Self { index: AtomicUsize::new(0), value: PhantomData }
    }

    /// Gets a slot number; the first caller hands it out. Called at boot, on one CPU, through `set`.
    #[cold]
    fn claim(&self) -> usize {
        let index = NEXT_SLOT.fetch_add(1, Ordering::Relaxed);
        assert!(index < SLOTS, "more kinds of task-local data than slots");
        DROP_FNS[index].store(drop_slot::<T> as *mut (), Ordering::Relaxed);
        match self.index.compare_exchange(0, index, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => index,
            Err(winner) => winner,
        }
    }

    /// The task's value, if it was set.
    #[inline(always)]
    pub fn get<'a>(&self, task: &'a Task) -> Option<&'a T> {
        let index = self.index.load(Ordering::Relaxed);
        // The mask keeps the compiler from checking bounds; `index` is always below `SLOTS`.
        let pointer = task.slots[index & (SLOTS - 1)].load(Ordering::Acquire).cast::<T>();
        // SAFETY: By the type invariant the pointer is null or a live `T` that stays until the task is dropped.
        unsafe { pointer.as_ref() }
    }

    /// Gives `task` its value; once a task, before it runs. A second value is handed back.
    pub fn set(&self, task: &Task, value: KBox<T>) -> Result<(), KBox<T>> {
        let mut index = self.index.load(Ordering::Relaxed);
        if index == 0 {
            index = self.claim();
        }
        let raw = KBox::into_raw(value);
        let slot = &task.slots[index & (SLOTS - 1)];
        match slot.compare_exchange(core::ptr::null_mut(), raw.cast(), Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            // SAFETY: `raw` came from `KBox::into_raw` just above and went nowhere.
            Err(_) => Err(unsafe { KBox::from_raw(raw) }),
        }
    }
}

impl<T: Send + Sync + 'static> Default for TaskLocal<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn drop_slot<T>(pointer: *mut ()) {
    // SAFETY: `drop_slots` calls this with a pointer from this slot, which by `TaskLocal`'s invariant came from `KBox<T>`.
    drop(unsafe { KBox::<T>::from_raw(pointer.cast()) });
}

/// Drops a task's slots, last filled kind first.
pub(crate) fn drop_slots(slots: &mut Slots) {
    for (index, slot) in slots.iter_mut().enumerate().rev() {
        let pointer = core::mem::replace(slot.get_mut(), core::ptr::null_mut());
        if pointer.is_null() {
            continue;
        }
        let raw = DROP_FNS[index].load(Ordering::Relaxed);
        // SAFETY: A filled slot has a drop function, stored as a pointer by `claim`.
        let drop_fn = unsafe { core::mem::transmute::<*mut (), fn(*mut ())>(raw) };
        drop_fn(pointer);
    }
}
