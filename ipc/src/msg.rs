// SPDX-License-Identifier: GPL-2.0
//! Message queues: `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`. A message goes straight to the first receiver who waits for one like it;
//! else it is queued. Lock: a queue's state (spin), inside it a receiver's slot and the wait queues.

use crate::ids::{Header, Object, READ, WRITE, now, pid};
use crate::limits;
use crate::ns::{self, Counts, Ns};
use crate::user;
use core::mem::take;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{E2BIG, EAGAIN, EIDRM, EINVAL, ENOMSG, ERESTARTNOHAND};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVVec, KVec};
use locking::SpinLock;
use pid_namespace::PidName;
use sync::WaitQueue;
use x86_cpu::regs::PtRegs;

/// Bytes of a message's type in the program's structure.
const TYPE_BYTES: usize = 8;

/// A message.
pub(crate) struct Message {
    kind: i64,
    text: KVVec<u8>,
}

/// A message in a queue; counted while it is there.
struct Queued(Message, Arc<Counts>);

impl Queued {
    fn new(message: Message, counts: &Arc<Counts>) -> Self {
        counts.messages.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(message.text.len(), Ordering::Relaxed);
        Self(message, counts.clone())
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.1.messages.fetch_sub(1, Ordering::Relaxed);
        self.1.bytes.fetch_sub(self.0.text.len(), Ordering::Relaxed);
    }
}

/// Which message a receiver wants.
#[derive(Clone, Copy)]
enum Wanted {
    Any,
    Type(i64),
    Not(i64),
    /// The lowest type up to this one.
    UpTo(i64),
    /// A copy of the message at this place (`MSG_COPY`).
    Copy(i64),
}

impl Wanted {
    fn new(kind: i64, flags: u32) -> Self {
        match kind {
            _ if flags & uapi::MSG_COPY != 0 => Self::Copy(kind),
            0 => Self::Any,
            _ if kind < 0 => Self::UpTo(kind.saturating_neg()),
            _ if flags & uapi::MSG_EXCEPT != 0 => Self::Not(kind),
            _ => Self::Type(kind),
        }
    }

    fn accepts(self, kind: i64) -> bool {
        match self {
            Self::Any | Self::Copy(_) => true,
            Self::Type(wanted) => kind == wanted,
            Self::Not(unwanted) => kind != unwanted,
            Self::UpTo(most) => kind <= most,
        }
    }
}

/// Somebody who waits for a message.
struct Receiver {
    wanted: Wanted,
    /// Longest text that it takes.
    most: usize,
    pid: PidName,
    slot: SpinLock<Option<Result<Message>>>,
    queue: WaitQueue,
}

impl Receiver {
    fn new(wanted: Wanted, most: usize) -> Result<Arc<Self>> {
        let receiver = Self { wanted, most, pid: pid(), slot: SpinLock::new(None), queue: WaitQueue::new() };
        Ok(Arc::new(receiver, GFP_KERNEL)?)
    }

    fn give(&self, result: Result<Message>) {
        let old = self.slot.lock().replace(result);
        drop(old);
        self.queue.wake_up_all();
    }
}

/// What a queue's lock guards.
#[derive(Default)]
pub(crate) struct State {
    messages: KVec<Queued>,
    receivers: KVec<Arc<Receiver>>,
    pub(crate) bytes: usize,
    /// Most bytes.
    pub(crate) limit: usize,
    pub(crate) last_sender: PidName,
    pub(crate) last_receiver: PidName,
    pub(crate) send_time: u64,
    pub(crate) receive_time: u64,
    pub(crate) change_time: u64,
}

impl State {
    pub(crate) fn count(&self) -> usize {
        self.messages.len()
    }

    fn has_room(&self, len: usize) -> bool {
        self.bytes.saturating_add(len) <= self.limit && self.messages.len() < self.limit
    }

    fn place_of(&self, wanted: Wanted) -> Option<usize> {
        match wanted {
            Wanted::Copy(place) => usize::try_from(place).ok().filter(|place| *place < self.messages.len()),
            Wanted::UpTo(most) => {
                let fitting = self.messages.iter().enumerate().filter(|(_, m)| m.0.kind <= most);
                fitting.min_by_key(|(_, m)| m.0.kind).map(|(place, _)| place)
            }
            _ => self.messages.iter().position(|m| wanted.accepts(m.0.kind)),
        }
    }

