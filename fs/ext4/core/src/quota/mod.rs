// SPDX-License-Identifier: GPL-2.0
//! Quota: what users, groups and projects have, in the hidden files of the feature `quota` (format "vfsv1": a tree of blocks of
//! 1 KiB over the bits of the id, then blocks of entries). A change of usage is part of the operation that causes it.
//!
//! `tree` is the file as such.
//!
//! Locks: an id's shard, then the quota file's (only to add an id), then those of groups.

mod tree;

use crate::fs::Fs;
use crate::inode::Inode;
use crate::tx::Tx;
use containers::hash::HashMap;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use errno::{Result, code::*};
use ext4_format::RawInode;
use ext4_format::feature::ro_compat;
use ext4_format::inode::flag;
use ext4_format::le;
use ext4_store::{Buffer, MutexLike, OnceLike, Store};
use kalloc::{KBox, KVec, flags::GFP_KERNEL};

const MAGIC: [u32; 3] = [0xd9c0_1f11, 0xd9c0_1927, 0xd9c0_3f14];
const VERSION: u32 = 1;
/// Bytes of a block of the quota file.
const BLOCK: u64 = 1024;
/// Bytes of an entry.
const ENTRY: usize = 72;
const SHARDS: usize = 16;

/// Offsets in the file's head.
mod info {
    pub(super) const BGRACE: usize = 8;
    pub(super) const IGRACE: usize = 12;
    pub(super) const BLOCKS: usize = 20;
    pub(super) const FREE_BLOCK: usize = 24;
    pub(super) const FREE_ENTRY: usize = 28;
}

/// Whose quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaKind {
    /// `USRQUOTA`.
    User = 0,
    /// `GRPQUOTA`.
    Group = 1,
    /// `PRJQUOTA`.
    Project = 2,
}

/// Usage and limits of an id. Space in bytes, its limits in KiB; times in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Quota {
    pub inode_hard: u64,
    pub inode_soft: u64,
    pub inodes: u64,
    pub block_hard: u64,
    pub block_soft: u64,
    pub space: u64,
    pub block_time: u64,
    pub inode_time: u64,
}

impl Quota {
    fn decode(entry: &[u8]) -> Self {
        let at = |n: usize| le::u64_at(entry, 8 + n * 8);
        let inode_time = at(7);
        let mut quota = Self {
            inode_hard: at(0),
            inode_soft: at(1),
            inodes: at(2),
            block_hard: at(3),
            block_soft: at(4),
            space: at(5),
            block_time: at(6),
            inode_time,
        };
        // An entry of zeros would count as free: it is stored with this time.
        if quota == (Self { inode_time: 1, ..Self::default() }) {
            quota.inode_time = 0;
        }
        quota
    }

    fn encode(&self, id: u32, entry: &mut [u8]) {
        le::put_u32(entry, 0, id);
        le::put_u32(entry, 4, 0);
        let time = if *self == Self::default() { 1 } else { self.inode_time };
        let values = [
            self.inode_hard,
            self.inode_soft,
            self.inodes,
            self.block_hard,
            self.block_soft,
            self.space,
            self.block_time,
            time,
        ];
        for (n, value) in values.iter().enumerate() {
            le::put_u64(entry, 8 + n * 8, *value);
        }
    }
}

/// An id's entry.
struct Known<S: Store> {
    buf: S::Buf,
    offset: usize,
    /// Bytes promised to delayed allocation.
    reserved: u64,
}

/// The quotas of a kind.
struct Kind<S: Store> {
    number: u32,
    file: S::Mutex<Inode>,
    shards: KVec<S::Mutex<HashMap<u32, Known<S>>>>,
    enforced: AtomicBool,
    /// Seconds that space and inodes may be over a soft limit, as in the file's head.
    grace: [AtomicU32; 2],
}

impl<S: Store> Kind<S> {
    fn grace(&self) -> (u32, u32) {
        let [space, inodes] = &self.grace;
        (space.load(Ordering::Relaxed), inodes.load(Ordering::Relaxed))
    }

