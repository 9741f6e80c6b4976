// SPDX-License-Identifier: GPL-2.0
//! Commands that somebody waits for, and what is done about commands that take too long.

use crate::command::{Command, Data, Direction, End, HostStatus};
use crate::unit::Unit;
use core::sync::atomic::{AtomicBool, Ordering::*};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use kernel::hardware::{ktime, locking, mm_alloc, sync};
use klog::{pr_info, pr_warn};
use locking::SpinLock;
use mm_alloc::dma::DmaBuffer;
use scsi_proto::{Cdb, Sense};
use sync::WaitQueue;

/// Time for a command: 30 seconds.
pub const TIMEOUT_NS: u64 = 30_000_000_000;
/// How often a command is sent again that says what a unit is.
pub(crate) const RETRIES: u32 = 5;

/// What came back.
pub struct Answer {
    /// The error that the block layer would get.
    pub result: Result,
    /// The unit's status.
    pub status: u8,
    /// The adapter's.
    pub host_status: HostStatus,
    /// Bytes that were not transferred.
    pub residual: u32,
    /// Sense data as they came.
    pub sense: KVec<u8>,
    /// The memory, for who gave a buffer.
    pub data: Data,
}

impl Answer {
    /// The sense data, taken apart.
    pub fn sense_data(&self) -> Option<Sense> {
        scsi_proto::sense(&self.sense)
    }
}

/// Who waits for a command.
struct Waiter {
    unit: Arc<Unit>,
    back: SpinLock<Option<(KBox<Command>, Result)>>,
    is_back: AtomicBool,
    queue: WaitQueue,
}

impl End for Waiter {
    fn unit(&self) -> &Arc<Unit> {
        &self.unit
    }

    fn end(&self, command: KBox<Command>, result: Result) {
        let old = self.back.lock_irqsave().replace((command, result));
        drop(old);
        self.is_back.store(true, Release);
        self.queue.wake_up_all();
    }
}

/// A command that did not get to its unit, with the status that programs see.
pub(crate) fn unsent(mut command: KBox<Command>, error: Error) -> KBox<Command> {
    command.host_status = if matches!(error, EIO | ENXIO) { HostStatus::NoConnect } else { HostStatus::Error };
    command
}

/// A command that somebody waits for.
pub struct Call {
    /// What to do.
    pub cdb: Cdb,
    /// Which way data goes.
    pub direction: Direction,
    /// The data.
    pub data: Data,
    /// Nanoseconds that it may take each time.
    pub timeout_ns: u64,
    /// How often it may be sent again.
    pub retries: u32,
}

impl Unit {
    /// Sends a command and waits for it, whatever the answer. ENOMEM. May sleep.
    pub fn execute(self: &Arc<Self>, call: Call) -> Result<Answer> {
        let mut command = KBox::new(Command::new(0), GFP_KERNEL)?;
        let waiter = Waiter {
            unit: self.clone(),
            back: SpinLock::new(None),
            is_back: AtomicBool::new(false),
            queue: WaitQueue::new(),
        };
        let waiter = Arc::new(waiter, GFP_KERNEL)?;
        let mut sense = KVec::with_capacity(scsi_proto::SENSE_BYTES, GFP_KERNEL)?;
        command.cdb = call.cdb;
        command.direction = call.direction;
        command.data = call.data;
        command.timeout_ns = call.timeout_ns;
        command.allowed = call.retries;
        let id = command.begin(waiter.clone());
        match self.submit(command, true) {
            Ok(()) => {}
            Err((EBUSY, command)) => self.again(command, 1_000_000),
            Err((error, command)) => waiter.end(unsent(command, error), Err(error)),
        }
        let (command, result) = loop {
            let deadline = ktime::now_ns().saturating_add(call.timeout_ns);
            if !waiter.queue.wait_until_deadline(deadline, || waiter.is_back.load(Acquire)) {
                self.late(0, id);
                continue;
            }
            if let Some(back) = waiter.back.lock_irqsave().take() {
                break back;
            }
        };
        // There is room for it.
        let _ = sense.extend_from_slice(command.sense(), GFP_KERNEL);
        let Command { status, host_status, residual, data, .. } = KBox::into_inner(command);
        Ok(Answer { result, status, host_status, residual, sense, data })
    }

    /// A command without data.
    pub fn execute_plain(self: &Arc<Self>, cdb: Cdb, timeout_ns: u64, retries: u32) -> Result<Answer> {
        self.execute(Call { cdb, direction: Direction::None, data: Data::None, timeout_ns, retries })
    }

    /// Asks for at most `len` bytes: those that came. The error of a command that failed.
    pub fn ask(self: &Arc<Self>, cdb: Cdb, len: u16) -> Result<KVec<u8>> {
        let buffer = DmaBuffer::new(usize::from(len.max(1)), false, GFP_KERNEL)?;
        let data = Data::Buffer(buffer, len.into());
        let call = Call { cdb, direction: Direction::In, data, timeout_ns: TIMEOUT_NS, retries: RETRIES };
        let answer = self.execute(call)?;
        answer.result?;
        let Data::Buffer(buffer, _) = answer.data else { return Err(EIO) };
        let came = usize::from(len).saturating_sub(answer.residual as usize);
        let mut bytes = KVec::zeroed(came, GFP_KERNEL)?;
        buffer.read_bytes(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Sends `bytes` with a command. The error of a command that failed.
    pub fn tell(self: &Arc<Self>, cdb: Cdb, bytes: &[u8]) -> Result {
        let buffer = DmaBuffer::new(bytes.len().max(1), false, GFP_KERNEL)?;
        buffer.write_bytes(0, bytes)?;
        let data = Data::Buffer(buffer, u32::try_from(bytes.len())?);
        let call = Call { cdb, direction: Direction::Out, data, timeout_ns: TIMEOUT_NS, retries: RETRIES };
        self.execute(call)?.result
    }

    /// Command `id` on hardware queue `hw` takes too long: it is aborted, or the unit is reset, or the adapter. It comes back, to be
    /// sent again or with an error. May sleep.
    pub fn late(&self, hw: u32, id: u64) {
        self.counters.timeouts.fetch_add(1, Relaxed);
        let _one = self.host().recovery.lock();
        self.host().recovering.store(true, Release);
        self.bring_back(hw, id);
        self.host().recovering.store(false, Release);
    }

    /// The steps of it, until one helps. `recovery` is held.
    fn bring_back(&self, hw: u32, id: u64) {
        let ops = self.host().ops();
        let (host, target, lun) = (self.host().number(), self.target(), self.lun());
        if ops.abort(self, hw, id) {
            pr_info!("scsi {host}:0:{target}:{lun}: a command took too long and was aborted");
            return;
        }
        pr_warn!("scsi {host}:0:{target}:{lun}: a command took too long: resetting the unit");
        if ops.reset_unit(self, hw, id) {
            return;
        }
        pr_warn!("scsi host{host}: resetting the adapter");
        ops.reset_host();
    }
}
