// SPDX-License-Identifier: GPL-2.0
//! Process groups, sessions and job control on a terminal.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("jobs.setpgid", setpgid),
    ("jobs.setpgid_errors", setpgid_errors),
    ("jobs.setsid", setsid),
    ("jobs.ctty", ctty),
    ("jobs.foreground_group", foreground),
    ("jobs.background_read", background_read),
    ("jobs.background_write", background_write),
    ("jobs.ctrl_c", ctrl_c),
    ("jobs.ctrl_z_and_continue", ctrl_z),
    ("jobs.hangup", hangup),
    ("jobs.orphaned_group", orphaned),
    ("jobs.session_leader_exit", leader_exit),
    ("jobs.winch", winch),
];

fn me() -> i32 {
    std::process::id() as i32
}

fn setpgid() -> Outcome {
    eq!(c!(libc::getpgrp()), me()); // the runner put each test in a group of its own
    let pid = child(|| {
        // SAFETY: numbers.
        unsafe {
            if libc::getpgrp() == libc::getpid() {
                return 1;
            }
            libc::setpgid(0, 0);
            i32::from(libc::getpgrp() != libc::getpid())
        }
    })?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn setpgid_errors() -> Outcome {
    fails!(libc::setpgid(0, -1), libc::EINVAL);
    fails!(libc::setpgid(1, 0), libc::ESRCH);
    fails!(libc::setpgid(0, 1), libc::EPERM);
    fails!(libc::getpgid(0x3fff_ffff), libc::ESRCH);
    let leader = child(|| {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
        sleep_ms(10_000);
        0
    })?;
    until("its session", || c_getsid(leader) == leader)?;
    fails!(libc::setpgid(leader, me()), libc::EPERM);
    c!(libc::kill(leader, libc::SIGKILL));
    signal_of(leader)?;
    let executed = child(|| {
        let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"wait".as_ptr(), core::ptr::null()];
        // SAFETY: NUL-terminated list.
        unsafe { libc::execv(c"/proc/self/exe".as_ptr(), argv.as_ptr()) };
        1
    })?;
    until("exec", || std::fs::read(format!("/proc/{executed}/cmdline")).is_ok_and(|l| l.starts_with(b"x\0")))?;
    fails!(libc::setpgid(executed, 0), libc::EACCES);
    c!(libc::kill(executed, libc::SIGKILL));
    signal_of(executed)?;
    Ok(())
}

fn c_getsid(pid: i32) -> i32 {
    // SAFETY: a number.
    unsafe { libc::getsid(pid) }
}

fn setsid() -> Outcome {
    fails!(libc::setsid(), libc::EPERM); // a group leader
    in_child(|| {
        let sid = c!(libc::setsid());
        eq!(sid, me());
        eq!(c!(libc::getpgrp()), me());
        eq!(c!(libc::getsid(0)), me());
        fails!(libc::open(c"/dev/tty".as_ptr(), libc::O_RDWR), libc::ENXIO);
        fails!(libc::setsid(), libc::EPERM);
        Ok(())
    })
}

/// A pseudo-terminal: (master, its slave's path).
pub fn pty() -> Result<(i32, String), String> {
    let master = c!(libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY));
    c!(libc::grantpt(master));
    c!(libc::unlockpt(master));
    let mut name = [0i8; 64];
    ck!(unsafe_ptsname(master, &mut name) == 0, "ptsname: {}", errno_name());
    // SAFETY: ptsname_r wrote a NUL-terminated string.
    let path = unsafe { std::ffi::CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    Ok((master, path))
}

fn unsafe_ptsname(master: i32, name: &mut [i8; 64]) -> i32 {
    // SAFETY: the buffer and its size.
    unsafe { libc::ptsname_r(master, name.as_mut_ptr(), 64) }
}

