#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fast commits: Debian's kernel makes, renames, cuts and removes files, each step ended by an fsync that is a fast commit, and
is killed. Our kernel mounts what is left, read-only and for writing: every name and content is there, and `e2fsck -fn` finds
nothing.
--linux: Debian's kernel replays them too (it leaves links of directories wrong)."""

import argparse
import os
import re
import shutil
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
# No commit but those that are asked for.
OPTIONS = "noatime,commit=600"

FAST = ["-O", "fast_commit", "-J", "size=8,fast_commit_size=1024", "-E", "lazy_itable_init=0"]
# name, options of mke2fs
ROWS = [
    ("4k", "-t ext4 -b 4096"),
    ("1k", "-t ext4 -b 1024"),
    ("nosums", "-t ext4 -b 1024 -O ^metadata_csum,^64bit"),
    ("i128", "-t ext4 -I 128"),
    ("quota", "-t ext4 -O quota -E quotatype=usrquota:grpquota"),
    ("bigalloc", "-t ext4 -O bigalloc"),
    ("orphan_file", "-t ext4 -O orphan_file"),
    ("noindex", "-t ext4 -b 1024 -O ^dir_index,^filetype"),
]

# What is in a whole transaction: `sync` makes it.
BEFORE = r"""
set -e
cd /mnt
mkdir old gone
i=1; while [ $i -le 24 ]; do head -c $((i * 1700)) /dev/urandom >old/f$i; i=$((i+1)); done
ln old/f1 old/hard1; ln old/f2 old/hard2
head -c 900000 /dev/urandom >old/big
: >mark
sync; sync
"""

# What fast commits hold.
CHANGES = r"""
set -e
cd /mnt
fsync() { dd if=/dev/null of="$1" conv=notrunc,fsync 2>/dev/null; }
commit() { echo "$1" >>mark; fsync mark; }
i=1; while [ $i -le 12 ]; do head -c $((i * 900)) /dev/urandom >new$i; fsync new$i; i=$((i+1)); done
head -c 7000 /dev/urandom >>old/f3; fsync old/f3
truncate -s 100 old/f5; fsync old/f5
dd if=/dev/urandom of=old/f6 bs=1000 count=3 seek=200 conv=notrunc,fsync 2>/dev/null
dd if=/dev/urandom of=old/big bs=1000 count=9 seek=333 conv=notrunc,fsync 2>/dev/null
truncate -s 300000 old/big; fsync old/big
mkdir d d/e
head -c 3000 /dev/urandom >d/e/inner; fsync d/e/inner
mv old/f7 d/moved; fsync d/moved
mv old/f8 old/f9; fsync old/f9
mv new1 new2; fsync new2
ln old/f10 d/hard; fsync d/hard
rm old/f11 old/hard1; commit removed
rm new3; rmdir gone; commit "removed what was new, and a directory"
fallocate -l 200000 pre; fsync pre
head -c 5000 /dev/urandom | dd of=pre bs=1000 seek=50 conv=notrunc,fsync 2>/dev/null
mkfifo fifo; mknod node c 1 3; commit nodes
i=1; while [ $i -le 90 ]; do : >"d/a name that is not short, number $i"; i=$((i+1)); done; commit many
rm d/*" number 7"*; commit fewer
mkdir short; : >short/file; rm short/file; rmdir short; commit "a directory that is gone again"
rm old/f12; head -c 4000 /dev/urandom >old/f12; fsync old/f12
commit last
"""

# Names with type, links and size, and what files hold. The size of a directory is its kernel's affair, and its links are not told
# by Linux' fast commits.
LIST = r"""
cd /mnt
find . -path ./lost+found -prune -o -type d -print | sort
find . -path ./lost+found -prune -o ! -type d -print | sort | tr '\n' '\0' | xargs -0 stat -c '%n %f %h %s'
find . -path ./lost+found -prune -o -type f -print | sort | tr '\n' '\0' | xargs -0 md5sum
"""


