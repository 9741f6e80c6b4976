// SPDX-License-Identifier: GPL-2.0
//! Calls and options that few programs use.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("rare.ustat", ustat),
    ("rare.sysfs", sysfs),
    ("rare.quotactl_fd", quotactl_fd),
    ("rare.mrelease", mrelease),
    ("rare.write_hint", write_hint),
    ("rare.peer_groups", peer_groups),
    ("rare.arch_prctl", arch_prctl),
];

/// Free inodes by the number of a device.
fn ustat() -> Outcome {
    let home = cstr(&dir()?);
    // SAFETY: may be all zeroes.
    let (mut stat, mut fs): (libc::stat, libc::statfs) = unsafe { core::mem::zeroed() };
    c!(libc::stat(home.as_ptr(), &mut stat));
    c!(libc::statfs(home.as_ptr(), &mut fs));
    let mut out = [u64::MAX; 4];
    c!(libc::syscall(libc::SYS_ustat, stat.st_dev as u32, &mut out));
    // Others may make and remove files meanwhile.
    ck!(out[1].abs_diff(fs.f_ffree) < 1000, "{} and {}", out[1], fs.f_ffree);
    eq!((out[2], out[3] as u32), (0, 0));
    fails!(libc::syscall(libc::SYS_ustat, 0xfff0_ff00_u32, &mut out), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_ustat, stat.st_dev as u32, 8), libc::EFAULT);
    Ok(())
}

/// Types of file systems by number and by name.
fn sysfs() -> Outcome {
    // SAFETY: takes a number.
    let count = unsafe { libc::syscall(libc::SYS_sysfs, 3) };
    if count < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no sysfs call"));
    }
    eq!(count as usize, text("/proc/filesystems")?.lines().count());
    let index = c!(libc::syscall(libc::SYS_sysfs, 1, c"proc".as_ptr()));
    let mut name = [0xff_u8; 64];
    c!(libc::syscall(libc::SYS_sysfs, 2, index, name.as_mut_ptr()));
    eq!(&name[..5], b"proc\0");
    fails!(libc::syscall(libc::SYS_sysfs, 1, c"no such type".as_ptr()), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_sysfs, 2, count, name.as_mut_ptr()), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_sysfs, 4), libc::EINVAL);
    Ok(())
}

/// Quotas by a descriptor; `/proc` has none.
fn quotactl_fd() -> Outcome {
    const GETFMT: i32 = 0x80_0004 << 8;
    let fd = open("/proc/self/status", libc::O_RDONLY)?;
    let mut out = 0_u32;
    fails!(libc::syscall(libc::SYS_quotactl_fd, 999, GETFMT, 0, &mut out), libc::EBADF);
    fails!(libc::syscall(libc::SYS_quotactl_fd, fd, GETFMT | 77, 0, &mut out), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_quotactl_fd, fd, GETFMT, 0, &mut out), libc::ENOSYS);
    Ok(())
}

/// The memory of who was killed may be taken from him; not of who lives.
fn mrelease() -> Outcome {
    let (pid, held) = held(0)?;
    let pidfd = c!(libc::syscall(libc::SYS_pidfd_open, pid, 0)) as i32;
    fails!(libc::syscall(libc::SYS_process_mrelease, pidfd, 1), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_process_mrelease, held, 0), libc::EBADF);
    fails!(libc::syscall(libc::SYS_process_mrelease, pidfd, 0), libc::EINVAL);
    c!(libc::kill(pid, libc::SIGKILL));
    // It may have ended already.
    // SAFETY: takes numbers.
    let done = unsafe { libc::syscall(libc::SYS_process_mrelease, pidfd, 0) };
    ck!(done == 0 || errno() == libc::ESRCH, "{}", errno_name());
    eq!(signal_of(pid)?, libc::SIGKILL);
    fails!(libc::syscall(libc::SYS_process_mrelease, pidfd, 0), libc::ESRCH);
    // A process that lives cannot give its own away.
    let own = c!(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0));
    fails!(libc::syscall(libc::SYS_process_mrelease, own, 0), libc::EINVAL);
    Ok(())
}

