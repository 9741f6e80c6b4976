// SPDX-License-Identifier: GPL-2.0
//! The file: header, sections, symbols, strings. Everything is checked once, in [`Elf::parse`], or where it is read.

use crate::{Bad, Result};
use containers::sort;
use kalloc::KVec;
use kalloc::flags::GFP_KERNEL;
use zerocopy::{FromBytes, Immutable, KnownLayout};

const ET_REL: u16 = 1;
const EM_X86_64: u16 = 62;
pub(crate) const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
pub(crate) const SHT_RELA: u32 = 4;
const SHT_NOTE: u32 = 7;
pub(crate) const SHT_NOBITS: u32 = 8;
const SHT_REL: u32 = 9;
pub(crate) const SHF_WRITE: u64 = 1;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXECINSTR: u64 = 4;
/// `st_shndx`: not defined here.
pub(crate) const SHN_UNDEF: u16 = 0;
/// `st_shndx`: a number.
pub(crate) const SHN_ABS: u16 = 0xfff1;
/// `st_shndx`: to be allocated by the linker.
pub(crate) const SHN_COMMON: u16 = 0xfff2;
const SHN_LORESERVE: u16 = 0xff00;
const STB_GLOBAL: u8 = 1;
const STB_WEAK: u8 = 2;
/// `st_type`: a function.
const STT_FUNC: u8 = 2;
/// `st_type`: the source's name; the last that a module has a use for.
const STT_FILE: u8 = 4;

/// `Elf64_Ehdr`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ehdr {
    ident: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

/// `Elf64_Shdr`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Shdr {
    name: u32,
    kind: u32,
    flags: u64,
    addr: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entsize: u64,
}

/// `Elf64_Sym`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Sym {
    name: u32,
    info: u8,
    other: u8,
    shndx: u16,
    value: u64,
    size: u64,
}

/// `Elf64_Rela`.
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawRela {
    offset: u64,
    info: u64,
    addend: i64,
}

/// A relocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rela {
    pub(crate) offset: u64,
    pub(crate) kind: u32,
    pub(crate) symbol: u32,
    pub(crate) addend: i64,
}

/// A section whose place in the file was checked.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// `sh_type`.
    pub(crate) kind: u32,
    /// `sh_flags`.
    pub(crate) flags: u64,
    /// Its bytes in the file; none for a section of zeros.
    pub data: &'a [u8],
    /// Its size in memory.
    pub size: usize,
    /// Its alignment, a power of two.
    pub(crate) align: usize,
    /// `sh_link`.
    pub(crate) link: u32,
    /// `sh_info`.
    pub(crate) info: u32,
    /// `sh_entsize`.
    entsize: u64,
}

impl<'a> Section<'a> {
    /// Whether it is a table of whole `T`s.
    fn is_table_of<T>(&self) -> bool {
        self.entsize == size_of::<T>() as u64 && self.data.len().is_multiple_of(size_of::<T>())
    }

    /// Whether code is in it.
    pub(crate) fn is_code(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }

    /// Whether notes are in it (which build this is).
    pub fn is_note(&self) -> bool {
        self.kind == SHT_NOTE
    }

    /// The relocations in it, if it is a `SHT_RELA`.
    pub(crate) fn relas(&self) -> impl Iterator<Item = Rela> + use<'a> {
        self.data.chunks_exact(size_of::<RawRela>()).filter_map(|raw| {
            let raw = RawRela::read_from_bytes(raw).ok()?;
            Some(Rela {
                offset: raw.offset,
                kind: raw.info as u32,
                symbol: (raw.info >> 32) as u32,
                addend: raw.addend,
            })
        })
    }

    /// Whether it takes part in the running module.
    pub(crate) fn is_loaded(&self) -> bool {
        // As in Linux, what only the loader reads stays in the file.
        self.flags & SHF_ALLOC != 0 && self.name != b".modinfo" && !self.name.starts_with(b"__version")
    }
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Whether it may be missing.
    pub weak: bool,
    /// Whether it is a function.
    pub function: bool,
    /// Whether others may use it: global, and not hidden.
    pub exported: bool,
    /// Where it is defined (`st_shndx`).
    pub(crate) section: u16,
    /// Its offset in its section.
    pub value: u64,
    /// Its size.
    pub size: u64,
}

