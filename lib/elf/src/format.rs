// SPDX-License-Identifier: GPL-2.0
//! The structures in the file (little endian, as the CPU), and the checks of the file header. No locks.

use errno::{Result, code::*};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `Elf64_Ehdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct Ehdr {
    pub e_ident: [u8; 16],
    pub e_type: u16,
    pub e_machine: u16,
    pub e_version: u32,
    pub e_entry: u64,
    pub e_phoff: u64,
    pub e_shoff: u64,
    pub e_flags: u32,
    pub e_ehsize: u16,
    pub e_phentsize: u16,
    pub e_phnum: u16,
    pub e_shentsize: u16,
    pub e_shnum: u16,
    pub e_shstrndx: u16,
}

/// `Elf64_Phdr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct Phdr {
    pub p_type: u32,
    pub p_flags: u32,
    pub p_offset: u64,
    pub p_vaddr: u64,
    pub p_paddr: u64,
    pub p_filesz: u64,
    pub p_memsz: u64,
    pub p_align: u64,
}

pub(crate) const ET_EXEC: u16 = 2;
pub(crate) const ET_DYN: u16 = 3;
pub(crate) const EM_X86_64: u16 = 62;
pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_INTERP: u32 = 3;
pub(crate) const PT_GNU_STACK: u32 = 0x6474_e551;
/// `Phdr::p_flags`: executable.
pub(crate) const PF_X: u32 = 1;
/// `Phdr::p_flags`: writable.
pub(crate) const PF_W: u32 = 2;
/// `Phdr::p_flags`: readable.
pub(crate) const PF_R: u32 = 4;

/// Whether the addresses in the file are fixed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `ET_EXEC`: at the addresses in the file.
    Exec,
    /// `ET_DYN`: anywhere (position-independent programs and the dynamic loader).
    Dyn,
}

/// A file header that passed Linux's checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHeader {
    pub(crate) kind: Kind,
    pub(crate) entry: u64,
    pub(crate) phoff: u64,
    pub(crate) phnum: u16,
}

impl FileHeader {
    /// How many bytes `parse` wants.
    pub const LEN: usize = size_of::<Ehdr>();

    /// Checks the start of a file. `ENOEXEC` if it is not an x86-64 program (for a program's interpreter Linux gives
    /// `ELIBBAD`: the caller's choice).
    pub fn parse(start: &[u8]) -> Result<Self> {
        let (h, _) = Ehdr::read_from_prefix(start).map_err(|_| ENOEXEC)?;
        let kind = match h.e_type {
            ET_EXEC => Kind::Exec,
            ET_DYN => Kind::Dyn,
            _ => return Err(ENOEXEC),
        };
        let [0x7f, b'E', b'L', b'F', ..] = h.e_ident else { return Err(ENOEXEC) };
        if h.e_machine != EM_X86_64 || usize::from(h.e_phentsize) != size_of::<Phdr>() {
            return Err(ENOEXEC);
        }
        let this = Self { kind, entry: h.e_entry, phoff: h.e_phoff, phnum: h.e_phnum };
        // Linux takes a table of at most a page.
        if this.phnum == 0 || this.phdrs_len() > crate::PAGE_SIZE as usize {
            return Err(ENOEXEC);
        }
        Ok(this)
    }

    /// Whether the addresses in the file are fixed.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where in the file the program headers are.
    pub fn phoff(&self) -> u64 {
        self.phoff
    }

    /// How many bytes of program headers there are.
    pub fn phdrs_len(&self) -> usize {
        usize::from(self.phnum).saturating_mul(size_of::<Phdr>())
    }

    /// How many program headers there are (`AT_PHNUM`).
    pub fn phnum(&self) -> u16 {
        self.phnum
    }
}
