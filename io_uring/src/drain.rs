// SPDX-License-Identifier: GPL-2.0
//! `IOSQE_IO_DRAIN`: a request, with its chain, that begins when all that were sent before it are over, and that those sent after it wait
//! for.
//!
//! While there is one, what is sent is put off here in order. As long as nobody uses the flag a request's end costs one load.
//!
//! Lock: `state` (spin, interrupts off), innermost. Source: `io_uring_enter(2)`.

use crate::abi::sqe_flag;
use crate::request::{Request, cancel_chain};
use crate::ring::{Ring, push};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kalloc::{Arc, KBox};
use locking::SpinLock;

/// What a ring puts off.
pub(crate) struct Deferred {
    state: SpinLock<State>,
    /// Something is put off, or is being waited for. Changes under `state`.
    on: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Chains that came last, last first, and those before them, first first.
    last: Option<KBox<Request>>,
    first: Option<KBox<Request>>,
    /// Requests in both.
    count: u32,
    /// A chain that the others wait for has begun.
    draining: bool,
}

fn length(chain: &Request) -> u32 {
    core::iter::successors(Some(chain), |request| request.link.as_deref()).count() as u32
}

fn drains(chain: &Request) -> bool {
    core::iter::successors(Some(chain), |request| request.link.as_deref())
        .any(|request| request.sqe.has(sqe_flag::DRAIN))
}

impl State {
    /// The chain that is the next; `running`: requests that have begun and are not over.
    fn next(&mut self, running: u32) -> Option<KBox<Request>> {
        if self.draining && running != 0 {
            return None;
        }
        self.draining = false;
        if self.first.is_none() {
            while let Some(mut chain) = self.last.take() {
                self.last = chain.next.take();
                push(&mut self.first, chain);
            }
        }
        self.first.as_ref().filter(|chain| running == 0 || !drains(chain))?;
        let mut chain = self.first.take()?;
        self.first = chain.next.take();
        self.count = self.count.saturating_sub(length(&chain));
        self.draining = drains(&chain);
        Some(chain)
    }

    fn is_idle(&self) -> bool {
        !self.draining && self.first.is_none() && self.last.is_none()
    }
}

impl Deferred {
    pub(crate) fn new() -> Self {
        Self { state: SpinLock::new(State::default()), on: AtomicBool::new(false) }
    }

    fn next(&self, ring: &Ring) -> Option<KBox<Request>> {
        let mut state = self.state.lock_irqsave();
        // Those that are put off have no result either.
        let running = ring.active.load(SeqCst).saturating_sub(state.count);
        let next = state.next(running);
        if next.is_none() && state.is_idle() {
            self.on.store(false, SeqCst);
        }
        next
    }

    /// Gives up all that is put off. May sleep.
    pub(crate) fn cancel_all(&self) {
        loop {
            let chain = {
                let mut state = self.state.lock_irqsave();
                let list = if state.first.is_some() { &mut state.first } else { &mut state.last };
                let Some(mut chain) = list.take() else { return };
                *list = chain.next.take();
                state.count = state.count.saturating_sub(length(&chain));
                chain
            };
            cancel_chain(chain);
        }
    }
}

/// Begins a chain that was sent, when its turn comes. In its task. May sleep.
pub(crate) fn begin(ring: &Arc<Ring>, chain: KBox<Request>) {
    let deferred = &ring.deferred;
    if !deferred.on.load(SeqCst) && !drains(&chain) {
        return crate::ops::go_on(chain);
    }
    {
        let mut state = deferred.state.lock_irqsave();
        // Before the count of those under way is looked at: who ends one sees this, or we see its end.
        deferred.on.store(true, SeqCst);
        state.count += length(&chain);
        push(&mut state.last, chain);
    }
    if ring.is_closed() {
        // Perhaps just now: it has to go, too.
        return deferred.cancel_all();
    }
    while let Some(chain) = deferred.next(ring) {
        crate::ops::go_on(chain);
    }
}

/// A request is over: what waited for it goes on. Any context.
pub(crate) fn ended(ring: &Arc<Ring>) {
    // What a closed ring puts off is given up by who closes it.
    if !ring.deferred.on.load(SeqCst) || ring.is_closed() {
        return;
    }
    while let Some(chain) = ring.deferred.next(ring) {
        ring.go_on_later(chain);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(io_uring_drain)]
mod tests {
    use super::*;
    use crate::abi::Sqe;
    use crate::request::Sender;
    use errno::Result;
    use kalloc::flags::GFP_KERNEL;
    use task::current;

    /// What a state gives when so many requests are under way: the number of the chain.
    fn next(state: &mut State, running: u32) -> Option<u64> {
        state.next(running).map(|chain| chain.sqe.user_data)
    }

    #[test]
    fn chains_begin_in_order() -> Result {
        let ring = Ring::new(8, 16, 0, None)?;
        let sender = Sender { task: Arc::downgrade(&current().to_arc()), space: 0 };
        let mut state = State::default();
        for (user_data, flags) in [(1, 0), (2, sqe_flag::DRAIN), (3, 0), (4, 0), (5, sqe_flag::DRAIN)] {
            let sqe = Sqe { user_data, flags, ..Sqe::default() };
            let mut chain = KBox::new(Request::new(&ring, sqe, &sender), GFP_KERNEL)?;
            if user_data == 4 {
                let linked = Sqe { user_data: 40, ..Sqe::default() };
                chain.link = Some(KBox::new(Request::new(&ring, linked, &sender), GFP_KERNEL)?);
            }
            state.count += length(&chain);
            push(&mut state.last, chain);
        }
        assert_eq!(state.count, 6);
        assert_eq!(next(&mut state, 1), Some(1));
        // The second waits for all before it, the third for the second.
        assert_eq!((next(&mut state, 2), next(&mut state, 0)), (None, Some(2)));
        assert_eq!((next(&mut state, 1), state.is_idle()), (None, false));
        assert_eq!((next(&mut state, 0), next(&mut state, 1)), (Some(3), Some(4)));
        assert_eq!((next(&mut state, 3), next(&mut state, 0)), (None, Some(5)));
        assert_eq!((state.count, state.is_idle()), (0, false));
        assert_eq!((next(&mut state, 1), next(&mut state, 0)), (None, None));
        assert!(state.is_idle());
        Ok(())
    }
}
