// SPDX-License-Identifier: GPL-2.0
//! `Tty`: a line with its line discipline. Devices bring input through [`Tty::receive`] and tell of room for output through
//! [`Tty::write_wakeup`]. Locks: see the crate's header.

use crate::file::TtyFile;
use crate::{Driver, TtyOps, job};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::{
    Result,
    code::{EAGAIN, EBUSY, EIO},
};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, WeakArc};
use klog::pr_err;
use locking::SpinLock;
use n_tty::{Effects, Flag, N_TTY_BUF_SIZE, NTty};
use process::{ProcessGroup, Session};
use sync::{Mutex, PollMask, WaitQueue};
use uapi::{ktermios, winsize, *};
use vfs::{Dev, FasyncList, FileOps, OpenFlags};

/// Bytes of a write that are copied at once.
pub(crate) const WRITE_CHUNK: usize = 2048;
/// Below so many bytes waiting to be sent, `poll` tells of room.
pub(crate) const WAKEUP_CHARS: usize = 256;

/// By which node a terminal is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Its own: a session leader without terminal gets it, unless it said `O_NOCTTY`.
    Device,
    /// One that never gives a session its terminal.
    NoControl,
    /// `/dev/console`: never, and the file survives a hang-up.
    Console,
}

/// How often it is open.
#[derive(Default)]
pub(crate) struct OpenCount {
    /// Files since the last hang-up, and those of `/dev/console`.
    pub(crate) files: u32,
    /// Files of `/dev/console`.
    pub(crate) consoles: u32,
}

/// Job control and size.
pub(crate) struct Ctrl {
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) group: Option<Arc<ProcessGroup>>,
    pub(crate) winsize: winsize,
    /// Bits that `TIOCSLCKTRMIOS` locked.
    pub(crate) locked: ktermios,
}

/// A terminal. Always in an `Arc`.
pub struct Tty {
    index: u32,
    driver: &'static Driver,
    this: WeakArc<Tty>,
    pub(crate) ops: KBox<dyn TtyOps>,
    pub(crate) ld: SpinLock<NTty>,
    pub(crate) open: Mutex<OpenCount>,
    pub(crate) config: Mutex<()>,
    pub(crate) read_lock: Mutex<KBox<[u8; N_TTY_BUF_SIZE]>>,
    pub(crate) write_lock: Mutex<KBox<[u8; WRITE_CHUNK]>>,
    pub(crate) ctrl: SpinLock<Ctrl>,
    /// Copies of the ids in `ctrl`, 0 for none: for looks without a lock.
    pub(crate) session_id: AtomicU32,
    pub(crate) group_id: AtomicU32,
    /// Goes up with each hang-up: files with another number are dead.
    pub(crate) generation: AtomicU32,
    /// `TIOCEXCL`.
    pub(crate) exclusive: AtomicBool,
    /// It is open, but there is no device behind it (`TTY_IO_ERROR`).
    pub(crate) io_error: AtomicBool,
    /// The device was asked to stop sending.
    throttled: AtomicBool,
    /// Echo waits for room in the device.
    echo_waits: AtomicBool,
    /// Who wants `SIGIO`; and whether one of them could not write and wants to hear of room.
    pub(crate) fasync: FasyncList,
    /// Those of `/dev/console`, which a hangup does not end.
    pub(crate) console_fasync: FasyncList,
    pub(crate) wants_room: AtomicBool,
    /// Readers, and everybody who polls.
    pub(crate) read_wait: Arc<WaitQueue>,
    /// Writers, those who wait for the device to drain, those who wait for a carrier.
    pub(crate) write_wait: Arc<WaitQueue>,
}

