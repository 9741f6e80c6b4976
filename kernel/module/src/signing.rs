// SPDX-License-Identifier: GPL-2.0
//! Signatures of modules: whether a file is what somebody whose key the kernel knows has signed. Without `CONFIG_MODULE_SIG`
//! nothing is looked at. Source: Linux's `Documentation/admin-guide/module-signing.rst`.

use cmdline::kstrtobool;
use core::sync::atomic::{AtomicBool, Ordering};
use errno::{Result, code::*};

/// `module.sig_enforce`: once set, for ever.
static ENFORCE: AtomicBool = AtomicBool::new(cfg!(feature = "sig_force"));

/// Whether modules must be signed.
pub(crate) fn is_enforced() -> bool {
    ENFORCE.load(Ordering::Relaxed)
}

/// Sets `module.sig_enforce` from a text; none is the same as 1. `EINVAL`, `EROFS` to take it back.
pub fn set_enforced(text: Option<&[u8]>) -> Result {
    let value = text.map_or(Ok(true), kstrtobool)?;
    if !value && is_enforced() {
        return Err(EROFS);
    }
    if value {
        ENFORCE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// A file without what was appended to it, and whether its signature is good.
///
/// A signature that is there and wrong, or that cannot be read, is an error; of a file that is not signed, or by somebody unknown,
/// only if signatures are enforced (`EKEYREJECTED`). `forced`: the caller wants versions to be overlooked, for which
/// the file may have been changed; its signature does not count then.
#[cfg(feature = "sig")]
pub(crate) fn check(file: &[u8], forced: bool) -> Result<(&[u8], bool)> {
    let (data, result) = match asymmetric_keys::split(file) {
        _ if forced => (file.strip_suffix(asymmetric_keys::MARKER).unwrap_or(file), Err(ENODATA)),
        Ok((data, message)) => (data, asymmetric_keys::verify(data, message, certs::trusted())),
        Err(error) => (file, Err(error)),
    };
    let reason = match result {
        Ok(()) => return Ok((data, true)),
        Err(ENODATA) => "unsigned module",
        Err(ENOPKG) => "module with unsupported crypto",
        Err(ENOKEY) => "module with unavailable key",
        Err(error) => {
            klog::pr_err!("module: bad signature ({})", error.to_errno());
            return Err(error);
        }
    };
    if is_enforced() {
        klog::pr_notice!("Loading of {reason} is rejected");
        return Err(EKEYREJECTED);
    }
    Ok((data, false))
}

/// Without signatures every file is as good as another.
#[cfg(not(feature = "sig"))]
pub(crate) fn check(file: &[u8], _: bool) -> Result<(&[u8], bool)> {
    if is_enforced() { Err(EKEYREJECTED) } else { Ok((file, true)) }
}

#[macros::kunit_tests(module_signing)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_signature() {
        if cfg!(feature = "sig") && !is_enforced() {
            assert_eq!(check(b"\x7fELF", false), Ok((&b"\x7fELF"[..], false)));
            assert_eq!(check(b"x~Module signature appended~\n", false), Err(EBADMSG));
            assert_eq!(check(b"x~Module signature appended~\n", true), Ok((&b"x"[..], false)));
        }
        assert_eq!(set_enforced(Some(b"maybe")), Err(EINVAL));
    }

    /// With the largest key: it must do with a kernel's stack.
    #[test]
    #[cfg(feature = "sig")]
    fn signatures_of_rsa() {
        const DATA: &[u8] = include_bytes!("../../../crypto/asymmetric_keys/tests/data/data");
        const KEY: &[u8] = include_bytes!("../../../crypto/asymmetric_keys/tests/data/rsa4096.der");
        const MESSAGE: &[u8] = include_bytes!("../../../crypto/asymmetric_keys/tests/data/rsa4096.p7s");
        let ring = asymmetric_keys::Ring::new(KEY);
        assert_eq!(asymmetric_keys::verify(DATA, MESSAGE, ring), Ok(()));
        assert_eq!(asymmetric_keys::verify(b"another", MESSAGE, ring), Err(EKEYREJECTED));
    }

    #[test]
    #[cfg(feature = "sig")]
    fn the_ring_has_the_key_of_the_build() {
        assert_eq!(certs::trusted().certificates().next().is_some(), true);
    }
}
