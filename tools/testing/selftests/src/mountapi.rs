// SPDX-License-Identifier: GPL-2.0
//! Mounting in steps: fsopen, fsconfig, fsmount, fspick, open_tree, move_mount, mount_setattr; process_madvise.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("mountapi.new_tmpfs", new_tmpfs),
    ("mountapi.order_of_steps", order),
    ("mountapi.arguments", arguments),
    ("mountapi.reconfigure", reconfigure),
    ("mountapi.attributes", attributes),
    ("mountapi.open_tree", open_tree_clone),
    ("mountapi.move", move_tree),
    ("mountapi.unattached_goes", unattached),
    ("mountapi.recursive_attributes", recursive),
    ("mountapi.unprivileged", unprivileged),
    ("mm.process_madvise", process_madvise),
];

const AT_FDCWD: i32 = libc::AT_FDCWD;
const AT_RECURSIVE: i32 = 0x8000;
const AT_EMPTY_PATH: i32 = 0x1000;
const SET_FLAG: i32 = 0;
const SET_STRING: i32 = 1;
const CREATE: i32 = 6;
const RECONFIGURE: i32 = 7;
const F_EMPTY: i32 = 4;
const CLONE: i32 = 1;

fn fsopen(kind: &str, flags: i32) -> i64 {
    let name = cstr(kind);
    // SAFETY: NUL-terminated.
    unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), flags) }
}

fn fsconfig(fd: i64, command: i32, key: Option<&str>, value: Option<&str>) -> i64 {
    let (key, value) = (key.map(cstr), value.map(cstr));
    let at = |text: &Option<std::ffi::CString>| text.as_ref().map_or(core::ptr::null(), |t| t.as_ptr());
    // SAFETY: NUL-terminated, or null.
    unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, at(&key), at(&value), 0) }
}

fn fsmount(fd: i64, attributes: u32) -> i64 {
    // SAFETY: numbers.
    unsafe { libc::syscall(libc::SYS_fsmount, fd, 0, attributes) }
}

fn fspick(path: &str) -> i64 {
    let name = cstr(path);
    // SAFETY: NUL-terminated.
    unsafe { libc::syscall(libc::SYS_fspick, AT_FDCWD, name.as_ptr(), 0) }
}

fn open_tree(path: &str, flags: i32) -> i64 {
    let name = cstr(path);
    // SAFETY: NUL-terminated.
    unsafe { libc::syscall(libc::SYS_open_tree, AT_FDCWD, name.as_ptr(), flags) }
}

fn attach(fd: i64, to: &str) -> i64 {
    let name = cstr(to);
    // SAFETY: NUL-terminated.
    unsafe { libc::syscall(libc::SYS_move_mount, fd, c"".as_ptr(), AT_FDCWD, name.as_ptr(), F_EMPTY) }
}

fn setattr(path: &str, flags: i32, set: u64, clear: u64, propagation: u64) -> i64 {
    let (name, attr) = (cstr(path), [set, clear, propagation, 0]);
    // SAFETY: live objects.
    unsafe { libc::syscall(libc::SYS_mount_setattr, AT_FDCWD, name.as_ptr(), flags, attr.as_ptr(), 32) }
}

/// A name space of one's own, whose changes nobody else sees, and an empty directory in it.
fn place(name: &str) -> Result<String, String> {
    c!(libc::unshare(libc::CLONE_NEWNS));
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    c!(libc::mount(core::ptr::null(), c"/".as_ptr(), core::ptr::null(), flags, core::ptr::null()));
    directory(name)
}

fn directory(name: &str) -> Result<String, String> {
    let path = format!("{}/{name}", dir()?);
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    Ok(path)
}

/// The line of /proc/self/mounts for `path`.
fn shown(path: &str) -> Result<String, String> {
    let mounts = text("/proc/self/mounts")?;
    Ok(mounts.lines().find(|l| l.split(' ').nth(1) == Some(path)).unwrap_or("").to_string())
}

