// SPDX-License-Identifier: GPL-2.0
//! `SIGIO`: who gets it (`F_SETOWN`), which signal it is (`F_SETSIG`), and what it tells, for each kind of file that sends it.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::ptr::null_mut;

pub const TESTS: &[Test] = &[
    ("sigio.owner", owner),
    ("sigio.owner_ex", owner_ex),
    ("sigio.owner_gone", owner_gone),
    ("sigio.setsig_errors", setsig_errors),
    ("sigio.flag", flag),
    ("sigio.pipe", pipe_signals),
    ("sigio.pipe_dup_off", pipe_dup_off),
    ("sigio.plain", plain),
    ("sigio.own_codes", own_codes),
    ("sigio.queue_full", queue_full),
    ("sigio.group", group),
    ("sigio.thread", thread),
    ("sigio.permission", permission),
    ("sigio.fifo", fifo),
    ("sigio.socket", socket),
    ("sigio.socket_room", socket_room),
    ("sigio.socket_owner_ioctl", socket_ioctl),
    ("sigio.listener", listener),
    ("sigio.pty", pty),
    ("sigio.inotify", inotify),
];

const SETSIG: i32 = 10;
const GETSIG: i32 = 11;
const SETOWN: i32 = 8;
const GETOWN: i32 = 9;
const SETOWN_EX: i32 = 15;
const GETOWN_EX: i32 = 16;
const TID: i32 = 0;
const PID: i32 = 1;
const PGRP: i32 = 2;

const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;
const POLL_HUP: i32 = 6;
const IN: i64 = 0x41;
const OUT: i64 = 0x304;
const HUP: i64 = 0x18;

/// The real-time signal that the tests take.
fn rt() -> i32 {
    libc::SIGRTMIN() + 3
}

/// What came with a signal: code, band, descriptor.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Told(i32, i64, i32);

