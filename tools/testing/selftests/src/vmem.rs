// SPDX-License-Identifier: GPL-2.0
//! Memory: as /proc shows it (`show`), advice, locking, limits, access to other processes' memory, the OOM killer's settings.

mod killed;
mod lazy;
mod room;
pub(crate) mod show;

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use show::{PRESENT, kib, smaps_of, status_of, words};

pub const TESTS: &[Test] = &[
    ("vmem.smaps_lines", show::smaps_lines),
    ("vmem.smaps_counts", show::smaps_counts),
    ("vmem.smaps_rollup", show::rollup),
    ("vmem.pagemap", show::pagemap),
    ("vmem.clear_refs", show::clear_refs),
    ("vmem.soft_dirty", show::soft_dirty),
    ("vmem.status_lines", show::status),
    ("vmem.zone_files", show::zones),
    ("vmem.oom_score_adj", score_adj),
    ("vmem.oom_score", score),
    ("vmem.overcommit_limit", overcommit),
    ("vmem.populate", populate),
    ("vmem.madvise_fork", fork_advice),
    ("vmem.madvise_reclaim", reclaim_advice),
    ("vmem.pageout", pageout),
    ("vmem.lazy_shown", lazy::shown),
    ("vmem.lazy_errors", lazy::errors),
    ("vmem.lazy_changes", lazy::changes),
    ("vmem.lazy_fork", lazy::fork),
    ("vmem.lazy_race", lazy::race),
    ("vmem.lazy_short", lazy::short),
    ("vmem.tmpfs_preallocated", preallocated),
    ("vmem.tmpfs_promised", room::promised),
    ("vmem.remove_sealed", room::remove_sealed),
    ("vmem.remove_on_disk", room::remove_on_disk),
    ("vmem.major_faults", room::major_faults),
    ("vmem.tmpfs_noswap", room::noswap),
    ("vmem.mlock_limits", mlock_limits),
    ("vmem.mlock_onfault", mlock_onfault),
    ("vmem.mlockall_future", mlockall),
    ("vmem.rlimit_as_data", limits),
    ("vmem.mremap_flags", mremap_flags),
    ("vmem.mremap_dontunmap", dontunmap),
    ("vmem.process_vm", process_vm),
    ("vmem.process_vm_errors", process_vm_errors),
    ("vmem.killed_while_copying", killed::copying),
    ("vmem.killed_while_reading", killed::reading_holes),
    ("vmem.pkeys", pkeys),
    ("vmem.mprotect_grows", mprotect_grows),
    ("vmem.map_limits", map_limits),
    ("vmem.absent_calls", absent),
];

const PAGE: usize = 4096;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn map_with(len: usize, prot: i32, flags: i32) -> Result<usize, String> {
    Ok(c!(libc::mmap(core::ptr::null_mut(), len, prot, flags, -1, 0) as i64) as usize)
}

fn map(len: usize) -> Result<usize, String> {
    map_with(len, RW, ANON)
}

fn poke(at: usize, value: u8) {
    // SAFETY: the test mapped it.
    unsafe { (at as *mut u8).write_volatile(value) }
}

fn peek(at: usize) -> u8 {
    // SAFETY: the test mapped it.
    unsafe { (at as *const u8).read_volatile() }
}

/// Huge pages would bring in more than is touched; a kernel without them refuses, which is as good.
fn small(at: usize, len: usize) {
    // SAFETY: a mapping of the test's own.
    unsafe { libc::madvise(at as *mut _, len, libc::MADV_NOHUGEPAGE) };
}

fn set_file(path: &str, value: &str) -> Result<usize, String> {
    let fd = open(path, libc::O_WRONLY)?;
    let done = write(fd, value.as_bytes());
    close(fd);
    done
}

fn fails_to_set(path: &str, value: &str, errno: i32) -> Outcome {
    let fd = open(path, libc::O_WRONLY)?;
    fails!(libc::write(fd, value.as_ptr().cast(), value.len()), errno);
    close(fd);
    Ok(())
}