/// Runs `body` in a child that leads a session on a fresh pty; `drive` in this process has the master and the child's pid.
fn on_tty(body: impl FnOnce(i32) -> Outcome, drive: impl FnOnce(i32, i32) -> Outcome) -> Outcome {
    let (master, path) = pty()?;
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(r);
        let outcome = (|| {
            c!(libc::setsid());
            let tty = open(&path, libc::O_RDWR)?; // becomes the controlling terminal
            close(master);
            body(tty)
        })();
        if let Err(why) = &outcome {
            let _ = write(w, why.as_bytes());
        }
        i32::from(outcome.is_err())
    })?;
    close(w);
    let driven = drive(master, pid);
    if driven.is_err() {
        sleep_ms(100); // the child's own word first, if it has one
        c!(libc::kill(pid, libc::SIGKILL));
    }
    let text = read_all(r)?;
    ck!(text.is_empty(), "{}", String::from_utf8_lossy(&text));
    driven?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// Waits for the other side's byte.
fn turn(r: i32) -> Outcome {
    let mut p = libc::pollfd { fd: r, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut p, 1, 5000)), 1);
    read(r, 1).map(|_| ())
}

fn ctty() -> Outcome {
    on_tty(
        |tty| {
            let other = open("/dev/tty", libc::O_RDWR)?;
            eq!(c!(libc::tcgetsid(other)), me());
            eq!(c!(libc::tcgetpgrp(tty)), me());
            ck!(c!(libc::isatty(other)) == 1);
            let stat = text("/proc/self/stat")?;
            let field: i32 =
                stat.rsplit(") ").next().and_then(|s| s.split(' ').nth(4)).and_then(|s| s.parse().ok()).unwrap_or(0);
            ck!(field != 0, "tty_nr is 0: {stat}");
            c!(libc::ioctl(tty, libc::TIOCNOTTY));
            Ok(())
        },
        |_, _| Ok(()),
    )
    .or_else(|why| if why.contains("signal 1") { Ok(()) } else { Err(why) })
}

fn foreground() -> Outcome {
    on_tty(
        |tty| {
            let job = child(|| {
                // SAFETY: numbers.
                unsafe { libc::setpgid(0, 0) };
                loop {
                    sleep_ms(10);
                }
            })?;
            c!(libc::setpgid(job, job));
            c!(libc::tcsetpgrp(tty, job));
            eq!(c!(libc::tcgetpgrp(tty)), job);
            c!(libc::kill(job, libc::SIGKILL));
            signal_of(job)?;
            // Out of the background a change needs SIGTTOU out of the way.
            mask(libc::SIG_BLOCK, &[libc::SIGTTOU])?;
            c!(libc::tcsetpgrp(tty, me()));
            eq!(c!(libc::tcgetpgrp(tty)), me());
            fails!(libc::tcsetpgrp(tty, 1), libc::EPERM);
            fails!(libc::tcsetpgrp(tty, 0x3fff_ffff), libc::ESRCH);
            Ok(())
        },
        |_, _| Ok(()),
    )
}

/// A background job doing `what`; returns its raw wait status (WUNTRACED), the job ended afterwards.
fn background(what: impl FnOnce() -> i32) -> Result<i32, String> {
    let job = child(|| {
        // SAFETY: numbers.
        unsafe { libc::setpgid(0, 0) };
        what()
    })?;
    let _ = unsafe_setpgid(job);
    let mut status = 0;
    c!(libc::waitpid(job, &mut status, libc::WUNTRACED));
    if libc::WIFSTOPPED(status) {
        c!(libc::kill(job, libc::SIGKILL));
        signal_of(job)?;
    }
    Ok(status)
}

fn unsafe_setpgid(pid: i32) -> i32 {
    // SAFETY: numbers.
    unsafe { libc::setpgid(pid, pid) }
}

