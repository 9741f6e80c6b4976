// SPDX-License-Identifier: GPL-2.0
//! Lengths that go round, advice for holes, mappings that are moved, and what a fault beyond a file's end brings in.

use crate::util::{Outcome, close, in_child, text};
use crate::vmem::set_limit;
use crate::vmem::show::{kib, smaps_of, status_of};
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("alike.lock_whole_round", lock_whole_round),
    ("alike.remove_may_write", remove_may_write),
    ("alike.populate_around_hole", populate_around_hole),
    ("alike.dontunmap_place", dontunmap_place),
    ("alike.dontunmap_stays_whole", dontunmap_stays_whole),
    ("alike.dontunmap_unlocks", dontunmap_unlocks),
    ("alike.page_out_unmaps", page_out_unmaps),
    ("alike.moved_joins", moved_joins),
    ("alike.moved_pages_keep_apart", moved_pages_keep_apart),
    ("alike.locked_then_writable", locked_then_writable),
    ("alike.around_beyond_end", around_beyond_end),
    ("alike.around_from_start", around_from_start),
];

const PAGE: usize = 4096;
const READ: i32 = libc::PROT_READ;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
const DONTUNMAP: i32 = libc::MREMAP_MAYMOVE | 4;

fn map(at: usize, pages: usize, prot: i32, flags: i32, fd: i32, first: usize) -> Result<usize, String> {
    let offset = (first * PAGE) as i64;
    Ok(c!(libc::mmap(at as *mut _, pages * PAGE, prot, flags, fd, offset) as i64) as usize)
}

/// Addresses of which the test may do what it likes with those of the inner `pages`: around them nothing is mapped.
fn room(pages: usize) -> Result<usize, String> {
    let at = map(0, pages + 2, libc::PROT_NONE, ANON, -1, 0)?;
    unmap(at, pages + 2)?;
    Ok(at + PAGE)
}

fn unmap(at: usize, pages: usize) -> Outcome {
    c!(libc::munmap(at as *mut _, pages * PAGE));
    Ok(())
}

/// A memory file of so many pages, all there.
fn file(pages: usize) -> Result<i32, String> {
    let fd = c!(libc::memfd_create(c"m".as_ptr(), 0));
    let bytes = vec![7_u8; pages * PAGE];
    eq!(c!(libc::write(fd, bytes.as_ptr().cast(), bytes.len())) as usize, bytes.len());
    Ok(fd)
}

fn remap(old: usize, old_pages: usize, pages: usize, flags: i32, new: usize) -> i64 {
    // SAFETY: mappings of the test's own.
    unsafe { libc::mremap(old as *mut _, old_pages * PAGE, pages * PAGE, flags, new as *mut libc::c_void) as i64 }
}

/// First and last page of the mappings in `pages` from `at` on.
fn maps(at: usize, pages: usize) -> Result<Vec<(usize, usize)>, String> {
    let text = text("/proc/self/maps")?;
    let range = |line: &str| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
    };
    let inside = text.lines().filter_map(range).filter(|(from, to)| *to > at && *from < at + pages * PAGE);
    Ok(inside.map(|(from, to)| ((from - at) / PAGE, (to - at) / PAGE)).collect())
}

/// A length of all addresses is none when it is rounded up; one that passes their end is refused, but not before the limit is asked.
fn lock_whole_round() -> Outcome {
    let at = map(0, 2, RW, ANON, -1, 0)? as *const libc::c_void;
    c!(libc::mlock(at, usize::MAX));
    c!(libc::syscall(libc::SYS_mlock2, at, usize::MAX, 1));
    c!(libc::munlock(at, usize::MAX));
    fails!(libc::mlock(at, usize::MAX - PAGE), libc::EINVAL);
    fails!(libc::munlock(at, usize::MAX - PAGE), libc::EINVAL);
    fails!(libc::madvise(at.cast_mut(), usize::MAX, libc::MADV_NORMAL), libc::EINVAL);
    fails!(libc::madvise(core::ptr::null_mut(), usize::MAX, libc::MADV_NORMAL), libc::EINVAL);
    in_child(|| {
        set_limit(libc::RLIMIT_MEMLOCK, 4 * PAGE as u64)?;
        c!(libc::setresuid(1000, 1000, 1000));
        c!(libc::mlock(at, usize::MAX));
        fails!(libc::mlock(at, usize::MAX - PAGE), libc::ENOMEM);
        Ok(())
    })
}

