// SPDX-License-Identifier: GPL-2.0
//! System V shared memory: identifiers, permissions, mappings. (Semaphores and queues: `sysvsem.rs`, `sysvmsg.rs`.)

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("sysv.keys", keys),
    ("sysv.identifiers", identifiers),
    ("sysv.permissions", permissions),
    ("sysv.shm_shares", shm_shares),
    ("sysv.shm_counts_mappings", shm_counts),
    ("sysv.shm_removed_when_unused", shm_removed),
    ("sysv.shm_read_only", shm_read_only),
    ("sysv.shm_places", shm_places),
    ("sysv.shm_detach_parts", shm_parts),
    ("sysv.shm_control", shm_control),
    ("sysv.shm_lock", shm_lock),
    ("sysv.shm_exec", shm_exec),
    ("sysv.proc_files", proc_files),
    ("sysv.limits", limits),
];

pub const RMID: i32 = 0;
pub const SET: i32 = 1;
pub const STAT: i32 = 2;
pub const INFO: i32 = 3;
pub const CREAT: i32 = 0o1000;
pub const EXCL: i32 = 0o2000;
pub const NOWAIT: i32 = 0o4000;
const SHM_RDONLY: i32 = 0o10000;
const SHM_RND: i32 = 0o20000;
const SHM_REMAP: i32 = 0o40000;
const SHM_EXEC: i32 = 0o100000;
const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
const PAGE: usize = 4096;

/// `struct shmid64_ds` and its kin in words of eight bytes (they begin with `struct ipc64_perm`).
pub type Ds = [u64; 16];

/// Word `n` of four bytes.
pub fn half(ds: &Ds, n: usize) -> u32 {
    (if n % 2 == 0 { ds[n / 2] } else { ds[n / 2] >> 32 }) as u32
}

/// Sets word `n` of four bytes.
pub fn set_half(ds: &mut Ds, n: usize, value: u32) {
    let shift = 32 * (n % 2);
    ds[n / 2] = ds[n / 2] & !(0xffff_ffff << shift) | u64::from(value) << shift;
}

pub fn shmget(key: i32, size: usize, flags: i32) -> i64 {
    // SAFETY: numbers.
    unsafe { libc::syscall(libc::SYS_shmget, key, size, flags) }
}

pub fn shmat(id: i64, at: usize, flags: i32) -> i64 {
    // SAFETY: the tests map over nothing but mappings of their own.
    unsafe { libc::syscall(libc::SYS_shmat, id, at, flags) }
}

pub fn shmdt(at: usize) -> i64 {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_shmdt, at) }
}

pub fn shmctl(id: i64, command: i32, ds: &mut Ds) -> i64 {
    // SAFETY: a live structure, larger than any of the call's.
    unsafe { libc::syscall(libc::SYS_shmctl, id, command, ds.as_mut_ptr()) }
}

fn remove(id: i64) {
    shmctl(id, RMID, &mut [0; 16]);
}

fn stat(id: i64) -> Result<Ds, String> {
    let mut ds = [0; 16];
    c!(shmctl(id, STAT, &mut ds));
    Ok(ds)
}

fn attached(id: i64) -> Result<u64, String> {
    Ok(stat(id)?[11])
}

/// A key nobody else uses.
pub fn fresh_key() -> i32 {
    std::process::id() as i32 ^ 0x5a5a_0000
}

/// Runs `body` in a child that is user and group 1000.
pub fn as_user(body: impl FnOnce() -> Outcome) -> Outcome {
    in_child(|| {
        c!(libc::setgroups(0, core::ptr::null()));
        c!(libc::setresgid(1000, 1000, 1000));
        c!(libc::setresuid(1000, 1000, 1000));
        body()
    })
}

fn keys() -> Outcome {
    let key = fresh_key();
    fails!(shmget(key, PAGE, 0o600), libc::ENOENT);
    let id = c!(shmget(key, PAGE, CREAT | EXCL | 0o600));
    fails!(shmget(key, PAGE, CREAT | EXCL | 0o600), libc::EEXIST);
    eq!(c!(shmget(key, 0, 0)), id);
    eq!(c!(shmget(key, PAGE, CREAT)), id);
    fails!(shmget(key, PAGE + 1, 0), libc::EINVAL); // larger than it is
    let (a, b) = (c!(shmget(0, PAGE, 0o600)), c!(shmget(0, PAGE, 0o600)));
    ck!(a != b && a != id);
    for id in [id, a, b] {
        c!(shmctl(id, RMID, &mut [0; 16]));
    }
    fails!(shmget(key, PAGE, 0), libc::ENOENT);
    fails!(shmget(0, 0, CREAT | 0o600), libc::EINVAL);
    Ok(())
}

