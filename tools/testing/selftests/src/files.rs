// SPDX-License-Identifier: GPL-2.0
//! Files and directories on tmpfs: opening, reading, writing, names, links, renaming, attributes, locks, mounts.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;

pub const TESTS: &[Test] = &[
    ("files.open_flags", open_flags),
    ("files.open_errors", open_errors),
    ("files.read_write_seek", read_write_seek),
    ("files.append", append),
    ("files.pread_pwrite", pread_pwrite),
    ("files.holes", holes),
    ("files.truncate", truncate),
    ("files.fallocate", fallocate),
    ("files.seek_errors", seek_errors),
    ("files.dup", dup),
    ("files.fcntl", fcntl),
    ("files.close_range", close_range),
    ("files.names", names),
    ("files.hard_links", hard_links),
    ("files.symlinks", symlinks),
    ("files.symlink_loops", symlink_loops),
    ("files.rename", rename),
    ("files.rename_directories", rename_dirs),
    ("files.rename_flags", rename_flags),
    ("files.unlink_open_file", unlink_open),
    ("files.directories", directories),
    ("files.getdents", getdents),
    ("files.many_names", many_names),
    ("files.dot_dot", dot_dot),
    ("files.openat_and_path_fds", openat),
    ("files.o_tmpfile", tmpfile),
    ("files.stat", stat),
    ("files.times", times),
    ("files.utimensat", utimensat),
    ("files.chmod", chmod),
    ("files.mknod", mknod),
    ("files.flock", flock),
    ("files.posix_locks", posix_locks),
    ("files.sendfile", sendfile),
    ("files.splice", splice),
    ("files.chroot", chroot),
    ("files.mount_tmpfs", mount),
    ("files.mount_flags", mount_flags),
    ("files.bind_mount", bind),
    ("files.tmpfs_size_limit", size_limit),
    ("files.statfs", statfs),
    ("files.getcwd", getcwd),
    ("files.devices", devices),
    ("files.concurrent_create", concurrent),
    ("files.rename_race", rename_race),
    ("files.large", large),
    ("files.xattr", xattr),
    ("files.inotify", inotify),
];

/// A path in this test's directory.
fn at(name: &str) -> Result<CString, String> {
    Ok(cstr(&format!("{}/{name}", dir()?)))
}

fn make(name: &str, data: &str) -> Result<CString, String> {
    let path = at(name)?;
    std::fs::write(path.to_string_lossy().as_ref(), data).map_err(|e| e.to_string())?;
    Ok(path)
}

fn meta(path: &CString) -> Result<std::fs::Metadata, String> {
    std::fs::symlink_metadata(path.to_string_lossy().as_ref()).map_err(|e| e.to_string())
}

fn content(path: &CString) -> Result<String, String> {
    text(&path.to_string_lossy())
}

fn open3(path: &CString, flags: i32, mode: u32) -> i32 {
    // SAFETY: NUL-terminated.
    unsafe { libc::open(path.as_ptr(), flags, mode) }
}

fn open_flags() -> Outcome {
    let path = at("f")?;
    fails!(open3(&path, libc::O_RDONLY, 0), libc::ENOENT);
    let fd = c!(open3(&path, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o444));
    write(fd, b"data")?; // the mode does not bind the creator
    fails!(libc::read(fd, [0u8; 1].as_mut_ptr().cast(), 1), libc::EBADF);
    fails!(open3(&path, libc::O_CREAT | libc::O_EXCL, 0), libc::EEXIST);
    eq!(meta(&path)?.mode() & 0o7777, 0o444);
    let fd = c!(open3(&path, libc::O_RDWR | libc::O_TRUNC, 0));
    eq!(meta(&path)?.len(), 0);
    eq!(c!(libc::fcntl(fd, libc::F_GETFL)) & (libc::O_ACCMODE | libc::O_TRUNC), libc::O_RDWR);
    let fd = c!(open3(&path, libc::O_RDONLY, 0));
    fails!(libc::write(fd, b"x".as_ptr().cast(), 1), libc::EBADF);
    let fd = c!(open3(&at(".")?, libc::O_RDONLY | libc::O_DIRECTORY, 0));
    fails!(libc::read(fd, [0u8; 1].as_mut_ptr().cast(), 1), libc::EISDIR);
    // The lowest number is taken.
    let low = c!(open3(&path, libc::O_RDONLY, 0));
    let next = c!(open3(&path, libc::O_RDONLY, 0));
    close(low);
    eq!(c!(open3(&path, libc::O_RDONLY, 0)), low);
    ck!(next > low);
    Ok(())
}

fn open_errors() -> Outcome {
    let file = make("f", "")?;
    let link = at("link")?;
    c!(libc::symlink(c"nowhere".as_ptr(), link.as_ptr()));
    fails!(open3(&at(".")?, libc::O_WRONLY, 0), libc::EISDIR);
    fails!(open3(&at(".")?, libc::O_RDONLY | libc::O_CREAT, 0), libc::EISDIR);
    fails!(open3(&file, libc::O_RDONLY | libc::O_DIRECTORY, 0), libc::ENOTDIR);
    fails!(open3(&at("f/x")?, libc::O_RDONLY, 0), libc::ENOTDIR);
    fails!(open3(&at("f/")?, libc::O_RDONLY, 0), libc::ENOTDIR);
    fails!(open3(&at("new/")?, libc::O_CREAT | libc::O_WRONLY, 0o644), libc::EISDIR);
    fails!(open3(&at("a/b")?, libc::O_CREAT | libc::O_WRONLY, 0o644), libc::ENOENT);
    fails!(open3(&link, libc::O_RDONLY, 0), libc::ENOENT);
    fails!(open3(&link, libc::O_RDONLY | libc::O_NOFOLLOW, 0), libc::ELOOP);
    fails!(open3(&link, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o644), libc::EEXIST);
    let made = c!(open3(&link, libc::O_CREAT | libc::O_WRONLY, 0o644)); // makes the target
    close(made);
    ck!(meta(&at("nowhere")?)?.is_file());
    fails!(open3(&cstr(""), libc::O_RDONLY, 0), libc::ENOENT);
    fails!(open3(&at(&"n".repeat(256))?, libc::O_RDONLY, 0), libc::ENAMETOOLONG);
    fails!(open3(&cstr(&"/x".repeat(2100)), libc::O_RDONLY, 0), libc::ENAMETOOLONG);
    Ok(())
}

