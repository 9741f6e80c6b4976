// SPDX-License-Identifier: GPL-2.0
//! Listening, connecting, accepting, and pairs.

use crate::inflight;
use crate::name;
use crate::sock::{Link, PeerCred, RCV_SHUT, UnixSocket};
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::KVec;
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use socket::{Options, SockAddr};

/// Two sockets connected with each other.
pub(crate) fn pair(kind: u32) -> Result<[Arc<UnixSocket>; 2]> {
    let (a, b) = (UnixSocket::new(kind)?, UnixSocket::new(kind)?);
    let cred = PeerCred::current()?;
    for (this, other) in [(&a, &b), (&b, &a)] {
        let mut state = this.state.lock();
        state.link = Link::Peer(other.clone());
        state.peer_cred = cred.clone();
        state.was_connected = true;
    }
    Ok([a, b])
}

impl UnixSocket {
    pub(crate) fn start_listening(&self, backlog: i32) -> Result {
        if self.is_dgram() {
            return Err(EOPNOTSUPP);
        }
        let cred = PeerCred::current()?;
        let room = KVec::with_capacity(8, GFP_KERNEL)?;
        let backlog = usize::try_from(backlog).unwrap_or(0);
        let mut state = self.state.lock();
        if state.bound.is_none() {
            return Err(EINVAL);
        }
        state.peer_cred = cred;
        let connected = state.was_connected;
        match &mut state.link {
            Link::Listening { backlog: limit, .. } => *limit = backlog,
            Link::None if !connected => state.link = Link::Listening { waiting: room, backlog },
            _ => return Err(EINVAL),
        }
        drop(state);
        self.space.wake_up_all();
        Ok(())
    }

    /// The next connection that waits.
    pub(crate) fn next_connection(&self, nonblock: bool) -> Result<Arc<UnixSocket>> {
        if self.is_dgram() {
            return Err(EOPNOTSUPP);
        }
        let deadline = Options::deadline(&self.options.rcvtimeo);
        loop {
            if let Some(connection) = self.take_connection()? {
                self.space.wake_up();
                return Ok(connection);
            }
            if nonblock {
                return Err(EAGAIN);
            }
            if self.shut(RCV_SHUT) {
                // Only who would wait is told; what waits already can be had.
                return Err(EINVAL);
            }
            let ready = || self.take_ready();
            if !self.readers.wait_interruptible_deadline(deadline, ready)? {
                return Err(EAGAIN);
            }
        }
    }

    fn take_connection(&self) -> Result<Option<Arc<UnixSocket>>> {
        let mut state = self.state.lock();
        match &mut state.link {
            Link::Listening { waiting, .. } if waiting.is_empty() => Ok(None),
            Link::Listening { waiting, .. } => {
                let connection = waiting.remove(0).ok();
                if let Some(connection) = &connection {
                    connection.waits.store(false, Ordering::SeqCst);
                }
                Ok(connection)
            }
            _ => Err(EINVAL),
        }
    }

    /// Whether `accept` has something to do or to say.
    fn take_ready(&self) -> bool {
        match &self.state.lock().link {
            Link::Listening { waiting, .. } => !waiting.is_empty() || self.shut(RCV_SHUT),
            _ => true,
        }
    }

    /// Connects a stream or packet socket: the connection is complete at once, and waits to be accepted.
    pub(crate) fn connect_stream(&self, address: &SockAddr, nonblock: bool) -> Result {
        let me = self.me()?;
        name::parse(address)?;
        self.name_for_credentials()?;
        // As in Linux an end that was made for nothing is closed, after which garbage is looked for.
        self.connect_with(&me, address, nonblock).inspect_err(|_| inflight::closed())
    }

