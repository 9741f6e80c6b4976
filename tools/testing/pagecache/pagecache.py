#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The page cache of files on a virtio disk: contents, write-back, reclaim, readahead, device files, the root file system.

Each test boots a machine with an ext4 image made here, and looks at the image afterwards with e2fsck and debugfs. The same checks
pass on Debian's kernel (--linux) where it has its drivers built in.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|EXT4-fs error).*$", re.M)


def run(*argv):
    """A command of the host; its output."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise GuestError(f"{' '.join(argv)}: {done.stdout[-600:]}")
    return done.stdout


def make_disk(path, megabytes, files=None, options=()):
    """An ext4 image with what the directory `files` holds."""
    with open(path, "wb") as disk:
        disk.truncate(megabytes << 20)
    run("mke2fs", "-q", "-t", "ext4", *options, *(("-d", files) if files else ()), path)


def start(args, disk, memory="256M", cpus=2, append="", initrd=True, more=()):
    """A machine with the disk that waits for commands. `more`: QEMU's words for a further one."""
    extra = ("-drive", f"file={disk},format=raw,if=none,id=d,cache=unsafe", "-device", "virtio-blk-pci,drive=d", *more)
    guest = Guest(args.kernel, args.initrd if initrd else None, f"{APPEND} {append}", memory=memory, cpus=cpus,
                  limit=args.limit, extra=extra)
    guest.expect("@READY@", args.limit)
    return guest


def quiet(guest):
    """The kernel complained of nothing."""
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")


def vmstat(guest):
    """/proc/vmstat."""
    return {key: int(value) for key, value in re.findall(r"^(\S+) (\d+)", guest.check("cat /proc/vmstat"), re.M)}


def reads(guest):
    """Requests and sectors read from the disk so far."""
    fields = guest.check("cat /sys/block/vda/stat").split()
    return int(fields[0]), int(fields[2])


def payload(path, megabytes, seed=b"pagecache"):
    """A file of bytes that do not repeat; its md5."""
    digest = hashlib.md5()
    with open(path, "wb") as out:
        for n in range(megabytes * 16):
            block = hashlib.sha256(seed + n.to_bytes(4, "little")).digest() * 2048
            digest.update(block)
            out.write(block)
    return digest.hexdigest()


def contents(args, work):
    """What is written is there after a sync and an unmount, and e2fsck finds nothing; what was there is read as it is."""
    disk, files = os.path.join(work, "contents.img"), os.path.join(work, "files")
    os.makedirs(files)
    md5 = payload(os.path.join(files, "given"), 8)
    make_disk(disk, 64, files)
    with start(args, disk) as guest:
        guest.check("mount -t ext4 /dev/vda /mnt")
        if md5 not in guest.check("md5sum /mnt/given"):
            raise GuestError("the given file reads otherwise")
        guest.check("cp /mnt/given /mnt/copy && dd if=/dev/urandom of=/mnt/new bs=10000 count=300 2>/dev/null && sync")
        made = guest.check("md5sum </mnt/new").split()[0]
        stat = vmstat(guest)
        if stat["nr_dirty"] > 8 or stat["nr_writeback"]:
            raise GuestError(f"after sync: {stat['nr_dirty']} dirty, {stat['nr_writeback']} under write-back")
        guest.check("truncate -s 5000 /mnt/copy && umount /mnt")
        quiet(guest)
    run("e2fsck", "-fn", disk)
    for name, wanted in (("given", md5), ("new", made)):
        out = os.path.join(work, name)
        run("debugfs", "-R", f"dump {name} {out}", disk)
        with open(out, "rb") as back:
            if hashlib.md5(back.read()).hexdigest() != wanted:
                raise GuestError(f"{name} is another on the disk")
    if "Size: 5000" not in run("debugfs", "-R", "stat copy", disk):
        raise GuestError("copy is not 5000 bytes long")


