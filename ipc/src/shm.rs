// SPDX-License-Identifier: GPL-2.0
//! Shared memory: `shmget(2)`, `shmat(2)`, `shmdt(2)`, `shmctl(2)`. A segment is a tmpfs file without a name; it goes when it is
//! marked and nobody has it mapped.

use crate::ids::{Header, Object, READ, WRITE, now, pid};
use crate::limits;
use crate::made;
use crate::ns::{self, Counts, Ns, NsRef};
use crate::shm_file::ShmFile;
use crate::user::{self, Record};
use core::sync::atomic::{AtomicBool, Ordering};
use errno::Result;
use errno::code::{EIDRM, EINVAL, ENOSPC, EPERM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::SpinLock;
use mm::Prot;
use mm_alloc::layout::{PAGE_MASK, PAGE_SIZE};
use pid_namespace::PidName;
use uapi::AsBytes;
use vfs::{File, SeqBuf, seq_print};
use x86_cpu::regs::PtRegs;

/// Bits of a mode beside the permissions.
const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;
const EXECUTE: u32 = 0o111;

/// A segment.
pub(crate) struct Segment {
    header: Header,
    pub(crate) file: Arc<File>,
    pub(crate) size: usize,
    creator: PidName,
    /// `SHM_LOCK`: its pages do not leave memory; the mode shows it.
    locked: AtomicBool,
    /// The task that made it is gone.
    orphaned: AtomicBool,
    use_: SpinLock<Use>,
    _pages: Pages,
}

/// Who used it when.
#[derive(Clone, Default)]
struct Use {
    attached: u64,
    doomed: bool,
    attach_time: u64,
    detach_time: u64,
    change_time: u64,
    last_pid: PidName,
}

impl Use {
    /// Whether the segment goes now: nobody has it mapped, and it is marked, or `forced`. Nobody maps it from then on.
    fn is_over(&mut self, forced: bool) -> bool {
        let over = self.attached == 0 && (self.doomed || forced);
        self.doomed |= over;
        over
    }
}

/// Segments without a maker and without mappings go (`shm_rmid_forced` was set).
pub(crate) fn destroy_orphans(ns: &Ns) {
    let mut from = 0;
    while let Some((index, segment)) = ns.segments.next(from) {
        if segment.orphaned.load(Ordering::Relaxed) {
            segment.destroy_unused(ns);
        }
        from = index + 1;
    }
}

/// A segment's share of the counts.
struct Pages {
    counts: Arc<Counts>,
    pages: u64,
    promised: usize,
}

impl Pages {
    /// `ENOSPC` above the limit of all, `ENOMEM`.
    fn charge(ns: &Ns, pages: u64, reserve: bool) -> Result<Self> {
        let total = ns.counts.pages.fetch_add(pages, Ordering::Relaxed).checked_add(pages);
        let mut charged = Self { counts: ns.counts.clone(), pages, promised: 0 };
        if total.is_none_or(|total| total > ns.limits.shmall.load(Ordering::Relaxed)) {
            return Err(ENOSPC);
        }
        if reserve {
            let bytes = usize::try_from(pages).ok().and_then(|pages| pages.checked_mul(PAGE_SIZE)).ok_or(EINVAL)?;
            mm::account::charge(bytes)?;
            charged.promised = bytes;
        }
        Ok(charged)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.counts.pages.fetch_sub(self.pages, Ordering::Relaxed);
        mm::account::uncharge(self.promised);
    }
}

impl Object for Segment {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Segment {
    fn new(ns: &NsRef, key: i32, size: usize, flags: u32) -> Result<Arc<Self>> {
        if size == 0 || size as u64 > ns.limits.shmmax.load(Ordering::Relaxed) {
            return Err(EINVAL);
        }
        let pages = size.div_ceil(PAGE_SIZE);
        if pages.checked_mul(PAGE_SIZE).is_none() {
            return Err(ENOSPC);
        }
        let pages = Pages::charge(ns, pages as u64, flags & uapi::SHM_NORESERVE == 0 || mm::account::is_strict())?;
        if flags & uapi::SHM_HUGETLB != 0 {
            // There is no pool of huge pages.
            return Err(EINVAL);
        }
        let mut name = SeqBuf::new(16);
        seq_print!(name, "SYSV{:08x}", key)?;
        let file = tmpfs::memfd::unnamed(name.text(), size as u64, 0, 0o777)?;
        let segment = Self {
            header: Header::new(key, flags)?,
            file,
            size,
            creator: pid(),
            locked: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
            use_: SpinLock::new(Use { change_time: now(), ..Use::default() }),
            _pages: pages,
        };
        let segment = Arc::new(segment, GFP_KERNEL)?;
        made::note(ns, &segment)?;
        Ok(segment)
    }

    pub(crate) fn id(&self) -> u32 {
        self.header.id()
    }

    /// One more mapping.
    pub(crate) fn open(&self) {
        let mut use_ = self.use_.lock();
        use_.attached += 1;
        use_.attach_time = now();
        use_.last_pid = pid();
    }

    /// One mapping less. The last one of a marked segment takes it away, and of any if nothing outlives those who made it.
    pub(crate) fn close(&self, ns: &Ns) {
        let gone = {
            let mut use_ = self.use_.lock();
            use_.attached = use_.attached.saturating_sub(1);
            use_.detach_time = now();
            use_.last_pid = pid();
            use_.is_over(ns.limits.forced())
        };
        if gone {
            ns.segments.remove(self);
        }
    }

    /// The task that made it is gone.
    pub(crate) fn set_orphaned(&self) {
        self.orphaned.store(true, Ordering::Relaxed);
    }

    /// Takes it away if nobody has it mapped.
    pub(crate) fn destroy_unused(&self, ns: &Ns) {
        let gone = self.use_.lock().is_over(true);
        if gone {
            ns.segments.remove(self);
        }
    }

    fn resident(&self) -> u64 {
        let mapping = self.file.ops().mapping(&self.file);
        mapping.map_or(0, |mapping| mapping.page_count().saturating_sub(mapping.swapped_count()) as u64)
    }

    fn swapped(&self) -> u64 {
        self.file.ops().mapping(&self.file).map_or(0, |mapping| mapping.swapped_count() as u64)
    }

    fn extra_mode(&self, use_: &Use) -> u32 {
        let locked = if self.locked.load(Ordering::Relaxed) { SHM_LOCKED } else { 0 };
        let doomed = if use_.doomed { SHM_DEST } else { 0 };
        locked | doomed
    }

    /// Its line in `/proc/sysvipc/shm`.
    pub(crate) fn show(&self, out: &mut SeqBuf) -> Result {
        let perm = self.header.perm();
        let use_ = self.use_.lock().clone();
        let mode = perm.mode | self.extra_mode(&use_);
        seq_print!(out, "{:10} {:10}  {mode:4o} {:21} ", perm.key, self.id(), self.size)?;
        seq_print!(out, "{:5} {:5}  {:5} ", self.creator.here(), use_.last_pid.here(), use_.attached)?;
        seq_print!(out, "{:5} {:5} {:5} {:5} ", perm.uid, perm.gid, perm.cuid, perm.cgid)?;
        seq_print!(out, "{:10} {:10} {:10} ", use_.attach_time, use_.detach_time, use_.change_time)?;
        let bytes = |pages: u64| pages.saturating_mul(PAGE_SIZE as u64);
        seq_print!(out, "{:21} {:21}\n", bytes(self.resident()), bytes(self.swapped()))
    }

    fn stat(&self, address: usize) -> Result {
        let use_ = self.use_.lock().clone();
        let mut record = Record::<{ size_of::<uapi::shmid64_ds>() }>::new();
        self.header.fill(&mut record, self.extra_mode(&use_));
        record.u64(48, self.size as u64);
        record.u64(56, use_.attach_time);
        record.u64(64, use_.detach_time);
        record.u64(72, use_.change_time);
        record.u32(80, self.creator.here());
        record.u32(84, use_.last_pid.here());
        record.u64(88, use_.attached);
        record.to_user(address)
    }

    /// `IPC_RMID`: gone now, or when the last mapping goes.
    fn remove(&self, ns: &Ns) -> Result {
        let mapped = {
            let mut use_ = self.use_.lock();
            if self.header.is_removed() {
                return Err(EIDRM);
            }
            use_.doomed = true;
            use_.attached != 0
        };
        if mapped {
            ns.segments.make_private(self);
        } else {
            ns.segments.remove(self);
        }
        Ok(())
    }

    fn set_locked(&self, lock: bool) -> Result {
        if !cred::capable(cred::CAP_IPC_LOCK) {
            self.header.check_identity()?;
            if lock && rlimit::current(uapi::RLIMIT_MEMLOCK) == 0 {
                return Err(EPERM);
            }
        }
        self.locked.store(lock, Ordering::Relaxed);
        if let Some(mapping) = self.file.ops().mapping(&self.file) {
            mapping.set_unevictable(lock);
        }
        Ok(())
    }
}

/// `shmget(key, size, flags)`.
pub fn sys_shmget(regs: &PtRegs) -> Result<usize> {
    let (key, size, flags) = (regs.arg0() as i32, regs.arg1(), regs.arg2() as u32);
    let existing = |segment: &Segment| if segment.size < size { Err(EINVAL) } else { Ok(()) };
    let ns = ns::current()?;
    ns.segments.get(key, flags, limits::get(&ns.limits.shmmni), existing, || Segment::new(&ns, key, size, flags))
}

/// `shmat(id, address, flags)`.
pub fn sys_shmat(regs: &PtRegs) -> Result<usize> {
    let (id, mut address, flags) = (regs.arg0() as i32, regs.arg1(), regs.arg2() as u32);
    let replace = flags & uapi::SHM_REMAP != 0;
    let place = if address == 0 {
        None
    } else {
        if address & !PAGE_MASK != 0 {
            if flags & uapi::SHM_RND == 0 {
                return Err(EINVAL);
            }
            address &= PAGE_MASK;
        }
        Some(address)
    };
    if id < 0 || replace && address == 0 {
        return Err(EINVAL);
    }
    let writable = flags & uapi::SHM_RDONLY == 0;
    let (mut prot, mut rights) = if writable { (Prot::RW, READ | WRITE) } else { (Prot::READ, READ) };
    if flags & uapi::SHM_EXEC != 0 {
        prot.0 |= uapi::PROT_EXEC;
        rights |= EXECUTE;
    }
    let ns = ns::current()?;
    let segment = ns.segments.find(id)?;
    segment.header.check(rights)?;
    // Counted while the mapping is made, so that it cannot go meanwhile.
    let hold = Attached::new(&ns, &segment)?;
    let file = ShmFile::shared(ns.clone(), segment.clone(), writable)?;
    let size = segment.size;
    if place.is_some_and(|address| !replace && address.checked_add(size).is_none()) {
        return Err(EINVAL);
    }
    let result = mm::with_current_mm(|mm| mm.attach(place, size, prot, file, replace));
    drop(hold);
    result
}

/// A user of a segment that has no mapping yet.
struct Attached<'a>(&'a Ns, &'a Segment);

impl<'a> Attached<'a> {
    /// `EIDRM` if it has gone.
    fn new(ns: &'a Ns, segment: &'a Segment) -> Result<Self> {
        let mut use_ = segment.use_.lock();
        if segment.header.is_removed() || use_.doomed && use_.attached == 0 {
            return Err(EIDRM);
        }
        use_.attached += 1;
        Ok(Self(ns, segment))
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        let gone = {
            let mut use_ = self.1.use_.lock();
            use_.attached = use_.attached.saturating_sub(1);
            use_.is_over(self.0.limits.forced())
        };
        if gone {
            self.0.segments.remove(self.1);
        }
    }
}

/// `shmdt(address)`.
pub fn sys_shmdt(regs: &PtRegs) -> Result<usize> {
    let address = regs.arg0();
    if address & !PAGE_MASK != 0 {
        return Err(EINVAL);
    }
    let size = |file: &dyn mm::VmFile| file.as_any().downcast_ref::<ShmFile>().map(|file| file.segment().size);
    mm::with_current_mm(|mm| mm.detach(address, size)).map(|()| 0)
}

/// `shmctl(id, command, address)`.
pub fn sys_shmctl(regs: &PtRegs) -> Result<usize> {
    let (id, command, address) = (regs.arg0() as i32, regs.arg1() as u32, regs.arg2());
    if id < 0 {
        return Err(EINVAL);
    }
    let ns = ns::current()?;
    match command {
        uapi::IPC_INFO => limits_to(&ns, address),
        uapi::SHM_INFO => usage_to(&ns, address),
        uapi::SHM_STAT | uapi::SHM_STAT_ANY => {
            let segment = ns.segments.at(id)?;
            if command == uapi::SHM_STAT {
                segment.header.check(READ)?;
            }
            segment.stat(address)?;
            Ok(segment.id() as usize)
        }
        uapi::IPC_STAT => {
            let segment = ns.segments.find(id)?;
            segment.header.check(READ)?;
            segment.stat(address).map(|()| 0)
        }
        uapi::IPC_SET => {
            let new: [u32; 6] = user::read(address)?;
            let segment = ns.segments.find(id)?;
            segment.header.check_owner()?;
            segment.header.set(new)?;
            segment.use_.lock().change_time = now();
            Ok(0)
        }
        uapi::IPC_RMID => {
            let segment = ns.segments.find(id)?;
            segment.header.check_owner()?;
            segment.remove(&ns).map(|()| 0)
        }
        uapi::SHM_LOCK | uapi::SHM_UNLOCK => ns.segments.find(id)?.set_locked(command == uapi::SHM_LOCK).map(|()| 0),
        _ => Err(EINVAL),
    }
}

fn limits_to(ns: &Ns, address: usize) -> Result<usize> {
    let most = limits::get(&ns.limits.shmmni).into();
    let info = uapi::shminfo64 {
        shmmax: ns.limits.shmmax.load(Ordering::Relaxed),
        shmmin: 1,
        shmmni: most,
        shmseg: most,
        shmall: ns.limits.shmall.load(Ordering::Relaxed),
        ..Default::default()
    };
    user::copy_to_user(address, info.as_bytes())?;
    Ok(ns.segments.highest())
}

fn usage_to(ns: &Ns, address: usize) -> Result<usize> {
    let info = uapi::shm_info {
        used_ids: ns.segments.count().cast_signed(),
        shm_tot: ns.counts.pages.load(Ordering::Relaxed),
        shm_rss: ns.segments.sum(Segment::resident),
        shm_swp: ns.segments.sum(Segment::swapped),
        ..Default::default()
    };
    user::copy_to_user(address, info.as_bytes())?;
    Ok(ns.segments.highest())
}
