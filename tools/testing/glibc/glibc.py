#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Dynamically linked programs of Debian (bash, coreutils, perl, python and others with the C library) in the guest.

The packages are unpacked into the initramfs; scripts/NAME.sh runs under bash in an empty directory of tmpfs; see
guest/groups.py. Each script is a result.
"""

import os
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import debian, groups, image  # noqa: E402
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)

PACKAGES = ["libc6", "libc-bin", "bash", "libtinfo6", "coreutils", "libacl1", "libattr1", "libgmp10", "libselinux1",
            "libpcre2-8-0", "findutils", "grep", "sed", "mawk", "diffutils", "tar", "gzip", "bsdutils", "libsystemd0",
            "perl-base", "libcrypt1", "python3.11-minimal", "libpython3.11-minimal", "zlib1g", "libexpat1",
            "libssl3", "dash", "util-linux", "util-linux-extra", "mount", "libblkid1", "libmount1", "libsmartcols1",
            "libuuid1", "libudev1", "libcap-ng0"]
# What no program here reads, or no script runs: the image is to be small.
LEFT_OUT = ("usr/share/", "usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/x86_64-linux-gnu/engines-3/", "etc/", "var/",
            "usr/lib/x86_64-linux-gnu/ossl-modules/", "lib/systemd/", "usr/lib/python3.11/__pycache__/",
            "usr/lib/python3.11/encodings/", "usr/lib/x86_64-linux-gnu/audit/", "usr/lib/x86_64-linux-gnu/libcrypto.so.3",
            "usr/lib/x86_64-linux-gnu/libssl.so.3", "sbin/", "usr/sbin/")
# The codecs that Python starts with, and of what is left out, that is all that is used.
ENCODINGS = ("__init__", "aliases", "utf_8", "ascii", "latin_1")
KEPT = ("usr/sbin/chroot", *(f"encodings/{name}.py" for name in ENCODINGS))

INIT = """#!/bin/bash
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root TERM=linux LC_ALL=C TZ=UTC
b=/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
$b mount -t devpts devpts /dev/pts
$b mount -t tmpfs tmpfs /tmp
ln -sf /proc/self/fd /dev/fd
$b hostname guest
stty -onlcr
$b dmesg -n 1
""" + groups.LOOP.format(shell="bash", limit=180, clean="rm -rf /tmp/work", after=":") + """
$b poweroff -f
"""


def add_package(cpio, package):
    """Adds the files of `package` but for what is left out."""
    top = debian.unpack(package)
    for place, dirs, files in os.walk(top):
        dirs.sort()
        for name in sorted(files + [d for d in dirs if os.path.islink(os.path.join(place, d))]):
            full = os.path.join(place, name)
            to = os.path.relpath(full, top)
            if to.startswith(LEFT_OUT) and not to.endswith(KEPT):
                continue
            st = os.lstat(full)
            if stat.S_ISLNK(st.st_mode):
                cpio.slink(to, os.readlink(full))
            elif stat.S_ISREG(st.st_mode):
                cpio.file(to, src=full, mode=stat.S_IMODE(st.st_mode))


def make_image():
    """The initramfs without the scripts."""
    cpio = Cpio()
    for name in ("bin", "dev", "etc", "proc", "sys", "root", "run", "usr/bin", "usr/lib", "var/tmp", "mnt"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.node("dev/null", "c", 1, 3, 0o666)
    cpio.file("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    cpio.file("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
    cpio.file("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    cpio.file("busybox", src=debian.busybox(), mode=0o755)
    cpio.slink("bin/sh", "dash")
    cpio.slink("usr/bin/awk", "mawk")
    cpio.slink("usr/bin/python3", "python3.11")
    for package in PACKAGES:
        add_package(cpio, package)
    cpio.file("init", INIT, mode=0o755)
    return cpio


if __name__ == "__main__":
    groups.Groups(HERE, make_image).main(__doc__.split("\n", maxsplit=1)[0])
