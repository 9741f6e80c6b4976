# SPDX-License-Identifier: GPL-2.0
"""Debian's packages as test material: downloaded into the build directory and unpacked there, never installed."""

import glob
import os
import re
import subprocess

from .programs import SRCTREE, build_dir  # noqa: F401

# Which of Debian's kernels: "amd64" has more drivers.
FLAVOUR = "cloud-amd64"


def _apt(*argv, cwd=None):
    return subprocess.run(argv, cwd=cwd, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def unpack(package, cache=None):
    """The directory that holds `package`'s files, downloaded at the first call (into `cache`, if it is given)."""
    cache = cache or build_dir("packages")
    into = os.path.join(cache, package)
    if os.path.isdir(into):
        return into
    debs = os.path.join(cache, "debs")
    os.makedirs(debs, exist_ok=True)
    found = glob.glob(os.path.join(debs, package + "_*.deb"))
    if not found:
        get = ["apt-get", "-o", "APT::Sandbox::User=root", "download", package]
        try:
            _apt(*get, cwd=debs)
        except subprocess.CalledProcessError:
            if os.geteuid() != 0:
                raise SystemExit(f"cannot download {package}; try: apt-get update") from None
            _apt("apt-get", "update")
            _apt(*get, cwd=debs)
        found = glob.glob(os.path.join(debs, package + "_*.deb"))
    subprocess.run(["dpkg-deb", "-x", found[0], into + ".part"], check=True)
    os.rename(into + ".part", into)
    return into


def kernel():
    """Debian's kernel of `FLAVOUR` (a bzImage), for comparison. Its package is the metapackage's dependency."""
    have = sorted(glob.glob(os.path.join(build_dir("packages"), f"linux-image-*[0-9]-{FLAVOUR}", "boot", "vmlinuz-*")))
    if have:
        return have[-1]
    text = _apt("apt-cache", "depends", f"linux-image-{FLAVOUR}")
    package = re.search(r"Depends: (linux-image-\S+)", text)
    if not package:
        raise SystemExit(f"apt knows no linux-image-{FLAVOUR}; try: apt-get update")
    return glob.glob(os.path.join(unpack(package.group(1)), "boot", "vmlinuz-*"))[0]


def busybox():
    """Debian's static busybox: the installed one, else from its package."""
    for path in ("/usr/bin/busybox", "/bin/busybox"):
        if os.path.exists(path) and b"\x7fELF" == open(path, "rb").read(4) and _static(path):
            return path
    return os.path.join(unpack("busybox-static"), "bin", "busybox")


def _static(path):
    text = subprocess.run(["readelf", "-lW", path], stdout=subprocess.PIPE, text=True).stdout
    return "INTERP" not in text


def libraries(program, env=None):
    """The shared libraries that `program` (a dynamic ELF for this machine) needs: (name in the guest, host path)."""
    text = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                          env=env).stdout
    out = []
    for line in text.splitlines():
        found = re.match(r"\s*(?:\S+ => )?(/\S+) \(0x", line)
        if found:
            name = found.group(1)
            out.append((name, os.path.realpath(name)))
    return out