def large(args, work):
    """A file larger than memory is read: clean pages are taken back, nobody is killed, and memory is free at the end."""
    disk, files = os.path.join(work, "large.img"), os.path.join(work, "largefiles")
    os.makedirs(files)
    md5 = payload(os.path.join(files, "big"), 192)
    make_disk(disk, 320, files)
    with start(args, disk, memory="128M") as guest:
        guest.check("mount -t ext4 -o ro /dev/vda /mnt")
        if md5 not in guest.check("md5sum /mnt/big", 200):
            raise GuestError("the file reads otherwise")
        stat = vmstat(guest)
        stolen = stat["pgsteal_kswapd"] + stat["pgsteal_direct"]
        if stolen < 10000 or stat["oom_kill"]:
            raise GuestError(f"{stolen} pages taken back, {stat['oom_kill']} killed")
        guest.check("echo 3 >/proc/sys/vm/drop_caches")
        left = vmstat(guest)["nr_file_pages"] - vmstat(guest)["nr_shmem"]
        if left > 2000:
            raise GuestError(f"{left} pages are left after drop_caches")
        quiet(guest)
        return f"{stat['pgsteal_kswapd']} pages by kswapd, {stat['pgsteal_direct']} by allocations, {left} left at the end"


def flood(args, work):
    """More is written than memory holds: writers wait, nobody is killed, all arrives."""
    disk = os.path.join(work, "flood.img")
    make_disk(disk, 400)
    with start(args, disk, memory="128M") as guest:
        guest.check("mount -t ext4 /dev/vda /mnt")
        guest.check("dd if=/dev/zero bs=1M count=256 2>/dev/null | tr '\\0' 'x' >/mnt/big && sync", 200)
        if guest.check("md5sum </mnt/big", 200).split()[0] != hashlib.md5(b"x" * (256 << 20)).hexdigest():
            raise GuestError("the file reads otherwise")
        stat = vmstat(guest)
        if stat["oom_kill"]:
            raise GuestError("somebody was killed")
        guest.check("umount /mnt", 60)
        quiet(guest)
    run("e2fsck", "-fn", disk)
    return f"{stat['nr_written']} pages written, {stat['nr_dirtied']} dirtied"


def share(args, work):
    """Who writes to a fast disk does not wait for a slow one that has all the dirty pages it may have; a disk's settings hold."""
    fast, slow = (os.path.join(work, f"{name}.img") for name in ("fast", "slow"))
    make_disk(fast, 160)
    make_disk(slow, 160)
    more = ("-drive", f"file={slow},format=raw,if=none,id=s,cache=unsafe,throttling.bps-write=1048576", "-device", "virtio-blk-pci,drive=s")
    with start(args, fast, memory="256M", more=more) as guest:
        bdi = "/sys/block/vdb/bdi"
        if guest.check(f"cat {bdi}/min_ratio {bdi}/max_ratio {bdi}/read_ahead_kb").split() != ["0", "100", "128"]:
            raise GuestError("the settings of a disk are others at first")
        for file, value in (("max_ratio", 101), ("min_ratio", 100), ("min_ratio", 70)):
            if guest.run(f"echo 60 >{bdi}/max_ratio; echo {value} >{bdi}/{file}")[0] == 0:
                raise GuestError(f"{value} was taken for {file}")
        guest.check(f"echo 5 >{bdi}/min_ratio; [ $(cat {bdi}/min_ratio) = 5 ]; [ -d /sys/class/bdi/$(cat /sys/block/vdb/dev) ]")
        guest.check("mkdir -p /fast /slow; mount -t ext4 /dev/vda /fast && mount -t ext4 /dev/vdb /slow")
        guest.check("dd if=/dev/zero of=/slow/f bs=64k count=1600 2>/dev/null & echo $! >/tmp/pid; sleep 5")
        began = time.monotonic()
        guest.check("dd if=/dev/zero of=/fast/f bs=64k count=1200 2>/dev/null", 200)
        took = time.monotonic() - began
        if guest.run("kill -0 $(cat /tmp/pid)")[0]:
            raise GuestError("the slow disk was done first")
        if took > 40:
            raise GuestError(f"75 MB to the fast disk took {took:.0f} s while the slow one wrote")
        guest.check(f"kill $(cat /tmp/pid); wait; echo 100 >{bdi}/max_ratio")
        quiet(guest)
    return f"75 MB in {took:.1f} s"


