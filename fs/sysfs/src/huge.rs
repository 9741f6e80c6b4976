// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/mm/transparent_hugepage`: who gets huge pages, how much is done for one, and `khugepaged`. Huge pages of shared
//! memory are not built in, so there is no `shmem_enabled`. Source: Linux's `Documentation/admin-guide/mm/transhuge.rst`.

use crate::{Node, attr, attr_rw};
use cmdline::{kstrtou32, kstrtou64};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use mm::khugepaged::{self, ALLOC_SLEEP, COLLAPSED, DEFRAG, FULL_SCANS, PAGES_TO_SCAN, SCAN_SLEEP};
use mm::khugepaged::{MAX_NONE, MAX_SHARED, MAX_SWAP};
use mm::{HugeDefrag, HugeMode, USE_ZEROS};
use mm_alloc::huge::PAGES;
use mm_alloc::layout::PMD_SIZE;
use vfs::SeqBuf;

/// All words, that in force in brackets.
fn show<'a>(words: impl Iterator<Item = (&'a str, bool)>, out: &mut SeqBuf) -> Result {
    for (i, (word, now)) in words.enumerate() {
        let (open, close) = if now { ("[", "]") } else { ("", "") };
        vfs::seq_print!(out, "{}{open}{word}{close}", if i == 0 { "" } else { " " })?;
    }
    out.byte(b'\n')
}

fn show_mode(now: HugeMode, out: &mut SeqBuf) -> Result {
    show(HugeMode::ALL.iter().map(|mode| (mode.name(), *mode == now)), out)
}

fn show_defrag(now: HugeDefrag, out: &mut SeqBuf) -> Result {
    show(HugeDefrag::ALL.iter().map(|mode| (mode.name(), *mode == now)), out)
}

/// Which of `all` a program writes: its name, with a newline or without.
fn parse<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, data: &[u8]) -> Result<T> {
    let word = data.strip_suffix(b"\n").unwrap_or(data);
    all.iter().copied().find(|one| name(*one).as_bytes() == word).ok_or(EINVAL)
}

/// What a program writes to a file of a switch: 0 or 1. EINVAL, ERANGE.
fn parse_switch(data: &[u8]) -> Result<bool> {
    match kstrtou64(data, 10)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EINVAL),
    }
}

/// A number from `least` to `most`; all that is wrong is EINVAL.
fn parse_number(data: &[u8], least: u32, most: u32) -> Result<u32> {
    kstrtou32(data, 10).ok().filter(|number| (least..=most).contains(number)).ok_or(EINVAL)
}

fn line(number: u64, out: &mut SeqBuf) -> Result {
    out.dec(number)?;
    out.byte(b'\n')
}

/// A file of a switch.
fn switch(dir: &Arc<Node>, name: &str, place: &'static AtomicBool) -> Result {
    attr_rw(
        dir,
        name,
        |out| line(place.load(Ordering::Relaxed).into(), out),
        |data| {
            place.store(parse_switch(data)?, Ordering::Relaxed);
            Ok(data.len())
        },
    )
    .map(drop)
}

/// A file of a number of `khugepaged`'s; `wakes`: what it sleeps for may be over.
fn number(dir: &Arc<Node>, name: &str, place: &'static AtomicU32, least: u32, most: u32, wakes: bool) -> Result {
    attr_rw(
        dir,
        name,
        |out| line(place.load(Ordering::Relaxed).into(), out),
        move |data| {
            place.store(parse_number(data, least, most)?, Ordering::Relaxed);
            if wakes {
                khugepaged::wake();
            }
            Ok(data.len())
        },
    )
    .map(drop)
}

fn counter(dir: &Arc<Node>, name: &str, place: &'static AtomicU64) -> Result {
    attr(dir, name, |out| line(place.load(Ordering::Relaxed), out)).map(drop)
}

