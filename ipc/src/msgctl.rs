// SPDX-License-Identifier: GPL-2.0
//! `msgctl(2)`, and the lines of `/proc/sysvipc/msg`.

use crate::ids::{READ, now};
use crate::limits;
use crate::msg::Queue;
use crate::ns::{self, Ns};
use crate::user::{self, Record};
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EINVAL, EPERM};
use uapi::AsBytes;
use vfs::{SeqBuf, seq_print};
use x86_cpu::regs::PtRegs;

/// Where the queue's limit is in `struct msqid64_ds`, in words of eight bytes.
const LIMIT_WORD: usize = 11;
const WORDS: usize = size_of::<uapi::msqid64_ds>() / 8;

impl Queue {
    /// Its line in `/proc/sysvipc/msg`.
    pub(crate) fn show(&self, out: &mut SeqBuf) -> Result {
        let perm = self.header.perm();
        let state = self.state.lock();
        let (bytes, count, sender, receiver) =
            (state.bytes, state.count(), state.last_sender.here(), state.last_receiver.here());
        let (sent, received, changed) = (state.send_time, state.receive_time, state.change_time);
        drop(state);
        seq_print!(out, "{:10} {:10}  {:4o}  {bytes:10} {count:10} ", perm.key, self.header.id(), perm.mode)?;
        seq_print!(out, "{sender:5} {receiver:5} ")?;
        seq_print!(out, "{:5} {:5} {:5} {:5} ", perm.uid, perm.gid, perm.cuid, perm.cgid)?;
        seq_print!(out, "{sent:10} {received:10} {changed:10}\n")
    }

    fn stat(&self, address: usize) -> Result {
        let mut record = Record::<{ size_of::<uapi::msqid64_ds>() }>::new();
        self.header.fill(&mut record, 0);
        {
            let state = self.state.lock();
            record.u64(48, state.send_time);
            record.u64(56, state.receive_time);
            record.u64(64, state.change_time);
            record.u64(72, state.bytes as u64);
            record.u64(80, state.count() as u64);
            record.u64(88, state.limit as u64);
            record.u32(96, state.last_sender.here());
            record.u32(100, state.last_receiver.here());
        }
        record.to_user(address)
    }

    fn set(&self, ns: &Ns, new: [u64; WORDS]) -> Result {
        let limit = new.get(LIMIT_WORD).copied().unwrap_or(0);
        self.header.check_owner()?;
        if limit > limits::get(&ns.limits.msgmnb).into() && !cred::capable(cred::CAP_SYS_RESOURCE) {
            return Err(EPERM);
        }
        let half = |n: usize| {
            let word = new.get(n / 2).copied().unwrap_or(0);
            (if n.is_multiple_of(2) { word } else { word >> 32 }) as u32
        };
        self.header.set([0, 1, 2, 3, 4, 5].map(half))?;
        {
            let mut state = self.state.lock();
            state.limit = usize::try_from(limit).unwrap_or(usize::MAX);
            state.change_time = now();
        }
        self.look_again();
        Ok(())
    }
}

/// `msgctl(id, command, address)`.
pub fn sys_msgctl(regs: &PtRegs) -> Result<usize> {
    let (id, command, address) = (regs.arg0() as i32, regs.arg1() as u32, regs.arg2());
    if id < 0 {
        return Err(EINVAL);
    }
    let ns = ns::current()?;
    match command {
        uapi::IPC_INFO | uapi::MSG_INFO => info_to(&ns, address, command == uapi::MSG_INFO),
        uapi::MSG_STAT | uapi::MSG_STAT_ANY => {
            let queue = ns.queues.at(id)?;
            if command == uapi::MSG_STAT {
                queue.header.check(READ)?;
            }
            queue.stat(address)?;
            Ok(queue.header.id() as usize)
        }
        uapi::IPC_STAT => {
            let queue = ns.queues.find(id)?;
            queue.header.check(READ)?;
            queue.stat(address).map(|()| 0)
        }
        uapi::IPC_SET => {
            let new: [u64; WORDS] = user::read(address)?;
            ns.queues.find(id)?.set(&ns, new).map(|()| 0)
        }
        uapi::IPC_RMID => {
            let queue = ns.queues.find(id)?;
            queue.header.check_owner()?;
            queue.remove(&ns).map(|()| 0)
        }
        _ => Err(EINVAL),
    }
}

fn info_to(ns: &Ns, address: usize, usage: bool) -> Result<usize> {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let info = uapi::msginfo {
        msgpool: if usage { ns.queues.count() } else { uapi::MSGPOOL }.cast_signed(),
        msgmap: if usage { count(ns.counts.messages.load(Ordering::Relaxed)) } else { uapi::MSGMAP.cast_signed() },
        msgmax: limits::get(&ns.limits.msgmax).cast_signed(),
        msgmnb: limits::get(&ns.limits.msgmnb).cast_signed(),
        msgmni: limits::get(&ns.limits.msgmni).cast_signed(),
        msgssz: uapi::MSGSSZ.cast_signed(),
        msgtql: if usage { count(ns.counts.bytes.load(Ordering::Relaxed)) } else { uapi::MSGTQL.cast_signed() },
        msgseg: uapi::MSGSEG as u16,
        ..Default::default()
    };
    user::copy_to_user(address, info.as_bytes())?;
    Ok(ns.queues.highest())
}
