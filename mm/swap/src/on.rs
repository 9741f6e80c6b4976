// SPDX-License-Identifier: GPL-2.0
//! `swapon(path, flags)`. Source: `swapon(2)`; the messages are Linux's.

use crate::device::Device;
use crate::{Claim, USED, Used, device_id, file_id, kib};
use block::{BlockDevice, Holder, issue_discard, open_by_dev};
use buffer::DeviceCache;
use cred::CAP_SYS_ADMIN;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use klog::{pr_err, pr_info, pr_warn};
use mm::Mapping;
use mm::swap::Area;
use swap_map::{Extents, Header, HeaderError, PAGE_SIZE, SlotMap};
use vfs::namei::open::{OpenHow, open_path};
use vfs::namei::{PathName, Start};
use vfs::{File, FileType, Inode, iop};
use x86_cpu::regs::PtRegs;

const PREFER: u32 = 0x8000;
const PRIORITY: u32 = 0x7fff;
const DISCARD: u32 = 0x1_0000;
const DISCARD_ONCE: u32 = 0x2_0000;
const DISCARD_PAGES: u32 = 0x4_0000;

/// Opens the file that is to be or is an area. Errors of `open(2)`.
pub(crate) fn open(address: usize) -> Result<Arc<File>> {
    let name = PathName::from_user(address, false)?;
    open_path(Start::Cwd, &name, &OpenHow::new(uapi::O_RDWR | uapi::O_LARGEFILE, 0)?)
}

/// `swapon`. EPERM, EINVAL, EBUSY, ENOMEM and those of `open(2)`.
pub fn sys_swapon(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg1() as u32;
    if flags & !(PREFER | PRIORITY | DISCARD | DISCARD_ONCE | DISCARD_PAGES) != 0 {
        return Err(EINVAL);
    }
    if !cred::capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let file = open(regs.arg0())?;
    let inode = file.inode().clone();
    match inode.file_type() {
        FileType::Block => on_device(file, &inode, flags),
        FileType::Reg => on_file(file, &inode, flags),
        _ => Err(EINVAL),
    }
    .map(|()| 0)
}

fn on_device(file: Arc<File>, inode: &Inode, flags: u32) -> Result {
    let handle = open_by_dev(inode.rdev, true, Some(Holder::unique()))?;
    let bdev = handle.bdev().clone();
    // What programs wrote to the device file is to be there.
    bdev.sync()?;
    let cache = DeviceCache::of(&bdev)?;
    let header = first_page(cache.mapping())?;
    let mut extents = Extents::new();
    extents.add(0, bdev.size(), u64::MAX)?;
    let area = Plan { header: &header, pages: bdev.size() / PAGE_SIZE as u64, is_file: false }.parse()?;
    let device = Device { bdev: bdev.clone(), extents, id: device_id(&bdev) };
    enable(area, device, file, flags, || {
        bdev.set_swap(true);
        Claim::Device(handle)
    })
}

fn on_file(file: Arc<File>, inode: &Arc<Inode>, flags: u32) -> Result {
    let bdev = inode.sb().device().and_then(|device| block::lookup(device.dev())).ok_or(EINVAL)?;
    // Nobody writes or cuts it from here on.
    let _held = inode.lock.write();
    if inode.nlink() == 0 {
        return Err(ENOENT);
    }
    if inode.iflags() & iop::SWAPFILE != 0 {
        return Err(EBUSY);
    }
    let mapping = inode.mapping().ok_or(EINVAL)?.clone();
    mapping.write_and_wait(0, u64::MAX)?;
    let header = first_page(&mapping)?;
    let plan = Plan { header: &header, pages: inode.size() / PAGE_SIZE as u64, is_file: true };
    let mut area = plan.parse()?;
    let mut extents = Extents::new();
    let most = area.pages as u64;
    inode.ops().swap_extents(inode, &mut |pos, bytes| Ok(extents.add(pos, bytes, most)?))?;
    if extents.pages() < most {
        // Pages whose blocks do not lie together are not used.
        if extents.pages() < 2 {
            pr_warn!("Empty swap-file");
            return Err(EINVAL);
        }
        area.pages = usize::try_from(extents.pages()).map_err(|_| EINVAL)?;
    }
    let device = Device { bdev, extents, id: file_id(&file) };
    let flagged = inode.clone();
    enable(area, device, file, flags, move || {
        flagged.change_iflags(iop::SWAPFILE, 0);
        Claim::File
    })
}

