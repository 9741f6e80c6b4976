// SPDX-License-Identifier: GPL-2.0
//! `Mm`: one address space, and which task has which. Threads share one; the last reference frees it.
//!
//! Lock: `inner` (sleeping): shared for look-ups and faults, exclusive for changes of the map; faults of threads that meet have passes
//! for single mappings instead (`lock`).

use crate::account;
use crate::file::VmFile;
use crate::flags::VmFlags;
use crate::layout::Places;
use crate::lock::MmLock;
use crate::pkey::Keys;
use crate::vma::Areas;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SpinLock;
use mm_alloc::layout::PAGE_SIZE;
use task::{Task, TaskLocal, current, try_current};
use x86_mm::{Kind, Ldt, PageTable};

/// An address space.
pub struct Mm {
    /// Identity, for futex keys; never 0, never used twice.
    id: u64,
    pub(crate) table: Arc<PageTable>,
    pub(crate) inner: MmLock,
    exe: SpinLock<Option<Arc<dyn VmFile>>>,
    /// The program's own segments, as `table` has them.
    ldt: SpinLock<Option<Arc<Ldt>>>,
    /// Most pages that were resident.
    peak_rss: AtomicUsize,
    /// Identities given to mappings with private pages (`anon`).
    pub(crate) anon_ids: AtomicU64,
    /// `PR_SET_DUMPABLE` and what `execve` decided: 0, 1 or 2.
    pub dumpable: AtomicU64,
    /// Copy of `Inner::total`.
    total: AtomicUsize,
    /// What `membarrier(2)` was asked to register.
    pub membarrier: AtomicU32,
    /// Being torn down for lack of memory: faults fail (`MMF_UNSTABLE`).
    pub(crate) dying: AtomicBool,
    /// It may have pages in swap space: it is among those that `swapoff` looks at.
    pub(crate) swapped: AtomicBool,
    /// It wants no huge pages (`MMF_DISABLE_THP`).
    pub(crate) no_huge: AtomicBool,
    /// It is among those that `khugepaged` looks at (`MMF_VM_HUGEPAGE`).
    pub(crate) scanned: AtomicBool,
    /// See [`Mm::set_read_implies_exec`].
    pub(crate) read_implies_exec: AtomicBool,
    /// There is nothing more to be had from it (`MMF_OOM_SKIP`).
    pub(crate) reaped: AtomicBool,
}

/// What the lock guards.
pub(crate) struct Inner {
    pub(crate) areas: Areas,
    pub(crate) places: Places,
    pub(crate) randomize: bool,
    pub(crate) marks: Marks,
    /// Pages by kind of mapping.
    pub(crate) total: usize,
    pub(crate) peak: usize,
    pub(crate) locked: usize,
    pub(crate) data: usize,
    pub(crate) exec: usize,
    pub(crate) stack: usize,
    /// Added to every new mapping (`mlockall(MCL_FUTURE)`).
    pub(crate) default_flags: VmFlags,
    pub(crate) keys: Keys,
}

/// Addresses that `execve` notes, for `brk`, `/proc/PID/stat` and `prctl(PR_SET_MM)`.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "named as in Linux's mm_struct")]
pub struct Marks {
    pub start_code: usize,
    pub end_code: usize,
    pub start_data: usize,
    pub end_data: usize,
    pub start_brk: usize,
    pub brk: usize,
    pub start_stack: usize,
    pub arg_start: usize,
    pub arg_end: usize,
    pub env_start: usize,
    pub env_end: usize,
    pub vdso: usize,
}

/// Figures for `/proc/PID/status` and `statm`, in pages.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "named as in /proc/PID/status")]
pub struct MmStat {
    pub peak: usize,
    pub size: usize,
    pub locked: usize,
    pub peak_rss: usize,
    pub rss_anon: usize,
    pub rss_file: usize,
    pub rss_shmem: usize,
    pub swap: usize,
    pub data: usize,
    pub stack: usize,
    pub exec: usize,
    pub table_bytes: usize,
    pub marks: Marks,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A task's own reference to its address space. A fault, which holds it for a moment, counts where no other task's faults count.
type Own = Arc<Arc<Mm>>;

struct MmSlot(SpinLock<Option<Own>>);

/// Each task's address space; `None` inside for a task that gave its own up.
static MM: TaskLocal<MmSlot> = TaskLocal::new();

impl Mm {
    /// An empty address space. ENOMEM.
    pub(crate) fn new(places: Places, randomize: bool) -> Result<Arc<Self>> {
        let inner = Inner {
            areas: Areas::new(),
            places,
            randomize,
            marks: Marks::default(),
            total: 0,
            peak: 0,
            locked: 0,
            data: 0,
            exec: 0,
            stack: 0,
            default_flags: VmFlags::NONE,
            keys: Keys::new(),
        };
        let mm = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            table: PageTable::new()?,
            inner: MmLock::new(inner),
            exe: SpinLock::new(None),
            ldt: SpinLock::new(None),
            peak_rss: AtomicUsize::new(0),
            anon_ids: AtomicU64::new(0),
            dumpable: AtomicU64::new(1),
            total: AtomicUsize::new(0),
            membarrier: AtomicU32::new(0),
            dying: AtomicBool::new(false),
            swapped: AtomicBool::new(false),
            no_huge: AtomicBool::new(false),
            scanned: AtomicBool::new(false),
            read_implies_exec: AtomicBool::new(false),
            reaped: AtomicBool::new(false),
        };
        Ok(Arc::new(mm, GFP_KERNEL)?)
    }

