// SPDX-License-Identifier: GPL-2.0
//! Extended attributes, kept in memory: `trusted.*` and `security.*`. Locks: a spin lock an inode.

use errno::{Result, code::*};
use kalloc::flags::{GFP_ATOMIC, GFP_KERNEL};
use kalloc::{KBox, KVec};
use locking::SpinLock;

struct Attribute {
    name: KVec<u8>,
    value: KVec<u8>,
}

/// The attributes of one inode; none take no memory.
pub(crate) struct Xattrs(SpinLock<KVec<KBox<Attribute>>>);

/// `EOPNOTSUPP` for name spaces that are not kept, `EINVAL` for one without a name in it.
fn check_name(name: &[u8]) -> Result {
    let rest = name.strip_prefix(b"trusted.").or_else(|| name.strip_prefix(b"security."));
    match rest {
        None => Err(EOPNOTSUPP),
        Some([]) => Err(EINVAL),
        Some(_) => Ok(()),
    }
}

impl Xattrs {
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(KVec::new()))
    }

    pub(crate) fn get(&self, name: &[u8]) -> Result<KVec<u8>> {
        check_name(name)?;
        loop {
            let len = self.len_of(name).ok_or(ENODATA)?;
            let mut copy = KVec::with_capacity(len, GFP_KERNEL)?;
            let list = self.0.lock();
            let found = list.iter().find(|a| a.name == *name).ok_or(ENODATA)?;
            if found.value.len() <= copy.capacity() {
                copy.extend_from_slice(&found.value, GFP_ATOMIC)?;
                return Ok(copy);
            }
        }
    }

    fn len_of(&self, name: &[u8]) -> Option<usize> {
        self.0.lock().iter().find(|a| a.name == *name).map(|a| a.value.len())
    }

    pub(crate) fn set(&self, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
        check_name(name)?;
        let Some(value) = value else {
            let mut list = self.0.lock();
            let index = list.iter().position(|a| a.name == *name).ok_or(ENODATA)?;
            let gone = list.remove(index);
            drop(list);
            drop(gone);
            return Ok(());
        };
        let new = Attribute { name: KVec::from_slice(name, GFP_KERNEL)?, value: KVec::from_slice(value, GFP_KERNEL)? };
        let mut new = KBox::new(new, GFP_KERNEL)?;
        let mut list = self.0.lock();
        match list.iter_mut().find(|a| a.name == *name) {
            Some(_) if flags & uapi::XATTR_CREATE != 0 => return Err(EEXIST),
            Some(old) => core::mem::swap(old, &mut new),
            None if flags & uapi::XATTR_REPLACE != 0 => return Err(ENODATA),
            None => list.push(new, GFP_ATOMIC)?,
        }
        Ok(())
    }

    pub(crate) fn list(&self) -> Result<KVec<u8>> {
        let trusted = cred::capable(cred::CAP_SYS_ADMIN);
        loop {
            let len: usize = self.0.lock().iter().map(|a| a.name.len() + 1).sum();
            let mut names = KVec::with_capacity(len, GFP_KERNEL)?;
            let list = self.0.lock();
            if list.iter().map(|a| a.name.len() + 1).sum::<usize>() > names.capacity() {
                continue;
            }
            for attribute in list.iter().filter(|a| trusted || !a.name.starts_with(b"trusted.")) {
                names.extend_from_slice(&attribute.name, GFP_ATOMIC)?;
                names.push(0, GFP_ATOMIC)?;
            }
            return Ok(names);
        }
    }
}
