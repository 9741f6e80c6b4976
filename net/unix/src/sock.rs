// SPDX-License-Identifier: GPL-2.0
//! The socket itself.

use crate::inflight::{self, Flight};
use crate::name::{self, Bound};
use crate::queue::Queue;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use cred::GroupInfo;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec, WeakArc};
use locking::SpinLock;
use socket::options::flag;
use socket::{Options, Recv, Send, SockAddr, Socket, Ucred};
use sync::wait::WaitQueue;
use sync::{Mutex, PollMask, PollTable};
use uapi::{SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_DGRAM, SOCK_STREAM};
use vfs::FasyncList;

/// The family's number.
pub(crate) const AF_UNIX: u16 = uapi::AF_UNIX as u16;

/// What a socket is connected to.
pub(crate) enum Link {
    /// Nothing.
    None,
    /// It listens; connections that wait to be accepted, at most `backlog` and one.
    Listening { waiting: KVec<Arc<UnixSocket>>, backlog: usize },
    /// Its peer. A datagram socket's peer need not know of it.
    Peer(Arc<UnixSocket>),
}

/// Who somebody is.
#[derive(Clone)]
pub(crate) struct PeerCred {
    who: Ucred,
    /// His groups, if he is known; none are no allocation.
    groups: Option<Option<Arc<GroupInfo>>>,
}

impl PeerCred {
    /// Nobody known.
    const NOBODY: Self = Self { who: Ucred::NOBODY, groups: None };

    /// The current process.
    pub(crate) fn current() -> Result<Self> {
        Ok(Self { who: Ucred::effective()?, groups: Some(cred::current_cred()?.groups.clone()) })
    }
}

pub(crate) struct State {
    pub(crate) link: Link,
    pub(crate) bound: Option<Bound>,
    /// Who is on the other side, as of the connection (or who listens here).
    pub(crate) peer_cred: PeerCred,
    /// The peer was there once (a stream's name and errors after the peer closed).
    pub(crate) was_connected: bool,
}

/// A unix socket. Always in an `Arc`.
pub(crate) struct UnixSocket {
    me: WeakArc<UnixSocket>,
    kind: u32,
    pub(crate) options: Options,
    pub(crate) state: SpinLock<State>,
    pub(crate) queue: SpinLock<Queue>,
    /// One receiver at a time.
    pub(crate) reading: Mutex<()>,
    /// One at a time gives it a name.
    binding: Mutex<()>,
    /// Directions that are shut down: 1 receiving, 2 sending.
    shut: AtomicU32,
    pub(crate) closed: AtomicBool,
    /// The end of a connection that has still to be accepted.
    pub(crate) waits: AtomicBool,
    error: AtomicI32,
    /// What packets that it sent and nobody received yet take of its buffer.
    unreceived: AtomicUsize,
    pub(crate) flight: Flight,
    /// Who wants `SIGIO`.
    pub(crate) fasync: FasyncList,
    /// A reader of a stream waits: what comes is no news to those who want signals.
    pub(crate) reader_waits: AtomicBool,
    /// The peer wants a signal when there is room in this socket's queue.
    pub(crate) wants_room: AtomicBool,
    /// Who waits for something to receive or to accept, and who polls this socket.
    pub(crate) readers: Arc<WaitQueue>,
    /// Who waits for room in this socket's queue, or in its own buffer.
    pub(crate) space: Arc<WaitQueue>,
}

/// Receiving is shut down.
pub(crate) const RCV_SHUT: u32 = 1;
/// Sending is shut down.
pub(crate) const SEND_SHUT: u32 = 2;

impl UnixSocket {
    pub(crate) fn new(kind: u32) -> Result<Arc<Self>> {
        let (readers, space) = (Arc::new(WaitQueue::new(), GFP_KERNEL)?, Arc::new(WaitQueue::new(), GFP_KERNEL)?);
        let state = State { link: Link::None, bound: None, peer_cred: PeerCred::NOBODY, was_connected: false };
        let socket = Arc::new_cyclic(
            |me| Self {
                me: me.clone(),
                kind,
                options: Options::new(),
                state: SpinLock::new(state),
                queue: SpinLock::new(Queue::new()),
                reading: Mutex::new(()),
                binding: Mutex::new(()),
                shut: AtomicU32::new(0),
                closed: AtomicBool::new(false),
                waits: AtomicBool::new(false),
                error: AtomicI32::new(0),
                unreceived: AtomicUsize::new(0),
                flight: Flight::new(),
                fasync: FasyncList::new(),
                reader_waits: AtomicBool::new(false),
                wants_room: AtomicBool::new(false),
                readers,
                space,
            },
            GFP_KERNEL,
        )?;
        Ok(socket)
    }

