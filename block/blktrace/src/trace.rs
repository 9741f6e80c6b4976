// SPDX-License-Identifier: GPL-2.0
//! `Trace`: which events of a disk are noted, and the files in which programs find them.

use crate::record::{self, Origin, category};
use crate::ring::{Ring, room};
use block::{BlockDevice, Event, Tracer};
use core::sync::atomic::{AtomicU32, Ordering::*};
use debugfs::Dir;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KString, KVec};
use kernfs::Attribute;
use locking::{SetOnce, SpinLock};
use sync::{Mutex, PollMask, PollTable, WaitQueue};
use vfs::{File, FileOps, Inode, IovIter, OpenFlags, SeqBuf, seq_print};
use x86_cpu::cpu_id;
use x86_mm::uaccess::get_user;

/// Bytes of a trace's name.
pub(crate) const NAME: usize = 32;
/// Bytes that are copied at once.
const PIECE: usize = 4096;
/// Bytes of a process's name in a record.
const COMM: u16 = 16;
/// Longest message (`BLK_TN_MAX_MSG`).
const MESSAGE: usize = 128;
/// Places for processes that were named.
const NAMED: usize = 64;

/// What a program asks for (`struct blk_user_trace_setup`).
pub(crate) struct Setup {
    mask: u16,
    size: u32,
    count: u32,
    first: u64,
    end: u64,
    pid: u32,
}

impl Setup {
    /// The one at `arg`. EFAULT.
    pub(crate) fn get(arg: usize) -> Result<Self> {
        let at = |offset: usize| arg.wrapping_add(NAME + offset);
        Ok(Self {
            mask: get_user(at(0))?,
            size: get_user(at(4))?,
            count: get_user(at(8))?,
            first: get_user(at(16))?,
            end: get_user(at(24))?,
            pid: get_user(at(32))?,
        })
    }
}

/// One CPU's records.
struct Cpu {
    ring: SpinLock<Ring>,
    /// Counts records; changed with the ring's lock held.
    sequence: AtomicU32,
    /// Serialises readers.
    reading: Mutex<()>,
    readers: Arc<WaitQueue>,
}

const SET_UP: u32 = 1;
const RUNNING: u32 = 2;
const STOPPED: u32 = 3;

/// A trace.
pub(crate) struct Trace {
    name: [u8; NAME],
    device: u32,
    mask: u16,
    /// Sectors of interest.
    first: u64,
    end: u64,
    /// The only process of interest; 0: all are.
    pid: u32,
    state: AtomicU32,
    /// Bytes from which on it is worth a reader's while.
    enough: usize,
    cpus: KVec<Cpu>,
    /// Processes whose name was noted, by the low bits of their numbers.
    named: [AtomicU32; NAMED],
    dir: Mutex<Option<Arc<Dir>>>,
}

/// `/sys/kernel/debug/block`.
fn home() -> Result<&'static Arc<Dir>> {
    static HOME: SetOnce<Arc<Dir>> = SetOnce::new();
    if HOME.get().is_none() {
        // The caller's lock keeps others out.
        let _ = HOME.set(Dir::new(b"block", None)?);
    }
    HOME.get().ok_or(ENODEV)
}

