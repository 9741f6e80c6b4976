// SPDX-License-Identifier: GPL-2.0
//! Files and directories on tmpfs: opening, reading, writing, names, links, renaming, attributes, locks, mounts.

mod attributes;
mod io;
mod mounted;
mod names;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;

pub const TESTS: &[Test] = &[
    ("files.open_flags", io::open_flags),
    ("files.open_errors", io::open_errors),
    ("files.read_write_seek", io::read_write_seek),
    ("files.append", io::append),
    ("files.pread_pwrite", io::pread_pwrite),
    ("files.holes", io::holes),
    ("files.truncate", io::truncate),
    ("files.fallocate", io::fallocate),
    ("files.seek_errors", io::seek_errors),
    ("files.dup", io::dup),
    ("files.fcntl", io::fcntl),
    ("files.close_range", io::close_range),
    ("files.names", names::names),
    ("files.hard_links", names::hard_links),
    ("files.symlinks", names::symlinks),
    ("files.symlink_loops", names::symlink_loops),
    ("files.rename", names::rename),
    ("files.rename_directories", names::rename_dirs),
    ("files.rename_flags", names::rename_flags),
    ("files.unlink_open_file", names::unlink_open),
    ("files.directories", names::directories),
    ("files.getdents", names::getdents),
    ("files.many_names", names::many_names),
    ("files.dot_dot", names::dot_dot),
    ("files.openat_and_path_fds", names::openat),
    ("files.o_tmpfile", names::tmpfile),
    ("files.stat", attributes::stat),
    ("files.times", attributes::times),
    ("files.utimensat", attributes::utimensat),
    ("files.chmod", attributes::chmod),
    ("files.mknod", attributes::mknod),
    ("files.flock", attributes::flock),
    ("files.posix_locks", attributes::posix_locks),
    ("files.sendfile", io::sendfile),
    ("files.splice", io::splice),
    ("files.chroot", mounted::chroot),
    ("files.mount_tmpfs", mounted::mount),
    ("files.mount_flags", mounted::mount_flags),
    ("files.bind_mount", mounted::bind),
    ("files.tmpfs_size_limit", mounted::size_limit),
    ("files.statfs", mounted::statfs),
    ("files.getcwd", mounted::getcwd),
    ("files.devices", mounted::devices),
    ("files.concurrent_create", concurrent),
    ("files.rename_race", rename_race),
    ("files.large", large),
    ("files.xattr", attributes::xattr),
    ("files.inotify", inotify),
];

/// A path in this test's directory.
fn at(name: &str) -> Result<CString, String> {
    Ok(cstr(&format!("{}/{name}", dir()?)))
}

fn make(name: &str, data: &str) -> Result<CString, String> {
    let path = at(name)?;
    std::fs::write(path.to_string_lossy().as_ref(), data).map_err(|e| e.to_string())?;
    Ok(path)
}

fn meta(path: &CString) -> Result<std::fs::Metadata, String> {
    std::fs::symlink_metadata(path.to_string_lossy().as_ref()).map_err(|e| e.to_string())
}

fn content(path: &CString) -> Result<String, String> {
    text(&path.to_string_lossy())
}

fn open3(path: &CString, flags: i32, mode: u32) -> i32 {
    // SAFETY: NUL-terminated.
    unsafe { libc::open(path.as_ptr(), flags, mode) }
}

fn concurrent() -> Outcome {
    // Of many that create one name exclusively, one wins.
    for round in 0..20 {
        let path = at(&format!("n{round}"))?;
        let pids: Vec<i32> = (0..4)
            .map(|_| child(|| i32::from(open3(&path, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o644) >= 0)))
            .collect::<Result<_, _>>()?;
        let mut won = 0;
        for pid in pids {
            won += exit_of(pid)?;
        }
        eq!(won, 1);
    }
    Ok(())
}

fn rename_race() -> Outcome {
    // A name that is always replaced by rename is always there.
    make("target", "0")?;
    let writer = child(|| {
        for i in 0..300 {
            let Ok(t) = make("temp", &i.to_string()) else { return 1 };
            let Ok(target) = at("target") else { return 2 };
            // SAFETY: NUL-terminated.
            if unsafe { libc::rename(t.as_ptr(), target.as_ptr()) } != 0 {
                return 3;
            }
        }
        0
    })?;
    let path = at("target")?;
    let mut status = 0;
    while c!(libc::waitpid(writer, &mut status, libc::WNOHANG)) == 0 {
        let fd = open3(&path, libc::O_RDONLY, 0);
        ck!(fd >= 0, "the name was gone: {}", errno_name());
        close(fd);
    }
    eq!(status, 0);
    Ok(())
}

fn large() -> Outcome {
    let fd = c!(open3(&at("f")?, libc::O_CREAT | libc::O_RDWR, 0o644));
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i >> 3) as u8).collect();
    for _ in 0..16 {
        eq!(write(fd, &block)?, 1 << 20);
    }
    c!(libc::lseek(fd, 0, 0));
    for _ in 0..16 {
        ck!(read(fd, 1 << 20)? == block);
    }
    Ok(())
}

fn inotify() -> Outcome {
    // SAFETY: takes a number.
    let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK) };
    if fd < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no inotify"));
    }
    c!(libc::inotify_add_watch(fd, at(".")?.as_ptr(), libc::IN_CREATE));
    make("seen", "")?;
    let event = read(fd, 200)?;
    ck!(event.len() > 16 && event[16..].starts_with(b"seen\0"));
    Ok(())
}
