// SPDX-License-Identifier: GPL-2.0
//! Huge pages of which a part is changed, copied, moved or reached by others.

use super::*;

pub fn unmap_part() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(4)?;
    let splits = vmstat("thp_split_pmd")?;
    unmap(at + 3 * PAGE, 2 * PAGE)?;
    ck!(vmstat("thp_split_pmd")? > splits);
    eq!((rss_kib(at)?, huge_kib(at)?), (12, 0));
    eq!((rss_kib(at + 5 * PAGE)?, huge_kib(at + 5 * PAGE)?), (8192 - 20, 6144));
    ck!(intact(at, 0..3) && intact(at, 5..4 * PAGES));
    // From the middle of one to the middle of another.
    unmap(at + HUGE + HUGE / 2, HUGE)?;
    eq!(rss_kib(at + 2 * HUGE + HUGE / 2)?, 3072);
    eq!(huge_kib(at + 2 * HUGE + HUGE / 2)?, 2048);
    ck!(intact(at, 5..PAGES + PAGES / 2) && intact(at, 2 * PAGES + PAGES / 2..4 * PAGES));
    Ok(())
}

pub fn protect_part() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(2)?;
    protect(at + 9 * PAGE, PAGE, libc::PROT_READ)?;
    eq!(huge_kib(at)?, 0);
    let zero = open("/dev/zero", libc::O_RDONLY)?;
    fails!(libc::read(zero, (at + 9 * PAGE) as *mut _, 1), libc::EFAULT);
    eq!(c!(libc::read(zero, (at + 10 * PAGE) as *mut _, 1)), 1);
    close(zero);
    poke(at + 10 * PAGE, value(10));
    ck!(intact(at, 0..2 * PAGES));
    protect(at + 9 * PAGE, PAGE, RW)?;
    poke(at + 9 * PAGE, 77);
    eq!(peek(at + 9 * PAGE), 77);
    let pid = child(|| {
        let _ = protect(at + 20 * PAGE, PAGE, libc::PROT_NONE);
        i32::from(peek(at + 20 * PAGE))
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    eq!(peek(at + 20 * PAGE), value(20));
    Ok(())
}

pub fn protect_all() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(1)?;
    protect(at, HUGE, libc::PROT_NONE)?;
    eq!(rss_kib(at)?, 2048);
    protect(at, HUGE, libc::PROT_READ)?;
    ck!(intact(at, 0..PAGES));
    protect(at, HUGE, RW)?;
    poke(at + 5 * PAGE, 9);
    poke(at + 6 * PAGE, value(6));
    eq!(peek(at + 5 * PAGE), 9);
    eq!((rss_kib(at)?, huge_kib(at)?), (2048, 2048));
    ck!(intact(at, 6..PAGES));
    Ok(())
}

pub fn keys() -> Outcome {
    pkeys::need_keys()?;
    let _asked = Asked::new()?;
    let at = mapped(2)?;
    let key = pkeys::alloc(0)?;
    pkeys::protect(at, 2 * HUGE, RW, key)?;
    eq!(huge_kib(at)?, 4096);
    ck!(intact(at, 0..2 * PAGES));
    let zero = open("/dev/zero", libc::O_RDONLY)?;
    let denied = |page: usize| -> Outcome {
        fails!(libc::read(zero, (at + page * PAGE) as *mut _, 1), libc::EFAULT);
        Ok(())
    };
    pkeys::set_rights(key, pkeys::NO_WRITE);
    ck!(intact(at, 0..2 * PAGES));
    [0, 9, PAGES - 1, PAGES].into_iter().try_for_each(denied)?;
    // A part with another key; the rest keeps its.
    pkeys::protect(at + 9 * PAGE, PAGE, RW, 0)?;
    poke(at + 9 * PAGE, 77);
    [0, 8, 10, PAGES - 1, PAGES].into_iter().try_for_each(denied)?;
    pkeys::set_rights(key, 0);
    eq!(peek(at + 9 * PAGE), 77);
    ck!(intact(at, 0..9) && intact(at, 10..2 * PAGES));
    // What comes in huge has the key too, and so has a child.
    let at = map(1)?;
    advise(at, HUGE, libc::MADV_HUGEPAGE)?;
    pkeys::protect(at, HUGE, RW, key)?;
    poke(at, 1);
    pkeys::set_rights(key, pkeys::NO_ACCESS);
    in_child(|| {
        fails!(libc::read(zero, (at + 7 * PAGE) as *mut _, 1), libc::EFAULT);
        pkeys::set_rights(key, 0);
        poke(at, 2);
        pkeys::set_rights(key, pkeys::NO_ACCESS);
        fails!(libc::read(zero, at as *mut _, 1), libc::EFAULT);
        fails!(libc::read(zero, (at + HUGE - PAGE) as *mut _, 1), libc::EFAULT);
        Ok(())
    })?;
    close(zero);
    Ok(())
}

pub fn fork() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(2)?;
    let (to_child, from_parent) = (pipe()?, pipe()?);
    let pid = child(|| {
        poke(at, 100);
        let _ = write(to_child.1, b"x");
        let _ = read(from_parent.0, 1);
        // What the parent wrote meanwhile is not seen.
        let good = peek(at) == 100 && peek(at + PAGE) == value(1) && intact(at, 2..2 * PAGES);
        poke(at + HUGE, 101);
        i32::from(!(good && peek(at + HUGE) == 101))
    })?;
    read(to_child.0, 1)?;
    eq!(peek(at), value(0));
    poke(at + PAGE, 102);
    write(from_parent.1, b"x")?;
    eq!(exit_of(pid)?, 0);
    eq!((peek(at), peek(at + PAGE)), (value(0), 102));
    ck!(intact(at, 2..2 * PAGES));
    Ok(())
}

