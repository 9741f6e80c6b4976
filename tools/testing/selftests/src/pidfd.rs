// SPDX-License-Identifier: GPL-2.0
//! Processes and signals as files: pidfds, signalfds.

use crate::Test;
use crate::util::{Outcome, child, exit_of, pipe, read, signal_of, text, until, write};
use crate::{c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("pidfd.open", open),
    ("pidfd.open_errors", open_errors),
    ("pidfd.poll", poll),
    ("pidfd.send_signal", send_signal),
    ("pidfd.send_signal_errors", send_signal_errors),
    ("pidfd.proc_directory", proc_directory),
    ("pidfd.getfd", getfd),
    ("pidfd.waitid", waitid),
    ("pidfd.waitid_nonblock", waitid_nonblock),
    ("pidfd.clone", clone),
    ("pidfd.clone3_set_tid", clone3_set_tid),
    ("pidfd.numbers_given_back", numbers_given_back),
    ("signalfd.read", signalfd_read),
    ("signalfd.queue", signalfd_queue),
    ("signalfd.poll_and_change", signalfd_poll),
    ("signalfd.child", signalfd_child),
    ("signalfd.errors", signalfd_errors),
];

fn pidfd_open(pid: i32, flags: u32) -> i64 {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) }
}

fn send(pidfd: i32, signal: i32, info: *const libc::siginfo_t, flags: u32) -> i64 {
    // SAFETY: `info` is null or a live object of the caller.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, flags) }
}

/// A child that waits until it is killed.
fn sleeper() -> Result<i32, String> {
    child(|| {
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    })
}

fn open() -> Outcome {
    let pid = sleeper()?;
    let fd = c!(pidfd_open(pid, 0)) as i32;
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(c!(libc::fcntl(fd, libc::F_GETFL)) & libc::O_ACCMODE, libc::O_RDWR);
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|e| e.to_string())?;
    eq!(link.to_string_lossy(), "anon_inode:[pidfd]");
    let info = text(&format!("/proc/self/fdinfo/{fd}"))?;
    ck!(info.contains(&format!("\nPid:\t{pid}\n")), "{info}");
    c!(libc::kill(pid, libc::SIGKILL));
    crate::util::wait(pid)?;
    let info = text(&format!("/proc/self/fdinfo/{fd}"))?;
    ck!(info.contains("\nPid:\t-1\n"), "{info}");
    let mut byte = 0u8;
    fails!(libc::read(fd, (&raw mut byte).cast(), 1), libc::EINVAL);
    Ok(())
}

fn open_errors() -> Outcome {
    fails!(pidfd_open(0, 0), libc::EINVAL);
    fails!(pidfd_open(-1, 0), libc::EINVAL);
    fails!(pidfd_open(1, 1), libc::EINVAL);
    fails!(pidfd_open(i32::MAX, 0), libc::ESRCH);
    let (sender, receiver) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        // SAFETY: takes nothing.
        let _ = sender.send(unsafe { libc::gettid() });
        let _ = wait.recv();
    });
    let tid = receiver.recv().map_err(|e| e.to_string())?;
    fails!(pidfd_open(tid, 0), libc::EINVAL);
    drop(done);
    thread.join().map_err(|_| "join")?;
    Ok(())
}

fn poll() -> Outcome {
    let (reader, writer) = pipe()?;
    let pid = child(|| {
        let mut byte = 0u8;
        // SAFETY: live objects.
        unsafe {
            libc::close(writer);
            libc::read(reader, (&raw mut byte).cast(), 1);
        }
        0
    })?;
    let fd = c!(pidfd_open(pid, 0)) as i32;
    let mut set = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut set, 1, 0)), 0);
    c!(libc::close(writer));
    eq!(c!(libc::poll(&mut set, 1, 5000)), 1);
    eq!(set.revents, libc::POLLIN);
    exit_of(pid)?;
    eq!(c!(libc::poll(&mut set, 1, 0)), 1);
    Ok(())
}

fn send_signal() -> Outcome {
    let pid = sleeper()?;
    let fd = c!(pidfd_open(pid, 0)) as i32;
    c!(send(fd, 0, core::ptr::null(), 0));
    c!(send(fd, libc::SIGTERM, core::ptr::null(), 0));
    eq!(crate::util::signal_of(pid)?, libc::SIGTERM);
    fails!(send(fd, 0, core::ptr::null(), 0), libc::ESRCH);
    Ok(())
}

