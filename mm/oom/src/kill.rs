// SPDX-License-Identifier: GPL-2.0
//! Choosing and ending a process. One killing at a time: who comes second waits a moment and tries its allocation again.

use crate::badness::{all_pages, badness, with_mm};
use crate::{reaper, report};
use core::sync::atomic::{AtomicU8, Ordering};
use kalloc::flags::{__GFP_FS, GFP_HIGHUSER, GFP_KERNEL};
use kalloc::{Arc, Flags};
use klog::{pr_err, pr_info, pr_warn};
use mm::{Mm, kib};
use mm_alloc::reclaim::{OutOfMemory, Verdict};
use mm_alloc::stat::{self, Item};
use process::Process;
use process::signal::{SigInfo, send_to_process};
use sync::Mutex;
use task::{State, Task, TaskFlags, current, try_current};

/// `vm.panic_on_oom`.
pub static PANIC_ON_OOM: AtomicU8 = AtomicU8::new(0);
/// `vm.oom_kill_allocating_task`.
pub static KILL_ALLOCATING_TASK: AtomicU8 = AtomicU8::new(0);
/// `vm.oom_dump_tasks`.
pub static DUMP_TASKS: AtomicU8 = AtomicU8::new(1);

/// Held while a victim is chosen and killed. Only tried.
static KILLER: Mutex<()> = Mutex::new(());

/// How long to wait for a victim's memory before looking again.
const PAUSE_NS: u64 = 4_000_000;

/// Marks the current task as working for the allocator, until dropped.
pub(crate) struct Memalloc(());

impl Memalloc {
    /// `None` if it is already, or no task runs yet.
    pub(crate) fn enter() -> Option<Self> {
        let task = try_current()?;
        if task.test_flags(TaskFlags::MEMALLOC) {
            return None;
        }
        task.set_flags(TaskFlags::MEMALLOC);
        Some(Self(()))
    }
}

impl Drop for Memalloc {
    fn drop(&mut self) {
        current().clear_flags(TaskFlags::MEMALLOC);
    }
}

pub(crate) struct Killer;

impl OutOfMemory for Killer {
    fn out_of_memory(&self, order: usize, flags: Flags) -> Verdict {
        // Its own allocations, while it works for the allocator, take what is left.
        let Some(_inside) = Memalloc::enter() else { return Verdict::Reserves };
        let task = current();
        if is_dying(&task) {
            return Verdict::Reserves;
        }
        if mm::swap::makes_progress() {
            pause();
            return Verdict::Retry;
        }
        match KILLER.try_lock() {
            // What would free memory may need the file system's lock that the caller holds: others must see to it.
            Some(_killer) if flags.contains(__GFP_FS) => {
                if let Step::Nobody = step(order, flags) {
                    report::header(&task, order, flags);
                    pr_warn!("Out of memory and no killable processes...");
                    x86::panic::panic(format_args!("System is deadlocked on memory"));
                }
            }
            _ => {}
        }
        if is_dying(&task) {
            return Verdict::Reserves;
        }
        pause();
        Verdict::Retry
    }
}

/// A page fault that could not get memory in a place where allocation must not wait: frees some, so that it can be tried again.
pub fn page_fault_out_of_memory() {
    // What to do about the allocation is clear: the program faults again.
    let _ = Killer.out_of_memory(0, GFP_HIGHUSER);
}

/// Kills what frees most, as a person asked for it (a system request): memory need not be short, and `vm.panic_on_oom` does not
/// matter. May sleep.
pub fn kill_manually() {
    /// Linux's mark of such a request.
    const BY_HAND: usize = usize::MAX;
    let _killer = KILLER.lock();
    match select() {
        Selection::Wait => {}
        Selection::None => pr_info!("OOM request ignored. No task eligible"),
        Selection::Kill(victim) => kill(&victim, "Out of memory", BY_HAND, GFP_KERNEL),
    }
}

/// Whether the task ends soon by itself.
fn is_dying(task: &Task) -> bool {
    process::thread_of(task).is_some_and(|thread| thread.is_exiting() || thread.process().oom_victim())
        || process::fatal_pending(task)
}

/// Lets others run for a moment: a victim must get to its end.
fn pause() {
    task::set_current_state(State::KILLABLE);
    ktime::sleep::schedule_until(ktime::Clock::Monotonic, ktime::now_ns().saturating_add(PAUSE_NS));
    task::set_current_state(State::RUNNING);
}

enum Step {
    /// Somebody was killed, or dies already.
    Done,
    /// There is nobody to kill.
    Nobody,
}

