// SPDX-License-Identifier: GPL-2.0
//! From a file's bytes to a running module.

use crate::registry::{self, Body, Functions, Module, OwnSymbol, State};
use crate::symbols::{self, Finder, Passing};
use crate::taint::{self, Taint};
use crate::{Shown, args, show, signing};
use containers::sort;
use core::sync::atomic::Ordering;
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, KVec};
use klog::{pr_err, pr_notice, pr_warn};
use module_core::{Area, Header, VERMAGIC};
use module_image::{Bad, Elf, Layout, Linked, Region, Segment, fnv1a};

/// What the caller wants to be overlooked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Force {
    /// `MODULE_INIT_IGNORE_VERMAGIC`.
    pub(crate) vermagic: bool,
    /// `MODULE_INIT_IGNORE_MODVERSIONS`.
    pub(crate) versions: bool,
}

/// What is known of a file.
#[derive(Clone, Copy)]
struct Trust {
    /// Something about it is overlooked.
    forced: bool,
    /// Versions of symbols are compared.
    checked: bool,
    /// Its signature is good.
    signed: bool,
}

/// Licences that are compatible with the GPL (`license_is_gpl_compatible`).
const GPL: [&[u8]; 6] =
    [b"GPL", b"GPL v2", b"GPL and additional rights", b"Dual BSD/GPL", b"Dual MIT/GPL", b"Dual MPL/GPL"];

/// Longest name (`MODULE_NAME_LEN` less its end).
const NAME_MAX: usize = 55;

/// Says why a file is refused.
fn refuse(name: &[u8], bad: Bad) -> Error {
    let name = if name.is_empty() { b"module" } else { name };
    pr_err!("{}: {} ({})", Shown(name), bad.reason, bad.number);
    bad.error
}

/// Loads and starts the module in `file` with parameters `text`.
pub(crate) fn load(file: &[u8], text: &[u8], force: Force) -> Result {
    let (file, signed) = signing::check(file, force.vermagic || force.versions)?;
    let elf = Elf::parse(file).map_err(|bad| refuse(b"", bad))?;
    let name = name_of(&elf)?;
    if show::is_blacklisted(name) {
        pr_err!("Module {} is blacklisted", Shown(name));
        return Err(EPERM);
    }
    let forced = check_vermagic(&elf, name, force)?;
    let layout = elf.layout().map_err(|bad| refuse(name, bad))?;
    let module = registry::add(name)?;
    let trust = Trust { forced: forced || force.versions, checked: !force.versions, signed };
    let result = start(&elf, &layout, &module, text, trust);
    if result.is_err() {
        registry::remove(&module);
        module.put_uses();
    }
    result
}

/// The module's name, which says too that the file is one.
fn name_of<'a>(elf: &Elf<'a>) -> Result<&'a [u8]> {
    let Some((_, header)) = elf.section_named(b".gnu.linkonce.this_module") else {
        pr_err!("No .gnu.linkonce.this_module section found in module: is it a module at all?");
        return Err(ENOEXEC);
    };
    // What is behind it would be taken for a part of it, and written to.
    if header.size != size_of::<Header>() || header.data.len() != header.size {
        pr_err!("Section .gnu.linkonce.this_module has {} bytes, this kernel's {}", header.size, size_of::<Header>());
        return Err(ENOEXEC);
    }
    let fits = |name: &&[u8]| {
        let printable = |byte: &u8| byte.is_ascii_graphic() && !b"/\"".contains(byte);
        !name.is_empty() && name.len() <= NAME_MAX && name.iter().all(printable) && !name.starts_with(b".")
    };
    elf.modinfo(b"name").filter(fits).ok_or_else(|| {
        pr_err!("module has no name, or none that can be used");
        ENOEXEC
    })
}

