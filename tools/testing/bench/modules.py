#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sizes of modules, ours and those of the same name of Debian's cloud kernel, both as they are installed: without debug information, signed.

Ours are those of the kernel in KBUILD_OUTPUT, or with `--modular` of one that is made beside it, of the crates that were compiled for it, with
all that can be a module (modular.config). `--write FILE` puts the table into a Markdown file.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for place in (os.path.dirname(HERE), HERE):
    sys.path.insert(0, place)
import bench  # noqa: E402
from guest import debian, programs  # noqa: E402

# What is one module here and several in Linux: those that are parts of ours.
PARTS = {"vfat": ("fat",), "sr_mod": ("cdrom",), "virtio": ("virtio_ring",), "ahci": ("libahci", "libata"), "ext4": ("jbd2", "mbcache"),
         "nvme": ("nvme_core",), "i8042": ("serio", "libps2", "atkbd")}

BEGIN, END = "<!-- modules: begin (written by tools/testing/bench/modules.py) -->", "<!-- modules: end -->"


def named(paths):
    """{name of a module: path}"""
    return {os.path.basename(path).partition(".ko")[0].replace("-", "_"): path for path in paths}


def ours(top):
    """{name: bytes} of what modules.order lists."""
    key = os.path.join(top, "certs/signing_key.pem")
    found = {}
    with open(os.path.join(top, "modules.order")) as f, tempfile.TemporaryDirectory() as work:
        for name, path in named(os.path.join(top, line.strip().removesuffix(".o") + ".ko") for line in f).items():
            copy = os.path.join(work, name)
            shutil.copy(path, copy)
            subprocess.run(["strip", "--strip-debug", copy], check=True)
            subprocess.run([sys.executable, os.path.join(programs.SRCTREE, "scripts/certs.py"), "sign-with", key, copy], check=True)
            found[name] = os.path.getsize(copy)
    return found


def debians():
    """{name: bytes} of Debian's kernel."""
    root = os.path.join(os.path.dirname(os.path.dirname(debian.kernel())), "lib/modules/*/kernel/**/*.ko")
    return {name: os.path.getsize(path) for name, path in named(glob.glob(root, recursive=True)).items()}


def table(own, linux):
    """Markdown, the largest first; samples are nobody's. What Debian's kernel has built in has no size there."""
    lines = ["| module | Linux, KB | with | Rideau, KB |", "|---|---:|---|---:|"]
    for name, size in sorted(own.items(), key=lambda item: -item[1]):
        if not name.startswith("rust_"):
            parts = [part for part in PARTS.get(name, ()) if name in linux and part in linux]
            other = f"{sum(linux[part] for part in (name, *parts)) / 1024:,.0f}" if name in linux else "-"
            lines.append(f"| {name} | {other} | {', '.join(parts)} | {size / 1024:,.0f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", metavar="FILE", help="a Markdown file with the marks")
    parser.add_argument("--modular", action="store_true", help="of a kernel with all that can be a module, made beside this one")
    args = parser.parse_args()
    top = os.path.abspath(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE)
    if args.modular:
        top = programs.kernel_beside(top, "modular", {}, ["modular.config"])
    text = table(ours(top), debians())
    print(text)
    if args.write:
        bench.insert(args.write, text, BEGIN, END)


if __name__ == "__main__":
    main()