/// A module's file.
#[derive(Debug)]
pub struct Elf<'a> {
    pub(crate) sections: KVec<Section<'a>>,
    symbols: &'a [u8],
    /// The section that they are in.
    symbol_section: usize,
    strings: &'a [u8],
    /// The length of the file.
    pub len: usize,
}

fn word(n: u64) -> Result<usize> {
    usize::try_from(n).map_err(|_| Bad::new("Invalid ELF section overflow", n))
}

/// `len` bytes from `offset`.
fn range(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// The string at `offset`: up to its zero byte.
pub(crate) fn string(table: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = table.get(offset as usize..)?;
    rest.get(..rest.iter().position(|&b| b == 0)?)
}

impl<'a> Elf<'a> {
    /// Checks a file and finds its sections and symbols.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let header = Self::header(bytes)?;
        let raw = Self::raw_sections(bytes, &header)?;
        let names = Self::names(bytes, &header, raw)?;
        let mut sections = KVec::with_capacity(raw.len() / size_of::<Shdr>(), GFP_KERNEL)?;
        for (index, entry) in (0u64..).zip(raw.chunks_exact(size_of::<Shdr>())) {
            let shdr = Shdr::read_from_bytes(entry).map_err(|_| Bad::new("Invalid ELF section header", index))?;
            sections.push(Self::read_section(bytes, names, &shdr, index)?, GFP_KERNEL)?;
        }
        Self::check_extents(bytes, &sections)?;
        let (symbol_section, symbols, strings) = Self::symbol_table(&sections)?;
        let elf = Self { sections, symbols, symbol_section, strings, len: bytes.len() };
        elf.check_names()?;
        elf.check_relocations()?;
        elf.check_symbols()?;
        Ok(elf)
    }

    fn header(bytes: &[u8]) -> Result<Ehdr> {
        let (header, _) =
            Ehdr::read_from_prefix(bytes).map_err(|_| Bad::new("Invalid ELF header len", bytes.len() as u64))?;
        match header.ident {
            [0x7f, b'E', b'L', b'F', 2, 1, 1, ..] => {}
            _ => return Err(Bad::new("Invalid ELF header magic: != \\177ELF", 0)),
        }
        if header.kind != ET_REL {
            return Err(Bad::new("Invalid ELF header type", header.kind.into()));
        }
        if header.machine != EM_X86_64 || header.version != 1 {
            return Err(Bad::new("Invalid architecture in ELF header", header.machine.into()));
        }
        if usize::from(header.shentsize) != size_of::<Shdr>() {
            return Err(Bad::new("Invalid ELF section header size", header.shentsize.into()));
        }
        Ok(header)
    }

    fn raw_sections(bytes: &'a [u8], header: &Ehdr) -> Result<&'a [u8]> {
        let len = u64::from(header.shnum).saturating_mul(size_of::<Shdr>() as u64);
        range(bytes, header.shoff, len)
            .filter(|raw| !raw.is_empty())
            .ok_or(Bad::new("Invalid ELF section header overflow", header.shoff))
    }

    /// The table of the sections' names.
    fn names(bytes: &'a [u8], header: &Ehdr, raw: &[u8]) -> Result<&'a [u8]> {
        let bad = Bad::new("Invalid ELF section name index", header.shstrndx.into());
        if header.shstrndx == SHN_UNDEF {
            return Err(bad);
        }
        let entry = raw.chunks_exact(size_of::<Shdr>()).nth(header.shstrndx.into()).ok_or(bad)?;
        let shdr = Shdr::read_from_bytes(entry).map_err(|_| bad)?;
        let names =
            range(bytes, shdr.offset, shdr.size).ok_or(Bad::new("Invalid ELF section name overflow", shdr.offset))?;
        if names.last() != Some(&0) {
            return Err(Bad::new("ELF Spec violation: section name table isn't null terminated", 0));
        }
        Ok(names)
    }

    fn read_section(bytes: &'a [u8], names: &'a [u8], shdr: &Shdr, index: u64) -> Result<Section<'a>> {
        let name = string(names, shdr.name).ok_or(Bad::new("Invalid ELF section name in section", index))?;
        if index == 0 && (shdr.kind != 0 || shdr.size != 0 || shdr.addr != 0) {
            return Err(Bad::new("ELF Spec violation: section 0 type(!=SH_NULL) or non-zero len or addr", index));
        }
        let data = match shdr.kind {
            0 | SHT_NOBITS => &[],
            _ => range(bytes, shdr.offset, shdr.size)
                .ok_or(Bad::new("Invalid ELF section offset/size in section", index))?,
        };
        let align = word(shdr.align.max(1))?;
        // A page is the most that the loader can give.
        if !align.is_power_of_two() || shdr.flags & SHF_ALLOC != 0 && align > crate::PAGE_SIZE {
            return Err(Bad::new("Invalid ELF section alignment in section", index));
        }
        if shdr.kind == SHT_NOBITS && shdr.size > crate::layout::MAX_SIZE as u64 {
            return Err(Bad::new("Invalid ELF section size in section", index));
        }
        let (size, kind, flags) = (word(shdr.size)?, shdr.kind, shdr.flags);
        Ok(Section { name, kind, flags, data, size, align, link: shdr.link, info: shdr.info, entsize: shdr.entsize })
    }

    /// No byte of the file belongs to two sections: nobody makes such files, and what is checked of one would be said of another.
    fn check_extents(bytes: &[u8], sections: &[Section<'_>]) -> Result {
        let mut extents = KVec::with_capacity(sections.len(), GFP_KERNEL)?;
        for (index, section) in (0u64..).zip(sections).filter(|(_, section)| !section.data.is_empty()) {
            let start = section.data.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
            extents.push((start, start.wrapping_add(section.data.len()), index), GFP_KERNEL)?;
        }
        sort::sort(&mut extents);
        match extents.windows(2).find(|pair| matches!(pair, [(_, end, _), (start, ..)] if start < end)) {
            Some([_, (.., index)]) => Err(Bad::new("ELF section overlaps another, section", *index)),
            _ => Ok(()),
        }
    }

    /// The symbols' section, the symbols and their strings.
    fn symbol_table(sections: &[Section<'a>]) -> Result<(usize, &'a [u8], &'a [u8])> {
        let mut tables = sections.iter().enumerate().filter(|(_, s)| s.kind == SHT_SYMTAB);
        let (Some((index, table)), None) = (tables.next(), tables.next()) else {
            return Err(Bad::new("module has no symbols (stripped?)", 0));
        };
        if !table.is_table_of::<Sym>() {
            return Err(Bad::new("Invalid ELF symbol table size", table.entsize));
        }
        let strings = sections.get(table.link as usize).filter(|strings| strings.kind == SHT_STRTAB);
        let strings = strings.ok_or(Bad::new("Invalid ELF sh_link", table.link.into()))?;
        if strings.data.last() != Some(&0) {
            return Err(Bad::new("ELF Spec violation: symbol names aren't null terminated", 0));
        }
        Ok((index, table.data, strings.data))
    }

    /// Whether of what the loader looks for by its name there is no second one.
    fn check_names(&self) -> Result {
        let many = |name: &[u8]| self.sections.iter().filter(|s| s.name == name && s.kind != 0).count() > 1;
        if many(b".gnu.linkonce.this_module") {
            return Err(Bad::new("Only one .gnu.linkonce.this_module section must exist.", 0));
        }
        if many(b".modinfo") {
            return Err(Bad::new("Only one .modinfo section must exist.", 0));
        }
        Ok(())
    }

    /// Whether tables of relocations are whole, and about this table of symbols.
    fn check_relocations(&self) -> Result {
        // Those that are said to be something else would be left out, and the code run as it is.
        let not_read = |s: &Section<'_>| s.kind == SHT_REL || s.kind != SHT_RELA && s.name.starts_with(b".rela");
        if let Some((index, _)) = (0u64..).zip(self.sections.iter()).find(|(_, s)| not_read(s)) {
            return Err(Bad::new("relocations of another type than RELA in section", index));
        }
        for (index, table) in (0u64..).zip(self.sections.iter()).filter(|(_, s)| s.kind == SHT_RELA) {
            if !table.is_table_of::<RawRela>() {
                return Err(Bad::new("Invalid ELF relocation table size in section", index));
            }
            if table.link as usize != self.symbol_section {
                return Err(Bad::new("Invalid ELF sh_link in relocation section", index));
            }
            if self.sections.get(table.info as usize).is_none_or(|target| target.kind == 0) {
                return Err(Bad::new("Invalid ELF relocation target", table.info.into()));
            }
        }
        Ok(())
    }

    /// Whether every symbol has a name, a kind and a binding that a module's can have, and lies inside of its section.
    fn check_symbols(&self) -> Result {
        for (index, raw) in (0u64..).zip(self.symbols.chunks_exact(size_of::<Sym>())) {
            let bad = |reason| Err(Bad::new(reason, index));
            let Ok(sym) = Sym::read_from_bytes(raw) else { return bad("Invalid ELF symbol") };
            let (bind, kind) = (sym.info >> 4, sym.info & 15);
            if index == 0 {
                if raw.iter().any(|&byte| byte != 0) {
                    return bad("ELF Spec violation: symbol 0 is not empty");
                }
                continue;
            }
            if string(self.strings, sym.name).is_none() {
                return bad("Invalid ELF symbol name");
            }
            if bind > STB_WEAK || kind > STT_FILE || sym.other > 3 {
                return bad("Invalid ELF symbol type");
            }
            if !Self::is_ordinary(sym.shndx) {
                if !matches!(sym.shndx, SHN_UNDEF | SHN_ABS | SHN_COMMON) || sym.shndx == SHN_UNDEF && sym.value != 0 {
                    return bad("Invalid ELF symbol section");
                }
                continue;
            }
            let Some(section) = self.sections.get(usize::from(sym.shndx)).filter(|section| section.kind != 0) else {
                return bad("Invalid ELF symbol section");
            };
            // What is one past the end marks an end.
            if sym.value.checked_add(sym.size).is_none_or(|end| end > section.size as u64) {
                return bad("ELF symbol outside of its section");
            }
            if kind == STT_FUNC && !section.is_code() {
                return bad("ELF function symbol in a section without code");
            }
        }
        Ok(())
    }

    /// Section `index`.
    pub fn section(&self, index: usize) -> Option<&Section<'a>> {
        self.sections.get(index)
    }

    /// The section of that name, if it is loaded or only read.
    pub fn section_named(&self, name: &[u8]) -> Option<(usize, &Section<'a>)> {
        self.sections.iter().enumerate().find(|(_, s)| s.name == name && s.kind != 0)
    }

    /// The sections that `layout` has a place for: name and index.
    pub fn loaded_sections<'s>(&'s self, layout: &'s crate::Layout) -> impl Iterator<Item = (&'a [u8], usize)> + 's {
        self.sections
            .iter()
            .enumerate()
            .filter(|(index, _)| layout.place_of(*index).is_some())
            .map(|(index, s)| (s.name, index))
    }

    /// Symbol `index`.
    pub fn symbol(&self, index: usize) -> Option<Symbol<'a>> {
        let raw = self.symbols.chunks_exact(size_of::<Sym>()).nth(index)?;
        let sym = Sym::read_from_bytes(raw).ok()?;
        let section = sym.shndx;
        let name = string(self.strings, sym.name)?;
        let (bind, kind, visibility) = (sym.info >> 4, sym.info & 15, sym.other & 3);
        let exported = bind == STB_GLOBAL && visibility == 0 && section != SHN_UNDEF;
        let (weak, function) = (bind == STB_WEAK, kind == STT_FUNC);
        Some(Symbol { name, weak, function, exported, section, value: sym.value, size: sym.size })
    }

    /// Number of symbols.
    pub fn symbol_count(&self) -> usize {
        self.symbols.len() / size_of::<Sym>()
    }

    /// Whether a symbol's section index is an ordinary one.
    pub(crate) fn is_ordinary(index: u16) -> bool {
        index != SHN_UNDEF && index < SHN_LORESERVE
    }

    /// The values of `key` in `.modinfo`, in order.
    pub fn modinfo_all<'k>(&self, key: &'k [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'k> {
        let data = self.section_named(b".modinfo").map_or(&[][..], |(_, s)| s.data);
        data.split(|&b| b == 0).filter_map(move |line| line.strip_prefix(key)?.strip_prefix(b"="))
    }

    /// The first value of `key` in `.modinfo`.
    pub fn modinfo(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.modinfo_all(key).next()
    }

    /// The versions of the symbols that the module was built against: pairs of name and version. `None` without such a table.
    pub fn versions(&self) -> Option<impl Iterator<Item = (&'a [u8], u32)> + use<'a>> {
        let (_, names) = self.section_named(b"__version_ext_names")?;
        let (_, crcs) = self.section_named(b"__version_ext_crcs")?;
        let crcs = crcs.data.as_chunks::<4>().0.iter().map(|crc| u32::from_le_bytes(*crc));
        Some(names.data.split(|&b| b == 0).filter(|name| !name.is_empty()).zip(crcs))
    }
}
