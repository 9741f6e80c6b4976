// SPDX-License-Identifier: GPL-2.0
//! Pointers as text: `{:p}` does not tell where something is, only whether it is the same as before. No locks.

use core::fmt::{self, Binary, Debug, Display, Formatter, LowerExp, LowerHex, Octal, Pointer, UpperExp, UpperHex};
use core::ptr::NonNull;
use locking::SetOnce;

/// The largest errno, as an address.
const MAX_ERRNO: u64 = 4095;

/// What addresses are mixed with: chosen at the first use, and kept.
static KEY: SetOnce<[u64; 2]> = SetOnce::new();

/// A round of SipHash.
const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

/// Takes a word in.
const fn absorb([a, b, c, d]: [u64; 4], word: u64) -> [u64; 4] {
    let [a, b, c, d] = round(round([a, b, c, d ^ word]));
    [a ^ word, b, c, d]
}

/// SipHash-2-4 of one word. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
const fn siphash([k0, k1]: [u64; 2], word: u64) -> u64 {
    let start = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The word, and the length of it all: eight bytes.
    let [a, b, c, d] = absorb(absorb(start, word), 8 << 56);
    let [a, b, c, d] = round(round(round(round([a, b, c ^ 0xff, d]))));
    a ^ b ^ c ^ d
}

// What the authors give for the bytes 00 to 07 with the key 00 to 0f.
const _: () =
    assert!(siphash([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908], 0x0706_0504_0302_0100) == 0x93f5_f579_9a93_2462);

/// What is printed of an address: 32 bits. Null and errors are no secrets.
fn hashed(address: u64) -> u64 {
    if address == 0 || address >= MAX_ERRNO.wrapping_neg() {
        return address;
    }
    if KEY.get().is_none() {
        // Another CPU may have been faster; its key stays.
        let _ = KEY.set([random::u64(), random::u64()]);
    }
    siphash(KEY.get().copied().unwrap_or_default(), address) & 0xffff_ffff
}

/// A pointer, printed by `{:p}` as Linux's `%p` prints it: 32 bits made of the address and of a secret of this boot.
pub struct HashedPtr<T: ?Sized>(pub *const T);

impl<T: ?Sized> Pointer for HashedPtr<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = if f.sign_aware_zero_pad() { f.width().filter(|width| (1..32).contains(width)) } else { None };
        write!(f, "{:#0width$x}", hashed(self.0.addr() as u64), width = width.unwrap_or(18))
    }
}

/// What has an address that `{:p}` prints.
pub trait AsPointer {
    /// What it points to.
    type Target: ?Sized;

    /// The pointer.
    fn pointer(&self) -> *const Self::Target;
}

macro_rules! pointers {
    ($($type:ty: $this:ident => $pointer:expr;)*) => { $(
        impl<T: ?Sized> AsPointer for $type {
            type Target = T;

            fn pointer(&self) -> *const T {
                let $this = self;
                $pointer
            }
        }
    )* };
}
pointers! {
    *const T: this => *this;
    *mut T: this => this.cast_const();
    NonNull<T>: this => this.as_ptr().cast_const();
    &T: this => core::ptr::from_ref(*this);
    &mut T: this => core::ptr::from_ref(&**this);
}

/// A pointer as an argument: what is not `{:p}` is printed as it is.
#[doc(hidden)]
pub struct Pointed<'a, T: ?Sized>(pub(super) &'a T);

impl<T: ?Sized + AsPointer> Pointer for Pointed<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Pointer::fmt(&HashedPtr(self.0.pointer()), f)
    }
}

macro_rules! forward {
    ($($trait:ident)*) => { $(
        impl<T: ?Sized + $trait> $trait for Pointed<'_, T> {
            #[inline]
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )* };
}
forward! { Binary Debug Display LowerExp LowerHex Octal UpperExp UpperHex }
