// SPDX-License-Identifier: GPL-2.0
//! User and group ids, capabilities, set-id programs, umask and resource limits.

pub mod filecaps;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::os::unix::fs::MetadataExt;

pub const TESTS: &[Test] = &[
    ("creds.ids", ids),
    ("creds.setuid_root_drops_all", setuid),
    ("creds.setresuid", setresuid),
    ("creds.setreuid", setreuid),
    ("creds.seteuid_and_back", seteuid),
    ("creds.groups", groups),
    ("creds.file_permissions", permissions),
    ("creds.group_permissions", group_permissions),
    ("creds.chown_rules", chown),
    ("creds.sticky_directory", sticky),
    ("creds.set_uid_program", set_uid_program),
    ("creds.access_uses_real_ids", access),
    ("creds.capabilities", capabilities),
    ("creds.no_new_privs", no_new_privs),
    ("creds.file_caps_given", filecaps::given),
    ("creds.file_caps_bounded", filecaps::bounded),
    ("creds.file_caps_ambient", filecaps::ambient),
    ("creds.file_caps_root", filecaps::root),
    ("creds.file_caps_forms", filecaps::forms),
    ("creds.file_caps_taken_away", filecaps::taken_away),
    ("creds.file_caps_nosuid", filecaps::nosuid),
    ("creds.file_caps_unsafe_company", filecaps::unsafe_company),
    ("creds.file_caps_attach_race", filecaps::attach_race),
    ("creds.set_id_stack_limit", filecaps::stack_limit),
    ("creds.set_id_given_away", filecaps::given_away),
    ("creds.unreadable_program", filecaps::unreadable),
    ("creds.unreadable_traced", filecaps::unreadable_traced),
    ("creds.umask", umask),
    ("creds.rlimit_get_set", rlimits),
    ("creds.rlimit_nofile", nofile),
    ("creds.rlimit_fsize", fsize),
    ("creds.rlimit_nproc", nproc),
    ("creds.rlimit_as", address_space),
    ("creds.rlimit_stack", stack),
    ("creds.rlimit_cpu", cpu),
    ("creds.prlimit_other", prlimit),
    ("creds.prlimit_own_as_other_user", prlimit_own),
    ("creds.prlimit_race", prlimit_race),
];

fn uids() -> (u32, u32, u32) {
    let (mut r, mut e, mut s) = (9, 9, 9);
    // SAFETY: live words.
    unsafe { libc::getresuid(&mut r, &mut e, &mut s) };
    (r, e, s)
}

fn ids() -> Outcome {
    eq!(uids(), (0, 0, 0));
    let status = text("/proc/self/status")?;
    ck!(status.contains("\nUid:\t0\t0\t0\t0\n") && status.contains("\nGid:\t0\t0\t0\t0\n"), "{status}");
    Ok(())
}

fn setuid() -> Outcome {
    in_child(|| {
        c!(libc::setgid(1001));
        c!(libc::setuid(1000));
        eq!(uids(), (1000, 1000, 1000));
        fails!(libc::setuid(0), libc::EPERM);
        fails!(libc::setgid(0), libc::EPERM);
        c!(libc::setuid(1000));
        let status = text("/proc/self/status")?;
        ck!(status.contains("\nUid:\t1000\t1000\t1000\t1000\n") && status.contains("\nGid:\t1001\t1001\t1001\t1001\n"));
        Ok(())
    })
}

fn setresuid() -> Outcome {
    in_child(|| {
        c!(libc::setresuid(1, 2, 3));
        eq!(uids(), (1, 2, 3));
        c!(libc::setresuid(u32::MAX, 3, u32::MAX));
        eq!(uids(), (1, 3, 3));
        fails!(libc::setresuid(u32::MAX, 7, u32::MAX), libc::EPERM);
        Ok(())
    })
}

fn setreuid() -> Outcome {
    in_child(|| {
        c!(libc::setreuid(5, 6));
        eq!(uids(), (5, 6, 6)); // the saved id follows when the real one is set
        c!(libc::setreuid(6, 5));
        eq!(uids(), (6, 5, 5));
        fails!(libc::setreuid(7, u32::MAX), libc::EPERM);
        Ok(())
    })
}

