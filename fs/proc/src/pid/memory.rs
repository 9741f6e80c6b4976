// SPDX-License-Identifier: GPL-2.0
//! `cmdline`, `environ`, `maps`, `smaps`, `smaps_rollup`, `pagemap`, `clear_refs` and `mem`. Locks: those of the address space, inside its functions.

use super::View;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVVec};
use mm::{Mm, SmapsInfo, VmFlags, VmaInfo};
use mm_alloc::layout::PAGE_SIZE;
use vfs::{File, FileOps, SeqBuf, fmode, seq_print};
use x86_mm::uaccess::IovIter;

/// Adds the bytes `start..end` of the address space, as far as they can be read. Returns how many.
fn copy(mm: &Mm, start: usize, end: usize, out: &mut SeqBuf) -> Result<usize> {
    let mut page = [0u8; 512];
    let mut at = start;
    while at < end {
        let part = page.get_mut(..(end - at).min(512)).ok_or(EFAULT)?;
        let wanted = part.len();
        let got = mm.read(at, part, true);
        out.put(part.get(..got).unwrap_or(b""))?;
        at += got;
        if got < wanted {
            break;
        }
    }
    Ok(at - start)
}

/// `cmdline`: the arguments, each ended by a NUL. A program that wrote over its arguments without a NUL at their end shows the
/// one text that it put there, into the environment's room if need be.
pub(super) fn cmdline(view: &View, out: &mut SeqBuf) -> Result {
    let Some(mm) = mm::mm_of(&view.task) else { return Ok(()) };
    let marks = mm.marks();
    if marks.arg_end <= marks.arg_start {
        return Ok(());
    }
    let mut last = [0u8];
    let untouched = mm.read(marks.arg_end - 1, &mut last, true) == 1 && last == [0];
    if untouched {
        copy(&mm, marks.arg_start, marks.arg_end, out)?;
        return Ok(());
    }
    let limit = if marks.env_start == marks.arg_end { marks.env_end } else { marks.arg_end };
    copy(&mm, marks.arg_start, limit.max(marks.arg_end).min(marks.arg_start + PAGE_SIZE), out)?;
    if let Some(end) = out.text().iter().position(|&byte| byte == 0) {
        out.truncate(end);
    }
    Ok(())
}

/// The pinned address space, as long as it is the task's: what a task has left by `execve` or its end shows nothing.
fn in_use(view: &View) -> Option<&Arc<Mm>> {
    let mm = view.mm.as_ref()?;
    mm::mm_of(&view.task).filter(|now| Arc::ptr_eq(now, mm)).map(|_| mm)
}

/// `environ`, of the pinned address space.
pub(super) fn environ(view: &View, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    if let Some(mm) = in_use(view) {
        let marks = mm.marks();
        copy(mm, marks.env_start, marks.env_end, out)?;
    }
    Ok(None)
}

/// `auxv`: what the program was told at its start, up to and with `AT_NULL`.
pub(super) fn auxv(view: &View, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    if let Some(words) = view.thread()?.process().auxv() {
        for word in words.iter() {
            out.put(&word.to_le_bytes())?;
        }
    }
    Ok(None)
}

/// Column of the name in `maps`.
const NAME_COLUMN: usize = 73;

/// One line of `maps`.
fn map_line(area: &VmaInfo, out: &mut SeqBuf) -> Result {
    let start = out.len();
    let bit = |flag: VmFlags, letter: char| if area.flags.any(flag) { letter } else { '-' };
    let shared = if area.flags.any(VmFlags::MAYSHARE) { 's' } else { 'p' };
    let (dev, ino) = area.file.as_ref().map_or((0, 0), |file| file.id());
    let dev = vfs::Dev::decode(dev as u32);
    seq_print!(
        out,
        "{:08x}-{:08x} {}{}{}{shared} {:08x} {:02x}:{:02x} {ino} ",
        area.start,
        area.end,
        bit(VmFlags::READ, 'r'),
        bit(VmFlags::WRITE, 'w'),
        bit(VmFlags::EXEC, 'x'),
        area.offset,
        dev.major(),
        dev.minor(),
    )?;
    if area.file.is_some() || area.name.is_some() {
        while out.len() - start < NAME_COLUMN {
            out.byte(b' ')?;
        }
    }
    match (&area.file, area.name) {
        (Some(file), _) => file.show_path(out).map_err(|_| ENOMEM)?,
        (None, Some(name)) => out.put(name.as_bytes())?,
        (None, None) => {}
    }
    out.byte(b'\n')
}

