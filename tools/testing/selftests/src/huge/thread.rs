// SPDX-License-Identifier: GPL-2.0
//! `khugepaged`: what it puts together, what it leaves alone, and that nobody waits for it.

use super::*;

const KHUGEPAGED: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged";

fn file(name: &str) -> Result<u64, String> {
    text(&format!("{KHUGEPAGED}/{name}"))?.trim().parse().map_err(|e| format!("{name}: {e}"))
}

/// A setting that is another while it lives.
struct Set(&'static str, u64);

impl Set {
    fn new(name: &'static str, value: u64) -> Result<Self, String> {
        let before = file(name)?;
        std::fs::write(format!("{KHUGEPAGED}/{name}"), value.to_string()).map_err(|e| format!("{name}: {e}"))?;
        Ok(Self(name, before))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let _ = std::fs::write(format!("{KHUGEPAGED}/{}", self.0), self.1.to_string());
    }
}

/// While it lives the thread does nothing: what is in pieces stays so.
pub(super) struct Quiet {
    _sleep: Set,
}

impl Quiet {
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self { _sleep: Set::new("scan_sleep_millisecs", u32::MAX.into())? })
    }
}

/// The thread at full speed, for who asks. What was changed last is undone first.
fn busy() -> Result<([Set; 2], Asked), String> {
    let asked = Asked::new()?;
    let sets = [Set::new("pages_to_scan", 1 << 20)?, Set::new("scan_sleep_millisecs", 1)?];
    Ok((sets, asked))
}

/// A mapping of 2 MB, single pages of which every `step`th is there, with a number.
fn pieces(step: usize) -> Result<usize, String> {
    let at = map(1)?;
    advise(at, HUGE, libc::MADV_NOHUGEPAGE)?;
    for page in (0..PAGES).step_by(step) {
        poke(at + page * PAGE, value(page));
        poke(at + page * PAGE + PAGE - 1, value(page));
    }
    advise(at, HUGE, libc::MADV_HUGEPAGE)?;
    Ok(at)
}

/// Waits until the thread has gone round twice from now on: all that is there now was looked at.
fn two_rounds() -> Outcome {
    let before = file("full_scans")?;
    until("khugepaged goes round", || file("full_scans").is_ok_and(|now| now >= before + 2))
}

fn whole(at: usize) -> bool {
    huge_kib(at) == Ok(2048)
}

pub(super) fn files() -> Outcome {
    let _asked = Asked::new()?;
    let fails_with = |name: &str, value: &str, error: i32| -> Outcome {
        let fd = open(&format!("{KHUGEPAGED}/{name}"), libc::O_WRONLY)?;
        fails!(libc::write(fd, value.as_ptr().cast(), value.len()), error);
        close(fd);
        Ok(())
    };
    for (name, value) in [("max_ptes_none", 511), ("max_ptes_swap", 64), ("max_ptes_shared", 256), ("defrag", 1)] {
        eq!((name, file(name)?), (name, value));
    }
    eq!((file("pages_to_scan")?, file("alloc_sleep_millisecs")?), (4096, 60000));
    for name in ["max_ptes_none", "max_ptes_swap", "max_ptes_shared"] {
        fails_with(name, "512", libc::EINVAL)?;
        fails_with(name, "many", libc::EINVAL)?;
    }
    fails_with("pages_to_scan", "0", libc::EINVAL)?;
    fails_with("scan_sleep_millisecs", "4294967296", libc::EINVAL)?;
    fails_with("defrag", "2", libc::EINVAL)?;
    {
        let _none = Set::new("max_ptes_none", 7)?;
        eq!(file("max_ptes_none")?, 7);
    }
    eq!(file("max_ptes_none")?, 511);
    let fd = open(&format!("{DIR}/defrag"), libc::O_RDWR)?;
    eq!(text(&format!("{DIR}/defrag"))?, "always defer defer+madvise [madvise] never\n");
    fails!(libc::write(fd, b"later".as_ptr().cast(), 5), libc::EINVAL);
    eq!(write(fd, b"defer+madvise\n")?, 14);
    eq!(text(&format!("{DIR}/defrag"))?, "always defer [defer+madvise] madvise never\n");
    eq!(write(fd, b"madvise")?, 7);
    close(fd);
    Ok(())
}

/// The numbers of processes with this name.
fn named(name: &str) -> usize {
    let Ok(all) = std::fs::read_dir("/proc") else { return 0 };
    let comms = all.flatten().filter_map(|entry| text(&format!("{}/comm", entry.path().display())).ok());
    comms.filter(|comm| comm.trim() == name).count()
}

pub(super) fn comes_and_goes() -> Outcome {
    let _asked = Asked::new()?;
    for _ in 0..20 {
        choose("never")?;
        choose("madvise")?;
    }
    until("there is one khugepaged", || named("khugepaged") == 1)?;
    choose("never")?;
    until("there is none", || named("khugepaged") == 0)?;
    choose("always")?;
    until("there is one again", || named("khugepaged") == 1)
}

