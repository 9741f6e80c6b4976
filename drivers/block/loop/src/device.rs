// SPDX-License-Identifier: GPL-2.0
//! A loop device: the file behind it, its status, and what programs ask of it.

use crate::direct::{O_DIRECT, block_size};
use crate::info::{AUTOCLEAR, CLEARABLE, CONFIGURABLE, DIRECT_IO, Info, PARTSCAN, READ_ONLY, SETTABLE};
use crate::{LOOP_MAJOR, module_parameters};
use core::sync::atomic::{AtomicBool, Ordering::*};
use kernel::block::blk_mq::{HwQueue, MqDisk, MqOps, MqParams, Queue, Refused, Request};
use kernel::block::{BlockDevice, DiskOps, Gendisk, GendiskParams, QueueLimits};
use kernel::ext::{AliveGuard, KString, ModuleRef, Mutex, SetOnce, SpinLock, Work, spawn};
use kernel::filesystem::cred::{CAP_SYS_ADMIN, capable};
use kernel::filesystem::sysfs::Node;
use kernel::filesystem::vfs::{File, FileType, fdget};
use kernel::prelude::*;
use kernel::sync::Arc;

const LOOP_SET_FD: u32 = 0x4c00;
const LOOP_CLR_FD: u32 = 0x4c01;
const LOOP_SET_STATUS: u32 = 0x4c02;
const LOOP_GET_STATUS: u32 = 0x4c03;
const LOOP_SET_STATUS64: u32 = 0x4c04;
const LOOP_GET_STATUS64: u32 = 0x4c05;
const LOOP_CHANGE_FD: u32 = 0x4c06;
const LOOP_SET_CAPACITY: u32 = 0x4c07;
const LOOP_SET_DIRECT_IO: u32 = 0x4c08;
const LOOP_SET_BLOCK_SIZE: u32 = 0x4c09;
const LOOP_CONFIGURE: u32 = 0x4c0a;

/// A file that is attached.
pub(crate) struct Bound {
    pub(crate) file: Arc<File>,
    /// The same for transfers past its cache, if that is how they are to be.
    pub(crate) direct: Option<Arc<File>>,
    pub(crate) offset: u64,
    pub(crate) sizelimit: u64,
    pub(crate) flags: u32,
    name: [u8; 64],
    /// The module stays while a file is attached.
    _module: ModuleRef,
}

/// Requests that wait, oldest first; room for all there are.
struct Waiting {
    list: KVec<KBox<Request>>,
}

/// A device.
pub(crate) struct Device {
    number: u32,
    state: Mutex<Option<Bound>>,
    bound: AtomicBool,
    waiting: SpinLock<Waiting>,
    work: SetOnce<Arc<Work>>,
    /// Its directory in sysfs while there is a file.
    shown: SpinLock<Option<Arc<Node>>>,
    /// Until the device is removed: the disk's queue refers to this device.
    disk: SpinLock<Option<Arc<Gendisk>>>,
    /// Dropped last.
    _alive: AliveGuard,
}

/// The driver's side.
struct Driver(Arc<Device>);

impl MqOps for Driver {
    fn queue_rq(&self, _: &HwQueue, request: KBox<Request>, _: bool) -> Result<(), Refused> {
        if !self.0.is_bound() {
            return Err(Refused::Failed(request, EIO));
        }
        let pushed = self.0.waiting.lock_irqsave().list.push_within_capacity(request);
        if let Err(refused) = pushed {
            return Err(Refused::Busy(refused.0));
        }
        if let Some(work) = self.0.work.get() {
            work.queue();
        }
        Ok(())
    }
}

impl DiskOps for Driver {
    fn release(&self, disk: &Arc<Gendisk>) {
        let auto = self.0.state.lock().as_ref().is_some_and(|bound| bound.flags & AUTOCLEAR != 0);
        // The caller's own opening is counted off already.
        if auto && disk.part(0).is_none_or(|whole| whole.openers() == 0) {
            self.0.detach(disk);
            // The disk's lock is held here; its partitions go when it is not.
            let disk = disk.clone();
            let _ = spawn(move || drop_partitions(&disk));
        }
    }

    fn ioctl(&self, bdev: &Arc<BlockDevice>, write: bool, cmd: u32, arg: usize) -> Result<usize> {
        self.0.ioctl(bdev.disk(), write, cmd, arg).map(|()| 0)
    }
}

