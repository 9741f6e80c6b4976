// SPDX-License-Identifier: GPL-2.0
//! `Client`: a session with a server. Locks: `tags` and `fids`, spin, interrupts off, each alone.

use crate::fid::Numbers;
use crate::request::{Answer, Data, Request};
use crate::trans::{Channel, Way};
use core::sync::atomic::{AtomicBool, Ordering::*};
use kalloc::Arc;
use kernel::ext::{AliveGuard, ModuleRef, SetOnce, SpinLock, WaitQueue, Work};
use kernel::prelude::*;
use p9_proto::{Message, NOTAG, VERSION, Version, request};

/// The smallest greatest message.
pub const MIN_MSIZE: u32 = 4096;
/// Requests on their way at once; their tags are the numbers below. What gives one up has the tag with [`FLUSH`] in it.
const TAGS: u32 = u64::BITS;
const FLUSH: u16 = TAGS as u16;

/// What a session is made with.
pub struct Options<'a> {
    /// The way to the server.
    pub transport: Way,
    /// Its address there.
    pub address: &'a [u8],
    /// Bytes of the greatest message.
    pub msize: u32,
}

/// A session.
pub struct Client {
    link: Link,
    transport: &'static str,
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

/// A channel that is the client's until it is closed, at the latest when it is dropped.
pub(crate) struct Link {
    channel: Arc<dyn Channel>,
    /// The channel's module; `None` once it is closed.
    module: SpinLock<Option<ModuleRef>>,
}

impl Link {
    pub(crate) fn new(channel: Arc<dyn Channel>, module: ModuleRef) -> Self {
        Self { channel, module: SpinLock::new(Some(module)) }
    }

    fn close(&self) {
        let module = self.module.lock_irqsave().take();
        if let Some(module) = module {
            self.channel.close();
            drop(module);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
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
    /// Connects and agrees on a version and on the size of messages. ENOENT, EBUSY; EREMOTEIO: the server speaks another version, or takes
    /// no message of a page. May sleep.
    pub fn connect(options: Options<'_>) -> Result<Arc<Self>> {
        let Way { transport, module } = options.transport;
        let link = Link::new(transport.connect(options.address)?, module);
        let name = transport.name();
        let most = link.channel.max_message();
        if options.msize > most {
            pr_info!("Limiting 'msize' to {most} as this is the maximum supported by transport {name}\n");
        }
        Self::on_channel(link, name, options.msize.min(most))
    }

    /// As [`Self::connect`], on a channel that is there.
    pub(crate) fn on_channel(link: Link, transport: &'static str, msize: u32) -> Result<Arc<Self>> {
        let msize = agree(&*link.channel, msize)?;
        let client = Self {
            link,
            transport,
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
    pub fn transport(&self) -> &'static str {
        self.transport
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
        self.link.close();
    }

    /// Waits for a tag. ERESTARTSYS: a fatal signal came first.
    fn tag(&self) -> Result<Tag<'_>> {
        let mut number = 0;
        self.tag_wait.wait_killable(|| {
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
    pub(crate) fn call(&self, message: Message, room: usize, data: Data) -> Result<(Answer, Arc<Request>)> {
        if self.is_closed() {
            return Err(EIO);
        }
        let tag = self.tag()?;
        let kind = message.kind();
        let out = if let Data::Out(pieces) = &data { crate::data::total(pieces) } else { 0 };
        let bytes = message.finish(tag.number, out)?;
        if bytes.len() > self.msize as usize {
            return Err(EMSGSIZE);
        }
        let request = Request::new(tag.number, kind, &bytes, room, data)?;
        drop(bytes);
        self.link.channel.submit(&request, true)?;
        if let Err(error) = request.wait_killable() {
            self.flush(&request);
            if !request.is_over() {
                return Err(error);
            }
        }
        let answer = request.take_answer()?;
        Ok((answer, request))
    }

    /// Gives a request up. When this returns its answer is there, or will never come.
    #[cold]
    #[inline(never)]
    fn flush(&self, request: &Arc<Request>) {
        let tag = request.tag() | FLUSH;
        let made = request_for(request::flush(request.tag()), tag);
        match made.and_then(|flush| self.link.channel.submit(&flush, false).map(|()| flush)) {
            Ok(flush) => flush.wait(),
            // It cannot be given up: it is waited for.
            Err(_) => request.wait(),
        }
    }
}

/// A request without data whose answer is short.
fn request_for(message: Message, tag: u16) -> Result<Arc<Request>> {
    let kind = message.kind();
    Request::new(tag, kind, &message.finish(tag, 0)?, 64, Data::None)
}

/// Agrees with the server. The bytes of the greatest message.
fn agree(channel: &dyn Channel, msize: u32) -> Result<u32> {
    let request = request_for(request::version(msize, VERSION), NOTAG)?;
    channel.submit(&request, false)?;
    // There is nothing that could be given up.
    request.wait();
    let answer = request.take_answer()?;
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
