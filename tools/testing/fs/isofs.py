#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Images of genisoimage with Rock Ridge and Joliet, and plain ones: the guest shows the tree that went in. Damaged images give errors and
nothing else. --linux: the same on Debian's kernel."""

import argparse
import hashlib
import os
import random
import re
import subprocess
import tempfile

import common
import images
from common import GuestError, Report

DRIVERS = ["isofs"]


def populate(top):
    images.populate(top, files=40, many=200)
    os.remove(os.path.join(top, "longlink"))
    os.symlink("/a/../b/./" + "c/" * 60 + "end", os.path.join(top, "longlink"))
    os.mknod(os.path.join(top, "char"), 0o20640, os.makedev(5, 1))
    os.mkfifo(os.path.join(top, "fifo"), 0o622)
    os.makedirs(os.path.join(top, "d1/d2/d3/d4/d5/d6/d7/d8/d9/d10"))
    with open(os.path.join(top, "d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/deep"), "w") as f:
        f.write("deep")
    for index in range(4):
        path = os.path.join(top, f"owned{index}")
        with open(path, "w") as f:
            f.write("x" * 3000 * index)
        os.chown(path, 1000 + index, 70 * index)
        os.chmod(path, 0o4000 >> index | 0o640)
        os.utime(path, (1, 10 ** 9 + index))