/// Takes one of `signal`, which is blocked, within `ms`.
fn take(signal: i32, ms: i64) -> Option<Told> {
    let (set, wait) = (set(&[signal]), libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    let mut info = [0u64; 16];
    // SAFETY: all three are live; a siginfo_t is 128 bytes.
    let got = unsafe { libc::sigtimedwait(&set, info.as_mut_ptr().cast(), &wait) };
    (got == signal).then(|| Told(info[1] as u32 as i32, info[2] as i64, info[3] as u32 as i32))
}

fn none(signal: i32) -> bool {
    take(signal, 0).is_none()
}

fn fcntl(fd: i32, cmd: i32, arg: i64) -> i64 {
    // SAFETY: a call with numbers (or a pointer to a live object).
    unsafe { libc::syscall(libc::SYS_fcntl, fd, cmd, arg) }
}

/// `fd` sends `signal` to this process.
fn arm(fd: i32, signal: i32) -> Outcome {
    c!(fcntl(fd, SETSIG, signal.into()));
    c!(fcntl(fd, SETOWN, std::process::id().into()));
    let flags = c!(fcntl(fd, libc::F_GETFL, 0));
    c!(fcntl(fd, libc::F_SETFL, flags | i64::from(libc::O_ASYNC)));
    Ok(())
}

fn owner() -> Outcome {
    let (r, _w) = pipe()?;
    let me = i64::from(std::process::id());
    eq!(fcntl(r, GETOWN, 0), 0);
    c!(fcntl(r, SETOWN, me));
    eq!(fcntl(r, GETOWN, 0), me);
    // The raw call: the library's takes small negative numbers for errors.
    c!(fcntl(r, SETOWN, -me));
    // SAFETY: numbers.
    let raw = unsafe { libc::getpgrp() };
    eq!(i64::from(raw), me);
    c!(fcntl(r, SETOWN, 0));
    eq!(fcntl(r, GETOWN, 0), 0);
    fails!(fcntl(r, SETOWN, 4_000_000), libc::ESRCH);
    fails!(fcntl(r, SETOWN, -4_000_000), libc::ESRCH);
    fails!(fcntl(r, SETOWN, i64::from(i32::MIN)), libc::EINVAL);
    // Any file has an owner, also one that sends nothing.
    let file = open("/dev/null", libc::O_RDONLY)?;
    c!(fcntl(file, SETOWN, me));
    eq!(fcntl(file, GETOWN, 0), me);
    Ok(())
}

fn owner_ex() -> Outcome {
    let (r, _w) = pipe()?;
    let me = std::process::id() as i32;
    let mut got = [7i32; 2];
    c!(fcntl(r, GETOWN_EX, got.as_mut_ptr() as i64));
    eq!(got, [TID, 0]);
    for kind in [TID, PID, PGRP] {
        let want = [kind, me];
        c!(fcntl(r, SETOWN_EX, want.as_ptr() as i64));
        c!(fcntl(r, GETOWN_EX, got.as_mut_ptr() as i64));
        eq!(got, want);
    }
    fails!(fcntl(r, SETOWN_EX, [3, me].as_ptr() as i64), libc::EINVAL);
    fails!(fcntl(r, SETOWN_EX, [-1, me].as_ptr() as i64), libc::EINVAL);
    fails!(fcntl(r, SETOWN_EX, [PID, 4_000_000].as_ptr() as i64), libc::ESRCH);
    fails!(fcntl(r, SETOWN_EX, [PID, -me].as_ptr() as i64), libc::ESRCH);
    fails!(fcntl(r, SETOWN_EX, 8), libc::EFAULT);
    c!(fcntl(r, GETOWN_EX, got.as_mut_ptr() as i64));
    eq!(got, [PGRP, me]);
    c!(fcntl(r, SETOWN_EX, [PID, 0].as_ptr() as i64));
    c!(fcntl(r, GETOWN_EX, got.as_mut_ptr() as i64));
    eq!(got, [PID, 0]);
    Ok(())
}

fn owner_gone() -> Outcome {
    let (r, w) = pipe()?;
    // SAFETY: it sleeps until it is killed.
    let pid = child(|| unsafe { libc::pause() })?;
    c!(fcntl(r, SETOWN, pid.into()));
    eq!(fcntl(r, GETOWN, 0), i64::from(pid));
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    eq!(fcntl(r, GETOWN, 0), 0);
    c!(fcntl(r, libc::F_SETFL, i64::from(libc::O_ASYNC)));
    write(w, b"x")?; // To nobody.
    Ok(())
}

fn setsig_errors() -> Outcome {
    let (r, _w) = pipe()?;
    eq!(fcntl(r, GETSIG, 0), 0);
    fails!(fcntl(r, SETSIG, 65), libc::EINVAL);
    fails!(fcntl(r, SETSIG, -1), libc::EINVAL);
    c!(fcntl(r, SETSIG, 64));
    eq!(fcntl(r, GETSIG, 0), 64);
    c!(fcntl(r, SETSIG, 0));
    eq!(fcntl(r, GETSIG, 0), 0);
    Ok(())
}

fn flag() -> Outcome {
    let (r, _w) = pipe()?;
    let on = 1i32;
    c!(libc::ioctl(r, libc::FIOASYNC, &on));
    ck!(fcntl(r, libc::F_GETFL, 0) & i64::from(libc::O_ASYNC) != 0);
    c!(libc::ioctl(r, libc::FIOASYNC, &0i32));
    ck!(fcntl(r, libc::F_GETFL, 0) & i64::from(libc::O_ASYNC) == 0);
    // Files that send nothing: one call ignores the wish, the other refuses.
    let dir = dir()?;
    let file = open(&format!("{dir}/f"), libc::O_RDWR | libc::O_CREAT)?;
    c!(fcntl(file, libc::F_SETFL, i64::from(libc::O_ASYNC)));
    ck!(fcntl(file, libc::F_GETFL, 0) & i64::from(libc::O_ASYNC) == 0);
    fails!(libc::ioctl(file, libc::FIOASYNC, &on), libc::ENOTTY);
    Ok(())
}

fn pipe_signals() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let (r, w) = pipe()?;
    arm(r, rt())?;
    write(w, b"ab")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, r)));
    ck!(none(rt()));
    // Every write tells, also when there is something already.
    write(w, b"c")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, r)));
    // The writer wants to hear of reads.
    arm(w, rt())?;
    read(r, 1)?;
    eq!(take(rt(), 1000), Some(Told(POLL_OUT, OUT, w)));
    ck!(none(rt()));
    // The last writer goes: the reader hears of it.
    close(w);
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, r)));
    ck!(none(rt()));
    Ok(())
}

fn pipe_dup_off() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let (r, w) = pipe()?;
    arm(r, rt())?;
    let copy = c!(libc::dup(r));
    close(r);
    // The file is open still, and tells of the descriptor that asked.
    write(w, b"x")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, r)));
    c!(fcntl(copy, libc::F_SETFL, 0));
    write(w, b"x")?;
    ck!(none(rt()));
    c!(fcntl(copy, libc::F_SETFL, i64::from(libc::O_ASYNC)));
    write(w, b"x")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, copy)));
    Ok(())
}

