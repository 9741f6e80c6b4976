// SPDX-License-Identifier: GPL-2.0
//! `/proc/PID/stat` and `statm`. Locks: those of what is shown, one at a time.
//!
//! Columns of `stat` that always show what Linux shows where there is nothing: `itrealvalue`, `nswap`, `cnswap` (unused since
//! 2.6), `kstkesp`, `kstkeip` (only set while core is dumped), `delayacct_blkio_ticks`, `guest_time`, `cguest_time` (not
//! accounted).

use super::View;
use super::access::may_access;
use super::small::name_of;
use errno::Result;
use mm::MmStat;
use mm_alloc::layout::PAGE_SIZE;
use process::ns::time::{Shifted, shown};
use process::pid::PidNs;
use process::times::{of_process, of_task, to_ticks};
use process::{Process, state_of};
use task::Task;
use vfs::SeqBuf;

/// Bits of the `flags` column (`PF_*` of Linux's `sched.h`) that stand for something here.
fn flags_of(task: &Task, view: &View) -> Result<u64> {
    const EXITING: u64 = 0x4;
    const FORKNOEXEC: u64 = 0x40;
    const RANDOMIZE: u64 = 0x40_0000;
    const KTHREAD: u64 = 0x20_0000;
    let thread = view.thread()?;
    let mut flags = 0;
    if thread.is_exiting() {
        flags |= EXITING;
    }
    if !thread.process().did_exec() {
        flags |= FORKNOEXEC;
    }
    if task.is_kthread() {
        flags |= KTHREAD;
    } else if thread.process().personality() & uapi::ADDR_NO_RANDOMIZE == 0 {
        flags |= RANDOMIZE;
    }
    Ok(flags)
}

/// Faults and processor time: own minor and major faults, user and system time; then the children's.
struct Used {
    own: [u64; 4],
    children: [u64; 4],
}

fn used(view: &View, process: &Process) -> Used {
    let sum = of_process(process);
    let children = [sum.cminflt, sum.cmajflt, sum.cutime, sum.cstime];
    if view.whole {
        return Used { own: [sum.minflt, sum.majflt, sum.utime, sum.stime], children };
    }
    let own = of_task(&view.task);
    Used { own: [own.minflt, own.majflt, own.utime, own.stime], children }
}

/// `stat`.
pub(super) fn stat(view: &View, out: &mut SeqBuf) -> Result {
    let (task, thread) = (&view.task, view.thread()?);
    let process = thread.process();
    let permitted = may_access(task);
    let memory = mm::mm_of(task).map(|mm| mm.stat());
    let (state, _) = state_of(task, process);
    out.dec(process::pid::number_of(task, &view.ns).into())?;
    out.put(b" (")?;
    out.escaped(name_of(&task.comm()), b"\n\\")?;
    out.put(b") ")?;
    out.byte(state)?;
    family(process, &view.ns, out)?;
    out.field(flags_of(task, view)?)?;
    let used = used(view, process);
    let ([minflt, majflt, utime, stime], [cminflt, cmajflt, cutime, cstime]) = (used.own, used.children);
    for value in [minflt, cminflt, majflt, cmajflt] {
        out.field(value)?;
    }
    for value in [utime, stime, cutime, cstime] {
        out.field(to_ticks(value))?;
    }
    let params = sched::params_of(task);
    out.signed_field(sched::proc_priority(task).into())?;
    out.signed_field(params.nice.into())?;
    out.field(process.thread_count().max(1).into())?;
    out.put(b" 0")?; // itrealvalue
    out.field(to_ticks(shown(Shifted::Boottime, thread.start_time())))?;
    memory_columns(memory.as_ref(), view, permitted, out)?;
    signal_columns(view, out)?;
    let waits = permitted && state != b'R';
    out.put(if waits { b" 1 0 0" } else { b" 0 0 0" })?; // wchan, nswap, cnswap
    let exit_signal = if task.tid() == process.pid() { process.exit_signal() } else { -1 };
    out.signed_field(exit_signal.into())?;
    out.field(task.cpu().into())?;
    out.field(params.rt_priority.into())?;
    out.field(params.policy.into())?;
    out.put(b" 0 0 0")?; // delayacct_blkio_ticks, guest_time, cguest_time
    last_columns(memory.as_ref().filter(|_| permitted), out)?;
    let exit_code = if permitted { thread.exit_code() } else { 0 };
    out.signed_field(exit_code.into())?;
    out.byte(b'\n')
}

/// Parent, process group, session, terminal and its foreground group.
fn family(process: &Process, ns: &PidNs, out: &mut SeqBuf) -> Result {
    let group = process.group();
    out.field(process.parent_number_in(ns).into())?;
    out.field(group.name().number_in(ns).into())?;
    out.field(group.session().name().number_in(ns).into())?;
    match group.session().terminal() {
        Some(terminal) => {
            out.field(terminal.device_number().into())?;
            let foreground = terminal.foreground_group();
            let foreground = if foreground == 0 { -1 } else { process::pid::number_in(foreground, ns).into() };
            out.signed_field(foreground)
        }
        None => out.put(b" 0 -1"),
    }
}

/// From `vsize` to `kstkeip`.
fn memory_columns(memory: Option<&MmStat>, view: &View, permitted: bool, out: &mut SeqBuf) -> Result {
    let size = memory.map_or(0, |m| m.size.saturating_mul(PAGE_SIZE));
    out.field(size as u64)?;
    out.field(memory.map_or(0, |m| m.rss_anon + m.rss_file + m.rss_shmem) as u64)?;
    out.field(rlimit::of(&view.task).map_or(rlimit::INFINITY, |table| table.get(uapi::RLIMIT_RSS).cur))?;
    let marks = memory.map(|m| m.marks);
    let (code, stack) = match marks {
        Some(m) if permitted => ([m.start_code, m.end_code], m.start_stack),
        // There is code, but where is not told.
        Some(_) => ([1, 1], 0),
        None => ([0, 0], 0),
    };
    for value in code {
        out.field(value as u64)?;
    }
    out.field(stack as u64)?;
    out.put(b" 0 0") // kstkesp, kstkeip
}

/// The first 31 signals of each set, as old programs know them.
fn signal_columns(view: &View, out: &mut SeqBuf) -> Result {
    let signals = view.thread()?.signal_view();
    for set in [signals.pending, signals.blocked, signals.ignored, signals.caught] {
        out.field(set.0 & 0x7fff_ffff)?;
    }
    Ok(())
}

/// From `start_data` to `env_end`.
fn last_columns(memory: Option<&MmStat>, out: &mut SeqBuf) -> Result {
    let m = memory.map(|m| m.marks).unwrap_or_default();
    for value in [m.start_data, m.end_data, m.start_brk, m.arg_start, m.arg_end, m.env_start, m.env_end] {
        out.field(value as u64)?;
    }
    Ok(())
}

/// `statm`, in pages: size, resident, shared, text, lib, data and stack, dt.
pub(super) fn statm(view: &View, out: &mut SeqBuf) -> Result {
    let m = mm::mm_of(&view.task).map(|mm| mm.stat()).unwrap_or_default();
    let first = m.marks.start_code / PAGE_SIZE;
    let text = m.marks.end_code.div_ceil(PAGE_SIZE).saturating_sub(first);
    out.dec(m.size as u64)?;
    let shared = m.rss_file + m.rss_shmem;
    for value in [shared + m.rss_anon, shared, text, 0, m.data + m.stack, 0] {
        out.field(value as u64)?;
    }
    out.byte(b'\n')
}
