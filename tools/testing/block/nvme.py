#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""NVMe: QEMU's controller read and written through queues of every CPU; discard, partitions, media errors, and a controller
that is slower than io_timeout and so is reset.

Run after `make bzImage`; `--kernel` names another kernel.
"""

import argparse
import os
import random
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from disks import MB, Bench, gpt, sha, want  # noqa: E402
from fio import add_fio, fio  # noqa: E402
from guest import GuestError, Report, image, programs  # noqa: E402

DEVICE = "nvme,drive=DRIVE,serial=rideau,max_ioqpairs=4"
DISK = "/dev/nvme0n1"


def both_ways(bench):
    """What the host wrote is read, what the guest wrote is on the host; large and odd transfers."""
    data = random.Random(1).randbytes(8 * MB)
    path = bench.disk("data", data)
    with bench.boot("q35", 2, [(f"file={path},format=raw", DEVICE)], memory=512) as guest:
        want("size", guest.check("cat /sys/block/nvme0n1/size").strip(), str(len(data) // 512))
        want("read", guest.check(f"dd if={DISK} bs=1M iflag=direct 2>/dev/null | sha256sum").split()[0], sha(data))
        want("buffered", guest.check(f"dd if={DISK} bs=64k 2>/dev/null | sha256sum").split()[0], sha(data))
        guest.check("dd if=/dev/urandom of=/tmp/new bs=1k count=1500 2>/dev/null")
        digest = guest.check("sha256sum < /tmp/new").split()[0]
        guest.check(f"for i in 0 1 2 3; do dd if=/tmp/new of={DISK} bs=3k count=500 seek=$((i*600)) conv=notrunc 2>/dev/null & done; wait; sync")
        lines = [line for line in guest.check("cat /proc/interrupts").splitlines() if "nvme0q" in line]
        want("queues", len(lines), 2)
        queue = "/sys/block/nvme0n1/queue"
        want("scheduler", guest.check(f"cat {queue}/scheduler").split()[0], "[none]")
        want("cache", guest.check(f"cat {queue}/write_cache").strip(), "write back")
    with open(path, "rb") as f:
        after = f.read()
    for i in range(4):
        want(f"write {i}", sha(after[i * 600 * 3072:][:1500 * 1024]), digest)


def verify(bench):
    """fio writes and verifies, synchronously and 32 at a time."""
    path = bench.disk("fio", bytes(32 * MB))
    with bench.boot("q35", 2, [(f"file={path},format=raw", DEVICE)], memory=512) as guest:
        for engine in ("psync", "libaio", "io_uring"):
            read, written = fio(guest, engine, DISK, ioengine=engine, rw="randwrite", verify="crc32c", verify_fatal="1", direct="1",
                                iodepth="1" if engine == "psync" else "32", bsrange="4k-64k")
            if read < 8 * 1024 or written < 8 * 1024:
                raise GuestError(f"{engine}: {read} KB verified of {written} KB")


def discard(bench):
    """Discarded blocks read as zeros (QEMU says so); partitions."""
    table, parts = gpt(16 * MB, 512)
    table[MB:2 * MB] = random.Random(2).randbytes(MB)
    path = bench.disk("table", table)
    with bench.boot("q35", 1, [(f"file={path},format=raw,discard=unmap", DEVICE)], memory=512) as guest:
        for number, (start, _) in parts.items():
            want("start", guest.check(f"cat /sys/block/nvme0n1/nvme0n1p{number}/start").strip(), str(start))
        guest.check(f"blkdiscard -o {MB} -l {MB // 2} {DISK}")
        want("discarded", guest.check(f"dd if={DISK} bs=64k skip=16 count=8 2>/dev/null | sha256sum").split()[0], sha(bytes(MB // 2)))
        want("kept", guest.check(f"dd if={DISK} bs=64k skip=24 count=8 2>/dev/null | sha256sum").split()[0], sha(bytes(table[MB + MB // 2:2 * MB])))


def errors(bench):
    """A block that cannot be read ends in an error; its neighbours are read."""
    path = bench.disk("bad", random.Random(3).randbytes(4 * MB))
    config = os.path.join(bench.top, "blkdebug")
    with open(config, "w") as f:
        f.write('[inject-error]\nevent = "read_aio"\nerrno = "5"\nsector = "4096"\nonce = "off"\n')
    with bench.boot("q35", 2, [(f"file=blkdebug:{config}:{path},format=raw", DEVICE)], memory=512) as guest:
        if guest.run(f"dd if={DISK} of=/dev/null bs=512 skip=4096 count=1 iflag=direct 2>/dev/null")[0] == 0:
            raise GuestError("a bad sector was read")
        guest.check(f"dd if={DISK} of=/dev/null bs=512 skip=4097 count=8 iflag=direct 2>/dev/null")
        guest.check(f"dd if={DISK} of=/dev/null bs=64k count=8 2>/dev/null")


def resets(bench):
    """Commands that take longer than io_timeout: the controller is reset and they are sent again."""
    path = bench.disk("slow", random.Random(4).randbytes(4 * MB))
    with bench.boot("q35", 2, [(f"file={path},format=raw,throttling.bps-total=16384", DEVICE)], memory=512) as guest:
        guest.check("echo 1500 >/sys/block/nvme0n1/queue/io_timeout")
        guest.check(f"(dd if={DISK} of=/tmp/out bs=64k count=16 iflag=direct 2>/tmp/err; echo $? >/tmp/status) & true")
        guest.check("i=0; while [ $i -lt 120 ] && ! dmesg | grep -q 'resetting controller'; do sleep 0.5; i=$((i+1)); done; dmesg | grep -q 'resetting controller'", 100)
        guest.qmp("block_set_io_throttle", device="d0", bps=0, bps_rd=0, bps_wr=0, iops=0, iops_rd=0, iops_wr=0)
        guest.check("i=0; while [ $i -lt 120 ] && [ ! -e /tmp/status ]; do sleep 0.5; i=$((i+1)); done; [ -e /tmp/status ]", 100)
        want("read anyway", guest.check("cat /tmp/status").strip(), "0")
        with open(path, "rb") as f:
            want("contents", guest.check("sha256sum </tmp/out").split()[0], sha(f.read(MB)))
        guest.check(f"dd if={DISK} of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null")


TESTS = {test.__name__: test for test in (both_ways, verify, discard, errors, resets)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Not by PVH: SeaBIOS takes memory for the controller where QEMU has put the initramfs.
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="nvme-") as work:
        bench = Bench(args.kernel, work)
        cpio = image.base()
        add_fio(cpio, work)
        cpio.write(bench.initrd)
        for name in args.tests:
            with report.attempt(name):
                TESTS[name](bench)
    report.finish()


if __name__ == "__main__":
    main()
