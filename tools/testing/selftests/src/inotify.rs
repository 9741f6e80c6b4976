// SPDX-License-Identifier: GPL-2.0
//! `inotify`: which events come, in which order, to whom.

use crate::util::{Outcome, home, text};
use crate::{Test, c, ck, eq, fails};
use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE, IN_DELETE_SELF,
    IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_ONESHOT, IN_OPEN,
    IN_Q_OVERFLOW, IN_UNMOUNT,
};
use std::ffi::CString;

pub const TESTS: &[Test] = &[
    ("inotify.open_write_close", open_write_close),
    ("inotify.directory", directory),
    ("inotify.names_padding", padding),
    ("inotify.rename", rename),
    ("inotify.exchange", exchange),
    ("inotify.unlink", unlink),
    ("inotify.unlink_open", unlink_open),
    ("inotify.rmdir", rmdir),
    ("inotify.attrib", attrib),
    ("inotify.truncate", truncate),
    ("inotify.link_and_others", link),
    ("inotify.readdir", readdir),
    ("inotify.oneshot", oneshot),
    ("inotify.mask_add", mask_add),
    ("inotify.excl_unlink", excl_unlink),
    ("inotify.merge", merge),
    ("inotify.overflow", overflow),
    ("inotify.rm_watch", rm_watch),
    ("inotify.unmount", unmount),
    ("inotify.exec", exec),
    ("inotify.errors", errors),
    ("inotify.limits", limits),
    ("inotify.poll_and_fionread", poll),
    ("inotify.fdinfo", fdinfo),
    ("inotify.blocks", blocks),
];

#[derive(Debug, PartialEq, Clone)]
struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: String,
}

fn start() -> Result<i32, String> {
    Ok(c!(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC)))
}

fn path(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

fn watch(fd: i32, name: &str, mask: u32) -> Result<i32, String> {
    Ok(c!(libc::inotify_add_watch(fd, path(name).as_ptr(), mask)))
}

fn drain(fd: i32) -> Result<Vec<Event>, String> {
    let mut out = Vec::new();
    let mut buffer = [0u8; 8192];
    loop {
        // SAFETY: a live buffer.
        let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        if n < 0 {
            eq!(crate::util::errno(), libc::EAGAIN);
            return Ok(out);
        }
        let mut rest = &buffer[..n as usize];
        while !rest.is_empty() {
            let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
            let len = word(12) as usize;
            let name = &rest[16..16 + len];
            ck!(len % 16 == 0);
            let end = name.iter().position(|&b| b == 0).unwrap_or(0);
            ck!(name[end..].iter().all(|&b| b == 0));
            out.push(Event {
                wd: word(0) as i32,
                mask: word(4),
                cookie: word(8),
                name: String::from_utf8_lossy(&name[..end]).into(),
            });
            rest = &rest[16 + len..];
        }
    }
}

fn seen(fd: i32) -> Result<Vec<(i32, u32, String)>, String> {
    Ok(drain(fd)?.into_iter().map(|e| (e.wd, e.mask, e.name)).collect())
}

fn list(events: &[(i32, u32, &str)]) -> Vec<(i32, u32, String)> {
    events.iter().map(|e| (e.0, e.1, e.2.to_string())).collect()
}

fn touch(name: &str) -> Outcome {
    std::fs::write(name, b"x").map_err(|e| format!("{name}: {e}"))
}

fn open_write_close() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let dir = watch(fd, ".", IN_ALL_EVENTS)?;
    let file = watch(fd, "f", IN_ALL_EVENTS)?;
    eq!((dir, file), (1, 2));
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR));
    let mut byte = 0u8;
    eq!(c!(libc::read(f, (&raw mut byte).cast(), 1)), 1);
    eq!(c!(libc::read(f, (&raw mut byte).cast(), 1)), 0);
    eq!(c!(libc::write(f, c"y".as_ptr().cast(), 1)), 1);
    c!(libc::close(f));
    let both = |mask| [(dir, mask, "f"), (file, mask, "")];
    eq!(seen(fd)?, list(&[both(IN_OPEN), both(IN_ACCESS), both(IN_MODIFY), both(IN_CLOSE_WRITE)].concat()));
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    c!(libc::close(f));
    eq!(seen(fd)?, list(&[both(IN_OPEN), both(IN_CLOSE_NOWRITE)].concat()));
    let f = c!(libc::open(c"f".as_ptr(), libc::O_PATH));
    c!(libc::close(f));
    eq!(seen(fd)?, []);
    Ok(())
}