fn send_signal_errors() -> Outcome {
    // SAFETY: takes nothing.
    let me = c!(pidfd_open(unsafe { libc::getpid() }, 0)) as i32;
    let parent = c!(pidfd_open(libc::getppid(), 0)) as i32;
    fails!(send(me, 0, core::ptr::null(), 1), libc::EINVAL);
    fails!(send(me, 65, core::ptr::null(), 0), libc::EINVAL);
    fails!(send(99, 0, core::ptr::null(), 0), libc::EBADF);
    fails!(send(0, 0, core::ptr::null(), 0), libc::EBADF);
    // SAFETY: a structure of integers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    info.si_signo = libc::SIGUSR1;
    info.si_code = libc::SI_USER;
    fails!(send(parent, libc::SIGUSR1, &info, 0), libc::EPERM);
    fails!(send(me, libc::SIGUSR2, &info, 0), libc::EINVAL);
    fails!(send(me, libc::SIGUSR2, core::ptr::without_provenance(8), 0), libc::EFAULT);
    c!(libc::signal(libc::SIGUSR1, libc::SIG_IGN));
    c!(send(me, libc::SIGUSR1, &info, 0));
    Ok(())
}

fn proc_directory() -> Outcome {
    let pid = sleeper()?;
    let name = format!("/proc/{pid}\0");
    let fd = c!(libc::open(name.as_ptr().cast(), libc::O_DIRECTORY | libc::O_CLOEXEC));
    let status = c!(libc::openat(fd, c"status".as_ptr(), libc::O_RDONLY));
    fails!(send(status, 0, core::ptr::null(), 0), libc::EBADF);
    c!(send(fd, libc::SIGKILL, core::ptr::null(), 0));
    eq!(crate::util::signal_of(pid)?, libc::SIGKILL);
    fails!(send(fd, 0, core::ptr::null(), 0), libc::ESRCH);
    Ok(())
}

fn getfd() -> Outcome {
    let (reader, writer) = pipe()?;
    let pid = child(|| {
        // SAFETY: live descriptors.
        unsafe {
            libc::dup2(writer, 77);
            libc::write(77, c"x".as_ptr().cast(), 1);
            loop {
                libc::pause();
            }
        }
    })?;
    let mut byte = 0u8;
    eq!(c!(libc::read(reader, (&raw mut byte).cast(), 1)), 1);
    let fd = c!(pidfd_open(pid, 0)) as i32;
    // SAFETY: takes numbers only.
    let get =
        |pidfd: i32, wanted: i32, flags: u32| unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, wanted, flags) };
    fails!(get(fd, 78, 0), libc::EBADF);
    fails!(get(fd, 77, 1), libc::EINVAL);
    fails!(get(reader, 77, 0), libc::EBADF);
    let mine = c!(get(fd, 77, 0)) as i32;
    eq!(c!(libc::fcntl(mine, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(c!(libc::write(mine, c"y".as_ptr().cast(), 1)), 1);
    eq!(c!(libc::read(reader, (&raw mut byte).cast(), 1)), 1);
    eq!(byte, b'y');
    c!(libc::kill(pid, libc::SIGKILL));
    crate::util::wait(pid)?;
    fails!(get(fd, 77, 0), libc::ESRCH);
    Ok(())
}

fn wait_pidfd(fd: i32, info: &mut libc::siginfo_t, options: i32) -> i64 {
    // SAFETY: `info` is live.
    unsafe { libc::syscall(libc::SYS_waitid, libc::P_PIDFD, fd, info, options, 0) }
}

fn waitid() -> Outcome {
    let other = child(|| 1)?;
    let pid = child(|| 7)?;
    let fd = c!(pidfd_open(pid, 0)) as i32;
    // SAFETY: a structure of integers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    fails!(wait_pidfd(0, &mut info, libc::WEXITED), libc::EBADF);
    fails!(wait_pidfd(-1, &mut info, libc::WEXITED), libc::EINVAL);
    c!(wait_pidfd(fd, &mut info, libc::WEXITED));
    // SAFETY: SIGCHLD's fields.
    eq!(
        unsafe { (info.si_signo, info.si_code, info.si_pid(), info.si_status()) },
        (libc::SIGCHLD, libc::CLD_EXITED, pid, 7)
    );
    fails!(wait_pidfd(fd, &mut info, libc::WEXITED), libc::ECHILD);
    eq!(exit_of(other)?, 1);
    Ok(())
}

fn waitid_nonblock() -> Outcome {
    let pid = sleeper()?;
    let fd = c!(pidfd_open(pid, libc::O_NONBLOCK as u32)) as i32;
    // SAFETY: a structure of integers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    fails!(wait_pidfd(fd, &mut info, libc::WEXITED), libc::EAGAIN);
    c!(wait_pidfd(fd, &mut info, libc::WEXITED | libc::WNOHANG));
    c!(libc::kill(pid, libc::SIGKILL));
    let mut set = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut set, 1, 5000)), 1);
    c!(wait_pidfd(fd, &mut info, libc::WEXITED));
    eq!(info.si_code, libc::CLD_KILLED);
    Ok(())
}

