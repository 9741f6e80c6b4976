// SPDX-License-Identifier: GPL-2.0
//! `small` has no C start-up code.
fn main() {
    println!("cargo::rustc-link-arg-bin=small=-nostartfiles");
    println!("cargo::rustc-link-arg-bin=small=-nostdlib");
    println!("cargo::rerun-if-changed=build.rs");
}
