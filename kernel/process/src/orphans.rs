// SPDX-License-Identifier: GPL-2.0
//! What becomes of a process's children when it ends: a new parent, or, when it is the first process of a name space, their end; and
//! process groups that lose their last tie. Source: `wait(2)`, `pid_namespaces(7)`, `PR_SET_CHILD_SUBREAPER`.
//!
//! Locks: `TREE`, and what `thread` says comes below it.

use crate::exit::{hand_over, ignores_children, release};
use crate::signal::action::{SIG_IGN, SigAction};
use crate::signal::{SigInfo, send_to_process};
use crate::thread::{Process, TREE, thread_of};
use crate::wait::wait_for_all;
use crate::{group, pid};
use core::sync::atomic::Ordering;
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};
use task::current;

/// The first process of a name space of numbers ends: so do all others there and below, and it waits for them. Nobody would take their
/// orphans in.
pub(crate) fn empty_namespace(process: &Arc<Process>) {
    let ns = process.pid_ns();
    ns.close();
    {
        // Those that end from here on leave no zombies to it.
        let actions = process.actions.lock_irqsave().clone();
        let action = actions.get(uapi::SIGCHLD);
        actions.set(uapi::SIGCHLD, SigAction { handler: SIG_IGN, ..action });
    }
    {
        // In one step for forks: a child is in the table, or its fork finds the name space closed.
        let _tree = TREE.lock();
        let mut from = 2;
        while let Some((number, task)) = pid::next_thread_in(&ns, from) {
            from = number.saturating_add(1);
            if thread_of(&task).is_some_and(|thread| !Arc::ptr_eq(thread.process(), process))
                && !crate::fatal_pending(&task)
                && let Some(other) = crate::thread::process_of(&task)
            {
                // `SIGKILL` cannot fail for want of room.
                let _ = send_to_process(&other, SigInfo::kernel(crate::signal::SIGKILL));
            }
        }
    }
    wait_for_all(process);
    // What is left are those whose parents are outside, who see their ends there; and its own threads' numbers.
    let own = if current().tid() == process.pid() { 1 } else { 2 };
    ns.wait_emptied(own);
    if let Some(status) = ns.reboot() {
        process.exit_status.store(status, Ordering::Relaxed);
    }
}

/// A child that has a new parent, and whether that has no use for it: it has ended, and is to be released.
type Moved = (Arc<Process>, bool);

/// Gives the children to the nearest subreaper, or to init. Returns them.
pub(crate) fn reparent_children(process: &Arc<Process>) -> KVec<Moved> {
    let mut moved = KVec::new();
    loop {
        let tree = TREE.lock();
        let reaper = find_reaper(process);
        let count = process.links.lock().children.len();
        let room = moved.reserve(count, GFP_ATOMIC).is_ok()
            && reaper.as_ref().is_none_or(|reaper| reaper.links.lock().children.reserve(count, GFP_ATOMIC).is_ok());
        if !room && count != 0 {
            // Nobody is to be lost: others give memory back meanwhile.
            drop(tree);
            task::schedule();
            continue;
        }
        move_children(process, reaper.as_ref(), &mut moved);
        drop(tree);
        break;
    }
    for (child, unwanted) in moved.iter() {
        send_parent_death(child);
        if *unwanted {
            release(child);
        }
    }
    moved
}

/// Gives all children of `process` to `reaper`, and adds them to `moved`; in both there is room. Under `TREE`.
fn move_children(process: &Process, reaper: Option<&Arc<Process>>, moved: &mut KVec<Moved>) {
    let children = core::mem::take(&mut process.links.lock().children);
    for child in children.iter() {
        child.set_parent(reaper.cloned());
        // Whatever signal it was to end with: nobody else asked for it.
        child.exit_signal.store(uapi::SIGCHLD as i32, Ordering::Relaxed);
        let _ = moved.push((child.clone(), false), GFP_ATOMIC);
    }
    let Some(reaper) = reaper else { return };
    {
        let mut links = reaper.links.lock();
        for child in children.iter() {
            let _ = links.children.push(child.clone(), GFP_ATOMIC);
        }
    }
    // As at an end of its own: who waits sees none of which it has not been told.
    for (child, unwanted) in moved.iter_mut().filter(|(child, _)| is_parents(child)) {
        *unwanted = ignores_children(reaper, child);
        hand_over(child, Some(&**reaper), uapi::SIGCHLD as i32, *unwanted);
    }
}

