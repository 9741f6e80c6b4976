// SPDX-License-Identifier: GPL-2.0
//! Core files.

use super::*;

/// A child in `dir` with a limit for core files, which runs `body`; its status.
fn crash(dir: &str, limit: u64, body: impl FnOnce()) -> Result<i32, String> {
    let dir = cstr(dir);
    let pid = child(|| {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: live objects.
        unsafe {
            libc::chdir(dir.as_ptr());
            libc::setrlimit(libc::RLIMIT_CORE, &limit);
        }
        body();
        0
    })?;
    wait(pid)
}

fn abort() {
    // SAFETY: ends the process.
    unsafe { libc::abort() };
}

/// The notes of a core file: (kind, size of the data).
fn notes(core: &[u8]) -> Vec<(u32, usize)> {
    let word = |at: usize| core.get(at..at + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
    let half = |at: usize| word(at) as u32;
    let (mut at, end) = (word(64 + 8) as usize, (word(64 + 8) + word(64 + 32)) as usize);
    let mut found = Vec::new();
    while at + 12 <= end {
        let (name, size) = (half(at) as usize, half(at + 4) as usize);
        found.push((half(at + 8), size));
        at += 12 + name.next_multiple_of(4) + size.next_multiple_of(4);
    }
    found
}

pub(super) fn core_file() -> Outcome {
    let dir = dir()?;
    let status = crash(&dir, libc::RLIM_INFINITY, abort)?;
    ck!(
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT && status & 0x80 != 0,
        "status {status:#x}"
    );
    let path = format!("{dir}/core");
    let core = std::fs::read(&path).map_err(|e| e.to_string())?;
    eq!(core[..4], *b"\x7fELF");
    eq!((core[16], core[18]), (4, 62));
    let found = notes(&core);
    let sizes: Vec<(u32, usize)> = found.iter().copied().filter(|n| [1, 3, 0x5349_4749, 2].contains(&n.0)).collect();
    eq!(sizes, [(1, 336), (3, 136), (0x5349_4749, 128), (2, 512)]);
    ck!(found.iter().any(|n| n.0 == 6) && found.iter().any(|n| n.0 == 0x4649_4c45), "{found:?}");
    let meta = std::fs::metadata(&path).map_err(|e| e.to_string())?;
    use std::os::unix::fs::MetadataExt;
    eq!(meta.mode() & 0o777, 0o600);
    // A signal that has no core file in its action.
    let status = crash(&dir, libc::RLIM_INFINITY, || {
        // SAFETY: a signal to itself.
        unsafe { libc::raise(libc::SIGTERM) };
    })?;
    eq!(status, libc::SIGTERM);
    Ok(())
}

pub(super) fn core_of_threads() -> Outcome {
    let dir = dir()?;
    let status = crash(&dir, libc::RLIM_INFINITY, || {
        for _ in 0..3 {
            std::thread::spawn(|| sleep_ms(20_000));
        }
        sleep_ms(30);
        abort();
    })?;
    eq!(status, libc::SIGABRT | 0x80);
    let core = std::fs::read(format!("{dir}/core")).map_err(|e| e.to_string())?;
    eq!(notes(&core).iter().filter(|n| n.0 == 1).count(), 4);
    Ok(())
}

pub(super) fn core_limits() -> Outcome {
    let dir = dir()?;
    let path = format!("{dir}/core");
    for limit in [0, 4095] {
        eq!(crash(&dir, limit, abort)?, libc::SIGABRT);
        ck!(!std::path::Path::new(&path).exists());
    }
    // One who may not be looked into leaves nothing.
    let status = crash(&dir, libc::RLIM_INFINITY, || {
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        abort();
    })?;
    eq!(status, libc::SIGABRT);
    // What somebody else put there is left alone.
    std::fs::write(&path, b"mine").map_err(|e| e.to_string())?;
    let (from, to) = (cstr(&path), cstr(&format!("{dir}/link")));
    c!(libc::link(from.as_ptr(), to.as_ptr()));
    eq!(crash(&dir, libc::RLIM_INFINITY, abort)?, libc::SIGABRT);
    eq!(std::fs::read(&path).map_err(|e| e.to_string())?, b"mine");
    Ok(())
}

pub(super) fn core_pattern() -> Outcome {
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    let dir = dir()?;
    let old = text(PATTERN)?;
    std::fs::write(PATTERN, format!("{dir}/x-%e-%s-%u-%%")).map_err(|e| e.to_string())?;
    let result = crash("/", libc::RLIM_INFINITY, abort);
    std::fs::write(PATTERN, old.trim()).map_err(|e| e.to_string())?;
    eq!(result?, libc::SIGABRT | 0x80);
    let comm = text("/proc/self/comm")?;
    ck!(std::path::Path::new(&format!("{dir}/x-{}-6-0-%", comm.trim())).exists());
    let filter = text("/proc/self/coredump_filter")?;
    eq!(filter.trim(), "00000033");
    Ok(())
}
