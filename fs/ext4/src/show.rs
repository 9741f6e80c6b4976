// SPDX-License-Identifier: GPL-2.0
//! `/sys/fs/ext4`, `/proc/fs/ext4` and `/proc/fs/jbd2`: what a mounted file system tells of itself.
//! Source: Linux's `Documentation/ABI/testing/sysfs-fs-ext4`, `ext4(5)`.

use crate::mounted::Mounted;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EINVAL, ENODEV};
use ext4_format::SuperBlock as DiskSuper;
use kalloc::{Arc, KVec, WeakArc};
use kernel::filesystem::sysfs::{attr, attr_rw, constant};
use kernel::filesystem::vfs::SeqBuf;
use kernel::filesystem::{proc, sysfs};

/// What is built in, as `/sys/fs/ext4/features` has it.
const FEATURES: [&str; 2] = ["batched_discard", "metadata_csum_seed"];

/// Directories of one mounted file system; they go with it.
#[derive(Default)]
pub(crate) struct Shown {
    nodes: KVec<Arc<sysfs::Node>>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.remove();
        }
    }
}

/// Makes what is there without any mount: once.
pub(crate) fn init() -> Result {
    let features = sysfs::root()?.path_or_new("fs/ext4/features")?;
    for name in FEATURES {
        constant(&features, name, "supported")?;
    }
    Ok(())
}

type Show = fn(&Mounted, &mut SeqBuf) -> Result;

fn line(out: &mut SeqBuf, value: u64) -> Result {
    out.print(format_args!("{value}\n"))
}

/// A number of the superblock.
macro_rules! number {
    ($sb:ident => $value:expr) => {
        (|mount, out| {
            let read = |$sb: &DiskSuper| -> u64 { ($value).into() };
            line(out, mount.core.with_super(read))
        }) as Show
    };
}

fn time(low: u32, high: u8) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// A name of a function in the superblock.
fn text(out: &mut SeqBuf, bytes: &[u8; 32]) -> Result {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    out.put(bytes.get(..len).unwrap_or(&[]))?;
    out.byte(b'\n')
}

const ATTRIBUTES: [(&str, Show); 18] = [
    ("delayed_allocation_blocks", |mount, out| line(out, mount.core.delayed_clusters() << mount.core.geo.cluster_bits)),
    ("session_write_kbytes", |mount, out| line(out, mount.session_kbytes())),
    ("lifetime_write_kbytes", |mount, out| line(out, mount.lifetime_kbytes())),
    ("errors_count", |mount, out| {
        let noted = mount.base.health.record.lock().count;
        line(out, mount.core.with_super(|sb| u64::from(sb.error_count.get())) + u64::from(noted))
    }),
    ("first_error_time", number!(sb => time(sb.first_error_time.get(), sb.first_error_time_hi))),
    ("first_error_ino", number!(sb => sb.first_error_ino.get())),
    ("first_error_block", number!(sb => sb.first_error_block.get())),
    ("first_error_line", number!(sb => sb.first_error_line.get())),
    ("first_error_errcode", number!(sb => sb.first_error_errcode)),
    ("first_error_func", |mount, out| text(out, &mount.core.with_super(|sb| sb.first_error_func))),
    ("last_error_time", number!(sb => time(sb.last_error_time.get(), sb.last_error_time_hi))),
    ("last_error_ino", number!(sb => sb.last_error_ino.get())),
    ("last_error_block", number!(sb => sb.last_error_block.get())),
    ("last_error_line", number!(sb => sb.last_error_line.get())),
    ("last_error_errcode", number!(sb => sb.last_error_errcode)),
    ("last_error_func", |mount, out| text(out, &mount.core.with_super(|sb| sb.last_error_func))),
    ("journal_task", |mount, out| match mount.journal_task.load(Ordering::Relaxed) {
        0 => out.put(b"<none>\n"),
        pid => line(out, pid.into()),
    }),
    ("reserved_clusters", |mount, out| line(out, mount.core.last_clusters())),
];

fn number_in(data: &[u8]) -> Result<u64> {
    core::str::from_utf8(data.trim_ascii())?.parse().map_err(|_| EINVAL)
}

/// Shows a mounted file system.
pub(crate) fn add(mount: &Arc<Mounted>) -> Result<Shown> {
    let mut shown = Shown::default();
    let name = &mount.base.health.name;
    let dir = sysfs::root()?.path_or_new("fs/ext4")?.mkdir(name)?;
    shown.nodes.push(dir.clone(), kalloc::flags::GFP_KERNEL)?;
    for (attribute, show) in ATTRIBUTES {
        let weak = Arc::downgrade(mount);
        let show = move |out: &mut SeqBuf| with(&weak, |mount| show(mount, out));
        if attribute == "reserved_clusters" {
            let weak = Arc::downgrade(mount);
            let store = move |data: &[u8]| {
                let clusters = number_in(data)?;
                with(&weak, |mount| mount.core.set_last_clusters(clusters))?;
                Ok(data.len())
            };
            attr_rw(&dir, attribute, show, store)?;
        } else {
            attr(&dir, attribute, show)?;
        }
    }
    let dir = proc::root()?.path_or_new("fs/ext4")?.mkdir(name)?;
    shown.nodes.push(dir.clone(), kalloc::flags::GFP_KERNEL)?;
    let weak = Arc::downgrade(mount);
    dir.attr(b"options", 0o444, proc::Text(move |out: &mut SeqBuf| with(&weak, |mount| options(mount, out))))?;
    dir.attr(b"mb_groups", 0o444, Groups(Arc::downgrade(mount)))?;
    if mount.journal().is_some() {
        let dir = proc::root()?.path_or_new("fs/jbd2")?.mkdir(&mount.journal_name()?)?;
        shown.nodes.push(dir.clone(), kalloc::flags::GFP_KERNEL)?;
        let weak = Arc::downgrade(mount);
        dir.attr(b"info", 0o444, proc::Text(move |out: &mut SeqBuf| with(&weak, |mount| journal(mount, out))))?;
    }
    Ok(shown)
}

