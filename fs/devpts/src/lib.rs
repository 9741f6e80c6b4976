// SPDX-License-Identifier: GPL-2.0
//! devpts: `/dev/pts`, where each open master of a pseudo-terminal has the node of its slave, and `ptmx`, which makes new ones.
//! Each mount is an instance of its own with its own numbers. Called by the VFS. Source: Linux's `filesystems/devpts`, `pts(4)`.
//!
//! | file | what |
//! |---|---|
//! | `options` | mount options |
//! | `instance` | the file system: root, `ptmx`, numbers |
//! | `pty` | opening `ptmx` and slaves, the nodes |
//!
//! Locks: `Instance::numbers`, `Instance::options`, `Node::dentry` and the list of instances, all spin and leaves.

#![no_std]
#![forbid(unsafe_code)]

mod instance;
mod options;
mod pty;

pub use pty::init_files;

/// Registers the file system and the device numbers of `ptmx` and the slaves. Called once, after `tty::init`. May sleep.
pub fn init() -> errno::Result {
    pty::init()?;
    vfs::register_filesystem(&instance::DEVPTS)
}
