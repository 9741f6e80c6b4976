// SPDX-License-Identifier: GPL-2.0
//! Open files up to their limits.

use super::{Setting, become_user, limit};
use crate::util::{Outcome, dir, errno, in_child, pipe, read, text, until, write};
use crate::{c, ck, eq, fails};

pub(super) fn open_files() -> Outcome {
    const FILES: i32 = 100_000;
    limit(libc::RLIMIT_NOFILE, FILES as u64 + 10)?;
    let path = c"/dev/null";
    let mut last = 0;
    for _ in 0..FILES {
        last = c!(libc::open(path.as_ptr(), libc::O_RDONLY));
    }
    ck!(last >= FILES - 1);
    while unsafe_open(path) >= 0 {}
    eq!(errno(), libc::EMFILE);
    c!(libc::close(last / 2));
    eq!(unsafe_open(path), last / 2);
    c!(libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0));
    eq!(unsafe_open(path), 3);
    Ok(())
}

fn unsafe_open(path: &core::ffi::CStr) -> i32 {
    // SAFETY: the name is NUL-terminated.
    unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) }
}

/// Numbers at the limit, and beyond it.
pub(super) fn numbers() -> Outcome {
    in_child(|| {
        limit(libc::RLIMIT_NOFILE, 50)?;
        fails!(libc::dup2(0, 50), libc::EBADF);
        fails!(libc::dup3(0, 50, 0), libc::EBADF);
        fails!(libc::fcntl(0, libc::F_DUPFD, 50), libc::EINVAL);
        eq!(c!(libc::fcntl(0, libc::F_DUPFD, 49)), 49);
        fails!(libc::fcntl(0, libc::F_DUPFD, 49), libc::EMFILE);
        let mut fds = vec![libc::pollfd { fd: -1, events: 0, revents: 0 }; 51];
        eq!(c!(libc::poll(fds.as_mut_ptr(), 50, 0)), 0);
        fails!(libc::poll(fds.as_mut_ptr(), 51, 0), libc::EINVAL);
        while unsafe_open(c"/dev/null") >= 0 {}
        eq!(errno(), libc::EMFILE);
        for ret in [
            c_of(|| unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) }),
            c_of(|| unsafe { libc::epoll_create1(0) }),
            c_of(|| unsafe { libc::eventfd(0, 0) }),
            c_of(|| unsafe { libc::inotify_init1(0) }),
            c_of(|| unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) }),
            c_of(|| unsafe { libc::syscall(libc::SYS_memfd_create, c"m".as_ptr(), 0) as i32 }),
            c_of(|| unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as i32 }),
        ] {
            eq!(ret, libc::EMFILE);
        }
        Ok(())
    })
}

/// The errno of a call, 0 if it works.
fn c_of(call: impl FnOnce() -> i32) -> i32 {
    if call() < 0 { errno() } else { 0 }
}

/// `fs.nr_open` bounds the limit, and with it the numbers.
pub(super) fn nr_open() -> Outcome {
    let most: u64 = text("/proc/sys/fs/nr_open")?.trim().parse().map_err(|_| "nr_open")?;
    let set = |value: u64| {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: a live structure.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }
    };
    eq!(c!(set(most)), 0);
    fails!(set(most + 1), libc::EPERM);
    {
        let _less = Setting::new("fs/nr_open", 2048)?;
        // The limit of before is not lowered.
        fails!(libc::dup2(0, 5000), libc::EMFILE);
        fails!(libc::fcntl(0, libc::F_DUPFD, 5000), libc::EMFILE);
        fails!(set(2049), libc::EPERM);
        eq!(c!(libc::dup2(0, 2047)), 2047);
    }
    eq!(c!(libc::dup2(0, most as i32 - 1)), most as i32 - 1);
    for wrong in ["0", "8", "63", "-1", "4294967296"] {
        ck!(std::fs::write("/proc/sys/fs/nr_open", wrong).is_err(), "nr_open takes {wrong}");
    }
    Ok(())
}

