// SPDX-License-Identifier: GPL-2.0
//! The directories of a process as inodes: its own, `task`, `fd`, `fdinfo`, `map_files`, and the entries in them. Locks: none of its own.

use super::access::may_access;
use super::{Entry, Subject, What, entries, files, map_files, open, parse};
use crate::options::{self, Hide};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use process::ns::{NsLink, links};
use process::pid::PidNs;
use task::Task;
use vfs::inode::iop;
use vfs::{
    Dev, DirContext, File, FileOps, FileType, Inode, InodeInit, InodeOps, Kstat, Link, OpenFlags, SeqBuf, SetAttr,
    SuperBlock, fmode,
};

/// What an inode below `/proc/PID` is.
pub(super) enum Kind {
    /// `/proc/PID` or `/proc/PID/task/TID`.
    Home,
    /// An entry of it.
    Entry(&'static Entry),
    /// `/proc/PID/fd/N`.
    Fd(u32),
    /// `/proc/PID/fdinfo/N`.
    FdInfo(u32),
    /// `/proc/PID/map_files/START-END`.
    MapFile(map_files::Range),
    /// `/proc/PID/ns/NAME`.
    Namespace(&'static NsLink),
}

/// An inode's own part.
pub(super) struct PidInode {
    subject: Subject,
    kind: Kind,
}

/// The directory of a process.
pub(crate) fn process_inode(sb: &Arc<SuperBlock>, subject: Subject) -> Result<Arc<Inode>> {
    let task = subject.living().ok_or(ENOENT)?;
    if let Some(process) = process::process_of(&task) {
        process.set_shown();
    }
    PidInode { subject, kind: Kind::Home }.into_inode(sb)
}

/// The process that `inode` is the directory of (`/proc/PID`, not a thread's).
pub(super) fn subject_of(inode: &Inode) -> Option<&Subject> {
    let own = inode.private::<PidInode>()?;
    (matches!(own.kind, Kind::Home) && own.subject.whole).then_some(&own.subject)
}

/// Whom the files of `task` belong to: its effective user, or root while nobody else may look inside (`task_dump_owner`).
fn owner(task: &Task, mode: u32) -> (u32, u32) {
    let dumpable = process::process_of(task).is_some_and(|process| process.is_dumpable()) && !task.is_kthread();
    let open_to_all = mode == uapi::S_IFDIR | 0o555;
    match cred::task_cred(task) {
        Some(cred) if (dumpable || open_to_all) && !task.is_kthread() => (cred.euid, cred.egid),
        _ => (0, 0),
    }
}

impl PidInode {
    fn into_inode(self, sb: &Arc<SuperBlock>) -> Result<Arc<Inode>> {
        let task = self.subject.living().ok_or(ENOENT)?;
        let mut iflags = iop::REVALIDATE | iop::NOATIME;
        let mode = match &self.kind {
            Kind::Home => uapi::S_IFDIR | 0o555,
            Kind::Entry(entry) => entry.mode(),
            Kind::Fd(fd) => files::link_mode(&task, *fd)?,
            Kind::FdInfo(_) => uapi::S_IFREG | 0o444,
            Kind::MapFile(range) => map_files::link_mode(&task, range)?,
            Kind::Namespace(_) => uapi::S_IFLNK | 0o777,
        };
        match &self.kind {
            Kind::Fd(_) | Kind::MapFile(_) | Kind::Namespace(_) => iflags |= iop::MAGIC_LINK,
            Kind::Entry(Entry(_, _, What::Link(_))) => iflags |= iop::MAGIC_LINK,
            Kind::Entry(Entry(_, _, What::Fds | What::FdInfos)) => iflags |= iop::PERMISSION | iop::NO_NEGATIVE,
            Kind::Home if self.subject.whole => iflags |= iop::PERMISSION | iop::NO_NEGATIVE,
            Kind::Home | Kind::Entry(Entry(_, _, What::Tasks | What::MapFiles)) => iflags |= iop::NO_NEGATIVE,
            _ => {}
        }
        let (uid, gid) = owner(&task, mode);
        let init = InodeInit { sb, ino: sb.next_ino(), mode, uid, gid, rdev: Dev::default(), iflags };
        let inode = Inode::new(init, KBox::new(self, GFP_KERNEL)?)?;
        if inode.is_dir() {
            inode.set_nlink(2);
        }
        Ok(inode)
    }

    fn child(&self, kind: Kind) -> Self {
        Self { subject: self.subject.clone(), kind }
    }
}

impl InodeOps for PidInode {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Some(task) = self.subject.living() else { return Err(ENOENT) };
        let found = match &self.kind {
            Kind::Home => entries(self.subject.whole)
                .find(|entry| entry.0.as_bytes() == name)
                .map(|entry| self.child(Kind::Entry(entry))),
            Kind::Entry(Entry(_, _, What::Fds)) => {
                parse(name).filter(|&fd| files::is_open(&task, fd)).map(|fd| self.child(Kind::Fd(fd)))
            }
            Kind::Entry(Entry(_, _, What::FdInfos)) => {
                parse(name).filter(|&fd| files::is_open(&task, fd)).map(|fd| self.child(Kind::FdInfo(fd)))
            }
            Kind::Entry(Entry(_, _, What::MapFiles)) => {
                if !may_access(&task) {
                    return Err(EACCES);
                }
                map_files::parse(name).map(|range| self.child(Kind::MapFile(range)))
            }
            Kind::Entry(Entry(_, _, What::Namespaces)) => {
                links().find(|link| link.name.as_bytes() == name).map(|link| self.child(Kind::Namespace(link)))
            }
            Kind::Entry(Entry(_, _, What::Tasks)) => parse(name)
                .and_then(|tid| thread_in(&options::ns_of(dir.sb()), &task, tid))
                .map(|thread| Self { subject: Subject::new(&thread, thread.tid(), false), kind: Kind::Home }),
            _ => return Err(ENOTDIR),
        };
        match found.map(|found| found.into_inode(dir.sb())) {
            // It went between the look and the making.
            Some(Err(ENOENT | EBADF)) | None => Err(ENOENT),
            Some(inode) => inode.map(Some),
        }
    }

    fn get_link<'a>(&'a self, _: &'a Inode) -> Result<Link<'a>> {
        let task = self.subject.living().ok_or(ENOENT)?;
        if !may_access(&task) {
            return Err(EACCES);
        }
        match &self.kind {
            Kind::Fd(fd) => files::file_of(&task, *fd).map(|file| Link::Jump(file.path().clone())),
            Kind::Entry(Entry(_, _, What::Link(place))) => place(&task).map(Link::Jump),
            Kind::MapFile(range) => map_files::path_of(&task, range).map(Link::Jump),
            Kind::Namespace(link) => vfs::nsfs::ns_path((link.get)(&task).ok_or(ENOENT)?).map(Link::Jump),
            _ => Err(EINVAL),
        }
    }

    fn permission(&self, inode: &Inode, mask: u32) -> Result {
        if matches!(self.kind, Kind::Home) {
            let task = self.subject.living().ok_or(ESRCH)?;
            let options = options::of(inode.sb()).ok_or(EINVAL)?;
            if !options.permits(&task, Hide::NoAccess) {
                return Err(if options.hide() == Hide::Invisible { ENOENT } else { EPERM });
            }
        }
        // Directories of descriptors: a process may always look at its own.
        let result = vfs::perm::generic_permission(inode, mask);
        let own = || {
            let (Some(own), Some(other)) = (process::current_process(), self.subject.living()) else { return false };
            process::process_of(&other).is_some_and(|other| Arc::ptr_eq(&own, &other))
        };
        if result.is_err() && !matches!(self.kind, Kind::Home) && own() { Ok(()) } else { result }
    }

    fn revalidate(&self, inode: &Inode) -> bool {
        let Some(task) = self.subject.living() else { return false };
        let (uid, gid) = owner(&task, inode.mode());
        inode.set_owner(uid, gid);
        match self.kind {
            Kind::Home if self.subject.whole => options::of(inode.sb()).is_some_and(|options| options.shows(&task)),
            Kind::Fd(fd) | Kind::FdInfo(fd) => files::is_open(&task, fd),
            Kind::MapFile(ref range) => map_files::is_mapped(&task, range),
            _ => true,
        }
    }

    fn setattr(&self, inode: &Inode, attr: &SetAttr) -> Result {
        if attr.mode.is_some() {
            return Err(EPERM);
        }
        inode.apply(attr);
        Ok(())
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        if let Some(task) = self.subject.living() {
            (stat.uid, stat.gid) = owner(&task, inode.mode());
        }
        match &self.kind {
            Kind::Home => {
                let directories =
                    entries(self.subject.whole).filter(|entry| entry.mode() & uapi::S_IFMT == uapi::S_IFDIR);
                stat.nlink = 2 + directories.count() as u32;
            }
            Kind::Entry(Entry(_, _, What::Tasks)) => {
                let process = self.subject.living().and_then(|task| process::process_of(&task));
                stat.nlink = 2 + process.map_or(0, |process| process.thread_count());
            }
            _ => {}
        }
    }

    fn open(&self, inode: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        match &self.kind {
            Kind::Home
            | Kind::Entry(Entry(_, _, What::Fds | What::FdInfos | What::MapFiles | What::Tasks | What::Namespaces)) => {
                Ok(KBox::new(PidDir, GFP_KERNEL)?)
            }
            Kind::Entry(entry) => open(&self.subject, entry, options::ns_of(inode.sb())),
            Kind::FdInfo(fd) => files::open_info(&self.subject, *fd, options::ns_of(inode.sb())),
            Kind::Fd(_) | Kind::MapFile(_) | Kind::Namespace(_) => Err(ELOOP),
        }
    }
}

/// The thread of `task`'s process that is called `tid` in `ns`.
fn thread_in(ns: &PidNs, task: &Task, tid: u32) -> Option<Arc<Task>> {
    let process = process::process_of(task)?;
    let thread = process::pid::find_thread_in(ns, tid)?;
    process::process_of(&thread).filter(|other| Arc::ptr_eq(&process, other))?;
    Some(thread)
}

/// The numbers in `ns` of the threads of `task`'s process, in order; of a zombie its leader's alone.
fn thread_numbers(ns: &PidNs, task: &Task) -> Result<KVec<u32>> {
    let process = process::process_of(task).ok_or(ENOENT)?;
    let mut all = KVec::new();
    for thread in &process.threads()? {
        all.push(process::pid::number_of(thread, ns), GFP_KERNEL)?;
    }
    let leader = process.name().number_in(ns);
    if !all.contains(&leader) {
        all.push(leader, GFP_KERNEL)?;
    }
    // One that has just ended has none.
    all.retain(|number| *number != 0);
    all.sort_unstable();
    Ok(all)
}

/// An open directory.
struct PidDir;

/// Position of number `n` is this plus `n`.
const FIRST: i64 = 2;

/// Gives an entry whose name is a number. The inode's own number is not known before it is made; it only must not be 0.
fn emit_number(context: &mut DirContext<'_>, number: u32, kind: FileType) -> Result<bool> {
    let mut name = SeqBuf::new(16);
    name.dec(number.into())?;
    let position = FIRST + i64::from(number);
    Ok(context.emit(name.text(), (1 << 32) + u64::from(number), kind, position + 1))
}

impl PidDir {
    fn home(inode: &PidInode, context: &mut DirContext<'_>) {
        let skip = usize::try_from(context.pos - FIRST).unwrap_or(usize::MAX);
        for (index, entry) in entries(inode.subject.whole).enumerate().skip(skip) {
            let ino = (1 << 33) + index as u64;
            if !context.emit(entry.0.as_bytes(), ino, FileType::of(entry.mode()), FIRST + index as i64 + 1) {
                return;
            }
        }
    }

