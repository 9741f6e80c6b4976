// SPDX-License-Identifier: GPL-2.0
//! Name spaces of host names and of IPC; entering them by their files and by pidfds; what keeps them. (Those of mounts:
//! `mounts/namespaces.rs`.)

mod clocks;

use crate::sysvipc::{CREAT, as_user, fresh_key, shmat, shmget};
use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use libc::{CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWUTS};

pub const TESTS: &[Test] = &[
    ("ns.links", links),
    ("ns.uts_private", uts_private),
    ("ns.uts_by_clone", uts_by_clone),
    ("ns.setns_file", setns_file),
    ("ns.setns_pidfd", setns_pidfd),
    ("ns.setns_errors", setns_errors),
    ("ns.bind_keeps", bind_keeps),
    ("ns.bind_no_circle", bind_no_circle),
    ("ns.ioctls", ioctls),
    ("ns.rights", rights),
    ("ns.limits", limits),
    ("ns.ipc_private", ipc_private),
    ("ns.ipc_limits", ipc_limits),
    ("ns.ipc_mapping_stays", ipc_mapping_stays),
    ("ns.ipc_undoes", ipc_undoes),
    ("ns.ipc_tables_by_opener", ipc_tables),
    ("ns.mqueue", mqueue),
    ("ns.shm_rmid_forced", rmid_forced),
    ("ns.next_id", next_id),
    ("ns.time_offsets", clocks::offsets),
    ("ns.time_waits", clocks::waits),
    ("ns.time_exec_and_setns", clocks::exec_and_setns),
    ("ns.time_errors", clocks::errors),
];

const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_PARENT: u64 = 0xb702;
const NS_GET_NSTYPE: u64 = 0xb703;
const NS_GET_OWNER_UID: u64 = 0xb704;

fn link(pid: &str, kind: &str) -> Result<String, String> {
    let path = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).map_err(|e| e.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

fn host() -> Result<String, String> {
    Ok(text("/proc/sys/kernel/hostname")?.trim_end().into())
}

fn set_host(name: &str) -> Outcome {
    c!(libc::sethostname(name.as_ptr().cast(), name.len()));
    Ok(())
}

/// A child that does `body`, says so, and waits until it is killed; its number.
fn waiting(body: impl FnOnce() -> Outcome) -> Result<i32, String> {
    let (r, w) = pipe()?;
    let pid = child(|| {
        if let Err(error) = body() {
            let _ = write(w, error.as_bytes());
            return 1;
        }
        let _ = write(w, b"y");
        loop {
            sleep_ms(1000);
        }
    })?;
    close(w);
    let said = read(r, 500)?;
    close(r);
    eq!(String::from_utf8_lossy(&said), "y");
    Ok(pid)
}

fn kill(pid: i32) -> Outcome {
    c!(libc::kill(pid, libc::SIGKILL));
    signal_of(pid).map(|_| ())
}

fn ns_file(pid: i32, kind: &str) -> Result<i32, String> {
    open(&format!("/proc/{pid}/ns/{kind}"), libc::O_RDONLY)
}

fn links() -> Outcome {
    for (kind, first) in [("uts", 0xeffffffe_u64), ("ipc", 0xefffffff)] {
        let number = link("self", kind)?;
        eq!(number, format!("{kind}:[{first}]"));
        let fd = open(&format!("/proc/self/ns/{kind}"), libc::O_RDONLY)?;
        // SAFETY: all zero is a valid stat.
        let mut stat: libc::stat = unsafe { core::mem::zeroed() };
        c!(libc::fstat(fd, &mut stat));
        eq!((stat.st_ino, stat.st_mode, stat.st_uid), (first, 0o100444, 0));
        eq!(std::fs::read_link(format!("/proc/self/fd/{fd}")).map_err(|e| e.to_string())?.to_string_lossy(), number);
        close(fd);
    }
    let names: Vec<String> = std::fs::read_dir("/proc/self/ns")
        .map_err(|e| e.to_string())?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let place = |name: &str| names.iter().position(|other| other == name);
    ck!(place("uts") < place("ipc") && place("ipc") < place("mnt") && place("uts").is_some(), "{names:?}");
    // One that has ended and was not waited for is in none.
    let pid = child(|| 0)?;
    sleep_ms(100);
    ck!(std::fs::read_link(format!("/proc/{pid}/ns/uts")).is_err());
    exit_of(pid)?;
    Ok(())
}

fn uts_private() -> Outcome {
    let before = host()?;
    in_child(|| {
        let old = link("self", "uts")?;
        c!(libc::unshare(CLONE_NEWUTS));
        ck!(link("self", "uts")? != old);
        eq!(host()?, before);
        set_host("inside")?;
        eq!(host()?, "inside");
        // SAFETY: all zero is a valid utsname.
        let mut name: libc::utsname = unsafe { core::mem::zeroed() };
        c!(libc::uname(&mut name));
        eq!(name.nodename[0] as u8, b'i');
        // Children are in it, too.
        in_child(|| {
            eq!(host()?, "inside");
            std::fs::write("/proc/sys/kernel/domainname", "dom\n").map_err(|e| e.to_string())
        })?;
        eq!(text("/proc/sys/kernel/domainname")?, "dom\n");
        Ok(())
    })?;
    eq!(host()?, before);
    ck!(text("/proc/sys/kernel/domainname")? != "dom\n");
    Ok(())
}

fn uts_by_clone() -> Outcome {
    let before = host()?;
    let flags = (CLONE_NEWUTS | libc::SIGCHLD) as usize;
    let pid = c!(libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0)) as i32;
    if pid == 0 {
        let ok = set_host("cloned").is_ok() && host().as_deref() == Ok("cloned");
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(!ok)) };
    }
    eq!(exit_of(pid)?, 0);
    eq!(host()?, before);
    Ok(())
}

