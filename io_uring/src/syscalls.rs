// SPDX-License-Identifier: GPL-2.0
//! The calls. Source: `io_uring_setup(2)`, `io_uring_enter(2)`, `io_uring_register(2)`.

use crate::abi::{MAX_CQ_ENTRIES, MAX_ENTRIES, Sqe, enter, feature, op, setup, sqe_flag};
use crate::drain;
use crate::register::{is_enabled, register};
use crate::request::{Request, Sender, cancel_chain};
use crate::ring::{Ring, RingFile, at, note_ring};
use crate::sqpoll::{self, SqPoll};
use core::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use process::signal::syscalls::{restore_temporary_mask, set_temporary_mask};
use task::current;
use task_io::Plug;
use vfs::{AnonKind, File, OpenFlags};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{get_user, put_user};

static KIND: AnonKind = AnonKind::new("[io_uring]");

/// Words of `struct io_uring_params`: ten, then ten of the submission ring's offsets, then as many of the completion ring's.
type Params = [u32; 30];

/// How many of a ring's entries there are, from what was asked. EINVAL.
fn entries(asked: u32, most: u32, clamp: bool) -> Result<u32> {
    match asked {
        0 => Err(EINVAL),
        asked if asked > most && !clamp => Err(EINVAL),
        asked => Ok(asked.min(most).next_power_of_two()),
    }
}

/// The thread of a new ring, if it wants one: that of ring `other`, or one that is to be started. EINVAL, ENXIO.
fn poller(flags: u32, cpu: u32, other: u32) -> Result<Option<Arc<SqPoll>>> {
    let other = match flags & setup::ATTACH_WQ {
        0 => None,
        _ => {
            let file = vfs::fdtable::fdget(other as usize).map_err(|_| ENXIO)?;
            // There are no workers that could be shared but this thread.
            Some(file.private::<RingFile>().ok_or(EINVAL)?.0.sqpoll.clone())
        }
    };
    if flags & setup::SQPOLL == 0 {
        // A CPU for nobody.
        return if flags & setup::SQ_AFF == 0 { Ok(None) } else { Err(EINVAL) };
    }
    if flags & setup::TASKRUN != 0 {
        // Nobody is interrupted there to go on with requests.
        return Err(EINVAL);
    }
    if let Some(other) = other {
        let theirs = other.ok_or(EINVAL)?;
        // As Linux: a thread that works for others is not taken, but one is started.
        if theirs.can_share()? {
            return Ok(Some(theirs));
        }
    }
    SqPoll::new((flags & setup::SQ_AFF != 0).then_some(cpu)).map(Some)
}