/// `MADV_REMOVE` wants a shared mapping of a file that may be written, not one that can be written now.
fn remove_may_write() -> Outcome {
    let fd = file(3)?;
    let at = map(0, 3, libc::PROT_NONE, libc::MAP_SHARED, fd, 0)?;
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_REMOVE));
    let mut byte = 1_u8;
    eq!(c!(libc::pread(fd, (&raw mut byte).cast(), 1, 0)), 1);
    eq!(byte, 0);
    unmap(at + PAGE, 1)?;
    fails!(libc::madvise(at as *mut _, 3 * PAGE, libc::MADV_REMOVE), libc::ENOMEM);
    eq!(c!(libc::pread(fd, (&raw mut byte).cast(), 1, 2 * PAGE as i64)), 1);
    eq!(byte, 0);
    let private = map(0, 1, RW, libc::MAP_PRIVATE, fd, 0)?;
    fails!(libc::madvise(private as *mut _, PAGE, libc::MADV_REMOVE), libc::EACCES);
    let read_only =
        c!(libc::open(std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap_or_default().as_ptr(), 0));
    let shown = map(0, 1, READ, libc::MAP_SHARED, read_only, 0)?;
    fails!(libc::madvise(shown as *mut _, PAGE, libc::MADV_REMOVE), libc::EACCES);
    close(read_only);
    close(fd);
    Ok(())
}

/// A hole is told when all else is there, unless something else is wrong.
fn populate_around_hole() -> Outcome {
    let populate = |at: usize, pages: usize| {
        // SAFETY: changes nothing.
        unsafe { libc::madvise(at as *mut _, pages * PAGE, libc::MADV_POPULATE_READ) }
    };
    let fd = file(1)?;
    let at = room(4)?;
    map(at + PAGE, 1, READ, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)?;
    map(at + 3 * PAGE, 1, READ, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)?;
    fails!(populate(at, 4), libc::ENOMEM);
    eq!((kib(&smaps_of(at + PAGE)?, "Rss:")?, kib(&smaps_of(at + 3 * PAGE)?, "Rss:")?), (4, 4));
    // Beyond the end of the file.
    map(at + 3 * PAGE, 1, READ, libc::MAP_SHARED | libc::MAP_FIXED, fd, 4)?;
    fails!(populate(at, 4), libc::EFAULT);
    map(at + 3 * PAGE, 1, libc::PROT_NONE, ANON | libc::MAP_FIXED, -1, 0)?;
    fails!(populate(at, 4), libc::EINVAL);
    unmap(at, 4)
}

/// The place that is named must be a possible one though it is not asked for.
fn dontunmap_place() -> Outcome {
    let at = map(0, 8, RW, ANON, -1, 0)?;
    fails!(remap(at, 4, 4, DONTUNMAP, at + 2 * PAGE), libc::EINVAL);
    fails!(remap(at, 4, 4, DONTUNMAP, at + 1), libc::EINVAL);
    fails!(remap(at, 4, 4, DONTUNMAP, usize::MAX & !(PAGE - 1)), libc::EINVAL);
    // That comes before the end of the mapping.
    fails!(remap(at, 16, 16, DONTUNMAP, at + 2 * PAGE), libc::EINVAL);
    fails!(remap(at, 16, 16, DONTUNMAP, 0), libc::EFAULT);
    // A second time in its own place, which is made free first.
    fails!(remap(at, 0, 2, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, at + 4 * PAGE), libc::EINVAL);
    fails!(remap(at, 0, 2, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, at), libc::EFAULT);
    unmap(at, 8)
}

