// SPDX-License-Identifier: GPL-2.0
//! File capabilities: what the attribute `security.capability` gives to who executes the file. Source: `capabilities(7)` ("File
//! capabilities"), `linux/capability.h`.
//!
//! They go with the file's contents: whoever writes, truncates or chowns the file takes them away. An inode that was found without is
//! marked ([`iop::NO_CAPS`]), so that only the first write looks. Locks: the inode's `lock`, exclusively, around looking and marking
//! and around changing the attribute.

use crate::inode::{Inode, iop};
use cred::CapSet;
use errno::{Result, code::*};
use kalloc::KVec;

/// The attribute.
pub const NAME: &[u8] = b"security.capability";

/// Bytes of the three forms: a word, pairs of words (permitted, inheritable) for 32 or 64 capabilities, and a user id.
const SIZE_1: usize = 12;
const SIZE_2: usize = 20;
const SIZE_3: usize = 24;

/// What a file gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCaps {
    /// Given, as far as the bounding set goes.
    pub permitted: CapSet,
    /// Given to who has them inheritable.
    pub inheritable: CapSet,
    /// All of them are effective at once; then the program does not start with fewer.
    pub effective: bool,
}

fn word(value: &[u8], index: usize) -> Result<u32> {
    let bytes = value.get(index * 4..).and_then(<[u8]>::first_chunk).ok_or(EINVAL)?;
    Ok(u32::from_le_bytes(*bytes))
}

/// Reads an attribute. `None`: it is of the root of another user name space, and means nothing here. `EINVAL` for what has no form.
pub fn parse(value: &[u8]) -> Result<Option<FileCaps>> {
    let head = word(value, 0)?;
    let pairs = match (head & uapi::VFS_CAP_REVISION_MASK, value.len()) {
        (uapi::VFS_CAP_REVISION_1, SIZE_1) => 1,
        (uapi::VFS_CAP_REVISION_2, SIZE_2) | (uapi::VFS_CAP_REVISION_3, SIZE_3) => 2,
        _ => return Err(EINVAL),
    };
    if value.len() == SIZE_3 && word(value, 5)? != 0 {
        return Ok(None);
    }
    let (mut permitted, mut inheritable) = (0u64, 0u64);
    for pair in 0..pairs {
        permitted |= u64::from(word(value, 1 + 2 * pair)?) << (32 * pair);
        inheritable |= u64::from(word(value, 2 + 2 * pair)?) << (32 * pair);
    }
    let all = CapSet::FULL;
    Ok(Some(FileCaps {
        permitted: CapSet(permitted) & all,
        inheritable: CapSet(inheritable) & all,
        effective: head & uapi::VFS_CAP_FLAGS_EFFECTIVE != 0,
    }))
}

/// The form of an attribute that a program sets or reads: 2 or 3, with no flag that is not known. `EINVAL`.
fn check_form(value: &[u8]) -> Result {
    let form = word(value, 0)? & !uapi::VFS_CAP_FLAGS_EFFECTIVE;
    match (form, value.len()) {
        (uapi::VFS_CAP_REVISION_2, SIZE_2) | (uapi::VFS_CAP_REVISION_3, SIZE_3) => Ok(()),
        _ => Err(EINVAL),
    }
}

/// No user id.
const NOBODY: u32 = u32::MAX;

/// Checks what a program wants to set: form, right, and whose it is. `EINVAL`, `EPERM`.
pub(crate) fn check_new(value: &[u8]) -> Result {
    check_form(value)?;
    if !cred::capable(cred::CAP_SETFCAP) {
        return Err(EPERM);
    }
    if value.len() == SIZE_3 && word(value, 5)? == NOBODY { Err(EINVAL) } else { Ok(()) }
}

/// The attribute as a program sees it: what is of this root has form 2. `EINVAL`, `EOVERFLOW` for nobody's.
pub(crate) fn shown(mut value: KVec<u8>) -> Result<KVec<u8>> {
    check_form(&value)?;
    if value.len() == SIZE_2 {
        return Ok(value);
    }
    match word(&value, 5)? {
        0 => {
            let head = uapi::VFS_CAP_REVISION_2 | word(&value, 0)? & uapi::VFS_CAP_FLAGS_EFFECTIVE;
            value.truncate(SIZE_2);
            for (to, from) in value.iter_mut().zip(head.to_le_bytes()) {
                *to = from;
            }
            Ok(value)
        }
        NOBODY => Err(EOVERFLOW),
        _ => Ok(value),
    }
}

