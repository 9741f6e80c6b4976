// SPDX-License-Identifier: GPL-2.0
//! Mounts, roots and devices.

use super::*;

pub(super) fn chroot() -> Outcome {
    c!(libc::mkdir(at("root")?.as_ptr(), 0o755));
    make("root/inside", "in")?;
    in_child(|| {
        c!(libc::chroot(at("root")?.as_ptr()));
        c!(libc::chdir(c"/".as_ptr()));
        eq!(text("/inside")?, "in");
        eq!(text("/../../inside")?, "in");
        fails!(libc::access(c"/proc".as_ptr(), 0), libc::ENOENT);
        c!(libc::setuid(1000));
        fails!(libc::chroot(c"/".as_ptr()), libc::EPERM);
        Ok(())
    })?;
    fails!(libc::chroot(at("root/inside")?.as_ptr()), libc::ENOTDIR);
    Ok(())
}

fn mount_at(kind: &str, name: &str, flags: u64, data: &str) -> Result<i32, String> {
    let (kind, name, data) = (cstr(kind), at(name)?, cstr(data));
    // SAFETY: NUL-terminated.
    Ok(unsafe { libc::mount(c"none".as_ptr(), name.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) })
}

pub(super) fn mount() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    make("m/below", "")?;
    c!(mount_at("tmpfs", "m", 0, "mode=0700,size=1m")?);
    let path = at("m")?;
    eq!(meta(&path)?.mode() & 0o7777, 0o700);
    fails!(libc::access(at("m/below")?.as_ptr(), 0), libc::ENOENT);
    make("m/f", "x")?;
    let mounts = text("/proc/mounts")?;
    ck!(mounts.contains(&format!("none {} tmpfs rw,relatime,size=1024k,mode=700", path.to_string_lossy())), "{mounts}");
    let fd = c!(open3(&at("m/f")?, libc::O_RDONLY, 0));
    fails!(libc::umount(path.as_ptr()), libc::EBUSY);
    fails!(libc::rmdir(path.as_ptr()), libc::EBUSY);
    close(fd);
    c!(libc::umount(path.as_ptr()));
    c!(libc::access(at("m/below")?.as_ptr(), 0));
    fails!(libc::umount(path.as_ptr()), libc::EINVAL);
    fails!(mount_at("nosuchfs", "m", 0, "")?, libc::ENODEV);
    fails!(mount_at("tmpfs", "no", 0, "")?, libc::ENOENT);
    fails!(mount_at("tmpfs", "m", 0, "nosuchoption=1")?, libc::EINVAL);
    // A lazy one goes away when its last user does.
    c!(mount_at("tmpfs", "m", 0, "")?);
    make("m/f", "held")?;
    let fd = c!(open3(&at("m/f")?, libc::O_RDONLY, 0));
    c!(libc::umount2(path.as_ptr(), libc::MNT_DETACH));
    eq!(read(fd, 9)?, b"held");
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(mount_at("tmpfs", "m", 0, "")?, libc::EPERM);
        Ok(())
    })
}

pub(super) fn mount_flags() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    let path = at("m")?;
    c!(mount_at("tmpfs", "m", libc::MS_NOEXEC | libc::MS_NODEV, "")?);
    let program = make("m/p", "#!/bin/sh\n")?;
    c!(libc::chmod(program.as_ptr(), 0o755));
    fails!(libc::execve(program.as_ptr(), [core::ptr::null()].as_ptr(), [core::ptr::null()].as_ptr()), libc::EACCES);
    c!(libc::mknod(at("m/null")?.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(1, 3)));
    fails!(open3(&at("m/null")?, libc::O_RDONLY, 0), libc::EACCES);
    c!(mount_at("tmpfs", "m", libc::MS_REMOUNT | libc::MS_RDONLY, "")?);
    fails!(open3(&at("m/new")?, libc::O_CREAT | libc::O_WRONLY, 0o644), libc::EROFS);
    fails!(open3(&program, libc::O_WRONLY, 0), libc::EROFS);
    fails!(libc::unlink(program.as_ptr()), libc::EROFS);
    ck!(text("/proc/mounts")?.contains(&format!("none {} tmpfs ro,", path.to_string_lossy())));
    c!(libc::umount(path.as_ptr()));
    Ok(())
}

