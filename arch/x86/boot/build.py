#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`build.py VMLINUX BZIMAGE`: compiles the stub with the kernel's flags and joins it with vmlinux. For scripts/bzimage.py."""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../scripts"))
import build  # noqa: E402
import kconfig  # noqa: E402

COMPRESSION = {"CONFIG_KERNEL_UNCOMPRESSED": "none", "CONFIG_KERNEL_LZ4": "lz4"}
VERSION_H = "/usr/include/linux/version.h"


def version():
    """What boot loaders and `file` show: the release that uname(2) gives."""
    with open(VERSION_H, encoding="ascii") as file:
        number = dict(re.findall(r"#define LINUX_VERSION_(\w+) (\d+)", file.read()))
    return "{MAJOR}.{PATCHLEVEL}.{SUBLEVEL}-rideau".format(**number)


def main():
    vmlinux, output = sys.argv[1:]
    config = kconfig.auto_conf()
    env = build.kernel_environment(config)
    if not build.cargo(env, "build", "--release", "-p", "bzimage_stub", *build.BUILD_STD):
        sys.exit(1)
    library = os.path.join(build.CARGO_TARGET, build.TARGET, "release/libbzimage_stub.a")
    how = next(how for option, how in COMPRESSION.items() if config.get(option) == "y")
    line = [sys.executable, os.path.join(HERE, "mkbzimage.py"), "--vmlinux", vmlinux, "--stub", library, "--out", output,
            "--version", version(), "--compress", how]
    if build.VERBOSE:
        print(" ".join(line), flush=True)
    else:
        build.say("BZIMAGE", os.path.relpath(output, build.OBJTREE))
    sys.exit(subprocess.run(line).returncode)


if __name__ == "__main__":
    main()
