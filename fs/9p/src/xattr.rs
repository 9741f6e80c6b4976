// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: they are the server's. Access control lists (`system.posix_acl_*`) are not there.

use crate::session::Session;
use kalloc::KVec;
use kernel::filesystem::vfs::Inode;
use kernel::prelude::*;
use p9net::Fid;
use p9net::proto::kind::TREAD;

/// Bytes of the longest value, and of the longest list.
const MOST: u64 = 65536;

/// EOPNOTSUPP for names that no file system here has.
fn check(session: &Session, name: &[u8]) -> Result {
    let known = [b"user.".as_slice(), b"trusted.", b"security."].iter().any(|prefix| name.starts_with(prefix));
    if known && session.options.xattrs { Ok(()) } else { Err(EOPNOTSUPP) }
}

/// Reads all that a walk to an attribute led to.
fn read_all(fid: &Fid, size: u64) -> Result<KVec<u8>> {
    if size > MOST {
        return Err(ERANGE);
    }
    let mut out = KVec::with_capacity(size as usize, GFP_KERNEL)?;
    while (out.len() as u64) < size {
        let part = fid.read_bytes(TREAD, out.len() as u64, size as usize - out.len())?;
        if part.is_empty() {
            break;
        }
        out.extend_from_slice(&part, GFP_KERNEL)?;
    }
    Ok(out)
}

pub(crate) fn get(session: &Session, inode: &Inode, name: &[u8]) -> Result<KVec<u8>> {
    check(session, name)?;
    let (fid, size) = session.fid(inode)?.xattr_walk(name)?;
    read_all(&fid, size)
}

pub(crate) fn list(session: &Session, inode: &Inode) -> Result<KVec<u8>> {
    if !session.options.xattrs {
        return Err(EOPNOTSUPP);
    }
    let (fid, size) = session.fid(inode)?.xattr_walk(b"")?;
    read_all(&fid, size)
}

pub(crate) fn set(session: &Session, inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
    check(session, name)?;
    session.fid(inode)?.walk(&[])?.set_xattr(name, value, flags)
}
