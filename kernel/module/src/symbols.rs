// SPDX-License-Identifier: GPL-2.0
//! Symbols: who defines what a module wants, and whether it is of the version that the module was built against.
//!
//! A version is a digest of the metadata of the crate that defines the symbol (`scripts/exports.py`): the compiler reads nothing
//! else of it when it compiles the module, so a module with equal versions was compiled against this very image. No locks.

use crate::registry::{Module, State};
use errno::{Result, code::*};
use kalloc::{Arc, KVec};
use module_image::{Elf, fnv1a};

/// Looks symbols up for one module that is being loaded, and notes whose they are.
pub(crate) struct Finder<'a> {
    name: &'a [u8],
    list: &'a [Arc<Module>],
    gpl: bool,
    /// Whether versions are compared.
    checked: bool,
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
        Ok(Self { name, list, gpl, checked, uses: KVec::new(), at: 0, versions })
    }

    /// The address of `symbol`: `ENOENT` if nobody has it, `EINVAL` if its version differs.
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
        for module in self.list.iter().filter(|module| module.state() == State::Live) {
            let Some(body) = module.body() else { continue };
            let Ok(at) = body.symbols.binary_search_by_key(&hash, |own| own.hash) else { continue };
            let Some(own) = body.symbols.get(at) else { continue };
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
