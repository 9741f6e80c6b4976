// SPDX-License-Identifier: GPL-2.0
//! The name of a unit that no other one in the world has, from page 83 of its vital product data, as `/sys` shows it.

use core::fmt;

/// A unit's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wwid<'a> {
    /// A vendor's text.
    T10(&'a [u8]),
    /// An EUI-64 based number.
    Eui(&'a [u8]),
    /// A number of a network address authority.
    Naa(&'a [u8]),
    /// A name as iSCSI has it.
    Name(&'a [u8]),
}

impl fmt::Display for Wwid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, bytes) = match self {
            Self::Eui(bytes) => ("eui.", bytes),
            Self::Naa(bytes) => ("naa.", bytes),
            Self::T10(bytes) => {
                f.write_str("t10.")?;
                return write!(f, "{}", bytes.trim_ascii_end().escape_ascii());
            }
            Self::Name(bytes) => return write!(f, "{}", bytes.trim_ascii_end().escape_ascii()),
        };
        f.write_str(prefix)?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How good a name is: registered numbers before texts, longer ones before shorter ones.
fn rank(name: &Wwid<'_>) -> u32 {
    match name {
        Wwid::T10(_) => 1,
        Wwid::Eui(bytes) | Wwid::Naa(bytes) => 2 + bytes.len() as u32,
        Wwid::Name(_) => 100,
    }
}

/// The best name that page 83 (whole) gives the unit itself.
pub fn wwid(page: &[u8]) -> Option<Wwid<'_>> {
    (*page.get(1)? == 0x83).then_some(())?;
    let len = usize::from(crate::be16(page, 2)?);
    let mut rest = page.get(4..)?;
    rest = rest.get(..len.min(rest.len()))?;
    let mut best: Option<Wwid<'_>> = None;
    while let [_, what, _, len, tail @ ..] = rest {
        let (body, next) = tail.split_at_checked(usize::from(*len)).unwrap_or((tail, &[]));
        rest = next;
        // Of the unit, not of its port or target.
        if what >> 4 & 3 != 0 || body.is_empty() {
            continue;
        }
        let name = match (what & 0xf, body.len()) {
            (1, _) => Wwid::T10(body),
            (2, 8 | 12 | 16) => Wwid::Eui(body),
            (3, 8 | 16) => Wwid::Naa(body),
            (8, 4..) => Wwid::Name(body.split(|&byte| byte == 0).next().unwrap_or_default()),
            _ => continue,
        };
        if best.as_ref().is_none_or(|old| rank(&name) > rank(old)) {
            best = Some(name);
        }
    }
    best
}