fn setns_file() -> Outcome {
    let before = host()?;
    let own = ns_file(std::process::id() as i32, "uts")?;
    let pid = waiting(|| {
        c!(libc::unshare(CLONE_NEWUTS));
        set_host("other")
    })?;
    let other = ns_file(pid, "uts")?;
    fails!(libc::setns(other, CLONE_NEWIPC), libc::EINVAL);
    c!(libc::setns(other, CLONE_NEWUTS));
    eq!(host()?, "other");
    eq!(link("self", "uts")?, link(&pid.to_string(), "uts")?);
    kill(pid)?;
    // An open file keeps it, and so does who is in it.
    eq!(host()?, "other");
    c!(libc::setns(own, 0));
    eq!(host()?, before);
    c!(libc::setns(other, 0));
    eq!(host()?, "other");
    c!(libc::setns(own, 0));
    Ok(())
}

fn pidfd_of(pid: i32) -> Result<i32, String> {
    Ok(c!(libc::syscall(libc::SYS_pidfd_open, pid, 0)) as i32)
}

fn setns_pidfd() -> Outcome {
    in_child(|| {
        let pid = waiting(|| {
            c!(libc::unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS));
            set_host("three")
        })?;
        let fd = pidfd_of(pid)?;
        let kinds = ["uts", "ipc", "mnt"];
        for kind in kinds {
            ck!(link("self", kind)? != link(&pid.to_string(), kind)?);
        }
        fails!(libc::setns(fd, 0), libc::EINVAL);
        fails!(libc::setns(fd, CLONE_NEWUTS | libc::CLONE_FS), libc::EINVAL);
        ck!(link("self", "uts")? != link(&pid.to_string(), "uts")?);
        c!(libc::setns(fd, CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS));
        for kind in kinds {
            eq!(link("self", kind)?, link(&pid.to_string(), kind)?);
        }
        eq!(host()?, "three");
        kill(pid)?;
        fails!(libc::setns(fd, CLONE_NEWUTS), libc::ESRCH);
        Ok(())
    })
}

fn setns_errors() -> Outcome {
    fails!(libc::setns(-1, 0), libc::EBADF);
    let (r, _w) = pipe()?;
    fails!(libc::setns(r, 0), libc::EINVAL);
    fails!(libc::setns(r, CLONE_NEWUTS), libc::EINVAL);
    let place = c!(libc::open(c"/proc/self/ns/uts".as_ptr(), libc::O_PATH));
    fails!(libc::setns(place, 0), libc::EBADF);
    // A process that has ended, and was not waited for, is in none.
    let pid = child(|| 0)?;
    let fd = pidfd_of(pid)?;
    sleep_ms(100);
    fails!(libc::setns(fd, CLONE_NEWUTS), libc::ESRCH);
    exit_of(pid)?;
    let own = ns_file(std::process::id() as i32, "uts")?;
    as_user(|| {
        fails!(libc::setns(own, 0), libc::EPERM);
        Ok(())
    })
}

/// A place of this test's own in a mount name space of its own.
fn private_dir() -> Result<String, String> {
    let here = dir()?;
    c!(libc::unshare(CLONE_NEWNS));
    c!(libc::mount(
        c"none".as_ptr(),
        c"/".as_ptr(),
        core::ptr::null(),
        libc::MS_REC | libc::MS_PRIVATE,
        core::ptr::null()
    ));
    let name = cstr(&here);
    c!(libc::mount(c"none".as_ptr(), name.as_ptr(), c"tmpfs".as_ptr(), 0, core::ptr::null()));
    Ok(here)
}

