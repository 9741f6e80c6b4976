// SPDX-License-Identifier: GPL-2.0
//! `struct blk_io_trace`: a record as programs read it. Source: `linux/blktrace_api.h` of the UAPI headers.

use block::{Dev, Event, Extra, Op, OpFlags};

/// Bytes of a record without what follows it.
const HEADER: usize = 48;
/// Bytes of what may follow one about a bio or request.
const EXTRA: usize = 16;
/// Magic number and version.
const MAGIC: u32 = 0x6561_7400 | 7;

/// Categories.
pub(crate) mod category {
    pub(crate) const READ: u16 = 1;
    pub(crate) const WRITE: u16 = 1 << 1;
    pub(crate) const FLUSH: u16 = 1 << 2;
    pub(crate) const SYNC: u16 = 1 << 3;
    pub(crate) const QUEUE: u16 = 1 << 4;
    pub(crate) const REQUEUE: u16 = 1 << 5;
    pub(crate) const ISSUE: u16 = 1 << 6;
    pub(crate) const COMPLETE: u16 = 1 << 7;
    pub(crate) const FS: u16 = 1 << 8;
    pub(crate) const NOTIFY: u16 = 1 << 10;
    pub(crate) const AHEAD: u16 = 1 << 11;
    pub(crate) const META: u16 = 1 << 12;
    pub(crate) const DISCARD: u16 = 1 << 13;
    pub(crate) const FUA: u16 = 1 << 15;
}

/// Notes.
pub(crate) const NOTE_PROCESS: u32 = 0;
pub(crate) const NOTE_TIMESTAMP: u32 = 1;
pub(crate) const NOTE_MESSAGE: u32 = 2;

/// Who and where.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) sequence: u32,
    pub(crate) time_ns: u64,
    pub(crate) pid: u32,
    /// As the kernel writes numbers of devices here: the major one above 20 bits of the minor one.
    pub(crate) device: u32,
    pub(crate) cpu: u32,
}

/// A record that is made.
pub(crate) struct Record {
    bytes: [u8; HEADER + EXTRA],
    len: usize,
}

impl AsRef<[u8]> for Record {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// Writes fields one after the other.
struct Writer<'a> {
    to: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(to) = self.to.get_mut(self.at..self.at + bytes.len()) {
            to.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }
}

/// The categories that an event is of.
pub(crate) fn categories(event: &Event) -> u16 {
    use block::Action::*;
    use category::*;
    let what = match event.action {
        Queue | BackMerge | FrontMerge | GetRequest | Plug | Unplug | Insert | Remap => QUEUE,
        Requeue => REQUEUE,
        Issue => ISSUE,
        Complete => COMPLETE,
        Split => 0,
    };
    let flag = |flag: OpFlags, bit: u16| if event.flags.has(flag) { bit } else { 0 };
    let direction = if event.op.is_write() { WRITE } else { READ };
    let kind = match event.op {
        Op::Discard | Op::SecureErase => DISCARD,
        Op::Flush => FLUSH,
        _ => 0,
    };
    what | direction
        | kind
        | flag(OpFlags::SYNC, SYNC)
        | flag(OpFlags::RAHEAD, AHEAD)
        | flag(OpFlags::META, META)
        | flag(OpFlags::PREFLUSH, FLUSH)
        | flag(OpFlags::FUA, FUA)
        | if event.of_request { FS } else { 0 }
}

fn header(origin: Origin, sector: u64, bytes: u32, action: u32, error: u16, extra: u16) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let mut to = Writer { to: &mut out, at: 0 };
    to.put(&MAGIC.to_le_bytes());
    to.put(&origin.sequence.to_le_bytes());
    to.put(&origin.time_ns.to_le_bytes());
    to.put(&sector.to_le_bytes());
    for word in [bytes, action, origin.pid, origin.device, origin.cpu] {
        to.put(&word.to_le_bytes());
    }
    to.put(&error.to_le_bytes());
    to.put(&extra.to_le_bytes());
    out
}

