// SPDX-License-Identifier: GPL-2.0
//! A queue: messages by priority, and within one in the order they came. Who cannot go on waits in turn; a message goes straight to
//! the first receiver who waits, and room straight to the first sender.

use crate::account::{Charge, Limits, Size};
use crate::notify::Registration;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::Result;
use errno::code::{EAGAIN, ERESTARTSYS, ETIMEDOUT};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVVec, KVec};
use locking::SpinLock;
use sync::{PollMask, WaitQueue};

/// A message.
pub(crate) struct Message {
    pub(crate) priority: u32,
    pub(crate) text: KVVec<u8>,
}

/// A sender or a receiver who waits: the slot holds what one wants to send, or the other has got.
struct Waiter {
    slot: SpinLock<Option<Message>>,
    done: AtomicBool,
    queue: WaitQueue,
}

impl Waiter {
    fn new(message: Option<Message>) -> Result<Arc<Self>> {
        let waiter = Self { slot: SpinLock::new(message), done: AtomicBool::new(false), queue: WaitQueue::new() };
        Ok(Arc::new(waiter, GFP_KERNEL)?)
    }

    fn finish(&self) {
        self.done.store(true, Ordering::Release);
        self.queue.wake_up_all();
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

#[derive(Default)]
struct State {
    /// The next one to receive is the last.
    messages: KVec<Message>,
    bytes: usize,
    receivers: KVec<Arc<Waiter>>,
    senders: KVec<Arc<Waiter>>,
    notify: Option<Registration>,
}

impl State {
    fn insert(&mut self, message: Message) -> Result {
        let place = self.messages.partition_point(|other| other.priority < message.priority);
        let len = message.text.len();
        self.messages.insert(place, message, GFP_ATOMIC)?;
        self.bytes += len;
        Ok(())
    }

    fn take(&mut self) -> Option<Message> {
        let message = self.messages.pop()?;
        self.bytes = self.bytes.saturating_sub(message.text.len());
        Some(message)
    }

    /// Lets the first sender's message in, now that there is room.
    fn admit(&mut self) {
        if self.messages.reserve(1, GFP_ATOMIC).is_err() {
            // The next receive tries again.
            return;
        }
        let Some(sender) = self.senders.first().cloned() else { return };
        let _ = self.senders.remove(0);
        let message = sender.slot.lock().take();
        if let Some(message) = message {
            // There is room for it.
            let _ = self.insert(message);
        }
        sender.finish();
    }
}

/// A queue.
pub(crate) struct Queue {
    pub(crate) size: Size,
    state: SpinLock<State>,
    /// Who polls, or reads what is there.
    pub(crate) pollers: Arc<WaitQueue>,
    _charge: Charge,
}

/// How long to wait: not at all, or up to a moment of the monotonic clock, or for ever.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    None,
    Until(Option<u64>),
}

/// What `/proc`-like readers of the file are shown.
pub(crate) struct Shown {
    pub(crate) bytes: usize,
    pub(crate) notify: (u32, u32, u32),
}

impl Queue {
    pub(crate) fn new(limits: &Arc<Limits>, size: Size) -> Result<Arc<Self>> {
        let charge = Charge::new(limits, size)?;
        let pollers = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
        let queue = Self { size, state: SpinLock::new(State::default()), pollers, _charge: charge };
        Ok(Arc::new(queue, GFP_KERNEL)?)
    }

    /// Messages in it.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().messages.len()
    }

    pub(crate) fn shown(&self) -> Shown {
        let state = self.state.lock();
        Shown { bytes: state.bytes, notify: state.notify.as_ref().map_or((0, 0, 0), Registration::shown) }
    }

    /// Runs `f` on who is to be told of a message.
    pub(crate) fn with_notify<R>(&self, f: impl FnOnce(&mut Option<Registration>) -> R) -> R {
        f(&mut self.state.lock().notify)
    }

    pub(crate) fn poll(&self) -> PollMask {
        let count = self.count();
        let mut mask = PollMask::NONE;
        if count != 0 {
            mask |= PollMask::IN | PollMask::RDNORM;
        }
        if count < self.size.messages {
            mask |= PollMask::OUT | PollMask::WRNORM;
        }
        mask
    }

    /// `EAGAIN`, `ETIMEDOUT`, `ERESTARTSYS`.
    pub(crate) fn send(&self, message: Message, patience: Patience) -> Result {
        let mut waiter = None;
        let mut message = Some(message);
        loop {
            let mut state = self.state.lock();
            if state.messages.len() >= self.size.messages {
                let Patience::Until(deadline) = patience else { return Err(EAGAIN) };
                let Some(ready) = waiter.take() else {
                    drop(state);
                    waiter = Some(Waiter::new(message.take())?);
                    continue;
                };
                state.senders.push(Arc::clone(&ready), GFP_ATOMIC)?;
                drop(state);
                return self.wait(&ready, deadline, |state| &mut state.senders);
            }
            let ready = message.take().or_else(|| waiter.take().and_then(|waiter| waiter.slot.lock().take()));
            let Some(ready) = ready else { return Ok(()) };
            let mut told = None;
            if let Some(receiver) = state.receivers.first().cloned() {
                let _ = state.receivers.remove(0);
                *receiver.slot.lock() = Some(ready);
                receiver.finish();
            } else {
                state.insert(ready)?;
                if state.messages.len() == 1 {
                    told = state.notify.take();
                }
            }
            drop(state);
            if let Some(registration) = told {
                registration.tell();
            }
            self.pollers.wake_up_poll(PollMask::IN | PollMask::RDNORM);
            return Ok(());
        }
    }

    /// `EAGAIN`, `ETIMEDOUT`, `ERESTARTSYS`.
    pub(crate) fn receive(&self, patience: Patience) -> Result<Message> {
        let mut waiter = None;
        loop {
            let mut state = self.state.lock();
            if let Some(message) = state.take() {
                state.admit();
                drop(state);
                self.pollers.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
                return Ok(message);
            }
            let Patience::Until(deadline) = patience else { return Err(EAGAIN) };
            let Some(ready) = waiter.take() else {
                drop(state);
                waiter = Some(Waiter::new(None)?);
                continue;
            };
            state.receivers.push(Arc::clone(&ready), GFP_ATOMIC)?;
            drop(state);
            self.wait(&ready, deadline, |state| &mut state.receivers)?;
            let message = ready.slot.lock().take();
            return message.ok_or(EAGAIN);
        }
    }

    /// Sleeps until the waiter is done. On a signal or after the deadline it leaves the list, unless it was served meanwhile.
    fn wait(
        &self,
        waiter: &Arc<Waiter>,
        deadline: Option<u64>,
        list: impl FnOnce(&mut State) -> &mut KVec<Arc<Waiter>>,
    ) -> Result {
        let ended = waiter.queue.wait_interruptible_deadline(deadline, || waiter.is_done());
        let left = {
            let mut state = self.state.lock();
            let list = list(&mut state);
            let place = list.iter().position(|other| Arc::ptr_eq(other, waiter));
            place.and_then(|index| list.remove(index).ok())
        };
        match (left, ended) {
            (None, _) => Ok(()),
            (Some(_), Ok(_)) => Err(ETIMEDOUT),
            (Some(_), Err(_)) => Err(ERESTARTSYS),
        }
    }
}