fn background_read() -> Outcome {
    on_tty(
        |tty| {
            let status = background(|| {
                let mut byte = 0u8;
                // SAFETY: one byte.
                unsafe { libc::read(tty, (&raw mut byte).cast(), 1) as i32 }
            })?;
            ck!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTTIN, "status {status:#x}");
            // Ignored: EIO.
            let status = background(|| {
                let _ = handle(libc::SIGTTIN, libc::SIG_IGN, 0);
                let mut byte = 0u8;
                // SAFETY: one byte.
                let got = unsafe { libc::read(tty, (&raw mut byte).cast(), 1) };
                if got == -1 { errno() } else { 99 }
            })?;
            eq!(libc::WEXITSTATUS(status), libc::EIO);
            Ok(())
        },
        |_, _| Ok(()),
    )
}

fn background_write() -> Outcome {
    on_tty(
        |tty| {
            let status = background(|| i32::from(write(tty, b"x") != Ok(1)))?;
            eq!(status, 0); // TOSTOP is off
            let mut term = termios(tty)?;
            term.c_lflag |= libc::TOSTOP;
            c!(libc::tcsetattr(tty, libc::TCSANOW, &term));
            let status = background(|| i32::from(write(tty, b"x") != Ok(1)))?;
            ck!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTTOU, "status {status:#x}");
            let status = background(|| {
                let _ = mask(libc::SIG_BLOCK, &[libc::SIGTTOU]);
                i32::from(write(tty, b"x") != Ok(1))
            })?;
            eq!(status, 0);
            Ok(())
        },
        |_, _| Ok(()),
    )
}

/// The terminal's settings.
pub fn termios(fd: i32) -> Result<libc::termios, String> {
    // SAFETY: all zero is a valid termios.
    let mut term: libc::termios = unsafe { core::mem::zeroed() };
    c!(libc::tcgetattr(fd, &mut term));
    Ok(term)
}

fn ctrl_c() -> Outcome {
    let (r, w) = pipe()?;
    on_tty(
        |tty| {
            let job = child(|| {
                // SAFETY: numbers.
                unsafe { libc::setpgid(0, 0) };
                loop {
                    sleep_ms(10);
                }
            })?;
            c!(libc::setpgid(job, job));
            c!(libc::tcsetpgrp(tty, job));
            write(w, b"g")?;
            eq!(signal_of(job)?, libc::SIGINT);
            let job = child(|| {
                // SAFETY: numbers.
                unsafe { libc::setpgid(0, 0) };
                loop {
                    sleep_ms(10);
                }
            })?;
            mask(libc::SIG_BLOCK, &[libc::SIGTTOU])?;
            c!(libc::setpgid(job, job));
            c!(libc::tcsetpgrp(tty, job));
            write(w, b"g")?;
            eq!(signal_of(job)?, libc::SIGQUIT);
            Ok(())
        },
        |master, _| {
            turn(r)?;
            write(master, b"\x03")?;
            turn(r)?;
            write(master, b"\x1c")?;
            Ok(())
        },
    )
}

fn ctrl_z() -> Outcome {
    let (r, w) = pipe()?;
    let (ahead, go_ahead) = pipe()?;
    on_tty(
        |tty| {
            let job = child(|| {
                // SAFETY: numbers.
                unsafe { libc::setpgid(0, 0) };
                // Only the group in the foreground may read.
                if turn(ahead).is_err() {
                    return 2;
                }
                let got = read(tty, 10).unwrap_or_default();
                i32::from(got != b"line\n")
            })?;
            c!(libc::setpgid(job, job));
            c!(libc::tcsetpgrp(tty, job));
            write(go_ahead, b"g")?;
            write(w, b"g")?;
            let mut status = 0;
            c!(libc::waitpid(job, &mut status, libc::WUNTRACED));
            ck!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTSTP, "status {status:#x}");
            c!(libc::kill(-job, libc::SIGCONT));
            c!(libc::waitpid(job, &mut status, libc::WCONTINUED));
            ck!(libc::WIFCONTINUED(status), "status {status:#x}");
            write(w, b"g")?;
            eq!(exit_of(job)?, 0);
            Ok(())
        },
        |master, _| {
            turn(r)?;
            sleep_ms(50);
            write(master, b"\x1a")?;
            turn(r)?;
            write(master, b"line\n")?;
            Ok(())
        },
    )
}