def machine(args, linux, initrd, path):
    drive = ("-drive", f"file={path},format=raw,if=none,id=d0,cache=writeback", "-device", "virtio-blk-pci,drive=d0")
    kernel = debian.kernel() if linux else args.kernel
    append = APPEND + (tools.LINUX if linux else "")
    return Guest(kernel, initrd, append, memory=512, cpus=args.cpus, limit=args.limit, extra=drive)


def listing(guest, args):
    return guest.check("sh /list", args.step).splitlines()


def fill(args, initrd, path):
    """Debian's kernel up to its end in the middle of its use; gives the listing. GuestError if it wrote no fast commits."""
    with machine(args, True, initrd, path) as guest:
        guest.expect("@READY@", args.limit)
        guest.check(f"mount -t ext4 -o {OPTIONS} /dev/vda /mnt", args.step)
        guest.check("sh /before", args.step)
        before = commits(guest, args)
        guest.check("sh /changes", args.step)
        made = commits(guest, args) - before
        found = listing(guest, args)
        guest.kill()
    if made < 20:
        raise GuestError(f"Linux made {made} fast commits only")
    return made, found


def commits(guest, args):
    text = guest.check("cat /proc/fs/ext4/vda/fc_info", args.step)
    found = re.search(r"^(\d+) commits", text, re.M)
    if not found:
        raise GuestError(f"no number of fast commits: {text}")
    return int(found[1])


def replay(args, initrd, path, wanted, options):
    """The kernel mounts what was left; the image is clean afterwards."""
    with machine(args, args.linux, initrd, path) as guest:
        guest.expect("@READY@", args.limit)
        guest.check(f"mount -t ext4 -o {options} /dev/vda /mnt", args.step)
        if not args.linux and "fast commits replayed" not in guest.check("dmesg", args.step):
            raise GuestError("no fast commits were replayed")
        found = listing(guest, args)
        if options == "rw":
            # It can be used: where the replay put things is known to be taken.
            guest.check("cd /mnt && cp -a old again && rm -r again && echo more >more && cd / && sync", args.step)
        guest.check("cd / && umount /mnt", args.step)
        complaint = COMPLAINT.search(guest.text)
    if found != wanted:
        differ = sorted(set(wanted) - set(found))[:4] + sorted(set(found) - set(wanted))[:4]
        raise GuestError(f"another tree ({options}): " + " | ".join(differ))
    if complaint:
        raise GuestError(f"the kernel says: {complaint.group(0)}")
    images.check(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel replays too")
    parser.add_argument("--limit", type=int, default=240, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=90, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--keep", metavar="DIR", help="leave the images as Linux left them in DIR")
    parser.add_argument("only", nargs="*", help="names of rows")
    args = parser.parse_args()
    args.kernel = args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="fastcommit-") as work:
        initrds = {}
        for linux in (False, True):
            cpio = tools.base(linux=linux)
            for name, text in (("before", BEFORE), ("changes", CHANGES), ("list", LIST)):
                cpio.file(name, text)
            initrds[linux] = os.path.join(work, f"initrd{int(linux)}")
            cpio.write(initrds[linux])
        path, left = os.path.join(work, "image"), os.path.join(work, "left")
        for name, options in ROWS:
            if args.only and name not in args.only:
                continue
            try:
                images.make(left, 96 << 20, [*options.split(), *FAST])
                made, wanted = fill(args, initrds[True], left)
                if args.keep:
                    shutil.copyfile(left, os.path.join(args.keep, name))
                for access in ("ro", "rw"):
                    shutil.copyfile(left, path)
                    replay(args, initrds[args.linux], path, wanted, access)
                report.ok(f"{name}: {made} fast commits, {len(wanted)} lines the same")
            except (GuestError, RuntimeError) as error:
                report.fail(name, error)
    report.finish()


if __name__ == "__main__":
    main()
