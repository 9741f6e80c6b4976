// SPDX-License-Identifier: GPL-2.0
//! A controller: started, its namespaces found and shown as disks, reset when a command takes too long. What it had is sent again after
//! a reset, a few times. A controller that cannot be started any more, or is taken out, answers EIO.

use crate::admin::Admin;
use crate::command::{LIST, MAX_SECTORS, Namespace, build};
use crate::module_parameters;
use crate::queue::{Finished, Pair};
use crate::spec::{ONCS_DSM, ONCS_WRITE_ZEROES, admin, error_of, reg};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernel::block::blk_mq::{Expired, HwQueue, MqDisk, MqOps, MqParams, Queue, Refused, Request, TimeoutAction};
use kernel::block::{DiskOps, Gendisk, GendiskParams, QueueLimits};
use kernel::ext::{Alive, AliveGuard, Id, Ida, Mutex, SetOnce, SpinLock, Work, num_online_cpus};
use kernel::hardware::irq::{IrqFlags, IrqRequest, IrqReturn, request_irq};
use kernel::hardware::ktime;
use kernel::hardware::mm_alloc::MmioRegion;
use kernel::hardware::mm_alloc::dma::DmaBuffer;
use kernel::hardware::pci::{MsiVectors, PciDevice, enable_msix};
use klog::{pr_err, pr_info, pr_warn};

/// Most commands of a pair of rings.
const MAX_DEPTH: u16 = 128;
/// How often a command is sent again after resets.
const MAX_RETRIES: u64 = 5;
/// Commands that are ended at once.
const BATCH: usize = 16;

/// A pair of rings for transfers, and the memory of its places' lists.
pub(crate) struct IoQueue {
    pub(crate) pair: Pair<KBox<Request>>,
    lists: DmaBuffer,
}

/// What identification says of a controller.
#[derive(Clone, Copy, Default)]
struct Identity {
    /// Sectors of a transfer.
    max_sectors: u32,
    /// Optional commands.
    oncs: u16,
    /// There is a volatile cache.
    cache: bool,
}

/// Messages and their handlers; the handlers go first.
struct Interrupts {
    _requests: KVec<IrqRequest>,
    _messages: MsiVectors,
}

/// A controller.
pub(crate) struct Ctrl {
    pub(crate) name: KString,
    pub(crate) device: Arc<PciDevice>,
    pub(crate) regs: Arc<MmioRegion>,
    pub(crate) cap: u64,
    depth: u16,
    pub(crate) admin: Mutex<Admin>,
    queues: SetOnce<KVec<IoQueue>>,
    /// How many of the queues, the last ones, have no interrupts.
    polled: SetOnce<u16>,
    /// Until it is removed.
    interrupts: Mutex<Option<Interrupts>>,
    /// The queues of its disks.
    pub(crate) disks: SpinLock<KVec<Arc<Queue>>>,
    /// The disks themselves.
    shown: Mutex<KVec<Arc<Gendisk>>>,
    /// Its number: given back as soon as no disk of it is open any more.
    index: Mutex<Option<Id>>,
    /// Commands wait until it is started again.
    resetting: AtomicBool,
    /// The machine sleeps, or is about to: commands wait.
    pub(crate) asleep: AtomicBool,
    /// The controller is off for that. Changes under `admin`.
    pub(crate) off: AtomicBool,
    pub(crate) dead: AtomicBool,
    last_reset: AtomicU64,
    /// Resets it.
    broken: SetOnce<Arc<Work>>,
    /// Dropped last.
    _alive: AliveGuard,
}

/// Numbers of controllers.
static NUMBERS: Ida = Ida::new();
/// Controllers that are in memory.
pub(crate) static ALIVE: Alive = Alive::new();

/// A controller while a driver is bound to its function; dropped, it stops.
pub(crate) struct Bound(pub(crate) Arc<Ctrl>);

