// SPDX-License-Identifier: GPL-2.0
//! Name spaces as files (`nsfs`): what `/proc/PID/ns/*` leads to. Who has such a file open, or mounted somewhere, keeps the name space
//! alive. Source: `namespaces(7)`, `ioctl_ns(2)`. No locks.

use crate::anon::PseudoFs;
use crate::fdtable::get_unused_fd;
use crate::file::{File, FileOps, OpenFlags};
use crate::inode::{Inode, InodeOps};
use crate::path::Path;
use core::any::Any;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};

/// A kind of name space.
#[derive(Debug)]
pub struct NsKind {
    /// Its flag (`CLONE_NEW*`).
    pub flag: u32,
    /// Its name in the texts of links (`uts:[4026531838]`).
    pub name: &'static str,
}

/// A name space of whatever kind.
pub trait Namespace: Any + Send + Sync {
    /// Its kind.
    fn kind(&self) -> &'static NsKind;
    /// Its number, the inode's.
    fn number(&self) -> u64;
    /// The one above it. `EINVAL` for kinds that do not lie in each other, `EPERM` for one that the current task must not see.
    fn parent(&self) -> Result<NsRef> {
        Err(EINVAL)
    }
}

/// A counted reference to a name space.
pub type NsRef = Arc<dyn Namespace>;

/// `ns` as what it is; `None` if it is no `T`.
pub fn typed<T: Namespace>(ns: NsRef) -> Option<Arc<T>> {
    let ns: Arc<dyn Any + Send + Sync> = ns;
    ns.downcast().ok()
}

/// As [`typed`], borrowed.
pub fn typed_ref<T: Namespace>(ns: &dyn Namespace) -> Option<&T> {
    (ns as &dyn Any).downcast_ref()
}

/// Numbers of name spaces; those below are the first ones' of the kinds that have fixed numbers ([`number`]).
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0xf000_0001);

/// A number for a new name space.
pub fn new_number() -> u64 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The numbers of the first name spaces, which programs know (`PROC_*_INIT_INO`).
pub mod number {
    /// Of System V IPC and message queues.
    pub const IPC: u64 = 0xefff_ffff;
    /// Of host names.
    pub const UTS: u64 = 0xefff_fffe;
    /// Of process numbers.
    pub const PID: u64 = 0xefff_fffc;
    /// Of clocks.
    pub const TIME: u64 = 0xefff_fffa;
}

/// The files that stand for name spaces.
static NSFS: PseudoFs = PseudoFs::new("nsfs", uapi::NSFS_MAGIC);

/// Registers the file system. Once, at boot.
pub(crate) fn init() -> Result {
    NSFS.init()
}

/// What is behind an open file that stands for a name space.
struct NsFile(NsRef);

impl FileOps for NsFile {
    fn ioctl(&self, _: &File, cmd: u32, _: usize) -> Result<usize> {
        match cmd {
            // There is no other user name space than the first, which nobody is above of.
            uapi::NS_GET_USERNS => open_related(|| Err(EPERM)),
            uapi::NS_GET_PARENT => match self.0.parent() {
                Err(EINVAL) => Err(EINVAL),
                parent => open_related(|| parent),
            },
            uapi::NS_GET_NSTYPE => Ok(self.0.kind().flag as usize),
            // A question to user name spaces.
            uapi::NS_GET_OWNER_UID => Err(EINVAL),
            _ => Err(ENOTTY),
        }
    }
}

/// A descriptor of a name space that has to do with another.
fn open_related(get: impl FnOnce() -> Result<NsRef>) -> Result<usize> {
    let fd = get_unused_fd(true)?;
    let file = crate::tasks::kernel_open_at(ns_path(get()?)?, uapi::O_RDONLY)?;
    Ok(fd.install(file) as usize)
}

struct NsInode(NsRef);

impl InodeOps for NsInode {
    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(NsFile(self.0.clone()), GFP_KERNEL)?)
    }

    fn dname(&self, _: &Inode, out: &mut dyn Write) -> core::fmt::Result {
        write!(out, "{}:[{}]", self.0.kind().name, self.0.number())
    }
}

/// The place that stands for `ns`. May sleep.
pub fn ns_path(ns: NsRef) -> Result<Path> {
    let number = ns.number();
    let path = NSFS.new_inode_numbered(uapi::S_IFREG | 0o444, number, KBox::new(NsInode(ns), GFP_KERNEL)?)?;
    // Whoever looked first.
    path.inode()?.set_owner(0, 0);
    Ok(path)
}

/// The name space that open `file` stands for.
pub fn of_file(file: &File) -> Option<&NsRef> {
    file.private::<NsFile>().map(|own| &own.0)
}

/// The name space that is at `path`.
pub(crate) fn of_path(path: &Path) -> Option<&NsRef> {
    path.dentry.inode()?.private::<NsInode>().map(|own| &own.0)
}
