// SPDX-License-Identifier: GPL-2.0
//! Mount name spaces.

use super::*;

pub(super) fn ns_private() -> Outcome {
    start()?;
    dir("m")?;
    let pid = child(|| {
        let body = || -> Outcome {
            c!(libc::unshare(libc::CLONE_NEWNS));
            c!(mount("none", "m", "tmpfs", 0));
            touch("m/f")?;
            ck!(exists("m/f"));
            Ok(())
        };
        i32::from(body().is_err())
    })?;
    eq!(exit_of(pid)?, 0);
    ck!(!exists("m/f"));
    eq!(count("m")?, 0);
    Ok(())
}

pub(super) fn ns_shared() -> Outcome {
    start()?;
    c!(mount("", ".", "", MS_SHARED));
    dir("m")?;
    let (reader, writer) = crate::util::pipe()?;
    let pid = child(|| {
        let body = || -> Outcome {
            c!(libc::unshare(libc::CLONE_NEWNS));
            eq!(info(".")?.1.starts_with("shared:"), true);
            c!(mount("none", "m", "tmpfs", 0));
            touch("m/f")?;
            c!(libc::write(writer, c"x".as_ptr().cast(), 1));
            Ok(())
        };
        i32::from(body().is_err())
    })?;
    let mut byte = 0u8;
    eq!(c!(libc::read(reader, (&raw mut byte).cast(), 1)), 1);
    ck!(exists("m/f"));
    eq!(exit_of(pid)?, 0);
    // The other name space is gone, but not what it gave us.
    ck!(exists("m/f"));
    c!(umount("m", 0));
    Ok(())
}

pub(super) fn ns_clone() -> Outcome {
    start()?;
    dir("m")?;
    let flags = (libc::CLONE_NEWNS | libc::SIGCHLD) as usize;
    let pid = c!(libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0)) as i32;
    if pid == 0 {
        let ok = mount("none", "m", "tmpfs", 0) == 0 && exists("m");
        // SAFETY: ends this process.
        unsafe { libc::_exit(i32::from(!ok)) };
    }
    eq!(exit_of(pid)?, 0);
    eq!(count("m")?, 0);
    let both = flags | libc::CLONE_FS as usize;
    fails!(libc::syscall(libc::SYS_clone, both, 0, 0, 0, 0), libc::EINVAL);
    Ok(())
}

pub(super) fn ns_goes() -> Outcome {
    start()?;
    dir("m")?;
    c!(mount("none", "m", "tmpfs", 0));
    let pid = child(|| {
        // SAFETY: takes a number.
        i32::from(unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0)
    })?;
    eq!(exit_of(pid)?, 0);
    // The copy in the name space that is gone does not keep it busy.
    let mut result = -1;
    for _ in 0..50 {
        result = umount("m", 0);
        if result == 0 {
            break;
        }
        crate::util::sleep_ms(20);
    }
    eq!(result, 0);
    Ok(())
}

fn link_of(pid: &str) -> Result<String, String> {
    let path = std::fs::read_link(format!("/proc/{pid}/ns/mnt")).map_err(|e| e.to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

pub(super) fn setns() -> Outcome {
    start()?;
    dir("m")?;
    let own = link_of("self")?;
    ck!(own.starts_with("mnt:[") && own.ends_with(']'), "{own}");
    let outside = c!(libc::open(c"/proc/self/ns/mnt".as_ptr(), libc::O_RDONLY));
    let here = c!(libc::open(c".".as_ptr(), libc::O_PATH));
    c!(libc::unshare(libc::CLONE_NEWNS));
    ck!(link_of("self")? != own);
    c!(mount("none", "m", "tmpfs", 0));
    fails!(libc::setns(here, 0), libc::EBADF);
    fails!(libc::setns(outside, libc::CLONE_NEWUTS), libc::EINVAL);
    let (reader, _writer) = crate::util::pipe()?;
    fails!(libc::setns(reader, 0), libc::EINVAL);
    c!(libc::setns(outside, libc::CLONE_NEWNS));
    eq!(link_of("self")?, own);
    let cwd = std::env::current_dir().map_err(|e| e.to_string())?;
    eq!(cwd.to_string_lossy(), "/");
    ck!(!text("/proc/self/mountinfo")?.contains("/m tmpfs "));
    Ok(())
}

pub(super) fn unshare_errors() -> Outcome {
    start()?;
    fails!(libc::unshare(1), libc::EINVAL);
    c!(libc::unshare(0));
    c!(libc::unshare(libc::CLONE_FS | libc::CLONE_FILES));
    let pid = child(|| {
        // SAFETY: plain calls.
        unsafe {
            libc::setresuid(1, 1, 1);
            i32::from(libc::unshare(libc::CLONE_NEWNS) == 0 || *libc::__errno_location() != libc::EPERM)
        }
    })?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}
