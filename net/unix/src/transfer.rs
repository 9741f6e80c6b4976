// SPDX-License-Identifier: GPL-2.0
//! Sending and receiving.

use crate::inflight::{self, Rights};
use crate::name;
use crate::queue::{CHUNK, Message, address_of, charge_packet};
use crate::sock::{RCV_SHUT, SEND_SHUT, UnixSocket};
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVVec, KVec, WeakArc};
use socket::options::flag;
use socket::{Control, Options, Recv, Send, SockAddr, Ucred};
use sync::{MutexGuard, PollMask};
use uapi::{MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL};
use vfs::File;

/// Takes up to `max` bytes from the sender. Large ones need not lie in contiguous memory.
fn gather(message: &mut Send<'_, '_>, max: usize) -> Result<KVVec<u8>> {
    let len = message.data.count().min(max);
    let mut data = KVVec::new();
    if message.data.append_to(&mut data, len, GFP_KERNEL)? == len { Ok(data) } else { Err(EFAULT) }
}

impl UnixSocket {
    pub(crate) fn send_message(&self, message: &mut Send<'_, '_>) -> Result<usize> {
        if message.flags & MSG_OOB != 0 {
            return Err(EOPNOTSUPP);
        }
        let result = if self.is_dgram() { self.send_dgram(message) } else { self.send_connected(message) };
        if result == Err(EPIPE) && message.flags & MSG_NOSIGNAL == 0 && !self.is_dgram() {
            vfs::hooks::send_current(uapi::SIGPIPE);
        }
        result
    }

    /// A message for `peer`. Who sends it is noted if one of the two asks for that now, or may once it is accepted.
    fn wrap(&self, data: KVVec<u8>, control: Control, peer: &Self) -> Result<Message> {
        let asks = || self.options.has(flag::PASSCRED) || peer.options.has(flag::PASSCRED);
        let sender = match control.credentials {
            Some(said) => said,
            None if asks() || peer.waits.load(Ordering::SeqCst) => Ucred::real()?,
            None => Ucred::UNSAID,
        };
        let rights = Rights::new(control.files)?;
        Ok(Message { data, taken: 0, rights, sender, from: self.source(), source: self.weak(), sent_at: 0, charged: 0 })
    }

    /// Puts `message` into `peer`'s queue, waiting for room.
    fn deliver(&self, peer: &Arc<UnixSocket>, mut message: Message, flags: u32, deadline: Option<u64>) -> Result {
        let gone = if self.is_dgram() { ECONNREFUSED } else { EPIPE };
        let has_files = !message.rights.is_empty();
        loop {
            self.check_error()?;
            if self.shut(SEND_SHUT) {
                return Err(EPIPE);
            }
            if peer.closed.load(Ordering::Acquire) {
                return Err(gone);
            }
            if peer.shut(RCV_SHUT) {
                return Err(EPIPE);
            }
            let full = if self.is_stream() {
                (!peer.has_room(self.limit())).then_some(&peer.space)
            } else if !self.may_send_packet() {
                Some(&self.space)
            } else {
                (!self.takes_packet(peer)).then_some(&peer.space)
            };
            let Some(space) = full else {
                if !self.is_stream() {
                    if peer.options.has(flag::TIMESTAMP) {
                        message.sent_at = ktime::real_ns();
                    }
                    message.charged = charge_packet(message.data.len());
                    self.charge(message.charged);
                }
                let pushed = peer.queue.lock().push(message);
                match pushed {
                    Ok(()) => break,
                    Err(back) => {
                        message = back;
                        drop(message);
                        return Err(ENOBUFS);
                    }
                }
            };
            peer.note_full(self);
            if flags & MSG_DONTWAIT != 0 {
                return Err(EAGAIN);
            }
            // What wakes this queue; the rest is looked at again after that.
            let own = core::ptr::eq(space, &self.space);
            let has_room = || match self.is_stream() {
                true => peer.has_room(self.limit()),
                false if own => self.may_send_packet(),
                false => self.takes_packet(peer),
            };
            let ready = || has_room() || peer.shut(RCV_SHUT) || self.shut(SEND_SHUT);
            if !space.wait_interruptible_deadline(deadline, ready)? {
                return Err(EAGAIN);
            }
        }
        if has_files {
            inflight::queued(peer);
        }
        if peer.closed.load(Ordering::Acquire) {
            // It closed while the message was put there: nobody will take it.
            let stale = peer.queue.lock().take();
            drop(stale);
            return Err(gone);
        }
        peer.readers.wake_up_poll(PollMask::IN | PollMask::RDNORM);
        peer.signal_input(uapi::POLL_IN);
        Ok(())
    }