/// Whether the module was built for this kernel; the value says that it was not, and that this is overlooked.
fn check_vermagic(elf: &Elf<'_>, name: &[u8], force: Force) -> Result<bool> {
    match elf.modinfo(b"vermagic") {
        _ if force.vermagic => Ok(true),
        Some(magic) if magic == VERMAGIC.as_bytes() => Ok(false),
        magic => {
            let magic = Shown(magic.unwrap_or_default());
            pr_err!("{}: version magic '{magic}' should be '{VERMAGIC}'", Shown(name));
            Err(ENOEXEC)
        }
    }
}

/// Notes what loading this module does to the trust in this kernel. Whether its licence is compatible with the GPL.
fn check_taints(elf: &Elf<'_>, module: &Module, trust: Trust) -> bool {
    let set = |taint: Taint| {
        module.taints.fetch_or(taint.bit(), Ordering::Relaxed);
        taint::add(taint);
    };
    let name = module.name();
    if !trust.signed {
        if taint::get() & taint::UNSIGNED_MODULE.bit() == 0 {
            pr_notice!("{name}: module verification failed: signature and/or required key missing - tainting kernel");
        }
        set(taint::UNSIGNED_MODULE);
    }
    if trust.forced {
        pr_warn!("{name}: module verification skipped: loaded by force");
        set(taint::FORCED_MODULE);
    }
    if elf.modinfo(b"intree") != Some(b"Y") {
        if taint::get() & taint::OOT_MODULE.bit() == 0 {
            pr_warn!("{name}: loading out-of-tree module taints kernel.");
        }
        set(taint::OOT_MODULE);
    }
    let license = elf.modinfo(b"license").unwrap_or(b"unspecified");
    let gpl = GPL.contains(&license);
    if !gpl {
        if taint::get() & taint::PROPRIETARY_MODULE.bit() == 0 {
            pr_warn!("{name}: module license '{}' taints kernel.", Shown(license));
        }
        set(taint::PROPRIETARY_MODULE);
    }
    gpl
}

/// Memory of the init region, if there is one.
type InitArea = Option<Area>;

/// Links the module and puts it into memory.
fn place(elf: &Elf<'_>, layout: &Layout, module: &Module, gpl: bool, checked: bool) -> Result<(Area, InitArea)> {
    let name = module.name().as_bytes();
    let mut core = Area::reserve(layout.size(Region::Core)).map_err(|error| {
        if error == EINVAL { refuse(name, Bad { error: ENOEXEC, reason: "module is empty", number: 0 }) } else { error }
    })?;
    let mut init = match layout.size(Region::Init) {
        0 => None,
        len => Some(Area::reserve(len)?),
    };
    let starts = (core.start(), init.as_ref().map_or(0, Area::start));
    let mut linked = resolve(elf, layout, module, starts, gpl, checked)?;
    elf.patch_smap(layout, starts, &mut linked).map_err(|bad| refuse(name, bad))?;
    let part = |region, segment| layout.segment(region, segment);
    core.map(&linked.core, part(Region::Core, Segment::Text), part(Region::Core, Segment::Data))?;
    if let Some(area) = &mut init {
        area.map(&linked.init, part(Region::Init, Segment::Text), part(Region::Init, Segment::Data))?;
    }
    Ok((core, init))
}

/// How long a module waits for another one's `init`, to use its symbols.
const PATIENCE_NS: u64 = 30_000_000_000;