/// A tmpfs that is mounted nowhere yet.
fn tmpfs(attributes: u32) -> Result<i64, String> {
    let fd = c!(fsopen("tmpfs", 1));
    c!(fsconfig(fd, SET_STRING, Some("source"), Some("mine")));
    c!(fsconfig(fd, SET_STRING, Some("size"), Some("64k")));
    c!(fsconfig(fd, CREATE, None, None));
    let mount = c!(fsmount(fd, attributes));
    close(fd as i32);
    Ok(mount)
}

fn new_tmpfs() -> Outcome {
    let path = place("new")?;
    let mount = tmpfs(0x2 | 0x8 | 0x10)?; // nosuid, noexec, noatime
    // It can be used before it is attached.
    let fd = c!(libc::openat(mount as i32, c"early".as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o600));
    write(fd, b"data")?;
    eq!(shown(&path)?, "");
    c!(attach(mount, &path));
    let line = shown(&path)?;
    ck!(
        line.starts_with(&format!("mine {path} tmpfs rw,nosuid,noexec,noatime")) && line.contains("size=64k"),
        "{line}"
    );
    eq!(text(&format!("{path}/early"))?, "data");
    close(mount as i32);
    ck!(!shown(&path)?.is_empty());
    Ok(())
}

fn order() -> Outcome {
    let path = place("order")?;
    let fd = c!(fsopen("tmpfs", 0));
    fails!(fsmount(fd, 0), libc::EINVAL);
    fails!(fsconfig(fd, RECONFIGURE, None, None), libc::EBUSY);
    c!(fsconfig(fd, CREATE, None, None));
    fails!(fsconfig(fd, CREATE, None, None), libc::EBUSY);
    fails!(fsconfig(fd, SET_STRING, Some("size"), Some("64k")), libc::EBUSY);
    let mount = c!(fsmount(fd, 0));
    fails!(fsmount(fd, 0), libc::EBUSY);
    c!(fsconfig(fd, SET_FLAG, Some("ro"), None));
    c!(fsconfig(fd, RECONFIGURE, None, None));
    c!(attach(mount, &path));
    ck!(shown(&path)?.contains(" ro,"), "{}", shown(&path)?);
    fails!(attach(fd, &path), libc::EINVAL);
    fails!(libc::read(fd as i32, [0u8; 64].as_mut_ptr().cast(), 64), libc::ENODATA);
    Ok(())
}

fn arguments() -> Outcome {
    let path = place("arguments")?;
    fails!(fsopen("nosuchfs", 0), libc::ENODEV);
    fails!(fsopen("tmpfs", 2), libc::EINVAL);
    let fd = c!(fsopen("tmpfs", 1));
    eq!(c!(libc::fcntl(fd as i32, libc::F_GETFD)), libc::FD_CLOEXEC);
    fails!(fsconfig(fd, 99, Some("a"), None), libc::EOPNOTSUPP);
    fails!(fsconfig(fd, SET_STRING, Some("size"), None), libc::EINVAL);
    fails!(fsconfig(fd, SET_FLAG, None, None), libc::EINVAL);
    fails!(fsconfig(fd, CREATE, Some("x"), None), libc::EINVAL);
    fails!(fsconfig(-1, CREATE, None, None), libc::EINVAL);
    fails!(fsconfig(900, CREATE, None, None), libc::EBADF);
    fails!(fsconfig(0, CREATE, None, None), libc::EINVAL);
    c!(fsconfig(fd, SET_STRING, Some("source"), Some("one")));
    fails!(fsconfig(fd, SET_STRING, Some("source"), Some("two")), libc::EINVAL);
    fails!(fsmount(fd, 0x4000), libc::EINVAL);
    fails!(fspick(&path), libc::EINVAL); // no mount's root
    fails!(open_tree(&path, AT_RECURSIVE), libc::EINVAL);
    fails!(open_tree(&path, 0x40), libc::EINVAL);
    fails!(setattr(&path, 0, 1, 0, 0), libc::EINVAL);
    fails!(setattr("/", 0, 1 << 40, 0, 0), libc::EINVAL);
    fails!(setattr("/", 0, 0x10, 0, 0), libc::EINVAL); // atime without clearing it
    fails!(setattr("/", 0, 0, 0, 3 << 18), libc::EINVAL);
    // SAFETY: live objects.
    fails!(libc::syscall(libc::SYS_mount_setattr, AT_FDCWD, c"/".as_ptr(), 0, [0u64; 4].as_ptr(), 24), libc::EINVAL);
    eq!(c!(setattr("/", 0, 0, 0, 0)), 0);
    Ok(())
}