fn score_adj() -> Outcome {
    const FILE: &str = "/proc/self/oom_score_adj";
    eq!(text(FILE)?, "0\n");
    set_file(FILE, "500")?;
    eq!(text(FILE)?, "500\n");
    eq!(text("/proc/self/oom_adj")?, "8\n");
    in_child(|| {
        eq!(text(FILE)?, "500\n");
        Ok(())
    })?;
    fails_to_set(FILE, "1001", libc::EINVAL)?;
    fails_to_set(FILE, "-1001", libc::EINVAL)?;
    fails_to_set(FILE, "x", libc::EINVAL)?;
    set_file("/proc/self/oom_adj", "-17")?;
    eq!(text(FILE)?, "-1000\n");
    set_file("/proc/self/oom_adj", "15")?;
    eq!(text(FILE)?, "1000\n");
    fails_to_set("/proc/self/oom_adj", "16", libc::EINVAL)?;
    // Without privilege it only goes up again, to what was once set with it.
    set_file(FILE, "-100")?;
    let fd = open(FILE, libc::O_WRONLY)?;
    in_child(|| {
        let own = open(FILE, libc::O_WRONLY)?;
        c!(libc::setresuid(1000, 1000, 1000));
        eq!(write(own, b"100")?, 3);
        eq!(write(own, b"-100")?, 4);
        fails!(libc::write(own, b"-101".as_ptr().cast(), 4), libc::EACCES);
        Ok(())
    })?;
    close(fd);
    Ok(())
}

fn score() -> Outcome {
    eq!(text("/proc/1/oom_score")?, "0\n");
    set_file("/proc/self/oom_score_adj", "1000")?;
    let high: u64 = text("/proc/self/oom_score")?.trim().parse().map_err(|e| format!("{e}"))?;
    // Two thirds of 2000, less what a thousandth of memory, rounded down to pages, loses.
    ck!((1320..1400).contains(&high), "{high}");
    set_file("/proc/self/oom_score_adj", "-1000")?;
    eq!(text("/proc/self/oom_score")?, "0\n");
    Ok(())
}

fn overcommit() -> Outcome {
    const MODE: &str = "/proc/sys/vm/overcommit_memory";
    const RATIO: &str = "/proc/sys/vm/overcommit_ratio";
    let lines = |name: &str| -> Result<u64, String> {
        let lines: Vec<String> = text("/proc/meminfo")?.lines().map(String::from).collect();
        kib(&lines, name)
    };
    let before = lines("Committed_AS:")?;
    let at = map(16 << 20)?;
    ck!(lines("Committed_AS:")? >= before + (15 << 10));
    c!(libc::munmap(at as *mut _, 16 << 20));
    fails_to_set(MODE, "3", libc::EINVAL)?;
    set_file(RATIO, "60")?;
    let limit = lines("CommitLimit:")?;
    ck!(limit.abs_diff(lines("MemTotal:")? * 6 / 10) < 64, "{limit}");
    set_file("/proc/sys/vm/overcommit_kbytes", "262144")?;
    eq!(text(RATIO)?, "0\n");
    eq!(lines("CommitLimit:")?, 262_144);
    set_file(MODE, "2")?;
    let outcome = (|| {
        fails!(libc::mmap(core::ptr::null_mut(), 300 << 20, RW, ANON, -1, 0) as i64, libc::ENOMEM);
        fails!(
            libc::mmap(core::ptr::null_mut(), 300 << 20, RW, ANON | libc::MAP_NORESERVE, -1, 0) as i64,
            libc::ENOMEM
        );
        // What cannot be written is not promised; making it writable is.
        let at = map_with(300 << 20, libc::PROT_READ, ANON)?;
        fails!(libc::mprotect(at as *mut _, 300 << 20, RW), libc::ENOMEM);
        c!(libc::munmap(at as *mut _, 300 << 20));
        Ok(())
    })();
    set_file(MODE, "1")?;
    let at = map(1 << 40)?;
    c!(libc::munmap(at as *mut _, 1 << 40));
    set_file(MODE, "0")?;
    set_file(RATIO, "50")?;
    outcome
}

const POPULATE_READ: i32 = 22;
const POPULATE_WRITE: i32 = 23;

fn resident(at: usize, pages: usize) -> Result<usize, String> {
    Ok(words(at, pages)?.iter().filter(|w| **w & PRESENT != 0).count())
}

