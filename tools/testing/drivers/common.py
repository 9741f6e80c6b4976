# SPDX-License-Identifier: GPL-2.0
"""What the tests of drivers share: guests of either kernel, with programs of Debian's and the modules that Debian's kernel needs."""

import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTING = os.path.dirname(HERE)
sys.path.insert(0, TESTING)
from guest import Guest, GuestError, Report, debian, image, need, programs  # noqa: E402, F401

# Both have the name `common`.
_spec = importlib.util.spec_from_file_location("fs_common", os.path.join(TESTING, "fs", "common.py"))
fs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fs)

APPEND = "console=ttyS0 loglevel=7 panic=-1"
VIRTIO = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"]


def add(cpio, package, *names):
    """Adds programs of a Debian package in /usr/sbin, with their libraries."""
    top, known = debian.unpack(package), set()
    for name in names:
        path = next(p for p in (os.path.join(top, d, name) for d in ("sbin", "bin", "usr/sbin", "usr/bin")) if os.path.exists(p))
        cpio.file(f"usr/sbin/{name}", src=path, mode=0o755)
        for library, source in debian.libraries(path):
            library = library.strip("/")
            if library in known or cpio.has(library):
                continue
            known.add(library)
            parts = library.split("/")
            for depth in range(1, len(parts)):
                if not cpio.has("/".join(parts[:depth])):
                    cpio.dir("/".join(parts[:depth]))
            cpio.file(library, src=source, mode=0o755)


def initrd(args, path, drivers=(), packages=(), files=(), built=(), binaries=()):
    """Writes an initramfs: `packages` are tuples for `add`; `drivers`: modules that Debian's kernel needs; `files`: texts by their names;
    `built`: programs, by their paths, that come to /usr/sbin; `binaries`: paths of others by their names."""
    paths = fs.modules(VIRTIO + list(drivers)) if args.linux else []
    load = "".join(f"insmod /modules/{os.path.basename(module)}\n" for module in paths)
    cpio = image.base(image.AGENT.replace("echo @READY@", f"{load}sleep {int(args.linux)}\necho @READY@"))
    cpio.dir("modules")
    for module in paths:
        cpio.file(f"modules/{os.path.basename(module)}", src=module)
    for package in packages:
        add(cpio, *package)
    for name in files:
        cpio.file(name, files[name])
    for source in built:
        cpio.file(f"usr/sbin/{os.path.basename(source)}", src=source, mode=0o755)
    for name in binaries:
        cpio.file(name, src=binaries[name], mode=0o755)
    cpio.write(path)


def machine(args, path, extra=(), append=APPEND):
    """A guest that booted."""
    kernel = debian.kernel() if args.linux else args.kernel
    guest = Guest(kernel, path, append, memory=512, cpus=args.cpus, limit=args.limit, extra=list(extra))
    guest.expect("@READY@", args.limit)
    return guest


def run(args, report, guest, tests):
    """Runs the tests in the guest; the kernel must not complain."""
    for test in tests:
        if args.only and test.__name__ not in args.only:
            continue
        with report.attempt(test.__name__):
            test(args, guest)
            fs.quiet(guest)


def parse(text):
    """The arguments that all tests here have."""
    import argparse
    parser = fs.arguments(argparse.ArgumentParser(description=text.splitlines()[0]))
    parser.add_argument("only", nargs="*", help="names of tests")
    parser.add_argument("--packed", dest="virtio", action="store_const", const=",packed=on", default="",
                        help="virtio devices with packed rings")
    return fs.parse(parser)