fn read_write_seek() -> Outcome {
    let fd = c!(open3(&at("f")?, libc::O_CREAT | libc::O_RDWR, 0o644));
    let data: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
    eq!(write(fd, &data)?, 20_000);
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_CUR)), 20_000);
    eq!(c!(libc::lseek(fd, -5000, libc::SEEK_END)), 15_000);
    eq!(read(fd, 10_000)?, data[15_000..]);
    eq!(read(fd, 10)?, b"");
    eq!(c!(libc::lseek(fd, 4090, libc::SEEK_SET)), 4090);
    eq!(write(fd, b"across a page")?, 13);
    eq!(c!(libc::lseek(fd, 4085, libc::SEEK_SET)), 4085);
    eq!(read(fd, 23)?, [&data[4085..4090], b"across a page", &data[4103..4108]].concat());
    eq!(c!(libc::read(fd, core::ptr::null_mut(), 0)), 0);
    Ok(())
}

fn append() -> Outcome {
    let path = make("f", "one")?;
    let fd = c!(open3(&path, libc::O_WRONLY | libc::O_APPEND, 0));
    c!(libc::lseek(fd, 0, libc::SEEK_SET));
    write(fd, b"two")?;
    eq!(content(&path)?, "onetwo");
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_CUR)), 6);
    c!(libc::pwrite(fd, b"X".as_ptr().cast(), 1, 0)); // Linux appends even so
    eq!(content(&path)?, "onetwoX");
    // Many writers lose nothing.
    let pids: Vec<i32> = (0..4)
        .map(|_| {
            child(|| {
                for _ in 0..100 {
                    let _ = write(fd, b"0123456789");
                }
                0
            })
        })
        .collect::<Result<_, _>>()?;
    for pid in pids {
        eq!(exit_of(pid)?, 0);
    }
    eq!(content(&path)?.len(), 7 + 4000);
    Ok(())
}

fn pread_pwrite() -> Outcome {
    let fd = c!(open3(&make("f", "0123456789")?, libc::O_RDWR, 0));
    let mut buf = [0u8; 4];
    eq!(c!(libc::pread(fd, buf.as_mut_ptr().cast(), 4, 3)), 4);
    eq!(&buf, b"3456");
    eq!(c!(libc::pwrite(fd, b"ab".as_ptr().cast(), 2, 9)), 2);
    eq!(read(fd, 20)?, b"012345678ab"); // the position was still 0
    fails!(libc::pread(fd, buf.as_mut_ptr().cast(), 4, -1), libc::EINVAL);
    eq!(c!(libc::pread(fd, buf.as_mut_ptr().cast(), 4, 100)), 0);
    Ok(())
}

fn holes() -> Outcome {
    let path = at("f")?;
    let fd = c!(open3(&path, libc::O_CREAT | libc::O_RDWR, 0o644));
    c!(libc::pwrite(fd, b"end".as_ptr().cast(), 3, 10 << 20));
    let m = meta(&path)?;
    eq!(m.len(), (10 << 20) + 3);
    ck!(m.blocks() <= 16, "{} blocks", m.blocks());
    let mut buf = [1u8; 100];
    c!(libc::pread(fd, buf.as_mut_ptr().cast(), 100, 5 << 20));
    eq!(buf, [0; 100]);
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_DATA)), 10 << 20);
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_HOLE)), 0);
    fails!(libc::lseek(fd, 11 << 20, libc::SEEK_DATA), libc::ENXIO);
    Ok(())
}

fn truncate() -> Outcome {
    let path = make("f", "0123456789")?;
    c!(libc::truncate(path.as_ptr(), 4));
    eq!(content(&path)?, "0123");
    c!(libc::truncate(path.as_ptr(), 6));
    eq!(content(&path)?, "0123\0\0");
    fails!(libc::truncate(path.as_ptr(), -1), libc::EINVAL);
    fails!(libc::truncate(at(".")?.as_ptr(), 0), libc::EISDIR);
    fails!(libc::truncate(at("no")?.as_ptr(), 0), libc::ENOENT);
    let fd = c!(open3(&path, libc::O_RDONLY, 0));
    fails!(libc::ftruncate(fd, 0), libc::EINVAL);
    Ok(())
}

fn fallocate() -> Outcome {
    let path = at("f")?;
    let fd = c!(open3(&path, libc::O_CREAT | libc::O_RDWR, 0o644));
    // SAFETY: numbers.
    if unsafe { libc::fallocate(fd, 0, 0, 20_000) } < 0 && errno() == libc::EOPNOTSUPP {
        return Err(format!("{SKIP}no fallocate"));
    }
    eq!(meta(&path)?.len(), 20_000);
    c!(libc::pwrite(fd, [1u8; 12_288].as_ptr().cast(), 12_288, 0));
    c!(libc::fallocate(fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 4096, 4096));
    let mut buf = [9u8; 3];
    for (i, b) in buf.iter_mut().enumerate() {
        c!(libc::pread(fd, (b as *mut u8).cast(), 1, i as i64 * 4096 + 5));
    }
    eq!(buf, [1, 0, 1]);
    fails!(libc::fallocate(fd, 0, -1, 5), libc::EINVAL);
    Ok(())
}

