// SPDX-License-Identifier: GPL-2.0
//! `/sys`: the tree of devices, classes and buses, and the file system that shows it. Drivers make directories and attributes
//! ([`root`], [`attr`]) and class devices ([`device`]); `init` starts it before drivers.
//!
//! Locks: those of `kernfs`. Source: `sysfs(5)`, Linux's `Documentation/ABI/`.

#![no_std]
#![forbid(unsafe_code)]

pub mod cpu;
pub mod device;
#[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
mod huge;
pub mod uevent;

pub use kernfs::{Attribute, Node};

use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernfs::Ino;
use locking::SetOnce;
use sync::Mutex;
use vfs::super_block::SuperInit;
use vfs::{Dentry, FileSystemType, FsContext, Kstatfs, SeqBuf, SuperBlock, SuperOps, register_filesystem};

static NUMBERS: Ino = Ino::new(1);
static ROOT: SetOnce<Arc<Node>> = SetOnce::new();

/// The root directory; `ENODEV` before [`init`].
pub fn root() -> Result<&'static Arc<Node>> {
    ROOT.get().ok_or(ENODEV)
}

/// Most bytes of an attribute, and its size as `stat` shows it.
pub const PAGE: usize = 4096;

/// An attribute as sysfs has it: one text of at most a page. Readers may wait for [`Node::notify`] with `poll(2)`.
pub struct Attr<S, W> {
    pub(crate) show: S,
    pub(crate) store: W,
}

impl<S, W> Attribute for Attr<S, W>
where
    S: Fn(&mut SeqBuf) -> Result + Send + Sync + 'static,
    W: Fn(&[u8]) -> Result<usize> + Send + Sync + 'static,
{
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        (self.show)(out)?;
        Ok(None)
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        (self.store)(data)
    }

    fn can_notify(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        PAGE as u64
    }

    fn limit(&self) -> usize {
        PAGE
    }
}

/// Adds a readable attribute (mode 0444) to `dir`. May sleep.
pub fn attr(
    dir: &Arc<Node>,
    name: &str,
    show: impl Fn(&mut SeqBuf) -> Result + Send + Sync + 'static,
) -> Result<Arc<Node>> {
    dir.attr(name.as_bytes(), 0o444, Attr { show, store: |_: &[u8]| Err(EIO) })
}

/// Adds an attribute (mode 0644) that can be written too. May sleep.
pub fn attr_rw(
    dir: &Arc<Node>,
    name: &str,
    show: impl Fn(&mut SeqBuf) -> Result + Send + Sync + 'static,
    store: impl Fn(&[u8]) -> Result<usize> + Send + Sync + 'static,
) -> Result<Arc<Node>> {
    dir.attr(name.as_bytes(), 0o644, Attr { show, store })
}

/// Adds a readable attribute with a text that never changes; a newline is added. May sleep.
pub fn constant(dir: &Arc<Node>, name: &str, text: &'static str) -> Result<Arc<Node>> {
    attr(dir, name, move |out| {
        out.put(text.as_bytes())?;
        out.byte(b'\n')
    })
}

/// Adds a readable attribute whose contents never change, of a module that may go before who has it open. May sleep.
pub fn fixed(dir: &Arc<Node>, name: &str, contents: kalloc::KVec<u8>) -> Result<Arc<Node>> {
    attr(dir, name, move |out| out.put(&contents))
}

struct SysFs;
static SYSFS: SysFs = SysFs;

struct SysSuper;

impl SuperOps for SysSuper {
    fn statfs(&self, _: &SuperBlock, out: &mut Kstatfs) -> Result {
        out.f_type = uapi::SYSFS_MAGIC.into();
        Ok(())
    }
}

static SUPER: Mutex<Option<Arc<SuperBlock>>> = Mutex::new(None);

impl FileSystemType for SysFs {
    fn name(&self) -> &'static str {
        "sysfs"
    }

    fn keeps_super(&self) -> bool {
        true
    }

    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>> {
        if context.iter_options().next().is_some() {
            return Err(EINVAL);
        }
        let mut kept = SUPER.lock();
        if let Some(sb) = &*kept {
            return Ok(sb.clone());
        }
        let init = SuperInit {
            magic: uapi::SYSFS_MAGIC.into(),
            block_size: PAGE as u32,
            max_bytes: i64::MAX.cast_unsigned(),
            flags: context.flags,
        };
        let sb = SuperBlock::new(&SYSFS, init, KBox::new(SysSuper, GFP_KERNEL)?)?;
        let inode = kernfs::inode_for(&sb, root()?.clone())?;
        sb.set_root(Dentry::new_root(inode)?);
        *kept = Some(sb.clone());
        Ok(sb)
    }
}

/// Directories that every machine has.
const DIRECTORIES: &[&str] = &[
    "block",
    "bus",
    "class",
    "dev/block",
    "dev/char",
    "devices/system",
    "devices/virtual",
    "firmware",
    "fs",
    "kernel",
    "module",
    "power",
];

/// Makes the tree's frame and registers the file system. Once, in task context, before drivers start.
pub fn init() -> Result {
    let root = Node::new_root(&NUMBERS)?;
    for path in DIRECTORIES {
        root.path_or_new(path)?;
    }
    let kernel = root.path_or_new("kernel")?;
    constant(&kernel, "address_bits", "64")?;
    constant(&kernel, "cpu_byteorder", "little")?;
    cpu::add(&root)?;
    add_clock_sources(&root)?;
    #[cfg(CONFIG_TRANSPARENT_HUGEPAGE)]
    huge::add(&root)?;
    ROOT.set(root).map_err(|_| EBUSY)?;
    uevent::init()?;
    register_filesystem(&SYSFS)
}

/// `devices/system/clocksource/clocksource0`.
fn add_clock_sources(root: &Arc<Node>) -> Result {
    let dir = root.path_or_new("devices/system/clocksource/clocksource0")?;
    attr(&dir, "available_clocksource", |out| {
        for source in ktime::source::available() {
            out.put(source.name().as_bytes())?;
            out.byte(b' ')?;
        }
        out.byte(b'\n')
    })?;
    let show = |out: &mut SeqBuf| {
        out.put(ktime::source::current().map_or("", |source| source.name()).as_bytes())?;
        out.byte(b'\n')
    };
    attr_rw(&dir, "current_clocksource", show, |data| {
        let name = core::str::from_utf8(data.trim_ascii()).map_err(|_| EINVAL)?;
        // As in Linux, a name that is not (yet) known is remembered and no error.
        if name.len() >= 32 {
            return Err(EINVAL);
        }
        ktime::source::prefer(name);
        Ok(data.len())
    })?;
    Ok(())
}
