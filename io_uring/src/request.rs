// SPDX-License-Identifier: GPL-2.0
//! One request from its taking in to its result, and the chain of those that wait for it (`IOSQE_IO_LINK`).

use crate::abi::{Sqe, op, sqe_flag, timeout};
use crate::pending::Again;
use crate::register::Buffer;
use crate::ring::Ring;
use core::sync::atomic::Ordering::SeqCst;
use errno::{Result, code::*};
use kalloc::{Arc, KBox, WeakArc};
use ktime::hrtimer::HrTimer;
use sync::PollTable;
use task::{Task, current};
use vfs::File;
use vfs::kiocb::IoDone;

/// Who sent a request.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) task: WeakArc<Task>,
    /// Its address space, which alone the request's memory belongs to.
    pub(crate) space: u64,
}

impl Sender {
    /// The current task. EFAULT without an address space.
    pub(crate) fn current() -> Result<Self> {
        Ok(Self { task: Arc::downgrade(&current().to_arc()), space: Self::space()? })
    }

    /// The current address space. EFAULT without one.
    pub(crate) fn space() -> Result<u64> {
        mm::current_mm().map(|mm| mm.id()).ok_or(EFAULT)
    }
}

/// A request.
pub(crate) struct Request {
    pub(crate) ring: Arc<Ring>,
    pub(crate) sqe: Sqe,
    pub(crate) file: Option<Arc<File>>,
    pub(crate) buffer: Option<Arc<Buffer>>,
    pub(crate) sender: Sender,
    /// The next of its chain.
    pub(crate) link: Option<KBox<Request>>,
    /// The next in a list of the ring's.
    pub(crate) next: Option<KBox<Request>>,
    /// What its transfer should move; less breaks the chain.
    pub(crate) wanted: Option<usize>,
    /// A worker does it, or was to (`IOSQE_ASYNC`).
    pub(crate) handed: bool,
    /// It was ready once: it is not put off again.
    pub(crate) polled: bool,
    /// No other request of the ring has this number.
    pub(crate) id: u64,
    /// A `LINK_TIMEOUT` is to be told when it ends.
    pub(crate) timed: bool,
    /// What it waited with; dropped by a task.
    pub(crate) table: Option<PollTable>,
    pub(crate) timer: Option<Arc<HrTimer>>,
    /// It has several results: its file's wake-ups.
    pub(crate) again: Option<Arc<Again>>,
    /// Flags of its (last) result.
    pub(crate) cqe_flags: u32,
}

impl Request {
    pub(crate) fn new(ring: &Arc<Ring>, sqe: Sqe, sender: &Sender) -> Self {
        Self {
            ring: ring.clone(),
            sqe,
            file: None,
            buffer: None,
            sender: sender.clone(),
            link: None,
            next: None,
            wanted: None,
            handed: false,
            polled: false,
            id: ring.pending.new_id(),
            timed: false,
            table: None,
            timer: None,
            again: None,
            cqe_flags: 0,
        }
    }

    /// Posts a result of which more come. False if there is no room for it: it is to be the last.
    pub(crate) fn post_more(&self, result: usize, flags: u32) -> bool {
        self.ring.post_more(&self.sqe, i32::try_from(result).unwrap_or(i32::MAX), flags)
    }

    /// It is over: posts the result; the next of the chain goes on, or the rest is given up. Any context.
    pub(crate) fn end(mut self: KBox<Self>, result: Result<usize>) {
        let ring = self.ring.clone();
        let value = match result {
            // A result has 32 bits; transfers are shorter.
            Ok(done) => i32::try_from(done).unwrap_or(i32::MAX),
            // Nobody begins it again.
            Err(ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK) => -EINTR.to_errno().abs(),
            Err(error) => -error.to_errno().abs(),
        };
        let short = matches!((result, self.wanted), (Ok(done), Some(wanted)) if done < wanted);
        // A time that is up is what a timeout is for.
        let expected = self.sqe.opcode == op::TIMEOUT && self.sqe.op_flags & timeout::ETIME_SUCCESS != 0;
        let failed = (result.is_err() || short) && !(expected && result == Err(ETIME));
        if failed || !self.sqe.has(sqe_flag::CQE_SKIP) {
            ring.post(&self.sqe, value, self.cqe_flags);
        }
        ring.active.fetch_sub(1, SeqCst);
        if self.timed {
            ring.pending.target_ended(self.id);
        }
        if let Some(next) = self.link.take() {
            if failed && !self.sqe.has(sqe_flag::HARDLINK) {
                cancel_chain(next);
            } else {
                ring.go_on_later(next);
            }
        }
        crate::drain::ended(&ring);
        ring.drop_later(self);
    }
}

/// Gives up a chain.
pub(crate) fn cancel_chain(first: KBox<Request>) {
    let mut list = Some(first);
    while let Some(mut request) = list {
        list = request.link.take();
        request.end(Err(ECANCELED));
    }
}

impl IoDone for Request {
    fn done(self: KBox<Self>, result: Result<usize>) {
        self.end(result);
    }
}