/// What stays behind, or is shown a second time, is the mapping that it was.
fn dontunmap_stays_whole() -> Outcome {
    let fd = file(8)?;
    let at = room(8)?;
    map(at, 8, RW, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)?;
    let to = c!(remap(at + 2 * PAGE, 3, 3, DONTUNMAP, 0)) as usize;
    eq!(maps(at, 8)?, [(0, 8)]);
    unmap(to, 3)?;
    let to = c!(remap(at + 4 * PAGE, 0, 2, libc::MREMAP_MAYMOVE, 0)) as usize;
    eq!(maps(at, 8)?, [(0, 8)]);
    unmap(to, 2)?;
    unmap(at, 8)?;
    close(fd);
    Ok(())
}

/// What stays behind is not locked any more, and what was moved is.
fn dontunmap_unlocks() -> Outcome {
    let at = map(0, 4, RW, ANON, -1, 0)?;
    let before = status_of("VmLck:")?;
    c!(libc::mlock(at as *const _, 4 * PAGE));
    let to = c!(remap(at, 4, 4, DONTUNMAP, 0)) as usize;
    eq!((kib(&smaps_of(at)?, "Locked:")?, kib(&smaps_of(to)?, "Locked:")?), (0, 16));
    eq!(status_of("VmLck:")?, before + 16);
    unmap(at, 4)?;
    unmap(to, 4)?;
    eq!(status_of("VmLck:")?, before);
    // A part that is unlocked so is a mapping of its own.
    let fd = file(8)?;
    for (flags, fd) in [(ANON, -1), (libc::MAP_SHARED, fd)] {
        let at = room(8)?;
        map(at, 8, RW, flags | libc::MAP_FIXED, fd, 0)?;
        c!(libc::mlock(at as *const _, 8 * PAGE));
        let to = c!(remap(at + 2 * PAGE, 3, 3, DONTUNMAP, 0)) as usize;
        eq!(maps(at, 8)?, [(0, 2), (2, 5), (5, 8)]);
        let locked =
            [at, at + 2 * PAGE, at + 5 * PAGE, to].map(|at| smaps_of(at).and_then(|text| kib(&text, "Locked:")));
        eq!(locked, [8, 0, 12, 12].map(Ok));
        eq!(status_of("VmLck:")?, before + 32);
        unmap(at, 8)?;
        unmap(to, 3)?;
    }
    close(fd);
    Ok(())
}

/// Pages of a file in memory, or of shared memory, that are to leave are taken from the program, also where there is no swap; its own
/// pages are not then. What others have mapped, too, stays.
fn page_out_unmaps() -> Outcome {
    const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let fd = file(4)?;
    for (flags, fd, left) in [(SHARED, -1, 0), (libc::MAP_SHARED, fd, 0), (libc::MAP_PRIVATE, fd, 4)] {
        let at = map(0, 4, RW, flags, fd, 0)?;
        // SAFETY: mapped above.
        unsafe {
            ((at + PAGE) as *mut u8).write_volatile(5);
            (at as *const u8).read_volatile();
        }
        let before = kib(&smaps_of(at)?, "Rss:")?;
        ck!(before >= 8, "{before} KiB");
        c!(libc::madvise(at as *mut _, 4 * PAGE, libc::MADV_COLD));
        eq!(kib(&smaps_of(at)?, "Rss:")?, before);
        c!(libc::madvise(at as *mut _, 4 * PAGE, libc::MADV_PAGEOUT));
        eq!(kib(&smaps_of(at)?, "Rss:")?, left);
        // SAFETY: as above.
        eq!(unsafe { ((at + PAGE) as *const u8).read_volatile() }, 5);
        unmap(at, 4)?;
    }
    let (at, other) = (map(0, 1, RW, libc::MAP_SHARED, fd, 0)?, map(0, 1, RW, libc::MAP_SHARED, fd, 0)?);
    for at in [at, other] {
        // SAFETY: mapped above.
        unsafe { (at as *mut u8).write_volatile(6) };
    }
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_PAGEOUT));
    eq!((kib(&smaps_of(at)?, "Rss:")?, kib(&smaps_of(other)?, "Rss:")?), (4, 4));
    unmap(at, 1)?;
    unmap(other, 1)?;
    close(fd);
    Ok(())
}

