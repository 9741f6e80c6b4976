#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Damaged images: small file systems with bytes of their metadata changed at random (superblock, group descriptors, bitmaps, inodes,
extents, directories, journal) are mounted in the guest, read as a whole, written to and unmounted, many in one boot (the program
`damage`). Every step may fail, with an error; the kernel must not complain of itself, hang, or lose memory. `errors=` is obeyed: where
the log speaks of an error under `errors=remount-ro`, the file system is read-only; under `errors=panic` the machine stops. --linux: on
Debian's kernel."""

import argparse
import errno
import os
import random
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=1 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|stack overflow|rcu.*stall).*$", re.M)
WRONG = re.compile(r"^(NOT-RO|BUSY|HANG|ENDLESS) \d+.*$", re.M)
SIZE = 4 << 20
BLOCK = 1024
# Options of mke2fs, and whether the journal is full of what is to be replayed.
KINDS = [
    (["-t", "ext4", "-b", "1024", "-O", "^metadata_csum", "-J", "size=1", "-N", "256"], False),
    (["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,inline_data", "-J", "size=1", "-N", "256"], False),
    (["-t", "ext4", "-b", "1024", "-J", "size=1", "-N", "256"], False),
    (["-t", "ext2", "-b", "1024", "-N", "256"], False),
    (["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,bigalloc,^has_journal", "-C", "4096", "-N", "256"], False),
    (["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^64bit,quota", "-J", "size=1", "-N", "256"], True),
    (["-t", "ext3", "-b", "1024", "-O", "dir_nlink", "-N", "256"], True),
]
# What a call may say of a damaged file system, or of one that had to become read-only.
ALLOWED = ["EUCLEAN", "EBADMSG", "EIO", "EROFS", "EINVAL", "EOPNOTSUPP", "EFBIG", "EOVERFLOW", "ENOSPC", "EDQUOT", "ENOENT", "ENXIO", "ENODATA",
           "ENOTDIR", "EISDIR", "EEXIST", "EPERM", "ENOTEMPTY", "EMLINK", "ERANGE", "ELOOP", "ENOTSUP", "EACCES", "EXDEV", "ENODEV",
           "E2BIG", "ENOTTY", "ETXTBSY", "ESRCH"]


def replayed(path, work):
    """Puts a transaction into the image's journal that has still to be replayed: of blocks as they are."""
    blocks = " ".join(str(number) for number in (2, *range(40, 60)))
    data = os.path.join(work, "blocks")
    with open(path, "rb") as image, open(data, "wb") as out:
        for number in blocks.split():
            image.seek(int(number) * BLOCK)
            out.write(image.read(BLOCK))
    images.tool("debugfs", "-w", "-f", "-", path, stdin=f"jo\njw -b {blocks.replace(' ', ',')} {data}\njc\n")


def places(path, image):
    """Where metadata is, by kind: [blocks]."""
    groups = images.tool("dumpe2fs", path)
    table = [int(number) for number in re.search(r"Inode table at (\d+)-(\d+)", groups).groups()]
    bitmaps = [int(number) for number in re.findall(r"[Bb]itmap at (\d+)", groups)]
    inodes = range(table[0], min(table[1], table[0] + 24) + 1)
    found = {"superblock": [1], "descriptors": [2], "bitmaps": bitmaps, "inodes": list(inodes), "nodes": [], "directories": [], "journal": []}
    for block in range(table[1] + 1, len(image) // BLOCK):
        data = image[block * BLOCK:(block + 1) * BLOCK]
        if data[:2] == b"\x0a\xf3":
            found["nodes"].append(block)
        elif data[4:8] == b"\x0c\x00\x01\x02" or re.search(rb"a name that is not short", data):
            found["directories"].append(block)
        elif data[:4] == b"\xc0\x3b\x39\x98":
            found["journal"].append(block)
    return [blocks for blocks in found.values() if blocks]


def changes(rng, image, kinds):
    """A few changed bytes: [offset:hexadecimal]."""
    found = []
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.choice(rng.choice(kinds)) * BLOCK
        # Descriptors and the log's first words are at the start of their blocks, most of a superblock, too.
        at += rng.randrange(rng.choice((64, 256, BLOCK)))
        how = rng.randrange(4)
        if how == 0:
            new = bytes([image[at] ^ 1 << rng.randrange(8)])
        elif how == 1:
            new = bytes([rng.choice((0, 1, 0x7f, 0x80, 0xff))])
        elif how == 2:
            width = rng.choice((2, 4, 8))
            new = rng.choice((0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1))).to_bytes(width, "little")
        else:
            new = rng.randbytes(4)
        found.append(f"{at}:{new.hex()}")
    return found


def panics(args, initrd, path):
    """The root directory has a wrong checksum: with `errors=panic` the machine stops when somebody reads it."""
    block = int(images.tool("debugfs", "-R", "blocks <2>", path).splitlines()[-1].split()[0])
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


