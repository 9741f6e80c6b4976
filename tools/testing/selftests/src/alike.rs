// SPDX-License-Identifier: GPL-2.0
//! What tools/testing/abi-diff found to differ from Linux: one test for each thing that mattered.

pub mod files;
pub mod memory;
pub mod names;
pub mod pipes;
pub mod places;
pub mod signals;
pub mod sockets;
pub mod tasks;

use crate::util::{Outcome, child, exit_of, home, pipe_flags};
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("alike.packet_rest", packet_rest),
    ("alike.pipe_size", pipe_size),
    ("alike.memfd_exec", memfd_exec),
    ("alike.in_root_absolute", in_root_absolute),
    ("alike.fallocate_whole", fallocate_whole),
    ("alike.fallocate_twice", fallocate_twice),
    ("alike.times_omitted", times_omitted),
    ("alike.rename_flags", rename_flags),
    ("alike.no_cloexec_flag", no_cloexec_flag),
    ("alike.waitid_clears", waitid_clears),
    ("alike.identity_hides", identity_hides),
    ("alike.place_taken", place_taken),
    ("alike.poll_quarter_full", poll_quarter_full),
    ("alike.shutdown_early", shutdown_early),
    ("alike.empty_vector", empty_vector),
];

/// `vmsplice` from a pipe of packets loses nothing of one that it takes a part of.
fn packet_rest() -> Outcome {
    let (r, w) = pipe_flags(libc::O_DIRECT | libc::O_NONBLOCK)?;
    eq!(c!(libc::write(w, [7_u8; 100].as_ptr().cast(), 100)), 100);
    let mut bytes = [0_u8; 30];
    let iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 30 };
    eq!(c!(libc::vmsplice(r, &iov, 1, 0)), 30);
    let mut left = 0_i32;
    c!(libc::ioctl(r, libc::FIONREAD, &mut left));
    eq!(left, 70);
    Ok(())
}

fn pipe_size() -> Outcome {
    home()?;
    let file = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    fails!(libc::fcntl(file, libc::F_GETPIPE_SZ), libc::EBADF);
    fails!(libc::fcntl(file, libc::F_SETPIPE_SZ, 4096), libc::EBADF);
    Ok(())
}

/// A program in a memory file can be executed, and mapped to be.
fn memfd_exec() -> Outcome {
    let fd = c!(libc::memfd_create(c"program".as_ptr(), 0));
    let program = std::fs::read("/proc/self/exe").map_err(|e| e.to_string())?;
    std::fs::write(format!("/proc/self/fd/{fd}"), &program).map_err(|e| e.to_string())?;
    let prot = libc::PROT_READ | libc::PROT_EXEC;
    ck!(c!(libc::mmap(core::ptr::null_mut(), 4096, prot, libc::MAP_SHARED, fd, 0)) as isize != -1);
    let status = exit_of(child(|| {
        let argv = [c"program".as_ptr(), c"--list".as_ptr(), core::ptr::null()];
        // SAFETY: live arrays; the list goes nowhere.
        unsafe {
            libc::close(1);
            libc::fexecve(fd, argv.as_ptr(), argv[2..].as_ptr());
        }
        99
    })?)?;
    ck!(status != 99, "fexecve failed");
    Ok(())
}

/// With `RESOLVE_IN_ROOT` an absolute name starts at the directory, too.
fn in_root_absolute() -> Outcome {
    home()?;
    c!(libc::mkdir(c"d".as_ptr(), 0o755));
    std::fs::write("d/only-here", b"x").map_err(|e| e.to_string())?;
    let d = c!(libc::open(c"d".as_ptr(), libc::O_PATH));
    let how = [libc::O_RDONLY as u64, 0, libc::RESOLVE_IN_ROOT];
    c!(libc::syscall(libc::SYS_openat2, d, c"/only-here".as_ptr(), &how, 24));
    fails!(libc::syscall(libc::SYS_openat2, 900, c"/only-here".as_ptr(), &how, 24), libc::EBADF);
    Ok(())
}

