#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Disks that are software: loop devices (offset, partitions, read-only, detaching), and, as modules, RAM disks and null_blk.

Run after `make vmlinux modules`; `--kernel` names another kernel.
"""

import argparse
import os
import random
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from disks import APPEND, MB, gpt, sha, want  # noqa: E402
from guest import Guest, GuestError, Report, image, programs  # noqa: E402


def loop(guest, files):
    """A file as a disk: both ways, with an offset, read-only; the numbers of devices."""
    data = files["data"]
    want("free", guest.check("losetup -f").strip(), "/dev/loop0")
    guest.check("cp /data /tmp/data; losetup /dev/loop0 /tmp/data")
    want("size", guest.check("cat /sys/block/loop0/size").strip(), str(len(data) // 512))
    want("read", guest.check("sha256sum </dev/loop0").split()[0], sha(data))
    want("free", guest.check("losetup -f").strip(), "/dev/loop1")
    if guest.run("losetup /dev/loop0 /data 2>/dev/null")[0] == 0:
        raise GuestError("attached twice")
    guest.check("dd if=/dev/urandom of=/tmp/new bs=1k count=100 2>/dev/null; dd if=/tmp/new of=/dev/loop0 bs=5k seek=3 conv=fsync 2>/dev/null")
    guest.check("dd if=/tmp/data bs=5k skip=3 count=20 2>/dev/null | cmp - /tmp/new")
    guest.check("losetup -o 1024 /dev/loop1 /tmp/data")
    want("offset", guest.check("dd if=/dev/loop1 bs=512 count=8 2>/dev/null | sha256sum").split()[0], sha(data[1024:1024 + 4096]))
    guest.check("losetup -d /dev/loop1; losetup -d /dev/loop0")
    want("size", guest.check("cat /sys/block/loop0/size").strip(), "0")
    if guest.run("losetup -d /dev/loop0 2>/dev/null")[0] == 0:
        raise GuestError("detached twice")
    guest.check("losetup -r /dev/loop0 /tmp/data")
    want("ro", guest.check("cat /sys/block/loop0/ro").strip(), "1")
    if guest.run("dd if=/dev/zero of=/dev/loop0 bs=512 count=1 2>/dev/null")[0] == 0:
        raise GuestError("a read-only device was written")
    guest.check("losetup -d /dev/loop0; rm /tmp/data")
    guest.check("grep -q '^  7 loop$' /proc/devices")


def partitions(guest, files):
    """A file with a partition table; the partitions go with the file."""
    _, parts = files["parts"]
    guest.check("cp /parts /tmp/parts; losetup -P /dev/loop2 /tmp/parts")
    for number, (start, count) in parts.items():
        found = guest.check(f"cat /sys/block/loop2/loop2p{number}/start /sys/block/loop2/loop2p{number}/size").split()
        want(number, found, [str(start), str(count)])
    guest.check("dd if=/dev/urandom of=/dev/loop2p1 bs=512 count=7 2>/dev/null; sync")
    guest.check(f"dd if=/tmp/parts bs=512 skip={parts['1'][0]} count=7 2>/dev/null >/tmp/a; dd if=/dev/loop2p1 bs=512 count=7 2>/dev/null | cmp - /tmp/a")
    guest.check("losetup -d /dev/loop2; i=0; while [ -e /dev/loop2p1 ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; [ ! -e /dev/loop2p1 ]")
    guest.check("rm /tmp/parts")


def ram(guest, _):
    """brd: zeros at first, then what was written."""
    guest.check("insmod /brd.ko rd_nr=2 rd_size=1024")
    want("size", guest.check("cat /sys/block/ram1/size").strip(), "2048")
    want("zeros", guest.check("dd if=/dev/ram0 bs=64k 2>/dev/null | sha256sum").split()[0], sha(bytes(MB)))
    guest.check("dd if=/data of=/dev/ram0 bs=3k count=100 2>/dev/null; dd if=/dev/ram0 bs=3k count=100 2>/dev/null >/tmp/a; cmp -n 307200 /tmp/a /data")
    guest.check("rmmod brd; [ ! -e /dev/ram0 ]")


def null(guest, _):
    """null_blk: with memory, with a timer, on several queues."""
    for parameters in ("memory_backed=1 discard=1", "memory_backed=1 irqmode=2 submit_queues=2 hw_queue_depth=2", "memory_backed=1 queue_mode=0 bs=4096",
                       "memory_backed=1 virt_boundary=1 max_sectors=64"):
        guest.check(f"insmod /null_blk.ko gb=1 {parameters}")
        guest.check("dd if=/data of=/dev/nullb0 bs=64k count=30 2>/dev/null; dd if=/dev/nullb0 bs=64k count=30 2>/dev/null >/tmp/a; cmp -n 1966080 /tmp/a /data")
        # Pieces that begin within pages, direct: cut where memory has gaps, if the disk minds.
        if "bs=4096" not in parameters:
            guest.check("dd if=/data of=/dev/nullb0 bs=36352 count=20 oflag=direct 2>/dev/null; dd if=/dev/nullb0 bs=36352 count=20 iflag=direct 2>/dev/null >/tmp/a; "
                        "cmp -n 727040 /tmp/a /data")
        guest.check("for i in 0 1 2 3; do dd if=/dev/nullb0 of=/dev/null bs=4k count=200 2>/dev/null & done; wait")
        # What cannot be discarded has no other limit than 0.
        guest.check("echo 0 >/sys/block/nullb0/queue/discard_max_bytes")
        if "discard" not in parameters and guest.run("echo 4096 >/sys/block/nullb0/queue/discard_max_bytes")[0] == 0:
            raise GuestError("a limit of discards was taken where there are none")
        guest.check("rmmod null_blk; [ ! -e /dev/nullb0 ]")


def shown(guest, _):
    """What sysfs says of hardware queues and of the disk's part of the page cache."""
    guest.check("insmod /null_blk.ko gb=1 submit_queues=2 hw_queue_depth=16")
    disk = "/sys/block/nullb0"
    want("mq", guest.check(f"cat {disk}/mq/0/nr_tags {disk}/mq/1/nr_reserved_tags {disk}/mq/0/cpu_list {disk}/mq/1/cpu_list").split(), ["16", "0", "0", "1"])
    want("events", guest.check(f"cat {disk}/events {disk}/events_async {disk}/events_poll_msecs {disk}/badblocks").split(), ["-1"])
    want("bdi", guest.check(f"cat {disk}/bdi/read_ahead_kb {disk}/bdi/min_ratio {disk}/bdi/max_ratio {disk}/bdi/stable_pages_required").split(),
         ["128", "0", "100", "0"])
    guest.check(f"echo 256 >{disk}/bdi/read_ahead_kb; [ $(cat {disk}/queue/read_ahead_kb) = 256 ]")
    guest.check(f"echo 1 >{disk}/queue/add_random; [ $(cat {disk}/queue/add_random) = 1 ]; dd if=/dev/nullb0 of=/dev/null bs=64k count=8 2>/dev/null")
    guest.check(f"n=$(cat {disk}/dev); rmmod null_blk; [ ! -e /sys/class/bdi/$n ] && [ ! -e /sys/devices/virtual/bdi/$n ]")


