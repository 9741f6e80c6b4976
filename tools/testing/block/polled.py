#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Queues without interrupts (`poll_queues` of nvme, virtio_blk and null_blk) under io_uring's polling rings: what fio writes is read again, no
interrupt comes meanwhile, more requests than a queue has, a program that is killed with requests on their way, and one that never looks.

Run after `make bzImage modules`; `--kernel` names another kernel.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from disks import APPEND, MB, want  # noqa: E402
from fio import PATHS, add_fio, fio  # noqa: E402
from guest import Guest, GuestError, Report, image, programs  # noqa: E402

DISKS = {"nvme0n1": "nvme,drive=DRIVE,serial=rideau,max_ioqpairs=8", "vda": "virtio-blk-pci,drive=DRIVE,num-queues=4"}
JOB = {"ioengine": "io_uring", "hipri": "1", "direct": "1", "rw": "randwrite", "verify": "crc32c", "verify_fatal": "1"}


def interrupts(guest, what):
    """How many interrupts of lines that match `what` there were."""
    lines = [line for line in guest.check("cat /proc/interrupts").splitlines() if re.search(what, line)]
    return sum(int(word) for line in lines for word in line.split()[1:] if word.isdigit())


def idle(guest, disk):
    """Nothing stays on its way."""
    guest.check(f"i=0; while [ $i -lt 50 ] && [ \"$(cat /sys/block/{disk}/inflight | tr -s ' ')\" != ' 0 0' ]; do sleep 0.1; i=$((i+1)); done; "
                f"[ \"$(cat /sys/block/{disk}/inflight | tr -s ' ')\" = ' 0 0' ]", 60)


def polled(disk, line):
    def run(guest):
        queue = f"/sys/block/{disk}/queue"
        want("io_poll", guest.check(f"cat {queue}/io_poll").strip(), "1")
        guest.check(f"echo 0 >{queue}/io_poll; grep -q 1 {queue}/io_poll; grep -q -- -1 {queue}/io_poll_delay")
        before = interrupts(guest, line)
        for depth in ("1", "32"):
            _, written = fio(guest, f"depth-{depth}", f"/dev/{disk}", iodepth=depth, **JOB)
            want("written", written, 8 * 1024)
        came = interrupts(guest, line) - before
        if came > 200:
            raise GuestError(f"{came} interrupts for 8192 polled transfers")
        fio(guest, "thread", f"/dev/{disk}", iodepth="16", **JOB, sqthread_poll="1", registerfiles="1")
        fio(guest, "jobs", f"/dev/{disk}", iodepth="8", numjobs="4", size="2m", offset_increment="2m", **JOB)
        # Others use the queues with interrupts at the same time.
        guest.check(f"(dd if=/dev/{disk} of=/dev/null bs=4k count=2000 iflag=direct 2>/dev/null; echo $? >/tmp/dd) & true")
        fio(guest, "beside", f"/dev/{disk}", iodepth="32", **JOB)
        guest.check("i=0; while [ $i -lt 300 ] && [ ! -s /tmp/dd ]; do sleep 0.1; i=$((i+1)); done; grep -q 0 /tmp/dd; rm /tmp/dd", 60)
        idle(guest, disk)
    return run


def few(guest):
    """More requests than the queue has: who waits for a free one looks for ends himself."""
    guest.check("echo 2 >/sys/block/nvme0n1/queue/nr_requests")
    fio(guest, "few", "/dev/nvme0n1", iodepth="64", iodepth_batch="32", numjobs="2", size="2m", offset_increment="4m", **JOB)
    guest.check("cat /sys/block/nvme0n1/mq/0/nr_tags >/sys/block/nvme0n1/queue/nr_requests")


def killed(guest):
    """A program is killed with requests on their way: they end, the disk works."""
    for _ in range(5):
        guest.check("LD_PRELOAD=/lib/x86_64-linux-gnu/shm.so fio --name=k --filename=/dev/nvme0n1 --size=16m --bs=4k --ioengine=io_uring --hipri=1 --direct=1 "
                    "--rw=randread --iodepth=64 --time_based=1 --runtime=30 >/dev/null 2>&1 & sleep 1.5; killall -9 fio; wait; true", 60)
        idle(guest, "nvme0n1")
    fio(guest, "after", "/dev/nvme0n1", iodepth="32", **JOB)


def files(guest):
    """Files of ext4 on such a disk: written, unwritten, holes."""
    guest.check("mount -t ext4 /dev/vdb /mnt")
    for fallocate in ("none", "native", "truncate"):
        fio(guest, fallocate, f"/mnt/{fallocate}", iodepth="32", fallocate=fallocate, size="4m", **JOB)
    guest.check("umount /mnt")


def null(guest):
    """null_blk as a module, with one polled queue, as is its way."""
    guest.check("insmod /null_blk.ko gb=1 memory_backed=1 irqmode=2; grep -q 1 /sys/block/nullb0/queue/io_poll")
    fio(guest, "null", "/dev/nullb0", iodepth="32", **JOB)
    idle(guest, "nullb0")
    guest.check("rmmod null_blk; insmod /null_blk.ko gb=1 memory_backed=1 poll_queues=0; grep -q 0 /sys/block/nullb0/queue/io_poll")
    if guest.run("echo 1 >/sys/block/nullb0/queue/io_poll")[0] == 0:
        raise GuestError("a disk without polled queues took a wish for them")
    fio(guest, "null", "/dev/nullb0", iodepth="32", **JOB)
    guest.check("rmmod null_blk")


TESTS = {"nvme": polled("nvme0n1", "nvme0q"), "virtio_blk": polled("vda", "virtio.*(req|[0-9])"), "few": few, "killed": killed, "files": files, "null": null}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    # Not by PVH: SeaBIOS takes memory for the controller where QEMU has put the initramfs.
    parser.add_argument("--kernel", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="polled-") as work:
        cpio = image.base()
        add_fio(cpio, work)
        cpio.file("null_blk.ko", src=os.path.join(top, "drivers/block/null_blk/null_blk.ko"))
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        paths = [os.path.join(work, name) for name in ("nvme", "virtio", "ext4")]
        for path in paths:
            with open(path, "wb") as f:
                f.truncate(64 * MB)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", paths[2]], check=True, env=PATHS)
        extra = []
        for n, (path, device) in enumerate(zip(paths, (*DISKS.values(), DISKS["vda"]))):
            extra += ["-drive", f"if=none,id=d{n},file={path},format=raw", "-device", device.replace("DRIVE", f"d{n}")]
        append = APPEND + " nvme.poll_queues=1 virtio_blk.poll_queues=1"
        with Guest(args.kernel, initrd, append, machine="q35", cpus=args.cpus, memory=512, limit=600, extra=extra) as guest:
            guest.expect("@READY@", 120)
            for name in args.tests:
                try:
                    TESTS[name](guest)
                    report.ok(name)
                except GuestError as error:
                    report.fail(name, error)
                    if not guest.alive():
                        break
        found = subprocess.run(["e2fsck", "-fn", paths[2]], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=PATHS)
        want("e2fsck", found.returncode, 0)
    report.finish()


if __name__ == "__main__":
    main()
