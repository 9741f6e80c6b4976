// SPDX-License-Identifier: GPL-2.0
//! Lines that are printed piece by piece: a message of a module that does not end with a newline waits here for `pr_cont!`, as
//! in Linux, where it is not shown before the next message either. Another message, or another task's piece, ends it.
//!
//! Lock: `OPEN` (interrupts off), under which records are appended; the front of all other messages only tries it.

use crate::ring::{Meta, TEXT_MAX};
use crate::{RING, after_append, level, now_ns, record::SliceWriter};
use core::fmt::{Arguments, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use klog::Level;
use locking::SpinLock;

/// The message that waits.
struct Open {
    meta: Meta,
    /// Who began it: the address of its task.
    owner: usize,
    len: usize,
    text: [u8; TEXT_MAX],
}

const NOTHING: Meta = Meta { ts_ns: 0, level: 0, facility: 0, cont: false, len: 0 };
static OPEN: SpinLock<Open> = SpinLock::new(Open { meta: NOTHING, owner: 0, len: 0, text: [0; TEXT_MAX] });
/// Whether one waits; for those who need not look.
static WAITS: AtomicBool = AtomicBool::new(false);

impl Open {
    fn begin(&mut self, level: u8, owner: usize) {
        self.meta = Meta { ts_ns: now_ns(), level, ..NOTHING };
        self.owner = owner;
        self.len = 0;
        WAITS.store(true, Ordering::Release);
    }

    fn add(&mut self, bytes: &[u8]) {
        for (to, from) in self.text.get_mut(self.len..).unwrap_or_default().iter_mut().zip(bytes) {
            *to = *from;
            self.len += 1;
        }
    }

    /// Makes it a record.
    fn end(&mut self) {
        if WAITS.swap(false, Ordering::AcqRel) {
            let text = self.text.get(..self.len).unwrap_or_default();
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            RING.append(Meta { len: text.len() as u16, ..self.meta }, text);
        }
    }
}

fn me() -> usize {
    task::try_current().map_or(1, |task| (&raw const *task).addr())
}

/// Prints a message of a module. One that does not end with a newline can be continued. Any context but NMI.
pub fn message(level: Level, args: Arguments<'_>) {
    let mut text = [0; TEXT_MAX];
    let mut w = SliceWriter::new(&mut text);
    // A Display that fails leaves what it wrote so far; the slice itself only cuts.
    let _ = w.write_fmt(args);
    let len = w.len();
    let text = text.get(..len).unwrap_or_default();
    let mut open = OPEN.lock_irqsave();
    open.end();
    open.begin(level as u8, me());
    open.add(text);
    if text.ends_with(b"\n") {
        open.end();
    }
    drop(open);
    after_append();
}

/// Continues this task's message (`pr_cont!`); without one it is a message of its own. Any context but NMI.
pub fn more(args: Arguments<'_>) {
    let mut text = [0; TEXT_MAX];
    let mut w = SliceWriter::new(&mut text);
    // As in `message`.
    let _ = w.write_fmt(args);
    let len = w.len();
    let text = text.get(..len).unwrap_or_default();
    let mut open = OPEN.lock_irqsave();
    let owner = me();
    if !WAITS.load(Ordering::Acquire) || open.owner != owner {
        open.end();
        open.begin(level::default_message(), owner);
    }
    open.add(text);
    if text.ends_with(b"\n") {
        open.end();
    }
    drop(open);
    after_append();
}

/// Ends what waits: another message comes. Any context; if the lock is taken, whoever has it is about to.
#[inline]
pub(crate) fn end() {
    if WAITS.load(Ordering::Relaxed)
        && let Some(mut open) = OPEN.try_lock_irqsave()
    {
        open.end();
    }
}
