// SPDX-License-Identifier: GPL-2.0
//! Mounts: binding, moving, propagation, name spaces, unmounting. Each test works in a mount name space of its own, below a
//! tmpfs that it mounts on its directory.

mod namespaces;
mod propagation;

use crate::util::{Outcome, child, exit_of, home, text};
use crate::{Test, c, ck, eq, fails};
use libc::{
    MNT_DETACH, MNT_EXPIRE, MS_BIND, MS_MOVE, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, MS_SHARED, MS_SLAVE,
    MS_UNBINDABLE,
};
use std::ffi::CString;

pub const TESTS: &[Test] = &[
    ("mounts.bind", bind),
    ("mounts.bind_file", bind_file),
    ("mounts.rbind", rbind),
    ("mounts.bind_readonly", bind_readonly),
    ("mounts.remount", remount),
    ("mounts.move", move_mount),
    ("mounts.shared_peers", propagation::shared),
    ("mounts.slave", propagation::slave),
    ("mounts.slave_shared", propagation::slave_shared),
    ("mounts.unbindable", propagation::unbindable),
    ("mounts.private_again", propagation::private_again),
    ("mounts.umount_propagates", propagation::umount_propagates),
    ("mounts.umount_busy", busy),
    ("mounts.umount_detach", detach),
    ("mounts.umount_expire", expire),
    ("mounts.umount_nofollow", nofollow),
    ("mounts.errors", errors),
    ("mounts.namespace_private", namespaces::ns_private),
    ("mounts.namespace_shared", namespaces::ns_shared),
    ("mounts.namespace_clone", namespaces::ns_clone),
    ("mounts.namespace_goes", namespaces::ns_goes),
    ("mounts.setns", namespaces::setns),
    ("mounts.unshare_errors", namespaces::unshare_errors),
    ("mounts.pivot_root", pivot),
    ("mounts.poll", poll_changes),
];

fn cs(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

fn mount(source: &str, target: &str, kind: &str, flags: u64) -> i64 {
    let (source, target, kind) = (cs(source), cs(target), cs(kind));
    // SAFETY: live strings, no data.
    unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, core::ptr::null()).into() }
}

fn umount(target: &str, flags: i32) -> i64 {
    let target = cs(target);
    // SAFETY: a live string.
    unsafe { libc::umount2(target.as_ptr(), flags).into() }
}

fn dir(name: &str) -> Outcome {
    std::fs::create_dir(name).map_err(|e| format!("{name}: {e}"))
}

fn touch(name: &str) -> Outcome {
    std::fs::write(name, b"x").map_err(|e| format!("{name}: {e}"))
}

fn exists(name: &str) -> bool {
    std::fs::symlink_metadata(name).is_ok()
}

/// A private tmpfs on the test's directory, which is then the working directory; in a name space of its own.
fn start() -> Outcome {
    home()?;
    c!(libc::unshare(libc::CLONE_NEWNS));
    c!(mount("none", "/", "", MS_REC | MS_PRIVATE));
    let here = std::env::current_dir().map_err(|e| e.to_string())?;
    let here = here.to_string_lossy().into_owned();
    c!(mount("none", &here, "tmpfs", 0));
    std::env::set_current_dir(&here).map_err(|e| e.to_string())
}

/// Fields of `mountinfo` of the topmost mount at `name` below the working directory: mount options, optional fields, root.
fn info(name: &str) -> Result<(String, String, String), String> {
    let here = std::env::current_dir().map_err(|e| e.to_string())?;
    let place = match name {
        "." => here.to_string_lossy().into_owned(),
        name => format!("{}/{name}", here.to_string_lossy()),
    };
    let all = text("/proc/self/mountinfo")?;
    for line in all.lines().rev() {
        let words: Vec<&str> = line.split(' ').collect();
        if words.get(4) == Some(&place.as_str()) {
            let dash = words.iter().position(|w| *w == "-").ok_or("no dash")?;
            return Ok((words[5].into(), words[6..dash].join(" "), words[3].into()));
        }
    }
    Err(format!("{place} is not in\n{all}"))
}

fn count(name: &str) -> Result<usize, String> {
    let here = std::env::current_dir().map_err(|e| e.to_string())?;
    let place = format!(" {}/{name} ", here.to_string_lossy());
    Ok(text("/proc/self/mountinfo")?.lines().filter(|line| line.contains(&place)).count())
}

fn bind() -> Outcome {
    start()?;
    dir("a")?;
    dir("b")?;
    dir("a/sub")?;
    touch("a/sub/f")?;
    c!(mount("a/sub", "b", "", MS_BIND));
    ck!(exists("b/f"));
    touch("b/g")?;
    ck!(exists("a/sub/g"));
    eq!(info("b")?.2, "/a/sub");
    c!(umount("b", 0));
    ck!(!exists("b/f"));
    Ok(())
}

