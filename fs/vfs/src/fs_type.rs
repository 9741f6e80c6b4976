// SPDX-License-Identifier: GPL-2.0
//! Types of file systems (`/proc/filesystems`). A type may be in a module: a [`TypeRef`], and each super block of the type, keeps that.
//! Lock: `TYPES` (spinning), innermost.

use crate::super_block::{FsContext, SuperBlock};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use locking::SpinLock;
use module_core::{Header, ModuleRef};

/// A type of file system.
pub trait FileSystemType: Sync {
    /// Name, as `mount -t` takes it.
    fn name(&self) -> &'static str;

    /// Whether it needs a block device (`/proc/filesystems` shows the others with `nodev`).
    fn requires_dev(&self) -> bool {
        false
    }

    /// Whether there is one super block for ever (sysfs, devtmpfs): it outlives its mounts.
    fn keeps_super(&self) -> bool {
        false
    }

    /// Whether it lies over other file systems and calls them with its own locks held: the checker of lock orders keeps its locks
    /// apart from theirs.
    fn stacks(&self) -> bool {
        false
    }

    /// Whether programs may mount it (`false`: pipefs and the like).
    fn user_mountable(&self) -> bool {
        true
    }

    /// The module that it is in, which stays while a file system of the type is mounted or used; `None` for code of the image.
    fn owner(&self) -> Option<&'static Header> {
        None
    }

    /// The file system that `context` asks for: its root. May sleep.
    fn get_tree(&'static self, context: &FsContext<'_>) -> Result<Arc<SuperBlock>>;
}

static TYPES: SpinLock<KVec<&'static dyn FileSystemType>> = SpinLock::new(KVec::new());

/// Makes a type known. `EBUSY` if the name is taken.
pub fn register_filesystem(fs_type: &'static dyn FileSystemType) -> Result {
    // Room first, outside the lock: allocation may sleep.
    let mut room = KVec::with_capacity(1, GFP_KERNEL)?;
    loop {
        let mut types = TYPES.lock();
        if types.iter().any(|known| known.name() == fs_type.name()) {
            return Err(EBUSY);
        }
        let needed = types.len() + 1;
        if room.capacity() >= needed {
            room.extend(types.iter().copied(), GFP_KERNEL)?;
            room.push(fs_type, GFP_KERNEL)?;
            core::mem::swap(&mut *types, &mut room);
            drop(types);
            return Ok(());
        }
        drop(types);
        room = KVec::with_capacity(needed, GFP_KERNEL)?;
    }
}

/// Makes a type unknown: for a module that goes, whose type nobody uses any more.
pub fn unregister_filesystem(fs_type: &'static dyn FileSystemType) {
    TYPES.lock().retain(|known| known.name() != fs_type.name());
}

/// A type that is known, and whose module stays meanwhile.
pub struct TypeRef {
    fs_type: &'static dyn FileSystemType,
    _module: ModuleRef,
}

impl TypeRef {
    /// A reference to a type. `None`: its module is going.
    pub(crate) fn of(fs_type: &'static dyn FileSystemType) -> Option<Self> {
        Some(Self { fs_type, _module: ModuleRef::get(fs_type.owner())? })
    }

    /// The type, to be used while this is there.
    pub fn get(&self) -> &'static dyn FileSystemType {
        self.fs_type
    }
}

/// The type of that name. `None`: there is none, or its module is coming or going.
pub fn get_filesystem(name: &[u8]) -> Option<TypeRef> {
    TYPES.lock().iter().copied().find(|known| known.name().as_bytes() == name).and_then(TypeRef::of)
}

/// The `index`th type, or nothing if its module is coming or going; `None` past the end (`/proc/filesystems`).
pub fn nth_filesystem(index: usize) -> Option<Option<TypeRef>> {
    TYPES.lock().get(index).map(|fs_type| TypeRef::of(*fs_type))
}
