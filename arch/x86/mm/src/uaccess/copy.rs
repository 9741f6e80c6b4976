// SPDX-License-Identifier: GPL-2.0
//! The accesses themselves, in assembly with exception-table entries. Long copies are `rep movsq` and then bytes; single values
//! are single moves.

use super::UserPtr;
use core::arch::asm;
use core::mem::MaybeUninit;
use errno::{Result, code::*};
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

pub(super) use {ex_table, user_close, user_open};

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
pub(super) fn copy_from_user_uninit(to: &mut [MaybeUninit<u8>], from: UserPtr) -> usize {
    if !access_ok(from, to.len()) {
        return to.len();
    }
    // SAFETY: `to` is a slice of ours that is only written, `from` was checked.
    unsafe { raw_copy(to.as_mut_ptr().cast(), from.0 as *const u8, to.len()) }
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

/// Copies a string up to its NUL, which is copied too if it fits. Returns the length without the NUL; `to.len()` if there was
/// no NUL in that many bytes. EFAULT if memory ends first. May sleep.
pub fn strncpy_from_user(to: &mut [u8], from: impl Into<UserPtr>) -> Result<usize> {
    let from = from.into();
    let mut done = 0;
    while done < to.len() {
        let at = from.wrapping_byte_add(done);
        // Words of eight while they have no zero byte, but none that reaches into the next page: that may not be mapped.
        if at.0 % PAGE_SIZE <= PAGE_SIZE - 8
            && let Some(room) = to.get_mut(done..).and_then(|t| t.first_chunk_mut::<8>())
        {
            let word = get_user::<u64>(at)?;
            *room = word.to_ne_bytes();
            let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
            if zeros != 0 {
                return Ok(done + zeros.trailing_zeros() as usize / 8);
            }
            done += 8;
        } else {
            let byte = get_user::<u8>(at)?;
            if let Some(slot) = to.get_mut(done) {
                *slot = byte;
            }
            if byte == 0 {
                return Ok(done);
            }
            done += 1;
        }
    }
    Ok(done)
}

/// Length of a string without its NUL, looking at `max` bytes at most (`max` if there is no NUL). EFAULT. May sleep.
pub fn strnlen_user(from: impl Into<UserPtr>, max: usize) -> Result<usize> {
    let from = from.into();
    let mut done = 0;
    while done < max {
        let at = from.wrapping_byte_add(done);
        if at.0 % 8 == 0 {
            let word = get_user::<u64>(at)?;
            let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
            if zeros != 0 {
                return Ok((done + zeros.trailing_zeros() as usize / 8).min(max));
            }
            done += 8;
        } else {
            if get_user::<u8>(at)? == 0 {
                return Ok(done);
            }
            done += 1;
        }
    }
    Ok(max)
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

/// Replaces an aligned 32-bit user word by `update(word)` atomically; returns the old one. EFAULT, EINVAL. May sleep.
pub fn update_user_u32(at: impl Into<UserPtr>, mut update: impl FnMut(u32) -> u32) -> Result<u32> {
    let at = at.into();
    let mut old = get_user::<u32>(at)?;
    loop {
        let found = cmpxchg_user_u32(at, old, update(old))?;
        if found == old {
            return Ok(old);
        }
        old = found;
    }
}
