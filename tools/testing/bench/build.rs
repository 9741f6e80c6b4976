// SPDX-License-Identifier: GPL-2.0
//! `tiny` and `bench-init` have their own `_start`: they run from the first instruction, with no C library.

fn main() {
    for bin in ["tiny", "bench-init"] {
        println!("cargo::rustc-link-arg-bin={bin}=-nostartfiles");
        println!("cargo::rustc-link-arg-bin={bin}=-nostdlib");
        println!("cargo::rustc-link-arg-bin={bin}=-static");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