fn reconfigure() -> Outcome {
    let path = place("reconfigure")?;
    c!(attach(tmpfs(0)?, &path));
    let fd = c!(fspick(&path));
    c!(fsconfig(fd, SET_STRING, Some("size"), Some("128k")));
    c!(fsconfig(fd, RECONFIGURE, None, None));
    ck!(shown(&path)?.contains("size=128k"), "{}", shown(&path)?);
    c!(fsconfig(fd, SET_FLAG, Some("ro"), None));
    c!(fsconfig(fd, RECONFIGURE, None, None));
    fails!(libc::mkdir(cstr(&format!("{path}/d")).as_ptr(), 0o700), libc::EROFS);
    fails!(fsmount(fd, 0), libc::EBUSY);
    Ok(())
}

fn attributes() -> Outcome {
    let path = place("attributes")?;
    c!(attach(tmpfs(0)?, &path));
    c!(setattr(&path, 0, 0x1 | 0x4, 0, 0));
    ck!(shown(&path)?.contains(" ro,nodev,relatime"), "{}", shown(&path)?);
    fails!(libc::mkdir(cstr(&format!("{path}/d")).as_ptr(), 0o700), libc::EROFS);
    c!(setattr(&path, 0, 0x10, 0x1 | 0x70, 0));
    ck!(shown(&path)?.contains(" rw,nodev,noatime"), "{}", shown(&path)?);
    c!(setattr(&path, 0, 0, 0, libc::MS_SHARED));
    ck!(text("/proc/self/mountinfo")?.lines().any(|l| l.contains(&path) && l.contains("shared:")));
    fails!(setattr(&path, 0, 0x100000, 0, 0).min(-1), libc::EINVAL); // fd 0 is no user name space
    Ok(())
}

fn open_tree_clone() -> Outcome {
    let (path, other) = (place("tree")?, directory("tree2")?);
    c!(attach(tmpfs(0)?, &path));
    std::fs::create_dir(format!("{path}/sub")).map_err(|e| e.to_string())?;
    c!(attach(tmpfs(0)?, &format!("{path}/sub")));
    std::fs::write(format!("{path}/sub/f"), "deep").map_err(|e| e.to_string())?;
    let alone = c!(open_tree(&path, CLONE));
    fails!(libc::openat(alone as i32, c"sub/f".as_ptr(), libc::O_RDONLY), libc::ENOENT);
    let all = c!(open_tree(&path, CLONE | AT_RECURSIVE));
    c!(libc::openat(all as i32, c"sub/f".as_ptr(), libc::O_RDONLY));
    c!(attach(all, &other));
    eq!(text(&format!("{other}/sub/f"))?, "deep");
    // Without CLONE it is an O_PATH descriptor.
    let plain = c!(open_tree(&path, 0));
    fails!(libc::read(plain as i32, [0u8; 1].as_mut_ptr().cast(), 1), libc::EBADF);
    c!(libc::fcntl(plain as i32, libc::F_GETFD));
    Ok(())
}

fn move_tree() -> Outcome {
    let (from, to) = (place("from")?, directory("to")?);
    c!(attach(tmpfs(0)?, &from));
    let (f, t) = (cstr(&from), cstr(&to));
    let go = |a: &std::ffi::CString, b: &std::ffi::CString, flags: i32| {
        // SAFETY: NUL-terminated.
        unsafe { libc::syscall(libc::SYS_move_mount, AT_FDCWD, a.as_ptr(), AT_FDCWD, b.as_ptr(), flags) }
    };
    fails!(go(&f, &t, 0x1000), libc::EINVAL);
    c!(go(&f, &t, 0));
    eq!(shown(&from)?, "");
    ck!(!shown(&to)?.is_empty());
    fails!(go(&f, &t, 0), libc::EINVAL); // no mount any more
    std::fs::create_dir(format!("{to}/below")).map_err(|e| e.to_string())?;
    fails!(go(&t, &cstr(&format!("{to}/below")), 0), libc::ELOOP);
    std::fs::write(format!("{from}/file"), "").map_err(|e| e.to_string())?;
    fails!(go(&t, &cstr(&format!("{from}/file")), 0), libc::EINVAL);
    Ok(())
}

