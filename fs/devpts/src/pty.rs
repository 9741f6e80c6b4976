// SPDX-License-Identifier: GPL-2.0
//! Opening `ptmx` makes a pty and its node; opening the node opens the slave. Called by the VFS and by crate `tty`.

use crate::instance::{self, FIRST_INO, Instance};
use core::sync::atomic::{AtomicU32, Ordering};
use errno::{
    Result,
    code::{EINVAL, EIO, ENODEV, ENOENT, ENOSPC},
};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString};
use locking::SpinLock;
use tty::pty::{PTS_COUNT, PTS_MAJOR, PtyHost, open_master};
use tty::{How, Tty};
use uapi::{O_ACCMODE, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, S_IFCHR, TTYAUX_MAJOR};
use vfs::{
    CharDevice, Dentry, Dev, File, FileOps, Inode, InodeInit, InodeOps, OpenFlags, Path, Prepared, SeqBuf, SuperBlock,
    dcache, get_unused_fd, seq_print,
};

/// A pty's number and node.
struct Node {
    instance: Arc<Instance>,
    index: u32,
    dentry: SpinLock<Option<Arc<Dentry>>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.instance.put_number(self.index);
    }
}

/// What the pty knows of its node.
struct Host {
    node: Arc<Node>,
}

impl PtyHost for Host {
    fn master_closed(&self) {
        let dentry = self.node.dentry.lock().take();
        if let Some(dentry) = dentry {
            if let Some(inode) = dentry.inode() {
                inode.drop_nlink();
            }
            dcache::invalidate(&dentry);
        }
    }

    fn open_peer(&self, slave: &Arc<Tty>, flags: u32) -> Result<usize> {
        if flags & !(O_ACCMODE | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) != 0 {
            return Err(EINVAL);
        }
        let fd = get_unused_fd(flags & O_CLOEXEC != 0)?;
        let dentry = self.node.dentry.lock().clone().ok_or(EIO)?;
        let path = mounted(dentry)?;
        let flags = OpenFlags(flags);
        let prepared = Prepared::open(&path, path.inode()?, flags.writes())?;
        let file = File::new(path, flags, slave.open(flags, How::Device)?, prepared)?;
        Ok(fd.install(file) as usize)
    }
}

/// A path to `dentry` through a mount of its file system. `ENODEV` if it is not mounted any more.
fn mounted(dentry: Arc<Dentry>) -> Result<Path> {
    let sb = dentry.inode().ok_or(ENOENT)?.sb().clone();
    let mut found = None;
    vfs::mount::for_each_mount(|mount| {
        if found.is_none() && Arc::ptr_eq(&mount.sb, &sb) {
            found = Some(mount.clone());
        }
        Ok(())
    })?;
    Ok(Path { mnt: found.ok_or(ENODEV)?, dentry })
}

/// A slave's node.
struct Slave {
    tty: Arc<Tty>,
}

impl InodeOps for Slave {}

/// `ptmx`.
struct Ptmx;

impl CharDevice for Ptmx {
    fn open(&self, inode: &Arc<Inode>, _flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        let sb = match instance::instance_of(inode.sb()) {
            Some(_) => inode.sb().clone(),
            None => instance::default_super()?,
        };
        let instance = instance::instance_of(&sb).ok_or(ENODEV)?.clone();
        let index = instance.take_number()?;
        let node = match Arc::new(Node { instance: instance.clone(), index, dentry: SpinLock::new(None) }, GFP_KERNEL) {
            Ok(node) => node,
            Err(error) => {
                instance.put_number(index);
                return Err(error.into());
            }
        };
        let host = KBox::new(Host { node: node.clone() }, GFP_KERNEL)?;
        // From here on dropping the master undoes everything.
        let (master, slave) = open_master(index, host)?;
        let dentry = make_node(&sb, &instance, index, slave)?;
        *node.dentry.lock() = Some(dentry);
        Ok(master)
    }
}

fn make_node(sb: &Arc<SuperBlock>, instance: &Instance, index: u32, tty: Arc<Tty>) -> Result<Arc<Dentry>> {
    let options = *instance.options.lock();
    let cred = cred::current_cred()?;
    let init = InodeInit {
        sb,
        ino: FIRST_INO.saturating_add(index.into()),
        mode: S_IFCHR | options.mode,
        uid: options.uid.unwrap_or(cred.fsuid),
        gid: options.gid.unwrap_or(cred.fsgid),
        rdev: Dev::new(PTS_MAJOR, index),
        iflags: 0,
    };
    let inode = Inode::new(init, KBox::new(Slave { tty }, GFP_KERNEL)?)?;
    let name = KString::from_fmt(format_args!("{index}"), GFP_KERNEL)?;
    let root = sb.root().ok_or(ENODEV)?;
    dcache::add_entry(&root, name.as_bytes(), inode)
}

/// The slaves' device numbers.
struct Slaves;

impl CharDevice for Slaves {
    fn open(&self, inode: &Arc<Inode>, flags: OpenFlags) -> Result<KBox<dyn FileOps>> {
        // A node of these numbers elsewhere leads to no pty.
        inode.private::<Slave>().ok_or(EIO)?.tty.open(flags, How::Device)
    }
}

pub(crate) fn init() -> Result {
    vfs::register_chrdev(TTYAUX_MAJOR, 2, 1, "/dev/ptmx", &Ptmx)?;
    vfs::register_chrdev(PTS_MAJOR, 0, PTS_COUNT, "pts", &Slaves)
}

/// Most ptys of all instances (`kernel.pty.max`).
static LIMIT: AtomicU32 = AtomicU32::new(4096);

/// `ENOSPC` if there may be no more ptys.
pub(crate) fn check_limit() -> Result {
    if instance::all_ptys() < LIMIT.load(Ordering::Relaxed) { Ok(()) } else { Err(ENOSPC) }
}

/// `/proc/sys/kernel/pty`: how many ptys there are, and may be. Once, when `/proc` is there.
pub fn init_files() -> Result {
    let dir = proc::root()?.path_or_new("sys/kernel")?.mkdir_mode(b"pty", 0o555)?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", LIMIT.load(Ordering::Relaxed));
    let store = |data: &[u8]| {
        let most = i32::try_from(proc::parse_number(data)?).ok().and_then(|most| u32::try_from(most).ok());
        LIMIT.store(most.ok_or(EINVAL)?, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(b"max", 0o644, proc::TextRw(show, store))?;
    dir.attr(b"nr", 0o444, proc::Text(|out: &mut SeqBuf| seq_print!(out, "{}\n", instance::all_ptys())))?;
    Ok(())
}
