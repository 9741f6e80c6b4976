// SPDX-License-Identifier: GPL-2.0
//! Symbols: who defines what a module wants, and whether it is of the version that the module was built against; and for
//! traces and faults, what an address in a module's code is.
//!
//! A version is a digest of the metadata of the crate that defines the symbol (`scripts/exports.py`): the compiler reads nothing
//! else of it when it compiles the module, so a module with equal versions was compiled against this very image.
//!
//! Lock: `TEXTS` (interrupts off), the modules that code runs of; in a trace it is only tried.

use crate::registry::{Body, Functions, Module, State};
use core::ops::Range;
use errno::{Result, code::*};
use kalloc::flags::GFP_ATOMIC;
use kalloc::{Arc, KVec};
use locking::SpinLock;
use module_core::Area;
use module_image::{Elf, fnv1a};

/// The code of a module that goes when its `init` is over.
#[derive(Debug)]
pub(crate) struct Passing {
    /// Its addresses.
    pub(crate) code: Range<usize>,
    /// Where its region begins.
    pub(crate) start: usize,
    /// Its functions.
    pub(crate) functions: Functions,
}

/// A module whose code may run.
struct Text {
    module: Arc<Module>,
    /// While its `init` runs, if that is in a region of its own.
    passing: Option<Passing>,
}

impl Text {
    /// The region whose code `address` is in: where it begins, its functions.
    fn region_of(&self, address: usize) -> Option<(usize, &Functions)> {
        if let Some(body) = self.module.body().filter(|body| body.core.is_code(address)) {
            return Some((body.core.start(), &body.functions));
        }
        let passing = self.passing.as_ref().filter(|passing| passing.code.contains(&address))?;
        Some((passing.start, &passing.functions))
    }
}

/// Modules whose code may run.
static TEXTS: SpinLock<KVec<Text>> = SpinLock::new(KVec::new());

/// Code of the module may run from now on.
pub(crate) fn add_text(module: &Arc<Module>, passing: Option<Passing>) -> Result {
    Ok(TEXTS.lock_irqsave().push(Text { module: module.clone(), passing }, GFP_ATOMIC)?)
}

/// The module's `init` is over.
pub(crate) fn remove_passing(module: &Arc<Module>) {
    let mut texts = TEXTS.lock_irqsave();
    let text = texts.iter_mut().find(|text| Arc::ptr_eq(&text.module, module));
    let taken = text.and_then(|text| text.passing.take());
    drop(texts);
    drop(taken);
}

/// No code of the module runs any more.
pub(crate) fn remove_text(module: &Arc<Module>) {
    let mut texts = TEXTS.lock_irqsave();
    let taken = texts.iter().position(|text| Arc::ptr_eq(&text.module, module)).and_then(|at| texts.remove(at).ok());
    drop(texts);
    // Not the last reference: the caller has one.
    drop(taken);
}

/// Looks symbols up for one module that is being loaded, and notes whose they are.
pub(crate) struct Finder<'a> {
    name: &'a [u8],
    list: &'a [Arc<Module>],
    gpl: bool,
    /// Whether versions are compared.
    checked: bool,
    /// One whose `init` still runs has a symbol that is wanted.
    pub(crate) coming: Option<Arc<Module>>,
    /// Modules whose symbols were found.
    pub(crate) uses: KVec<Arc<Module>>,
    /// Where the last search in the table of versions ended: both are in the same order.
    at: usize,
    versions: KVec<(&'a [u8], u32)>,
}

impl<'a> Finder<'a> {
    /// For `elf`, a module called `name`; `gpl`: its licence lets it use symbols (all are `EXPORT_SYMBOL_GPL`).
    pub(crate) fn new(
        name: &'a [u8],
        elf: &Elf<'a>,
        list: &'a [Arc<Module>],
        gpl: bool,
        checked: bool,
    ) -> Result<Self> {
        let mut versions = KVec::new();
        for version in elf.versions().into_iter().flatten() {
            versions.push(version, kalloc::flags::GFP_KERNEL)?;
        }
        Ok(Self { name, list, gpl, checked, coming: None, uses: KVec::new(), at: 0, versions })
    }

    /// The address of `symbol`: `ENOENT` if nobody has it, `EINVAL` if its version differs, `EBUSY` if [`Self::coming`] has it.
    pub(crate) fn find(&mut self, symbol: &[u8]) -> Result<usize> {
        let name = crate::Shown(self.name);
        if !self.gpl {
            return Err(ENOENT);
        }
        let (address, version) = match module_core::exports().find(symbol) {
            Some(export) => (export.address, export.version),
            None => self.find_in_modules(symbol)?,
        };
        if !self.checked {
            return Ok(address);
        }
        match self.version_of(symbol) {
            Some(wanted) if wanted == version => Ok(address),
            Some(_) => {
                klog::pr_warn!("{name}: disagrees about version of symbol {}", crate::Shown(symbol));
                Err(EINVAL)
            }
            None => {
                klog::pr_warn!("{name}: no symbol version for {}", crate::Shown(symbol));
                Err(EINVAL)
            }
        }
    }

