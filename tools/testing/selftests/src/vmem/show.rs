// SPDX-License-Identifier: GPL-2.0
//! Memory as /proc shows it.

use super::*;

/// The lines of the mapping that begins at `at` in /proc/self/smaps.
pub(crate) fn smaps_of(at: usize) -> Result<Vec<String>, String> {
    let text = text("/proc/self/smaps")?;
    let start = format!("{at:08x}-");
    let mut lines = text.lines().skip_while(|l| !l.starts_with(&start));
    let first = lines.next().ok_or("the mapping is not in smaps")?.to_string();
    let rest = lines.take_while(|l| l.starts_with(|c: char| c.is_ascii_uppercase())).map(String::from);
    Ok(std::iter::once(first).chain(rest).collect())
}

pub(crate) fn kib(lines: &[String], name: &str) -> Result<u64, String> {
    let line = lines.iter().find(|l| l.starts_with(name)).ok_or(format!("no line {name}"))?;
    line.split_whitespace().nth(1).and_then(|v| v.parse().ok()).ok_or(format!("{line}: no number"))
}

pub(super) fn smaps_lines() -> Outcome {
    let at = map_with(16 * PAGE, libc::PROT_READ, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
    let lines = smaps_of(at)?;
    let names: Vec<&str> = lines[1..].iter().map(|l| l.split(':').next().unwrap_or("")).collect();
    let wanted = [
        "Size",
        "KernelPageSize",
        "MMUPageSize",
        "Rss",
        "Pss",
        "Pss_Dirty",
        "Shared_Clean",
        "Shared_Dirty",
        "Private_Clean",
        "Private_Dirty",
        "Referenced",
        "Anonymous",
        "LazyFree",
        "AnonHugePages",
        "ShmemPmdMapped",
        "FilePmdMapped",
        "Shared_Hugetlb",
        "Private_Hugetlb",
        "Swap",
        "SwapPss",
        "Locked",
        "THPeligible",
    ];
    let shown: Vec<&str> = names.iter().copied().filter(|n| *n != "ProtectionKey" && *n != "VmFlags").collect();
    eq!(shown, wanted);
    eq!(lines[1], format!("Size:           {:>8} kB", 64));
    ck!(lines.last().is_some_and(|l| l.starts_with("VmFlags: rd sh mr mw me ms ")), "{:?}", lines.last());
    Ok(())
}

pub(super) fn smaps_counts() -> Outcome {
    let at = map(16 * PAGE)?;
    small(at, 16 * PAGE);
    for i in 0..4 {
        poke(at + i * PAGE, 1);
    }
    let lines = smaps_of(at)?;
    eq!(kib(&lines, "Rss:")?, 16);
    eq!(kib(&lines, "Pss:")?, 16);
    eq!(kib(&lines, "Pss_Dirty:")?, 16);
    eq!(kib(&lines, "Private_Dirty:")?, 16);
    eq!(kib(&lines, "Anonymous:")?, 16);
    eq!(kib(&lines, "Locked:")?, 0);
    // A child that shares the pages halves each one's part.
    let (r, w) = pipe()?;
    let pid = child(|| {
        let _ = read(r, 1);
        0
    })?;
    let lines = smaps_of(at)?;
    eq!(kib(&lines, "Rss:")?, 16);
    eq!(kib(&lines, "Pss:")?, 8);
    eq!(kib(&lines, "Shared_Dirty:")?, 16);
    write(w, b"x")?;
    eq!(exit_of(pid)?, 0);
    c!(libc::mlock(at as *const _, 4 * PAGE));
    let lines = smaps_of(at)?;
    eq!(kib(&lines, "Locked:")?, 16);
    ck!(lines.last().is_some_and(|l| l.contains(" lo ")));
    Ok(())
}

pub(super) fn rollup() -> Outcome {
    let all = text("/proc/self/smaps_rollup")?;
    let lines: Vec<&str> = all.lines().collect();
    ck!(lines[0].contains(" ---p 00000000 00:00 0 ") && lines[0].find("[rollup]") == Some(73), "{}", lines[0]);
    let names: Vec<&str> = lines[1..].iter().map(|l| l.split(':').next().unwrap_or("")).collect();
    eq!(names[..6], ["Rss", "Pss", "Pss_Dirty", "Pss_Anon", "Pss_File", "Pss_Shmem"]);
    eq!(names.last(), Some(&"Locked"));
    Ok(())
}

pub(super) const PRESENT: u64 = 1 << 63;
const FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;

pub(crate) fn words(at: usize, pages: usize) -> Result<Vec<u64>, String> {
    let fd = open("/proc/self/pagemap", libc::O_RDONLY)?;
    let mut out = vec![0u64; pages];
    let got = c!(libc::pread(fd, out.as_mut_ptr().cast(), pages * 8, (at / PAGE * 8) as i64));
    close(fd);
    eq!(got as usize, pages * 8);
    Ok(out)
}

pub(super) fn pagemap() -> Outcome {
    let at = map(4 * PAGE)?;
    small(at, 4 * PAGE);
    poke(at + PAGE, 1);
    let shown = words(at, 4)?;
    eq!(shown[0] & PRESENT, 0);
    eq!(shown[1] & (PRESENT | FILE | EXCLUSIVE), PRESENT | EXCLUSIVE);
    ck!(shown[1] & ((1 << 55) - 1) != 0, "root sees no frame number");
    eq!(shown[2], shown[0]);
    let shared = map_with(PAGE, RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?;
    poke(shared, 1);
    eq!(words(shared, 1)?[0] & (PRESENT | FILE), PRESENT | FILE);
    let fd = open("/proc/self/pagemap", libc::O_RDONLY)?;
    let mut few = [0u8; 12];
    fails!(libc::pread(fd, few.as_mut_ptr().cast(), 12, 0), libc::EINVAL);
    fails!(libc::pread(fd, few.as_mut_ptr().cast(), 8, 4), libc::EINVAL);
    eq!(c!(libc::pread(fd, few.as_mut_ptr().cast(), 8, 1 << 50)), 0);
    Ok(())
}

pub(super) fn clear_refs() -> Outcome {
    let at = map(4 * PAGE)?;
    small(at, 4 * PAGE);
    for i in 0..4 {
        poke(at + i * PAGE, 1);
    }
    eq!(kib(&smaps_of(at)?, "Referenced:")?, 16);
    let fd = open("/proc/self/clear_refs", libc::O_WRONLY)?;
    eq!(write(fd, b"1")?, 1);
    eq!(kib(&smaps_of(at)?, "Referenced:")?, 0);
    poke(at, 2);
    eq!(kib(&smaps_of(at)?, "Referenced:")?, 4);
    fails!(libc::write(fd, b"9".as_ptr().cast(), 1), libc::EINVAL);
    fails!(libc::write(fd, b"x".as_ptr().cast(), 1), libc::EINVAL);
    Ok(())
}

/// Which pages of 8 at `at` were written, by `pagemap`.
fn written(at: usize) -> Result<Vec<bool>, String> {
    let fd = open("/proc/self/pagemap", libc::O_RDONLY)?;
    let mut words = [0u64; 8];
    eq!(c!(libc::pread(fd, words.as_mut_ptr().cast(), 64, (at / PAGE * 8) as i64)), 64);
    close(fd);
    Ok(words.iter().map(|word| word & 1 << 55 != 0).collect())
}

pub(super) fn soft_dirty() -> Outcome {
    in_child(|| {
        let file = c!(libc::memfd_create(c"watched".as_ptr(), 0));
        c!(libc::ftruncate(file, 8 * PAGE as i64));
        let shared = c!(libc::mmap(core::ptr::null_mut(), 8 * PAGE, RW, libc::MAP_SHARED, file, 0) as i64) as usize;
        let private = map(8 * PAGE)?;
        small(private, 8 * PAGE);
        let clear = || std::fs::write("/proc/self/clear_refs", "4").map_err(|e| e.to_string());
        for at in [private, shared] {
            // As long as nobody asked, all was written.
            eq!(written(at)?, [true; 8]);
            poke(at, 1);
            poke(at + 3 * PAGE, 1);
        }
        clear()?;
        for at in [private, shared] {
            eq!(written(at)?, [false; 8]);
            // Looking is no writing, neither where a page is nor where none is.
            eq!((peek(at), peek(at + PAGE)), (1, 0));
            eq!(written(at)?, [false; 8]);
            poke(at, 2);
            poke(at + 5 * PAGE, 2);
            let now = [true, false, false, false, false, true, false, false];
            eq!(written(at)?, now);
            // Other rights change nothing of it.
            // SAFETY: the test's own mapping.
            c!(libc::mprotect(at as *mut _, 8 * PAGE, libc::PROT_READ));
            eq!(written(at)?, now);
            c!(libc::mprotect(at as *mut _, 8 * PAGE, RW));
            eq!(written(at)?, now);
            poke(at + PAGE, 3);
            eq!(written(at)?[..3], [true, true, false]);
            eq!((peek(at), peek(at + PAGE), peek(at + 3 * PAGE), peek(at + 5 * PAGE)), (2, 3, 1, 2));
        }
        ck!(!smaps_of(private)?.last().is_some_and(|l| l.contains(" sd")));
        clear()?;
        eq!(written(private)?, [false; 8]);
        let new = map(8 * PAGE)?;
        eq!(written(new)?, [true; 8]);
        Ok(())
    })
}

pub(crate) fn status_of(name: &str) -> Result<u64, String> {
    let lines: Vec<String> = text("/proc/self/status")?.lines().map(String::from).collect();
    kib(&lines, name)
}

pub(super) fn status() -> Outcome {
    let before = (status_of("VmSize:")?, status_of("VmData:")?, status_of("RssAnon:")?);
    let at = map(256 * PAGE)?;
    small(at, 256 * PAGE);
    for i in 0..256 {
        poke(at + i * PAGE, 1);
    }
    eq!(status_of("VmSize:")? - before.0, 1024);
    eq!(status_of("VmData:")? - before.1, 1024);
    // Linux counts in batches for each thread.
    let rss = status_of("RssAnon:")? - before.2;
    ck!((768..=1280).contains(&rss), "RssAnon grew by {rss} kB");
    c!(libc::mlock(at as *const _, 256 * PAGE));
    eq!(status_of("VmLck:")?, 1024);
    c!(libc::munmap(at as *mut _, 256 * PAGE));
    eq!(status_of("VmLck:")?, 0);
    eq!(status_of("VmSize:")?, before.0);
    Ok(())
}

pub(super) fn zones() -> Outcome {
    let info = text("/proc/zoneinfo")?;
    let found: Vec<&str> =
        info.lines().filter(|l| l.starts_with("Node 0, zone")).filter_map(|l| l.split_whitespace().last()).collect();
    eq!(found[..2], ["DMA", "DMA32"]);
    ck!(info.contains("  pages free     ") && info.contains("        managed  ") && info.contains("    cpu: 0\n"));
    let buddy = text("/proc/buddyinfo")?;
    ck!(buddy.lines().all(|l| l.starts_with("Node 0, zone ") && l.split_whitespace().count() == 15), "{buddy}");
    let types = text("/proc/pagetypeinfo")?;
    ck!(types.starts_with("Page block order: 9\nPages per block:  512\n\nFree pages count per migrate type at order "));
    for kind in ["Unmovable", "Movable", "Reclaimable"] {
        let rows =
            |zone: &str| types.lines().filter(|l| l.contains(&format!("zone {zone:>8}, type {kind:>12} "))).count();
        ck!(rows("DMA") == 1 && rows("DMA32") == 1, "{types}");
    }
    // The kernel's pages lie in blocks of their own.
    let blocks = types.lines().skip_while(|l| !l.starts_with("Number of blocks type")).collect::<Vec<_>>();
    let column = blocks.first().and_then(|l| l.split_whitespace().skip(4).position(|kind| kind == "Unmovable"));
    let dma32 = blocks.iter().find(|l| l.starts_with("Node 0, zone    DMA32")).map(|l| l.split_whitespace().skip(4));
    let count = column.and_then(|column| dma32?.nth(column)?.parse::<u64>().ok());
    ck!(count.is_some_and(|count| count > 0), "{types}");
    Ok(())
}
