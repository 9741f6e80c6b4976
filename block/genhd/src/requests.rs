// SPDX-License-Identifier: GPL-2.0
//! `/sys/block/*/queue`, of disks that have requests: how they are joined, counted, put in order (`scheduler`, `iosched`) and timed.
//! Source: Linux's `Documentation/ABI/stable/sysfs-block`, `Documentation/block/deadline-iosched.rst`.

use crate::live;
use crate::queue::{number, setting};
use block::Gendisk;
use block::mq::{self, Queue};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use sysfs::{Node, attr, attr_rw};
use vfs::{SeqBuf, seq_print};

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// `io_poll`: whether there are queues without interrupts, which the driver's parameters say; as in Linux, it takes what is written, with no
/// effect. `io_poll_delay`: who polls never sleeps between.
fn polling(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    let polls = |disk: &Gendisk| disk.ops().queue().is_some_and(|queue| queue.can_poll());
    let (shown, stored, delayed) = (live(disk), live(disk), live(disk));
    attr_rw(
        dir,
        "io_poll",
        move |out| seq_print!(out, "{}\n", u32::from(polls(&*shown()?))),
        move |data| {
            if !polls(&*stored()?) {
                return Err(EINVAL);
            }
            klog::pr_info!("writes to the poll attribute are ignored.\nplease use driver specific parameters instead.");
            Ok(data.len())
        },
    )?;
    attr_rw(
        dir,
        "io_poll_delay",
        |out| out.put(b"-1\n"),
        move |data| if polls(&*delayed()?) && data.trim_ascii() == b"-1" { Ok(data.len()) } else { Err(EINVAL) },
    )?;
    Ok(())
}

/// Makes them.
pub(crate) fn add(dir: &Arc<Node>, disk: &Arc<Gendisk>) -> Result {
    polling(dir, disk)?;
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
            choose(&queue, name)?;
            if let Some(dir) = d.upgrade() {
                iosched(&dir, &queue)?;
            }
            Ok(data.len())
        },
    )?;
    iosched(dir, queue)
}

/// Takes the scheduler of that name; a module that has it is asked for, as Linux does.
fn choose(queue: &Queue, name: &str) -> Result {
    if mq::is_scheduler_name(name) && name != "none" && !mq::is_scheduler(name) {
        vfs::hooks::request_module(format_args!("{name}-iosched"));
    }
    queue.set_scheduler(name)
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
            for cpu in (0..64).filter(|cpu| x86::smp::possible() >> cpu & 1 != 0 && queue.serves(index, *cpu)) {
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
    queue.with_scheduler(|its| {
        if its.is_none() {
            out.put(b"[none] ")?;
        }
        mq::for_each_scheduler(|name| {
            let (open, close) = if its.is_some_and(|(kind, _)| kind.name == name) { ("[", "]") } else { ("", "") };
            seq_print!(out, "{open}{name}{close} ")
        })?;
        out.put(if its.is_some() { b"none\n" } else { b"\n" })
    })
}

/// `iosched`: what the scheduler in use can be told. A file that somebody has open is nothing to the next scheduler.
fn iosched(dir: &Arc<Node>, queue: &Arc<Queue>) -> Result {
    if let Some(old) = dir.child(b"iosched") {
        old.remove();
    }
    queue.with_scheduler(|its| {
        let Some((kind, id)) = its else { return Ok(()) };
        if kind.tunables.is_empty() && !kind.has_async_depth {
            return Ok(());
        }
        let dir = dir.dir_or_new(b"iosched")?;
        for (index, name) in kind.tunables.iter().enumerate() {
            let (shown, changed) = (live(queue), live(queue));
            attr_rw(
                &dir,
                name,
                move |out| seq_print!(out, "{}\n", shown()?.tunable(id, index)?),
                move |data| changed()?.set_tunable(id, index, number(data)?).map(|()| data.len()),
            )?;
        }
        if !kind.has_async_depth {
            return Ok(());
        }
        setting(
            &dir,
            queue,
            "async_depth",
            |q| q.async_depth().unwrap_or(0).into(),
            |q, n| if n == 0 { Err(EINVAL) } else { q.set_async_depth(small(n)) },
        )
    })
}
