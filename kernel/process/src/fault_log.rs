// SPDX-License-Identifier: GPL-2.0
//! The line in the log that says why a program ended by a fault of its own: what it did, where, and the instructions there. Source of the
//! texts: Linux's `arch/x86/mm/fault.c` and `traps.c`, as tools that read the log know them.

use crate::signal::action::{SIG_DFL, SIG_IGN};
use crate::thread::thread_of;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use klog::Level;
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// Whether such ends are told of (`debug.exception-trace`).
pub static SHOW: AtomicI32 = AtomicI32::new(1);

/// At most so many lines in so much time.
const BURST: u32 = 10;
const INTERVAL_NS: u64 = 5_000_000_000;

/// Whether there may be another line now.
fn may_tell() -> bool {
    static BEGAN: AtomicU64 = AtomicU64::new(0);
    static TOLD: AtomicU32 = AtomicU32::new(0);
    static MISSED: AtomicU32 = AtomicU32::new(0);
    let (now, began) = (ktime::now_ns(), BEGAN.load(Relaxed));
    if (began == 0 || now.saturating_sub(began) > INTERVAL_NS)
        && BEGAN.compare_exchange(began, now, Relaxed, Relaxed).is_ok()
    {
        TOLD.store(0, Relaxed);
        let missed = MISSED.swap(0, Relaxed);
        if missed != 0 {
            klog::pr_warn!("show_signal_msg: {missed} callbacks suppressed");
        }
    }
    let tells = TOLD.fetch_add(1, Relaxed) < BURST;
    if !tells {
        MISSED.fetch_add(1, Relaxed);
    }
    tells
}

/// Whether `signo` ends the task, and somebody wants to read of it.
fn is_told(task: &Task, signo: u32) -> bool {
    let Some(thread) = thread_of(task) else { return false };
    let action = thread.process().actions.lock_irqsave().get(signo);
    let handled = action.handler != SIG_DFL && action.handler != SIG_IGN;
    let ends = task.tid() == 1 || !handled && !thread.is_traced();
    SHOW.load(Relaxed) != 0 && ends && may_tell()
}

/// The last part of a path.
struct Name {
    bytes: [u8; 64],
    len: usize,
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'/' {
                self.len = 0;
            } else if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Where an instruction is: ` in NAME[START+LENGTH]`; nothing outside files. Looked up before anything is written: the log's lock is a spin lock.
struct Place(Option<(Name, usize, usize)>);

impl Place {
    fn of(ip: usize) -> Self {
        let area = mm::current_mm().and_then(|mm| mm.vma_after(ip)).filter(|area| area.start <= ip);
        Self(area.and_then(|area| {
            let mut name = Name { bytes: [0; 64], len: 0 };
            area.file.as_ref()?.show_path(&mut name).ok()?;
            Some((name, area.start, area.end.saturating_sub(area.start)))
        }))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((name, start, len)) = &self.0 else { return Ok(()) };
        let text = name.bytes.get(..name.len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("?");
        write!(f, " in {text}[{start:x}+{len:x}]")
    }
}

/// So many bytes before an instruction, and in all.
const BEFORE: usize = 42;
const BYTES: usize = 64;

/// The bytes about an instruction, its first in angle brackets; or where they could not be read.
struct Code(Result<[u8; BYTES], usize>);

impl Code {
    fn at(ip: usize) -> Self {
        let mut bytes = [0; BYTES];
        let start = ip.wrapping_sub(BEFORE);
        let read = mm::current_mm().is_some_and(|mm| mm.read(start, &mut bytes, true) == BYTES);
        Self(if read { Ok(bytes) } else { Err(start) })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match &self.0 {
            Ok(bytes) => bytes,
            Err(start) => return write!(f, "Unable to access opcode bytes at 0x{start:x}."),
        };
        for (index, byte) in bytes.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            if index == BEFORE { write!(f, "{blank}<{byte:02x}>")? } else { write!(f, "{blank}{byte:02x}")? }
        }
        Ok(())
    }
}

/// The task's name.
struct Comm<'a>(&'a Task);

impl fmt::Display for Comm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comm = self.0.comm();
        let name = comm.split(|&byte| byte == 0).next().unwrap_or_default();
        f.write_str(core::str::from_utf8(name).unwrap_or("?"))
    }
}

/// The current task gets SIGSEGV for touching `address`. May sleep.
pub(crate) fn segfault(address: usize, error_code: u64, regs: &PtRegs) {
    let task = current();
    if !is_told(&task, uapi::SIGSEGV) {
        return;
    }
    let level = if task.tid() == 1 { Level::Emerg } else { Level::Info };
    let (name, tid, ip, sp) = (Comm(&task), task.tid(), regs.rip, regs.rsp);
    let (place, code) = (Place::of(ip as usize), Code::at(ip as usize));
    klog::emit(
        level,
        false,
        format_args!("{name}[{tid}]: segfault at {address:x} ip {ip:016x} sp {sp:016x} error {error_code:x}{place}"),
    );
    klog::emit(level, false, format_args!("Code: {code}"));
}

/// The current task gets `signo` for trap `vector`. May sleep.
pub(crate) fn trap(vector: u8, signo: u32, error_code: u64, regs: &PtRegs) {
    let what = match vector {
        0 => "trap divide error",
        3 => "trap int3",
        4 => "trap overflow",
        6 => "trap invalid opcode",
        9 => "trap coprocessor segment overrun",
        10 => "trap invalid TSS",
        11 => "trap segment not present",
        12 => "trap stack segment",
        13 => "general protection fault",
        17 => "trap alignment check",
        _ => return,
    };
    let task = current();
    if is_told(&task, signo) {
        let (name, tid, ip, sp) = (Comm(&task), task.tid(), regs.rip, regs.rsp);
        let place = Place::of(ip as usize);
        klog::pr_info!("traps: {name}[{tid}] {what} ip:{ip:x} sp:{sp:x} error:{error_code:x}{place}");
    }
}
