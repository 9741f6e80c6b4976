// SPDX-License-Identifier: GPL-2.0
//! What programs see of modules: `/proc/modules`, `/sys/module/*`, `/proc/sys/kernel/{modules_disabled,tainted}`.
//! Source: `proc(5)`, Linux's `Documentation/ABI/stable/sysfs-module`.

use crate::registry::{self, Module, State};
use crate::{signing, taint};
use core::sync::atomic::{AtomicBool, Ordering};
use cred::CAP_SYSLOG;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString, WeakArc};
use kernfs::{Attribute, Node, TextRw};
use locking::SetOnce;
use sysfs::uevent::{self, Action};
use vfs::{SeqBuf, seq_print};

/// `/proc/sys/kernel/modules_disabled`: once set, for ever.
static DISABLED: AtomicBool = AtomicBool::new(false);
/// `module_blacklist=` of the command line.
static BLACKLIST: SetOnce<KString> = SetOnce::new();

/// Whether loading and unloading was switched off.
pub(crate) fn modules_disabled() -> bool {
    DISABLED.load(Ordering::Relaxed)
}

/// Whether the command line forbids this module.
pub(crate) fn is_blacklisted(name: &[u8]) -> bool {
    BLACKLIST.get().is_some_and(|list| list.as_bytes().split(|&byte| byte == b',').any(|one| one == name))
}

/// Sets the names that `module_blacklist=` forbids. Once, at boot.
pub fn set_blacklist(names: &[u8]) -> Result {
    BLACKLIST.set(KString::from_bytes(names, GFP_KERNEL)?).map_err(|_| EBUSY)
}

/// An address, for those who may see the kernel's.
fn shown_address(address: usize) -> usize {
    if cred::capable(CAP_SYSLOG) { address } else { 0 }
}

/// `/proc/modules`: newest first, one line each.
struct ProcModules;

impl Attribute for ProcModules {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let list = registry::modules();
        for module in list.iter().rev() {
            line(module, &list, out)?;
        }
        Ok(None)
    }
}

fn line(module: &Arc<Module>, list: &[Arc<Module>], out: &mut SeqBuf) -> Result {
    // Linux shows no module whose memory is not there yet.
    let Some(body) = module.body() else { return Ok(()) };
    let size = (body.core.len() as u64).saturating_add(module.init_size.load(Ordering::Relaxed));
    seq_print!(out, "{} {size} {} ", module.name(), module.users())?;
    let mut any = false;
    for user in list.iter().filter(|other| other.is_user_of(module)) {
        seq_print!(out, "{},", user.name())?;
        any = true;
    }
    if module.header().is_some_and(|header| header.exit().is_none()) {
        out.put(b"[permanent],")?;
        any = true;
    }
    let state = match module.state() {
        State::Coming => "Loading",
        State::Live => "Live",
        State::Going | State::Gone => "Unloading",
    };
    let dash = if any { "" } else { "-" };
    seq_print!(out, "{dash} {state} 0x{:016x}", shown_address(body.core.start()))?;
    let taints = module.taints.load(Ordering::Relaxed);
    let mark = match module.state() {
        State::Coming => "+",
        State::Live => "",
        State::Going | State::Gone => "-",
    };
    if taints != 0 || !mark.is_empty() {
        out.put(b" (")?;
        letters(taints, out)?;
        seq_print!(out, "{mark})")?;
    }
    out.byte(b'\n')
}

fn letters(taints: u64, out: &mut SeqBuf) -> Result {
    taint::letters(taints).try_for_each(|letter| out.byte(letter))
}

/// A file of a module's directory, as long as the module is there.
fn file(
    dir: &Arc<Node>,
    name: &str,
    module: &Arc<Module>,
    show: impl Fn(&Module, &mut SeqBuf) -> Result + Send + Sync + 'static,
) -> Result {
    let module = Arc::downgrade(module);
    sysfs::attr(dir, name, move |out| show(&*module.upgrade().ok_or(ENODEV)?, out))?;
    Ok(())
}

