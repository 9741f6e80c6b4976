// SPDX-License-Identifier: GPL-2.0
//! Signatures of public keys: X.509 certificates as a ring of trusted keys, PKCS#7 messages (CMS `SignedData`) that sign data
//! which is elsewhere, and the trailer by which Linux appends such a message to a module's file.
//!
//! Pure: bytes in, an errno out; nothing is allocated. Called by `kernel/module`. Hashes are SHA-256, SHA-384 and SHA-512, keys
//! are ECDSA on P-256 and RSA of up to 4096 bits; what is well-formed but of another kind is `ENOPKG`. Sources: RFC 5280, RFC 5652,
//! RFC 5480, RFC 8017, and Linux's `Documentation/admin-guide/module-signing.rst` for the trailer and the errors.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod appended;
mod asn1;
mod hash;
mod pkcs7;
mod rsa;
mod x509;

#[cfg(test)]
mod tests;

pub use appended::{MARKER, split};
pub use hash::{Digest, Hash};
pub use pkcs7::verify;
pub use x509::{Certificate, Ring};