/// A mapping that is moved to where it continues another becomes part of that.
fn moved_joins() -> Outcome {
    let fd = file(6)?;
    let at = room(10)?;
    map(at, 2, RW, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)?;
    map(at + 4 * PAGE, 2, RW, libc::MAP_SHARED | libc::MAP_FIXED, fd, 4)?;
    map(at + 7 * PAGE, 2, RW, libc::MAP_SHARED | libc::MAP_FIXED, fd, 2)?;
    eq!(maps(at, 10)?, [(0, 2), (4, 6), (7, 9)]);
    c!(remap(at + 7 * PAGE, 2, 2, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, at + 2 * PAGE));
    eq!(maps(at, 10)?, [(0, 6)]);
    unmap(at, 6)?;
    close(fd);
    Ok(())
}

/// Private memory that is moved with pages stays apart from what is beside it there; without any it does not.
fn moved_pages_keep_apart() -> Outcome {
    const MOVE: i32 = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let at = room(8)?;
    map(at, 2, RW, ANON | libc::MAP_FIXED, -1, 0)?;
    map(at + 4 * PAGE, 1, RW, ANON | libc::MAP_FIXED, -1, 0)?;
    map(at + 6 * PAGE, 1, RW, ANON | libc::MAP_FIXED, -1, 0)?;
    c!(remap(at + 4 * PAGE, 1, 1, MOVE, at + 2 * PAGE));
    eq!(maps(at, 8)?, [(0, 3), (6, 7)]);
    // SAFETY: mapped above.
    unsafe { ((at + 6 * PAGE) as *mut u8).write_volatile(1) };
    c!(remap(at + 6 * PAGE, 1, 1, MOVE, at + 3 * PAGE));
    eq!(maps(at, 8)?, [(0, 3), (3, 4)]);
    unmap(at, 4)
}

/// Locked memory that can be written only now is the program's own at once.
fn locked_then_writable() -> Outcome {
    let at = room(1)?;
    map(at, 1, READ, ANON | libc::MAP_FIXED, -1, 0)?;
    c!(libc::mlock(at as *const _, PAGE));
    eq!(kib(&smaps_of(at)?, "Rss:")?, 0);
    c!(libc::mprotect(at as *mut _, PAGE, RW));
    eq!(kib(&smaps_of(at)?, "Rss:")?, 4);
    unmap(at, 1)
}

/// A fault beyond a file's end fails, and brings in what is there before it.
fn around_beyond_end() -> Outcome {
    const WINDOW: usize = 16;
    let fd = file(1)?;
    // Both within one window.
    let at = room(WINDOW + 2)?.next_multiple_of(WINDOW * PAGE);
    map(at, 2, READ, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)?;
    fails!(libc::madvise((at + PAGE) as *mut _, PAGE, libc::MADV_POPULATE_READ), libc::EFAULT);
    eq!(kib(&smaps_of(at)?, "Rss:")?, 4);
    unmap(at, 2)?;
    close(fd);
    Ok(())
}

/// Sixteen pages come with one, from where the mapping begins if that is within the window of sixteen.
fn around_from_start() -> Outcome {
    const WINDOW: usize = 16;
    let fd = file(3 * WINDOW)?;
    let at = room(4 * WINDOW)?.next_multiple_of(WINDOW * PAGE);
    // Not across the end of a table.
    let at =
        if (at / PAGE).is_multiple_of(512) || at / PAGE % 512 < 512 - 2 * WINDOW { at } else { at + 2 * WINDOW * PAGE };
    let begin = at + 12 * PAGE;
    map(begin, 2 * WINDOW, READ, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0)?;
    // SAFETY: mapped above.
    eq!(unsafe { (begin as *const u8).read_volatile() }, 7);
    let limit = kib(&smaps_of(begin)?, "Rss:")?;
    ck!(limit == 4 * WINDOW as u64, "{limit} KiB");
    unmap(begin, 2 * WINDOW)?;
    close(fd);
    Ok(())
}