    fn send_connected(&self, message: &mut Send<'_, '_>) -> Result<usize> {
        // A packet socket does not look at the address.
        if self.is_stream() && message.to.is_some_and(|to| !to.is_empty()) {
            return Err(if self.peer().is_some() { EISCONN } else { EOPNOTSUPP });
        }
        let peer = match self.peer() {
            Some(peer) => peer,
            None if self.shut(SEND_SHUT) && self.is_stream() && self.was_connected() => return Err(EPIPE),
            None => return Err(ENOTCONN),
        };
        if !self.is_stream() {
            self.name_for_credentials()?;
            self.check_packet(message.data.count())?;
        }
        if self.shut(SEND_SHUT) {
            return Err(EPIPE);
        }
        let deadline = Options::deadline(&self.options.sndtimeo);
        let mut control = core::mem::take(&mut message.control);
        if !self.is_stream() {
            let data = gather(message, usize::MAX)?;
            let len = data.len();
            self.deliver(&peer, self.wrap(data, control, &peer)?, message.flags, deadline)?;
            return Ok(len);
        }
        let mut done = 0;
        while message.data.count() != 0 {
            let most = CHUNK.min((self.limit() / 2).saturating_sub(64).max(1));
            let sent = gather(message, most).and_then(|data| {
                let len = data.len();
                let part = self.wrap(data, core::mem::take(&mut control), &peer)?;
                self.deliver(&peer, part, message.flags, deadline).map(|()| len)
            });
            match sent {
                Ok(len) => done += len,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// What is wrong with a packet of `len` bytes, and then with this socket, before anybody looks whom it is for.
    fn check_packet(&self, len: usize) -> Result {
        if len > self.limit().saturating_sub(32) {
            return Err(EMSGSIZE);
        }
        self.check_error()?;
        if self.shut(SEND_SHUT) { Err(EPIPE) } else { Ok(()) }
    }

    fn send_dgram(&self, message: &mut Send<'_, '_>) -> Result<usize> {
        let to = message.to.filter(|to| !to.is_empty());
        match to {
            Some(to) if matches!(name::parse(to)?, name::Wanted::Any) => return Err(EINVAL),
            Some(_) => {}
            None if self.peer().is_none() => return Err(ENOTCONN),
            None => {}
        }
        self.name_for_credentials()?;
        self.check_packet(message.data.count())?;
        let peer = match to {
            Some(to) => {
                let peer = name::find(to, self.type_number())?;
                if let Some(theirs) = peer.peer()
                    && !core::ptr::eq(&*theirs, self)
                {
                    return Err(EPERM);
                }
                peer
            }
            None => self.peer().ok_or(ENOTCONN)?,
        };
        let deadline = Options::deadline(&self.options.sndtimeo);
        let control = core::mem::take(&mut message.control);
        let data = gather(message, usize::MAX)?;
        let len = data.len();
        let result = self.deliver(&peer, self.wrap(data, control, &peer)?, message.flags, deadline);
        if result == Err(ECONNREFUSED) {
            // A peer that is gone is forgotten.
            let mut state = self.state.lock();
            let old = match &state.link {
                crate::sock::Link::Peer(old) if Arc::ptr_eq(old, &peer) => {
                    Some(core::mem::replace(&mut state.link, crate::sock::Link::None))
                }
                _ => None,
            };
            drop(state);
            if old.is_some() {
                self.leave_peer(&peer);
            }
            drop(old);
        }
        result.map(|()| len)
    }

    /// Waits for a message, with more than `beyond` bytes in all; gives `reading` (which the caller may hold already), or `None` at
    /// the end. It is not held while waiting: others may want to look without waiting.
    fn wait_for_message<'a>(
        &'a self,
        mut reading: Option<MutexGuard<'a, ()>>,
        flags: u32,
        deadline: Option<u64>,
        beyond: usize,
    ) -> Result<Option<MutexGuard<'a, ()>>> {
        let there = || {
            let queue = self.queue.lock();
            !queue.is_empty() && (beyond == 0 || queue.bytes > beyond)
        };
        loop {
            let guard = match reading.take() {
                Some(guard) => guard,
                None => self.reading.lock_interruptible()?,
            };
            if !self.is_stream() {
                // Of packets an error is told before what came, of streams after it.
                self.check_error()?;
            }
            if there() {
                return Ok(Some(guard));
            }
            drop(guard);
            if self.is_stream() && !self.was_connected() {
                return Err(EINVAL);
            }
            self.check_error()?;
            if self.shut(RCV_SHUT) {
                // As Linux: to datagrams there is no end, only none at the moment.
                return if self.is_dgram() && flags & MSG_DONTWAIT != 0 { Err(EAGAIN) } else { Ok(None) };
            }
            if !self.is_dgram() && self.peer().is_none() {
                return Err(if self.is_stream() { EINVAL } else { ENOTCONN });
            }
            if flags & MSG_DONTWAIT != 0 {
                return Err(EAGAIN);
            }
            let ready = || there() || self.shut(RCV_SHUT);
            if self.is_stream() {
                self.reader_waits.store(true, Ordering::Relaxed);
            }
            let came = self.readers.wait_interruptible_deadline(deadline, ready);
            self.reader_waits.store(false, Ordering::Relaxed);
            if !came? {
                return Err(EAGAIN);
            }
        }
    }

    /// Hands the control part of a message to the receiver. When the message stays, so do its files.
    fn give_control(&self, from: &mut Message, to: &mut Recv<'_, '_>, stays: bool) -> Result {
        if self.options.has(flag::PASSCRED) {
            to.control.credentials = Some(from.sender.clone());
        }
        if stays {
            from.rights.copy(&mut to.control.files)?;
        } else {
            to.control.files = from.rights.take();
        }
        Ok(())
    }

    pub(crate) fn receive_message(&self, message: &mut Recv<'_, '_>) -> Result<usize> {
        if message.flags & MSG_OOB != 0 {
            return Err(if self.is_stream() && !self.was_connected() { EINVAL } else { EOPNOTSUPP });
        }
        const { assert!(MSG_CMSG_CLOEXEC != MSG_PEEK) };
        self.check_tied()?;
        let deadline = Options::deadline(&self.options.rcvtimeo);
        let peeks = message.flags & MSG_PEEK != 0;
        if peeks && (self.is_stream() || self.options.peek_offset().is_some()) {
            self.look_at_message(message, deadline)
        } else if self.is_stream() {
            self.receive_stream(message, deadline)
        } else {
            self.receive_packet(message, deadline)
        }
    }

    fn receive_packet(&self, message: &mut Recv<'_, '_>, deadline: Option<u64>) -> Result<usize> {
        let Some(_reading) = self.wait_for_message(None, message.flags, deadline, 0)? else { return Ok(0) };
        let peek = message.flags & MSG_PEEK != 0;
        let packet = {
            let mut queue = self.queue.lock();
            if peek { queue.check_out() } else { queue.pop() }
        };
        let Some(mut packet) = packet else { return Err(EAGAIN) };
        let len = packet.data.len();
        let want = len.min(message.data.count());
        let copied = message.data.copy_to_iter(packet.data.get(..want).unwrap_or(&[]));
        message.from = packet.address();
        message.control.timestamp = self.options.timestamp(packet.sent_at);
        let control = self.give_control(&mut packet, message, peek);
        if peek {
            self.check_in(packet, 0, true);
        } else {
            drop(packet);
            self.options.peek_back(len);
            self.room_made();
        }
        control?;
        if copied < want {
            return Err(EFAULT);
        }
        if len > want {
            message.out_flags |= MSG_TRUNC;
        }
        Ok(if message.flags & MSG_TRUNC != 0 { len } else { want })
    }

    fn receive_stream(&self, message: &mut Recv<'_, '_>, deadline: Option<u64>) -> Result<usize> {
        let mut reading = None;
        let mut done = 0;
        let mut first: Option<Ucred> = None;
        let all = message.data.count();
        // 1 at least: the first byte is waited for, also without room for one.
        let target = if message.flags & MSG_WAITALL != 0 { all } else { all.min(self.options.lowat()) };
        let mut again = true;
        while again {
            let enough = done != 0 && done >= target;
            let flags = if enough { message.flags | MSG_DONTWAIT } else { message.flags };
            match self.wait_for_message(reading.take(), flags, deadline, 0) {
                Ok(Some(guard)) => reading = Some(guard),
                Ok(None) => break,
                Err(_) if done != 0 => break,
                Err(error) => return Err(error),
            }
            let Some(mut part) = self.queue.lock().check_out() else { break };
            // Bytes of different senders are not mixed when the receiver wants to know who sent them; and files come with the last
            // byte of what was sent with them at most.
            let asks = self.options.has(flag::PASSCRED);
            let other = asks && first.as_ref().is_some_and(|first| *first != part.sender);
            if other {
                self.check_in(part, 0, true);
                break;
            }
            first = asks.then(|| part.sender.clone());
            message.from = part.address();
            let had_files = !part.rights.is_empty();
            let control = self.give_control(&mut part, message, false);
            let want = part.left().len().min(message.data.count());
            let copied = message.data.copy_to_iter(part.left().get(..want).unwrap_or(&[]));
            done += copied;
            self.options.peek_back(copied);
            if self.check_in(part, copied, false) {
                self.room_made();
            }
            control?;
            if copied < want {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            again = !had_files && message.data.count() != 0;
        }
        Ok(done)
    }

    /// `MSG_PEEK` of a stream, across messages up to the first with files or of another sender; and of packets at an offset, which looks
    /// at one. Everything stays where it is.
    fn look_at_message(&self, message: &mut Recv<'_, '_>, deadline: Option<u64>) -> Result<usize> {
        /// Most files with a message (`SCM_MAX_FD`).
        const MOST_FILES: usize = 253;
        let skip = self.options.peek_offset().unwrap_or(0);
        let Some(_reading) = self.wait_for_message(None, message.flags, deadline, skip)? else { return Ok(0) };
        // Nobody else receives meanwhile: messages are only added.
        let (room, has_files) = {
            let queue = self.queue.lock();
            let room = queue.bytes.saturating_sub(skip).min(message.data.count());
            (room, queue.messages().any(|message| !message.rights.is_empty()))
        };
        let mut bytes: KVVec<u8> = KVVec::with_capacity(room, GFP_KERNEL)?;
        let mut files = KVec::with_capacity(if has_files { MOST_FILES } else { 0 }, GFP_KERNEL)?;
        let seen = inflight::while_nobody_counts(|| self.look(skip, room, &mut bytes, &mut files));
        let Some(Seen { sender, from, source, sent_at, left }) = seen else { return Ok(0) };
        message.from = address_of(from, &source);
        if self.options.has(flag::PASSCRED) {
            message.control.credentials = Some(sender);
        }
        if !self.is_stream() {
            message.control.timestamp = self.options.timestamp(sent_at);
        }
        message.control.files = files;
        let copied = message.data.copy_to_iter(&bytes);
        if copied < bytes.len() && (copied == 0 || !self.is_stream()) {
            return Err(EFAULT);
        }
        self.options.peek_forward(copied);
        if !self.is_stream() {
            if left > copied {
                message.out_flags |= MSG_TRUNC;
            }
            if message.flags & MSG_TRUNC != 0 {
                return Ok(left);
            }
        }
        Ok(copied)
    }

    /// Copies up to `room` bytes, and the files that come with them, from byte `skip` of the queue on. The capacities are there; no
    /// more of either is taken.
    fn look(&self, skip: usize, room: usize, bytes: &mut KVVec<u8>, files: &mut KVec<Arc<File>>) -> Option<Seen> {
        let queue = self.queue.lock();
        let (mut skip, mut seen) = (skip, None::<Seen>);
        for message in queue.messages() {
            let left = message.left();
            if skip != 0 && skip >= left.len() {
                skip -= left.len();
                continue;
            }
            if seen.as_ref().is_some_and(|seen| self.options.has(flag::PASSCRED) && seen.sender != message.sender) {
                break;
            }
            let rest = left.get(skip..).unwrap_or(&[]);
            skip = 0;
            let sender = seen.map_or_else(|| message.sender.clone(), |seen| seen.sender);
            let (source, sent_at) = (message.source.clone(), message.sent_at);
            seen = Some(Seen { sender, from: message.from, source, sent_at, left: rest.len() });
            let part = rest.get(..rest.len().min(room.saturating_sub(bytes.len()))).unwrap_or(&[]);
            let _ = bytes.extend_from_slice(part, GFP_ATOMIC);
            for file in message.rights.files() {
                let _ = files.push_within_capacity(file.clone());
            }
            if bytes.len() >= room || !self.is_stream() || !files.is_empty() {
                break;
            }
        }
        seen
    }

    /// Gives the checked-out message back (`Queue::check_in`); whether it is gone from the queue.
    fn check_in(&self, part: Message, taken: usize, keep: bool) -> bool {
        let gone = self.queue.lock().check_in(part, taken, keep);
        gone.is_some()
    }
}

/// What a look at the queue saw besides bytes and files.
struct Seen {
    sender: Ucred,
    from: SockAddr,
    source: WeakArc<UnixSocket>,
    sent_at: u64,
    /// Bytes of the last message, from where the look began in it.
    left: usize,
}