    fn set_grace(&self, space: u32, inodes: u32) {
        for (to, from) in self.grace.iter().zip([space, inodes]) {
            to.store(from, Ordering::Relaxed);
        }
    }
}

/// Quotas of a mount.
pub(crate) struct Quotas<S: Store> {
    kinds: [Option<KBox<Kind<S>>>; 3],
}

/// A change of usage.
#[derive(Clone, Copy, Default)]
struct Change {
    space: i64,
    inodes: i64,
    /// Of what is promised.
    reserved: i64,
    /// Whatever the limits say.
    forced: bool,
}

/// What an inode counts for: user, group and project, and the bytes of its blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Usage {
    pub(crate) ids: [u32; 3],
    pub(crate) bytes: u64,
}

impl Change {
    fn reverse(self) -> Self {
        Self { space: -self.space, inodes: -self.inodes, reserved: -self.reserved, forced: true }
    }
}

impl<S: Store> Fs<S> {
    /// Opens the quota files, at mounting.
    #[inline(never)]
    pub(crate) fn load_quotas(&self) -> Result {
        let numbers = self.with_super(|sb| {
            let numbers = [sb.usr_quota_inum.get(), sb.grp_quota_inum.get(), sb.prj_quota_inum.get()];
            sb.has_ro_compat(ro_compat::QUOTA).then_some(numbers)
        });
        let Some(numbers) = numbers else { return Ok(()) };
        let mut quotas = Quotas { kinds: [None, None, None] };
        for (kind, number) in numbers.into_iter().enumerate() {
            if number == 0 {
                continue;
            }
            if let Some(place) = quotas.kinds.get_mut(kind) {
                *place = Some(self.open_quota(kind, number)?);
            }
        }
        let _ = self.quota.set(quotas);
        Ok(())
    }

    #[inline(never)]
    fn open_quota(&self, kind: usize, number: u32) -> Result<KBox<Kind<S>>> {
        let file = self.inode(number)?;
        let (head, offset) = self.quota_block(&file, 0)?;
        let (good, grace) = {
            let data = head.read();
            let good = Some(&le::u32_at(&data, offset)) == MAGIC.get(kind) && le::u32_at(&data, offset + 4) == VERSION;
            (good, [info::BGRACE, info::IGRACE].map(|at| AtomicU32::new(le::u32_at(&data, offset + at))))
        };
        if !good {
            return Err(self.corrupt("quota_file", number, 0));
        }
        let mut shards = KVec::with_capacity(SHARDS, GFP_KERNEL)?;
        for _ in 0..SHARDS {
            shards.push(S::Mutex::new(HashMap::new()), GFP_KERNEL)?;
        }
        let enforced = AtomicBool::new(false);
        let make = move || Kind { number, file: S::Mutex::new(file), shards, enforced, grace };
        Ok(KBox::new_with(make, GFP_KERNEL)?)
    }

    fn quota_kind(&self, kind: QuotaKind) -> Option<&Kind<S>> {
        self.quota.get()?.kinds.get(kind as usize)?.as_deref()
    }

    /// A kind that is asked for from outside. `ESRCH` if it is not counted: without a file, or on a read-only file system.
    fn quota_counted(&self, kind: QuotaKind) -> Result<&Kind<S>> {
        self.quota_kind(kind).filter(|_| !self.read_only()).ok_or(ESRCH)
    }

    /// Whether limits of a kind are enforced (the mount options); usage is counted in any case. `ESRCH` without a file.
    pub fn quota_enforce(&self, kind: QuotaKind, on: bool) -> Result {
        self.quota_kind(kind).ok_or(ESRCH)?.enforced.store(on, Ordering::Relaxed);
        Ok(())
    }