fn directory() -> Outcome {
    home()?;
    let fd = start()?;
    let wd = watch(fd, ".", IN_ALL_EVENTS)?;
    touch("new")?;
    c!(libc::mkdir(c"d".as_ptr(), 0o700));
    c!(libc::symlink(c"x".as_ptr(), c"s".as_ptr()));
    c!(libc::mkfifo(c"p".as_ptr(), 0o600));
    eq!(
        seen(fd)?,
        list(&[
            (wd, IN_CREATE, "new"),
            (wd, IN_OPEN, "new"),
            (wd, IN_MODIFY, "new"),
            (wd, IN_CLOSE_WRITE, "new"),
            (wd, IN_CREATE | IN_ISDIR, "d"),
            (wd, IN_CREATE, "s"),
            (wd, IN_CREATE, "p"),
        ])
    );
    // What is deeper is not seen.
    touch("d/deep")?;
    eq!(seen(fd)?, []);
    Ok(())
}

fn padding() -> Outcome {
    home()?;
    let fd = start()?;
    watch(fd, ".", IN_CREATE)?;
    for (len, room) in [(1, 16), (15, 16), (16, 32), (31, 32), (255, 256)] {
        let name = path(&"n".repeat(len));
        c!(libc::mkdir(name.as_ptr(), 0o700));
        let mut buffer = [0u8; 400];
        fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 16 + room - 1), libc::EINVAL);
        eq!(c!(libc::read(fd, buffer.as_mut_ptr().cast(), 400)) as usize, 16 + room);
    }
    Ok(())
}

fn rename() -> Outcome {
    home()?;
    c!(libc::mkdir(c"a".as_ptr(), 0o700));
    c!(libc::mkdir(c"b".as_ptr(), 0o700));
    touch("a/f")?;
    touch("b/g")?;
    let fd = start()?;
    let (a, b) = (watch(fd, "a", IN_ALL_EVENTS)?, watch(fd, "b", IN_ALL_EVENTS)?);
    let (f, g) = (watch(fd, "a/f", IN_ALL_EVENTS)?, watch(fd, "b/g", IN_ALL_EVENTS)?);
    c!(libc::rename(c"a/f".as_ptr(), c"b/g".as_ptr()));
    let got = drain(fd)?;
    ck!(got[0].cookie != 0);
    eq!(got[0].cookie, got[1].cookie);
    let got: Vec<_> = got.into_iter().map(|e| (e.wd, e.mask, e.name)).collect();
    eq!(
        got,
        list(&[
            (a, IN_MOVED_FROM, "f"),
            (b, IN_MOVED_TO, "g"),
            (g, IN_ATTRIB, ""),
            (f, IN_MOVE_SELF, ""),
            (g, IN_DELETE_SELF, ""),
            (g, IN_IGNORED, ""),
        ])
    );
    c!(libc::mkdir(c"a/d".as_ptr(), 0o700));
    let d = watch(fd, "a/d", IN_ALL_EVENTS)?;
    drain(fd)?;
    c!(libc::rename(c"a/d".as_ptr(), c"a/e".as_ptr()));
    eq!(
        seen(fd)?,
        list(&[(a, IN_MOVED_FROM | IN_ISDIR, "d"), (a, IN_MOVED_TO | IN_ISDIR, "e"), (d, IN_MOVE_SELF, "")])
    );
    Ok(())
}

