// SPDX-License-Identifier: GPL-2.0
//! `Client`: a session with a server. Locks: `tags` and `fids`, spin, interrupts off, each alone.

use crate::fid::Numbers;
use crate::request::{Answer, Data, Request};
use crate::trans::{Channel, TransportRef};
use core::sync::atomic::{AtomicBool, Ordering::*};
use kalloc::Arc;
use kernel::ext::{AliveGuard, SetOnce, SpinLock, WaitQueue, Work};
use kernel::prelude::*;
use p9_proto::{Message, NOTAG, VERSION, Version, request};

/// The smallest greatest message.
pub const MIN_MSIZE: u32 = 4096;
/// Requests on their way at once; their tags are the numbers below. What gives one up has the tag with [`FLUSH`] in it.
const TAGS: u32 = u64::BITS;
const FLUSH: u16 = TAGS as u16;

/// What a session is made with.
pub struct Options<'a> {
    /// The way to the server; the session keeps it.
    pub transport: TransportRef,
    /// Its address there.
    pub address: &'a [u8],
    /// Bytes of the greatest message.
    pub msize: u32,
}

/// A connection, and what keeps its code in memory.
struct Line {
    channel: Arc<dyn Channel>,
    /// Given back when the channel is closed, not when RCU lets the last user go: who unmounts may unload. (A transport's module waits
    /// for its channels.) `None`: closed, or a test's channel.
    transport: SpinLock<Option<TransportRef>>,
    /// Its name.
    name: &'static str,
}

impl Line {
    fn close(&self) {
        self.channel.close();
        let transport = self.transport.lock_irqsave().take();
        drop(transport);
    }
}

/// A session.
pub struct Client {
    line: Line,
    msize: u32,
    /// Tags in use.
    tags: SpinLock<u64>,
    /// For one that is free.
    tag_wait: WaitQueue,
    /// Fids in use, and those to be given back.
    pub(crate) fids: SpinLock<Numbers>,
    /// Gives fids back.
    pub(crate) clunks: SetOnce<Arc<Work>>,
    closed: AtomicBool,
    /// Dropped last.
    _alive: AliveGuard,
}

/// What became of a message that has no answer to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The server never saw it.
    Unsent,
    /// The server says no.
    Refused,
    /// The server may have done it.
    Unknown,
}

/// Why a message has no answer to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) fate: Fate,
}

impl Failed {
    fn unsent(error: impl Into<Error>) -> Self {
        Self { error: error.into(), fate: Fate::Unsent }
    }

    fn unknown(error: Error) -> Self {
        Self { error, fate: Fate::Unknown }
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// A tag in use.
struct Tag<'a> {
    client: &'a Client,
    number: u16,
}

impl Drop for Tag<'_> {
    fn drop(&mut self) {
        *self.client.tags.lock_irqsave() &= !(1 << self.number);
        self.client.tag_wait.wake_up();
    }
}

impl Client {
    /// Connects and agrees on a version and on the size of messages. ENOENT, EBUSY; EINVAL: the way takes no message of a page; EREMOTEIO:
    /// the server speaks another version, or takes none. May sleep.
    pub fn connect(options: Options<'_>) -> Result<Arc<Self>> {
        let way = options.transport.get();
        let channel = way.connect(options.address)?;
        let most = channel.max_message();
        if options.msize > most {
            pr_info!("Limiting 'msize' to {most} as this is the maximum supported by transport {}\n", way.name());
        }
        Self::on_channel(channel, Some(options.transport), options.msize.min(most))
    }

    /// As [`Self::connect`], on a channel that is there.
    pub(crate) fn on_channel(
        channel: Arc<dyn Channel>,
        transport: Option<TransportRef>,
        msize: u32,
    ) -> Result<Arc<Self>> {
        let name = transport.as_ref().map_or("", |transport| transport.get().name());
        let line = Line { channel, transport: SpinLock::new(transport), name };
        let msize = agree(&*line.channel, msize).inspect_err(|_| line.close())?;
        // Dropped before it is in use, it gives the channel back.
        let client = Self {
            line,
            msize,
            tags: SpinLock::new(0),
            tag_wait: WaitQueue::new(),
            fids: SpinLock::new(Numbers::new()),
            clunks: SetOnce::new(),
            closed: AtomicBool::new(false),
            _alive: crate::ALIVE.count(),
        };
        let client = Arc::new(client, GFP_KERNEL)?;
        let weak = Arc::downgrade(&client);
        let work = Work::new(move || {
            if let Some(client) = weak.upgrade() {
                client.clunk_waiting();
            }
        })?;
        // The cell is new and empty.
        drop(client.clunks.set(work));
        Ok(client)
    }

    /// Name of the way to the server.
    pub fn transport(&self) -> &str {
        self.line.name
    }

    /// Bytes of the greatest message.
    pub fn msize(&self) -> u32 {
        self.msize
    }

