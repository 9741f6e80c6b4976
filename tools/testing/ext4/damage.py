#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Damaged images: small file systems with bytes of their metadata changed at random are mounted in the guest, read as a whole,
written to and unmounted. Every step may fail, with an error; the kernel must not complain of itself, hang, or lose memory. `errors=`
is obeyed: where the log speaks of an error under `errors=remount-ro`, the file system is read-only; under `errors=panic` the machine
stops. --linux: on Debian's kernel."""

import argparse
import os
import random
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import disks  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=1 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|stack overflow).*$", re.M)
SIZE = 4 << 20
KINDS = [
    ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum", "-J", "size=1", "-N", "256"],
    ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,inline_data", "-J", "size=1", "-N", "256"],
    ["-t", "ext4", "-b", "1024", "-J", "size=1", "-N", "256"],
    ["-t", "ext2", "-b", "1024", "-N", "256"],
    ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,bigalloc,^has_journal", "-C", "4096", "-N", "256"],
]

# One image: everything may fail but must end.
ONE = r"""
dd if=/dev/vdb of=/dev/vda bs=4M skip=$1 count=1 conv=fsync 2>/dev/null
dmesg -c >/dev/null
mount -t ext4 -o errors=$2 /dev/vda /mnt 2>/dev/null || exit 0
cd /mnt
ls -lRa . >/dev/null 2>&1
find . -type f -exec cat {} + >/dev/null 2>&1
mkdir new && cp -r dir0* new/copy
echo text >new/file; rm -rf many; mv sparse new/; ln new/file new/hard; truncate -s 100 new/sparse; dd if=/dev/zero of=big bs=4k count=20
sync
state=$(grep ' /mnt ' /proc/mounts)
cd /
if [ $2 = remount-ro ] && dmesg | grep -q 'EXT4-fs error'; then
  case "$state" in *" ro,"*|*" ro "*) ;; *) echo "NOT-RO $1" ;; esac
fi
umount /mnt || echo "BUSY $1"
"""


def places(image):
    """Where metadata is: the first blocks, and every block that looks like a directory, a tree's node or a log's block."""
    found = list(range(0, 64))
    for block in range(64, len(image) // 1024):
        data = image[block * 1024:(block + 1) * 1024]
        if data[:2] == b"\x0a\xf3" or data[:4] in (b"\xc0\x3b\x39\x98",) or (data[4:8] == b"\x0c\x00\x01\x02"):
            found.append(block)
    return found


def mutate(rng, image, blocks):
    """Changes a few bytes."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.choice(blocks) * 1024 + rng.randrange(1024)
        how = rng.randrange(4)
        if how == 0:
            image[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            image[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff))
        elif how == 2:
            width = rng.choice((2, 4, 8))
            image[at:at + width] = rng.choice((0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1))).to_bytes(width, "little")
        else:
            image[at:at + 4] = rng.randbytes(4)


def panics(args, initrd, path):
    """The root directory has a wrong checksum: with `errors=panic` the machine stops when somebody reads it."""
    block = int(disks.tool("debugfs", "-R", "blocks <2>", path).splitlines()[-1].split()[0])
    with open(path, "r+b") as f:
        f.seek(block * 1024 + 1000)
        f.write(b"damaged")
    drive = ["-drive", f"file={path},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"]
    append = APPEND + (tools.LINUX if args.linux else "")
    with Guest(args.kernel, initrd, append, memory=256, cpus=args.cpus, limit=args.limit, extra=drive) as guest:
        guest.expect("@READY@", args.limit)
        guest.send("mount -t ext4 -o errors=panic /dev/vda /mnt; ls -l /mnt; echo @ON@\n")
        if guest.expect(r"^@ON@|Kernel panic - not syncing: EXT4-fs \(device vda\): panic forced after error", args.step)[0] == "@ON@":
            raise GuestError("the machine goes on")
        guest.wait(args.step)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=1200, help="seconds for the machine")
    parser.add_argument("--step", type=int, default=60, help="seconds for one image")
    parser.add_argument("--cpus", type=int, default=2)
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="damage-") as work:
        source = os.path.join(work, "source")
        disks.populate(source, files=10, many=40, largest=70000)
        clean = []
        for number, options in enumerate(KINDS):
            path = os.path.join(work, f"clean{number}")
            disks.make(path, SIZE, options, source)
            with open(path, "rb") as f:
                clean.append(f.read())
        all_path, disk = os.path.join(work, "all"), os.path.join(work, "disk")
        with open(all_path, "wb") as f:
            for number in range(args.images):
                image = bytearray(clean[number % len(clean)])
                mutate(rng, image, places(clean[number % len(clean)]))
                f.write(image[:SIZE])
        with open(disk, "wb") as f:
            f.truncate(SIZE)
        initrd = os.path.join(work, "initrd")
        cpio = tools.base(linux=args.linux)
        cpio.file("one.sh", ONE)
        cpio.write(initrd)
        drives = []
        for number, file in enumerate((disk, all_path)):
            drives += ["-drive", f"file={file},format=raw,if=none,id=d{number},cache=unsafe",
                       "-device", f"virtio-blk-pci,drive=d{number}"]
        done = 0
        try:
            with Guest(args.kernel, initrd, APPEND + (tools.LINUX if args.linux else ""), memory=256, cpus=args.cpus, limit=args.limit, extra=drives) as guest:
                guest.expect("@READY@", args.limit)
                free = []
                for number in range(args.images):
                    policy = ("continue", "remount-ro")[number // len(KINDS) % 2]
                    out = guest.run(f"sh /one.sh {number} {policy} 2>/dev/null", args.step)[1]
                    done += 1
                    found = COMPLAINT.search(guest.text) or re.search(r"^(NOT-RO|BUSY) \d+$", out, re.M)
                    if found:
                        raise GuestError(f"image {number}: {found.group(0)}\n{guest.text[-2500:]}")
                    if number % 50 == 49:
                        guest.run("echo 3 >/proc/sys/vm/drop_caches", args.step)
                        free.append(int(re.search(r"MemFree:\s+(\d+)", guest.check("cat /proc/meminfo"))[1]))
                report.ok(f"{done} images; free memory in KiB after each 50: {free}")
                if len(free) > 2:
                    report.add("memory stays", free[-1] > free[0] - 4096, f"{free} KiB were free")
        except GuestError as error:
            report.fail(f"{done} of {args.images} images", error)
        try:
            panics(args, initrd, os.path.join(work, "clean2"))
            report.ok("errors=panic stops the machine")
        except GuestError as error:
            report.fail("errors=panic", error)
    report.finish()


if __name__ == "__main__":
    main()
