// SPDX-License-Identifier: GPL-2.0
//! Flags of a mapping, as Linux's `VM_*`: shown in `/proc/PID/smaps`, derived from `mmap(2)`'s arguments. No locks.

use x86_mm::UserProt;

/// Where the protection key is.
const KEY_SHIFT: u32 = 32;

/// Flags of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VmFlags(pub u64);

#[allow(missing_docs, reason = "named and defined as in Linux's mm.h")]
impl VmFlags {
    pub const READ: Self = Self(1 << 0);
    pub const WRITE: Self = Self(1 << 1);
    pub const EXEC: Self = Self(1 << 2);
    pub const SHARED: Self = Self(1 << 3);
    pub const MAYREAD: Self = Self(1 << 4);
    pub const MAYWRITE: Self = Self(1 << 5);
    pub const MAYEXEC: Self = Self(1 << 6);
    pub const MAYSHARE: Self = Self(1 << 7);
    pub const GROWSDOWN: Self = Self(1 << 8);
    pub const PFNMAP: Self = Self(1 << 10);
    pub const LOCKED: Self = Self(1 << 13);
    pub const IO: Self = Self(1 << 14);
    pub const SEQ_READ: Self = Self(1 << 15);
    pub const RAND_READ: Self = Self(1 << 16);
    pub const DONTCOPY: Self = Self(1 << 17);
    pub const DONTEXPAND: Self = Self(1 << 18);
    pub const LOCKONFAULT: Self = Self(1 << 19);
    pub const ACCOUNT: Self = Self(1 << 20);
    pub const NORESERVE: Self = Self(1 << 21);
    pub const WIPEONFORK: Self = Self(1 << 25);
    pub const DONTDUMP: Self = Self(1 << 26);
    /// Shown only: kept apart from the other flags, since it keeps no neighbours apart.
    pub const SOFTDIRTY: Self = Self(1 << 27);
    pub const HUGEPAGE: Self = Self(1 << 29);
    pub const NOHUGEPAGE: Self = Self(1 << 30);
    /// The protection key, in four bits.
    pub const KEY: Self = Self(15 << KEY_SHIFT);
    /// The three rights.
    pub const ACCESS: Self = Self(7);
    pub const NONE: Self = Self(0);

    #[inline(always)]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    #[inline(always)]
    pub const fn any(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    #[inline(always)]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    #[inline(always)]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Private, writable or once so: counted against the commit limit.
    pub const fn is_accountable(self) -> bool {
        self.0 & (Self::NORESERVE.0 | Self::SHARED.0 | Self::WRITE.0) == Self::WRITE.0
    }

    /// Private and possibly writable: a write copies.
    #[inline(always)]
    pub const fn is_cow(self) -> bool {
        self.0 & (Self::SHARED.0 | Self::MAYWRITE.0) == Self::MAYWRITE.0
    }

    /// Counts as data (`RLIMIT_DATA`): private, writable, not a stack.
    pub const fn is_data(self) -> bool {
        self.0 & (Self::WRITE.0 | Self::SHARED.0 | Self::GROWSDOWN.0) == Self::WRITE.0
    }

    /// The protection key.
    #[inline(always)]
    pub const fn key(self) -> u8 {
        (self.0 >> KEY_SHIFT & 15) as u8
    }

    /// The same with another protection key, of 16.
    pub const fn with_key(self, key: u8) -> Self {
        Self(self.0 & !Self::KEY.0 | (key as u64) << KEY_SHIFT & Self::KEY.0)
    }

    /// What entries of pages get that may be written at once.
    #[inline(always)]
    pub const fn prot(self) -> UserProt {
        let rights = if self.0 & Self::ACCESS.0 == 0 {
            UserProt::NONE
        } else {
            UserProt::new(self.0 & Self::WRITE.0 != 0, self.0 & Self::EXEC.0 != 0)
        };
        rights.with_key(self.key())
    }
}

/// `PROT_*` of `mmap` and `mprotect`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prot(pub u32);

impl Prot {
    /// No access.
    pub const NONE: Self = Self(0);
    /// Read.
    pub const READ: Self = Self(uapi::PROT_READ);
    /// Read and write.
    pub const RW: Self = Self(uapi::PROT_READ | uapi::PROT_WRITE);
    /// Read and execute.
    pub const RX: Self = Self(uapi::PROT_READ | uapi::PROT_EXEC);

    /// The rights as flags.
    pub const fn to_flags(self) -> VmFlags {
        let mut flags = 0;
        if self.0 & uapi::PROT_READ != 0 {
            flags |= VmFlags::READ.0;
        }
        if self.0 & uapi::PROT_WRITE != 0 {
            flags |= VmFlags::WRITE.0;
        }
        if self.0 & uapi::PROT_EXEC != 0 {
            flags |= VmFlags::EXEC.0;
        }
        VmFlags(flags)
    }
}
