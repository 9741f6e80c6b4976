// SPDX-License-Identifier: GPL-2.0
//! Strings in user memory, and updates of a word of it.

use errno::Result;
use mm_alloc::layout::PAGE_SIZE;
use x86_uaccess::{UserPtr, cmpxchg_user_u32, get_user};

/// Copies a string up to its NUL, which is copied too if it fits. Returns the length without the NUL; `to.len()` if there was
/// no NUL in that many bytes. EFAULT if memory ends first. May sleep.
pub fn strncpy_from_user(to: &mut [u8], from: impl Into<UserPtr>) -> Result<usize> {
    let from = from.into();
    let mut done = 0;
    while done < to.len() {
        let at = from.wrapping_byte_add(done);
        // Words of eight while they have no zero byte, but none that reaches into the next page: that may not be mapped.
        if at.addr() % PAGE_SIZE <= PAGE_SIZE - 8
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
        if at.addr() % 8 == 0 {
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
