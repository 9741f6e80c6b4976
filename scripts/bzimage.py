# SPDX-License-Identifier: GPL-2.0
"""Makes arch/x86/boot/bzImage of vmlinux, if something changed: calls the builder beside the boot code."""

import os
import subprocess
import sys

import build

BOOT = os.path.join(build.SRCTREE, "arch/x86/boot")
VMLINUX = os.path.join(build.OBJTREE, "vmlinux")
OUTPUT = os.path.join(build.OBJTREE, "arch/x86/boot/bzImage")


def main():
    sources = [os.path.join(top, name) for top, _, names in os.walk(BOOT) for name in sorted(names)
               if name != "bzImage" and not top.endswith("__pycache__")]
    mark = build.stamp(VMLINUX, os.path.join(build.OBJTREE, "include/config/auto.conf"), *sources)
    mark_file = os.path.join(build.BUILD, "bzImage.stamp")
    if os.path.exists(OUTPUT) and build.read(mark_file) == mark:
        return
    os.makedirs(os.path.dirname(OUTPUT), exist_ok=True)
    if subprocess.run([sys.executable, os.path.join(BOOT, "build.py"), VMLINUX, OUTPUT]).returncode != 0:
        sys.exit("*** the bzImage was not made")
    with open(mark_file, "w") as f:
        f.write(mark)


if __name__ == "__main__":
    main()