/// Makes a module's directory.
pub(crate) fn add(module: &Arc<Module>) -> Result {
    let all = sysfs::root()?.path_or_new("module")?;
    let dir = all.mkdir(module.name().as_bytes())?;
    let result = fill(&dir, module);
    match result {
        Ok(()) => {
            uevent::emit(Action::Add, &dir, "module", |_| Ok(()));
            module.node.set(dir).map_err(|_| EBUSY)
        }
        Err(error) => {
            dir.remove();
            Err(error)
        }
    }
}

fn fill(dir: &Arc<Node>, module: &Arc<Module>) -> Result {
    uevent::file(dir, "module", |_| Ok(()))?;
    file(dir, "refcnt", module, |module, out| seq_print!(out, "{}\n", module.users()))?;
    file(dir, "initstate", module, |module, out| {
        out.put(match module.state() {
            State::Live => b"live\n",
            State::Coming => b"coming\n",
            State::Going | State::Gone => b"going\n",
        })
    })?;
    file(dir, "coresize", module, |module, out| {
        seq_print!(out, "{}\n", module.body().map_or(0, |body| body.core.len()))
    })?;
    file(dir, "initsize", module, |module, out| seq_print!(out, "{}\n", module.init_size.load(Ordering::Relaxed)))?;
    file(dir, "taint", module, |module, out| {
        letters(module.taints.load(Ordering::Relaxed), out)?;
        out.byte(b'\n')
    })?;
    for (at, (name, _)) in module.info.get().into_iter().flatten().enumerate() {
        file(dir, name, module, move |module, out| {
            let value = module.info.get().and_then(|info| info.get(at)).ok_or(ENODEV)?;
            seq_print!(out, "{}\n", value.1)
        })?;
    }
    sections(&dir.mkdir(b"sections")?, module)?;
    notes(dir, module)?;
    parameters(dir, module)?;
    holders(dir, module)
}