    /// Gives the message to the first receiver who wants it; those who cannot take its length hear `E2BIG`. It comes back if
    /// nobody takes it.
    fn hand_over(&mut self, message: Message) -> Option<Message> {
        let mut index = 0;
        while let Some(receiver) = self.receivers.get(index) {
            if !receiver.wanted.accepts(message.kind) {
                index += 1;
                continue;
            }
            let Ok(receiver) = self.receivers.remove(index) else { break };
            if receiver.most < message.text.len() {
                receiver.give(Err(E2BIG));
                continue;
            }
            self.last_receiver = receiver.pid.clone();
            self.receive_time = now();
            receiver.give(Ok(message));
            return None;
        }
        Some(message)
    }
}

/// A queue.
pub(crate) struct Queue {
    pub(crate) header: Header,
    pub(crate) state: SpinLock<State>,
    senders: WaitQueue,
    counts: Arc<Counts>,
}

impl Object for Queue {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Queue {
    fn new(ns: &Ns, key: i32, flags: u32) -> Result<Arc<Self>> {
        let limit = limits::get(&ns.limits.msgmnb) as usize;
        let state = State { limit, change_time: now(), ..State::default() };
        let queue = Self {
            header: Header::new(key, flags)?,
            state: SpinLock::new(state),
            senders: WaitQueue::new(),
            counts: ns.counts.clone(),
        };
        Ok(Arc::new(queue, GFP_KERNEL)?)
    }

    /// Takes it away; who waits hears of it.
    pub(crate) fn remove(&self, ns: &Ns) -> Result {
        if !ns.queues.remove(self) {
            return Err(EIDRM);
        }
        let (messages, receivers) = {
            let mut state = self.state.lock();
            state.bytes = 0;
            (take(&mut state.messages), take(&mut state.receivers))
        };
        drop(messages);
        for receiver in receivers {
            receiver.give(Err(EIDRM));
        }
        self.senders.wake_up_all();
        Ok(())
    }

    /// Rights or the limit changed: all who wait look again.
    pub(crate) fn look_again(&self) {
        let receivers = take(&mut self.state.lock().receivers);
        for receiver in receivers {
            receiver.give(Err(EAGAIN));
        }
        self.senders.wake_up_all();
    }

    fn send(&self, message: Message, flags: u32) -> Result {
        let len = message.text.len();
        loop {
            self.header.check(WRITE)?;
            {
                let mut state = self.state.lock();
                if self.header.is_removed() {
                    return Err(EIDRM);
                }
                if state.has_room(len) {
                    // Room for it first, so that nothing can fail once it is on its way.
                    state.messages.reserve(1, GFP_ATOMIC)?;
                    state.last_sender = pid();
                    state.send_time = now();
                    if let Some(message) = state.hand_over(message) {
                        let queued = state.messages.push_within_capacity(Queued::new(message, &self.counts));
                        state.bytes += if queued.is_ok() { len } else { 0 };
                    }
                    return Ok(());
                }
            }
            if flags & uapi::IPC_NOWAIT != 0 {
                return Err(EAGAIN);
            }
            let ready = || self.header.is_removed() || self.state.lock().has_room(len);
            self.senders.wait_interruptible(ready).map_err(|_| ERESTARTNOHAND)?;
        }
    }

    fn receive(&self, wanted: Wanted, most: usize, flags: u32) -> Result<Message> {
        let cut = flags & uapi::MSG_NOERROR != 0;
        let mut waiter = None;
        loop {
            self.header.check(READ)?;
            let receiver = {
                let mut state = self.state.lock();
                if self.header.is_removed() {
                    return Err(EIDRM);
                }
                if let Some(place) = state.place_of(wanted) {
                    let len = state.messages.get(place).map_or(0, |m| m.0.text.len());
                    if len > most && !cut {
                        return Err(E2BIG);
                    }
                    let message = if matches!(wanted, Wanted::Copy(_)) {
                        copy(&state, place, most)?
                    } else {
                        state.take_at(place)?
                    };
                    drop(state);
                    if !matches!(wanted, Wanted::Copy(_)) {
                        self.senders.wake_up_all();
                    }
                    return Ok(message);
                }
                if flags & uapi::IPC_NOWAIT != 0 {
                    return Err(ENOMSG);
                }
                let Some(receiver) = waiter.take() else {
                    // It has to wait: made without the lock, then looked again.
                    drop(state);
                    waiter = Some(Receiver::new(wanted, if cut { usize::MAX } else { most })?);
                    continue;
                };
                state.receivers.push(Arc::clone(&receiver), GFP_ATOMIC)?;
                receiver
            };
            match self.wait(&receiver) {
                Err(EAGAIN) => {}
                result => return result,
            }
        }
    }