def ahead(args, work):
    """Reading in order asks the disk for large pieces, reading at random for what is wanted; the window is the disk's setting."""
    disk, files = os.path.join(work, "ahead.img"), os.path.join(work, "aheadfiles")
    os.makedirs(files)
    payload(os.path.join(files, "f"), 16)
    make_disk(disk, 64, files)
    said = []
    with start(args, disk) as guest:
        guest.check("mount -t ext4 -o ro /dev/vda /mnt")
        # A request holds at most what the disk's queue has segments for, about 500 KB.
        for window, least in ((128, 100), (1024, 400)):
            guest.check(f"echo {window} >/sys/block/vda/queue/read_ahead_kb; echo 3 >/proc/sys/vm/drop_caches")
            before = reads(guest)
            guest.check("dd if=/mnt/f of=/dev/null bs=4k 2>/dev/null")
            after = reads(guest)
            requests, sectors = after[0] - before[0], after[1] - before[1]
            if sectors // 2 // requests < least or sectors > 2 * 16500:
                raise GuestError(f"window {window} KB: {requests} requests, {sectors // 2} KB")
            said.append(f"{window} KB window: {sectors // 2 // requests} KB a request")
        guest.check("echo 128 >/sys/block/vda/queue/read_ahead_kb; echo 3 >/proc/sys/vm/drop_caches")
        guest.check("dd if=/mnt/f of=/dev/null bs=4k count=1 skip=77 2>/dev/null")
        before = reads(guest)
        for block in (3000, 1200, 2500, 700, 3900, 150):
            guest.check(f"dd if=/mnt/f of=/dev/null bs=4k count=1 skip={block} 2>/dev/null")
        sectors = reads(guest)[1] - before[1]
        if sectors > 6 * 8 * 2:
            raise GuestError(f"6 random reads of 4 KB read {sectors // 2} KB")
        before = reads(guest)
        guest.check("dd if=/mnt/f of=/dev/null bs=4k count=1 skip=700 2>/dev/null")
        if reads(guest) != before:
            raise GuestError("a cached page was read again")
        quiet(guest)
    return ", ".join(said)


def device(args, work):
    """The device as a file: reads are cached and write-back reaches the disk; O_DIRECT sees what is cached; EBUSY while mounted."""
    disk = os.path.join(work, "device.img")
    with open(disk, "wb") as out:
        out.write(hashlib.sha256(b"device").digest() * (4 << 15))
    with start(args, disk) as guest:
        with open(disk, "rb") as back:
            md5 = hashlib.md5(back.read()).hexdigest()
        # What was read goes with the last one who has the device open.
        guest.check("exec 9</dev/vda")
        if md5 not in guest.check("md5sum /dev/vda"):
            raise GuestError("the device reads otherwise")
        before = reads(guest)
        guest.check("md5sum /dev/vda")
        if reads(guest)[1] != before[1]:
            raise GuestError("the device was read twice")
        guest.check("exec 9<&-; md5sum /dev/vda")
        if reads(guest)[1] == before[1]:
            raise GuestError("the device's pages stayed after its last close")
        guest.check("printf hello | dd of=/dev/vda bs=1 seek=1000 conv=notrunc 2>/dev/null")
        if guest.check("dd if=/dev/vda bs=512 skip=1 count=1 iflag=direct 2>/dev/null | dd bs=1 skip=488 count=5 2>/dev/null") != "hello":
            raise GuestError("O_DIRECT does not see what was written")
        guest.check("printf world | dd of=/dev/vda bs=1 seek=5000 conv=notrunc,fsync 2>/dev/null")
        quiet(guest)
    with open(disk, "rb") as back:
        data = back.read()
    if data[1000:1005] != b"hello" or data[5000:5005] != b"world":
        raise GuestError("the disk does not have what was written")


