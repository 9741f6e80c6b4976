// SPDX-License-Identifier: GPL-2.0
//! fork, vfork, clone3.

use super::*;

pub(super) fn fork_exit_status() -> Outcome {
    for want in [0, 1, 42, 255] {
        eq!(exit_of(child(|| want)?)?, want);
    }
    eq!(exit_of(child(|| 256 + 7)?)?, 7);
    Ok(())
}

pub(super) fn fork_copies_memory() -> Outcome {
    let mut value = vec![1u32; 50_000];
    let pid = child(|| {
        value.iter_mut().for_each(|v| *v += 1);
        i32::from(value.iter().any(|v| *v != 2))
    })?;
    value[10] = 9;
    eq!(exit_of(pid)?, 0);
    eq!(value[10], 9);
    ck!(value[11..].iter().all(|v| *v == 1));
    Ok(())
}

pub(super) fn fork_shares_offset() -> Outcome {
    let path = dir()? + "/f";
    std::fs::write(&path, "abcdef").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let pid = child(|| i32::from(read(fd, 2) != Ok(b"ab".to_vec())))?;
    eq!(exit_of(pid)?, 0);
    eq!(read(fd, 2)?, b"cd");
    Ok(())
}

pub(super) fn fork_many() -> Outcome {
    let pids: Vec<i32> = (0..60).map(|i| child(move || i)).collect::<Result<_, _>>()?;
    let mut seen = vec![false; 60];
    for _ in &pids {
        let mut status = 0;
        let pid = c!(libc::wait(&mut status));
        let at = pids.iter().position(|p| *p == pid).ok_or("an unknown child")?;
        eq!(libc::WEXITSTATUS(status), at as i32);
        seen[at] = true;
    }
    ck!(seen.iter().all(|s| *s));
    Ok(())
}

pub(super) fn fork_deep() -> Outcome {
    fn down(level: i32) -> i32 {
        if level == 0 {
            return 5;
        }
        child(|| down(level - 1)).and_then(exit_of).unwrap_or(100)
    }
    eq!(down(12), 5);
    Ok(())
}

pub(super) fn vfork_waits() -> Outcome {
    let path = CString::new("/proc/self/exe").unwrap_or_default();
    let words = [c"selftest", c"--helper", c"exit", c"33"];
    let argv: Vec<*const libc::c_char> = words.iter().map(|w| w.as_ptr()).chain([null()]).collect();
    let env = [null::<libc::c_char>()];
    let mut flag = 0u32;
    let shared = &raw mut flag;
    // SAFETY: the child only writes a word and executes; the parent is stopped until then.
    let pid = unsafe {
        #[allow(deprecated, reason = "what is tested")]
        let pid = libc::vfork();
        if pid == 0 {
            shared.write_volatile(77);
            libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
            libc::_exit(1);
        }
        pid
    };
    ck!(pid > 0, "vfork: {}", errno_name());
    // SAFETY: a live local.
    eq!(unsafe { shared.read_volatile() }, 77);
    eq!(exit_of(pid)?, 33);
    Ok(())
}

fn raw_clone3(args: &mut [u64; 11], size: usize) -> i64 {
    // SAFETY: no flags of ours share memory; the child returns here as after fork.
    unsafe { libc::syscall(libc::SYS_clone3, args.as_mut_ptr(), size) }
}

pub(super) fn clone3() -> Outcome {
    let mut tid = 0i32;
    let mut args = [0u64; 11];
    args[0] = (libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_SETTID) as u64;
    args[2] = &raw mut tid as u64;
    args[3] = &raw mut tid as u64;
    args[4] = libc::SIGCHLD as u64;
    let pid = raw_clone3(&mut args, 88);
    if pid == 0 {
        // SAFETY: ends the child; the tid is its own copy, written by the kernel.
        unsafe { libc::_exit(i32::from((&raw const tid).read_volatile() != libc::getpid())) };
    }
    ck!(pid > 0, "clone3: {}", errno_name());
    // SAFETY: a live local.
    eq!(unsafe { (&raw const tid).read_volatile() }, pid as i32);
    eq!(exit_of(pid as i32)?, 0);
    let mut zero = [0u64; 11];
    zero[0] = 1 << 62;
    fails!(raw_clone3(&mut zero, 88), libc::EINVAL);
    zero[0] = 0;
    fails!(raw_clone3(&mut zero, 8), libc::EINVAL);
    Ok(())
}

pub(super) fn clone3_pidfd() -> Outcome {
    let mut pidfd = -1i32;
    let mut args = [0u64; 11];
    args[0] = libc::CLONE_PIDFD as u64;
    args[1] = &raw mut pidfd as u64;
    args[4] = libc::SIGCHLD as u64;
    let pid = raw_clone3(&mut args, 88);
    if pid == 0 {
        sleep_ms(50);
        // SAFETY: ends the child.
        unsafe { libc::_exit(3) };
    }
    ck!(pid > 0, "clone3: {}", errno_name());
    // SAFETY: a live local.
    let fd = unsafe { (&raw const pidfd).read_volatile() };
    ck!(fd >= 0);
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut poll, 1, 5000)), 1);
    eq!(exit_of(pid as i32)?, 3);
    Ok(())
}

pub(super) fn clone_errors() -> Outcome {
    fails!(libc::syscall(libc::SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_clone, libc::CLONE_SIGHAND, 0, 0, 0, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_clone, libc::CLONE_NEWNS | libc::CLONE_FS, 0, 0, 0, 0), libc::EINVAL);
    Ok(())
}
