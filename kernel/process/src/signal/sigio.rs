// SPDX-License-Identifier: GPL-2.0
//! `SIGIO` for the VFS: from an owner's number to the tasks it names (`vfs::fasync`). Source: `fcntl(2)`, `F_SETOWN`, `F_SETSIG`.
//!
//! Locks: none of its own; those of `pid` and `send`.

use super::{SigInfo, send_to_process, send_to_thread};
use crate::pid::{self, PidNr};
use crate::thread::thread_of;
use errno::Result;
use errno::code::ESRCH;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, WeakArc};
use task::Task;
use vfs::fasync::{FileSignal, OwnerKind, Setter, SignalTarget};

/// A number that somebody was named by. It does not keep the number from being freed, and is of no effect from then on.
struct Named(WeakArc<PidNr>);

/// What `id` names now. `ESRCH`. May sleep.
pub(crate) fn find_target(id: u32) -> Result<Arc<dyn SignalTarget>> {
    let nr = pid::find_number(pid::first_of(id)).ok_or(ESRCH)?;
    let target: Arc<dyn SignalTarget> = Arc::new(Named(Arc::downgrade(&nr)), GFP_KERNEL)?;
    Ok(target)
}

impl SignalTarget for Named {
    fn id(&self, kind: OwnerKind) -> u32 {
        let Some(nr) = self.0.upgrade() else { return 0 };
        let id = nr.get();
        let named = match kind {
            OwnerKind::Thread => pid::find_thread(id).is_some(),
            OwnerKind::Process => {
                pid::find_thread(id).is_some_and(|task| thread_of(&task).is_some_and(|t| t.process().pid() == id))
            }
            OwnerKind::Group => pid::find_group(id).is_some(),
        };
        if named { nr.name().here() } else { 0 }
    }

    fn send(&self, kind: OwnerKind, setter: Setter, signal: FileSignal) {
        let Some(nr) = self.0.upgrade() else { return };
        if kind == OwnerKind::Group {
            let Some(group) = pid::find_group(nr.get()) else { return };
            // Without memory for a list nobody hears of it.
            let Ok(members) = group.members() else { return };
            for leader in members.iter().filter_map(|member| member.leader()) {
                send_one(&leader, false, setter, signal);
            }
        } else if let Some(task) = pid::find_thread(nr.get()) {
            send_one(&task, kind == OwnerKind::Thread, setter, signal);
        }
    }
}

/// Whether the ids in `setter` may send `SIGIO` to `target`.
fn permitted(setter: Setter, target: &Task) -> bool {
    let Some(receiver) = cred::task_cred(target) else { return false };
    setter.euid == 0 || [setter.euid, setter.uid].iter().any(|&id| id == receiver.suid || id == receiver.uid)
}

/// Sends to the thread `target` alone, or to its process.
fn send_one(target: &Task, alone: bool, setter: Setter, signal: FileSignal) {
    if !permitted(setter, target) {
        return;
    }
    let send = |info: SigInfo| -> Result {
        let thread = thread_of(target).ok_or(ESRCH)?;
        if alone { send_to_thread(target, info) } else { send_to_process(thread.process(), info) }
    };
    let queued = signal.signal != 0 && send(poll_info(signal)).is_ok();
    if !queued {
        // None was chosen, or its queue is full: plain SIGIO, of which one is enough.
        let _ = send(SigInfo::kernel(uapi::SIGIO));
    }
}

/// What a handler is told: the descriptor, and what `poll(2)` would say.
fn poll_info(signal: FileSignal) -> SigInfo {
    // Bits of poll(2), as this architecture has them.
    const IN: u32 = 0x0001 | 0x0040;
    const OUT: u32 = 0x0004 | 0x0100 | 0x0200;
    const MSG: u32 = IN | 0x0400;
    const ERR: u32 = 0x0008;
    const PRI: u32 = 0x0002 | 0x0080;
    const HUP: u32 = 0x0010 | ERR;
    let band = match signal.code {
        uapi::POLL_IN => u64::from(IN),
        uapi::POLL_OUT => u64::from(OUT),
        uapi::POLL_MSG => u64::from(MSG),
        uapi::POLL_ERR => u64::from(ERR),
        uapi::POLL_PRI => u64::from(PRI),
        uapi::POLL_HUP => u64::from(HUP),
        _ => u64::MAX,
    };
    // Signals whose codes mean something of their own get one that says where this comes from.
    let own_codes = matches!(
        signal.signal,
        uapi::SIGILL | uapi::SIGFPE | uapi::SIGSEGV | uapi::SIGBUS | uapi::SIGTRAP | uapi::SIGCHLD | uapi::SIGSYS
    );
    let code = if own_codes { uapi::SI_SIGIO } else { signal.code as i32 };
    SigInfo::poll(signal.signal, code, band, signal.fd)
}
