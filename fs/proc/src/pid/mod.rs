// SPDX-License-Identifier: GPL-2.0
//! `/proc/PID` and `/proc/PID/task/TID`: directories that are made as they are looked at. A cached name is asked whether its
//! thread still lives; inodes hold threads weakly. Locks: none of its own.
//!
//! | file | what |
//! |---|---|
//! | `dir` | directories: lookup, listing, owners |
//! | `access` | who may look inside a process |
//! | `stat`, `status` | `stat`, `statm`, `status` |
//! | `memory` | `maps`, `smaps`, `mem`, `cmdline`, `environ` |
//! | `files` | `fd`, `fdinfo`, `cwd`, `root`, `exe` |
//! | `map_files` | `map_files`: the files that are mapped, by their addresses |
//! | `mounts` | `mounts`, `mountinfo`, `mountstats` |
//! | `oom` | `oom_score`, `oom_score_adj`, `oom_adj` |
//! | `small` | `comm`, `limits`, `personality`, `syscall`, `wchan`, `io` |
//! | `waits` | `stack`, `timers`, `timerslack_ns` |

mod access;
mod dir;
mod files;
mod map_files;
mod memory;
mod mounts;
mod oom;
mod small;
mod stat;
mod status;
mod waits;

pub(crate) use access::init;
pub(crate) use dir::process_inode;

use crate::options::ProcSuper;
use access::{look_inside, may_access};
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::{Arc, KBox, WeakArc};
use mm::Mm;
use process::Thread;
use process::pid::PidNs;
use task::Task;
use vfs::mnt_ns::MntEvents;
use vfs::{FileOps, Path, PollMask, PollTable, SeqBuf, SeqFile, SeqShow};

/// The thread (and, with `whole`, the process) that a directory is about.
#[derive(Clone)]
pub(crate) struct Subject {
    task: WeakArc<Task>,
    /// In the first name space.
    tid: u32,
    whole: bool,
}

impl Subject {
    fn new(task: &Arc<Task>, tid: u32, whole: bool) -> Self {
        Self { task: Arc::downgrade(task), tid, whole }
    }

    /// The one behind `/proc/TID` of name space `ns`. As in Linux any thread's number leads somewhere, though only processes are listed.
    pub(crate) fn process(ns: &PidNs, tid: u32) -> Option<Self> {
        process::pid::find_thread_in(ns, tid).map(|task| Self::new(&task, task.tid(), true))
    }

    /// Whether the caller may know of it in a mount with `options`.
    pub(crate) fn is_shown(&self, options: &ProcSuper) -> bool {
        self.task.upgrade().is_some_and(|task| options.shows(&task))
    }

    /// The thread; `ESRCH` if it is gone.
    fn task(&self) -> Result<Arc<Task>> {
        self.task.upgrade().ok_or(ESRCH)
    }

    /// The thread, if it still has its number.
    fn living(&self) -> Option<Arc<Task>> {
        process::pid::find_thread(self.tid).filter(|task| self.task.is(task))
    }
}

