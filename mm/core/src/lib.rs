// SPDX-License-Identifier: GPL-2.0
//! Address spaces: what a program's addresses mean, and how a fault makes it true. Files' cached pages are here too ([`Mapping`]).
//!
//! Called by the fault entry (through `kernel/process`), by `fork`, `execve` and `exit`, by file systems, by `/proc`, and by the
//! system calls in [`syscalls`]. Files come in as [`VmFile`]; this crate knows no VFS.
//!
//! Locks, outermost first: a file's own locks (a write may fault) -> [`Mm`]'s semaphore -> `Mapping`'s `invalidate` lock -> page locks ->
//! `Mapping::moves` -> page-table locks, or the page tree's lock (spin). `Mapping::users` (spin) is taken alone.

#![no_std]
#![forbid(unsafe_code)]
#![feature(arbitrary_self_types)]

pub mod account;
mod anon;
mod attach;
mod bdi;
mod brk;
mod dirty;
mod errseq;
pub mod exec;
mod fault;
mod file;
mod flags;
mod fork;
mod futex_key;
mod huge;
mod io;
#[cfg(CONFIG_KUNIT)]
mod kunit;
#[cfg(CONFIG_KUNIT)]
mod kunit_advice;
#[cfg(all(CONFIG_KUNIT, CONFIG_TRANSPARENT_HUGEPAGE))]
mod kunit_asked;
#[cfg(CONFIG_KUNIT)]
mod kunit_file;
#[cfg(all(CONFIG_KUNIT, CONFIG_TRANSPARENT_HUGEPAGE))]
mod kunit_huge;
#[cfg(all(CONFIG_KUNIT, CONFIG_TRANSPARENT_HUGEPAGE))]
mod kunit_khugepaged;
#[cfg(CONFIG_KUNIT)]
mod kunit_lazy;
#[cfg(CONFIG_KUNIT)]
mod kunit_lock;
#[cfg(CONFIG_KUNIT)]
mod kunit_pages;
#[cfg(CONFIG_KUNIT)]
mod kunit_pass;
#[cfg(CONFIG_KUNIT)]
mod kunit_pkey;
pub mod layout;
mod lazy;
mod lock;
mod madvise;
mod mapping;
mod mm_struct;
mod mmap;
mod mprotect;
mod mremap;
mod oom;
pub mod page_lock;
mod page_tree;
pub mod pin;
mod pkey;
mod proc;
mod read_in;
pub mod readahead;
pub mod reclaim;
mod remote;
mod share;
mod shmem;
pub mod swap;
pub mod syscalls;
pub mod throttle;
mod unmap;
mod vma;

pub use account::{commit_limit, committed};
pub use bdi::{BackingDev, DEFAULT_RA_PAGES, Flusher, Ratios, Settings, WakeReason};
pub use dirty::{MAX_RUN, WriteControl, dirty_sectors, sector, writeback_sectors};
pub use errseq::ErrSeq;
pub use exec::{ExecLayout, SpecialMapping};
pub use fault::{FAULT_COUNTER, FaultCounter, FaultSignal, handle_kernel_fault, handle_user_fault};
pub use file::{FILE_TABLE, FileTable, MmapRequest, VmFile};
pub use flags::{Prot, VmFlags};
pub use futex_key::FutexKey;
pub use huge::{HugeDefrag, HugeMode, USE_ZEROS, init as init_huge_pages, khugepaged};
pub use io::{Finish, ReadIo, ReadRun, WriteIo, WriteRun};
pub use mapping::{Mapping, MappingHost, MappingOps};
pub use mm_alloc::stat::{MemInfo, meminfo};
pub use mm_struct::{Mm, MmStat, attach, current_mm, exit_mm, mm_of, replace_mm, with_current_mm, with_mm_of};
pub use mmap::MAX_MAP_COUNT;
pub use oom::{OomSize, kib};
pub use proc::{SmapsInfo, VmaInfo};
pub use readahead::Readahead;
pub use shmem::anon_shared;
