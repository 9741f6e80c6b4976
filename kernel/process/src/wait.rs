// SPDX-License-Identifier: GPL-2.0
//! Waiting for children: `wait4(2)` and `waitid(2)`.

use crate::exit::{self, collect_usage, release};
use crate::signal::stop;
use crate::thread::{Process, TREE, Usage, current_process, process_of, thread_of};
use crate::user::{copy_to_user, write_user_opt};
use crate::{pid, ptrace, times};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EAGAIN, ECHILD, EINVAL, ESRCH};
use kalloc::Arc;
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// Which children; by numbers of the first name space.
enum Target {
    Any,
    Pid(u32),
    Group(u32),
    /// This very one (a pidfd).
    Process(Arc<Process>),
}

/// What happened to one.
struct Event {
    /// As the caller calls it.
    pid: u32,
    uid: u32,
    /// `CLD_*`.
    code: u32,
    /// `wait(2)`'s encoding.
    status: i32,
    usage: Usage,
}

impl Event {
    /// `si_status`: the exit code or the signal.
    fn value(&self) -> i32 {
        match self.code {
            uapi::CLD_EXITED | uapi::CLD_STOPPED => self.status >> 8 & 0xff,
            // With the event above the signal.
            uapi::CLD_TRAPPED => self.status >> 8,
            uapi::CLD_CONTINUED => uapi::SIGCONT as i32,
            _ => self.status & 0x7f,
        }
    }
}

const WAIT4_OPTIONS: u32 =
    uapi::WNOHANG | uapi::WUNTRACED | uapi::WCONTINUED | uapi::__WNOTHREAD | uapi::__WCLONE | uapi::__WALL;
const WAITID_OPTIONS: u32 = WAIT4_OPTIONS | uapi::WEXITED | uapi::WNOWAIT;

/// `wait4(2)`.
pub fn sys_wait4(regs: &PtRegs) -> Result<usize> {
    let (number, status, options, rusage) = (regs.arg0() as i32, regs.arg1(), regs.arg2() as u32, regs.arg3());
    if options & !WAIT4_OPTIONS != 0 {
        return Err(EINVAL);
    }
    let target = match number {
        -1 => Target::Any,
        i32::MIN => return Err(ESRCH),
        0 => Target::Group(current_process().ok_or(ECHILD)?.group().id()),
        1.. => Target::Pid(pid::first_of(number.unsigned_abs())),
        _ => Target::Group(pid::first_of(number.unsigned_abs())),
    };
    let Some(event) = do_wait(target, options | uapi::WEXITED)? else { return Ok(0) };
    write_user_opt(status, &event.status)?;
    write_rusage(rusage, &event.usage)?;
    Ok(event.pid as usize)
}

/// `waitid(2)`.
pub fn sys_waitid(regs: &PtRegs) -> Result<usize> {
    let (kind, id, info) = (regs.arg0() as u32, regs.arg1() as i32, regs.arg2());
    let (options, rusage) = (regs.arg3() as u32, regs.arg4());
    if options & !WAITID_OPTIONS != 0 || options & (uapi::WEXITED | uapi::WUNTRACED | uapi::WCONTINUED) == 0 {
        return Err(EINVAL);
    }
    let (mut waited, mut nonblock) = (options, false);
    let target = match kind {
        uapi::P_PIDFD => {
            let file = vfs::fdget(u32::try_from(id).map_err(|_| EINVAL)? as usize)?;
            nonblock = file.nonblock() && options & uapi::WNOHANG == 0;
            waited |= if nonblock { uapi::WNOHANG } else { 0 };
            Target::Process(crate::pidfd::process_of_file(&file)?)
        }
        uapi::P_ALL => Target::Any,
        uapi::P_PID => Target::Pid(pid::first_of(u32::try_from(id).ok().filter(|&p| p > 0).ok_or(EINVAL)?)),
        uapi::P_PGID => match u32::try_from(id).map_err(|_| EINVAL)? {
            0 => Target::Group(current_process().ok_or(ECHILD)?.group().id()),
            id => Target::Group(pid::first_of(id)),
        },
        _ => return Err(EINVAL),
    };
    let result = match do_wait(target, waited) {
        Ok(None) if nonblock => Err(EAGAIN),
        other => other,
    };
    let event = result.as_ref().ok().and_then(Option::as_ref);
    if let Some(event) = event {
        write_rusage(rusage, &event.usage)?;
    }
    // Linux clears the information even where there is nothing to say.
    if info != 0 {
        let mut words = [0u32; 7];
        if let Some(e) = event {
            words = [uapi::SIGCHLD, 0, e.code, 0, e.pid, e.uid, e.value() as u32];
        }
        copy_to_user(info, zerocopy::IntoBytes::as_bytes(&words))?;
    }
    result.map(|_| 0)
}

