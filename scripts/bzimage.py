# SPDX-License-Identifier: GPL-2.0
"""Makes arch/x86/boot/bzImage of vmlinux, if it changed: calls the builder beside the boot code."""

import os
import subprocess
import sys

import build

BUILDER = os.path.join(build.SRCTREE, "arch/x86/boot/build.py")
VMLINUX = os.path.join(build.OBJTREE, "vmlinux")
OUTPUT = os.path.join(build.OBJTREE, "arch/x86/boot/bzImage")


def main():
    if not os.path.exists(BUILDER):
        sys.exit("*** arch/x86/boot/build.py is missing")
    sources = [os.path.join(top, name) for top, _, names in os.walk(os.path.dirname(BUILDER)) for name in sorted(names)
               if name.endswith((".py", ".rs", ".S", ".lds", ".toml", ".ld", ".asm"))]
    mark = build.stamp(VMLINUX, *sources)
    mark_file = os.path.join(build.BUILD, "bzImage.stamp")
    if os.path.exists(OUTPUT) and build.read(mark_file) == mark:
        return
    os.makedirs(os.path.dirname(OUTPUT), exist_ok=True)
    if subprocess.run([sys.executable, BUILDER, VMLINUX, OUTPUT]).returncode != 0:
        sys.exit("*** the bzImage was not made")
    with open(mark_file, "w") as f:
        f.write(mark)


if __name__ == "__main__":
    main()
