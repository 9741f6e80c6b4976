// SPDX-License-Identifier: GPL-2.0
//! The journal's checksums: crc32c (formats v2 and v3), and the big-endian crc32 of format v1. Bare registers as Linux's
//! `crc32c` and `crc32_be` keep them: no inversion at either end.

use crc::{Crc, Table};
pub(crate) use crc32c::crc32c;

static BIG_ENDIAN: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&crc::CRC_32_BZIP2);

/// The big-endian crc32 of `data`, going on from `seed`.
pub(crate) fn crc32_be(seed: u32, data: &[u8]) -> u32 {
    let mut digest = BIG_ENDIAN.digest_with_initial(seed);
    digest.update(data);
    !digest.finalize()
}

/// crc32c of `data` as if the four bytes at `at` were zero.
pub(crate) fn crc32c_without(seed: u32, data: &[u8], at: usize) -> u32 {
    let (before, rest) = data.split_at_checked(at).unwrap_or((data, &[]));
    let after = rest.get(4..).unwrap_or(&[]);
    crc32c(crc32c(crc32c(seed, before), &[0; 4]), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32c(!0, b"123456789"), !0xe306_9283);
        assert_eq!(crc32_be(!0, b"123456789"), !0xfc89_1918);
        let whole = crc32c(!0, b"abcd\0\0\0\0efgh");
        assert_eq!(crc32c_without(!0, b"abcdXXXXefgh", 4), whole);
        assert_eq!(crc32c(crc32c(!0, b"1234"), b"56789"), crc32c(!0, b"123456789"));
    }
}