    fn version_of(&mut self, symbol: &[u8]) -> Option<u32> {
        let count = self.versions.len();
        for step in 0..count {
            let at = self.at.wrapping_add(step).checked_rem(count)?;
            if let Some((name, version)) = self.versions.get(at)
                && *name == symbol
            {
                self.at = at.wrapping_add(1);
                return Some(*version);
            }
        }
        None
    }

    fn find_in_modules(&mut self, symbol: &[u8]) -> Result<(usize, u32)> {
        let hash = fnv1a(symbol);
        for module in self.list.iter().filter(|module| matches!(module.state(), State::Live | State::Coming)) {
            let Some(body) = module.body() else { continue };
            let Ok(at) = body.symbols.binary_search_by_key(&hash, |own| own.hash) else { continue };
            let Some(own) = body.symbols.get(at) else { continue };
            if module.state() == State::Coming {
                self.coming = Some(module.clone());
                return Err(EBUSY);
            }
            if !self.uses.iter().any(|used| Arc::ptr_eq(used, module)) {
                self.uses.push(module.clone(), kalloc::flags::GFP_KERNEL)?;
                let taken = module.header().is_some_and(|header| header.try_get());
                if !taken {
                    self.uses.pop();
                    return Err(EBUSY);
                }
            }
            return Ok((own.address, body.version));
        }
        Err(ENOENT)
    }

    /// Gives back what was taken of the modules found.
    pub(crate) fn put(self) {
        for header in self.uses.iter().filter_map(|used| used.header()) {
            header.put();
        }
    }
}

/// The table of instructions that may fault, and where to go on then. `None`: it is not among the constants.
fn faulting(body: &Body) -> Option<impl Iterator<Item = (usize, usize)>> {
    let (start, len) = body.extable;
    let bytes = body.core.bytes(start, len).ok()?;
    Some(bytes.as_chunks::<8>().0.iter().enumerate().map(move |(index, entry)| {
        let [a, b, c, d, e, f, g, h] = *entry;
        let at = start.wrapping_add(index.wrapping_mul(8));
        let insn = at.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]) as isize);
        (insn, at.wrapping_add(4).wrapping_add_signed(i32::from_le_bytes([e, f, g, h]) as isize))
    }))
}

/// Whether the table is whole, and leads from the module's code to the module's code (which may be in `init`).
pub(crate) fn is_extable_sound(body: &Body, init: Option<&Area>) -> bool {
    let is_code = |address| body.core.is_code(address) || init.is_some_and(|area| area.is_code(address));
    body.extable.1.is_multiple_of(8)
        && faulting(body).is_some_and(|mut all| all.all(|(insn, fixup)| is_code(insn) && is_code(fixup)))
}

struct Texts;

impl kallsyms::Modules for Texts {
    fn contains(&self, address: usize) -> bool {
        TEXTS.try_lock_irqsave().is_some_and(|texts| texts.iter().any(|text| text.region_of(address).is_some()))
    }

    fn find(&self, address: usize, f: &mut dyn FnMut(&kallsyms::Place<'_>)) -> bool {
        let Some(texts) = TEXTS.try_lock_irqsave() else { return false };
        let Some((module, (start, functions))) =
            texts.iter().find_map(|text| Some((&text.module, text.region_of(address)?)))
        else {
            return false;
        };
        let offset = address.wrapping_sub(start);
        let at = functions.partition_point(|(start, _, _)| *start as usize <= offset);
        let found = at.checked_sub(1).and_then(|at| functions.get(at));
        let function = found.and_then(|(start, size, name)| {
            let into = offset.wrapping_sub(*start as usize);
            (into < *size as usize).then_some((kallsyms::Name(name), into, *size as usize))
        });
        f(&kallsyms::Place { address, function, module: kallsyms::Name(module.name()) });
        true
    }

    fn functions(&self, index: usize, f: &mut kallsyms::Tell<'_>) -> bool {
        // The module stays in memory as long as somebody has it.
        let Some(module) = crate::registry::modules().get(index).cloned() else { return false };
        if let Some(body) = module.body() {
            for (offset, _, name) in &body.functions {
                f(body.core.start().wrapping_add(*offset as usize), name.as_bytes(), module.name().as_bytes());
            }
        }
        true
    }
}

impl x86_mm::extable::ModuleTables for Texts {
    fn search(&self, ip: usize) -> Option<usize> {
        // A fault on user memory never happens under this lock: whoever holds it is another CPU, and soon done.
        let texts = TEXTS.lock_irqsave();
        let text = texts.iter().find(|text| text.region_of(ip).is_some())?;
        faulting(text.module.body()?)?.find_map(|(insn, fixup)| (insn == ip).then_some(fixup))
    }
}

/// Tells traces and faults about modules. Once, at boot.
pub(crate) fn init() {
    static MODULES: &dyn kallsyms::Modules = &Texts;
    static TABLES: &dyn x86_mm::extable::ModuleTables = &Texts;
    kallsyms::MODULES.set(&MODULES);
    x86_mm::extable::MODULES.set(&TABLES);
}
