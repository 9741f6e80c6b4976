// SPDX-License-Identifier: GPL-2.0
//! Where files are read and written, and the names that they have.

use crate::util::{Outcome, home, in_child, read, write};
use crate::{Test, c, ck, eq, fails};
use core::ptr::null_mut;

pub const TESTS: &[Test] = &[
    ("alike.sendfile_to_itself", sendfile_to_itself),
    ("alike.sendfile_overlap", sendfile_overlap),
    ("alike.failed_write_stays", failed_write_stays),
    ("alike.rename_whiteout", rename_whiteout),
    ("alike.sealed_part", sealed_part),
    ("alike.end_is_looked_at", end_is_looked_at),
    ("alike.first_lock_in_the_way", first_lock_in_the_way),
];

fn file(content: &[u8]) -> Result<i32, String> {
    home()?;
    let fd = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, 0o600));
    write(fd, content)?;
    c!(libc::lseek(fd, 0, libc::SEEK_SET));
    Ok(fd)
}

/// From a file to itself: its one position moves.
fn sendfile_to_itself() -> Outcome {
    let fd = file(b"0123456789")?;
    let other = c!(libc::dup(fd));
    eq!(c!(libc::sendfile(other, fd, null_mut(), 4)), 4);
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_CUR)), 4);
    eq!(c!(libc::sendfile(other, fd, null_mut(), 100)), 6);
    eq!(c!(libc::sendfile(other, fd, null_mut(), 100)), 0);
    Ok(())
}

/// To a later place of the same file: what was written is read, as the file grows. No byte can be written where no position is.
fn sendfile_overlap() -> Outcome {
    let page: Vec<u8> = (0..4096_u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let fd = file(&page)?;
    let to = c!(libc::open(c"f".as_ptr(), libc::O_WRONLY));
    c!(libc::lseek(to, 4096, libc::SEEK_SET));
    eq!(c!(libc::sendfile(to, fd, null_mut(), 9000)), 9000);
    let all = std::fs::read("f").map_err(|e| e.to_string())?;
    eq!(all.len(), 4096 + 9000);
    ck!(all.iter().zip(page.iter().cycle()).all(|(a, b)| a == b), "each page is the first again");
    c!(libc::lseek(to, i64::MAX - 100, libc::SEEK_SET));
    c!(libc::lseek(fd, 0, libc::SEEK_END));
    fails!(libc::sendfile(to, fd, null_mut(), 200), libc::EINVAL);
    Ok(())
}

/// A write at the end that fails leaves the position where it was.
fn failed_write_stays() -> Outcome {
    in_child(|| {
        let fd = file(&[7; 100])?;
        c!(libc::lseek(fd, 5, libc::SEEK_SET));
        c!(libc::fcntl(fd, libc::F_SETFL, libc::O_APPEND));
        crate::util::handle(libc::SIGXFSZ, libc::SIG_IGN, 0)?;
        c!(libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: 100, rlim_max: 100 }));
        fails!(libc::write(fd, b"x".as_ptr().cast(), 1), libc::EFBIG);
        eq!(c!(libc::lseek(fd, 0, libc::SEEK_CUR)), 5);
        eq!(read(fd, 200)?.len(), 95);
        Ok(())
    })
}