def root(args, work):
    """Without an initramfs `root=` is mounted, read-only unless `rw`, and its /sbin/init runs."""
    disk, files = os.path.join(work, "root.img"), os.path.join(work, "rootfiles")
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "mnt"):
        os.makedirs(os.path.join(files, name))
    run("cp", debian.busybox(), os.path.join(files, "bin/busybox"))
    for name in ("sh", "mount", "cat", "touch", "echo", "stty", "sync", "ls"):
        os.symlink("busybox", os.path.join(files, "bin", name))
    with open(os.path.join(files, "sbin/init"), "w") as script:
        script.write("#!/bin/sh\nexport PATH=/bin\nmount -t proc proc /proc\nmount -t sysfs sys /sys\nstty -echo -onlcr\n"
                     "echo @READY@\nwhile read -r line; do eval \"$line\"; done\n")
    os.chmod(os.path.join(files, "sbin/init"), 0o755)
    make_disk(disk, 32, files)
    with start(args, disk, append="root=/dev/vda rootfstype=ext4 rw", initrd=False) as guest:
        mounts = guest.check("cat /proc/mounts")
        if not re.search(r"^/dev/root / ext4 rw,", mounts, re.M) or not re.search(r"^devtmpfs /dev devtmpfs ", mounts, re.M):
            raise GuestError(f"mounts: {mounts}")
        guest.check("touch /was-here && sync")
        quiet(guest)
    # sync leaves names in the journal; the machine was stopped, not shut down.
    recovered = subprocess.run(["e2fsck", "-fp", disk], stdout=subprocess.PIPE, text=True)
    if recovered.returncode > 1:
        raise GuestError(f"e2fsck: {recovered.stdout[-600:]}")
    if "was-here" not in run("debugfs", "-R", "ls /", disk):
        raise GuestError("the file is not on the disk")
    with start(args, disk, append="root=/dev/vda rootwait", initrd=False) as guest:
        if guest.run("touch /no")[0] == 0:
            raise GuestError("a read-only root was written")
        if "VFS: Mounted root (ext4 filesystem) readonly on device 254:0" not in guest.text:
            raise GuestError(f"the kernel does not say what it mounted: {guest.text[-800:]}")


def advice(args, work):
    """What a program maps and says it does not need: clean pages leave the cache at once, and come back from the disk, by faults that
    count; holes that are made through memory. And file handles, which outlive the caches."""
    disk = os.path.join(work, "advice.img")
    make_disk(disk, 64)
    with start(args, disk) as guest:
        guest.check("mount -t ext4 /dev/vda /mnt && mkdir /mnt/tmp && mount --bind /mnt/tmp /tmp")
        said = guest.check("/bin/selftest vmem.pageout vmem.remove_on_disk vmem.major_faults handles.")
        if "not ok" in said or said.count("\nok ") + said.startswith("ok ") < 8:
            raise GuestError(said[-1500:])
        quiet(guest)


def main():
    tests = (contents, device, ahead, advice, large, flood, share, root)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=300, help="seconds for one machine")
    parser.add_argument("only", nargs="*", help="names of tests")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pagecache-") as work:
        args.initrd = os.path.join(work, "initrd")
        initrd = image.base()
        initrd.file("bin/selftest", src=os.path.join(programs.build("selftests"), "selftest"), mode=0o755)
        initrd.write(args.initrd)
        for test in tests:
            if args.only and test.__name__ not in args.only:
                continue
            try:
                said = test(args, work)
                report.ok(test.__name__ + (f": {said}" if said else ""))
            except GuestError as error:
                report.fail(test.__name__, error)
    report.finish()


if __name__ == "__main__":
    main()
