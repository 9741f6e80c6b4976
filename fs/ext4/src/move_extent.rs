// SPDX-License-Identifier: GPL-2.0
//! `EXT4_IOC_MOVE_EXT`: a file gets the blocks of another (the donor), with its own content in them. What `e4defrag` stands on.
//!
//! The file's pages are read and kept; then, in one operation, blocks are exchanged and the pages written to their new places.
//! The commit waits for that, so a crash leaves either the old blocks or the new ones with the data in them. The donor's blocks
//! stay unwritten if they were: nobody sees what the file left there.

use crate::mounted::{Mounted, parts};
use crate::node::{Node, Tree};
use errno::Result;
use errno::code::{EAGAIN, EBADF, EFAULT, EINVAL, EIO, EOPNOTSUPP, EPERM};
use ext4_core::{State, Tx};
use ext4_store::Store;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernel::filesystem::mm::{Mapping, WriteControl};
use kernel::filesystem::mm_alloc::{PAGE_SIZE, Page};
use kernel::filesystem::uaccess::{get_user, put_user};
use kernel::filesystem::vfs::{File, Inode, fdget, fmode, iop};

use crate::store::KernelStore;

/// Blocks moved in one operation.
const STEP: u32 = 256;

/// One of the two files.
struct Side<'a> {
    inode: &'a Inode,
    node: &'a Node,
    mapping: &'a Arc<Mapping>,
}

impl<'a> Side<'a> {
    fn of(inode: &'a Inode) -> Result<Self> {
        let (node, _) = parts(inode)?;
        Ok(Self { inode, node, mapping: inode.mapping().ok_or(EINVAL)? })
    }
}

/// The request at `arg`: `struct move_extent`.
pub(crate) fn ioctl(file: &File, arg: usize) -> Result {
    if file.mode() & fmode::READ == 0 || file.mode() & fmode::WRITE == 0 {
        return Err(EBADF);
    }
    let (reserved, fd) = (get_user::<u32>(arg)?, get_user::<u32>(arg.wrapping_add(4))?);
    let [start, donor_start, len] = [8, 16, 24].map(|at| get_user::<u64>(arg.wrapping_add(at)));
    let (start, donor_start, len) = (start?, donor_start?, len?);
    let donor = fdget(fd as usize)?;
    if donor.mode() & fmode::WRITE == 0 {
        return Err(EBADF);
    }
    if reserved != 0 {
        return Err(EINVAL);
    }
    let (_, mount) = parts(file.inode())?;
    // What is in the log of their blocks would be written over what they are exchanged for.
    let journaled =
        [file.inode(), donor.inode()].map(|inode| parts(inode).is_ok_and(|(node, _)| node.shared.is_journaled()));
    if mount.core.geo.cluster_bits != 0 || journaled.contains(&true) {
        return Err(EOPNOTSUPP);
    }
    let _write = file.path().mnt.want_write()?;
    if file.inode().sb().dev != donor.inode().sb().dev || file.inode().ino == donor.inode().ino {
        return Err(EINVAL);
    }
    let (from, to) = (Side::of(file.inode())?, Side::of(donor.inode())?);
    let mut moved = 0;
    let result = move_locked(mount, &from, &to, (start, donor_start, len), &mut moved);
    put_user(arg.wrapping_add(32), moved).map_err(|_| EFAULT)?;
    result
}

