// SPDX-License-Identifier: GPL-2.0
//! Names: which error comes first, where walks end, and what counts.

use crate::util::{Outcome, close, dir, errno, home, in_child};
use crate::{Test, c, ck, eq, fails};
use core::ffi::CStr;
use core::ptr::null;

pub const TESTS: &[Test] = &[
    ("alike.gone_directory", gone_directory),
    ("alike.read_only_last", read_only_last),
    ("alike.cached_links", cached_links),
    ("alike.dots_above", dots_above),
    ("alike.names_are_counted", names_are_counted),
    ("alike.group_bits", group_bits),
    ("alike.own_root_read_only", own_root_read_only),
    ("alike.across_first", across_first),
    ("alike.absolute_link_stays", absolute_link_stays),
];

const CWD: i32 = libc::AT_FDCWD;

/// What a call is to fill.
fn blank<T: Copy>() -> T {
    // SAFETY: only for plain structures of numbers.
    unsafe { core::mem::zeroed() }
}

fn open(name: &CStr, flags: i32) -> Result<i32, String> {
    Ok(c!(libc::open(name.as_ptr(), flags, 0o644)))
}

fn openat2(dir: i32, name: &CStr, flags: i32, resolve: u64) -> i64 {
    let how = [flags as u64, 0, resolve];
    // SAFETY: live arguments.
    let fd = unsafe { libc::syscall(libc::SYS_openat2, dir, name.as_ptr(), &how, 24) };
    if fd < 0 { -i64::from(errno()) } else { fd }
}

/// A new tmpfs at `m` in the test's own directory.
fn tmpfs(options: &CStr) -> Outcome {
    home()?;
    c!(libc::mkdir(c"m".as_ptr(), 0o755));
    c!(libc::mount(c"t".as_ptr(), c"m".as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()));
    Ok(())
}

fn umount(name: &CStr) -> Outcome {
    c!(libc::umount2(name.as_ptr(), libc::MNT_DETACH));
    Ok(())
}

/// In a directory that is gone no name is too long, and a file without a name can be made.
fn gone_directory() -> Outcome {
    tmpfs(c"")?;
    c!(libc::mkdir(c"m/d".as_ptr(), 0o755));
    let d = open(c"m/d", libc::O_RDONLY)?;
    c!(libc::rmdir(c"m/d".as_ptr()));
    let long = std::ffi::CString::new(vec![b'n'; 256]).map_err(|e| e.to_string())?;
    let mut st: libc::stat = blank();
    fails!(libc::fstatat(d, long.as_ptr(), &mut st, 0), libc::ENOENT);
    fails!(libc::mkdirat(d, long.as_ptr(), 0o755), libc::ENOENT);
    fails!(libc::fstatat(CWD, long.as_ptr(), &mut st, 0), libc::ENAMETOOLONG);
    close(c!(libc::openat(d, c".".as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600)));
    close(d);
    umount(c"m")
}

/// That a mount is read-only is said last, but of a file that would be cut off.
fn read_only_last() -> Outcome {
    tmpfs(c"")?;
    close(open(c"m/f", libc::O_RDWR | libc::O_CREAT)?);
    let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
    c!(libc::mount(null(), c"m".as_ptr(), null(), flags, null()));
    fails!(libc::open(c"m/f".as_ptr(), libc::O_RDWR), libc::EROFS);
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(libc::open(c"m/f".as_ptr(), libc::O_RDWR), libc::EACCES);
        fails!(libc::open(c"m/f".as_ptr(), libc::O_RDWR | libc::O_TRUNC), libc::EROFS);
        Ok(())
    })?;
    // Neither reading nor writing asks for the rights alone.
    close(open(c"m/f", 3)?);
    umount(c"m")
}