    /// `READ_IMPLIES_EXEC` of `personality(2)`: what is mapped or protected to be read can be executed too.
    pub fn set_read_implies_exec(&self, on: bool) {
        self.read_implies_exec.store(on, Ordering::Relaxed);
    }

    /// Whether these rights bring the right to execute along.
    pub(crate) fn reads_execute(&self, prot: crate::flags::Prot) -> bool {
        prot.0 & uapi::PROT_READ != 0 && self.read_implies_exec.load(Ordering::Relaxed)
    }

    /// Identity.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The hardware's part, for a task's context.
    #[inline(always)]
    pub fn page_table(&self) -> &Arc<PageTable> {
        &self.table
    }

    /// The program's file (`/proc/PID/exe`).
    pub fn exe_file(&self) -> Option<Arc<dyn VmFile>> {
        self.exe.lock().clone()
    }

    /// Sets the program's file.
    pub fn set_exe_file(&self, file: Option<Arc<dyn VmFile>>) {
        let old = core::mem::replace(&mut *self.exe.lock(), file);
        drop(old);
    }

    /// The program's own segments (`modify_ldt(2)`).
    pub fn ldt(&self) -> Option<Arc<Ldt>> {
        self.ldt.lock().clone()
    }

    /// Puts a changed table in the place of `old`, if that is still the one in force; false if not, and nothing is done. Returns
    /// when every CPU uses the new one.
    pub fn replace_ldt(&self, old: Option<&Arc<Ldt>>, new: Arc<Ldt>) -> bool {
        let mut now = self.ldt.lock();
        let same = match (&*now, old) {
            (None, None) => true,
            (Some(now), Some(old)) => Arc::ptr_eq(now, old),
            _ => false,
        };
        if !same {
            return false;
        }
        // Under the lock, so that the tables come into force in the order in which they were made.
        let before = self.table.set_ldt(Some(new.clone()));
        let kept = now.replace(new);
        drop(now);
        drop((before, kept));
        true
    }

    /// A child's copy: tables do not change, so it is the same.
    pub(crate) fn inherit_ldt(&self, parent: &Mm) {
        if let Some(ldt) = parent.ldt() {
            drop(self.table.set_ldt(Some(ldt.clone())));
            let none = self.ldt.lock().replace(ldt);
            drop(none);
        }
    }

    /// Pages resident now.
    pub fn rss(&self) -> usize {
        self.table.rss(Kind::Anon) + self.table.rss(Kind::File) + self.table.rss(Kind::Shmem)
    }