impl Trace {
    /// Makes one with its files; it does not run yet. EINVAL, EEXIST, ENOMEM. May sleep; the caller serialises.
    pub(crate) fn new(bdev: &BlockDevice, setup: &Setup) -> Result<Arc<Self>> {
        let room = room(setup.size, setup.count)?;
        let mut name = [0; NAME];
        let text = bdev.name()?;
        for (to, from) in name.iter_mut().take(NAME - 1).zip(text.as_bytes()) {
            *to = if *from == b'/' { b'_' } else { *from };
        }
        // A partition's trace is of its own sectors.
        let (first, end) = match bdev.is_partition() {
            true => (bdev.start_sector(), bdev.start_sector().saturating_add(bdev.nr_sectors())),
            false => (setup.first, if setup.end == 0 { u64::MAX } else { setup.end }),
        };
        let count = 64 - x86::smp::possible().leading_zeros().min(63);
        let mut cpus = KVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            let cpu = Cpu {
                ring: SpinLock::new(Ring::new(room)?),
                sequence: AtomicU32::new(0),
                reading: Mutex::new(()),
                readers: Arc::new(WaitQueue::new(), GFP_KERNEL)?,
            };
            cpus.push(cpu, GFP_KERNEL)?;
        }
        let trace = Self {
            name,
            device: record::number_of(bdev.dev()),
            mask: if setup.mask == 0 { u16::MAX } else { setup.mask },
            first,
            end,
            pid: setup.pid,
            state: AtomicU32::new(SET_UP),
            enough: setup.size as usize,
            cpus,
            named: [const { AtomicU32::new(0) }; NAMED],
            dir: Mutex::new(None),
        };
        let trace = Arc::new(trace, GFP_KERNEL)?;
        let dir = home()?.clone();
        let dir = Dir::new(trace.text(), Some(&dir))?;
        for number in 0..count {
            let file = KString::from_fmt(format_args!("trace{number}"), GFP_KERNEL)?;
            dir.attribute(file.as_bytes(), 0o444, Stream { trace: trace.clone(), cpu: number as usize })?;
        }
        let its = Arc::downgrade(&trace);
        dir.attribute(
            b"dropped",
            0o444,
            kernfs::Text(move |out: &mut SeqBuf| {
                let trace = its.upgrade().ok_or(ENODEV)?;
                let dropped: u64 = trace.cpus.iter().map(|cpu| cpu.ring.lock_irqsave().dropped()).sum();
                seq_print!(out, "{dropped}\n")
            }),
        )?;
        let its = Arc::downgrade(&trace);
        dir.attribute(
            b"msg",
            0o222,
            kernfs::TextRw(
                |_: &mut SeqBuf| Err(EINVAL),
                move |data: &[u8]| {
                    if data.len() >= MESSAGE {
                        return Err(EINVAL);
                    }
                    its.upgrade().ok_or(ENODEV)?.message(data.trim_ascii_end());
                    Ok(data.len())
                },
            ),
        )?;
        *trace.dir.lock() = Some(dir);
        Ok(trace)
    }

    /// Its name, with zeros behind it.
    pub(crate) fn name(&self) -> [u8; NAME] {
        self.name
    }

    fn text(&self) -> &[u8] {
        let len = self.name.iter().position(|byte| *byte == 0).unwrap_or(NAME);
        self.name.get(..len).unwrap_or(&[])
    }

    /// Begins, or goes on. EINVAL if it runs.
    pub(crate) fn start(&self) -> Result {
        let change = |state: u32| (state != RUNNING).then_some(RUNNING);
        self.state.fetch_update(AcqRel, Acquire, change).map_err(|_| EINVAL)?;
        self.named.iter().for_each(|pid| pid.store(0, Relaxed));
        let now = ktime::real_ns();
        let mut time = [0; 8];
        let (seconds, rest) = time.split_at_mut(4);
        seconds.copy_from_slice(&((now / 1_000_000_000) as u32).to_le_bytes());
        rest.copy_from_slice(&((now % 1_000_000_000) as u32).to_le_bytes());
        self.note(record::NOTE_TIMESTAMP, 0, &time);
        Ok(())
    }

    /// Stops: readers get what there is. EINVAL if it does not run.
    pub(crate) fn stop(&self) -> Result {
        self.state.compare_exchange(RUNNING, STOPPED, AcqRel, Acquire).map_err(|_| EINVAL)?;
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        self.cpus.iter().for_each(|cpu| cpu.readers.wake_up_poll(PollMask::IN | PollMask::RDNORM));
    }

    /// Takes its files away. Who has one open reads on. May sleep.
    pub(crate) fn close(&self) {
        self.state.store(STOPPED, Release);
        self.wake();
        let dir = self.dir.lock().take();
        drop(dir);
    }

    fn is_running(&self) -> bool {
        self.state.load(Acquire) == RUNNING
    }

    /// Notes something on this CPU: `make` gets its number and the record's.
    fn put<R: AsRef<[u8]>>(&self, counts: bool, make: impl FnOnce(u32, u32) -> R, rest: &[u8]) {
        let number = cpu_id();
        let Some(cpu) = self.cpus.get(number as usize) else { return };
        let mut ring = cpu.ring.lock_irqsave();
        let sequence = if counts { cpu.sequence.fetch_add(1, Relaxed).wrapping_add(1) } else { 0 };
        let before = ring.len();
        ring.push(make(number, sequence).as_ref(), rest);
        let reached = before < self.enough && ring.len() >= self.enough;
        drop(ring);
        if reached {
            cpu.readers.wake_up_poll(PollMask::IN | PollMask::RDNORM);
        }
    }

    fn note(&self, what: u32, pid: u32, text: &[u8]) {
        let (time_ns, device) = (ktime::now_ns(), self.device);
        // At most `MESSAGE`.
        let len = text.len() as u16;
        self.put(
            false,
            |cpu, sequence| record::of_note(what, len, Origin { sequence, time_ns, pid, device, cpu }),
            text,
        );
    }

    /// A program writes a text into the trace.
    fn message(&self, text: &[u8]) {
        if self.is_running() && self.mask & category::NOTIFY != 0 {
            self.note(record::NOTE_MESSAGE, 0, text);
        }
    }

    /// Notes the current task's name once.
    fn name_of(&self, task: &task::Task, pid: u32) {
        let Some(place) = self.named.get(pid as usize % NAMED) else { return };
        // The idle task needs no name: programs know 0.
        if pid != 0 && place.swap(pid, Relaxed) != pid {
            let comm = task.comm();
            self.note(record::NOTE_PROCESS, pid, comm.get(..usize::from(COMM)).unwrap_or(&comm));
        }
    }

    fn wants(&self, event: &Event, categories: u16, pid: u32) -> bool {
        self.mask & categories != 0
            && (event.sector == 0 || (self.first..=self.end).contains(&event.sector))
            && (self.pid == 0 || self.pid == pid)
    }
}

