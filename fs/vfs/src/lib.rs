// SPDX-License-Identifier: GPL-2.0
//! The virtual file system: inodes, names, mounts, open files, and the system calls on them. File systems implement
//! `FileSystemType`, `SuperOps`, `InodeOps` and `FileOps`; `kernel/syscalls` lists the calls; `kernel/process` copies
//! `FilesStruct` and `FsStruct`.
//!
//! Locks, outermost first: `super_block` rename lock, `MOUNTS`, inode `lock` (parents before children), file position,
//! then the spin locks of dentries, buckets and tables. Path walks take none of them while names are cached: they run under RCU.
//! Source: `path_resolution(7)`, section 2 of the manual.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

pub mod anon;
pub mod attr;
pub mod census;
pub mod chrdev;
pub mod dcache;
pub mod dentry;
pub mod disk_inode;
pub mod emergency;
pub mod fasync;
pub mod fdtable;
pub mod file;
pub mod file_count;
pub mod fileattr;
pub mod filecaps;
pub mod filemap;
pub mod flock;
mod fs_context;
pub mod fs_struct;
pub mod fs_type;
pub mod handle;
pub mod hooks;
pub mod icache;
pub mod inode;
pub mod kiocb;
pub mod lease;
pub mod lock_list;
pub mod mnt_ns;
pub mod mount;
mod mount_tree;
pub mod mounting;
pub mod name;
pub mod namei;
pub mod notify;
pub mod ns_count;
pub mod nsfs;
pub mod option;
pub mod path;
pub mod perm;
mod position;
pub mod propagation;
pub mod protect;
pub mod readdir;
pub mod seek;
pub mod seq_file;
pub mod super_block;
pub mod syscall;
pub mod tasks;
pub mod times;
pub mod types;
pub mod user;
pub mod writeback;

pub use anon::{AnonKind, PseudoFs};
pub use attr::SetAttr;
pub use chrdev::{CharDevice, alloc_chrdev_region, register_chrdev, unregister_chrdev};
pub use dentry::Dentry;
pub use disk_inode::idirty;
pub use fasync::{FasyncList, OwnerKind};
pub use fdtable::{FdGuard, FilesStruct, fdget, fdget_raw, get_unused_fd};
pub use file::{File, FileOps, OpenFlags, Prepared, RemoteLock, fmode};
pub use filemap::vm_file;
pub use fs_struct::{FsPaths, FsStruct};
pub use fs_type::{
    FileSystemType, TypeRef, get_filesystem, nth_filesystem, register_filesystem, unregister_filesystem,
};
pub use hooks::{PROCESS as PROCESS_HOOKS, ProcessHooks};
pub use inode::{Inode, InodeInit, InodeOps, Link, Rename, iop};
pub use mount::Mount;
pub use path::Path;
pub use readdir::{DcacheDir, DirContext, DirSink};
pub use seq_file::{SeqBuf, SeqFile, SeqShow, Single};
pub use super_block::{FsContext, Kstatfs, SimpleSuper, SuperBlock, SuperDevice, SuperInit, SuperOps};
pub use sync::{PollMask, PollTable};
pub use tasks::{
    close_on_exec, copy_files, copy_fs, exit_files, exit_fs, get_name, kernel_open, kernel_read, kernel_write, nr_open,
    open_exec_at, string_chunk, unshare_files, unshare_fs,
};
pub use types::{Dev, FileType, Kstat, Timespec, current_time};
pub use x86_mm::uaccess::{IovIter, UserPtr};

/// Sets up what needs no file system: hooks of lower crates and the kernel's own mounts. Once, at boot, in a task.
pub fn init() -> errno::Result {
    file_count::init();
    filemap::init();
    icache::init();
    anon::init()
}