pub fn dont_need() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(3)?;
    advise(at + PAGE, PAGE, libc::MADV_DONTNEED)?;
    eq!(rss_kib(at)?, 6144 - 4);
    eq!((peek(at), peek(at + PAGE), peek(at + 2 * PAGE)), (value(0), 0, value(2)));
    // One and a half.
    advise(at + HUGE, HUGE + HUGE / 2, libc::MADV_DONTNEED)?;
    ck!((0..PAGES + PAGES / 2).all(|page| peek(at + HUGE + page * PAGE) == 0));
    ck!(intact(at, 2..PAGES) && intact(at, 2 * PAGES + PAGES / 2..3 * PAGES));
    fill(at, 3);
    ck!(intact(at, 0..3 * PAGES));
    Ok(())
}

pub fn remap() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(2)?;
    let room = map(6)?;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // To an aligned place, then to one that is not, then a part of it, then longer.
    eq!(c!(libc::mremap(at as *mut _, 2 * HUGE, 2 * HUGE, flags, room) as i64) as usize, room);
    ck!(intact(room, 0..2 * PAGES));
    let other = room + 3 * HUGE + 5 * PAGE;
    eq!(c!(libc::mremap(room as *mut _, 2 * HUGE, 2 * HUGE, flags, other) as i64) as usize, other);
    ck!(intact(other, 0..2 * PAGES));
    eq!(rss_kib(other)?, 4096);
    let part = room + 7 * PAGE;
    eq!(c!(libc::mremap((other + 100 * PAGE) as *mut _, PAGE, PAGE, flags, part) as i64) as usize, part);
    eq!(peek(part), value(100));
    ck!(intact(other, 0..100) && intact(other, 101..2 * PAGES));
    let at = mapped(1)?;
    let to = c!(libc::mremap(at as *mut _, HUGE, 2 * HUGE, libc::MREMAP_MAYMOVE) as i64) as usize;
    ck!(intact(to, 0..PAGES) && peek(to + HUGE) == 0);
    let to = c!(libc::mremap(to as *mut _, 2 * HUGE, HUGE / 2, 0) as i64) as usize;
    ck!(intact(to, 0..PAGES / 2));
    eq!(rss_kib(to)?, 1024);
    Ok(())
}

pub fn remote() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(1)?;
    let fd = open("/proc/self/mem", libc::O_RDWR)?;
    let mut byte = 0u8;
    for page in [0, 1, 255, PAGES - 1] {
        eq!(c!(libc::pread(fd, (&raw mut byte).cast(), 1, (at + page * PAGE) as i64)), 1);
        eq!(byte, value(page));
    }
    eq!(c!(libc::pwrite(fd, [99u8].as_ptr().cast(), 1, (at + 7 * PAGE) as i64)), 1);
    eq!(peek(at + 7 * PAGE), 99);
    close(fd);
    // Pages that somebody has outlive the mapping.
    let (reader, writer) = pipe()?;
    let piece = libc::iovec { iov_base: (at + 8 * PAGE) as *mut _, iov_len: PAGE };
    eq!(c!(libc::vmsplice(writer, &piece, 1, 0)) as usize, PAGE);
    unmap(at, HUGE)?;
    let bytes = read(reader, PAGE)?;
    eq!((bytes.len(), bytes[0], bytes[PAGE - 1]), (PAGE, value(8), value(8)));
    Ok(())
}

pub fn lock_part() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(1)?;
    c!(libc::mlock((at + 16 * PAGE) as *const _, 4 * PAGE));
    eq!(kib(&smaps_of(at + 16 * PAGE)?, "Locked:")?, 16);
    fails!(libc::madvise(at as *mut _, HUGE, libc::MADV_DONTNEED), libc::EINVAL);
    ck!(intact(at, 16..PAGES));
    c!(libc::munlock((at + 16 * PAGE) as *const _, 4 * PAGE));
    let mut there = [0u8; PAGES];
    let at = mapped(1)?;
    c!(libc::mincore(at as *mut _, HUGE, there.as_mut_ptr()));
    ck!(there.iter().all(|byte| byte & 1 == 1));
    Ok(())
}

pub fn soft_dirty() -> Outcome {
    let _asked = Asked::new()?;
    let at = mapped(1)?;
    let bit = |page: usize| -> Result<u64, String> { Ok(crate::vmem::show::words(at + page * PAGE, 1)?[0] >> 55 & 1) };
    if bit(3)? == 0 {
        return Err(format!("{SKIP}the kernel has no soft-dirty bits"));
    }
    std::fs::write("/proc/self/clear_refs", "4").map_err(|e| e.to_string())?;
    eq!((bit(3)?, bit(4)?), (0, 0));
    poke(at + 3 * PAGE, value(3));
    eq!(bit(3)?, 1);
    std::fs::write("/proc/self/clear_refs", "1").map_err(|e| e.to_string())?;
    ck!(intact(at, 0..PAGES));
    Ok(())
}