impl Tracer for Trace {
    fn event(&self, event: &Event) {
        if !self.is_running() {
            return;
        }
        let task = task::current();
        let pid = task.tid();
        let categories = record::categories(event);
        if !self.wants(event, categories, pid) {
            return;
        }
        self.name_of(&task, pid);
        let (time_ns, device) = (ktime::now_ns(), self.device);
        let make = |cpu, sequence| record::of_event(event, categories, Origin { sequence, time_ns, pid, device, cpu });
        self.put(true, make, &[]);
    }
}

/// `traceN`: the records of a CPU, each read once.
struct Stream {
    trace: Arc<Trace>,
    cpu: usize,
}

impl Attribute for Stream {
    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<Option<KBox<dyn FileOps>>> {
        let ops: KBox<dyn FileOps> = KBox::new(Self { trace: self.trace.clone(), cpu: self.cpu }, GFP_KERNEL)?;
        Ok(Some(ops))
    }
}

impl FileOps for Stream {
    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        let cpu = self.trace.cpus.get(self.cpu).ok_or(ENODEV)?;
        let mut piece: KVec<u8> = KVec::zeroed(PIECE, GFP_KERNEL)?;
        let _one = cpu.reading.lock_interruptible()?;
        let mut done = 0;
        while !to.is_empty() {
            let most = piece.len().min(to.count());
            let count = match piece.get_mut(..most) {
                Some(piece) => cpu.ring.lock_irqsave().peek(piece),
                None => 0,
            };
            let copied = to.copy_to_iter(piece.get(..count).unwrap_or(&[]));
            cpu.ring.lock_irqsave().advance(copied);
            done += copied;
            if copied < count && done == 0 {
                return Err(EFAULT);
            }
            if copied < count || count == 0 {
                break;
            }
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        let Some(cpu) = self.trace.cpus.get(self.cpu) else { return PollMask::ERR };
        table.add(&cpu.readers);
        let least = if self.trace.is_running() { self.trace.enough } else { 1 };
        if cpu.ring.lock_irqsave().len() >= least { PollMask::IN | PollMask::RDNORM } else { PollMask::NONE }
    }

    fn can_splice(&self, _: &File, _: bool) -> bool {
        false
    }
}