impl Device {
    /// Device `number`, without a file; its disk is not added yet.
    pub(crate) fn new(number: u32) -> Result<Arc<Self>> {
        let depth = module_parameters::hw_queue_depth.value().clamp(1, 1024);
        let device = Self {
            number,
            state: Mutex::new(None),
            bound: AtomicBool::new(false),
            waiting: SpinLock::new(Waiting { list: KVec::with_capacity(depth as usize, GFP_KERNEL)? }),
            work: SetOnce::new(),
            shown: SpinLock::new(None),
            disk: SpinLock::new(None),
            _alive: crate::ALIVE.count(),
        };
        let device = Arc::new(device, GFP_KERNEL)?;
        let weak = Arc::downgrade(&device);
        let work = Work::new(move || {
            if let Some(device) = weak.upgrade() {
                device.serve();
            }
        })?;
        let _ = device.work.set(work);
        let name = KString::from_fmt(format_args!("loop{number}"), GFP_KERNEL)?;
        let max_part = module_parameters::max_part.value();
        let params = GendiskParams {
            name: name.to_str().ok_or(EINVAL)?,
            major: LOOP_MAJOR,
            first_minor: number,
            minors: 1,
            parent: None,
            removable: false,
            no_part: max_part == 0,
            owner: <crate::Loop as kernel::ModuleMetadata>::this_module().header(),
        };
        let limits =
            QueueLimits { max_hw_sectors: 2560, max_sectors: 2560, rotational: false, ..QueueLimits::default() };
        let queue = Queue::new(
            MqParams { hw_queues: 1, poll_queues: 0, depth, no_sched: true },
            KBox::new(Driver(device.clone()), GFP_KERNEL)?,
        )?;
        let disk = Gendisk::new(&params, limits, KBox::new(MqDisk(queue), GFP_KERNEL)?)?;
        *device.disk.lock() = Some(disk);
        Ok(device)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn disk(&self) -> Result<Arc<Gendisk>> {
        self.disk.lock().clone().ok_or(ENXIO)
    }

    /// The disk of a device that goes.
    pub(crate) fn take_disk(&self) -> Option<Arc<Gendisk>> {
        self.disk.lock().take()
    }

    /// Whether it has a file.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound.load(Acquire)
    }

    /// The next request to be served.
    pub(crate) fn next_request(&self) -> Option<KBox<Request>> {
        self.waiting.lock_irqsave().list.remove(0).ok()
    }

    /// The file, whether it is to be read and written past its cache, and where in it the device begins. EIO without one.
    pub(crate) fn backing(&self) -> Result<(Arc<File>, bool, u64)> {
        let state = self.state.lock();
        let bound = state.as_ref().ok_or(EIO)?;
        let file = bound.direct.as_ref().unwrap_or(&bound.file).clone();
        Ok((file, bound.direct.is_some(), bound.offset))
    }

    /// Its disk's name.
    pub(crate) fn name(&self) -> Result<KString> {
        Ok(KString::from_fmt(format_args!("loop{}", self.number), GFP_KERNEL)?)
    }

    /// Looks at the file that is attached. ENXIO without one. May sleep.
    pub(crate) fn with_bound<R>(&self, f: impl FnOnce(&Bound) -> Result<R>) -> Result<R> {
        f(self.state.lock().as_ref().ok_or(ENXIO)?)
    }

    /// The same, to change what is known of it.
    pub(crate) fn change_bound<R>(&self, f: impl FnOnce(&mut Bound) -> Result<R>) -> Result<R> {
        f(self.state.lock().as_mut().ok_or(ENXIO)?)
    }

