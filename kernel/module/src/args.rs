// SPDX-License-Identifier: GPL-2.0
//! Parameters of a module from the text that `init_module` got: words separated by white space, `name=value` or `name`; double
//! quotes keep white space together. `-` and `_` are the same in names. Source: Linux's kernel parameters documentation.

use crate::Shown;
use errno::{Result, code::*};
use module_core::Param;

/// The next word of `text` and what follows it.
fn next_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return None;
    }
    let mut quoted = false;
    let end = text.iter().position(|&byte| {
        quoted ^= byte == b'"';
        byte.is_ascii_whitespace() && !quoted
    });
    Some(text.split_at(end.unwrap_or(text.len())))
}

/// `text` without the quotes around it.
fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] | [b'"', inner @ ..] => inner,
        _ => text,
    }
}

fn same_name(a: &[u8], b: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
    a.iter().map(plain).eq(b.iter().map(plain))
}

/// One word: name and value.
fn split(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    // The quotes may be around all of it.
    let word = match word {
        [b'"', ..] => unquoted(word),
        _ => word,
    };
    match word.iter().position(|&byte| byte == b'=') {
        Some(at) => {
            let (name, value) = word.split_at(at);
            (name, Some(unquoted(value.get(1..).unwrap_or_default())))
        }
        None => (word, None),
    }
}

/// Whether a switch's text means yes. (As on Linux, any other text than those for no.)
fn is_yes(text: Option<&[u8]>) -> bool {
    text.is_none_or(|text| cmdline::kstrtobool(text).unwrap_or(true))
}

/// Sets `params` of `module` as `text` says. Names that nobody knows are reported and ignored; the first value that a parameter
/// refuses ends it with that error. The value is that of `async_probe`, which every module has: whether its drivers probe beside others.
pub(crate) fn parse(module: &[u8], text: &[u8], params: &[Param]) -> Result<bool> {
    let mut rest = text;
    let mut beside = device::modules_probe_beside();
    while let Some((word, next)) = next_word(rest) {
        rest = next;
        let (name, value) = split(word);
        if name == b"--" && value.is_none() {
            return Ok(beside);
        }
        let known = params.iter().find(|param| same_name(param.name.as_bytes(), name));
        if known.is_none() && name == b"async_probe" {
            beside = is_yes(value);
            continue;
        }
        let Some(param) = known else {
            klog::pr_warn!("{}: unknown parameter '{}' ignored", Shown(module), Shown(name));
            continue;
        };
        let result = match value {
            None if !param.value.takes_no_text() => Err(EINVAL),
            value => param.value.set(value),
        };
        let value = Shown(value.unwrap_or_default());
        match result {
            Ok(()) => {}
            Err(ENOSPC) => {
                klog::pr_err!("{}: `{value}' too large for parameter `{}'", Shown(module), Shown(name));
                return Err(ENOSPC);
            }
            Err(error) => {
                klog::pr_err!("{}: `{value}' invalid for parameter `{}'", Shown(module), Shown(name));
                return Err(error);
            }
        }
    }
    Ok(beside)
}

#[macros::kunit_tests(module_args)]
mod tests {
    use super::*;
    use core::fmt;
    use core::sync::atomic::{AtomicI64, Ordering};
    use module_core::ParamValue;

    struct Number(AtomicI64);

    impl ParamValue for Number {
        fn set(&self, text: Option<&[u8]>) -> Result {
            let text = core::str::from_utf8(text.ok_or(EINVAL)?)?;
            self.0.store(text.parse().map_err(|_| EINVAL)?, Ordering::Relaxed);
            Ok(())
        }
        fn show(&self, out: &mut dyn fmt::Write) -> fmt::Result {
            write!(out, "{}", self.0.load(Ordering::Relaxed))
        }
    }

    static ONE: Number = Number(AtomicI64::new(0));
    static TWO: Number = Number(AtomicI64::new(0));

    #[test]
    fn words_names_and_quotes() {
        let params = [Param::new("one_thing", &ONE, 0), Param::new("two", &TWO, 0)];
        assert_eq!(parse(b"m", b"  one-thing=5 two=\"7\"\n", &params), Ok(false));
        assert_eq!(ONE.0.load(Ordering::Relaxed), 5);
        assert_eq!(TWO.0.load(Ordering::Relaxed), 7);
        assert_eq!(parse(b"m", b"unknown=1 \"two=9\"", &params), Ok(false));
        assert_eq!(TWO.0.load(Ordering::Relaxed), 9);
        assert_eq!(parse(b"m", b"two", &params), Err(EINVAL));
        assert_eq!(parse(b"m", b"two=x one_thing=1", &params), Err(EINVAL));
        assert_eq!(ONE.0.load(Ordering::Relaxed), 5);
        assert_eq!(parse(b"m", b"-- two=3", &params), Ok(false));
        for (text, beside) in [
            (&b"async_probe"[..], true),
            (b"async_probe=1", true),
            (b"async_probe=what", true),
            (b"async_probe=0", false),
            (b"async_probe -- two=3", true),
        ] {
            assert_eq!(parse(b"m", text, &params), Ok(beside));
        }
        assert_eq!(TWO.0.load(Ordering::Relaxed), 9);
        assert_eq!(next_word(b"a\"b c\" d"), Some((&b"a\"b c\""[..], &b" d"[..])));
    }
}