    fn connect_with(&self, me: &Arc<Self>, address: &SockAddr, nonblock: bool) -> Result {
        let deadline = Options::deadline(&self.options.sndtimeo);
        loop {
            // What is wrong with the other side counts before what is wrong with this one.
            let listener = name::find(address, self.type_number())?;
            if listener.may_connect()? {
                let state = self.state.lock();
                match &state.link {
                    Link::Peer(_) => return Err(EISCONN),
                    Link::Listening { .. } => return Err(EINVAL),
                    Link::None if state.was_connected => return Err(EISCONN),
                    Link::None => {}
                }
            }
            // The other end, which `accept` will give out.
            let end = UnixSocket::new(self.type_number())?;
            match enqueue(&listener, me, &end)? {
                Enqueued::Done => {
                    listener.readers.wake_up_poll(sync::PollMask::IN | sync::PollMask::RDNORM);
                    listener.signal_input(uapi::POLL_IN);
                    return Ok(());
                }
                Enqueued::Full if nonblock => return Err(EAGAIN),
                Enqueued::Full => {}
            }
            let has_room = || match &listener.state.lock().link {
                Link::Listening { waiting, backlog } => waiting.len() <= *backlog,
                _ => true,
            };
            if !listener.space.wait_interruptible_deadline(deadline, has_room)? {
                return Err(EAGAIN);
            }
        }
    }

    /// Whether a connection to this socket finds room in its queue. `ECONNREFUSED` if it does not listen.
    fn may_connect(&self) -> Result<bool> {
        match &self.state.lock().link {
            Link::Listening { waiting, backlog } if !self.shut(RCV_SHUT) => Ok(waiting.len() <= *backlog),
            _ => Err(ECONNREFUSED),
        }
    }

    /// Sets where a datagram socket sends to; the bare family sets nowhere.
    pub(crate) fn connect_dgram(&self, address: &SockAddr) -> Result {
        const AF_UNSPEC: u16 = 0;
        let peer = if address.family() == Some(AF_UNSPEC) {
            Link::None
        } else {
            name::parse(address)?;
            self.name_for_credentials()?;
            let peer = name::find(address, self.type_number())?;
            // A socket that has a peer of its own hears only that one.
            if let Some(theirs) = peer.peer()
                && !core::ptr::eq(&*theirs, self)
            {
                return Err(EPERM);
            }
            Link::Peer(peer)
        };
        let new = if let Link::Peer(peer) = &peer { Some(peer.clone()) } else { None };
        let old = core::mem::replace(&mut self.state.lock().link, peer);
        if let Link::Peer(old) = &old
            && new.is_none_or(|new| !Arc::ptr_eq(&new, old))
        {
            self.leave_peer(old);
        }
        drop(old);
        self.readers.wake_up_all();
        Ok(())
    }
}

enum Enqueued {
    Done,
    Full,
}

/// Ties `client` and `end` together and puts `end` into the listener's queue.
fn enqueue(listener: &Arc<UnixSocket>, client: &Arc<UnixSocket>, end: &Arc<UnixSocket>) -> Result<Enqueued> {
    let cred = PeerCred::current()?;
    // What the client sees before it is in the queue; nobody else knows `end` yet.
    let (bound, listener_cred) = {
        let mut state = listener.state.lock();
        let Link::Listening { waiting, backlog } = &mut state.link else { return Err(ECONNREFUSED) };
        if listener.shut(RCV_SHUT) {
            return Err(ECONNREFUSED);
        }
        if waiting.len() > *backlog {
            return Ok(Enqueued::Full);
        }
        waiting.reserve(1, GFP_ATOMIC)?;
        (state.bound.clone(), state.peer_cred.clone())
    };
    {
        let mut state = end.state.lock();
        end.waits.store(true, Ordering::SeqCst);
        state.link = Link::Peer(client.clone());
        state.bound = bound;
        state.peer_cred = cred;
        state.was_connected = true;
    }
    {
        let mut state = client.state.lock();
        if !matches!(state.link, Link::None) {
            return Err(EISCONN);
        }
        state.link = Link::Peer(end.clone());
        state.peer_cred = listener_cred;
        state.was_connected = true;
    }
    let mut state = listener.state.lock();
    if let Link::Listening { waiting, .. } = &mut state.link
        && waiting.push(end.clone(), GFP_ATOMIC).is_ok()
    {
        return Ok(Enqueued::Done);
    }
    drop(state);
    // The listener closed meanwhile: as if it had never been found.
    let mut state = client.state.lock();
    state.link = Link::None;
    state.was_connected = false;
    Err(ECONNREFUSED)
}
