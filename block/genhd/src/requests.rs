// SPDX-License-Identifier: GPL-2.0
//! `/sys/block/*/queue`, of disks that have requests: how they are joined, counted, put in order (`scheduler`, `iosched`) and timed.
//! Source: Linux's `Documentation/ABI/stable/sysfs-block`, `Documentation/block/deadline-iosched.rst`.

use crate::live;
use crate::queue::setting;
use block::Gendisk;
use block::mq::{DeadlineTunables, KyberTunables, Queue, Tunables};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
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

/// `mq` in the disk's directory: each hardware queue's tags, and whose requests come to it.
pub(crate) fn add_hw(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    let Some(queue) = disk.ops().queue() else { return Ok(()) };
    let all = dir.dir_or_new(b"mq")?;
    for hw in queue.hw_queues() {
        let index = hw.index();
        let name = KString::from_fmt(format_args!("{index}"), GFP_KERNEL)?;
        let dir = all.dir_or_new(name.as_bytes())?;
        let tags = hw.depth();
        attr(&dir, "nr_tags", move |out| seq_print!(out, "{tags}\n"))?;
        attr(&dir, "nr_reserved_tags", |out| seq_print!(out, "0\n"))?;
        let queue = live(queue);
        attr(&dir, "cpu_list", move |out| {
            let queue = queue()?;
            let mut first = true;
            for cpu in (0..64).filter(|cpu| x86::smp::possible() >> cpu & 1 != 0 && queue.map_cpu(*cpu) == index) {
                seq_print!(out, "{}{cpu}", if first { "" } else { ", " })?;
                first = false;
            }
            out.byte(b'\n')
        })?;
    }
    Ok(())
}

/// The schedulers there are, the one in use in brackets.
fn scheduler(queue: &Queue, out: &mut SeqBuf) -> Result {
    let its = queue.scheduler();
    let mut put = |name: &str, last: bool| {
        let (open, close) = if name == its { ("[", "]") } else { ("", "") };
        seq_print!(out, "{open}{name}{close}{}", if last { '\n' } else { ' ' })
    };
    if its == "none" {
        put("none", false)?;
    }
    for (n, name) in Queue::SCHEDULERS.into_iter().enumerate() {
        put(name, its == "none" && n + 1 == Queue::SCHEDULERS.len())?;
    }
    if its == "none" { Ok(()) } else { put("none", true) }
}

const NS_PER_MS: u64 = 1_000_000;

/// mq-deadline's tunables, if that is the scheduler.
fn deadline(queue: &Queue) -> Option<DeadlineTunables> {
    match queue.tunables() {
        Some(Tunables::Deadline(tunables)) => Some(tunables),
        _ => None,
    }
}

/// Kyber's.
fn kyber(queue: &Queue) -> Option<KyberTunables> {
    match queue.tunables() {
        Some(Tunables::Kyber(tunables)) => Some(tunables),
        _ => None,
    }
}

/// A tunable of mq-deadline: what is shown of it, and how it is changed.
macro_rules! of_deadline {
    ($dir:expr, $queue:expr, $name:ident, $get:expr, $set:expr) => {
        setting(
            $dir,
            $queue,
            stringify!($name),
            |queue| deadline(queue).map_or(0, $get),
            |queue, value| {
                queue.set_tunables(|tunables| {
                    if let Tunables::Deadline(tunables) = tunables {
                        let set: fn(&mut DeadlineTunables, u64) = $set;
                        set(tunables, value);
                    }
                })
            },
        )
    };
}

/// A time, shown in milliseconds.
macro_rules! time {
    ($dir:expr, $queue:expr, $name:ident) => {
        of_deadline!($dir, $queue, $name, |t| t.$name / NS_PER_MS, |t, ms| t.$name =
            ms.min(i32::MAX as u64) * NS_PER_MS)
    };
}

/// A latency that Kyber is to keep to, in nanoseconds.
macro_rules! latency {
    ($dir:expr, $queue:expr, $file:literal, $name:ident) => {
        setting(
            $dir,
            $queue,
            $file,
            |queue| kyber(queue).map_or(0, |t| t.$name),
            |queue, ns| {
                queue.set_tunables(|tunables| {
                    if let Tunables::Kyber(tunables) = tunables {
                        tunables.$name = ns;
                    }
                })
            },
        )
    };
}

/// `iosched`: what the scheduler in use can be told.
fn iosched(dir: &Arc<Node>, queue: &Arc<Queue>) -> Result {
    if let Some(old) = dir.child(b"iosched") {
        old.remove();
    }
    match queue.tunables() {
        None => Ok(()),
        Some(Tunables::Deadline(_)) => deadline_files(&dir.dir_or_new(b"iosched")?, queue),
        Some(Tunables::Kyber(_)) => {
            let dir = &dir.dir_or_new(b"iosched")?;
            latency!(dir, queue, "read_lat_nsec", read_lat)?;
            latency!(dir, queue, "write_lat_nsec", write_lat)
        }
    }
}

fn deadline_files(dir: &Arc<Node>, queue: &Arc<Queue>) -> Result {
    time!(dir, queue, read_expire)?;
    time!(dir, queue, write_expire)?;
    time!(dir, queue, prio_aging_expire)?;
    of_deadline!(dir, queue, writes_starved, |t| t.writes_starved.into(), |t, n| t.writes_starved = small(n))?;
    of_deadline!(dir, queue, fifo_batch, |t| t.fifo_batch.into(), |t, n| t.fifo_batch = small(n))?;
    of_deadline!(dir, queue, front_merges, |t| t.front_merges.into(), |t, n| t.front_merges = n != 0)?;
    setting(
        dir,
        queue,
        "async_depth",
        |q| q.async_depth().unwrap_or(0).into(),
        |q, n| if n == 0 { Err(EINVAL) } else { q.set_async_depth(small(n)) },
    )
}
