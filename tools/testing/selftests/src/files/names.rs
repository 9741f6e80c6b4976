// SPDX-License-Identifier: GPL-2.0
//! Names, links, directories.

use super::*;

pub(super) fn names() -> Outcome {
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

pub(super) fn hard_links() -> Outcome {
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

pub(super) fn symlinks() -> Outcome {
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

pub(super) fn symlink_loops() -> Outcome {
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

pub(super) fn rename() -> Outcome {
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

pub(super) fn rename_dirs() -> Outcome {
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

pub(super) fn rename_flags() -> Outcome {
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

pub(super) fn unlink_open() -> Outcome {
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

pub(super) fn directories() -> Outcome {
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

pub(super) fn getdents() -> Outcome {
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

pub(super) fn many_names() -> Outcome {
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

pub(super) fn dot_dot() -> Outcome {
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

pub(super) fn openat() -> Outcome {
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

pub(super) fn tmpfile() -> Outcome {
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
