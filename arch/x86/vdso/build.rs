// SPDX-License-Identifier: GPL-2.0
//! Builds the vDSO: `user/vdso.rs` is compiled as user code (for the build machine's own target, which has `core` ready) and
//! linked by `user/vdso.lds` into a shared object that the crate embeds.

use std::env;
use std::path::Path;
use std::process::Command;

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(|s| s.success()), "{command:?}: {status:?}");
}

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    let (object, image) = (out.join("vdso.o"), out.join("vdso.so"));
    for file in ["user/vdso.rs", "user/vdso.lds", "src/layout.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=LD");
    run(Command::new(env::var("RUSTC").expect("cargo sets RUSTC"))
        .args(["--edition=2024", "--crate-name=vdso", "--crate-type=lib", "--emit=obj"])
        .args(["--target=x86_64-unknown-linux-gnu", "-Copt-level=3", "-Cpanic=abort", "-Ccodegen-units=1"])
        .args(["-Crelocation-model=pic", "-Cforce-unwind-tables=yes", "-Cdebuginfo=0", "-o"])
        .arg(&object)
        .arg("user/vdso.rs"));
    run(Command::new(env::var("LD").unwrap_or_else(|_| "ld".into()))
        .args(["-m", "elf_x86_64", "-shared", "-soname=linux-vdso.so.1", "--hash-style=both", "--build-id=sha1"])
        .args(["-Bsymbolic", "--eh-frame-hdr", "-z", "noexecstack", "-z", "max-page-size=4096", "--strip-all"])
        .args(["--no-undefined", "--orphan-handling=error", "-T", "user/vdso.lds", "-o"])
        .arg(&image)
        .arg(&object));
}