fn seek_errors() -> Outcome {
    let fd = c!(open3(&make("f", "x")?, libc::O_RDWR, 0));
    fails!(libc::lseek(fd, -1, libc::SEEK_SET), libc::EINVAL);
    fails!(libc::lseek(fd, -2, libc::SEEK_END), libc::EINVAL);
    fails!(libc::lseek(fd, 0, 99), libc::EINVAL);
    fails!(libc::lseek(fd, i64::MAX, libc::SEEK_END), libc::EINVAL);
    eq!(c!(libc::lseek(fd, i64::MAX - 1, libc::SEEK_SET)), i64::MAX - 1);
    fails!(libc::write(fd, b"xyz".as_ptr().cast(), 3), libc::EINVAL);
    fails!(libc::lseek(900, 0, 0), libc::EBADF);
    Ok(())
}

fn dup() -> Outcome {
    let fd = c!(open3(&make("f", "abcdef")?, libc::O_RDONLY, 0));
    let copy = c!(libc::dup(fd));
    eq!(read(fd, 2)?, b"ab");
    eq!(read(copy, 2)?, b"cd"); // one offset
    eq!(c!(libc::dup2(fd, 100)), 100);
    eq!(c!(libc::dup2(fd, fd)), fd);
    fails!(libc::dup3(fd, fd, 0), libc::EINVAL);
    eq!(c!(libc::dup3(fd, 101, libc::O_CLOEXEC)), 101);
    eq!(c!(libc::fcntl(101, libc::F_GETFD)), 1);
    eq!(c!(libc::fcntl(100, libc::F_GETFD)), 0);
    fails!(libc::dup(900), libc::EBADF);
    fails!(libc::dup2(900, 5), libc::EBADF);
    fails!(libc::dup2(fd, -1), libc::EBADF);
    eq!(c!(libc::fcntl(fd, libc::F_DUPFD, 200)), 200);
    eq!(c!(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 200)), 201);
    eq!(read(201, 2)?, b"ef");
    Ok(())
}

fn fcntl() -> Outcome {
    let fd = c!(open3(&make("f", "")?, libc::O_RDWR, 0));
    eq!(c!(libc::fcntl(fd, libc::F_GETFL)) & !0o100_000, libc::O_RDWR);
    c!(libc::fcntl(fd, libc::F_SETFL, libc::O_APPEND | libc::O_NONBLOCK));
    eq!(c!(libc::fcntl(fd, libc::F_GETFL)) & !0o100_000, libc::O_RDWR | libc::O_APPEND | libc::O_NONBLOCK);
    c!(libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC));
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    fails!(libc::fcntl(fd, 9999), libc::EINVAL);
    fails!(libc::fcntl(900, libc::F_GETFD), libc::EBADF);
    let path = c!(open3(&at("f")?, libc::O_PATH, 0));
    fails!(libc::read(path, [0u8; 1].as_mut_ptr().cast(), 1), libc::EBADF);
    fails!(libc::fcntl(path, libc::F_SETFL, 0), libc::EBADF);
    c!(libc::fcntl(path, libc::F_GETFD));
    fails!(libc::ioctl(fd, libc::TIOCGWINSZ, 0), libc::ENOTTY);
    Ok(())
}

fn close_range() -> Outcome {
    let fd = c!(open3(&make("f", "")?, libc::O_RDONLY, 0));
    for to in [300, 301, 302, 310] {
        c!(libc::dup2(fd, to));
    }
    c!(libc::syscall(libc::SYS_close_range, 301, 305, 0));
    c!(libc::fcntl(300, libc::F_GETFD));
    fails!(libc::fcntl(301, libc::F_GETFD), libc::EBADF);
    c!(libc::syscall(libc::SYS_close_range, 300, u32::MAX, 4)); // CLOSE_RANGE_CLOEXEC
    eq!(c!(libc::fcntl(310, libc::F_GETFD)), 1);
    fails!(libc::syscall(libc::SYS_close_range, 5, 4, 0), libc::EINVAL);
    fails!(libc::close(301), libc::EBADF);
    Ok(())
}

fn names() -> Outcome {
    for name in ["with space", "tab\tnewline\n", "-dash", "ünïcode", "...", &"n".repeat(255)] {
        make(name, name)?;
        eq!(content(&at(name)?)?, name);
    }
    eq!(content(&at(".//./-dash")?)?, "-dash");
    let mut all: Vec<String> = std::fs::read_dir(dir()?)
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    all.sort();
    eq!(all.len(), 6);
    Ok(())
}

fn hard_links() -> Outcome {
    let one = make("one", "x")?;
    let two = at("two")?;
    c!(libc::link(one.as_ptr(), two.as_ptr()));
    eq!(meta(&one)?.ino(), meta(&two)?.ino());
    eq!(meta(&one)?.nlink(), 2);
    fails!(libc::link(one.as_ptr(), two.as_ptr()), libc::EEXIST);
    fails!(libc::link(at(".")?.as_ptr(), at("d")?.as_ptr()), libc::EPERM);
    fails!(libc::link(at("no")?.as_ptr(), at("d")?.as_ptr()), libc::ENOENT);
    fails!(libc::link(one.as_ptr(), c"/dev/x".as_ptr()), libc::EXDEV);
    c!(libc::unlink(one.as_ptr()));
    eq!(meta(&two)?.nlink(), 1);
    eq!(content(&two)?, "x");
    Ok(())
}