    /// Bytes of data in one message.
    pub fn max_data(&self) -> u32 {
        self.msize - p9_proto::IO_HEADER
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// Fids that somebody has.
    pub fn fids_in_use(&self) -> usize {
        self.fids.lock_irqsave().in_use()
    }

    /// Ends the session: gives back what is waiting for that, then the channel. Once. May sleep.
    pub fn close(&self) {
        if let Some(work) = self.clunks.get() {
            work.queue();
            work.flush();
        }
        self.closed.store(true, Release);
        if let Some(work) = self.clunks.get() {
            work.flush();
        }
        self.line.close();
    }

    /// Waits for a tag. ERESTARTSYS: a fatal signal came first, and `killable` was asked for.
    fn tag(&self, killable: bool) -> Result<Tag<'_>> {
        let mut number = 0;
        wait(&self.tag_wait, killable, || {
            let mut tags = self.tags.lock_irqsave();
            number = tags.trailing_ones();
            if number < TAGS {
                *tags |= 1 << number;
            }
            number < TAGS
        })?;
        Ok(Tag { client: self, number: number as u16 })
    }

    /// Sends `message`, with `data`, and waits for the answer, which has at most `room` bytes behind its frame and before its data. The
    /// server's error; EIO if the session is over or the answer makes no sense; ERESTARTSYS if a fatal signal came (the request is given
    /// up on the server, too). May sleep.
    pub(crate) fn call(&self, message: Message, room: usize, data: Data) -> Result<(Answer, Arc<Request>), Failed> {
        self.call_killable(message, room, data, true)
    }

    /// As [`Self::call`], for what must be done before its caller ends: no signal gives it up.
    pub(crate) fn call_always(&self, message: Message, room: usize) -> Result<Answer, Failed> {
        Ok(self.call_killable(message, room, Data::None, false)?.0)
    }

    fn call_killable(
        &self,
        message: Message,
        room: usize,
        data: Data,
        killable: bool,
    ) -> Result<(Answer, Arc<Request>), Failed> {
        if self.is_closed() {
            return Err(Failed::unsent(EIO));
        }
        let tag = self.tag(killable).map_err(Failed::unsent)?;
        let request = self.request(&tag, message, room, data).map_err(Failed::unsent)?;
        self.line.channel.submit(&request, killable).map_err(Failed::unsent)?;
        if let Err(error) = wait(&request.wait, killable, || request.is_over()) {
            self.flush(&request);
            if !request.is_over() {
                return Err(Failed::unknown(error));
            }
        }
        match request.take_answer() {
            Ok(Ok(answer)) => Ok((answer, request)),
            Ok(Err(error)) => Err(Failed { error, fate: Fate::Refused }),
            Err(error) => Err(Failed::unknown(error)),
        }
    }

    /// What is to be sent. EMSGSIZE.
    fn request(&self, tag: &Tag<'_>, message: Message, room: usize, data: Data) -> Result<Arc<Request>> {
        let kind = message.kind();
        let out = if let Data::Out(pieces) = &data { crate::data::total(pieces) } else { 0 };
        let bytes = message.finish(tag.number, out)?;
        if bytes.len().saturating_add(out) > self.msize as usize {
            return Err(EMSGSIZE);
        }
        Request::new(tag.number, kind, &bytes, room, data)
    }

    /// Gives a request up. When this returns its answer is there, or will never come.
    #[cold]
    #[inline(never)]
    fn flush(&self, request: &Arc<Request>) {
        let tag = request.tag() | FLUSH;
        let made = request_for(request::flush(request.tag()), tag);
        match made.and_then(|flush| self.line.channel.submit(&flush, false).map(|()| flush)) {
            Ok(flush) => flush.wait_over(),
            // It cannot be given up: it is waited for.
            Err(_) => request.wait_over(),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.line.close();
        }
    }
}

/// Waits for `condition`. ERESTARTSYS: a fatal signal came first, and `killable` was asked for.
fn wait(queue: &WaitQueue, killable: bool, condition: impl FnMut() -> bool) -> Result {
    if killable {
        return queue.wait_killable(condition);
    }
    queue.wait_until(condition);
    Ok(())
}

/// A request without data whose answer is short.
fn request_for(message: Message, tag: u16) -> Result<Arc<Request>> {
    let kind = message.kind();
    Request::new(tag, kind, &message.finish(tag, 0)?, 64, Data::None)
}

/// Agrees with the server. The bytes of the greatest message, which has room for more than the head of any.
fn agree(channel: &dyn Channel, msize: u32) -> Result<u32> {
    if msize < MIN_MSIZE {
        pr_err!("Please specify a msize of at least 4k\n");
        return Err(EINVAL);
    }
    let request = request_for(request::version(msize, VERSION), NOTAG)?;
    channel.submit(&request, false)?;
    // There is nothing that could be given up.
    request.wait_over();
    let answer = request.take_answer()??;
    let agreed = Version::read(&answer.body)?;
    if agreed.version != VERSION {
        pr_err!("server returned an unknown version\n");
        return Err(EREMOTEIO);
    }
    if agreed.msize < MIN_MSIZE {
        pr_err!("server returned a msize < 4096: {}\n", agreed.msize);
        return Err(EREMOTEIO);
    }
    Ok(agreed.msize.min(msize))
}