def make(source, path, options):
    subprocess.run(["genisoimage", "-quiet", "-input-charset", "utf-8", "-o", path, *options, source], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# Links of directories are counted by the writer in its own way, and what is deep lies under a name of its own besides.
PLAIN = r"sed -E 's/^(dir .*) [0-9]+ ([0-9]+)$/\1 \2/' | grep -v /rr_moved"


def rock(guest, args):
    guest.check("mount -t iso9660 -o ro /dev/vda /mnt/a", args.step)
    seen = guest.run(f"sh /list.sh /mnt/a | {PLAIN} >/tmp/seen; diff /expected /tmp/seen >/tmp/diff || {{ head -12 /tmp/diff; false; }}", args.step)
    if seen[0]:
        raise GuestError(f"another tree: {seen[1].strip()}")
    shown = guest.check("grep /dev/vda /proc/mounts").split()[3]
    if shown != "ro,relatime,nojoliet,check=s,map=n,blocksize=2048,iocharset=utf8":
        raise GuestError(f"/proc/mounts: {shown}")
    for command in ("echo >/mnt/a/new", "rm -f /mnt/a/owned1", "mkdir /mnt/a/d", "mount -o remount,rw /mnt/a"):
        if guest.run(f"({command}) 2>/dev/null </dev/null")[0] == 0:
            raise GuestError(f"{command} succeeds")
    guest.check("mount -o remount,ro /mnt/a && umount /mnt/a", args.step)
    options = "uid=5,gid=6,mode=0440,dmode=0550,overriderockperm,hide,check=r,map=off,session=2"
    guest.check(f"mount -t iso9660 -o ro,{options} /dev/vda /mnt/a", args.step)
    shown = guest.check("grep /dev/vda /proc/mounts").split()[3]
    wanted = ("ro,relatime,nojoliet,hide,overriderockperm,check=r,map=o,session=2,blocksize=2048,uid=5,gid=6,dmode=550,"
              "fmode=440,iocharset=utf8")
    if shown != wanted:
        raise GuestError(f"/proc/mounts: {shown}")
    seen = guest.check("stat -c '%a %u %g' /mnt/a/OWNED0 /mnt/a/many; stat -f -c '%t %s %f %l' /mnt/a").split("\n")
    if [line.strip() for line in seen if line.strip()] != ["440 5 6", "550 5 6", "9660 2048 0 255"]:
        raise GuestError(f"options: {seen}")
    guest.check("umount /mnt/a", args.step)
    for option in ("block=4096", "map=x", "session=100", "nonsense", "iocharset=none"):
        if guest.run(f"mount -t iso9660 -o ro,{option} /dev/vda /mnt/a 2>/dev/null")[0] == 0:
            raise GuestError(f"{option} is taken")


def pieces(data):
    """An image with two files of one block each, made into one file in two pieces."""
    at = data.index(b"PIECE1.;1")
    data[at - 8] |= 0x80
    return bytes(data).replace(b"PIECE2.;1", b"PIECE1.;1")


def in_pieces(guest, args):
    guest.check("mount -t iso9660 -o ro,loop /pieces /mnt/a", args.step)
    seen = guest.check("cd /mnt/a; ls; stat -c %s piece1; md5sum <piece1; cd /; umount /mnt/a", args.step).split()
    if seen[:3] != ["piece1", "5096", hashlib.md5(b"1" * 2048 + b"2" * 3048).hexdigest()]:
        raise GuestError(f"pieces: {seen}")


def joliet(guest, args, options, image):
    guest.check(f"mount -t iso9660 -o ro,loop{options} {image} /mnt/a", args.step)
    if "nojoliet" not in options:
        # Each file has one name at a time, whatever it was called.
        guest.check("cd /mnt/a && cat 'A LONGER name.text' 'a longer NAME.TEXT' dir/other.name. >/dev/null && ! cat 'a longer' 2>/dev/null; "
                    "[ \"$(ls | wc -l)\" = 3 ]; r=$?; cd /; [ $r = 0 ]", args.step)
    text = guest.check("cd /mnt/a && find . -type f -print0 | sort -z | xargs -0 md5sum; cd /", args.step)
    shown = guest.check("grep iso9660 /proc/mounts").split()[3]
    guest.check("umount /mnt/a", args.step)
    return sorted(text.splitlines()), shown


def damaged(guest, args, count):
    mounted = 0
    for index in range(count):
        _, text = guest.run(
            f"if mount -t iso9660 -o loop,ro /images/{index} /mnt/a 2>/dev/null; then echo mounted; "
            "find /mnt/a -maxdepth 12 2>/dev/null | head -2000 | xargs stat >/dev/null 2>&1; "
            "find /mnt/a -maxdepth 12 -type f -size -1000k 2>/dev/null | head -300 | xargs cat >/dev/null 2>&1; umount /mnt/a; fi", args.step)
        mounted += "mounted" in text
    guest.check("! grep -q iso9660 /proc/mounts", args.step)
    if not mounted:
        raise GuestError("none of the damaged images could be mounted")
    return mounted


def main():
    parser = common.arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("--images", type=int, default=30, help="damaged images")
    parser.add_argument("--seed", type=int, default=1)
    args = common.parse(parser)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="isofs-") as work:
        source, image = os.path.join(work, "source"), os.path.join(work, "image")
        populate(source)
        make(source, image, ["-R", "-J", "-joliet-long"])
        small = os.path.join(work, "small")
        os.makedirs(os.path.join(small, "Dir"))
        names = {"A longer name.text": b"1", "caf\u00e9": b"2", "Dir/Other.Name": b"3" * 5000}
        for name, data in names.items():
            with open(os.path.join(small, name), "wb") as f:
                f.write(data)
        cpio = common.base(args.linux, DRIVERS)
        lines = [re.sub(r"^(dir .*) [0-9]+ ([0-9]+)$", r"\1 \2", line) for line in common.manifest(source, xattrs=False)]
        cpio.file("expected", "".join(line + "\n" for line in sorted(lines)))
        halves = os.path.join(work, "halves")
        os.makedirs(halves)
        for name, data in (("piece1", b"1" * 2048), ("piece2", b"2" * 3048)):
            with open(os.path.join(halves, name), "wb") as f:
                f.write(data)
        make(halves, os.path.join(work, "pieces"), [])
        with open(os.path.join(work, "pieces"), "rb") as f:
            cpio.file("pieces", pieces(bytearray(f.read())))
        make(small, os.path.join(work, "joliet"), ["-J"])
        cpio.file("joliet", src=os.path.join(work, "joliet"))
        cpio.dir("images")
        rng = random.Random(args.seed)
        for index in range(args.images):
            make(small, os.path.join(work, "one"), [["-R"], ["-J"], ["-l"]][index % 3])
            with open(os.path.join(work, "one"), "rb") as f:
                data = bytearray(f.read())
            for _ in range(rng.choice((1, 3, 30))):
                data[rng.choice((rng.randrange(0x8000, 0x9000), rng.randrange(0x8000, len(data))))] = rng.randrange(256)
            cpio.file(f"images/{index}", bytes(data))
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with common.machine(args, initrd, [image]) as guest:
            guest.expect("@READY@", args.limit)
            guest.check("mkdir -p /mnt/a", args.step)
            try:
                rock(guest, args)
                report.ok("rock ridge")
                in_pieces(guest, args)
                report.ok("a file in two pieces")
                wanted = sorted(f"{hashlib.md5(data).hexdigest()}  ./{name}" for name, data in names.items())
                seen, shown = joliet(guest, args, ",iocharset=utf8", "/joliet")
                if seen != wanted or shown != "ro,relatime,norock,check=r,map=n,blocksize=2048,iocharset=utf8":
                    raise GuestError(f"joliet: {seen} {shown}")
                report.ok("joliet")
                seen, shown = joliet(guest, args, ",nojoliet", "/joliet")
                if len(seen) != 3 or not any("./dir/other.nam" in line for line in seen):
                    raise GuestError(f"plain: {seen} {shown}")
                report.ok("plain")
                mounted = damaged(guest, args, args.images)
                common.quiet(guest)
                report.ok(f"damaged ({mounted} of {args.images} could be mounted)")
            except GuestError as error:
                report.fail("isofs", error)
    report.finish()


if __name__ == "__main__":
    main()