fn unattached() -> Outcome {
    let path = place("unattached")?;
    let mount = tmpfs(0)?;
    let dup = c!(libc::fcntl(mount as i32, libc::F_DUPFD, 0));
    close(mount as i32);
    c!(attach(dup.into(), &path)); // the last descriptor counts
    c!(libc::umount(cstr(&path).as_ptr()).min(0).max(libc::umount2(cstr(&path).as_ptr(), libc::MNT_DETACH)));
    eq!(shown(&path)?, "");
    fails!(attach(dup.into(), &path), libc::EINVAL); // it was unmounted
    close(dup);
    Ok(())
}

fn recursive() -> Outcome {
    let path = place("recursive")?;
    c!(attach(tmpfs(0)?, &path));
    let sub = format!("{path}/sub");
    std::fs::create_dir(&sub).map_err(|e| e.to_string())?;
    c!(attach(tmpfs(0)?, &sub));
    c!(setattr(&path, AT_RECURSIVE, 0x8, 0, 0));
    ck!(shown(&path)?.contains("noexec") && shown(&sub)?.contains("noexec"));
    c!(setattr(&path, 0, 0, 0x8, 0));
    ck!(!shown(&path)?.contains("noexec") && shown(&sub)?.contains("noexec"));
    // A tree that is attached nowhere can be changed too.
    let tree = c!(open_tree(&path, CLONE));
    let attr = [0x1u64, 0, 0, 0];
    c!(libc::syscall(libc::SYS_mount_setattr, tree, c"".as_ptr(), AT_EMPTY_PATH, attr.as_ptr(), 32));
    fails!(libc::mkdirat(tree as i32, c"d".as_ptr(), 0o700), libc::EROFS);
    Ok(())
}

fn unprivileged() -> Outcome {
    crate::sysvipc::as_user(|| {
        fails!(fsopen("tmpfs", 0), libc::EPERM);
        fails!(fspick("/"), libc::EPERM);
        fails!(open_tree("/", CLONE), libc::EPERM);
        c!(open_tree("/", 0));
        fails!(attach(0, "/"), libc::EPERM);
        fails!(setattr("/", 0, 1, 0, 0), libc::EPERM);
        fails!(fsmount(0, 0), libc::EPERM);
        Ok(())
    })
}

fn process_madvise() -> Outcome {
    // SAFETY: an anonymous mapping of the test's own.
    let at = c!(libc::mmap(
        core::ptr::null_mut(),
        16384,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
        0
    )) as usize;
    let pid = child(|| {
        sleep_ms(10_000);
        0
    })?;
    let fd = c!(libc::syscall(libc::SYS_pidfd_open, pid, 0));
    let call = |fd: i64, pieces: &[[usize; 2]], advice: i32, flags: u32| {
        // SAFETY: live pieces.
        unsafe { libc::syscall(libc::SYS_process_madvise, fd, pieces.as_ptr(), pieces.len(), advice, flags) }
    };
    eq!(c!(call(fd, &[[at, 4096], [at + 8192, 4096]], libc::MADV_COLD, 0)), 8192);
    eq!(c!(call(fd, &[[at, 4096], [4096, 4096]], libc::MADV_COLD, 0)), 4096); // as far as it went
    fails!(call(fd, &[[4096, 4096]], libc::MADV_COLD, 0), libc::ENOMEM);
    fails!(call(fd, &[[at, 4096]], libc::MADV_DONTNEED, 0), libc::EINVAL);
    fails!(call(fd, &[[at, 4096]], libc::MADV_COLD, 1), libc::EINVAL);
    fails!(call(0, &[[at, 4096]], libc::MADV_COLD, 0), libc::EBADF);
    crate::sysvipc::as_user(|| {
        fails!(call(fd, &[[at, 4096]], libc::MADV_COLD, 0), libc::EACCES);
        Ok(())
    })?;
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}