/// `RESOLVE_CACHED` follows links whose text is in memory; where the root is no directory, not even `/` leads anywhere.
fn cached_links() -> Outcome {
    const CACHED: u64 = 32;
    tmpfs(c"")?;
    close(open(c"m/f", libc::O_RDWR | libc::O_CREAT)?);
    c!(libc::symlink(c"f".as_ptr(), c"m/l".as_ptr()));
    // Once its time has moved there is nothing to write.
    close(open(c"m/l", libc::O_RDONLY)?);
    let fd = openat2(CWD, c"m/l", libc::O_RDONLY, CACHED);
    ck!(fd >= 0 || fd == -i64::from(libc::EAGAIN), "{fd}");
    let none = openat2(CWD, c"m/nothing", libc::O_RDONLY, CACHED);
    eq!(none, -i64::from(libc::EAGAIN));
    eq!(openat2(CWD, c"m/l", libc::O_RDONLY, CACHED | libc::RESOLVE_NO_SYMLINKS), -i64::from(libc::ELOOP));
    eq!(openat2(CWD, c"m/f/x", libc::O_RDONLY, CACHED), -i64::from(libc::EAGAIN));
    eq!(openat2(CWD, c"m/f/", libc::O_RDONLY, CACHED), -i64::from(libc::ENOTDIR));
    let f = open(c"m/f", libc::O_RDONLY)?;
    eq!(openat2(f, c"x", libc::O_RDONLY, CACHED), -i64::from(libc::ENOTDIR));
    eq!(openat2(f, c"/", libc::O_RDONLY, libc::RESOLVE_IN_ROOT), -i64::from(libc::ENOTDIR));
    // Where the walk may not go is said after another look, which it does not take.
    for (resolve, name) in [(libc::RESOLVE_NO_XDEV, c"m"), (libc::RESOLVE_BENEATH, c"..")] {
        eq!(openat2(CWD, name, libc::O_RDONLY, resolve), -i64::from(libc::EXDEV));
        eq!(openat2(CWD, name, libc::O_RDONLY, resolve | CACHED), -i64::from(libc::EAGAIN));
    }
    let m = open(c"m", libc::O_RDONLY)?;
    eq!(openat2(m, c"..", libc::O_RDWR | libc::O_CREAT, libc::RESOLVE_BENEATH), -i64::from(libc::EXDEV));
    eq!(openat2(m, c".", libc::O_RDWR | libc::O_CREAT, libc::RESOLVE_BENEATH), -i64::from(libc::EISDIR));
    close(f);
    close(m);
    umount(c"m")
}

/// `..` enters what is mounted on the root, and does not lead out of a bind mount whose directory was moved away.
fn dots_above() -> Outcome {
    tmpfs(c"")?;
    for name in [c"m/a", c"m/b", c"m/a/x", c"m/r", c"m/r/d", c"m/o", c"m/o/only"] {
        c!(libc::mkdir(name.as_ptr(), 0o755));
    }
    c!(libc::mount(c"m/a".as_ptr(), c"m/b".as_ptr(), null(), libc::MS_BIND, null()));
    let x = open(c"m/b/x", libc::O_RDONLY)?;
    c!(libc::rename(c"m/a/x".as_ptr(), c"m/x".as_ptr()));
    fails!(libc::openat(x, c"..".as_ptr(), libc::O_RDONLY), libc::ENOENT);
    close(x);
    in_child(|| {
        c!(libc::unshare(libc::CLONE_NEWNS));
        c!(libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null()));
        let from = std::ffi::CString::new(dir()? + "/m/o").map_err(|e| e.to_string())?;
        c!(libc::chdir(c"m/r".as_ptr()));
        c!(libc::mount(from.as_ptr(), c".".as_ptr(), null(), libc::MS_BIND, null()));
        c!(libc::chroot(c".".as_ptr()));
        let mut st: libc::stat = blank();
        // The root itself is below; what lies on it is found from there.
        c!(libc::stat(c"d".as_ptr(), &mut st));
        c!(libc::stat(c"../only".as_ptr(), &mut st));
        c!(libc::stat(c"d/../only".as_ptr(), &mut st));
        Ok(())
    })?;
    umount(c"m/b")?;
    umount(c"m")
}