    pub(crate) fn weak(&self) -> WeakArc<Self> {
        self.me.clone()
    }

    /// Gives a socket that wants credentials a name of the kernel's choice, if it has none: it is to be answered.
    pub(crate) fn name_for_credentials(&self) -> Result {
        if !self.options.has(flag::PASSCRED) || self.state.lock().bound.is_some() {
            return Ok(());
        }
        let _binding = self.binding.lock_interruptible()?;
        if self.state.lock().bound.is_none() {
            let bound = name::autobind(&self.me()?)?;
            self.state.lock().bound = Some(bound);
        }
        Ok(())
    }

    pub(crate) fn me(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or(EBADF)
    }

    pub(crate) fn type_number(&self) -> u32 {
        self.kind
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.kind == SOCK_STREAM
    }

    pub(crate) fn is_dgram(&self) -> bool {
        self.kind == SOCK_DGRAM
    }

    /// The peer, if it is connected.
    #[inline]
    pub(crate) fn peer(&self) -> Option<Arc<UnixSocket>> {
        match &self.state.lock().link {
            Link::Peer(peer) => Some(peer.clone()),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn shut(&self, bits: u32) -> bool {
        self.shut.load(Ordering::Acquire) & bits != 0
    }

    /// Its address, or the bare family.
    pub(crate) fn address(&self) -> SockAddr {
        let state = self.state.lock();
        state.bound.as_ref().map_or(SockAddr::new(&AF_UNIX.to_ne_bytes()), |bound| bound.address)
    }

    /// Its address as the source of a message: none if it has no name.
    pub(crate) fn source(&self) -> SockAddr {
        self.state.lock().bound.as_ref().map_or(SockAddr::NONE, |bound| bound.address)
    }

    /// Room for the bytes of a stream that its peer sends.
    #[inline]
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        self.queue.lock().charged < limit
    }

    /// Whether this socket's own buffer takes one more packet.
    pub(crate) fn may_send_packet(&self) -> bool {
        self.unreceived.load(Ordering::Acquire) < self.limit()
    }

    /// Whether `peer` takes one more packet of this socket: one that sends to many is no more than so many messages behind
    /// (`net.unix.max_dgram_qlen`). Two that are connected with each other are limited by their buffers alone.
    pub(crate) fn takes_packet(&self, peer: &Self) -> bool {
        core::ptr::eq(self, peer)
            || peer.peer().is_some_and(|theirs| core::ptr::eq(&*theirs, self))
            || peer.queue.lock().len() <= 10
    }

    /// A packet of `bytes` goes on its way.
    pub(crate) fn charge(&self, bytes: usize) {
        self.unreceived.fetch_add(bytes, Ordering::AcqRel);
    }

    /// A packet was received, or is lost.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.unreceived.fetch_sub(bytes, Ordering::AcqRel);
        self.space.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
    }

    /// Whether it is or was connected.
    pub(crate) fn was_connected(&self) -> bool {
        let state = self.state.lock();
        matches!(state.link, Link::Peer(_)) || state.was_connected
    }

    pub(crate) fn limit(&self) -> usize {
        self.options.sndbuf.load(Ordering::Relaxed) as usize
    }

    fn close_directions(&self, bits: u32) {
        self.shut.fetch_or(bits, Ordering::AcqRel);
        self.readers.wake_up_all();
        self.space.wake_up_all();
    }

    /// The other side is gone or has shut down directions of its own.
    fn peer_closed(&self, bits: u32, error: i32) {
        if error != 0 {
            self.error.store(error, Ordering::Release);
        }
        self.close_directions(bits);
        if bits == RCV_SHUT | SEND_SHUT {
            self.signal_input(uapi::POLL_HUP);
        } else if bits & RCV_SHUT != 0 {
            self.signal_input(uapi::POLL_IN);
        }
    }

    /// Signals those who want it that there is something to receive, or the end (`POLL_*`).
    #[inline]
    pub(crate) fn signal_input(&self, code: u32) {
        if self.fasync.is_active() && !self.reader_waits.load(Ordering::Relaxed) {
            self.fasync.kill(code);
        }
    }