    /// The same for `Q_QUOTAON` and `Q_QUOTAOFF`. `EEXIST` if it is so already, `EINVAL` if the kind is not counted (`begun`: the
    /// file system was writable once, which begins the counting).
    pub fn quota_switch(&self, kind: QuotaKind, begun: bool, on: bool) -> Result {
        if !self.with_super(|sb| sb.has_ro_compat(ro_compat::QUOTA)) {
            return if on { Err(EINVAL) } else { Ok(()) };
        }
        match self.quota_kind(kind).filter(|_| begun) {
            None => Err(if on { EINVAL } else { EEXIST }),
            Some(kind) if kind.enforced.swap(on, Ordering::Relaxed) == on => Err(EEXIST),
            Some(_) => Ok(()),
        }
    }

    /// Runs `f` on an id's entry, which is made if it is not there and `tx` is given.
    fn with_quota<R>(
        &self,
        tx: Option<&mut Tx<S>>,
        kind: &Kind<S>,
        id: u32,
        f: impl FnOnce(Option<&mut Tx<S>>, &mut Known<S>) -> Result<R>,
    ) -> Result<R> {
        let mut shard = kind.shards.get(id as usize % SHARDS).ok_or(EINVAL)?.lock();
        let mut tx = tx;
        if !shard.contains_key(&id) {
            let mut file = kind.file.lock();
            let found = match self.quota_find(&file, id)? {
                Some(found) => found,
                None => {
                    let tx = tx.as_deref_mut().ok_or(ENOENT)?;
                    // Usually there is room in the transaction; whoever would be sure calls `quota_attach` before.
                    if !self.has_credits(tx, self.credits_for_quota())? {
                        return Err(EDQUOT);
                    }
                    self.quota_insert(tx, &mut file, id)?
                }
            };
            shard.insert(id, Known { buf: found.0, offset: found.1, reserved: 0 })?;
        }
        f(tx, shard.get_mut(&id).ok_or(EINVAL)?)
    }

    /// Credits that the first use of an id may need.
    fn credits_for_quota(&self) -> u32 {
        if self.quota.get().is_some() { 60 } else { 0 }
    }

    /// Makes the entries for these ids, in operations of its own: before an inode is made or given to them.
    pub fn quota_attach(&self, uid: u32, gid: u32, projid: u32) -> Result {
        let Some(quotas) = self.quota.get() else { return Ok(()) };
        for (kind, id) in quotas.kinds.iter().zip([uid, gid, projid]) {
            let Some(kind) = kind else { continue };
            let known = kind.shards.get(id as usize % SHARDS).is_some_and(|shard| shard.lock().contains_key(&id));
            if !known {
                self.run(self.credits_for_quota() + 4, true, |tx| self.with_quota(Some(tx), kind, id, |_, _| Ok(())))?;
            }
        }
        Ok(())
    }

    /// Changes the usage of one id.
    fn quota_change(&self, tx: Option<&mut Tx<S>>, kind: &Kind<S>, id: u32, change: Change) -> Result {
        let now = self.store.now().sec.max(0) as u64;
        let grace = kind.grace();
        self.with_quota(tx, kind, id, |tx, known| {
            let mut quota = {
                let data = known.buf.read();
                Quota::decode(data.get(known.offset..known.offset + ENTRY).unwrap_or(&[]))
            };
            let privileged = tx.as_ref().is_some_and(|tx| tx.privileged);
            let check = kind.enforced.load(Ordering::Relaxed) && !privileged && !change.forced;
            let held = quota.space.saturating_add(known.reserved);
            let grows = change.space.saturating_add(change.reserved);
            let space = add(held, grows);
            let inodes = add(quota.inodes, change.inodes);
            let blocks = |bytes: u64| bytes.div_ceil(BLOCK);
            quota.block_time = limit(
                blocks(space),
                grows,
                (quota.block_soft, quota.block_hard),
                quota.block_time,
                (now, grace.0),
                check,
            )?;
            quota.inode_time = limit(
                inodes,
                change.inodes,
                (quota.inode_soft, quota.inode_hard),
                quota.inode_time,
                (now, grace.1),
                check,
            )?;
            known.reserved = add(known.reserved, change.reserved);
            quota.space = add(quota.space, change.space);
            quota.inodes = inodes;
            let Some(tx) = tx else { return Ok(()) };
            self.modify(tx, &known.buf, |data| {
                if let Some(entry) = data.get_mut(known.offset..known.offset + ENTRY) {
                    quota.encode(id, entry);
                }
            })
        })
    }