/// `fs.file-max` stops users, not who administers.
pub(super) fn file_max() -> Outcome {
    let open = text("/proc/sys/fs/file-nr")?.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let most = open.ok_or("file-nr")? + 600;
    let _max = Setting::new("fs/file-max", most)?;
    let fill = || {
        let mut n = 0;
        while n < 2000 && unsafe_open(c"/dev/null") >= 0 {
            n += 1;
        }
        (n, if n < 2000 { errno() } else { 0 })
    };
    limit(libc::RLIMIT_NOFILE, 4000)?;
    in_child(|| {
        become_user()?;
        let (n, error) = fill();
        eq!(error, libc::ENFILE);
        // Each processor counts some for itself.
        ck!((300..=900).contains(&n), "{n} files");
        fails!(libc::epoll_create1(0), libc::ENFILE);
        Ok(())
    })?;
    in_child(|| {
        eq!(fill(), (2000, 0));
        Ok(())
    })
}

/// 5000 pipes in one epoll.
pub(super) fn epoll_many() -> Outcome {
    const PIPES: usize = 5000;
    limit(libc::RLIMIT_NOFILE, 2 * PIPES as u64 + 20)?;
    let ep = c!(libc::epoll_create1(0));
    let mut ends = Vec::new();
    for i in 0..PIPES {
        let (r, w) = pipe()?;
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: i as u64 };
        c!(libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, r, &mut event));
        ends.push((r, w));
    }
    for (_, w) in &ends {
        write(*w, b"x")?;
    }
    let mut seen = vec![false; PIPES];
    let mut left = PIPES;
    while left > 0 {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let n = c!(libc::epoll_wait(ep, events.as_mut_ptr(), 64, 5000));
        ck!(n > 0, "{left} are missing");
        for event in &events[..n as usize] {
            let at = event.u64 as usize;
            ck!(!seen[at], "{at} came twice");
            seen[at] = true;
            read(ends[at].0, 1)?;
            left -= 1;
        }
    }
    Ok(())
}

/// The numbers of a file of `/proc/sys/fs`.
fn numbers_of(name: &str) -> Result<Vec<u64>, String> {
    let text = text(&format!("/proc/sys/fs/{name}"))?;
    text.trim_end().split('\t').map(|number| number.parse().map_err(|_| format!("{name}: {text}"))).collect()
}

/// `inode-nr`, `inode-state` and `dentry-state` count what there is.
pub(super) fn census() -> Outcome {
    const FILES: u64 = 2000;
    // Others come and go meanwhile.
    const OTHERS: u64 = 500;
    let counts = || -> Result<(u64, u64), String> {
        let (inodes, state, names) = (numbers_of("inode-nr")?, numbers_of("inode-state")?, numbers_of("dentry-state")?);
        eq!((inodes.len(), state.len(), names.len()), (2, 7, 6));
        ck!(inodes[0] >= inodes[1] && state[0] >= state[1] && state[2..] == [0; 5], "{inodes:?} {state:?}");
        ck!(names[0] >= names[1] && names[1] >= names[4], "{names:?}");
        eq!((names[2], names[3], names[5]), (45, 0, 0));
        ck!(state[0].abs_diff(inodes[0]) < OTHERS, "{inodes:?} {state:?}");
        // A file system may keep in mind that a name is not there.
        Ok((state[0], names[0] - names[4]))
    };
    let dir = dir()?;
    let name = |n: u64| format!("{dir}/census{n}");
    let before = counts()?;
    for n in 0..FILES {
        std::fs::write(name(n), "").map_err(|e| e.to_string())?;
    }
    let there = counts()?;
    let grown = (there.0.saturating_sub(before.0), there.1.saturating_sub(before.1));
    let expected = FILES - OTHERS..FILES + OTHERS;
    ck!(expected.contains(&grown.0) && expected.contains(&grown.1), "{before:?} {there:?}");
    for n in 0..FILES {
        std::fs::remove_file(name(n)).map_err(|e| e.to_string())?;
    }
    // They are freed a while after nobody sees them any more.
    until("the counts fall", || counts().is_ok_and(|now| now.0 < before.0 + OTHERS && now.1 < before.1 + OTHERS))
}
