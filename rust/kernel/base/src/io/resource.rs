// SPDX-License-Identifier: GPL-2.0
//! Ranges of addresses and ports that devices have: `kernel::io::resource`.

pub use super::{PhysAddr, ResourceSize};

use crate::str::{CStr, CString};
use core::ops;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use sync::Mutex;

/// What has been requested. Guards itself; nothing is locked under it.
static REQUESTED: Mutex<KVec<Claim>> = Mutex::new(KVec::new());

/// A requested range, from `start` to `last`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Claim {
    kind: u32,
    start: PhysAddr,
    last: PhysAddr,
}

/// A range of addresses that a device has.
#[derive(Clone, Debug)]
pub struct Resource {
    start: PhysAddr,
    last: PhysAddr,
    flags: Flags,
    name: Option<&'static CStr>,
}

impl Resource {
    /// The range from `start` to `last`.
    #[doc(hidden)]
    pub const fn new(start: PhysAddr, last: PhysAddr, flags: Flags, name: Option<&'static CStr>) -> Self {
        Self { start, last, flags, name }
    }

    /// Takes a part of it for the caller alone; `None` if somebody else has some of that, or it is not inside. May sleep.
    pub fn request_region(&self, start: PhysAddr, size: ResourceSize, name: CString, flags: Flags) -> Option<Region> {
        let last = start.checked_add(size.checked_sub(1)?)?;
        if start < self.start || last > self.last || flags.contains(Flags::IORESOURCE_MUXED) {
            return None;
        }
        let claim = Claim { kind: self.flags.0 & Flags::KINDS, start, last };
        let mut requested = REQUESTED.lock();
        if requested.iter().any(|other| other.kind == claim.kind && other.start <= last && start <= other.last) {
            return None;
        }
        requested.push(claim, GFP_KERNEL).ok()?;
        let resource = Resource::new(start, last, Flags(flags.0 | claim.kind), None);
        Some(Region { resource, name, claim })
    }

    /// Its bytes.
    pub fn size(&self) -> ResourceSize {
        self.last.wrapping_sub(self.start).wrapping_add(1)
    }

    /// Its first byte.
    pub fn start(&self) -> PhysAddr {
        self.start
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&CStr> {
        self.name
    }

    /// What it is.
    pub fn flags(&self) -> Flags {
        self.flags
    }
}

/// A part of a [`Resource`] that is the owner's alone.
///
/// # Invariants
/// `claim` is in the list of what is requested.
pub struct Region {
    resource: Resource,
    name: CString,
    claim: Claim,
}

impl Region {
    /// Who has it.
    pub fn owner(&self) -> &CStr {
        &self.name
    }
}

impl ops::Deref for Region {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        &self.resource
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let mut requested = REQUESTED.lock();
        requested.retain(|claim| *claim != self.claim);
    }
}

/// What a [`Resource`] is. Linux's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Ports.
    pub const IORESOURCE_IO: Flags = Flags(0x100);
    /// Memory.
    pub const IORESOURCE_MEM: Flags = Flags(0x200);
    /// Who wants it waits for who has it: not to be had, [`Resource::request_region`] gives `None`.
    pub const IORESOURCE_MUXED: Flags = Flags(0x40_0000);
    /// Writes are not posted.
    pub const IORESOURCE_MEM_NONPOSTED: Flags = Flags(0x80);

    /// The bits that say which addresses these are.
    const KINDS: u32 = 0x300;

    /// Whether all of `flags` are in it.
    pub fn contains(self, flags: Flags) -> bool {
        self & flags == flags
    }
}

impl ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl ops::BitAnd for Flags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl ops::Not for Flags {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}
