// SPDX-License-Identifier: GPL-2.0
//! Feature bits of the superblock, which of them we know, and the other flags of a file system as a whole.

/// Features that a kernel may ignore (`s_feature_compat`).
pub mod compat {
    #![allow(missing_docs)]
    pub const DIR_PREALLOC: u32 = 0x1;
    pub const IMAGIC_INODES: u32 = 0x2;
    pub const HAS_JOURNAL: u32 = 0x4;
    pub const EXT_ATTR: u32 = 0x8;
    pub const RESIZE_INODE: u32 = 0x10;
    pub const DIR_INDEX: u32 = 0x20;
    pub const SPARSE_SUPER2: u32 = 0x200;
    pub const FAST_COMMIT: u32 = 0x400;
    pub const STABLE_INODES: u32 = 0x800;
    pub const ORPHAN_FILE: u32 = 0x1000;
}

/// Features that a kernel must know to mount at all (`s_feature_incompat`).
pub mod incompat {
    #![allow(missing_docs)]
    pub const COMPRESSION: u32 = 0x1;
    pub const FILETYPE: u32 = 0x2;
    pub const RECOVER: u32 = 0x4;
    pub const JOURNAL_DEV: u32 = 0x8;
    pub const META_BG: u32 = 0x10;
    pub const EXTENTS: u32 = 0x40;
    pub const BIT64: u32 = 0x80;
    pub const MMP: u32 = 0x100;
    pub const FLEX_BG: u32 = 0x200;
    pub const EA_INODE: u32 = 0x400;
    pub const DIRDATA: u32 = 0x1000;
    pub const CSUM_SEED: u32 = 0x2000;
    pub const LARGEDIR: u32 = 0x4000;
    pub const INLINE_DATA: u32 = 0x8000;
    pub const ENCRYPT: u32 = 0x10000;
    pub const CASEFOLD: u32 = 0x20000;
    /// Those that can be mounted here; of the others `ENCRYPT` and `CASEFOLD` are refused with their own message.
    pub const SUPPORTED: u32 =
        FILETYPE | RECOVER | META_BG | EXTENTS | BIT64 | MMP | FLEX_BG | EA_INODE | CSUM_SEED | LARGEDIR | INLINE_DATA;
}

/// Features that a kernel must know to write (`s_feature_ro_compat`).
pub mod ro_compat {
    #![allow(missing_docs)]
    pub const SPARSE_SUPER: u32 = 0x1;
    pub const LARGE_FILE: u32 = 0x2;
    pub const BTREE_DIR: u32 = 0x4;
    pub const HUGE_FILE: u32 = 0x8;
    pub const GDT_CSUM: u32 = 0x10;
    pub const DIR_NLINK: u32 = 0x20;
    pub const EXTRA_ISIZE: u32 = 0x40;
    pub const QUOTA: u32 = 0x100;
    pub const BIGALLOC: u32 = 0x200;
    pub const METADATA_CSUM: u32 = 0x400;
    pub const READONLY: u32 = 0x1000;
    pub const PROJECT: u32 = 0x2000;
    pub const VERITY: u32 = 0x8000;
    pub const ORPHAN_PRESENT: u32 = 0x10000;
    /// Those that can be mounted for writing here.
    pub const SUPPORTED: u32 = SPARSE_SUPER
        | LARGE_FILE
        | BTREE_DIR
        | HUGE_FILE
        | GDT_CSUM
        | DIR_NLINK
        | EXTRA_ISIZE
        | QUOTA
        | BIGALLOC
        | METADATA_CSUM
        | PROJECT
        | ORPHAN_PRESENT;
}

/// `s_state`: unmounted cleanly.
pub const VALID_FS: u16 = 1;
/// `s_state`: errors were found.
pub const ERROR_FS: u16 = 2;
/// `s_state`: orphans are being recovered.
pub const ORPHAN_FS: u16 = 4;
/// `s_flags`: directory hashes take names as signed characters.
pub const FLAGS_SIGNED_HASH: u32 = 1;
/// `s_flags`: directory hashes take names as unsigned characters.
pub const FLAGS_UNSIGNED_HASH: u32 = 2;
/// `s_magic`.
pub const MAGIC: u16 = 0xef53;