fn bind_file() -> Outcome {
    start()?;
    touch("a")?;
    std::fs::write("b", b"other").map_err(|e| e.to_string())?;
    dir("d")?;
    c!(mount("a", "b", "", MS_BIND));
    eq!(text("b")?, "x");
    fails!(libc::unlink(c"b".as_ptr()), libc::EBUSY);
    fails!(mount("a", "d", "", MS_BIND), libc::ENOTDIR);
    fails!(mount("d", "a", "", MS_BIND), libc::ENOTDIR);
    c!(umount("b", 0));
    eq!(text("b")?, "other");
    Ok(())
}

fn rbind() -> Outcome {
    start()?;
    for name in ["a", "a/m", "b", "c"] {
        dir(name)?;
    }
    c!(mount("none", "a/m", "tmpfs", 0));
    touch("a/m/f")?;
    c!(mount("a", "b", "", MS_BIND));
    ck!(!exists("b/m/f"));
    c!(mount("a", "c", "", MS_BIND | MS_REC));
    ck!(exists("c/m/f"));
    eq!(count("c/m")?, 1);
    fails!(umount("c", 0), libc::EBUSY);
    c!(umount("c/m", 0));
    c!(umount("c", 0));
    // Onto itself and below: it does not find itself.
    c!(mount("a", "a/m", "", MS_BIND | MS_REC));
    ck!(exists("a/m/m/f"));
    Ok(())
}

fn bind_readonly() -> Outcome {
    start()?;
    dir("a")?;
    dir("b")?;
    c!(mount("a", "b", "", MS_BIND));
    c!(mount("", "b", "", MS_BIND | MS_REMOUNT | MS_RDONLY));
    fails!(libc::mkdir(c"b/x".as_ptr(), 0o700), libc::EROFS);
    dir("a/x")?;
    ck!(info("b")?.0.starts_with("ro,"), "{:?}", info("b")?);
    ck!(info(".")?.0.starts_with("rw,"));
    c!(mount("", "b", "", MS_BIND | MS_REMOUNT));
    dir("b/y")?;
    Ok(())
}

fn remount() -> Outcome {
    start()?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", libc::MS_NOSUID | libc::MS_NOATIME));
    eq!(info("m")?.0, "rw,nosuid,noatime");
    c!(mount("none", "m", "", MS_REMOUNT | libc::MS_NODEV));
    eq!(info("m")?.0, "rw,nodev,noatime");
    c!(mount("none", "m", "", MS_REMOUNT | libc::MS_RELATIME));
    eq!(info("m")?.0, "rw,relatime");
    c!(mount("none", "m", "", MS_REMOUNT | MS_RDONLY));
    eq!(info("m")?.0, "ro,relatime");
    fails!(libc::mkdir(c"m/x".as_ptr(), 0o700), libc::EROFS);
    c!(mount("none", "m", "", MS_REMOUNT));
    dir("m/x")?;
    fails!(mount("none", "m/x", "", MS_REMOUNT), libc::EINVAL);
    Ok(())
}

fn move_mount() -> Outcome {
    start()?;
    for name in ["a", "b"] {
        dir(name)?;
    }
    c!(mount("none", "a", "tmpfs", 0));
    touch("a/f")?;
    dir("a/d")?;
    fails!(mount("a", "a/d", "", MS_MOVE), libc::ELOOP);
    fails!(mount("a/d", "b", "", MS_MOVE), libc::EINVAL);
    c!(mount("a", "b", "", MS_MOVE));
    ck!(exists("b/f") && !exists("a/f"));
    c!(mount("", ".", "", MS_SHARED));
    fails!(mount("b", "a", "", MS_MOVE), libc::EINVAL);
    Ok(())
}

fn busy() -> Outcome {
    start()?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", 0));
    touch("m/f")?;
    let fd = c!(libc::open(c"m/f".as_ptr(), libc::O_RDONLY));
    fails!(umount("m", 0), libc::EBUSY);
    c!(libc::close(fd));
    dir("m/d")?;
    c!(mount("none", "m/d", "tmpfs", 0));
    fails!(umount("m", 0), libc::EBUSY);
    c!(umount("m/d", 0));
    let pid = child(|| {
        // SAFETY: plain calls.
        unsafe {
            libc::chdir(c"m".as_ptr());
            i32::from(libc::umount(c"../m".as_ptr()) == 0 || *libc::__errno_location() != libc::EBUSY)
        }
    })?;
    eq!(exit_of(pid)?, 0);
    c!(umount("m", 0));
    Ok(())
}

fn detach() -> Outcome {
    start()?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", 0));
    dir("m/d")?;
    touch("m/f")?;
    c!(mount("none", "m/d", "tmpfs", 0));
    let fd = c!(libc::open(c"m".as_ptr(), libc::O_RDONLY));
    c!(umount("m", MNT_DETACH));
    ck!(!exists("m/f"));
    // Who has it open goes on.
    let f = c!(libc::openat(fd, c"f".as_ptr(), libc::O_RDWR));
    c!(libc::write(f, c"y".as_ptr().cast(), 1));
    eq!((count("m")?, count("m/d")?), (0, 0));
    Ok(())
}