fn exchange() -> Outcome {
    home()?;
    touch("a")?;
    touch("b")?;
    let fd = start()?;
    let wd = watch(fd, ".", IN_ALL_EVENTS)?;
    c!(libc::syscall(
        libc::SYS_renameat2,
        libc::AT_FDCWD,
        c"a".as_ptr(),
        libc::AT_FDCWD,
        c"b".as_ptr(),
        libc::RENAME_EXCHANGE
    ));
    let from_to = |a, b| [(wd, IN_MOVED_FROM, a), (wd, IN_MOVED_TO, b)];
    eq!(seen(fd)?, list(&[from_to("a", "b"), from_to("b", "a")].concat()));
    Ok(())
}

fn unlink() -> Outcome {
    home()?;
    touch("f")?;
    c!(libc::link(c"f".as_ptr(), c"g".as_ptr()));
    let fd = start()?;
    let (dir, file) = (watch(fd, ".", IN_ALL_EVENTS)?, watch(fd, "f", IN_ALL_EVENTS)?);
    c!(libc::unlink(c"f".as_ptr()));
    eq!(seen(fd)?, list(&[(file, IN_ATTRIB, ""), (dir, IN_DELETE, "f")]));
    c!(libc::unlink(c"g".as_ptr()));
    eq!(
        seen(fd)?,
        list(&[(file, IN_ATTRIB, ""), (file, IN_DELETE_SELF, ""), (file, IN_IGNORED, ""), (dir, IN_DELETE, "g")])
    );
    fails!(libc::inotify_rm_watch(fd, file), libc::EINVAL);
    Ok(())
}

fn unlink_open() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let file = watch(fd, "f", IN_ALL_EVENTS)?;
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    c!(libc::unlink(c"f".as_ptr()));
    eq!(seen(fd)?, list(&[(file, IN_OPEN, ""), (file, IN_ATTRIB, "")]));
    c!(libc::close(f));
    eq!(seen(fd)?, list(&[(file, IN_CLOSE_NOWRITE, ""), (file, IN_DELETE_SELF, ""), (file, IN_IGNORED, "")]));
    Ok(())
}

fn rmdir() -> Outcome {
    home()?;
    c!(libc::mkdir(c"d".as_ptr(), 0o700));
    let fd = start()?;
    let (dir, d) = (watch(fd, ".", IN_ALL_EVENTS)?, watch(fd, "d", IN_ALL_EVENTS)?);
    c!(libc::rmdir(c"d".as_ptr()));
    eq!(seen(fd)?, list(&[(d, IN_DELETE_SELF, ""), (d, IN_IGNORED, ""), (dir, IN_DELETE | IN_ISDIR, "d")]));
    Ok(())
}

fn attrib() -> Outcome {
    home()?;
    touch("f")?;
    c!(libc::mkdir(c"d".as_ptr(), 0o700));
    let fd = start()?;
    let (dir, file) = (watch(fd, ".", IN_ALL_EVENTS)?, watch(fd, "f", IN_ALL_EVENTS)?);
    let both = [(dir, IN_ATTRIB, "f"), (file, IN_ATTRIB, "")];
    c!(libc::chmod(c"f".as_ptr(), 0o600));
    eq!(seen(fd)?, list(&both));
    c!(libc::chown(c"f".as_ptr(), 0, 0));
    eq!(seen(fd)?, list(&both));
    c!(libc::utimensat(libc::AT_FDCWD, c"f".as_ptr(), core::ptr::null(), 0));
    eq!(seen(fd)?, list(&both));
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let now = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW };
    c!(libc::utimensat(libc::AT_FDCWD, c"f".as_ptr(), [now, omit].as_ptr(), 0));
    eq!(seen(fd)?, list(&[(dir, IN_ACCESS, "f"), (file, IN_ACCESS, "")]));
    c!(libc::utimensat(libc::AT_FDCWD, c"f".as_ptr(), [omit, now].as_ptr(), 0));
    eq!(seen(fd)?, list(&[(dir, IN_MODIFY, "f"), (file, IN_MODIFY, "")]));
    c!(libc::chmod(c"d".as_ptr(), 0o755));
    eq!(seen(fd)?, list(&[(dir, IN_ATTRIB | IN_ISDIR, "d")]));
    c!(libc::setxattr(c"f".as_ptr(), c"trusted.a".as_ptr(), c"v".as_ptr().cast(), 1, 0));
    c!(libc::removexattr(c"f".as_ptr(), c"trusted.a".as_ptr()));
    // Equal neighbours are not merged: two watches take turns.
    eq!(seen(fd)?, list(&[both, both].concat()));
    Ok(())
}