fn clone() -> Outcome {
    let mut fd = -1i32;
    let flags = (libc::CLONE_PIDFD | libc::SIGCHLD) as usize;
    let pid = c!(libc::syscall(libc::SYS_clone, flags, 0, &raw mut fd, 0, 0)) as i32;
    if pid == 0 {
        // The descriptor is not the child's.
        // SAFETY: ends this process.
        unsafe { libc::_exit(if libc::fcntl(fd, libc::F_GETFD) == -1 { 3 } else { 4 }) };
    }
    ck!(fd >= 0);
    // SAFETY: a structure of integers.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(wait_pidfd(fd, &mut info, libc::WEXITED));
    // SAFETY: SIGCHLD's fields.
    eq!(unsafe { (info.si_pid(), info.si_status()) }, (pid, 3));
    let both = flags | libc::CLONE_PARENT_SETTID as usize;
    fails!(libc::syscall(libc::SYS_clone, both, 0, &raw mut fd, 0, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_clone, flags, 0, 8, 0, 0), libc::EFAULT);
    fails!(libc::syscall(libc::SYS_clone, flags | libc::CLONE_DETACHED as usize, 0, &raw mut fd, 0, 0), libc::EINVAL);
    Ok(())
}

fn clone3(args: &[u64; 11]) -> i64 {
    // SAFETY: a live array of the ABI's layout; the child goes on in a copy of this process.
    unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(args)) }
}

fn clone3_set_tid() -> Outcome {
    let signal = libc::SIGCHLD as u64;
    let mut tid = [0i32; 2];
    let with = |tid: &[i32; 2], n: u64| [0, 0, 0, 0, signal, 0, 0, 0, tid.as_ptr() as u64, n, 0];
    fails!(clone3(&with(&tid, 1)), libc::EINVAL);
    tid[0] = -1;
    fails!(clone3(&with(&tid, 1)), libc::EINVAL);
    fails!(clone3(&with(&tid, 0)), libc::EINVAL);
    fails!(clone3(&with(&tid, 33)), libc::EINVAL);
    // SAFETY: takes nothing.
    tid[0] = unsafe { libc::getpid() };
    fails!(clone3(&with(&tid, 1)), libc::EEXIST);
    tid[0] = 31234;
    let pid = c!(clone3(&with(&tid, 1))) as i32;
    if pid == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(libc::getpid() != 31234)) };
    }
    eq!(pid, 31234);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// A child with this number, which ends; it is waited for while its file in /proc is open, which is given.
fn child_numbered(tid: i32) -> Result<std::fs::File, String> {
    let signal = libc::SIGCHLD as u64;
    let pid = c!(clone3(&[0, 0, 0, 0, signal, 0, 0, 0, (&raw const tid) as u64, 1, 0])) as i32;
    if pid == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) };
    }
    eq!(pid, tid);
    let look = std::fs::File::open(format!("/proc/{pid}/status")).map_err(|e| e.to_string())?;
    eq!(exit_of(pid)?, 0);
    Ok(look)
}

/// The number of a process is free when it has been waited for, and that of a thread when it became the leader by `execve`.
fn numbers_given_back() -> Outcome {
    let mut looks = Vec::new();
    for _ in 0..50 {
        looks.push(child_numbered(31235)?);
    }
    let (r, w) = pipe()?;
    let pid = child(|| {
        let thread = std::thread::spawn(move || {
            // SAFETY: takes nothing.
            let _ = write(w, &unsafe { libc::gettid() }.to_ne_bytes());
            let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"wait".as_ptr(), core::ptr::null()];
            // SAFETY: a list of strings that ends.
            unsafe { libc::execv(c"/proc/self/exe".as_ptr(), argv.as_ptr()) };
        });
        let _ = thread.join();
        2
    })?;
    looks.push(std::fs::File::open(format!("/proc/{pid}/task/{pid}/status")).map_err(|e| e.to_string())?);
    let tid = i32::from_ne_bytes(read(r, 4)?.try_into().map_err(|_| "short")?);
    until("it executes", || text(&format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == "x\0--helper\0wait\0"))?;
    looks.push(child_numbered(tid)?);
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

fn set_of(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |set, &signal| set | 1 << (signal - 1))
}

fn signalfd(fd: i32, set: u64, flags: i32) -> i64 {
    // SAFETY: the set is live.
    unsafe { libc::syscall(libc::SYS_signalfd4, fd, &raw const set, 8, flags) }
}