    /// Whether an inode's usage is counted.
    fn is_counted(&self, inode: &Inode) -> bool {
        let Some(quotas) = self.quota.get() else { return false };
        let own = quotas.kinds.iter().flatten().any(|kind| kind.number == inode.ino);
        !own && !self.is_hidden(inode.ino) && !inode.has_flag(flag::EA_INODE) && inode.ino != self.orphan_file_number()
    }

    /// Changes the usage of an inode's owners: all of them, or none.
    fn quota_all(&self, mut tx: Option<&mut Tx<S>>, inode: &Inode, change: Change) -> Result {
        if !self.is_counted(inode) {
            return Ok(());
        }
        let Some(quotas) = self.quota.get() else { return Ok(()) };
        let ids = [inode.raw.uid, inode.raw.gid, inode.raw.projid];
        for (index, (kind, id)) in quotas.kinds.iter().zip(ids).enumerate() {
            let Some(kind) = kind else { continue };
            if let Err(error) = self.quota_change(tx.as_deref_mut(), kind, id, change) {
                for (kind, id) in quotas.kinds.iter().zip(ids).take(index) {
                    if let Some(kind) = kind {
                        self.quota_change(tx.as_deref_mut(), kind, id, change.reverse())?;
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn cluster_bytes(&self, clusters: i64) -> i64 {
        clusters << (self.geo.block_bits + self.geo.cluster_bits)
    }

    /// Counts a promise; `forced` whatever the limits say.
    pub(crate) fn quota_reserve(&self, inode: &Inode, clusters: u64, forced: bool) -> Result {
        let reserved = self.cluster_bytes(clusters as i64);
        match self.quota_all(None, inode, Change { reserved, forced, ..Change::default() }) {
            // No entry yet: it comes with the allocation.
            Err(error) if error == ENOENT => Ok(()),
            other => other,
        }
    }

    pub(crate) fn quota_unreserve(&self, inode: &Inode, clusters: u64) {
        let reserved = -self.cluster_bytes(clusters as i64);
        // Less of a promise cannot be refused; an entry that cannot be read has none.
        let _ = self.quota_all(None, inode, Change { reserved, ..Change::default() });
    }

    pub(crate) fn quota_claim(&self, tx: &mut Tx<S>, inode: &Inode, clusters: u64) -> Result {
        let space = self.cluster_bytes(clusters as i64);
        // What was promised is given, whatever the limits are now.
        let before = core::mem::replace(&mut tx.privileged, true);
        let result = self.quota_all(Some(tx), inode, Change { space, reserved: -space, ..Change::default() });
        tx.privileged = before;
        result
    }

    pub(crate) fn quota_charge(&self, tx: &mut Tx<S>, inode: &Inode, clusters: i64) -> Result {
        if clusters == 0 {
            return Ok(());
        }
        self.quota_all(Some(tx), inode, Change { space: self.cluster_bytes(clusters), ..Change::default() })
    }

    pub(crate) fn quota_inode(&self, tx: &mut Tx<S>, inode: &Inode, inodes: i64) -> Result {
        self.quota_all(Some(tx), inode, Change { inodes, ..Change::default() })
    }

    /// What an inode counts for.
    pub(crate) fn usage(&self, inode: &Inode) -> Usage {
        let raw = &inode.raw;
        Usage { ids: [raw.uid, raw.gid, raw.projid], bytes: inode.sectors(self.geo.block_bits) << 9 }
    }

    /// Counts an inode and its blocks for those owners (`sign` 1), or no more (-1).
    pub(crate) fn quota_usage(&self, tx: &mut Tx<S>, ino: u32, usage: Usage, sign: i64) -> Result {
        if ino == self.orphan_file_number() {
            return Ok(());
        }
        let Some(quotas) = self.quota.get() else { return Ok(()) };
        let change = Change { space: sign * usage.bytes as i64, inodes: sign, reserved: 0, forced: true };
        for (kind, id) in quotas.kinds.iter().zip(usage.ids) {
            let Some(kind) = kind else { continue };
            if kind.number != ino {
                self.quota_change(Some(tx), kind, id, change)?;
            }
        }
        Ok(())
    }

    /// Whether the file system counts what users, groups or projects have.
    pub fn has_quotas(&self) -> bool {
        self.quota.get().is_some()
    }

    /// An inode is about to be written: if it has another owner than its record says, what the record counts goes along.
    /// `EDQUOT` if the new owner may not have it.
    pub(crate) fn quota_follow(&self, tx: &mut Tx<S>, old: &RawInode, inode: &Inode) -> Result {
        let raw = &inode.raw;
        // A record of another generation is what is left of a file before.
        let same = old.generation == raw.generation && old.mode != 0;
        let owners = |raw: &RawInode| [raw.uid, raw.gid, raw.projid];
        if !same || owners(old) == owners(raw) || !self.is_counted(inode) {
            return Ok(());
        }
        let bits = self.geo.block_bits;
        let blocks = if old.flags & flag::HUGE_FILE != 0 { old.blocks << bits } else { old.blocks << 9 };
        let change = Change {
            space: blocks as i64,
            inodes: 1,
            reserved: self.cluster_bytes(inode.reserved as i64),
            forced: false,
        };
        // Beside what the caller asked for: a change of owner is rare.
        if !self.has_credits(tx, 12)? {
            return Err(ENOSPC);
        }
        let Some(quotas) = self.quota.get() else { return Ok(()) };
        let pairs = || quotas.kinds.iter().zip(owners(old)).zip(owners(raw)).filter(|((_, old), new)| old != new);
        let mut done = 0;
        let mut result = Ok(());
        for ((kind, _), new) in pairs() {
            let Some(kind) = kind else { continue };
            result = self.quota_change(Some(tx), kind, new, change);
            if result.is_err() {
                break;
            }
            done += 1;
        }
        let failed = result.is_err();
        for ((kind, old), new) in pairs().filter(|((kind, _), _)| kind.is_some()).take(done) {
            let Some(kind) = kind else { continue };
            self.quota_change(Some(tx), kind, if failed { new } else { old }, change.reverse())?;
        }
        result
    }

    /// Gives an inode to others (`chown`, `chgrp`, a project): its usage goes along. `EDQUOT` if they may not have it: then
    /// nothing is changed.
    pub fn set_owner(&self, tx: &mut Tx<S>, inode: &mut Inode, uid: u32, gid: u32, projid: u32) -> Result {
        let old = (inode.raw.uid, inode.raw.gid, inode.raw.projid);
        (inode.raw.uid, inode.raw.gid, inode.raw.projid) = (uid, gid, projid);
        let result = self.write_inode(tx, inode);
        if result.is_err() {
            (inode.raw.uid, inode.raw.gid, inode.raw.projid) = old;
        }
        result
    }

    /// Usage, with what is promised, and limits of an id. `ESRCH` without quotas of that kind.
    pub fn quota_get(&self, kind: QuotaKind, id: u32) -> Result<Quota> {
        let kind = self.quota_counted(kind)?;
        let found = self.with_quota(None, kind, id, |_, known| {
            let data = known.buf.read();
            let quota = Quota::decode(data.get(known.offset..known.offset + ENTRY).unwrap_or(&[]));
            Ok(Quota { space: quota.space.saturating_add(known.reserved), ..quota })
        });
        match found {
            Err(error) if error == ENOENT => Ok(Quota::default()),
            other => other,
        }
    }

    /// The first id from `id` on that is in the file, with what `quota_get` says of it. `ENOENT` if there is none.
    pub fn quota_next(&self, which: QuotaKind, id: u32) -> Result<(u32, Quota)> {
        let kind = self.quota_counted(which)?;
        let found = self.quota_next_id(&kind.file.lock(), id)?;
        let next = found.ok_or(ENOENT)?;
        Ok((next, self.quota_get(which, next)?))
    }

    /// Seconds that usage may be over a soft limit: of space, and of inodes. `ESRCH` without quotas of that kind.
    pub fn quota_grace(&self, kind: QuotaKind) -> Result<(u32, u32)> {
        Ok(self.quota_counted(kind)?.grace())
    }

    /// Sets those times.
    pub fn quota_set_grace(&self, kind: QuotaKind, space: u32, inodes: u32) -> Result {
        let kind = self.quota_counted(kind)?;
        self.run(4, true, |tx| {
            let file = kind.file.lock();
            let (buf, offset) = self.quota_block(&file, 0)?;
            self.modify(tx, &buf, |data| {
                le::put_u32(data, offset + info::BGRACE, space);
                le::put_u32(data, offset + info::IGRACE, inodes);
            })?;
            kind.set_grace(space, inodes);
            Ok(())
        })
    }

    /// Sets limits and times of an id; usage stays. What is over a new soft limit gets the usual time, unless the caller gave
    /// another; what is not over a soft limit needs none.
    pub fn quota_set(&self, kind: QuotaKind, id: u32, new: &Quota) -> Result {
        let kind = self.quota_counted(kind)?;
        let now = self.store.now().sec.max(0) as u64;
        let grace = kind.grace();
        self.run(self.credits_for_quota() + 4, true, |tx| {
            self.with_quota(Some(tx), kind, id, |tx, known| {
                let Some(tx) = tx else { return Err(EINVAL) };
                let reserved = known.reserved;
                self.modify(tx, &known.buf, |data| {
                    if let Some(entry) = data.get_mut(known.offset..known.offset + ENTRY) {
                        let old = Quota::decode(entry);
                        let blocks = old.space.saturating_add(reserved).div_ceil(BLOCK);
                        let mut quota = Quota { inodes: old.inodes, space: old.space, ..*new };
                        let changed = (old.block_soft, old.block_hard) != (new.block_soft, new.block_hard);
                        let times = (old.block_time, new.block_time);
                        quota.block_time = new_time(blocks, new.block_soft, changed, times, (now, grace.0));
                        let changed = (old.inode_soft, old.inode_hard) != (new.inode_soft, new.inode_hard);
                        let times = (old.inode_time, new.inode_time);
                        quota.inode_time = new_time(old.inodes, new.inode_soft, changed, times, (now, grace.1));
                        quota.encode(id, entry);
                    }
                })
            })
        })
    }
}

/// When being over a soft limit ends being allowed, once limits were set (`changed`) or the time was `given`.
fn new_time(usage: u64, soft: u64, changed: bool, (old, given): (u64, u64), (now, grace): (u64, u32)) -> u64 {
    if soft == 0 || usage <= soft {
        0
    } else if changed && given == old {
        now.saturating_add(grace.into())
    } else {
        given
    }
}

fn add(value: u64, change: i64) -> u64 {
    value.saturating_add_signed(change)
}

/// Checks a new usage against limits (0: none); gives the time when being over the soft limit ends being allowed.
fn limit(
    usage: u64,
    change: i64,
    (soft, hard): (u64, u64),
    time: u64,
    (now, grace): (u64, u32),
    check: bool,
) -> Result<u64> {
    if soft == 0 || usage <= soft {
        if check && change > 0 && hard != 0 && usage > hard {
            return Err(EDQUOT);
        }
        return Ok(0);
    }
    if check && change > 0 {
        let late = time != 0 && now >= time;
        if late || (hard != 0 && usage > hard) {
            return Err(EDQUOT);
        }
    }
    Ok(if time != 0 { time } else { now.saturating_add(grace.into()) })
}