/// More names of a file count as files do, and what has gone does not.
fn names_are_counted() -> Outcome {
    tmpfs(c"nr_inodes=4")?;
    let free = || -> Result<u64, String> {
        let mut st: libc::statfs = blank();
        c!(libc::statfs(c"m".as_ptr(), &mut st));
        Ok(st.f_ffree)
    };
    eq!(free()?, 3);
    close(open(c"m/a", libc::O_RDWR | libc::O_CREAT)?);
    c!(libc::link(c"m/a".as_ptr(), c"m/b".as_ptr()));
    c!(libc::link(c"m/a".as_ptr(), c"m/c".as_ptr()));
    eq!(free()?, 0);
    fails!(libc::link(c"m/a".as_ptr(), c"m/d".as_ptr()), libc::ENOSPC);
    c!(libc::unlink(c"m/a".as_ptr()));
    eq!(free()?, 1);
    close(open(c"m/d", libc::O_RDWR | libc::O_CREAT)?);
    c!(libc::rename(c"m/d".as_ptr(), c"m/c".as_ptr()));
    eq!(free()?, 1);
    for name in [c"m/b", c"m/c"] {
        c!(libc::unlink(name.as_ptr()));
    }
    eq!(free()?, 3);
    // A directory and a link, again and again.
    for _ in 0..20 {
        for _ in 0..3 {
            c!(libc::mkdir(c"m/d".as_ptr(), 0o755));
            c!(libc::rmdir(c"m/d".as_ptr()));
            c!(libc::symlink(c"x".as_ptr(), c"m/l".as_ptr()));
            c!(libc::unlink(c"m/l".as_ptr()));
        }
    }
    eq!(free()?, 3);
    // A file counts until it is closed, a directory until nobody is there.
    let file = open(c"m/f", libc::O_RDWR | libc::O_CREAT)?;
    c!(libc::unlink(c"m/f".as_ptr()));
    c!(libc::mkdir(c"m/d".as_ptr(), 0o755));
    let inside = open(c"m/d", libc::O_RDONLY)?;
    c!(libc::rmdir(c"m/d".as_ptr()));
    eq!((free()?, free()?), (1, 1));
    close(file);
    eq!(free()?, 2);
    close(inside);
    for _ in 0..3 {
        close(open(c"m/f", libc::O_RDWR | libc::O_CREAT)?);
        c!(libc::rename(c"m/f".as_ptr(), c"m/g".as_ptr()));
        c!(libc::mkdir(c"m/d".as_ptr(), 0o755));
        c!(libc::symlink(c"x".as_ptr(), c"m/l".as_ptr()));
        c!(libc::rmdir(c"m/d".as_ptr()));
        c!(libc::unlink(c"m/l".as_ptr()));
    }
    c!(libc::unlink(c"m/g".as_ptr()));
    umount(c"m")
}

fn mode_of(name: &CStr) -> Result<u32, String> {
    let mut st: libc::stat = blank();
    c!(libc::stat(name.as_ptr(), &mut st));
    Ok(st.st_mode & 0o7777)
}

