// SPDX-License-Identifier: GPL-2.0
//! ATA commands, and the frame that carries one to the device (FIS, register, host to device).

/// How a command's data go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// There are none.
    NonData,
    /// From the device, or to it.
    Dma,
    /// The same, queued: the tag goes in the sector count.
    Ncq,
    /// A packet.
    Packet,
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taskfile {
    /// Its code.
    pub command: u8,
    /// Features.
    pub features: u16,
    /// Address.
    pub lba: u64,
    /// Sectors.
    pub count: u16,
    /// Device register.
    pub device: u8,
    /// How its data go.
    pub protocol: Protocol,
    /// Data go to the device.
    pub write: bool,
}

impl Taskfile {
    /// A command without data.
    pub const fn new(command: u8) -> Self {
        Self { command, features: 0, lba: 0, count: 0, device: 0, protocol: Protocol::NonData, write: false }
    }

    /// A command that reads by DMA or programmed I/O, which look the same on the link.
    pub const fn read(command: u8, count: u16) -> Self {
        Self { command, features: 0, lba: 0, count, device: 0, protocol: Protocol::Dma, write: false }
    }

    /// IDENTIFY DEVICE, or IDENTIFY PACKET DEVICE.
    pub const fn identify(packet: bool) -> Self {
        Self::read(if packet { 0xa1 } else { 0xec }, 1)
    }

    /// READ LOG EXT of one page of the log of queued commands that failed.
    pub const fn read_error_log() -> Self {
        Self { lba: 0x10, device: 0x40, ..Self::read(0x2f, 1) }
    }

    /// SET FEATURES: Ultra DMA mode `mode`.
    pub const fn set_mode(mode: u8) -> Self {
        Self { features: 3, count: 0x40 | mode as u16, ..Self::new(0xef) }
    }
}

/// The frame of a command; `tag`: its slot, for queued ones.
pub fn frame(task: &Taskfile, tag: u8) -> [u8; 20] {
    let [a, b, c, d, e, f, ..] = task.lba.to_le_bytes();
    let [low, high] = if task.protocol == Protocol::Ncq { [tag << 3, 0] } else { task.count.to_le_bytes() };
    let [feature, feature_high] = task.features.to_le_bytes();
    // 0x80: the command register is written.
    [0x27, 0x80, task.command, feature, a, b, c, task.device, d, e, f, feature_high, low, high, 0, 0, 0, 0, 0, 0]
}