def batch(args, initrd, drives, first, report):
    """Images from `first` on in one boot. Returns the number of the next image to try, and the counts of errors."""
    append = APPEND + (tools.LINUX if args.linux else "")
    errors, last = {}, first
    with Guest(args.kernel, initrd, append, memory=256, cpus=args.cpus, limit=args.limit, extra=drives) as guest:
        guest.expect("@READY@", args.limit)
        guest.send(f"/bin/damage disk=/dev/vda sound=/dev/vdb cases=/cases size={SIZE} first={first} limit={args.step}; echo @@$?@@\n")
        try:
            while True:
                found = guest.expect(r"^(done (\d+) free \d+|(NOT-RO|BUSY|HANG|ENDLESS) (\d+).*|end (\d+) images, (\d+) mounted|@@\d+@@)\r?$", 100 + args.step * 2)
                if found[2]:
                    last = first + int(found[2])
                    if int(found[2]) % 1000 == 0:
                        print(f"{last} images so far", flush=True)
                elif found[3] == "HANG":
                    guest.expect("^END OF HANG", 20)
                    raise GuestError(f"image {found[4]} hangs\n{guest.text[guest.text.find('HANG'):][:30000]}")
                elif found[3]:
                    raise GuestError(f"image {found[4]}: {found[1]}\n{guest.text[-1500:]}")
                elif found[5]:
                    last = args.images
                    free = [int(number) for number in re.findall(r"^done \d+ free (\d+)", guest.text, re.M)]
                    report.ok(f"images {first} to {last - 1}: {found[6]} were mounted; KiB free after each 50: {free[:4]} ... {free[-4:]}")
                    if len(free) > 3:
                        report.add("memory stays", free[-1] > free[1] - args.lost, f"{free} KiB were free")
                    break
                else:
                    raise GuestError(f"the program ended\n{guest.text[-1500:]}")
                if COMPLAINT.search(guest.text):
                    raise GuestError(f"after {last} images: {COMPLAINT.search(guest.text).group(0)}\n{guest.text[-3000:]}")
            for what, number, count in re.findall(r"^error (\w+) (\d+) (\d+)", guest.text, re.M):
                name = errno.errorcode.get(int(number), number)
                errors[what, name] = errors.get((what, name), 0) + int(count)
        except GuestError as error:
            found = WRONG.search(guest.text)
            report.fail(f"images from {first} on: {found[0] if found else ''}", error)
            last = int(found[0].split()[1]) + 1 if found else last + 50
    return last, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="begin with this image")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, default=3600, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=60, help="seconds after which an image is said to hang")
    parser.add_argument("--lost", type=int, default=1024, help="KiB of memory that may be gone at the end")
    parser.add_argument("--cpus", type=int, default=2)
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="damage-") as work:
        source = os.path.join(work, "source")
        images.populate(source, files=10, many=40, largest=70000)
        sound, disk, cases = (os.path.join(work, name) for name in ("sound", "disk", "cases"))
        bases = []
        with open(sound, "wb") as out:
            for number, (options, dirty) in enumerate(KINDS):
                path = os.path.join(work, f"sound{number}")
                images.make(path, SIZE, options, source)
                if dirty:
                    replayed(path, work)
                with open(path, "rb") as f:
                    data = f.read()
                out.write(data[:SIZE])
                bases.append((data, places(path, data)))
        with open(cases, "w") as out:
            for number in range(args.images):
                kind = number % len(KINDS)
                policy = ("continue", "remount-ro")[number // len(KINDS) % 2]
                print(number, kind, policy, *changes(rng, *bases[kind]), file=out)
        with open(disk, "wb") as f:
            f.truncate(SIZE)
        initrd = os.path.join(work, "initrd")
        cpio = tools.base(linux=args.linux)
        cpio.file("cases", src=cases)
        cpio.file("bin/damage", src=os.path.join(programs.build("ext4-tests"), "damage"), mode=0o755)
        cpio.write(initrd)
        drives = []
        for number, file in enumerate((disk, sound)):
            drives += ["-drive", f"file={file},format=raw,if=none,id=d{number},cache=unsafe",
                       "-device", f"virtio-blk-pci,drive=d{number}"]
        first, errors = args.first, {}
        while first < args.images and report.failed < 20:
            first, more = batch(args, initrd, drives, first, report)
            for key, count in more.items():
                errors[key] = errors.get(key, 0) + count
        names = {}
        for (what, name), count in errors.items():
            names.setdefault(name, {})[what] = count
        for name, calls in sorted(names.items()):
            print(f"{name}: " + ", ".join(f"{what} {count}" for what, count in sorted(calls.items())))
        strange = {name: calls for name, calls in names.items() if name not in ALLOWED}
        report.add("errors are those of a damaged file system", not strange, strange)
        try:
            panics(args, initrd, os.path.join(work, "sound2"))
            report.ok("errors=panic stops the machine")
        except GuestError as error:
            report.fail("errors=panic", error)
    report.finish()


if __name__ == "__main__":
    main()