fn symlinks() -> Outcome {
    make("target", "data")?;
    let link = at("link")?;
    c!(libc::symlink(c"target".as_ptr(), link.as_ptr()));
    eq!(content(&link)?, "data");
    ck!(meta(&link)?.is_symlink());
    eq!((meta(&link)?.len(), meta(&link)?.mode() & 0o7777), (6, 0o777));
    let mut buf = [0u8; 4];
    eq!(c!(libc::readlink(link.as_ptr(), buf.as_mut_ptr().cast(), 4)), 4); // cut, no NUL
    eq!(&buf, b"targ");
    fails!(libc::readlink(at("target")?.as_ptr(), buf.as_mut_ptr().cast(), 4), libc::EINVAL);
    fails!(libc::readlink(link.as_ptr(), buf.as_mut_ptr().cast(), 0), libc::EINVAL);
    fails!(libc::symlink(c"".as_ptr(), at("e")?.as_ptr()), libc::ENOENT);
    fails!(libc::symlink(c"x".as_ptr(), link.as_ptr()), libc::EEXIST);
    c!(libc::mkdir(at("d")?.as_ptr(), 0o755));
    make("d/f", "deep")?;
    c!(libc::symlink(c"../d/./f".as_ptr(), at("d/up")?.as_ptr()));
    c!(libc::symlink(c"d".as_ptr(), at("ld")?.as_ptr()));
    eq!(content(&at("ld/up")?)?, "deep");
    ck!(!meta(&at("ld/")?)?.is_symlink()); // a slash at the end follows
    c!(libc::unlink(link.as_ptr()));
    eq!(content(&at("target")?)?, "data");
    Ok(())
}

fn symlink_loops() -> Outcome {
    c!(libc::symlink(c"b".as_ptr(), at("a")?.as_ptr()));
    c!(libc::symlink(c"a".as_ptr(), at("b")?.as_ptr()));
    fails!(open3(&at("a")?, libc::O_RDONLY, 0), libc::ELOOP);
    // A chain of 40 is followed, one of 41 not.
    make("l0", "end")?;
    for i in 1..=41 {
        c!(libc::symlink(cstr(&format!("l{}", i - 1)).as_ptr(), at(&format!("l{i}"))?.as_ptr()));
    }
    eq!(content(&at("l40")?)?, "end");
    fails!(open3(&at("l41")?, libc::O_RDONLY, 0), libc::ELOOP);
    Ok(())
}

fn ren(from: &str, to: &str) -> Result<i32, String> {
    let (from, to) = (at(from)?, at(to)?);
    // SAFETY: NUL-terminated.
    Ok(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) })
}

fn rename() -> Outcome {
    make("a", "A")?;
    make("b", "B")?;
    c!(ren("a", "c")?);
    fails!(open3(&at("a")?, libc::O_RDONLY, 0), libc::ENOENT);
    c!(ren("c", "b")?); // replaces
    eq!(content(&at("b")?)?, "A");
    c!(ren("b", "b")?);
    c!(libc::link(at("b")?.as_ptr(), at("same")?.as_ptr()));
    c!(ren("b", "same")?); // two names of one file: nothing happens
    eq!(meta(&at("b")?)?.nlink(), 2);
    fails!(ren("no", "x")?, libc::ENOENT);
    fails!(ren("b", "x/y")?, libc::ENOENT);
    c!(libc::mkdir(at("d")?.as_ptr(), 0o755));
    fails!(ren("b", "d")?, libc::EISDIR);
    fails!(ren("d", "b")?, libc::ENOTDIR);
    fails!(ren(".", "x")?, libc::EBUSY);
    fails!(libc::rename(at("b")?.as_ptr(), c"/proc/b".as_ptr()), libc::EXDEV);
    Ok(())
}

fn rename_dirs() -> Outcome {
    for d in ["p", "p/q", "p/q/r", "empty", "full", "full/x"] {
        c!(libc::mkdir(at(d)?.as_ptr(), 0o755));
    }
    fails!(ren("p", "p/q/inside")?, libc::EINVAL);
    fails!(ren("p", "full")?, libc::ENOTEMPTY);
    c!(ren("p", "empty")?); // onto an empty one
    ck!(meta(&at("empty/q/r")?)?.is_dir());
    eq!(meta(&at(".")?)?.nlink(), 4);
    fails!(ren("empty/q/r", "empty")?, libc::ENOTEMPTY);
    c!(ren("empty/q/r", "r")?);
    eq!(meta(&at("empty/q")?)?.nlink(), 2);
    eq!(meta(&at("r/..")?)?.ino(), meta(&at(".")?)?.ino());
    Ok(())
}

fn ren2(from: &str, to: &str, flags: u32) -> Result<i64, String> {
    let (from, to) = (at(from)?, at(to)?);
    // SAFETY: NUL-terminated.
    Ok(unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) })
}

fn rename_flags() -> Outcome {
    make("a", "A")?;
    make("b", "B")?;
    fails!(ren2("a", "b", 1)?, libc::EEXIST); // RENAME_NOREPLACE
    c!(ren2("a", "b", 2)?); // RENAME_EXCHANGE
    eq!(content(&at("a")?)?, "B");
    eq!(content(&at("b")?)?, "A");
    fails!(ren2("a", "no", 2)?, libc::ENOENT);
    fails!(ren2("a", "b", 3)?, libc::EINVAL);
    fails!(ren2("a", "b", 0x100)?, libc::EINVAL);
    c!(libc::mkdir(at("d")?.as_ptr(), 0o755));
    c!(ren2("a", "d", 2)?); // a file and a directory
    ck!(meta(&at("a")?)?.is_dir() && meta(&at("d")?)?.is_file());
    Ok(())
}