impl Drop for Bound {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Finds out what a controller is, starts it and shows its namespaces. May sleep.
pub(crate) fn probe(device: &Arc<PciDevice>) -> Result<Bound> {
    let number = NUMBERS.alloc(i32::MAX as u32)?;
    let index = number.get();
    device.enable();
    device.set_master();
    // Before its memory goes, the controller must not write there any more.
    let (ctrl, stride) = make(device, number).inspect_err(|_| device.disable())?;
    match ctrl.start(index, stride) {
        Ok(()) => Ok(Bound(ctrl)),
        Err(error) => {
            ctrl.remove();
            Err(error)
        }
    }
}

/// A controller that is not started yet, and the distance of its doorbells.
fn make(device: &Arc<PciDevice>, number: Id) -> Result<(Arc<Ctrl>, usize)> {
    let index = number.get();
    let regs = Arc::new(device.map_bar(0)?, GFP_KERNEL)?;
    let cap = u64::from(regs.read32(reg::CAP)) | u64::from(regs.read32(reg::CAP + 4)) << 32;
    // Pages of 4 KB must be among those it can do.
    if regs.read32(reg::VS) == u32::MAX || cap >> 48 & 0xf != 0 {
        return Err(ENODEV);
    }
    let stride = 4usize << (cap >> 32 & 0xf);
    let depth = (cap as u16).saturating_add(1).min(MAX_DEPTH);
    let ctrl = Ctrl {
        name: KString::from_fmt(format_args!("nvme{index}"), GFP_KERNEL)?,
        device: device.clone(),
        admin: Mutex::new(Admin::new(&regs, stride)?),
        regs,
        cap,
        depth: depth.max(2),
        queues: SetOnce::new(),
        polled: SetOnce::new(),
        interrupts: Mutex::new(None),
        disks: SpinLock::new(KVec::new()),
        shown: Mutex::new(KVec::new()),
        index: Mutex::new(Some(number)),
        resetting: AtomicBool::new(false),
        asleep: AtomicBool::new(false),
        off: AtomicBool::new(false),
        dead: AtomicBool::new(false),
        last_reset: AtomicU64::new(0),
        broken: SetOnce::new(),
        _alive: ALIVE.count(),
    };
    let ctrl = Arc::new(ctrl, GFP_KERNEL)?;
    pr_info!("nvme {}: pci function {}", ctrl.name, device.address);
    let weak = Arc::downgrade(&ctrl);
    let broken = Work::new(move || {
        if let Some(ctrl) = weak.upgrade() {
            ctrl.reset();
        }
    })?;
    // New, so it is empty.
    drop(ctrl.broken.set(broken));
    Ok((ctrl, stride))
}

impl Ctrl {
    /// Gives everything up: disks go, after what is dirty was written if the controller still works; what it has ends with EIO, and
    /// it touches no memory any more. May sleep.
    fn remove(&self) {
        let shown = core::mem::take(&mut *self.shown.lock());
        if self.device.is_present() && !self.dead.load(SeqCst) {
            shown.iter().for_each(Gendisk::remove);
        }
        let queues = core::mem::take(&mut *self.disks.lock_irqsave());
        {
            // A reset that runs is over then, and none begins.
            let _admin = self.admin.lock();
            self.dead.store(true, SeqCst);
        }
        queues.iter().for_each(|queue| queue.quiesce());
        if let Some(work) = self.broken.get() {
            work.cancel_sync();
        }
        if self.device.is_present() {
            // Else there is nothing to stop.
            let _ = self.disable();
            self.device.disable();
        }
        let interrupts = self.interrupts.lock().take();
        drop(interrupts);
        for queue in self.queues() {
            while let Some(request) = queue.pair.take_back() {
                request.complete(Err(EIO));
            }
        }
        shown.iter().for_each(Gendisk::remove);
        queues.iter().for_each(|queue| queue.drain());
        // Nobody can open them any more: the next controller may have the number, though RCU keeps this one for a moment.
        if shown.iter().all(|disk| disk.openers() == 0) {
            let index = self.index.lock().take();
            drop(index);
        }
    }

