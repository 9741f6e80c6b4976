// SPDX-License-Identifier: GPL-2.0
//! Leases (`F_SETLEASE`), and `/proc/locks`, which shows them and all locks.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::os::unix::fs::MetadataExt;

pub const TESTS: &[Test] = &[
    ("lease.errors", errors),
    ("lease.get", get),
    ("lease.read_conflicts", read_conflicts),
    ("lease.write_conflicts", write_conflicts),
    ("lease.path_only", path_only),
    ("lease.broken_by_open", broken_by_open),
    ("lease.broken_to_read", broken_to_read),
    ("lease.nonblock", nonblock),
    ("lease.truncate", truncate),
    ("lease.expires", expires),
    ("lease.close_gives_up", close_gives_up),
    ("lease.interrupted", interrupted),
    ("lease.plain_signal", plain_signal),
    ("lease.rights", rights),
    ("locks.posix", posix),
    ("locks.flock_and_ofd", flock_and_ofd),
    ("locks.waiter", waiter),
    ("locks.lease", shown_lease),
];

const SETLEASE: i32 = 1024;
const GETLEASE: i32 = 1025;
const SETSIG: i32 = 10;
const GETOWN: i32 = 9;
const RD: i64 = 0;
const WR: i64 = 1;
const UN: i64 = 2;

fn rt() -> i32 {
    libc::SIGRTMIN() + 4
}

fn fcntl(fd: i32, cmd: i32, arg: i64) -> i64 {
    // SAFETY: a call with numbers.
    unsafe { libc::syscall(libc::SYS_fcntl, fd, cmd, arg) }
}