/// The mapping at or after the cursor, and the cursor behind it.
fn area_at(view: &View, at: u64) -> Option<(VmaInfo, u64)> {
    let area = in_use(view)?.vma_after(usize::try_from(at).ok()?)?;
    let next = area.end as u64;
    Some((area, next))
}

/// The vsyscall page, in every address space though in none's list: its address and its end.
const VSYSCALL: (usize, usize) = (0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000);

/// `maps`.
pub(super) fn maps(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    let (start, end) = VSYSCALL;
    let gate =
        VmaInfo { start, end, flags: VmFlags::EXEC, offset: 0, file: None, name: Some("[vsyscall]"), huge: false };
    let gate = (process::vsyscall::is_enabled() && view.mm.is_some() && at < end as u64).then_some((gate, end as u64));
    let Some((area, next)) = area_at(view, at).or(gate) else { return Ok(None) };
    map_line(&area, out)?;
    Ok(Some(next))
}

/// Names of the flags in `VmFlags`, in the order of their bits.
const FLAG_NAMES: [(VmFlags, &str); 24] = [
    (VmFlags::READ, "rd"),
    (VmFlags::WRITE, "wr"),
    (VmFlags::EXEC, "ex"),
    (VmFlags::SHARED, "sh"),
    (VmFlags::MAYREAD, "mr"),
    (VmFlags::MAYWRITE, "mw"),
    (VmFlags::MAYEXEC, "me"),
    (VmFlags::MAYSHARE, "ms"),
    (VmFlags::GROWSDOWN, "gd"),
    (VmFlags::PFNMAP, "pf"),
    (VmFlags::LOCKED, "lo"),
    (VmFlags::IO, "io"),
    (VmFlags::SEQ_READ, "sr"),
    (VmFlags::RAND_READ, "rr"),
    (VmFlags::DONTCOPY, "dc"),
    (VmFlags::DONTEXPAND, "de"),
    (VmFlags::LOCKONFAULT, "lf"),
    (VmFlags::ACCOUNT, "ac"),
    (VmFlags::NORESERVE, "nr"),
    (VmFlags::WIPEONFORK, "wf"),
    (VmFlags::DONTDUMP, "dd"),
    (VmFlags::SOFTDIRTY, "sd"),
    (VmFlags::HUGEPAGE, "hg"),
    (VmFlags::NOHUGEPAGE, "nh"),
];

fn kib_line(out: &mut SeqBuf, label: &str, bytes: u64) -> Result {
    seq_print!(out, "{label:<16}{:>8} kB\n", bytes / 1024)
}

/// The figures, for one mapping or, with `rollup`, for all.
fn figures(info: &SmapsInfo, rollup: bool, out: &mut SeqBuf) -> Result {
    kib_line(out, "Rss:", info.rss)?;
    kib_line(out, "Pss:", info.pss())?;
    kib_line(out, "Pss_Dirty:", info.pss_dirty())?;
    if rollup {
        kib_line(out, "Pss_Anon:", info.pss_anon())?;
        kib_line(out, "Pss_File:", info.pss_file())?;
        kib_line(out, "Pss_Shmem:", info.pss_shmem())?;
    }
    let lines = [
        ("Shared_Clean:", info.shared_clean),
        ("Shared_Dirty:", info.shared_dirty),
        ("Private_Clean:", info.private_clean),
        ("Private_Dirty:", info.private_dirty),
        ("Referenced:", info.referenced),
        ("Anonymous:", info.anonymous),
        ("LazyFree:", info.lazy_free),
        ("AnonHugePages:", info.anon_huge),
        // What follows is not built in.
        ("ShmemPmdMapped:", 0),
        ("FilePmdMapped:", 0),
        ("Shared_Hugetlb:", 0),
        ("Private_Hugetlb:", 0),
        ("Swap:", info.swap),
        ("SwapPss:", info.swap_pss()),
        ("Locked:", info.locked()),
    ];
    lines.iter().try_for_each(|(label, bytes)| kib_line(out, label, *bytes))
}