/// The number in a name; `None` for what is no number, or not as the kernel writes it.
pub(crate) fn parse(name: &[u8]) -> Option<u32> {
    if name.len() > 1 && name.first() == Some(&b'0') || name.is_empty() || name.len() > 10 {
        return None;
    }
    name.iter().try_fold(0u32, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The first process in `ns` with a number of at least `from`.
pub(crate) fn next_process(ns: &PidNs, from: u32) -> Option<u32> {
    let mut from = from.max(1);
    loop {
        let (tid, task) = process::pid::next_thread_in(ns, from)?;
        if process::thread_of(&task).is_some_and(|thread| thread.process().pid() == task.tid()) {
            return Some(tid);
        }
        from = tid.checked_add(1)?;
    }
}

/// What a text is made from.
pub(crate) struct View {
    task: Arc<Task>,
    whole: bool,
    /// The name space by whose numbers processes are called.
    ns: PidNs,
    /// The address space that was there when the file was opened, for texts that may only be opened by who may look inside.
    mm: Option<Arc<Mm>>,
}

impl View {
    fn thread(&self) -> Result<&Thread> {
        process::thread_of(&self.task).ok_or(ESRCH)
    }
}

type Show = fn(&View, &mut SeqBuf) -> Result;
type ShowLine = fn(&View, u64, &mut SeqBuf) -> Result<Option<u64>>;

/// Opens a file over an address space, if the task has one.
type OpenMm = fn(Option<Arc<Mm>>) -> Result<KBox<dyn FileOps>>;

/// What is behind an entry of a process's directory.
enum What {
    /// A text of one record.
    Text(Show),
    /// A text of the pinned address space, which only who may look inside may open.
    Inside(ShowLine),
    /// A text of many records about the mounts.
    Lines(ShowLine),
    /// A text that may be written.
    Writable(Show, fn(&View, &[u8]) -> Result<usize>),
    /// A link straight to a place.
    Link(fn(&Task) -> Result<Path>),
    /// A file of its own kind over the pinned address space, which only who may look inside may open.
    Opened(OpenMm),
    /// `fd` and `fdinfo`.
    Fds,
    FdInfos,
    /// `map_files`.
    MapFiles,
    /// `task`.
    Tasks,
    /// `ns`.
    Namespaces,
}

/// An entry of a process's directory: name, permissions, what it is.
struct Entry(&'static str, u32, What);

impl Entry {
    fn mode(&self) -> u32 {
        let kind = match self.2 {
            What::Link(_) => uapi::S_IFLNK,
            What::Fds | What::FdInfos | What::MapFiles | What::Tasks | What::Namespaces => uapi::S_IFDIR,
            _ => uapi::S_IFREG,
        };
        kind | self.1
    }
}

use What::*;

/// What a process has that a thread has not.
static PROCESS_ENTRIES: [Entry; 6] = [
    Entry("task", 0o555, Tasks),
    Entry("map_files", 0o500, MapFiles),
    Entry("mountstats", 0o400, Lines(mounts::mountstats)),
    Entry("timers", 0o444, Text(waits::timers)),
    Entry("timens_offsets", 0o644, Writable(waits::clock_offsets, waits::set_clock_offsets)),
    Entry("timerslack_ns", 0o666, Writable(waits::slack, waits::set_slack)),
];

/// What both have.
static ENTRIES: [Entry; 31] = [
    Entry("fd", 0o500, Fds),
    Entry("fdinfo", 0o555, FdInfos),
    Entry("ns", 0o511, Namespaces),
    Entry("environ", 0o400, Inside(memory::environ)),
    Entry("auxv", 0o400, Inside(memory::auxv)),
    Entry("status", 0o444, Text(status::status)),
    Entry("personality", 0o400, Text(small::personality)),
    Entry("limits", 0o444, Text(small::limits)),
    Entry("comm", 0o644, Writable(small::comm, small::set_comm)),
    Entry("syscall", 0o400, Text(small::syscall)),
    Entry("cmdline", 0o444, Text(memory::cmdline)),
    Entry("stat", 0o444, Text(stat::stat)),
    Entry("statm", 0o444, Text(stat::statm)),
    Entry("maps", 0o444, Inside(memory::maps)),
    Entry("smaps", 0o444, Inside(memory::smaps)),
    Entry("smaps_rollup", 0o444, Inside(memory::smaps_rollup)),
    Entry("pagemap", 0o400, Opened(memory::open_pagemap)),
    Entry("clear_refs", 0o200, Writable(nothing, memory::clear_refs)),
    Entry("mem", 0o600, Opened(memory::open_mem)),
    Entry("wchan", 0o444, Text(small::wchan)),
    Entry("stack", 0o400, Text(waits::stack)),
    Entry("cwd", 0o777, Link(files::cwd)),
    Entry("root", 0o777, Link(files::root)),
    Entry("exe", 0o777, Link(files::exe)),
    Entry("oom_score", 0o444, Text(oom::score)),
    Entry("oom_adj", 0o644, Writable(oom::adj, oom::set_adj)),
    Entry("coredump_filter", 0o644, Writable(oom::coredump_filter, oom::set_coredump_filter)),
    Entry("oom_score_adj", 0o644, Writable(oom::score_adj, oom::set_score_adj)),
    Entry("io", 0o400, Text(small::io)),
    Entry("mounts", 0o444, Lines(mounts::mounts)),
    Entry("mountinfo", 0o444, Lines(mounts::mountinfo)),
];

/// What is shown of a file that is only written.
fn nothing(_: &View, _: &mut SeqBuf) -> Result {
    Err(EINVAL)
}

/// The entries of a directory, with their places.
fn entries(whole: bool) -> impl Iterator<Item = &'static Entry> {
    let own: &[Entry] = if whole { &PROCESS_ENTRIES } else { &[] };
    own.iter().chain(ENTRIES.iter())
}

/// An open text about a thread.
struct Source {
    subject: Subject,
    ns: PidNs,
    entry: &'static Entry,
    mm: Option<Arc<Mm>>,
    /// Of `mounts` and `mountinfo`: the changes of the name space, and how many the last poll knew of.
    events: Option<(Arc<MntEvents>, AtomicU64)>,
}

impl Source {
    fn view(&self) -> Result<View> {
        Ok(View { task: self.subject.task()?, whole: self.subject.whole, ns: self.ns.clone(), mm: self.mm.clone() })
    }
}

impl SeqShow for Source {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        match &self.entry.2 {
            Text(show) | Writable(show, _) => {
                // The one record of a thread that is gone is an error, not an empty text.
                self.subject.living().ok_or(ESRCH)?;
                show(&self.view()?, out).map(|()| None)
            }
            // What is pinned can be read after the end, too; it is then empty.
            Inside(show) if self.mm.is_some() => show(&self.view()?, at, out),
            Lines(show) => show(&self.view()?, at, out),
            _ => Ok(None),
        }
    }

    fn can_poll(&self) -> bool {
        self.events.is_some()
    }

    fn poll(&self, table: &mut PollTable) -> PollMask {
        let Some((events, seen)) = &self.events else { return PollMask::DEFAULT };
        let ready = PollMask::IN | PollMask::RDNORM;
        table.add(events.queue());
        let now = events.count();
        // Told once: the next poll waits for another change.
        if seen.swap(now, Ordering::Relaxed) == now { ready } else { ready | PollMask::ERR | PollMask::PRI }
    }

    fn write(&self, data: &[u8]) -> Result<usize> {
        match &self.entry.2 {
            Writable(_, write) => write(&self.view()?, data),
            _ => Err(EINVAL),
        }
    }
}

/// Opens the file behind an entry. `EACCES` for who may not look inside.
fn open(subject: &Subject, entry: &'static Entry, ns: PidNs) -> Result<KBox<dyn FileOps>> {
    let task = subject.living().ok_or(ESRCH)?;
    let mm = match entry.2 {
        Inside(_) => look_inside(&task, may_access, || mm::mm_of(&task))?.ok_or(EACCES)?,
        Opened(open) => return open(look_inside(&task, may_access, || mm::mm_of(&task))?.ok_or(EACCES)?),
        Link(_) | Fds | FdInfos | MapFiles | Tasks | Namespaces => return Err(ELOOP),
        _ => None,
    };
    let events = match entry.2 {
        Lines(_) => {
            let ns = vfs::fs_struct::task_fs(&task).and_then(|fs| fs.ns()).ok_or(EINVAL)?;
            let count = AtomicU64::new(ns.events().count());
            Some((ns.events().clone(), count))
        }
        _ => None,
    };
    SeqFile::boxed(Source { subject: subject.clone(), ns, entry, mm, events })
}

#[macros::kunit_tests(proc_pid)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_names() {
        assert_eq!(parse(b"1"), Some(1));
        assert_eq!(parse(b"4194304"), Some(4_194_304));
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"01"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1a"), None);
        assert_eq!(parse(b"99999999999"), None);
        assert_eq!(parse(b"9999999999"), None);
    }
}
