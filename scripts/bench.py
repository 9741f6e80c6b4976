# SPDX-License-Identifier: GPL-2.0
"""`make bench`: runs tools/testing/bench on the kernel in objtree."""

import os
import sys

import kconfig


def main():
    program = os.path.join(kconfig.SRCTREE, "tools/testing/bench/bench.py")
    os.environ["KBUILD_OUTPUT"] = kconfig.OBJTREE
    os.execv(sys.executable, [sys.executable, program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