/// The bytes of a file's first page.
fn first_page(mapping: &Arc<Mapping>) -> Result<KVec<u8>> {
    let mut bytes = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
    if mapping.size() < PAGE_SIZE as u64 {
        return Err(EINVAL);
    }
    mapping.get_or_read(0)?.read(0, &mut bytes)?;
    Ok(bytes)
}

/// What is known of an area before its header is read.
struct Plan<'a> {
    header: &'a [u8],
    pages: u64,
    is_file: bool,
}

/// What the header says.
struct Parsed {
    pages: usize,
    bad: KVec<u64>,
}

impl Plan<'_> {
    fn parse(&self) -> Result<Parsed> {
        let pages = self.pages.min(mm::swap::MAX_PAGES);
        let header = Header::parse(self.header, pages, self.is_file).map_err(|error| {
            match error {
                HeaderError::NoSignature => pr_err!("Unable to find swap-space signature"),
                HeaderError::Version(version) => pr_warn!("Unable to handle swap header version {version}"),
                HeaderError::Empty => pr_warn!("Empty swap-file"),
                HeaderError::TooShort => pr_warn!("Swap area shorter than signature indicates"),
                HeaderError::BadPages => {}
            }
            EINVAL
        })?;
        let mut bad = KVec::new();
        for page in header.bad_pages() {
            bad.push(page, GFP_KERNEL)?;
        }
        Ok(Parsed { pages: header.last_page as usize + 1, bad })
    }
}

/// Puts the area into use and keeps its device or file from others.
fn enable(area: Parsed, device: Device, file: Arc<File>, flags: u32, claim: impl FnOnce() -> Claim) -> Result {
    let Parsed { pages, bad } = area;
    let map = SlotMap::new(pages, bad.iter().copied())?;
    if map.good() == 0 {
        pr_warn!("Empty swap-file");
        return Err(EINVAL);
    }
    let (extents, span) = (device.extents.list().len(), span(&device.extents));
    let discards = discard(&device.bdev, &device.extents, flags)?;
    let priority = (flags & PREFER != 0).then_some((flags & PRIORITY).cast_signed());
    let name = vfs::path::shown(file.path())?;
    let good = map.good();
    let mut used = USED.lock();
    used.reserve(1, GFP_KERNEL)?;
    let area = Area::enable(map, KBox::new(device, GFP_KERNEL)?, priority)?;
    pr_info!(
        "Adding {}k swap on {}.  Priority:{} extents:{extents} across:{}k {}",
        kib(good),
        name.utf8_chunks().next().map_or("", |chunk| chunk.valid()),
        area.priority(),
        kib(span),
        if discards { "Ds" } else { "" }
    );
    let entry = Used { area, file, claim: claim() };
    // The room is there.
    let _ = used.push_within_capacity(entry);
    Ok(())
}

/// Pages of the device from the first that is used to the last.
fn span(extents: &Extents) -> u64 {
    let page = PAGE_SIZE as u64;
    let first = extents.list().iter().map(|extent| extent.pos / page).min().unwrap_or(0);
    let end = extents.list().iter().map(|extent| extent.pos / page + extent.pages).max().unwrap_or(0);
    end.saturating_sub(first)
}

/// `SWAP_FLAG_DISCARD`: the whole area is discarded before it is used, but for its first page; whether it was. On devices that cannot the
/// flags mean nothing, as in Linux. Discarding pages as they become free (`SWAP_FLAG_DISCARD_PAGES` alone) is not there: EINVAL.
fn discard(bdev: &Arc<BlockDevice>, extents: &Extents, flags: u32) -> Result<bool> {
    if flags & DISCARD == 0 || bdev.disk().limits().max_discard_sectors == 0 {
        return Ok(false);
    }
    if flags & (DISCARD_ONCE | DISCARD_PAGES) == DISCARD_PAGES {
        return Err(EINVAL);
    }
    /// Sectors of a page.
    const SECTORS: u64 = PAGE_SIZE as u64 / 512;
    for extent in extents.list() {
        let skip = u64::from(extent.page == 0);
        let (sector, sectors) = (extent.pos / 512 + skip * SECTORS, (extent.pages - skip) * SECTORS);
        if sectors != 0
            && let Err(error) = issue_discard(bdev, sector, sectors)
        {
            // As Linux: the area is used all the same.
            pr_err!("swapon: discard_swap: {error}");
            break;
        }
    }
    Ok(true)
}
