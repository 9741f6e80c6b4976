#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Power cuts: the machine is killed in the middle of a load of names and data. Of every two cuts one is recovered by e2fsck, the
other by the next boot of our kernel; then `e2fsck -fn` is clean, and every file that was synchronised is there with its content.
--linux: Debian's kernel instead."""

import argparse
import os
import random
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import images  # noqa: E402
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=4 panic=-1"

# Each round makes, renames, cuts and removes files; what is synchronised is said on the console, with its checksum.
LOAD = r"""
cd /mnt; n=$START
while :; do
  n=$((n+1)); d=d$((n % 7)); mkdir -p $d
  head -c $((n % 50000)) /dev/urandom >$d/tmp$n; mv $d/tmp$n $d/f$((n % 90))
  cp $d/f$((n % 90)) $d/g$n; rm -f d$(((n+3) % 7))/g$((n-5)); : >$d/empty$((n % 40))
  ln -f $d/g$n $d/hard$((n % 9)) 2>/dev/null; truncate -s $((n * 37 % 60000)) $d/g$n
  if [ $((n % 4)) = 0 ]; then
    echo "round $n" | cat - $d/f$((n % 90)) >keep$n; sync; set -- $(md5sum keep$n); echo "@KEPT keep$n $1@"
    rm -f keep$((n-40))
  fi
done
"""


def cut(args, rng, path, start, seconds, initrd):
    """Runs the load and kills the machine. Returns {name: md5} of what was synchronised."""
    drive = ("-drive", f"file={path},format=raw,if=none,id=d0,cache=writeback", "-device", "virtio-blk-pci,drive=d0")
    with Guest(args.kernel, initrd, f"{APPEND} START={start}", memory=256, cpus=args.cpus, limit=args.limit,
               extra=drive) as guest:
        guest.expect("@READY@", args.limit)
        guest.check(f"mount -t ext4 -o {args.options} /dev/vda /mnt", 60)
        guest.send("sh /load &\n")
        guest.expect("@KEPT", 60)
        time.sleep(seconds)
        guest.kill()
        kept = re.findall(r"@KEPT (keep\d+) ([0-9a-f]{32})@", guest.text)
    # The last ones may be removed again by a round whose sync is not done: only recent ones count.
    return dict(kept[-8:])


def verify(path, kept, work):
    images.check(path)
    for name, md5 in kept.items():
        out = os.path.join(work, "kept")
        images.tool("debugfs", "-R", f"dump /{name} {out}", path)
        import hashlib
        with open(out, "rb") as f:
            found = hashlib.md5(f.read()).hexdigest()
        if found != md5:
            raise RuntimeError(f"{name}: content {found}, synchronised was {md5}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=120, help="seconds for one machine")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--options", default="errors=remount-ro")
    parser.add_argument("--mke2fs", default="-t ext4 -J size=4")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="powercut-") as work:
        initrd = os.path.join(work, "initrd")
        cpio = image.base()
        cpio.file("load", LOAD)
        cpio.write(initrd)
        path = os.path.join(work, "image")
        images.make(path, 64 << 20, args.mke2fs.split())
        start = 0
        for number in range(args.cuts):
            try:
                kept = cut(args, rng, path, start, rng.uniform(0.2, 6.0), initrd)
                start += 1000
                if number % 2:
                    drive = ("-drive", f"file={path},format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0")
                    with Guest(args.kernel, initrd, APPEND, memory=256, cpus=args.cpus, limit=args.limit, extra=drive) as guest:
                        guest.expect("@READY@", args.limit)
                        guest.check("mount -t ext4 /dev/vda /mnt", 60)
                        guest.check("ls -lR /mnt >/dev/null && umount /mnt", 60)
                else:
                    images.recover(path)
                verify(path, kept, work)
                report.ok(f"cut {number}: {len(kept)} files kept, recovered by {'the kernel' if number % 2 else 'e2fsck'}")
            except (GuestError, RuntimeError) as error:
                report.fail(f"cut {number}", error)
                break
    report.finish()


if __name__ == "__main__":
    main()
