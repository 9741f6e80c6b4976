// SPDX-License-Identifier: GPL-2.0
//! `mq_notify(2)`: one process is told, once, that a message came to the empty queue while nobody waited for one. Notification by
//! a thread (`SIGEV_THREAD`) goes through a netlink socket. Those here take no such messages: every descriptor is refused.

use crate::file::queue_of;
use errno::Result;
use errno::code::{EBADF, EBUSY, EINVAL, ENOTSOCK};
use kalloc::{Arc, WeakArc};
use process::Process;
use process::signal::{SigInfo, send::send_to_process};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::get_user;

const SIGEV_SIGNAL: u32 = 0;
const SIGEV_NONE: u32 = 1;
const SIGEV_THREAD: u32 = 2;
const SI_MESGQ: i32 = -3;
/// Most signals.
const SIGNALS: u32 = 64;
/// Words of what a thread is told by (`NOTIFY_COOKIE_LEN`).
const COOKIE_WORDS: usize = 4;

/// Who is told, and how.
pub(crate) struct Registration {
    process: WeakArc<Process>,
    pid: u32,
    kind: u32,
    signal: u32,
    value: u64,
}

impl Registration {
    /// Kind, signal and process, as the queue's file shows them.
    pub(crate) fn shown(&self) -> (u32, u32, u32) {
        (self.kind, if self.kind == SIGEV_SIGNAL { self.signal } else { 0 }, process::pid::number_here(self.pid))
    }

    /// Whether it is process `pid`'s.
    pub(crate) fn is_of(&self, pid: u32) -> bool {
        self.pid == pid
    }

    /// The current task sent the message.
    pub(crate) fn tell(&self) {
        if self.kind != SIGEV_SIGNAL || self.signal == 0 {
            return;
        }
        let Some(process) = self.process.upgrade() else { return };
        // As the receiver calls the sender.
        let pid = process::current_process().map_or(0, |sender| sender.number_for(&process));
        let uid = cred::current_cred().map_or(0, |cred| cred.uid);
        // As Linux: what cannot be queued is lost.
        let _ = send_to_process(&process, SigInfo::queue(self.signal, SI_MESGQ, pid, uid, self.value));
    }
}

/// `mq_notify(descriptor, event)`.
pub fn sys_mq_notify(regs: &PtRegs) -> Result<usize> {
    let (fd, event) = (regs.arg0(), regs.arg1());
    let mut wanted = None;
    if event != 0 {
        let value: u64 = get_user(event)?;
        let [signal, kind]: [u32; 2] = get_user(event.wrapping_add(8))?;
        if !matches!(kind, SIGEV_NONE | SIGEV_SIGNAL | SIGEV_THREAD) || kind == SIGEV_SIGNAL && signal > SIGNALS {
            return Err(EINVAL);
        }
        if kind == SIGEV_THREAD {
            let _: [u64; COOKIE_WORDS] = get_user(value as usize)?;
            let socket = vfs::fdget(signal as usize)?;
            let is_socket = socket.inode().file_type() == vfs::FileType::Sock;
            return Err(if is_socket { EINVAL } else { ENOTSOCK });
        }
        wanted = Some((kind, signal, value));
    }
    let file = vfs::fdget(fd)?;
    let queue = queue_of(&file).ok_or(EBADF)?;
    let process = process::current_process().ok_or(EBADF)?;
    let pid = process.pid();
    let new = wanted.map(|(kind, signal, value)| Registration {
        process: Arc::downgrade(&process),
        pid,
        kind,
        signal,
        value,
    });
    let old = queue.with_notify(|slot| {
        let Some(new) = new else {
            // Only one's own registration can be taken back.
            let own = slot.as_ref().is_some_and(|old| old.is_of(pid));
            return Ok(if own { slot.take() } else { None });
        };
        if slot.is_some() {
            return Err(EBUSY);
        }
        Ok(slot.replace(new))
    })?;
    drop(old);
    Ok(0)
}
