// SPDX-License-Identifier: GPL-2.0
//! Waiting for children: `wait4(2)` and `waitid(2)`.

use crate::exit::{collect_usage, release};
use crate::thread::{Process, TREE, Usage, current_process};
use crate::times;
use crate::user::{copy_to_user, write_user_opt};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EAGAIN, ECHILD, EINVAL, ESRCH};
use kalloc::Arc;
use x86_cpu::regs::PtRegs;

/// Which children.
enum Target {
    Any,
    Pid(u32),
    Group(u32),
    /// This very one (a pidfd).
    Process(Arc<Process>),
}

/// What happened to one.
struct Event {
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
    let (pid, status, options, rusage) = (regs.arg0() as i32, regs.arg1(), regs.arg2() as u32, regs.arg3());
    if options & !WAIT4_OPTIONS != 0 {
        return Err(EINVAL);
    }
    let target = match pid {
        -1 => Target::Any,
        i32::MIN => return Err(ESRCH),
        0 => Target::Group(current_process().ok_or(ECHILD)?.group().id()),
        1.. => Target::Pid(pid.unsigned_abs()),
        _ => Target::Group(pid.unsigned_abs()),
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
        uapi::P_PID => Target::Pid(u32::try_from(id).ok().filter(|&p| p > 0).ok_or(EINVAL)?),
        uapi::P_PGID => match u32::try_from(id).map_err(|_| EINVAL)? {
            0 => Target::Group(current_process().ok_or(ECHILD)?.group().id()),
            id => Target::Group(id),
        },
        _ => return Err(EINVAL),
    };
    let event = do_wait(target, waited)?;
    if event.is_none() && nonblock {
        return Err(EAGAIN);
    }
    if let Some(event) = &event {
        write_rusage(rusage, &event.usage)?;
    }
    if info != 0 {
        let mut words = [0u32; 7];
        if let Some(e) = &event {
            words = [uapi::SIGCHLD, 0, e.code, 0, e.pid, e.uid, e.value() as u32];
        }
        copy_to_user(info, zerocopy::IntoBytes::as_bytes(&words))?;
    }
    Ok(0)
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

/// Looks at every child once. `ECHILD` if none could ever match.
fn scan(me: &Arc<Process>, target: &Target, options: u32) -> Result<Option<Event>> {
    let tree = TREE.lock();
    let mut any = false;
    let mut found: Option<(Arc<Process>, Event)> = None;
    let mut links = me.links.lock();
    for child in links.children.iter() {
        if !eligible(child, target, options) {
            continue;
        }
        any = true;
        if let Some(event) = event_of(child, options) {
            found = Some((child.clone(), event));
            break;
        }
    }
    let Some((child, event)) = found else {
        return if any { Ok(None) } else { Err(ECHILD) };
    };
    let reap = child.is_zombie() && options & uapi::WNOWAIT == 0;
    if reap {
        links.children.retain(|c| !Arc::ptr_eq(c, &child));
    }
    drop(links);
    drop(tree);
    if reap {
        collect_usage(me, &event.usage);
        release(&child);
    }
    Ok(Some(event))
}

fn event_of(child: &Process, options: u32) -> Option<Event> {
    let event = |code: u32, status: i32| {
        let uid = child.leader().and_then(|l| cred::task_cred(&l)).map_or(0, |c| c.uid);
        Event { pid: child.pid(), uid, code, status, usage: child.usage() }
    };
    if child.is_zombie() {
        if options & uapi::WEXITED == 0 {
            return None;
        }
        let status = child.exit_status.load(Ordering::Relaxed);
        let code = match status & 0x7f {
            0 => uapi::CLD_EXITED,
            _ if status & 0x80 != 0 => uapi::CLD_DUMPED,
            _ => uapi::CLD_KILLED,
        };
        return Some(event(code, status));
    }
    let keep = options & uapi::WNOWAIT != 0;
    let mut signals = child.signals.lock_irqsave();
    if options & uapi::WUNTRACED != 0 && signals.stop.stopped && signals.stop.report_stop {
        signals.stop.report_stop = keep;
        let status = ((signals.stop.signal as i32) << 8) | 0x7f;
        drop(signals);
        return Some(event(uapi::CLD_STOPPED, status));
    }
    if options & uapi::WCONTINUED != 0 && signals.stop.report_continue {
        signals.stop.report_continue = keep;
        drop(signals);
        return Some(event(uapi::CLD_CONTINUED, 0xffff));
    }
    None
}