    fn start(self: &Arc<Self>, index: u32, stride: usize) -> Result {
        let identity = {
            let admin = self.admin.lock();
            self.enable(&admin)?;
            let identity = self.identify(&admin)?;
            self.make_queues(&admin, stride)?;
            identity
        };
        self.connect()?;
        self.create_queues(&self.admin.lock())?;
        let default = self.interrupting();
        pr_info!("nvme {}: {default}/0/{} default/read/poll queues", self.name, self.queues().len() - default);
        self.scan(identity, index)
    }

    pub(crate) fn queues(&self) -> &[IoQueue] {
        self.queues.get().map_or(&[], |queues| queues)
    }

    /// How many of the queues, the first ones, have interrupts.
    pub(crate) fn interrupting(&self) -> usize {
        self.queues().len().saturating_sub(self.polled.get().copied().unwrap_or(0).into())
    }

    fn identify(&self, admin: &Admin) -> Result<Identity> {
        let page = 4096u32.checked_shl((self.cap >> 48 & 0xf) as u32).unwrap_or(4096);
        admin.identify(admin::CNS_CONTROLLER, 0, |data| {
            let mdts = u32::from(data.read8(77));
            let limit = if mdts == 0 { u32::MAX } else { (page >> 9).checked_shl(mdts).unwrap_or(u32::MAX) };
            Ok(Identity {
                max_sectors: limit.clamp(8, MAX_SECTORS),
                oncs: data.read16(520),
                cache: data.read8(525) & 1 != 0,
            })
        })
    }

    /// Makes rings, one pair for each CPU if the controller and its messages have enough, and those that are polled.
    fn make_queues(&self, admin: &Admin, stride: usize) -> Result {
        let cpus = u16::try_from(num_online_cpus())?.max(1);
        let polled = u16::try_from(module_parameters::poll_queues.value()).unwrap_or(u16::MAX).min(cpus);
        let count = admin.set_queues(cpus.saturating_add(polled))?;
        // One has interrupts in any case. Nobody has set it yet.
        let _ = self.polled.set(polled.min(count.saturating_sub(1)));
        let mut queues = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        for id in 1..=count {
            let pair = Pair::new(&self.regs, id, self.depth, stride)?;
            let lists = DmaBuffer::new(usize::from(pair.places()) * LIST, false, GFP_KERNEL)?;
            queues.push(IoQueue { pair, lists }, GFP_KERNEL)?;
        }
        self.queues.set(queues).map_err(|_| EBUSY)
    }

    /// Lets interrupts come: message 0 is the administrative rings', which nobody waits for by interrupt.
    fn connect(self: &Arc<Self>) -> Result {
        let count = self.interrupting();
        let mut cpus = KVec::with_capacity(count + 1, GFP_KERNEL)?;
        cpus.push(0, GFP_KERNEL)?;
        for cpu in 0..count as u32 {
            cpus.push(cpu, GFP_KERNEL)?;
        }
        let messages = enable_msix(&self.device, &cpus)?;
        let mut requests = KVec::with_capacity(count, GFP_KERNEL)?;
        for index in 0..count {
            let irq = messages.irq(index + 1).ok_or(EINVAL)?;
            let weak = Arc::downgrade(self);
            let handler = move |_| {
                let Some(ctrl) = weak.upgrade() else { return IrqReturn::None };
                ctrl.finish(index);
                IrqReturn::Handled
            };
            let label = KString::from_fmt(format_args!("{}q{}", self.name, index + 1), GFP_KERNEL)?;
            let request = request_irq(irq, label.as_bytes(), IrqFlags::default(), KBox::new(handler, GFP_KERNEL)?)?;
            requests.push(request, GFP_KERNEL)?;
        }
        let made = Interrupts { _requests: requests, _messages: messages };
        *self.interrupts.lock() = Some(made);
        Ok(())
    }