/// Makes the directory.
pub(crate) fn add(root: &Arc<Node>) -> Result {
    let dir = root.path_or_new("kernel/mm/transparent_hugepage")?;
    attr_rw(
        &dir,
        "enabled",
        |out| show_mode(HugeMode::get(), out),
        |data| {
            parse(&HugeMode::ALL, HugeMode::name, data)?.set()?;
            Ok(data.len())
        },
    )?;
    attr_rw(
        &dir,
        "defrag",
        |out| show_defrag(HugeDefrag::get(), out),
        |data| {
            parse(&HugeDefrag::ALL, HugeDefrag::name, data)?.set();
            Ok(data.len())
        },
    )?;
    switch(&dir, "use_zero_page", &USE_ZEROS)?;
    attr(&dir, "hpage_pmd_size", |out| line(PMD_SIZE as u64, out))?;
    add_khugepaged(&root.path_or_new("kernel/mm/transparent_hugepage/khugepaged")?)
}

/// Makes the directory of the thread.
fn add_khugepaged(dir: &Arc<Node>) -> Result {
    const MOST: u32 = PAGES as u32 - 1;
    switch(dir, "defrag", &DEFRAG)?;
    number(dir, "max_ptes_none", &MAX_NONE, 0, MOST, false)?;
    number(dir, "max_ptes_swap", &MAX_SWAP, 0, MOST, false)?;
    number(dir, "max_ptes_shared", &MAX_SHARED, 0, MOST, false)?;
    number(dir, "pages_to_scan", &PAGES_TO_SCAN, 1, u32::MAX, false)?;
    number(dir, "scan_sleep_millisecs", &SCAN_SLEEP, 0, u32::MAX, true)?;
    number(dir, "alloc_sleep_millisecs", &ALLOC_SLEEP, 0, u32::MAX, true)?;
    counter(dir, "pages_collapsed", &COLLAPSED)?;
    counter(dir, "full_scans", &FULL_SCANS)
}

#[macros::kunit_tests(sysfs_huge)]
mod tests {
    use super::*;
    use errno::code::ERANGE;

    #[test]
    fn words_and_brackets() {
        let mut out = SeqBuf::new(256);
        let shown = HugeMode::ALL.into_iter().try_for_each(|mode| show_mode(mode, &mut out));
        assert_eq!(shown, Ok(()));
        assert_eq!(out.text(), b"[always] madvise never\nalways [madvise] never\nalways madvise [never]\n");
        let mut out = SeqBuf::new(256);
        assert_eq!(show_defrag(HugeDefrag::DeferMadvise, &mut out), Ok(()));
        assert_eq!(out.text(), b"always defer [defer+madvise] madvise never\n");
        let mode = |data: &[u8]| parse(&HugeMode::ALL, HugeMode::name, data);
        let defrag = |data: &[u8]| parse(&HugeDefrag::ALL, HugeDefrag::name, data);
        assert_eq!(mode(b"madvise\n"), Ok(HugeMode::Madvise));
        assert_eq!(mode(b"never"), Ok(HugeMode::Never));
        assert_eq!(defrag(b"defer+madvise\n"), Ok(HugeDefrag::DeferMadvise));
        assert_eq!(defrag(b"defer"), Ok(HugeDefrag::Defer));
        for bad in [&b""[..], b"\n", b"alway", b"always ", b"never\n\n"] {
            assert_eq!((mode(bad), defrag(bad)), (Err(EINVAL), Err(EINVAL)));
        }
    }

    #[test]
    fn numbers() {
        assert_eq!((parse_switch(b"1\n"), parse_switch(b"0")), (Ok(true), Ok(false)));
        assert_eq!((parse_switch(b"2"), parse_switch(b"")), (Err(EINVAL), Err(EINVAL)));
        assert_eq!(parse_switch(b"18446744073709551616"), Err(ERANGE));
        assert_eq!((parse_number(b"511\n", 0, 511), parse_number(b"512", 0, 511)), (Ok(511), Err(EINVAL)));
        assert_eq!((parse_number(b"0", 1, 9), parse_number(b"4294967296", 0, u32::MAX)), (Err(EINVAL), Err(EINVAL)));
    }
}
