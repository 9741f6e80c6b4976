# SPDX-License-Identifier: GPL-2.0
"""Initramfs images for tests: Debian's static busybox, a start script, and what the test adds."""

import os
import subprocess
import sys

from . import debian
from .programs import SRCTREE

sys.path.insert(0, os.path.join(SRCTREE, "usr"))
from gen_initramfs import Cpio  # noqa: E402  (the writer lives with the product's own initramfs)

SETUP = """#!/bin/sh
export PATH=/usr/local/bin:/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM=linux
mount -t proc proc /proc
mount -t sysfs sysfs /sys 2>/dev/null
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
ln -sf /proc/self/fd /dev/fd
"""

# Reads commands from the console and runs them: no prompt, no echo, one line each. For Guest.run().
AGENT = SETUP + """
stty -echo -onlcr
echo @READY@
while read -r line; do eval "$line"; done
"""

# An interactive shell with job control on the first serial line, as a user of `make run` has it.
SHELL = SETUP + """
cd /root
PS1='\\w # ' setsid cttyhack sh -i
poweroff -f
"""


def busybox_applets(busybox):
    """The applet names of `busybox`."""
    return subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def base(init=AGENT, applets=True, without=()):
    """A `Cpio` with busybox, its links in /bin (not those of `without`), the usual directories, /dev/console and `init` as /init."""
    cpio = Cpio()
    for name in ("bin", "sbin", "dev", "etc", "proc", "sys", "root", "run", "usr", "usr/bin", "usr/sbin", "usr/local",
                 "usr/local/bin", "var", "mnt"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.node("dev/null", "c", 1, 3, 0o666)
    cpio.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    cpio.file("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
    path = debian.busybox()
    cpio.file("bin/busybox", src=path, mode=0o755)
    for name in busybox_applets(path) if applets else ["sh"]:
        if name not in without:
            cpio.slink("bin/" + name, "busybox")
    if init is not None:
        cpio.file("init", init, mode=0o755)
    return cpio