    fn create_queues(&self, admin: &Admin) -> Result {
        for (index, queue) in self.queues().iter().enumerate() {
            let vector = if index < self.interrupting() { Some(u16::try_from(index + 1)?) } else { None };
            admin.create(&queue.pair, self.depth, vector)?;
        }
        Ok(())
    }

    /// Ends what the controller is done with: how many commands. Any context.
    pub(crate) fn finish(&self, index: usize) -> usize {
        let Some(queue) = self.queues().get(index) else { return 0 };
        let mut ended = 0;
        loop {
            let mut done: [Option<Finished<KBox<Request>>>; BATCH] = [const { None }; BATCH];
            let count = queue.pair.reap(&mut done);
            for finished in done.into_iter().flatten() {
                finished.token.complete(error_of(finished.status).map_or(Ok(()), Err));
            }
            ended += *count.as_ref().unwrap_or(&0);
            match count {
                Ok(BATCH) => {}
                Ok(0) if ended == 0 => return 0,
                Ok(_) => break,
                Err(_) => {
                    // It wrote nonsense.
                    if let Some(work) = self.broken.get() {
                        work.queue();
                    }
                    return ended;
                }
            }
        }
        // Another namespace's requests may have waited for a place.
        let mut index = 0;
        loop {
            let queue = {
                let disks = self.disks.lock_irqsave();
                if disks.len() < 2 {
                    return ended;
                }
                disks.get(index).cloned()
            };
            let Some(queue) = queue else { return ended };
            queue.run();
            index += 1;
        }
    }

    /// Gives the controller a request; `again`: one that it had already, which goes though the machine is about to sleep.
    fn send(
        &self,
        index: usize,
        namespace: Namespace,
        request: KBox<Request>,
        last: bool,
        again: bool,
    ) -> Result<(), Refused> {
        if self.dead.load(Acquire) {
            return Err(Refused::Failed(request, EIO));
        }
        let Some(queue) = self.queues().get(index) else { return Err(Refused::Failed(request, EIO)) };
        let lists = &queue.lists;
        let sent = queue.pair.submit(request, last, |place, request: &KBox<Request>| {
            // Under the lock that taking back has: what is put in afterwards would be forgotten.
            if self.dead.load(SeqCst) {
                return Err(EIO);
            }
            if self.resetting.load(SeqCst) || (self.asleep.load(SeqCst) && !again) {
                return Err(EBUSY);
            }
            build(request, namespace, lists, usize::from(place) * LIST)
        });
        sent.map_err(|(error, request)| match error {
            EBUSY => Refused::Busy(request),
            error => Refused::Failed(request, error),
        })
    }

    /// Stops the controller and starts it again; what it had is sent again. May sleep.
    fn reset(&self) {
        let admin = self.admin.lock();
        if self.dead.load(SeqCst) || self.off.load(SeqCst) {
            return;
        }
        self.resetting.store(true, SeqCst);
        pr_warn!("nvme {}: resetting controller", self.name);
        let stopped = self.disable();
        let mut taken: KVec<(usize, KBox<Request>)> = KVec::new();
        let mut lost = stopped.is_err();
        for (index, queue) in self.queues().iter().enumerate() {
            while let Some(mut request) = queue.pair.take_back() {
                request.private += 1;
                let again = !lost && request.private <= MAX_RETRIES && taken.reserve(1, GFP_KERNEL).is_ok();
                if again {
                    // There is room now.
                    let _ = taken.push_within_capacity((index, request));
                } else {
                    request.complete(Err(if lost { EIO } else { ETIMEDOUT }));
                }
            }
            queue.pair.restart();
        }
        let started = stopped.and_then(|()| self.start_again(&admin));
        drop(admin);
        if let Err(error) = started {
            pr_err!("nvme {}: reset failed: {error}; the controller is given up", self.name);
            lost = true;
            self.dead.store(true, SeqCst);
        }
        self.last_reset.store(ktime::now_ns(), SeqCst);
        self.resetting.store(false, SeqCst);
        for (index, request) in taken.drain_all() {
            if lost {
                request.complete(Err(EIO));
                continue;
            }
            self.send_again(index, request);
        }
        self.go_on(lost);
    }