fn truncate() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let wd = watch(fd, "f", IN_ALL_EVENTS)?;
    c!(libc::truncate(c"f".as_ptr(), 10));
    eq!(seen(fd)?, list(&[(wd, IN_MODIFY, "")]));
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_TRUNC));
    eq!(seen(fd)?, list(&[(wd, IN_MODIFY, ""), (wd, IN_OPEN, "")]));
    c!(libc::ftruncate(f, 5));
    eq!(seen(fd)?, list(&[(wd, IN_MODIFY, "")]));
    c!(libc::fallocate(f, 0, 0, 100));
    eq!(seen(fd)?, list(&[(wd, IN_MODIFY, "")]));
    Ok(())
}

fn link() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let (dir, file) = (watch(fd, ".", IN_ALL_EVENTS)?, watch(fd, "f", IN_ALL_EVENTS)?);
    c!(libc::link(c"f".as_ptr(), c"g".as_ptr()));
    eq!(seen(fd)?, list(&[(file, IN_ATTRIB, ""), (dir, IN_CREATE, "g")]));
    // Through the other name: the directory hears that one.
    let g = c!(libc::open(c"g".as_ptr(), libc::O_RDONLY));
    c!(libc::close(g));
    eq!(
        seen(fd)?,
        list(&[(dir, IN_OPEN, "g"), (file, IN_OPEN, ""), (dir, IN_CLOSE_NOWRITE, "g"), (file, IN_CLOSE_NOWRITE, "")])
    );
    Ok(())
}

fn readdir() -> Outcome {
    home()?;
    c!(libc::mkdir(c"d".as_ptr(), 0o700));
    let fd = start()?;
    let wd = watch(fd, "d", IN_ALL_EVENTS)?;
    let count = std::fs::read_dir("d").map_err(|e| e.to_string())?.count();
    eq!(count, 0);
    let got = seen(fd)?;
    eq!(got.first(), list(&[(wd, IN_OPEN | IN_ISDIR, "")]).first());
    ck!(got.contains(&(wd, IN_ACCESS | IN_ISDIR, String::new())), "{got:?}");
    eq!(got.last(), list(&[(wd, IN_CLOSE_NOWRITE | IN_ISDIR, "")]).last());
    Ok(())
}

fn oneshot() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let wd = watch(fd, "f", IN_OPEN | IN_ONESHOT)?;
    for _ in 0..2 {
        let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
        c!(libc::close(f));
    }
    eq!(seen(fd)?, list(&[(wd, IN_OPEN, ""), (wd, IN_IGNORED, "")]));
    fails!(libc::inotify_rm_watch(fd, wd), libc::EINVAL);
    eq!(watch(fd, "f", IN_OPEN)?, wd + 1);
    Ok(())
}

fn mask_add() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let wd = watch(fd, "f", IN_OPEN)?;
    eq!(watch(fd, "f", IN_CLOSE_NOWRITE | libc::IN_MASK_ADD)?, wd);
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    c!(libc::close(f));
    eq!(seen(fd)?, list(&[(wd, IN_OPEN, ""), (wd, IN_CLOSE_NOWRITE, "")]));
    eq!(watch(fd, "f", IN_MODIFY)?, wd);
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    c!(libc::close(f));
    eq!(seen(fd)?, []);
    fails!(libc::inotify_add_watch(fd, c"f".as_ptr(), IN_OPEN | libc::IN_MASK_CREATE), libc::EEXIST);
    let both = IN_OPEN | libc::IN_MASK_CREATE | libc::IN_MASK_ADD;
    fails!(libc::inotify_add_watch(fd, c"f".as_ptr(), both), libc::EINVAL);
    Ok(())
}