/// `fallocate` over what the file system may hold takes nothing.
fn fallocate_whole() -> Outcome {
    home()?;
    c!(libc::mkdir(c"m".as_ptr(), 0o755));
    c!(libc::mount(c"t".as_ptr(), c"m".as_ptr(), c"tmpfs".as_ptr(), 0, c"size=1m".as_ptr().cast()));
    let f = c!(libc::open(c"m/f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    fails!(libc::fallocate(f, 0, 0, 1 << 40), libc::ENOSPC);
    let g = c!(libc::open(c"m/g".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    c!(libc::fallocate(g, 0, 0, 512 << 10));
    fails!(libc::fallocate(f, 0, 0, 768 << 10), libc::ENOSPC);
    // SAFETY: a `stat` may be all zeroes.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(f, &mut st));
    eq!((st.st_size, st.st_blocks), (0, 0));
    c!(libc::close(f));
    c!(libc::close(g));
    c!(libc::umount2(c"m".as_ptr(), libc::MNT_DETACH));
    Ok(())
}

/// What `fallocate` keeps is a hole until it is used, or kept once more.
fn fallocate_twice() -> Outcome {
    home()?;
    c!(libc::mkdir(c"m".as_ptr(), 0o755));
    c!(libc::mount(c"t".as_ptr(), c"m".as_ptr(), c"tmpfs".as_ptr(), 0, c"size=1m".as_ptr().cast()));
    let f = c!(libc::open(c"m/f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    c!(libc::fallocate(f, 0, 0, 40960));
    fails!(libc::lseek(f, 0, libc::SEEK_DATA), libc::ENXIO);
    c!(libc::fallocate(f, libc::FALLOC_FL_KEEP_SIZE, 8192, 4096));
    eq!((c!(libc::lseek(f, 0, libc::SEEK_DATA)), c!(libc::lseek(f, 8192, libc::SEEK_HOLE))), (8192, 12288));
    c!(libc::close(f));
    c!(libc::umount2(c"m".as_ptr(), libc::MNT_DETACH));
    Ok(())
}

/// With both times left out not even the name is looked at.
fn times_omitted() -> Outcome {
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    c!(libc::utimensat(900, c"nothing".as_ptr(), [omit, omit].as_ptr(), 0));
    Ok(())
}

/// Flags that make no sense, and the old name, count before the new name.
fn rename_flags() -> Outcome {
    let nr = libc::SYS_renameat2;
    fails!(libc::syscall(nr, 900, c"a".as_ptr(), 900, c"b".as_ptr(), 8), libc::EINVAL);
    fails!(libc::syscall(nr, 900, c"a".as_ptr(), libc::AT_FDCWD, c"".as_ptr(), 0), libc::EBADF);
    fails!(libc::mknodat(900, c"a".as_ptr(), libc::S_IFDIR | 0o700, 0), libc::EPERM);
    Ok(())
}

fn no_cloexec_flag() -> Outcome {
    let fd = c!(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC));
    eq!(c!(libc::fcntl(fd, libc::F_GETFL)) & libc::O_CLOEXEC, 0);
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    // The reading end of a pipe of packets is as any other.
    let (r, w) = pipe_flags(libc::O_DIRECT)?;
    eq!(c!(libc::fcntl(r, libc::F_GETFL)) & libc::O_DIRECT, 0);
    eq!(c!(libc::fcntl(w, libc::F_GETFL)) & libc::O_DIRECT, libc::O_DIRECT);
    Ok(())
}

/// Who waits for nothing that can come is told, and what was there before is cleared.
fn waitid_clears() -> Outcome {
    let pid = child(|| 3)?;
    let mut info = [u32::MAX; 32];
    let at = info.as_mut_ptr().cast::<libc::siginfo_t>();
    c!(libc::waitid(libc::P_PID, pid as u32, at, libc::WEXITED | libc::WNOWAIT));
    // An ended child will never stop.
    fails!(libc::waitid(libc::P_PID, pid as u32, at, libc::WSTOPPED | libc::WNOHANG), libc::ECHILD);
    eq!((info[0], info[2], info[4]), (0, 0, 0));
    eq!(exit_of(pid)?, 3);
    Ok(())
}

/// A process with a new identity cannot be looked into, and its parent's end is no matter to it.
fn identity_hides() -> Outcome {
    let status = exit_of(child(|| {
        // SAFETY: plain calls.
        unsafe {
            let mut signal = 0;
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            if libc::prctl(libc::PR_GET_DUMPABLE) != 1 || libc::setresgid(1000, 1000, 1000) != 0 {
                return 1;
            }
            libc::prctl(libc::PR_GET_PDEATHSIG, &mut signal);
            if libc::prctl(libc::PR_GET_DUMPABLE) != 0 || signal != 0 { 2 } else { 0 }
        }
    })?)?;
    eq!(status, 0);
    Ok(())
}

/// A place that is taken counts before what is wrong with the file; and a flag that not every file keeps is refused.
fn place_taken() -> Outcome {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let anon = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = c!(libc::mmap(core::ptr::null_mut(), 4096, prot, anon, -1, 0));
    let fd = c!(libc::open(c"/proc/self/exe".as_ptr(), libc::O_RDONLY));
    let there = libc::MAP_FIXED_NOREPLACE;
    fails!(libc::mmap(at, 4096, prot, libc::MAP_SHARED | there, fd, 0), libc::EEXIST);
    c!(libc::munmap(at, 4096));
    fails!(libc::mmap(at, 4096, libc::PROT_READ, libc::MAP_SHARED_VALIDATE | there, fd, 0), libc::EOPNOTSUPP);
    Ok(())
}

/// A stream is ready for writing while no more than a quarter of its room is used.
fn poll_quarter_full() -> Outcome {
    let mut fds = [0; 2];
    c!(libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()));
    let events = |fd| -> Result<i16, String> {
        let mut p = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        c!(libc::poll(&mut p, 1, 0));
        Ok(p.revents)
    };
    eq!(events(fds[0])?, libc::POLLOUT);
    let bytes = vec![0_u8; 300_000];
    eq!(c!(libc::write(fds[0], bytes.as_ptr().cast(), 60_000)), 60_000);
    eq!(events(fds[0])?, 0);
    // What fits in all: as much as in Linux.
    let more = c!(libc::write(fds[0], bytes.as_ptr().cast(), bytes.len()));
    ck!(more > 100_000 && more < 200_000, "{more}");
    fails!(libc::write(fds[0], bytes.as_ptr().cast(), 1), libc::EAGAIN);
    Ok(())
}

/// A socket that was never connected can be shut down.
fn shutdown_early() -> Outcome {
    let fd = c!(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    c!(libc::shutdown(fd, libc::SHUT_WR));
    fails!(libc::accept4(900, core::ptr::null_mut(), core::ptr::null_mut(), 1), libc::EBADF);
    Ok(())
}

/// Flags of `pwritev2` are looked at only if there is something to write.
fn empty_vector() -> Outcome {
    let fd = c!(libc::open(c"/dev/null".as_ptr(), libc::O_RDWR));
    let nr = libc::SYS_pwritev2;
    eq!(c!(libc::syscall(nr, fd, core::ptr::null::<u8>(), 0, 0, 0, 0x4000)), 0);
    fails!(libc::syscall(nr, 900, core::ptr::null::<u8>(), 0, 0, 0, 0x4000), libc::EBADF);
    Ok(())
}