fn populate() -> Outcome {
    let at = map(8 * PAGE)?;
    small(at, 8 * PAGE);
    c!(libc::madvise(at as *mut _, 4 * PAGE, POPULATE_READ));
    eq!(resident(at, 8)?, 4);
    c!(libc::madvise(at as *mut _, 6 * PAGE, POPULATE_WRITE));
    eq!(resident(at, 8)?, 6);
    eq!(kib(&smaps_of(at)?, "Anonymous:")?, 24);
    let read_only = map_with(2 * PAGE, libc::PROT_READ, ANON)?;
    fails!(libc::madvise(read_only as *mut _, PAGE, POPULATE_WRITE), libc::EINVAL);
    let write_only = map_with(2 * PAGE, libc::PROT_WRITE, ANON)?;
    fails!(libc::madvise(write_only as *mut _, PAGE, POPULATE_READ), libc::EINVAL);
    c!(libc::madvise(write_only as *mut _, PAGE, POPULATE_WRITE));
    let none = map_with(2 * PAGE, libc::PROT_NONE, ANON)?;
    fails!(libc::madvise(none as *mut _, PAGE, POPULATE_READ), libc::EINVAL);
    c!(libc::munmap((at + 2 * PAGE) as *mut _, PAGE));
    fails!(libc::madvise(at as *mut _, 4 * PAGE, POPULATE_READ), libc::ENOMEM);
    // Beyond the end of a file there is nothing to bring in.
    let fd = open(&format!("{}/f", dir()?), libc::O_RDWR | libc::O_CREAT)?;
    c!(libc::ftruncate(fd, PAGE as i64));
    let file = c!(libc::mmap(core::ptr::null_mut(), 2 * PAGE, RW, libc::MAP_SHARED, fd, 0) as i64) as usize;
    fails!(libc::madvise(file as *mut _, 2 * PAGE, POPULATE_READ), libc::EFAULT);
    let populated = map_with(8 * PAGE, RW, ANON | libc::MAP_POPULATE)?;
    eq!(resident(populated, 8)?, 8);
    Ok(())
}

fn fork_advice() -> Outcome {
    let at = map(3 * PAGE)?;
    for i in 0..3 {
        poke(at + i * PAGE, 7);
    }
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_DONTFORK));
    c!(libc::madvise((at + PAGE) as *mut _, PAGE, libc::MADV_WIPEONFORK));
    in_child(|| {
        let mut state = [0u8; 1];
        fails!(libc::mincore(at as *mut _, PAGE, state.as_mut_ptr()), libc::ENOMEM);
        eq!(peek(at + PAGE), 0);
        eq!(peek(at + 2 * PAGE), 7);
        Ok(())
    })?;
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_DOFORK));
    c!(libc::madvise((at + PAGE) as *mut _, PAGE, libc::MADV_KEEPONFORK));
    in_child(|| {
        eq!((peek(at), peek(at + PAGE)), (7, 7));
        Ok(())
    })?;
    let shared = map_with(PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
    fails!(libc::madvise(shared as *mut _, PAGE, libc::MADV_WIPEONFORK), libc::EINVAL);
    c!(libc::madvise(at as *mut _, PAGE, libc::MADV_DONTDUMP));
    ck!(smaps_of(at)?.last().is_some_and(|l| l.contains(" dd ")));
    Ok(())
}

pub(crate) fn set_limit(resource: u32, soft: u64) -> Outcome {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: soft };
    c!(libc::setrlimit(resource, &limit));
    Ok(())
}