fn plain() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGIO])?;
    let (r, w) = pipe()?;
    arm(r, 0)?;
    write(w, b"x")?;
    write(w, b"x")?;
    // From the kernel, with nothing more to say; one is enough.
    eq!(take(libc::SIGIO, 1000), Some(Told(0x80, 0, 0)));
    ck!(none(libc::SIGIO));
    // Chosen by number it says what happened.
    c!(fcntl(r, SETSIG, libc::SIGIO.into()));
    write(w, b"x")?;
    eq!(take(libc::SIGIO, 1000), Some(Told(POLL_IN, IN, r)));
    Ok(())
}

fn own_codes() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGCHLD, libc::SIGUSR1])?;
    let (r, w) = pipe()?;
    arm(r, libc::SIGCHLD)?;
    write(w, b"x")?;
    // Its codes mean something else: SI_SIGIO.
    eq!(take(libc::SIGCHLD, 1000), Some(Told(-5, IN, r)));
    arm(r, libc::SIGUSR1)?;
    write(w, b"x")?;
    eq!(take(libc::SIGUSR1, 1000), Some(Told(POLL_IN, IN, r)));
    Ok(())
}

fn queue_full() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt(), libc::SIGIO])?;
    let (r, w) = pipe()?;
    arm(r, rt())?;
    let none_left = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    c!(libc::setrlimit(libc::RLIMIT_SIGPENDING, &none_left));
    write(w, b"x")?;
    ck!(none(rt()));
    ck!(take(libc::SIGIO, 1000).is_some(), "no SIGIO instead");
    Ok(())
}

fn group() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let (r, w) = pipe()?;
    let (done, said) = pipe()?;
    let member = |_: i32| {
        child(|| {
            let told = take(rt(), 5000);
            i32::from(told != Some(Told(POLL_IN, IN, r)) || write(said, b"d").is_err())
        })
    };
    let kids = [member(0)?, member(1)?];
    for kid in kids {
        c!(libc::setpgid(kid, kids[0]));
    }
    arm(r, rt())?;
    c!(fcntl(r, SETOWN, i64::from(-kids[0])));
    write(w, b"x")?;
    for kid in kids {
        eq!(exit_of(kid)?, 0);
    }
    eq!(read(done, 9)?, b"dd");
    ck!(none(rt()));
    Ok(())
}

fn thread() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let (r, w) = pipe()?;
    let (tell, tid) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        // SAFETY: takes nothing.
        let _ = tell.send(unsafe { libc::gettid() });
        let _ = wait.recv();
        take(rt(), 1000)
    });
    let tid = tid.recv().map_err(|e| e.to_string())?;
    arm(r, rt())?;
    let want = [TID, tid];
    c!(fcntl(r, SETOWN_EX, want.as_ptr() as i64));
    let mut got = [0i32; 2];
    c!(fcntl(r, GETOWN_EX, got.as_mut_ptr() as i64));
    eq!(got, want);
    write(w, b"x")?;
    // For that thread alone.
    ck!(none(rt()));
    let _ = go.send(());
    eq!(other.join().map_err(|_| "join")?, Some(Told(POLL_IN, IN, r)));
    // As a process, a thread's number shows as nobody's, but its process gets the signal.
    Ok(())
}

/// Whether a signal reaches a child with user id `target` when a child with id `setter` asked for it.
fn reaches(setter: u32, target: u32) -> Result<bool, String> {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let (r, w) = pipe()?;
    let (ready, set) = pipe()?;
    let receiver = child(|| {
        // SAFETY: numbers.
        if unsafe { libc::setresuid(target, target, target) } != 0 || write(set, b"r").is_err() {
            return 2;
        }
        i32::from(take(rt(), 700).is_some())
    })?;
    read(ready, 1)?;
    let asker = child(|| {
        // SAFETY: numbers.
        if unsafe { libc::setresuid(setter, setter, setter) } != 0 {
            return 2;
        }
        let armed = arm(r, rt()).is_ok() && fcntl(r, SETOWN, receiver.into()) == 0;
        i32::from(!armed)
    })?;
    eq!(exit_of(asker)?, 0);
    // The setter's ids count, not the writer's.
    write(w, b"x")?;
    let got = exit_of(receiver)?;
    ck!(got < 2, "setresuid");
    Ok(got == 1)
}

fn permission() -> Outcome {
    ck!(reaches(0, 1000)?);
    ck!(reaches(1000, 1000)?);
    ck!(!reaches(1000, 1001)?);
    ck!(!reaches(1000, 0)?);
    Ok(())
}

fn fifo() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let path = format!("{}/fifo", dir()?);
    let name = cstr(&path);
    c!(libc::mkfifo(name.as_ptr(), 0o600));
    let both = open(&path, libc::O_RDWR)?;
    arm(both, rt())?;
    write(both, b"x")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, both)));
    read(both, 1)?;
    eq!(take(rt(), 1000), Some(Told(POLL_OUT, OUT, both)));
    ck!(none(rt()));
    Ok(())
}

