# SPDX-License-Identifier: GPL-2.0
"""Builds the Rust test programs of tools/testing as static executables, modules, and kernels of another configuration; says where build
output goes."""

import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TESTING = os.path.dirname(HERE)
SRCTREE = os.path.dirname(os.path.dirname(TESTING))
TARGET = "x86_64-unknown-linux-gnu"


def build_dir(*parts):
    """A directory for build output: `build/testing` below make's O= (KBUILD_OUTPUT), else below the tree."""
    path = os.path.join(os.environ.get("KBUILD_OUTPUT") or SRCTREE, "build", "testing", *parts)
    os.makedirs(path, exist_ok=True)
    return path


def default_kernel():
    """The kernel that `make` leaves: the bzImage, else the PVH vmlinux."""
    top = os.environ.get("KBUILD_OUTPUT") or SRCTREE
    for name in ("arch/x86/boot/bzImage", "vmlinux"):
        path = os.path.join(top, name)
        if os.path.exists(path):
            return path
    return os.path.join(top, "vmlinux")


def _tool(name):
    """Debian's tool if it is there (its library has the static parts), else the one in PATH."""
    debian = os.path.join("/usr/bin", name)
    return os.environ.get(name.upper()) or (debian if os.path.exists(debian) else name)


def build(package):
    """Builds `package` of tools/testing's workspace; returns the directory with its executables."""
    target = build_dir("cargo")
    env = dict(os.environ, RUSTC=_tool("rustc"), CARGO_TARGET_DIR=target,
               RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static")
    env.pop("CARGO_ENCODED_RUSTFLAGS", None)
    done = subprocess.run([_tool("cargo"), "build", "-q", "--release", "--target", TARGET, "-p", package], cwd=TESTING,
                          env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"cannot build {package}:\n{done.stdout}")
    return os.path.join(target, TARGET, "release")


def make(*arguments):
    """The tree's make, as if it were not called from one; what became of it, with what it said."""
    drop = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "M", "O", "KBUILD_OUTPUT")
    env = {name: value for name, value in os.environ.items() if name not in drop}
    return subprocess.run(["make", "-C", SRCTREE, *arguments], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def kernel_beside(top, name, options, fragments=(), new_key=False):
    """A kernel and its modules beside the kernel in `top`, with its configuration but for `options` ({SQUASHFS: "m"}; None: not set) and
    `fragments` of kernel/configs, made of the crates that were compiled for that one: what options that choose crates (build.py CHOICES)
    change is only linked. It is signed with the same key unless it is to have a new one. Gives its directory. (The next build of the other
    one links that again.)"""
    other = build_dir(name)
    os.makedirs(os.path.join(other, "build"), exist_ok=True)
    for part in ("build/cargo", "build/host", *(() if new_key else ("certs",))):
        link = os.path.join(other, part)
        if os.path.islink(link):
            os.remove(link)
        os.symlink(os.path.join(os.path.abspath(top), part), link)
    with open(os.path.join(top, ".config")) as f:
        lines = [line for line in f if not any(name in options for name in re.findall(r"^(?:# )?CONFIG_(\w+)", line))]
    lines += [f"# CONFIG_{option} is not set\n" if value is None else f"CONFIG_{option}={value}\n" for option, value in options.items()]
    with open(os.path.join(other, ".config"), "w") as f:
        f.writelines(lines)
    for target in (*fragments, "olddefconfig", "modules"):
        done = make(f"O={other}", target)
        if done.returncode:
            raise SystemExit(done.stdout)
    return other


def modules(source, work, objtree):
    """`make M=` in a copy of the directory `source` of the tree, which is below `work`; where the modules are."""
    directory = os.path.join(work, os.path.basename(source))
    shutil.copytree(os.path.join(SRCTREE, source), directory)
    done = make(f"O={objtree}", f"M={directory}", "modules")
    if done.returncode:
        raise SystemExit(done.stdout)
    return directory
