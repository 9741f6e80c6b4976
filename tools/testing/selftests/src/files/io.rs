// SPDX-License-Identifier: GPL-2.0
//! Opening, reading, writing, descriptors.

use super::*;

pub(super) fn open_flags() -> Outcome {
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

pub(super) fn open_errors() -> Outcome {
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

pub(super) fn read_write_seek() -> Outcome {
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

pub(super) fn append() -> Outcome {
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

pub(super) fn pread_pwrite() -> Outcome {
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

pub(super) fn holes() -> Outcome {
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

pub(super) fn truncate() -> Outcome {
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

pub(super) fn fallocate() -> Outcome {
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

pub(super) fn seek_errors() -> Outcome {
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

pub(super) fn dup() -> Outcome {
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

pub(super) fn fcntl() -> Outcome {
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

pub(super) fn close_range() -> Outcome {
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

pub(super) fn sendfile() -> Outcome {
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

pub(super) fn splice() -> Outcome {
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