/// `io_uring_setup(entries, params)`.
pub fn sys_io_uring_setup(regs: &PtRegs) -> Result<usize> {
    let params_at = regs.arg1();
    let mut params = get_user::<Params>(params_at)?;
    let [_, cq_asked, flags, cpu, idle_ms, _, other, reserved @ ..] = params;
    if reserved.iter().take(3).any(|&word| word != 0) || flags & !setup::KNOWN != 0 {
        return Err(EINVAL);
    }
    let (flag, defer) = (flags & setup::TASKRUN_FLAG != 0, flags & setup::DEFER_TASKRUN != 0);
    // The flag is for who is not interrupted; who puts work off must be alone.
    if flag && flags & (setup::COOP_TASKRUN | setup::DEFER_TASKRUN) == 0 || defer && flags & setup::SINGLE_ISSUER == 0 {
        return Err(EINVAL);
    }
    let clamp = flags & setup::CLAMP != 0;
    let sq = entries(regs.arg0() as u32, MAX_ENTRIES, clamp)?;
    let cq = match flags & setup::CQSIZE {
        0 => sq * 2,
        _ => entries(cq_asked, MAX_CQ_ENTRIES, clamp)?,
    };
    if cq < sq {
        return Err(EINVAL);
    }
    let sqpoll = poller(flags, cpu, other)?;
    let ring = Ring::new(sq, cq, flags, sqpoll)?;
    let array = u32::try_from(ring.array())?;
    let (sq_offsets, cq_offsets) = (
        [at::SQ_HEAD, at::SQ_TAIL, at::SQ_MASK, at::SQ_ENTRIES, at::SQ_FLAGS, at::SQ_DROPPED],
        [at::CQ_HEAD, at::CQ_TAIL, at::CQ_MASK, at::CQ_ENTRIES, at::CQ_OVERFLOW, at::CQES, at::CQ_FLAGS],
    );
    let words = sq_offsets.iter().map(|&offset| offset as u32).chain([array, 0, 0, 0]);
    let words = words.chain(cq_offsets.iter().map(|&offset| offset as u32)).chain([0, 0, 0]);
    for (place, word) in params.iter_mut().skip(10).zip(words) {
        *place = word;
    }
    let [sq_entries, cq_entries, _, _, _, features, ..] = &mut params;
    (*sq_entries, *cq_entries, *features) = (sq, cq, feature::ALL);
    if ring.sqpoll.is_none() {
        note_ring(&ring)?;
    }
    if is_enabled(&ring) {
        ring.set_issuer();
    }
    let fd = vfs::get_unused_fd(true)?;
    let file = KIND.open(OpenFlags(uapi::O_RDWR), KBox::new(RingFile(ring.clone()), GFP_KERNEL)?)?;
    // If something fails from here on, the file's end is the thread's.
    sqpoll::start(&ring, idle_ms)?;
    put_user(params_at, params)?;
    Ok(fd.install(file) as usize)
}

/// The ring behind a descriptor. EBADF, EOPNOTSUPP.
fn ring_of(fd: usize) -> Result<(Arc<File>, Arc<Ring>)> {
    let file = vfs::fdtable::fdget(fd)?;
    let ring = file.private::<RingFile>().ok_or(EOPNOTSUPP)?.0.clone();
    Ok((file, ring))
}

/// Takes requests in.
struct Intake<'a> {
    ring: &'a Arc<Ring>,
    sender: Sender,
    /// The chain that is being put together: its last, which has the one before as its `link`, and whether one of it was refused.
    chain: Option<KBox<Request>>,
    broken: bool,
}

impl Intake<'_> {
    /// What is wrong with a request, whatever it does.
    fn check(&self, sqe: &Sqe) -> Result {
        const KNOWN: u8 = sqe_flag::FIXED_FILE
            | sqe_flag::DRAIN
            | sqe_flag::LINK
            | sqe_flag::HARDLINK
            | sqe_flag::ASYNC
            | sqe_flag::BUFFER_SELECT
            | sqe_flag::CQE_SKIP;
        // Personalities are not there. Transfers have a priority, others flags in its place.
        let has_flags = matches!(
            sqe.opcode,
            op::ACCEPT
                | op::RECV
                | op::RECVMSG
                | op::READ
                | op::READV
                | op::READ_FIXED
                | op::WRITE
                | op::WRITEV
                | op::WRITE_FIXED
        );
        let known = sqe.flags & !KNOWN == 0 && sqe.personality == 0 && (sqe.ioprio == 0 || has_flags);
        if !known || !op::ALL.contains(&sqe.opcode) {
            return Err(EINVAL);
        }
        if sqe.has(sqe_flag::BUFFER_SELECT) && !matches!(sqe.opcode, op::READ | op::RECV | op::RECVMSG) {
            return Err(EOPNOTSUPP);
        }
        if self.ring.polls() && !op::POLLED.contains(&sqe.opcode) {
            return Err(EINVAL);
        }
        if sqe.has(sqe_flag::CQE_SKIP) {
            self.ring.drain_disabled.store(true, Relaxed);
        }
        // Results that are not posted could not be waited for, says Linux.
        if sqe.has(sqe_flag::DRAIN) && self.ring.drain_disabled.load(Relaxed) { Err(EOPNOTSUPP) } else { Ok(()) }
    }

    /// Takes one in and begins it, or its chain when that is complete. `Err`: it was refused, and its chain is complete; its result
    /// says so.
    fn take(&mut self, sqe: Sqe) -> Result {
        let mut request = KBox::new(Request::new(self.ring, sqe, &self.sender), GFP_KERNEL)?;
        self.ring.taken();
        self.ring.active.fetch_add(1, AcqRel);
        let checked = self.check(&sqe);
        let (links, in_chain) = (sqe.links(), self.chain.is_some());
        if let Err(error) = checked {
            // A chain with a bad one is given up, the bad one with its own error.
            if let Some(chain) = self.whole() {
                cancel_chain(chain);
            }
            self.broken = links;
            request.end(Err(error));
            return if links { Ok(()) } else { checked };
        }
        if self.broken {
            self.broken = links;
            request.end(Err(ECANCELED));
            return Ok(());
        }
        if !links && !in_chain {
            drain::begin(self.ring, request);
            return Ok(());
        }
        request.link = self.chain.take();
        self.chain = Some(request);
        if !links {
            self.finish();
        }
        Ok(())
    }

    /// The chain that was put together, its first first.
    fn whole(&mut self) -> Option<KBox<Request>> {
        let mut last = self.chain.take();
        let mut first = None;
        while let Some(mut request) = last {
            last = request.link.take();
            request.link = first;
            first = Some(request);
        }
        first
    }

    /// Begins the chain that is open.
    fn finish(&mut self) {
        if let Some(chain) = self.whole() {
            drain::begin(self.ring, chain);
        }
    }
}

