// SPDX-License-Identifier: GPL-2.0
//! The configuration under test.

fn main() {
    println!("cargo::rustc-cfg=CONFIG_TRANSPARENT_HUGEPAGE");
    println!("cargo::rustc-check-cfg=cfg(CONFIG_TRANSPARENT_HUGEPAGE)");
    println!("cargo::rerun-if-changed=build.rs");
}