pub(super) fn bind() -> Outcome {
    for d in ["a", "b"] {
        c!(libc::mkdir(at(d)?.as_ptr(), 0o755));
    }
    make("a/f", "one tree")?;
    let (a, b) = (at("a")?, at("b")?);
    c!(libc::mount(a.as_ptr(), b.as_ptr(), core::ptr::null(), libc::MS_BIND, core::ptr::null()));
    eq!(content(&at("b/f")?)?, "one tree");
    make("b/g", "new")?;
    eq!(content(&at("a/g")?)?, "new");
    fails!(libc::rename(at("a/f")?.as_ptr(), at("b/h")?.as_ptr()), libc::EXDEV); // another mount
    c!(libc::mount(
        core::ptr::null(),
        b.as_ptr(),
        core::ptr::null(),
        libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY,
        core::ptr::null()
    ));
    fails!(open3(&at("b/x")?, libc::O_CREAT | libc::O_WRONLY, 0o644), libc::EROFS);
    make("a/x", "")?;
    c!(libc::umount(b.as_ptr()));
    Ok(())
}

pub(super) fn size_limit() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    c!(mount_at("tmpfs", "m", 0, "size=64k,nr_inodes=5")?);
    let fd = c!(open3(&at("m/f")?, libc::O_CREAT | libc::O_WRONLY, 0o644));
    eq!(write(fd, &vec![1; 100_000])?, 65536);
    fails!(libc::write(fd, b"x".as_ptr().cast(), 1), libc::ENOSPC);
    c!(libc::ftruncate(fd, 0));
    c!(libc::lseek(fd, 0, 0));
    eq!(write(fd, &vec![1; 65536])?, 65536);
    let mut made = 0;
    while made < 10 && open3(&at(&format!("m/n{made}"))?, libc::O_CREAT | libc::O_WRONLY, 0o644) >= 0 {
        made += 1;
    }
    eq!((made, errno()), (3, libc::ENOSPC));
    c!(libc::umount2(at("m")?.as_ptr(), libc::MNT_DETACH));
    Ok(())
}

pub(super) fn statfs() -> Outcome {
    c!(libc::mkdir(at("m")?.as_ptr(), 0o755));
    c!(mount_at("tmpfs", "m", 0, "size=1m")?);
    // SAFETY: all zero is valid.
    let mut s: libc::statfs = unsafe { core::mem::zeroed() };
    c!(libc::statfs(at("m")?.as_ptr(), &mut s));
    eq!((s.f_type, s.f_bsize, s.f_blocks, s.f_bfree, s.f_namelen), (0x0102_1994, 4096, 256, 256, 255));
    make("m/f", "x")?;
    c!(libc::statfs(at("m/f")?.as_ptr(), &mut s));
    eq!(s.f_bfree, 255);
    c!(libc::umount(at("m")?.as_ptr()));
    c!(libc::statfs(c"/proc".as_ptr(), &mut s));
    eq!(s.f_type, 0x9fa0);
    c!(libc::statfs(c"/dev/pts".as_ptr(), &mut s));
    eq!(s.f_type, 0x1cd1);
    Ok(())
}

pub(super) fn getcwd() -> Outcome {
    let want = dir()?;
    c!(libc::chdir(cstr(&want).as_ptr()));
    let mut buf = [0u8; 200];
    eq!(c!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), 200)) as usize, want.len() + 1);
    eq!(&buf[..want.len()], want.as_bytes());
    fails!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), 3), libc::ERANGE);
    eq!(std::fs::read_link("/proc/self/cwd").map_err(|e| e.to_string())?.to_string_lossy(), want);
    c!(libc::chdir(c"/".as_ptr()));
    eq!(c!(libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), 200)), 2);
    fails!(libc::chdir(c"/etc/nosuch".as_ptr()), libc::ENOENT);
    Ok(())
}

pub(super) fn devices() -> Outcome {
    let null = open("/dev/null", libc::O_RDWR)?;
    eq!(write(null, &[1; 5000])?, 5000);
    eq!(read(null, 10)?, b"");
    let zero = open("/dev/zero", libc::O_RDWR)?;
    ck!(read(zero, 10_000)?.iter().all(|b| *b == 0));
    let full = open("/dev/full", libc::O_RDWR)?;
    fails!(libc::write(full, b"x".as_ptr().cast(), 1), libc::ENOSPC);
    eq!(read(full, 2)?, [0, 0]);
    for name in ["/dev/urandom", "/dev/random"] {
        let fd = open(name, libc::O_RDONLY)?;
        let (one, two) = (read(fd, 32)?, read(fd, 32)?);
        ck!(one.len() == 32 && one != two);
    }
    // SAFETY: a mapping of zeroes.
    let at = unsafe { libc::mmap(core::ptr::null_mut(), 8192, 3, libc::MAP_PRIVATE, zero, 0) };
    ck!(at != libc::MAP_FAILED, "{}", errno_name());
    Ok(())
}