fn seteuid() -> Outcome {
    in_child(|| {
        c!(libc::seteuid(1000));
        eq!(uids(), (0, 1000, 0));
        fails!(libc::open(c"/proc/1/environ".as_ptr(), libc::O_RDONLY), libc::EACCES);
        c!(libc::seteuid(0));
        eq!(uids(), (0, 0, 0));
        Ok(())
    })
}

fn groups() -> Outcome {
    in_child(|| {
        let list: Vec<u32> = vec![30, 10, 20];
        c!(libc::setgroups(3, list.as_ptr()));
        eq!(c!(libc::getgroups(0, core::ptr::null_mut())), 3);
        let mut got = [0u32; 3];
        c!(libc::getgroups(3, got.as_mut_ptr()));
        eq!(got, [10, 20, 30]); // kept sorted
        fails!(libc::getgroups(2, got.as_mut_ptr()), libc::EINVAL);
        ck!(text("/proc/self/status")?.contains("\nGroups:\t10 20 30 \n"));
        c!(libc::setuid(1000));
        fails!(libc::setgroups(0, core::ptr::null()), libc::EPERM);
        Ok(())
    })
}

fn file(name: &str, mode: u32) -> Result<String, String> {
    let path = format!("{}/{name}", dir()?);
    std::fs::write(&path, "data").map_err(|e| e.to_string())?;
    c!(libc::chmod(cstr(&path).as_ptr(), mode));
    c!(libc::chmod(cstr(&dir()?).as_ptr(), 0o755));
    Ok(path)
}

fn try_open(path: &str, flags: i32) -> i32 {
    // SAFETY: NUL-terminated.
    let fd = unsafe { libc::open(cstr(path).as_ptr(), flags) };
    if fd < 0 {
        return errno();
    }
    close(fd);
    0
}

fn permissions() -> Outcome {
    let path = file("f", 0o600)?;
    in_child(|| {
        c!(libc::setuid(1000));
        eq!(try_open(&path, libc::O_RDONLY), libc::EACCES);
        fails!(libc::unlink(cstr(&path).as_ptr()), libc::EACCES);
        fails!(libc::chmod(cstr(&path).as_ptr(), 0o777), libc::EPERM);
        Ok(())
    })?;
    c!(libc::chmod(cstr(&path).as_ptr(), 0o604));
    in_child(|| {
        c!(libc::setgid(1000)); // else the group's bits count
        c!(libc::setgroups(0, core::ptr::null()));
        c!(libc::setuid(1000));
        eq!(try_open(&path, libc::O_RDONLY), 0);
        eq!(try_open(&path, libc::O_WRONLY), libc::EACCES);
        Ok(())
    })?;
    // root reads anything, but executes only what somebody may.
    c!(libc::chmod(cstr(&path).as_ptr(), 0));
    eq!(try_open(&path, libc::O_RDWR), 0);
    fails!(libc::access(cstr(&path).as_ptr(), libc::X_OK), libc::EACCES);
    // A directory that may not be searched.
    c!(libc::chmod(cstr(&dir()?).as_ptr(), 0o644));
    in_child(|| {
        c!(libc::setuid(1000));
        eq!(try_open(&path, libc::O_RDONLY), libc::EACCES);
        Ok(())
    })
}

fn group_permissions() -> Outcome {
    let path = file("g", 0o640)?;
    c!(libc::chown(cstr(&path).as_ptr(), 5, 50));
    in_child(|| {
        c!(libc::setgroups(1, [50u32].as_ptr()));
        c!(libc::setgid(7));
        c!(libc::setuid(1000));
        eq!(try_open(&path, libc::O_RDONLY), 0);
        eq!(try_open(&path, libc::O_RDWR), libc::EACCES);
        Ok(())
    })?;
    // The owner's bits count for the owner, even when the group's give more.
    c!(libc::chmod(cstr(&path).as_ptr(), 0o060));
    in_child(|| {
        c!(libc::setgid(50));
        c!(libc::setuid(5));
        eq!(try_open(&path, libc::O_RDONLY), libc::EACCES);
        Ok(())
    })
}

