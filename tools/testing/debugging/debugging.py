#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debian's strace and gdb (gdb-minimal) on programs in the guest: system-call traces, breakpoints, watchpoints, threads, children,
core files. scripts/NAME.sh runs under bash in an empty directory of tmpfs; see guest/groups.py. Each script is a result.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import debian, groups, image, programs  # noqa: E402,F401
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)
from glibc.glibc import INIT, add_package  # noqa: E402

PACKAGES = ["libc6", "bash", "libtinfo6", "coreutils", "libacl1", "libattr1", "libgmp10", "libselinux1", "libpcre2-8-0", "grep",
            "sed", "mawk", "strace", "libunwind8", "liblzma5", "gdb-minimal", "libmpfr6", "libexpat1", "libncursesw6",
            "libreadline8", "zlib1g", "libxxhash0", "libipt2", "libzstd1", "libstdc++6", "libgcc-s1", "util-linux", "libsmartcols1", "libmount1", "libblkid1"]


def victim():
    """The program that is debugged, with debug information, at fixed addresses."""
    out = os.path.join(programs.build_dir("debugging"), "victim")
    subprocess.run(["gcc", "-g", "-O0", "-static", "-no-pie", "-pthread", f"-ffile-prefix-map={HERE}/=",
                    "-o", out, "victim.c"], cwd=HERE, check=True)
    return out


# gdb asks a server for sources with it; it and the HTTP client below it would be most of the image.
NO_DEBUGINFOD = """
void *debuginfod_begin(void) { return 0; }
void debuginfod_end(void *c) { }
int debuginfod_find_debuginfo(void) { return -38; }
int debuginfod_find_executable(void) { return -38; }
int debuginfod_find_source(void) { return -38; }
void debuginfod_set_progressfn(void) { }
void debuginfod_set_user_data(void) { }
void *debuginfod_get_user_data(void) { return 0; }
"""
VERSIONS = "ELFUTILS_0.178 { debuginfod_begin; debuginfod_end; debuginfod_find_*; debuginfod_set_progressfn; };\n" \
           "ELFUTILS_0.179 { debuginfod_set_user_data; debuginfod_get_user_data; } ELFUTILS_0.178;\n"


def no_debuginfod():
    """A libdebuginfod that finds nothing."""
    place = programs.build_dir("debugging")
    out, source, script = (os.path.join(place, n) for n in ("libdebuginfod.so.1", "debuginfod.c", "debuginfod.map"))
    for path, text in ((source, NO_DEBUGINFOD), (script, VERSIONS)):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libdebuginfod.so.1", "-Wl,--version-script=" + script,
                    "-o", out, source], check=True)
    return out


def make_image():
    """The initramfs without the scripts."""
    cpio = Cpio()
    for name in ("bin", "dev", "etc", "proc", "sys", "root", "run", "usr/bin", "usr/lib", "var/tmp", "mnt"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.node("dev/null", "c", 1, 3, 0o666)
    cpio.file("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    cpio.file("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    cpio.file("busybox", src=debian.busybox(), mode=0o755)
    cpio.slink("bin/sh", "bash")
    cpio.slink("usr/bin/awk", "mawk")
    for package in PACKAGES:
        add_package(cpio, package)
    cpio.file("usr/lib/x86_64-linux-gnu/libdebuginfod.so.1", src=no_debuginfod(), mode=0o755)
    cpio.file("usr/bin/victim", src=victim(), mode=0o755)
    cpio.file("victim.c", src=os.path.join(HERE, "victim.c"))
    cpio.file("init", INIT, mode=0o755)
    return cpio


if __name__ == "__main__":
    groups.Groups(HERE, make_image).main(__doc__.split("\n", maxsplit=1)[0])
