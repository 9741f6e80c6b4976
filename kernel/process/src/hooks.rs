// SPDX-License-Identifier: GPL-2.0
//! What this crate asks of others that it does not depend on: the machine (restart, power), and crates that keep something for
//! each task (timers, futexes).

use crate::pid::PidName;
use crate::signal::SigInfo;
use errno::Result;
use hook::Hook;
use kalloc::Arc;
use locking::SpinLock;
use task::Task;

/// The machine's power.
pub trait Machine: Sync {
    /// Restarts. Returns only if the machine cannot.
    fn restart(&self);
    /// Turns the power off. Returns only if the machine cannot.
    fn power_off(&self);
    /// Stops all CPUs.
    fn halt(&self);
    /// Tells drivers that one of these follows. May sleep.
    fn shut_devices_down(&self) {}
}

/// The machine (`arch/x86/kernel`, through `init`).
pub static MACHINE: Hook<dyn Machine> = Hook::new();

pub(crate) fn shut_devices_down() {
    if let Some(machine) = MACHINE.get() {
        machine.shut_devices_down();
    }
}

pub(crate) fn restart() {
    if let Some(machine) = MACHINE.get() {
        machine.restart();
    }
}

pub(crate) fn power_off() {
    if let Some(machine) = MACHINE.get() {
        machine.power_off();
    }
}

pub(crate) fn halt() {
    if let Some(machine) = MACHINE.get() {
        machine.halt();
    }
}

/// Something that follows the life of tasks.
pub trait TaskEvents: Sync {
    /// `task` was made by the current task with `flags` (`CLONE_*`; with `CLONE_THREAD` it is another thread of the same process).
    /// It does not run yet.
    fn fork(&self, task: &Task, flags: u64) -> Result {
        let _ = (task, flags);
        Ok(())
    }
    /// The current task `task` gave up sharing what `flags` say (`unshare(2)`).
    fn unshare(&self, task: &Task, flags: u32) {
        let _ = (task, flags);
    }
    /// The current task `task` is about to give up its address space (exec or exit). `cleared` is the address of the word that
    /// was set to 0 for `set_tid_address(2)`, whose waiters are to be woken; 0 if there is none.
    fn leave_memory(&self, task: &Task, cleared: usize) {
        let _ = (task, cleared);
    }
    /// The current task `task` runs a new program.
    fn exec(&self, task: &Task) {
        let _ = task;
    }
    /// The current task `task` ends; `last` of its process.
    fn exit(&self, task: &Task, last: bool) {
        let _ = (task, last);
    }
}

