// SPDX-License-Identifier: GPL-2.0
//! Pseudo-terminals: a slave, which is a `Tty` like any other, and a master, which plays the device. `fs/devpts` makes them
//! (`open_master`) and opens slaves. Source: `pty(7)`, `ioctl_tty(2)`.
//!
//! What the slave writes waits in `Pair::out` until the master reads; what the master writes goes straight into the slave's
//! line discipline, in the writer's context. Locks: the slave's `ld`, then `Pair::out`; then the master's wait queue or its list of those
//! who want signals.

mod master;
mod slave;

pub use master::PtyMaster;

use crate::driver::{self, Driver, DriverOps, Kind};
use crate::{Tty, TtyOps};
use containers::ByteRing;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::EIO};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use sync::{PollMask, WaitQueue};
use uapi::*;
use vfs::{FasyncList, FileOps};

/// Bytes from the slave that wait for the master.
const OUT_SIZE: usize = 8192;

/// Who gave the pty its number and its node. Dropped when both sides are gone: the number is free again.
pub trait PtyHost: Send + Sync {
    /// The master is closed: the slave's node goes. May sleep.
    fn master_closed(&self);
    /// `TIOCGPTPEER`: opens the slave as a new descriptor with these flags. May sleep.
    fn open_peer(&self, slave: &Arc<Tty>, flags: u32) -> Result<usize>;
}

/// Bytes on their way to the master.
struct Out {
    ring: ByteRing,
    /// Packet mode (`TIOCPKT`), and what is to be told in it.
    packet: bool,
    status: u8,
}

/// What the two sides share.
pub(crate) struct Pair {
    index: u32,
    out: SpinLock<Out>,
    /// `TIOCSPTLCK`: the slave cannot be opened.
    locked: AtomicBool,
    master_closed: AtomicBool,
    /// The slave was open and is not any more.
    slave_closed: AtomicBool,
    /// The slave's output is stopped (^S).
    stopped: AtomicBool,
    /// Readers of the master.
    read_wait: Arc<WaitQueue>,
    /// Writers of the master.
    write_wait: Arc<WaitQueue>,
    /// Who wants `SIGIO` for the master.
    fasync: FasyncList,
    host: KBox<dyn PtyHost>,
}

impl Pair {
    /// There is something for the master to read.
    fn wake_reader(&self) {
        if self.fasync.is_active() && !self.out.lock().ring.is_empty() {
            self.fasync.kill(POLL_IN);
        }
        self.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
    }

    /// Tells a master in packet mode of an event.
    fn tell(&self, set: u32, clear: u32) {
        let mut out = self.out.lock();
        if !out.packet {
            return;
        }
        out.status = out.status & !(clear as u8) | set as u8;
        drop(out);
        self.read_wait.wake_up_poll(PollMask::PRI | PollMask::IN | PollMask::RDNORM);
    }

    fn is(&self, flag: &AtomicBool) -> bool {
        flag.load(Ordering::SeqCst)
    }
}

struct Slaves;

impl DriverOps for Slaves {
    fn line(&self, _index: u32) -> Result<KBox<dyn TtyOps>> {
        // Slaves are found through devpts only.
        Err(EIO)
    }

    fn init_termios(&self, _index: u32) -> ktermios {
        ktermios { c_cflag: B38400 | CS8 | CREAD, ..crate::std_termios() }
    }
}

/// First major number of slaves.
pub const PTS_MAJOR: u32 = UNIX98_PTY_SLAVE_MAJOR;
/// How many slaves have numbers.
pub const PTS_COUNT: u32 = 1 << 20;

static SLAVES: Driver = Driver::new("pty_slave", "pts", (PTS_MAJOR, 0, PTS_COUNT), Kind::PtySlave, &Slaves);
static MASTERS: Driver = Driver::new("pty_master", "ptm", (128, 0, PTS_COUNT), Kind::PtyMaster, &Slaves);

pub(crate) fn init() -> Result {
    driver::announce(&SLAVES)?;
    driver::announce(&MASTERS)
}

/// Makes a pty, its slave locked: the master's file and the slave. May sleep.
pub fn open_master(index: u32, host: KBox<dyn PtyHost>) -> Result<(KBox<dyn FileOps>, Arc<Tty>)> {
    let pair = Pair {
        index,
        out: SpinLock::new(Out { ring: ByteRing::new(OUT_SIZE, GFP_KERNEL)?, packet: false, status: 0 }),
        locked: AtomicBool::new(true),
        master_closed: AtomicBool::new(false),
        slave_closed: AtomicBool::new(false),
        stopped: AtomicBool::new(false),
        read_wait: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
        write_wait: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
        fasync: FasyncList::new(),
        host,
    };
    let pair = Arc::new(pair, GFP_KERNEL)?;
    let ops = KBox::new(slave::PtySlave { pair: pair.clone() }, GFP_KERNEL)?;
    let slave = Tty::new(&SLAVES, index, ops, Slaves.init_termios(index))?;
    let master = KBox::new(PtyMaster::new(pair, slave.clone())?, GFP_KERNEL)?;
    Ok((master, slave))
}
