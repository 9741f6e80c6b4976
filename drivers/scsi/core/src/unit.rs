// SPDX-License-Identifier: GPL-2.0
//! `Unit`: a logical unit, and the way of commands to it and back.

use crate::command::{Command, Data, HostStatus};
use crate::execute::unsent;
use crate::host::Host;
use block::mq::Queue;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::hardware::{block, device, ktime, locking, sync, workqueue};
use locking::{SetOnce, SpinLock};
use scsi_proto::{Inquiry, Outcome, Sense, outcome};
use sync::Mutex;
use workqueue::{DelayedWork, Work};

/// Until a busy unit is asked again.
const LATER_NS: u64 = 10_000_000;
/// Commands that somebody waits for and that may have to be sent again at a time.
const WAITERS: usize = 32;
/// Deepest queue of a unit.
const MAX_DEPTH: u32 = 1024;

/// The driver above a unit.
pub trait Upper: Send + Sync {
    /// The unit changed: its size, for example. May sleep.
    fn rescan(&self);
    /// The queue of its requests.
    fn queue(&self) -> &Arc<Queue>;
}

/// Counters of a unit.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU32,
    pub(crate) done: AtomicU32,
    pub(crate) errors: AtomicU32,
    pub(crate) timeouts: AtomicU32,
    /// Commands that the adapter has.
    pub(crate) busy: AtomicU32,
}

/// Whether a unit takes commands (`enum scsi_device_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// It does.
    Running = 2,
    /// It goes; its driver may still write out what it has.
    Cancel = 3,
    /// It is gone.
    Deleted = 4,
    /// It did not answer, or an administrator does not want it.
    Offline = 6,
}

/// A logical unit.
pub struct Unit {
    host: Arc<Host>,
    target: u32,
    lun: u64,
    pub(crate) inquiry: SetOnce<(Inquiry, KVec<u8>)>,
    /// Pages of vital product data, whole, that are shown.
    pub(crate) pages: SetOnce<KVec<(u8, KVec<u8>)>>,
    state: AtomicU8,
    going: AtomicBool,
    again: SpinLock<KVec<KBox<Command>>>,
    again_work: SetOnce<DelayedWork>,
    upper: SpinLock<Option<Arc<dyn Upper>>>,
    pub(crate) counters: Counters,
    /// Most commands at a time (`queue_depth`).
    depth: AtomicU32,
    /// Nanoseconds for a request (`timeout`).
    pub(crate) timeout_ns: AtomicU64,
    /// What `SG_SET_TIMEOUT` said, in hundredths of a second; 0: the default.
    pub(crate) sg_timeout: AtomicU32,
    /// What `SG_SET_RESERVED_SIZE` said.
    pub(crate) sg_reserved: AtomicU32,
    /// What it wants to be told of: additional sense code and qualifier, 0 for nothing.
    attention: AtomicU32,
    attention_work: SetOnce<Arc<Work>>,
    pub(crate) device: Mutex<Option<Arc<device::Device>>>,
}

impl Unit {
    pub(crate) fn new(host: &Arc<Host>, target: u32, lun: u64) -> Result<Arc<Self>> {
        let unit = Self {
            host: host.clone(),
            target,
            lun,
            inquiry: SetOnce::new(),
            pages: SetOnce::new(),
            state: AtomicU8::new(State::Running as u8),
            going: AtomicBool::new(false),
            again: SpinLock::new(KVec::with_capacity(WAITERS, GFP_KERNEL)?),
            again_work: SetOnce::new(),
            upper: SpinLock::new(None),
            counters: Counters::default(),
            depth: AtomicU32::new(host.params().cmd_per_lun.min(MAX_DEPTH)),
            timeout_ns: AtomicU64::new(crate::TIMEOUT_NS),
            sg_timeout: AtomicU32::new(0),
            sg_reserved: AtomicU32::new(0),
            attention: AtomicU32::new(0),
            attention_work: SetOnce::new(),
            device: Mutex::new(None),
        };
        let unit = Arc::new(unit, GFP_KERNEL)?;
        // Each of them may be queued when its unit goes.
        let (weak, alive) = (Arc::downgrade(&unit), crate::ALIVE.count());
        let work = DelayedWork::new(move || {
            let _alive = &alive;
            if let Some(unit) = weak.upgrade() {
                unit.send_again();
            }
        })?;
        // New, so they are empty.
        let _ = unit.again_work.set(work);
        let (weak, alive) = (Arc::downgrade(&unit), crate::ALIVE.count());
        let work = Work::new(move || {
            let _alive = &alive;
            if let Some(unit) = weak.upgrade() {
                let code = unit.attention.swap(0, AcqRel);
                crate::show::attention(&unit, (code >> 8) as u8, code as u8);
            }
        })?;
        let _ = unit.attention_work.set(work);
        Ok(unit)
    }

    /// The adapter.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Number of the target.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// Number of the unit in its target.
    pub fn lun(&self) -> u64 {
        self.lun
    }

    /// What the unit says it is; `None` until it was asked.
    pub fn inquiry(&self) -> Option<&Inquiry> {
        self.inquiry.get().map(|(inquiry, _)| inquiry)
    }