    /// Sleeps until somebody gives the receiver a message or an error. `ERESTARTNOHAND` after a signal.
    fn wait(&self, receiver: &Arc<Receiver>) -> Result<Message> {
        // Whether a signal came does not matter if a message did.
        let _ = receiver.queue.wait_interruptible(|| receiver.slot.lock().is_some());
        let left = {
            let mut state = self.state.lock();
            let place = state.receivers.iter().position(|other| Arc::ptr_eq(other, receiver));
            place.and_then(|index| state.receivers.remove(index).ok())
        };
        drop(left);
        let given = receiver.slot.lock().take();
        given.unwrap_or(Err(ERESTARTNOHAND))
    }
}

impl State {
    fn take_at(&mut self, place: usize) -> Result<Message> {
        let mut queued = self.messages.remove(place).map_err(|_| ENOMSG)?;
        let len = queued.0.text.len();
        self.bytes = self.bytes.saturating_sub(len);
        self.receive_time = now();
        self.last_receiver = pid();
        queued.1.bytes.fetch_sub(len, Ordering::Relaxed);
        // What stays behind to be dropped has no text any more.
        Ok(Message { kind: queued.0.kind, text: take(&mut queued.0.text) })
    }
}

/// `MSG_COPY`: `EINVAL` if it is longer than the buffer.
fn copy(state: &State, place: usize, most: usize) -> Result<Message> {
    let message = &state.messages.get(place).ok_or(ENOMSG)?.0;
    if message.text.len() > most {
        return Err(EINVAL);
    }
    Ok(Message { kind: message.kind, text: message.text.try_clone(GFP_ATOMIC)? })
}

/// `msgget(key, flags)`.
pub fn sys_msgget(regs: &PtRegs) -> Result<usize> {
    let (key, flags) = (regs.arg0() as i32, regs.arg1() as u32);
    let ns = ns::current()?;
    ns.queues.get(key, flags, limits::get(&ns.limits.msgmni), |_| Ok(()), || Queue::new(&ns, key, flags))
}

/// `msgsnd(id, message, size, flags)`.
pub fn sys_msgsnd(regs: &PtRegs) -> Result<usize> {
    let (id, address, len, flags) = (regs.arg0() as i32, regs.arg1(), regs.arg2(), regs.arg3() as u32);
    let kind: i64 = user::read(address)?;
    let ns = ns::current()?;
    if len > limits::get(&ns.limits.msgmax) as usize || id < 0 || kind < 1 {
        return Err(EINVAL);
    }
    let mut text = KVVec::from_elem(0u8, len, GFP_KERNEL)?;
    user::copy_from_user(&mut text, address.wrapping_add(TYPE_BYTES))?;
    ns.queues.find(id)?.send(Message { kind, text }, flags).map(|()| 0)
}

/// `msgrcv(id, message, size, type, flags)`.
pub fn sys_msgrcv(regs: &PtRegs) -> Result<usize> {
    let (id, address, most) = (regs.arg0() as i32, regs.arg1(), regs.arg2());
    let (kind, flags) = (regs.arg3() as i64, regs.arg4() as u32);
    if id < 0 || isize::try_from(most).is_err() {
        return Err(EINVAL);
    }
    if flags & uapi::MSG_COPY != 0 && (flags & uapi::MSG_EXCEPT != 0 || flags & uapi::IPC_NOWAIT == 0) {
        return Err(EINVAL);
    }
    let message = ns::current()?.queues.find(id)?.receive(Wanted::new(kind, flags), most, flags)?;
    user::write(address, &message.kind)?;
    let part = message.text.get(..most.min(message.text.len())).unwrap_or(&[]);
    user::copy_to_user(address.wrapping_add(TYPE_BYTES), part)?;
    Ok(part.len())
}