/// `sections/`: where each section is, for debuggers.
fn sections(dir: &Arc<Node>, module: &Arc<Module>) -> Result {
    for (name, address) in module.body().map_or(&[][..], |body| &body.sections) {
        let address = *address;
        let show = move |out: &mut SeqBuf| seq_print!(out, "0x{:016x}\n", shown_address(address));
        match dir.attr(name.as_bytes(), 0o400, kernfs::Text(show)) {
            // Two sections of one name: the first is shown.
            Ok(_) | Err(EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `notes/`: the bytes of sections of notes, by which a debugger knows which build this is.
fn notes(dir: &Arc<Node>, module: &Arc<Module>) -> Result {
    let Some(body) = module.body().filter(|body| !body.notes.is_empty()) else { return Ok(()) };
    let dir = dir.mkdir(b"notes")?;
    for (at, (name, ..)) in body.notes.iter().enumerate() {
        match dir.attr(name.as_bytes(), 0o444, Note { module: Arc::downgrade(module), at }) {
            Ok(_) | Err(EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A section of notes.
struct Note {
    module: WeakArc<Module>,
    at: usize,
}

impl Attribute for Note {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let module = self.module.upgrade().ok_or(ENODEV)?;
        let body = module.body().ok_or(ENODEV)?;
        let (_, address, len) = body.notes.get(self.at).ok_or(ENODEV)?;
        out.put(body.core.bytes(*address, *len)?)?;
        Ok(None)
    }

    fn size(&self) -> u64 {
        self.module.upgrade().and_then(|module| Some(module.body()?.notes.get(self.at)?.2 as u64)).unwrap_or(0)
    }
}

/// `parameters/`: those that have permissions.
fn parameters(dir: &Arc<Node>, module: &Arc<Module>) -> Result {
    let Some(body) = module.body() else { return Ok(()) };
    let (address, len) = body.params;
    let params = body.core.params(address, len)?;
    if params.iter().all(|param| param.perm == 0) {
        return Ok(());
    }
    let dir = dir.mkdir(b"parameters")?;
    for (at, param) in params.iter().enumerate().filter(|(_, param)| param.perm != 0) {
        let attribute = Parameter { module: Arc::downgrade(module), at };
        dir.attr(param.name.as_bytes(), param.perm as u32 & 0o777, attribute)?;
    }
    Ok(())
}

/// A parameter's file.
struct Parameter {
    module: WeakArc<Module>,
    at: usize,
}

impl Parameter {
    /// Calls `f` with the parameter while the module cannot go.
    fn with<T>(&self, f: impl FnOnce(&module_core::Param) -> Result<T>) -> Result<T> {
        let module = self.module.upgrade().ok_or(ENODEV)?;
        let header = module.header().ok_or(ENODEV)?;
        if !header.try_get() {
            return Err(ENODEV);
        }
        let result = (|| {
            let body = module.body().ok_or(ENODEV)?;
            let (address, len) = body.params;
            f(body.core.params(address, len)?.get(self.at).ok_or(ENODEV)?)
        })();
        header.put();
        result
    }
}

impl Attribute for Parameter {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.with(|param| param.value.show(out).map_err(|_| ENOMEM))?;
        out.byte(b'\n')?;
        Ok(None)
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        let text = data.strip_suffix(b"\n").unwrap_or(data);
        self.with(|param| param.value.set(Some(text)))?;
        Ok(data.len())
    }

    fn size(&self) -> u64 {
        sysfs::PAGE as u64
    }

    fn limit(&self) -> usize {
        sysfs::PAGE
    }
}

/// `holders/`: links to the modules that use this one, in the directories of those used.
fn holders(dir: &Arc<Node>, module: &Arc<Module>) -> Result {
    dir.mkdir(b"holders")?;
    for used in module.uses().iter().filter_map(|used| used.node.get()) {
        if let Some(holders) = used.child(b"holders") {
            holders.link(module.name().as_bytes(), dir)?;
        }
    }
    Ok(())
}

/// Removes a module's directory and its links.
pub(crate) fn remove(module: &Arc<Module>) {
    for used in module.uses().iter().filter_map(|used| used.node.get()) {
        let link = used.child(b"holders").and_then(|holders| holders.child(module.name().as_bytes()));
        if let Some(link) = link {
            link.remove();
        }
    }
    if let Some(node) = module.node.get() {
        uevent::emit(Action::Remove, node, "module", |_| Ok(()));
        node.remove();
    }
}

/// Sets `module.async_probe` from a text; none is the same as 1. `EINVAL`.
pub fn set_async_probe(text: Option<&[u8]>) -> Result {
    device::set_modules_probe_beside(text.map_or(Ok(true), cmdline::kstrtobool)?);
    Ok(())
}

fn store_disabled(data: &[u8]) -> Result<usize> {
    match data.trim_ascii() {
        b"1" => DISABLED.store(true, Ordering::Relaxed),
        _ => return Err(EINVAL),
    }
    Ok(data.len())
}

/// Sets bits, which never go; needs to be allowed to administrate.
fn store_tainted(data: &[u8]) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let text = core::str::from_utf8(data.trim_ascii())?;
    taint::add_bits(text.parse().map_err(|_| EINVAL)?);
    Ok(data.len())
}

/// Makes the files that are always there. Once, at boot.
pub(crate) fn init() -> Result {
    let root = proc::root()?;
    root.attr(b"modules", 0o444, ProcModules)?;
    let kernel = root.path_or_new("sys/kernel")?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", u8::from(modules_disabled()));
    kernel.attr(b"modules_disabled", 0o644, TextRw(show, store_disabled))?;
    let show = |out: &mut SeqBuf| seq_print!(out, "{}\n", taint::get());
    kernel.attr(b"tainted", 0o644, TextRw(show, store_tainted))?;
    let own = sysfs::root()?.path_or_new("module/module/parameters")?;
    let show = |out: &mut SeqBuf| out.put(if signing::is_enforced() { b"Y\n" } else { b"N\n" });
    let store = |data: &[u8]| signing::set_enforced(Some(data.trim_ascii())).map(|()| data.len());
    own.attr(b"sig_enforce", 0o644, TextRw(show, store))?;
    let show = |out: &mut SeqBuf| out.put(if device::modules_probe_beside() { b"Y\n" } else { b"N\n" });
    let store = |data: &[u8]| set_async_probe(Some(data.trim_ascii())).map(|()| data.len());
    own.attr(b"async_probe", 0o644, TextRw(show, store))?;
    crate::request::init(&kernel)
}
