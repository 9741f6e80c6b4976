// SPDX-License-Identifier: GPL-2.0
//! Port I/O.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

macro_rules! port_ops {
    ($in_name:ident, $out_name:ident, $ty:ty, $reg:tt, $text:literal) => {
        #[doc = concat!("Reads ", $text, " from a port.")]
        ///
        /// # Safety
        /// Reading this port does not break memory safety (the device behind it is the caller's).
        #[inline(always)]
        pub unsafe fn $in_name(port: u16) -> $ty {
            let value: $ty;
            // SAFETY: As the caller promises.
            unsafe { asm!(concat!("in ", $reg, ", dx"), in("dx") port, out($reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }

        #[doc = concat!("Writes ", $text, " to a port.")]
        ///
        /// # Safety
        /// Writing this value to this port does not break memory safety (the device behind it is the caller's).
        #[inline(always)]
        pub unsafe fn $out_name(port: u16, value: $ty) {
            // SAFETY: As the caller promises.
            unsafe { asm!(concat!("out dx, ", $reg), in("dx") port, in($reg) value, options(nomem, nostack, preserves_flags)) };
        }
    };
}

port_ops!(inb, outb, u8, "al", "a byte");
port_ops!(inw, outw, u16, "ax", "a 16-bit word");
port_ops!(inl, outl, u32, "eax", "a 32-bit word");

/// A range of ports that one driver owns: the safe way to do port I/O above level 1. Made by level 1 (`claim`) for ranges
/// that cannot hurt memory safety (serial ports, timer, keyboard controller, RTC, VGA registers, the reset port).
#[derive(Debug)]
pub struct PortRange {
    base: u16,
    len: u16,
}

/// Ranges that drivers above level 1 may claim: no port of these can start DMA or change the CPU's own state.
const CLAIMABLE: &[(u16, u16)] = &[
    (0x40, 4),
    (0x60, 1),
    (0x64, 1),
    (0x61, 1),
    (0x70, 2),
    (0x2e8, 8),
    (0x2f8, 8),
    (0x3e8, 8),
    (0x3f8, 8),
    (0x3b0, 0x30),
    (0xcf9, 1),
];

/// What no table has reason to name: the DMA controllers and their page registers, the interrupt controllers (which can be told to
/// raise exceptions), address line 20, and PCI's configuration ports.
const FIRMWARE_NEVER: &[(u16, u16)] =
    &[(0x00, 0x22), (0x80, 0x10), (0x92, 1), (0xa0, 2), (0xc0, 0x20), (0x4d0, 2), (0xcf8, 1), (0xcfc, 4)];

/// Waits about a microsecond: the time that an access to a port of the ISA bus takes. Any context.
pub fn io_delay() {
    // SAFETY: Port 0x80 shows POST codes; reading it has no effect.
    unsafe { inb(0x80) };
}

impl PortRange {
    /// Claims `len` ports from `base`, if the range is on the list of harmless ones. Exclusiveness is the resource tree's
    /// business, not this function's.
    pub const fn claim(base: u16, len: u16) -> Option<Self> {
        let Some(end) = base.checked_add(len) else { return None };
        let mut rest = CLAIMABLE;
        while let [(b, l), others @ ..] = rest {
            if base >= *b && end <= *b + *l && len > 0 {
                return Some(Self { base, len });
            }
            rest = others;
        }
        None
    }

    /// The ports of PCI configuration, for `arch/x86/pci`. What is written to a function's configuration is the PCI core's
    /// responsibility.
    pub const fn pci_config() -> Self {
        Self { base: 0xcf8, len: 8 }
    }

    /// Claims ports that firmware's tables name (power management, its own command port). `None` for those of
    /// `FIRMWARE_NEVER`.
    pub fn claim_firmware(base: u16, len: u16) -> Option<Self> {
        let end = u32::from(base) + u32::from(len);
        let refused = FIRMWARE_NEVER.iter().any(|&(b, l)| u32::from(base) < u32::from(b + l) && end > u32::from(b));
        (len > 0 && end <= 0x1_0000 && !refused).then_some(Self { base, len })
    }

    /// Claims ports that a PCI function's base address register names. `None` below 0x1000, where the machine's own devices are.
    /// As with a function's registers in memory, what the device is told to transfer is its driver's responsibility.
    pub fn claim_bar(base: u16, len: u16) -> Option<Self> {
        (base >= 0x1000 && len > 0 && base.checked_add(len - 1).is_some()).then_some(Self { base, len })
    }

    /// A part of the range, for a driver that has several things behind one. `None`: it is not inside.
    pub fn part(&self, offset: u16, len: u16) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (len > 0 && end <= self.len).then(|| Self { base: self.base + offset, len })
    }

    /// Reads 16 bits at `offset`; all ones when out of range.
    pub fn read16(&self, offset: u16) -> u16 {
        if offset.checked_add(2).is_none_or(|end| end > self.len) {
            return u16::MAX;
        }
        // SAFETY: As in `read8`.
        unsafe { inw(self.base + offset) }
    }

    /// Writes 16 bits at `offset`; ignored when out of range.
    pub fn write16(&self, offset: u16, value: u16) {
        if offset.checked_add(2).is_some_and(|end| end <= self.len) {
            // SAFETY: As in `write8`.
            unsafe { outw(self.base + offset, value) };
        }
    }

    /// Reads 32 bits at `offset`; all ones when out of range.
    pub fn read32(&self, offset: u16) -> u32 {
        if offset.checked_add(4).is_none_or(|end| end > self.len) {
            return u32::MAX;
        }
        // SAFETY: As in `read8`.
        unsafe { inl(self.base + offset) }
    }

    /// Writes 32 bits at `offset`; ignored when out of range.
    pub fn write32(&self, offset: u16, value: u32) {
        if offset.checked_add(4).is_some_and(|end| end <= self.len) {
            // SAFETY: As in `write8`.
            unsafe { outl(self.base + offset, value) };
        }
    }

    /// Reads a byte at `offset`; `0xff` (what an absent device reads as) when out of range.
    pub fn read8(&self, offset: u16) -> u8 {
        if offset >= self.len {
            return 0xff;
        }
        // SAFETY: The range holds only ports on the harmless list, and `offset` is inside it.
        unsafe { inb(self.base + offset) }
    }

    /// Writes a byte at `offset`; ignored when out of range, as the bus would.
    pub fn write8(&self, offset: u16, value: u8) {
        if offset < self.len {
            // SAFETY: The range holds only ports on the harmless list, and `offset` is inside it.
            unsafe { outb(self.base + offset, value) };
        }
    }

    /// The first port.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// How many there are.
    pub fn len(&self) -> u16 {
        self.len
    }

    /// Never: a range has ports.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A place for a [`PortRange`] that may come and go while others use it, without a lock, in any context: what does not find one
/// reads ones and writes nothing.
#[derive(Debug)]
pub struct PortWindow {
    /// First port and length; 0 without a range.
    range: AtomicU32,
}

impl PortWindow {
    /// Without a range.
    pub const fn new() -> Self {
        Self { range: AtomicU32::new(0) }
    }

    /// Puts a range in, or takes the one that is there away.
    pub fn set(&self, range: Option<PortRange>) {
        let packed = range.map_or(0, |range| u32::from(range.base) << 16 | u32::from(range.len));
        self.range.store(packed, Ordering::Release);
    }

    /// The range that is there. It is a copy: nobody but the window's owner knows whether it is still valid.
    #[inline(always)]
    fn get(&self) -> Option<PortRange> {
        let packed = self.range.load(Ordering::Acquire);
        // Only `set` writes it: the range was allowed.
        (packed != 0).then_some(PortRange { base: (packed >> 16) as u16, len: packed as u16 })
    }

    /// Whether there is a range.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        self.range.load(Ordering::Acquire) != 0
    }

    /// As [`PortRange::read8`].
    #[inline(always)]
    pub fn read8(&self, offset: u16) -> u8 {
        self.get().map_or(0xff, |range| range.read8(offset))
    }

    /// As [`PortRange::write8`].
    #[inline(always)]
    pub fn write8(&self, offset: u16, value: u8) {
        if let Some(range) = self.get() {
            range.write8(offset, value);
        }
    }
}

impl Default for PortWindow {
    fn default() -> Self {
        Self::new()
    }
}
