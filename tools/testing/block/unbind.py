#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Drivers of disks unbound and bound by programs (`/sys/bus/*/drivers/*/unbind`): with the disk idle, mounted, and in use by transfers.

The disk's node goes; what was written before is on the disk; who still has the disk open, or a file system mounted from it, gets EIO;
bound again it is there again with its data, under the same name; and nothing is lost of memory however often.
Run after `make bzImage`; `--kernel` names another kernel.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
from disks import MB, Bench, sha, want  # noqa: E402
from guest import GuestError, Report, programs  # noqa: E402

ROUNDS = 50
# Name, QEMU's device, the disk, the driver's directory in /sys/bus and the device's name there (a pattern of the shell).
ROWS = [
    ("virtio-pci", "virtio-blk-pci,drive=DRIVE,addr=5", "vda", "pci/drivers/virtio-pci", "0000:00:05.0"),
    ("virtio_blk", "virtio-blk-pci,drive=DRIVE,addr=5", "vda", "virtio/drivers/virtio_blk", "virtio0"),
    ("nvme", "nvme,drive=DRIVE,serial=rideau,max_ioqpairs=4,addr=5", "nvme0n1", "pci/drivers/nvme", "0000:00:05.0"),
]


class Disk:
    """A disk whose driver can be unbound."""

    def __init__(self, guest, row):
        self.guest = guest
        _, _, self.name, self.driver, self.device = row

    def unbind(self):
        self.guest.check(f"echo {self.device} >/sys/bus/{self.driver}/unbind", 120)
        if self.guest.run(f"[ -e /dev/{self.name} ] || [ -e /sys/block/{self.name} ] || grep -q ' {self.name}$' /proc/partitions")[0] == 0:
            raise GuestError(f"{self.name} is still there")

    def bind(self):
        self.guest.check(f"echo {self.device} >/sys/bus/{self.driver}/bind", 120)
        # nvme finds its disks later in Linux.
        self.guest.check(f"i=0; while [ ! -b /dev/{self.name} ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; [ -b /dev/{self.name} ]", 60)


def tool(*command):
    """Runs one of e2fsprogs."""
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=False)


def make_ext4(path):
    """An empty file system on `path`."""
    made = tool("mke2fs", "-q", "-F", "-t", "ext4", path)
    if made.returncode:
        raise GuestError(made.stdout)


def healthy(guest):
    """Nothing bad in the log."""
    bad = [line for line in guest.check("dmesg").splitlines() if re.search(r"Oops|BUG|WARNING|possible|hung|lock order|refcount", line)]
    if bad:
        raise GuestError("\n".join(bad[:5]))