/// Relocates, with the symbols of the image and of other modules; notes which modules those are. Waits for such as are coming.
fn resolve(
    elf: &Elf<'_>,
    layout: &Layout,
    module: &Module,
    (core, init): (usize, usize),
    gpl: bool,
    checked: bool,
) -> Result<Linked> {
    let name = module.name().as_bytes();
    let until = ktime::now_ns().saturating_add(PATIENCE_NS);
    let mut patient = true;
    loop {
        // Held until the references of the modules found are this module's: none of them can go meanwhile.
        let list = registry::modules();
        let mut finder = Finder::new(name, elf, &list, gpl, checked)?;
        let result = elf.link(layout, core, init, &mut |symbol| {
            finder.find(symbol).map_err(|error| Bad { error, reason: UNKNOWN, number: 0 })
        });
        // Also for a weak symbol, which the link did without.
        if let Some(coming) = finder.coming.take().filter(|_| patient) {
            finder.put();
            drop(list);
            patient = registry::wait_started(&coming, until);
            if !patient {
                pr_warn!("{}: gave up waiting for init of module {}.", Shown(name), coming.name());
            }
            continue;
        }
        let error = match result {
            Ok(linked) => return module.set_uses(finder.uses).map(|()| linked),
            Err(bad) if bad.reason == UNKNOWN => {
                let symbol = elf.symbol(bad.number as usize).map_or(&b"?"[..], |symbol| symbol.name);
                pr_warn!("{}: Unknown symbol {} (err {})", Shown(name), Shown(symbol), bad.error.to_errno());
                bad.error
            }
            Err(bad) => refuse(name, bad),
        };
        finder.put();
        return Err(error);
    }
}

/// Why a module with a symbol that nobody has is refused.
const UNKNOWN: &str = "Unknown symbol";

/// The functions of a region, for traces.
fn functions(elf: &Elf<'_>, layout: &Layout, region: Region) -> Result<Functions> {
    let mut functions = Functions::new();
    for (offset, symbol) in elf.symbols_in(layout, region).filter(|(_, symbol)| symbol.function) {
        let name = KString::from_bytes(symbol.name, GFP_KERNEL)?;
        functions.push((offset as u32, symbol.size as u32, name), GFP_KERNEL)?;
    }
    sort::sort_by_key(&mut functions, |function| function.0);
    Ok(functions)
}

/// Everything the kernel remembers of the file, which goes.
fn body(elf: &Elf<'_>, layout: &Layout, core: Area) -> Result<Body> {
    let base = core.start();
    let find = |name: &[u8]| -> Option<(usize, usize)> {
        let (index, section) = elf.section_named(name)?;
        let (region, offset) = layout.place_of(index)?;
        (region == Region::Core).then_some((base.wrapping_add(offset), section.size))
    };
    let (header, _) = find(b".gnu.linkonce.this_module").ok_or(ENOEXEC)?;
    let mut symbols: KVec<OwnSymbol> = KVec::new();
    for (offset, symbol) in elf.symbols_in(layout, Region::Core) {
        if symbol.exported && symbol.name.starts_with(b"_R") {
            symbols.push(OwnSymbol { hash: fnv1a(symbol.name), address: base.wrapping_add(offset) }, GFP_KERNEL)?;
        }
    }
    sort::sort_by_key(&mut symbols, |own| own.hash);
    let (mut sections, mut notes) = (KVec::new(), KVec::new());
    for (name, index) in elf.loaded_sections(layout) {
        if let Some((Region::Core, offset)) = layout.place_of(index) {
            let address = base.wrapping_add(offset);
            sections.push((KString::from_bytes(name, GFP_KERNEL)?, address), GFP_KERNEL)?;
            if let Some(section) = elf.section(index).filter(|section| section.is_note()) {
                notes.push((KString::from_bytes(name, GFP_KERNEL)?, address, section.size), GFP_KERNEL)?;
            }
        }
    }
    let version = elf.modinfo(b"symversion").and_then(|text| core::str::from_utf8(text).ok());
    Ok(Body {
        header,
        params: find(b"__param").unwrap_or((base, 0)),
        #[cfg(CONFIG_KUNIT = "y")]
        suites: find(b".kunit_test_suites").unwrap_or((base, 0)),
        symbols,
        version: version.and_then(|text| u32::from_str_radix(text, 16).ok()).unwrap_or(0),
        sections,
        notes,
        functions: functions(elf, layout, Region::Core)?,
        extable: find(b"__ex_table").unwrap_or((base, 0)),
        core,
    })
}