fn identifiers() -> Outcome {
    fails!(shmctl(-1, STAT, &mut [0; 16]), libc::EINVAL);
    fails!(shmctl(-1, INFO, &mut [0; 16]), libc::EINVAL);
    fails!(shmctl(0x7fff_0000, STAT, &mut [0; 16]), libc::EINVAL);
    let id = c!(shmget(0, PAGE, 0o600));
    fails!(shmctl(id + 0x8000, STAT, &mut [0; 16]), libc::EINVAL); // another sequence number
    fails!(shmctl(id, 99, &mut [0; 16]), libc::EINVAL);
    remove(id);
    fails!(shmctl(id, STAT, &mut [0; 16]), libc::EINVAL);
    // Indices go round before one is used again, and then the identifier is another.
    let mut seen = vec![id];
    for _ in 0..200 {
        let id = c!(shmget(0, PAGE, 0o600));
        ck!(!seen.contains(&id), "{id} was given out twice");
        seen.push(id);
        remove(id);
    }
    Ok(())
}

fn permissions() -> Outcome {
    let id = c!(shmget(0, PAGE, 0o640));
    let key = fresh_key();
    let other = c!(shmget(key, PAGE, CREAT | 0o604));
    as_user(|| {
        fails!(shmctl(id, STAT, &mut [0; 16]), libc::EACCES);
        fails!(shmat(id, 0, SHM_RDONLY), libc::EACCES);
        fails!(shmctl(id, RMID, &mut [0; 16]), libc::EPERM);
        fails!(shmctl(id, SET, &mut [0; 16]), libc::EPERM);
        fails!(shmctl(id, SHM_LOCK, &mut [0; 16]), libc::EPERM);
        c!(shmctl(other, STAT, &mut [0; 16]));
        c!(shmat(other, 0, SHM_RDONLY));
        fails!(shmat(other, 0, 0), libc::EACCES);
        fails!(shmget(key, 0, 0o200), libc::EACCES);
        eq!(c!(shmget(key, 0, 0o400)), other);
        Ok(())
    })?;
    // IPC_SET gives it away; the maker keeps his rights.
    let mut ds = stat(id)?;
    eq!((half(&ds, 1), half(&ds, 2), half(&ds, 3), half(&ds, 5)), (0, 0, 0, 0o640));
    set_half(&mut ds, 1, 1000);
    set_half(&mut ds, 5, 0o7600);
    c!(shmctl(id, SET, &mut ds));
    let ds = stat(id)?;
    eq!((half(&ds, 1), half(&ds, 3), half(&ds, 5)), (1000, 0, 0o600));
    as_user(|| {
        c!(shmat(id, 0, 0));
        c!(shmctl(id, RMID, &mut [0; 16]));
        Ok(())
    })?;
    remove(other);
    Ok(())
}

fn shm_shares() -> Outcome {
    let id = c!(shmget(0, 2 * PAGE + 5, 0o600));
    let a = c!(shmat(id, 0, 0)) as *mut u32;
    let b = c!(shmat(id, 0, 0)) as *mut u32;
    ck!(a != b);
    // SAFETY: both are mappings of three pages.
    unsafe {
        eq!(*a.add(2100), 0);
        *a = 7;
        eq!(*b, 7);
        let pid = child(|| {
            *b.add(2100) = 9;
            0
        })?;
        eq!(exit_of(pid)?, 0);
        eq!(*a.add(2100), 9);
    }
    let maps = text("/proc/self/maps")?;
    let lines: Vec<&str> = maps.lines().filter(|l| l.ends_with("/SYSV00000000 (deleted)")).collect();
    eq!(lines.len(), 2);
    ck!(lines.iter().all(|l| l.contains(" rw-s 00000000 00:01 ")), "{lines:?}");
    ck!(lines.iter().all(|l| l.split_whitespace().nth(4) == Some(&id.to_string())), "{lines:?}, id {id}");
    remove(id);
    Ok(())
}

fn shm_counts() -> Outcome {
    let id = c!(shmget(0, 3 * PAGE, 0o600));
    let ds = stat(id)?;
    eq!((ds[6], ds[7], ds[8], ds[11]), (3 * PAGE as u64, 0, 0, 0));
    eq!((half(&ds, 20), half(&ds, 21)), (std::process::id(), 0));
    ck!(ds[9] > 1_000_000_000);
    let a = c!(shmat(id, 0, 0)) as usize;
    let b = c!(shmat(id, 0, SHM_RDONLY)) as usize;
    let ds = stat(id)?;
    eq!((ds[11], half(&ds, 21)), (2, std::process::id()));
    ck!(ds[7] > 1_000_000_000 && ds[8] == 0);
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(w);
        let _ = read(r, 1);
        0
    })?;
    eq!(attached(id)?, 4);
    close(w);
    eq!(exit_of(pid)?, 0);
    let ds = stat(id)?;
    eq!((ds[11], half(&ds, 21)), (2, pid as u32));
    ck!(ds[8] > 1_000_000_000);
    // Parts count too.
    c!(libc::mprotect((a + PAGE) as *mut _, PAGE, libc::PROT_READ));
    eq!(attached(id)?, 4);
    c!(libc::mprotect((a + PAGE) as *mut _, PAGE, libc::PROT_READ | libc::PROT_WRITE));
    c!(shmdt(b));
    let left = attached(id)?;
    ck!(left == 3 || left == 1, "{left} mappings");
    c!(shmdt(a));
    eq!(attached(id)?, 0);
    fails!(shmdt(a), libc::EINVAL);
    remove(id);
    Ok(())
}

