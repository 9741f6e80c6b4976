// SPDX-License-Identifier: GPL-2.0
//! `/dev/tty`, the caller's own terminal, and `/dev/console`, the terminal behind the kernel log's console. Opened by the VFS.

use crate::driver::{self, Driver, DriverOps, Kind};
use crate::{How, Tty, TtyFile, TtyOps, job};
use core::sync::atomic::Ordering;
use errno::{
    Result,
    code::{EBADF, EBUSY, ENODEV, ENXIO, EPERM},
};
use kalloc::{Arc, KBox};
use locking::SpinLock;
use uapi::ktermios;
use vfs::{CharDevice, File, FileOps, Inode, OpenFlags};

struct OwnTty;

impl CharDevice for OwnTty {
    fn open(&self, _inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        job::current_terminal().ok_or(ENXIO)?.open(flags, How::NoControl)
    }
}

struct SystemConsole;

impl CharDevice for SystemConsole {
    fn open(&self, _inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        console_tty().ok_or(ENODEV)?.open(flags, How::Console)
    }
}

/// The terminal that `/dev/console` means now: of the preferred console, or else of any that has one.
pub(crate) fn console_tty() -> Option<Arc<Tty>> {
    let terminal = |console: &'static dyn printk::Console| {
        let driver = driver::by_name(console.name())?;
        let (line, _) = driver.ops().resolve(console.index());
        driver.line(line).ok()
    };
    printk::console::preferred()
        .and_then(terminal)
        .or_else(|| printk::console::consoles().filter(|c| !c.is_boot()).find_map(terminal))
}

/// Nodes in the list of drivers that have no lines of their own.
struct NoLines;

impl DriverOps for NoLines {
    fn line(&self, _index: u32) -> Result<KBox<dyn TtyOps>> {
        Err(ENODEV)
    }
    fn init_termios(&self, _index: u32) -> ktermios {
        crate::std_termios()
    }
}

static TTY: Driver = Driver::new("/dev/tty", "tty", (uapi::TTYAUX_MAJOR, 0, 1), Kind::SystemTty, &NoLines);
static CONSOLE: Driver =
    Driver::new("/dev/console", "console", (uapi::TTYAUX_MAJOR, 1, 1), Kind::SystemConsole, &NoLines);

pub(crate) fn init() -> Result {
    vfs::register_chrdev(uapi::TTYAUX_MAJOR, 0, 1, "/dev/tty", &OwnTty)?;
    vfs::register_chrdev(uapi::TTYAUX_MAJOR, 1, 1, "/dev/console", &SystemConsole)?;
    driver::announce(&TTY)?;
    driver::announce(&CONSOLE)
}

/// Where writes to `/dev/console` go instead (`TIOCCONS`), and of which generation that terminal is.
static REDIRECT: SpinLock<Option<(Arc<Tty>, u32)>> = SpinLock::new(None);

/// The terminal that takes the console's output, if one does.
pub(crate) fn redirected() -> Option<Arc<Tty>> {
    let redirect = REDIRECT.lock().clone();
    redirect.filter(|(tty, generation)| *generation == tty.generation.load(Ordering::Relaxed)).map(|(tty, _)| tty)
}

/// `TIOCCONS`: from now on the console's output goes to the file's terminal; from `/dev/console` itself: no more.
pub(crate) fn redirect(tty_file: &TtyFile, file: &File) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    if tty_file.is_console() {
        drop(core::mem::take(&mut *REDIRECT.lock()));
        return Ok(0);
    }
    if file.mode() & vfs::fmode::WRITE == 0 {
        return Err(EBADF);
    }
    let tty = tty_file.tty().clone();
    let target = (tty.clone(), tty.generation.load(Ordering::Relaxed));
    // The old value goes once the lock is released.
    let old = {
        let mut redirect = REDIRECT.lock();
        if redirect.as_ref().is_some_and(|(tty, generation)| *generation == tty.generation.load(Ordering::Relaxed)) {
            return Err(EBUSY);
        }
        redirect.replace(target)
    };
    drop(old);
    Ok(0)
}
