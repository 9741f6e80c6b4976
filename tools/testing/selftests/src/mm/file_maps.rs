// SPDX-License-Identifier: GPL-2.0
//! Maps of files.

use super::*;
use std::os::unix::fs::MetadataExt;

pub(super) fn file_private() -> Outcome {
    let (fd, path) = file(3)?;
    let at = c!(raw_map(0, 3 * PAGE, RW, libc::MAP_PRIVATE, fd, 0)) as usize;
    eq!((peek(at), peek(at + PAGE), peek(at + 2 * PAGE)), (1, 2, 3));
    poke(at, 100);
    eq!(std::fs::read(&path).map_err(|e| e.to_string())?[0], 1);
    let second = c!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, fd, PAGE as i64)) as usize;
    eq!(peek(second), 2);
    // A write to the file is seen in pages not yet copied.
    c!(libc::pwrite(fd, b"\x50".as_ptr().cast(), 1, PAGE as i64));
    eq!(peek(at + PAGE), 0x50);
    Ok(())
}

pub(super) fn file_shared() -> Outcome {
    let (fd, path) = file(3)?;
    let at = c!(raw_map(0, 3 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    poke(at + PAGE, 100);
    c!(libc::msync(at as *mut _, 3 * PAGE, libc::MS_SYNC));
    eq!(std::fs::read(&path).map_err(|e| e.to_string())?[PAGE], 100);
    let pid = child(|| {
        poke(at + 2 * PAGE, 101);
        0
    })?;
    eq!(exit_of(pid)?, 0);
    eq!(peek(at + 2 * PAGE), 101);
    Ok(())
}

/// A store to a page that was not mapped moves the file's times.
pub(super) fn store_times() -> Outcome {
    let (fd, path) = file(2)?;
    let times = || -> Result<_, String> {
        let m = std::fs::metadata(&path).map_err(|e| e.to_string())?;
        Ok(((m.mtime(), m.mtime_nsec()), (m.ctime(), m.ctime_nsec())))
    };
    let before = times()?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    let private = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_PRIVATE, fd, 0)) as usize;
    sleep_ms(30);
    poke(private, 99);
    eq!(times()?, before);
    poke(at + PAGE, 100);
    let after = times()?;
    ck!(after.0 > before.0, "{after:?} {before:?}");
    eq!(after.0, after.1);
    Ok(())
}

pub(super) fn coherent() -> Outcome {
    let (fd, _) = file(2)?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    for i in 0..50u8 {
        c!(libc::pwrite(fd, [i].as_ptr().cast(), 1, i64::from(i)));
        eq!(peek(at + usize::from(i)), i);
        poke(at + 1000, i);
        let mut byte = [0u8];
        c!(libc::pread(fd, byte.as_mut_ptr().cast(), 1, 1000));
        eq!(byte[0], i);
    }
    Ok(())
}

pub(super) fn beyond_end() -> Outcome {
    let (fd, _) = file(1)?;
    c!(libc::ftruncate(fd, 100));
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    eq!((peek(at + 99), peek(at + 100), peek(at + 4095)), (1, 0, 0));
    eq!(faults(|| _ = peek(at + PAGE))?, libc::SIGBUS);
    c!(libc::ftruncate(fd, 2 * PAGE as i64));
    eq!(peek(at + PAGE), 0);
    Ok(())
}

pub(super) fn truncate() -> Outcome {
    let (fd, _) = file(2)?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    let private = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_PRIVATE, fd, 0)) as usize;
    poke(private + PAGE, 9);
    eq!(peek(at + PAGE), 2);
    c!(libc::ftruncate(fd, PAGE as i64));
    eq!(faults(|| _ = peek(at + PAGE))?, libc::SIGBUS);
    eq!(faults(|| _ = peek(private + PAGE))?, libc::SIGBUS); // copied pages go too
    eq!(peek(at), 1);
    c!(libc::ftruncate(fd, 10));
    eq!(peek(at + 10), 0);
    Ok(())
}

pub(super) fn file_permissions() -> Outcome {
    let (_, path) = file(1)?;
    let read_only = open(&path, libc::O_RDONLY)?;
    fails!(raw_map(0, PAGE, RW, libc::MAP_SHARED, read_only, 0), libc::EACCES);
    let at = c!(raw_map(0, PAGE, RW, libc::MAP_PRIVATE, read_only, 0)) as usize;
    poke(at, 4);
    let write_only = open(&path, libc::O_WRONLY)?;
    fails!(raw_map(0, PAGE, libc::PROT_WRITE, libc::MAP_SHARED, write_only, 0), libc::EACCES);
    fails!(raw_map(0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, write_only, 0), libc::EACCES);
    Ok(())
}

pub(super) fn after_close() -> Outcome {
    let (fd, path) = file(2)?;
    let at = c!(raw_map(0, 2 * PAGE, RW, libc::MAP_SHARED, fd, 0)) as usize;
    close(fd);
    c!(libc::unlink(cstr(&path).as_ptr()));
    eq!((peek(at), peek(at + PAGE)), (1, 2));
    poke(at, 5);
    let line = maps(at, PAGE)?.pop().unwrap_or_default();
    ck!(line.ends_with(&format!("{path} (deleted)")), "{line}");
    Ok(())
}
