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

/// To a later place of the same file: what was written is read, as the file grows.
fn sendfile_overlap() -> Outcome {
    let fd = file(b"0123")?;
    let to = c!(libc::open(c"f".as_ptr(), libc::O_WRONLY));
    c!(libc::lseek(to, 2, libc::SEEK_SET));
    eq!(c!(libc::sendfile(to, fd, null_mut(), 9)), 9);
    eq!(std::fs::read("f").map_err(|e| e.to_string())?, b"01010101010".to_vec());
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
