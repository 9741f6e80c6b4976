// SPDX-License-Identifier: GPL-2.0
//! Room that a file in memory was promised, and holes that are made in it through memory.

use super::*;

const KEEP: i32 = libc::FALLOC_FL_KEEP_SIZE;

/// A full tmpfs: what `fallocate` promised is there, beyond a file's end too.
pub fn promised() -> Outcome {
    let path = format!("{}/full", dir()?);
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    let at = cstr(&path);
    let options = c"size=16k";
    c!(libc::mount(c"t".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()));
    let outcome = fill(&path);
    c!(libc::umount(at.as_ptr()));
    outcome
}

fn fill(path: &str) -> Outcome {
    let (page, flags) = (PAGE as i64, libc::O_RDWR | libc::O_CREAT);
    let one = open(&format!("{path}/one"), flags)?;
    let two = open(&format!("{path}/two"), flags)?;
    c!(libc::fallocate(one, KEEP, 0, 4 * page));
    fails!(libc::write(two, b"x".as_ptr().cast(), 1), libc::ENOSPC);
    fails!(libc::fallocate(two, 0, 0, 1), libc::ENOSPC);
    // Whole pages, a part of one, and a fault.
    eq!(write(one, &[7; 2 * PAGE])?, 2 * PAGE);
    eq!(write(one, b"abc")?, 3);
    fails!(libc::pwrite(one, b"x".as_ptr().cast(), 1, 4 * page), libc::ENOSPC);
    c!(libc::ftruncate(one, 4 * page));
    c!(libc::fallocate(one, 0, 0, 4 * page));
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let at = c!(libc::mmap(core::ptr::null_mut(), 4 * PAGE, rights, libc::MAP_SHARED, one, 0) as i64) as usize;
    poke(at + 3 * PAGE, 5);
    eq!((peek(at), peek(at + 2 * PAGE + 1), peek(at + 3 * PAGE)), (7, b'b', 5));
    c!(libc::munmap(at as *mut _, 4 * PAGE));
    // What lies beyond the end goes though the end stays where it is.
    c!(libc::ftruncate(one, page));
    c!(libc::fallocate(one, KEEP, 0, 4 * page));
    fails!(libc::write(two, b"x".as_ptr().cast(), 1), libc::ENOSPC);
    c!(libc::ftruncate(one, page));
    eq!(write(two, b"x")?, 1);
    close(one);
    close(two);
    Ok(())
}

/// `MADV_REMOVE` is the file's to refuse.
pub fn remove_sealed() -> Outcome {
    let fd = c!(libc::memfd_create(c"sealed".as_ptr(), libc::MFD_ALLOW_SEALING));
    c!(libc::ftruncate(fd, 2 * PAGE as i64));
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let at = c!(libc::mmap(core::ptr::null_mut(), 2 * PAGE, rights, libc::MAP_SHARED, fd, 0) as i64) as usize;
    poke(at, 1);
    poke(at + PAGE, 2);
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_REMOVE));
    eq!((peek(at), peek(at + PAGE)), (0, 2));
    c!(libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE));
    fails!(libc::madvise(at as *mut _, 2 * PAGE, libc::MADV_REMOVE), libc::EPERM);
    eq!(peek(at + PAGE), 2);
    close(fd);
    Ok(())
}