/// The group's bit of a new file goes by the mode that was asked for, not by what the umask leaves of it; that of a file whose group may
/// not execute it goes with its contents if the writer is not in the group.
fn group_bits() -> Outcome {
    tmpfs(c"mode=2777")?;
    c!(libc::chown(c"m".as_ptr(), 0, 77));
    c!(libc::chmod(c"m".as_ptr(), 0o2777));
    in_child(|| {
        c!(libc::setgroups(0, null()));
        c!(libc::setresgid(1000, 1000, 1000));
        c!(libc::setresuid(1000, 1000, 1000));
        c!(libc::umask(0o77));
        close(c!(libc::open(c"m/f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o2775)));
        eq!(mode_of(c"m/f")?, 0o700);
        Ok(())
    })?;
    c!(libc::chmod(c"m/f".as_ptr(), 0o2606));
    in_child(|| {
        c!(libc::setgroups(0, null()));
        c!(libc::setresgid(1000, 1000, 1000));
        c!(libc::setresuid(1000, 1000, 1000));
        let fd = open(c"m/f", libc::O_WRONLY)?;
        eq!(c!(libc::write(fd, b"x".as_ptr().cast(), 1)), 1);
        eq!(mode_of(c"m/f")?, 0o606);
        Ok(())
    })?;
    umount(c"m")
}

/// Who unmounts his own root makes its file system read-only, unless somebody writes there or something is still to be removed.
fn own_root_read_only() -> Outcome {
    tmpfs(c"")?;
    in_child(|| {
        c!(libc::chroot(c"m".as_ptr()));
        c!(libc::chdir(c"/".as_ptr()));
        let f = open(c"f", libc::O_WRONLY | libc::O_CREAT)?;
        fails!(libc::umount2(c"/".as_ptr(), 0), libc::EBUSY);
        close(f);
        let f = open(c"f", libc::O_RDONLY)?;
        c!(libc::unlink(c"f".as_ptr()));
        fails!(libc::umount2(c"/".as_ptr(), 0), libc::EBUSY);
        close(f);
        close(open(c"g", libc::O_WRONLY | libc::O_CREAT)?);
        c!(libc::umount2(c"/".as_ptr(), 0));
        fails!(libc::mkdir(c"d".as_ptr(), 0o755), libc::EROFS);
        // Then it is said first, and to everybody.
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(libc::access(c"g".as_ptr(), libc::W_OK), libc::EROFS);
        fails!(libc::open(c"g".as_ptr(), libc::O_WRONLY), libc::EROFS);
        Ok(())
    })?;
    umount(c"m")
}

/// That two names are on different mounts counts before what may not be done there.
fn across_first() -> Outcome {
    tmpfs(c"")?;
    c!(libc::mkdir(c"d".as_ptr(), 0o755));
    close(open(c"d/f", libc::O_RDWR | libc::O_CREAT)?);
    c!(libc::chmod(c"d/f".as_ptr(), 0o666));
    c!(libc::chmod(c"m".as_ptr(), 0o755));
    fails!(libc::rename(c"/".as_ptr(), c"m/x".as_ptr()), libc::EXDEV);
    fails!(libc::rename(c"/".as_ptr(), c"/".as_ptr()), libc::EBUSY);
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(libc::link(c"d/f".as_ptr(), c"m/f".as_ptr()), libc::EXDEV);
        Ok(())
    })?;
    // A name space that nobody keeps is the same to everybody.
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        let (name, key) = (c"d/f".as_ptr(), c"system.x".as_ptr());
        fails!(libc::setxattr(name, key, b"x".as_ptr().cast(), 1, 0), libc::EOPNOTSUPP);
        Ok(())
    })?;
    umount(c"m")
}

/// `RESOLVE_NO_XDEV` follows a link from `/` on the same mount only where the walk has asked for `/` before.
fn absolute_link_stays() -> Outcome {
    tmpfs(c"")?;
    c!(libc::mkdir(c"m/d".as_ptr(), 0o755));
    c!(libc::symlink(c"/".as_ptr(), c"m/l".as_ptr()));
    c!(libc::symlink(c"d".as_ptr(), c"m/k".as_ptr()));
    in_child(|| {
        c!(libc::chdir(c"m".as_ptr()));
        c!(libc::chroot(c".".as_ptr()));
        for name in [c"l", c"l/..", c"l/d", c"./l"] {
            let got = openat2(CWD, name, libc::O_PATH, libc::RESOLVE_NO_XDEV);
            ck!(got == -i64::from(libc::EXDEV), "{name:?}: {got}");
        }
        for name in [c"k/", c"d/../l/d", c"k/../l", c"k/../l/l/d", c"../l", c"/l/d", c"/k/../l/l", c"/k/../d"] {
            let got = openat2(CWD, name, libc::O_PATH, libc::RESOLVE_NO_XDEV);
            ck!(got >= 0, "{name:?}: {got}");
        }
        ck!(openat2(CWD, c"l/d", libc::O_RDONLY, 0) >= 0, "{}", errno());
        ck!(openat2(CWD, c"l/d", libc::O_RDONLY, libc::RESOLVE_NO_XDEV | libc::RESOLVE_IN_ROOT) >= 0, "{}", errno());
        Ok(())
    })?;
    umount(c"m")
}
