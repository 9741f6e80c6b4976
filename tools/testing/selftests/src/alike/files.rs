// SPDX-License-Identifier: GPL-2.0
//! Names, files and their attributes.

use crate::util::{Outcome, child, close, exit_of, home, in_child, open, text, write};
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("alike.append_once", append_once),
    ("alike.append_nowhere", append_nowhere),
    ("alike.chattr", chattr),
    ("alike.xattr_names", xattr_names),
    ("alike.xattr_security", xattr_security),
    ("alike.link_old_first", link_old_first),
    ("alike.exclusive_directory", exclusive_directory),
    ("alike.birth_when_asked", birth_when_asked),
    ("alike.sendfile_end", sendfile_end),
    ("alike.fallocate_limit", fallocate_limit),
    ("alike.copy_file_range", copy_file_range),
    ("alike.record_lock_order", record_lock_order),
    ("alike.ofd_no_deadlock", ofd_no_deadlock),
    ("alike.path_keeps_locks", path_keeps_locks),
];

const RWF_APPEND: i32 = 0x10;

/// `RWF_APPEND` sends one write to the end, wherever it was to go; the file's own position follows if it was to be used.
fn append_once() -> Outcome {
    home()?;
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    eq!(c!(libc::write(f, b"0123456789".as_ptr().cast(), 10)), 10);
    let iov = libc::iovec { iov_base: b"ab".as_ptr().cast_mut().cast(), iov_len: 2 };
    eq!(c!(libc::pwritev2(f, &iov, 1, 3, RWF_APPEND)), 2);
    eq!(c!(libc::lseek(f, 0, libc::SEEK_CUR)), 10);
    eq!(c!(libc::pwritev2(f, &iov, 1, -1, RWF_APPEND)), 2);
    eq!(c!(libc::lseek(f, 0, libc::SEEK_CUR)), 14);
    eq!(std::fs::read("f").map_err(|e| e.to_string())?, b"0123456789abab".to_vec());
    // Where nothing can end counts before flags that are not known.
    fails!(libc::pwritev2(f, &iov, 1, i64::MAX, 0x4000_0000), libc::EINVAL);
    fails!(libc::pwritev2(f, &iov, 1, 0, 0x4000_0000), libc::EOPNOTSUPP);
    Ok(())
}

/// Where there is no end to write at, `RWF_APPEND` changes nothing: devices, settings.
fn append_nowhere() -> Outcome {
    let iov = libc::iovec { iov_base: b"ab".as_ptr().cast_mut().cast(), iov_len: 2 };
    let zero = open("/dev/zero", libc::O_RDWR)?;
    for at in [0, 5, -1] {
        eq!(c!(libc::pwritev2(zero, &iov, 1, at, RWF_APPEND)), 2);
    }
    ck!(c!(libc::lseek(zero, 0, libc::SEEK_CUR)) >= 0);
    const SETTING: &str = "/proc/sys/fs/pipe-user-pages-soft";
    let before = text(SETTING)?;
    let iov = libc::iovec { iov_base: before.as_ptr().cast_mut().cast(), iov_len: before.len() };
    let fd = open(SETTING, libc::O_WRONLY)?;
    eq!(c!(libc::pwritev2(fd, &iov, 1, -1, RWF_APPEND)) as usize, before.len());
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_CUR)) as usize, before.len());
    close(fd);
    eq!(text(SETTING)?, before);
    Ok(())
}

const GETFLAGS: libc::c_ulong = 0x8008_6601;
const SETFLAGS: libc::c_ulong = 0x4008_6602;
const FSGETXATTR: libc::c_ulong = 0x801c_581f;
const APPEND_FL: u32 = 0x20;
const NODUMP_FL: u32 = 0x40;