fn expire() -> Outcome {
    start()?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", 0));
    touch("m/f")?;
    fails!(umount("m", MNT_EXPIRE | MNT_DETACH), libc::EINVAL);
    fails!(umount("m", MNT_EXPIRE), libc::EAGAIN);
    ck!(exists("m/f"));
    let fd = c!(libc::open(c"m/f".as_ptr(), libc::O_RDONLY));
    fails!(umount("m", MNT_EXPIRE), libc::EBUSY);
    c!(libc::close(fd));
    fails!(umount("m", MNT_EXPIRE), libc::EAGAIN);
    c!(umount("m", MNT_EXPIRE));
    eq!(count("m")?, 0);
    Ok(())
}

fn nofollow() -> Outcome {
    start()?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", 0));
    c!(libc::symlink(c"m".as_ptr(), c"l".as_ptr()));
    fails!(umount("l", libc::UMOUNT_NOFOLLOW), libc::EINVAL);
    fails!(umount("l", 0x10), libc::EINVAL);
    c!(umount("l", 0));
    Ok(())
}

fn errors() -> Outcome {
    start()?;
    dir("d")?;
    touch("f")?;
    fails!(umount("d", 0), libc::EINVAL);
    fails!(umount("none", 0), libc::ENOENT);
    fails!(mount("none", "d", "nosuchfs", 0), libc::ENODEV);
    fails!(mount("none", "f", "tmpfs", 0), libc::ENOTDIR);
    fails!(mount("nowhere", "d", "", MS_BIND), libc::ENOENT);
    fails!(mount("none", "none", "tmpfs", 0), libc::ENOENT);
    fails!(mount("", "d", "", MS_SHARED), libc::EINVAL);
    let pid = child(|| {
        // SAFETY: plain calls.
        unsafe {
            libc::setresuid(1, 1, 1);
        }
        let denied = |ret: i64| ret == -1 && crate::util::errno() == libc::EPERM;
        i32::from(!(denied(mount("none", "d", "tmpfs", 0)) && denied(umount("d", 0))))
    })?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn pivot() -> Outcome {
    start()?;
    dir("new")?;
    let pid = child(|| {
        let body = || -> Outcome {
            fails!(libc::syscall(libc::SYS_pivot_root, c"new".as_ptr(), c"new".as_ptr()), libc::EINVAL);
            c!(mount("none", "new", "tmpfs", 0));
            touch("new/f")?;
            dir("new/old")?;
            // The first root cannot be moved away, so a root of one's own comes first.
            c!(libc::chdir(c"new".as_ptr()));
            c!(libc::chroot(c".".as_ptr()));
            dir("/next")?;
            c!(mount("none", "/next", "tmpfs", 0));
            dir("/next/put")?;
            touch("/next/g")?;
            c!(libc::syscall(libc::SYS_pivot_root, c"/next".as_ptr(), c"/next/put".as_ptr()));
            ck!(exists("/g") && exists("/put/f"));
            c!(libc::chdir(c"/".as_ptr()));
            c!(libc::umount2(c"/put".as_ptr(), MNT_DETACH));
            ck!(!exists("/put/f"));
            Ok(())
        };
        match body() {
            Ok(()) => 0,
            Err(why) => {
                println!("# {why}");
                1
            }
        }
    })?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// What `poll(2)` says of the file now.
fn polled(fd: i32) -> Result<i16, String> {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN | libc::POLLPRI, revents: 0 };
    c!(libc::poll(&mut entry, 1, 0));
    Ok(entry.revents)
}

fn poll_changes() -> Outcome {
    const CHANGED: i16 = libc::POLLIN | libc::POLLPRI | libc::POLLERR;
    start()?;
    let files = [
        crate::util::open("/proc/self/mounts", libc::O_RDONLY)?,
        crate::util::open("/proc/self/mountinfo", libc::O_RDONLY)?,
    ];
    let both = |want: i16| -> Outcome {
        for fd in files {
            eq!(polled(fd)?, want);
            // Each change is told once.
            eq!(polled(fd)?, libc::POLLIN);
        }
        Ok(())
    };
    both(libc::POLLIN)?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", 0));
    both(CHANGED)?;
    c!(mount("none", "m", "", MS_REMOUNT | MS_BIND | MS_RDONLY));
    both(CHANGED)?;
    // Somebody who waits is woken.
    let pid = child(|| {
        crate::util::sleep_ms(100);
        // SAFETY: a name that ends.
        unsafe { libc::umount2(c"m".as_ptr(), 0) }
    })?;
    let mut entry = libc::pollfd { fd: files[0], events: libc::POLLPRI, revents: 0 };
    eq!(c!(libc::poll(&mut entry, 1, 5000)), 1);
    eq!(entry.revents, libc::POLLPRI | libc::POLLERR);
    eq!(exit_of(pid)?, 0);
    eq!(polled(files[1])?, CHANGED);
    // Another name space is another matter.
    let pid = child(|| {
        // SAFETY: numbers, and names that end.
        i32::from(unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 || mount("none", "m", "tmpfs", 0) != 0)
    })?;
    eq!(exit_of(pid)?, 0);
    both(libc::POLLIN)
}
