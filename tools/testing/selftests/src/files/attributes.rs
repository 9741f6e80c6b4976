// SPDX-License-Identifier: GPL-2.0
//! Attributes and locks.

use super::*;

pub(super) fn stat() -> Outcome {
    let path = make("f", "12345")?;
    let m = meta(&path)?;
    eq!((m.len(), m.nlink(), m.uid(), m.mode()), (5, 1, 0, libc::S_IFREG | 0o644));
    eq!((m.blksize(), m.blocks()), (4096, 8));
    // SAFETY: all zero is valid.
    let mut x: libc::statx = unsafe { core::mem::zeroed() };
    c!(libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, libc::STATX_BASIC_STATS, &mut x));
    eq!((x.stx_size, u32::from(x.stx_mode), x.stx_ino), (5, m.mode(), m.ino()));
    ck!(x.stx_mask & libc::STATX_BASIC_STATS == libc::STATX_BASIC_STATS);
    eq!((u64::from(x.stx_dev_major) << 8 | u64::from(x.stx_dev_minor)) & 0xff, m.dev() & 0xff);
    fails!(libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, 1 << 31, &mut x), libc::EINVAL);
    fails!(libc::stat(at("f/x")?.as_ptr(), core::ptr::null_mut()), libc::ENOTDIR);
    let null = meta(&cstr("/dev/null"))?;
    eq!(null.rdev(), 0x103);
    eq!(null.mode() & libc::S_IFMT, libc::S_IFCHR);
    Ok(())
}

pub(super) fn times() -> Outcome {
    let path = make("f", "x")?;
    let first = meta(&path)?;
    sleep_ms(30);
    std::fs::write(path.to_string_lossy().as_ref(), "y").map_err(|e| e.to_string())?;
    let second = meta(&path)?;
    let stamp = |m: &std::fs::Metadata| m.mtime() * 1_000_000_000 + m.mtime_nsec();
    ck!(stamp(&second) > stamp(&first));
    eq!(second.ctime_nsec(), second.mtime_nsec());
    sleep_ms(30);
    c!(libc::chmod(path.as_ptr(), 0o600));
    let third = meta(&path)?;
    eq!(third.mtime_nsec(), second.mtime_nsec());
    ck!(third.ctime_nsec() != second.ctime_nsec() || third.ctime() != second.ctime());
    let d = meta(&at(".")?)?;
    sleep_ms(30);
    c!(libc::unlink(path.as_ptr()));
    ck!(stamp(&meta(&at(".")?)?) > stamp(&d));
    Ok(())
}

pub(super) fn utimensat() -> Outcome {
    let path = make("f", "x")?;
    let set = |a: (i64, i64), m: (i64, i64)| -> Result<i32, String> {
        let ts = [libc::timespec { tv_sec: a.0, tv_nsec: a.1 }, libc::timespec { tv_sec: m.0, tv_nsec: m.1 }];
        // SAFETY: live.
        Ok(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), ts.as_ptr(), 0) })
    };
    c!(set((1000, 5), (2000, 123_456_789))?);
    let m = meta(&path)?;
    eq!((m.atime(), m.mtime(), m.mtime_nsec()), (1000, 2000, 123_456_789));
    c!(set((0, libc::UTIME_OMIT), (0, libc::UTIME_NOW))?);
    let m = meta(&path)?;
    ck!(m.atime() == 1000 && m.mtime() > 1_000_000_000);
    fails!(set((0, 1_000_000_000), (0, 0))?, libc::EINVAL);
    c!(set((-5, 0), (-5, 0))?);
    eq!(meta(&path)?.mtime(), -5);
    c!(libc::chmod(path.as_ptr(), 0o666));
    c!(libc::chmod(at(".")?.as_ptr(), 0o755));
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(set((1, 0), (1, 0))?, libc::EPERM);
        c!(libc::utimensat(libc::AT_FDCWD, path.as_ptr(), core::ptr::null(), 0)); // now, by one who may write
        Ok(())
    })
}

pub(super) fn chmod() -> Outcome {
    let path = make("f", "x")?;
    c!(libc::chmod(path.as_ptr(), 0o7777));
    eq!(meta(&path)?.mode() & 0o7777, 0o7777);
    let fd = c!(open3(&path, libc::O_RDWR, 0));
    c!(libc::fchmod(fd, 0o4755));
    // Writing takes the set-id bit from whoever has no CAP_FSETID.
    c!(libc::chown(path.as_ptr(), 1000, 1000));
    c!(libc::chmod(path.as_ptr(), 0o4777));
    in_child(|| {
        c!(libc::setuid(1000));
        write(fd, b"y")?;
        eq!(meta(&path)?.mode() & 0o7777, 0o777);
        Ok(())
    })?;
    c!(libc::symlink(c"f".as_ptr(), at("l")?.as_ptr()));
    c!(libc::chmod(at("l")?.as_ptr(), 0o600));
    eq!(meta(&path)?.mode() & 0o7777, 0o600);
    Ok(())
}