fn unlink_open() -> Outcome {
    let path = make("f", "still here")?;
    let fd = c!(open3(&path, libc::O_RDWR, 0));
    c!(libc::unlink(path.as_ptr()));
    fails!(libc::unlink(path.as_ptr()), libc::ENOENT);
    eq!(read(fd, 20)?, b"still here");
    write(fd, b"!")?;
    // SAFETY: all zero is valid.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(fd, &mut st));
    eq!((st.st_nlink, st.st_size), (0, 11));
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|e| e.to_string())?;
    eq!(link.to_string_lossy(), format!("{} (deleted)", path.to_string_lossy()));
    let again = c!(libc::open(cstr(&format!("/proc/self/fd/{fd}")).as_ptr(), libc::O_RDONLY));
    eq!(read(again, 20)?, b"still here!");
    Ok(())
}

fn directories() -> Outcome {
    let d = at("d")?;
    c!(libc::mkdir(d.as_ptr(), 0o750));
    eq!((meta(&d)?.mode() & 0o7777, meta(&d)?.nlink()), (0o750, 2));
    fails!(libc::mkdir(d.as_ptr(), 0o755), libc::EEXIST);
    fails!(libc::mkdir(c"/".as_ptr(), 0o755), libc::EEXIST);
    c!(libc::mkdir(at("d/e/")?.as_ptr(), 0o755));
    eq!(meta(&d)?.nlink(), 3);
    fails!(libc::rmdir(d.as_ptr()), libc::ENOTEMPTY);
    fails!(libc::rmdir(at("d/.")?.as_ptr()), libc::EINVAL);
    fails!(libc::rmdir(at("d/e/..")?.as_ptr()), libc::ENOTEMPTY);
    fails!(libc::unlink(d.as_ptr()), libc::EISDIR);
    make("f", "")?;
    fails!(libc::rmdir(at("f")?.as_ptr()), libc::ENOTDIR);
    c!(libc::unlinkat(libc::AT_FDCWD, at("d/e")?.as_ptr(), libc::AT_REMOVEDIR));
    // One whose last name goes while somebody is in it.
    c!(libc::chdir(d.as_ptr()));
    c!(libc::rmdir(d.as_ptr()));
    fails!(libc::open(c"new".as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o644), libc::ENOENT);
    fails!(libc::syscall(libc::SYS_getcwd, [0u8; 100].as_mut_ptr(), 100), libc::ENOENT);
    Ok(())
}

/// One getdents64: (inode, type, name) of each.
fn dents(fd: i32, room: usize) -> Result<Vec<(u64, u8, String)>, String> {
    let mut buf = vec![0u8; room];
    let n = c!(libc::syscall(libc::SYS_getdents64, fd, buf.as_mut_ptr(), room)) as usize;
    let (mut at, mut all) = (0, Vec::new());
    while at < n {
        let ino = u64::from_ne_bytes(buf[at..at + 8].try_into().map_err(|_| "short")?);
        let len = u16::from_ne_bytes([buf[at + 16], buf[at + 17]]) as usize;
        ck!(len % 8 == 0 && len >= 24 && at + len <= n, "record of {len} bytes");
        let name: Vec<u8> = buf[at + 19..at + len].iter().copied().take_while(|b| *b != 0).collect();
        all.push((ino, buf[at + 18], String::from_utf8_lossy(&name).into_owned()));
        at += len;
    }
    Ok(all)
}

fn getdents() -> Outcome {
    make("file", "")?;
    c!(libc::mkdir(at("dir")?.as_ptr(), 0o755));
    c!(libc::symlink(c"x".as_ptr(), at("link")?.as_ptr()));
    let fd = c!(open3(&at(".")?, libc::O_RDONLY, 0));
    let mut all = dents(fd, 4096)?;
    eq!(dents(fd, 4096)?, []);
    all.sort_by(|a, b| a.2.cmp(&b.2));
    let short: Vec<(u8, &str)> = all.iter().map(|e| (e.1, e.2.as_str())).collect();
    eq!(short, [(4, "."), (4, ".."), (4, "dir"), (8, "file"), (10, "link")]);
    eq!(all[3].0, meta(&at("file")?)?.ino());
    c!(libc::lseek(fd, 0, libc::SEEK_SET));
    eq!(dents(fd, 4096)?.len(), 5);
    c!(libc::lseek(fd, 0, libc::SEEK_SET));
    fails!(libc::syscall(libc::SYS_getdents64, fd, [0u8; 16].as_mut_ptr(), 16), libc::EINVAL);
    eq!(dents(fd, 24)?.len(), 1);
    let file = c!(open3(&at("file")?, libc::O_RDONLY, 0));
    fails!(libc::syscall(libc::SYS_getdents64, file, [0u8; 64].as_mut_ptr(), 64), libc::ENOTDIR);
    Ok(())
}

fn many_names() -> Outcome {
    for i in 0..2000 {
        close(c!(open3(&at(&format!("name{i}"))?, libc::O_CREAT | libc::O_WRONLY, 0o644)));
    }
    let fd = c!(open3(&at(".")?, libc::O_RDONLY, 0));
    let mut seen = std::collections::HashSet::new();
    loop {
        let part = dents(fd, 1000)?;
        if part.is_empty() {
            break;
        }
        for e in part {
            ck!(seen.insert(e.2.clone()), "{} came twice", e.2);
            // What is deleted behind the reader disturbs nothing.
            if e.2.starts_with("name") {
                c!(libc::unlink(at(&e.2)?.as_ptr()));
            }
        }
    }
    eq!(seen.len(), 2002);
    c!(libc::rmdir(cstr(&dir()?).as_ptr()));
    Ok(())
}

