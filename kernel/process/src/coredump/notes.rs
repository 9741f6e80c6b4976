// SPDX-License-Identifier: GPL-2.0
//! The notes of a core file. For each thread, the one that was hit first: `NT_PRSTATUS` and its floating-point sets; behind the first
//! `NT_PRSTATUS` what is the process's: `NT_PRPSINFO`, `NT_SIGINFO`, `NT_AUXV`, `NT_FILE`. Source: `linux/elfcore.h`.

use super::file::Area;
use crate::pid;
use crate::ptrace::regs;
use crate::signal::SigInfo;
use crate::thread::{Process, Thread, thread_of};
use crate::times;
use core::fmt::Write;
use errno::Result;
use errno::code::{E2BIG, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use mm_alloc::layout::PAGE_SIZE;
use task::{State, Task, TaskFlags};

/// Longest `NT_FILE` note.
const MOST_NAMES: usize = 4 << 20;
const PRSTATUS: usize = 336;
const PRPSINFO: usize = 136;

struct Buffer(KVec<u8>);

impl Buffer {
    fn put(&mut self, bytes: &[u8]) -> Result {
        Ok(self.0.extend_from_slice(bytes, GFP_KERNEL)?)
    }

    fn align(&mut self) -> Result {
        while !self.0.len().is_multiple_of(4) {
            self.put(&[0])?;
        }
        Ok(())
    }

    fn note(&mut self, name: &[u8], kind: u32, data: &[u8]) -> Result {
        let sizes = [name.len() as u32 + 1, u32::try_from(data.len()).map_err(|_| E2BIG)?, kind];
        for word in sizes {
            self.put(&word.to_le_bytes())?;
        }
        self.put(name)?;
        self.put(&[0])?;
        self.align()?;
        self.put(data)?;
        self.align()
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.put(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

/// A structure of the ABI, filled field by field.
struct Record<const N: usize>([u8; N]);

impl<const N: usize> Record<N> {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}

/// All notes.
pub(super) fn all(task: &Task, process: &Arc<Process>, info: &SigInfo, areas: &[Area]) -> Result<KVec<u8>> {
    let mut out = Buffer(KVec::new());
    let words = task::current()
        .with_user_regs(|r| regs::words(r, &task::switch::segments(), task.test_flags(TaskFlags::FORCED_TF)));
    out.note(b"CORE", uapi::NT_PRSTATUS, &status(task, process, info, &words)?.0)?;
    out.note(b"CORE", uapi::NT_PRPSINFO, &identity(task, process)?.0)?;
    out.note(b"CORE", uapi::NT_SIGINFO, &info.to_bytes())?;
    if let Some(auxv) = process.auxv() {
        out.note(b"CORE", uapi::NT_AUXV, zerocopy::IntoBytes::as_bytes(auxv.as_slice()))?;
    }
    files(&mut out, areas)?;
    let sets =
        task::switch::with_fpu(|fpu| (regs::fpu_set(fpu, uapi::NT_PRFPREG), regs::fpu_set(fpu, uapi::NT_X86_XSTATE)));
    if let Some((legacy, extended)) = sets {
        out.note(b"CORE", uapi::NT_PRFPREG, &legacy?)?;
        if let Ok(extended) = extended {
            out.note(b"LINUX", uapi::NT_X86_XSTATE, &extended)?;
        }
    }
    for other in process.threads()?.iter().filter(|t| !core::ptr::eq(&***t, task)) {
        thread(&mut out, other, process, info)?;
    }
    Ok(out.0)
}

/// Another thread, which rests.
fn thread(out: &mut Buffer, other: &Task, process: &Arc<Process>, info: &SigInfo) -> Result {
    let look = || {
        other.inspect(State::UNINTERRUPTIBLE, |rest| {
            let segments = rest.segments();
            let words = regs::words(rest.regs(), &segments, other.test_flags(TaskFlags::FORCED_TF));
            let sets =
                rest.fpu().map(|fpu| (regs::fpu_set(fpu, uapi::NT_PRFPREG), regs::fpu_set(fpu, uapi::NT_X86_XSTATE)));
            (words, sets)
        })
    };
    let mut seen = look();
    // It has said that it rests, and may have lost the CPU just before it sleeps (Linux: `wait_task_inactive`).
    while seen.is_none() && !own(other)?.is_exiting() && !super::interrupted(process) {
        ktime::sleep_ns(1_000_000);
        seen = look();
    }
    // One that has ended before is no part of it.
    let Some((words, sets)) = seen else { return Ok(()) };
    out.note(b"CORE", uapi::NT_PRSTATUS, &status(other, process, info, &words)?.0)?;
    if let Some((legacy, extended)) = sets {
        out.note(b"CORE", uapi::NT_PRFPREG, &legacy?)?;
        if let Ok(extended) = extended {
            out.note(b"LINUX", uapi::NT_X86_XSTATE, &extended)?;
        }
    }
    Ok(())
}

fn own(task: &Task) -> Result<&Thread> {
    thread_of(task).ok_or(ESRCH)
}

/// The numbers of a process's relatives, as the current task, which is one of its threads, calls them.
fn parent(process: &Process) -> u32 {
    process.parent_own_pid()
}

fn group(process: &Process) -> u32 {
    process.group().name().here()
}

fn session(process: &Process) -> u32 {
    process.session().name().here()
}

fn status(task: &Task, process: &Process, info: &SigInfo, words: &[u64; regs::REGS]) -> Result<Record<PRSTATUS>> {
    let thread = own(task)?;
    let mut record = Record([0; PRSTATUS]);
    record.u32(0, info.signo);
    record.put(12, &(info.signo as u16).to_le_bytes());
    record.u64(16, thread.pending.lock_irqsave().set().0);
    record.u64(24, thread.blocked().0);
    let ids = [pid::number_here(task.tid()), parent(process), group(process), session(process)];
    for (n, id) in ids.into_iter().enumerate() {
        record.u32(32 + 4 * n, id);
    }
    let (used, children) = (times::of_task(task), process.usage());
    for (n, ns) in [used.utime, used.stime, children.cutime, children.cstime].into_iter().enumerate() {
        record.u64(48 + 16 * n, ns / 1_000_000_000);
        record.u64(56 + 16 * n, ns / 1000 % 1_000_000);
    }
    for (n, word) in words.iter().enumerate() {
        record.u64(112 + 8 * n, *word);
    }
    record.u32(328, 1);
    Ok(record)
}

fn identity(task: &Task, process: &Process) -> Result<Record<PRPSINFO>> {
    let mut record = Record([0; PRPSINFO]);
    record.put(1, b"R");
    record.put(3, &[sched::params_of(task).nice as u8]);
    let cred = cred::task_cred(task).ok_or(ESRCH)?;
    record.u32(16, cred.uid);
    record.u32(20, cred.gid);
    let ids = [process.name().here(), parent(process), group(process), session(process)];
    for (n, id) in ids.into_iter().enumerate() {
        record.u32(24 + 4 * n, id);
    }
    record.put(40, &task.comm());
    if let Some(mm) = mm::mm_of(task) {
        let marks = mm.marks();
        let mut words = [0u8; 79];
        let len = marks.arg_end.saturating_sub(marks.arg_start).min(words.len());
        if let Some(bytes) = words.get_mut(..len) {
            let got = mm.read(marks.arg_start, bytes, true);
            for byte in bytes.iter_mut().take(got).filter(|byte| **byte == 0) {
                *byte = b' ';
            }
        }
        record.put(56, &words);
    }
    Ok(record)
}

/// `NT_FILE`: what file each mapping is of.
fn files(out: &mut Buffer, areas: &[Area]) -> Result {
    let with_file = || areas.iter().filter(|area| area.info.file.is_some());
    let mut data = Buffer(KVec::new());
    data.put(&(with_file().count() as u64).to_le_bytes())?;
    data.put(&(PAGE_SIZE as u64).to_le_bytes())?;
    for area in with_file() {
        let pages = area.info.offset / PAGE_SIZE as u64;
        for word in [area.info.start as u64, area.info.end as u64, pages] {
            data.put(&word.to_le_bytes())?;
        }
    }
    for area in with_file() {
        if let Some(file) = &area.info.file {
            file.show_path(&mut data).map_err(|_| E2BIG)?;
        }
        data.put(&[0])?;
    }
    if data.0.len() > MOST_NAMES {
        // As Linux: rather without.
        return Ok(());
    }
    out.note(b"CORE", uapi::NT_FILE, &data.0)
}