const MAX_FOLLOWERS: usize = 8;
static FOLLOWERS: SpinLock<[Option<&'static dyn TaskEvents>; MAX_FOLLOWERS]> = SpinLock::new([None; MAX_FOLLOWERS]);

/// Registers a follower, at boot. False when there is no room.
pub fn follow(follower: &'static dyn TaskEvents) -> bool {
    let mut followers = FOLLOWERS.lock();
    match followers.iter_mut().find(|f| f.is_none()) {
        Some(slot) => {
            *slot = Some(follower);
            true
        }
        None => false,
    }
}

fn followers() -> [Option<&'static dyn TaskEvents>; MAX_FOLLOWERS] {
    *FOLLOWERS.lock()
}

pub(crate) fn fork(task: &Task, flags: u64) -> Result {
    followers().into_iter().flatten().try_for_each(|f| f.fork(task, flags))
}

pub(crate) fn unshare(task: &Task, flags: u32) {
    followers().into_iter().flatten().for_each(|f| f.unshare(task, flags));
}

pub(crate) fn leave_memory(task: &Task, cleared: usize) {
    followers().into_iter().flatten().for_each(|f| f.leave_memory(task, cleared));
}

pub(crate) fn exec(task: &Task) {
    followers().into_iter().flatten().for_each(|f| f.exec(task));
}

pub(crate) fn exit(task: &Task, last: bool) {
    followers().into_iter().flatten().for_each(|f| f.exit(task, last));
}

/// The vDSO image of this machine.
pub trait Vdso: Sync {
    /// Maps it into a new address space, with the data for shifted clocks if there is some; its address, 0 if there is none.
    fn map(&self, mm: &mm::Mm, data: Option<&dyn VdsoData>) -> Result<usize>;
    /// Puts other data into an address space that nobody is running in but perhaps the caller, if the vDSO's is mapped.
    fn switch(&self, mm: &mm::Mm, data: Option<&dyn VdsoData>);
    /// Data for clocks to which nanoseconds are added: monotonic ones, and time since boot. `ENOMEM`. May sleep.
    fn shifted(&self, monotonic: i64, boottime: i64) -> Result<Arc<dyn VdsoData>>;
}

/// The data of the vDSO for programs with shifted clocks.
pub trait VdsoData: Send + Sync {
    /// As it is mapped.
    fn mapping(&self) -> &Arc<mm::SpecialMapping>;
}

/// The vDSO (`arch/x86/vdso`, through `init`).
pub static VDSO: Hook<dyn Vdso> = Hook::new();

pub(crate) fn map_vdso(mm: &mm::Mm) -> Result<usize> {
    VDSO.get().map_or(Ok(0), |vdso| crate::ns::time::with_vdso(|data| vdso.map(mm, data)))
}

pub(crate) fn switch_vdso(mm: &mm::Mm, data: Option<&dyn VdsoData>) {
    if let Some(vdso) = VDSO.get() {
        vdso.switch(mm, data);
    }
}

/// `None`: there is no vDSO.
pub(crate) fn shifted_vdso(monotonic: i64, boottime: i64) -> Result<Option<Arc<dyn VdsoData>>> {
    VDSO.get().map(|vdso| vdso.shifted(monotonic, boottime)).transpose()
}

/// Who frees memory for a page fault that found none (`mm/oom`).
pub trait PageFaultOom: Sync {
    /// Makes room; the program faults again. May sleep.
    fn out_of_memory(&self);
}

/// The registered one.
pub static PAGE_FAULT_OOM: Hook<dyn PageFaultOom> = Hook::new();

/// Timers that wait until their signal is taken before they run on. All are called by a thread of the process, without locks,
/// and may sleep.
pub trait TimerSignals: Sync {
    /// The signal of a POSIX timer was taken: its overruns are filled in.
    fn taken(&self, info: &mut SigInfo);
    /// A `SIGALRM` of the process was taken.
    fn alarm(&self);
    /// Pending signals with this number were thrown away.
    fn flushed(&self, signal: u32);
}

/// The timers (`kernel/time/posix`).
pub static TIMER_SIGNALS: Hook<dyn TimerSignals> = Hook::new();

/// `info` was taken, from the process's queue if `shared`.
#[inline]
pub(crate) fn signal_taken(info: &mut SigInfo, shared: bool) {
    let timer = info.timer_id().is_some();
    let alarm = shared && info.signo == uapi::SIGALRM;
    if (timer || alarm)
        && let Some(timers) = TIMER_SIGNALS.get()
    {
        if timer {
            timers.taken(info);
        }
        if alarm {
            timers.alarm();
        }
    }
}

/// The calls of the vsyscall page.
pub trait Vsyscall: Sync {
    /// Does call `number` (0 gettimeofday, 1 time, 2 getcpu) with the arguments in `regs`. `EFAULT` for a bad pointer.
    fn call(&self, number: usize, regs: &x86_cpu::regs::PtRegs) -> Result<usize>;
}

/// The calls (`kernel/syscalls`).
pub static VSYSCALL: Hook<dyn Vsyscall> = Hook::new();

/// Whoever keeps names of processes (`/proc`).
pub trait Released: Sync {
    /// The process called `name`, of which it said that it was shown, is gone. Must not sleep.
    fn released(&self, name: &PidName);
}

/// The keeper of names.
pub static RELEASED: Hook<dyn Released> = Hook::new();

#[cold]
pub(crate) fn released(name: &PidName) {
    if let Some(keeper) = RELEASED.get() {
        keeper.released(name);
    }
}
