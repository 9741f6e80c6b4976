#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Images of mksquashfs with every compressor and layout, through a disk and a loop device: the guest shows the tree that went in (names,
modes, owners, times, links, devices, content, extended attributes). Damaged images give errors and nothing else. --linux: the same on
Debian's kernel."""

import argparse
import os
import random
import subprocess
import tempfile

import common
import images
from common import GuestError, Report

DRIVERS = ["squashfs"]
# name, options of mksquashfs
ROWS = [
    ("gzip", []),
    ("gzip4k", ["-b", "4096", "-Xcompression-level", "1"]),
    ("gzip1m", ["-b", "1M"]),
    ("xz", ["-comp", "xz"]),
    ("xz_x86", ["-comp", "xz", "-Xbcj", "x86", "-b", "256K"]),
    ("zstd", ["-comp", "zstd"]),
    ("zstd1m", ["-comp", "zstd", "-b", "1M", "-Xcompression-level", "19"]),
    ("lz4", ["-comp", "lz4"]),
    ("lzo", ["-comp", "lzo"]),
    ("plain", ["-noI", "-noD", "-noF", "-noX"]),
    ("nofrag", ["-no-fragments", "-comp", "lzo", "-b", "64K"]),
    ("tails", ["-always-use-fragments", "-comp", "lz4", "-b", "8K"]),
    ("noexport", ["-no-exports", "-no-duplicates", "-no-sparse"]),
]


def populate(top):
    """A tree with all that an image can hold."""
    images.populate(top, files=50, many=300)
    for name, mode, major, minor in (("char", 0o20640, 5, 1), ("block", 0o60660, 8, 17), ("bigchar", 0o20600, 300, 70000)):
        os.mknod(os.path.join(top, name), mode, os.makedev(major, minor))
    os.mkfifo(os.path.join(top, "fifo"), 0o622)
    with open(os.path.join(top, "big"), "wb") as f:
        rng = random.Random(3)
        for _ in range(40):
            f.write(rng.randbytes(30000) + b"pattern " * 5000)
    os.link(os.path.join(top, "big"), os.path.join(top, "many", "hard"))
    os.makedirs(os.path.join(top, "attrs", "dir"))
    for index in range(6):
        path = os.path.join(top, "attrs", f"f{index}")
        with open(path, "w") as f:
            f.write("x" * index)
        os.setxattr(path, "user.same", b"shared by all of them, long enough to be stored once")
        os.setxattr(path, "user.number", str(index).encode())
        os.chmod(path, 0o4000 >> index | 0o640)
        os.chown(path, 1000 + index, 70000 * index)
        os.utime(path, (1, 10 ** 9 + index))
    os.setxattr(os.path.join(top, "attrs", "f1"), "trusted.t", bytes(range(256)))
    os.setxattr(os.path.join(top, "attrs", "f2"), "security.s", b"")
    os.setxattr(os.path.join(top, "attrs", "f3"), "user.large", b"L" * 3000)
    os.setxattr(os.path.join(top, "attrs", "dir"), "user.dir", b"of a directory")
    os.chmod(os.path.join(top, "attrs", "dir"), 0o1777)


def make(source, path, options):
    subprocess.run(["mksquashfs", source, path, "-noappend", "-quiet", "-no-progress", "-xattrs", "-processors", "2", *options],
                   check=True, stdout=subprocess.DEVNULL)


def formats(args, report, work, rows):
    """Every row as a disk, and as a loop device on tmpfs."""
    source = os.path.join(work, "source")
    populate(source)
    cpio = common.base(args.linux, DRIVERS, ["getfattr"])
    cpio.file("expected", "".join(line + "\n" for line in common.manifest(source)))
    initrd = os.path.join(work, "initrd")
    cpio.write(initrd)
    # With many disks the firmware's tables grow into the room that QEMU leaves for an initramfs.
    for first in range(0, len(rows), 2):
        some = rows[first:first + 2]
        paths = []
        for name, options in some:
            paths.append(os.path.join(work, name))
            make(source, paths[-1], options)
        with common.machine(args, initrd, paths) as guest:
            guest.expect("@READY@", args.limit)
            guest.check("export XATTRS=1; mkdir -p /mnt/a; grep -q squashfs /proc/filesystems", args.step)
            for number, (name, _) in enumerate(some):
                try:
                    row(guest, args, f"/dev/vd{chr(ord('a') + number)}")
                    common.quiet(guest)
                    report.ok(name)
                except GuestError as error:
                    report.fail(name, error)
                    guest.run("cd /; umount /mnt/a; losetup -d /dev/loop0", args.step)


