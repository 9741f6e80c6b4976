// SPDX-License-Identifier: GPL-2.0
//! `oom_score`, `oom_score_adj` and the older `oom_adj`; `coredump_filter`. Source: `proc(5)`. Locks: none of its own.

use super::View;
use crate::sysctl::parse_number;
use errno::Result;
use errno::code::{EINVAL, ESRCH};
use process::oom::SCORE_ADJ_MAX;
use vfs::{SeqBuf, seq_print};

/// Range of `oom_adj`; its least value means never.
const ADJ_NEVER: i32 = -17;
const ADJ_MAX: i32 = 15;

/// `oom_score`.
pub(super) fn score(view: &View, out: &mut SeqBuf) -> Result {
    seq_print!(out, "{}\n", oom::badness::score(&view.task))
}

/// `oom_score_adj`.
pub(super) fn score_adj(view: &View, out: &mut SeqBuf) -> Result {
    seq_print!(out, "{}\n", view.thread()?.process().oom_score_adj())
}

fn number(data: &[u8]) -> Result<i32> {
    i32::try_from(parse_number(data)?).map_err(|_| EINVAL)
}

/// `coredump_filter`: nothing for a process without memory.
pub(super) fn coredump_filter(view: &View, out: &mut SeqBuf) -> Result {
    if mm::mm_of(&view.task).is_none() {
        return Ok(());
    }
    seq_print!(out, "{:08x}\n", view.thread()?.process().coredump_filter())
}

/// A write to `coredump_filter`.
pub(super) fn set_coredump_filter(view: &View, data: &[u8]) -> Result<usize> {
    let filter = u32::try_from(parse_number(data)?).map_err(|_| EINVAL)?;
    mm::mm_of(&view.task).ok_or(ESRCH)?;
    view.thread()?.process().set_coredump_filter(filter);
    Ok(data.len())
}

/// A write to `oom_score_adj`.
pub(super) fn set_score_adj(view: &View, data: &[u8]) -> Result<usize> {
    let privileged = cred::capable(cred::CAP_SYS_RESOURCE);
    view.thread()?.process().set_oom_score_adj(number(data)?, privileged, true)?;
    Ok(data.len())
}

/// `oom_adj`: the same by its old scale.
pub(super) fn adj(view: &View, out: &mut SeqBuf) -> Result {
    seq_print!(out, "{}\n", to_old(view.thread()?.process().oom_score_adj()))
}

/// A write to `oom_adj`.
pub(super) fn set_adj(view: &View, data: &[u8]) -> Result<usize> {
    let old = number(data)?;
    if !(ADJ_NEVER..=ADJ_MAX).contains(&old) {
        return Err(EINVAL);
    }
    let privileged = cred::capable(cred::CAP_SYS_RESOURCE);
    view.thread()?.process().set_oom_score_adj(from_old(old), privileged, false)?;
    Ok(data.len())
}

fn to_old(score_adj: i32) -> i32 {
    let old = if score_adj == SCORE_ADJ_MAX { ADJ_MAX } else { score_adj * -ADJ_NEVER / SCORE_ADJ_MAX };
    old.min(ADJ_MAX)
}

fn from_old(old: i32) -> i32 {
    if old == ADJ_MAX { SCORE_ADJ_MAX } else { old * SCORE_ADJ_MAX / -ADJ_NEVER }
}

#[macros::kunit_tests(proc_pid_oom)]
mod tests {
    use super::*;

    #[test]
    fn scales() {
        assert_eq!(from_old(15), 1000);
        assert_eq!(from_old(-17), -1000);
        assert_eq!(from_old(8), 470);
        assert_eq!(to_old(1000), 15);
        assert_eq!(to_old(-1000), -17);
        assert_eq!(to_old(470), 7);
    }
}