fn chown() -> Outcome {
    let path = file("c", 0o6755)?;
    c!(libc::chown(cstr(&path).as_ptr(), 1000, 1000));
    let meta = std::fs::metadata(&path).map_err(|e| e.to_string())?;
    eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (1000, 1000, 0o755)); // set-id bits go
    in_child(|| {
        c!(libc::setgroups(1, [60u32].as_ptr()));
        c!(libc::setgid(1000));
        c!(libc::setuid(1000));
        c!(libc::chown(cstr(&path).as_ptr(), u32::MAX, 60)); // into a group of one's own
        fails!(libc::chown(cstr(&path).as_ptr(), u32::MAX, 61), libc::EPERM);
        fails!(libc::chown(cstr(&path).as_ptr(), 0, u32::MAX), libc::EPERM);
        Ok(())
    })?;
    // Nor can who changes nothing take another's bits away.
    let path = file("d", 0o4755)?;
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::chown(cstr(&path).as_ptr(), u32::MAX, u32::MAX), libc::EPERM);
        let meta = std::fs::metadata(&path).map_err(|e| e.to_string())?;
        eq!(meta.mode() & 0o7777, 0o4755);
        Ok(())
    })
}

fn sticky() -> Outcome {
    let path = file("s", 0o666)?;
    c!(libc::chmod(cstr(&dir()?).as_ptr(), 0o1777));
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::unlink(cstr(&path).as_ptr()), libc::EPERM);
        let mine = path.clone() + ".mine";
        std::fs::write(&mine, "x").map_err(|e| e.to_string())?;
        c!(libc::unlink(cstr(&mine).as_ptr()));
        Ok(())
    })
}

/// A copy of this program, owned by `uid`, with `mode`.
fn program(uid: u32, mode: u32) -> Result<String, String> {
    let path = format!("{}/program", dir()?);
    std::fs::copy("/proc/self/exe", &path).map_err(|e| e.to_string())?;
    c!(libc::chown(cstr(&path).as_ptr(), uid, uid));
    c!(libc::chmod(cstr(&path).as_ptr(), mode));
    c!(libc::chmod(cstr(&dir()?).as_ptr(), 0o755));
    Ok(path)
}

/// The exit status of the helper `euid` of that program, run as user 1000: its effective user, and 100 more if AT_SECURE.
fn run_as_user(path: &str, before: impl FnOnce()) -> Result<i32, String> {
    let path = cstr(path);
    let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"euid".as_ptr(), core::ptr::null()];
    exit_of(child(|| {
        before();
        // SAFETY: NUL-terminated.
        unsafe {
            libc::setgid(1000);
            libc::setuid(1000);
            libc::execv(path.as_ptr(), argv.as_ptr());
        }
        99
    })?)
}

fn set_uid_program() -> Outcome {
    let path = program(33, 0o4755)?;
    eq!(run_as_user(&path, || ())?, 133);
    c!(libc::chmod(cstr(&path).as_ptr(), 0o755));
    eq!(run_as_user(&path, || ())?, 1000 & 0xff);
    Ok(())
}

fn no_new_privs() -> Outcome {
    let path = program(33, 0o4755)?;
    // SAFETY: numbers.
    let before = || unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    };
    eq!(run_as_user(&path, before)?, 1000 & 0xff);
    fails!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), libc::EINVAL);
    Ok(())
}

fn access() -> Outcome {
    let path = file("a", 0o600)?;
    in_child(|| {
        c!(libc::setresuid(1000, 0, 0));
        eq!(try_open(&path, libc::O_RDONLY), 0);
        fails!(libc::access(cstr(&path).as_ptr(), libc::R_OK), libc::EACCES);
        c!(libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, cstr(&path).as_ptr(), libc::R_OK, libc::AT_EACCESS));
        Ok(())
    })
}

fn capabilities() -> Outcome {
    let read = || -> Result<[u32; 6], String> {
        let mut header = [0x2008_0522u32, 0];
        let mut data = [0u32; 6];
        c!(libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()));
        Ok(data)
    };
    let all = read()?;
    ck!(all[0] & 1 << 5 != 0 && all[1] & 1 << 5 != 0, "root has no CAP_KILL: {all:?}");
    in_child(|| {
        c!(libc::setuid(1000));
        eq!(read()?[..2], [0, 0]);
        Ok(())
    })?;
    in_child(|| {
        // Dropping one: chown needs CAP_CHOWN (0).
        let path = file("cap", 0o644)?;
        let mut data = read()?;
        data[0] &= !1;
        data[1] &= !1;
        let mut header = [0x2008_0522u32, 0];
        c!(libc::syscall(libc::SYS_capset, header.as_mut_ptr(), data.as_mut_ptr()));
        fails!(libc::chown(cstr(&path).as_ptr(), 1, 1), libc::EPERM);
        data[1] |= 1;
        fails!(libc::syscall(libc::SYS_capset, header.as_mut_ptr(), data.as_mut_ptr()), libc::EPERM);
        let mut old = [1u32, 0];
        fails!(libc::syscall(libc::SYS_capget, old.as_mut_ptr(), data.as_mut_ptr()), libc::EINVAL);
        eq!(old[0], 0x2008_0522); // told what the kernel likes
        Ok(())
    })
}

