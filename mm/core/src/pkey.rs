// SPDX-License-Identifier: GPL-2.0
//! Protection keys of user pages: which of them a program has, the one for memory that can only be executed, and what the running
//! program may do. A mapping's key is in its flags and from there in all its entries. Source: `pkeys(7)`, `pkey_alloc(2)`.
//!
//! Lock: [`Keys`] are behind that of the address space.

use crate::flags::VmFlags;
use crate::mm_struct::{Mm, with_mm_of};
use errno::{Result, code::*};
use x86_cpu::cpuid::features;
use x86_cpu::pkru;

/// The keys of an address space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// One bit a key that is in use.
    in_use: u16,
    /// The one of mappings that can only be executed, once there was such a mapping. Programs cannot name it.
    execute_only: Option<u8>,
}

impl Keys {
    /// Those of a new program: key 0, where there are any.
    pub(crate) fn new() -> Self {
        Self { in_use: u16::from(features().pku), execute_only: None }
    }

    /// The key `key`, if a program got it and may name it.
    pub(crate) fn find(&self, key: i32) -> Option<u8> {
        let key = u8::try_from(key).ok().filter(|key| u32::from(*key) < pkru::KEYS && features().pku)?;
        (self.in_use >> key & 1 != 0 && self.execute_only != Some(key)).then_some(key)
    }

    /// The lowest key that is free. A CPU without keys has one all the same, as in Linux: nobody can do anything with it.
    pub(crate) fn take(&mut self) -> Option<u8> {
        let key = self.in_use.trailing_ones();
        if key >= if features().pku { pkru::KEYS } else { 1 } {
            return None;
        }
        self.in_use |= 1 << key;
        Some(key as u8)
    }
}

/// Whether PKRU lets the running program access its own memory of a mapping with these flags: what a fault asks before it brings
/// pages in. Key 0 is not looked at, which costs nothing: if it is forbidden the program's next try says so.
#[inline(always)]
pub(crate) fn allows(flags: VmFlags, write: bool) -> bool {
    !flags.any(VmFlags::KEY) || pkru::allows(pkru::read(), flags.key(), write)
}

impl Mm {
    /// `pkey_alloc(2)`: a key with the rights that `denied` leaves (bit 0: none, bit 1: no writing). ENOSPC. Without keys EINVAL
    /// the first time, as Linux. May sleep.
    pub(crate) fn pkey_alloc(&self, denied: u32) -> Result<u8> {
        let mut inner = self.inner.write_some();
        let key = inner.keys.take().ok_or(ENOSPC)?;
        if !features().pku {
            return Err(EINVAL);
        }
        pkru::load(pkru::with_rights(pkru::read(), key, denied));
        Ok(key)
    }

    /// `pkey_free(2)`. EINVAL. May sleep.
    pub(crate) fn pkey_free(&self, key: i32) -> Result {
        let mut inner = self.inner.write_some();
        let key = inner.keys.find(key).ok_or(EINVAL)?;
        inner.keys.in_use &= !(1 << key);
        Ok(())
    }

    /// The key that `mprotect(2)` with `prot` gives a mapping with the flags `old`.
    pub(crate) fn key_for(&self, keys: &mut Keys, old: VmFlags, prot: u32) -> u8 {
        if prot == uapi::PROT_EXEC {
            return self.execute_only_key(keys).unwrap_or(old.key());
        }
        let only_executed = old.0 & VmFlags::ACCESS.0 == VmFlags::EXEC.0;
        if only_executed && keys.execute_only == Some(old.key()) { 0 } else { old.key() }
    }

    /// The key for memory that can only be executed, which the running program then cannot read; `None` if none is left.
    pub(crate) fn execute_only_key(&self, keys: &mut Keys) -> Option<u8> {
        if !features().pku {
            return None;
        }
        let new = keys.execute_only.is_none();
        let key = match keys.execute_only {
            Some(key) => key,
            None => keys.take()?,
        };
        keys.execute_only = Some(key);
        let now = pkru::read();
        // A new program's first PKRU forbids it anyway, and is not loaded yet.
        if (new || pkru::allows(now, key, false)) && self.is_own() {
            pkru::load(pkru::with_rights(now, key, uapi::PKEY_DISABLE_ACCESS));
        }
        // As Linux: a program that gave key 0 back has it taken for this once, to no use.
        Some(key).filter(|&key| key != 0)
    }

    /// Whether the kernel may access memory of a mapping with these flags for the running program: the program's own by its PKRU,
    /// others' always.
    pub(crate) fn key_permits(&self, flags: VmFlags, write: bool) -> bool {
        pkru::allows(pkru::read(), flags.key(), write) || !self.is_own()
    }

    /// Whether it is the current task's.
    fn is_own(&self) -> bool {
        task::try_current().and_then(|task| with_mm_of(&task, |mm| core::ptr::eq(&raw const **mm, self))) == Some(true)
    }
}