fn bind(from: &str, to: &str) -> i64 {
    let (from, to) = (cstr(from), cstr(to));
    // SAFETY: live strings.
    unsafe { libc::mount(from.as_ptr(), to.as_ptr(), core::ptr::null(), libc::MS_BIND, core::ptr::null()).into() }
}

fn bind_keeps() -> Outcome {
    in_child(|| {
        let place = format!("{}/uts", private_dir()?);
        std::fs::write(&place, b"").map_err(|e| e.to_string())?;
        let own = ns_file(std::process::id() as i32, "uts")?;
        c!(libc::unshare(CLONE_NEWUTS));
        set_host("bound")?;
        let number = link("self", "uts")?;
        c!(bind("/proc/self/ns/uts", &place));
        ck!(text("/proc/self/mountinfo")?.contains(&format!(" {number} {place} ")));
        c!(libc::setns(own, 0));
        ck!(host()? != "bound");
        let again = open(&place, libc::O_RDONLY)?;
        c!(libc::setns(again, CLONE_NEWUTS));
        close(again);
        eq!((host()?, link("self", "uts")?), ("bound".to_string(), number));
        c!(libc::setns(own, 0));
        let name = cstr(&place);
        c!(libc::umount2(name.as_ptr(), 0));
        Ok(())
    })
}

fn bind_no_circle() -> Outcome {
    in_child(|| {
        let place = format!("{}/mnt", private_dir()?);
        std::fs::write(&place, b"").map_err(|e| e.to_string())?;
        // A name space that keeps itself, or one that came before it and may keep it.
        fails!(bind("/proc/self/ns/mnt", &place), libc::EINVAL);
        fails!(bind("/proc/1/ns/mnt", &place), libc::EINVAL);
        // A newer one, and who copies the mounts gets it not.
        let pid = waiting(|| {
            c!(libc::unshare(CLONE_NEWNS));
            Ok(())
        })?;
        c!(bind(&format!("/proc/{pid}/ns/mnt"), &place));
        kill(pid)?;
        in_child(|| {
            c!(libc::unshare(CLONE_NEWNS));
            ck!(!text("/proc/self/mountinfo")?.contains(&place));
            Ok(())
        })?;
        let name = cstr(&place);
        c!(libc::umount2(name.as_ptr(), 0));
        Ok(())
    })
}

fn ioctls() -> Outcome {
    for (kind, flag) in [("uts", CLONE_NEWUTS), ("ipc", CLONE_NEWIPC), ("mnt", CLONE_NEWNS)] {
        let fd = ns_file(std::process::id() as i32, kind)?;
        eq!(c!(libc::ioctl(fd, NS_GET_NSTYPE)), flag);
        fails!(libc::ioctl(fd, NS_GET_PARENT), libc::EINVAL);
        fails!(libc::ioctl(fd, NS_GET_OWNER_UID, &mut 0u32), libc::EINVAL);
        fails!(libc::ioctl(fd, NS_GET_NSTYPE + 9), libc::ENOTTY);
        if std::path::Path::new("/proc/self/ns/user").exists() {
            close(c!(libc::ioctl(fd, NS_GET_USERNS)));
        } else {
            fails!(libc::ioctl(fd, NS_GET_USERNS), libc::EPERM);
        }
        close(fd);
    }
    Ok(())
}

fn rights() -> Outcome {
    let clone = |flags: i32| {
        // SAFETY: must fail; a child would end at once.
        unsafe {
            let pid = libc::syscall(libc::SYS_clone, (flags | libc::SIGCHLD) as usize, 0, 0, 0, 0);
            if pid == 0 {
                libc::_exit(0);
            }
            pid
        }
    };
    fails!(clone(CLONE_NEWIPC | libc::CLONE_SYSVSEM), libc::EINVAL);
    as_user(|| {
        for kind in [CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNS] {
            fails!(libc::unshare(kind), libc::EPERM);
            fails!(clone(kind), libc::EPERM);
        }
        Ok(())
    })
}

