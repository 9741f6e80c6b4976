// SPDX-License-Identifier: GPL-2.0
//! Allocation flags: `gfp_t` under R4L's names. Constants only; no locks.

use core::ops::{BitAnd, BitOr, Not};

/// How an allocation may behave (`gfp_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u32);

impl Flags {
    /// The bits, for the allocator.
    #[inline(always)]
    pub const fn as_raw(self) -> u32 {
        self.0
    }

    /// Flags from bits that `as_raw` gave.
    #[inline(always)]
    pub const fn from_raw(bits: u32) -> Self {
        Self(bits)
    }

    /// Whether all of `flags` are set.
    #[inline(always)]
    pub const fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether no flag is set.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The union, in constants.
    pub const fn union(self, other: Flags) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the caller may sleep while the allocator reclaims.
    #[inline(always)]
    pub const fn may_sleep(self) -> bool {
        self.0 & __GFP_DIRECT_RECLAIM.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, rhs: Self) -> Self {
        Self(self.0 | rhs.0)
    }
}

impl BitAnd for Flags {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
}

impl Not for Flags {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The memory must be zero.
pub const __GFP_ZERO: Flags = Flags(1 << 0);
/// The caller may sleep while memory is reclaimed.
pub const __GFP_DIRECT_RECLAIM: Flags = Flags(1 << 1);
/// Background reclaim may be woken.
pub const __GFP_KSWAPD_RECLAIM: Flags = Flags(1 << 2);
/// Reserves may be used: the caller cannot wait.
pub const __GFP_HIGH: Flags = Flags(1 << 3);
/// Physical I/O may be started.
pub const __GFP_IO: Flags = Flags(1 << 4);
/// File systems may be called.
pub const __GFP_FS: Flags = Flags(1 << 5);
/// Charge the caller's memory cgroup.
pub const __GFP_ACCOUNT: Flags = Flags(1 << 6);
/// Do not log a failure.
pub const __GFP_NOWARN: Flags = Flags(1 << 7);
/// Movable user memory may be taken.
pub const __GFP_HIGHMEM: Flags = Flags(1 << 8);
/// Memory below 4 GiB.
pub const __GFP_DMA32: Flags = Flags(1 << 9);
/// Memory below 16 MiB.
pub const __GFP_DMA: Flags = Flags(1 << 12);
/// The last reserves may be used: the caller frees more than it takes.
pub const __GFP_MEMALLOC: Flags = Flags(1 << 10);
/// Fail rather than end a process for it.
pub const __GFP_NORETRY: Flags = Flags(1 << 11);
/// The page can be moved: it is mapped by programs, or a file's.
pub const __GFP_MOVABLE: Flags = Flags(1 << 13);
/// The memory can be given up when it is wanted.
pub const __GFP_RECLAIMABLE: Flags = Flags(1 << 14);
/// Internal: the memory may be mapped from separate pages (`Vmalloc`).
pub const __KIND_VMALLOC: Flags = Flags(1 << 30);
/// Internal: contiguous if that is easy, else mapped (`KVmalloc`).
pub const __KIND_KVMALLOC: Flags = Flags(1 << 31);

/// Ordinary kernel memory; may sleep.
pub const GFP_KERNEL: Flags = __GFP_DIRECT_RECLAIM.union(__GFP_KSWAPD_RECLAIM).union(__GFP_IO).union(__GFP_FS);
/// Like `GFP_KERNEL`, charged to the caller's memory cgroup.
pub const GFP_KERNEL_ACCOUNT: Flags = GFP_KERNEL.union(__GFP_ACCOUNT);
/// Never sleeps, may use reserves: for interrupt handlers and under spin locks.
pub const GFP_ATOMIC: Flags = __GFP_HIGH.union(__GFP_KSWAPD_RECLAIM);
/// Never sleeps, uses no reserves.
pub const GFP_NOWAIT: Flags = __GFP_KSWAPD_RECLAIM.union(__GFP_NOWARN);
/// May sleep but starts no I/O.
pub const GFP_NOIO: Flags = __GFP_DIRECT_RECLAIM.union(__GFP_KSWAPD_RECLAIM);
/// May sleep but calls no file system.
pub const GFP_NOFS: Flags = __GFP_DIRECT_RECLAIM.union(__GFP_KSWAPD_RECLAIM).union(__GFP_IO);
/// Memory for user space.
pub const GFP_USER: Flags = GFP_KERNEL;
/// Memory for user space that may lie anywhere.
pub const GFP_HIGHUSER: Flags = GFP_USER.union(__GFP_HIGHMEM);
/// Memory for user space that may lie anywhere, and be moved.
pub const GFP_HIGHUSER_MOVABLE: Flags = GFP_HIGHUSER.union(__GFP_MOVABLE);
