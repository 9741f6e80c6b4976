// SPDX-License-Identifier: GPL-2.0
//! Messages that sign data which is not in them.

use crate::asn1::{Values, context};
use crate::hash::Hash;
use crate::x509::{Algorithm, Ring, Signer};
use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};
use errno::{Result, code::*};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `ecdsa-with-SHA256` and its kin, and the bare `id-ecPublicKey`.
const ECDSA: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
];

/// `rsaEncryption`, and `sha256WithRSAEncryption` and its kin.
const RSA: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
];

/// Checks that `message` is a signature over `data` by a key of `ring`. `EBADMSG`: it is no such message; `EKEYREJECTED`: the
/// signature is wrong, or of a form that modules may not have; `ENOKEY`: no trusted key; `ENOPKG`: an unknown algorithm.
pub fn verify(data: &[u8], message: &[u8], ring: Ring<'_>) -> Result {
    let mut outer = Values::new(message)?;
    let mut content = outer.sequence()?;
    outer.end()?;
    if content.oid()? != SIGNED_DATA {
        return Err(EBADMSG);
    }
    let mut signed = Values::new(content.take(context(TagNumber::N0))?)?.sequence()?;
    content.end()?;
    if !matches!(signed.take(Tag::Integer)?, [1 | 3]) {
        return Err(EBADMSG);
    }
    signed.take(Tag::Set)?; // the hashes, which every signer names again
    let mut inner = signed.sequence()?;
    if inner.oid()? != DATA {
        return Err(EKEYREJECTED);
    }
    // Data inside would make it unclear what is signed.
    inner.end()?;
    signed.optional(context(TagNumber::N0))?; // certificates: only the ring's are trusted
    signed.optional(context(TagNumber::N1))?;
    let mut signers = Values::new(signed.take(Tag::Set)?)?;
    signed.end()?;
    // As in Linux: one good signature is enough, and a wrong one of a known key spoils it.
    let mut result = Err(ENOPKG);
    while signers.more() {
        match signer(data, signers.sequence()?, ring) {
            Ok(()) => result = Ok(()),
            Err(ENOKEY) if result == Err(ENOPKG) => result = Err(ENOKEY),
            Err(ENOKEY | ENOPKG) => {}
            Err(error) => return Err(error),
        }
    }
    result
}

/// Checks one `SignerInfo`.
fn signer(data: &[u8], mut info: Values<'_>, ring: Ring<'_>) -> Result {
    info.take(Tag::Integer)?;
    let key_id = Tag::ContextSpecific { constructed: false, number: TagNumber::N0 };
    let name = match info.optional(key_id)? {
        Some(id) => Signer::KeyId(id),
        None => {
            let mut name = info.sequence()?;
            Signer::Serial { issuer: name.whole_sequence()?, serial: name.take(Tag::Integer)? }
        }
    };
    let hash = info.algorithm()?;
    if info.optional(context(TagNumber::N0))?.is_some() {
        // Attributes would be what is signed, in place of the data.
        return Err(EKEYREJECTED);
    }
    let algorithm = info.algorithm()?;
    let signature = info.take(Tag::OctetString)?;
    info.optional(context(TagNumber::N1))?;
    info.end()?;
    let hash = Hash::of(hash)?;
    let algorithm = match algorithm {
        name if ECDSA.contains(&name) => Algorithm::Ecdsa,
        name if RSA.contains(&name) => Algorithm::Rsa,
        _ => return Err(ENOPKG),
    };
    let certificate = ring.certificates().find(|certificate| certificate.is(&name)).ok_or(ENOKEY)?;
    certificate.check(algorithm, hash, &hash.digest(data), signature)
}
