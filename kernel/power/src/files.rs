// SPDX-License-Identifier: GPL-2.0
//! `/sys/power`. Source: Linux's `Documentation/ABI/testing/sysfs-power`.

use crate::process::TIMEOUT_MS;
use crate::suspend::{SYNC, TEST_DELAY, Test, pm_suspend};
use cmdline::{kstrtou32, kstrtou64, simple_strtoul};
use core::sync::atomic::Ordering::Relaxed;
use errno::{Result, code::*};
use kalloc::Arc;
use sysfs::Node;
use vfs::{SeqBuf, seq_print};

/// What a program wrote, up to the end of the first line.
fn first_line(data: &[u8]) -> &[u8] {
    data.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

/// A decimal number. `EINVAL`.
fn number(data: &[u8]) -> Result<u64> {
    kstrtou64(data, 10).map_err(|_| EINVAL)
}

/// A decimal number at the start, whatever follows it. `EINVAL`.
fn leading_number(data: &[u8]) -> Result<u32> {
    let text = data.trim_ascii_start();
    match text.first() {
        Some(b'0'..=b'9') => Ok(simple_strtoul(text, 10).0 as u32),
        _ => Err(EINVAL),
    }
}

/// The states: `freeze` is to the idle state, `mem` what `mem_sleep` says, which can only be the same.
fn store_state(data: &[u8]) -> Result<usize> {
    match first_line(data) {
        b"freeze" | b"mem" => pm_suspend().map(|()| data.len()),
        _ => Err(EINVAL),
    }
}

fn store_mem_sleep(data: &[u8]) -> Result<usize> {
    if first_line(data) == b"s2idle" { Ok(data.len()) } else { Err(EINVAL) }
}

fn show_test(out: &mut SeqBuf) -> Result {
    let now = Test::current();
    for (at, (test, name)) in Test::ALL.iter().enumerate() {
        let space = if at == 0 { "" } else { " " };
        if *test == now {
            seq_print!(out, "{space}[{name}]")?;
        } else {
            seq_print!(out, "{space}{name}")?;
        }
    }
    out.byte(b'\n')
}

fn store_test(data: &[u8]) -> Result<usize> {
    let name = first_line(data);
    let (test, _) = Test::ALL.iter().find(|(_, its)| its.as_bytes() == name).ok_or(EINVAL)?;
    // Not while the machine is on its way.
    let _transition = ::process::misc::SYSTEM_TRANSITION.lock();
    test.set();
    Ok(data.len())
}

fn store_sync(data: &[u8]) -> Result<usize> {
    match number(data)? {
        on @ (0 | 1) => SYNC.store(on == 1, Relaxed),
        _ => return Err(EINVAL),
    }
    Ok(data.len())
}

fn files(dir: &Arc<Node>) -> Result {
    sysfs::attr_rw(dir, "state", |out| out.put(b"freeze mem\n"), store_state)?;
    sysfs::attr_rw(dir, "mem_sleep", |out| out.put(b"[s2idle]\n"), store_mem_sleep)?;
    sysfs::attr_rw(dir, "pm_test", show_test, store_test)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", u8::from(SYNC.load(Relaxed)));
    sysfs::attr_rw(dir, "sync_on_suspend", show, store_sync)?;
    sysfs::attr_rw(
        dir,
        "wakeup_count",
        |out| seq_print!(out, "{}\n", wakeup::count()),
        |data| {
            if wakeup::save_count(leading_number(data)?) { Ok(data.len()) } else { Err(EINVAL) }
        },
    )?;
    sysfs::attr(dir, "pm_wakeup_irq", |out| seq_print!(out, "{}\n", wakeup::irq().ok_or(ENODATA)?))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", TIMEOUT_MS.load(Relaxed));
    sysfs::attr_rw(dir, "pm_freeze_timeout", show, |data| {
        // Linux keeps the lower half of it.
        TIMEOUT_MS.store(number(data)? & u64::from(u32::MAX), Relaxed);
        Ok(data.len())
    })?;
    Ok(())
}

/// Makes the files. Once, at boot, when there is sysfs.
pub fn init() -> Result {
    files(&sysfs::root()?.path_or_new("power")?)?;
    let parameters = sysfs::root()?.path_or_new("module/suspend/parameters")?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", TEST_DELAY.load(Relaxed));
    sysfs::attr_rw(&parameters, "pm_test_delay", show, |data| {
        TEST_DELAY.store(kstrtou32(data, 0)?, Relaxed);
        Ok(data.len())
    })?;
    Ok(())
}

#[macros::kunit_tests(power)]
mod tests {
    use super::*;

    #[test]
    fn states_that_there_are_not() {
        for text in [&b"standby"[..], b"disk", b"freez", b"freezer", b"", b"\n", b"mem2"] {
            assert_eq!(store_state(text).err(), Some(EINVAL));
        }
        assert_eq!(store_mem_sleep(b"s2idle\n"), Ok(7));
        assert_eq!(store_mem_sleep(b"deep").err(), Some(EINVAL));
    }

    #[test]
    fn tests_by_name() -> Result {
        let before = Test::current();
        assert_eq!(store_test(b"platform\n"), Ok(9));
        assert_eq!(Test::current(), Test::Platform);
        assert_eq!(store_test(b"device").err(), Some(EINVAL));
        assert_eq!(Test::current(), Test::Platform);
        before.set();
        Ok(())
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"12\n"), Ok(12));
        for text in [&b"0x10"[..], b"-1", b"12 ", b"", b"18446744073709551616"] {
            assert_eq!(number(text).err(), Some(EINVAL));
        }
        assert_eq!(leading_number(b" 12 and more"), Ok(12));
        assert_eq!(leading_number(b"-1").err(), Some(EINVAL));
        assert_eq!(store_sync(b"2").err(), Some(EINVAL));
    }

    /// A test that goes deeper than this kernel sleeps is refused before anything happens.
    #[test]
    fn deeper_tests_are_refused() {
        let before = Test::current();
        Test::Core.set();
        assert_eq!(pm_suspend().err(), Some(errno::code::EAGAIN));
        before.set();
    }
}
