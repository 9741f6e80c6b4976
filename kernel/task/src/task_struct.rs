// SPDX-License-Identifier: GPL-2.0
//! `Task` itself.

use crate::context::Context;
use crate::local::{SLOTS, Slots, drop_slots};
use crate::state::{State, TaskFlags};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use mm_alloc::KernelStack;

/// Bytes of a task's name, NUL included (`TASK_COMM_LEN`).
pub const COMM_LEN: usize = 16;

/// A thread of execution, always inside an [`Arc`]. References: its own from its start to its end, one while it is some CPU's current
/// task, one for each run queue or wait that holds it, and those of upper crates (the pid table).
///
/// # Invariants
/// - `context` is used only by the CPU that runs the task or switches to or from it (`on_cpu` hands it over).
/// - `entry` is taken once, by the task itself at its start.
/// - A `Task` exists only inside an `Arc` (its constructors return one).
pub struct Task {
    /// Work flags (`TIF_*`); first, so that entry code finds it at a known offset.
    pub(crate) flags: AtomicU32,
    /// Flags that are set whenever the task is switched out.
    pub(crate) on_switch: AtomicU32,
    pub(crate) state: AtomicU32,
    pub(crate) on_cpu: AtomicBool,
    pub(crate) cpu: AtomicU32,
    pub(crate) tid: AtomicU32,
    /// The same in the name space of process numbers that the task is in.
    pub(crate) own_tid: AtomicU32,
    pub(crate) kthread: AtomicBool,
    pub(crate) context: UnsafeCell<Context>,
    pub(crate) slots: Slots,
    pub(crate) stack: KernelStack,
    pub(crate) entry: UnsafeCell<Option<KBox<dyn FnMut() + Send>>>,
    comm: SpinLock<[u8; COMM_LEN]>,
    pub(crate) restart: SpinLock<Option<crate::restart::Restart>>,
    /// The sleeping locks that the task holds, for the lock-order checker.
    #[cfg(CONFIG_LOCKDEP)]
    pub lockdep: locking::lockdep::Held,
}

// SAFETY: The cells follow the type invariants; everything else is atomic, locked or constant.
unsafe impl Sync for Task {}
// SAFETY: As above; nothing in a task is tied to the thread that made it.
unsafe impl Send for Task {}

impl Task {
    pub(crate) fn alloc(name: &[u8], entry: Option<KBox<dyn FnMut() + Send>>, kthread: bool) -> Result<Arc<Self>> {
        let stack = KernelStack::new()?;
        let task = Self {
            flags: AtomicU32::new(0),
            on_switch: AtomicU32::new(0),
            state: AtomicU32::new(State::NEW.0),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicU32::new(x86_cpu::cpu_id()),
            tid: AtomicU32::new(0),
            own_tid: AtomicU32::new(0),
            kthread: AtomicBool::new(kthread),
            context: UnsafeCell::new(Context::new()?),
            slots: [const { AtomicPtr::new(core::ptr::null_mut()) }; SLOTS],
            stack,
            entry: UnsafeCell::new(entry),
            comm: SpinLock::new(comm_bytes(name)),
            restart: SpinLock::new(None),
            #[cfg(CONFIG_LOCKDEP)]
            lockdep: locking::lockdep::Held::new(),
        };
        Ok(Arc::new(task, GFP_KERNEL)?)
    }

    /// Where entry code finds the work flags in a task.
    pub const FLAGS_OFFSET: usize = core::mem::offset_of!(Self, flags);

