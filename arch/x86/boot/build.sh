#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# build.sh VMLINUX BZIMAGE [option of mkbzimage.py ...]: builds the stub with cargo, then bzImage.
# The environment chooses the toolchain as the Makefile does: CARGO, RUSTC, RUSTC_BOOTSTRAP, CARGO_TARGET_DIR.
set -e
vmlinux=$1 out=$2
shift 2
here=$(dirname "$(readlink -f "$0")")
root=$(readlink -f "$here/../../..")
target=${CARGO_TARGET_DIR:-$root/target}
RUSTC_BOOTSTRAP=1 ${CARGO:-cargo} build ${CARGO_QUIET--q} --release --manifest-path "$root/Cargo.toml" \
	-Zbuild-std=core,alloc --target x86_64-unknown-none -p bzimage_stub
exec python3 "$here/mkbzimage.py" --vmlinux "$vmlinux" --out "$out" \
	--stub "$target/x86_64-unknown-none/release/libbzimage_stub.a" "$@"
