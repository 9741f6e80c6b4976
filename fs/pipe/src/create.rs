// SPDX-License-Identifier: GPL-2.0
//! `pipe(2)` and `pipe2(2)`, and the file system without names that pipes live in.

use crate::ends::PipeEnd;
use crate::ring::Pipe;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EINVAL, ENFILE, ENODEV, ENOPKG, ENXIO};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use locking::SetOnce;
use vfs::FileSystemType;
use vfs::super_block::{FsContext, SimpleSuper, SuperBlock, SuperInit};
use vfs::{Dentry, Dev, File, FileOps, Inode, InodeInit, InodeOps, Mount, OpenFlags, Path, Prepared, iop};
use x86_cpu::regs::PtRegs;
use x86_mm::uaccess::{UserPtr, put_user};

struct PipeFs;
static PIPEFS: PipeFs = PipeFs;

impl FileSystemType for PipeFs {
    fn name(&self) -> &'static str {
        "pipefs"
    }
    fn user_mountable(&self) -> bool {
        false
    }
    fn get_tree(&'static self, _context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        Err(EINVAL)
    }
}

/// A pipe's inode knows its pipe (the root of the file system has none), so that `/proc/PID/fd/N` can be opened.
struct PipeInode(Option<Arc<Pipe>>);

impl InodeOps for PipeInode {
    fn open(&self, _: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let pipe = self.0.clone().ok_or(ENXIO)?;
        let end = KBox::new(PipeEnd { pipe: pipe.clone(), fifo: None, alone_since: None }, GFP_KERNEL)?;
        crate::fifo::join(&pipe, flags)?;
        Ok(end)
    }

    fn dname(&self, inode: &Inode, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        write!(out, "pipe:[{}]", inode.ino)
    }
}

static MOUNT: SetOnce<Arc<Mount>> = SetOnce::new();

/// `PIPEFS_MAGIC`.
const MAGIC: u64 = 0x5049_5045;

pub(crate) fn init() -> Result {
    vfs::register_filesystem(&PIPEFS)?;
    let init = SuperInit { magic: MAGIC, block_size: 4096, max_bytes: i64::MAX as u64, flags: 0 };
    let sb = SuperBlock::new(&PIPEFS, init, KBox::new(SimpleSuper, GFP_KERNEL)?)?;
    let root = Dentry::new_anon(inode(&sb, None, uapi::S_IFDIR | 0o600, 0, 0)?, b"pipe:")?;
    sb.set_root(root.clone());
    let mount = Mount::new(&sb, root, b"pipefs", 0)?;
    // Boot is one thread: nobody else sets it.
    let _ = MOUNT.set(mount);
    Ok(())
}

fn inode(sb: &Arc<SuperBlock>, pipe: Option<Arc<Pipe>>, mode: u32, uid: u32, gid: u32) -> Result<Arc<Inode>> {
    let ino = sb.next_ino();
    let init = InodeInit { sb, ino, mode, uid, gid, rdev: Dev(0), iflags: iop::ANON | iop::DNAME };
    Inode::new(init, KBox::new(PipeInode(pipe), GFP_KERNEL)?)
}

/// Flags that `pipe2` takes.
const FLAGS: u32 = uapi::O_CLOEXEC | uapi::O_NONBLOCK | uapi::O_DIRECT;

/// A new pipe: its reading and its writing file.
fn create(flags: u32) -> Result<(Arc<File>, Arc<File>)> {
    let mount = MOUNT.get().ok_or(ENODEV)?;
    let cred = cred::current_cred()?;
    // Whatever there is no pipe for, too many of a user's or no memory, there is one error (where a FIFO says `ENOMEM`).
    let pipe = Pipe::new().map_err(|_| ENFILE)?;
    let mode = uapi::S_IFIFO | 0o600;
    let inode = inode(&mount.sb, Some(pipe.clone()), mode, cred.fsuid, cred.fsgid).map_err(|_| ENFILE)?;
    let dentry = Dentry::new_anon(inode, b"")?;
    let path = Path { mnt: mount.clone(), dentry };
    pipe.readers.store(1, Ordering::SeqCst);
    pipe.writers.store(1, Ordering::SeqCst);
    pipe.reader_opens.store(1, Ordering::SeqCst);
    pipe.writer_opens.store(1, Ordering::SeqCst);
    let end = |access: u32| -> Result<Arc<File>> {
        // Packets are the writer's matter.
        let kept = if access == uapi::O_WRONLY { uapi::O_NONBLOCK | uapi::O_DIRECT } else { uapi::O_NONBLOCK };
        let flags = access | flags & kept;
        let ops = KBox::new(PipeEnd { pipe: pipe.clone(), fifo: None, alone_since: None }, GFP_KERNEL)?;
        File::new(path.clone(), OpenFlags(flags), ops, Prepared::nothing())
    };
    Ok((end(uapi::O_RDONLY)?, end(uapi::O_WRONLY)?))
}

fn do_pipe(address: usize, flags: u32) -> Result<usize> {
    if flags & !(FLAGS | uapi::O_EXCL) != 0 {
        return Err(EINVAL);
    }
    // O_NOTIFICATION_PIPE, as where watch queues are configured out.
    if flags & uapi::O_EXCL != 0 {
        return Err(ENOPKG);
    }
    let (reader, writer) = create(flags)?;
    let cloexec = flags & uapi::O_CLOEXEC != 0;
    let (read_fd, write_fd) = (vfs::get_unused_fd(cloexec)?, vfs::get_unused_fd(cloexec)?);
    put_user(UserPtr::from(address), [read_fd.fd(), write_fd.fd()])?;
    read_fd.install(reader);
    write_fd.install(writer);
    Ok(0)
}

/// `pipe(2)`.
pub fn sys_pipe(regs: &PtRegs) -> Result<usize> {
    do_pipe(regs.arg0(), 0)
}

/// `pipe2(2)`.
pub fn sys_pipe2(regs: &PtRegs) -> Result<usize> {
    do_pipe(regs.arg0(), regs.arg1() as u32)
}