fn limits() -> Outcome {
    for (name, kind) in [("uts", CLONE_NEWUTS), ("ipc", CLONE_NEWIPC), ("mnt", CLONE_NEWNS)] {
        let file = format!("/proc/sys/user/max_{name}_namespaces");
        let before = text(&file)?;
        let put = |value: &str| std::fs::write(&file, value).map_err(|e| format!("{file}: {e}"));
        in_child(|| {
            // This one is counted, too.
            c!(libc::unshare(kind));
            put("0")?;
            // SAFETY: a number.
            let refused = unsafe { libc::unshare(kind) };
            let errno = errno();
            put(before.trim())?;
            eq!((refused, errno), (-1, libc::ENOSPC));
            c!(libc::unshare(kind));
            Ok(())
        })?;
        eq!(text(&file)?, before);
        ck!(put("-1").is_err());
    }
    Ok(())
}

fn ipc_private() -> Outcome {
    let key = fresh_key();
    let id = c!(shmget(key, 4096, CREAT | 0o600));
    let result = in_child(|| {
        c!(libc::unshare(CLONE_NEWIPC));
        fails!(shmget(key, 4096, 0o600), libc::ENOENT);
        fails!(shmat(id, 0, 0), libc::EINVAL);
        eq!(text("/proc/sysvipc/shm")?.lines().count(), 1);
        let own = c!(shmget(key, 8192, CREAT | libc::IPC_EXCL | 0o600));
        // Numbers begin anew.
        eq!(own, 0);
        eq!(text("/proc/sysvipc/shm")?.lines().count(), 2);
        c!(libc::syscall(libc::SYS_msgget, key, CREAT | 0o600));
        c!(libc::syscall(libc::SYS_semget, key, 1, CREAT | 0o600));
        Ok(())
    });
    fails!(libc::syscall(libc::SYS_msgget, key, 0o600), libc::ENOENT);
    fails!(libc::syscall(libc::SYS_semget, key, 1, 0o600), libc::ENOENT);
    c!(libc::syscall(libc::SYS_shmctl, id, libc::IPC_RMID, 0));
    result
}

fn ipc_limits() -> Outcome {
    let files = ["kernel/msgmax", "kernel/sem", "kernel/shmmni", "fs/mqueue/msg_max"];
    let all = || files.iter().map(|name| text(&format!("/proc/sys/{name}"))).collect::<Result<Vec<_>, _>>();
    let before = all()?;
    in_child(|| {
        c!(libc::unshare(CLONE_NEWIPC));
        for (name, value) in files.iter().zip(["7", "1 2 3 4", "5", "9"]) {
            std::fs::write(format!("/proc/sys/{name}"), value).map_err(|e| format!("{name}: {e}"))?;
        }
        eq!(all()?, ["7\n", "1\t2\t3\t4\n", "5\n", "9\n"]);
        // One made from here is as new.
        c!(libc::unshare(CLONE_NEWIPC));
        eq!(all()?, before);
        Ok(())
    })?;
    eq!(all()?, before);
    Ok(())
}

fn ipc_mapping_stays() -> Outcome {
    let own = ns_file(std::process::id() as i32, "ipc")?;
    in_child(|| {
        c!(libc::unshare(CLONE_NEWIPC));
        let id = c!(shmget(0, 4096, 0o600));
        let at = c!(shmat(id, 0, 0)) as usize as *mut u32;
        c!(libc::setns(own, CLONE_NEWIPC));
        sleep_ms(100);
        // SAFETY: mapped above.
        unsafe {
            at.write_volatile(77);
            eq!(at.read_volatile(), 77);
        }
        c!(libc::shmdt(at.cast()));
        Ok(())
    })
}

fn ipc_undoes() -> Outcome {
    const SEM_UNDO: i16 = 0x1000;
    const GETVAL: i32 = 12;
    let set = c!(libc::syscall(libc::SYS_semget, 0, 1, 0o600));
    let value = || Ok::<_, String>(c!(libc::syscall(libc::SYS_semctl, set, 0, GETVAL, 0)));
    let (r, w) = pipe()?;
    let (r2, w2) = pipe()?;
    let pid = child(|| {
        let body = || -> Outcome {
            let mut op = [0i16, 3, SEM_UNDO];
            c!(libc::syscall(libc::SYS_semop, set, op.as_mut_ptr(), 1));
            write(w, b"1")?;
            read(r2, 1)?;
            c!(libc::unshare(CLONE_NEWIPC));
            write(w, b"2")?;
            read(r2, 1)?;
            Ok(())
        };
        i32::from(body().is_err())
    })?;
    read(r, 1)?;
    eq!(value()?, 3);
    write(w2, b"x")?;
    read(r, 1)?;
    // Whoever left cannot reach it any more.
    eq!(value()?, 0);
    write(w2, b"x")?;
    eq!(exit_of(pid)?, 0);
    c!(libc::syscall(libc::SYS_semctl, set, 0, libc::IPC_RMID, 0));
    Ok(())
}