/// tmpfs has the flags of `chattr`: they work, and some go to what is made in a directory.
fn chattr() -> Outcome {
    home()?;
    c!(libc::mkdir(c"m".as_ptr(), 0o755));
    c!(libc::mount(c"t".as_ptr(), c"m".as_ptr(), c"tmpfs".as_ptr(), 0, core::ptr::null()));
    let f = c!(libc::open(c"m/f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    let mut flags = u32::MAX;
    c!(libc::ioctl(f, GETFLAGS, &mut flags));
    eq!(flags, 0);
    c!(libc::ioctl(f, SETFLAGS, &(APPEND_FL | NODUMP_FL)));
    c!(libc::ioctl(f, GETFLAGS, &mut flags));
    eq!(flags, APPEND_FL | NODUMP_FL);
    let mut words = [0_u32; 7];
    c!(libc::ioctl(f, FSGETXATTR, &mut words));
    eq!(words[0], 0x90);
    fails!(libc::open(c"m/f".as_ptr(), libc::O_RDWR), libc::EPERM);
    c!(libc::open(c"m/f".as_ptr(), libc::O_RDWR | libc::O_APPEND));
    fails!(libc::unlink(c"m/f".as_ptr()), libc::EPERM);
    fails!(libc::ioctl(f, SETFLAGS, &1), libc::EOPNOTSUPP);
    c!(libc::ioctl(f, SETFLAGS, &0));
    c!(libc::unlink(c"m/f".as_ptr()));
    let d = c!(libc::open(c"m".as_ptr(), libc::O_DIRECTORY));
    c!(libc::ioctl(d, SETFLAGS, &NODUMP_FL));
    let g = c!(libc::open(c"m/g".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    c!(libc::ioctl(g, GETFLAGS, &mut flags));
    eq!(flags, NODUMP_FL);
    let (r, _) = crate::util::pipe()?;
    fails!(libc::ioctl(r, GETFLAGS, &mut flags), libc::ENOTTY);
    c!(libc::umount2(c"m".as_ptr(), libc::MNT_DETACH));
    Ok(())
}

/// A name space of attributes without a name in it is no attribute.
fn xattr_names() -> Outcome {
    home()?;
    std::fs::write("f", b"").map_err(|e| e.to_string())?;
    let at = core::ptr::null_mut();
    fails!(libc::removexattr(c"f".as_ptr(), c"trusted.".as_ptr()), libc::EINVAL);
    fails!(libc::getxattr(c"f".as_ptr(), c"security.".as_ptr(), at, 0), libc::EINVAL);
    fails!(libc::getxattr(c"f".as_ptr(), c"other.a".as_ptr(), at, 0), libc::EOPNOTSUPP);
    Ok(())
}

/// Who may set what security modules look at: not a file's owner. The value of file capabilities is looked at.
fn xattr_security() -> Outcome {
    home()?;
    std::fs::write("f", b"").map_err(|e| e.to_string())?;
    let capability = c"security.capability".as_ptr();
    let mut value = [0_u8; 20];
    fails!(libc::setxattr(c"f".as_ptr(), capability, value.as_ptr().cast(), 1, 0), libc::EINVAL);
    fails!(libc::setxattr(c"f".as_ptr(), capability, value.as_ptr().cast(), 20, 0), libc::EINVAL);
    value[3] = 2;
    c!(libc::setxattr(c"f".as_ptr(), capability, value.as_ptr().cast(), 20, 0));
    eq!(c!(libc::getxattr(c"f".as_ptr(), capability, core::ptr::null_mut(), 0)), 20);
    c!(libc::chown(c"f".as_ptr(), 1000, 1000));
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(libc::setxattr(c"f".as_ptr(), c"security.a".as_ptr(), value.as_ptr().cast(), 1, 0), libc::EPERM);
        fails!(libc::setxattr(c"f".as_ptr(), capability, value.as_ptr().cast(), 20, 0), libc::EPERM);
        Ok(())
    })
}

/// What is wrong with the old name counts before what is wrong with the new one.
fn link_old_first() -> Outcome {
    fails!(libc::linkat(900, c"a".as_ptr(), libc::AT_FDCWD, c"".as_ptr(), 0), libc::EBADF);
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    c!(libc::utimensat(900, c"nothing".as_ptr(), [omit, omit].as_ptr(), 1));
    Ok(())
}

/// `O_EXCL` says of what is surely a directory that it is there.
fn exclusive_directory() -> Outcome {
    let flags = libc::O_CREAT | libc::O_WRONLY;
    for name in [c"/", c".", c"../"] {
        fails!(libc::open(name.as_ptr(), flags | libc::O_EXCL, 0o600), libc::EEXIST);
        fails!(libc::open(name.as_ptr(), flags, 0o600), libc::EISDIR);
    }
    fails!(libc::open(c"none/".as_ptr(), flags | libc::O_EXCL, 0o600), libc::EISDIR);
    Ok(())
}

fn birth_when_asked() -> Outcome {
    home()?;
    std::fs::write("f", b"").map_err(|e| e.to_string())?;
    for (mask, told) in [(0x7ff, false), (0xfff, true)] {
        let mut words = [0_u32; 64];
        c!(libc::syscall(libc::SYS_statx, libc::AT_FDCWD, c"f".as_ptr(), 0, mask, &mut words));
        eq!(words[0] & 0x800 != 0, told);
        // The seconds.
        eq!(words[20] != 0, told);
    }
    Ok(())
}

/// What is wrong with the stretches is said in this order, and what is behind an end is nothing.
fn copy_file_range() -> Outcome {
    home()?;
    let f = c!(libc::open(c"from".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    let t = c!(libc::open(c"to".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    eq!(write(f, b"0123456789")?, 10);
    let copy = |from: i64, fd: i32, to: i64, len: usize| {
        let (mut from, mut to) = (from, to);
        // SAFETY: both offsets are live.
        unsafe { libc::copy_file_range(f, &mut from, fd, &mut to, len, 0) }
    };
    eq!(c!(copy(2, t, 1, 100)), 8);
    eq!(c!(copy(10, t, 0, 100)), 0);
    eq!(c!(copy(i64::MAX - 5, t, 0, 100)), 0);
    fails!(copy(1, t, 0, usize::MAX), libc::EOVERFLOW);
    fails!(copy(-1, t, 0, 10), libc::EOVERFLOW);
    fails!(copy(-1, t, 0, 0), libc::EINVAL);
    fails!(copy(0, t, i64::MAX, 10), libc::EFBIG);
    // Overlapping, but only as far as there are bytes.
    fails!(copy(0, f, 5, 10), libc::EINVAL);
    eq!(c!(copy(7, f, 10, 100)), 3);
    let small = libc::rlimit { rlim_cur: 4, rlim_max: libc::RLIM_INFINITY };
    let same = in_child(move || {
        c!(libc::signal(libc::SIGXFSZ, libc::SIG_IGN));
        c!(libc::setrlimit(libc::RLIMIT_FSIZE, &small));
        eq!(c!(copy(0, t, 1, 100)), 3);
        fails!(copy(0, t, 4, 100), libc::EFBIG);
        Ok(())
    });
    close(f);
    close(t);
    same
}

/// `fallocate` makes no file longer than `RLIMIT_FSIZE` allows; in tmpfs not even if the size is to stay.
fn fallocate_limit() -> Outcome {
    home()?;
    let fd = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    c!(libc::ftruncate(fd, 6000));
    let small = libc::rlimit { rlim_cur: 5000, rlim_max: libc::RLIM_INFINITY };
    let same = in_child(move || {
        c!(libc::signal(libc::SIGXFSZ, libc::SIG_IGN));
        c!(libc::setrlimit(libc::RLIMIT_FSIZE, &small));
        fails!(libc::fallocate(fd, 0, 0, 6001), libc::EFBIG);
        fails!(libc::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, 0, 6001), libc::EFBIG);
        // What is there already may be over the limit.
        eq!(c!(libc::fallocate(fd, 0, 5500, 500)), 0);
        Ok(())
    });
    close(fd);
    same
}

/// A length that goes over the last position is the input's fault.
fn sendfile_end() -> Outcome {
    home()?;
    std::fs::write("f", b"abc").map_err(|e| e.to_string())?;
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    let mut at = i64::MAX;
    fails!(libc::sendfile(f, f, &mut at, 10), libc::EINVAL);
    at = 0;
    fails!(libc::sendfile(f, f, &mut at, 10), libc::EBADF);
    Ok(())
}

/// The range is looked at first, then how the file is open, then the pid that must be 0.
fn record_lock_order() -> Outcome {
    home()?;
    std::fs::write("f", b"abc").map_err(|e| e.to_string())?;
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDONLY));
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: i64::MAX,
        l_len: i64::MAX,
        l_pid: 1,
    };
    fails!(libc::fcntl(f, libc::F_OFD_SETLK, &lock), libc::EOVERFLOW);
    lock.l_start = 0;
    fails!(libc::fcntl(f, libc::F_OFD_SETLK, &lock), libc::EBADF);
    lock.l_type = libc::F_RDLCK as i16;
    fails!(libc::fcntl(f, libc::F_OFD_SETLK, &lock), libc::EINVAL);
    lock.l_pid = 0;
    c!(libc::fcntl(f, libc::F_OFD_SETLK, &lock));
    Ok(())
}

/// Locks of open files, which are no process's, wait for each other for ever.
fn ofd_no_deadlock() -> Outcome {
    home()?;
    let lock = |start: i64| libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: 1,
        l_pid: 0,
    };
    let open = || -> Result<i32, String> { Ok(c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600))) };
    let mine = open()?;
    c!(libc::fcntl(mine, libc::F_OFD_SETLK, &lock(0)));
    let (r, w) = crate::util::pipe()?;
    let pid = child(|| {
        let Ok(own) = open() else { return 1 };
        // SAFETY: live objects.
        unsafe {
            libc::close(mine);
            libc::fcntl(own, libc::F_OFD_SETLK, &lock(1));
            libc::write(w, b"x".as_ptr().cast(), 1);
            // Waits for the parent, until that closes.
            i32::from(libc::fcntl(own, libc::F_OFD_SETLKW, &lock(0)) != 0)
        }
    })?;
    crate::util::read(r, 1)?;
    crate::util::until("the child waits", || crate::util::state(pid) == 'S')?;
    // Would be a circle among record locks.
    extern "C" fn nothing(_: i32) {}
    crate::util::handle(libc::SIGALRM, nothing as *const () as usize, 0)?;
    let soon = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 100_000 },
    };
    c!(libc::setitimer(libc::ITIMER_REAL, &soon, core::ptr::null_mut()));
    fails!(libc::fcntl(mine, libc::F_OFD_SETLKW, &lock(1)), libc::EINTR);
    c!(libc::close(mine));
    eq!(exit_of(pid)?, 0);
    Ok(())
}

/// Closing a descriptor takes a process's locks away, but not one that only stands for a place.
fn path_keeps_locks() -> Outcome {
    home()?;
    let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600));
    // SAFETY: numbers alone, all of which may be zero.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    c!(libc::fcntl(f, libc::F_SETLK, &lock));
    let other = || {
        in_child(move || {
            let f = c!(libc::open(c"f".as_ptr(), libc::O_RDWR));
            c!(libc::fcntl(f, libc::F_SETLK, &lock));
            Ok(())
        })
    };
    close(c!(libc::open(c"f".as_ptr(), libc::O_PATH)));
    eq!(other().is_err(), true);
    close(c!(libc::open(c"f".as_ptr(), libc::O_RDONLY)));
    other()
}