fn umask() -> Outcome {
    eq!(c!(libc::umask(0o077)), 0o022);
    let path = dir()? + "/u";
    let fd = c!(libc::open(cstr(&path).as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o666));
    close(fd);
    eq!(std::fs::metadata(&path).map_err(|e| e.to_string())?.mode() & 0o7777, 0o600);
    c!(libc::mkdir(cstr(&(path.clone() + "d")).as_ptr(), 0o777));
    eq!(std::fs::metadata(path + "d").map_err(|e| e.to_string())?.mode() & 0o7777, 0o700);
    ck!(text("/proc/self/status")?.contains("\nUmask:\t0077\n"));
    Ok(())
}

fn get(which: u32) -> Result<(u64, u64), String> {
    let mut l = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    c!(libc::getrlimit(which, &mut l));
    Ok((l.rlim_cur, l.rlim_max))
}

fn put(which: u32, soft: u64, hard: u64) -> i32 {
    let l = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: live.
    unsafe { libc::setrlimit(which, &l) }
}

fn rlimits() -> Outcome {
    eq!(get(libc::RLIMIT_NOFILE)?, (1024, 4096));
    eq!(get(libc::RLIMIT_STACK)?, (8 << 20, u64::MAX));
    eq!(get(libc::RLIMIT_CORE)?.1, u64::MAX);
    fails!(libc::getrlimit(16, core::ptr::null_mut()), libc::EINVAL);
    fails!(put(libc::RLIMIT_CORE, 2, 1), libc::EINVAL);
    c!(put(libc::RLIMIT_CORE, 5, 10));
    ck!(text("/proc/self/limits")?
        .contains("Max core file size        5                    10                   bytes"));
    in_child(|| {
        c!(libc::setuid(1000));
        eq!(get(libc::RLIMIT_CORE)?, (5, 10));
        c!(put(libc::RLIMIT_CORE, 10, 10));
        fails!(put(libc::RLIMIT_CORE, 10, 11), libc::EPERM);
        c!(put(libc::RLIMIT_CORE, 1, 2));
        Ok(())
    })
}

fn nofile() -> Outcome {
    c!(put(libc::RLIMIT_NOFILE, 20, 20));
    let mut last = 0;
    for _ in 0..20 {
        // SAFETY: NUL-terminated.
        let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) };
        if fd < 0 {
            break;
        }
        last = fd;
    }
    eq!(last, 19);
    fails!(libc::dup(0), libc::EMFILE);
    fails!(libc::dup2(0, 20), libc::EBADF);
    fails!(libc::fcntl(0, libc::F_DUPFD, 20), libc::EINVAL);
    Ok(())
}

