// SPDX-License-Identifier: GPL-2.0
//! A signature at the end of a file: the data, the PKCS#7 message, 12 bytes that describe it (`struct module_signature`), and
//! [`MARKER`].

use errno::{Result, code::*};

/// What a signed file ends with (`MODULE_SIG_STRING`).
pub const MARKER: &[u8] = b"~Module signature appended~\n";
/// `PKEY_ID_PKCS7`.
const ID_PKCS7: u8 = 2;

/// The data and the message in `file`, which ends with [`MARKER`]. `ENODATA` if it does not; `EBADMSG` if lengths do not fit
/// or fields that PKCS#7 leaves unused are set; `ENOPKG` for another form of signature.
pub fn split(file: &[u8]) -> Result<(&[u8], &[u8])> {
    let rest = file.strip_suffix(MARKER).ok_or(ENODATA)?;
    let (rest, trailer) = rest.split_last_chunk::<12>().ok_or(EBADMSG)?;
    let [algo, hash, id_type, signer_len, key_id_len, pad @ .., l0, l1, l2, l3] = *trailer;
    let len = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).map_err(|_| EBADMSG)?;
    // A file that is nothing but its signature is none either.
    let at = rest.len().checked_sub(len).filter(|&at| at != 0).ok_or(EBADMSG)?;
    if id_type != ID_PKCS7 {
        return Err(ENOPKG);
    }
    if [algo, hash, signer_len, key_id_len] != [0; 4] || pad != [0; 3] {
        return Err(EBADMSG);
    }
    rest.split_at_checked(at).ok_or(EBADMSG)
}