fn step(order: usize, flags: Flags) -> Step {
    check_panic(order, flags);
    let me = current();
    if KILL_ALLOCATING_TASK.load(Ordering::Relaxed) != 0
        && let Some(process) = process::process_of(&me)
        && badness(&process, &me, all_pages()).is_some()
    {
        kill(
            &Victim { process, leader: me.to_arc(), points: 0 },
            "Out of memory (oom_kill_allocating_task)",
            order,
            flags,
        );
        return Step::Done;
    }
    match select() {
        Selection::Wait => Step::Done,
        Selection::None => Step::Nobody,
        Selection::Kill(victim) => {
            kill(&victim, "Out of memory", order, flags);
            Step::Done
        }
    }
}

fn check_panic(order: usize, flags: Flags) {
    let how = match PANIC_ON_OOM.load(Ordering::Relaxed) {
        0 => return,
        2 => "compulsory",
        _ => "system-wide",
    };
    report::header(&current(), order, flags);
    x86::panic::panic(format_args!("Out of memory: {how} panic_on_oom is enabled"));
}

struct Victim {
    process: Arc<Process>,
    leader: Arc<Task>,
    points: i64,
}

enum Selection {
    /// An earlier victim has not given its memory back yet.
    Wait,
    Kill(Victim),
    None,
}

fn select() -> Selection {
    if reaper::has_outstanding() {
        return Selection::Wait;
    }
    let total = all_pages();
    let mut chosen: Option<Victim> = None;
    let mut from = 1;
    while let Some((tid, leader)) = process::pid::next_thread(from) {
        from = tid.saturating_add(1);
        let Some(process) = process::process_of(&leader).filter(|process| process.pid() == tid) else { continue };
        if process.oom_victim() && with_mm(&process, &leader, |mm| !mm.is_reaped()) == Some(true) {
            return Selection::Wait;
        }
        let Some(points) = badness(&process, &leader, total) else { continue };
        if mm::swap::is_emptying(&leader) {
            return Selection::Kill(Victim { process, leader, points });
        }
        if chosen.as_ref().is_none_or(|best| points > best.points) {
            chosen = Some(Victim { process, leader, points });
        }
    }
    chosen.map_or(Selection::None, Selection::Kill)
}

/// Ends `victim` and all that share its memory.
fn kill(victim: &Victim, message: &str, order: usize, flags: Flags) {
    report::header(&current(), order, flags);
    report::summary(&victim.leader);
    let Some(mm) = with_mm(&victim.process, &victim.leader, |mm| mm.clone()) else { return };
    stat::add(Item::OomKill, 1);
    let (pid, name) = (victim.process.pid(), report::Name::of(&victim.leader));
    let size = mm.oom_size();
    pr_err!(
        "{message}: Killed process {pid} ({name}) total-vm:{}kB, anon-rss:{}kB, file-rss:{}kB, shmem-rss:{}kB, UID:{} \
         pgtables:{}kB oom_score_adj:{}",
        kib(size.total),
        kib(size.anon),
        kib(size.file),
        kib(size.shmem),
        report::uid(&victim.leader),
        size.table_bytes / 1024,
        victim.process.oom_score_adj()
    );
    end(&victim.process);
    let may_reap = end_sharers(victim, &mm);
    reaper::queue(victim.process.clone(), victim.leader.clone(), mm, may_reap);
}

fn end(process: &Process) {
    process.set_oom_victim();
    // SIGKILL cannot fail for want of room.
    let _ = send_to_process(process, SigInfo::kernel(uapi::SIGKILL));
}

/// Other processes with the same address space keep it alive: they go too. False if one of them cannot (init, a kernel thread).
fn end_sharers(victim: &Victim, mm: &Arc<Mm>) -> bool {
    let mut may_reap = true;
    let mut from = 1;
    while let Some((tid, leader)) = process::pid::next_thread(from) {
        from = tid.saturating_add(1);
        let Some(process) = process::process_of(&leader).filter(|process| process.pid() == tid) else { continue };
        if Arc::ptr_eq(&process, &victim.process)
            || with_mm(&process, &leader, |other| Arc::ptr_eq(other, mm)) != Some(true)
        {
            continue;
        }
        if process.pid() == 1 {
            may_reap = false;
            mm.set_reaped();
            pr_err!(
                "oom killer {} ({}) has mm pinned by 1 ({})",
                victim.process.pid(),
                report::Name::of(&victim.leader),
                report::Name::of(&leader)
            );
            continue;
        }
        if !leader.is_kthread() {
            end(&process);
        }
    }
    may_reap
}