fn attribute(inode: &Inode) -> Result<Option<KVec<u8>>> {
    if inode.iflags() & iop::NO_CAPS != 0 {
        return Ok(None);
    }
    match inode.ops().getxattr(inode, NAME) {
        Ok(value) => Ok(Some(value)),
        Err(ENODATA | EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the file gives to who executes it. `EINVAL` for an attribute that has no form. May sleep.
pub fn of(inode: &Inode) -> Result<Option<FileCaps>> {
    match attribute(inode)? {
        Some(value) => parse(&value),
        None => Ok(None),
    }
}

/// The file is another one from now on: takes its capabilities away. The inode's `lock` is held exclusively. May sleep.
#[inline]
pub(crate) fn take_away(inode: &Inode) -> Result {
    if inode.iflags() & iop::NO_CAPS != 0 { Ok(()) } else { look_and_take(inode) }
}

#[cold]
fn look_and_take(inode: &Inode) -> Result {
    if attribute(inode)?.is_some() {
        match inode.ops().setxattr(inode, NAME, None, uapi::XATTR_REPLACE) {
            Ok(()) | Err(ENODATA) => {}
            Err(error) => return Err(error),
        }
    }
    // Where others change attributes too (`REFRESH`), it is not known for long.
    if inode.iflags() & iop::REFRESH == 0 {
        inode.change_iflags(iop::NO_CAPS, 0);
    }
    Ok(())
}

/// Sets (or removes) an extended attribute of an inode, whose `lock` is held exclusively; rights have been checked. May sleep.
pub fn set_xattr(inode: &Inode, name: &[u8], value: Option<&[u8]>, flags: u32) -> Result {
    if name == NAME {
        inode.change_iflags(0, iop::NO_CAPS);
    }
    inode.ops().setxattr(inode, name, value, flags)
}

#[macros::kunit_tests(vfs_filecaps)]
mod tests {
    use super::*;
    use kalloc::flags::GFP_KERNEL;

    fn value(words: &[u32]) -> KVec<u8> {
        let mut bytes = KVec::new();
        for word in words {
            // What is missing for want of memory is seen by the test.
            let _ = bytes.extend_from_slice(&word.to_le_bytes(), GFP_KERNEL);
        }
        bytes
    }

    #[test]
    fn forms() {
        let caps = |permitted, inheritable, effective| {
            Ok(Some(FileCaps { permitted: CapSet(permitted), inheritable: CapSet(inheritable), effective }))
        };
        assert_eq!(parse(&value(&[0x0100_0001, 0x20, 0x400])), caps(0x20, 0x400, true));
        assert_eq!(parse(&value(&[0x0200_0000, 1, 2, 3, 0x1ff])), caps(0x3_0000_0001, 0x1ff_0000_0002, false));
        assert_eq!(parse(&value(&[0x0300_0001, 1, 2, 3, 4, 0])), caps(0x3_0000_0001, 0x4_0000_0002, true));
        assert_eq!(parse(&value(&[0x0300_0001, 1, 2, 3, 4, 1000])), Ok(None));
        // Capabilities that are not there are not given.
        assert_eq!(
            parse(&value(&[0x0200_0000, 0, 0, u32::MAX, u32::MAX])),
            caps(0x1ff_0000_0000, 0x1ff_0000_0000, false)
        );
        for wrong in [
            [].as_slice(),
            &[0x0100_0000, 1, 2, 3, 4],
            &[0x0200_0000, 1, 2],
            &[0x0200_0000, 1, 2, 3, 4, 0],
            &[0x0300_0000, 1, 2, 3, 4],
            &[0x0400_0000, 1, 2, 3, 4],
            &[0, 1, 2, 3, 4],
        ] {
            assert_eq!(parse(&value(wrong)), Err(EINVAL));
        }
    }

    #[test]
    fn shown_and_set() {
        let two = value(&[0x0200_0001, 1, 2, 3, 4]);
        assert_eq!(shown(value(&[0x0300_0001, 1, 2, 3, 4, 0])).as_deref(), Ok(two.as_slice()));
        assert_eq!(shown(value(&[0x0200_0001, 1, 2, 3, 4])).as_deref(), Ok(two.as_slice()));
        assert_eq!(shown(value(&[0x0300_0000, 1, 2, 3, 4, 7])).map(|v| v.len()), Ok(SIZE_3));
        assert_eq!(shown(value(&[0x0300_0000, 1, 2, 3, 4, NOBODY])).map(|v| v.len()), Err(EOVERFLOW));
        assert_eq!(shown(value(&[0x0100_0000, 1, 2])).map(|v| v.len()), Err(EINVAL));
        assert_eq!(check_form(&value(&[0x0200_0002, 1, 2, 3, 4])), Err(EINVAL));
        assert_eq!(check_new(&value(&[0x0300_0000, 1, 2, 3, 4, NOBODY])), Err(EINVAL));
    }
}