fn write_rusage(address: usize, usage: &Usage) -> Result {
    if address == 0 {
        return Ok(());
    }
    times::write_rusage(address, &times::rusage_of_child(usage))
}

/// Waits for an event; `None` with `WNOHANG` if there is none yet.
fn do_wait(target: Target, options: u32) -> Result<Option<Event>> {
    let me = current_process().ok_or(ECHILD)?;
    let mut result = Ok(None);
    let waited = me.child_exit.wait_interruptible(|| {
        result = scan(&me, &target, options);
        options & uapi::WNOHANG != 0 || !matches!(result, Ok(None))
    });
    waited?;
    result
}

/// The first process of a name space ends, and all others there are to be gone: takes the zombies it has, and waits for the children it
/// still has, those that others trace included. May sleep.
pub(crate) fn wait_for_all(me: &Arc<Process>) {
    me.child_exit.wait_until(|| {
        loop {
            match scan(me, &Target::Any, uapi::WEXITED | uapi::__WALL) {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        }
    });
}

fn eligible(child: &Process, target: &Target, options: u32) -> bool {
    let matches = match target {
        Target::Any => true,
        Target::Pid(pid) => child.pid() == *pid,
        Target::Group(id) => child.group().id() == *id,
        Target::Process(process) => core::ptr::eq(child, &**process),
    };
    if !matches {
        return false;
    }
    let clone_child = child.exit_signal.load(Ordering::Relaxed) != uapi::SIGCHLD as i32;
    options & uapi::__WALL != 0 || clone_child == (options & uapi::__WCLONE != 0)
}

/// What has happened to a child or tracee, and what is to be done about it.
enum Found {
    /// A child; its end takes it off the list.
    Child(Arc<Process>, Event),
    /// A tracee that is a process; its end is its parent's to see next.
    Tracee(Arc<Task>, Event),
    /// A tracee's thread, whose end nobody else waits for.
    Thread(Arc<Task>, Event),
}

/// Looks at every child and every tracee once. `ECHILD` if none could ever match.
fn scan(me: &Arc<Process>, target: &Target, options: u32) -> Result<Option<Event>> {
    let tree = TREE.lock();
    let mut any = false;
    let found = match find_child(me, target, options, &mut any) {
        Some(found) => Some(found),
        None => find_tracee(me, target, options, &mut any),
    };
    let Some(found) = found else {
        return if any { Ok(None) } else { Err(ECHILD) };
    };
    let keep = options & uapi::WNOWAIT != 0;
    match found {
        Found::Child(child, event) => {
            let reap = child.is_zombie() && !keep;
            if reap {
                me.links.lock().children.retain(|c| !Arc::ptr_eq(c, &child));
            }
            drop(tree);
            if reap {
                collect_usage(me, &event.usage);
                release(&child);
            }
            Ok(Some(event))
        }
        Found::Tracee(task, event) => {
            let dead = process_of(&task).filter(|process| process.is_zombie() && !keep);
            let cut = match (&dead, thread_of(&task)) {
                (Some(_), Some(thread)) => ptrace::attach::unlink(&task, thread),
                _ => None,
            };
            // Before the parent can see that it is no tracee any more: who has waited for it has the signal of its end, too.
            let told = dead.as_ref().map(exit::told_real_parent);
            drop(tree);
            drop(cut);
            if let (Some(process), Some(told)) = (dead, told) {
                told.finish(&process);
            }
            Ok(Some(event))
        }
        Found::Thread(task, event) => {
            let ended = !keep && event.code != uapi::CLD_TRAPPED && event.code != uapi::CLD_CONTINUED;
            let thread = thread_of(&task).filter(|_| ended);
            // Before another thread that waits can see it.
            let claimed = thread.and_then(|thread| exit::claim_thread(&task, thread));
            drop(tree);
            if let Some((thread, claimed)) = thread.zip(claimed) {
                claimed.release(&task, thread);
            }
            Ok(Some(event))
        }
    }
}

/// Under `TREE`.
fn find_child(me: &Arc<Process>, target: &Target, options: u32, any: &mut bool) -> Option<Found> {
    let links = me.links.lock();
    for child in links.children.iter() {
        if !eligible(child, target, options) {
            continue;
        }
        let leader = child.leader();
        let traced = leader.as_ref().filter(|l| thread_of(l).is_some_and(|t| t.is_traced()));
        // What has ended will never stop or go on.
        *any |= traced.is_some() || !child.is_zombie() || options & uapi::WEXITED != 0;
        let event = match traced {
            None => event_of(child, options),
            // Its stops and its end are first its tracer's; whose tracee is its own child sees them at once.
            Some(leader) if ptrace::is_reparented(leader) => group_event(child, options),
            Some(leader) => traced_event(leader, options),
        };
        if let Some(event) = event {
            return Some(Found::Child(child.clone(), event));
        }
    }
    None
}

/// Under `TREE`.
fn find_tracee(me: &Arc<Process>, target: &Target, options: u32, any: &mut bool) -> Option<Found> {
    let own = current();
    let list = me.ptraced.lock();
    for task in list.iter() {
        let (Some(thread), Some(process)) = (thread_of(task), process_of(task)) else { continue };
        let leads = task.tid() == process.pid();
        let matches = match target {
            Target::Any => true,
            Target::Pid(pid) => task.tid() == *pid,
            Target::Group(id) => process.group().id() == *id,
            Target::Process(wanted) => leads && Arc::ptr_eq(wanted, &process),
        };
        let by_other = || thread.tracer().is_none_or(|tracer| !core::ptr::eq(&*tracer, &*own));
        if !matches || options & uapi::__WNOTHREAD != 0 && by_other() {
            continue;
        }
        *any = true;
        let Some(event) = traced_event(task, options) else { continue };
        if !leads {
            return Some(Found::Thread(task.clone(), event));
        }
        if process.is_zombie() && !ptrace::is_reparented(task) {
            return Some(Found::Child(process, event));
        }
        return Some(Found::Tracee(task.clone(), event));
    }
    None
}

fn event(process: &Process, pid: u32, code: u32, status: i32) -> Event {
    let uid = process.leader().and_then(|l| cred::task_cred(&l)).map_or(0, |c| c.uid);
    Event { pid, uid, code, status, usage: process.usage() }
}

/// `CLD_*` of an end with `status`.
fn death_code(status: i32) -> u32 {
    match status & 0x7f {
        0 => uapi::CLD_EXITED,
        _ if status & 0x80 != 0 => uapi::CLD_DUMPED,
        _ => uapi::CLD_KILLED,
    }
}

/// What the caller calls the thread `task`.
fn number(task: &Task) -> u32 {
    current_process().map_or(0, |me| pid::number_for(task, &me))
}

/// What its tracer sees of a thread.
fn traced_event(task: &Task, options: u32) -> Option<Event> {
    let (thread, process) = (thread_of(task)?, process_of(task)?);
    let leads = task.tid() == process.pid();
    if thread.zombie.load(Ordering::SeqCst) || leads && process.is_zombie() {
        if options & uapi::WEXITED == 0 {
            return None;
        }
        let status = match leads {
            true => process.exit_status.load(Ordering::Relaxed),
            false => process.signals.lock_irqsave().group_exit.unwrap_or(thread.exit_code()),
        };
        return Some(event(&process, number(task), death_code(status), status));
    }
    let code = {
        let _signals = process.signals.lock_irqsave();
        let state = thread.jobctl.load(Ordering::Relaxed) & (stop::TRACED | stop::LISTENING);
        let mut trace = thread.trace.lock_irqsave();
        let code = if state == stop::TRACED { trace.code } else { 0 };
        if code != 0 && options & uapi::WNOWAIT == 0 {
            trace.code = 0;
        }
        code
    };
    if code != 0 {
        return Some(event(&process, number(task), uapi::CLD_TRAPPED, code << 8 | 0x7f));
    }
    continued_event(&process, options, number(task))
}

/// What its parent sees of a child.
fn event_of(child: &Process, options: u32) -> Option<Event> {
    if child.is_zombie() {
        if options & uapi::WEXITED == 0 {
            return None;
        }
        let status = child.exit_status.load(Ordering::Relaxed);
        return Some(event(child, child.name().here(), death_code(status), status));
    }
    group_event(child, options)
}

/// Stops and continuations of a whole process.
fn group_event(child: &Process, options: u32) -> Option<Event> {
    if options & uapi::WUNTRACED != 0 {
        let mut signals = child.signals.lock_irqsave();
        let code = signals.stop.code;
        if signals.stop.stopped && code != 0 {
            if options & uapi::WNOWAIT == 0 {
                signals.stop.code = 0;
            }
            drop(signals);
            return Some(event(child, child.name().here(), uapi::CLD_STOPPED, ((code as i32) << 8) | 0x7f));
        }
    }
    continued_event(child, options, child.name().here())
}

fn continued_event(child: &Process, options: u32, pid: u32) -> Option<Event> {
    if options & uapi::WCONTINUED == 0 {
        return None;
    }
    let mut signals = child.signals.lock_irqsave();
    if !signals.stop.continued {
        return None;
    }
    signals.stop.continued = options & uapi::WNOWAIT != 0;
    drop(signals);
    Some(event(child, pid, uapi::CLD_CONTINUED, 0xffff))
}
