// SPDX-License-Identifier: GPL-2.0
//! RSA signatures (RSASSA-PKCS1-v1_5, RFC 8017), checked only. All numbers here are public, so nothing hides how long it takes.
//!
//! The arithmetic is our own: the usual libraries take their numbers from an allocator that must not fail, or keep more of them on the
//! stack than a kernel's has room for. Numbers are 64-bit limbs, the lowest first, of as many as the key has; multiplication is
//! Montgomery's, by limbs.

use crate::asn1::Values;
use crate::hash::{Digest, Hash};
use core::iter;
use der::Tag;
use errno::{Result, code::*};

/// Limbs of the largest key: 4096 bits.
const MAX: usize = 64;
type Number = [u64; MAX];
const ZERO: Number = [0; MAX];
static ONE: Number = {
    let mut one = ZERO;
    one[0] = 1;
    one
};

/// `a * b + c + d` as low and high limb: it always fits.
fn mul_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let value = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (value as u64, (value >> 64) as u64)
}

/// The number in `bytes`, the highest first. They are a multiple of 8, and at most [`MAX`] limbs.
fn load(bytes: &[u8]) -> Number {
    let mut number = ZERO;
    for (limb, chunk) in number.iter_mut().zip(bytes.as_rchunks::<8>().1.iter().rev()) {
        *limb = u64::from_be_bytes(*chunk);
    }
    number
}

/// Whether `a < b`.
fn is_less(a: &Number, b: &Number) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// A modulus: odd, its highest bit set.
struct Modulus {
    limbs: Number,
    /// Limbs in use.
    len: usize,
    /// `-1 / limbs[0]`, modulo 2^64.
    inverse: u64,
}

impl Modulus {
    /// That in `bytes`. `EINVAL` for sizes that keys do not have (in Linux), `EBADMSG` for an even number.
    fn new(bytes: &[u8]) -> Result<Self> {
        if !matches!(bytes.len() * 8, 512 | 1024 | 1536 | 2048 | 3072 | 4096) {
            return Err(EINVAL);
        }
        let limbs = load(bytes);
        let lowest = limbs.first().copied().unwrap_or(0);
        if lowest & 1 == 0 || bytes.first().is_none_or(|first| first & 0x80 == 0) {
            return Err(EBADMSG);
        }
        // Newton's method: each step doubles the bits that are right; an odd number is its own inverse modulo 8.
        let inverse = (0..5).fold(lowest, |x, _| x.wrapping_mul(2u64.wrapping_sub(lowest.wrapping_mul(x))));
        Ok(Self { limbs, len: bytes.len() / 8, inverse: inverse.wrapping_neg() })
    }

    /// `to` less the modulus; what is borrowed from beyond the key's limbs is forgotten.
    fn subtract_from(&self, to: &mut Number) {
        let mut borrow = false;
        for (to, n) in to.iter_mut().zip(&self.limbs).take(self.len) {
            (*to, borrow) = to.borrowing_sub(*n, borrow);
        }
    }

    /// `to = to * by / R`, with R = 2^(64 `len`).
    #[inline(never)]
    fn multiply(&self, to: &mut Number, by: &Number) {
        let mut low = ZERO;
        let mut high = 0u64;
        for &limb in by.iter().take(self.len) {
            let mut carry = 0;
            for (sum, &a) in low.iter_mut().zip(&*to).take(self.len) {
                (*sum, carry) = mul_add(a, limb, *sum, carry);
            }
            let (top, over) = high.overflowing_add(carry);
            // A multiple of the modulus makes the lowest limb 0; then all move down by one.
            let m = low.first().copied().unwrap_or(0).wrapping_mul(self.inverse);
            let mut carry = 0;
            let mut below: Option<&mut u64> = None;
            for (sum, &n) in low.iter_mut().zip(&self.limbs).take(self.len) {
                let value;
                (value, carry) = mul_add(m, n, *sum, carry);
                if let Some(below) = below.replace(sum) {
                    *below = value;
                }
            }
            let (top, more) = top.overflowing_add(carry);
            if let Some(last) = below {
                *last = top;
            }
            high = u64::from(over) + u64::from(more);
        }
        if high != 0 || !is_less(&low, &self.limbs) {
            self.subtract_from(&mut low);
        }
        *to = low;
    }

    /// `to = to * to / R`.
    fn square(&self, to: &mut Number) {
        let by = *to;
        self.multiply(to, &by);
    }

    /// `to = 2 * to`.
    fn double(&self, to: &mut Number) {
        let mut carry = 0;
        for limb in to.iter_mut().take(self.len) {
            let value = *limb << 1 | carry;
            carry = *limb >> 63;
            *limb = value;
        }
        if carry != 0 || !is_less(to, &self.limbs) {
            self.subtract_from(to);
        }
    }

    /// R * R modulo the modulus, which brings a number into Montgomery's form: 2 in that form, raised to the power of R's bits.
    #[inline(never)]
    fn r_squared(&self) -> Number {
        // R less the modulus, whose highest bit is set: 1 in that form.
        let mut power = ZERO;
        self.subtract_from(&mut power);
        let bits = self.len as u32 * 64;
        for bit in (0..=bits.ilog2()).rev() {
            self.square(&mut power);
            if bits >> bit & 1 != 0 {
                self.double(&mut power);
            }
        }
        power
    }

