// SPDX-License-Identifier: GPL-2.0
//! Certificates: who has which key. Nothing of a chain is followed and no dates are looked at: as in Linux, a key is trusted
//! because it is in the ring.

use crate::asn1::{Values, context};
use crate::hash::{Digest, Hash};
use crate::rsa;
use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};
use errno::{Result, code::*};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{DerSignature, VerifyingKey};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");

/// What is used of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    /// `SubjectPublicKeyInfo`.
    key: &'a [u8],
    key_id: Option<&'a [u8]>,
}

/// How a message names the key that signed it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signer<'a> {
    /// By the certificate's issuer and number.
    Serial { issuer: &'a [u8], serial: &'a [u8] },
    /// By the key's own number.
    KeyId(&'a [u8]),
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA: an `Ecdsa-Sig-Value`.
    Ecdsa,
    /// RSA, with the padding of PKCS #1, version 1.5.
    Rsa,
}

impl<'a> Certificate<'a> {
    /// The certificate in `bytes`. `EBADMSG`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut outer = Values::new(bytes)?;
        let mut certificate = outer.sequence()?;
        outer.end()?;
        let mut body = certificate.sequence()?;
        body.optional(context(TagNumber::N0))?;
        let serial = body.take(Tag::Integer)?;
        body.algorithm()?;
        let issuer = body.whole_sequence()?;
        body.sequence()?; // dates
        body.whole_sequence()?; // subject
        let key = body.take(Tag::Sequence)?;
        let mut key_id = None;
        while body.more() {
            if let Some(extensions) = body.optional(context(TagNumber::N3))? {
                key_id = subject_key_id(extensions)?;
            } else {
                body.any()?;
            }
        }
        Ok(Self { serial, issuer, key, key_id })
    }

    /// Whether it is the one that `signer` means.
    pub(crate) fn is(&self, signer: &Signer<'_>) -> bool {
        match *signer {
            Signer::Serial { issuer, serial } => issuer == self.issuer && serial == self.serial,
            Signer::KeyId(id) => self.key_id == Some(id),
        }
    }

    /// Checks a signature of this key. `ENOPKG` for a key of a kind that is not known, `EKEYREJECTED` for one of another kind than the
    /// signature, or a wrong one; [`rsa::verify`] has further errors.
    pub(crate) fn check(&self, wanted: Algorithm, hash: Hash, digest: &Digest, signature: &[u8]) -> Result {
        let mut info = Values::new(self.key)?;
        let mut algorithm = info.sequence()?;
        let its = match algorithm.oid()? {
            EC_PUBLIC_KEY if algorithm.oid()? == PRIME256V1 => Algorithm::Ecdsa,
            RSA_ENCRYPTION => Algorithm::Rsa,
            _ => return Err(ENOPKG),
        };
        if its != wanted {
            return Err(EKEYREJECTED);
        }
        // The first byte counts unused bits: none.
        let key = info.take(Tag::BitString)?.strip_prefix(&[0]).ok_or(EBADMSG)?;
        match its {
            Algorithm::Ecdsa => ecdsa(key, digest, signature),
            Algorithm::Rsa => rsa::verify(key, hash, digest, signature),
        }
    }
}

/// Checks a signature by the key that is `point`.
#[inline(never)]
fn ecdsa(point: &[u8], digest: &Digest, signature: &[u8]) -> Result {
    let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| EBADMSG)?;
    let signature = DerSignature::from_bytes(signature).map_err(|_| EKEYREJECTED)?;
    key.verify_prehash(digest.as_bytes(), &signature).map_err(|_| EKEYREJECTED)
}

/// The number of the key, of the extensions.
fn subject_key_id(extensions: &[u8]) -> Result<Option<&[u8]>> {
    let mut list = Values::new(extensions)?.sequence()?;
    while list.more() {
        let mut extension = list.sequence()?;
        if extension.oid()? != SUBJECT_KEY_ID {
            continue;
        }
        extension.optional(Tag::Boolean)?;
        return Values::new(extension.take(Tag::OctetString)?)?.take(Tag::OctetString).map(Some);
    }
    Ok(None)
}

/// Trusted keys: certificates one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a>(&'a [u8]);

impl<'a> Ring<'a> {
    /// Those in `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The certificates, up to the first that is broken.
    pub fn certificates(&self) -> impl Iterator<Item = Certificate<'a>> + use<'a> {
        let mut values = Values::new(self.0).ok();
        core::iter::from_fn(move || {
            let values = values.as_mut().filter(|values| values.more())?;
            Certificate::parse(values.whole_sequence().ok()?).ok()
        })
    }
}