    fn ioctl(self: &Arc<Self>, disk: &Arc<Gendisk>, write: bool, cmd: u32, arg: usize) -> Result {
        let guarded = [LOOP_SET_STATUS, LOOP_SET_STATUS64, LOOP_SET_CAPACITY, LOOP_SET_DIRECT_IO, LOOP_SET_BLOCK_SIZE];
        if guarded.contains(&cmd) && !write && !capable(CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        match cmd {
            LOOP_SET_FD => self.attach(disk, write, u32::try_from(arg).map_err(|_| EBADF)?, None),
            LOOP_CONFIGURE => {
                let (fd, block, info) = Info::get_config(arg)?;
                self.attach(disk, write, fd, Some((block, info)))
            }
            LOOP_CLR_FD => self.clear(disk),
            LOOP_SET_STATUS64 => self.set_status(disk, Info::get64(arg)?),
            LOOP_SET_STATUS => self.set_status(disk, Info::get32(arg)?),
            LOOP_GET_STATUS64 => self.status()?.put64(arg),
            LOOP_GET_STATUS => self.status()?.put32(arg),
            LOOP_SET_CAPACITY => {
                let mut state = self.state.lock();
                let size = size_of_device(state.as_mut().ok_or(ENXIO)?)?;
                drop(state);
                disk.set_capacity(size);
                Ok(())
            }
            LOOP_SET_DIRECT_IO => self.set_direct(arg != 0, disk.limits().logical_block_size),
            LOOP_SET_BLOCK_SIZE => self.set_block_size(disk, arg),
            LOOP_CHANGE_FD => self.change(disk, arg),
            _ => Err(EINVAL),
        }
    }

    /// Attaches file `fd`. EBUSY if there is one, EINVAL if it is no file or disk, EBADF.
    fn attach(self: &Arc<Self>, disk: &Arc<Gendisk>, write: bool, fd: u32, config: Option<(u32, Info)>) -> Result {
        let file = fdget(fd as usize)?;
        backs(&file)?;
        let (block, info) = match config {
            Some((_, info)) if info.flags & !CONFIGURABLE != 0 || info.encrypt != 0 => {
                return Err(EINVAL);
            }
            Some((block, info)) => (block, Some(info)),
            None => (0, None),
        };
        if block != 0 && (!block.is_power_of_two() || !(512..=4096).contains(&block)) {
            return Err(EINVAL);
        }
        let mut flags = info.as_ref().map_or(0, |info| info.flags);
        if !write || !file.flags().writes() {
            flags |= READ_ONLY;
        }
        // A file that cannot is no error: the status says that it is not.
        let direct = flags & DIRECT_IO != 0 || file.flags().any(O_DIRECT);
        flags &= !DIRECT_IO;
        let block = if block == 0 { block_size(&file, direct) } else { block };
        let mut bound = Bound {
            file,
            direct: None,
            offset: info.as_ref().map_or(0, |info| info.offset),
            sizelimit: info.as_ref().map_or(0, |info| info.sizelimit),
            flags,
            name: info.as_ref().map_or([0; 64], |info| info.name),
            _module: ModuleRef::get(crate::THIS_MODULE.header()).ok_or(ENODEV)?,
        };
        if i64::try_from(bound.offset).is_err() || i64::try_from(bound.sizelimit).is_err() {
            return Err(EOVERFLOW);
        }
        let size = size_of_device(&mut bound)?;
        if direct && let Ok(direct) = crate::direct::open(&bound.file, bound.flags, bound.offset, block) {
            drop(bound.use_direct(Some(direct)));
        }
        let mut state = self.state.lock();
        if state.is_some() {
            return Err(EBUSY);
        }
        *state = Some(bound);
        drop(state);
        disk.update_limits(|limits| {
            limits.logical_block_size = block;
            limits.physical_block_size = block;
            limits.io_min = block;
            limits.write_cache = true;
            limits.max_hw_discard_sectors = u32::MAX >> 9;
            limits.max_discard_sectors = u32::MAX >> 9;
            limits.max_write_zeroes_sectors = u32::MAX >> 9;
            limits.discard_granularity = 4096;
        })
        .inspect_err(|_| drop(self.state.lock().take()))?;
        disk.set_read_only(flags & READ_ONLY != 0);
        self.bound.store(true, Release);
        disk.set_capacity(size);
        match crate::show::add(self) {
            Ok(dir) => *self.shown.lock() = Some(dir),
            Err(error) => pr_warn!("loop{}: no attributes: {error}\n", self.number),
        }
        self.scan(disk, flags);
        Ok(())
    }

    fn scan(&self, disk: &Arc<Gendisk>, flags: u32) {
        if flags & PARTSCAN != 0 {
            disk.set_no_partitions(false);
            // A file without a table is a disk without partitions.
            let _ = disk.scan_partitions();
        }
    }

    /// `LOOP_CLR_FD`: at once if the caller alone has it open, else when the last one closes it.
    fn clear(&self, disk: &Arc<Gendisk>) -> Result {
        if !self.is_bound() {
            return Err(ENXIO);
        }
        if disk.openers() > 1 {
            if let Some(bound) = self.state.lock().as_mut() {
                bound.flags |= AUTOCLEAR;
            }
            return Ok(());
        }
        self.detach(disk);
        drop_partitions(disk);
        Ok(())
    }

    fn detach(&self, disk: &Arc<Gendisk>) {
        self.bound.store(false, Release);
        if let Some(work) = self.work.get() {
            work.flush();
        }
        let shown = self.shown.lock().take();
        if let Some(dir) = shown {
            dir.remove();
        }
        let old = self.state.lock().take();
        disk.set_capacity(0);
        disk.set_read_only(false);
        drop(old);
    }

    fn status(&self) -> Result<Info> {
        let state = self.state.lock();
        let bound = state.as_ref().ok_or(ENXIO)?;
        let inode = bound.file.inode();
        let rdevice = if inode.file_type() == FileType::Block { inode.rdev.encode() } else { 0 };
        Ok(Info {
            device: inode.sb().dev.encode(),
            inode: inode.ino,
            rdevice,
            offset: bound.offset,
            sizelimit: bound.sizelimit,
            number: self.number,
            encrypt: 0,
            flags: bound.flags,
            name: bound.name,
            crypt_name: [0; 64],
        })
    }

    fn set_status(&self, disk: &Arc<Gendisk>, info: Info) -> Result {
        if i64::try_from(info.offset).is_err() || i64::try_from(info.sizelimit).is_err() {
            return Err(EOVERFLOW);
        }
        // No ciphers.
        if info.encrypt != 0 {
            return Err(EINVAL);
        }
        let mut state = self.state.lock();
        let bound = state.as_mut().ok_or(ENXIO)?;
        let before = bound.flags;
        (bound.offset, bound.sizelimit, bound.name) = (info.offset, info.sizelimit, info.name);
        bound.flags = before & !CLEARABLE | info.flags & SETTABLE;
        let unfit = bound.check_direct(disk.limits().logical_block_size);
        let (size, flags) = (size_of_device(bound)?, bound.flags);
        drop(state);
        drop(unfit);
        disk.set_capacity(size);
        if flags & PARTSCAN != 0 && before & PARTSCAN == 0 {
            self.scan(disk, flags);
        }
        Ok(())
    }

    fn set_block_size(&self, disk: &Arc<Gendisk>, arg: usize) -> Result {
        if !self.is_bound() {
            return Err(ENXIO);
        }
        let size = u32::try_from(arg)
            .ok()
            .filter(|size| size.is_power_of_two() && (512..=4096).contains(size))
            .ok_or(EINVAL)?;
        disk.update_limits(|limits| {
            limits.logical_block_size = size;
            limits.physical_block_size = size;
            limits.io_min = size;
        })?;
        let unfit = self.change_bound(|bound| Ok(bound.check_direct(size)))?;
        drop(unfit);
        Ok(())
    }

    /// `LOOP_CHANGE_FD`: another file of the same size, for a device that cannot be written.
    fn change(&self, disk: &Gendisk, arg: usize) -> Result {
        let file = fdget(arg)?;
        backs(&file)?;
        let mut state = self.state.lock();
        let bound = state.as_mut().ok_or(ENXIO)?;
        if bound.flags & READ_ONLY == 0 || file_size(&file)? != file_size(&bound.file)? {
            return Err(EINVAL);
        }
        let before = (core::mem::replace(&mut bound.file, file), bound.use_direct(None));
        drop(state);
        if before.1.is_some() {
            // If the new one cannot, it goes through its cache.
            let _ = self.set_direct(true, disk.limits().logical_block_size);
        }
        drop(before);
        Ok(())
    }
}

/// After the file is gone: no partitions, and none are looked for.
fn drop_partitions(disk: &Arc<Gendisk>) {
    // Those that somebody has open stay, and give EIO.
    let _ = disk.scan_partitions();
    if module_parameters::max_part.value() == 0 {
        disk.set_no_partitions(true);
    }
}

/// Files and disks can be behind a device. EINVAL for others.
fn backs(file: &File) -> Result {
    match file.inode().file_type() {
        FileType::Reg | FileType::Block => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Bytes of a file or disk.
fn file_size(file: &File) -> Result<u64> {
    if file.inode().file_type() == FileType::Block {
        return kernel::block::lookup(file.inode().rdev).map(|bdev| bdev.size()).ok_or(ENXIO);
    }
    Ok(file.inode().size())
}

/// Sectors of the device.
fn size_of_device(bound: &mut Bound) -> Result<u64> {
    let size = file_size(&bound.file)?.saturating_sub(bound.offset);
    Ok(if bound.sizelimit == 0 { size } else { size.min(bound.sizelimit) } >> 9)
}
