// SPDX-License-Identifier: GPL-2.0
//! `/sys/devices/system/cpu`: which CPUs there are. Source: Linux's `Documentation/ABI/testing/sysfs-devices-system-cpu`.

use crate::{Node, attr};
use errno::Result;
use kalloc::{Arc, KString, flags::GFP_KERNEL};
use vfs::SeqBuf;
use x86::smp;
use x86_cpu::MAX_CPUS;

/// Writes a set of CPUs as Linux writes lists (`0-3,5`), and a newline.
fn show_list(mask: smp::CpuMask, out: &mut SeqBuf) -> Result {
    put_list(mask, out)?;
    out.byte(b'\n')
}

/// Writes a set of CPUs as Linux writes lists (`0-3,5`).
pub fn put_list(mask: smp::CpuMask, out: &mut SeqBuf) -> Result {
    let mut rest = mask;
    let mut first = true;
    while rest != 0 {
        let start = rest.trailing_zeros();
        let len = (rest >> start).trailing_ones();
        let end = start + len - 1;
        if !first {
            out.byte(b',')?;
        }
        first = false;
        out.dec(start.into())?;
        if len > 1 {
            out.byte(b'-')?;
            out.dec(end.into())?;
        }
        rest = if end + 1 >= smp::CpuMask::BITS { 0 } else { rest >> (end + 1) << (end + 1) };
    }
    Ok(())
}

/// Makes the directory.
pub(crate) fn add(root: &Arc<Node>) -> Result {
    let dir = root.path_or_new("devices/system/cpu")?;
    attr(&dir, "online", |out| show_list(smp::online(), out))?;
    attr(&dir, "possible", |out| show_list(smp::possible(), out))?;
    attr(&dir, "present", |out| show_list(smp::possible(), out))?;
    attr(&dir, "offline", |out| show_list(smp::possible() & !smp::online(), out))?;
    attr(&dir, "kernel_max", |out| {
        out.dec(MAX_CPUS as u64 - 1)?;
        out.byte(b'\n')
    })?;
    for cpu in smp::cpus_in(smp::possible()) {
        let name = KString::from_fmt(format_args!("cpu{cpu}"), GFP_KERNEL)?;
        dir.mkdir(name.as_bytes())?;
    }
    Ok(())
}

#[macros::kunit_tests(sysfs_cpu)]
mod tests {
    use super::*;

    fn list(mask: smp::CpuMask) -> SeqBuf {
        let mut out = SeqBuf::new(64);
        let _ = show_list(mask, &mut out);
        out
    }

    #[test]
    fn lists_of_cpus() {
        assert_eq!(list(0).text(), b"\n");
        assert_eq!(list(1).text(), b"0\n");
        assert_eq!(list(0b1011).text(), b"0-1,3\n");
        assert_eq!(list(0b1111).text(), b"0-3\n");
    }
}
