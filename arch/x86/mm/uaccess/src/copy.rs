// SPDX-License-Identifier: GPL-2.0
//! The accesses themselves, in assembly with exception-table entries. Long copies are `rep movsq` and then bytes; single values
//! are single moves.

use crate::UserPtr;
use core::arch::asm;
use core::mem::MaybeUninit;
use errno::{Result, code::*};
use kalloc::{Allocator, Vec};
use mm_alloc::Page;
use mm_alloc::layout::{PAGE_SIZE, TASK_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Opens the user-access window: a no-operation that `extable::patch_smap_sites` turns into `stac`.
macro_rules! user_open {
    () => {
        "770: .byte 0x0f, 0x1f, 0x00\n .pushsection __smap_sites, \"a\"\n .balign 4\n .long 770b - ., 1\n .popsection"
    };
}

/// Closes the window (`clac`).
macro_rules! user_close {
    () => {
        "771: .byte 0x0f, 0x1f, 0x00\n .pushsection __smap_sites, \"a\"\n .balign 4\n .long 771b - ., 0\n .popsection"
    };
}

/// The instruction at `$from` continues at `$to` when it faults.
macro_rules! ex_table {
    ($from:literal, $to:literal) => {
        concat!(".pushsection __ex_table, \"a\"\n .balign 4\n .long ", $from, " - ., ", $to, " - .\n .popsection")
    };
}

pub(crate) use {ex_table, user_close, user_open};

/// Whether `[addr, addr + len)` lies in user space.
#[inline(always)]
pub fn access_ok(addr: impl Into<UserPtr>, len: usize) -> bool {
    match addr.into().0.checked_add(len) {
        Some(end) => end <= TASK_SIZE,
        None => false,
    }
}

/// Copies; returns how many bytes could not be copied. The windows are in the assembly, so that nothing else runs inside.
///
/// # Safety
/// The kernel side is valid for `len` bytes, the user side passed `access_ok`.
#[inline(always)]
unsafe fn raw_copy(to: *mut u8, from: *const u8, len: usize) -> usize {
    let left: usize;
    // SAFETY: As the caller promises; a fault of either move goes to the fixup, where rcx tells what is left.
    unsafe {
        asm!(
            user_open!(),
            "mov {rest:e}, ecx",
            "and {rest:e}, 7",
            "shr rcx, 3",
            "2: rep movsq",
            "mov ecx, {rest:e}",
            "3: rep movsb",
            "4:",
            user_close!(),
            ".pushsection .text.unlikely.uaccess, \"ax\"",
            "5: lea rcx, [{rest} + rcx * 8]",
            // Bytes one by one up to the exact place of the fault.
            "6: rep movsb",
            "jmp 4b",
            ".popsection",
            ex_table!("2b", "5b"),
            ex_table!("3b", "4b"),
            ex_table!("6b", "4b"),
            rest = out(reg) _,
            inout("rcx") len => left,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack),
        );
    }
    left
}

/// Copies from user memory; returns how many bytes were not copied (the tail of `to` is then as before).
#[inline]
pub fn copy_from_user_partial(to: &mut [u8], from: impl Into<UserPtr>) -> usize {
    let from = from.into();
    if !access_ok(from, to.len()) {
        return to.len();
    }
    // SAFETY: `to` is a slice of ours, `from` was checked.
    unsafe { raw_copy(to.as_mut_ptr(), from.0 as *const u8, to.len()) }
}

/// As [`copy_from_user_partial`], to memory that need not hold anything yet. What was copied is initialized.
#[inline]
pub fn copy_from_user_uninit(to: &mut [MaybeUninit<u8>], from: UserPtr) -> usize {
    if !access_ok(from, to.len()) {
        return to.len();
    }
    // SAFETY: `to` is a slice of ours that is only written, `from` was checked.
    unsafe { raw_copy(to.as_mut_ptr().cast(), from.0 as *const u8, to.len()) }
}

/// Appends `len` bytes of user memory to a vector, as far as that has room without growing; returns how many it appended.
#[inline]
pub fn copy_from_user_append<A: Allocator>(to: &mut Vec<u8, A>, from: UserPtr, len: usize) -> usize {
    let before = to.len();
    let room = to.spare_capacity_mut();
    let len = len.min(room.len());
    let Some(room) = room.get_mut(..len) else { return 0 };
    let n = len - copy_from_user_uninit(room, from);
    // SAFETY: So many bytes behind what was there have just been copied.
    unsafe { to.set_len(before + n) };
    n
}