    /// A counted reference from a borrowed one.
    pub fn to_arc(&self) -> Arc<Self> {
        let raw = core::ptr::from_ref(self);
        // SAFETY: By the type invariant `self` lies in an `Arc`, whose count is at least one while it is borrowed. The
        // `ManuallyDrop` keeps that count; the clone adds its own.
        let borrowed = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(raw) });
        Arc::clone(&borrowed)
    }

    /// The thread id in the first name space of process numbers, by which the kernel names the task (0 for idle tasks and before one is
    /// given).
    #[inline(always)]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// The thread id as the task itself knows it: in its own name space.
    #[inline(always)]
    pub fn own_tid(&self) -> u32 {
        self.own_tid.load(Ordering::Relaxed)
    }

    /// Gives the task its id, before it runs (or when an `execve` by a thread takes over the leader's id): in the first name space, and
    /// in its own.
    pub fn set_tid(&self, tid: u32, own: u32) {
        self.tid.store(tid, Ordering::Relaxed);
        self.own_tid.store(own, Ordering::Relaxed);
    }

    /// Whether this is a kernel thread.
    pub fn is_kthread(&self) -> bool {
        self.kthread.load(Ordering::Relaxed)
    }

    /// A kernel thread has become a user program (the first process, helpers): it is none any more. By the task itself.
    pub fn leave_kernel(&self) {
        self.kthread.store(false, Ordering::Relaxed);
    }

    /// The name, padded with NULs. Also for interrupt handlers, which name the task that they interrupt.
    pub fn comm(&self) -> [u8; COMM_LEN] {
        *self.comm.lock_irqsave()
    }

    /// Renames the task; longer names are cut to 15 bytes.
    pub fn set_comm(&self, name: &[u8]) {
        *self.comm.lock_irqsave() = comm_bytes(name);
    }

    /// Sets the work flags that the task finds set after each switch away from it.
    pub fn set_on_switch(&self, flags: u32) {
        self.on_switch.store(flags, Ordering::Relaxed);
    }

    /// The flags of [`set_on_switch`](Self::set_on_switch).
    pub fn on_switch(&self) -> u32 {
        self.on_switch.load(Ordering::Relaxed)
    }

    /// The state at this moment.
    #[inline(always)]
    pub fn state(&self) -> State {
        State(self.state.load(Ordering::Relaxed))
    }

    /// Sets the state. For the scheduler and for tasks that change their own state.
    #[inline(always)]
    pub fn set_state(&self, state: State) {
        self.state.store(state.0, Ordering::SeqCst);
    }

    /// Replaces state `from` by `to` if it still is `from`.
    pub fn cmpxchg_state(&self, from: State, to: State) -> bool {
        self.state.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// The CPU the task runs on, or last ran on.
    #[inline(always)]
    pub fn cpu(&self) -> u32 {
        self.cpu.load(Ordering::Relaxed)
    }

    /// Chooses the CPU (run queue) the task belongs to. For the scheduler, under the run queue's lock.
    #[inline(always)]
    pub fn set_cpu(&self, cpu: u32) {
        self.cpu.store(cpu, Ordering::Relaxed);
    }

    /// Whether some CPU still executes on this task's stack. While true no other CPU may switch to it: a wake-up puts such a
    /// task on the run queue of [`Self::cpu`] (where it cannot be picked before the switch away is done), and balancing leaves
    /// it alone.
    #[inline(always)]
    pub fn on_cpu(&self) -> bool {
        self.on_cpu.load(Ordering::Acquire)
    }

    /// Work flags at this moment.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether any bit of `mask` is set.
    #[inline(always)]
    pub fn test_flags(&self, mask: u32) -> bool {
        self.flags() & mask != 0
    }

    /// Sets flags; returns whether any was clear.
    #[inline(always)]
    pub fn set_flags(&self, mask: u32) -> bool {
        self.flags.fetch_or(mask, Ordering::SeqCst) & mask != mask
    }

    /// Clears flags.
    #[inline(always)]
    pub fn clear_flags(&self, mask: u32) {
        self.flags.fetch_and(!mask, Ordering::SeqCst);
    }

    /// Whether a signal may be pending.
    #[inline(always)]
    pub fn signal_pending(&self) -> bool {
        self.test_flags(TaskFlags::SIGPENDING)
    }

    /// Top of the kernel stack: where the register frame of an entry from user mode ends.
    pub fn stack_top(&self) -> usize {
        self.stack.top()
    }

    /// Wakes the task if its state is among `mask`; returns whether it did. Any context; takes a run queue lock.
    ///
    /// A sleeper sets its state, then tests what it waits for, then calls `schedule`; a waker makes that true, then calls
    /// this: both sides have a full barrier in between, so a wake-up cannot be lost.
    #[inline]
    pub fn wake(&self, mask: State) -> bool {
        match crate::hooks::SCHEDULER.get() {
            Some(scheduler) => scheduler.try_to_wake_up(self, mask),
            None => false,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        drop_slots(&mut self.slots);
    }
}

fn comm_bytes(name: &[u8]) -> [u8; COMM_LEN] {
    let mut comm = [0; COMM_LEN];
    for (to, from) in comm.iter_mut().take(COMM_LEN - 1).zip(name) {
        *to = *from;
    }
    comm
}