    /// This socket has no room for what its peer `sender` wants to send.
    pub(crate) fn note_full(&self, sender: &Self) {
        if sender.fasync.is_active() {
            self.wants_room.store(true, Ordering::Relaxed);
        }
    }

    /// There is more room in this socket's queue: senders go on.
    pub(crate) fn room_made(&self) {
        self.space.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
        if self.wants_room.load(Ordering::Relaxed)
            && let Some(peer) = self.peer()
            && (!self.is_stream() || self.queue.lock().charged.saturating_mul(4) <= peer.limit())
            && self.wants_room.swap(false, Ordering::Relaxed)
        {
            peer.fasync.kill(uapi::POLL_OUT);
        }
    }

    /// Closes everything: called once, when the file goes, or for a connection that was never accepted.
    fn shut_up(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        name::unbind(self);
        let (link, place) = {
            let mut state = self.state.lock();
            let place = state.bound.as_mut().and_then(Bound::leave_place);
            (core::mem::replace(&mut state.link, Link::None), place)
        };
        let unread = self.queue.lock().take();
        self.close_directions(RCV_SHUT | SEND_SHUT);
        match link {
            Link::Peer(peer) if !self.is_dgram() => {
                // What was not read is lost: the peer learns of it.
                let error = if is_loss(&unread) { -ECONNRESET.to_errno() } else { 0 };
                peer.peer_closed(RCV_SHUT | SEND_SHUT, error);
            }
            Link::Listening { waiting, .. } => {
                for connection in &waiting {
                    // Not accepted: the client is reset.
                    if let Some(client) = connection.peer() {
                        client.peer_closed(RCV_SHUT | SEND_SHUT, -ECONNRESET.to_errno());
                    }
                    connection.shut_up();
                }
            }
            Link::Peer(_) | Link::None => {}
        }
        // Outside of the locks: files in messages may be closed by this.
        drop(place);
        inflight::drop_unread(self, unread);
    }

    /// A datagram socket sends to `old` no more: what it has not received is lost, of which `old` is told if it sends here alone.
    pub(crate) fn leave_peer(&self, old: &Self) {
        let lost = self.queue.lock().take();
        if lost.is_empty() {
            return;
        }
        self.space.wake_up_all();
        if !old.closed.load(Ordering::Acquire) && old.peer().is_some_and(|theirs| core::ptr::eq(&*theirs, self)) {
            old.peer_closed(0, -ECONNRESET.to_errno());
        }
        inflight::drop_unread(self, lost);
    }
}

impl Socket for UnixSocket {
    fn family(&self) -> u16 {
        AF_UNIX
    }

