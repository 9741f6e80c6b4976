#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Every kind of image that mke2fs makes: read in the guest as the host filled it, changed there, clean for e2fsck, and read
back on the host as the guest left it. --linux: the same on Debian's kernel."""

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

# name, type to mount as, options of mke2fs
ROWS = [
    ("default", "ext4", ["-t", "ext4"]),
    ("1k", "ext4", ["-t", "ext4", "-b", "1024"]),
    ("2k", "ext4", ["-t", "ext4", "-b", "2048"]),
    ("ext3", "ext3", ["-t", "ext3"]),
    ("ext2", "ext2", ["-t", "ext2"]),
    ("ext3_as_ext4", "ext4", ["-t", "ext3", "-b", "1024"]),
    ("nojournal", "ext4", ["-t", "ext4", "-O", "^has_journal"]),
    ("uninit_bg", "ext4", ["-t", "ext4", "-O", "^metadata_csum,uninit_bg"]),
    ("no64bit", "ext4", ["-t", "ext4", "-O", "^64bit"]),
    ("meta_bg", "ext4", ["-t", "ext4", "-O", "meta_bg,^resize_inode"]),
    ("inline", "ext4", ["-t", "ext4", "-O", "inline_data"]),
    ("i128", "ext4", ["-t", "ext4", "-I", "128"]),
    ("i1024", "ext4", ["-t", "ext4", "-I", "1024"]),
    ("orphan_file", "ext4", ["-t", "ext4", "-O", "orphan_file,metadata_csum_seed"]),
    ("large_dir", "ext4", ["-t", "ext4", "-O", "large_dir,ea_inode"]),
    ("bigalloc", "ext4", ["-t", "ext4", "-O", "bigalloc"]),
    ("mmp", "ext4", ["-t", "ext4", "-O", "mmp", "-E", "mmp_update_interval=1"]),
    ("nofiletype", "ext4", ["-t", "ext4", "-O", "^filetype,^huge_file,^dir_nlink"]),
    ("noindex", "ext4", ["-t", "ext4", "-O", "^dir_index,^large_file", "-r", "1"]),
    ("noflex", "ext4", ["-t", "ext4", "-b", "1024", "-O", "^flex_bg,^sparse_super,^resize_inode", "-g", "1024"]),
    ("quota", "ext4", ["-t", "ext4", "-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"]),
    ("fast_commit", "ext4", ["-t", "ext4", "-O", "fast_commit"]),
    ("stable_inodes", "ext4", ["-t", "ext4", "-O", "stable_inodes", "-E", "stride=4,stripe_width=16"]),
]

# What is refused, and why: options of mke2fs, what the log says. Debian's kernel knows the first two.
REFUSED = {
    "casefold": ("casefold", "EXT4-fs (vda): Filesystem with casefold feature cannot be mounted without CONFIG_UNICODE"),
    "encrypt": ("encrypt", "EXT4-fs (vda): Couldn't mount because of unsupported optional features (10000)"),
    "verity": ("verity", "EXT4-fs (vda): couldn't mount RDWR because of unsupported optional features (8000)"),
}

LIST = "find . -path ./lost+found -prune -o -type f -print | sort | tr '\\n' '\\0' | xargs -0 md5sum"

CHANGE = [
    "mkdir -p new/deep/deeper && cp -a many new/deep/copy",
    "dd if=/dev/urandom of=new/big bs=64k count=100 2>/dev/null",
    "cp new/big new/big2 && cmp new/big new/big2",
    "dd if=/dev/urandom of=new/big2 bs=1000 count=7 seek=333 conv=notrunc 2>/dev/null",
    "for i in 0 1 2 3 4 5 6 7 8 9; do rm many/*\"number $i\"?; done",
    "mv new/deep/copy moved && mv moved/*1 new/deep/",
    "truncate -s 100000 new/big && truncate -s 300000 new/big",
    "truncate -s 5 sparse && echo more >>sparse",
    "ln new/big2 hard && ln -s new/big soft && test \"$(readlink soft)\" = new/big",
    "rm -r new/deep/deeper && mkdir new/deep/deeper && rmdir new/deep/deeper",
    "touch empty && chmod 600 empty && mkfifo fifo && mknod node c 1 3",
    "dd if=/dev/zero of=holes bs=4096 count=1 seek=1000 2>/dev/null",
    "sync",
    "echo after the sync >late; mv late later; rm hard",
]