fn hangup() -> Outcome {
    // The master is closed: the session leader gets SIGHUP, reads give the end of file, writes EIO.
    let (master, path) = pty()?;
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(r);
        let outcome = (|| {
            c!(libc::setsid());
            handle(libc::SIGHUP, noted as *const () as usize, 0)?;
            let tty = open(&path, libc::O_RDWR)?;
            close(master);
            write(w, b"g")?;
            until("SIGHUP", || HUPS.load(core::sync::atomic::Ordering::SeqCst) > 0)?;
            eq!(read(tty, 10)?, b"");
            fails!(libc::write(tty, b"x".as_ptr().cast(), 1), libc::EIO);
            Ok(())
        })();
        if let Err(why) = &outcome {
            let _ = write(w, why.as_bytes());
        }
        i32::from(outcome.is_err())
    })?;
    close(w);
    read(r, 1)?;
    close(master);
    let text = read_all(r)?;
    ck!(text.is_empty(), "{}", String::from_utf8_lossy(&text));
    eq!(exit_of(pid)?, 0);
    Ok(())
}

static HUPS: core::sync::atomic::AtomicI32 = core::sync::atomic::AtomicI32::new(0);

extern "C" fn noted(_: i32) {
    HUPS.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
}

fn orphaned() -> Outcome {
    // A stopped group that becomes orphaned gets SIGHUP and SIGCONT.
    let (r, w) = pipe()?;
    let middle = child(|| {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
        let job = child(|| {
            // SAFETY: numbers.
            unsafe { libc::setpgid(0, 0) };
            let _ = handle(libc::SIGHUP, noted as *const () as usize, 0);
            // SAFETY: numbers.
            unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
            let hups = HUPS.load(core::sync::atomic::Ordering::SeqCst);
            let _ = write(w, &[b'0' + hups as u8]);
            0
        })
        .unwrap_or(0);
        let mut status = 0;
        // SAFETY: live status.
        unsafe { libc::waitpid(job, &mut status, libc::WUNTRACED) };
        0
    })?;
    close(w);
    eq!(exit_of(middle)?, 0);
    eq!(read(r, 1)?, b"1");
    Ok(())
}

fn leader_exit() -> Outcome {
    // When the session leader ends, the foreground group gets SIGHUP.
    let (master, path) = pty()?;
    let (r, w) = pipe()?;
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    let leader = child(|| {
        // SAFETY: takes nothing.
        unsafe { libc::setsid() };
        let Ok(tty) = open(&path, libc::O_RDWR) else { return 1 };
        let Ok(job) = child(|| {
            // SAFETY: numbers.
            unsafe { libc::setpgid(0, 0) };
            let _ = write(w, b"g");
            loop {
                sleep_ms(10);
            }
        }) else {
            return 2;
        };
        let _ = unsafe_setpgid(job);
        // SAFETY: numbers.
        let set = unsafe { libc::tcsetpgrp(tty, job) };
        let _ = read(r, 1);
        if set == 0 { 0 } else { 3 }
    })?;
    eq!(exit_of(leader)?, 0);
    let mut status = 0;
    c!(libc::wait(&mut status));
    ck!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGHUP, "status {status:#x}");
    close(master);
    Ok(())
}

fn winch() -> Outcome {
    let (r, w) = pipe()?;
    on_tty(
        |tty| {
            handle(libc::SIGWINCH, noted as *const () as usize, 0)?;
            write(w, b"g")?;
            until("SIGWINCH", || HUPS.load(core::sync::atomic::Ordering::SeqCst) > 0)?;
            // SAFETY: all zero is a valid winsize.
            let mut size: libc::winsize = unsafe { core::mem::zeroed() };
            c!(libc::ioctl(tty, libc::TIOCGWINSZ, &mut size));
            eq!((size.ws_row, size.ws_col), (33, 99));
            Ok(())
        },
        |master, _| {
            turn(r)?;
            let size = libc::winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
            c!(libc::ioctl(master, libc::TIOCSWINSZ, &size));
            Ok(())
        },
    )
}
