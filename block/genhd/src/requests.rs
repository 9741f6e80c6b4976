// SPDX-License-Identifier: GPL-2.0
//! `/sys/block/*/queue`, of disks that have requests: how they are joined, counted, put in order (`scheduler`, `iosched`) and timed.
//! Source: Linux's `Documentation/ABI/stable/sysfs-block`, `Documentation/block/deadline-iosched.rst`.

use crate::live;
use crate::queue::setting;
use block::Gendisk;
use block::mq::{Queue, Tunables};
use errno::{Result, code::*};
use kalloc::Arc;
use sysfs::{Node, attr, attr_rw};
use vfs::{SeqBuf, seq_print};

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Makes them.
pub(crate) fn add(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    let Some(queue) = disk.ops().queue() else { return Ok(()) };
    setting(dir, queue, "nr_requests", |q| q.nr_requests().into(), |q, n| q.set_nr_requests(small(n)))?;
    setting(
        dir,
        queue,
        "nomerges",
        |q| q.nomerges().into(),
        |q, n| {
            q.set_nomerges(small(n));
            Ok(())
        },
    )?;
    setting(
        dir,
        queue,
        "iostats",
        |q| q.iostats().into(),
        |q, n| {
            q.set_iostats(n != 0);
            Ok(())
        },
    )?;
    if queue.has_timeout() {
        setting(dir, queue, "io_timeout", Queue::timeout_ms, |q, ms| q.set_timeout_ms(u32::try_from(ms)?))?;
    }
    // Requests end on the CPU that the interrupt comes to: nothing to choose.
    attr(dir, "rq_affinity", |out| seq_print!(out, "0\n"))?;
    let (q, s, d) = (live(queue), live(queue), Arc::downgrade(dir));
    attr_rw(
        dir,
        "scheduler",
        move |out| scheduler(&*q()?, out),
        move |data| {
            let name = core::str::from_utf8(data.trim_ascii())?;
            let queue = s()?;
            queue.set_scheduler(name)?;
            if let Some(dir) = d.upgrade() {
                iosched(&dir, &queue)?;
            }
            Ok(data.len())
        },
    )?;
    iosched(dir, queue)
}

/// The schedulers there are, the one in use in brackets.
fn scheduler(queue: &Queue, out: &mut SeqBuf) -> Result {
    match queue.scheduler() {
        "none" => out.put(b"[none] mq-deadline\n"),
        _ => out.put(b"[mq-deadline] none\n"),
    }
}

const NS_PER_MS: u64 = 1_000_000;

/// A time, shown in milliseconds.
macro_rules! time {
    ($dir:expr, $queue:expr, $name:ident) => {
        setting(
            $dir,
            $queue,
            stringify!($name),
            |q| q.tunables().map_or(0, |t| t.$name / NS_PER_MS),
            |q, ms| q.set_tunables(|t| t.$name = ms.min(i32::MAX as u64) * NS_PER_MS),
        )
    };
}

/// `iosched`: what the scheduler in use can be told.
fn iosched(dir: &Arc<Node>, queue: &Arc<Queue>) -> Result {
    if let Some(old) = dir.child(b"iosched") {
        old.remove();
    }
    let Some(Tunables { .. }) = queue.tunables() else { return Ok(()) };
    let dir = &dir.dir_or_new(b"iosched")?;
    time!(dir, queue, read_expire)?;
    time!(dir, queue, write_expire)?;
    time!(dir, queue, prio_aging_expire)?;
    setting(
        dir,
        queue,
        "writes_starved",
        |q| q.tunables().map_or(0, |t| t.writes_starved.into()),
        |q, n| q.set_tunables(|t| t.writes_starved = small(n)),
    )?;
    setting(
        dir,
        queue,
        "fifo_batch",
        |q| q.tunables().map_or(0, |t| t.fifo_batch.into()),
        |q, n| q.set_tunables(|t| t.fifo_batch = small(n)),
    )?;
    setting(
        dir,
        queue,
        "front_merges",
        |q| q.tunables().map_or(0, |t| t.front_merges.into()),
        |q, n| q.set_tunables(|t| t.front_merges = n != 0),
    )?;
    setting(
        dir,
        queue,
        "async_depth",
        |q| q.async_depth().unwrap_or(0).into(),
        |q, n| if n == 0 { Err(EINVAL) } else { q.set_async_depth(small(n)) },
    )
}