fn dot_dot() -> Outcome {
    c!(libc::mkdir(at("d")?.as_ptr(), 0o755));
    make("f", "found")?;
    c!(libc::chdir(at("d")?.as_ptr()));
    eq!(text("../f")?, "found");
    eq!(text("../d/.././f")?, "found");
    eq!(meta(&cstr("/.."))?.ino(), meta(&cstr("/"))?.ino());
    eq!(meta(&cstr("/../../.."))?.ino(), meta(&cstr("/"))?.ino());
    eq!(meta(&cstr("/proc/.."))?.ino(), meta(&cstr("/"))?.ino()); // out of a mount
    Ok(())
}

fn openat() -> Outcome {
    make("f", "by fd")?;
    let d = c!(open3(&at(".")?, libc::O_RDONLY | libc::O_DIRECTORY, 0));
    let fd = c!(libc::openat(d, c"f".as_ptr(), libc::O_RDONLY));
    eq!(read(fd, 10)?, b"by fd");
    fails!(libc::openat(fd, c"f".as_ptr(), libc::O_RDONLY), libc::ENOTDIR);
    fails!(libc::openat(900, c"f".as_ptr(), libc::O_RDONLY), libc::EBADF);
    c!(libc::openat(900, c"/tmp".as_ptr(), libc::O_RDONLY)); // an absolute name does not look
    c!(libc::mkdirat(d, c"sub".as_ptr(), 0o755));
    c!(libc::symlinkat(c"f".as_ptr(), d, c"l".as_ptr()));
    c!(libc::linkat(d, c"l".as_ptr(), d, c"hard".as_ptr(), libc::AT_SYMLINK_FOLLOW));
    ck!(meta(&at("hard")?)?.is_file());
    let path = c!(libc::openat(d, c"l".as_ptr(), libc::O_PATH | libc::O_NOFOLLOW));
    let mut buf = [0u8; 8];
    eq!(c!(libc::readlinkat(path, c"".as_ptr(), buf.as_mut_ptr().cast(), 8)), 1);
    // SAFETY: all zero is valid.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstatat(path, c"".as_ptr(), &mut st, libc::AT_EMPTY_PATH));
    eq!(st.st_mode & libc::S_IFMT, libc::S_IFLNK);
    fails!(libc::fstatat(d, c"".as_ptr(), &mut st, 0), libc::ENOENT);
    c!(libc::fchdir(d));
    eq!(text("f")?, "by fd");
    fails!(libc::fchdir(fd), libc::ENOTDIR);
    fails!(libc::unlinkat(d, c"sub".as_ptr(), 0x8000), libc::EINVAL);
    // Also what is only named keeps its contents when its names go.
    c!(libc::close(fd));
    let named = c!(libc::openat(d, c"f".as_ptr(), libc::O_PATH));
    c!(libc::unlinkat(d, c"hard".as_ptr(), 0));
    c!(libc::unlinkat(d, c"f".as_ptr(), 0));
    eq!(text(&format!("/proc/self/fd/{named}"))?, "by fd");
    Ok(())
}

fn tmpfile() -> Outcome {
    // SAFETY: NUL-terminated.
    let fd = unsafe { libc::open(at(".")?.as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600) };
    if fd < 0 && errno() == libc::EOPNOTSUPP {
        return Err(format!("{SKIP}no O_TMPFILE"));
    }
    ck!(fd >= 0, "{}", errno_name());
    write(fd, b"unnamed")?;
    c!(libc::linkat(
        libc::AT_FDCWD,
        cstr(&format!("/proc/self/fd/{fd}")).as_ptr(),
        libc::AT_FDCWD,
        at("named")?.as_ptr(),
        libc::AT_SYMLINK_FOLLOW
    ));
    eq!(content(&at("named")?)?, "unnamed");
    Ok(())
}