def last_close(guest, disk):
    """The disk is open as file 7. What is read stays cached until that is closed."""
    read = f"dd if=/dev/{disk} of=/dev/null bs=64k count=8 2>/dev/null; set -- $(cat /sys/block/{disk}/stat); echo $3"
    first, second = guest.check(read), guest.check(read)
    want("sectors read by then, while the disk is open", second, first)
    after = guest.check("exec 7<&-; " + read)
    if int(after) < int(first) + 1024:
        raise GuestError(f"what was cached outlived the last close: {first.strip()} sectors read, then {after.strip()}")


def in_use(guest, _):
    """A driver whose disk is open stays; the last close of a disk drops what is cached of it, no other close does."""
    for module, disk in (("brd", "ram0"), ("null_blk", "nullb0")):
        guest.check(f"insmod /{module}.ko; exec 7</dev/{disk}")
        status, text = guest.run(f"rmmod {module} 2>&1")
        if status == 0 or "Resource temporarily unavailable" not in text:
            raise GuestError(f"rmmod while the disk is open: {status} {text}")
        if module == "null_blk":
            last_close(guest, disk)
        guest.check("exec 7<&-")
        guest.check(f"rmmod {module}; [ ! -e /dev/{disk} ]")


def timeouts(guest, _):
    """A request that is lost ends in an error when its time is up, and the disk goes on; without mercy for those that wait for it."""
    guest.check("insmod /null_blk.ko gb=1 lose_every=50; echo 700 >/sys/block/nullb0/queue/io_timeout")
    status, text = guest.run("dd if=/dev/nullb0 of=/dev/null bs=4k count=60 iflag=direct 2>&1", 60)
    if status == 0 or "timed out" not in text:
        raise GuestError(f"{status}: {text}")
    guest.check("dmesg | grep -q 'null_blk: rq on queue 0 tag'")
    guest.check("dd if=/dev/nullb0 of=/dev/null bs=4k count=20 iflag=direct 2>/dev/null; rmmod null_blk")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "vmlinux"))
    args = parser.parse_args()
    report = Report()
    files = {"data": random.Random(3).randbytes(2 * MB), "parts": gpt(8 * MB, 512)}
    with tempfile.TemporaryDirectory(prefix="software-") as work:
        cpio = image.base()
        for name, data in (("data", files["data"]), ("parts", files["parts"][0])):
            path = os.path.join(work, name)
            with open(path, "wb") as f:
                f.write(data)
            cpio.file(name, src=path)
        tests = [loop, partitions]
        for test, name in ((ram, "brd"), (null, "null_blk"), (shown, "null_blk"), (in_use, "null_blk"), (timeouts, "null_blk")):
            module = os.path.join(top, f"drivers/block/{name}/{name}.ko")
            if os.path.exists(module):
                cpio.file(f"{name}.ko", src=module)
                tests.append(test)
            else:
                report.skip(test.__name__, f"{module} is not built")
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with Guest(args.kernel, initrd, APPEND, cpus=2, memory=512, limit=300) as guest:
            guest.expect("@READY@", 120)
            for test in tests:
                with report.attempt(test.__name__):
                    test(guest, files)
    report.finish()


if __name__ == "__main__":
    main()