    /// Starts the stopped controller, whose rings are empty, with as many queues as before.
    pub(crate) fn start_again(&self, admin: &Admin) -> Result {
        self.enable(admin)?;
        let wanted = u16::try_from(self.queues().len())?;
        if admin.set_queues(wanted)? < wanted {
            return Err(EIO);
        }
        self.create_queues(admin)
    }

    /// What waited for the controller is sent, or, if that is lost, ends.
    pub(crate) fn go_on(&self, lost: bool) {
        let mut index = 0;
        loop {
            let queue = self.disks.lock_irqsave().get(index).cloned();
            let Some(queue) = queue else { return };
            if lost {
                queue.kill();
            } else {
                queue.run();
            }
            index += 1;
        }
    }

    /// Sends one again that a reset took back.
    fn send_again(&self, index: usize, request: KBox<Request>) {
        let namespace = {
            let disks = self.disks.lock_irqsave();
            let its = disks.iter().find(|queue| request.is_on(queue));
            its.and_then(|queue| queue.driver::<Disk>()).map(|disk| disk.namespace)
        };
        let Some(namespace) = namespace else { return request.complete(Err(EIO)) };
        match self.send(index, namespace, request, true, true) {
            Ok(()) => {}
            // The rings were just emptied.
            Err(Refused::Busy(request)) => request.complete(Err(EIO)),
            Err(Refused::Failed(request, error)) => request.complete(Err(error)),
        }
    }

    /// Shows the active namespaces as disks.
    fn scan(self: &Arc<Self>, identity: Identity, index: u32) -> Result {
        let mut ids: KVec<u32> = KVec::with_capacity(1024, GFP_KERNEL)?;
        self.admin.lock().identify(admin::CNS_ACTIVE, 0, |data| {
            let list = (0..1024).map(|n| data.read32(n * 4)).take_while(|&id| id != 0);
            for id in list {
                // There is room for all of them.
                let _ = ids.push_within_capacity(id);
            }
            Ok(())
        })?;
        for &id in ids.iter() {
            if let Err(error) = self.add_disk(identity, index, id) {
                pr_err!("nvme {}: namespace {id}: {error}", self.name);
            }
        }
        Ok(())
    }

    fn add_disk(self: &Arc<Self>, identity: Identity, index: u32, id: u32) -> Result {
        let (blocks, shift, metadata) = self.admin.lock().identify(admin::CNS_NAMESPACE, id, |data| {
            let format = 128 + usize::from(data.read8(26) & 0xf) * 4;
            Ok((data.read64(0), u32::from(data.read8(format + 2)), data.read16(format)))
        })?;
        if blocks == 0 || !(9..=12).contains(&shift) || metadata != 0 {
            return Err(EOPNOTSUPP);
        }
        let namespace = Namespace { id, shift };
        let disk = Disk { ctrl: self.clone(), namespace };
        let depth = self.queues().first().map_or(1, |queue| queue.pair.places());
        let params = MqParams {
            hw_queues: u32::try_from(self.queues().len())?,
            poll_queues: self.polled.get().copied().unwrap_or(0).into(),
            depth: depth.into(),
            no_sched: false,
        };
        let queue = Queue::new(params, KBox::new(disk, GFP_KERNEL)?)?;
        self.note(&queue)?;
        let name = KString::from_fmt(format_args!("nvme{index}n{id}"), GFP_KERNEL)?;
        let path = self.device.sysfs_path()?;
        let params = GendiskParams {
            name: name.to_str().ok_or(EINVAL)?,
            major: 0,
            first_minor: 0,
            minors: 0,
            parent: path.to_str(),
            removable: false,
            no_part: false,
            owner: <crate::Nvme as kernel::ModuleMetadata>::this_module().header(),
        };
        let disk = Gendisk::new(&params, limits(identity, shift), KBox::new(MqDisk(queue), GFP_KERNEL)?)?;
        disk.set_capacity(blocks.checked_shl(shift - 9).ok_or(EINVAL)?);
        self.shown.lock().push(disk.clone(), GFP_KERNEL)?;
        disk.add()
    }