fn move_locked(
    mount: &Mounted,
    file: &Side<'_>,
    donor: &Side<'_>,
    (start, donor_start, len): (u64, u64, u64),
    moved: &mut u64,
) -> Result {
    // By number, so that two who exchange the same files do not wait for each other.
    let (first, second) = if file.inode.ino < donor.inode.ino { (file, donor) } else { (donor, file) };
    let _first = first.inode.lock.write();
    let _second = second.inode.lock.write();
    // What is on its way would go to blocks that are the other's by then.
    first.node.shared.direct.wait();
    second.node.shared.direct.wait();
    let len = check(mount, file, donor, (start, donor_start, len))?;
    let bits = mount.core.geo.block_bits;
    for (side, at) in [(file, start), (donor, donor_start)] {
        side.mapping.write_and_wait(at << bits, ((at + len) << bits) - 1)?;
        let mut tree = side.node.shared.tree.write();
        mount.core.discard_preallocations(&mut tree.inode);
    }
    let (mut at, mut donor_at) = (start as u32, donor_start as u32);
    let end = (start + len) as u32;
    let mut tries = 0;
    while at < end {
        match step(mount, file, donor, at, donor_at, (end - at).min(STEP)) {
            Ok(done) => {
                at += done;
                donor_at += done;
                *moved += u64::from(done);
                tries = 0;
            }
            // A page was taken out meanwhile.
            Err(error) if error == EAGAIN && tries < 3 => tries += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Checks the files and the range; gives the number of blocks, cut to the ends of both files.
fn check(mount: &Mounted, file: &Side<'_>, donor: &Side<'_>, range: (u64, u64, u64)) -> Result<u64> {
    let (start, donor_start, len) = range;
    if donor.inode.mode() & (uapi::S_ISUID | uapi::S_ISGID) != 0 {
        return Err(EINVAL);
    }
    if donor.inode.iflags() & (iop::IMMUTABLE | iop::APPEND) != 0 {
        return Err(EPERM);
    }
    // Its blocks are known elsewhere.
    if (file.inode.iflags() | donor.inode.iflags()) & iop::SWAPFILE != 0 {
        return Err(errno::code::ETXTBSY);
    }
    for side in [file, donor] {
        let tree = side.node.shared.tree.read();
        if !tree.inode.uses_extents() {
            return Err(EOPNOTSUPP);
        }
        if side.inode.size() == 0 {
            return Err(EINVAL);
        }
    }
    let per_page = (PAGE_SIZE >> mount.core.geo.block_bits) as u64;
    if start % per_page != donor_start % per_page {
        return Err(EINVAL);
    }
    let most = u64::from(u32::MAX);
    if start >= most || donor_start >= most || len > most {
        return Err(EINVAL);
    }
    let blocks = |side: &Side<'_>| mount.core.blocks_of(side.inode.size());
    let len = len.min(blocks(file).saturating_sub(start)).min(blocks(donor).saturating_sub(donor_start));
    if len == 0 { Err(EINVAL) } else { Ok(len) }
}

/// Moves one run of at most `len` blocks. Returns how many were dealt with.
fn step(mount: &Mounted, file: &Side<'_>, donor: &Side<'_>, at: u32, donor_at: u32, len: u32) -> Result<u32> {
    let core = &mount.core;
    let bits = core.geo.block_bits;
    let run = core.map(&file.node.shared.tree.read().inode, at, len)?;
    let len = run.len.clamp(1, len);
    if run.state == State::Hole {
        return Ok(len);
    }
    let written = matches!(run.state, State::Written(_));
    let pages_of = |at: u32| (u64::from(at) << bits) / PAGE_SIZE as u64;
    let (first, last) = (pages_of(at), pages_of(at + len - 1));
    let mut pages: KVec<Page> = KVec::new();
    if written {
        for index in first..=last {
            pages.push(file.mapping.get_or_read(index)?, GFP_KERNEL)?;
        }
    }
    let (one, two) = if file.inode.ino < donor.inode.ino { (file, donor) } else { (donor, file) };
    let _one = one.mapping.invalidate_lock();
    let _two = two.mapping.invalidate_lock();
    for (index, page) in (first..).zip(&pages) {
        if !file.mapping.get(index).is_some_and(|there| there.same(page)) {
            return Err(EAGAIN);
        }
    }
    donor.mapping.remove(pages_of(donor_at), pages_of(donor_at + len - 1));
    let credits = {
        let (a, b) = (file.node.shared.tree.read(), donor.node.shared.tree.read());
        2 * (core.credits_for_map(&a.inode) + core.credits_for_map(&b.inode)) + 8
    };
    mount.run(credits, |tx| {
        let (done, same) = {
            let first = one.node.shared.tree.write();
            let second = two.node.shared.tree.write();
            exchange(mount, tx, (file, at), (donor, donor_at), len, (first, second))?
        };
        if done == 0 || !written {
            return Ok(same.clamp(1, len));
        }
        rewrite(mount, tx, file, at, done)?;
        Ok(done)
    })
}

type Guard<'a> = kernel::filesystem::sync::RwWriteGuard<'a, Tree>;

/// Exchanges blocks under both trees' locks, which are given in the order of the inodes' numbers.
fn exchange(
    mount: &Mounted,
    tx: &mut Tx<KernelStore>,
    (file, at): (&Side<'_>, u32),
    (donor, donor_at): (&Side<'_>, u32),
    len: u32,
    (mut first, mut second): (Guard<'_>, Guard<'_>),
) -> Result<(u32, u32)> {
    let (a, b) =
        if file.inode.ino < donor.inode.ino { (&mut *first, &mut *second) } else { (&mut *second, &mut *first) };
    let done = mount.core.exchange_blocks(tx, &mut a.inode, at, &mut b.inode, donor_at, len)?;
    for side in [file, donor] {
        side.node.shared.note(mount.tid(tx), true);
    }
    Ok(done)
}

/// Writes the pages of blocks that have a new place, within the operation that gave it to them.
fn rewrite(mount: &Mounted, tx: &mut Tx<KernelStore>, file: &Side<'_>, at: u32, len: u32) -> Result {
    let bits = mount.core.geo.block_bits;
    let (from, to) = (u64::from(at) << bits, u64::from(at + len) << bits);
    let page = PAGE_SIZE as u64;
    let (first, last) = (from / page, (to - 1) / page);
    for index in first..=last {
        let there = file.mapping.get(index).ok_or(EIO)?;
        let start = from.saturating_sub(index * page).min(page) as usize;
        let end = (to - index * page).min(page) as usize;
        file.mapping.set_dirty_range(index, &there, start, end);
    }
    let mut wbc = WriteControl::sync(first, last);
    while let Some(run) = file.mapping.next_dirty_run(&mut wbc, STEP as usize)? {
        let next = file.node.shared.write(tx, run, file.mapping.size())?;
        if let Some(next) = next {
            wbc = WriteControl::sync(next, last);
        }
    }
    let ino = file.node.shared.tree.read().inode.ino;
    mount.core.store.order_data(&mut tx.handle, ino, from, to)
}