fn excl_unlink() -> Outcome {
    home()?;
    for (mask, expected) in [(IN_MODIFY, 1), (IN_MODIFY | IN_EXCL_UNLINK, 0)] {
        let fd = start()?;
        watch(fd, ".", mask)?;
        let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
        c!(libc::unlink(c"f".as_ptr()));
        c!(libc::write(f, c"x".as_ptr().cast(), 1));
        eq!(drain(fd)?.len(), expected);
        c!(libc::close(f));
    }
    Ok(())
}

fn merge() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let wd = watch(fd, "f", IN_MODIFY)?;
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR));
    for _ in 0..5 {
        c!(libc::write(f, c"x".as_ptr().cast(), 1));
    }
    eq!(seen(fd)?, list(&[(wd, IN_MODIFY, "")]));
    Ok(())
}

fn overflow() -> Outcome {
    home()?;
    let max = text("/proc/sys/fs/inotify/max_queued_events")?;
    let limit = "/proc/sys/fs/inotify/max_queued_events";
    std::fs::write(limit, b"5").map_err(|e| e.to_string())?;
    let result = (|| {
        let fd = start()?;
        let wd = watch(fd, ".", IN_CREATE)?;
        for n in 0..20 {
            c!(libc::mkdir(path(&format!("d{n}")).as_ptr(), 0o700));
        }
        let got = seen(fd)?;
        eq!(got.len(), 6);
        eq!(got[4], (wd, IN_CREATE | IN_ISDIR, "d4".to_string()));
        eq!(got[5], (-1, IN_Q_OVERFLOW, String::new()));
        c!(libc::mkdir(c"more".as_ptr(), 0o700));
        eq!(seen(fd)?, list(&[(wd, IN_CREATE | IN_ISDIR, "more")]));
        Ok(())
    })();
    std::fs::write(limit, max.as_bytes()).map_err(|e| e.to_string())?;
    result
}

fn rm_watch() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    let wd = watch(fd, "f", IN_OPEN)?;
    c!(libc::inotify_rm_watch(fd, wd));
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    c!(libc::close(f));
    eq!(seen(fd)?, list(&[(wd, IN_IGNORED, "")]));
    fails!(libc::inotify_rm_watch(fd, wd), libc::EINVAL);
    eq!(watch(fd, "f", IN_OPEN)?, 2);
    // Closing the file takes the watches away.
    c!(libc::close(fd));
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    c!(libc::close(f));
    Ok(())
}

fn unmount() -> Outcome {
    home()?;
    c!(libc::mkdir(c"m".as_ptr(), 0o700));
    c!(libc::mount(c"none".as_ptr(), c"m".as_ptr(), c"tmpfs".as_ptr(), 0, core::ptr::null()));
    let fd = start()?;
    touch("m/f")?;
    let wd = watch(fd, "m/f", IN_OPEN)?;
    c!(libc::umount(c"m".as_ptr()));
    eq!(seen(fd)?, list(&[(wd, IN_UNMOUNT, ""), (wd, IN_IGNORED, "")]));
    Ok(())
}

fn exec() -> Outcome {
    home()?;
    std::fs::copy("/proc/self/exe", "prog").map_err(|e| e.to_string())?;
    c!(libc::chmod(c"prog".as_ptr(), 0o755));
    let fd = start()?;
    let wd = watch(fd, "prog", IN_OPEN | IN_CLOSE_NOWRITE | IN_ACCESS)?;
    let pid = crate::util::child(|| {
        let args = [c"prog".as_ptr(), c"--list".as_ptr(), core::ptr::null()];
        // SAFETY: NULL-terminated arrays of live strings.
        unsafe {
            let null = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
            libc::dup2(null, 1);
            libc::execv(c"prog".as_ptr(), args.as_ptr())
        }
    })?;
    eq!(crate::util::exit_of(pid)?, 0);
    let got = seen(fd)?;
    eq!(got.first(), list(&[(wd, IN_OPEN, "")]).first());
    eq!(got.last(), list(&[(wd, IN_CLOSE_NOWRITE, "")]).last());
    Ok(())
}