/// Copies to user memory; returns how many bytes were not copied.
#[inline]
pub fn copy_to_user_partial(to: impl Into<UserPtr>, from: &[u8]) -> usize {
    let to = to.into();
    if !access_ok(to, from.len()) {
        return from.len();
    }
    // SAFETY: `from` is a slice of ours, `to` was checked.
    unsafe { raw_copy(to.0 as *mut u8, from.as_ptr(), from.len()) }
}

/// Copies all of `to.len()` bytes from user memory, or EFAULT. May sleep.
#[inline]
pub fn copy_from_user(to: &mut [u8], from: impl Into<UserPtr>) -> Result {
    if copy_from_user_partial(to, from) == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Copies all of `from` to user memory, or EFAULT (part may have been written). May sleep.
#[inline]
pub fn copy_to_user(to: impl Into<UserPtr>, from: &[u8]) -> Result {
    if copy_to_user_partial(to, from) == 0 { Ok(()) } else { Err(EFAULT) }
}

/// Copies from a page to user memory; returns how many bytes were copied.
#[inline]
pub fn copy_page_to_user(to: impl Into<UserPtr>, page: &Page, offset: usize, len: usize) -> usize {
    let to = to.into();
    if offset > PAGE_SIZE || len > PAGE_SIZE - offset || !access_ok(to, len) {
        return 0;
    }
    // SAFETY: In bounds of a page we have a reference to; page contents are shared bytes, copied in assembly.
    len - unsafe { raw_copy(to.0 as *mut u8, page.as_ptr().add(offset), len) }
}

/// Copies from user memory into a page; returns how many bytes were copied.
#[inline]
pub fn copy_page_from_user(page: &Page, offset: usize, from: impl Into<UserPtr>, len: usize) -> usize {
    let from = from.into();
    if offset > PAGE_SIZE || len > PAGE_SIZE - offset || !access_ok(from, len) {
        return 0;
    }
    // SAFETY: As in `copy_page_to_user`.
    len - unsafe { raw_copy(page.as_ptr().add(offset), from.0 as *const u8, len) }
}

macro_rules! single {
    ($get:ident, $put:ident, $ty:ty, $mov:literal, $mem:literal, $reg:literal, $class:ident) => {
        /// # Safety
        /// `addr` passed `access_ok` for the type's size.
        #[inline(always)]
        unsafe fn $get(addr: usize) -> Result<$ty> {
            let value: $ty;
            let failed: u32;
            // SAFETY: As the caller promises; a fault goes to the fixup.
            unsafe {
                asm!(
                    user_open!(),
                    concat!("2: mov ", $reg, ", ", $mem, " ptr [{addr}]"),
                    "3:",
                    user_close!(),
                    ".pushsection .text.unlikely.uaccess, \"ax\"",
                    "4: mov {failed:e}, 1",
                    "jmp 3b",
                    ".popsection",
                    ex_table!("2b", "4b"),
                    value = out($class) value,
                    addr = in(reg) addr,
                    failed = inout(reg) 0u32 => failed,
                    options(nostack),
                );
            }
            if failed == 0 { Ok(value) } else { Err(EFAULT) }
        }

        /// # Safety
        /// `addr` passed `access_ok` for the type's size.
        #[inline(always)]
        unsafe fn $put(addr: usize, value: $ty) -> Result {
            // SAFETY: As the caller promises; a fault goes to the fixup.
            unsafe {
                asm!(
                    user_open!(),
                    concat!("2: mov ", $mem, " ptr [{addr}], ", $reg),
                    user_close!(),
                    ".pushsection .text.unlikely.uaccess, \"ax\"",
                    "4:",
                    user_close!(),
                    "jmp {failed}",
                    ".popsection",
                    ex_table!("2b", "4b"),
                    value = in($class) value,
                    addr = in(reg) addr,
                    failed = label { return Err(EFAULT) },
                    options(nostack),
                );
            }
            Ok(())
        }
    };
}

single!(get8, put8, u8, "mov", "byte", "{value}", reg_byte);
single!(get16, put16, u16, "mov", "word", "{value:x}", reg);
single!(get32, put32, u32, "mov", "dword", "{value:e}", reg);
single!(get64, put64, u64, "mov", "qword", "{value:r}", reg);

/// Values that may come from, and go to, user memory as they are.
pub trait UserValue: FromBytes + IntoBytes + Immutable {}
impl<T: FromBytes + IntoBytes + Immutable> UserValue for T {}

/// Reads one value, or EFAULT. May sleep.
#[inline(always)]
pub fn get_user<T: FromBytes>(from: impl Into<UserPtr>) -> Result<T> {
    let from = from.into();
    let size = size_of::<T>();
    if !access_ok(from, size) {
        return Err(EFAULT);
    }
    let mut value = MaybeUninit::<T>::uninit();
    let to = value.as_mut_ptr();
    // SAFETY: The address was checked; `value` has room for the size read; any bytes make a `T` (FromBytes), and all of them are
    // written before it is used.
    unsafe {
        match size {
            1 => to.cast::<u8>().write(get8(from.0)?),
            2 => to.cast::<u16>().write_unaligned(get16(from.0)?),
            4 => to.cast::<u32>().write_unaligned(get32(from.0)?),
            8 => to.cast::<u64>().write_unaligned(get64(from.0)?),
            _ => {
                if raw_copy(to.cast(), from.0 as *const u8, size) != 0 {
                    return Err(EFAULT);
                }
            }
        }
        Ok(value.assume_init())
    }
}

/// Writes one value, or EFAULT. May sleep.
#[inline(always)]
pub fn put_user<T: IntoBytes + Immutable>(to: impl Into<UserPtr>, value: T) -> Result {
    let to = to.into();
    let size = size_of::<T>();
    if !access_ok(to, size) {
        return Err(EFAULT);
    }
    let from = (&raw const value).cast::<u8>();
    // SAFETY: The address was checked; `value` has the size read, and no padding (IntoBytes).
    unsafe {
        match size {
            1 => put8(to.0, from.read()),
            2 => put16(to.0, from.cast::<u16>().read_unaligned()),
            4 => put32(to.0, from.cast::<u32>().read_unaligned()),
            8 => put64(to.0, from.cast::<u64>().read_unaligned()),
            _ if raw_copy(to.0 as *mut u8, from, size) == 0 => Ok(()),
            _ => Err(EFAULT),
        }
    }
}

/// Clears user memory; returns how many bytes were not cleared. May sleep.
pub fn clear_user(to: impl Into<UserPtr>, len: usize) -> usize {
    let to = to.into();
    if !access_ok(to, len) {
        return len;
    }
    let left: usize;
    // SAFETY: The address was checked; a fault goes to the fixup.
    unsafe {
        asm!(
            user_open!(),
            "mov {rest:e}, ecx",
            "and {rest:e}, 7",
            "shr rcx, 3",
            "2: rep stosq",
            "mov ecx, {rest:e}",
            "3: rep stosb",
            "4:",
            user_close!(),
            ".pushsection .text.unlikely.uaccess, \"ax\"",
            "5: lea rcx, [{rest} + rcx * 8]",
            "6: rep stosb",
            "jmp 4b",
            ".popsection",
            ex_table!("2b", "5b"),
            ex_table!("3b", "4b"),
            ex_table!("6b", "4b"),
            rest = out(reg) _,
            inout("rcx") len => left,
            inout("rdi") to.0 => _,
            in("rax") 0u64,
            options(nostack),
        );
    }
    left
}

/// Compare-and-exchange of an aligned 32-bit word in user memory (futexes). `Ok(found)`: exchanged if `found == old`.
/// EFAULT, EINVAL if not aligned. May sleep (with interrupts and preemption on).
pub fn cmpxchg_user_u32(at: impl Into<UserPtr>, old: u32, new: u32) -> Result<u32> {
    let at = at.into();
    if at.0 % 4 != 0 {
        return Err(EINVAL);
    }
    if !access_ok(at, 4) {
        return Err(EFAULT);
    }
    let (found, failed): (u32, u32);
    // SAFETY: The address was checked; a fault goes to the fixup.
    unsafe {
        asm!(
            user_open!(),
            "2: lock cmpxchg dword ptr [{addr}], {new:e}",
            "3:",
            user_close!(),
            ".pushsection .text.unlikely.uaccess, \"ax\"",
            "4: mov {failed:e}, 1",
            "jmp 3b",
            ".popsection",
            ex_table!("2b", "4b"),
            addr = in(reg) at.0,
            new = in(reg) new,
            failed = inout(reg) 0u32 => failed,
            inout("eax") old => found,
            options(nostack),
        );
    }
    if failed == 0 { Ok(found) } else { Err(EFAULT) }
}
