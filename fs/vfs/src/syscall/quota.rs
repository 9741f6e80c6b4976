// SPDX-License-Identifier: GPL-2.0
//! `quotactl(2)`, `quotactl_fd(2)`: usage and limits of users, groups and projects. Source: `quotactl(2)`, `linux/quota.h`.

use crate::fdtable::fdget_raw;
use crate::namei::{PathName, Start, lflag, walk::lookup_path};
use crate::super_block::{QuotaInfo, QuotaLimits, SuperBlock, for_each_on_device};
use crate::types::FileType;
use crate::user;
use core::sync::atomic::{AtomicU64, Ordering};
use cred::CAP_SYS_ADMIN;
use errno::{Result, code::*};
use kalloc::Arc;
use x86_cpu::regs::PtRegs;

const Q_SYNC: u32 = 0x80_0001;
const Q_QUOTAON: u32 = 0x80_0002;
const Q_QUOTAOFF: u32 = 0x80_0003;
const Q_GETFMT: u32 = 0x80_0004;
const Q_GETINFO: u32 = 0x80_0005;
const Q_SETINFO: u32 = 0x80_0006;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const Q_GETNEXTQUOTA: u32 = 0x80_0009;

/// User, group, project.
const KINDS: u32 = 3;
/// `QFMT_VFS_V1`.
const FORMAT: u32 = 4;

/// Which fields of `struct if_dqblk` are meant.
const QIF_BLIMITS: u32 = 1;
const QIF_SPACE: u32 = 2;
const QIF_ILIMITS: u32 = 4;
const QIF_INODES: u32 = 8;
const QIF_BTIME: u32 = 16;
const QIF_ITIME: u32 = 32;
const QIF_ALL: u32 = 63;
/// And of `struct if_dqinfo`.
const IIF_BGRACE: u32 = 1;
const IIF_IGRACE: u32 = 2;
const IIF_FLAGS: u32 = 4;
const IIF_ALL: u32 = 7;
/// `DQF_SYS_FILE`: the file system keeps limits and usage in files that nobody sees.
const DQF_SYS_FILE: u32 = 1 << 16;

/// How often a file system with quotas was told to write them (`/proc/sys/fs/quota/syncs`).
pub static SYNCS: AtomicU64 = AtomicU64::new(0);

/// `Q_SYNC` of one file system.
fn sync(sb: &Arc<SuperBlock>, kind: u32) -> Result {
    if sb.ops().quota_info(kind).is_ok() {
        SYNCS.fetch_add(1, Ordering::Relaxed);
    }
    sb.ops().sync(sb, true)
}

fn words<const N: usize>(address: usize) -> Result<[u64; N]> {
    let mut out = [0; N];
    for (index, word) in out.iter_mut().enumerate() {
        *word = user::get_user(address.wrapping_add(index * 8))?;
    }
    Ok(out)
}

fn put_words(address: usize, words: &[u64]) -> Result {
    for (index, word) in words.iter().enumerate() {
        user::put_user(address.wrapping_add(index * 8), *word)?;
    }
    Ok(())
}

/// Bytes of what stands before the valid fields in `struct if_dqblk` and `if_nextdqblk`.
const LIMITS: usize = 64;

/// What both of these begin with: all but the last four bytes.
fn put_limits(address: usize, quota: &QuotaLimits) -> Result {
    put_words(
        address,
        &[
            quota.block_hard,
            quota.block_soft,
            quota.space,
            quota.inode_hard,
            quota.inode_soft,
            quota.inodes,
            quota.block_time,
            quota.inode_time,
        ],
    )?;
    user::put_user(address.wrapping_add(LIMITS), QIF_ALL)
}

/// Whether the caller may ask (or change) that.
fn check(cmd: u32, kind: u32, id: u32) -> Result {
    let own = match cmd {
        Q_GETFMT | Q_SYNC | Q_GETINFO => true,
        Q_GETQUOTA => {
            let cred = cred::current_cred()?;
            (kind == 0 && cred.euid == id) || (kind == 1 && cred.in_group(id))
        }
        _ => false,
    };
    if own || cred::capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) }
}