/// Takes one of `signal`, which is blocked, within `ms`: its code, band and descriptor.
fn take(signal: i32, ms: i64) -> Option<(i32, i64, i32)> {
    let (set, wait) = (set(&[signal]), libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    let mut info = [0u64; 16];
    // SAFETY: all three are live; a siginfo_t is 128 bytes.
    let got = unsafe { libc::sigtimedwait(&set, info.as_mut_ptr().cast(), &wait) };
    (got == signal).then(|| (info[1] as u32 as i32, info[2] as i64, info[3] as u32 as i32))
}

/// A new file, and it open in that way.
fn file(flags: i32) -> Result<(String, i32), String> {
    let path = format!("{}/leased", dir()?);
    std::fs::write(&path, b"text").map_err(|e| e.to_string())?;
    let fd = open(&path, flags)?;
    Ok((path, fd))
}

/// A lease of kind `kind`, with a real-time signal when it is broken.
fn leased(flags: i32, kind: i64) -> Result<(String, i32), String> {
    mask(libc::SIG_BLOCK, &[rt(), libc::SIGIO])?;
    let (path, fd) = file(flags)?;
    c!(fcntl(fd, SETSIG, rt().into()));
    c!(fcntl(fd, SETLEASE, kind));
    Ok((path, fd))
}

fn errors() -> Outcome {
    let (_, fd) = file(libc::O_RDONLY)?;
    fails!(fcntl(fd, SETLEASE, 3), libc::EINVAL);
    fails!(fcntl(fd, SETLEASE, -1), libc::EINVAL);
    fails!(fcntl(fd, SETLEASE, UN), libc::EAGAIN);
    let (r, _w) = pipe()?;
    fails!(fcntl(r, SETLEASE, RD), libc::EINVAL);
    fails!(fcntl(r, SETLEASE, UN), libc::EINVAL);
    let dir = open(&dir()?, libc::O_RDONLY)?;
    fails!(fcntl(dir, SETLEASE, RD), libc::EINVAL);
    fails!(fcntl(99, SETLEASE, RD), libc::EBADF);
    Ok(())
}

fn get() -> Outcome {
    let (path, fd) = file(libc::O_RDONLY)?;
    eq!(fcntl(fd, GETLEASE, 0), UN);
    c!(fcntl(fd, SETLEASE, RD));
    eq!(fcntl(fd, GETLEASE, 0), RD);
    // Another open file knows nothing of it.
    let other = open(&path, libc::O_RDONLY)?;
    eq!(fcntl(other, GETLEASE, 0), UN);
    // The holder is the file's owner by now, and the file is asynchronous.
    eq!(fcntl(fd, GETOWN, 0), i64::from(std::process::id()));
    ck!(fcntl(fd, libc::F_GETFL, 0) & i64::from(libc::O_ASYNC) != 0);
    // A second reader may hold one, too.
    c!(fcntl(other, SETLEASE, RD));
    c!(fcntl(fd, SETLEASE, UN));
    eq!(fcntl(fd, GETLEASE, 0), UN);
    eq!(fcntl(fd, GETOWN, 0), 0);
    ck!(fcntl(fd, libc::F_GETFL, 0) & i64::from(libc::O_ASYNC) == 0);
    fails!(fcntl(fd, SETLEASE, UN), libc::EAGAIN);
    Ok(())
}

fn read_conflicts() -> Outcome {
    let (path, fd) = file(libc::O_RDWR)?;
    // Who writes cannot promise that nobody writes.
    fails!(fcntl(fd, SETLEASE, RD), libc::EAGAIN);
    eq!(fcntl(fd, GETOWN, 0), 0);
    close(fd);
    let fd = open(&path, libc::O_RDONLY)?;
    let writer = open(&path, libc::O_WRONLY)?;
    fails!(fcntl(fd, SETLEASE, RD), libc::EAGAIN);
    close(writer);
    c!(fcntl(fd, SETLEASE, RD));
    Ok(())
}

fn write_conflicts() -> Outcome {
    let (path, fd) = file(libc::O_RDONLY)?;
    let other = open(&path, libc::O_RDONLY)?;
    fails!(fcntl(fd, SETLEASE, WR), libc::EAGAIN);
    // With somebody else's lease not even when it is ours that is changed.
    c!(fcntl(fd, SETLEASE, RD));
    c!(fcntl(other, SETLEASE, RD));
    fails!(fcntl(fd, SETLEASE, WR), libc::EAGAIN);
    close(other);
    c!(fcntl(fd, SETLEASE, WR));
    eq!(fcntl(fd, GETLEASE, 0), WR);
    close(fd);
    for flags in [libc::O_RDWR, libc::O_WRONLY] {
        let fd = open(&path, flags)?;
        c!(fcntl(fd, SETLEASE, WR));
        // A copy of the descriptor is the same open file.
        let copy = c!(libc::dup(fd));
        c!(fcntl(fd, SETLEASE, WR));
        c!(fcntl(fd, SETLEASE, UN));
        close(copy);
        close(fd);
    }
    Ok(())
}

fn path_only() -> Outcome {
    let (path, fd) = file(libc::O_RDONLY)?;
    let name = open(&path, libc::O_PATH)?;
    c!(fcntl(fd, SETLEASE, WR));
    // Nor does it break a lease.
    close(open(&path, libc::O_PATH)?);
    eq!(fcntl(fd, GETLEASE, 0), WR);
    fails!(fcntl(name, GETLEASE, 0), libc::EBADF);
    c!(libc::stat(cstr(&path).as_ptr(), Box::leak(Box::new(unsafe_stat()))));
    eq!(fcntl(fd, GETLEASE, 0), WR);
    Ok(())
}

fn unsafe_stat() -> libc::stat {
    // SAFETY: all zero is a valid stat.
    unsafe { core::mem::zeroed() }
}

/// A child that opens `path`; its exit status is 0, or the errno.
fn opener(path: &str, flags: i32) -> Result<i32, String> {
    let name = cstr(path);
    // SAFETY: a NUL-terminated name.
    child(|| if unsafe { libc::open(name.as_ptr(), flags) } >= 0 { 0 } else { errno() })
}

fn broken_by_open() -> Outcome {
    let (path, fd) = leased(libc::O_RDONLY, WR)?;
    let pid = opener(&path, libc::O_WRONLY)?;
    // POLL_MSG, and what poll(2) calls that.
    eq!(take(rt(), 2000), Some((3, 0x441, fd)));
    eq!(fcntl(fd, GETLEASE, 0), UN);
    until("the opener waits", || state(pid) == 'S')?;
    ck!(take(rt(), 50).is_none());
    c!(fcntl(fd, SETLEASE, UN));
    eq!(exit_of(pid)?, 0);
    eq!(fcntl(fd, GETLEASE, 0), UN);
    Ok(())
}

fn broken_to_read() -> Outcome {
    let (path, fd) = leased(libc::O_RDONLY, WR)?;
    let pid = opener(&path, libc::O_RDONLY)?;
    eq!(take(rt(), 2000), Some((3, 0x441, fd)));
    eq!(fcntl(fd, GETLEASE, 0), RD);
    until("the opener waits", || state(pid) == 'S')?;
    c!(fcntl(fd, SETLEASE, RD));
    eq!(exit_of(pid)?, 0);
    eq!(fcntl(fd, GETLEASE, 0), RD);
    // Readers go with it.
    close(open(&path, libc::O_RDONLY)?);
    ck!(take(rt(), 50).is_none());
    Ok(())
}

fn nonblock() -> Outcome {
    let (path, fd) = leased(libc::O_RDONLY, RD)?;
    let name = cstr(&path);
    fails!(libc::open(name.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK), libc::EWOULDBLOCK);
    eq!(take(rt(), 2000), Some((3, 0x441, fd)));
    // Told once.
    fails!(libc::open(name.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK), libc::EWOULDBLOCK);
    ck!(take(rt(), 50).is_none());
    // No new lease while one is being broken.
    let other = open(&path, libc::O_RDONLY)?;
    fails!(fcntl(other, SETLEASE, RD), libc::EAGAIN);
    c!(fcntl(fd, SETLEASE, UN));
    close(c!(libc::open(name.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK)));
    Ok(())
}

fn truncate() -> Outcome {
    let (path, fd) = leased(libc::O_RDONLY, RD)?;
    let name = cstr(&path);
    // SAFETY: a NUL-terminated name.
    let pid = child(|| if unsafe { libc::truncate(name.as_ptr(), 1) } == 0 { 0 } else { errno() })?;
    eq!(take(rt(), 2000), Some((3, 0x441, fd)));
    until("it waits", || state(pid) == 'S')?;
    eq!(std::fs::metadata(&path).map_err(|e| e.to_string())?.len(), 4);
    c!(fcntl(fd, SETLEASE, UN));
    eq!(exit_of(pid)?, 0);
    eq!(std::fs::metadata(&path).map_err(|e| e.to_string())?.len(), 1);
    Ok(())
}

/// Sets the time that holders have; the old text.
fn break_time(seconds: &str) -> Result<String, String> {
    let path = "/proc/sys/fs/lease-break-time";
    let old = text(path)?;
    std::fs::write(path, seconds).map_err(|e| e.to_string())?;
    Ok(old)
}

fn expires() -> Outcome {
    eq!(text("/proc/sys/fs/leases-enable")?, "1\n");
    let (path, fd) = leased(libc::O_RDONLY, WR)?;
    let old = break_time("1")?;
    eq!(old, "45\n");
    let start = now_ms();
    let pid = opener(&path, libc::O_WRONLY)?;
    let status = exit_of(pid);
    break_time(&old)?;
    eq!(status?, 0);
    let took = now_ms() - start;
    ck!((900..15_000).contains(&took), "took {took} ms");
    eq!(fcntl(fd, GETLEASE, 0), UN);
    fails!(fcntl(fd, SETLEASE, UN), libc::EAGAIN);
    Ok(())
}

fn close_gives_up() -> Outcome {
    let (path, fd) = leased(libc::O_RDONLY, WR)?;
    let pid = opener(&path, libc::O_WRONLY)?;
    ck!(take(rt(), 2000).is_some());
    // The child has a copy of the descriptor: the lease is the open file's.
    let copy = c!(libc::dup(fd));
    close(fd);
    until("it waits", || state(pid) == 'S')?;
    c!(fcntl(copy, SETLEASE, UN));
    eq!(exit_of(pid)?, 0);
    c!(fcntl(copy, SETLEASE, WR));
    close(copy);
    let start = now_ms();
    close(open(&path, libc::O_WRONLY)?);
    ck!(now_ms() - start < 15_000);
    Ok(())
}

fn interrupted() -> Outcome {
    extern "C" fn nothing(_: i32) {}
    let (path, fd) = leased(libc::O_RDONLY, WR)?;
    handle(libc::SIGUSR1, nothing as *const () as usize, 0)?;
    let pid = opener(&path, libc::O_WRONLY)?;
    ck!(take(rt(), 2000).is_some());
    until("it waits", || state(pid) == 'S')?;
    c!(libc::kill(pid, libc::SIGUSR1));
    eq!(exit_of(pid)?, libc::EINTR);
    // It is on its way out all the same.
    eq!(fcntl(fd, GETLEASE, 0), UN);
    Ok(())
}

fn plain_signal() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGIO])?;
    let (path, fd) = file(libc::O_RDONLY)?;
    c!(fcntl(fd, SETLEASE, RD));
    fails!(libc::open(cstr(&path).as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK), libc::EWOULDBLOCK);
    eq!(take(libc::SIGIO, 2000), Some((0x80, 0, 0)));
    Ok(())
}

