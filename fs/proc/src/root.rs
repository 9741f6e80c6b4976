// SPDX-License-Identifier: GPL-2.0
//! The mounted file system and its root directory: the fixed part first, then `self`, `thread-self` and the processes. Locks:
//! see the crate's text.

use crate::options::{self, Hide, Options, ProcSuper};
use crate::pid::{self, Subject};
use crate::{NUMBERS, TREE, kmsg, sysctl, text};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec, WeakArc};
use kernfs::Node;
use process::hooks::Released;
use process::pid::PidName;
use sync::Mutex;
use vfs::inode::iop;
use vfs::super_block::SuperInit;
use vfs::{
    Dentry, Dev, DirContext, File, FileOps, FileSystemType, FileType, FsContext, Inode, InodeInit, InodeOps, Kstat,
    Link, OpenFlags, SetAttr, SuperBlock, fmode, register_filesystem, seq_print,
};

/// Directory positions from here on are processes'; what is below belongs to the fixed part.
const FIRST_PROCESS: i64 = 1 << 20;
/// Position of process `n` is this plus `n`.
const PID_BASE: i64 = FIRST_PROCESS + 2;
const ROOT_INO: u64 = 1;

struct ProcFs;
static PROC: ProcFs = ProcFs;

impl FileSystemType for ProcFs {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        let options = Options::parse(context.options)?;
        let init = SuperInit {
            magic: uapi::PROC_SUPER_MAGIC.into(),
            block_size: 1024,
            max_bytes: i64::MAX.cast_unsigned(),
            flags: context.flags,
        };
        let sb = SuperBlock::new(&PROC, init, KBox::new(ProcSuper::new(&options, pid_namespace::here()), GFP_KERNEL)?)?;
        // Number 1 is the root's.
        while sb.next_ino() < ROOT_INO {}
        let init = InodeInit {
            sb: &sb,
            ino: ROOT_INO,
            mode: uapi::S_IFDIR | 0o555,
            uid: 0,
            gid: 0,
            rdev: Dev::default(),
            iflags: iop::NOATIME | iop::NO_NEGATIVE,
        };
        let inode = Inode::new(init, KBox::new(Root, GFP_KERNEL)?)?;
        sb.set_root(Dentry::new_root(inode)?);
        remember(&sb)?;
        Ok(sb)
    }
}

/// The mounted file systems of this type, whose cached names of a process go with it.
static MOUNTED: Mutex<KVec<WeakArc<SuperBlock>>> = Mutex::new(KVec::new());

fn remember(sb: &Arc<SuperBlock>) -> Result {
    let mut mounted = MOUNTED.lock();
    mounted.retain(|other| other.strong_count() != 0);
    Ok(mounted.push(Arc::downgrade(sb), GFP_KERNEL)?)
}

struct Names;

impl Released for Names {
    fn released(&self, released: &PidName) {
        // What cannot be locked now is left to the cache's own trimming.
        let Some(mounted) = MOUNTED.try_lock() else { return };
        for sb in mounted.iter().filter_map(WeakArc::upgrade) {
            let number = options::of(&sb).map_or(0, |own| released.number_in(own.ns()));
            let Some(root) = sb.root().filter(|_| number != 0) else { continue };
            let mut digits = [0; 20];
            let name = vfs::seq_file::decimal(number.into(), &mut digits);
            let Some(cached) = vfs::dcache::lookup_cached(&root, name) else { continue };
            if let Some(inode) = root.inode()
                && let Some(_lock) = inode.lock.try_write()
            {
                vfs::dcache::invalidate(&cached);
            }
        }
    }
}

/// Makes the fixed part and registers the file system. Once, in task context; `command_line` is what the boot loader gave.
pub fn init(command_line: &'static [u8]) -> Result {
    let tree = Node::new_root(&NUMBERS)?;
    text::add(&tree, command_line)?;
    kmsg::add(&tree)?;
    sysctl::add(&tree)?;
    tree.symlink(b"mounts", "self/mounts")?;
    TREE.set(tree).map_err(|_| EBUSY)?;
    static NAMES: &dyn Released = &Names;
    process::hooks::RELEASED.set(&NAMES);
    pid::init();
    register_filesystem(&PROC)
}

/// The root directory.
struct Root;