impl Tty {
    /// A terminal on `ops` with these settings. May sleep.
    pub(crate) fn new(
        driver: &'static Driver,
        index: u32,
        ops: KBox<dyn TtyOps>,
        termios: ktermios,
    ) -> Result<Arc<Self>> {
        let ld = NTty::new(termios)?;
        let read_buffer = KBox::<[u8; N_TTY_BUF_SIZE]>::new_array(0, GFP_KERNEL)?;
        let write_buffer = KBox::<[u8; WRITE_CHUNK]>::new_array(0, GFP_KERNEL)?;
        let read_wait = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
        let write_wait = Arc::new(WaitQueue::new(), GFP_KERNEL)?;
        let ctrl = Ctrl { session: None, group: None, winsize: winsize::default(), locked: ktermios::default() };
        let make = |this: &WeakArc<Self>| Self {
            index,
            driver,
            this: this.clone(),
            ops,
            ld: SpinLock::new(ld),
            open: Mutex::new(OpenCount::default()),
            config: Mutex::new(()),
            read_lock: Mutex::new(read_buffer),
            write_lock: Mutex::new(write_buffer),
            ctrl: SpinLock::new(ctrl),
            session_id: AtomicU32::new(0),
            group_id: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            exclusive: AtomicBool::new(false),
            io_error: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            echo_waits: AtomicBool::new(false),
            fasync: FasyncList::new(),
            console_fasync: FasyncList::new(),
            wants_room: AtomicBool::new(false),
            read_wait,
            write_wait,
        };
        Ok(Arc::new_cyclic(make, GFP_KERNEL)?)
    }

    /// Whether there is no device behind it: what wants one ends with `EIO`.
    pub(crate) fn has_failed(&self) -> bool {
        self.io_error.load(Ordering::Relaxed)
    }

