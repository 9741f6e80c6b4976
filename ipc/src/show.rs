// SPDX-License-Identifier: GPL-2.0
//! `/proc/sysvipc/{shm,sem,msg}`, and the limits in `/proc/sys/kernel`. Source: `proc(5)`, `sysvipc(7)`.

use crate::ids::{Ids, MOST, Object};
use crate::limits::{MSGMAX, MSGMNB, MSGMNI, SEM, SHMALL, SHMMAX, SHMMNI};
use crate::msg::QUEUES;
use crate::sem::SETS;
use crate::shm::SEGMENTS;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use kernfs::{Attribute, Node, TextRw};
use proc::parse_number;
use vfs::{SeqBuf, seq_print};

const SHM_TITLE: &[u8] =
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      \
    atime      dtime      ctime                   rss                  swap\n";
const SEM_TITLE: &[u8] = b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const MSG_TITLE: &[u8] =
    b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
    stime      rtime      ctime\n";

/// A table: the title is record 0, the object at index `n` or the next one record `n + 1`.
struct Table<T: Object + Send + Sync + 'static> {
    title: &'static [u8],
    ids: &'static Ids<T>,
    line: fn(&T, &mut SeqBuf) -> Result,
}

impl<T: Object + Send + Sync + 'static> Attribute for Table<T> {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        if at == 0 {
            out.put(self.title)?;
            return Ok(Some(1));
        }
        let from = u32::try_from(at - 1).unwrap_or(u32::MAX);
        let Some((index, object)) = self.ids.next(from) else { return Ok(None) };
        (self.line)(&object, out)?;
        Ok(Some(u64::from(index) + 2))
    }
}

/// A setting in a word, of at most `max`.
fn word(dir: &Arc<Node>, name: &str, value: &'static AtomicU32, max: u32) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let new = u32::try_from(parse_number(data)?).ok().filter(|&new| new <= max).ok_or(EINVAL)?;
        value.store(new, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), 0o644, TextRw(show, store))?;
    Ok(())
}

/// A setting in a long word, all of whose values are allowed.
fn long(dir: &Arc<Node>, name: &str, value: &'static AtomicU64) -> Result {
    let show = move |out: &mut SeqBuf| seq_print!(out, "{}\n", value.load(Ordering::Relaxed));
    let store = move |data: &[u8]| {
        let text = core::str::from_utf8(data.trim_ascii()).map_err(|_| EINVAL)?;
        let new = match text.parse::<u64>() {
            Ok(new) => new,
            Err(_) => u64::try_from(parse_number(data)?).map_err(|_| EINVAL)?,
        };
        value.store(new, Ordering::Relaxed);
        Ok(data.len())
    };
    dir.attr(name.as_bytes(), 0o644, TextRw(show, store))?;
    Ok(())
}

fn show_sem(out: &mut SeqBuf) -> Result {
    let [msl, mns, opm, mni] = &SEM;
    let get = |value: &core::sync::atomic::AtomicI32| value.load(Ordering::Relaxed);
    seq_print!(out, "{}\t{}\t{}\t{}\n", get(msl), get(mns), get(opm), get(mni))
}

/// As many of the four numbers as are given.
fn store_sem(data: &[u8]) -> Result<usize> {
    let mut new = [None; 4];
    let words = data.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (slot, word) in new.iter_mut().zip(words) {
        *slot = Some(i32::try_from(parse_number(word)?).map_err(|_| EINVAL)?);
    }
    let [.., sets] = new;
    if sets.is_some_and(|sets| !(0..=MOST.cast_signed()).contains(&sets)) {
        return Err(EINVAL);
    }
    for (limit, new) in SEM.iter().zip(new) {
        if let Some(new) = new {
            limit.store(new, Ordering::Relaxed);
        }
    }
    Ok(data.len())
}

pub(crate) fn init() -> Result {
    let root = proc::root()?;
    let tables = root.mkdir_mode(b"sysvipc", 0o555)?;
    tables.attr(b"shm", 0o444, Table { title: SHM_TITLE, ids: &SEGMENTS, line: crate::shm::Segment::show })?;
    tables.attr(b"sem", 0o444, Table { title: SEM_TITLE, ids: &SETS, line: crate::sem::Set::show })?;
    tables.attr(b"msg", 0o444, Table { title: MSG_TITLE, ids: &QUEUES, line: crate::msg::Queue::show })?;
    let kernel = root.path_or_new("sys/kernel")?;
    long(&kernel, "shmmax", &SHMMAX)?;
    long(&kernel, "shmall", &SHMALL)?;
    word(&kernel, "shmmni", &SHMMNI, MOST)?;
    word(&kernel, "msgmax", &MSGMAX, i32::MAX as u32)?;
    word(&kernel, "msgmnb", &MSGMNB, i32::MAX as u32)?;
    word(&kernel, "msgmni", &MSGMNI, MOST)?;
    kernel.attr(b"sem", 0o644, TextRw(show_sem, store_sem))?;
    Ok(())
}