/// `version` and `srcversion`, for sysfs.
fn info(elf: &Elf<'_>) -> Result<KVec<(&'static str, KString)>> {
    let mut info = KVec::new();
    for key in ["version", "srcversion"] {
        if let Some(value) = elf.modinfo(key.as_bytes()) {
            info.push((key, KString::from_bytes(value, GFP_KERNEL)?), GFP_KERNEL)?;
        }
    }
    Ok(info)
}

/// Everything after the name is known to be free.
fn start(elf: &Elf<'_>, layout: &Layout, module: &Arc<Module>, text: &[u8], trust: Trust) -> Result {
    let name = module.name().as_bytes();
    if trust.checked && elf.versions().is_none() {
        pr_err!("{}: no symbol versions in the module", module.name());
        return Err(ENOEXEC);
    }
    let gpl = check_taints(elf, module, trust);
    let (core, init) = place(elf, layout, module, gpl, trust.checked)?;
    let bases = (core.start(), init.as_ref().map_or(0, Area::start));
    module.set_body(body(elf, layout, core)?)?;
    // Nothing there is set twice: the module is new.
    let _ = module.info.set(info(elf)?);
    module.init_size.store(init.as_ref().map_or(0, Area::len) as u64, Ordering::Relaxed);
    let body = module.body().ok_or(EINVAL)?;
    let refused = |reason| refuse(name, Bad { error: ENOEXEC, reason, number: 0 });
    let header = module.header().filter(|header| header.is_fresh()).ok_or_else(|| refused("bad this_module"))?;
    if !symbols::is_extable_sound(body, init.as_ref()) {
        return Err(refused("bad __ex_table"));
    }
    let starts = |function: usize| elf.is_function(layout, bases, function);
    let begin = header.init().filter(|&init| starts(init as usize)).ok_or_else(|| refused("init is no function"))?;
    if header.exit().is_some_and(|exit| !starts(exit as usize)) {
        return Err(refused("exit is no function"));
    }
    let (at, len) = body.params;
    let params = body.core.params(at, len).inspect_err(|_| pr_err!("{}: bad __param", module.name()))?;
    let beside = args::parse(name, text, params)?;
    let passing = match &init {
        Some(area) => {
            Some(Passing { code: area.code(), start: area.start(), functions: functions(elf, layout, Region::Init)? })
        }
        None => None,
    };
    symbols::add_text(module, passing)?;
    let result = show::add(module).and_then(|()| {
        let call = || body.core.call_init(begin, init.as_ref());
        let value = if beside { device::loading(call)?? } else { call()? };
        match value {
            0 => Ok(()),
            ..0 => Err(Error::from_errno(value)),
            _ => {
                pr_warn!("{}: init suspiciously returned {value}, it should follow 0/-E convention", module.name());
                Ok(())
            }
        }
    });
    if let Err(error) = result {
        stop(module);
        return Err(error);
    }
    module.set_state(State::Live);
    if !beside {
        // As on Linux: who loaded it finds its devices.
        device::wait_for_probe();
    }
    module.init_size.store(0, Ordering::Relaxed);
    symbols::remove_passing(module);
    drop(init);
    #[cfg(CONFIG_KUNIT = "y")]
    crate::suites::run(module);
    Ok(())
}

/// What both a failed start and an unload do when the module's code has run for the last time.
pub(crate) fn stop(module: &Arc<Module>) {
    module.set_state(State::Going);
    show::remove(module);
    #[cfg(CONFIG_LOCKDEP)]
    if let Some(body) = module.body() {
        locking::lockdep::forget(&(body.core.start()..body.core.start().wrapping_add(body.core.len())));
    }
    // Values that wait to be dropped may be dropped by the module's code, and readers may still run it.
    rcu::barrier();
    rcu::synchronize();
    symbols::remove_text(module);
}
