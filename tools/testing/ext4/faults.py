#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Disks that fail and disks that are full: errors of single sectors (QEMU's blkdebug) in a file's data, in the table of inodes under each
`errors=`, and in the log; many writers on a disk that is too small for them, who lose nothing of what write(2) took. At the end of
each e2fsck has nothing to find but what the fault explains. --linux: the same on Debian's kernel."""

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
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|lock order|sleeping function|allocation failed).*$", re.M)
USER = "/usr/sbin/setpriv --reuid 1000 --regid 1000 --clear-groups "


class Bench:
    """Where the images are, and how machines are started."""

    def __init__(self, args, work):
        self.args, self.work = args, work
        self.initrd = os.path.join(work, "initrd")
        cpio = tools.base(["xfs_io", "setpriv"], args.linux)
        cpio.file("full.sh", FULL)
        cpio.write(self.initrd)
        self.path = os.path.join(work, "image")

    def make(self, size, options):
        """A new image with a few files."""
        source = os.path.join(self.work, "source")
        if not os.path.exists(source):
            os.makedirs(source)
            for number in range(60):
                with open(os.path.join(source, f"file{number}"), "wb") as f:
                    f.write(bytes([number]) * 65536)
        images.make(self.path, size, options, source)

    def debugfs(self, request):
        return images.tool("debugfs", "-R", request, self.path)

    def boot(self, rules=()):
        """A machine with the image, and blkdebug's `rules`: (event, block of 4 KiB)."""
        config = os.path.join(self.work, "rules")
        with open(config, "w") as f:
            for event, block in rules:
                f.write(f'[inject-error]\nevent = "{event}"\nerrno = "5"\nsector = "{block * 8}"\nonce = "off"\n')
        file = f"blkdebug:{config}:{self.path}" if rules else self.path
        drive = ["-drive", f"file={file},format=raw,if=none,id=d0,cache=writeback,rerror=report,werror=report",
                 "-device", "virtio-blk-pci,drive=d0"]
        args = self.args
        append = APPEND + (tools.LINUX if args.linux else "")
        guest = Guest(args.kernel, self.initrd, append, memory=256, cpus=args.cpus, limit=args.limit, extra=drive)
        guest.expect("@READY@", args.limit)
        return guest


def complain(guest):
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")


def want(what, found, wanted):
    if found != wanted:
        raise GuestError(f"{what}: {found!r}, wanted {wanted!r}")


def data(bench):
    """A block of a file cannot be written: every open file hears of it once, and the file system goes on."""
    bench.make(64 << 20, ["-t", "ext4", "-b", "4096"])
    block = int(bench.debugfs("bmap /file7 3").split()[-1])
    with bench.boot([("write_aio", block)]) as guest:
        guest.check("mount -t ext4 -o errors=remount-ro /dev/vda /mnt", 60)
        out = guest.run("/usr/sbin/xfs_io -c 'open /mnt/file7' -c 'pwrite -S 1 12288 4096' -c fsync -c fsync -c 'file 0' -c fsync -c fsync "
                        "-c 'open /mnt/file7' -c fsync /mnt/file7 2>&1", 60)[1]
        want("reports of fsync", out.count("fsync: Input/output error"), 2)
        guest.check("head -c 4096 /mnt/file8 >/mnt/new && sync && grep ' /mnt ' /proc/mounts | grep -q ' rw,'", 60)
        guest.run("umount /mnt", 60)
        complain(guest)
    images.check(bench.path)


def inodes(bench, policy):
    """A block of the table of inodes cannot be read: `errors=` is obeyed."""
    bench.make(64 << 20, ["-t", "ext4", "-b", "4096"])
    number = int(re.search(r"Inode: (\d+)", bench.debugfs("stat /file50"))[1])
    table = int(re.search(r"located at block (\d+)", bench.debugfs(f"imap <{number}>"))[1])
    with bench.boot([("read_aio", table)]) as guest:
        guest.check(f"mount -t ext4 -o errors={policy} /dev/vda /mnt", 60)
        if policy == "panic":
            guest.send("stat /mnt/file50; echo @ON@\n")
            if guest.expect(r"^@ON@|Kernel panic - not syncing: EXT4-fs \(device vda\): panic forced after error", 60)[0] == "@ON@":
                raise GuestError("the machine goes on")
            guest.wait(60)
            return
        status, out = guest.run("stat /mnt/file50 2>&1", 60)
        if status == 0 or not re.search("Input/output error", out):
            raise GuestError(f"stat: {status} {out}")
        guest.check("dmesg | grep -q 'EXT4-fs error (device vda)'", 60)
        state = re.search(r" /mnt ext4 (r[wo]),", guest.check("cat /proc/mounts", 60))[1]
        want("state", state, "ro" if policy == "remount-ro" else "rw")
        status = guest.run("echo 1 >/mnt/new", 60)[0]
        want("may be written", status == 0, policy == "continue")
        guest.run("umount /mnt", 60)
        complain(guest)


