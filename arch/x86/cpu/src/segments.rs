// SPDX-License-Identifier: GPL-2.0
//! User mode's segment registers. In long mode DS and ES mean nothing and FS and GS are their bases, but a program may load
//! selectors into them all, and finds them again. A selector is tried with LAR before it is loaded, so that no load faults.
//! Source: Intel SDM volume 2, LAR and MOV; volume 3, 3.4.4 and 5.5.

use core::arch::asm;

/// The selectors in DS, ES, FS and GS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the registers are their own documentation")]
pub struct Selectors {
    pub ds: u16,
    pub es: u16,
    pub fs: u16,
    pub gs: u16,
}

/// Access rights as LAR gives them: type without the accessed bit, code or data, privilege, present.
const AR_TYPE: u32 = 7 << 9;
const AR_CODE: u32 = 1 << 11;
const AR_READABLE: u32 = 1 << 9;
const AR_CODE_OR_DATA: u32 = 1 << 12;
const AR_DPL3: u32 = 3 << 13;
const AR_PRESENT: u32 = 1 << 15;
/// Data that can be written, growing up or down.
const AR_RWDATA: u32 = 1 << 9;
const AR_RWDATA_DOWN: u32 = 3 << 9;
/// The bit of a selector that means the local table.
const LOCAL: u16 = 4;

impl Selectors {
    /// Whether all are 0, as a program starts.
    #[inline(always)]
    pub fn is_null(self) -> bool {
        self.ds | self.es | self.fs | self.gs == 0
    }

    /// What this CPU's registers hold: user mode's values also in the kernel.
    #[inline(always)]
    pub fn read() -> Self {
        let (ds, es, fs, gs): (u32, u32, u32, u32);
        // SAFETY: Reading a segment register changes nothing.
        unsafe {
            asm!(
                "mov {:e}, ds", "mov {:e}, es", "mov {:e}, fs", "mov {:e}, gs",
                out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs,
                options(nomem, nostack, preserves_flags)
            );
        }
        Self { ds: ds as u16, es: es as u16, fs: fs as u16, gs: gs as u16 }
    }

    /// Loads them, 0 instead of what cannot be loaded. The bases of FS and GS are user mode's descriptors' then, or undefined
    /// for selector 0: the caller loads them next. Interrupts are off.
    pub fn load(self) {
        load_ds(self.ds);
        load_es(self.es);
        load_fs(self.fs);
        load_gs(self.gs);
    }

    /// After this CPU's local table was changed: DS and ES as it says now. Interrupts are off.
    pub fn refresh_local() {
        let now = Self::read();
        if now.ds & LOCAL != 0 {
            load_ds(now.ds);
        }
        if now.es & LOCAL != 0 {
            load_es(now.es);
        }
    }
}

/// The access rights of a segment, if there is one of that selector.
fn access_rights(selector: u16) -> Option<u32> {
    let (rights, found): (u32, u8);
    // SAFETY: LAR only looks.
    unsafe {
        asm!(
            "lar {0:e}, {2:e}", "setz {1}",
            out(reg) rights, out(reg_byte) found, in(reg) u32::from(selector),
            options(nostack)
        );
    }
    (found != 0).then_some(rights)
}

/// Whether a return to 64-bit user mode may have this SS: data of user mode that can be written.
pub fn is_user_stack(selector: u16) -> bool {
    let wanted = AR_DPL3 | AR_CODE_OR_DATA | AR_PRESENT;
    access_rights(selector).is_some_and(|rights| {
        let rights = rights & (wanted | AR_TYPE);
        rights == wanted | AR_RWDATA || rights == wanted | AR_RWDATA_DOWN
    })
}

/// `selector` if it can be loaded into DS, ES, FS or GS for user mode, else 0.
fn loadable(selector: u16) -> u16 {
    if selector <= 3 {
        return selector;
    }
    let wanted = AR_DPL3 | AR_CODE_OR_DATA | AR_PRESENT;
    let good = access_rights(selector)
        .is_some_and(|rights| rights & wanted == wanted && (rights & AR_CODE == 0 || rights & AR_READABLE != 0));
    if good { selector } else { 0 }
}

macro_rules! loader {
    ($name:ident, $register:literal) => {
        fn $name(selector: u16) {
            // SAFETY: The kernel uses neither the selector nor the base of this register, and `loadable` has seen that the
            // descriptor is there; the tables do not change while interrupts are off.
            unsafe {
                asm!(concat!("mov ", $register, ", {:e}"), in(reg) u32::from(loadable(selector)),
                    options(nostack, preserves_flags));
            }
        }
    };
}
loader!(load_ds, "ds");
loader!(load_es, "es");
loader!(load_fs, "fs");

/// Loads FS with `selector`, or 0. Its base is the caller's to load. Interrupts are off.
pub fn set_fs(selector: u16) {
    load_fs(selector);
}

/// Loads GS with `selector`, or 0. User mode's GS base is the caller's to load. Interrupts are off.
pub fn set_gs(selector: u16) {
    load_gs(selector);
}

/// The load changes the active GS base, so user mode's is made that for the time.
fn load_gs(selector: u16) {
    // SAFETY: As in the other loaders. Interrupts are off, the load does not fault, and the entry of NMIs copes with either
    // base, so nothing uses GS while the kernel's base is away.
    unsafe {
        asm!("swapgs", "mov gs, {:e}", "swapgs", in(reg) u32::from(loadable(selector)), options(nostack, preserves_flags));
    }
}
