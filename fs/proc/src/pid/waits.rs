// SPDX-License-Identifier: GPL-2.0
//! What a process waits for and how exactly: `stack`, `timers`, `timerslack_ns`, `timens_offsets`. Locks: those of what is shown, one at a time.

use super::View;
use super::access::may_access;
use crate::sysctl::parse_long;
use core::fmt::{self, Write};
use errno::{Result, code::*};
use kalloc::KVec;
use kalloc::flags::GFP_ATOMIC;
use task::State;
use vfs::{SeqBuf, seq_print};

/// Most entries of a stack that are shown.
const DEPTH: usize = 64;

/// `stack`: where in the kernel the thread sleeps, for the administrator; nothing of one that runs.
pub(super) fn stack(view: &View, out: &mut SeqBuf) -> Result {
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EACCES);
    }
    if !may_access(&view.task) {
        return Err(EPERM);
    }
    let waiting = State(State::NORMAL.0 | State::STOPPED.0 | State::TRACED.0);
    let mut places = KVec::with_capacity(DEPTH, kalloc::flags::GFP_KERNEL)?;
    view.task.inspect(waiting, |sleeper| {
        sleeper.stack_trace(|address| places.len() < DEPTH && places.push(address, GFP_ATOMIC).is_ok());
    });
    for &address in &places {
        // The call, and not what follows it.
        let call = address.wrapping_sub(1);
        match kallsyms::lookup(call) {
            Some(at) => seq_print!(out, "[<0>] {}+{:#x}/{:#x}\n", at.name, at.offset + 1, at.size)?,
            None => match in_module(call, |line, found| {
                let function = found.function.map(|(name, offset, size)| (name, offset + 1, size));
                write!(line, "{}", kallsyms::Place { address, function, ..*found })
            }) {
                Some(line) => seq_print!(out, "[<0>] {}\n", line.text())?,
                None => seq_print!(out, "[<0>] {address:#x}\n")?,
            },
        }
    }
    Ok(())
}

/// What is written where no memory can be had; what is over the end is cut off.
pub(super) struct Line {
    bytes: [u8; LINE],
    len: usize,
}

/// Longest line: names of functions are mangled paths, with the types that they are of.
const LINE: usize = 768;

impl Line {
    /// What was written.
    pub(super) fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or(&[]);
        // A character may have been cut.
        bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (slot, byte) in self.bytes.iter_mut().skip(self.len).zip(text.bytes()) {
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// What `write` writes of an address in a module's code; `None` if it is in none.
pub(super) fn in_module(
    address: usize,
    write: impl Fn(&mut Line, &kallsyms::Place<'_>) -> fmt::Result,
) -> Option<Line> {
    let mut line = Line { bytes: [0; LINE], len: 0 };
    let there = kallsyms::MODULES.get()?.find(address, &mut |found| {
        // It never fails.
        let _ = write(&mut line, found);
    });
    there.then_some(line)
}

/// `timers`: those that the process made by `timer_create(2)`, the newest first.
pub(super) fn timers(view: &View, out: &mut SeqBuf) -> Result {
    let pid = view.thread()?.process().name().number_in(&view.ns);
    for timer in posix_time::posix_timer::timers_of(&view.task)?.iter().rev() {
        let how = match timer.kind & !SIGEV_THREAD_ID {
            SIGEV_NONE => "none",
            SIGEV_THREAD => "thread",
            _ => "signal",
        };
        let (who, number) = match timer.kind & SIGEV_THREAD_ID {
            0 => ("pid", pid),
            _ => ("tid", process::pid::number_in(timer.tid, &view.ns)),
        };
        seq_print!(out, "ID: {}\nsignal: {}/{:016x}\n", timer.id, timer.signal, timer.value)?;
        seq_print!(out, "notify: {how}/{who}.{number}\nClockID: {}\n", timer.clock)?;
    }
    Ok(())
}

const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

/// Others' slack is the business of who may set their priorities.
fn may_slack(view: &View) -> Result {
    let own = core::ptr::eq(&*view.task, &*task::current());
    if own || cred::capable(cred::CAP_SYS_NICE) { Ok(()) } else { Err(EPERM) }
}

/// `timerslack_ns`.
pub(super) fn slack(view: &View, out: &mut SeqBuf) -> Result {
    may_slack(view)?;
    seq_print!(out, "{}\n", sched::timer_slack_ns(&view.task))
}

/// A write to `timerslack_ns`: 0 goes back to what the thread started with.
pub(super) fn set_slack(view: &View, data: &[u8]) -> Result<usize> {
    let ns = parse_long(data)?;
    may_slack(view)?;
    sched::set_timer_slack_ns(&view.task, ns);
    Ok(data.len())
}

/// `timens_offsets`.
pub(super) fn clock_offsets(view: &View, out: &mut SeqBuf) -> Result {
    process::ns::time::show_offsets(&view.task, out)
}

/// A write to `timens_offsets`.
pub(super) fn set_clock_offsets(view: &View, data: &[u8]) -> Result<usize> {
    process::ns::time::set_offsets(&view.task, data)
}