    fn descriptors(task: &Task, kind: FileType, context: &mut DirContext<'_>) -> Result {
        let Some(files) = vfs::fdtable::task_files(task) else { return Ok(()) };
        while let Ok(from) = u32::try_from(context.pos - FIRST) {
            let Some(fd) = files.next_open(from) else { return Ok(()) };
            if files.get_raw(fd).is_err() {
                // Taken, but there is no file yet.
                context.pos = FIRST + i64::from(fd) + 1;
            } else if !emit_number(context, fd, kind)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl FileOps for PidDir {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let inode = file.inode().private::<PidInode>().ok_or(ENOTDIR)?;
        let task = inode.subject.living().ok_or(ENOENT)?;
        if !context.emit_dots(file) {
            return Ok(());
        }
        match &inode.kind {
            Kind::Home => Self::home(inode, context),
            Kind::Entry(Entry(_, _, What::Fds)) => Self::descriptors(&task, FileType::Link, context)?,
            Kind::Entry(Entry(_, _, What::FdInfos)) => Self::descriptors(&task, FileType::Reg, context)?,
            Kind::Entry(Entry(_, _, What::MapFiles)) => map_files::iterate(&task, context)?,
            Kind::Entry(Entry(_, _, What::Namespaces)) => {
                let skip = usize::try_from(context.pos - FIRST).unwrap_or(usize::MAX);
                for (index, link) in links().enumerate().skip(skip) {
                    let (ino, next) = ((1 << 34) + index as u64, FIRST + index as i64 + 1);
                    if !context.emit(link.name.as_bytes(), ino, FileType::Link, next) {
                        break;
                    }
                }
            }
            Kind::Entry(Entry(_, _, What::Tasks)) => {
                let from = u32::try_from(context.pos - FIRST).unwrap_or(u32::MAX);
                for &tid in
                    thread_numbers(&options::ns_of(file.inode().sb()), &task)?.iter().filter(|tid| **tid >= from)
                {
                    if !emit_number(context, tid, FileType::Dir)? {
                        break;
                    }
                }
            }
            _ => return Err(ENOTDIR),
        }
        Ok(())
    }
}