fn shm_removed() -> Outcome {
    let key = fresh_key();
    let id = c!(shmget(key, PAGE, CREAT | 0o600));
    let a = c!(shmat(id, 0, 0)) as usize;
    c!(shmctl(id, RMID, &mut [0; 16]));
    // It lives on without a key, and can still be attached by its identifier.
    let ds = stat(id)?;
    eq!((half(&ds, 0), half(&ds, 5)), (0, 0o1600));
    fails!(shmget(key, PAGE, 0), libc::ENOENT);
    let b = c!(shmat(id, 0, 0)) as usize;
    // SAFETY: live mappings.
    unsafe {
        *(a as *mut u8) = 3;
        eq!(*(b as *const u8), 3);
    }
    c!(shmdt(a));
    c!(shmctl(id, RMID, &mut [0; 16]));
    c!(shmdt(b));
    fails!(shmctl(id, STAT, &mut [0; 16]), libc::EINVAL);
    // The end of the last process is enough.
    let id = c!(shmget(0, PAGE, 0o600));
    let pid = child(|| i32::from(shmat(id, 0, 0) == -1 || shmctl(id, RMID, &mut [0; 16]) == -1))?;
    eq!(exit_of(pid)?, 0);
    fails!(shmctl(id, STAT, &mut [0; 16]), libc::EINVAL);
    Ok(())
}