fn pair(kind: i32) -> Result<[i32; 2], String> {
    let mut ends = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()));
    Ok(ends)
}

fn socket() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let [a, b] = pair(kind)?;
        arm(a, rt())?;
        write(b, b"x")?;
        eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, a)));
        ck!(none(rt()));
        read(a, 1)?;
        ck!(none(rt()));
        if kind == libc::SOCK_STREAM {
            c!(libc::shutdown(b, libc::SHUT_WR));
            eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, a)));
        }
        close(b);
        if kind != libc::SOCK_DGRAM {
            eq!(take(rt(), 1000), Some(Told(POLL_HUP, HUP, a)));
        }
        ck!(none(rt()));
        close(a);
    }
    Ok(())
}

fn socket_room() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let [a, b] = pair(libc::SOCK_STREAM)?;
    arm(a, rt())?;
    c!(fcntl(a, libc::F_SETFL, i64::from(libc::O_ASYNC | libc::O_NONBLOCK)));
    while write(a, &[0; 4096]).is_ok() {}
    ck!(none(rt()));
    // Room, but not yet enough of it.
    read(b, 4096)?;
    ck!(none(rt()));
    c!(fcntl(b, libc::F_SETFL, i64::from(libc::O_NONBLOCK)));
    while read(b, 65536).is_ok() {}
    eq!(take(rt(), 1000), Some(Told(POLL_OUT, OUT, a)));
    ck!(none(rt()));
    Ok(())
}

fn socket_ioctl() -> Outcome {
    let [a, _b] = pair(libc::SOCK_STREAM)?;
    let me = std::process::id() as i32;
    let mut got = 7;
    for (set, get) in [(0x8901, 0x8903), (0x8902, 0x8904)] {
        c!(libc::ioctl(a, get, &mut got));
        eq!(got, 0);
        c!(libc::ioctl(a, set, &me));
        c!(libc::ioctl(a, get, &mut got));
        eq!(got, me);
        c!(libc::ioctl(a, set, &-me));
        c!(libc::ioctl(a, get, &mut got));
        eq!(got, -me);
        fails!(libc::ioctl(a, set, &4_000_000), libc::ESRCH);
        c!(libc::ioctl(a, set, &0));
    }
    let (r, _w) = pipe()?;
    fails!(libc::ioctl(r, 0x8901, &me), libc::ENOTTY);
    Ok(())
}

fn listener() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let path = format!("{}/listener", dir()?);
    let l = std::os::unix::net::UnixListener::bind(&path).map_err(|e| e.to_string())?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&l);
    arm(fd, rt())?;
    let _client = std::os::unix::net::UnixStream::connect(&path).map_err(|e| e.to_string())?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, fd)));
    ck!(none(rt()));
    Ok(())
}

fn pty() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let (mut master, mut slave) = (0, 0);
    c!(libc::openpty(&mut master, &mut slave, null_mut(), null_mut(), null_mut()));
    let me = i64::from(std::process::id());
    // Without an owner the caller becomes it.
    c!(fcntl(slave, SETSIG, rt().into()));
    c!(fcntl(slave, libc::F_SETFL, i64::from(libc::O_RDWR | libc::O_ASYNC)));
    eq!(fcntl(slave, GETOWN, 0), me);
    // A line counts when it is complete.
    write(master, b"ab")?;
    eq!(take(rt(), 200), None);
    write(master, b"c\n")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, slave)));
    read(slave, 9)?;
    c!(fcntl(slave, libc::F_SETFL, i64::from(libc::O_RDWR)));
    while take(rt(), 100).is_some() {}
    read(master, 99)?; // Echo.
    arm(master, rt())?;
    write(slave, b"x")?;
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, master)));
    Ok(())
}

fn inotify() -> Outcome {
    mask(libc::SIG_BLOCK, &[rt()])?;
    let dir = dir()?;
    let fd = c!(libc::inotify_init1(libc::IN_NONBLOCK));
    let name = cstr(&dir);
    c!(libc::inotify_add_watch(fd, name.as_ptr(), libc::IN_CREATE));
    arm(fd, rt())?;
    close(open(&format!("{dir}/new"), libc::O_CREAT | libc::O_WRONLY)?);
    eq!(take(rt(), 1000), Some(Told(POLL_IN, IN, fd)));
    ck!(none(rt()));
    close(fd);
    close(open(&format!("{dir}/other"), libc::O_CREAT | libc::O_WRONLY)?);
    ck!(none(rt()));
    Ok(())
}
