#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Instructions per operation on ext4 on a virtio disk, Debian's tuned kernel against ours: the rows of tools/testing/bench that work in
/tmp, with ext4 mounted there. QEMU's clock counts instructions. Compare a release kernel: the debug one checks what it does."""

import argparse
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, debian, programs  # noqa: E402

TUNED = " mitigations=off init_on_alloc=0 apparmor=0 audit=0"
ROWS = ["stat_deep", "create_unlink", "mkdir_rmdir", "rename", "readdir_64", "readdir_1000", "pread_4k", "pwrite_4k", "read_64k", "write_64k",
        "write_new_4k", "write_fsync_4k"]


def measure(args, kernel, linux, work):
    """{row: instructions for one operation}"""
    path, initrd = os.path.join(work, "image"), os.path.join(work, "initrd")
    images.make(path, 128 << 20, ["-t", "ext4", "-E", "lazy_itable_init=0"])
    cpio = tools.base(linux=linux)
    built = programs.build("bench")
    for name in ("bench", "tiny"):
        cpio.file(f"bin/{name}", src=os.path.join(built, name), mode=0o755)
    cpio.write(initrd)
    drive = ["-drive", f"file={path},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"]
    append = "console=ttyS0 loglevel=1 panic=-1" + (tools.LINUX + TUNED if linux else "")
    with Guest(kernel, initrd, append, memory=512, cpus=1, limit=args.limit, extra=drive, icount=True) as guest:
        guest.expect("@READY@", args.limit)
        guest.check("mkdir -p /tmp && mount -t ext4 /dev/vda /tmp", args.limit)
        out = guest.check(f"/bin/bench rows={','.join(args.rows or ROWS)}", args.limit)
        guest.check("umount /tmp", args.limit)
    return {name: float(value) for name, value in re.findall(r"^(\w+) ([\d.]+)\r?$", out, re.M)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="our kernel (default: what make built)")
    parser.add_argument("--limit", type=int, default=900, help="seconds for one machine")
    parser.add_argument("--most", type=float, help="fail with a ratio above this")
    parser.add_argument("rows", nargs="*", help="rows to measure")
    args = parser.parse_args()
    above = []
    try:
        with tempfile.TemporaryDirectory(prefix="ext4-speed-") as work:
            linux = measure(args, debian.kernel(), True, work)
            ours = measure(args, args.kernel or programs.default_kernel(), False, work)
    except GuestError as error:
        sys.exit(str(error))
    print("| row | Linux, tuned | Rideau | ratio |\n|---|---:|---:|---:|")
    for name, value in linux.items():
        ratio = ours.get(name, float("nan")) / value
        print(f"| {name} | {value:,.0f} | {ours.get(name, float('nan')):,.0f} | {ratio:.2f} |")
        if args.most and not ratio <= args.most:
            above.append(name)
    print(f"{len(linux) - len(above)} passed, {len(above)} failed, 0 skipped")
    sys.exit(1 if above or not linux else 0)


if __name__ == "__main__":
    main()
