// SPDX-License-Identifier: GPL-2.0
//! Code that may fault, and where it continues then. Each entry of section `__ex_table` is a pair of 32-bit distances: from the
//! first word to the instruction, from the second to the fixup. And the places where SMAP needs `stac` or `clac`: they are
//! three-byte no-operations that are patched once at boot where the CPU has SMAP.

use core::arch::asm;
use hook::Hook;

/// Tables of code outside the image.
pub trait ModuleTables: Sync {
    /// Where to continue after a fault of the instruction at `ip`, if that is a module's and may fault.
    fn search(&self, ip: usize) -> Option<usize>;
}

/// The module loader, when there is one.
pub static MODULES: Hook<dyn ModuleTables> = Hook::new();

unsafe extern "C" {
    static __start___ex_table: [i32; 2];
    static __stop___ex_table: [i32; 2];
    static __start___smap_sites: [i32; 2];
    static __stop___smap_sites: [i32; 2];
}

fn entries(start: *const [i32; 2], end: *const [i32; 2]) -> &'static [[i32; 2]] {
    let count = (end.addr() - start.addr()) / size_of::<[i32; 2]>();
    // SAFETY: The linker script puts both symbols around one section of such pairs, read-only.
    unsafe { core::slice::from_raw_parts(start, count) }
}

/// Where to continue after a fault of the instruction at `ip`, if that may fault. Any context.
pub fn search_extable(ip: usize) -> Option<usize> {
    let own = entries(&raw const __start___ex_table, &raw const __stop___ex_table).iter().find_map(|entry| {
        let [insn, fixup] = entry;
        let at = core::ptr::from_ref(insn).addr().wrapping_add_signed(*insn as isize);
        let to = core::ptr::from_ref(fixup).addr().wrapping_add_signed(*fixup as isize);
        (at == ip).then_some(to)
    });
    own.or_else(|| MODULES.get()?.search(ip))
}

/// Writes `stac` and `clac` where they belong. Boot CPU, before the kernel's text becomes read-only.
pub(crate) fn patch_smap_sites() {
    if !x86_cpu::cpuid::features().smap {
        return;
    }
    for entry in entries(&raw const __start___smap_sites, &raw const __stop___smap_sites) {
        let [site, open] = entry;
        let at = core::ptr::from_ref(site).addr().wrapping_add_signed(*site as isize);
        let code: [u8; 3] = if *open != 0 { [0x0f, 0x01, 0xcb] } else { [0x0f, 0x01, 0xca] };
        // SAFETY: Each entry names three bytes of no-operation in our own text (see `uaccess`), still writable now.
        unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), core::ptr::with_exposed_provenance_mut(at), 3) };
    }
    // SAFETY: CPUID serialises: the patched code is fetched anew.
    unsafe { asm!("push rbx", "cpuid", "pop rbx", inout("eax") 0 => _, out("ecx") _, out("edx") _) };
}
