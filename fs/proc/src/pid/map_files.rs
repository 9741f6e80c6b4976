// SPDX-License-Identifier: GPL-2.0
//! `/proc/PID/map_files`: a link for each mapping of a file, named by its first address and its end. Memory that processes share
//! without a file of the file system has none. Locks: those of the address space, inside its functions.

use super::access::{look_inside, may_access};
use errno::{Result, code::*};
use mm::{Mm, VmaInfo};
use task::Task;
use vfs::{DirContext, File, FileType, Path, SeqBuf, fmode, seq_print};

/// The first address of a mapping, and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    start: usize,
    end: usize,
}

/// Position of the mapping that starts in page `n` is this plus `n`.
const FIRST: i64 = 2;

/// A hexadecimal number as the kernel writes it: no zero in front. As on Linux capital letters do, too.
fn number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 16 || text.len() > 1 && text.first() == Some(&b'0') {
        return None;
    }
    text.iter().try_fold(0usize, |value, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return None,
        };
        Some(value << 4 | usize::from(digit))
    })
}

/// The mapping that a name means.
pub(super) fn parse(name: &[u8]) -> Option<Range> {
    let at = name.iter().position(|&byte| byte == b'-')?;
    Some(Range { start: number(name.get(..at)?)?, end: number(name.get(at + 1..)?)? })
}

/// The file of a mapping, if it is one of the file system.
fn file_in(area: &VmaInfo) -> Option<&File> {
    area.file.as_ref()?.as_any().downcast_ref()
}

fn area(mm: &Mm, range: &Range) -> Option<VmaInfo> {
    mm.vma_after(range.start).filter(|area| area.start == range.start && area.end == range.end)
}

/// What `get` says of the file that is mapped there; `ENOENT` if there is none.
fn find<R>(task: &Task, range: &Range, get: impl FnOnce(&File) -> R) -> Result<R> {
    let mm = mm::mm_of(task).ok_or(ENOENT)?;
    area(&mm, range).as_ref().and_then(file_in).map(get).ok_or(ENOENT)
}

/// What the link leads to. `EPERM` without the right, which looking inside does not give: the file may be out of reach by name.
pub(super) fn path_of(task: &Task, range: &Range) -> Result<Path> {
    if !cred::capable(cred::CAP_CHECKPOINT_RESTORE) && !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    find(task, range, |file| file.path().clone())
}

/// Whether it is mapped still, as far as that can be told without sleeping: who follows the link finds out.
pub(super) fn is_mapped(task: &Task, range: &Range) -> bool {
    let mapped = || mm::with_mm_of(task, |mm| mm.maps_file_at(range.start, range.end).unwrap_or(true));
    may_access(task) && mapped().unwrap_or(false)
}

/// The mode of the link: the rights that the file was opened with.
pub(super) fn link_mode(task: &Task, range: &Range) -> Result<u32> {
    let mode = find(task, range, File::mode)?;
    let read = if mode & fmode::READ != 0 { 0o400 } else { 0 };
    let write = if mode & fmode::WRITE != 0 { 0o200 } else { 0 };
    Ok(uapi::S_IFLNK | read | write)
}

/// Lists what is mapped. `EACCES` for who may not look inside.
pub(super) fn iterate(task: &Task, context: &mut DirContext<'_>) -> Result {
    let Some(mm) = look_inside(task, may_access, || mm::mm_of(task))?.ok_or(EACCES)? else { return Ok(()) };
    while let Ok(page) = usize::try_from(context.pos - FIRST) {
        let Some(area) = page.checked_mul(4096).and_then(|at| mm.vma_after(at)) else { break };
        let next = FIRST + (area.end / 4096) as i64;
        if file_in(&area).is_none() {
            context.pos = next;
            continue;
        }
        let mut name = SeqBuf::new(40);
        seq_print!(name, "{:x}-{:x}", area.start, area.end)?;
        if !context.emit(name.text(), (1 << 35) + (area.start / 4096) as u64, FileType::Link, next) {
            break;
        }
    }
    Ok(())
}

#[macros::kunit_tests(proc_map_files)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse(b"1000-2000"), Some(Range { start: 0x1000, end: 0x2000 }));
        assert_eq!(parse(b"0-7fffffffffff"), Some(Range { start: 0, end: 0x7fff_ffff_ffff }));
        for name in [b"01000-2000".as_slice(), b"1000-02000", b"1000", b"1000-", b"-1000", b" 1-2", b"1-2 ", b"1-2-3"] {
            assert_eq!(parse(name), None);
        }
        assert_eq!(parse(b"100000000000000001000-2000"), None);
    }
}
