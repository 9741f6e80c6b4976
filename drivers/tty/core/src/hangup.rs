// SPDX-License-Identifier: GPL-2.0
//! Hanging up: every file of a terminal dies (but those of `/dev/console`), its session loses it and is told. Source:
//! `vhangup(2)`, POSIX 11.1.10.

use crate::{Tty, job};
use core::sync::atomic::Ordering;
use errno::{Result, code::EPERM};
use kalloc::Arc;
use klog::pr_err;
use process::current_process;
use uapi::SIGHUP;
use x86_cpu::regs::PtRegs;

impl Tty {
    /// Hangs up; with `exit_session` because the session's leader exits, so that the job in front is told too. May sleep.
    pub fn hangup(&self, exit_session: bool) {
        self.hang_up(exit_session, None);
    }

    /// The device goes: hangs up, switches it off, though `/dev/console` may be open on it, and calls `gone`, after which
    /// [`TtyOps::has_device`](crate::TtyOps::has_device) is false. Files of `/dev/console` get `EIO` until [`Self::plug`]. May
    /// sleep.
    pub fn unplug(&self, gone: &dyn Fn()) {
        self.hang_up(false, Some(gone));
    }

    /// The device is there again: files from before are dead, but for those of `/dev/console`, which go on. May sleep.
    pub fn plug(self: &Arc<Self>) {
        if self.has_failed() {
            self.hangup(false);
        }
        {
            let open = self.open.lock();
            if open.files != 0 && self.has_failed() && self.ops.has_device() {
                match self.ops.open(self) {
                    Ok(()) => self.io_error.store(false, Ordering::SeqCst),
                    Err(error) => pr_err!("{}{}: not opened again: {error}", self.driver().name, self.index()),
                }
            }
        }
        self.write_wait.wake_up_all();
    }

    fn hang_up(&self, exit_session: bool, gone: Option<&dyn Fn()>) {
        let (old, front) = {
            let _job = job::JOB.lock();
            let front = self.group_id.load(Ordering::Relaxed);
            let old = self.set_job(None, None);
            if let Some(session) = &old.0 {
                drop(session.set_terminal(None));
            }
            (old, front)
        };
        {
            let mut open = self.open.lock();
            self.generation.fetch_add(1, Ordering::SeqCst);
            let was_open = open.files != 0;
            open.files = open.consoles;
            self.fasync.clear();
            if was_open {
                let _ld = self.ld.lock();
                self.ops.flush_output(self);
            }
            if was_open && (open.files == 0 || gone.is_some()) {
                self.switch_off();
            } else {
                self.flush_input();
            }
            if let Some(gone) = gone {
                gone();
                self.io_error.store(open.files != 0, Ordering::SeqCst);
            }
        }
        // Who hears of it finds the terminal dead.
        if let Some(session) = &old.0 {
            job::signal_leader(session);
            if exit_session {
                job::signal_group(front, SIGHUP);
            }
        }
        drop(old);
        self.read_wait.wake_up_all();
        self.write_wait.wake_up_all();
    }
}

/// `vhangup(2)`: hangs up the caller's terminal.
pub fn sys_vhangup(_: &PtRegs) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_TTY_CONFIG) {
        return Err(EPERM);
    }
    let _process = current_process().ok_or(EPERM)?;
    if let Some(tty) = job::current_terminal() {
        tty.hangup(false);
    }
    Ok(0)
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(tty_plug)]
mod tests {
    use crate::{Driver, DriverOps, How, Kind, Tty, TtyOps};
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
    use errno::Result;
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox};
    use uapi::{O_NOCTTY, ktermios};
    use vfs::OpenFlags;

    static PRESENT: AtomicBool = AtomicBool::new(false);
    static ON: AtomicU32 = AtomicU32::new(0);
    static OFF: AtomicU32 = AtomicU32::new(0);

    struct Line;

    impl TtyOps for Line {
        fn has_device(&self) -> bool {
            PRESENT.load(SeqCst)
        }
        fn open(&self, _: &Arc<Tty>) -> Result {
            ON.fetch_add(1, SeqCst);
            Ok(())
        }
        fn shutdown(&self, _: &Tty) {
            OFF.fetch_add(1, SeqCst);
        }
        fn write(&self, _: &Tty, bytes: &[u8]) -> usize {
            bytes.len()
        }
        fn write_room(&self) -> usize {
            4096
        }
    }

    struct Lines;

    impl DriverOps for Lines {
        fn line(&self, _: u32) -> Result<KBox<dyn TtyOps>> {
            Ok(KBox::new(Line, GFP_KERNEL)?)
        }
        fn init_termios(&self, _: u32) -> ktermios {
            crate::std_termios()
        }
    }

    static DRIVER: Driver = Driver::new("kunit", "ttyKunit", (0, 0, 1), Kind::Serial, &Lines);

    #[test]
    fn a_device_comes_and_goes() -> Result {
        let tty = DRIVER.line(0)?;
        let flags = OpenFlags(O_NOCTTY);
        // Without a device nothing is switched on.
        drop(tty.open(flags, How::NoControl)?);
        assert_eq!(ON.load(SeqCst), 0);
        PRESENT.store(true, SeqCst);
        let (console, other) = (tty.open(flags, How::Console)?, tty.open(flags, How::NoControl)?);
        assert!(ON.load(SeqCst) == 1 && !tty.has_failed());
        let off = OFF.load(SeqCst);
        tty.unplug(&|| PRESENT.store(false, SeqCst));
        assert!(OFF.load(SeqCst) == off + 1 && tty.has_failed());
        // The console's file goes on when it is back, the other one is dead.
        PRESENT.store(true, SeqCst);
        tty.plug();
        assert!(ON.load(SeqCst) == 2 && !tty.has_failed());
        assert_eq!(tty.open.lock().files, 1);
        drop((console, other));
        assert_eq!(tty.open.lock().files, 0);
        // With nobody there it just goes.
        tty.unplug(&|| PRESENT.store(false, SeqCst));
        assert!(!tty.has_failed());
        Ok(())
    }
}
