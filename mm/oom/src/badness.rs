// SPDX-License-Identifier: GPL-2.0
//! How much memory ending a process would free. Source: `proc(5)`, `oom_score`; Linux's
//! `Documentation/filesystems/proc.rst`, 3.1.

use kalloc::Arc;
use mm::{Mm, OomSize};
use mm_alloc::layout::PAGE_SIZE;
use process::Process;
use task::Task;

/// Runs `f` on the address space of a process: of its leader, or, if that has ended, of another thread.
pub(crate) fn with_mm<R>(process: &Process, leader: &Task, mut f: impl FnMut(&Arc<Mm>) -> R) -> Option<R> {
    if let Some(result) = mm::with_mm_of(leader, &mut f) {
        return Some(result);
    }
    if process.thread_count() == 0 {
        return None;
    }
    process.threads().ok()?.iter().find_map(|thread| mm::with_mm_of(thread, &mut f))
}

/// Whether a process can be chosen at all: not the first one, no kernel thread.
fn killable(process: &Process, leader: &Task) -> bool {
    process.pid() != 1 && !leader.is_kthread()
}

/// Pages of memory and of swap space: what points are measured by.
pub(crate) fn all_pages() -> u64 {
    mm::meminfo().total.saturating_add(mm::swap::total_pages())
}

/// The points: pages that its end would free, moved by `oom_score_adj` thousandths of `total`. `None`: not to be chosen.
pub(crate) fn points(size: OomSize, adj: i32, total: u64) -> Option<i64> {
    if adj == process::oom::SCORE_ADJ_MIN {
        return None;
    }
    let pages = size.rss().saturating_add(size.swap).saturating_add(size.table_bytes / PAGE_SIZE);
    let moved = i64::from(adj).saturating_mul((total / 1000).cast_signed());
    Some((pages as u64).cast_signed().saturating_add(moved))
}

/// The points of a process; `None` if it is not to be chosen.
pub(crate) fn badness(process: &Process, leader: &Task, total: u64) -> Option<i64> {
    if !killable(process, leader) {
        return None;
    }
    let size = with_mm(process, leader, |mm| (!mm.is_reaped()).then(|| mm.oom_size()))??;
    points(size, process.oom_score_adj(), total)
}

/// `/proc/PID/oom_score`: 0 to 2000.
pub fn score(task: &Task) -> u64 {
    let Some(process) = process::process_of(task) else { return 0 };
    let total = all_pages().max(1);
    match badness(&process, task, total) {
        Some(points) => scale(points, total),
        None => 0,
    }
}

fn scale(points: i64, total: u64) -> u64 {
    let scaled = points.saturating_mul(1000) / total.max(1).cast_signed();
    u64::try_from((1000 + scaled).saturating_mul(2) / 3).unwrap_or(0)
}

#[macros::kunit_tests(oom_badness)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_is_worse() {
        let small = OomSize { anon: 100, table_bytes: 2 * PAGE_SIZE, ..OomSize::default() };
        let large = OomSize { anon: 150, file: 60, ..small };
        assert_eq!(points(small, 0, 100_000), Some(102));
        assert_eq!(points(OomSize { swap: 7, ..small }, 0, 100_000), Some(109));
        assert_eq!(points(large, 0, 100_000), Some(212));
    }

    #[test]
    fn the_adjustment_is_in_thousandths_of_all() {
        let size = OomSize { anon: 1000, ..OomSize::default() };
        assert_eq!(points(size, 500, 100_000), Some(51_000));
        assert_eq!(points(size, -1000, 100_000), None);
        assert_eq!(points(size, -999, 100_000), Some(1000 - 99_900));
    }

    #[test]
    fn scores_are_between_0_and_2000() {
        assert_eq!(scale(0, 100_000), 666);
        assert_eq!(scale(200_000, 100_000), 2000);
        assert_eq!(scale(-100_000, 100_000), 0);
        assert_eq!(scale(-99_900, 100_000), 0);
    }
}
