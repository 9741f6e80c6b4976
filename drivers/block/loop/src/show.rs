// SPDX-License-Identifier: GPL-2.0
//! `/sys/block/loopN/loop`: what a device with a file is like. There while it has one.

use crate::device::{Bound, Device};
use crate::info::{AUTOCLEAR, DIRECT_IO, PARTSCAN};
use kernel::filesystem::sysfs::{self, Node};
use kernel::filesystem::vfs::SeqBuf;
use kernel::filesystem::vfs::path::shown;
use kernel::prelude::*;
use kernel::sync::Arc;

type Show = fn(&Bound, &mut SeqBuf) -> Result;

fn number(out: &mut SeqBuf, value: u64) -> Result {
    out.print(format_args!("{value}\n"))
}

fn flag(bound: &Bound, out: &mut SeqBuf, flag: u32) -> Result {
    number(out, u64::from(bound.flags & flag != 0))
}

const ATTRIBUTES: [(&str, Show); 6] = [
    ("backing_file", |bound, out| {
        out.put(&shown(bound.file.path())?)?;
        out.byte(b'\n')
    }),
    ("offset", |bound, out| number(out, bound.offset)),
    ("sizelimit", |bound, out| number(out, bound.sizelimit)),
    ("autoclear", |bound, out| flag(bound, out, AUTOCLEAR)),
    ("partscan", |bound, out| flag(bound, out, PARTSCAN)),
    ("dio", |bound, out| flag(bound, out, DIRECT_IO)),
];

/// Makes the directory. May sleep.
pub(crate) fn add(device: &Arc<Device>) -> Result<Arc<Node>> {
    let home = sysfs::root()?.path_or_new("devices/virtual/block")?.child(&device.name()?).ok_or(ENODEV)?;
    let dir = home.mkdir(b"loop")?;
    dir.fill_by_module();
    for (name, show) in ATTRIBUTES {
        let weak = Arc::downgrade(device);
        let show = move |out: &mut SeqBuf| weak.upgrade().ok_or(ENODEV)?.with_bound(|bound| show(bound, out));
        if let Err(error) = sysfs::attr(&dir, name, show) {
            dir.remove();
            return Err(error);
        }
    }
    Ok(dir)
}
