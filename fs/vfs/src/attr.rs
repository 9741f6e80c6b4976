// SPDX-License-Identifier: GPL-2.0
//! Changes of attributes on their way from a system call to the file system (`struct iattr`). No locks.

use crate::types::Timespec;

/// What is to change; `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// Permissions (without the type).
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<Timespec>,
    /// Last change of the contents.
    pub mtime: Option<Timespec>,
    /// Times above are the caller's choice (not "now"): only the owner may.
    pub times_set: bool,
    /// The change goes through an open file (`ftruncate`).
    pub from_file: bool,
    /// The moment of the change: the new `ctime`.
    pub ctime: Timespec,
}
