#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Installs what `make` needs and the machine lacks: `deps.py build|run|check|clippy|rootfs`.

Only missing things are installed; nothing that is there is upgraded, replaced or removed. Without root it prints the
line to type and stops. A tool counts as there wherever it came from. What apt could only install by removing something
(QEMU beside tools of a newer QEMU, static busybox beside the other one) is unpacked below build/tools, where make's
PATH finds it.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

import kconfig
import toolchain

TOOLS = os.path.join(os.path.abspath(kconfig.OBJTREE), "build/tools")

# What must be there -> the package that has it. A path with a slash is a file; a bare word is a program in PATH.
BUILD = {
    "cc": "gcc",
    "/usr/include/x86_64-linux-gnu/sys/cdefs.h": "libc6-dev",
    "ld": "binutils",
    "lz4": "lz4",
    "openssl": "openssl",
    "bindgen": "bindgen",
    # What bindgen loads, and the compiler's own headers (stddef.h); any version of them serves (not libclang-cpp).
    "/usr/lib/llvm-*/lib/libclang[-.][0-9s]*": "libclang1-14",
    "/usr/lib/llvm-*/lib/clang/*/include/stddef.h": "libclang-common-14-dev",
    "/usr/include/linux/version.h": "linux-libc-dev",
    "/usr/lib/python3/dist-packages/kconfiglib.py": "python3-kconfiglib",
}
RUST = ["rustc-web", "cargo-web", "rust-web-src"]
RUN = {
    "qemu-system-x86_64": "qemu-system-x86",
    "zstd": "zstd",
}
CHECK = {
    "/usr/share/OVMF/OVMF_CODE.fd": "ovmf",
    "grub-mkrescue": "grub-common",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "xorriso": "xorriso",
    "mcopy": "mtools",
    "/sbin/mkfs.vfat": "dosfstools",
    "genisoimage": "genisoimage",
    "/sbin/mke2fs": "e2fsprogs",
    "mksquashfs": "squashfs-tools",
    "xz": "xz-utils",
}
ROOTFS = {
    "mmdebstrap": "mmdebstrap",
    "fakeroot": "fakeroot",
    "/sbin/mke2fs": "e2fsprogs",
}
GOALS = {"rootfs": [ROOTFS], "clippy": [BUILD], "build": [BUILD], "run": [BUILD, RUN], "check": [BUILD, RUN, CHECK]}


def there(what):
    """Whether a file (a pattern) or program is there."""
    return bool(glob.glob(what)) if "/" in what else shutil.which(what) is not None


def static_busybox():
    """Debian has two packages with /bin/busybox; only the static one serves. Its path, or None."""
    for path in (os.environ.get("BUSYBOX"), shutil.which("busybox"), "/bin/busybox"):
        if path and os.path.exists(path):
            text = subprocess.run(["readelf", "-lW", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            if text.returncode == 0 and "INTERP" not in text.stdout:
                return path
    return None


def missing(goal):
    """Packages that `goal` lacks, in order."""
    packages = [package for needs in GOALS[goal] for what, package in needs.items() if not there(what)]
    if goal in ("run", "check") and not static_busybox():
        packages.append("busybox-static")
    problem = toolchain.problem()
    # Clippy must be the compiler's own: with a rustup toolchain it is a component, which the user adds.
    if goal == "clippy" and (problem is not None or toolchain.find()[0] == "/usr/bin/rustc") \
            and not there("/usr/bin/cargo-clippy"):
        packages.append("rust-web-clippy")
    if goal == "check" and not any(there(t) for t in ("rustfmt", os.path.expanduser("~/.cargo/bin/rustfmt"))):
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
    if apt("install", *options, *packages):
        return
    apt("update")
    if apt("install", *options, *packages):
        return
    for package in packages:
        if not apt("install", *options, package) and not unpack(package, options):
            sys.exit(f"*** apt-get could not install {package}. Try by hand:\n    {line}")


def apt(*words, **more):
    """Runs apt-get; whether it succeeded."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    return subprocess.run(["apt-get", "-q", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
                          **more).returncode == 0


def unpack(package, options):
    """Puts `package` below build/tools, with those that it needs and that conflict too; the others are installed."""
    plan = subprocess.run(["apt-get", "-s", "install", "--no-install-recommends", package], stdout=subprocess.PIPE, text=True)
    needed = re.findall(r"^Inst (\S+)", plan.stdout, re.M)
    apart = [name for name in needed if not apt("install", *options, name)]
    debs = os.path.join(TOOLS, "debs")
    os.makedirs(debs, exist_ok=True)
    print(f"  UNPACK  {' '.join(apart)}", flush=True)
    if not apart or not apt("-o", "APT::Sandbox::User=root", "download", *apart, cwd=debs):
        return False
    for name in apart:
        deb = sorted(glob.glob(os.path.join(debs, name + "_*.deb")))[-1]
        if subprocess.run(["dpkg-deb", "-x", deb, TOOLS]).returncode != 0:
            return False
    if package.startswith("qemu-system"):
        wrap_qemu()
    return True


def wrap_qemu():
    """QEMU away from its place must be told where its modules and firmware are."""
    os.makedirs(os.path.join(TOOLS, "bin"), exist_ok=True)
    for program in glob.glob(os.path.join(TOOLS, "usr/bin/qemu-system-*")):
        wrapper = os.path.join(TOOLS, "bin", os.path.basename(program))
        firmware = [d for base in (os.path.join(TOOLS, "usr"), "/usr") for d in
                    (f"{base}/share/qemu", f"{base}/share/seabios", f"{base}/lib/ipxe/qemu") if os.path.isdir(d)]
        with open(wrapper, "w") as f:
            f.write(f"#!/bin/sh\nexport QEMU_MODULE_DIR='{TOOLS}/usr/lib/x86_64-linux-gnu/qemu'\n"
                    f"exec '{program}' {' '.join(f'-L {d!r}' for d in firmware)} \"$@\"\n")
        os.chmod(wrapper, 0o755)


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
