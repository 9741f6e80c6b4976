#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Memory at the prompt: MemFree and MemAvailable of a 64 MB guest with busybox, and instructions to /init by memory size.

With --check it fails when less than --least MB are free, or when the largest guest needs more than twice the instructions
of the smallest to reach /init. Larger sizes are sparse: the host gives only what is touched.
"""

import argparse
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import bench  # noqa: E402
from guest import Guest, debian, image, programs  # noqa: E402


def free(kernel, megabytes, append):
    """MemTotal, MemFree, MemAvailable in MB at the prompt."""
    path = os.path.join(bench.BUILD, "memory.cpio")
    image.base().write(path)
    with Guest(kernel, path, append, memory=megabytes, limit=180, log=os.path.join(bench.BUILD, "memory.log")) as g:
        g.expect("@READY@", 170)
        text = g.check("cat /proc/meminfo")
    return [int(re.search(rf"{name}:\s+(\d+) kB", text).group(1)) / 1024 for name in ("MemTotal", "MemFree", "MemAvailable")]


def boot(kernel, initrd, megabytes, append):
    """Instructions from power-on to /init, firmware included."""
    sparse = ["-object", f"memory-backend-ram,id=ram,size={megabytes}M,reserve=off"]
    with Guest(kernel, initrd, append + " rows=none", machine="q35,memory-backend=ram", extra=sparse, memory=megabytes,
               icount=True, limit=300,
               log=os.path.join(bench.BUILD, "memory.log")) as g:
        return int(g.expect(r"^boot (\d+)\r*\n", 290).group(1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kernel", default=None)
    p.add_argument("--linux", action="store_true", help="measure Debian's kernel")
    p.add_argument("--least", type=float, default=44, help="MB that must be free of 64")
    p.add_argument("--sizes", default="64,1024,8192,65536", help="MB, for the boot")
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    kernel = debian.kernel() if a.linux else a.kernel or programs.default_kernel()
    append = bench.APPEND + (" " + bench.TUNED if a.linux else "")
    total, now, available = free(kernel, 64, append)
    print(f"64 MB: total {total:.1f} MB, free {now:.1f} MB, available {available:.1f} MB", flush=True)
    initrd, counts = bench.make_image(), {}
    for size in map(int, a.sizes.split(",")):
        counts[size] = boot(kernel, initrd, size, append)
        print(f"-m {size}: {counts[size]:,} instructions to /init, firmware included", flush=True)
    good = now >= a.least and max(counts.values()) <= 2 * min(counts.values())
    print("1 passed, 0 failed" if good else "0 passed, 1 failed")
    return 1 if a.check and not good else 0


if __name__ == "__main__":
    sys.exit(main())