/// Powers of two that `mb_groups` counts free runs by.
const ORDERS: usize = 14;

/// How many pieces of each power of two a free run consists of, as a buddy allocator would have them: each lies at a multiple of its size.
fn count_pieces(mut start: u64, len: u64, counts: &mut [u32; ORDERS]) {
    let end = start + len;
    while start < end {
        let order = start.trailing_zeros().min((end - start).ilog2()).min(ORDERS as u32 - 1);
        if let Some(count) = counts.get_mut(order as usize) {
            *count += 1;
        }
        start += 1 << order;
    }
}

/// `mb_groups`: the free clusters of each group and how they lie, a group a line.
struct Groups(WeakArc<Mounted>);

impl proc::Attribute for Groups {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let mount = self.0.upgrade().ok_or(ENODEV)?;
        let (core, number) = (&mount.core, u32::try_from(at).map_err(|_| EINVAL)?);
        if number == 0 {
            out.put(b"#group: free  frags first [")?;
            (0..ORDERS).try_for_each(|order| out.print(format_args!(" 2^{order:<3}")))?;
            out.put(b" ]\n")?;
        }
        if number >= core.groups_count() {
            return Ok(None);
        }
        let (runs, bits) = (core.free_space(number)?, core.geo.cluster_bits);
        let (mut counts, mut free) = ([0; ORDERS], 0);
        let home = core.geo.group_start(number);
        for run in runs.iter() {
            free += run.len >> bits;
            count_pieces((run.start - home) >> bits, run.len >> bits, &mut counts);
        }
        let first = runs.first().map_or(0, |run| (run.start - home) >> bits);
        out.print(format_args!("#{number:<5}: {free:<5} {:<5} {first:<5} [", runs.len()))?;
        counts.iter().try_for_each(|count| out.print(format_args!(" {count:<5}")))?;
        out.put(b" ]\n")?;
        Ok((at + 1 < core.groups_count().into()).then_some(at + 1))
    }
}

fn with<R>(weak: &WeakArc<Mounted>, f: impl FnOnce(&Mounted) -> Result<R>) -> Result<R> {
    f(&*weak.upgrade().ok_or(ENODEV)?)
}

/// All options that are in force, one a line.
fn options(mount: &Mounted, out: &mut SeqBuf) -> Result {
    let rdonly = mount.sb.get().and_then(WeakArc::upgrade).is_some_and(|sb| sb.is_rdonly());
    out.put(if rdonly { b"ro\n" } else { b"rw\n" })?;
    let options = mount.options();
    for (on, yes, no) in [
        (options.minixdf, "minixdf", "bsddf"),
        (options.grpid, "grpid", "nogrpid"),
        (options.user_xattr, "user_xattr", "nouser_xattr"),
        (options.acl, "acl", "noacl"),
        (options.barrier, "barrier", "nobarrier"),
        (options.delalloc, "delalloc", "nodelalloc"),
        (options.auto_da_alloc, "auto_da_alloc", "noauto_da_alloc"),
        (options.discard, "discard", "nodiscard"),
    ] {
        out.print(format_args!("{}\n", if on { yes } else { no }))?;
    }
    out.print(format_args!("resuid={}\nresgid={}\n", options.resuid, options.resgid))?;
    out.print(format_args!("errors={}\ncommit={}\n", options.errors.name(), options.commit))?;
    out.print(format_args!("min_batch_time={}\nmax_batch_time={}\n", options.min_batch, options.max_batch))?;
    out.print(format_args!("stripe={}\n", options.stripe))?;
    if mount.journal().is_some() {
        out.print(format_args!("data={}\n", options.data.name()))?;
    }
    Ok(())
}

/// Averages over all commits, as jbd2 of Linux words them.
fn journal(mount: &Mounted, out: &mut SeqBuf) -> Result {
    let Some(journal) = mount.journal() else { return Ok(()) };
    let stats = journal.stats();
    out.print(format_args!(
        "{} transactions ({} requested), each up to {} blocks\n",
        stats.commits,
        stats.requested,
        journal.max_credits()
    ))?;
    if stats.commits == 0 {
        return Ok(());
    }
    let ms = |sum: u64| sum / stats.commits / 1_000_000;
    out.put(b"average: \n")?;
    for (value, what) in [
        (stats.wait, "waiting for transaction"),
        (stats.request_delay, "request delay"),
        (stats.running, "running transaction"),
        (stats.locked, "transaction was being locked"),
        (stats.flushing, "flushing data (in ordered mode)"),
        (stats.logging, "logging transaction"),
    ] {
        out.print(format_args!("  {}ms {what}\n", ms(value)))?;
    }
    out.print(format_args!("  {}us average transaction commit time\n", stats.average_commit / 1000))?;
    for (value, what) in [(stats.handles, "handles"), (stats.blocks, "blocks"), (stats.logged, "logged blocks")] {
        out.print(format_args!("  {} {what} per transaction\n", value / stats.commits))?;
    }
    Ok(())
}