/// `smaps`.
pub(super) fn smaps(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    let Some((area, next)) = area_at(view, at) else { return Ok(None) };
    let Some(mm) = &view.mm else { return Ok(None) };
    map_line(&area, out)?;
    let mut info = SmapsInfo::default();
    mm.smaps(area.start, area.end, &mut info);
    kib_line(out, "Size:", (area.end - area.start) as u64)?;
    kib_line(out, "KernelPageSize:", PAGE_SIZE as u64)?;
    kib_line(out, "MMUPageSize:", PAGE_SIZE as u64)?;
    figures(&info, false, out)?;
    seq_print!(out, "THPeligible:    {}\n", u8::from(area.huge))?;
    if x86_cpu::cpuid::features().pku {
        seq_print!(out, "ProtectionKey:  {:8}\n", area.flags.key())?;
    }
    seq_print!(out, "VmFlags: ")?;
    // What shared memory was promised is its object's, which the flag is kept for here alone.
    let flags = if area.flags.any(VmFlags::SHARED) { area.flags.without(VmFlags::ACCOUNT) } else { area.flags };
    for (_, name) in FLAG_NAMES.iter().filter(|(flag, _)| flags.any(*flag)) {
        seq_print!(out, "{name} ")?;
    }
    out.byte(b'\n')?;
    Ok(Some(next))
}

/// `smaps_rollup`.
pub(super) fn smaps_rollup(view: &View, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    let Some(mm) = &view.mm else { return Ok(None) };
    let (start, end) = mm.bounds().unwrap_or((0, 0));
    let line = out.len();
    seq_print!(out, "{start:08x}-{end:08x} ---p 00000000 00:00 0 ")?;
    while out.len() - line < NAME_COLUMN {
        out.byte(b' ')?;
    }
    out.put(b"[rollup]\n")?;
    let mut info = SmapsInfo::default();
    mm.smaps(start, end, &mut info);
    figures(&info, true, out)?;
    Ok(None)
}

/// A write to `clear_refs`: 1 all pages, 2 private memory, 3 files; 4 which pages were written (soft-dirty bits); 5 the peak of the
/// resident set.
pub(super) fn clear_refs(view: &View, data: &[u8]) -> Result<usize> {
    let kind = crate::sysctl::parse_number(data)?;
    if !(1..=5).contains(&kind) {
        return Err(EINVAL);
    }
    use super::access::{look_inside, may_access};
    if let Some(mm) = look_inside(&view.task, may_access, || mm::mm_of(&view.task))?.ok_or(EACCES)? {
        match kind {
            1..=3 => mm.clear_refs(kind != 3, kind != 2),
            4 => mm.clear_soft_dirty(),
            _ => mm.reset_max_rss(),
        }
    }
    Ok(data.len())
}

/// `pagemap`: a word a page. It stays the address space that was there at the opening.
struct PageMap {
    mm: Option<Arc<Mm>>,
    show_pfn: bool,
}

/// Opens `pagemap`; the caller has checked who asks.
pub(super) fn open_pagemap(mm: Option<Arc<Mm>>) -> Result<KBox<dyn FileOps>> {
    let show_pfn = cred::capable(cred::CAP_SYS_ADMIN);
    Ok(KBox::new(PageMap { mm, show_pfn }, GFP_KERNEL)?)
}

/// Words of one step.
const PAGEMAP_PART: usize = 512;