    /// A page of vital product data, whole, if the unit has it.
    pub fn page(&self, number: u8) -> Option<&[u8]> {
        self.pages.get()?.iter().find(|(page, _)| *page == number).map(|(_, bytes)| &**bytes)
    }

    /// Its name: `H:C:T:L`. ENOMEM.
    pub fn name(&self) -> Result<KString> {
        let (host, target, lun) = (self.host.number(), self.target, self.lun);
        Ok(KString::from_fmt(format_args!("{host}:0:{target}:{lun}"), GFP_KERNEL)?)
    }

    /// Where in `/sys` it is. ENOMEM.
    pub fn sysfs_path(&self) -> Result<KString> {
        let (home, number) = (self.host.parent().unwrap_or_default(), self.host.number());
        let (target, name) = (self.target, self.name()?);
        Ok(KString::from_fmt(format_args!("{home}/host{number}/target{number}:0:{target}/{name}"), GFP_KERNEL)?)
    }

    /// Whether it takes commands.
    pub fn state(&self) -> State {
        match self.state.load(Acquire) {
            2 => State::Running,
            3 => State::Cancel,
            4 => State::Deleted,
            _ => State::Offline,
        }
    }

    /// Lets it take commands again, or not (`state`). EINVAL if it goes.
    pub fn set_online(&self, online: bool) -> Result {
        let (from, to) = if online { (State::Offline, State::Running) } else { (State::Running, State::Offline) };
        match self.state.compare_exchange(from as u8, to as u8, AcqRel, Acquire) {
            Err(now) if now != to as u8 => Err(EINVAL),
            _ => {
                self.run();
                Ok(())
            }
        }
    }

    /// Whether it is taken away.
    pub fn is_gone(&self) -> bool {
        self.state() == State::Deleted
    }

    /// It is about to go. False if it is already.
    pub(crate) fn begin_to_go(&self) -> bool {
        if self.going.swap(true, SeqCst) {
            return false;
        }
        // One that is offline stays so: nothing is written out.
        let _ = self.state.compare_exchange(State::Running as u8, State::Cancel as u8, AcqRel, Acquire);
        true
    }

    /// It is gone: what is sent fails.
    pub(crate) fn set_gone(&self) {
        self.state.store(State::Deleted as u8, SeqCst);
        if let Some(work) = self.again_work.get() {
            work.queue_after(0);
        }
    }

    /// Most commands that it has at a time.
    pub fn depth(&self) -> u32 {
        self.depth.load(Relaxed)
    }

    /// Most commands of the block layer that a queue of it needs room for.
    pub fn max_depth(&self) -> u32 {
        self.host.params().can_queue.min(MAX_DEPTH)
    }

    /// Sets how many commands it has at a time. EINVAL for 0, or more than the adapter has.
    pub fn set_depth(&self, depth: u32) -> Result {
        if depth == 0 || depth > self.host.params().can_queue {
            return Err(EINVAL);
        }
        self.depth.store(depth, Relaxed);
        self.run();
        Ok(())
    }

    /// Nanoseconds that a request may take.
    pub fn timeout_ns(&self) -> u64 {
        self.timeout_ns.load(Relaxed)
    }

    /// Sets the driver above, which has at most `commands` commands at a time. ENOMEM. May sleep.
    pub fn set_upper(&self, upper: Arc<dyn Upper>, commands: usize) -> Result {
        let mut room = KVec::with_capacity(commands.saturating_add(WAITERS), GFP_KERNEL)?;
        let mut again = self.again.lock_irqsave();
        for command in again.drain_all() {
            // It is larger than the old list.
            let _ = room.push_within_capacity(command);
        }
        core::mem::swap(&mut *again, &mut room);
        drop(again);
        drop(room);
        let old = self.upper.lock_irqsave().replace(upper);
        drop(old);
        Ok(())
    }

    /// The driver above goes.
    pub fn clear_upper(&self) {
        let old = self.upper.lock_irqsave().take();
        drop(old);
    }

    fn upper(&self) -> Option<Arc<dyn Upper>> {
        self.upper.lock_irqsave().clone()
    }

    /// The driver above looks at it again. May sleep.
    pub fn rescan(&self) {
        if let Some(upper) = self.upper() {
            upper.rescan();
        }
    }

    /// The time for a request was changed: the queue above looks for late ones accordingly.
    pub(crate) fn tell_timeout(&self, seconds: u32) -> Result {
        match self.upper() {
            Some(upper) => upper.queue().set_timeout_ms(seconds.saturating_mul(1000)),
            None => Ok(()),
        }
    }

    /// Commands that the adapter has.
    pub(crate) fn busy(&self) -> u32 {
        self.counters.busy.load(Relaxed)
    }

    /// Requests that wait are sent.
    pub(crate) fn run(&self) {
        if let Some(upper) = self.upper() {
            upper.queue().run();
        }
    }