/// Who takes the children of `process`: the first process of its name space, or the nearest ancestor that wants them and has a thread that
/// is not ending; whose last one ends has still to look for a parent for its own. Under `TREE`.
fn find_reaper(process: &Arc<Process>) -> Option<Arc<Process>> {
    let lives = |candidate: &Process| {
        let signals = candidate.signals.lock_irqsave();
        signals.threads.iter().any(|task| thread_of(task).is_some_and(|thread| !thread.is_exiting()))
    };
    let ns = process.pid_ns();
    let mut ancestor = process.parent();
    // One that is not as deep is outside the name space, which no orphan leaves.
    while let Some(candidate) = ancestor.filter(|candidate| candidate.pid_ns().level() == ns.level()) {
        let wants = candidate.is_reaper() || candidate.subreaper.load(Ordering::Relaxed) && lives(&candidate);
        if wants && candidate.pid_ns() == ns {
            return Some(candidate);
        }
        ancestor = candidate.parent();
    }
    // The first process of the name space; when that is gone itself, of the nearest one above.
    let mut at = Some(ns);
    while let Some(ns) = at {
        let reaper = pid::find_thread(ns.reaper()).and_then(|task| crate::thread::process_of(&task));
        if let Some(reaper) = reaper.filter(|reaper| !Arc::ptr_eq(reaper, process)) {
            return Some(reaper);
        }
        at = ns.parent();
    }
    None
}

/// The threads' signals for the end of their parent (`PR_SET_PDEATHSIG`).
fn send_parent_death(child: &Arc<Process>) {
    // How many threads want each signal.
    let mut wanted = [0u32; crate::signal::NSIG as usize + 1];
    for thread in child.signals.lock_irqsave().threads.iter().filter_map(|task| thread_of(task)) {
        let signal = thread.parent_death_signal.load(Ordering::Relaxed);
        if let Some(count) = wanted.get_mut(signal as usize).filter(|_| signal != 0) {
            *count += 1;
        }
    }
    for (signal, count) in (0..).zip(wanted) {
        for _ in 0..count {
            // A lost real-time death signal is Linux's answer when the queue is full.
            let _ = send_to_process(child, SigInfo::user(signal, uapi::SI_USER as i32, 0, 0));
        }
    }
}

/// Whether a child has ended and no tracer has the first word about that.
fn is_parents(child: &Process) -> bool {
    child.is_zombie() && !child.leader().is_some_and(|l| thread_of(&l).is_some_and(|t| t.is_traced()))
}

/// A group that becomes orphaned by this exit and has stopped members gets `SIGHUP` and `SIGCONT` (POSIX).
pub(crate) fn signal_orphaned_groups(process: &Arc<Process>, children: &KVec<Moved>) {
    let mut candidates: KVec<Arc<group::ProcessGroup>> = KVec::new();
    let own = process.group();
    // Only a tie between two groups of one session can be what kept a group from being orphaned.
    let tied =
        |a: &group::ProcessGroup, b: &group::ProcessGroup| !core::ptr::eq(a, b) && a.session().id() == b.session().id();
    let with_parent = process.parent().is_some_and(|parent| tied(&own, &parent.group()));
    let groups = with_parent.then(|| own.clone()).into_iter();
    for group in groups.chain(children.iter().map(|(child, _)| child.group()).filter(|group| tied(group, &own))) {
        if !candidates.iter().any(|g| Arc::ptr_eq(g, &group)) && candidates.push(group, GFP_ATOMIC).is_err() {
            break;
        }
    }
    for group in candidates.iter() {
        let ignored = Arc::ptr_eq(group, &own).then_some(process);
        if group.is_orphaned(ignored) && group.has_stopped_member() {
            crate::signal::send::signal_group(group.id(), uapi::SIGHUP);
            crate::signal::send::signal_group(group.id(), uapi::SIGCONT);
        }
    }
}
