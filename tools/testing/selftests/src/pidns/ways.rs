// SPDX-License-Identifier: GPL-2.0
//! Ways into PID name spaces, their files, and numbers that are chosen.

use super::*;
use crate::util::open;

/// A first process that waits for its end, for which the descriptor is to be closed.
fn held_inside() -> Result<(Inside, i32), String> {
    let (r, w) = pipe()?;
    let init = start(|| {
        close(w);
        eq!(read(r, 1)?.len(), 0);
        Ok(())
    })?;
    close(r);
    Ok((init, w))
}

pub(super) fn setns() -> Outcome {
    let (init, word) = held_inside()?;
    let ns = open(&format!("/proc/{}/ns/pid", init.pid), libc::O_RDONLY)?;
    let own = open("/proc/self/ns/pid", libc::O_RDONLY)?;
    fails!(libc::setns(ns, libc::CLONE_NEWUTS), libc::EINVAL);
    crate::util::in_child(|| {
        close(word);
        let me = pid();
        c!(libc::setns(ns, 0));
        // Only children are there.
        eq!(pid(), me);
        let outer = child(|| {
            let body = || -> Outcome {
                eq!((pid(), c!(libc::getppid())), (2, 0));
                // Up is no way.
                fails!(libc::setns(own, CLONE_NEWPID), libc::EINVAL);
                c!(libc::setns(ns, CLONE_NEWPID));
                Ok(())
            };
            i32::from(body().is_err())
        })?;
        ck!(outer > 2);
        eq!(exit_of(outer)?, 0);
        // Back to where it is itself.
        c!(libc::setns(own, CLONE_NEWPID));
        let parent = pid();
        let again = child(|| i32::from(unsafe { libc::getppid() } != parent))?;
        eq!(exit_of(again)?, 0);
        Ok(())
    })?;
    close(word);
    init.end()
}

pub(super) fn setns_pidfd() -> Outcome {
    let (init, word) = held_inside()?;
    let pidfd = c!(libc::syscall(libc::SYS_pidfd_open, init.pid, 0)) as i32;
    fails!(libc::setns(pidfd, 0), libc::EINVAL);
    crate::util::in_child(|| {
        close(word);
        c!(libc::setns(pidfd, CLONE_NEWPID | libc::CLONE_NEWNS));
        let got = child(|| i32::from(pid() != 2))?;
        eq!(exit_of(got)?, 0);
        Ok(())
    })?;
    close(word);
    init.end()?;
    fails!(libc::setns(pidfd, CLONE_NEWPID), libc::ESRCH);
    Ok(())
}

fn number_of(path: &str) -> Result<u64, String> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map(|m| m.ino()).map_err(|e| format!("{path}: {e}"))
}

pub(super) fn files() -> Outcome {
    let own = number_of("/proc/self/ns/pid")?;
    eq!(number_of("/proc/self/ns/pid_for_children")?, own);
    let (init, word) = held_inside()?;
    let its = format!("/proc/{}/ns", init.pid);
    ck!(number_of(&format!("{its}/pid"))? != own);
    eq!(number_of(&format!("{its}/pid_for_children"))?, number_of(&format!("{its}/pid"))?);
    for name in ["pid", "pid_for_children"] {
        let link = std::fs::read_link(format!("{its}/{name}")).map_err(|e| e.to_string())?;
        eq!(link.to_string_lossy(), format!("pid:[{}]", number_of(&format!("{its}/{name}"))?));
    }
    let listed: Vec<_> = std::fs::read_dir(&its).map_err(|e| e.to_string())?.flatten().map(|e| e.file_name()).collect();
    ck!(listed.iter().any(|name| name == "pid") && listed.iter().any(|name| name == "pid_for_children"), "{listed:?}");
    close(word);
    init.end()
}

const NS_GET_PARENT: u64 = 0xb702;
const NS_GET_NSTYPE: u64 = 0xb703;
const NS_GET_OWNER_UID: u64 = 0xb704;