fn rights() -> Outcome {
    let (path, fd) = file(libc::O_RDONLY)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).map_err(|e| e.to_string())?;
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(fcntl(fd, SETLEASE, RD), libc::EACCES);
        fails!(fcntl(fd, SETLEASE, UN), libc::EACCES);
        // What is no kind at all is seen first.
        fails!(fcntl(fd, SETLEASE, 7), libc::EINVAL);
        Ok(())
    })?;
    c!(libc::chown(cstr(&path).as_ptr(), 1000, 1000));
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        c!(fcntl(fd, SETLEASE, RD));
        Ok(())
    })
}

/// The lines of `/proc/locks` about the file, without their numbers, sorted.
fn lines(path: &str) -> Result<Vec<String>, String> {
    let meta = std::fs::metadata(path).map_err(|e| e.to_string())?;
    let (dev, ino) = (meta.dev(), meta.ino());
    let place = format!(" {:02x}:{:02x}:{ino} ", libc::major(dev), libc::minor(dev));
    let all = text("/proc/locks")?;
    let mut found: Vec<String> = all
        .lines()
        .filter(|line| line.contains(&place) || line.contains("<none>:0"))
        .filter_map(|line| line.split_once(": ").map(|(_, rest)| rest.replace(&place, " PLACE ")))
        .collect();
    found.sort();
    Ok(found)
}