/// `RENAME_WHITEOUT` in tmpfs leaves a device 0:0 that nobody may use.
fn rename_whiteout() -> Outcome {
    home()?;
    c!(libc::mkdir(c"m".as_ptr(), 0o755));
    c!(libc::mount(c"t".as_ptr(), c"m".as_ptr(), c"tmpfs".as_ptr(), 0, c"nr_inodes=5".as_ptr().cast()));
    let whiteout = |from: &core::ffi::CStr, to: &core::ffi::CStr| -> i64 {
        // SAFETY: the names end with NUL.
        unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), 4) }
    };
    // SAFETY: a `stat` may be all zeroes.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::mkdir(c"m/a".as_ptr(), 0o755));
    eq!(whiteout(c"m/a/", c"m/b"), 0);
    c!(libc::lstat(c"m/a".as_ptr(), &mut st));
    eq!((st.st_mode, st.st_rdev, st.st_nlink), (libc::S_IFCHR, 0, 1));
    c!(libc::stat(c"m".as_ptr(), &mut st));
    eq!((st.st_size, st.st_nlink), (80, 3));
    // In place of another, in another directory.
    c!(libc::close(c!(libc::open(c"m/c".as_ptr(), libc::O_WRONLY | libc::O_CREAT, 0o600))));
    c!(libc::close(c!(libc::open(c"m/b/c".as_ptr(), libc::O_WRONLY | libc::O_CREAT, 0o600))));
    // The root and these are all that there may be.
    eq!(whiteout(c"m/c", c"m/b/c"), -1);
    eq!(crate::util::errno(), libc::ENOSPC);
    c!(libc::unlink(c"m/a".as_ptr()));
    eq!(whiteout(c"m/c", c"m/b/c"), 0);
    let mut names: Vec<_> = std::fs::read_dir("m")
        .map_err(|e| e.to_string())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    eq!(names, ["b", "c"]);
    ck!(std::fs::read("m/c").is_err());
    c!(libc::unlink(c"m/c".as_ptr()));
    c!(libc::unlink(c"m/b/c".as_ptr()));
    c!(libc::rmdir(c"m/b".as_ptr()));
    c!(libc::umount2(c"m".as_ptr(), libc::MNT_DETACH));
    Ok(())
}

/// Of a write to a file that must not grow as many pages are written as lie within it; one of nothing is none.
fn sealed_part() -> Outcome {
    let fd = c!(libc::memfd_create(c"sealed".as_ptr(), libc::MFD_ALLOW_SEALING));
    c!(libc::ftruncate(fd, 9000));
    c!(libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_GROW));
    let bytes = [1_u8; 20_000];
    eq!(c!(libc::pwrite(fd, bytes.as_ptr().cast(), 20_000, 100)), 8192 - 100);
    eq!(c!(libc::pwrite(fd, bytes.as_ptr().cast(), 9000, 0)), 9000);
    fails!(libc::pwrite(fd, bytes.as_ptr().cast(), 1000, 8192), libc::EPERM);
    c!(libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_WRITE));
    eq!(c!(libc::write(fd, bytes.as_ptr().cast(), 0)), 0);
    fails!(libc::write(fd, bytes.as_ptr().cast(), 1), libc::EPERM);
    Ok(())
}

/// Who reads at a file's end has looked at it.
fn end_is_looked_at() -> Outcome {
    let fd = file(b"x")?;
    let long_ago = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
    c!(libc::futimens(fd, [long_ago, long_ago].as_ptr()));
    c!(libc::lseek(fd, 0, libc::SEEK_END));
    eq!(read(fd, 10)?.len(), 0);
    // SAFETY: a `stat` may be all zeroes.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(fd, &mut st));
    ck!(st.st_atime > 1000, "{}", st.st_atime);
    Ok(())
}

/// `F_GETLK` tells of the lock with the lowest place, of who had a lock first.
fn first_lock_in_the_way() -> Outcome {
    let fd = file(&[0; 100])?;
    let other = c!(libc::open(c"f".as_ptr(), libc::O_RDWR));
    let lock = |fd: i32, command: i32, kind: i32, start: i64, len: i64| -> Result<(i16, i64, i64), String> {
        // SAFETY: a `flock` may be all zeroes.
        let mut lock: libc::flock = unsafe { core::mem::zeroed() };
        (lock.l_type, lock.l_start, lock.l_len) = (kind as i16, start, len);
        c!(libc::fcntl(fd, command, &mut lock));
        Ok((lock.l_type, lock.l_start, lock.l_len))
    };
    lock(fd, libc::F_OFD_SETLK, libc::F_RDLCK, 50, 10)?;
    lock(other, libc::F_OFD_SETLK, libc::F_RDLCK, 0, 10)?;
    // The first of the one who was first, though it came last.
    lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK, 20, 10)?;
    eq!(lock(fd, libc::F_GETLK, libc::F_WRLCK, 0, 0)?, (libc::F_WRLCK as i16, 20, 10));
    // Who has none any more is not the first any more.
    lock(fd, libc::F_OFD_SETLK, libc::F_UNLCK, 0, 0)?;
    lock(fd, libc::F_OFD_SETLK, libc::F_RDLCK, 5, 1)?;
    eq!(lock(fd, libc::F_GETLK, libc::F_WRLCK, 0, 0)?, (libc::F_RDLCK as i16, 0, 10));
    Ok(())
}