    /// Remembers the resident set if it is a peak; called before it shrinks.
    pub(crate) fn note_rss(&self) {
        let now = self.rss();
        if now > self.peak_rss.load(Ordering::Relaxed) {
            self.peak_rss.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The highest resident set so far, in KiB (`ru_maxrss`).
    pub fn max_rss_kib(&self) -> u64 {
        self.note_rss();
        (self.peak_rss.load(Ordering::Relaxed) * (PAGE_SIZE / 1024)) as u64
    }

    /// Starts the count of the highest resident set anew (`/proc/PID/clear_refs` 5).
    pub fn reset_max_rss(&self) {
        self.peak_rss.store(self.rss(), Ordering::Relaxed);
    }

    /// The figures. May sleep.
    pub fn stat(&self) -> MmStat {
        self.note_rss();
        let inner = self.inner.read();
        MmStat {
            peak: inner.peak.max(inner.total),
            size: inner.total,
            locked: inner.locked,
            peak_rss: self.peak_rss.load(Ordering::Relaxed),
            rss_anon: self.table.rss(Kind::Anon),
            rss_file: self.table.rss(Kind::File),
            rss_shmem: self.table.rss(Kind::Shmem),
            swap: self.table.rss(Kind::Swap),
            data: inner.data,
            stack: inner.stack,
            exec: inner.exec,
            table_bytes: self.table.table_bytes(),
            marks: inner.marks,
        }
    }

    /// The noted addresses. May sleep.
    pub fn marks(&self) -> Marks {
        self.inner.read().marks
    }

    /// Changes the noted addresses (`execve`, `prctl(PR_SET_MM)`). May sleep.
    pub fn update_marks(&self, change: impl FnOnce(&mut Marks)) {
        change(&mut self.inner.write_some().marks);
    }
}

impl Mm {
    /// Counts a mapping of `bytes` with `flags` in (or out).
    pub(crate) fn count(&self, inner: &mut Inner, flags: VmFlags, bytes: usize, enter: bool) {
        let pages = bytes / PAGE_SIZE;
        let apply = |value: &mut usize| {
            *value = if enter { value.saturating_add(pages) } else { value.saturating_sub(pages) };
        };
        apply(&mut inner.total);
        self.total.store(inner.total, Ordering::Relaxed);
        inner.peak = inner.peak.max(inner.total);
        if flags.any(VmFlags::LOCKED) {
            apply(&mut inner.locked);
        }
        if flags.any(VmFlags::GROWSDOWN) {
            apply(&mut inner.stack);
        } else if flags.is_data() {
            apply(&mut inner.data);
        } else if flags.any(VmFlags::EXEC) && !flags.any(VmFlags::WRITE) {
            apply(&mut inner.exec);
        }
    }

    /// Pages of all mappings, as of this moment. Takes no lock.
    pub fn total_pages(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

impl Drop for Mm {
    fn drop(&mut self) {
        crate::swap::forget(self);
        crate::huge::khugepaged::forget(self);
        let inner = self.inner.get_mut();
        let promised: usize = inner.areas.iter().filter(|s| s.value.flags.any(VmFlags::ACCOUNT)).map(|s| s.len()).sum();
        account::uncharge(promised);
        // Files' lists of users let go of the page table, so that it is ours alone.
        for index in 0..inner.areas.len() {
            if let Some(vma) = inner.areas.value_mut(index) {
                vma.link = None;
            }
        }
        // Else somebody is just truncating a file that was mapped, and the last reference does it all.
        if let Some(table) = Arc::get_mut(&mut self.table) {
            table.teardown(inner.areas.iter().map(|slot| (slot.start, slot.end)));
        }
    }
}

/// Gives a new task its address space, before it runs. Sharing is giving a clone. ENOMEM.
pub fn attach(task: &Task, mm: Arc<Mm>) -> Result {
    let slot = KBox::new(MmSlot(SpinLock::new(Some(Arc::new(mm, GFP_KERNEL)?))), GFP_KERNEL)?;
    // A task gets its slot once, when it is made; a value handed back is only dropped.
    let _ = MM.set(task, slot);
    Ok(())
}

/// A task's address space; `None` for kernel threads and tasks that have left theirs.
pub fn mm_of(task: &Task) -> Option<Arc<Mm>> {
    MM.get(task)?.0.lock().as_ref().map(|own| (**own).clone())
}

/// Runs `f` on a task's address space, without a reference that would have to be given up. `f` must not sleep.
pub fn with_mm_of<R>(task: &Task, f: impl FnOnce(&Arc<Mm>) -> R) -> Option<R> {
    MM.get(task)?.0.lock().as_ref().map(|own| f(own))
}

/// The current task's address space.
#[inline]
pub fn current_mm() -> Option<Arc<Mm>> {
    mm_of(&*try_current()?)
}

/// The current task's address space for as long as the task uses it itself: cheaper than [`current_mm`] where threads do so at once.
#[inline]
pub(crate) fn own_mm() -> Option<Own> {
    MM.get(&*try_current()?)?.0.lock().clone()
}

/// Runs `f` on the current task's address space; ESRCH if it has none.
#[inline]
pub fn with_current_mm<R>(f: impl FnOnce(&Arc<Mm>) -> Result<R>) -> Result<R> {
    let mm = own_mm().ok_or(errno::code::ESRCH)?;
    f(&mm)
}

/// Makes `mm` the current task's address space and loads it (`execve`). The old one is given back, to be dropped where the
/// caller may sleep. ENOMEM.
pub fn replace_mm(mm: Arc<Mm>) -> Result<Option<Arc<Mm>>> {
    let task = current();
    if MM.get(&task).is_none() {
        attach(&task, mm.clone())?;
        drop(task::switch::replace_page_table(Some(mm.table.clone())));
        return Ok(None);
    }
    let table = mm.table.clone();
    let own = Arc::new(mm, GFP_KERNEL)?;
    let old = match MM.get(&task) {
        Some(slot) => slot.0.lock().replace(own),
        None => None,
    };
    // The task's own is its alone.
    let old = old.map(|own| (*own).clone());
    if let Some(old) = &old {
        old.note_rss();
    }
    drop(task::switch::replace_page_table(Some(table)));
    if let Some(old) = &old {
        crate::huge::khugepaged::leave(old);
    }
    Ok(old)
}

/// The current task gives up its address space (exit). May sleep: the last user frees it.
pub fn exit_mm() {
    let task = current();
    let Some(slot) = MM.get(&task) else { return };
    let old = slot.0.lock().take();
    let table = task::switch::replace_page_table(None);
    drop(table);
    if let Some(old) = &old {
        crate::huge::khugepaged::leave(old);
    }
    drop(old);
}