fn request(sb: &Arc<SuperBlock>, cmd: u32, kind: u32, id: u32, address: usize) -> Result<usize> {
    let ops = sb.ops();
    if ops.quota_info(kind) == Err(ENOSYS) {
        return Err(ENOSYS);
    }
    check(cmd, kind, id)?;
    match cmd {
        Q_QUOTAON => ops.quota_enable(kind, true)?,
        Q_QUOTAOFF => ops.quota_enable(kind, false)?,
        Q_SYNC => sync(sb, kind)?,
        Q_GETFMT => {
            ops.quota_info(kind)?;
            user::put_user(address, FORMAT)?;
        }
        Q_GETINFO => {
            let info = ops.quota_info(kind)?;
            put_words(address, &[info.block_grace, info.inode_grace])?;
            user::put_user(address.wrapping_add(16), DQF_SYS_FILE)?;
            user::put_user(address.wrapping_add(20), IIF_BGRACE | IIF_IGRACE | IIF_FLAGS)?;
        }
        Q_SETINFO => {
            let [block_grace, inode_grace, last] = words(address)?;
            let (flags, valid) = (last as u32, (last >> 32) as u32);
            // The one flag that can be set, `DQF_ROOT_SQUASH`, is of another format.
            if valid & !IIF_ALL != 0 || valid & IIF_FLAGS != 0 && flags != 0 {
                return Err(EINVAL);
            }
            let mut info = ops.quota_info(kind)?;
            if valid & IIF_BGRACE != 0 {
                info = QuotaInfo { block_grace, ..info };
            }
            if valid & IIF_IGRACE != 0 {
                info = QuotaInfo { inode_grace, ..info };
            }
            ops.quota_set_info(kind, info)?;
        }
        Q_GETQUOTA => {
            put_limits(address, &ops.quota_get(kind, id)?)?;
            user::put_user(address.wrapping_add(LIMITS + 4), 0u32)?;
        }
        Q_GETNEXTQUOTA => {
            let (id, quota) = ops.quota_next(kind, id)?;
            put_limits(address, &quota)?;
            user::put_user(address.wrapping_add(LIMITS + 4), id)?;
        }
        Q_SETQUOTA => {
            let [block_hard, block_soft, space, inode_hard, inode_soft, inodes, block_time, inode_time, valid] =
                words(address)?;
            let valid = valid as u32;
            let mut quota = ops.quota_get(kind, id)?;
            // Usage is what the file system counts: nobody can set it to something else.
            if valid & !QIF_ALL != 0
                || valid & QIF_SPACE != 0 && space != quota.space
                || valid & QIF_INODES != 0 && inodes != quota.inodes
            {
                return Err(EINVAL);
            }
            if valid & QIF_BLIMITS != 0 {
                (quota.block_hard, quota.block_soft) = (block_hard, block_soft);
            }
            if valid & QIF_ILIMITS != 0 {
                (quota.inode_hard, quota.inode_soft) = (inode_hard, inode_soft);
            }
            if valid & QIF_BTIME != 0 {
                quota.block_time = block_time;
            }
            if valid & QIF_ITIME != 0 {
                quota.inode_time = inode_time;
            }
            ops.quota_set(kind, id, &quota)?;
        }
        _ => return Err(EINVAL),
    }
    Ok(0)
}

fn parts(cmd: usize) -> Result<(u32, u32)> {
    let (cmd, kind) = (cmd as u32 >> 8, cmd as u32 & 0xff);
    if kind >= KINDS { Err(EINVAL) } else { Ok((cmd, kind)) }
}

/// `quotactl(cmd, special, id, addr)`.
pub fn sys_quotactl(regs: &PtRegs) -> Result<usize> {
    let (cmd, kind) = parts(regs.arg0())?;
    if regs.arg1() == 0 {
        if cmd != Q_SYNC {
            return Err(ENODEV);
        }
        for_each_on_device(|sb| {
            if sb.ops().quota_info(kind).is_ok() {
                // As `sync`: what fails is found by who asks for it.
                let _ = sync(sb, kind);
            }
        });
        return Ok(0);
    }
    let path = lookup_path(Start::Cwd, &PathName::from_user(regs.arg1(), false)?, lflag::FOLLOW)?;
    let inode = path.inode()?;
    if inode.file_type() != FileType::Block {
        return Err(ENOTBLK);
    }
    let mut found = None;
    for_each_on_device(|sb| {
        if sb.dev == inode.rdev && sb.root().is_some() {
            found = Some(sb.clone());
        }
    });
    request(&found.ok_or(ENODEV)?, cmd, kind, regs.arg2() as u32, regs.arg3())
}

/// `quotactl_fd(fd, cmd, id, addr)`.
pub fn sys_quotactl_fd(regs: &PtRegs) -> Result<usize> {
    let file = fdget_raw(regs.arg0())?;
    let (cmd, kind) = parts(regs.arg1())?;
    let asks = matches!(cmd, Q_GETFMT | Q_GETINFO | Q_GETQUOTA | Q_GETNEXTQUOTA | Q_SYNC);
    // Only here: who names the device is told what the file system says, also if it is read-only.
    let _write = if asks { None } else { Some(file.path().mnt.want_write()?) };
    request(file.inode().sb(), cmd, kind, regs.arg2() as u32, regs.arg3())
}