def row(guest, args, index, name, kind, path, expected, work):
    """One image."""
    disk = f"/dev/vd{chr(ord('a') + index)}"
    guest.check(f"mkdir -p /mnt/{name} && mount -t {kind} {disk} /mnt/{name} && cd /mnt/{name}", args.step)
    found = sorted(guest.check(LIST, args.step).split("\n")[:-1])
    if found != expected:
        differ = sorted(set(found) ^ set(expected))
        raise GuestError(f"the guest reads another tree: {differ[:4]}")
    for command in CHANGE:
        guest.check(command, args.step)
    seen = sorted(guest.check(LIST, args.step).split("\n")[:-1])
    guest.check(f"cd / && umount /mnt/{name}", args.step)
    images.check(path)
    after = images.dumped(path, work)
    if after != seen:
        differ = sorted(set(after) ^ set(seen))
        raise GuestError(f"the host reads another tree: {differ[:4]}")
    guest.check(f"mount -t {kind} {disk} /mnt/{name} && cd /mnt/{name}", args.step)
    again = sorted(guest.check(LIST, args.step).split("\n")[:-1])
    guest.check(f"cd / && umount /mnt/{name}", args.step)
    if again != seen:
        raise GuestError(f"another tree after mounting again: {sorted(set(again) ^ set(seen))[:4]}")
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")


def refused(args, initrd, path, feature, says):
    """A feature that is not there: the mount fails, and the log says why."""
    images.make(path, 32 << 20, ["-t", "ext4", "-O", feature])
    drive = ("-drive", f"file={path},format=raw,if=none,id=d0,cache=writeback", "-device", "virtio-blk-pci,drive=d0")
    with Guest(args.kernel, initrd, APPEND, memory=256, cpus=args.cpus, limit=args.limit, extra=drive) as guest:
        guest.expect("@READY@", args.limit)
        status, out = guest.run("mount -t ext4 /dev/vda /mnt 2>&1", args.step)
        if status == 0 or "Invalid argument" not in out or says not in guest.text:
            raise GuestError(f"status {status}: {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=200, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=60, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("only", nargs="*", help="names of rows")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="ext4-") as work:
        source = os.path.join(work, "source")
        images.populate(source)
        expected = images.tree(source)
        initrd = os.path.join(work, "initrd")
        tools.base(linux=args.linux).write(initrd)
        for name, kind, options in ROWS:
            if args.only and name not in args.only:
                continue
            path = os.path.join(work, name)
            try:
                images.make(path, 96 << 20, options, source)
                drive = ("-drive", f"file={path},format=raw,if=none,id=d0,cache=writeback",
                         "-device", "virtio-blk-pci,drive=d0")
                with Guest(args.kernel, initrd, APPEND + (tools.LINUX if args.linux else ""), memory=512, cpus=args.cpus, limit=args.limit, extra=drive) as guest:
                    guest.expect("@READY@", args.limit)
                    row(guest, args, 0, name, kind, path, expected, work)
                report.ok(name)
            except (GuestError, RuntimeError) as error:
                report.fail(name, error)
            finally:
                if os.path.exists(path):
                    os.remove(path)
        for name, (feature, says) in REFUSED.items():
            if args.linux or args.only and name not in args.only:
                continue
            try:
                refused(args, initrd, os.path.join(work, name), feature, says)
                report.ok(f"{name} is refused")
            except (GuestError, RuntimeError) as error:
                report.fail(name, error)
    report.finish()


if __name__ == "__main__":
    main()
