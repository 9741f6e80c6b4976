// SPDX-License-Identifier: GPL-2.0
//! Name spaces of host names: `uname(2)`, `sethostname(2)`, `setdomainname(2)`. Source: `uts_namespaces(7)`. Lock: a name space's names
//! (spin), taken alone.

use super::{NsProxy, NsType, Slot, of};
use crate::thread::thread_of;
use crate::user::copy_from_user;
use errno::Result;
use errno::code::{EBUSY, EINVAL, EPERM};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use locking::{SetOnce, SpinLock};
use task::Task;
use vfs::ns_count::NsCount;
use vfs::nsfs::{Namespace, NsKind, NsRef, new_number, number, typed_ref};
use x86_cpu::regs::PtRegs;

/// Bytes of each `utsname` field.
pub(crate) const FIELD: usize = 65;

/// A name, with zeros behind it.
pub type Name = [u8; FIELD];

/// The names that can be changed.
#[derive(Clone, Copy)]
pub struct Names {
    /// The host name.
    pub node: Name,
    /// The NIS domain name.
    pub domain: Name,
}

/// A name space of host names.
struct UtsNs {
    number: u64,
    names: SpinLock<Names>,
    /// Of the user who made it; the first is nobody's.
    _count: Option<NsCount>,
}

static KIND: NsKind = NsKind { flag: uapi::CLONE_NEWUTS, name: "uts" };
static FIRST: SetOnce<Arc<UtsNs>> = SetOnce::new();

/// Host names as a kind.
pub(super) struct Uts;
pub(super) static UTS: Uts = Uts;

impl Namespace for UtsNs {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn number(&self) -> u64 {
        self.number
    }
}

impl UtsNs {
    fn shared(number: u64, names: Names, count: Option<NsCount>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { number, names: SpinLock::new(names), _count: count }, GFP_KERNEL)?)
    }
}

impl NsType for Uts {
    fn kind(&self) -> &'static NsKind {
        &KIND
    }

    fn first(&self) -> Option<NsRef> {
        let ns: NsRef = FIRST.get()?.clone();
        Some(ns)
    }

    fn create(&self, proxy: &mut NsProxy) -> Result {
        create_in(proxy)
    }

    fn enter(&self, ns: &NsRef, proxy: &mut NsProxy) -> Result {
        proxy.set(Slot::Uts, ns.clone());
        Ok(())
    }

    fn of(&self, task: &Task) -> Option<NsRef> {
        of(task, Slot::Uts)
    }
}

/// Puts a copy of the current task's into `proxy`.
pub(crate) fn create_in(proxy: &mut NsProxy) -> Result {
    proxy.set(Slot::Uts, UtsNs::shared(new_number(), names(), Some(NsCount::new(&KIND)?))?);
    Ok(())
}

/// The first name space. Once, at boot.
pub(super) fn init() -> Result {
    let mut name = [0; FIELD];
    for (to, from) in name.iter_mut().zip(b"(none)") {
        *to = *from;
    }
    FIRST.set(UtsNs::shared(number::UTS, Names { node: name, domain: name }, None)?).map_err(|_| EBUSY)
}

/// Runs `f`, which does not sleep, on the names of the current task's name space.
fn with<R>(f: impl FnOnce(&mut Names) -> R) -> Option<R> {
    let section = rcu::read_lock();
    let proxy = task::try_current().and_then(|task| thread_of(&task)?.ns.load(&section));
    let own = proxy.and_then(|proxy| typed_ref::<UtsNs>(&**proxy.get(Slot::Uts)?));
    let ns = match own {
        Some(ns) => ns,
        None => FIRST.get()?,
    };
    Some(f(&mut ns.names.lock()))
}

/// The current task's host and domain name.
pub fn names() -> Names {
    with(|names| *names).unwrap_or(Names { node: [0; FIELD], domain: [0; FIELD] })
}

/// Which of the names.
type Which = fn(&mut Names) -> &mut Name;

fn node(names: &mut Names) -> &mut Name {
    &mut names.node
}

fn domain(names: &mut Names) -> &mut Name {
    &mut names.domain
}

fn change(which: Which, new: Name) -> Result {
    with(|names| *which(names) = new).ok_or(EINVAL)
}

fn change_from_user(regs: &PtRegs, which: Which) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let len = usize::try_from(regs.arg1() as i32).ok().filter(|&len| len < FIELD).ok_or(EINVAL)?;
    let mut new = [0; FIELD];
    copy_from_user(new.get_mut(..len).ok_or(EINVAL)?, regs.arg0())?;
    change(which, new).map(|()| 0)
}

fn change_to_text(text: &[u8], which: Which) -> Result {
    if !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let mut new = [0; FIELD];
    // As Linux's sysctl: what is too long is cut.
    for (to, from) in new.iter_mut().take(FIELD - 1).zip(text) {
        *to = *from;
    }
    change(which, new)
}

/// Sets the host name (a write to `/proc/sys/kernel/hostname`). `EPERM`.
pub fn set_hostname(text: &[u8]) -> Result {
    change_to_text(text, node)
}

/// Sets the domain name (a write to `/proc/sys/kernel/domainname`). `EPERM`.
pub fn set_domainname(text: &[u8]) -> Result {
    change_to_text(text, domain)
}

/// `sethostname(2)`.
pub fn sys_sethostname(regs: &PtRegs) -> Result<usize> {
    change_from_user(regs, node)
}

/// `setdomainname(2)`.
pub fn sys_setdomainname(regs: &PtRegs) -> Result<usize> {
    change_from_user(regs, domain)
}
