// SPDX-License-Identifier: GPL-2.0
//! Where a file of the upper layer came from: the attribute `origin` has a handle of the lower file, in Linux's form. So it keeps its inode
//! number when the overlay is mounted again.

use crate::layers::Fs;
use crate::node::Lower;
use kalloc::{Arc, KVec};
use kernel::filesystem::vfs::{Inode, Path, handle};
use kernel::prelude::*;

/// `OVL_FH_MAGIC`; the version before it is 0.
const MAGIC: u8 = 0xfb;
/// Bytes in front of the handle: version, magic, length, flags, kind, UUID.
const HEAD: usize = 21;
/// Flags that are known: big-endian words, words of any order, a file of the upper layer.
const FLAGS: u8 = 0x07;
const BIG_ENDIAN: u8 = 0x01;
const ANY_ENDIAN: u8 = 0x02;

/// A handle as it is kept.
struct Kept {
    kind: i32,
    uuid: [u8; 16],
    words: [u32; handle::MAX_WORDS],
    len: usize,
}

impl Kept {
    /// `None` for what is empty, damaged, or of another machine.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [version, magic, len, flags, kind, uuid @ ..] = *head;
        let ours = flags & BIG_ENDIAN == 0 || flags & ANY_ENDIAN != 0;
        if version != 0 || magic != MAGIC || usize::from(len) != bytes.len() || flags & !FLAGS != 0 || !ours {
            return None;
        }
        let (words, odd) = rest.as_chunks::<4>();
        if words.is_empty() || words.len() > handle::MAX_WORDS || !odd.is_empty() {
            return None;
        }
        let mut kept = Self { kind: kind.into(), uuid, words: [0; handle::MAX_WORDS], len: words.len() };
        for (to, from) in kept.words.iter_mut().zip(words) {
            *to = u32::from_le_bytes(*from);
        }
        Some(kept)
    }

    fn write(kind: u8, uuid: &[u8; 16], words: &[u32]) -> Result<KVec<u8>> {
        let len = u8::try_from(HEAD + 4 * words.len()).map_err(|_| EOVERFLOW)?;
        let mut out = KVec::with_capacity(len.into(), GFP_KERNEL)?;
        out.extend_from_slice(&[0, MAGIC, len, 0, kind], GFP_KERNEL)?;
        out.extend_from_slice(uuid, GFP_KERNEL)?;
        for word in words {
            out.extend_from_slice(&word.to_le_bytes(), GFP_KERNEL)?;
        }
        Ok(out)
    }
}

/// What is kept of a lower file in its copy: nothing but that there is one, if its file system has no handles.
pub(crate) fn encode(path: &Path) -> Result<KVec<u8>> {
    let id = match handle::encode(path) {
        Ok(id) => id,
        Err(EOPNOTSUPP) => return Ok(KVec::new()),
        Err(error) => return Err(error),
    };
    match u8::try_from(id.kind) {
        Ok(kind) => Kept::write(kind, &path.mnt.sb.ops().uuid(), id.words()),
        Err(_) => Ok(KVec::new()),
    }
}

/// The lower file that a file of the upper layer is a copy of, if it is known and still there. `EIO`: it is of another kind.
pub(crate) fn of(fs: &Fs, upper: &Arc<Inode>) -> Result<Option<Lower>> {
    let Some(kept) = fs.attribute(upper, b"origin")?.and_then(|bytes| Kept::read(&bytes)) else { return Ok(None) };
    let words = kept.words.get(..kept.len).unwrap_or(&[]);
    for (index, layer) in fs.lower.iter().enumerate() {
        let told = fs.systems.get(layer.system).is_some_and(|system| system.uuid == Some(kept.uuid));
        if !told {
            continue;
        }
        let path = match handle::decode(layer.root.mnt.clone(), kept.kind, words) {
            Ok(path) => path,
            Err(ENOMEM) => return Err(ENOMEM),
            // It is gone.
            Err(_) => continue,
        };
        if path.inode()?.file_type() != upper.file_type() {
            pr_warn!("overlayfs: invalid origin ({}, {})\n", upper.ino, path.inode()?.ino);
            return Err(EIO);
        }
        return Ok(Some(Lower { layer: index, dentry: path.dentry }));
    }
    Ok(None)
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(overlayfs_origin)]
mod tests {
    use super::{HEAD, Kept};
    use kernel::prelude::*;

    #[test]
    fn what_is_written_is_read() -> Result {
        let uuid = [7; 16];
        let bytes = Kept::write(1, &uuid, &[12, 0xdead_beef])?;
        assert_eq!(&bytes[..5], &[0, 0xfb, 29, 0, 1]);
        let kept = Kept::read(&bytes).ok_or(EIO)?;
        assert_eq!((kept.kind, kept.uuid, kept.len, kept.words), (1, uuid, 2, [12, 0xdead_beef, 0]));
        Ok(())
    }

    #[test]
    fn damage_is_nothing() -> Result {
        let bytes = Kept::write(1, &[7; 16], &[12, 13, 14])?;
        assert!(Kept::read(&bytes).is_some());
        for len in 0..bytes.len() {
            assert!(Kept::read(&bytes[..len]).is_none());
        }
        // Version, magic, length, unknown flags, another order of bytes.
        for (at, value) in [(0, 1), (1, 0), (2, 32), (3, 0x80), (3, 1)] {
            let mut other = KVec::from_slice(&bytes, GFP_KERNEL)?;
            if let Some(byte) = other.get_mut(at) {
                *byte = value;
            }
            assert!(Kept::read(&other).is_none());
        }
        let none = Kept::write(1, &[7; 16], &[])?;
        assert!(none.len() == HEAD && Kept::read(&none).is_none());
        assert!(Kept::read(&Kept::write(1, &[7; 16], &[1, 2, 3, 4])?).is_none());
        Ok(())
    }
}
