// SPDX-License-Identifier: GPL-2.0
//! Files without a place: `memfd_create(2)`. They live in a tmpfs of the kernel's own that is mounted nowhere.

use crate::inode::{Kind, Node, Owner, new_inode};
use crate::limits::{Count, Limits, Nameless};
use crate::options::Options;
use core::sync::atomic::Ordering;
use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use locking::SetOnce;
use vfs::namei::PathName;
use vfs::{Dentry, Dev, File, FileSystemType, OpenFlags, Path, Prepared, get_unused_fd};
use x86_cpu::regs::PtRegs;

struct Internal {
    place: Path,
    limits: Arc<Limits>,
}

static INTERNAL: SetOnce<Internal> = SetOnce::new();
/// Longest name, without the prefix.
const NAME_MAX: usize = 255 - 6;

pub(crate) fn init(fs_type: &'static dyn FileSystemType) -> Result {
    let sb = crate::new_super(fs_type, 0, &Options::unlimited(), uapi::TMPFS_MAGIC)?;
    let (pages, inodes) = (Count::new(0), Count::new(0));
    let limits = Arc::new(Limits { noswap: false, pages, inodes, nameless: Nameless::default() }, GFP_KERNEL)?;
    let place = vfs::mounting::kern_mount(&sb, b"tmpfs")?;
    INTERNAL.set(Internal { place, limits }).map_err(|_| EBUSY)
}

/// An open file of `size` bytes without a name in any directory; `name` is what `/proc` shows. For memfd and System V shared
/// memory. May sleep.
pub fn unnamed(name: &[u8], size: u64, seals: u32, mode: u32) -> Result<Arc<File>> {
    let internal = INTERNAL.get().ok_or(ENOSYS)?;
    let cred = cred::current_cred()?;
    let owner = Owner { mode: uapi::S_IFREG | mode, uid: cred.fsuid, gid: cred.fsgid };
    let inode = new_inode(&internal.place.mnt.sb, &internal.limits, owner, Dev::default(), b"")?;
    let node: &Node = inode.private().ok_or(EINVAL)?;
    if let Kind::Reg { mapping, seals: cell } = &node.kind {
        cell.store(seals, Ordering::Release);
        mapping.set_size(size);
    }
    inode.set_size(size);
    inode.set_nlink(0);
    let dentry = Dentry::new_anon(inode.clone(), name)?;
    let path = Path { mnt: internal.place.mnt.clone(), dentry };
    let prepared = Prepared::user(&inode)?;
    let flags = OpenFlags(uapi::O_RDWR | uapi::O_LARGEFILE);
    let ops = inode.ops().open(&inode, flags)?;
    File::new(path, flags, ops, prepared)
}

/// `memfd_create(name, flags)`.
pub fn sys_memfd_create(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg1() as u32;
    const MFD_NOEXEC_SEAL: u32 = 8;
    const MFD_EXEC: u32 = 16;
    if flags & !(uapi::MFD_CLOEXEC | uapi::MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) != 0
        || flags & MFD_NOEXEC_SEAL != 0 && flags & MFD_EXEC != 0
    {
        return Err(EINVAL);
    }
    let name = match PathName::from_user(regs.arg0(), true) {
        Ok(name) if name.as_bytes().len() <= NAME_MAX => name,
        Ok(_) | Err(ENAMETOOLONG) => return Err(EINVAL),
        Err(error) => return Err(error),
    };
    let mut shown = KVec::from_slice(b"memfd:", GFP_KERNEL)?;
    shown.extend_from_slice(name.as_bytes(), GFP_KERNEL)?;
    let fd = get_unused_fd(flags & uapi::MFD_CLOEXEC != 0)?;
    // Without execute permission the file is sealed against getting it, which implies that it can be sealed.
    let sealed = flags & (uapi::MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) != 0;
    let seals = if sealed { 0 } else { uapi::F_SEAL_SEAL };
    let mode = if flags & MFD_NOEXEC_SEAL != 0 { 0o666 } else { 0o777 };
    let file = unnamed(&shown, 0, seals, mode)?;
    Ok(fd.install(file) as usize)
}
