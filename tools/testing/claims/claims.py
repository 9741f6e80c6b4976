#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The claimed map of kernel/locking/wait on the host: threads that use ranges while others change the map. No kernel is started.
`--rounds N --seed S` tries others than the usual."""

import argparse
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Report, programs  # noqa: E402


def build():
    """Builds the program; its path."""
    target = programs.build_dir("claims")
    env = dict(os.environ, CARGO_TARGET_DIR=target, RUSTC_BOOTSTRAP="1")
    for name in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"):
        env.pop(name, None)
    done = subprocess.run([os.environ.get("CARGO") or "cargo", "build", "-q", "--release"], cwd=HERE, env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"cannot build claims:\n{done.stdout}")
    return os.path.join(target, "release", "claims")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=20000)
    p.add_argument("--seed", type=int, default=1, help="the first")
    p.add_argument("--limit", type=float, default=300, help="seconds")
    a = p.parse_args()
    report = Report()
    command = [build(), str(a.rounds), str(a.seed)]
    try:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=a.limit)
        output, ended = done.stdout, f"status {done.returncode}"
    except subprocess.TimeoutExpired as late:
        output, ended = (late.stdout or b"").decode(errors="replace"), "no end"
    for number, name in ((1, "threads"), (2, "copy")):
        report.add(name, f"ok {number} {name}" in output, f"{output}{ended}")
    report.finish()


if __name__ == "__main__":
    main()