/// The record of an event.
pub(crate) fn of_event(event: &Event, categories: u16, origin: Origin) -> Record {
    let mut record = Record { bytes: [0; HEADER + EXTRA], len: 0 };
    let mut extra = [0; EXTRA];
    let mut to = Writer { to: &mut extra, at: 0 };
    match event.extra {
        Extra::None => {}
        Extra::Number(number) => to.put(&number.to_be_bytes()),
        Extra::From(device, sector) => {
            to.put(&number_of(device).to_be_bytes());
            to.put(&origin.device.to_be_bytes());
            to.put(&sector.to_be_bytes());
        }
    }
    let len = to.at;
    let action = event.action as u32 | u32::from(categories) << 16;
    let error = event.status.err().map_or(0, |error| error.to_errno()) as u16;
    let bytes = u32::try_from(event.bytes).unwrap_or(u32::MAX);
    let head = header(origin, event.sector, bytes, action, error, len as u16);
    let mut to = Writer { to: &mut record.bytes, at: 0 };
    to.put(&head);
    to.put(extra.get(..len).unwrap_or(&[]));
    record.len = to.at;
    record
}

/// The head of a note, behind which `len` bytes follow.
pub(crate) fn of_note(note: u32, len: u16, origin: Origin) -> [u8; HEADER] {
    header(origin, 0, 0, note | u32::from(category::NOTIFY) << 16, 0, len)
}

/// A device's number as records have it.
pub(crate) fn number_of(dev: Dev) -> u32 {
    dev.major() << 20 | dev.minor()
}

#[macros::kunit_tests(blktrace)]
mod tests {
    use super::{Origin, categories, category::*, of_event, of_note};
    use block::{Action, Dev, Event, Extra, Op, OpFlags};
    use errno::code::EIO;

    const ORIGIN: Origin = Origin { sequence: 7, time_ns: 1 << 40, pid: 42, device: 254 << 20, cpu: 1 };

    fn event(action: Action, op: Op, flags: OpFlags, extra: Extra) -> Event {
        Event { action, op, flags, sector: 2048, bytes: 4096, status: Err(EIO), of_request: true, extra }
    }

    #[test]
    fn what_an_event_is() {
        let read = event(Action::Issue, Op::Read, OpFlags::RAHEAD, Extra::None);
        assert_eq!(categories(&read), ISSUE | READ | AHEAD | FS);
        let write = event(Action::Complete, Op::Write, OpFlags::SYNC | OpFlags::PREFLUSH, Extra::None);
        assert_eq!(categories(&write), COMPLETE | WRITE | SYNC | FLUSH | FS);
        let discard = event(Action::Queue, Op::Discard, OpFlags::NONE, Extra::None);
        assert_eq!(categories(&discard), QUEUE | WRITE | DISCARD | FS);
    }

    #[test]
    fn how_it_is_written() {
        let event = event(Action::Remap, Op::Read, OpFlags::NONE, Extra::From(Dev::new(254, 1), 5));
        let record = of_event(&event, categories(&event), ORIGIN);
        let bytes = record.as_ref();
        let word = |at: usize| bytes.get(at..at + 4).map(|four| [four[0], four[1], four[2], four[3]]);
        assert_eq!(bytes.len(), 64);
        assert_eq!((word(0), word(4)), (Some([7, 0x74, 0x61, 0x65]), Some([7, 0, 0, 0])));
        // Sector, bytes, action; the error and the length of what follows; device and sector before, in network order.
        assert_eq!((word(16), word(24), word(28)), (Some([0, 8, 0, 0]), Some([0, 16, 0, 0]), Some([15, 0, 0x11, 1])));
        assert_eq!(
            (word(44), word(48), word(60)),
            (Some([0xfb, 0xff, 16, 0]), Some([0x0f, 0xe0, 0, 1]), Some([0, 0, 0, 5]))
        );
        let note = of_note(super::NOTE_PROCESS, 16, ORIGIN);
        assert_eq!(note.get(44..48), Some(&[0u8, 0, 16, 0][..]));
    }
}