    /// The number of the line.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The driver.
    pub fn driver(&self) -> &'static Driver {
        self.driver
    }

    /// The device number.
    pub fn dev(&self) -> Dev {
        self.driver.dev(self.index)
    }

    /// The driver's part.
    pub fn ops(&self) -> &dyn TtyOps {
        &*self.ops
    }

    /// A reference. `None` only while the terminal is being dropped.
    pub(crate) fn to_arc(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// The settings.
    pub fn termios(&self) -> ktermios {
        *self.ld.lock().termios()
    }

    /// The window's size.
    pub fn winsize(&self) -> winsize {
        self.ctrl.lock().winsize
    }

    /// Sets the window's size without telling anybody (drivers, before programs come).
    pub fn set_winsize(&self, size: winsize) {
        self.ctrl.lock().winsize = size;
    }

    /// Opens the terminal. `EBUSY` when somebody has it for himself, `EIO`, the driver's errors. May sleep.
    pub fn open(self: &Arc<Self>, flags: OpenFlags, how: How) -> Result<KBox<dyn FileOps>> {
        let console = how == How::Console;
        let mut open = self.open.lock();
        if self.ops.refuses_open() {
            return Err(EIO);
        }
        if self.exclusive.load(Ordering::Relaxed) && open.files != 0 && !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EBUSY);
        }
        if open.files == 0 {
            let has_device = self.ops.has_device();
            if has_device {
                self.ops.open(self)?;
            }
            self.io_error.store(!has_device, Ordering::SeqCst);
        }
        open.files = open.files.saturating_add(1);
        open.consoles = open.consoles.saturating_add(u32::from(console));
        let generation = self.generation.load(Ordering::SeqCst);
        drop(open);
        // From here on dropping the file closes.
        let file = KBox::new(TtyFile::new(self.clone(), generation, console), GFP_KERNEL)?;
        self.wait_for_carrier(flags, &file)?;
        if how == How::Device && flags.reads() && !flags.any(O_NOCTTY) {
            job::adopt_on_open(self);
        }
        Ok(file)
    }

    /// Switches the device off, lets `change` change it, and switches it on again, for who alone has it open. `EBUSY`: others
    /// have, too. May sleep.
    pub fn reconfigure(self: &Arc<Self>, change: &dyn Fn()) -> Result {
        let open = self.open.lock();
        if open.files != 1 {
            return Err(EBUSY);
        }
        if !self.has_failed() {
            self.ops.shutdown(self);
        }
        change();
        // It stays open without one: it can be tried again.
        let works = self.ops.has_device() && self.ops.open(self).is_ok();
        self.io_error.store(!works, Ordering::SeqCst);
        Ok(())
    }

    fn wait_for_carrier(&self, flags: OpenFlags, file: &TtyFile) -> Result {
        if flags.any(O_NONBLOCK) || self.termios().c_cflag & CLOCAL != 0 || self.has_failed() {
            return Ok(());
        }
        self.write_wait.wait_interruptible(|| self.ops.carrier_raised() || file.is_hung_up() || self.has_failed())?;
        // A port that was hung up while we waited is tried anew.
        if file.is_hung_up() { Err(EAGAIN) } else { Ok(()) }
    }

    /// A file is closed; the last one switches the device off. May sleep.
    pub(crate) fn close(&self, generation: u32, console: bool) {
        let mut open = self.open.lock();
        if console {
            open.consoles = open.consoles.saturating_sub(1);
        } else if generation != self.generation.load(Ordering::SeqCst) {
            // A hang-up has taken this file out of the count.
            return;
        }
        open.files = open.files.saturating_sub(1);
        if open.files == 0 {
            self.drain_for_close();
            self.switch_off();
        }
    }

    /// Lets the device send what it has, for as long as Linux does (30 seconds).
    fn drain_for_close(&self) {
        let deadline = ktime::now_ns().saturating_add(30_000_000_000);
        if !self.ld.lock().is_stopped() {
            // A signal ends the wait: what is left is lost, as with Linux.
            let sent = || self.ops.chars_in_buffer() == 0;
            let _ = self.write_wait.wait_interruptible_deadline(Some(deadline), sent);
        }
        self.ops.wait_until_sent(deadline);
    }

    /// The device goes off and the line discipline starts afresh. `open` is held.
    pub(crate) fn switch_off(&self) {
        self.ops.shutdown(self);
        let mut ld = self.ld.lock();
        ld.flush_input();
        ld.set_stopped(false);
        if self.ops.resets_termios() {
            ld.set_termios(self.driver.ops().init_termios(self.index));
        }
        let _ = ld.take_effects();
        drop(ld);
        self.throttled.store(false, Ordering::SeqCst);
        self.exclusive.store(false, Ordering::Relaxed);
    }

    /// Takes input from the device; `flags`, if any, say how each byte arrived. Returns how many bytes were taken; the rest is
    /// to be offered again after [`TtyOps::unthrottle`]. Not in interrupts; does not sleep.
    pub fn receive(&self, data: &[u8], flags: Option<&[Flag]>) -> usize {
        let mut ld = self.ld.lock();
        let taken = ld.receive(data, flags);
        let effects = ld.take_effects();
        self.apply_output(&effects);
        if ld.has_echo() {
            self.send_echo(&mut ld);
        }
        let full = taken < data.len() || ld.should_throttle();
        if full {
            self.throttle(&ld);
        }
        let group = self.group_id.load(Ordering::Relaxed);
        drop(ld);
        self.apply_rest(&effects, group);
        taken
    }

    /// Only under `ld`, so that it does not cross with `unthrottle`.
    fn throttle(&self, ld: &NTty) {
        if !self.throttled.swap(true, Ordering::SeqCst) {
            self.ops.throttle(self, ld.termios());
        }
    }

    /// Input was taken out: if the device was stopped and there is room, it goes on. Does not sleep; no lock held.
    pub(crate) fn check_unthrottle(&self) {
        if !self.throttled.load(Ordering::SeqCst) {
            return;
        }
        let ld = self.ld.lock();
        if ld.should_unthrottle() && self.throttled.swap(false, Ordering::SeqCst) {
            let termios = *ld.termios();
            drop(ld);
            self.ops.unthrottle(self, &termios);
        }
    }

    /// What the device must do at once, before echo follows.
    pub(crate) fn apply_output(&self, effects: &Effects) {
        if effects.flush_output {
            self.ops.flush_output(self);
            self.ops.flushed_input(self);
        }
        match effects.stop {
            Some(true) => self.ops.stop(self),
            Some(false) => self.ops.start(self),
            None => {}
        }
    }

    /// What is done without locks: signals and wake-ups.
    pub(crate) fn apply_rest(&self, effects: &Effects, group: u32) {
        let wanted = [(effects.sigint, SIGINT), (effects.sigquit, SIGQUIT), (effects.sigtstp, SIGTSTP)];
        for (_, signal) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
            job::signal_group(group, signal);
        }
        if effects.flush_output || effects.stop == Some(false) {
            self.room_made();
        }
        if effects.readable {
            self.fasync.kill(POLL_IN);
            self.console_fasync.kill(POLL_IN);
            self.read_wait.wake_up_poll(PollMask::IN | PollMask::RDNORM);
        }
    }

    /// Sends echo as far as there is room; the rest follows with `drain_echo`.
    pub(crate) fn send_echo(&self, ld: &mut NTty) {
        ld.drain_echo(|bytes| self.ops.write(self, bytes));
        self.echo_waits.store(ld.has_echo(), Ordering::SeqCst);
        self.ops.flush_chars(self);
    }

    /// Whether echo waits for room: then the driver's thread calls [`Self::drain_echo`] when there is some. Any context.
    pub fn echo_waits(&self) -> bool {
        self.echo_waits.load(Ordering::SeqCst)
    }

    /// Sends echo that waited. Not in interrupts.
    pub fn drain_echo(&self) {
        let mut ld = self.ld.lock();
        self.send_echo(&mut ld);
    }

    /// There is room for output again. Any context; who is in no interrupt handler calls [`Self::room_made`] instead.
    pub fn write_wakeup(&self) {
        self.write_wait.wake_up_poll(PollMask::OUT | PollMask::WRNORM);
    }

    /// Whether somebody wants a signal when there is room: then the driver's thread calls [`Self::room_made`]. Any context.
    pub fn wants_room(&self) -> bool {
        self.wants_room.load(Ordering::Relaxed)
    }

    /// There is room for output again: wakes and signals. Not in interrupts.
    pub fn room_made(&self) {
        self.write_wakeup();
        if self.wants_room() && self.wants_room.swap(false, Ordering::Relaxed) {
            self.fasync.kill(POLL_OUT);
            self.console_fasync.kill(POLL_OUT);
        }
    }

    /// Something changed that readers and pollers must see (a pty's other side is gone). Any context.
    pub fn read_wakeup(&self) {
        self.read_wait.wake_up_all();
    }

    /// Drops input.
    pub(crate) fn flush_input(&self) {
        {
            let mut ld = self.ld.lock();
            ld.flush_input();
            self.ops.flushed_input(self);
        }
        self.check_unthrottle();
    }

    /// Drops output that was not sent.
    pub(crate) fn flush_output(&self) {
        {
            let _ld = self.ld.lock();
            self.ops.flush_output(self);
        }
        self.room_made();
    }

    /// Stops or starts output on request of a program, or by Scroll Lock.
    pub fn set_flow(&self, stop: bool) {
        {
            let mut ld = self.ld.lock();
            ld.set_stopped(stop);
            match stop {
                true => self.ops.stop(self),
                false => self.ops.start(self),
            }
        }
        self.room_made();
    }

    /// Waits until everything is sent. `ERESTARTSYS`. May sleep.
    pub(crate) fn wait_until_sent(&self) -> Result {
        self.write_wait.wait_interruptible(|| self.ops.chars_in_buffer() == 0)?;
        self.ops.wait_until_sent(u64::MAX);
        Ok(())
    }

    /// The carrier came or went. A lost one hangs up, unless the settings say that there is none to lose. Not in interrupts.
    pub fn carrier_changed(&self, raised: bool) {
        if self.termios().c_cflag & CLOCAL != 0 {
            return;
        }
        if raised {
            return self.write_wait.wake_up_all();
        }
        // Hanging up waits for the driver's thread, which may be the caller: another one does it.
        if let Some(this) = self.to_arc()
            && let Err(error) = workqueue::spawn(move || this.hangup(false))
        {
            pr_err!("{}{}: not hung up: {error}", self.driver.name, self.index);
        }
    }
}
