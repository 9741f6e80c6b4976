#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A disk with a Debian root file system: `rootfs.py debian` makes build/rootfs/debian.img if it is not there.

mmdebstrap fetches Debian's packages from the mirror that this machine's apt uses, and mke2fs puts them into an ext4 file
system as it makes them by default. Init is sysvinit; the serial line and the first virtual terminals have a login (root,
no password). The image stays: what is changed in the guest is there the next time. Remove it to have a new one.
"""

import os
import shutil
import subprocess
import sys
import tempfile

import kconfig

ROOTFS = os.path.join(os.path.abspath(kconfig.OBJTREE), "build/rootfs")
SUITE = "bookworm"
PACKAGES = ["sysvinit-core", "udev", "kmod", "procps", "vim-tiny", "less", "login", "e2fsprogs", "iproute2", "strace"]
SIZE = "2G"
# What the image has beside Debian's packages: file -> text, appended if it starts with a +.
FILES = {
    "etc/hostname": "rideau\n",
    "etc/hosts": "127.0.0.1 localhost rideau\n",
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n",
    "etc/inittab": "+S0:2345:respawn:/sbin/getty -L ttyS0 115200 linux\n",
    "etc/securetty": "ttyS0\ntty1\n",
}


def find(name):
    """A program, also where only root's PATH has it."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    return shutil.which(name, path=path) or sys.exit(f"*** {name} is missing: make deps-rootfs")


def configure(root):
    """Host name, terminals, root without a password."""
    for name, text in FILES.items():
        with open(os.path.join(root, name), "a" if text.startswith("+") else "w") as f:
            f.write(text.lstrip("+"))
    path = os.path.join(root, "etc/shadow")
    with open(path) as f:
        lines = f.read().splitlines()
    lines = ["root::" + line.split(":", 2)[2] if line.startswith("root:") else line for line in lines]
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def pack(tar, disk):
    """The file system, made of mmdebstrap's archive: run as root or below fakeroot, so that owners are kept."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(disk)) as work:
        # devtmpfs is mounted there.
        subprocess.run(["tar", "-xf", tar, "-C", work, "--exclude=./dev/*"], check=True)
        configure(work)
        part = disk + ".part"
        subprocess.run([find("mke2fs"), "-q", "-F", "-t", "ext4", "-L", "rideau-root", "-d", work, part, SIZE], check=True)
        os.rename(part, disk)


def image(name):
    """The path of the disk `name`."""
    if name != "debian":
        sys.exit(f"*** ROOTFS={name}: `debian` is what there is")
    return os.path.join(ROOTFS, "debian.img")


def make(disk):
    """Makes the disk if it is not there."""
    if os.path.exists(disk):
        return
    os.makedirs(ROOTFS, exist_ok=True)
    tar = os.path.join(ROOTFS, "debian.tar")
    if not os.path.exists(tar):
        print("  DEBIAN  build/rootfs/debian.tar (some minutes)", flush=True)
        part = tar + ".part"
        subprocess.run([find("mmdebstrap"), "--quiet", "--format=tar", "--variant=minbase",
                        "--include=" + ",".join(PACKAGES), SUITE, part], check=True)
        os.rename(part, tar)
    print("  MKE2FS  build/rootfs/debian.img", flush=True)
    wrap = [] if os.geteuid() == 0 else [find("fakeroot")]
    subprocess.run([*wrap, sys.executable, __file__, "--pack", tar, disk], check=True)


def main():
    if sys.argv[1:2] == ["--pack"]:
        return pack(*sys.argv[2:4])
    make(image(*sys.argv[1:2] or ["debian"]))


if __name__ == "__main__":
    main()
