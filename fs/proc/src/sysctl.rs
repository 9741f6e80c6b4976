// SPDX-License-Identifier: GPL-2.0
//! `/proc/sys`: settings. Only those that do something are here. Other crates add theirs through [`crate::root`] at `sys`.
//! Source: `proc(5)`, Linux's `Documentation/admin-guide/sysctl/`.

use crate::text::file;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::{Arc, KString, flags::GFP_KERNEL};
use kernfs::{Node, Text, TextRw};
use locking::SetOnce;
use vfs::{SeqBuf, seq_print};
use x86::panic::PANIC_TIMEOUT;
use x86::traps::oops::PANIC_ON_OOPS;

/// A number as programs write it: decimal, octal with `0`, hexadecimal with `0x`; white space around it, one minus before it and
/// else no sign. Whether there is a minus, and the rest. `EINVAL`.
fn sign_and_size(data: &[u8]) -> Result<(bool, u64)> {
    let text = core::str::from_utf8(data.trim_ascii()).map_err(|_| EINVAL)?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, radix) = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        (hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    // Rust's parser takes a sign of its own.
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return Err(EINVAL);
    }
    Ok((negative, u64::from_str_radix(digits, radix).map_err(|_| EINVAL)?))
}

/// A number with a sign, as programs write it. `EINVAL`.
pub fn parse_number(data: &[u8]) -> Result<i64> {
    let (negative, value) = sign_and_size(data)?;
    let value = if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() };
    value.ok_or(EINVAL)
}

/// A number for a setting in a long word, of which all bits count. `EINVAL`.
pub(crate) fn parse_long(data: &[u8]) -> Result<u64> {
    let (negative, value) = sign_and_size(data)?;
    if negative { Err(EINVAL) } else { Ok(value) }
}

/// A constant number.
fn number(dir: &Arc<Node>, name: &str, value: u64) -> Result {
    file(dir, name, 0o444, move |out| seq_print!(out, "{value}\n"))
}

/// A setting in a byte, with the least and the largest value.
fn setting_u8(dir: &Arc<Node>, name: &str, value: &'static AtomicU8, max: u8) -> Result {
    setting_mode(dir, name, 0o644, value, max)
}

/// As [`setting_u8`], with the file's permissions.
fn setting_mode(dir: &Arc<Node>, name: &str, mode: u32, value: &'static AtomicU8, max: u8) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let new = u8::try_from(parse_number(data)?).ok().filter(|&new| new <= max).ok_or(EINVAL)?;
        value.store(new, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), mode, TextRw(show, store))?;
    Ok(())
}

/// A setting in a word, of at most `max`.
fn setting_u32(dir: &Arc<Node>, name: &str, value: &'static AtomicU32, max: u32) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let new = u32::try_from(parse_number(data)?).ok().filter(|&new| new <= max).ok_or(EINVAL)?;
        value.store(new, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), 0o644, TextRw(show, store))?;
    Ok(())
}

/// A setting in a signed word.
fn setting_i32(dir: &Arc<Node>, name: &str, value: &'static AtomicI32, range: RangeInclusive<i32>) -> Result {
    setting_mode_i32(dir, name, 0o644, value, range)
}

/// As [`setting_i32`], with the file's permissions.
fn setting_mode_i32(
    dir: &Arc<Node>,
    name: &str,
    mode: u32,
    value: &'static AtomicI32,
    range: RangeInclusive<i32>,
) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let new = i32::try_from(parse_number(data)?).ok().filter(|new| range.contains(new)).ok_or(EINVAL)?;
        value.store(new, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), mode, TextRw(show, store))?;
    Ok(())
}

/// Any number that fits.
const ANY: RangeInclusive<i32> = i32::MIN..=i32::MAX;

/// A setting in a long word.
fn setting_u64(dir: &Arc<Node>, name: &str, value: &'static AtomicU64) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        value.store(parse_long(data)?, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), 0o644, TextRw(show, store))?;
    Ok(())
}