    /// `base` to the power of `exponent`, which is not 0; `base` is less than the modulus.
    #[inline(never)]
    fn power(&self, base: &mut Number, exponent: u64) {
        self.multiply(base, &self.r_squared());
        let its = *base;
        for bit in (0..exponent.ilog2()).rev() {
            self.square(base);
            if exponent >> bit & 1 != 0 {
                self.multiply(base, &its);
            }
        }
        self.multiply(base, &ONE);
    }
}

/// What stands before a hash that is signed: the `DigestInfo` of RFC 8017, 9.2.
fn prefix(hash: Hash) -> [u8; 19] {
    let (number, len) = match hash {
        Hash::Sha256 => (1, 32),
        Hash::Sha384 => (2, 48),
        Hash::Sha512 => (3, 64),
    };
    [0x30, len + 17, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, number, 5, 0, 4, len]
}

/// The positive number that is the next value, without leading zeroes.
fn positive<'a>(values: &mut Values<'a>) -> Result<&'a [u8]> {
    match values.take(Tag::Integer)? {
        [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
        [0, ..] | [] => Err(EBADMSG),
        bytes if bytes.first().is_some_and(|first| first & 0x80 != 0) => Err(EBADMSG),
        bytes => Ok(bytes),
    }
}

/// Checks a signature of `digest`, which `hash` made, by `key` (an `RSAPublicKey`). Errors as Linux has them: `EINVAL` for a key of an
/// unusual size, or a signature that is not as long as the key or not less; `EBADMSG` for a key or a padding that is none;
/// `EKEYREJECTED` for another hash; `ENOPKG` for an exponent of more than 64 bits.
pub(crate) fn verify(key: &[u8], hash: Hash, digest: &Digest, signature: &[u8]) -> Result {
    let mut outer = Values::new(key)?;
    let mut values = outer.sequence()?;
    outer.end()?;
    let (modulus, exponent) = (positive(&mut values)?, positive(&mut values)?);
    values.end()?;
    if exponent.len() > 8 {
        return Err(ENOPKG);
    }
    let exponent = exponent.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    let digest = digest.as_bytes();
    let prefix = prefix(hash);
    // Three bytes and eight of padding at least.
    let padding = modulus.len().checked_sub(prefix.len() + digest.len() + 3).filter(|&len| len >= 8).ok_or(EINVAL)?;
    if signature.len() != modulus.len() || exponent & 1 == 0 {
        return Err(EINVAL);
    }
    let len = modulus.len();
    let modulus = Modulus::new(modulus)?;
    let mut message = load(signature);
    if !is_less(&message, &modulus.limbs) {
        return Err(EINVAL);
    }
    modulus.power(&mut message, exponent);
    let mut found = message.iter().take(len / 8).rev().flat_map(|limb| limb.to_be_bytes());
    let before = [0, 1].into_iter().chain(iter::repeat_n(0xff, padding)).chain(iter::once(0)).chain(prefix);
    if !before.eq(found.by_ref().take(len - digest.len())) {
        return Err(EBADMSG);
    }
    if found.eq(digest.iter().copied()) { Ok(()) } else { Err(EKEYREJECTED) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The product of two numbers, by doubling and adding.
    fn product(a: &Number, b: &Number, modulus: &Modulus) -> Number {
        let mut sum = ZERO;
        for bit in (0..512).rev() {
            modulus.double(&mut sum);
            if b[bit / 64] >> (bit % 64) & 1 != 0 {
                let mut carry = 0u128;
                for (to, from) in sum.iter_mut().zip(a).take(8) {
                    let value = u128::from(*to) + u128::from(*from) + carry;
                    *to = value as u64;
                    carry = value >> 64;
                }
                if carry != 0 || !is_less(&sum, &modulus.limbs) {
                    modulus.subtract_from(&mut sum);
                }
            }
        }
        sum
    }

    proptest! {
        #[test]
        fn powers(modulus: [u64; 8], base: [u64; 8], exponent in 1u64..40) {
            let mut bytes: std::vec::Vec<u8> = modulus.iter().flat_map(|limb| limb.to_be_bytes()).collect();
            bytes[0] |= 0x80;
            bytes[63] |= 1;
            let modulus = Modulus::new(&bytes).unwrap();
            let mut number = ZERO;
            number[..8].copy_from_slice(&base);
            // The modulus is more than half of what there is.
            if !is_less(&number, &modulus.limbs) {
                modulus.subtract_from(&mut number);
            }
            let base = number;
            let mut want = ONE;
            for _ in 0..exponent {
                want = product(&want, &base, &modulus);
            }
            let mut got = base;
            modulus.power(&mut got, exponent);
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn sizes_of_keys() {
        assert_eq!(Modulus::new(&[0xff; 100]).err(), Some(EINVAL));
        assert_eq!(Modulus::new(&[0xff; 1024]).err(), Some(EINVAL));
        assert_eq!(Modulus::new(&[0x7f; 64]).err(), Some(EBADMSG));
        assert_eq!(Modulus::new(&[0xfe; 64]).err(), Some(EBADMSG));
        assert_eq!(Modulus::new(&[0xff; 512]).is_ok(), true);
    }
}
