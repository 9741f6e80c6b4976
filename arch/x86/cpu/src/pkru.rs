// SPDX-License-Identifier: GPL-2.0
//! PKRU: what the running program may do with pages by their protection keys. Two bits a key: no access, no writing. The
//! kernel's accesses to user memory obey it too, so it is the running task's at all times (`kernel/task` changes it with the task). No
//! locks. Source: Intel SDM volume 3, 4.6.2; volume 2, RDPKRU and WRPKRU.

use crate::cpuid::features;
use core::arch::asm;

/// Keys that pages can have.
pub const KEYS: u32 = 16;
/// A new program's value: pages of key 0 are as they are, others cannot be accessed.
pub const INIT: u32 = 0x5555_5554;

/// This CPU's register; where there is none the value that allows all that there is.
#[inline(always)]
pub fn read() -> u32 {
    if !features().pku {
        return INIT;
    }
    let value: u32;
    // SAFETY: CR4.PKE is set wherever the features say so; the instruction only reads.
    unsafe { asm!("rdpkru", in("ecx") 0, out("eax") value, out("edx") _, options(nomem, nostack, preserves_flags)) };
    value
}

/// Loads this CPU's register, if there is one and it has another value.
#[inline(always)]
pub fn load(value: u32) {
    if read() != value {
        write(value);
    }
}

/// Writes this CPU's register, if there is one.
#[cold]
#[inline(never)]
pub fn write(value: u32) {
    if features().pku {
        // SAFETY: As for `read`. Only accesses to user pages depend on the register, and those may fail at any time. No `nomem`:
        // they stay on their side of it.
        unsafe { asm!("wrpkru", in("ecx") 0, in("eax") value, in("edx") 0, options(nostack, preserves_flags)) };
    }
}

/// Whether a program with the value `pkru` may read, or with `write` write, pages of a key.
#[inline]
pub const fn allows(pkru: u32, key: u8, write: bool) -> bool {
    let denied = pkru >> (key as u32 % KEYS * 2);
    denied & 1 == 0 && !(write && denied & 2 != 0)
}

/// The value `pkru` with other rights for a key: `denied` has bit 0 for all access, bit 1 for writing.
pub const fn with_rights(pkru: u32, key: u8, denied: u32) -> u32 {
    let at = key as u32 % KEYS * 2;
    pkru & !(3 << at) | (denied & 3) << at
}