impl FileOps for PageMap {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let Some(mm) = &self.mm else { return Ok(0) };
        if *pos % 8 != 0 || to.count() % 8 != 0 {
            return Err(EINVAL);
        }
        let mut words = KVVec::from_elem(0u64, PAGEMAP_PART, GFP_KERNEL)?;
        let mut done = 0;
        while !to.is_empty() {
            let first = usize::try_from(*pos / 8).map_err(|_| EINVAL)?;
            let left = (mm_alloc::layout::TASK_SIZE / PAGE_SIZE).saturating_sub(first);
            let count = (to.count() / 8).min(PAGEMAP_PART).min(left);
            let part = words.get_mut(..count).unwrap_or(&mut []);
            if part.is_empty() {
                break;
            }
            mm.pagemap(first * PAGE_SIZE, part, self.show_pfn);
            for word in part {
                let copied = to.copy_to_iter(&word.to_ne_bytes());
                if copied < 8 {
                    return if done == 0 { Err(EFAULT) } else { Ok(done) };
                }
                done += copied;
                *pos += copied as i64;
            }
        }
        Ok(done)
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        let new = match whence {
            uapi::SEEK_SET => offset,
            uapi::SEEK_CUR => pos.checked_add(offset).ok_or(EINVAL)?,
            _ => return Err(EINVAL),
        };
        *pos = new;
        Ok(new)
    }
}

/// `mem`: the address space by address. It stays the one that was there at the opening.
struct Mem(Option<Arc<Mm>>);

/// Opens `mem`; the caller has checked who asks.
pub(super) fn open_mem(mm: Option<Arc<Mm>>) -> Result<KBox<dyn FileOps>> {
    Ok(KBox::new(Mem(mm), GFP_KERNEL)?)
}

impl Mem {
    fn buffer(len: usize) -> Result<KVVec<u8>> {
        Ok(KVVec::from_elem(0, len.min(PAGE_SIZE), GFP_KERNEL)?)
    }
}

impl FileOps for Mem {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let Some(mm) = &self.0 else { return Ok(0) };
        let mut buffer = Self::buffer(to.count())?;
        let mut done = 0;
        while !to.is_empty() {
            let at = usize::try_from(pos.cast_unsigned()).map_err(|_| EIO)?;
            let part = buffer.get_mut(..to.count().min(PAGE_SIZE)).ok_or(EIO)?;
            let got = mm.read(at, part, true);
            let copied = to.copy_to_iter(part.get(..got).unwrap_or(b""));
            *pos = pos.wrapping_add(copied as i64);
            done += copied;
            if copied < got && done == 0 {
                return Err(EFAULT);
            }
            if got == 0 || copied < got {
                break;
            }
        }
        if done == 0 { Err(EIO) } else { Ok(done) }
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let Some(mm) = &self.0 else { return Ok(0) };
        let mut buffer = Self::buffer(from.count())?;
        let mut done = 0;
        while !from.is_empty() {
            let at = usize::try_from(pos.cast_unsigned()).map_err(|_| EIO)?;
            let part = buffer.get_mut(..from.count().min(PAGE_SIZE)).ok_or(EIO)?;
            let got = from.copy_from_iter(part);
            if got == 0 {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            let put = mm.write(at, part.get(..got).unwrap_or(b""), true);
            *pos = pos.wrapping_add(put as i64);
            done += put;
            if put < got {
                break;
            }
        }
        if done == 0 { Err(EIO) } else { Ok(done) }
    }

    fn llseek(&self, _: &File, pos: &mut i64, offset: i64, whence: u32) -> Result<i64> {
        // Addresses above the middle are negative positions, so nothing is refused.
        *pos = match whence {
            uapi::SEEK_SET => offset,
            uapi::SEEK_CUR => pos.wrapping_add(offset),
            _ => return Err(EINVAL),
        };
        Ok(*pos)
    }
}

#[macros::kunit_tests(proc_pid_memory)]
mod tests {
    use super::*;

    #[test]
    fn map_lines() {
        let mut out = SeqBuf::new(200);
        let flags = VmFlags::READ.with(VmFlags::WRITE);
        let area = VmaInfo {
            start: 0x40_0000,
            end: 0x7f12_3456_7000,
            flags,
            offset: 0,
            file: None,
            name: Some("[heap]"),
            huge: false,
        };
        assert!(map_line(&area, &mut out).is_ok());
        let wanted: &[u8] = b"00400000-7f1234567000 rw-p 00000000 00:00 0                              [heap]\n";
        assert_eq!(out.text(), wanted);
    }
}
