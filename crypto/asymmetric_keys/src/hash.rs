// SPDX-License-Identifier: GPL-2.0
//! The hashes that signatures are made of.

use der::asn1::ObjectIdentifier;
use errno::{Result, code::*};
use sha2::Digest as _;

/// A hash of the family SHA-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// What a hash made.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Digest {
    fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Self { bytes, len: from.len().min(64) }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Hash {
    /// That of a `digestAlgorithm`. `ENOPKG` for others.
    pub(crate) fn of(name: ObjectIdentifier) -> Result<Self> {
        const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
        const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
        const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
        match name {
            SHA256 => Ok(Self::Sha256),
            SHA384 => Ok(Self::Sha384),
            SHA512 => Ok(Self::Sha512),
            _ => Err(ENOPKG),
        }
    }

    /// The hash of `data`.
    pub fn digest(self, data: &[u8]) -> Digest {
        match self {
            Self::Sha256 => Digest::new(&sha2::Sha256::digest(data)),
            Self::Sha384 => Digest::new(&sha2::Sha384::digest(data)),
            Self::Sha512 => Digest::new(&sha2::Sha512::digest(data)),
        }
    }
}