fn ipc_tables() -> Outcome {
    in_child(|| {
        c!(libc::unshare(CLONE_NEWIPC));
        c!(shmget(0, 4096, 0o600));
        let here = open("/proc/sysvipc/shm", libc::O_RDONLY)?;
        c!(libc::unshare(CLONE_NEWIPC));
        eq!(text("/proc/sysvipc/shm")?.lines().count(), 1);
        eq!(String::from_utf8_lossy(&read_all(here)?).lines().count(), 2);
        Ok(())
    })
}

fn mq_open(name: &std::ffi::CStr, flags: i32) -> i64 {
    // SAFETY: a live string, no attributes.
    unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags, 0o600, core::ptr::null::<u8>()) }
}

fn mqueue() -> Outcome {
    let name = c"selftest.ns";
    let fd = c!(mq_open(name, libc::O_CREAT | libc::O_RDWR)) as i32;
    let result = in_child(|| {
        let place = private_dir()?;
        let path = cstr(&place);
        let own = ns_file(std::process::id() as i32, "ipc")?;
        c!(libc::unshare(CLONE_NEWIPC));
        fails!(mq_open(name, libc::O_RDWR), libc::ENOENT);
        c!(mq_open(c"inner", libc::O_CREAT | libc::O_RDWR));
        c!(libc::mount(c"none".as_ptr(), path.as_ptr(), c"mqueue".as_ptr(), 0, core::ptr::null()));
        ck!(std::fs::read_dir(&place).map_err(|e| e.to_string())?.count() == 1);
        std::fs::write(format!("{place}/made"), b"").ok();
        c!(mq_open(c"made", libc::O_RDWR));
        // The file system outlives its name space, but takes nothing more.
        c!(libc::setns(own, CLONE_NEWIPC));
        let late = cstr(&format!("{place}/late"));
        let mut refused = 0;
        for _ in 0..100 {
            // SAFETY: a live string.
            let fd = unsafe { libc::open(late.as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600) };
            refused = errno();
            if fd < 0 {
                break;
            }
            close(fd);
            c!(libc::unlink(late.as_ptr()));
            sleep_ms(20);
        }
        eq!(refused, libc::EACCES);
        ck!(std::path::Path::new(&format!("{place}/inner")).exists());
        c!(mq_open(name, libc::O_RDWR));
        c!(libc::umount2(path.as_ptr(), 0));
        Ok(())
    });
    close(fd);
    c!(libc::syscall(libc::SYS_mq_unlink, name.as_ptr()));
    result
}

fn segments() -> Result<usize, String> {
    Ok(text("/proc/sysvipc/shm")?.lines().count() - 1)
}

fn rmid_forced() -> Outcome {
    let file = "/proc/sys/kernel/shm_rmid_forced";
    in_child(|| {
        c!(libc::unshare(CLONE_NEWIPC));
        eq!(text(file)?, "0\n");
        ck!(std::fs::write(file, "2").is_err());
        // What an ended process left goes when it is switched on; what others have, stays.
        in_child(|| {
            c!(shmget(0, 4096, 0o600));
            Ok(())
        })?;
        let id = c!(shmget(0, 4096, 0o600));
        eq!(segments()?, 2);
        std::fs::write(file, "1").map_err(|e| e.to_string())?;
        eq!(segments()?, 1);
        in_child(|| {
            c!(shmget(0, 4096, 0o600));
            eq!(segments()?, 2);
            Ok(())
        })?;
        eq!(segments()?, 1);
        // The last mapping takes it along.
        let at = c!(shmat(id, 0, 0)) as usize;
        eq!(segments()?, 1);
        c!(libc::shmdt(at as *const libc::c_void));
        eq!(segments()?, 0);
        Ok(())
    })
}

fn next_id() -> Outcome {
    let file = "/proc/sys/kernel/shm_next_id";
    in_child(|| {
        c!(libc::unshare(CLONE_NEWIPC));
        eq!(text(file)?, "-1\n");
        std::fs::write(file, "3276807").map_err(|e| e.to_string())?;
        eq!(c!(shmget(0, 4096, 0o600)), 3276807);
        eq!(text(file)?, "-1\n");
        // The next index, with the sequence number that was asked for.
        std::fs::write(file, "3276807").map_err(|e| e.to_string())?;
        eq!(c!(shmget(0, 4096, 0o600)), 3276808);
        as_user(|| {
            fails!(libc::open(c"/proc/sys/kernel/shm_next_id".as_ptr(), libc::O_WRONLY), libc::EACCES);
            Ok(())
        })
    })
}