pub(super) fn ioctl() -> Outcome {
    let ask = |fd: i32, what: u64| unsafe { libc::ioctl(fd, what as _) };
    let (init, word) = held_inside()?;
    let ns = open(&format!("/proc/{}/ns/pid", init.pid), libc::O_RDONLY)?;
    eq!(c!(ask(ns, NS_GET_NSTYPE)), CLONE_NEWPID);
    fails!(ask(ns, NS_GET_OWNER_UID), libc::EINVAL);
    fails!(ask(ns, 0xb7ff), libc::ENOTTY);
    let parent = c!(ask(ns, NS_GET_PARENT));
    eq!(c!(libc::fcntl(parent, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(number_of(&format!("/proc/self/fd/{parent}"))?, number_of("/proc/self/ns/pid")?);
    inside(|| {
        // What is above is not for those below to see, nor is what is beside them.
        let own = open("/proc/self/ns/pid", libc::O_RDONLY)?;
        fails!(ask(own, NS_GET_PARENT), libc::EPERM);
        fails!(ask(ns, NS_GET_PARENT), libc::EPERM);
        Ok(())
    })?;
    close(word);
    init.end()
}

fn clone3(flags: i32, tids: &[i32]) -> i32 {
    let (at, count) = (tids.as_ptr() as u64, tids.len() as u64);
    let args = [flags as u64, 0, 0, 0, SIGCHLD as u64, 0, 0, 0, at, count, 0];
    // SAFETY: a live array of the ABI's layout; the child goes on in a copy of this process.
    unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) as i32 }
}

/// A child with chosen numbers, which says whether its own is `own`.
fn chosen(flags: i32, tids: &[i32], own: i32) -> Result<i32, String> {
    let got = c!(clone3(flags, tids));
    if got == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(pid() != own)) };
    }
    eq!(exit_of(got)?, 0);
    Ok(got)
}

pub(super) fn set_tid() -> Outcome {
    fails!(clone3(0, &[30001, 30002]), libc::EINVAL);
    // The first process is number 1, if any is chosen.
    fails!(clone3(CLONE_NEWPID, &[2]), libc::EINVAL);
    fails!(clone3(CLONE_NEWPID, &[1, 30001, 30002]), libc::EINVAL);
    eq!(chosen(CLONE_NEWPID, &[1, 30003], 1)?, 30003);
    ck!(chosen(CLONE_NEWPID, &[1], 1)? != 1);
    inside(|| {
        eq!(chosen(0, &[77], 77)?, 77);
        // Outside it has any number.
        eq!(chosen(0, &[78, 30004], 78)?, 78);
        fails!(clone3(0, &[1]), libc::EEXIST);
        fails!(clone3(0, &[79, 1]), libc::EEXIST);
        fails!(clone3(0, &[79, 30004, 30005]), libc::EINVAL);
        eq!(chosen(CLONE_NEWPID, &[1, 44, 30006], 1)?, 44);
        Ok(())
    })
}

pub(super) fn last_pid() -> Outcome {
    inside(|| {
        let last = || -> Result<String, String> {
            let load = text("/proc/loadavg")?;
            let words = load.split_whitespace().last().unwrap_or_default().to_owned();
            eq!(text("/proc/sys/kernel/ns_last_pid")?.trim(), words);
            Ok(words)
        };
        eq!(last()?, "1");
        exit_of(child(|| 0)?)?;
        eq!(last()?, "2");
        std::fs::write("/proc/sys/kernel/ns_last_pid", "500").map_err(|e| e.to_string())?;
        eq!(last()?, "500");
        let next = child(|| 0)?;
        eq!(next, 501);
        eq!(exit_of(next)?, 0);
        Ok(())
    })
}

fn send(pidfd: i32, signal: i32) -> i64 {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, core::ptr::null::<u8>(), 0) }
}

fn info_of(pidfd: i32) -> Result<String, String> {
    let info = text(&format!("/proc/self/fdinfo/{pidfd}"))?;
    let ours = |line: &&str| line.starts_with("Pid:") || line.starts_with("NSpid:");
    Ok(info.lines().filter(ours).map(|line| format!("{line};")).collect())
}

pub(super) fn pidfd() -> Outcome {
    let (init, word) = held_inside()?;
    let outer = c!(libc::syscall(libc::SYS_pidfd_open, pid(), 0)) as i32;
    let beside = c!(libc::syscall(libc::SYS_pidfd_open, init.pid, 0)) as i32;
    eq!(info_of(beside)?, format!("Pid:\t{0};NSpid:\t{0}\t1;", init.pid));
    eq!(info_of(outer)?, format!("Pid:\t{0};NSpid:\t{0};", pid()));
    inside(|| {
        fails!(libc::syscall(libc::SYS_pidfd_open, 4_000_000, 0), libc::ESRCH);
        let own = c!(libc::syscall(libc::SYS_pidfd_open, 1, 0)) as i32;
        c!(send(own, 0));
        // Who has no number here gets no signals from here.
        fails!(send(outer, 0), libc::EINVAL);
        fails!(send(beside, 0), libc::EINVAL);
        Ok(())
    })?;
    c!(send(beside, 0));
    close(word);
    init.end()?;
    eq!(info_of(beside)?, "Pid:\t-1;NSpid:\t-1;");
    Ok(())
}
