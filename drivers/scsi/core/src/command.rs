// SPDX-License-Identifier: GPL-2.0
//! `Command`: what is sent to a unit, the memory that goes with it, and what came back.

use crate::unit::Unit;
use block::mq::Request;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use errno::Result;
use kalloc::{Arc, KBox};
use kernel::hardware::{block, ktime, mm_alloc};
use mm_alloc::PhysAddr;
use mm_alloc::dma::DmaBuffer;
use scsi_proto::{Cdb, SENSE_BYTES, Sense};

/// Which way data goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// There are none.
    None,
    /// From the device.
    In,
    /// To the device.
    Out,
}

/// The memory of a command.
pub enum Data {
    /// None.
    None,
    /// The pages of the request.
    Request,
    /// A piece of memory that somebody else keeps until the command is back.
    Piece(PhysAddr, u32),
    /// The first bytes of a buffer.
    Buffer(DmaBuffer, u32),
}

/// What the adapter has to say of a command, beside the unit's status. Values are Linux's `DID_*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum HostStatus {
    /// The status is the unit's.
    Ok = 0x00,
    /// There is no such unit.
    NoConnect = 0x01,
    /// The adapter or the bus was busy.
    Busy = 0x02,
    /// It took too long.
    TimeOut = 0x03,
    /// There is no such target.
    BadTarget = 0x04,
    /// It was aborted.
    Abort = 0x05,
    /// The adapter is broken.
    Error = 0x07,
    /// There was a reset meanwhile.
    Reset = 0x08,
    /// The target failed for good.
    TargetFailure = 0x10,
    /// The path to the unit was refused (a reservation).
    NexusFailure = 0x11,
}

/// Who gets a command back.
pub trait End: Send + Sync {
    /// The unit it was sent to.
    fn unit(&self) -> &Arc<Unit>;
    /// It is over. Any context.
    fn end(&self, command: KBox<Command>, result: Result);
}

/// A command.
pub struct Command {
    /// What to do.
    pub cdb: Cdb,
    /// Which way data goes.
    pub direction: Direction,
    /// The data.
    pub data: Data,
    /// The request it is for.
    pub request: Option<KBox<Request>>,
    /// The hardware queue it goes through.
    pub hw: u32,
    /// How often it may be sent again.
    pub allowed: u32,
    /// Nanoseconds that it may take each time.
    pub timeout_ns: u64,
    /// The unit's status.
    pub status: u8,
    /// The adapter's.
    pub host_status: HostStatus,
    /// Bytes that were not transferred.
    pub residual: u32,
    pub(crate) sense: [u8; SENSE_BYTES],
    pub(crate) sense_len: u8,
    pub(crate) retries: u32,
    pub(crate) began_ns: u64,
    pub(crate) id: u64,
    pub(crate) end: Option<Arc<dyn End>>,
}

impl Command {
    /// A command that does nothing yet; for who keeps commands ready.
    pub fn new(hw: u32) -> Self {
        Self {
            cdb: Cdb::test_unit_ready(),
            direction: Direction::None,
            data: Data::None,
            request: None,
            hw,
            allowed: 0,
            timeout_ns: 0,
            status: 0,
            host_status: HostStatus::Ok,
            residual: 0,
            sense: [0; SENSE_BYTES],
            sense_len: 0,
            retries: 0,
            began_ns: 0,
            id: 0,
            end: None,
        }
    }

    /// Makes it ready to be sent for `end`: it gets a number that no other command has.
    pub fn begin(&mut self, end: Arc<dyn End>) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.id = NEXT.fetch_add(1, Relaxed);
        self.retries = 0;
        self.began_ns = ktime::now_ns();
        self.end = Some(end);
        self.clear();
        self.id
    }

    /// It was refused: forgets who would get it. Who keeps commands ready would else keep itself by one that it never sends again.
    pub fn forget_end(&mut self) {
        self.end = None;
    }

    /// Forgets an answer.
    pub(crate) fn clear(&mut self) {
        (self.status, self.host_status, self.residual, self.sense_len) = (0, HostStatus::Ok, 0, 0);
    }

    /// Its number, for aborting it; the same when it is sent again.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The unit it goes to. `None` when it is not under way.
    pub fn unit(&self) -> Option<&Arc<Unit>> {
        Some(self.end.as_ref()?.unit())
    }

    /// Bytes of data.
    pub fn len(&self) -> u64 {
        match &self.data {
            Data::None => 0,
            Data::Request => self.request.as_ref().map_or(0, |request| request.len()),
            Data::Piece(_, len) | Data::Buffer(_, len) => u64::from(*len),
        }
    }

    /// Whether there are no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces of memory of its data: address and bytes.
    pub fn pieces(&self) -> impl Iterator<Item = (PhysAddr, u32)> {
        let one = match &self.data {
            Data::Piece(at, len) => Some((*at, *len)),
            Data::Buffer(buffer, len) => {
                // What a driver tells the device must be inside, whatever was asked for.
                Some((buffer.bus_addr(), (*len).min(u32::try_from(buffer.len()).unwrap_or(u32::MAX))))
            }
            Data::None | Data::Request => None,
        };
        let request = if matches!(self.data, Data::Request) { self.request.as_ref() } else { None };
        let pages = request.into_iter().flat_map(|request| request.segments());
        pages.map(|piece| (piece.page.phys() + u64::from(piece.offset), piece.len)).chain(one)
    }

    /// The unit's sense data.
    pub fn sense(&self) -> &[u8] {
        self.sense.get(..usize::from(self.sense_len)).unwrap_or_default()
    }

    /// The sense data, taken apart.
    pub fn sense_data(&self) -> Option<Sense> {
        scsi_proto::sense(self.sense())
    }

    /// Room for sense data, of which `len` bytes came.
    pub fn sense_buffer(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(SENSE_BYTES);
        self.sense_len = len as u8;
        self.sense.get_mut(..len).unwrap_or_default()
    }
}
