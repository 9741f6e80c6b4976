// SPDX-License-Identifier: GPL-2.0
//! Host tests of strings.

use crate::KString;
use crate::flags::GFP_KERNEL;
use std::string::ToString;

#[test]
fn strings() {
    let s = KString::from_fmt(format_args!("cpu{}", 12), GFP_KERNEL).unwrap();
    assert_eq!(s, "cpu12");
    assert_eq!(KString::from_bytes(b"a\xffb", GFP_KERNEL).unwrap().to_string(), "a\u{fffd}b");
    assert!(s < KString::from_str("cpu2", GFP_KERNEL).unwrap());
    assert_eq!(s.try_clone(GFP_KERNEL).unwrap(), s);
}
