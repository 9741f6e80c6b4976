// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/mm/transparent_hugepage`: who gets huge pages. What Linux has besides is not here: there is nothing to be set
//! about defragmentation and pages of zeros. Source: Linux's `Documentation/admin-guide/mm/transhuge.rst`.

use crate::{Node, attr, attr_rw};
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use mm::HugeMode;
use mm_alloc::layout::PMD_SIZE;
use vfs::SeqBuf;

/// The modes, that in force in brackets.
fn show(now: HugeMode, out: &mut SeqBuf) -> Result {
    for (i, mode) in HugeMode::ALL.into_iter().enumerate() {
        let (open, close) = if mode == now { ("[", "]") } else { ("", "") };
        vfs::seq_print!(out, "{}{open}{}{close}", if i == 0 { "" } else { " " }, mode.name())?;
    }
    out.byte(b'\n')
}

/// The mode that a program writes: its name, with a newline or without.
fn parse(data: &[u8]) -> Result<HugeMode> {
    let name = data.strip_suffix(b"\n").unwrap_or(data);
    HugeMode::ALL.into_iter().find(|mode| mode.name().as_bytes() == name).ok_or(EINVAL)
}

/// Makes the directory.
pub(crate) fn add(root: &Arc<Node>) -> Result {
    let dir = root.path_or_new("kernel/mm/transparent_hugepage")?;
    attr_rw(
        &dir,
        "enabled",
        |out| show(HugeMode::get(), out),
        |data| {
            parse(data)?.set();
            Ok(data.len())
        },
    )?;
    attr(&dir, "hpage_pmd_size", |out| {
        out.dec(PMD_SIZE as u64)?;
        out.byte(b'\n')
    })
    .map(drop)
}

#[macros::kunit_tests(sysfs_huge)]
mod tests {
    use super::*;

    #[test]
    fn words_and_brackets() {
        let mut out = SeqBuf::new(128);
        let shown = HugeMode::ALL.into_iter().try_for_each(|mode| show(mode, &mut out));
        assert_eq!(shown, Ok(()));
        assert_eq!(out.text(), b"[always] madvise never\nalways [madvise] never\nalways madvise [never]\n");
        assert_eq!(parse(b"madvise\n"), Ok(HugeMode::Madvise));
        assert_eq!(parse(b"never"), Ok(HugeMode::Never));
        for bad in [&b""[..], b"\n", b"alway", b"always ", b"never\n\n"] {
            assert_eq!(parse(bad), Err(EINVAL));
        }
    }
}
