// SPDX-License-Identifier: GPL-2.0
//! Open files on their way through sockets (`SCM_RIGHTS`): how many each user has there (`ETOOMANYREFS`), and sockets of which
//! nothing is left but their places in each other's queues, which nobody can ever receive: they are found and dropped.
//!
//! A socket is garbage if all references to its file are in queues of garbage. Whoever uses a file in another way has a reference
//! that is in no queue; so a file with more references than places in queues is in use, and with it all in its queue, and so on.
//!
//! Garbage hangs together in circles, and a circle is closed by a message to a socket that is in flight itself. So nothing is looked
//! for before such a message was queued, nor after a look that found no circle at all, until the next one. A look goes through all sockets
//! in flight, and is a worker's, some milliseconds after a socket was closed; the longer the last one took the later comes the next,
//! unless there are few.
//!
//! Locks: `FLIGHT`; inside it sockets' states and queues. A message's files are counted before it is queued and until they
//! are taken out of it, so that in between they count as in use. Source: `unix(7)`, "Ancillary messages".

use crate::queue::Queue;
use crate::sock::{Link, UnixSocket};
use containers::HashMap;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{Arc, KVec, WeakArc};
use locking::{LazyLock, SetOnce, SpinLock};
use task::TaskFlags;
use vfs::File;
use workqueue::DelayedWork;

/// What is in flight.
struct InFlight {
    /// Unix sockets, each once.
    sockets: KVec<Arc<UnixSocket>>,
    /// Files of each user.
    users: HashMap<u32, usize>,
}

static FLIGHT: LazyLock<SpinLock<InFlight>> =
    LazyLock::new(|| SpinLock::new(InFlight { sockets: KVec::new(), users: HashMap::new() }));
/// How many sockets are in flight, for a look without the lock.
static SOCKETS: AtomicUsize = AtomicUsize::new(0);

/// There may be a circle. Set after the message that closes it is queued, taken back before the queues are looked at.
static CIRCLES: AtomicBool = AtomicBool::new(false);

/// A message with files was queued in `socket`: perhaps that closed a circle.
pub(crate) fn queued(socket: &UnixSocket) {
    // The queue of a connection that waits to be accepted is its listener's, which this does not know.
    if socket.waits.load(SeqCst) || socket.flight.count.load(SeqCst) != 0 {
        CIRCLES.store(true, SeqCst);
    }
}

/// Nanoseconds from a close to a look, at least and at most; between that, how many times as long as the last look took. One at so few
/// sockets is always short: if it took long, others had the processor.
const FEW: usize = 64;
const SOON: u64 = 4_000_000;
const LATE: u64 = 1_000_000_000;
const SHARE: u64 = 16;
/// Nanoseconds from the next close to a look.
static DELAY: AtomicU64 = AtomicU64::new(SOON);
/// A look is to come, and has not begun.
static AWAITED: AtomicBool = AtomicBool::new(false);
static LOOK: SetOnce<DelayedWork> = SetOnce::new();

/// Not looked at; all references are in queues; in use after all.
const UNKNOWN: u8 = 0;
const CANDIDATE: u8 = 1;
const USED: u8 = 2;

/// A socket's part, changed under `FLIGHT`.
pub(crate) struct Flight {
    /// Places in queues where its file is.
    count: AtomicUsize,
    /// Its place among those in flight.
    slot: AtomicUsize,
    file: SpinLock<Option<WeakArc<File>>>,
    /// Of the search: places in queues of candidates, and what it is.
    inside: AtomicUsize,
    verdict: AtomicU8,
    /// What nobody received when it was closed, and the next socket with such a thing.
    unread: SpinLock<(Option<Queue>, Option<Arc<UnixSocket>>)>,
}

impl Flight {
    pub(crate) const fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            slot: AtomicUsize::new(0),
            file: SpinLock::new(None),
            inside: AtomicUsize::new(0),
            verdict: AtomicU8::new(UNKNOWN),
            unread: SpinLock::new((None, None)),
        }
    }
}

/// The unix socket behind `file`.
fn unix_of(file: &File) -> Option<&UnixSocket> {
    (&**socket::socket_of(file).ok()? as &dyn Any).downcast_ref()
}