fn stat() -> Outcome {
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

fn times() -> Outcome {
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

fn utimensat() -> Outcome {
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

fn chmod() -> Outcome {
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

fn mknod() -> Outcome {
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

fn flock() -> Outcome {
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

fn posix_locks() -> Outcome {
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

fn sendfile() -> Outcome {
    let from = c!(open3(&make("f", "0123456789")?, libc::O_RDONLY, 0));
    let (r, w) = pipe()?;
    // SAFETY: descriptors and a live offset.
    let n = unsafe { libc::sendfile(w, from, core::ptr::null_mut(), 4) };
    if n < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no sendfile"));
    }
    eq!(n, 4);
    eq!(read(r, 10)?, b"0123");
    let mut offset = 7i64;
    eq!(c!(libc::sendfile(w, from, &mut offset, 100)), 3);
    eq!((read(r, 10)?.as_slice(), offset), (b"789".as_slice(), 10));
    eq!(read(from, 2)?, b"45");
    let to = c!(open3(&at("to")?, libc::O_CREAT | libc::O_WRONLY, 0o644));
    offset = 0;
    eq!(c!(libc::sendfile(to, from, &mut offset, 10)), 10);
    eq!(content(&at("to")?)?, "0123456789");
    Ok(())
}

fn splice() -> Outcome {
    let from = c!(open3(&make("f", "0123456789")?, libc::O_RDONLY, 0));
    let (r, w) = pipe()?;
    // SAFETY: descriptors.
    let n = unsafe { libc::splice(from, core::ptr::null_mut(), w, core::ptr::null_mut(), 4, 0) };
    if n < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no splice"));
    }
    eq!(n, 4);
    eq!(read(r, 10)?, b"0123");
    let to = c!(open3(&at("to")?, libc::O_CREAT | libc::O_WRONLY, 0o644));
    fails!(libc::splice(from, core::ptr::null_mut(), to, core::ptr::null_mut(), 4, 0), libc::EINVAL);
    Ok(())
}

fn chroot() -> Outcome {
    c!(libc::mkdir(at("root")?.as_ptr(), 0o755));
    make("root/inside", "in")?;
    in_child(|| {
        c!(libc::chroot(at("root")?.as_ptr()));
        c!(libc::chdir(c"/".as_ptr()));
        eq!(text("/inside")?, "in");
        eq!(text("/../../inside")?, "in");
        fails!(libc::access(c"/proc".as_ptr(), 0), libc::ENOENT);
        c!(libc::setuid(1000));
        fails!(libc::chroot(c"/".as_ptr()), libc::EPERM);
        Ok(())
    })?;
    fails!(libc::chroot(at("root/inside")?.as_ptr()), libc::ENOTDIR);
    Ok(())
}

fn mount_at(kind: &str, name: &str, flags: u64, data: &str) -> Result<i32, String> {
    let (kind, name, data) = (cstr(kind), at(name)?, cstr(data));
    // SAFETY: NUL-terminated.
    Ok(unsafe { libc::mount(c"none".as_ptr(), name.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
}

fn mount() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    make("m/below", "")?;
    c!(mount_at("tmpfs", "m", 0, "mode=0700,size=1m")?);
    let path = at("m")?;
    eq!(meta(&path)?.mode() & 0o7777, 0o700);
    fails!(libc::access(at("m/below")?.as_ptr(), 0), libc::ENOENT);
    make("m/f", "x")?;
    let mounts = text("/proc/mounts")?;
    ck!(mounts.contains(&format!("none {} tmpfs rw,relatime,size=1024k,mode=700", path.to_string_lossy())), "{mounts}");
    let fd = c!(open3(&at("m/f")?, libc::O_RDONLY, 0));
    fails!(libc::umount(path.as_ptr()), libc::EBUSY);
    fails!(libc::rmdir(path.as_ptr()), libc::EBUSY);
    close(fd);
    c!(libc::umount(path.as_ptr()));
    c!(libc::access(at("m/below")?.as_ptr(), 0));
    fails!(libc::umount(path.as_ptr()), libc::EINVAL);
    fails!(mount_at("nosuchfs", "m", 0, "")?, libc::ENODEV);
    fails!(mount_at("tmpfs", "no", 0, "")?, libc::ENOENT);
    fails!(mount_at("tmpfs", "m", 0, "nosuchoption=1")?, libc::EINVAL);
    // A lazy one goes away when its last user does.
    c!(mount_at("tmpfs", "m", 0, "")?);
    make("m/f", "held")?;
    let fd = c!(open3(&at("m/f")?, libc::O_RDONLY, 0));
    c!(libc::umount2(path.as_ptr(), libc::MNT_DETACH));
    eq!(read(fd, 9)?, b"held");
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(mount_at("tmpfs", "m", 0, "")?, libc::EPERM);
        Ok(())
    })
}

fn mount_flags() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    let path = at("m")?;
    c!(mount_at("tmpfs", "m", libc::MS_NOEXEC | libc::MS_NODEV, "")?);
    let program = make("m/p", "#!/bin/sh\n")?;
    c!(libc::chmod(program.as_ptr(), 0o755));
    fails!(libc::execve(program.as_ptr(), [core::ptr::null()].as_ptr(), [core::ptr::null()].as_ptr()), libc::EACCES);
    c!(libc::mknod(at("m/null")?.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 3)));
    fails!(open3(&at("m/null")?, libc::O_RDONLY, 0), libc::EACCES);
    c!(mount_at("tmpfs", "m", libc::MS_REMOUNT | libc::MS_RDONLY, "")?);
    fails!(open3(&at("m/new")?, libc::O_CREAT | libc::O_WRONLY, 0o644), libc::EROFS);
    fails!(open3(&program, libc::O_WRONLY, 0), libc::EROFS);
    fails!(libc::unlink(program.as_ptr()), libc::EROFS);
    ck!(text("/proc/mounts")?.contains(&format!("none {} tmpfs ro,", path.to_string_lossy())));
    c!(libc::umount(path.as_ptr()));
    Ok(())
}

fn bind() -> Outcome {
    for d in ["a", "b"] {
        c!(libc::mkdir(at(d)?.as_ptr(), 0o755));
    }
    make("a/f", "one tree")?;
    let (a, b) = (at("a")?, at("b")?);
    c!(libc::mount(a.as_ptr(), b.as_ptr(), core::ptr::null(), libc::MS_BIND, core::ptr::null()));
    eq!(content(&at("b/f")?)?, "one tree");
    make("b/g", "new")?;
    eq!(content(&at("a/g")?)?, "new");
    fails!(libc::rename(at("a/f")?.as_ptr(), at("b/h")?.as_ptr()), libc::EXDEV); // another mount
    c!(libc::mount(
        core::ptr::null(),
        b.as_ptr(),
        core::ptr::null(),
        libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY,
        core::ptr::null()
    ));
    fails!(open3(&at("b/x")?, libc::O_CREAT | libc::O_WRONLY, 0o644), libc::EROFS);
    make("a/x", "")?;
    c!(libc::umount(b.as_ptr()));
    Ok(())
}

fn size_limit() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    c!(mount_at("tmpfs", "m", 0, "size=64k,nr_inodes=5")?);
    let fd = c!(open3(&at("m/f")?, libc::O_CREAT | libc::O_WRONLY, 0o644));
    eq!(write(fd, &vec![1; 100_000])?, 65536);
    fails!(libc::write(fd, b"x".as_ptr().cast(), 1), libc::ENOSPC);
    c!(libc::ftruncate(fd, 0));
    c!(libc::lseek(fd, 0, 0));
    eq!(write(fd, &vec![1; 65536])?, 65536);
    let mut made = 0;
    while made < 10 && open3(&at(&format!("m/n{made}"))?, libc::O_CREAT | libc::O_WRONLY, 0o644) >= 0 {
        made += 1;
    }
    eq!((made, errno()), (3, libc::ENOSPC));
    c!(libc::umount2(at("m")?.as_ptr(), libc::MNT_DETACH));
    Ok(())
}

fn statfs() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    c!(mount_at("tmpfs", "m", 0, "size=1m")?);
    // SAFETY: all zero is valid.
    let mut s: libc::statfs = unsafe { core::mem::zeroed() };
    c!(libc::statfs(at("m")?.as_ptr(), &mut s));
    eq!((s.f_type, s.f_bsize, s.f_blocks, s.f_bfree, s.f_namelen), (0x0102_1994, 4096, 256, 256, 255));
    make("m/f", "x")?;
    c!(libc::statfs(at("m/f")?.as_ptr(), &mut s));
    eq!(s.f_bfree, 255);
    c!(libc::umount(at("m")?.as_ptr()));
    c!(libc::statfs(c"/proc".as_ptr(), &mut s));
    eq!(s.f_type, 0x9fa0);
    c!(libc::statfs(c"/dev/pts".as_ptr(), &mut s));
    eq!(s.f_type, 0x1cd1);
    Ok(())
}

fn getcwd() -> Outcome {
    let want = dir()?;
    c!(libc::chdir(cstr(&want).as_ptr()));
    let mut buf = [0u8; 200];
    eq!(c!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), 200)) as usize, want.len() + 1);
    eq!(&buf[..want.len()], want.as_bytes());
    fails!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), 3), libc::ERANGE);
    eq!(std::fs::read_link("/proc/self/cwd").map_err(|e| e.to_string())?.to_string_lossy(), want);
    c!(libc::chdir(c"/".as_ptr()));
    eq!(c!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), 200)), 2);
    fails!(libc::chdir(c"/etc/nosuch".as_ptr()), libc::ENOENT);
    Ok(())
}

