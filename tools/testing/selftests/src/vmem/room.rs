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

/// A file of pages of sevens, on the disk and nowhere else if there is a disk, and whether there is none.
fn cold_file(name: &str, pages: usize) -> Result<(i32, bool), String> {
    let path = format!("{}/{name}", dir()?);
    std::fs::write(&path, vec![7u8; pages * PAGE]).map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDWR)?;
    c!(libc::fsync(fd));
    let mut fs: libc::statfs = unsafe { core::mem::zeroed() };
    c!(libc::fstatfs(fd, &mut fs));
    Ok((fd, [libc::TMPFS_MAGIC, 0x8584_58f6].contains(&fs.f_type)))
}

/// `MADV_REMOVE` makes a hole on a disk too, where the file system can.
pub fn remove_on_disk() -> Outcome {
    let (fd, in_memory) = cold_file("hole", 8)?;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    let at = c!(libc::mmap(core::ptr::null_mut(), 8 * PAGE, rights, libc::MAP_SHARED, fd, 0) as i64) as usize;
    poke(at + 2 * PAGE, 1);
    c!(libc::madvise((at + PAGE) as *mut _, 4 * PAGE, libc::MADV_REMOVE));
    for (page, byte) in [7, 0, 0, 0, 0, 7, 7, 7].into_iter().enumerate() {
        eq!(peek(at + page * PAGE), byte);
    }
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(fd, &mut stat));
    eq!(stat.st_size, 8 * PAGE as i64);
    if !in_memory {
        eq!(stat.st_blocks, 4 * PAGE as i64 / 512);
    }
    c!(libc::munmap(at as *mut _, 8 * PAGE));
    close(fd);
    Ok(())
}

/// Faults that had to read, those of the kernel for the program among them.
pub fn major_faults() -> Outcome {
    const PAGES: usize = 16;
    let (fd, in_memory) = cold_file("cold", PAGES)?;
    let majors = || -> Result<i64, String> {
        let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
        c!(libc::getrusage(libc::RUSAGE_SELF, &mut usage));
        Ok(usage.ru_majflt)
    };
    // How many there are when `f` uses the file's memory.
    let count = |f: &dyn Fn(usize) -> Outcome| -> Result<i64, String> {
        let at = c!(libc::mmap(core::ptr::null_mut(), PAGES * PAGE, libc::PROT_READ, libc::MAP_SHARED, fd, 0) as i64);
        let before = majors()?;
        f(at as usize)?;
        let more = majors()? - before;
        c!(libc::munmap(at as *mut _, PAGES * PAGE));
        Ok(more)
    };
    let touch = |at: usize| -> Outcome {
        for page in 0..PAGES {
            eq!(peek(at + page * PAGE), 7);
        }
        Ok(())
    };
    let (out, into) = pipe()?;
    let send = |at: usize| -> Outcome {
        eq!(c!(libc::write(into, (at + PAGE) as *const _, 1)), 1);
        eq!(read(out, 1)?, [7]);
        Ok(())
    };
    let users: [&dyn Fn(usize) -> Outcome; 2] = [&touch, &send];
    for user in users {
        // Nobody has it mapped, and it is clean.
        c!(libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED));
        let first = count(user)?;
        ck!(if in_memory { first == 0 } else { first > 0 }, "{first} major faults, in memory: {in_memory}");
        eq!(count(user)?, 0);
    }
    close(fd);
    Ok(())
}

/// `noswap` is shown, stays over a remount, and cannot be had by one. (Linux before 6.4 does not know it.)
pub fn noswap() -> Outcome {
    let path = format!("{}/noswap", dir()?);
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    let at = cstr(&path);
    let mount = |flags: u64, options: &std::ffi::CStr| {
        // SAFETY: strings that end, and nothing else.
        unsafe { libc::mount(c"t".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast()) }
    };
    let shown = || -> Result<bool, String> {
        let mounts = text("/proc/self/mounts")?;
        let line = mounts.lines().find(|line| line.contains(&path)).ok_or("it is not mounted")?;
        Ok(line.contains(",noswap"))
    };
    if mount(0, c"size=1m,noswap") != 0 {
        eq!(errno(), libc::EINVAL);
        return Ok(());
    }
    eq!(shown()?, true);
    c!(mount(libc::MS_REMOUNT, c"size=2m"));
    eq!(shown()?, true);
    c!(libc::umount(at.as_ptr()));
    c!(mount(0, c"size=1m"));
    eq!(shown()?, false);
    fails!(mount(libc::MS_REMOUNT, c"noswap"), libc::EINVAL);
    c!(libc::umount(at.as_ptr()));
    Ok(())
}
