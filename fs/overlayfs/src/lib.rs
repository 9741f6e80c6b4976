// SPDX-License-Identifier: GPL-2.0
//! overlayfs: one tree out of several. What is changed goes to the upper layer; the lower ones are only read. The conventions in the
//! layers are Linux's: devices 0:0 are whiteouts, the attribute `trusted.overlay.opaque` (`user.overlay.` with `userxattr`) hides what
//! lies below a directory.
//!
//! | file | what |
//! |---|---|
//! | `mount`, `options` | mounting, the layers, the super block |
//! | `layers` | the layers of a mount and their attributes |
//! | `node` | inodes: which files they stand for, attributes |
//! | `lookup` | what a name stands for in all layers |
//! | `origin` | where a copied file came from |
//! | `copy_up` | files and directories come to the upper layer |
//! | `entries`, `rename` | changing directories |
//! | `merge` | listing directories |
//! | `file` | open files: everything goes to the file of a layer |
//!
//! Locks, outermost first: those of the VFS for the overlay's inodes, a node's `copying`, those of the VFS for the layers' inodes.
//! A bucket of `Table` is innermost of our own. Source: Linux's `Documentation/filesystems/overlayfs.rst`.

#![no_std]
#![forbid(unsafe_code)]

mod copy_up;
mod entries;
mod file;
mod layers;
mod lookup;
mod merge;
mod mount;
mod node;
mod options;
mod origin;
mod rename;

use kernel::filesystem::vfs::{register_filesystem, unregister_filesystem};
use kernel::prelude::*;

module! {
    type: Overlay,
    name: "overlay",
    authors: ["The Rideau developers"],
    description: "Overlay filesystem",
    license: "GPL",
    alias: ["fs-overlay"],
}

struct Overlay;

impl kernel::Module for Overlay {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        register_filesystem(&mount::OVERLAY)?;
        Ok(Self)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unregister_filesystem(&mount::OVERLAY);
    }
}