def row(guest, args, disk):
    guest.check(f"mount -t squashfs -o ro {disk} /mnt/a", args.step)
    common.same(guest, args, "/mnt/a", "/expected")
    shown = guest.check(f"grep {disk} /proc/mounts").split()
    if shown[2:4] != ["squashfs", "ro,relatime,errors=continue"]:
        raise GuestError(f"/proc/mounts: {shown}")
    for command in ("echo >/mnt/a/new", "rm -f /mnt/a/big", "mkdir /mnt/a/d", "touch /mnt/a/big", "mount -o remount,rw /mnt/a"):
        if guest.run(f"({command}) 2>/dev/null </dev/null")[0] == 0:
            # Debian's kernel answers a remount with success and leaves it read-only.
            if "remount" not in command or not args.linux:
                raise GuestError(f"{command} succeeds")
    # Read again without the cache, backwards and by many at once.
    guest.check("echo 3 >/proc/sys/vm/drop_caches; tac /mnt/a/attrs/f3 >/dev/null")
    guest.check("for i in 1 2 3 4; do md5sum /mnt/a/big /mnt/a/sparse >/tmp/sum$i & done; wait; "
                "for i in 2 3 4; do cmp /tmp/sum1 /tmp/sum$i; done", args.step)
    guest.check("umount /mnt/a", args.step)
    guest.check(f"cat {disk} >/tmp/copy && losetup -r /dev/loop0 /tmp/copy && mount -t squashfs /dev/loop0 /mnt/a", args.step)
    common.same(guest, args, "/mnt/a", "/expected")
    guest.check("umount /mnt/a && losetup -d /dev/loop0; rm /tmp/copy", args.step)


def damaged(args, report, work):
    """Images with bytes changed: whatever they say, the kernel goes on."""
    source = os.path.join(work, "small")
    images.populate(source, files=12, many=20, largest=9000)
    cpio = common.base(args.linux, DRIVERS, ["getfattr"])
    cpio.dir("images")
    rng = random.Random(args.seed)
    for index in range(args.images):
        path = os.path.join(work, "one")
        make(source, path, [["-b", "4096"], ["-comp", "xz"], ["-noI", "-noX", "-noD"], ["-comp", "lz4"], ["-noI", "-comp", "lzo"], ["-comp", "zstd"]][index % 6])
        with open(path, "rb") as f:
            data = bytearray(f.read())
        tables = int.from_bytes(data[64:72], "little")
        for _ in range(rng.choice((1, 2, 10, 60))):
            # The super block, the tables at the end, or anywhere.
            at = rng.choice((rng.randrange(96), rng.randrange(min(tables, len(data) - 1), len(data)), rng.randrange(len(data))))
            data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), 0, 255, rng.randrange(256)))
        if rng.randrange(8) == 0:
            del data[rng.randrange(len(data)):]
        cpio.file(f"images/{index}", bytes(data))
    initrd = os.path.join(work, "initrd2")
    cpio.write(initrd)
    mounted = 0
    with common.machine(args, initrd) as guest:
        guest.expect("@READY@", args.limit)
        guest.check("mkdir -p /mnt/a; dmesg -n 3 2>/dev/null; true", args.step)
        for index in range(args.images):
            # Names that a damaged directory makes up may lead round: a depth is enough.
            _, text = guest.run(
                f"if mount -t squashfs -o loop,ro /images/{index} /mnt/a 2>/dev/null; then echo mounted; "
                "find /mnt/a -maxdepth 12 2>/dev/null | head -2000 | xargs stat >/dev/null 2>&1; "
                "find /mnt/a -maxdepth 12 -type f -size -1000k 2>/dev/null | head -300 | xargs cat >/dev/null 2>&1; "
                "getfattr -R -P -h -d -m - /mnt/a >/dev/null 2>&1; umount /mnt/a; fi", args.step)
            mounted += "mounted" in text
        common.quiet(guest)
        guest.check("! grep -q squashfs /proc/mounts; ! grep -q /images /proc/mounts", args.step)
    if not mounted:
        raise GuestError("none of the damaged images could be mounted")
    report.ok(f"damaged ({mounted} of {args.images} could be mounted)")


def main():
    parser = common.arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("--images", type=int, default=60, help="damaged images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("only", nargs="*", help="names of rows, `damaged` among them")
    args = common.parse(parser)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="squashfs-") as work:
        rows = [row for row in ROWS if not args.only or row[0] in args.only]
        if rows:
            formats(args, report, work, rows)
        if not args.only or "damaged" in args.only:
            try:
                damaged(args, report, work)
            except GuestError as error:
                report.fail("damaged", error)
    report.finish()


if __name__ == "__main__":
    main()
