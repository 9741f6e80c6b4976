// SPDX-License-Identifier: GPL-2.0
//! Terminal drivers: their names and device numbers, and the terminals of their lines. Drivers register here; the VFS opens
//! device nodes through it.
//!
//! Locks: the list of drivers (spin, short); a driver's `lines` (sleeping), inside which a line is made.

use crate::{How, Tty, TtyOps};
use errno::{
    Result,
    code::{ENODEV, ENXIO},
};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use locking::SpinLock;
use sync::Mutex;
use uapi::ktermios;
use vfs::{CharDevice, Dev, FileOps, Inode, OpenFlags};

/// What kind of terminals a driver has, as `/proc/tty/drivers` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `/dev/tty`.
    SystemTty,
    /// `/dev/console`.
    SystemConsole,
    /// Serial lines.
    Serial,
    /// Virtual terminals.
    Console,
    /// Consoles of hypervisors.
    System,
    /// Masters of ptys.
    PtyMaster,
    /// Slaves of ptys.
    PtySlave,
}

impl Kind {
    /// The text of `/proc/tty/drivers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SystemTty => "system:/dev/tty",
            Self::SystemConsole => "system:console",
            Self::Serial => "serial",
            Self::Console => "console",
            Self::System => "system",
            Self::PtyMaster => "pty:master",
            Self::PtySlave => "pty:slave",
        }
    }
}

/// What a driver implements for all its lines.
pub trait DriverOps: Sync {
    /// Line `index`; `ENODEV` or `EIO` if there is none. Called once for each line. May sleep.
    fn line(&self, index: u32) -> Result<KBox<dyn TtyOps>>;

    /// Settings a line starts with.
    fn init_termios(&self, index: u32) -> ktermios;

    /// Which line device number `index` means, and whether opening it may give a session its terminal (`/dev/tty0` is the
    /// virtual terminal in front, and does not).
    fn resolve(&self, index: u32) -> (u32, bool) {
        (index, true)
    }

    /// Whether line `index` has a node in `/dev`.
    fn is_present(&self, index: u32) -> bool {
        let _ = index;
        true
    }
}

/// A driver. Lives in a static.
pub struct Driver {
    /// Name in `/proc/tty/drivers`.
    pub driver_name: &'static str,
    /// Name of the nodes, without the number.
    pub name: &'static str,
    /// Major number.
    pub major: u32,
    /// First minor number.
    pub minor_start: u32,
    /// How many lines.
    pub count: u32,
    /// What they are.
    pub kind: Kind,
    ops: &'static dyn DriverOps,
    lines: Mutex<KVec<Arc<Tty>>>,
}

impl Driver {
    /// A driver with `count` lines from device `major:minor_start` on.
    pub const fn new(
        driver_name: &'static str,
        name: &'static str,
        numbers: (u32, u32, u32),
        kind: Kind,
        ops: &'static dyn DriverOps,
    ) -> Self {
        let (major, minor_start, count) = numbers;
        Self { driver_name, name, major, minor_start, count, kind, ops, lines: Mutex::new(KVec::new()) }
    }

    /// Its operations.
    pub fn ops(&self) -> &'static dyn DriverOps {
        self.ops
    }

    /// The device number of a line.
    pub fn dev(&self, index: u32) -> Dev {
        Dev::new(self.major, self.minor_start.saturating_add(index))
    }

    /// The terminal on line `index`, if somebody asked for it before. May sleep.
    pub fn known_line(&self, index: u32) -> Option<Arc<Tty>> {
        self.lines.lock().iter().find(|tty| tty.index() == index).cloned()
    }

    /// The terminal on line `index`, made when first asked for; from then on it stays. May sleep.
    pub fn line(&'static self, index: u32) -> Result<Arc<Tty>> {
        if index >= self.count {
            return Err(ENODEV);
        }
        let mut lines = self.lines.lock();
        if let Some(tty) = lines.iter().find(|tty| tty.index() == index) {
            return Ok(tty.clone());
        }
        lines.reserve(1, GFP_KERNEL)?;
        let tty = Tty::new(self, index, self.ops.line(index)?, self.ops.init_termios(index))?;
        lines.push(tty.clone(), GFP_KERNEL)?;
        Ok(tty)
    }
}

impl CharDevice for Driver {
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let index = inode.rdev.minor().checked_sub(self.minor_start).ok_or(ENXIO)?;
        let (index, may_control) = self.ops.resolve(index);
        let driver = find(|d| core::ptr::eq(d, self)).ok_or(ENXIO)?;
        driver.line(index)?.open(flags, if may_control { How::Device } else { How::NoControl })
    }
}

static DRIVERS: SpinLock<KVec<&'static Driver>> = SpinLock::new(KVec::new());

/// Makes a driver known, and its device numbers if it has lines of its own. May sleep.
pub fn register_driver(driver: &'static Driver) -> Result {
    vfs::register_chrdev(driver.major, driver.minor_start, driver.count, driver.name, driver)?;
    announce(driver)
}

/// Puts a driver into the list only (its device numbers are opened by other means).
pub(crate) fn announce(driver: &'static Driver) -> Result {
    let mut room = KVec::new();
    loop {
        let mut drivers = DRIVERS.lock();
        if room.capacity() > drivers.len() {
            room.extend(drivers.iter().copied(), GFP_KERNEL)?;
            room.push(driver, GFP_KERNEL)?;
            core::mem::swap(&mut *drivers, &mut room);
            drop(drivers);
            return Ok(());
        }
        let needed = drivers.len().saturating_add(1);
        drop(drivers);
        room = KVec::with_capacity(needed, GFP_KERNEL)?;
    }
}

fn find(mut wanted: impl FnMut(&'static Driver) -> bool) -> Option<&'static Driver> {
    DRIVERS.lock().iter().copied().find(|d| wanted(d))
}

/// The driver whose nodes have this name (`/dev/tty` is none of a driver's).
pub(crate) fn by_name(name: &str) -> Option<&'static Driver> {
    find(|d| d.name == name && !matches!(d.kind, Kind::SystemTty | Kind::SystemConsole))
}

/// The driver that was registered after `at` others.
fn nth(at: usize) -> Option<&'static Driver> {
    DRIVERS.lock().get(at).copied()
}

/// All drivers, those registered last first (`/proc/tty/drivers`). None ever goes.
pub(crate) fn newest_first() -> impl Iterator<Item = &'static Driver> {
    let count = DRIVERS.lock().len();
    (0..count).rev().filter_map(nth)
}

/// Calls `f` for each line that has a node in `/dev` and `/sys/class/tty`: its driver and number. Ptys have none. May sleep.
pub fn for_each_device(mut f: impl FnMut(&'static Driver, u32)) {
    let mut at = 0;
    while let Some(driver) = nth(at) {
        at = at.saturating_add(1);
        if !matches!(driver.kind, Kind::PtyMaster | Kind::PtySlave) {
            (0..driver.count).filter(|&n| driver.ops.is_present(n)).for_each(|n| f(driver, n));
        }
    }
}
