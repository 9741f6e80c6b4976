// SPDX-License-Identifier: GPL-2.0
//! `/proc/sysvipc/{shm,sem,msg}`, and the limits in `/proc/sys/kernel`. Source: `proc(5)`, `sysvipc(7)`.

use crate::ids::{Ids, MOST, Object};
use crate::ns::{self, NsRef};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use errno::Result;
use errno::code::EINVAL;
use kalloc::Arc;
use kernfs::Node;
use proc::parse_number;
use proc::per_ns::{NsAttribute, Number, PerNs, Word};
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
    ids: fn(&NsRef) -> &Ids<T>,
    line: fn(&T, &mut SeqBuf) -> Result,
}

impl<T: Object + Send + Sync + 'static> PerNs<NsRef> for Table<T> {
    fn show(&self, ns: &NsRef, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        if at == 0 {
            out.put(self.title)?;
            return Ok(Some(1));
        }
        let from = u32::try_from(at - 1).unwrap_or(u32::MAX);
        let Some((index, object)) = (self.ids)(ns).next(from) else { return Ok(None) };
        (self.line)(&object, out)?;
        Ok(Some(u64::from(index) + 2))
    }
}

/// The four limits of semaphores.
struct Sem;

impl PerNs<NsRef> for Sem {
    fn show(&self, ns: &NsRef, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let [msl, mns, opm, mni] = &ns.limits.sem;
        let get = |value: &AtomicI32| value.load(Ordering::Relaxed);
        seq_print!(out, "{}\t{}\t{}\t{}\n", get(msl), get(mns), get(opm), get(mni))?;
        Ok(None)
    }

    /// As many of the four numbers as are given.
    fn store(&self, ns: &NsRef, data: &[u8]) -> Result<usize> {
        let mut new = [None; 4];
        let words = data.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        for (slot, word) in new.iter_mut().zip(words) {
            *slot = Some(i32::try_from(parse_number(word)?).map_err(|_| EINVAL)?);
        }
        let [.., sets] = new;
        if sets.is_some_and(|sets| !(0..=MOST.cast_signed()).contains(&sets)) {
            return Err(EINVAL);
        }
        for (limit, new) in ns.limits.sem.iter().zip(new) {
            if let Some(new) = new {
                limit.store(new, Ordering::Relaxed);
            }
        }
        Ok(data.len())
    }
}

/// `shm_rmid_forced`: switched on, it holds for what is there, too.
struct Forced(Number<NsRef, AtomicU32>);

impl PerNs<NsRef> for Forced {
    fn show(&self, ns: &NsRef, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.0.show(ns, at, out)
    }

    fn store(&self, ns: &NsRef, data: &[u8]) -> Result<usize> {
        let taken = self.0.store(ns, data)?;
        if ns.limits.forced() {
            crate::shm::destroy_orphans(ns);
        }
        Ok(taken)
    }
}

/// The identifier that the next object is to have, for who restores processes.
struct NextId(Number<NsRef, AtomicI32>);

impl PerNs<NsRef> for NextId {
    fn show(&self, ns: &NsRef, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.0.show(ns, at, out)
    }

    fn store(&self, ns: &NsRef, data: &[u8]) -> Result<usize> {
        self.0.store(ns, data)
    }

    fn may_write(&self) -> bool {
        cred::capable(cred::CAP_CHECKPOINT_RESTORE) || cred::capable(cred::CAP_SYS_ADMIN)
    }
}

/// A file about the opener's name space.
fn file(dir: &Arc<Node>, name: &str, mode: u32, what: impl PerNs<NsRef>) -> Result {
    dir.attr(name.as_bytes(), mode, NsAttribute::new(ns::current, what)?)?;
    Ok(())
}

/// A setting from 0 to `most`.
fn number<W: Word + 'static>(dir: &Arc<Node>, name: &str, of: fn(&NsRef) -> &W, most: i64) -> Result {
    file(dir, name, 0o644, Number { of, least: 0, most })
}

fn next_id(dir: &Arc<Node>, name: &str, of: fn(&NsRef) -> &AtomicI32) -> Result {
    file(dir, name, 0o444, NextId(Number { of, least: 0, most: i32::MAX.into() }))
}

pub(crate) fn init() -> Result {
    let root = proc::root()?;
    let tables = root.mkdir_mode(b"sysvipc", 0o555)?;
    file(&tables, "shm", 0o444, Table { title: SHM_TITLE, ids: |ns| &ns.segments, line: crate::shm::Segment::show })?;
    file(&tables, "sem", 0o444, Table { title: SEM_TITLE, ids: |ns| &ns.sets, line: crate::sem::Set::show })?;
    file(&tables, "msg", 0o444, Table { title: MSG_TITLE, ids: |ns| &ns.queues, line: crate::msg::Queue::show })?;
    let kernel = root.path_or_new("sys/kernel")?;
    let (most, int) = (i64::from(MOST), i64::from(i32::MAX));
    number(&kernel, "shmmax", |ns| &ns.limits.shmmax, 0)?;
    number(&kernel, "shmall", |ns| &ns.limits.shmall, 0)?;
    number(&kernel, "shmmni", |ns| &ns.limits.shmmni, most)?;
    let of: fn(&NsRef) -> &AtomicU32 = |ns| &ns.limits.shm_rmid_forced;
    file(&kernel, "shm_rmid_forced", 0o644, Forced(Number { of, least: 0, most: 1 }))?;
    number(&kernel, "msgmax", |ns| &ns.limits.msgmax, int)?;
    number(&kernel, "msgmnb", |ns| &ns.limits.msgmnb, int)?;
    number(&kernel, "msgmni", |ns| &ns.limits.msgmni, most)?;
    file(&kernel, "sem", 0o644, Sem)?;
    next_id(&kernel, "shm_next_id", |ns| &ns.segments.next_id)?;
    next_id(&kernel, "sem_next_id", |ns| &ns.sets.next_id)?;
    next_id(&kernel, "msg_next_id", |ns| &ns.queues.next_id)
}
