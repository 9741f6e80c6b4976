# SPDX-License-Identifier: GPL-2.0
"""Finds the Rust toolchain that builds the kernel: Debian's `*-web` packages, or rustup's with `rust-src`.

`find()` returns the tools, or ends with one line that says what is wrong. $RUSTC and $CARGO choose by hand.
"""

import functools
import os
import re
import shutil
import subprocess
import sys

MIN_VERSION = (1, 95)
TARGET = "x86_64-unknown-none"


def _output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout if done.returncode == 0 else ""


def _problem(rustc):
    """Why `rustc` cannot build the kernel, or None."""
    found = re.match(r"rustc (\d+)\.(\d+)\.(\d+)", _output(rustc, "--version"))
    if not found:
        return f"{rustc} does not run"
    version = tuple(int(n) for n in found.groups())
    if version < MIN_VERSION:
        return f"{rustc} is {'.'.join(map(str, version))}; {MIN_VERSION[0]}.{MIN_VERSION[1]} or later is needed"
    sysroot = _output(rustc, "--print", "sysroot").strip()
    if not os.path.exists(f"{sysroot}/lib/rustlib/src/rust/library/core/src/lib.rs"):
        return f"the library source of {rustc} is missing (package rust-web-src, or `rustup component add rust-src`)"
    if TARGET not in _output(rustc, "--print", "target-list").split():
        return f"{rustc} does not know the target {TARGET}"
    return None


def _candidates():
    """Pairs (rustc, cargo) to try, best first."""
    if os.environ.get("RUSTC"):
        rustc = os.environ["RUSTC"]
        beside = os.path.join(os.path.dirname(rustc), "cargo")
        yield rustc, os.environ.get("CARGO") or (beside if os.path.exists(beside) else "cargo")
        return
    yield "/usr/bin/rustc", "/usr/bin/cargo"
    if shutil.which("rustc"):
        yield shutil.which("rustc"), shutil.which("cargo") or "cargo"


def problem():
    """The reason why no toolchain serves, or None when one does."""
    first = None
    for rustc, cargo in _candidates():
        if not shutil.which(rustc) or not shutil.which(cargo):
            first = first or f"there is no {rustc if not shutil.which(rustc) else cargo}"
            continue
        why = _problem(rustc)
        if why is None:
            return None
        first = first or why
    return first or "there is no rustc"


@functools.lru_cache(maxsize=None)
def find():
    """(rustc, cargo) that serve; ends the program when there are none."""
    for rustc, cargo in _candidates():
        if shutil.which(rustc) and shutil.which(cargo) and _problem(rustc) is None:
            return rustc, cargo
    sys.exit(f"*** The Rust toolchain does not serve: {problem()}. On Debian 12: "
             "apt-get install rustc-web cargo-web rust-web-src")


def environment():
    """The environment for cargo and its children."""
    rustc, _ = find()
    # The unstable features that the kernel uses are those of Rust-for-Linux; see Documentation/architecture.md.
    env = dict(os.environ, RUSTC=rustc, RUSTC_BOOTSTRAP="1")
    beside = os.path.join(os.path.dirname(rustc), "rustdoc")
    if os.path.exists(beside):
        env["RUSTDOC"] = beside
    env.pop("RUSTFLAGS", None)
    return env


def tool(name, package):
    """A tool that comes with Rust (rustfmt, clippy-driver): in PATH, or a message about `package`."""
    for path in (f"/usr/bin/{name}", shutil.which(name), os.path.expanduser(f"~/.cargo/bin/{name}")):
        if path and os.path.exists(path):
            return path
    sys.exit(f"*** {name} is missing: apt-get install {package}")


if __name__ == "__main__":
    print(*find())