    /// A disk's queue is to be told when there is room again.
    fn note(&self, queue: &Arc<Queue>) -> Result {
        let needed = self.disks.lock_irqsave().len() + 1;
        let mut list = KVec::with_capacity(needed, GFP_KERNEL)?;
        let mut disks = self.disks.lock_irqsave();
        for other in disks.iter() {
            // Only the scan adds to it.
            let _ = list.push_within_capacity(other.clone());
        }
        let _ = list.push_within_capacity(queue.clone());
        core::mem::swap(&mut *disks, &mut list);
        drop(disks);
        Ok(())
    }
}

fn limits(identity: Identity, shift: u32) -> QueueLimits {
    let block = 1 << shift;
    let discard = if identity.oncs & ONCS_DSM != 0 { u32::MAX >> 1 } else { 0 };
    let zeroes = if identity.oncs & ONCS_WRITE_ZEROES != 0 { 0x10000 << (shift - 9) } else { 0 };
    QueueLimits {
        logical_block_size: block,
        physical_block_size: block,
        max_hw_sectors: identity.max_sectors,
        max_sectors: identity.max_sectors,
        max_segments: (LIST / 8) as u32,
        max_segment_size: u32::MAX,
        seg_boundary_mask: u64::MAX,
        virt_boundary_mask: 4095,
        dma_alignment: 3,
        max_discard_sectors: discard,
        max_hw_discard_sectors: discard,
        discard_granularity: if discard != 0 { block } else { 0 },
        max_write_zeroes_sectors: zeroes,
        write_cache: identity.cache,
        fua: identity.cache,
        rotational: false,
        ..QueueLimits::default()
    }
}

/// A namespace's disk.
struct Disk {
    ctrl: Arc<Ctrl>,
    namespace: Namespace,
}

impl DiskOps for Disk {}

impl MqOps for Disk {
    fn queue_rq(&self, hw: &HwQueue, mut request: KBox<Request>, last: bool) -> Result<(), Refused> {
        request.private = 0;
        self.ctrl.send(hw.index() as usize, self.namespace, request, last, false)
    }

    fn commit_rqs(&self, hw: &HwQueue) {
        if let Some(queue) = self.ctrl.queues().get(hw.index() as usize) {
            queue.pair.commit();
        }
    }

    fn poll(&self, hw: &HwQueue) -> usize {
        self.ctrl.finish(hw.index() as usize)
    }

    fn has_timeout(&self) -> bool {
        true
    }

    fn timeout(&self, hw: &HwQueue, expired: Expired) -> TimeoutAction {
        let index = hw.index() as usize;
        // Perhaps only the interrupt was lost.
        self.ctrl.finish(index);
        let Some(queue) = self.ctrl.queues().get(index) else { return TimeoutAction::Done };
        if !queue.pair.has(|request| request.tag() == expired.tag) || !hw.is_expired(&expired) {
            return TimeoutAction::Done;
        }
        // A reset a moment ago sent it again.
        let since = ktime::now_ns().saturating_sub(self.ctrl.last_reset.load(SeqCst));
        if since > 1_000_000_000 {
            pr_warn!("nvme {}: I/O tag {} QID {} timeout, reset controller", self.ctrl.name, expired.tag, index + 1);
            self.ctrl.reset();
        }
        TimeoutAction::ResetTimer
    }
}
