// SPDX-License-Identifier: GPL-2.0
//! What can be asked of a block device, and how. Values are those of `enum req_op` and of the flag bits above it. No locks.

/// A sector is 512 bytes, whatever the device's blocks are.
pub const SECTOR_SHIFT: u32 = 9;
/// Bytes of a sector.
pub const SECTOR_SIZE: u32 = 1 << SECTOR_SHIFT;

/// An operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Op {
    /// Device to pages.
    Read = 0,
    /// Pages to device.
    Write = 1,
    /// The device's volatile cache is written out. No pages, no sectors. Drivers see it; others send `PREFLUSH`.
    Flush = 2,
    /// The sectors' contents are not needed any more.
    Discard = 3,
    /// As `Discard`, and no copy may remain.
    SecureErase = 5,
    /// The sectors become zeros.
    WriteZeroes = 9,
}

impl Op {
    /// Whether the device changes.
    #[inline]
    pub const fn is_write(self) -> bool {
        self as u8 & 1 != 0
    }

    /// Whether pages go with it.
    #[inline]
    pub const fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }

    /// The group it is counted in: 0 read, 1 write, 2 discard, 3 flush (`enum stat_group`).
    #[inline]
    pub const fn stat_group(self) -> usize {
        match self {
            Self::Read => 0,
            Self::Discard | Self::SecureErase => 2,
            Self::Flush => 3,
            Self::Write | Self::WriteZeroes => 1,
        }
    }
}

/// How an operation is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpFlags(pub u32);

impl OpFlags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// No retry by the device's driver.
    pub const FAILFAST_DEV: Self = Self(1 << 8);
    /// Somebody waits for it.
    pub const SYNC: Self = Self(1 << 11);
    /// Metadata.
    pub const META: Self = Self(1 << 12);
    /// Before others.
    pub const PRIO: Self = Self(1 << 13);
    /// Not to be joined with neighbours.
    pub const NOMERGE: Self = Self(1 << 14);
    /// More will come soon.
    pub const IDLE: Self = Self(1 << 15);
    /// Complete only when the data are on stable storage.
    pub const FUA: Self = Self(1 << 17);
    /// First write out the device's cache.
    pub const PREFLUSH: Self = Self(1 << 18);
    /// Read-ahead: may fail if that is easier.
    pub const RAHEAD: Self = Self(1 << 19);
    /// Write-back that nobody waits for.
    pub const BACKGROUND: Self = Self(1 << 20);
    /// `EAGAIN` rather than wait for a free request.
    pub const NOWAIT: Self = Self(1 << 21);
    /// The submitter looks for the end itself ([`BlockDevice::poll`](crate::BlockDevice::poll)), if the device has queues for that.
    pub const POLLED: Self = Self(1 << 24);
    /// Zeroes must stay allocated.
    pub const NOUNMAP: Self = Self(1 << 23);

    /// Whether all of `flags` are set.
    #[inline]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is set.
    #[inline]
    pub const fn any(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// Without `flags`.
    #[inline]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }
}

impl core::ops::BitOr for OpFlags {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