pub(super) fn collapses() -> Outcome {
    let _busy = busy()?;
    let (before, made) = (file("pages_collapsed")?, vmstat("thp_collapse_alloc")?);
    let at = pieces(3)?;
    until("it is one piece", || whole(at))?;
    until("it is counted", || {
        file("pages_collapsed").is_ok_and(|now| now > before)
            && vmstat("thp_collapse_alloc").is_ok_and(|now| now > made)
    })?;
    eq!(rss_kib(at)?, 2048);
    ck!((0..PAGES).all(|page| peek(at + page * PAGE) == if page % 3 == 0 { value(page) } else { 0 }));
    // Taken apart, and found again.
    protect(at + 9 * PAGE, PAGE, libc::PROT_READ)?;
    protect(at + 9 * PAGE, PAGE, RW)?;
    until("it is one piece again", || whole(at))?;
    ck!((0..PAGES).all(|page| peek(at + page * PAGE) == if page % 3 == 0 { value(page) } else { 0 }));
    // A child has its own of what the parent has in one piece.
    let at = pieces(2)?;
    let (r, w) = pipe()?;
    let pid = child(|| {
        let _ = read(r, 1);
        i32::from(!(0..PAGES).step_by(2).all(|page| peek(at + page * PAGE) == value(page)))
    })?;
    until("the parent's is", || {
        poke(at + PAGE, 1);
        whole(at)
    })?;
    fill(at, 1);
    write(w, b"x")?;
    eq!(exit_of(pid)?, 0);
    ck!(intact(at, 0..PAGES));
    Ok(())
}

pub(super) fn leaves_alone() -> Outcome {
    let _busy = busy()?;
    {
        let _few = Set::new("max_ptes_none", 100)?;
        let before = vmstat("thp_scan_exceed_none_pte")?;
        let at = pieces(2)?;
        two_rounds()?;
        eq!((huge_kib(at)?, rss_kib(at)?), (0, 1024));
        ck!(vmstat("thp_scan_exceed_none_pte")? > before);
        unmap(at, HUGE)?;
    }
    // Who asks for none, and who may not write.
    in_child(|| {
        let at = pieces(1)?;
        c!(libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0));
        protect(at + PAGE, PAGE, libc::PROT_READ)?;
        protect(at + PAGE, PAGE, RW)?;
        sleep_ms(200);
        eq!(huge_kib(at)?, 0);
        Ok(())
    })?;
    let at = pieces(1)?;
    until("it is one piece", || whole(at))?;
    protect(at + PAGE, PAGE, libc::PROT_READ)?;
    advise(at, HUGE, libc::MADV_NOHUGEPAGE)?;
    two_rounds_beside()?;
    eq!(huge_kib(at)?, 0);
    ck!(intact(at, 0..PAGES));
    Ok(())
}

/// [`two_rounds`] where nothing of the caller's is of interest to the thread.
fn two_rounds_beside() -> Outcome {
    let other = pieces(256)?;
    two_rounds()?;
    unmap(other, HUGE)
}

/// Threads count in pages that are put together and taken apart all the time: no count is lost.
pub(super) fn beside_threads() -> Outcome {
    let _busy = busy()?;
    let at = pieces(1)?;
    until("it is one piece", || whole(at))?;
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let count = |page: usize| {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let word = (at + page * PAGE + 64) as *mut u64;
            let mut n = 0u64;
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: nobody else writes this word, and its page stays mapped.
                unsafe {
                    if word.read_volatile() != n {
                        return None;
                    }
                    n += 1;
                    word.write_volatile(n);
                }
            }
            Some(n)
        })
    };
    let threads = [(100, count(100)), (300, count(300))];
    let (before, end) = (file("pages_collapsed")?, now_ms() + 3000);
    let mut rounds = 0;
    // With one CPU the thread, which gives way to all others, may need longer.
    while now_ms() < end || file("pages_collapsed")? == before && now_ms() < end + 9000 {
        match rounds % 4 {
            0 => {
                protect(at + 200 * PAGE, PAGE, libc::PROT_READ)?;
                protect(at + 200 * PAGE, PAGE, RW)?;
            }
            1 => advise(at + 150 * PAGE, PAGE, libc::MADV_DONTNEED)?,
            2 => eq!(exit_of(child(|| i32::from(!intact(at, 301..400)))?)?, 0),
            _ => {
                let _ = text("/proc/self/smaps");
            }
        }
        rounds += 1;
        sleep_ms(if now_ms() < end { 5 } else { 200 });
    }
    stop.store(true, Ordering::Relaxed);
    for (page, thread) in threads {
        let n = thread.join().map_err(|_| "panic")?.ok_or("a count was lost")?;
        // SAFETY: in the mapping.
        eq!(unsafe { ((at + page * PAGE + 64) as *const u64).read_volatile() }, n);
    }
    ck!(file("pages_collapsed")? > before, "nothing was put together");
    ck!(intact(at, 301..PAGES));
    Ok(())
}

/// Processes come and go while the thread is at them; what they leave is free at once.
pub(super) fn ends() -> Outcome {
    let _busy = busy()?;
    let dir = dir()?;
    let place = format!("{dir}/mnt");
    std::fs::create_dir(&place).map_err(|e| e.to_string())?;
    for round in 0..30 {
        c!(libc::mount(cstr("none").as_ptr(), cstr(&place).as_ptr(), cstr("tmpfs").as_ptr(), 0, core::ptr::null()));
        let begun = now_ms();
        let pid = child(|| {
            let name = format!("{place}/file");
            if std::fs::write(&name, [1u8; PAGE]).is_err() {
                return 1;
            }
            let Ok(fd) = open(&name, libc::O_RDWR) else { return 2 };
            // SAFETY: an ordinary mapping, which is never used.
            let mapped = unsafe { libc::mmap(core::ptr::null_mut(), PAGE, RW, libc::MAP_SHARED, fd, 0) };
            let Ok(at) = pieces(1) else { return 3 };
            sleep_ms(round % 4);
            i32::from(mapped == libc::MAP_FAILED || !intact(at, 0..PAGES))
        })?;
        eq!(exit_of(pid)?, 0);
        // Nobody but the process had its file.
        c!(libc::umount2(cstr(&place).as_ptr(), 0));
        ck!(now_ms() - begun < 10_000, "round {round} took {} ms", now_ms() - begun);
    }
    Ok(())
}