/// Takes at most `count` requests in for the program: how many.
fn submit(ring: &Arc<Ring>, count: u32) -> Result<usize> {
    if !ring.is_issuer() {
        return Err(EEXIST);
    }
    note_ring(ring)?;
    take_in(ring, count)
}

/// Takes at most `count` requests in, which are the current task's: how many. May sleep. EINTR: a signal came while another took some in.
pub(crate) fn take_in(ring: &Arc<Ring>, count: u32) -> Result<usize> {
    // A request may wait for its file in there when another took what it was ready for.
    let _submit = ring.submit.lock_interruptible().map_err(|_| EINTR)?;
    let _plug = (count > 2).then(Plug::start);
    let mut intake = Intake { ring, sender: Sender::current()?, chain: None, broken: false };
    let mut done = 0;
    let mut failed: Option<Error> = None;
    while done < count.min(ring.sq_entries) as usize {
        let Some(sqe) = ring.next_sqe() else { break };
        match intake.take(sqe) {
            Ok(()) => done += 1,
            Err(ENOMEM) => {
                // It stays in the ring.
                ring.put_back();
                failed = Some(EAGAIN);
                break;
            }
            Err(_) => {
                done += 1;
                if ring.flags & setup::SUBMIT_ALL == 0 {
                    break;
                }
            }
        }
    }
    // A chain that goes on beyond what was submitted ends here.
    intake.finish();
    match failed {
        Some(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}

/// Waits until there are `least` results, a time-out of the ring's is over, the time is up (ETIME), or a signal comes (EINTR). With
/// results it is no error that they are fewer. `signal`: one came, whatever the result says.
fn wait(ring: &Arc<Ring>, least: u32, deadline: Option<u64>, signal: &mut bool) -> Result {
    let (least, space) = (least.min(ring.cq_entries), Sender::space()?);
    // Else its thread goes on with requests.
    let own = ring.sqpoll.is_none();
    let timeouts = ring.timeouts.load(SeqCst);
    let polls = ring.polls();
    if polls && own && ring.ready() != 0 {
        // As Linux, which looks only if it has nothing to tell.
        return Ok(());
    }
    let enough = || {
        let over = polls && own && ring.active.load(SeqCst) == 0;
        over || ring.ready() >= least || ring.timeouts.load(SeqCst) != timeouts
    };
    loop {
        if own {
            ring.run_work();
        }
        ring.flush_overflow();
        ring.drop_spent();
        if enough() {
            return Ok(());
        }
        if polls && own && ring.poll_files().is_some() {
            // Somebody has to look: nothing wakes who sleeps.
            if current().signal_pending() {
                *signal = true;
                return if ring.ready() != 0 { Ok(()) } else { Err(EINTR) };
            }
            if deadline.is_some_and(|deadline| ktime::now_ns() >= deadline) && !enough() {
                return if ring.ready() != 0 { Ok(()) } else { Err(ETIME) };
            }
            core::hint::spin_loop();
            continue;
        }
        let there = ring.waiters.wait_interruptible_deadline(deadline, || enough() || own && ring.has_work(space));
        *signal = there.is_err();
        match there {
            Ok(true) => {}
            _ if ring.ready() != 0 => return Ok(()),
            Ok(false) => return Err(ETIME),
            Err(_) => return Err(EINTR),
        }
    }
}

/// What the last two arguments say: a mask, its size, and until when to wait.
fn wait_arguments(flags: u32, arg: usize, size: usize) -> Result<(usize, usize, Option<u64>)> {
    if flags & enter::EXT_ARG == 0 {
        return Ok((arg, size, None));
    }
    if size != 24 {
        return Err(EINVAL);
    }
    let [mask, mask_size, at] = get_user::<[u64; 3]>(arg)?;
    if mask_size >> 32 != 0 {
        return Err(EINVAL);
    }
    if at == 0 {
        return Ok((mask as usize, mask_size as usize, None));
    }
    let [seconds, ns] = get_user::<[i64; 2]>(at as usize)?;
    let span = seconds.max(0).cast_unsigned().saturating_mul(1_000_000_000).saturating_add(ns.max(0).cast_unsigned());
    Ok((mask as usize, mask_size as usize, Some(ktime::now_ns().saturating_add(span))))
}

/// `io_uring_enter(fd, to_submit, min_complete, flags, arg, argsz)`.
pub fn sys_io_uring_enter(regs: &PtRegs) -> Result<usize> {
    let (count, least, flags) = (regs.arg1() as u32, regs.arg2() as u32, regs.arg3() as u32);
    if flags & !enter::KNOWN != 0 {
        return Err(EINVAL);
    }
    let (_file, ring) = ring_of(regs.arg0())?;
    if !is_enabled(&ring) {
        return Err(EBADFD);
    }
    ring.drop_spent();
    let mut done = 0;
    if let Some(poll) = &ring.sqpoll {
        ring.flush_overflow();
        if !poll.is_alive() {
            return Err(EOWNERDEAD);
        }
        if flags & enter::SQ_WAKEUP != 0 {
            poll.wake();
        }
        if flags & enter::SQ_WAIT != 0 {
            sqpoll::wait_for_room(&ring, poll);
        }
        // They are the thread's to take.
        done = count as usize;
    } else if count != 0 {
        done = submit(&ring, count)?;
        if done != count as usize {
            return Ok(done);
        }
    }
    if flags & enter::GETEVENTS == 0 {
        if ring.sqpoll.is_none() && !ring.is_deferred() {
            ring.run_work();
        }
        return Ok(done);
    }
    if ring.is_deferred() && !ring.is_issuer() {
        return if done != 0 { Ok(done) } else { Err(EEXIST) };
    }
    let (mask, size, deadline) = wait_arguments(flags, regs.arg4(), regs.arg5())?;
    if mask != 0 {
        set_temporary_mask(mask, size)?;
    }
    let mut signal = false;
    let waited = wait(&ring, least, deadline, &mut signal);
    if mask != 0 {
        // Its handler runs first, though results are told of.
        restore_temporary_mask(signal);
    }
    if done != 0 { Ok(done) } else { waited.map(|()| 0) }
}

/// `io_uring_register(fd, opcode, arg, nr_args)`.
pub fn sys_io_uring_register(regs: &PtRegs) -> Result<usize> {
    let (_file, ring) = ring_of(regs.arg0())?;
    // Who takes requests in may wait in one of them, and be a process that does not end when this one is killed.
    let _submit = ring.submit.lock_interruptible().map_err(|_| ERESTARTNOINTR)?;
    register(&ring, regs.arg1() as u32, regs.arg2(), regs.arg3() as u32)
}