/// Memory that could only be swapped stays as it is.
fn reclaim_advice() -> Outcome {
    in_child(|| {
        let at = map(8 * PAGE)?;
        (0..8).for_each(|page| poke(at + page * PAGE, page as u8 + 1));
        let advise = |at: usize, len: usize, advice: i32| {
            // SAFETY: a mapping of the test's own.
            unsafe { libc::madvise(at as *mut _, len, advice) }
        };
        for advice in [libc::MADV_COLD, libc::MADV_PAGEOUT] {
            c!(advise(at, 8 * PAGE, advice));
            (0..8).try_for_each(|page| {
                eq!(peek(at + page * PAGE), page as u8 + 1);
                Ok::<(), String>(())
            })?;
            fails!(advise(at + 1, PAGE, advice), libc::EINVAL);
            c!(libc::mlock((at + PAGE) as *const _, PAGE));
            fails!(advise(at, 8 * PAGE, advice), libc::EINVAL);
            c!(libc::munlock((at + PAGE) as *const _, PAGE));
        }
        c!(libc::munmap((at + 4 * PAGE) as *mut _, PAGE));
        fails!(advise(at, 8 * PAGE, libc::MADV_PAGEOUT), libc::ENOMEM);
        Ok(())
    })
}

/// Clean pages of a file leave the cache; memory that is its own backing stays. (Both are right here: it depends on what `/tmp` is.)
fn pageout() -> Outcome {
    let path = format!("{}/pages", dir()?);
    std::fs::write(&path, vec![7u8; 8 * PAGE]).map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDWR)?;
    c!(libc::fsync(fd));
    // SAFETY: zeros are a valid structure.
    let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
    c!(libc::fstatfs(fd, &mut stat));
    let in_memory = [libc::TMPFS_MAGIC, 0x8584_58f6].contains(&stat.f_type);
    let at = c!(libc::mmap(core::ptr::null_mut(), 8 * PAGE, RW, libc::MAP_SHARED, fd, 0) as i64) as usize;
    let resident = || -> Result<usize, String> {
        let mut bytes = [0u8; 8];
        c!(libc::mincore(at as *mut _, 8 * PAGE, bytes.as_mut_ptr()));
        Ok(bytes.iter().filter(|&&byte| byte != 0).count())
    };
    for page in 0..8 {
        eq!(peek(at + page * PAGE), 7);
    }
    eq!(resident()?, 8);
    c!(libc::madvise(at as *mut _, 8 * PAGE, libc::MADV_COLD));
    eq!(resident()?, 8);
    c!(libc::madvise(at as *mut _, 8 * PAGE, libc::MADV_PAGEOUT));
    eq!(resident()?, if in_memory { 8 } else { 0 });
    for page in 0..8 {
        eq!(peek(at + page * PAGE), 7);
    }
    Ok(())
}

/// What `fallocate` keeps for a file in memory is a hole until it is used.
fn preallocated() -> Outcome {
    let fd = c!(libc::memfd_create(c"kept".as_ptr(), 0));
    let len = 8 * PAGE as i64;
    c!(libc::fallocate(fd, 0, 0, len));
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::fstat(fd, &mut stat));
    eq!((stat.st_size, stat.st_blocks), (len, len / 512));
    fails!(libc::lseek(fd, 0, libc::SEEK_DATA), libc::ENXIO);
    eq!(c!(libc::lseek(fd, 0, libc::SEEK_HOLE)), 0);
    let at = c!(libc::mmap(core::ptr::null_mut(), 8 * PAGE, RW, libc::MAP_SHARED, fd, 0) as i64) as usize;
    let resident = || -> Result<Vec<u8>, String> {
        let mut bytes = vec![9u8; 8];
        c!(libc::mincore(at as *mut _, 8 * PAGE, bytes.as_mut_ptr()));
        Ok(bytes)
    };
    eq!(resident()?, [0; 8]);
    // Reading is no use; a fault and a write are.
    eq!(read(fd, PAGE)?, vec![0; PAGE]);
    eq!(peek(at + 2 * PAGE), 0);
    eq!(c!(libc::pwrite(fd, b"x".as_ptr().cast(), 1, 5 * PAGE as i64 + 7)), 1);
    eq!(c!(libc::lseek(fd, 3 * PAGE as i64, libc::SEEK_DATA)), 5 * PAGE as i64);
    eq!(c!(libc::lseek(fd, 5 * PAGE as i64, libc::SEEK_HOLE)), 6 * PAGE as i64);
    eq!(resident()?[5], 1);
    eq!((peek(at + 5 * PAGE + 7), peek(at + 5 * PAGE)), (b'x', 0));
    c!(libc::ftruncate(fd, 0));
    c!(libc::fstat(fd, &mut stat));
    eq!(stat.st_blocks, 0);
    Ok(())
}

