# SPDX-License-Identifier: GPL-2.0
"""Makes usr/initramfs.cpio(.gz) below objtree: Debian's static busybox with all of its applets, and usr/rootfs."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "scripts")]

import deps  # noqa: E402
import gen_initramfs  # noqa: E402
import kconfig  # noqa: E402

BUSYBOX = deps.static_busybox() or "/bin/busybox"


def sources():
    """The files that the archive depends on."""
    found = [BUSYBOX, os.path.join(HERE, "gen_initramfs.py"), os.path.join(HERE, "initramfs.list"), __file__]
    for top, _, names in os.walk(os.path.join(HERE, "rootfs")):
        found += [os.path.join(top, name) for name in names]
    return found


def archive():
    """The archive, not yet written."""
    cpio = gen_initramfs.Cpio()
    gen_initramfs.read_list(cpio, os.path.join(HERE, "initramfs.list"))
    cpio.file("bin/busybox", src=BUSYBOX, mode=0o755)
    listed = subprocess.run([BUSYBOX, "--list-full"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for path in listed:
        if path != "bin/busybox" and not cpio.has(path):
            cpio.slink(path, "/bin/busybox")
    return cpio


def main():
    gzip = kconfig.auto_conf().get("CONFIG_INITRAMFS_COMPRESSION_GZIP") == "y"
    output = os.path.join(kconfig.OBJTREE, "usr/initramfs.cpio" + (".gz" if gzip else ""))
    if os.path.exists(output) and os.stat(output).st_mtime > max(os.stat(name).st_mtime for name in sources()):
        return
    print(f"  CPIO    {os.path.relpath(output, kconfig.OBJTREE)}", flush=True)
    os.makedirs(os.path.dirname(output), exist_ok=True)
    archive().write(output, "gzip" if gzip else "none")


if __name__ == "__main__":
    main()
