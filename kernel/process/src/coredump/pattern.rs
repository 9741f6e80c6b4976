// SPDX-License-Identifier: GPL-2.0
//! The name of a core file: `/proc/sys/kernel/core_pattern` and `core_uses_pid`. Pipes to programs (`|`) are refused: the kernel
//! starts no programs by itself yet.

use crate::signal::SigInfo;
use crate::thread::Process;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::Result;
use errno::code::{EINVAL, ENAMETOOLONG};
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use locking::SpinLock;
use task::Task;

/// Most bytes of a pattern (`CORENAME_MAX_SIZE`).
const MOST: usize = 128;

static PATTERN: SpinLock<([u8; MOST], usize)> = SpinLock::new((first(), 4));
/// `/proc/sys/kernel/core_uses_pid`.
pub static USES_PID: AtomicBool = AtomicBool::new(false);

const fn first() -> [u8; MOST] {
    let mut bytes = [0; MOST];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = *b"core";
    bytes
}

/// The pattern.
pub fn pattern() -> Result<KVec<u8>> {
    let (bytes, len) = *PATTERN.lock();
    Ok(KVec::from_slice(bytes.get(..len).unwrap_or(&[]), GFP_KERNEL)?)
}

/// Changes the pattern; longer ones are cut. `EINVAL` for a program.
pub fn set_pattern(text: &[u8]) -> Result {
    if text.starts_with(b"|") {
        return Err(EINVAL);
    }
    let mut bytes = [0; MOST];
    let len = text.len().min(MOST - 1);
    for (to, from) in bytes.iter_mut().zip(text.iter().take(len)) {
        *to = *from;
    }
    *PATTERN.lock() = (bytes, len);
    Ok(())
}

struct Name(KVec<u8>);

impl Name {
    fn put(&mut self, bytes: &[u8]) -> Result {
        Ok(self.0.extend_from_slice(bytes, GFP_KERNEL)?)
    }

    fn number(&mut self, value: impl core::fmt::Display) -> Result {
        write!(self, "{value}").map_err(|_| ENAMETOOLONG)
    }

    /// A name of the program's choice: it is not to lead elsewhere.
    fn component(&mut self, bytes: &[u8]) -> Result {
        let from = self.0.len();
        self.put(bytes)?;
        let added = self.0.get_mut(from..).unwrap_or(&mut []);
        for byte in added.iter_mut().filter(|byte| **byte == b'/') {
            *byte = b'!';
        }
        match added {
            [b'.'] | [b'.', b'.'] => added.fill(b'!'),
            [] => self.put(b"!")?,
            _ => {}
        }
        Ok(())
    }
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.put(text.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

/// The file's name for `task`, which `info` ends.
pub(super) fn name(task: &Task, process: &Process, info: &SigInfo, dumpable: u8) -> Result<KVec<u8>> {
    let pattern = pattern()?;
    let mut out = Name(KVec::new());
    let mut with_pid = false;
    let cred = cred::current_cred()?;
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.put(&[byte])?;
            continue;
        }
        match bytes.next() {
            None => break,
            Some(b'%') => out.put(b"%")?,
            Some(byte @ (b'p' | b'P')) => {
                with_pid = true;
                out.number(if byte == b'p' { process.own_pid() } else { process.pid() })?;
            }
            Some(b'i') => out.number(task.own_tid())?,
            Some(b'I') => out.number(task.tid())?,
            Some(b'u') => out.number(cred.uid)?,
            Some(b'g') => out.number(cred.gid)?,
            Some(b'd') => out.number(dumpable)?,
            Some(b's') => out.number(info.signo)?,
            Some(b't') => out.number(ktime::real_ns() / ktime::NSEC_PER_SEC)?,
            Some(b'h') => {
                let host = crate::misc::hostname();
                out.component(until_nul(&host))?;
            }
            Some(b'e') => out.component(until_nul(&task.comm()))?,
            Some(b'E') => out.component(&program(task, false)?)?,
            Some(b'f') => out.component(&program(task, true)?)?,
            Some(b'c') => out.number(rlimit::current(uapi::RLIMIT_CORE))?,
            Some(b'C') => out.number(x86_cpu::cpu_id())?,
            Some(_) => {}
        }
    }
    if !with_pid && USES_PID.load(Ordering::Relaxed) {
        out.put(b".")?;
        out.number(process.own_pid())?;
    }
    Ok(out.0)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(&[])
}

/// The path of the program, or its last component.
fn program(task: &Task, base: bool) -> Result<KVec<u8>> {
    let mut path = Name(KVec::new());
    if let Some(file) = mm::mm_of(task).and_then(|mm| mm.exe_file()) {
        file.show_path(&mut path).map_err(|_| ENAMETOOLONG)?;
    } else {
        path.put(until_nul(&task.comm()))?;
    }
    if base {
        let last = path.0.rsplit(|&byte| byte == b'/').next().unwrap_or(&[]);
        return Ok(KVec::from_slice(last, GFP_KERNEL)?);
    }
    Ok(path.0)
}
