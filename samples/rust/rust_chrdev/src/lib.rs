// SPDX-License-Identifier: GPL-2.0
//! Character devices with a major number of their own: `/dev/rust-page0` and so on, each a page of memory that programs read and write
//! anywhere.
//!
//! - `read(2)`, `pread(2)`: what is there, nothing behind the end; `write(2)`, `pwrite(2)`: `ENOSPC` behind the end.
//! - `lseek(2)`: `SEEK_SET` and `SEEK_CUR`.
//! - `ioctl(2)`: `_IO('p', 1)` fills the page with zeros.
//! - An open file keeps the module: `rmmod` is refused meanwhile.
//!
//! `/proc/devices` has the major number. Lock: each page's (sleeping).

#![no_std]
#![forbid(unsafe_code)]

use kernel::cdev::{CharOps, Device, File, FileOps, IovIter, Region, fmode};
use kernel::ext::{KString, ModuleHeader, Mutex};
use kernel::ioctl::_IO;
use kernel::prelude::*;
use kernel::sync::Arc;

module! {
    type: Pages,
    name: "rust_chrdev",
    authors: ["The Rideau developers"],
    description: "Pages of memory as character devices",
    license: "GPL",
    params: {
        count: u32 {
            default: 2,
            description: "How many devices, 1 to 16",
            permissions: 0o444,
        },
    },
}

const PAGE: usize = 4096;
const CLEAR: u32 = _IO('p' as u32, 1);

/// The contents of a device.
type Page = Arc<Mutex<KVec<u8>>>;

/// Opens the devices: who opens has the page, not the module's list.
struct Opener(KVec<Page>);

impl CharOps for Opener {
    fn open(&self, minor: u32, _: &File) -> Result<KBox<dyn FileOps>> {
        let page = self.0.get(minor as usize).ok_or(ENXIO)?.clone();
        Ok(KBox::new(Open(page), GFP_KERNEL)?)
    }

    /// Files have a position.
    fn mode(&self) -> u32 {
        fmode::SEEK
    }

    fn owner(&self) -> Option<&'static ModuleHeader> {
        THIS_MODULE.header()
    }
}

/// An open file.
struct Open(Page);

/// Where a transfer of `len` bytes at `pos` begins and ends within the page.
fn range(pos: i64, len: usize) -> Result<(usize, usize)> {
    let start = usize::try_from(pos).map_err(|_| EINVAL)?.min(PAGE);
    Ok((start, start.saturating_add(len).min(PAGE)))
}

impl FileOps for Open {
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        let (start, end) = range(*pos, to.count())?;
        // The program's memory may have to be read from a disk: not under the lock.
        let mut part = KVec::new();
        part.extend_from_slice(self.0.lock().get(start..end).ok_or(EINVAL)?, GFP_KERNEL)?;
        let done = to.copy_to_iter(&part);
        if done == 0 && !part.is_empty() {
            return Err(EFAULT);
        }
        *pos = (start + done) as i64;
        Ok(done)
    }

    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut i64) -> Result<usize> {
        if from.is_empty() {
            return Ok(0);
        }
        let (start, end) = range(*pos, from.count())?;
        if start == end {
            return Err(ENOSPC);
        }
        let mut part = KVec::from_elem(0u8, end - start, GFP_KERNEL)?;
        let done = from.copy_from_iter(&mut part);
        if done == 0 {
            return Err(EFAULT);
        }
        let mut page = self.0.lock();
        let place = page.get_mut(start..start + done).ok_or(EINVAL)?;
        place.copy_from_slice(part.get(..done).ok_or(EINVAL)?);
        *pos = (start + done) as i64;
        Ok(done)
    }

    fn ioctl(&self, _: &File, cmd: u32, _: usize) -> Result<usize> {
        match cmd {
            CLEAR => {
                self.0.lock().fill(0);
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }
}

/// Dropped in this order: nodes go before the number that they have.
struct Pages {
    _devices: KVec<Device>,
    _region: Region,
}

impl kernel::Module for Pages {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let count = module_parameters::count.value();
        if !(1..=16).contains(&count) {
            return Err(EINVAL);
        }
        let mut pages = KVec::new();
        for _ in 0..count {
            let page = KVec::from_elem(0u8, PAGE, GFP_KERNEL)?;
            pages.push(Arc::new(Mutex::new(page), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let region = Region::new("rust-page", count, KBox::new(Opener(pages), GFP_KERNEL)?)?;
        let mut devices = KVec::new();
        for minor in 0..count {
            let name = KString::from_fmt(format_args!("rust-page{minor}"), GFP_KERNEL)?;
            devices.push(Device::new(&region, minor, "rust-page", name.to_str().ok_or(EINVAL)?, "")?, GFP_KERNEL)?;
        }
        pr_info!("{} devices, major {}\n", count, region.major());
        Ok(Self { _devices: devices, _region: region })
    }
}