impl InFlight {
    fn add(&mut self, file: &Arc<File>) -> Result {
        let Some(socket) = unix_of(file) else { return Ok(()) };
        let flight = &socket.flight;
        if flight.count.load(Relaxed) == 0 {
            self.sockets.push(socket.me()?, GFP_ATOMIC)?;
            flight.slot.store(self.sockets.len() - 1, Relaxed);
            *flight.file.lock() = Some(Arc::downgrade(file));
            SOCKETS.store(self.sockets.len(), Relaxed);
        }
        flight.count.fetch_add(1, SeqCst);
        Ok(())
    }

    /// The file has a reference still, and so the socket.
    fn remove(&mut self, file: &Arc<File>) {
        let Some(socket) = unix_of(file) else { return };
        if socket.flight.count.fetch_sub(1, Relaxed) != 1 {
            return;
        }
        let slot = socket.flight.slot.load(Relaxed);
        let _ = self.sockets.swap_remove(slot);
        if let Some(moved) = self.sockets.get(slot) {
            moved.flight.slot.store(slot, Relaxed);
        }
        SOCKETS.store(self.sockets.len(), Relaxed);
    }

    fn charge(&mut self, user: u32, files: usize) -> Result {
        if let Some(count) = self.users.get_mut(&user) {
            *count = count.saturating_add(files);
            return Ok(());
        }
        self.users.insert(user, files).map(|_| ()).map_err(|_| ENOMEM)
    }

    fn uncharge(&mut self, user: u32, files: usize) {
        if let Some(count) = self.users.get_mut(&user) {
            *count = count.saturating_sub(files);
            if *count == 0 {
                let _ = self.users.remove(&user);
            }
        }
    }
}

/// Files that go with a message.
#[derive(Default)]
pub(crate) struct Rights {
    files: KVec<Arc<File>>,
    /// Whom they are counted for.
    user: u32,
}

impl Rights {
    /// Counts `files` for the current user. `ETOOMANYREFS`, `ENOMEM`.
    pub(crate) fn new(files: KVec<Arc<File>>) -> Result<Self> {
        if files.is_empty() {
            return Ok(Self::default());
        }
        let cred = cred::current_cred()?;
        let limit = rlimit::current(uapi::RLIMIT_NOFILE);
        let may_exceed = || cred.capable(cred::CAP_SYS_RESOURCE) || cred.capable(cred::CAP_SYS_ADMIN);
        let of_user = |flight: &InFlight| flight.users.get(&cred.uid).copied().unwrap_or(0) as u64;
        let mut flight = FLIGHT.lock();
        if of_user(&flight) > limit && !may_exceed() {
            drop(flight);
            look_now();
            flight = FLIGHT.lock();
            if of_user(&flight) > limit {
                return Err(ETOOMANYREFS);
            }
        }
        flight.charge(cred.uid, files.len())?;
        for (index, file) in files.iter().enumerate() {
            if let Err(error) = flight.add(file) {
                files.iter().take(index).for_each(|file| flight.remove(file));
                flight.uncharge(cred.uid, files.len());
                return Err(error);
            }
        }
        drop(flight);
        Ok(Self { files, user: cred.uid })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Takes the files out: they are in flight no more.
    pub(crate) fn take(&mut self) -> KVec<Arc<File>> {
        if !self.files.is_empty() {
            let mut flight = FLIGHT.lock();
            self.files.iter().for_each(|file| flight.remove(file));
            flight.uncharge(self.user, self.files.len());
        }
        core::mem::take(&mut self.files)
    }

    /// The files, to be copied inside [`while_nobody_counts`].
    pub(crate) fn files(&self) -> &[Arc<File>] {
        &self.files
    }

    /// Adds copies of the files to `to` (`MSG_PEEK`). Not while the search for garbage counts.
    pub(crate) fn copy(&self, to: &mut KVec<Arc<File>>) -> Result {
        if self.files.is_empty() {
            return Ok(());
        }
        to.reserve(self.files.len(), GFP_KERNEL)?;
        let _flight = FLIGHT.lock();
        for file in &self.files {
            // There is room.
            let _ = to.push_within_capacity(file.clone());
        }
        Ok(())
    }
}

/// Runs `f` while no search for garbage counts: it may take copies of files in queues. It must not sleep.
pub(crate) fn while_nobody_counts<R>(f: impl FnOnce() -> R) -> R {
    let _flight = FLIGHT.lock();
    f()
}

impl Drop for Rights {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Calls `f` for each unix socket that is in a queue of `socket`, or of a connection that waits there to be accepted.
fn each_inside(socket: &UnixSocket, f: &mut dyn FnMut(&UnixSocket)) {
    let mut look = |socket: &UnixSocket| {
        let queue = socket.queue.lock();
        let files = queue.messages().flat_map(|message| message.rights.files.iter());
        files.filter_map(|file| unix_of(file)).for_each(&mut *f);
    };
    look(socket);
    if let Link::Listening { waiting, .. } = &socket.state.lock().link {
        waiting.iter().for_each(|connection| look(connection));
    }
}

impl InFlight {
    /// Whether there is a circle: takes away again and again what is in no queue of what is left. Messages that come meanwhile say so
    /// themselves ([`queued`]), messages that go leave too many. `ENOMEM`.
    fn has_circle(&self) -> Result<bool> {
        let mut free: KVec<Arc<UnixSocket>> = KVec::with_capacity(self.sockets.len(), GFP_ATOMIC)?;
        for socket in &self.sockets {
            socket.flight.inside.store(0, Relaxed);
        }
        for socket in &self.sockets {
            each_inside(socket, &mut |inside| {
                inside.flight.inside.fetch_add(1, Relaxed);
            });
        }
        let mut left = self.sockets.len();
        for socket in self.sockets.iter().filter(|socket| socket.flight.inside.load(Relaxed) == 0) {
            // Each comes once, here or below: there is room.
            let _ = free.push_within_capacity(socket.clone());
        }
        while let Some(socket) = free.pop() {
            left -= 1;
            each_inside(&socket, &mut |inside| {
                let less = |count: usize| count.checked_sub(1);
                if inside.flight.inside.fetch_update(Relaxed, Relaxed, less) == Ok(1)
                    && let Ok(inside) = inside.me()
                {
                    let _ = free.push_within_capacity(inside);
                }
            });
        }
        Ok(left != 0)
    }

