// SPDX-License-Identifier: GPL-2.0
//! A command in memory that the controller reads: a header in the list, and a table with the frame, the packet and the pieces of data.

use crate::regs::{LIST, PIECE, PIECES, RECEIVED, TABLE};
use ata_sat::{Protocol, TRIM_BYTES, Taskfile, frame};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kernel::hardware::mm_alloc;
use mm_alloc::PhysAddr;
use mm_alloc::dma::DmaBuffer;

/// Slots of a port.
pub(crate) const SLOTS: usize = 32;
/// Bytes for answers to commands of our own.
pub(crate) const SCRATCH: usize = 512;
const SCRATCH_AT: usize = LIST + RECEIVED;

/// A port's memory.
pub(crate) struct Memory {
    /// The list, the received frames, the scratch bytes.
    base: DmaBuffer,
    tables: DmaBuffer,
    /// Ranges to trim, for each slot.
    trims: DmaBuffer,
}

impl Memory {
    /// `below_4g`: the controller has addresses of 32 bits. ENOMEM.
    pub(crate) fn new(below_4g: bool) -> Result<Self> {
        Ok(Self {
            base: DmaBuffer::new(SCRATCH_AT + SCRATCH, below_4g, GFP_KERNEL)?,
            tables: DmaBuffer::new(SLOTS * TABLE, below_4g, GFP_KERNEL)?,
            trims: DmaBuffer::new(SLOTS * TRIM_BYTES, below_4g, GFP_KERNEL)?,
        })
    }

    /// Where the list is, and where frames are received.
    pub(crate) fn addresses(&self) -> (PhysAddr, PhysAddr) {
        (self.base.bus_addr(), self.base.bus_addr() + LIST as u64)
    }

    /// The scratch bytes: where they are for the device.
    pub(crate) fn scratch_at(&self) -> PhysAddr {
        self.base.bus_addr() + SCRATCH_AT as u64
    }

    /// Copies scratch bytes out.
    pub(crate) fn scratch(&self, to: &mut [u8]) -> Result {
        self.base.read_bytes(SCRATCH_AT, to)
    }

    /// The frame that the device sent last with its registers.
    pub(crate) fn registers(&self) -> [u8; 20] {
        let mut frame = [0; 20];
        // It is inside.
        let _ = self.base.read_bytes(LIST + 0x40, &mut frame);
        frame
    }

    /// Puts a list of ranges to trim into a slot's place: where it is for the device.
    pub(crate) fn put_trim(&self, slot: usize, list: &[u8]) -> Result<PhysAddr> {
        self.trims.write_bytes(slot * TRIM_BYTES, list)?;
        Ok(self.trims.bus_addr() + (slot * TRIM_BYTES) as u64)
    }

    /// Puts a command into a slot. EINVAL for pieces that are too many or at odd places.
    pub(crate) fn put(
        &self,
        slot: usize,
        task: &Taskfile,
        packet: &[u8],
        pieces: impl Iterator<Item = (PhysAddr, u32)>,
    ) -> Result {
        let table = slot * TABLE;
        self.tables.write_bytes(table, &frame(task, slot as u8))?;
        if task.protocol == Protocol::Packet {
            let mut bytes = [0u8; 16];
            for (to, byte) in bytes.iter_mut().zip(packet) {
                *to = *byte;
            }
            self.tables.write_bytes(table + 64, &bytes)?;
        }
        let (mut count, mut last) = (0usize, (0, 0));
        for (mut at, mut len) in pieces {
            if at & 1 != 0 {
                return Err(EINVAL);
            }
            // Bytes go in pairs; only the end of a buffer is odd, and that is whole pages long.
            len = len.next_multiple_of(2);
            if count != 0 && at == last.0 + u64::from(last.1) && last.1 + len <= PIECE {
                // It goes on where the one before ended.
                count -= 1;
                (at, len) = (last.0, last.1 + len);
            }
            while len != 0 {
                let step = len.min(PIECE);
                if count >= PIECES {
                    return Err(EINVAL);
                }
                let place = table + 128 + count * 16;
                self.tables.write64(place, at);
                self.tables.write32(place + 8, 0);
                self.tables.write32(place + 12, step - 1);
                last = (at, step);
                at += u64::from(step);
                len -= step;
                count += 1;
            }
        }
        let packet = if task.protocol == Protocol::Packet { 1 << 5 } else { 0 };
        let write = if task.write { 1 << 6 } else { 0 };
        // The frame has five words.
        self.base.write32(slot * 32, 5 | packet | write | (count as u32) << 16);
        self.base.write32(slot * 32 + 4, 0);
        self.base.write64(slot * 32 + 8, self.tables.bus_addr() + table as u64);
        Ok(())
    }

    /// Bytes that the controller moved for a slot's command (not for queued ones).
    pub(crate) fn moved(&self, slot: usize) -> u32 {
        self.base.read32(slot * 32 + 4)
    }
}
