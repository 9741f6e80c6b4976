// SPDX-License-Identifier: GPL-2.0
//! Processor time and resource use, as `times(2)`, `getrusage(2)` and `/proc` show them.

use crate::thread::{Process, Usage, current_process, thread_of};
use crate::user::{copy_to_user, write_user_opt};
use errno::Result;
use errno::code::{EINVAL, ESRCH};
use task::{Task, current};
use task_io::IoUse;
use x86_cpu::regs::PtRegs;

/// Clock ticks a second of the ABI (`USER_HZ`).
pub const USER_HZ: u64 = 100;
const NSEC_PER_TICK: u64 = 1_000_000_000 / USER_HZ;

/// Nanoseconds as clock ticks.
pub fn to_ticks(ns: u64) -> u64 {
    ns / NSEC_PER_TICK
}

/// What one task has used.
#[derive(Clone, Copy, Default)]
pub struct TaskUsage {
    /// User time, ns.
    pub utime: u64,
    /// System time, ns.
    pub stime: u64,
    /// Voluntary switches.
    pub nvcsw: u64,
    /// Involuntary switches.
    pub nivcsw: u64,
    /// Minor faults.
    pub minflt: u64,
    /// Major faults.
    pub majflt: u64,
    /// What it read and wrote.
    pub io: IoUse,
}

/// What `task` has used so far.
pub fn of_task(task: &Task) -> TaskUsage {
    let times = sched::task_times(task);
    let (minflt, majflt) = thread_of(task).map_or((0, 0), |t| t.faults());
    TaskUsage {
        utime: times.user,
        stime: times.system,
        nvcsw: times.voluntary_switches,
        nivcsw: times.involuntary_switches,
        minflt,
        majflt,
        io: task_io::use_of(task),
    }
}

/// A process's use: ended threads, and the live ones.
pub fn of_process(process: &Process) -> Usage {
    process.fold_threads(Usage::clone, |mut sum, task| {
        let used = of_task(task);
        sum.utime = sum.utime.saturating_add(used.utime);
        sum.stime = sum.stime.saturating_add(used.stime);
        sum.nvcsw = sum.nvcsw.saturating_add(used.nvcsw);
        sum.nivcsw = sum.nivcsw.saturating_add(used.nivcsw);
        sum.minflt = sum.minflt.saturating_add(used.minflt);
        sum.majflt = sum.majflt.saturating_add(used.majflt);
        sum.io.add(&used.io);
        sum
    })
}

/// A process's time on CPUs in nanoseconds, exact: of ended threads, and the live ones.
pub fn cpu_ns(process: &Process) -> u64 {
    let start = |ended: &Usage| ended.utime.saturating_add(ended.stime);
    process.fold_threads(start, |sum, task| sum.saturating_add(sched::runtime_ns(task)))
}

/// `struct rusage`, as 64-bit words.
pub(crate) type Rusage = [u64; 18];

/// `io`: bytes read from and written to devices, told in sectors.
fn rusage(times: [u64; 2], maxrss: u64, faults: [u64; 2], io: [u64; 2], switches: [u64; 2]) -> Rusage {
    let [inblock, oublock] = io.map(|bytes| bytes >> 9);
    let [utime, stime] = times;
    let [minflt, majflt] = faults;
    let [nvcsw, nivcsw] = switches;
    let seconds = |ns: u64| ns / 1_000_000_000;
    let micros = |ns: u64| ns % 1_000_000_000 / 1000;
    [
        seconds(utime),
        micros(utime),
        seconds(stime),
        micros(stime),
        maxrss,
        0,
        0,
        0,
        minflt,
        majflt,
        0,
        inblock,
        oublock,
        0,
        0,
        0,
        nvcsw,
        nivcsw,
    ]
}

/// What `wait4` reports of a child: its own use and its children's.
pub(crate) fn rusage_of_child(u: &Usage) -> Rusage {
    let add = u64::saturating_add;
    rusage(
        [add(u.utime, u.cutime), add(u.stime, u.cstime)],
        u.maxrss.max(u.cmaxrss),
        [add(u.minflt, u.cminflt), add(u.majflt, u.cmajflt)],
        [add(u.io.read_bytes, u.cread_bytes), add(u.io.write_bytes, u.cwrite_bytes)],
        [add(u.nvcsw, u.cnvcsw), add(u.nivcsw, u.cnivcsw)],
    )
}

pub(crate) fn write_rusage(address: usize, rusage: &Rusage) -> Result {
    copy_to_user(address, zerocopy::IntoBytes::as_bytes(rusage))
}

/// `getrusage(2)`.
pub fn sys_getrusage(regs: &PtRegs) -> Result<usize> {
    let process = current_process().ok_or(ESRCH)?;
    let maxrss = || mm::current_mm().map_or(0, |mm| mm.max_rss_kib());
    // RUSAGE_SELF is 0, RUSAGE_THREAD 1.
    let filled = match regs.arg0() as i32 {
        0 => {
            let u = of_process(&process);
            let io = [u.io.read_bytes, u.io.write_bytes];
            rusage([u.utime, u.stime], u.maxrss.max(maxrss()), [u.minflt, u.majflt], io, [u.nvcsw, u.nivcsw])
        }
        uapi::RUSAGE_CHILDREN => {
            let u = process.usage();
            let io = [u.cread_bytes, u.cwrite_bytes];
            rusage([u.cutime, u.cstime], u.cmaxrss, [u.cminflt, u.cmajflt], io, [u.cnvcsw, u.cnivcsw])
        }
        1 => {
            let u = of_task(&current());
            let io = [u.io.read_bytes, u.io.write_bytes];
            rusage([u.utime, u.stime], maxrss(), [u.minflt, u.majflt], io, [u.nvcsw, u.nivcsw])
        }
        _ => return Err(EINVAL),
    };
    write_rusage(regs.arg1(), &filled)?;
    Ok(0)
}

/// `times(2)`.
pub fn sys_times(regs: &PtRegs) -> Result<usize> {
    let usage = of_process(&*current_process().ok_or(ESRCH)?);
    let ticks = [usage.utime, usage.stime, usage.cutime, usage.cstime].map(to_ticks);
    write_user_opt(regs.arg0(), &ticks)?;
    Ok(to_ticks(ktime::boottime_ns()) as usize)
}