/// How long what is written will live is a mark of the file.
fn write_hint() -> Outcome {
    const GET: i32 = 1035;
    const SET: i32 = 1036;
    let name = format!("{}/hinted", dir()?);
    std::fs::write(&name, "text").map_err(|e| e.to_string())?;
    let (fd, other) = (open(&name, libc::O_RDWR)?, open(&name, libc::O_RDONLY)?);
    let mut hint = 99_u64;
    c!(libc::fcntl(fd, GET, &mut hint));
    eq!(hint, 0);
    for new in [5_u64, 2] {
        c!(libc::fcntl(fd, SET, &new));
        c!(libc::fcntl(other, GET, &mut hint));
        eq!(hint, new);
    }
    fails!(libc::fcntl(fd, SET, &6_u64), libc::EINVAL);
    fails!(libc::fcntl(fd, SET, 8), libc::EFAULT);
    c!(libc::fcntl(fd, GET, &mut hint));
    eq!(hint, 2);
    let by_name = open(&name, libc::O_PATH)?;
    fails!(libc::fcntl(by_name, GET, &mut hint), libc::EBADF);
    Ok(())
}

/// The groups of the other side, all or none of them.
fn peer_groups() -> Outcome {
    const PEERGROUPS: i32 = 59;
    in_child(|| {
        c!(libc::setgroups(3, [7, 8, 9].as_ptr()));
        let mut ends = [0; 2];
        c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()));
        // As they were when the sockets met.
        c!(libc::setgroups(0, core::ptr::null()));
        let (mut groups, mut len) = ([0_u32; 8], 32_u32);
        c!(libc::getsockopt(ends[0], libc::SOL_SOCKET, PEERGROUPS, groups.as_mut_ptr().cast(), &mut len));
        eq!((len, &groups[..4]), (12, [7, 8, 9, 0].as_slice()));
        let (mut groups, mut len) = ([0_u32; 8], 8_u32);
        let short = libc::getsockopt;
        fails!(short(ends[0], libc::SOL_SOCKET, PEERGROUPS, groups.as_mut_ptr().cast(), &mut len), libc::ERANGE);
        eq!((len, groups[0]), (12, 0));
        let alone = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
        fails!(short(alone, libc::SOL_SOCKET, PEERGROUPS, groups.as_mut_ptr().cast(), &mut len), libc::ENODATA);
        Ok(())
    })
}

/// Components of the registers that XSAVE keeps: those that need no asking are there for everybody.
fn arch_prctl() -> Outcome {
    const GET_CPUID: i32 = 0x1011;
    const GET_SUPPORTED: i32 = 0x1021;
    const GET_PERMITTED: i32 = 0x1022;
    const REQUEST: i32 = 0x1023;
    eq!(c!(libc::syscall(libc::SYS_arch_prctl, GET_CPUID, 0)), 1);
    let (mut supported, mut permitted) = (0_u64, 0_u64);
    c!(libc::syscall(libc::SYS_arch_prctl, GET_SUPPORTED, &mut supported));
    c!(libc::syscall(libc::SYS_arch_prctl, GET_PERMITTED, &mut permitted));
    eq!((supported & 3, permitted & 3), (3, 3));
    eq!(permitted & !supported, 0);
    fails!(libc::syscall(libc::SYS_arch_prctl, GET_SUPPORTED, 8), libc::EFAULT);
    fails!(libc::syscall(libc::SYS_arch_prctl, REQUEST, 2), libc::EOPNOTSUPP);
    fails!(libc::syscall(libc::SYS_arch_prctl, REQUEST, 63), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_arch_prctl, 0x1fff, 0), libc::EINVAL);
    Ok(())
}
