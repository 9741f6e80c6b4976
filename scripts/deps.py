#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Installs what `make` needs and the machine lacks: `deps.py build|run|check`.

Only missing things are installed; nothing that is there is upgraded, replaced or removed. Without root it prints the
line to type and stops. A tool counts as there wherever it came from.
"""

import os
import shutil
import subprocess
import sys

import toolchain

# What must be there -> the package that has it. A path with a slash is a file; a bare word is a program in PATH.
BUILD = {
    "cc": "gcc",
    "/usr/include/x86_64-linux-gnu/sys/cdefs.h": "libc6-dev",
    "ld": "binutils",
    "lz4": "lz4",
    "bindgen": "bindgen",
    "/usr/include/linux/version.h": "linux-libc-dev",
    "/usr/lib/python3/dist-packages/kconfiglib.py": "python3-kconfiglib",
}
RUST = ["rustc-web", "cargo-web", "rust-web-src"]
RUN = {
    "qemu-system-x86_64": "qemu-system-x86",
    "/bin/busybox": "busybox-static",
    "zstd": "zstd",
}
CHECK = {
    "/usr/share/OVMF/OVMF_CODE.fd": "ovmf",
    "grub-mkrescue": "grub-common",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "xorriso": "xorriso",
    "mcopy": "mtools",
    "/sbin/mkfs.vfat": "dosfstools",
}
GOALS = {"clippy": [BUILD], "build": [BUILD], "run": [BUILD, RUN], "check": [BUILD, RUN, CHECK]}


def there(what):
    """Whether a file or program is there."""
    return os.path.exists(what) if "/" in what else shutil.which(what) is not None


def static_busybox():
    """Debian has two packages with /bin/busybox; only the static one serves."""
    done = subprocess.run(["file", "-b", "/bin/busybox"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) \
        if shutil.which("file") else None
    if done is not None:
        return "statically linked" in done.stdout
    return subprocess.run(["dpkg-query", "-W", "busybox-static"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def missing(goal):
    """Packages that `goal` lacks, in order."""
    packages = [package for needs in GOALS[goal] for what, package in needs.items() if not there(what)]
    problem = toolchain.problem()
    # Clippy must be the compiler's own: with a rustup toolchain it is a component, which the user adds.
    if goal == "clippy" and (problem is not None or toolchain.find()[0] == "/usr/bin/rustc") \
            and not there("/usr/bin/cargo-clippy"):
        packages.append("rust-web-clippy")
    if goal == "check" and not any(there(t) for t in ("rustfmt", "/root/.cargo/bin/rustfmt")):
        packages.append("rustfmt-web")
    if problem is not None:
        packages += RUST
    return list(dict.fromkeys(packages))


def install(packages):
    """Installs `packages`, or explains how."""
    options = ["-y", "--no-install-recommends", "--no-remove", "--no-upgrade"]
    line = "apt-get install --no-install-recommends " + " ".join(packages)
    if os.geteuid() != 0:
        sys.exit(f"*** Some packages are missing. Type this and try again:\n    sudo {line}")
    if not shutil.which("apt-get"):
        sys.exit(f"*** Some tools are missing, and there is no apt-get. In Debian they are in: {' '.join(packages)}")
    print(f"  APT     {' '.join(packages)}", flush=True)
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    quiet = {"stdout": subprocess.DEVNULL, "env": env}
    command = ["apt-get", "-q", "install", *options, *packages]
    if subprocess.run(command, stderr=subprocess.DEVNULL, **quiet).returncode == 0:
        return
    subprocess.run(["apt-get", "-q", "update"], **quiet)
    if subprocess.run(command, **quiet).returncode != 0:
        sys.exit(f"*** apt-get could not install them. Try by hand:\n    {line}")


def main():
    goal = sys.argv[1] if len(sys.argv) > 1 else "build"
    if goal not in GOALS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(GOALS)}")
    packages = missing(goal)
    if packages:
        install(packages)
        toolchain.find.cache_clear()
    toolchain.find()


if __name__ == "__main__":
    main()