fn mlock_limits() -> Outcome {
    in_child(|| {
        let at = map(8 * PAGE)?;
        set_limit(libc::RLIMIT_MEMLOCK, 4 * PAGE as u64)?;
        c!(libc::setresuid(1000, 1000, 1000));
        c!(libc::mlock(at as *const _, 4 * PAGE));
        // What is locked already is not counted twice.
        c!(libc::mlock(at as *const _, 4 * PAGE));
        fails!(libc::mlock(at as *const _, 5 * PAGE), libc::ENOMEM);
        fails!(libc::mmap(core::ptr::null_mut(), PAGE, RW, ANON | libc::MAP_LOCKED, -1, 0) as i64, libc::EAGAIN);
        c!(libc::munlock(at as *const _, PAGE));
        c!(libc::mlock((at + 5 * PAGE) as *const _, PAGE));
        fails!(libc::mlockall(libc::MCL_CURRENT), libc::ENOMEM);
        set_limit(libc::RLIMIT_MEMLOCK, 0)?;
        fails!(libc::mlock(at as *const _, PAGE), libc::EPERM);
        fails!(libc::mmap(core::ptr::null_mut(), PAGE, RW, ANON | libc::MAP_LOCKED, -1, 0) as i64, libc::EPERM);
        Ok(())
    })
}

fn mlock_onfault() -> Outcome {
    let at = map(8 * PAGE)?;
    small(at, 8 * PAGE);
    c!(libc::syscall(libc::SYS_mlock2, at, 8 * PAGE, 1));
    eq!(resident(at, 8)?, 0);
    poke(at, 1);
    eq!(kib(&smaps_of(at)?, "Locked:")?, 4);
    fails!(libc::madvise(at as *mut _, PAGE, libc::MADV_DONTNEED), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_mlock2, at, PAGE, 2), libc::EINVAL);
    c!(libc::mlock(at as *const _, 8 * PAGE));
    eq!(resident(at, 8)?, 8);
    Ok(())
}

fn mlockall() -> Outcome {
    c!(libc::mlockall(libc::MCL_FUTURE));
    let at = map(4 * PAGE)?;
    eq!(resident(at, 4)?, 4);
    fails!(libc::mlockall(0), libc::EINVAL);
    fails!(libc::mlockall(8), libc::EINVAL);
    fails!(libc::mlockall(4), libc::EINVAL); // MCL_ONFAULT alone
    c!(libc::munlockall());
    let later = map(4 * PAGE)?;
    small(later, 4 * PAGE);
    eq!(resident(later, 4)?, 0);
    Ok(())
}