fn lock(fd: i32, cmd: i32, kind: i32, start: i64, len: i64) -> i32 {
    // SAFETY: all zero is a valid flock.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (kind as i16, start, len);
    // SAFETY: `lock` is live.
    unsafe { libc::fcntl(fd, cmd, &lock) }
}

fn posix() -> Outcome {
    let (path, fd) = file(libc::O_RDWR)?;
    let pid = std::process::id();
    eq!(lines(&path)?, Vec::<String>::new());
    c!(lock(fd, libc::F_SETLK, libc::F_RDLCK, 10, 5));
    c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 100, 0));
    eq!(
        lines(&path)?,
        [format!("POSIX  ADVISORY  READ {pid} PLACE 10 14"), format!("POSIX  ADVISORY  WRITE {pid} PLACE 100 EOF")]
    );
    c!(lock(fd, libc::F_SETLK, libc::F_UNLCK, 0, 0));
    eq!(lines(&path)?, Vec::<String>::new());
    Ok(())
}

fn flock_and_ofd() -> Outcome {
    let (path, fd) = file(libc::O_RDWR)?;
    let pid = std::process::id();
    c!(libc::flock(fd, libc::LOCK_EX));
    eq!(lines(&path)?, [format!("FLOCK  ADVISORY  WRITE {pid} PLACE 0 EOF")]);
    c!(libc::flock(fd, libc::LOCK_SH));
    eq!(lines(&path)?, [format!("FLOCK  ADVISORY  READ {pid} PLACE 0 EOF")]);
    c!(libc::flock(fd, libc::LOCK_UN));
    c!(lock(fd, 37, libc::F_WRLCK, 0, 7));
    eq!(lines(&path)?, ["OFDLCK ADVISORY  WRITE -1 PLACE 0 6".to_string()]);
    close(fd);
    eq!(lines(&path)?, Vec::<String>::new());
    Ok(())
}

fn waiter() -> Outcome {
    let (path, fd) = file(libc::O_RDWR)?;
    c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 0, 10));
    let pid = child(|| i32::from(lock(fd, libc::F_SETLKW, libc::F_RDLCK, 5, 1) != 0))?;
    let want = [
        format!("-> POSIX  ADVISORY  READ {pid} PLACE 5 5"),
        format!("POSIX  ADVISORY  WRITE {} PLACE 0 9", std::process::id()),
    ];
    until("it is shown", || lines(&path).is_ok_and(|lines| lines == want))?;
    c!(lock(fd, libc::F_SETLK, libc::F_UNLCK, 0, 0));
    eq!(exit_of(pid)?, 0);
    eq!(lines(&path)?, Vec::<String>::new());
    Ok(())
}

fn shown_lease() -> Outcome {
    let (path, fd) = leased(libc::O_RDONLY, WR)?;
    let me = std::process::id();
    eq!(lines(&path)?, [format!("LEASE  ACTIVE    WRITE {me} PLACE 0 EOF")]);
    let pid = opener(&path, libc::O_WRONLY)?;
    ck!(take(rt(), 2000).is_some());
    let want =
        [format!("-> LEASE  BREAKER   WRITE {pid} <none>:0 0 EOF"), format!("LEASE  BREAKING  UNLCK {me} PLACE 0 EOF")];
    until("both are shown", || lines(&path).is_ok_and(|lines| lines == want))?;
    c!(fcntl(fd, SETLEASE, UN));
    eq!(exit_of(pid)?, 0);
    c!(fcntl(fd, SETLEASE, RD));
    eq!(lines(&path)?, [format!("LEASE  ACTIVE    READ {me} PLACE 0 EOF")]);
    Ok(())
}