fn block(set: u64) -> Outcome {
    c!(libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const set, 0, 8));
    Ok(())
}

fn records(fd: i32, count: usize) -> Result<Vec<libc::signalfd_siginfo>, String> {
    // SAFETY: a structure of integers.
    let mut out = vec![unsafe { core::mem::zeroed::<libc::signalfd_siginfo>() }; count];
    let got = c!(libc::read(fd, out.as_mut_ptr().cast(), count * 128));
    out.truncate(got as usize / 128);
    Ok(out)
}

fn signalfd_read() -> Outcome {
    let set = set_of(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGKILL]);
    block(set)?;
    let fd = c!(signalfd(-1, set, libc::SFD_NONBLOCK)) as i32;
    let info = text(&format!("/proc/self/fdinfo/{fd}"))?;
    ck!(info.ends_with("sigmask:\t0000000000000a00\n"), "{info}");
    let mut buffer = [0u8; 128];
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 128), libc::EAGAIN);
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 127), libc::EINVAL);
    let me = c!(libc::getpid());
    c!(libc::kill(me, libc::SIGUSR2));
    c!(libc::kill(me, libc::SIGUSR1));
    c!(libc::kill(me, libc::SIGUSR1));
    let got = records(fd, 4)?;
    eq!(got.len(), 2);
    eq!((got[0].ssi_signo, got[0].ssi_code, got[0].ssi_pid), (libc::SIGUSR1 as u32, libc::SI_USER, me as u32));
    eq!(got[1].ssi_signo, libc::SIGUSR2 as u32);
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 128), libc::EAGAIN);
    Ok(())
}

fn signalfd_queue() -> Outcome {
    let signal = 40;
    block(set_of(&[signal]))?;
    let fd = c!(signalfd(-1, set_of(&[signal]), 0)) as i32;
    // SAFETY: takes nothing.
    let me = unsafe { libc::getpid() };
    let pid = child(|| {
        for n in 1..=3usize {
            // SAFETY: plain calls.
            unsafe {
                libc::usleep(20_000);
                libc::sigqueue(me, signal, libc::sigval { sival_ptr: core::ptr::without_provenance_mut(n << 33 | n) });
            }
        }
        0
    })?;
    for n in 1..=3u64 {
        let got = records(fd, 1)?;
        eq!((got[0].ssi_code, got[0].ssi_int as u64, got[0].ssi_ptr), (libc::SI_QUEUE, n, n << 33 | n));
        eq!(got[0].ssi_pid, pid as u32);
    }
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn signalfd_poll() -> Outcome {
    let both = set_of(&[libc::SIGUSR1, libc::SIGUSR2]);
    block(both)?;
    let fd = c!(signalfd(-1, set_of(&[libc::SIGUSR1]), 0)) as i32;
    let epoll = c!(libc::epoll_create1(0));
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 5 };
    c!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event));
    c!(libc::raise(libc::SIGUSR2));
    eq!(c!(libc::epoll_wait(epoll, &mut event, 1, 0)), 0);
    eq!(c!(signalfd(fd, both, 0)), i64::from(fd));
    eq!(c!(libc::epoll_wait(epoll, &mut event, 1, 0)), 1);
    eq!(records(fd, 1)?[0].ssi_signo, libc::SIGUSR2 as u32);
    let me = c!(libc::getpid());
    let pid = child(|| {
        // SAFETY: plain calls.
        unsafe {
            libc::usleep(50_000);
            libc::kill(me, libc::SIGUSR1)
        }
    })?;
    eq!(c!(libc::epoll_wait(epoll, &mut event, 1, 5000)), 1);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn signalfd_child() -> Outcome {
    block(set_of(&[libc::SIGCHLD]))?;
    let fd = c!(signalfd(-1, set_of(&[libc::SIGCHLD]), 0)) as i32;
    let pid = child(|| 9)?;
    let got = records(fd, 1)?;
    eq!((got[0].ssi_signo, got[0].ssi_code), (libc::SIGCHLD as u32, libc::CLD_EXITED));
    eq!((got[0].ssi_pid, got[0].ssi_status), (pid as u32, 9));
    eq!(exit_of(pid)?, 9);
    Ok(())
}

fn signalfd_errors() -> Outcome {
    let set = 1u64;
    fails!(libc::syscall(libc::SYS_signalfd4, -1, &raw const set, 4, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_signalfd4, -1, 8, 8, 0), libc::EFAULT);
    fails!(signalfd(-1, 1, 1), libc::EINVAL);
    fails!(signalfd(99, 1, 0), libc::EBADF);
    fails!(signalfd(0, 1, 0), libc::EINVAL);
    Ok(())
}