def memory(guest):
    """KB that the kernel holds, after what waits to be freed is freed."""
    text = guest.check("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1)) for key in ("Slab", "VmallocUsed", "MemFree")}


def objects(guest):
    """Small objects of the kernel in use, by class. To be called after `memory`."""
    lines = guest.check("cat /proc/slabinfo").splitlines()[2:]
    return {line.split()[0]: int(line.split()[1]) for line in lines}


def no_leak(guest, cycles, rounds):
    """What `cycles(count)` does again and again keeps nothing. The lists of free pages and objects of the CPUs fill at first and
    vary later; what is lost in each round is missed after every batch, so one batch without it is enough."""
    seen = []
    for _ in range(4):
        before, used = memory(guest), objects(guest)
        cycles(rounds)
        after = memory(guest)
        more = {name: count - used.get(name, 0) for name, count in objects(guest).items() if count - used.get(name, 0) >= rounds}
        bound = 64 + 2 * rounds
        if not more and before["MemFree"] - after["MemFree"] <= bound and after["Slab"] - before["Slab"] <= bound:
            return
        seen.append(f"before {before}, after {after}, more objects {more}")
    raise GuestError(f"{rounds} rounds lose memory each time:\n" + "\n".join(seen))


def idle(bench, row):
    """Again and again: the same disk, the same data, the same amount of free memory."""
    data = random.Random(1).randbytes(4 * MB)
    path = bench.disk("data", data)
    with bench.boot("q35", 2, [(f"file={path},format=raw", row[1])]) as guest:
        disk = Disk(guest, row)

        for n in range(4):
            guest.check(f"printf '%08d' {n} | dd of=/dev/{disk.name} bs=8 seek=1 conv=notrunc 2>/dev/null")
            disk.unbind()
            disk.bind()
            want("read", guest.check(f"dd if=/dev/{disk.name} bs=64k 2>/dev/null | sha256sum").split()[0], sha(data[:8] + b"%08d" % n + data[16:]))
        # One command of the shell: what the console costs is not counted.
        way = f"/sys/bus/{disk.driver}"
        loop = (f"i=0; while [ $i -lt %d ]; do dd if=/dev/{disk.name} of=/dev/null bs=64k 2>/dev/null; echo {disk.device} >{way}/unbind && "
                f"echo {disk.device} >{way}/bind || break; while [ ! -b /dev/{disk.name} ]; do sleep 0.1; done; i=$((i+1)); done; echo $i")
        no_leak(guest, lambda count: want("rounds", guest.check(loop % count, 200).strip(), str(count)), ROUNDS)
        status, text = guest.run(f"echo {disk.device} >/sys/bus/{disk.driver}/bind 2>&1")
        if status == 0:
            raise GuestError(f"bound twice: {text}")
        disk.unbind()
        if guest.run(f"echo {disk.device} >/sys/bus/{disk.driver}/unbind 2>&1")[0] == 0:
            raise GuestError("unbound twice")
        disk.bind()
        healthy(guest)


def mounted(bench, row):
    """What was written is on the disk; what comes later ends with EIO; the file system can be unmounted, and mounted again later."""
    path = bench.disk("ext4", bytes(32 * MB))
    make_ext4(path)
    with bench.boot("q35", 2, [(f"file={path},format=raw", row[1])]) as guest:
        disk = Disk(guest, row)
        guest.check(f"mount -t ext4 /dev/{disk.name} /mnt && dd if=/dev/urandom of=/mnt/kept bs=1M count=4 2>/dev/null && sync && mkdir /mnt/dir")
        digest = guest.check("sha256sum </mnt/kept").split()[0]
        guest.check("echo later >/mnt/dir/later; echo 1 >/proc/sys/vm/drop_caches; exec 9>/mnt/open; echo 1 >&9")
        disk.unbind()
        status, text = guest.run("dd if=/mnt/kept of=/dev/null bs=1M count=4 2>&1; echo x >&9; sync /mnt/open 2>&1", 120)
        if "error" not in text.lower():
            raise GuestError(f"a read without a disk: {text}")
        if guest.run("dd if=/dev/zero of=/mnt/new bs=1M count=1 conv=fsync 2>&1", 120)[0] == 0:
            raise GuestError("a write without a disk")
        guest.check("exec 9>&-; umount /mnt; sleep 1", 120)
        disk.bind()
        guest.check(f"mount -t ext4 /dev/{disk.name} /mnt", 60)
        want("kept", guest.check("sha256sum </mnt/kept").split()[0], digest)
        guest.check("umount /mnt")
        healthy(guest)
    fsck = tool("e2fsck", "-f", "-n", path)
    if fsck.returncode:
        raise GuestError(fsck.stdout)


def busy(bench, row):
    """Transfers on their way, through the cache and past it: they end, with errors once the driver is gone."""
    path = bench.disk("busy", bytes(16 * MB))
    with bench.boot("q35", 4, [(f"file={path},format=raw", row[1])]) as guest:
        disk = Disk(guest, row)
        for n in range(4):
            guest.check("rm -f /tmp/end.*")
            for k, command in enumerate((f"dd if=/dev/{disk.name} of=/dev/null bs=4k iflag=direct", f"dd if=/dev/zero of=/dev/{disk.name} bs=64k oflag=direct conv=notrunc",
                                         f"dd if=/dev/zero of=/dev/{disk.name} bs=64k conv=notrunc,fsync", f"dd if=/dev/{disk.name} of=/dev/null bs=64k")):
                guest.check(f"(while [ -b /dev/{disk.name} ] && {command} 2>/dev/null; do :; done; echo $? >/tmp/end.{k}) & true")
            guest.check(f"sleep 0.{n + 1}")
            disk.unbind()
            guest.check("i=0; while [ $(ls /tmp/end.* 2>/dev/null | wc -l) != 4 ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ $(ls /tmp/end.* | wc -l) = 4 ]", 90)
            disk.bind()
            guest.check(f"dd if=/dev/{disk.name} of=/dev/null bs=1M iflag=direct 2>/dev/null")
        healthy(guest)


def held(bench, row):
    """Who has the disk open gets EIO, and the end of it when it is opened again is another disk's."""
    path = bench.disk("held", random.Random(2).randbytes(4 * MB))
    with bench.boot("q35", 2, [(f"file={path},format=raw", row[1])]) as guest:
        disk = Disk(guest, row)
        guest.check(f"exec 8<>/dev/{disk.name}")
        disk.unbind()
        if guest.run("dd bs=4k count=1 of=/dev/null <&8 2>/dev/null")[0] == 0 and guest.run("dd bs=4k count=1 skip=100 of=/dev/null iflag=direct <&8 2>/dev/null")[0] == 0:
            raise GuestError("read from a disk that is gone")
        guest.check(f"exec 8>&-; echo {disk.device} >/sys/bus/{disk.driver}/bind")
        guest.check(f"i=0; while [ ! -b /dev/{disk.name} ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; dd if=/dev/{disk.name} of=/dev/null bs=64k 2>/dev/null", 30)
        healthy(guest)


TESTS = (idle, mounted, busy, held)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # nvme wants the BIOS' boot: see nvme.py.
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("only", nargs="*", help="names of drivers or tests")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="unbind-") as work:
        bench = Bench(args.kernel, work)
        for row in ROWS:
            for test in TESTS:
                name = f"{row[0]} {test.__name__}"
                if args.only and not all(word in name.split() for word in args.only):
                    continue
                with report.attempt(name):
                    test(bench, row)
    report.finish()


if __name__ == "__main__":
    main()