def log(bench):
    """The log cannot be written: what waits for a commit hears EIO, and nothing can be changed any more, whatever `errors=` says."""
    bench.make(64 << 20, ["-t", "ext4", "-b", "4096", "-J", "size=4"])
    blocks = [int(bench.debugfs(f"bmap <8> {number}").split()[-1]) for number in range(2, 40)]
    with bench.boot([("write_aio", block) for block in blocks]) as guest:
        guest.check("mount -t ext4 -o errors=continue /dev/vda /mnt", 60)
        out = guest.run("/usr/sbin/xfs_io -f -c 'pwrite 0 8192' -c fsync /mnt/new 2>&1", 60)[1]
        if not re.search("fsync: (Input/output error|Read-only file system)", out):
            raise GuestError(f"fsync: {out}")
        guest.run("mkdir /mnt/dir", 60)
        want("making a directory", guest.run("mkdir /mnt/dir2 2>&1", 60)[1].strip().split(": ")[-1], "Read-only file system")
        guest.check("grep ' /mnt ' /proc/mounts | grep -q ' ro,'", 60)
        guest.check("cmp /mnt/file3 /mnt/file3", 60)
        guest.run("umount /mnt", 60)
        complain(guest)
    images.recover(bench.path)


# Writers until the disk is full; what each was told was written is there, in the cache and on the disk.
FULL = r"""
cd /mnt; rm -rf w; mkdir w; chmod 777 w
for i in 1 2 3 4 5 6 7 8; do
  (n=0; while yes "$i writes $n" | head -c 60000 >/tmp/piece$i && cat /tmp/piece$i >>w/f$i.$n 2>/dev/null; do n=$((n+1)); done
   # On a full disk it may not even have a name: a directory's block is full.
   if [ -e w/f$i.$n ]; then size=$(stat -c %s w/f$i.$n); head -c $size /tmp/piece$i | cmp - w/f$i.$n || echo "LOST $i.$n"; fi
   echo $n >/tmp/count$i) &
done
wait; sync || echo "SYNC $?"
check() {
  for i in 1 2 3 4 5 6 7 8; do
    n=0; last=$(cat /tmp/count$i)
    while [ $n -lt $last ]; do yes "$i writes $n" | head -c 60000 | cmp - w/f$i.$n || echo "LOST $1 $i.$n"; n=$((n+1)); done
  done
}
check cache; echo 3 >/proc/sys/vm/drop_caches; check disk
echo "COUNT $(cat /tmp/count* | tr '\n' ' ') FREE $(stat -f -c %f .) $(stat -f -c %a .)"
"""


def full(bench, options):
    """Many writers on a small disk: the files are made and compared by some thousand programs, and the debug kernel takes its time."""
    bench.make(24 << 20, ["-t", "ext4", *options])
    with bench.boot() as guest:
        guest.check("mount -t ext4 -o errors=remount-ro /dev/vda /mnt && chmod 777 /mnt /tmp", 60)
        before = guest.check("sync; stat -f -c %f /mnt", 60).strip()
        said = []
        for user in (USER, ""):
            out = guest.check(f"rm -f /tmp/piece* /tmp/count*; {user}sh /full.sh 2>&1", bench.args.step)
            if re.search("LOST|SYNC", out):
                raise GuestError(out[-600:])
            found = re.search(r"COUNT ([\d ]+) FREE (\d+) (\d+)", out)
            said.append(f"{sum(map(int, found[1].split()))} files, {found[2]} free, {found[3]} of them for all")
        complain(guest)
        if "EXT4-fs error" in guest.text:
            raise GuestError(guest.text[-800:])
        guest.check("rm -rf /mnt/w; sync", 60)
        # What was freed is free when its transaction has ended.
        after = guest.check("sync; stat -f -c %f /mnt", 60).strip()
        if abs(int(after) - int(before)) > 2:
            raise GuestError(f"{before} blocks were free, {after} are")
        guest.check("umount /mnt", 60)
    images.check(bench.path)
    return "; ".join(said)


TESTS = {
    "data": data,
    "inodes_continue": lambda bench: inodes(bench, "continue"),
    "inodes_remount-ro": lambda bench: inodes(bench, "remount-ro"),
    "inodes_panic": lambda bench: inodes(bench, "panic"),
    "log": log,
    "full_4k": lambda bench: full(bench, ["-b", "4096"]),
    "full_1k": lambda bench: full(bench, ["-b", "1024"]),
    "full_ext3": lambda bench: full(bench, ["-b", "1024", "-O", "^extent,^64bit"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=400, help="seconds for the long commands")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("only", nargs="*", help="names of tests")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="faults-") as work:
        bench = Bench(args, work)
        for name, test in TESTS.items():
            if args.only and name not in args.only:
                continue
            try:
                more = test(bench)
                report.ok(f"{name}: {more}" if more else name)
            except (GuestError, RuntimeError) as error:
                report.fail(name, error)
    report.finish()


if __name__ == "__main__":
    main()