impl InodeOps for Root {
    fn lookup(&self, dir: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let options = options::of(dir.sb()).ok_or(EINVAL)?;
        if !options.only_processes()
            && let Some(inode) = kernfs::lookup(dir.sb(), crate::root()?, name)?
        {
            return Ok(Some(inode));
        }
        match name {
            b"self" => SelfLink::inode(dir.sb(), false).map(Some),
            b"thread-self" => SelfLink::inode(dir.sb(), true).map(Some),
            _ => match pid::parse(name)
                .and_then(|number| Subject::process(options.ns(), number))
                .filter(|subject| subject.is_shown(options))
            {
                Some(subject) => pid::process_inode(dir.sb(), subject).map(Some),
                // A name that is not there cannot be made either (`ENOENT`, not `EACCES`): nothing to remember, as in Linux.
                None => Err(ENOENT),
            },
        }
    }

    fn setattr(&self, _: &Inode, _: &SetAttr) -> Result {
        Err(EPERM)
    }

    fn getattr(&self, inode: &Inode, stat: &mut Kstat) {
        inode.fill_stat(stat);
        // As Linux counts: what is fixed, and one a process.
        stat.nlink = process::pid::thread_count().saturating_add(2);
    }

    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(RootDir, GFP_KERNEL)?)
    }
}

/// The open root directory.
struct RootDir;

impl FileOps for RootDir {
    fn mode(&self) -> u32 {
        fmode::SEEK | fmode::POS
    }

    fn can_poll(&self) -> bool {
        false
    }

    fn iterate(&self, file: &File, context: &mut DirContext<'_>) -> Result {
        let options = options::of(file.inode().sb()).ok_or(EINVAL)?;
        if context.pos < FIRST_PROCESS {
            if !context.emit_dots(file) {
                return Ok(());
            }
            if !options.only_processes() && !kernfs::iterate(crate::root()?, context) {
                return Ok(());
            }
            context.pos = FIRST_PROCESS;
        }
        for (position, name) in [(FIRST_PROCESS, b"self".as_slice()), (FIRST_PROCESS + 1, b"thread-self")] {
            if context.pos == position && !context.emit(name, ROOT_INO, FileType::Link, position + 1) {
                return Ok(());
            }
        }
        while let Ok(from) = u32::try_from(context.pos - PID_BASE) {
            let Some(tid) = pid::next_process(options.ns(), from) else { break };
            let position = PID_BASE + i64::from(tid);
            if options.hide() >= Hide::Invisible
                && !Subject::process(options.ns(), tid).is_some_and(|subject| subject.is_shown(options))
            {
                context.pos = position + 1;
                continue;
            }
            let mut name = vfs::SeqBuf::new(16);
            name.dec(tid.into())?;
            // The number an inode would get is not known before it is made; it only must not be 0.
            if !context.emit(name.text(), position.cast_unsigned(), FileType::Dir, position + 1) {
                break;
            }
        }
        Ok(())
    }
}

/// `self` and `thread-self`.
struct SelfLink {
    thread: bool,
}

impl SelfLink {
    fn inode(sb: &Arc<SuperBlock>, thread: bool) -> Result<Arc<Inode>> {
        let init = InodeInit {
            sb,
            ino: sb.next_ino(),
            mode: uapi::S_IFLNK | 0o777,
            uid: 0,
            gid: 0,
            rdev: Dev::default(),
            iflags: iop::NOATIME,
        };
        Inode::new(init, KBox::new(Self { thread }, GFP_KERNEL)?)
    }
}

impl InodeOps for SelfLink {
    fn get_link<'a>(&'a self, inode: &'a Inode) -> Result<Link<'a>> {
        let task = task::current();
        let process = process::process_of(&task).ok_or(ENOENT)?;
        let ns = options::of(inode.sb()).ok_or(ENOENT)?.ns();
        let number = process.name().number_in(ns);
        if number == 0 {
            // Whoever looks at processes of a name space that he is not in.
            return Err(ENOENT);
        }
        let mut text = vfs::SeqBuf::new(64);
        text.dec(number.into())?;
        if self.thread {
            seq_print!(text, "/task/{}", process::pid::number_of(&task, ns))?;
        }
        Ok(Link::Owned(KVec::from_slice(text.text(), GFP_KERNEL)?))
    }

    fn setattr(&self, _: &Inode, _: &SetAttr) -> Result {
        Err(EPERM)
    }
}