pub(super) fn mknod() -> Outcome {
    c!(libc::mknod(at("zero")?.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 5)));
    eq!(meta(&at("zero")?)?.rdev(), 0x105);
    let fd = c!(open3(&at("zero")?, libc::O_RDONLY, 0));
    eq!(read(fd, 3)?, [0, 0, 0]);
    c!(libc::mknod(at("fifo")?.as_ptr(), libc::S_IFIFO | 0o600, 0));
    c!(libc::mknod(at("reg")?.as_ptr(), 0o600, 0));
    ck!(meta(&at("reg")?)?.is_file());
    fails!(libc::mknod(at("reg")?.as_ptr(), 0o600, 0), libc::EEXIST);
    fails!(libc::mknod(at("d")?.as_ptr(), libc::S_IFDIR | 0o600, 0), libc::EPERM);
    c!(libc::mknod(at("nodev")?.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(200, 200)));
    fails!(open3(&at("nodev")?, libc::O_RDONLY, 0), libc::ENXIO);
    in_child(|| {
        c!(libc::chmod(at(".")?.as_ptr(), 0o777));
        c!(libc::setuid(1000));
        fails!(libc::mknod(at("mine")?.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 5)), libc::EPERM);
        Ok(())
    })
}

pub(super) fn flock() -> Outcome {
    let path = make("f", "")?;
    let one = c!(open3(&path, libc::O_RDONLY, 0));
    let two = c!(open3(&path, libc::O_RDONLY, 0));
    c!(libc::flock(one, libc::LOCK_EX));
    fails!(libc::flock(two, libc::LOCK_SH | libc::LOCK_NB), libc::EWOULDBLOCK);
    c!(libc::flock(one, libc::LOCK_SH));
    c!(libc::flock(two, libc::LOCK_SH | libc::LOCK_NB));
    fails!(libc::flock(one, libc::LOCK_EX | libc::LOCK_NB), libc::EWOULDBLOCK);
    c!(libc::flock(two, libc::LOCK_UN));
    c!(libc::flock(one, libc::LOCK_EX));
    let pid = child(|| {
        let Ok(mine) = open(&path.to_string_lossy(), libc::O_RDONLY) else { return 1 };
        // SAFETY: numbers; waits until the lock is free.
        unsafe { libc::flock(mine, libc::LOCK_EX) }
    })?;
    until("the child waits", || state(pid) == 'S')?;
    close(one);
    // The child of fork holds `one` too, so unlocking is by its end or here.
    let mut status = 0;
    sleep_ms(50);
    if c!(libc::waitpid(pid, &mut status, libc::WNOHANG)) == 0 {
        c!(libc::kill(pid, libc::SIGKILL));
        signal_of(pid)?;
    }
    fails!(libc::flock(two, 16), libc::EINVAL);
    Ok(())
}

fn lock(fd: i32, cmd: i32, kind: i32, start: i64, len: i64) -> (i32, libc::flock) {
    let mut l =
        libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 };
    // SAFETY: live.
    let ret = unsafe { libc::fcntl(fd, cmd, &mut l) };
    (ret, l)
}

pub(super) fn posix_locks() -> Outcome {
    let path = make("f", "0123456789")?;
    let fd = c!(open3(&path, libc::O_RDWR, 0));
    c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 2, 4).0);
    let parent = std::process::id() as i32;
    in_child(|| {
        let (ret, l) = lock(fd, libc::F_GETLK, libc::F_RDLCK, 0, 0);
        eq!((ret, i32::from(l.l_type), l.l_start, l.l_len, l.l_pid), (0, libc::F_WRLCK, 2, 4, parent));
        fails!(lock(fd, libc::F_SETLK, libc::F_RDLCK, 3, 1).0, libc::EAGAIN);
        c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 6, 4).0);
        eq!(i32::from(lock(fd, libc::F_GETLK, libc::F_RDLCK, 0, 2).1.l_type), libc::F_UNLCK);
        Ok(())
    })?;
    c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 6, 4).0); // the child's went with it
    let pid = child(|| lock(fd, libc::F_SETLKW, libc::F_WRLCK, 0, 0).0)?;
    until("the child waits", || state(pid) == 'S')?;
    c!(lock(fd, libc::F_SETLK, libc::F_UNLCK, 0, 0).0);
    eq!(exit_of(pid)?, 0);
    // Any close of the file drops the process's locks.
    c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 0, 1).0);
    close(c!(open3(&path, libc::O_RDONLY, 0)));
    in_child(|| {
        c!(lock(fd, libc::F_SETLK, libc::F_WRLCK, 0, 1).0);
        Ok(())
    })?;
    let read_only = c!(open3(&path, libc::O_RDONLY, 0));
    fails!(lock(read_only, libc::F_SETLK, libc::F_WRLCK, 0, 1).0, libc::EBADF);
    Ok(())
}

pub(super) fn xattr() -> Outcome {
    let path = make("f", "")?;
    // SAFETY: live strings.
    let set = unsafe { libc::setxattr(path.as_ptr(), c"trusted.name".as_ptr(), b"value".as_ptr().cast(), 5, 0) };
    if set < 0 && errno() == libc::EOPNOTSUPP {
        return Err(format!("{SKIP}tmpfs has no extended attributes"));
    }
    eq!(set, 0);
    let mut buf = [0u8; 16];
    eq!(c!(libc::getxattr(path.as_ptr(), c"trusted.name".as_ptr(), buf.as_mut_ptr().cast(), 16)), 5);
    eq!(&buf[..5], b"value");
    fails!(libc::getxattr(path.as_ptr(), c"trusted.other".as_ptr(), buf.as_mut_ptr().cast(), 16), libc::ENODATA);
    Ok(())
}
