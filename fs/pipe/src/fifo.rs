// SPDX-License-Identifier: GPL-2.0
//! FIFOs: a pipe found by the inode that names it. Opening one end waits for the other. Source: `fifo(7)`.

use crate::ends::PipeEnd;
use crate::ring::Pipe;
use containers::HashMap;
use core::sync::atomic::{AtomicU32, Ordering};
use errno::Result;
use errno::code::{EINVAL, ENOMEM, ENXIO};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::LazyLock;
use sync::{Mutex, WaitQueue};
use vfs::hooks::FifoOpen;
use vfs::{FileOps, Inode, OpenFlags};

/// An open FIFO. The inode is kept, so that its address (the key) stays its own.
struct Fifo {
    pipe: Arc<Pipe>,
    users: u32,
    _inode: Arc<Inode>,
}

static FIFOS: LazyLock<Mutex<HashMap<usize, Fifo>>> = LazyLock::new(|| Mutex::new(HashMap::new()));

fn get(inode: &Arc<Inode>) -> Result<(Arc<Pipe>, usize)> {
    let key = Arc::as_ptr(inode).addr();
    let mut fifos = FIFOS.lock();
    if let Some(fifo) = fifos.get_mut(&key) {
        fifo.users += 1;
        return Ok((fifo.pipe.clone(), key));
    }
    let pipe = Pipe::new().map_err(|_| ENOMEM)?;
    fifos.insert(key, Fifo { pipe: pipe.clone(), users: 1, _inode: inode.clone() })?;
    Ok((pipe, key))
}

/// One user less; the last one takes the pipe and what was in it away.
pub(crate) fn put(key: usize) {
    let mut fifos = FIFOS.lock();
    let last = match fifos.get_mut(&key) {
        Some(fifo) => {
            fifo.users = fifo.users.saturating_sub(1);
            fifo.users == 0
        }
        None => false,
    };
    let gone = if last { fifos.remove(&key) } else { None };
    drop(fifos);
    drop(gone);
}

struct Opener;

impl FifoOpen for Opener {
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let (pipe, key) = get(inode)?;
        let end = KBox::new(PipeEnd { pipe: pipe.clone(), fifo: Some(key), alone_since: None }, GFP_KERNEL)
            .map_err(errno::Error::from)
            .and_then(|mut end| {
                end.alone_since = open_end(&pipe, flags)?;
                Ok(end)
            });
        match end {
            Ok(end) => Ok(end),
            Err(error) => {
                put(key);
                Err(error)
            }
        }
    }
}

fn enter(users: &AtomicU32, opens: &AtomicU32, other: &WaitQueue) {
    opens.fetch_add(1, Ordering::SeqCst);
    if users.fetch_add(1, Ordering::SeqCst) == 0 {
        other.wake_up_all();
    }
}

/// One more end of a pipe that is open already: it waits for nobody.
pub(crate) fn join(pipe: &Pipe, flags: OpenFlags) -> Result {
    if !flags.reads() && !flags.writes() {
        return Err(EINVAL);
    }
    if flags.reads() {
        enter(&pipe.readers, &pipe.reader_opens, &pipe.write_wait);
    }
    if flags.writes() {
        enter(&pipe.writers, &pipe.writer_opens, &pipe.read_wait);
    }
    Ok(())
}

/// Counts the new end in and waits for the other, as the flags say. For a reader without a writer that does not wait: how many writers there
/// have been.
fn open_end(pipe: &Pipe, flags: OpenFlags) -> Result<Option<u32>> {
    let nonblock = flags.any(uapi::O_NONBLOCK);
    match (flags.reads(), flags.writes()) {
        (true, true) => {
            enter(&pipe.readers, &pipe.reader_opens, &pipe.write_wait);
            enter(&pipe.writers, &pipe.writer_opens, &pipe.read_wait);
            Ok(None)
        }
        (true, false) => {
            // Both before we are seen: a writer may come, or one that waits for us go on, and be done before we look again.
            let seen = pipe.writer_opens.load(Ordering::SeqCst);
            let partner = pipe.writers.load(Ordering::SeqCst) != 0;
            enter(&pipe.readers, &pipe.reader_opens, &pipe.write_wait);
            if nonblock || partner {
                return Ok((!partner).then_some(seen));
            }
            let arrived =
                || pipe.writers.load(Ordering::SeqCst) != 0 || pipe.writer_opens.load(Ordering::SeqCst) != seen;
            pipe.read_wait.wait_interruptible(arrived).inspect_err(|_| leave(&pipe.readers, &pipe.write_wait))?;
            Ok(None)
        }
        (false, true) => {
            if nonblock && pipe.readers.load(Ordering::SeqCst) == 0 {
                return Err(ENXIO);
            }
            // As above.
            let seen = pipe.reader_opens.load(Ordering::SeqCst);
            let partner = pipe.readers.load(Ordering::SeqCst) != 0;
            enter(&pipe.writers, &pipe.writer_opens, &pipe.read_wait);
            if partner {
                return Ok(None);
            }
            let arrived =
                || pipe.readers.load(Ordering::SeqCst) != 0 || pipe.reader_opens.load(Ordering::SeqCst) != seen;
            pipe.write_wait.wait_interruptible(arrived).inspect_err(|_| leave(&pipe.writers, &pipe.read_wait))?;
            Ok(None)
        }
        (false, false) => Err(EINVAL),
    }
}

fn leave(users: &AtomicU32, other: &WaitQueue) {
    users.fetch_sub(1, Ordering::SeqCst);
    other.wake_up_all();
}

pub(crate) fn init() {
    static OPENER: &dyn FifoOpen = &Opener;
    vfs::hooks::FIFO.set(&OPENER);
}
