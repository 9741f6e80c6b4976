// SPDX-License-Identifier: GPL-2.0
//! `cmdline`, `environ`, `maps`, `smaps` and `mem`. Locks: those of the address space, inside its functions.

use super::View;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVVec};
use mm::{Mm, VmFlags, VmaInfo};
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

/// `environ`, of the pinned address space.
pub(super) fn environ(view: &View, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    if let Some(mm) = &view.mm {
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
    let area = view.mm.as_ref()?.vma_after(usize::try_from(at).ok()?)?;
    let next = area.end as u64;
    Some((area, next))
}

/// `maps`.
pub(super) fn maps(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    let Some((area, next)) = area_at(view, at) else { return Ok(None) };
    map_line(&area, out)?;
    Ok(Some(next))
}

/// Names of the flags in `VmFlags`.
const FLAG_NAMES: [(VmFlags, &str); 16] = [
    (VmFlags::READ, "rd"),
    (VmFlags::WRITE, "wr"),
    (VmFlags::EXEC, "ex"),
    (VmFlags::SHARED, "sh"),
    (VmFlags::MAYREAD, "mr"),
    (VmFlags::MAYWRITE, "mw"),
    (VmFlags::MAYEXEC, "me"),
    (VmFlags::MAYSHARE, "ms"),
    (VmFlags::GROWSDOWN, "gd"),
    (VmFlags::LOCKED, "lo"),
    (VmFlags::IO, "io"),
    (VmFlags::SEQ_READ, "sr"),
    (VmFlags::RAND_READ, "rr"),
    (VmFlags::DONTCOPY, "dc"),
    (VmFlags::ACCOUNT, "ac"),
    (VmFlags::NORESERVE, "nr"),
];

/// `smaps`.
pub(super) fn smaps(view: &View, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
    let Some((area, next)) = area_at(view, at) else { return Ok(None) };
    let Some(mm) = &view.mm else { return Ok(None) };
    map_line(&area, out)?;
    let info = mm.smaps(area.start, area.end);
    let locked = if area.flags.any(VmFlags::LOCKED) { info.pss } else { 0 };
    let lines = [
        ("Size:", area.end - area.start),
        ("KernelPageSize:", PAGE_SIZE),
        ("MMUPageSize:", PAGE_SIZE),
        ("Rss:", info.rss),
        ("Pss:", info.pss),
        ("Shared_Clean:", info.shared_clean),
        ("Shared_Dirty:", info.shared_dirty),
        ("Private_Clean:", info.private_clean),
        ("Private_Dirty:", info.private_dirty),
        ("Referenced:", info.referenced),
        ("Anonymous:", info.anonymous),
        ("Locked:", locked),
    ];
    for (label, bytes) in lines {
        seq_print!(out, "{label:<16}{:>8} kB\n", bytes / 1024)?;
    }
    out.put(b"VmFlags: ")?;
    for (_, name) in FLAG_NAMES.iter().filter(|(flag, _)| area.flags.any(*flag)) {
        seq_print!(out, "{name} ")?;
    }
    out.byte(b'\n')?;
    Ok(Some(next))
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
        let area =
            VmaInfo { start: 0x40_0000, end: 0x7f12_3456_7000, flags, offset: 0, file: None, name: Some("[heap]") };
        assert!(map_line(&area, &mut out).is_ok());
        let wanted: &[u8] = b"00400000-7f1234567000 rw-p 00000000 00:00 0                              [heap]\n";
        assert_eq!(out.text(), wanted);
    }
}
