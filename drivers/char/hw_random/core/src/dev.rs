// SPDX-License-Identifier: GPL-2.0
//! `/dev/hwrng`, and the files of `/sys/class/misc/hw_random`.

use crate::fill;
use crate::list::{LIST, Source};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernel::hardware::{device, misc, module_core, proc, sync, sysfs, task, vfs};
use misc::{MiscOps, Registration};
use module_core::Header;
use sync::Mutex;
use sysfs::Node;
use vfs::{File, FileOps, IovIter, SeqBuf, fmode, seq_print};

/// Its node's name.
const NODE: &str = "hwrng";
/// Its minor.
const MINOR: u32 = 183;
/// Bytes that are read from a generator at once.
pub(crate) const BUFFER: usize = 64;

/// What was read and nobody has yet, from the end.
struct Left {
    bytes: [u8; BUFFER],
    len: usize,
}

/// One reader at a time.
static READING: Mutex<Left> = Mutex::new(Left { bytes: [0; BUFFER], len: 0 });

/// Reads from a generator, while nobody else does. May sleep.
pub(crate) fn read_from(source: &Source, out: &mut [u8], wait: bool) -> Result<usize> {
    let _reading = READING.lock();
    source.read(out, wait)
}

struct Hwrng;

impl MiscOps for Hwrng {
    fn open(&self, file: &File) -> Result<KBox<dyn FileOps>> {
        // To be read only.
        if file.mode() & (fmode::READ | fmode::WRITE) != fmode::READ {
            return Err(EINVAL);
        }
        Ok(KBox::new(Open, GFP_KERNEL)?)
    }

    fn mode(&self) -> u32 {
        0
    }

    fn owner(&self) -> Option<&'static Header> {
        crate::THIS_MODULE.header()
    }
}

struct Open;

impl Open {
    /// One step of a read; how many bytes.
    fn step(file: &File, to: &mut IovIter<'_>) -> Result<usize> {
        let source = LIST.lock_interruptible()?.current.clone().ok_or(ENODEV)?;
        let mut left = READING.lock_interruptible()?;
        let Left { bytes, len } = &mut *left;
        if *len == 0 {
            *len = source.read(bytes, !file.nonblock())?;
        }
        if *len == 0 {
            // A generator that was to wait and has nothing is about to go.
            return if file.nonblock() { Err(EAGAIN) } else { Ok(0) };
        }
        let take = to.count().min(*len);
        *len -= take;
        let Some(part) = bytes.get_mut(*len..*len + take) else { return Ok(0) };
        let copied = to.copy_to_iter(part);
        part.fill(0);
        if copied == take { Ok(take) } else { Err(EFAULT) }
    }
}

impl FileOps for Open {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let mut done = 0;
        while !to.is_empty() {
            match Self::step(file, to) {
                Ok(len) => done += len,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            if task::current().signal_pending() {
                return if done == 0 { Err(ERESTARTSYS) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

fn fill_dir(dir: &Arc<Node>) -> Result {
    dir.fill_by_module();
    let show = |out: &mut SeqBuf| match &LIST.lock().current {
        Some(source) => seq_print!(out, "{}\n", source.name()),
        None => out.put(b"none\n"),
    };
    sysfs::attr_rw(dir, "rng_current", show, |data| {
        LIST.lock_interruptible()?.choose(data.strip_suffix(b"\n").unwrap_or(data))?;
        fill::changed();
        Ok(data.len())
    })?;
    sysfs::attr(dir, "rng_available", |out| {
        for source in &LIST.lock().all {
            seq_print!(out, "{} ", source.name())?;
        }
        out.byte(b'\n')
    })?;
    sysfs::attr(dir, "rng_selected", |out| seq_print!(out, "{}\n", u32::from(LIST.lock().chosen)))?;
    let show = |out: &mut SeqBuf| {
        let quality = LIST.lock().current.as_ref().map(|source| source.quality());
        seq_print!(out, "{}\n", quality.ok_or(ENODEV)?)
    };
    sysfs::attr_rw(dir, "rng_quality", show, |data| {
        LIST.lock_interruptible()?.set_quality(proc::parse_number(data)?)?;
        fill::changed();
        Ok(data.len())
    })?;
    Ok(())
}

/// Makes the device.
pub(crate) fn register() -> Result<Registration> {
    let make = |_: &Arc<device::Device>| -> Result<KBox<dyn MiscOps>> { Ok(KBox::new(Hwrng, GFP_KERNEL)?) };
    Registration::with_node(b"hw_random", Some(NODE), MINOR, fill_dir, make)
}
