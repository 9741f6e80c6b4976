#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sizes of modules, ours and those of the same name of Debian's cloud kernel, both as they are installed: without debug information, signed.

Ours are those of the kernel in KBUILD_OUTPUT: `make modular.config all` makes a module of everything that can be one. `--write FILE` puts the
table into a Markdown file.
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
    """Markdown, the largest first; samples are nobody's."""
    lines = ["| module | Linux, KB | Rideau, KB |", "|---|---:|---:|"]
    for name, size in sorted(own.items(), key=lambda item: -item[1]):
        if not name.startswith("rust_"):
            other = f"{linux[name] / 1024:,.0f}" if name in linux else "-"
            lines.append(f"| {name} | {other} | {size / 1024:,.0f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", metavar="FILE", help="a Markdown file with the marks")
    args = parser.parse_args()
    text = table(ours(os.path.abspath(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE)), debians())
    print(text)
    if args.write:
        bench.insert(args.write, text, BEGIN, END)


if __name__ == "__main__":
    main()
