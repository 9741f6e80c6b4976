// SPDX-License-Identifier: GPL-2.0
//! A file system in the making, or about to be changed: what `fsopen(2)` and `fspick(2)` open, `fsconfig(2)` fills and `fsmount(2)`
//! turns into a mount. Options are kept as text and reach the file system as `mount(2)`'s do, all at once: one that it does not
//! know is refused when it is made, not when it is named.
//!
//! Locks: `state` (sleeping), outside of all that mounting takes.

use crate::anon::AnonKind;
use crate::file::{File, FileOps, OpenFlags};
use crate::fs_type::TypeRef;
use crate::mount::Mount;
use crate::mount_tree;
use crate::path::Path;
use crate::super_block::{FsContext, SuperBlock};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox, KVec};
use sync::Mutex;
use x86_mm::uaccess::IovIter;

/// Most bytes of all options (`mount(2)`'s page).
const OPTIONS_MAX: usize = mm_alloc::layout::PAGE_SIZE - 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It takes options.
    Create,
    /// It was made: `fsmount` is next.
    Mount,
    /// It takes options for a change.
    Reconfigure,
    Failed,
}

struct State {
    phase: Phase,
    source: Option<KVec<u8>>,
    options: KVec<u8>,
    /// `MS_*` bits that are set, of those that were spoken of.
    flags: u32,
    mask: u32,
    sb: Option<Arc<SuperBlock>>,
}

/// What is behind the descriptor.
pub(crate) struct ContextFile {
    state: Mutex<State>,
    /// Given back last.
    fs_type: TypeRef,
}

static KIND: AnonKind = AnonKind::new("[fscontext]");

impl FileOps for ContextFile {
    fn read(&self, _: &File, _: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        // The messages of a file system: none has left any.
        Err(ENODATA)
    }
}

/// Flags that are the same for every file system: their names, which bit, and whether it is set or cleared.
static COMMON: [(&[u8], u32, bool); 8] = [
    (b"ro", uapi::MS_RDONLY, true),
    (b"rw", uapi::MS_RDONLY, false),
    (b"sync", uapi::MS_SYNCHRONOUS, true),
    (b"async", uapi::MS_SYNCHRONOUS, false),
    (b"dirsync", uapi::MS_DIRSYNC, true),
    (b"lazytime", uapi::MS_LAZYTIME, true),
    (b"nolazytime", uapi::MS_LAZYTIME, false),
    (b"nomand", uapi::MS_MANDLOCK, false),
];

impl ContextFile {
    /// A context for a new file system of a type, or (`sb`) for the change of one. May sleep.
    pub(crate) fn open(fs_type: TypeRef, sb: Option<Arc<SuperBlock>>) -> Result<Arc<File>> {
        let phase = if sb.is_some() { Phase::Reconfigure } else { Phase::Create };
        let flags = sb.as_ref().map_or(0, |sb| sb.flags());
        let state = State { phase, source: None, options: KVec::new(), flags, mask: 0, sb };
        let file = Self { state: Mutex::new(state), fs_type };
        KIND.open(OpenFlags(uapi::O_RDWR), KBox::new(file, GFP_KERNEL)?)
    }

    /// `FSCONFIG_SET_FLAG` and `FSCONFIG_SET_STRING`. `EBUSY` where it takes no options (any more), `EINVAL`.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Create | Phase::Reconfigure) {
            return Err(EBUSY);
        }
        if let Some((_, bit, on)) = COMMON.iter().find(|common| common.0 == key) {
            state.flags = if *on { state.flags | bit } else { state.flags & !bit };
            state.mask |= bit;
            return Ok(());
        }
        if key == b"source" {
            let source = value.ok_or(EINVAL)?;
            if state.source.is_some() {
                return Err(EINVAL);
            }
            state.source = Some(KVec::from_slice(source, GFP_KERNEL)?);
            return Ok(());
        }
        let value_len = value.map_or(0, |value| value.len() + 1);
        let all = state.options.len() + 1 + key.len() + value_len;
        if key.is_empty() || key.contains(&b',') || value.is_some_and(|v| v.contains(&b',')) || all > OPTIONS_MAX {
            return Err(EINVAL);
        }
        let options = &mut state.options;
        options.reserve(1 + key.len() + value_len, GFP_KERNEL)?;
        if !options.is_empty() {
            options.push(b',', GFP_KERNEL)?;
        }
        options.extend_from_slice(key, GFP_KERNEL)?;
        if let Some(value) = value {
            options.push(b'=', GFP_KERNEL)?;
            options.extend_from_slice(value, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// `FSCONFIG_CMD_CREATE`.
    pub(crate) fn create(&self) -> Result {
        let mut state = self.state.lock();
        if state.phase != Phase::Create {
            return Err(EBUSY);
        }
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        state.phase = Phase::Failed;
        let source = state.source.as_deref().unwrap_or(b"");
        let sb = self.fs_type.get().get_tree(&FsContext { source, flags: state.flags, options: &state.options })?;
        state.sb = Some(sb);
        state.phase = Phase::Mount;
        Ok(())
    }

    /// `FSCONFIG_CMD_RECONFIGURE`.
    pub(crate) fn reconfigure(&self) -> Result {
        let mut state = self.state.lock();
        if state.phase != Phase::Reconfigure {
            return Err(EBUSY);
        }
        if !cred::capable(cred::CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        let sb = state.sb.clone().ok_or(EINVAL)?;
        let flags = sb.flags() & !state.mask | state.flags & state.mask;
        state.phase = Phase::Failed;
        crate::mounting::reconfigure(&sb, flags, &state.options)?;
        state.phase = Phase::Reconfigure;
        (state.flags, state.mask) = (flags, 0);
        state.options.clear();
        Ok(())
    }

    /// `fsmount(2)`: a mount in no name space, with the `MS_*` bits `flags`; further options change the file system. `EINVAL`
    /// before it was made, `EBUSY` after it was mounted.
    pub(crate) fn mount(&self, flags: u32) -> Result<Path> {
        let mut state = self.state.lock();
        let sb = state.sb.clone().ok_or(EINVAL)?;
        if state.phase != Phase::Mount {
            return Err(EBUSY);
        }
        let root = sb.root().ok_or(EINVAL)?;
        let source = state.source.as_deref().filter(|source| !source.is_empty()).unwrap_or(b"none");
        let mount = Mount::new(&sb, root.clone(), source, flags)?;
        mount_tree::detached(&mount)?;
        state.phase = Phase::Reconfigure;
        state.options.clear();
        (state.flags, state.mask) = (sb.flags(), 0);
        Ok(Path { mnt: mount, dentry: root })
    }
}