fn devices() -> Outcome {
    let null = open("/dev/null", libc::O_RDWR)?;
    eq!(write(null, &[1; 5000])?, 5000);
    eq!(read(null, 10)?, b"");
    let zero = open("/dev/zero", libc::O_RDWR)?;
    ck!(read(zero, 10_000)?.iter().all(|b| *b == 0));
    let full = open("/dev/full", libc::O_RDWR)?;
    fails!(libc::write(full, b"x".as_ptr().cast(), 1), libc::ENOSPC);
    eq!(read(full, 2)?, [0, 0]);
    for name in ["/dev/urandom", "/dev/random"] {
        let fd = open(name, libc::O_RDONLY)?;
        let (one, two) = (read(fd, 32)?, read(fd, 32)?);
        ck!(one.len() == 32 && one != two);
    }
    // SAFETY: a mapping of zeroes.
    let at = unsafe { libc::mmap(core::ptr::null_mut(), 8192, 3, libc::MAP_PRIVATE, zero, 0) };
    ck!(at != libc::MAP_FAILED, "{}", errno_name());
    Ok(())
}

fn concurrent() -> Outcome {
    // Of many that create one name exclusively, one wins.
    for round in 0..20 {
        let path = at(&format!("n{round}"))?;
        let pids: Vec<i32> = (0..4)
            .map(|_| child(|| i32::from(open3(&path, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o644) >= 0)))
            .collect::<Result<_, _>>()?;
        let mut won = 0;
        for pid in pids {
            won += exit_of(pid)?;
        }
        eq!(won, 1);
    }
    Ok(())
}

fn rename_race() -> Outcome {
    // A name that is always replaced by rename is always there.
    make("target", "0")?;
    let writer = child(|| {
        for i in 0..300 {
            let Ok(t) = make("temp", &i.to_string()) else { return 1 };
            let Ok(target) = at("target") else { return 2 };
            // SAFETY: NUL-terminated.
            if unsafe { libc::rename(t.as_ptr(), target.as_ptr()) } != 0 {
                return 3;
            }
        }
        0
    })?;
    let path = at("target")?;
    let mut status = 0;
    while c!(libc::waitpid(writer, &mut status, libc::WNOHANG)) == 0 {
        let fd = open3(&path, libc::O_RDONLY, 0);
        ck!(fd >= 0, "the name was gone: {}", errno_name());
        close(fd);
    }
    eq!(status, 0);
    Ok(())
}

fn large() -> Outcome {
    let fd = c!(open3(&at("f")?, libc::O_CREAT | libc::O_RDWR, 0o644));
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i >> 3) as u8).collect();
    for _ in 0..16 {
        eq!(write(fd, &block)?, 1 << 20);
    }
    c!(libc::lseek(fd, 0, 0));
    for _ in 0..16 {
        ck!(read(fd, 1 << 20)? == block);
    }
    Ok(())
}

fn xattr() -> Outcome {
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

fn inotify() -> Outcome {
    // SAFETY: takes a number.
    let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK) };
    if fd < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no inotify"));
    }
    c!(libc::inotify_add_watch(fd, at(".")?.as_ptr(), libc::IN_CREATE));
    make("seen", "")?;
    let event = read(fd, 200)?;
    ck!(event.len() > 16 && event[16..].starts_with(b"seen\0"));
    Ok(())
}
