# SPDX-License-Identifier: GPL-2.0
"""`make rustfmt` and `make rustfmtcheck`: every Rust file of the tree, by rustfmt.toml."""

import os
import subprocess
import sys

import toolchain

SRCTREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    check = sys.argv[1] == "rustfmtcheck"
    rustfmt = toolchain.tool("rustfmt", "rustfmt-web")
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.rs"], cwd=SRCTREE, stdout=subprocess.PIPE,
                          text=True, check=True)
    files = [name for name in done.stdout.splitlines() if os.path.exists(os.path.join(SRCTREE, name))]
    bad = 0
    for start in range(0, len(files), 50):
        line = [rustfmt, "--edition", "2024", "--config", "skip_children=true", *(["--check", "-l"] if check else []),
                *files[start:start + 50]]
        # skip_children is unstable, and needed: without it a file of a crate is formatted once for every parent.
        result = subprocess.run(line, cwd=SRCTREE, stdout=subprocess.PIPE, text=True,
                                env=dict(os.environ, RUSTC_BOOTSTRAP="1"))
        names = sorted({os.path.relpath(name, SRCTREE) for name in result.stdout.split()})
        for name in names:
            print(f"FAILED  {name} is not as `make rustfmt` leaves it")
        bad += len(names) if check else (result.returncode != 0)
        if result.returncode != 0 and not names:
            bad += 1
    if check:
        print(f"{max(len(files) - bad, 0)} passed, {bad} failed, 0 skipped")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
