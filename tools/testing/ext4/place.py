#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Our own defragmentation, `e4place`, and what it stands on: files of a tree behind their directory, room for a file where free space is in
pieces, with the same content afterwards and nothing for e2fsck; and e2freefrag and xfs_io (`FS_IOC_GETFSMAP`) on a mounted file system. --linux:
the parts that Debian's kernel has."""

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
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|EXT4-fs error).*$", re.M)
SUMS = "find . -type f | sort | xargs md5sum | md5sum"


def extents(guest, path):
    return int(re.search(r": (\d+) extents? found", guest.check(f"filefrag {path}")).group(1))


def related(guest):
    """Files written in turn with those of another tree lie behind their directory afterwards, in one piece each."""
    guest.check("mkdir /mnt/a /mnt/b; i=0; while [ $i -lt 12 ]; do for f in 1 2 3 4 5 6 7 8; do for d in a b; do "
                "dd if=/dev/urandom bs=8k count=3 2>/dev/null >>/mnt/$d/f$f; done; done; sync; i=$((i+1)); done", 200)
    sums = guest.check(f"cd /mnt/a && {SUMS}; cd /mnt/b && {SUMS}; cd /")
    before = sum(extents(guest, f"/mnt/a/f{n}") for n in range(1, 9))
    said = guest.check("/bin/e4place related /mnt/a", 120)
    after = sum(extents(guest, f"/mnt/a/f{n}") for n in range(1, 9))
    guest.check("sync; echo 3 >/proc/sys/vm/drop_caches")
    if guest.check(f"cd /mnt/a && {SUMS}; cd /mnt/b && {SUMS}; cd /") != sums:
        raise GuestError("the content is another")
    if before < 16 or after > 9:
        raise GuestError(f"{before} extents before, {after} after: {said}")
    near = int(re.search(r"before, (\d+) after; ", said).group(1))
    far = int(re.search(r"directory (\d+) blocks", said).group(1))
    return f"{before} extents before, {after} after; {far} and {near} blocks away"


def free(guest):
    """Free space is in pieces of 256 KB; a file of 6 MB gets a place in one piece, and those in the way keep their content."""
    guest.check("mkdir /mnt/c; i=0; while dd if=/dev/urandom of=/mnt/c/f$i bs=256k count=1 2>/dev/null; do i=$((i+1)); done; "
                "n=$i; rm -f /mnt/c/f$n; i=0; while [ $i -lt $n ]; do rm -f /mnt/c/f$i; i=$((i+2)); done; sync", 300)
    guest.check("dd if=/dev/urandom of=/mnt/target bs=64k count=96 2>/dev/null; sync; sleep 6")
    before = extents(guest, "/mnt/target")
    if before < 8:
        raise GuestError(f"the file has only {before} extents: nothing is shown by this")
    sums = guest.check(f"cd /mnt && {SUMS}; cd /", 120)
    blocks = guest.check("stat -f -c %f /mnt")
    said = guest.check("/bin/e4place free /mnt/target", 200)
    guest.check("sync; sleep 6; echo 3 >/proc/sys/vm/drop_caches")
    after = extents(guest, "/mnt/target")
    if after > 2:
        raise GuestError(f"{before} extents before, {after} after: {said}")
    if guest.check(f"cd /mnt && {SUMS}; cd /", 120) != sums:
        raise GuestError("the content is another")
    lost = int(blocks) - int(guest.check("stat -f -c %f /mnt"))
    if abs(lost) > 32:
        raise GuestError(f"{lost} free blocks are gone")
    return said.strip()


def space(guest):
    """What tools see of free space while it is mounted is what statfs counts."""
    # What is kept ahead of files is neither free nor in use: none is after a mount.
    guest.check("umount /mnt && mount -t ext4 -o commit=2 /dev/vda /mnt; ln -sf /proc/mounts /etc/mtab")
    free_blocks = int(guest.check("stat -f -c %f /mnt"))
    said = guest.check("e2freefrag /dev/vda", 60)
    found = int(re.search(r"Free blocks: (\d+)", said).group(1))
    if abs(found - free_blocks) > 64:
        raise GuestError(f"e2freefrag: {found} free blocks, statfs: {free_blocks}")
    lines = guest.check("cat /proc/fs/ext4/vda/mb_groups").splitlines()
    groups = [[int(word) for word in re.findall(r"\d+", line)] for line in lines[1:]]
    # Group, free, pieces, first, then pieces by power of two.
    if abs(sum(group[1] for group in groups) - free_blocks) > 64 or any(
            group[1] != sum(count << order for order, count in enumerate(group[4:])) for group in groups):
        raise GuestError("mb_groups: " + "; ".join(lines))
    said = guest.check("xfs_io -r -c 'fsmap -n 16' /mnt", 60)
    spans = [(int(a), int(b)) for a, b in re.findall(r"\[(\d+)\.\.(\d+)\]", said)]
    if len(spans) < 6 or any(b + 1 != c for (_, b), (c, _) in zip(spans[::1], spans[1:])):
        raise GuestError(f"records with holes between them: {said[:1500]}")
    # What is not free is not called so, and the other way round: in sectors of 512 bytes.
    listed = sum(int(b) - int(a) + 1 for a, b in re.findall(r"\[(\d+)\.\.(\d+)\][^\n]*free space", said)) // 8
    if abs(listed - free_blocks) > 64:
        raise GuestError(f"fsmap: {listed} free blocks, statfs: {free_blocks}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="our kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=900, help="seconds for the machine")
    parser.add_argument("tests", nargs="*", help="names of tests")
    args = parser.parse_args()
    kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="place-") as work:
        disk, initrd = os.path.join(work, "disk"), os.path.join(work, "initrd")
        cpio = tools.base(("filefrag", "e2freefrag", "xfs_io"), linux=args.linux)
        cpio.file("bin/e4place", src=os.path.join(programs.build("e4place"), "e4place"), mode=0o755)
        cpio.write(initrd)
        images.make(disk, 48 << 20, ["-t", "ext4", "-b", "4096", "-J", "size=4"])
        extra = ["-drive", f"file={disk},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"]
        append = APPEND + (tools.LINUX if args.linux else "")
        with Guest(kernel, initrd, append, cpus=2, memory=384, limit=args.limit, extra=extra) as guest:
            guest.expect("@READY@", 120)
            guest.check("mount -t ext4 -o commit=2 /dev/vda /mnt")
            for test in (related, space, free, space):
                if args.tests and test.__name__ not in args.tests:
                    continue
                if args.linux and test is free:
                    report.skip("free", "Linux has no EXT4_IOC_SET_GOAL")
                    continue
                try:
                    said = test(guest)
                    report.ok(test.__name__ + (f": {said}" if said else ""))
                except GuestError as error:
                    report.fail(test.__name__, error)
                    if not guest.alive():
                        break
            if guest.alive():
                guest.check("umount /mnt", 60)
            found = COMPLAINT.search(guest.text)
            if found:
                report.fail("messages", GuestError(found.group(0)))
        try:
            images.check(disk)
            report.ok("e2fsck")
        except RuntimeError as error:
            report.fail("e2fsck", error)
    report.finish()


if __name__ == "__main__":
    main()
