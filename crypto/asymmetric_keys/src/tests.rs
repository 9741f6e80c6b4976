// SPDX-License-Identifier: GPL-2.0
//! Messages and certificates that openssl made (`tests/data`: `openssl req -x509`, `openssl cms -sign`), and damage.

use crate::*;
use errno::{Result, code::*};
use proptest::prelude::*;
use std::vec::Vec;

const DATA: &[u8] = include_bytes!("../tests/data/data");
const KEY: &[u8] = include_bytes!("../tests/data/key.der");
const OTHER: &[u8] = include_bytes!("../tests/data/other.der");
const RSA: &[u8] = include_bytes!("../tests/data/rsa.der");
const RSA_SHA256: &[u8] = include_bytes!("../tests/data/rsa.p7s");
const RSA3072: &[u8] = include_bytes!("../tests/data/rsa3072.der");
const RSA4096: &[u8] = include_bytes!("../tests/data/rsa4096.der");
const SHA512: &[u8] = include_bytes!("../tests/data/sha512.p7s");

fn with(ring: &[&[u8]], message: &[u8]) -> Result {
    verify(DATA, message, Ring::new(&ring.concat()))
}

#[test]
fn what_openssl_signs_is_good() {
    for message in [
        &include_bytes!("../tests/data/sha256.p7s")[..],
        include_bytes!("../tests/data/sha384.p7s"),
        SHA512,
        include_bytes!("../tests/data/keyid.p7s"),
        include_bytes!("../tests/data/certificate.p7s"),
    ] {
        assert_eq!(with(&[KEY], message), Ok(()));
        assert_eq!(with(&[RSA, OTHER, KEY], message), Ok(()));
        assert_eq!(with(&[OTHER], message), Err(ENOKEY));
        assert_eq!(with(&[], message), Err(ENOKEY));
        assert_eq!(verify(b"what is sighed\n", message, Ring::new(KEY)), Err(EKEYREJECTED));
    }
}

#[test]
fn what_openssl_signs_by_rsa_is_good() {
    for (key, message) in [
        (RSA, RSA_SHA256),
        (RSA3072, &include_bytes!("../tests/data/rsa3072.p7s")[..]),
        (RSA4096, &include_bytes!("../tests/data/rsa4096.p7s")[..]),
    ] {
        assert_eq!(with(&[key], message), Ok(()));
        assert_eq!(with(&[KEY, RSA, RSA3072, RSA4096], message), Ok(()));
        assert_eq!(with(&[KEY, OTHER], message), Err(ENOKEY));
        assert_eq!(verify(b"what is sighed\n", message, Ring::new(key)), Err(EKEYREJECTED));
    }
}

#[test]
fn other_forms_are_refused() {
    assert_eq!(with(&[KEY], include_bytes!("../tests/data/attributes.p7s")), Err(EKEYREJECTED));
    assert_eq!(with(&[KEY], include_bytes!("../tests/data/inside.p7s")), Err(EBADMSG));
    assert_eq!(with(&[KEY], include_bytes!("../tests/data/sha1.p7s")), Err(ENOPKG));
    assert_eq!(with(&[KEY], b""), Err(EBADMSG));
    assert_eq!(with(&[KEY], KEY), Err(EBADMSG));
}

/// A file with a signature, and the 12 bytes that describe it.
fn file(data: &[u8], message: &[u8], trailer: [u8; 8]) -> Vec<u8> {
    [data, message, &trailer, &(message.len() as u32).to_be_bytes(), MARKER].concat()
}

#[test]
fn a_signature_is_split_off() {
    let good = [0, 0, 2, 0, 0, 0, 0, 0];
    assert_eq!(split(&file(DATA, SHA512, good)), Ok((DATA, SHA512)));
    assert_eq!(split(DATA), Err(ENODATA));
    assert_eq!(split(&file(DATA, SHA512, [0, 0, 1, 0, 0, 0, 0, 0])), Err(ENOPKG));
    for at in [0, 1, 3, 4, 5, 6, 7] {
        let mut trailer = good;
        trailer[at] = 1;
        assert_eq!(split(&file(DATA, SHA512, trailer)), Err(EBADMSG));
    }
    assert_eq!(split(&file(b"", SHA512, good)), Err(EBADMSG));
    assert_eq!(split(MARKER), Err(EBADMSG));
    let mut long = file(DATA, SHA512, good);
    let at = long.len() - MARKER.len() - 4;
    long[at] = 0xff;
    assert_eq!(split(&long), Err(EBADMSG));
}

proptest! {
    /// No bit of the signature may change, nor may the message end early. Of the rest some bits name no part of the check (a version,
    /// the list of hashes): the errors are those that there can be.
    #[test]
    fn damage_is_found(at in 0usize..2000, bit in 0u8..8, cut in 0usize..400) {
        let mut message = SHA512.to_vec();
        let len = message.len();
        message[at % len] ^= 1 << bit;
        let result = with(&[KEY], &message);
        prop_assert!(matches!(result, Ok(()) | Err(EBADMSG | EKEYREJECTED | ENOKEY | ENOPKG)));
        // The signature is at the end: two numbers of 32 bytes, with their headers.
        prop_assert!(result.is_err() || at % len < len - 64);
        prop_assert!(with(&[KEY], &SHA512[..cut % len]).is_err());
    }

    /// So it is with RSA, whose signature is the last 256 bytes.
    #[test]
    fn damage_of_rsa_is_found(at in 0usize..2000, bit in 0u8..8, cut in 0usize..800) {
        let mut message = RSA_SHA256.to_vec();
        let len = message.len();
        message[at % len] ^= 1 << bit;
        let result = with(&[RSA], &message);
        prop_assert!(matches!(result, Ok(()) | Err(EBADMSG | EKEYREJECTED | ENOKEY | ENOPKG | EINVAL)));
        prop_assert!(result.is_err() || at % len < len - 256);
        prop_assert!(with(&[RSA], &RSA_SHA256[..cut % len]).is_err());
    }

    /// A damaged key of RSA does no harm.
    #[test]
    fn damaged_keys_of_rsa_are_survived(at in 0usize..2000, value: u8) {
        let mut key = RSA.to_vec();
        let len = key.len();
        key[at % len] ^= value;
        let _ = verify(DATA, RSA_SHA256, Ring::new(&key));
    }

    /// Nor does a damaged certificate do harm.
    #[test]
    fn damaged_certificates_are_survived(at in 0usize..2000, value: u8) {
        let mut key = KEY.to_vec();
        let len = key.len();
        key[at % len] ^= value;
        let _ = verify(DATA, SHA512, Ring::new(&key));
    }
}