fn errors() -> Outcome {
    home()?;
    touch("f")?;
    fails!(libc::inotify_init1(1), libc::EINVAL);
    let fd = start()?;
    fails!(libc::inotify_add_watch(fd, c"f".as_ptr(), 0), libc::EINVAL);
    fails!(libc::inotify_add_watch(0, c"f".as_ptr(), IN_OPEN), libc::EINVAL);
    fails!(libc::inotify_add_watch(99, c"f".as_ptr(), IN_OPEN), libc::EBADF);
    fails!(libc::inotify_add_watch(fd, c"none".as_ptr(), IN_OPEN), libc::ENOENT);
    fails!(libc::inotify_add_watch(fd, c"f".as_ptr(), IN_OPEN | libc::IN_ONLYDIR), libc::ENOTDIR);
    fails!(libc::inotify_rm_watch(0, 1), libc::EINVAL);
    fails!(libc::inotify_rm_watch(99, 1), libc::EBADF);
    fails!(libc::inotify_rm_watch(fd, 1), libc::EINVAL);
    fails!(libc::inotify_rm_watch(fd, -1), libc::EINVAL);
    c!(libc::symlink(c"nowhere".as_ptr(), c"l".as_ptr()));
    fails!(libc::inotify_add_watch(fd, c"l".as_ptr(), IN_OPEN), libc::ENOENT);
    c!(libc::inotify_add_watch(fd, c"l".as_ptr(), IN_OPEN | libc::IN_DONT_FOLLOW));
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|e| e.to_string())?;
    eq!(link.to_string_lossy(), "anon_inode:inotify");
    Ok(())
}

fn limits() -> Outcome {
    home()?;
    let number = |name: &str| -> Result<u64, String> {
        text(&format!("/proc/sys/fs/inotify/{name}"))?.trim().parse().map_err(|_| name.to_string())
    };
    eq!(number("max_queued_events")?, 16384);
    ck!(number("max_user_watches")? >= 8192);
    let instances = number("max_user_instances")?;
    let mut held = Vec::new();
    for _ in 0..=instances {
        // SAFETY: takes a number.
        match unsafe { libc::inotify_init1(0) } {
            -1 => break,
            fd => held.push(fd),
        }
    }
    eq!(crate::util::errno(), libc::EMFILE);
    ck!(held.len() as u64 <= instances && !held.is_empty());
    Ok(())
}

fn poll() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    watch(fd, ".", IN_OPEN)?;
    let mut set = libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    eq!(c!(libc::poll(&mut set, 1, 0)), 0);
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    eq!(c!(libc::poll(&mut set, 1, 0)), 1);
    eq!(set.revents, libc::POLLIN);
    let mut bytes = 0;
    c!(libc::ioctl(fd, libc::FIONREAD, &raw mut bytes));
    eq!(bytes, 32);
    drain(fd)?;
    c!(libc::ioctl(fd, libc::FIONREAD, &raw mut bytes));
    eq!(bytes, 0);
    c!(libc::close(f));
    Ok(())
}

fn fdinfo() -> Outcome {
    home()?;
    touch("f")?;
    let fd = start()?;
    watch(fd, "f", IN_OPEN | IN_ONESHOT)?;
    let ino = {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("f").map_err(|e| e.to_string())?.ino()
    };
    let info = text(&format!("/proc/self/fdinfo/{fd}"))?;
    ck!(info.contains(&format!("\ninotify wd:1 ino:{ino:x} sdev:")), "{info}");
    ck!(info.contains(" mask:80000020 ignored_mask:0 "), "{info}");
    Ok(())
}

fn blocks() -> Outcome {
    home()?;
    touch("f")?;
    let fd = c!(libc::inotify_init());
    let wd = watch(fd, "f", IN_OPEN)?;
    let pid = crate::util::child(|| {
        // SAFETY: plain calls.
        unsafe {
            libc::usleep(50_000);
            i32::from(libc::open(c"f".as_ptr(), libc::O_RDONLY) < 0)
        }
    })?;
    let mut buffer = [0u8; 64];
    eq!(c!(libc::read(fd, buffer.as_mut_ptr().cast(), 64)), 16);
    eq!(buffer[0] as i32, wd);
    eq!(crate::util::exit_of(pid)?, 0);
    Ok(())
}
