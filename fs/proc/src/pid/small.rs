// SPDX-License-Identifier: GPL-2.0
//! `comm`, `limits`, `personality`, `syscall` and `io`. Locks: none of its own.

use super::View;
use super::access::may_access;
use super::waits::{Line, in_module};
use core::fmt::Write;
use errno::{Result, code::*};
use kalloc::Arc;
use rlimit::INFINITY;
use task::{COMM_LEN, State};
use vfs::{SeqBuf, seq_print};
use x86_cpu::regs::PtRegs;

/// The name of a task without its padding.
pub(super) fn name_of(comm: &[u8; COMM_LEN]) -> &[u8] {
    comm.split(|&byte| byte == 0).next().unwrap_or(b"")
}

/// `comm`.
pub(super) fn comm(view: &View, out: &mut SeqBuf) -> Result {
    out.escaped(name_of(&view.task.comm()), b"\n\\")?;
    out.byte(b'\n')
}

/// A write to `comm`: threads of the same process may rename each other. `EINVAL` for others.
pub(super) fn set_comm(view: &View, data: &[u8]) -> Result<usize> {
    let own = process::current_process().ok_or(ESRCH)?;
    let other = view.thread()?.process();
    if !Arc::ptr_eq(&own, other) {
        return Err(EINVAL);
    }
    view.task.set_comm(data.get(..COMM_LEN - 1).unwrap_or(data));
    Ok(data.len())
}

/// `personality`.
pub(super) fn personality(view: &View, out: &mut SeqBuf) -> Result {
    if !may_access(&view.task) {
        return Err(EPERM);
    }
    seq_print!(out, "{:08x}\n", view.thread()?.process().personality())
}

/// `syscall`: the number and the arguments of the call that the thread waits in, its stack pointer and its place; `-1` where
/// it waits outside of one. `EPERM` for who may not look inside.
pub(super) fn syscall(view: &View, out: &mut SeqBuf) -> Result {
    if !may_access(&view.task) {
        return Err(EPERM);
    }
    let current = task::current();
    let words = |r: &PtRegs| ((r.orig_rax as i64).max(-1), [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9, r.rsp, r.rip]);
    let waiting = State(State::NORMAL.0 | State::STOPPED.0 | State::TRACED.0);
    let found = if view.task.is_kthread() {
        Some((0, [0; 8]))
    } else if core::ptr::eq(&*view.task, &*current) {
        Some(current.with_user_regs(|regs| words(regs)))
    } else {
        view.task.inspect(waiting, |stopped| words(stopped.regs()))
    };
    let Some((number, words)) = found else { return out.put(b"running\n") };
    seq_print!(out, "{number}")?;
    let shown = if number < 0 { words.get(6..) } else { Some(words.as_slice()) };
    for word in shown.unwrap_or(&[]) {
        seq_print!(out, " {word:#x}")?;
    }
    out.byte(b'\n')
}

/// Parts of the kernel through which everybody goes to sleep: what called them says more.
const SLEEPING: [&str; 5] = ["task::", "sched::", "sync::", "ktime::", "core::"];

/// `wchan`: the kernel's function that the thread sleeps in, or `0`: it runs, or the reader may not look inside.
pub(super) fn wchan(view: &View, out: &mut SeqBuf) -> Result {
    let waiting = State(State::NORMAL.0 | State::STOPPED.0 | State::TRACED.0);
    let (mut place, mut outside) = (None, None);
    if may_access(&view.task) {
        view.task.inspect(waiting, |sleeper| {
            sleeper.stack_trace(|address| {
                // The call, and not what follows it.
                let call = address.wrapping_sub(1);
                match kallsyms::lookup(call).map(|symbol| symbol.name) {
                    Some(name) => {
                        let sleeps = SLEEPING.iter().any(|part| name.trim_start_matches('<').starts_with(part));
                        place = (!sleeps).then_some(name);
                    }
                    None => outside = kallsyms::MODULES.get().filter(|all| all.contains(call)).map(|_| call),
                }
                place.is_none() && outside.is_none()
            });
        });
    }
    let module = outside.and_then(|call| {
        in_module(call, |line, at| match at.function {
            Some((name, ..)) => write!(line, "{name}"),
            None => line.write_str("0"),
        })
    });
    let name = module.as_ref().map(Line::text).or(place).unwrap_or("0");
    // One word, whatever the function is called.
    name.bytes().try_for_each(|byte| out.byte(if byte == b' ' { b'_' } else { byte }))
}

/// `io`: of a thread, or of all threads of the process that ever were.
pub(super) fn io(view: &View, out: &mut SeqBuf) -> Result {
    if !may_access(&view.task) {
        return Err(EACCES);
    }
    let io = match view.whole {
        true => process::times::of_process(view.thread()?.process()).io,
        false => task_io::use_of(&view.task),
    };
    seq_print!(out, "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\n", io.rchar, io.wchar, io.syscr, io.syscw)?;
    seq_print!(out, "read_bytes: {}\nwrite_bytes: {}\n", io.read_bytes, io.write_bytes)?;
    seq_print!(out, "cancelled_write_bytes: {}\n", io.cancelled_write_bytes)
}

/// Names and units of the limits, by number.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// A limit, padded.
fn value(out: &mut SeqBuf, limit: u64) -> Result {
    match limit {
        INFINITY => seq_print!(out, "{:<20} ", "unlimited"),
        limit => seq_print!(out, "{limit:<20} "),
    }
}

fn limit_line(out: &mut SeqBuf, name: &str, unit: &str, limit: rlimit::Limit) -> Result {
    seq_print!(out, "{name:<25} ")?;
    value(out, limit.cur)?;
    value(out, limit.max)?;
    if unit.is_empty() { out.byte(b'\n') } else { seq_print!(out, "{unit:<10}\n") }
}

/// `limits`.
pub(super) fn limits(view: &View, out: &mut SeqBuf) -> Result {
    let Some(table) = rlimit::of(&view.task) else { return Ok(()) };
    seq_print!(out, "{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units")?;
    for ((name, unit), resource) in LIMITS.iter().zip(0..) {
        limit_line(out, name, unit, table.get(resource))?;
    }
    Ok(())
}

#[macros::kunit_tests(proc_pid_small)]
mod tests {
    use super::*;

    #[test]
    fn limit_lines() {
        let mut out = SeqBuf::new(200);
        let limit = rlimit::Limit { cur: 1024, max: INFINITY };
        assert!(limit_line(&mut out, "Max open files", "files", limit).is_ok());
        let wanted: &[u8] = b"Max open files            1024                 unlimited            files     \n";
        assert_eq!(out.text(), wanted);
    }

    #[test]
    fn names_end_at_nul() {
        assert_eq!(name_of(b"init\0\0\0\0\0\0\0\0\0\0\0\0"), b"init");
    }
}