fn limits() -> Outcome {
    in_child(|| {
        let size: u64 = status_of("VmSize:")? << 10;
        set_limit(libc::RLIMIT_AS, size + (8 << 20))?;
        fails!(libc::mmap(core::ptr::null_mut(), 16 << 20, RW, ANON, -1, 0) as i64, libc::ENOMEM);
        let at = map(4 << 20)?;
        fails!(libc::mremap(at as *mut _, 4 << 20, 32 << 20, libc::MREMAP_MAYMOVE) as i64, libc::ENOMEM);
        Ok(())
    })?;
    in_child(|| {
        let data: u64 = status_of("VmData:")? << 10;
        set_limit(libc::RLIMIT_DATA, data + (8 << 20))?;
        fails!(libc::mmap(core::ptr::null_mut(), 16 << 20, RW, ANON, -1, 0) as i64, libc::ENOMEM);
        // Only what is private and can be written is data.
        map_with(16 << 20, libc::PROT_READ, ANON)?;
        map_with(16 << 20, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
        Ok(())
    })
}

fn remap(old: usize, old_len: usize, new_len: usize, flags: i32, new: usize) -> i64 {
    // SAFETY: mappings of the test's own.
    unsafe { libc::mremap(old as *mut _, old_len, new_len, flags, new as *mut libc::c_void) as i64 }
}

fn mremap_flags() -> Outcome {
    let at = map(16 * PAGE)?;
    let to = map(16 * PAGE)?;
    poke(at, 5);
    fails!(remap(at, PAGE, PAGE, libc::MREMAP_FIXED, to), libc::EINVAL);
    fails!(remap(at, PAGE, PAGE, 8, to), libc::EINVAL);
    fails!(remap(at + 1, PAGE, PAGE, libc::MREMAP_MAYMOVE, 0), libc::EINVAL);
    fails!(remap(at, PAGE, 0, libc::MREMAP_MAYMOVE, 0), libc::EINVAL);
    fails!(remap(at, 2 * PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, at + PAGE), libc::EINVAL);
    fails!(remap(at, 2 * PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to + 1), libc::EINVAL);
    eq!(c!(remap(at, 2 * PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to)) as usize, to);
    eq!(peek(to), 5);
    fails!(remap(at, PAGE, PAGE, libc::MREMAP_MAYMOVE, 0), libc::EFAULT);
    // A shared mapping is shown a second time when its old length is 0; a private one is not.
    let shared = map_with(2 * PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
    let twin = c!(remap(shared, 0, 2 * PAGE, libc::MREMAP_MAYMOVE, 0)) as usize;
    poke(shared, 9);
    eq!(peek(twin), 9);
    fails!(remap(to, 0, PAGE, libc::MREMAP_MAYMOVE, 0), libc::EINVAL);
    // Growing across two mappings.
    let pair = map(4 * PAGE)?;
    c!(libc::mprotect((pair + 2 * PAGE) as *mut _, 2 * PAGE, libc::PROT_READ));
    fails!(remap(pair, 4 * PAGE, 8 * PAGE, libc::MREMAP_MAYMOVE, 0), libc::EFAULT);
    Ok(())
}

fn dontunmap() -> Outcome {
    const DONTUNMAP: i32 = 4;
    let at = map(4 * PAGE)?;
    for i in 0..4 {
        poke(at + i * PAGE, i as u8 + 1);
    }
    fails!(remap(at, 4 * PAGE, 4 * PAGE, DONTUNMAP, 0), libc::EINVAL);
    fails!(remap(at, 4 * PAGE, 8 * PAGE, DONTUNMAP | libc::MREMAP_MAYMOVE, 0), libc::EINVAL);
    let to = c!(remap(at, 4 * PAGE, 4 * PAGE, DONTUNMAP | libc::MREMAP_MAYMOVE, 0)) as usize;
    ck!(to != at);
    for i in 0..4 {
        eq!((peek(to + i * PAGE), peek(at + i * PAGE)), (i as u8 + 1, 0));
    }
    Ok(())
}

fn transfer(write: bool, pid: i32, own: &[(usize, usize)], other: &[(usize, usize)], flags: u64) -> i64 {
    let iov = |list: &[(usize, usize)]| -> Vec<libc::iovec> {
        list.iter().map(|(at, len)| libc::iovec { iov_base: *at as *mut _, iov_len: *len }).collect()
    };
    let (own, other) = (iov(own), iov(other));
    let call = if write { libc::process_vm_writev } else { libc::process_vm_readv };
    // SAFETY: the vectors are live.
    unsafe { call(pid, own.as_ptr(), own.len() as u64, other.as_ptr(), other.len() as u64, flags) as i64 }
}

fn process_vm() -> Outcome {
    let at = map(4 * PAGE)?;
    let (r, w) = pipe()?;
    let (back, done) = pipe()?;
    let pid = child(|| {
        for i in 0..4 * PAGE {
            poke(at + i, i as u8);
        }
        let _ = write(done, b"x");
        let _ = read(r, 1);
        i32::from(peek(at + PAGE + 1) != 77)
    })?;
    read(back, 1)?;
    let buf = [0u8; 3000];
    let base = buf.as_ptr() as usize;
    let parts = [(at + 10, 1000), (at + 2 * PAGE - 500, 1000), (at, 1000)];
    eq!(c!(transfer(false, pid, &[(base, 1500), (base + 1500, 1500)], &parts, 0)), 3000);
    for (i, byte) in buf.iter().enumerate() {
        let from = match i / 1000 {
            0 => 10 + i,
            1 => 2 * PAGE - 500 + i - 1000,
            _ => i - 2000,
        };
        eq!((i, *byte), (i, from as u8));
    }
    // What cannot be read ends it; what there was counts.
    eq!(c!(transfer(false, pid, &[(base, 3000)], &[(at + 3 * PAGE, PAGE), (8, 8)], 0)), 3000);
    eq!(c!(transfer(false, pid, &[(base, 3000)], &[(at, 100), (8, 8)], 0)), 100);
    fails!(transfer(false, pid, &[(base, 8)], &[(8, 8)], 0), libc::EFAULT);
    let value = [77u8];
    eq!(c!(transfer(true, pid, &[(value.as_ptr() as usize, 1)], &[(at + PAGE + 1, 1)], 0)), 1);
    write(w, b"x")?;
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn process_vm_errors() -> Outcome {
    let buf = [0u8; 16];
    let own = [(buf.as_ptr() as usize, 16)];
    let me = std::process::id() as i32;
    fails!(transfer(false, me, &own, &own, 1), libc::EINVAL);
    fails!(transfer(false, 0x3ff_ffff, &own, &own, 0), libc::ESRCH);
    eq!(c!(transfer(false, me, &[], &own, 0)), 0);
    eq!(c!(transfer(false, me, &own, &[], 0)), 0);
    in_child(|| {
        c!(libc::setresuid(1000, 1000, 1000));
        fails!(transfer(false, 1, &own, &own, 0), libc::EPERM);
        Ok(())
    })
}

fn pkeys() -> Outcome {
    fails!(libc::syscall(libc::SYS_pkey_alloc, 1, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_pkey_alloc, 0, 4), libc::EINVAL);
    let at = map(PAGE)?;
    // Key -1 is plain mprotect.
    c!(libc::syscall(libc::SYS_pkey_mprotect, at, PAGE, libc::PROT_READ, -1));
    fails!(libc::syscall(libc::SYS_pkey_free, 99), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_pkey_mprotect, at, PAGE, libc::PROT_READ, 99), libc::EINVAL);
    Ok(())
}

fn mprotect_grows() -> Outcome {
    let stack = map_with(16 * PAGE, RW, ANON | libc::MAP_GROWSDOWN)?;
    c!(libc::mprotect((stack + 8 * PAGE) as *mut _, PAGE, libc::PROT_READ | libc::PROT_GROWSDOWN));
    // From the mapping's beginning.
    let lines = text("/proc/self/maps")?;
    ck!(lines.contains(&format!("{stack:08x}-{:08x} r--p", stack + 9 * PAGE)), "{lines}");
    let plain = map(4 * PAGE)?;
    fails!(libc::mprotect(plain as *mut _, PAGE, libc::PROT_READ | libc::PROT_GROWSDOWN), libc::EINVAL);
    fails!(libc::mprotect(plain as *mut _, PAGE, libc::PROT_READ | libc::PROT_GROWSUP), libc::EINVAL);
    let both = libc::PROT_GROWSDOWN | libc::PROT_GROWSUP;
    fails!(libc::mprotect(plain as *mut _, PAGE, libc::PROT_READ | both), libc::EINVAL);
    fails!(libc::mprotect(plain as *mut _, PAGE, 0x100), libc::EINVAL);
    Ok(())
}

fn map_limits() -> Outcome {
    const FILE: &str = "/proc/sys/vm/max_map_count";
    let before = text(FILE)?;
    set_file(FILE, "200")?;
    let outcome = in_child(|| {
        let mut made = 0;
        // Neighbours with different rights are not joined.
        while made < 300 {
            let prot = if made % 2 == 0 { RW } else { libc::PROT_READ };
            // SAFETY: a new mapping.
            if unsafe { libc::mmap(core::ptr::null_mut(), PAGE, prot, ANON, -1, 0) as i64 } == -1 {
                eq!(errno(), libc::ENOMEM);
                break;
            }
            made += 1;
        }
        ck!((100..200).contains(&made), "{made} mappings");
        Ok(())
    });
    set_file(FILE, before.trim())?;
    outcome
}

fn absent() -> Outcome {
    let at = map(PAGE)?;
    // mseal came later.
    fails!(libc::syscall(462, at, PAGE, 0), libc::ENOSYS);
    Ok(())
}