fn fsize() -> Outcome {
    let path = dir()? + "/f";
    c!(put(libc::RLIMIT_FSIZE, 5000, 5000));
    handle(libc::SIGXFSZ, libc::SIG_IGN, 0)?;
    let fd = c!(libc::open(cstr(&path).as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600));
    eq!(write(fd, &[1; 8000])?, 5000);
    fails!(libc::write(fd, b"x".as_ptr().cast(), 1), libc::EFBIG);
    fails!(libc::ftruncate(fd, 6000), libc::EFBIG);
    let pid = child(|| {
        let _ = handle(libc::SIGXFSZ, libc::SIG_DFL, 0);
        let _ = put(libc::RLIMIT_CORE, 0, 0);
        let _ = write(fd, b"x");
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGXFSZ);
    Ok(())
}

fn nproc() -> Outcome {
    in_child(|| {
        c!(put(libc::RLIMIT_NPROC, 1, 1));
        c!(libc::setuid(4321));
        fails!(libc::fork(), libc::EAGAIN);
        Ok(())
    })
}

fn address_space() -> Outcome {
    c!(put(libc::RLIMIT_AS, 200 << 20, 200 << 20));
    let map = |size: usize| -> usize {
        // SAFETY: a new mapping.
        unsafe {
            libc::mmap(core::ptr::null_mut(), size, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
                as usize
        }
    };
    fails!(map(300 << 20) as i64, libc::ENOMEM);
    ck!(map(50 << 20) != usize::MAX);
    Ok(())
}

fn recurse(left: usize) -> usize {
    let buf = std::hint::black_box([left as u8; 4096]);
    if left == 0 { 0 } else { recurse(left - 1) + usize::from(buf[left % 4096] == left as u8) }
}

fn stack() -> Outcome {
    // 6 MB of the usual 8 are there on demand; beyond the limit is SIGSEGV.
    eq!(recurse(1500), 1500);
    let pid = child(|| {
        let _ = put(libc::RLIMIT_CORE, 0, 0);
        let _ = handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        recurse(3000) as i32
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    Ok(())
}

fn cpu() -> Outcome {
    let pid = child(|| {
        let _ = put(libc::RLIMIT_CORE, 0, 0);
        let _ = put(libc::RLIMIT_CPU, 1, 2);
        loop {
            std::hint::spin_loop();
        }
    })?;
    eq!(signal_of(pid)?, libc::SIGXCPU);
    Ok(())
}

fn prlimit() -> Outcome {
    let pid = child(|| {
        loop {
            sleep_ms(10);
        }
    })?;
    let new = libc::rlimit { rlim_cur: 77, rlim_max: 88 };
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: live structures.
    c!(libc::prlimit(pid, libc::RLIMIT_NOFILE, &new, &mut old));
    eq!(old.rlim_cur, 1024);
    c!(libc::prlimit(pid, libc::RLIMIT_NOFILE, core::ptr::null(), &mut old));
    eq!((old.rlim_cur, old.rlim_max), (77, 88));
    ck!(text(&format!("/proc/{pid}/limits"))?
        .contains("Max open files            77                   88                   files"));
    c!(libc::kill(pid, libc::SIGKILL));
    signal_of(pid)?;
    fails!(libc::prlimit(pid, libc::RLIMIT_NOFILE, core::ptr::null(), &mut old), libc::ESRCH);
    Ok(())
}

/// Its own limits are a process's own, by its number too, whoever it runs as.
fn prlimit_own() -> Outcome {
    in_child(|| {
        c!(libc::setresuid(1000, 1001, 1002));
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: live structures.
        c!(libc::prlimit(libc::getpid(), libc::RLIMIT_NOFILE, core::ptr::null(), &mut old));
        fails!(libc::prlimit(libc::getppid(), libc::RLIMIT_NOFILE, core::ptr::null(), &mut old), libc::EPERM);
        Ok(())
    })
}

/// Whoever reads a limit while others set it sees one setting or another, and what it replaces is told once.
fn prlimit_race() -> Outcome {
    const ROUNDS: u64 = 20_000;
    let pid = child(|| {
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    })?;
    let set = move |value: u64| -> (u64, u64) {
        let new = libc::rlimit { rlim_cur: value, rlim_max: value };
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: live structures.
        unsafe { libc::prlimit(pid, libc::RLIMIT_CORE, &new, &mut old) };
        (old.rlim_cur, old.rlim_max)
    };
    set(1_000_000);
    let setters: Vec<_> = (0..3u64)
        .map(|number| {
            std::thread::spawn(move || -> Result<u64, (u64, u64)> {
                let mut sum = 0u64;
                for round in 0..ROUNDS {
                    let (soft, hard) = set(number * ROUNDS + round);
                    if soft != hard {
                        return Err((soft, hard));
                    }
                    sum += soft;
                }
                Ok(sum)
            })
        })
        .collect();
    let mut sum = 0;
    for setter in setters {
        let replaced = setter.join().map_err(|_| "panic")?;
        sum += replaced.map_err(|halves| format!("halves of two settings: {halves:?}"))?;
    }
    // Each setting is what the next one replaced.
    let last = set(0).0;
    let all = (0..3 * ROUNDS).sum::<u64>() + 1_000_000;
    eq!(sum + last, all);
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}
