// SPDX-License-Identifier: GPL-2.0
//! POSIX ACLs: what `system.posix_acl_*` carries (version 2, eight bytes an entry) and what ext4 keeps (version 1, four bytes
//! for entries that have no id).

use crate::le::*;
use errno::{Result, code::*};
use kalloc::{KVec, flags::GFP_NOFS};

const XATTR_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// From the attribute's value to what is stored. `EINVAL` for a list that is no ACL, `EOPNOTSUPP` for another version.
pub fn to_disk(value: &[u8]) -> Result<KVec<u8>> {
    let (head, entries) = value.split_at_checked(4).ok_or(EINVAL)?;
    if u32_at(head, 0) != XATTR_VERSION {
        return Err(EOPNOTSUPP);
    }
    if entries.len() % 8 != 0 {
        return Err(EINVAL);
    }
    let mut out = KVec::with_capacity(4 + entries.len(), GFP_NOFS)?;
    out.extend_from_slice(&DISK_VERSION.to_le_bytes(), GFP_NOFS)?;
    for entry in entries.chunks_exact(8) {
        let (tag, id) = (u16_at(entry, 0), u32_at(entry, 4));
        out.extend_from_slice(entry.get(..4).unwrap_or(&[]), GFP_NOFS)?;
        match tag {
            USER | GROUP if id != NO_ID => out.extend_from_slice(&id.to_le_bytes(), GFP_NOFS)?,
            USER_OBJ | GROUP_OBJ | MASK | OTHER => {}
            _ => return Err(EINVAL),
        }
    }
    Ok(out)
}

/// From what is stored to the attribute's value. `EINVAL` if it is damaged, as Linux has it.
pub fn from_disk(disk: &[u8]) -> Result<KVec<u8>> {
    let (head, mut rest) = disk.split_at_checked(4).ok_or(EINVAL)?;
    if u32_at(head, 0) != DISK_VERSION {
        return Err(EINVAL);
    }
    let mut out = KVec::with_capacity(4 + disk.len() * 2, GFP_NOFS)?;
    out.extend_from_slice(&XATTR_VERSION.to_le_bytes(), GFP_NOFS)?;
    while !rest.is_empty() {
        let (short, after) = rest.split_at_checked(4).ok_or(EINVAL)?;
        out.extend_from_slice(short, GFP_NOFS)?;
        rest = match u16_at(short, 0) {
            USER_OBJ | GROUP_OBJ | MASK | OTHER => {
                out.extend_from_slice(&NO_ID.to_le_bytes(), GFP_NOFS)?;
                after
            }
            USER | GROUP => {
                let (id, after) = after.split_at_checked(4).ok_or(EINVAL)?;
                out.extend_from_slice(id, GFP_NOFS)?;
                after
            }
            _ => return Err(EINVAL),
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let mut value = std::vec![2, 0, 0, 0];
        for (tag, perm, id) in
            [(1u16, 6u16, NO_ID), (2, 4, 1000), (4, 4, NO_ID), (8, 7, 50), (0x10, 7, NO_ID), (0x20, 4, NO_ID)]
        {
            value.extend(tag.to_le_bytes());
            value.extend(perm.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        let disk = to_disk(&value).unwrap();
        assert_eq!(disk.len(), 4 + 6 * 4 + 2 * 4);
        assert_eq!(&*from_disk(&disk).unwrap(), &value[..]);
        assert!(to_disk(&value[..9]).is_err());
        assert!(from_disk(&disk[..7]).is_err());
    }
}
