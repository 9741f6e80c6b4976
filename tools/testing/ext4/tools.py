# SPDX-License-Identifier: GPL-2.0
"""Programs of Debian for guests that test ext4: their packages, unpacked into the initramfs beside busybox."""

import os

from guest import debian, image

PACKAGES = ["libc6", "e2fsprogs", "libext2fs2", "libcom-err2", "logsave", "libss2", "libblkid1", "libuuid1", "util-linux",
            "util-linux-extra", "libmount1", "libselinux1", "libpcre2-8-0", "libsmartcols1", "libtinfo6", "acl", "libacl1", "attr", "libattr1",
            "libcap-ng0", "coreutils", "xfsprogs", "libedit2", "libbsd0", "libmd0", "libinih1", "liburcu8", "libdevmapper1.02.1",
            "libudev1", "quota", "libtirpc3", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libkeyutils1"]


def add(cpio, programs, packages=()):
    """Adds `programs` in /usr/sbin, and the C library with what they are linked with. `packages`: where else to look for both."""
    need = {name: None for name in programs}
    tops = [debian.unpack(package) for package in (*PACKAGES, *packages)]
    libraries = {}
    for top in tops:
        for place, _, files in os.walk(top):
            for name in files:
                full = os.path.join(place, name)
                if name in need and os.path.basename(place) in ("bin", "sbin") and os.path.exists(full):
                    # Some are other names of a neighbour.
                    need[name] = os.path.join(place, os.readlink(full)) if os.path.islink(full) else full
                if ".so" in name and "/lib" in place:
                    libraries.setdefault(name, full)
    missing = [name for name, full in need.items() if full is None]
    if missing:
        raise RuntimeError(f"no package has {missing}")
    cpio.dir("lib64")
    for directory in ("lib", "lib/x86_64-linux-gnu"):
        if not cpio.has(directory):
            cpio.dir(directory)
    cpio.file("etc/mke2fs.conf", src=os.path.join(debian.unpack("e2fsprogs"), "etc/mke2fs.conf"))
    done = set()
    for name, full in need.items():
        cpio.file(f"usr/sbin/{name}", src=full, mode=0o755)
        for library in needed(full, libraries):
            if library in done:
                continue
            done.add(library)
            place = "lib64" if library.startswith("ld-linux") else "lib/x86_64-linux-gnu"
            cpio.file(f"{place}/{library}", src=os.path.realpath(libraries[library]), mode=0o755)


def needed(program, libraries):
    """The names of all libraries that `program` loads, by the ELF files' own words."""
    out, todo = set(), [program]
    while todo:
        for name in words(todo.pop()):
            if name not in libraries:
                raise RuntimeError(f"{program}: no package has {name}")
            if name not in out:
                out.add(name)
                todo.append(libraries[name])
    out.add("ld-linux-x86-64.so.2")
    return sorted(out)


def words(path):
    import re
    import subprocess
    text = subprocess.run(["readelf", "-dW", os.path.realpath(path)], stdout=subprocess.PIPE, text=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.+)\]", text)


# More of the command line for Debian's kernel: on a busy machine its test of the timer fails.
LINUX = " no_timer_check"
# Debian's kernel has its drivers for virtio, and the format of quota files, in modules: in the order in which they can be loaded.
MODULES = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "quota_tree",
           "quota_v2"]


def base(programs=(), linux=False, last=None, packages=()):
    """`image.base` with `programs` in /usr/sbin (also from `packages`); `linux`: for Debian's kernel, with the modules that it needs.
    `last`: what it does in place of waiting for commands."""
    init = image.AGENT if last is None else image.SETUP + "echo @READY@\n" + last
    if linux:
        load = "".join(f"insmod /modules/{name}.ko\n" for name in MODULES)
        init = init.replace("echo @READY@", f"{load}sleep 1\necho @READY@")
    cpio = image.base(init)
    if linux:
        top = os.path.dirname(os.path.dirname(debian.kernel()))
        found = {name: os.path.join(place, name) for place, _, names in os.walk(top) for name in names}
        cpio.dir("modules")
        for name in MODULES:
            cpio.file(f"modules/{name}.ko", src=found[f"{name}.ko"])
    if programs:
        add(cpio, programs, packages)
    return cpio