/// Makes the tree.
pub(crate) fn add(tree: &Arc<Node>) -> Result {
    let sys = tree.mkdir_mode(b"sys", 0o555)?;
    sys.fix_modes();
    let kernel = sys.mkdir_mode(b"kernel", 0o555)?;
    names(&kernel)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", process::pid::pid_max());
    let store = |data: &[u8]| {
        process::pid::set_pid_max(u32::try_from(parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    };
    kernel.attr(b"pid_max", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", process::pid::last_pid());
    let store = |data: &[u8]| {
        process::pid::set_last_pid(u32::try_from(parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    };
    kernel.attr(b"ns_last_pid", 0o666, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", process::nproc::threads_max());
    let store = |data: &[u8]| {
        process::nproc::set_threads_max(u32::try_from(parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    };
    kernel.attr(b"threads-max", 0o644, TextRw(show, store))?;
    setting_i32(&kernel, "ctrl-alt-del", &process::misc::CTRL_ALT_DEL, ANY)?;
    restricted(&kernel, "dmesg_restrict", &printk::syslog::RESTRICTED)?;
    rr_file(&kernel)?;
    rt_files(&kernel)?;
    setting_i32(&kernel, "randomize_va_space", &mm::layout::RANDOMIZE_VA_SPACE, ANY)?;
    number(&kernel, "ngroups_max", cred::NGROUPS_MAX as u64)?;
    number(&kernel, "cap_last_cap", cred::CAP_LAST_CAP.number().into())?;
    kernel.attr(b"printk", 0o644, TextRw(show_printk, store_printk))?;
    panic_files(&kernel)?;
    core_files(&kernel)?;
    random_dir(&kernel)?;
    let debug = sys.mkdir_mode(b"debug", 0o555)?;
    setting_i32(&debug, "exception-trace", &process::fault_log::SHOW, ANY)?;
    let fs = sys.mkdir_mode(b"fs", 0o555)?;
    fs.attr(b"aio-nr", 0o444, Text(|out: &mut SeqBuf| seq_print!(out, "{}\n", aio::aio_nr())))?;
    setting_u64(&fs, "aio-max-nr", aio::aio_max_nr())?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", vfs::tasks::nr_open());
    let store = |data: &[u8]| {
        vfs::tasks::set_nr_open(u32::try_from(parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    };
    fs.attr(b"nr_open", 0o644, TextRw(show, store))?;
    file_limits(&fs)?;
    setting_u32(&fs, "leases-enable", &vfs::lease::ENABLED, i32::MAX as u32)?;
    setting_u32(&fs, "lease-break-time", &vfs::lease::BREAK_TIME, i32::MAX as u32)?;
    // Programs for quotas look for this directory: without it they believe in an interface of Linux 2.4.
    let syncs = |out: &mut SeqBuf| seq_print!(out, "{}\n", vfs::syscall::quota::SYNCS.load(Ordering::Relaxed));
    fs.mkdir_mode(b"quota", 0o555)?.attr(b"syncs", 0o444, Text(syncs))?;
    setting_u8(&fs, "suid_dumpable", &process::coredump::SUID_DUMPABLE, 2)?;
    use vfs::protect::{FIFOS, HARDLINKS, REGULAR, SYMLINKS};
    for (name, value, max) in [
        ("protected_symlinks", &SYMLINKS, 1),
        ("protected_hardlinks", &HARDLINKS, 1),
        ("protected_fifos", &FIFOS, 2),
        ("protected_regular", &REGULAR, 2),
    ] {
        setting_mode(&fs, name, 0o600, value, max)?;
    }
    let watches = fs.mkdir_mode(b"inotify", 0o555)?;
    setting_u32(&watches, "max_queued_events", &inotify::limits::MAX_QUEUED_EVENTS, i32::MAX as u32)?;
    setting_u32(&watches, "max_user_instances", &inotify::limits::MAX_USER_INSTANCES, i32::MAX as u32)?;
    setting_u32(&watches, "max_user_watches", &inotify::limits::MAX_USER_WATCHES, i32::MAX as u32)?;
    setting_u64(&fs.mkdir_mode(b"epoll", 0o555)?, "max_user_watches", &eventpoll::limits::MAX_USER_WATCHES)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", vfs::mounting::MOUNT_MAX.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let most = u32::try_from(parse_number(data)?).ok().filter(|most| *most != 0).ok_or(EINVAL)?;
        vfs::mounting::MOUNT_MAX.store(most, Ordering::Relaxed);
        Ok(data.len())
    };
    fs.attr(b"mount-max", 0o644, TextRw(show, store))?;
    let user = sys.mkdir_mode(b"user", 0o555)?;
    for limit in &vfs::ns_count::LIMITS {
        setting_u32(&user, limit.file, &limit.most, i32::MAX as u32)?;
    }
    vm_files(&sys)
}

/// A switch that only the administrator changes, whoever may write to the file.
fn restricted(dir: &Arc<Node>, name: &str, value: &'static AtomicI32) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        let new = i32::try_from(parse_number(data)?).ok().filter(|new| matches!(new, 0 | 1)).ok_or(EINVAL)?;
        value.store(new, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), 0o644, TextRw(show, store))?;
    Ok(())
}

/// The slice of `SCHED_RR`; what is no time is the default.
fn rr_file(kernel: &Arc<Node>) -> Result {
    use sched::entity::{RR_SLICE_MS, RR_SLICE_MS_DEFAULT};
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", RR_SLICE_MS.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let ms = i32::try_from(parse_number(data)?).map_err(|_| EINVAL)?;
        RR_SLICE_MS.store(if ms <= 0 { RR_SLICE_MS_DEFAULT } else { ms }, Ordering::Relaxed);
        Ok(data.len())
    };
    kernel.attr(b"sched_rr_timeslice_ms", 0o644, TextRw(show, store))?;
    Ok(())
}

/// Of which period real-time tasks may have how much; -1: all. What cannot be leaves both as they were.
fn rt_files(kernel: &Arc<Node>) -> Result {
    use sched::throttle::{rt_limits_us, set_rt_limits_us};
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", rt_limits_us().0);
    let store = |data: &[u8]| {
        set_rt_limits_us(i32::try_from(parse_number(data)?).map_err(|_| EINVAL)?, rt_limits_us().1)?;
        Ok(data.len())
    };
    kernel.attr(b"sched_rt_period_us", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", rt_limits_us().1);
    let store = |data: &[u8]| {
        set_rt_limits_us(rt_limits_us().0, i32::try_from(parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    };
    kernel.attr(b"sched_rt_runtime_us", 0o644, TextRw(show, store))?;
    Ok(())
}

/// How many files may be open, and how large a pipe may be.
fn file_limits(fs: &Arc<Node>) -> Result {
    use vfs::file_count;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", file_count::max());
    let store = |data: &[u8]| {
        // Linux's largest is that of a signed word.
        file_count::set_max(i64::try_from(parse_long(data)?).map_err(|_| EINVAL)?.cast_unsigned());
        Ok(data.len())
    };
    fs.attr(b"file-max", 0o644, TextRw(show, store))?;
    // The second number has been 0 since Linux 2.6: no file is kept unused.
    file(fs, "file-nr", 0o444, |out| seq_print!(out, "{}\t0\t{}\n", file_count::open_files(), file_count::max()))?;
    census_files(fs)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", pipe::max_size());
    let store = |data: &[u8]| {
        pipe::set_max_size(usize::try_from(parse_number(data)?).map_err(|_| EINVAL)?)?;
        Ok(data.len())
    };
    fs.attr(b"pipe-max-size", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", pipe::user_pages_soft());
    let store = |data: &[u8]| {
        pipe::set_user_pages_soft(parse_long(data)? as usize);
        Ok(data.len())
    };
    fs.attr(b"pipe-user-pages-soft", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", pipe::user_pages_hard());
    let store = |data: &[u8]| {
        pipe::set_user_pages_hard(parse_long(data)? as usize);
        Ok(data.len())
    };
    fs.attr(b"pipe-user-pages-hard", 0o644, TextRw(show, store))?;
    Ok(())
}

/// How many inodes and names are in memory, and how many only because there is room. Numbers that have no meaning any more are 0, as in
/// Linux; 45 is the age in seconds by which names were once dropped.
fn census_files(fs: &Arc<Node>) -> Result {
    use vfs::census;
    file(fs, "inode-nr", 0o444, |out| {
        let (all, unused) = census::inodes();
        seq_print!(out, "{all}\t{unused}\n")
    })?;
    file(fs, "inode-state", 0o444, |out| {
        let (all, unused) = census::inodes();
        seq_print!(out, "{all}\t{unused}\t0\t0\t0\t0\t0\n")
    })?;
    file(fs, "dentry-state", 0o444, |out| {
        let census::Dentries { all, unused, negative } = census::dentries();
        seq_print!(out, "{all}\t{unused}\t45\t0\t{negative}\t0\n")
    })
}

/// Two settings of which the one that is set last counts: percent, and bytes.
fn ratio_or_bytes(
    vm: &Arc<Node>,
    names: (&'static str, &'static str),
    ratio: &'static AtomicU32,
    bytes: &'static AtomicU64,
    least: u64,
) -> Result {
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", ratio.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let new = u32::try_from(parse_number(data)?).ok().filter(|&new| new <= 100).ok_or(EINVAL)?;
        ratio.store(new, Ordering::Relaxed);
        bytes.store(0, Ordering::Relaxed);
        Ok(data.len())
    };
    vm.attr(names.0.as_bytes(), 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", bytes.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let new = u64::try_from(parse_number(data)?).ok().filter(|&new| new >= least).ok_or(EINVAL)?;
        bytes.store(new, Ordering::Relaxed);
        ratio.store(0, Ordering::Relaxed);
        Ok(data.len())
    };
    vm.attr(names.1.as_bytes(), 0o644, TextRw(show, store))?;
    Ok(())
}

/// Settings of write-back, and `drop_caches`.
fn writeback_files(vm: &Arc<Node>) -> Result {
    use mm::throttle::*;
    const PAGE: u64 = mm_alloc::PAGE_SIZE as u64;
    ratio_or_bytes(vm, ("dirty_ratio", "dirty_bytes"), &DIRTY_RATIO, &DIRTY_BYTES, 2 * PAGE)?;
    let background = ("dirty_background_ratio", "dirty_background_bytes");
    ratio_or_bytes(vm, background, &BACKGROUND_RATIO, &BACKGROUND_BYTES, 1)?;
    setting_u32(vm, "dirty_writeback_centisecs", &WRITEBACK_CENTISECS, i32::MAX as u32)?;
    setting_u32(vm, "dirty_expire_centisecs", &EXPIRE_CENTISECS, i32::MAX as u32)?;
    setting_u32(vm, "dirtytime_expire_seconds", &DIRTYTIME_EXPIRE, i32::MAX as u32)?;
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", DROPPED.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let what = u32::try_from(parse_number(data)?).ok().filter(|what| (1..=4).contains(what)).ok_or(EINVAL)?;
        DROPPED.store(what, Ordering::Relaxed);
        mm::reclaim::drop_caches(what);
        Ok(data.len())
    };
    vm.attr(b"drop_caches", 0o200, TextRw(show, store))?;
    Ok(())
}

/// `/proc/sys/vm`. Setting the overcommit ratio clears the limit in KiB and the other way round.
fn vm_files(sys: &Arc<Node>) -> Result {
    use mm::account;
    use mm::layout::MMAP_MIN_ADDR;
    let vm = sys.mkdir_mode(b"vm", 0o555)?;
    setting_u8(&vm, "overcommit_memory", &account::OVERCOMMIT, 2)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", account::OVERCOMMIT_RATIO.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let new = u32::try_from(parse_number(data)?).map_err(|_| EINVAL)?;
        account::OVERCOMMIT_RATIO.store(new, Ordering::Relaxed);
        account::OVERCOMMIT_KBYTES.store(0, Ordering::Relaxed);
        Ok(data.len())
    };
    vm.attr(b"overcommit_ratio", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", account::OVERCOMMIT_KBYTES.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let new = u64::try_from(parse_number(data)?).map_err(|_| EINVAL)?;
        account::OVERCOMMIT_KBYTES.store(new, Ordering::Relaxed);
        if new != 0 {
            account::OVERCOMMIT_RATIO.store(0, Ordering::Relaxed);
        }
        Ok(data.len())
    };
    vm.attr(b"overcommit_kbytes", 0o644, TextRw(show, store))?;
    writeback_files(&vm)?;
    setting_u64(&vm, "user_reserve_kbytes", &account::USER_RESERVE_KBYTES)?;
    setting_u64(&vm, "admin_reserve_kbytes", &account::ADMIN_RESERVE_KBYTES)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", mm_alloc::buddy::min_free_kbytes());
    let store = |data: &[u8]| {
        mm_alloc::buddy::set_min_free_kbytes(usize::try_from(parse_number(data)?).map_err(|_| EINVAL)?);
        Ok(data.len())
    };
    vm.attr(b"min_free_kbytes", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", MMAP_MIN_ADDR.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        if !cred::capable(cred::CAP_SYS_RAWIO) {
            return Err(EPERM);
        }
        MMAP_MIN_ADDR.store(usize::try_from(parse_number(data)?).map_err(|_| EINVAL)?, Ordering::Relaxed);
        Ok(data.len())
    };
    vm.attr(b"mmap_min_addr", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", mm_alloc::buddy::watermark_scale_factor());
    let store = |data: &[u8]| {
        let parts =
            usize::try_from(parse_number(data)?).ok().filter(|parts| (1..=3000).contains(parts)).ok_or(EINVAL)?;
        mm_alloc::buddy::set_watermark_scale_factor(parts);
        Ok(data.len())
    };
    vm.attr(b"watermark_scale_factor", 0o644, TextRw(show, store))?;
    setting_u32(&vm, "vfs_cache_pressure", &vfs::icache::CACHE_PRESSURE, i32::MAX.cast_unsigned())?;
    setting_mode_i32(&vm, "mmap_rnd_bits", 0o600, &mm::layout::MMAP_RND_BITS, 28..=32)?;
    setting_i32(&vm, "legacy_va_layout", &mm::layout::LEGACY_VA_LAYOUT, 0..=i32::MAX)?;
    setting_u32(&vm, "max_map_count", &mm::MAX_MAP_COUNT, i32::MAX.cast_unsigned())?;
    setting_u8(&vm, "swappiness", &mm::swap::SWAPPINESS, 200)?;
    setting_u32(&vm, "page-cluster", &mm::swap::PAGE_CLUSTER, 31)?;
    setting_u8(&vm, "panic_on_oom", &oom::PANIC_ON_OOM, 2)?;
    setting_u8(&vm, "oom_kill_allocating_task", &oom::KILL_ALLOCATING_TASK, u8::MAX)?;
    setting_u8(&vm, "oom_dump_tasks", &oom::DUMP_TASKS, u8::MAX)
}

fn panic_files(kernel: &Arc<Node>) -> Result {
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", PANIC_TIMEOUT.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let seconds = i32::try_from(parse_number(data)?).map_err(|_| EINVAL)?;
        PANIC_TIMEOUT.store(seconds, Ordering::Relaxed);
        Ok(data.len())
    };
    kernel.attr(b"panic", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", u8::from(PANIC_ON_OOPS.load(Ordering::Relaxed)));
    let store = |data: &[u8]| {
        PANIC_ON_OOPS.store(parse_number(data)? != 0, Ordering::Relaxed);
        Ok(data.len())
    };
    kernel.attr(b"panic_on_oops", 0o644, TextRw(show, store))?;
    Ok(())
}

fn core_files(kernel: &Arc<Node>) -> Result {
    use process::coredump::pattern;
    let show = |out: &mut SeqBuf| line(out, &pattern::pattern()?);
    let store = |data: &[u8]| pattern::set_pattern(first_line(data)).map(|()| data.len());
    kernel.attr(b"core_pattern", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", u8::from(pattern::USES_PID.load(Ordering::Relaxed)));
    let store = |data: &[u8]| {
        pattern::USES_PID.store(parse_number(data)? != 0, Ordering::Relaxed);
        Ok(data.len())
    };
    kernel.attr(b"core_uses_pid", 0o644, TextRw(show, store))?;
    Ok(())
}

fn line(out: &mut SeqBuf, text: &[u8]) -> Result {
    out.put(text.split(|&byte| byte == 0).next().unwrap_or(b""))?;
    out.byte(b'\n')
}

fn names(kernel: &Arc<Node>) -> Result {
    file(kernel, "ostype", 0o444, |out| line(out, b"Linux"))?;
    file(kernel, "osrelease", 0o444, |out| line(out, uapi::UTS_RELEASE.as_bytes()))?;
    file(kernel, "arch", 0o444, |out| line(out, b"x86_64"))?;
    file(kernel, "version", 0o444, |out| line(out, process::misc::VERSION.as_bytes()))?;
    let show = |out: &mut SeqBuf| line(out, &process::ns::uts::names().node);
    let store = |data: &[u8]| process::ns::uts::set_hostname(first_line(data)).map(|()| data.len());
    kernel.attr(b"hostname", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| line(out, &process::ns::uts::names().domain);
    let store = |data: &[u8]| process::ns::uts::set_domainname(first_line(data)).map(|()| data.len());
    kernel.attr(b"domainname", 0o644, TextRw(show, store))?;
    Ok(())
}

fn first_line(data: &[u8]) -> &[u8] {
    data.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or(b"")
}

fn show_printk(out: &mut SeqBuf) -> Result {
    let [a, b, c, d] = printk::level::levels();
    seq_print!(out, "{a}\t{b}\t{c}\t{d}\n")
}

fn store_printk(data: &[u8]) -> Result<usize> {
    let mut values = [None; 4];
    let words = data.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (slot, word) in values.iter_mut().zip(words) {
        *slot = Some(u8::try_from(parse_number(word)?).map_err(|_| EINVAL)?);
    }
    printk::level::set_levels(values);
    Ok(data.len())
}

/// Random bytes in the form of a UUID of version 4.
fn uuid() -> Result<KString> {
    let mut b = [0u8; 16];
    random::fill(&mut b);
    let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, rest @ ..] = b;
    let (c0, d0) = (c0 & 0x0f | 0x40, d0 & 0x3f | 0x80);
    let mut text = SeqBuf::new(40);
    seq_print!(text, "{a0:02x}{a1:02x}{a2:02x}{a3:02x}-{b0:02x}{b1:02x}-{c0:02x}{c1:02x}-{d0:02x}{d1:02x}-")?;
    for byte in rest {
        seq_print!(text, "{byte:02x}")?;
    }
    Ok(KString::from_bytes(text.text(), GFP_KERNEL)?)
}

static BOOT_ID: SetOnce<KString> = SetOnce::new();

fn random_dir(kernel: &Arc<Node>) -> Result {
    let dir = kernel.mkdir_mode(b"random", 0o555)?;
    number(&dir, "poolsize", random::POOL_BITS.into())?;
    file(&dir, "entropy_avail", 0o444, |out| seq_print!(out, "{}\n", random::entropy_count()))?;
    // As in Linux what is written to these two changes nothing.
    for (name, value) in
        [("write_wakeup_threshold", random::POOL_BITS.into()), ("urandom_min_reseed_secs", random::RESEED_SECONDS)]
    {
        let show = move |out: &mut SeqBuf| seq_print!(out, "{value}\n");
        dir.attr(name.as_bytes(), 0o644, TextRw(show, |data: &[u8]| Ok(data.len())))?;
    }
    file(&dir, "uuid", 0o444, |out| line(out, uuid()?.as_bytes()))?;
    file(&dir, "boot_id", 0o444, |out| {
        if BOOT_ID.get().is_none() {
            // A lost race leaves the winner's.
            let _ = BOOT_ID.set(uuid()?);
        }
        line(out, BOOT_ID.get().ok_or(ENOMEM)?.as_bytes())
    })
}

#[macros::kunit_tests(proc_sysctl)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(parse_number(b"12\n"), Ok(12));
        assert_eq!(parse_number(b" -3 "), Ok(-3));
        assert_eq!(parse_number(b"0x10"), Ok(16));
        assert_eq!(parse_number(b"010"), Ok(8));
        assert_eq!(parse_number(b"0"), Ok(0));
        assert_eq!(parse_number(b""), Err(EINVAL));
        assert_eq!(parse_number(b"1x"), Err(EINVAL));
        assert_eq!(parse_number(b"0X1f"), Ok(31));
        assert_eq!(parse_number(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_number(b"-9223372036854775809"), Err(EINVAL));
        for text in ["--9223372036854775808", "--3", "-+3", "+3", "0x-5", "0x+5", "0-7", "-", "0x"] {
            assert_eq!(parse_number(text.as_bytes()), Err(EINVAL), "{text}");
        }
    }

    #[test]
    fn long_words() {
        assert_eq!(parse_long(b"18446744073709551615\n"), Ok(u64::MAX));
        assert_eq!(parse_long(b"18446744073709551616"), Err(EINVAL));
        assert_eq!(parse_long(b"-1\n"), Err(EINVAL));
        assert_eq!(parse_long(b"0x10"), Ok(16));
        assert_eq!(parse_long(b""), Err(EINVAL));
    }

    #[test]
    fn uuids_have_their_form() {
        let Ok(text) = uuid() else { return };
        assert_eq!(text.as_bytes().len(), 36);
        assert_eq!(text.as_bytes()[14], b'4');
        assert_eq!(text.as_bytes()[8], b'-');
    }
}