    fn kind(&self) -> u32 {
        self.kind
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn fasync(&self) -> &FasyncList {
        &self.fasync
    }

    fn bind(&self, address: &SockAddr) -> Result {
        let _binding = self.binding.lock_interruptible()?;
        if self.state.lock().bound.is_some() {
            // A name of the kernel's choice is asked for, and it has one.
            if address.as_bytes().len() == 2 && address.family() == Some(AF_UNIX) {
                return Ok(());
            }
            return Err(name::error_of_second_bind(address));
        }
        let bound = name::bind(&self.me()?, address)?;
        let old = self.state.lock().bound.replace(bound);
        drop(old);
        Ok(())
    }

    fn connect(&self, address: &SockAddr, nonblock: bool) -> Result {
        if self.is_dgram() { self.connect_dgram(address) } else { self.connect_stream(address, nonblock) }
    }

    fn listen(&self, backlog: i32) -> Result {
        self.start_listening(backlog)
    }

    fn accept(&self, nonblock: bool) -> Result<Arc<dyn Socket>> {
        let socket: Arc<dyn Socket> = self.next_connection(nonblock)?;
        Ok(socket)
    }

    fn is_listening(&self) -> bool {
        matches!(self.state.lock().link, Link::Listening { .. })
    }

    fn name(&self) -> Result<SockAddr> {
        Ok(self.address())
    }

    fn peer_name(&self) -> Result<SockAddr> {
        Ok(self.peer().ok_or(ENOTCONN)?.address())
    }

    fn peer_credentials(&self) -> Ucred {
        self.state.lock().peer_cred.who.clone()
    }

    fn peer_groups(&self) -> Result<Option<Arc<GroupInfo>>> {
        self.state.lock().peer_cred.groups.clone().ok_or(ENODATA)
    }

    fn has_peek_offset(&self) -> bool {
        true
    }

    fn may_send(&self) -> Result {
        if !self.is_dgram() && !self.is_stream() {
            self.check_error()?;
        }
        self.check_tied()
    }

    fn send(&self, message: &mut Send<'_, '_>) -> Result<usize> {
        self.send_message(message)
    }

    fn receive(&self, message: &mut Recv<'_, '_>) -> Result<usize> {
        self.receive_message(message)
    }

    fn shutdown(&self, how: u32) -> Result {
        let peer = self.peer();
        let bits = match how {
            SHUT_RD => RCV_SHUT,
            SHUT_WR => SEND_SHUT,
            SHUT_RDWR => RCV_SHUT | SEND_SHUT,
            _ => return Err(EINVAL),
        };
        self.close_directions(bits);
        if let Some(peer) = peer.filter(|_| !self.is_dgram()) {
            // What one side no longer sends the other cannot receive, and the other way round.
            peer.peer_closed((bits & RCV_SHUT) << 1 | (bits & SEND_SHUT) >> 1, 0);
        }
        Ok(())
    }

    fn poll(&self, table: &mut PollTable) -> PollMask {
        table.add(&self.readers);
        let mut mask = PollMask::NONE;
        let (listening, pending, connected, peer) = {
            let state = self.state.lock();
            match &state.link {
                Link::Listening { waiting, .. } => (true, !waiting.is_empty(), true, None),
                Link::Peer(peer) => (false, false, true, Some(peer.clone())),
                Link::None => (false, false, self.is_dgram() || state.was_connected, None),
            }
        };
        if self.error.load(Ordering::Acquire) != 0 {
            mask |= PollMask::ERR;
        }
        let shut = self.shut.load(Ordering::Acquire);
        if shut == RCV_SHUT | SEND_SHUT || !connected {
            mask |= PollMask::HUP;
        }
        if shut & RCV_SHUT != 0 {
            mask |= PollMask::RDHUP | PollMask::IN | PollMask::RDNORM;
        }
        if pending || !self.queue.lock().is_empty() {
            mask |= PollMask::IN | PollMask::RDNORM;
        }
        // Writable is what has three quarters of its buffer free.
        if !self.is_stream() {
            table.add(&self.space);
        }
        let own_room = self.unreceived.load(Ordering::Acquire).saturating_mul(4) <= self.limit();
        let writable = match &peer {
            Some(peer) => {
                table.add(&peer.space);
                if self.is_stream() {
                    // What was sent takes its room, even if the way is shut.
                    peer.has_room(self.limit() / 4 + 1)
                } else {
                    own_room && self.takes_packet(peer)
                }
            }
            None => own_room && !listening,
        };
        if writable {
            mask |= PollMask::OUT | PollMask::WRNORM | PollMask::WRBAND;
        }
        mask
    }

    fn ioctl(&self, cmd: u32, arg: usize) -> Result<usize> {
        let value = match cmd {
            uapi::FIONREAD if self.is_listening() => return Err(EINVAL),
            uapi::FIONREAD => {
                let queue = self.queue.lock();
                if self.is_dgram() { queue.front().map_or(0, |message| message.left().len()) } else { queue.bytes }
            }
            // As in Linux not the bytes that were sent, but what they take.
            uapi::TIOCOUTQ if self.is_stream() => self.peer().map_or(0, |peer| peer.queue.lock().charged),
            uapi::TIOCOUTQ => self.unreceived.load(Ordering::Acquire),
            _ => return Err(ENOTTY),
        };
        vfs::user::put(arg, &(value as i32))?;
        Ok(0)
    }

    fn take_error(&self) -> i32 {
        self.error.swap(0, Ordering::AcqRel)
    }

    fn release(&self) {
        self.shut_up();
    }
}

/// Whether what nobody read is something: an empty packet, as Linux has it, is not, if no other follows.
fn is_loss(unread: &Queue) -> bool {
    let mut messages = unread.messages();
    messages.next().is_some_and(|first| !first.left().is_empty() || messages.next().is_some())
}

impl UnixSocket {
    /// `ENOTCONN` for a socket of packets that never had a peer.
    pub(crate) fn check_tied(&self) -> Result {
        let packets = !self.is_dgram() && !self.is_stream();
        if packets && !self.was_connected() { Err(ENOTCONN) } else { Ok(()) }
    }

    /// The pending error as a result.
    pub(crate) fn check_error(&self) -> Result {
        match self.take_error() {
            0 => Ok(()),
            number => Err(errno::Error::from_errno(number)),
        }
    }
}
