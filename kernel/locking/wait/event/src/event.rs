// SPDX-License-Identifier: GPL-2.0
//! What a wake-up says to callbacks.

/// Poll events; bits as `EPOLL*` (and `POLL*`) of the ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PollMask(pub u32);

impl PollMask {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Data to read.
    pub const IN: Self = Self(0x001);
    /// Exceptional condition.
    pub const PRI: Self = Self(0x002);
    /// Writing will not block.
    pub const OUT: Self = Self(0x004);
    /// Error; always reported.
    pub const ERR: Self = Self(0x008);
    /// Hang-up; always reported.
    pub const HUP: Self = Self(0x010);
    /// Invalid descriptor.
    pub const NVAL: Self = Self(0x020);
    /// Normal data to read.
    pub const RDNORM: Self = Self(0x040);
    /// Priority band data to read.
    pub const RDBAND: Self = Self(0x080);
    /// Normal data may be written.
    pub const WRNORM: Self = Self(0x100);
    /// Priority data may be written.
    pub const WRBAND: Self = Self(0x200);
    /// The peer shut down its writing half.
    pub const RDHUP: Self = Self(0x2000);
    /// Every event (a wake-up that does not say).
    pub const ALL: Self = Self(u32::MAX);
    /// What a regular file always reports.
    pub const DEFAULT: Self = Self(0x001 | 0x004 | 0x040 | 0x100);

    /// Whether the two have an event in common.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl core::ops::BitOr for PollMask {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::ops::BitOrAssign for PollMask {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl core::ops::BitAnd for PollMask {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Called by a wake-up on a queue it was registered with.
pub trait WakeCallback: Send + Sync {
    /// `events` occurred ([`PollMask::ALL`] if the waker did not say). Runs with the queue's lock held and interrupts off:
    /// must not sleep, nor touch the same queue. Returns whether it took the wake-up (for exclusive registrations).
    fn wake(&self, events: PollMask) -> bool;
}
