# SPDX-License-Identifier: GPL-2.0
"""Makes arch/x86/boot/bzImage of vmlinux, if something changed: the stub by cargo, the rest by mkbzimage.py."""

import os
import re
import sys

import build
import kconfig

MAKER = os.path.join(build.SRCTREE, "arch/x86/boot/mkbzimage.py")
VMLINUX = os.path.join(build.OBJTREE, "vmlinux")
OUTPUT = os.path.join(build.OBJTREE, "arch/x86/boot/bzImage")
STUB = os.path.join(build.BUILD, "stub")


def release():
    """`uname -r`: the level of the UAPI headers, as the crate `uapi` has it."""
    with open("/usr/include/linux/version.h") as f:
        level = dict(re.findall(r"LINUX_VERSION_(MAJOR|PATCHLEVEL|SUBLEVEL) (\d+)", f.read()))
    return f"{level['MAJOR']}.{level['PATCHLEVEL']}.{level['SUBLEVEL']}-rideau"


def main():
    # The stub runs before the kernel and apart from it: none of the kernel's flags, only its own target directory.
    env = build.host_environment(STUB)
    if not build.cargo(env, "build", "--release", "-p", "bzimage_stub", "-Zbuild-std=core,alloc", "--target", build.TARGET):
        sys.exit(1)
    stub = os.path.join(STUB, build.TARGET, "release/libbzimage_stub.a")
    boot = os.path.dirname(MAKER)
    parts = [MAKER, os.path.join(boot, "header.S"), os.path.join(boot, "stub/stub.lds")]
    how = "lz4" if kconfig.auto_conf().get("CONFIG_KERNEL_LZ4") == "y" else "none"
    mark = build.stamp(VMLINUX, stub, *parts, text=how)
    mark_file = os.path.join(build.BUILD, "bzImage.stamp")
    if os.path.exists(OUTPUT) and build.read(mark_file) == mark:
        return
    os.makedirs(os.path.dirname(OUTPUT), exist_ok=True)
    build.run("BZIMAGE", os.path.relpath(OUTPUT, build.OBJTREE), sys.executable, MAKER, "--vmlinux", VMLINUX, "--out", OUTPUT,
              "--stub", stub, "--version", release(), "--compress", how)
    with open(mark_file, "w") as f:
        f.write(mark)


if __name__ == "__main__":
    main()