    /// Sends a command that [`Command::begin`] made ready. `Err` gives it back: EBUSY if there is no room now. Any context.
    pub fn submit(&self, command: KBox<Command>, last: bool) -> Result<(), (Error, KBox<Command>)> {
        match self.state() {
            State::Running | State::Cancel => {}
            State::Offline => return Err((EIO, command)),
            State::Deleted => return Err((ENXIO, command)),
        }
        // What somebody waits for is not counted against the depth: there are few.
        let limited = command.request.is_some();
        if self.counters.busy.fetch_add(1, Relaxed) >= self.depth() && limited {
            self.counters.busy.fetch_sub(1, Relaxed);
            return Err((EBUSY, command));
        }
        self.counters.requests.fetch_add(1, Relaxed);
        let result = match self.host.ops().queue_command(command, last) {
            Err((EBUSY, command)) => {
                // Room may have come back just before.
                self.host.note_starved();
                self.host.ops().queue_command(command, last)
            }
            result => result,
        };
        if result.is_err() {
            self.counters.requests.fetch_sub(1, Relaxed);
            self.counters.busy.fetch_sub(1, Relaxed);
        }
        result
    }

    /// Sends it again after `delay_ns`.
    pub(crate) fn again(&self, mut command: KBox<Command>, delay_ns: u64) {
        command.clear();
        let refused = self.again.lock_irqsave().push_within_capacity(command);
        if let Err(refused) = refused {
            return finish(refused.0, Err(EIO));
        }
        if let Some(work) = self.again_work.get() {
            work.queue_after(delay_ns);
        }
    }

    fn send_again(&self) {
        while let Some(command) = self.next_again() {
            match self.submit(command, true) {
                Ok(()) => {}
                Err((EBUSY, command)) => return self.again(command, LATER_NS),
                Err((error, command)) => finish(unsent(command, error), Err(error)),
            }
        }
    }

    /// Takes the first command that is to be sent again. None while a late command is brought back: it is looked at later.
    fn next_again(&self) -> Option<KBox<Command>> {
        let mut again = self.again.lock_irqsave();
        // Under the lock: what recovery brings back comes into the list after recovery has begun.
        if !self.host.recovering.load(Acquire) {
            return again.remove(0).ok();
        }
        let some_wait = !again.is_empty();
        drop(again);
        if some_wait && let Some(work) = self.again_work.get() {
            work.queue_after(LATER_NS);
        }
        None
    }

    /// The unit reported that something changed.
    fn note_attention(&self, sense: Sense) {
        if sense.key == scsi_proto::key::UNIT_ATTENTION && crate::show::attention_name(sense.asc, sense.ascq).is_some()
        {
            self.attention.store(u32::from(sense.asc) << 8 | u32::from(sense.ascq), Release);
            if let Some(work) = self.attention_work.get() {
                work.queue();
            }
        }
    }
}

/// What is to be done with a command that came back.
fn judge(command: &Command, sense: Option<Sense>) -> Outcome {
    match command.host_status {
        HostStatus::Ok => match outcome(command.status, sense) {
            // Less than was asked for is nothing that the block layer could use.
            Outcome::Done if matches!(command.data, Data::Request) && command.residual != 0 => Outcome::Retry,
            next => next,
        },
        HostStatus::NoConnect | HostStatus::BadTarget => Outcome::Failed(EIO),
        HostStatus::TargetFailure => Outcome::Failed(EREMOTEIO),
        HostStatus::NexusFailure => Outcome::Failed(EBADE),
        HostStatus::Busy => Outcome::Later,
        HostStatus::TimeOut | HostStatus::Abort | HostStatus::Reset | HostStatus::Error => Outcome::Retry,
    }
}

/// A command is over: it goes back, or is sent again. For adapters' drivers, without their locks. Any context.
pub fn done(command: KBox<Command>) {
    let Some(end) = command.end.clone() else { return };
    let unit = end.unit();
    unit.counters.done.fetch_add(1, Relaxed);
    unit.counters.busy.fetch_sub(1, Relaxed);
    // It had room that no request of the block layer gives back when it ends.
    let was_alone = command.request.is_none();
    settle(command, unit);
    if was_alone {
        unit.run();
    }
}

/// Ends a command that is back, or sends it again.
fn settle(mut command: KBox<Command>, unit: &Unit) {
    let sense = command.sense_data();
    if let Some(sense) = sense {
        unit.note_attention(sense);
    }
    let next = judge(&command, sense);
    if next == Outcome::Done {
        return finish(command, Ok(()));
    }
    let patience = command.timeout_ns.saturating_mul(u64::from(command.allowed) + 1);
    let late = ktime::now_ns().saturating_sub(command.began_ns) > patience;
    match next {
        Outcome::Retry if command.retries < command.allowed && !late => {
            command.retries += 1;
            unit.again(command, 0);
        }
        Outcome::Later if !late => unit.again(command, LATER_NS),
        next => {
            unit.counters.errors.fetch_add(1, Relaxed);
            let error = match next {
                Outcome::Failed(error) => error,
                _ if command.host_status == HostStatus::TimeOut => ETIMEDOUT,
                _ => EIO,
            };
            finish(command, Err(error));
        }
    }
}

/// Gives a command back to who sent it.
fn finish(mut command: KBox<Command>, result: Result) {
    if let Some(end) = command.end.take() {
        end.end(command, result);
    }
}
