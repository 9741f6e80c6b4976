// SPDX-License-Identifier: GPL-2.0
//! `/proc/PID/status`. Locks: those of what is shown, one at a time. `Ngid` is 0: there is no NUMA
//! grouping; `Seccomp` is absent without seccomp.

use super::View;
use super::small::name_of;
use cred::Cred;
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use mm_alloc::layout::PAGE_SIZE;
use process::{Process, state_of};
use vfs::{SeqBuf, seq_print};

/// `status`.
pub(super) fn status(view: &View, out: &mut SeqBuf) -> Result {
    let task = &view.task;
    let process = view.thread()?.process();
    out.put(b"Name:\t")?;
    out.escaped(name_of(&task.comm()), b"\n\\")?;
    out.byte(b'\n')?;
    identity(view, process, out)?;
    memory(view, out)?;
    signals(view, process, out)?;
    if let Some(cred) = cred::task_cred(task) {
        capabilities(&cred, out)?;
    }
    seq_print!(out, "NoNewPrivs:\t{}\n", u8::from(view.thread()?.no_new_privs()))?;
    let allowed = sched::allowed_cpus(task);
    out.put(b"Cpus_allowed:\t")?;
    mask(allowed, out)?;
    out.put(b"\nCpus_allowed_list:\t")?;
    crate::text::cpu_list(allowed, out)?;
    out.put(b"\nMems_allowed:\t1\nMems_allowed_list:\t0\n")?;
    let used = process::times::of_task(task);
    seq_print!(out, "voluntary_ctxt_switches:\t{}\n", used.nvcsw)?;
    seq_print!(out, "nonvoluntary_ctxt_switches:\t{}\n", used.nivcsw)
}

/// A set of CPUs in hexadecimal, 32 bits a group.
fn mask(set: u64, out: &mut SeqBuf) -> Result {
    let cpus = (x86::smp::possible()).checked_ilog2().map_or(1, |last| last + 1);
    if cpus <= 32 {
        let digits = cpus.div_ceil(4) as usize;
        return seq_print!(out, "{set:0digits$x}");
    }
    let digits = (cpus - 32).div_ceil(4) as usize;
    seq_print!(out, "{:0digits$x},{:08x}", set >> 32, set & 0xffff_ffff)
}

fn identity(view: &View, process: &Process, out: &mut SeqBuf) -> Result {
    let task = &view.task;
    if let Some(fs) = vfs::fs_struct::task_fs(task) {
        seq_print!(out, "Umask:\t{:04o}\n", fs.umask())?;
    }
    let (letter, word) = state_of(task, process);
    let ns = &view.ns;
    let (tgid, tid) = (process.name().number_in(ns), process::pid::number_of(task, ns));
    let ppid = process.parent_number_in(ns);
    let letter = char::from(letter);
    let tracer = process::ptrace::tracer_pid(task, ns);
    seq_print!(
        out,
        "State:\t{letter} ({word})\nTgid:\t{tgid}\nNgid:\t0\nPid:\t{tid}\nPPid:\t{ppid}\nTracerPid:\t{tracer}\n"
    )?;
    let cred = cred::task_cred(task).ok_or(ESRCH)?;
    seq_print!(out, "Uid:\t{}\t{}\t{}\t{}\n", cred.uid, cred.euid, cred.suid, cred.fsuid)?;
    seq_print!(out, "Gid:\t{}\t{}\t{}\t{}\n", cred.gid, cred.egid, cred.sgid, cred.fsgid)?;
    let size = vfs::fdtable::task_files(task).map_or(0, |files| files.capacity());
    seq_print!(out, "FDSize:\t{size}\nGroups:\t")?;
    for gid in cred.groups.as_ref().map_or([].as_slice(), |groups| groups.gids()) {
        seq_print!(out, "{gid} ")?;
    }
    let own = view.thread()?.name().ok_or(ESRCH)?;
    let (group, session) = (process.group(), process.session());
    let lines =
        [("\nNStgid:", process.name()), ("\nNSpid:", &own), ("\nNSpgid:", group.name()), ("\nNSsid:", session.name())];
    for (label, name) in lines {
        out.put(label.as_bytes())?;
        // At each level that the process has, whether the name is known there or not.
        let mut at = Some(own.ns());
        let mut levels = KVec::new();
        while let Some(level) = at {
            at = if level == *ns { None } else { level.parent() };
            levels.push(level, GFP_KERNEL)?;
        }
        for level in levels.iter().rev() {
            seq_print!(out, "\t{}", name.number_in(level))?;
        }
    }
    out.byte(b'\n')
}

/// The lines about memory; kernel threads have none.
fn memory(view: &View, out: &mut SeqBuf) -> Result {
    let Some(mm) = mm::mm_of(&view.task) else { return Ok(()) };
    let m = mm.stat();
    let text = m.marks.end_code.div_ceil(PAGE_SIZE).saturating_sub(m.marks.start_code / PAGE_SIZE).min(m.exec);
    let rss = m.rss_anon + m.rss_file + m.rss_shmem;
    let lines = [
        ("VmPeak", m.peak),
        ("VmSize", m.size),
        ("VmLck", m.locked),
        ("VmPin", 0),
        ("VmHWM", m.peak_rss.max(rss)),
        ("VmRSS", rss),
        ("RssAnon", m.rss_anon),
        ("RssFile", m.rss_file),
        ("RssShmem", m.rss_shmem),
        ("VmData", m.data),
        ("VmStk", m.stack),
        ("VmExe", text),
        ("VmLib", m.exec - text),
        ("VmPTE", m.table_bytes / PAGE_SIZE),
        ("VmSwap", m.swap),
    ];
    for (name, pages) in lines {
        seq_print!(out, "{name}:\t{:>8} kB\n", pages * (PAGE_SIZE / 1024))?;
    }
    let dumps = view.thread()?.process().is_dumping_core();
    seq_print!(out, "CoreDumping:\t{}\n", u8::from(dumps))?;
    let huge = x86_mm::huge::ENABLED && !mm.huge_pages_disabled();
    seq_print!(out, "THP_enabled:\t{}\n", u8::from(huge))
}

fn signals(view: &View, process: &Process, out: &mut SeqBuf) -> Result {
    let signals = view.thread()?.signal_view();
    let limit = rlimit::of(&view.task).map_or(rlimit::INFINITY, |table| table.get(uapi::RLIMIT_SIGPENDING).cur);
    seq_print!(out, "Threads:\t{}\nSigQ:\t{}/{limit}\n", process.thread_count().max(1), signals.queued)?;
    let sets = [
        ("SigPnd", signals.pending),
        ("ShdPnd", signals.shared),
        ("SigBlk", signals.blocked),
        ("SigIgn", signals.ignored),
        ("SigCgt", signals.caught),
    ];
    for (name, set) in sets {
        seq_print!(out, "{name}:\t{:016x}\n", set.0)?;
    }
    Ok(())
}

fn capabilities(cred: &Cred, out: &mut SeqBuf) -> Result {
    let sets = [
        ("CapInh", cred.cap_inheritable),
        ("CapPrm", cred.cap_permitted),
        ("CapEff", cred.cap_effective),
        ("CapBnd", cred.cap_bset),
        ("CapAmb", cred.cap_ambient),
    ];
    for (name, set) in sets {
        seq_print!(out, "{name}:\t{:016x}\n", set.0)?;
    }
    Ok(())
}