    /// Decides about every socket in flight. `ENOMEM`: nothing is decided.
    fn judge(&self) -> Result {
        let mut used: KVec<Arc<UnixSocket>> = KVec::with_capacity(self.sockets.len(), GFP_ATOMIC)?;
        for socket in &self.sockets {
            let flight = &socket.flight;
            let references = flight.file.lock().as_ref().map_or(usize::MAX, WeakArc::strong_count);
            flight.inside.store(0, Relaxed);
            let all_in_queues = references == flight.count.load(Relaxed);
            flight.verdict.store(if all_in_queues { CANDIDATE } else { UNKNOWN }, Relaxed);
        }
        let candidate = |socket: &UnixSocket| socket.flight.verdict.load(Relaxed) == CANDIDATE;
        for socket in self.sockets.iter().filter(|socket| candidate(socket)) {
            each_inside(socket, &mut |inside| {
                inside.flight.inside.fetch_add(1, Relaxed);
            });
        }
        // Some place is in a queue of one that is in use, or in a message that is just being sent or received.
        for socket in &self.sockets {
            if candidate(socket) && socket.flight.inside.load(Relaxed) < socket.flight.count.load(Relaxed) {
                socket.flight.verdict.store(USED, Relaxed);
                used.push(socket.clone(), GFP_ATOMIC)?;
            }
        }
        while let Some(socket) = used.pop() {
            each_inside(&socket, &mut |inside| {
                if candidate(inside)
                    && let Ok(inside) = inside.me()
                {
                    inside.flight.verdict.store(USED, Relaxed);
                    // Each comes once: there is room.
                    let _ = used.push_within_capacity(inside);
                }
            });
        }
        Ok(())
    }
}

/// Takes the queues of all garbage.
fn find_garbage() -> Result<KVec<Queue>> {
    let flight = FLIGHT.lock();
    CIRCLES.store(false, SeqCst);
    let circle = flight.has_circle().inspect_err(|_| CIRCLES.store(true, SeqCst))?;
    if !circle {
        return Ok(KVec::new());
    }
    CIRCLES.store(true, SeqCst);
    flight.judge()?;
    let garbage = || flight.sockets.iter().filter(|socket| socket.flight.verdict.load(Relaxed) == CANDIDATE);
    let waiting = |socket: &UnixSocket| match &socket.state.lock().link {
        Link::Listening { waiting, .. } => waiting.len(),
        _ => 0,
    };
    let wanted: usize = garbage().map(|socket| 1 + waiting(socket)).sum();
    let mut queues = KVec::with_capacity(wanted, GFP_ATOMIC)?;
    for socket in garbage() {
        // There is room.
        let _ = queues.push_within_capacity(socket.queue.lock().take());
        if let Link::Listening { waiting, .. } = &socket.state.lock().link {
            for connection in waiting {
                // One that came just now is left for the next search.
                if queues.len() < queues.capacity() {
                    let _ = queues.push_within_capacity(connection.queue.lock().take());
                }
            }
        }
    }
    Ok(queues)
}

/// Whether it is worth while to look.
fn may_be_garbage() -> bool {
    SOCKETS.load(Relaxed) != 0 && CIRCLES.load(SeqCst)
}

/// Sockets that were closed with files in their queues, to be dropped.
static UNREAD: SpinLock<Option<Arc<UnixSocket>>> = SpinLock::new(None);

fn next_unread() -> Option<Queue> {
    let mut first = UNREAD.lock();
    let socket = first.take()?;
    let (queue, next) = core::mem::take(&mut *socket.flight.unread.lock());
    *first = next;
    drop(first);
    queue
}

/// `socket` was closed, and nobody received what is in `unread`. A file in it may be the last reference to another socket with
/// files in its queue, and so on: one is dropped after the other, not one inside the other. May sleep.
pub(crate) fn drop_unread(socket: &UnixSocket, unread: Queue) {
    let has_files = unread.messages().any(|message| !message.rights.is_empty());
    if has_files && let Ok(me) = socket.me() {
        let mut first = UNREAD.lock();
        let next = first.take();
        *socket.flight.unread.lock() = (Some(unread), next);
        *first = Some(me);
    }
    closed();
    if has_files {
        drop_files(false);
    }
}

/// A socket was closed: perhaps there is garbage to look for. May sleep.
pub(crate) fn closed() {
    if may_be_garbage() {
        look_later();
    }
}

/// Lets a worker look, unless that is to come anyway. May sleep.
fn look_later() {
    if AWAITED.swap(true, SeqCst) {
        return;
    }
    if LOOK.get().is_none()
        && let Ok(work) = DelayedWork::new(look)
    {
        // Another may have been faster.
        drop(LOOK.set(work));
    }
    match LOOK.get() {
        Some(work) => work.queue_after(DELAY.load(Relaxed)),
        // Without memory the garbage waits for the next socket that is closed.
        None => AWAITED.store(false, SeqCst),
    }
}

fn look() {
    // What is closed from here on may come too late for this look.
    AWAITED.store(false, SeqCst);
    let (start, few) = (ktime::now_ns(), SOCKETS.load(Relaxed) <= FEW);
    drop_files(true);
    let took = if few { 0 } else { ktime::now_ns().saturating_sub(start) };
    DELAY.store(took.saturating_mul(SHARE).clamp(SOON, LATE), Relaxed);
}

/// Waits for the look that is to come, if any: it may give back what counts for a user. May sleep.
fn look_now() {
    if AWAITED.load(SeqCst)
        && let Some(work) = LOOK.get()
    {
        work.flush();
    }
}

/// Drops what nobody received, and (`looks`) garbage. May sleep.
fn drop_files(looks: bool) {
    let task = task::current();
    if task.test_flags(TaskFlags::DROPS_FILES) {
        return;
    }
    task.set_flags(TaskFlags::DROPS_FILES);
    loop {
        while let Some(queue) = next_unread() {
            drop(queue);
        }
        if !looks || !may_be_garbage() {
            break;
        }
        // Without memory the garbage waits for the next socket that is closed.
        match find_garbage() {
            Ok(queues) if !queues.is_empty() => drop(queues),
            _ => break,
        }
    }
    task.clear_flags(TaskFlags::DROPS_FILES);
}
