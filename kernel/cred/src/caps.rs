// SPDX-License-Identifier: GPL-2.0
//! Capability numbers and sets. Source: `capabilities(7)`, `linux/capability.h`.

use core::ops::{BitAnd, BitOr, Not};

/// A capability's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap(u8);

/// A set of capabilities, one bit each (`kernel_cap_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapSet(pub u64);

impl Cap {
    /// The capability of number `n`, if there is one.
    pub const fn from_number(n: u32) -> Option<Self> {
        if n <= CAP_LAST_CAP.0 as u32 { Some(Self(n as u8)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }
}

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);
    /// Every capability there is.
    pub const FULL: Self = Self((1 << (CAP_LAST_CAP.0 as u64 + 1)) - 1);
    /// What a task loses from its effective set when its file-system uid leaves 0 (`CAP_FS_SET`).
    pub const FS: Self = Self(
        1 << CAP_CHOWN.0
            | 1 << CAP_MKNOD.0
            | 1 << CAP_DAC_OVERRIDE.0
            | 1 << CAP_DAC_READ_SEARCH.0
            | 1 << CAP_FOWNER.0
            | 1 << CAP_FSETID.0
            | 1 << CAP_LINUX_IMMUTABLE.0
            | 1 << CAP_MAC_OVERRIDE.0,
    );

    /// Whether `cap` is in the set.
    #[inline(always)]
    pub const fn has(self, cap: Cap) -> bool {
        self.0 >> cap.0 & 1 != 0
    }

    /// The set with `cap`.
    pub const fn with(self, cap: Cap) -> Self {
        Self(self.0 | 1 << cap.0)
    }

    /// The set without `cap`.
    pub const fn without(self, cap: Cap) -> Self {
        Self(self.0 & !(1 << cap.0))
    }

    /// Whether all of this set is in `other`.
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

impl BitAnd for CapSet {
    type Output = Self;
    fn bitand(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
}

impl BitOr for CapSet {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl Not for CapSet {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & Self::FULL.0)
    }
}

macro_rules! caps {
    ($($name:ident = $number:literal,)*) => {
        $(#[doc = concat!("`", stringify!($name), "`, see `capabilities(7)`.")] pub const $name: Cap = Cap($number);)*
    };
}

caps! {
    CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_DAC_READ_SEARCH = 2, CAP_FOWNER = 3, CAP_FSETID = 4, CAP_KILL = 5,
    CAP_SETGID = 6, CAP_SETUID = 7, CAP_SETPCAP = 8, CAP_LINUX_IMMUTABLE = 9, CAP_NET_BIND_SERVICE = 10,
    CAP_NET_BROADCAST = 11, CAP_NET_ADMIN = 12, CAP_NET_RAW = 13, CAP_IPC_LOCK = 14, CAP_IPC_OWNER = 15,
    CAP_SYS_MODULE = 16, CAP_SYS_RAWIO = 17, CAP_SYS_CHROOT = 18, CAP_SYS_PTRACE = 19, CAP_SYS_PACCT = 20,
    CAP_SYS_ADMIN = 21, CAP_SYS_BOOT = 22, CAP_SYS_NICE = 23, CAP_SYS_RESOURCE = 24, CAP_SYS_TIME = 25,
    CAP_SYS_TTY_CONFIG = 26, CAP_MKNOD = 27, CAP_LEASE = 28, CAP_AUDIT_WRITE = 29, CAP_AUDIT_CONTROL = 30,
    CAP_SETFCAP = 31, CAP_MAC_OVERRIDE = 32, CAP_MAC_ADMIN = 33, CAP_SYSLOG = 34, CAP_WAKE_ALARM = 35,
    CAP_BLOCK_SUSPEND = 36, CAP_AUDIT_READ = 37, CAP_PERFMON = 38, CAP_BPF = 39, CAP_CHECKPOINT_RESTORE = 40,
}

/// The highest capability there is.
pub const CAP_LAST_CAP: Cap = CAP_CHECKPOINT_RESTORE;