fn shm_read_only() -> Outcome {
    let id = c!(shmget(0, PAGE, 0o600));
    let a = c!(shmat(id, 0, SHM_RDONLY)) as usize;
    fails!(libc::mprotect(a as *mut _, PAGE, libc::PROT_READ | libc::PROT_WRITE), libc::EACCES);
    let pid = child(|| {
        // SAFETY: the fault is what the test wants.
        unsafe { (a as *mut u8).write_volatile(1) };
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    c!(shmdt(a));
    remove(id);
    Ok(())
}

fn shm_places() -> Outcome {
    let id = c!(shmget(0, PAGE, 0o600));
    // SAFETY: an anonymous mapping of the test's own.
    let hole = c!(libc::mmap(
        core::ptr::null_mut(),
        4 * PAGE,
        libc::PROT_READ,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        -1,
        0
    )) as usize;
    c!(libc::munmap((hole + PAGE) as *mut _, PAGE));
    fails!(shmat(id, hole, 0), libc::EINVAL); // in the way
    eq!(c!(shmat(id, hole + PAGE, 0)) as usize, hole + PAGE);
    fails!(shmat(id, hole + PAGE + 1, 0), libc::EINVAL);
    eq!(c!(shmat(id, hole + 2 * PAGE + 77, SHM_RND | SHM_REMAP)) as usize, hole + 2 * PAGE);
    fails!(shmat(id, 0, SHM_REMAP), libc::EINVAL);
    fails!(shmat(id, usize::MAX & !0xfff, 0), libc::EINVAL);
    fails!(shmdt(hole + PAGE + 1), libc::EINVAL);
    fails!(shmdt(hole), libc::EINVAL);
    eq!(attached(id)?, 2);
    remove(id);
    Ok(())
}

fn shm_parts() -> Outcome {
    let id = c!(shmget(0, 4 * PAGE, 0o600));
    let a = c!(shmat(id, 0, 0)) as usize;
    c!(libc::munmap((a + PAGE) as *mut _, PAGE));
    c!(libc::mprotect((a + 2 * PAGE) as *mut _, PAGE, libc::PROT_NONE));
    eq!(attached(id)?, 3);
    c!(shmdt(a));
    eq!(attached(id)?, 0);
    // Without its first page it is found by where that was.
    let a = c!(shmat(id, 0, 0)) as usize;
    c!(libc::munmap(a as *mut _, PAGE));
    fails!(shmdt(a + PAGE), libc::EINVAL);
    c!(shmdt(a));
    eq!(attached(id)?, 0);
    remove(id);
    Ok(())
}

fn shm_control() -> Outcome {
    let id = c!(shmget(0, 5 * PAGE, 0o600));
    let a = c!(shmat(id, 0, 0)) as *mut u8;
    // SAFETY: a live mapping of five pages.
    unsafe {
        *a = 1;
        *a.add(3 * PAGE) = 1;
    }
    let mut ds = [0; 16];
    let highest = c!(shmctl(0, SHM_INFO, &mut ds));
    ck!(half(&ds, 0) >= 1 && ds[1] >= 5 && ds[2] >= 2, "{ds:?}");
    eq!(c!(shmctl(0, INFO, &mut [0; 16])), highest);
    let found = (0..=highest).find(|index| shmctl(*index, SHM_STAT, &mut [0; 16]) == id);
    ck!(found.is_some(), "no index has {id}");
    let index = found.unwrap_or(0);
    eq!(index, id % 32768);
    as_user(|| {
        fails!(shmctl(index, SHM_STAT, &mut [0; 16]), libc::EACCES);
        eq!(c!(shmctl(index, SHM_STAT_ANY, &mut [0; 16])), id);
        Ok(())
    })?;
    remove(id);
    Ok(())
}

fn shm_lock() -> Outcome {
    let id = c!(shmget(0, PAGE, 0o600));
    c!(shmctl(id, SHM_LOCK, &mut [0; 16]));
    eq!(half(&stat(id)?, 5), 0o2600);
    c!(shmctl(id, SHM_UNLOCK, &mut [0; 16]));
    eq!(half(&stat(id)?, 5), 0o600);
    remove(id);
    Ok(())
}

fn shm_exec() -> Outcome {
    let id = c!(shmget(0, PAGE, 0o700));
    let a = c!(shmat(id, 0, SHM_EXEC)) as *mut u8;
    // SAFETY: `mov eax, 42; ret` in memory that may be executed.
    let value = unsafe {
        a.copy_from(b"\xb8\x2a\0\0\0\xc3".as_ptr(), 6);
        core::mem::transmute::<*mut u8, extern "C" fn() -> i32>(a)()
    };
    eq!(value, 42);
    remove(id);
    let id = c!(shmget(0, PAGE, 0o600));
    as_user(|| {
        fails!(shmat(id, 0, SHM_EXEC), libc::EACCES);
        Ok(())
    })?;
    remove(id);
    Ok(())
}

fn proc_files() -> Outcome {
    let id = c!(shmget(fresh_key(), 1234, CREAT | 0o642));
    c!(shmat(id, 0, 0));
    let shm = text("/proc/sysvipc/shm")?;
    let mut lines = shm.lines();
    eq!(
        lines.next(),
        Some(
            "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      \
             dtime      ctime                   rss                  swap"
        )
    );
    let id_text = id.to_string();
    let line = lines.find(|l| l.split_whitespace().nth(1) == Some(&id_text)).unwrap_or("");
    let fields: Vec<&str> = line.split_whitespace().collect();
    let pid = std::process::id().to_string();
    ck!(fields.len() == 16, "{line:?}");
    eq!(fields[0], fresh_key().to_string());
    eq!(fields[2..7].to_vec(), vec!["642", "1234", pid.as_str(), pid.as_str(), "1"]);
    eq!(line.find("642"), Some(24));
    let head = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
    ck!(text("/proc/sysvipc/sem")?.starts_with(head));
    let head = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      \
                rtime      ctime\n";
    ck!(text("/proc/sysvipc/msg")?.starts_with(head));
    remove(id);
    Ok(())
}

fn limits() -> Outcome {
    let number = |name: &str| -> Result<u64, String> {
        text(&format!("/proc/sys/kernel/{name}"))?.trim().parse().map_err(|e| format!("{name}: {e}"))
    };
    let put = |name: &str, value: &str| {
        let path = format!("/proc/sys/kernel/{name}");
        std::fs::write(path, value).map_err(|e| format!("{name}: {e}"))
    };
    eq!((number("msgmax")?, number("msgmnb")?, number("msgmni")?), (8192, 16384, 32000));
    eq!(text("/proc/sys/kernel/sem")?, "32000\t1024000000\t500\t32000\n");
    eq!(number("shmmni")?, 4096);
    let mut ds = [0; 16];
    c!(shmctl(0, INFO, &mut ds));
    eq!((ds[0], ds[1], ds[2], ds[4]), (number("shmmax")?, 1, 4096, number("shmall")?));
    let max = number("shmmax")?.to_string();
    put("shmmax", "8192")?;
    let over = shmget(0, 8193, 0o600);
    let errno = errno();
    let fits = shmget(0, 8192, 0o600);
    put("shmmax", &max)?;
    eq!((over, errno), (-1, libc::EINVAL));
    ck!(fits != -1);
    remove(fits);
    ck!(put("shmmni", "40000").is_err());
    ck!(put("msgmax", "-1").is_err());
    Ok(())
}
