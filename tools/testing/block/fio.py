#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debian's fio in the guest: every engine writes a disk and verifies it, buffered and direct, one request at a time and 32; merges, the
scheduler and per-task counters are looked at from outside.

fio's engines for clusters and fabrics are not used: the libraries they need are stand-ins without code. Run after `make vmlinux`;
`--kernel` names another kernel.
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
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402

# fio keeps its figures in System V shared memory, which is none of this test's business: memory shared across fork does, too.
SHM = r"""
void *mmap(void *, unsigned long, int, int, int, long);
static unsigned long sizes[64];
static void *places[64];
static int count;
int shmget(int key, unsigned long size, int flags) { sizes[count] = size; return count++; }
void *shmat(int id, const void *at, int flags)
{
	if (!places[id])
		places[id] = mmap(0, sizes[id], 3, 0x21, -1, 0);
	return places[id];
}
int shmdt(const void *at) { return 0; }
int shmctl(int id, int command, void *to) { return 0; }
"""
REAL = {"libc.so.6": "libc6", "libm.so.6": "libc6", "libz.so.1": "zlib1g", "libnuma.so.1": "libnuma1", "libaio.so.1": "libaio1"}
LIB = "lib/x86_64-linux-gnu"
PATHS = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")


def _readelf(*argv):
    return subprocess.run(["readelf", "-W", *argv], check=True, text=True, stdout=subprocess.PIPE).stdout


def _find(package, name):
    """The file `name` of a package's library directories."""
    top = debian.unpack(package)
    for directory in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"):
        path = os.path.join(top, directory, name)
        if os.path.exists(path):
            return os.path.realpath(path)
    raise SystemExit(f"{package} has no {name}")


def _defined(path):
    return {line.split()[7].split("@")[0] for line in _readelf("--dyn-syms", path).splitlines()
            if len(line.split()) > 7 and line.split()[6] not in ("UND", "Ndx")}


def add_fio(cpio, work):
    """Puts fio and what it is linked with into an image."""
    fio = os.path.join(debian.unpack("fio"), "usr/bin/fio")
    cpio.file("usr/bin/fio", src=fio, mode=0o755)
    for directory in ("lib", LIB, "lib64"):
        cpio.dir(directory)
    cpio.file("lib64/ld-linux-x86-64.so.2", src=_find("libc6", "ld-linux-x86-64.so.2"), mode=0o755)
    needed, there = re.findall(r"\(NEEDED\).*\[(.*)\]", _readelf("-d", fio)), set()
    for name, package in REAL.items():
        path = _find(package, name)
        there |= _defined(path)
        cpio.file(f"{LIB}/{name}", src=path, mode=0o755)
    symbols = {}
    for line in _readelf("--dyn-syms", fio).splitlines():
        fields = line.split()
        if len(fields) > 7 and fields[6] == "UND" and fields[4] == "GLOBAL":
            name, _, version = fields[7].partition("@")
            if name not in there:
                symbols[name] = version.lstrip("@").split()[0] if version else ""
    source = os.path.join(work, "standin.c")
    with open(source, "w") as f:
        for name in symbols:
            f.write(f"int {name}(void) {{ return -1; }}\n")
    versions = sorted(set(symbols.values()) - {""})
    script = os.path.join(work, "standin.map")
    with open(script, "w") as f:
        for version in versions:
            names = "; ".join(name for name, its in symbols.items() if its == version)
            f.write(f"{version} {{ global: {names}; }};\n")
    with open(os.path.join(work, "shm.c"), "w") as f:
        f.write(SHM)
    subprocess.run(["gcc", "-shared", "-nostdlib", "-w", "-fPIC", "-fno-builtin", "-o", os.path.join(work, "shm.so"), os.path.join(work, "shm.c")], check=True)
    cpio.file(f"{LIB}/shm.so", src=os.path.join(work, "shm.so"), mode=0o755)
    for name in set(needed) - set(REAL):
        path = os.path.join(work, name)
        subprocess.run(["gcc", "-shared", "-nostdlib", "-w", "-fno-builtin", f"-Wl,-soname,{name}", f"-Wl,--version-script,{script}",
                        "-o", path, source], check=True)
        cpio.file(f"{LIB}/{name}", src=path, mode=0o755)


def fio(guest, name, where, limit=120, **options):
    """Runs one job; its terse figures: read KB, write KB, errors."""
    words = {"name": name, "filename": where, "size": "8m", "bs": "4k", "group_reporting": "1", **options}
    line = " ".join(f"--{key}={value}" for key, value in words.items() if value is not None)
    status, text = guest.run(f"LD_PRELOAD=/{LIB}/shm.so fio --output-format=terse --terse-version=3 {line} 2>&1", limit)
    rows = [row for row in text.splitlines() if row.startswith("3;fio")]
    if status != 0 or not rows:
        raise GuestError(f"{name}: status {status}: {text[-600:]}")
    fields = rows[-1].split(";")
    if fields[4] != "0":
        raise GuestError(f"{name}: error {fields[4]}: {text[-600:]}")
    return int(fields[5]), int(fields[46])


def verified(engine, **more):
    """A test: the engine writes in random order and reads back what it wrote."""
    def run(guest, where):
        read, written = fio(guest, engine, where, ioengine=engine, rw="randwrite", verify="crc32c", verify_fatal="1", **more)
        want("written", written, 8 * 1024)
        if read < 8 * 1024:
            raise GuestError(f"only {read} KB were verified")
    return run


def stat(guest, disk="vda"):
    """The disk's counters."""
    return [int(word) for word in guest.check(f"cat /sys/block/{disk}/stat").split()]


def merges(guest, where):
    """A stream in small pieces goes out in large requests, and not with nomerges."""
    found = {}
    for level in (0, 2):
        guest.check(f"echo {level} >/sys/block/vda/queue/nomerges")
        before = stat(guest)
        fio(guest, "merge", where, ioengine="libaio", direct="1", rw="write", iodepth="32", iodepth_batch="16", iodepth_batch_complete_min="16", iodepth_low="8", bs="4k", size="4m")
        after = stat(guest)
        found[level] = (after[4] - before[4], after[5] - before[5], after[6] - before[6])
    guest.check("echo 0 >/sys/block/vda/queue/nomerges")
    for level, (ios, merged, sectors) in found.items():
        want(f"nomerges={level}: sectors", sectors, 8192)
        want(f"nomerges={level}: requests and merges", ios + merged, 1024)
    if found[0][1] < 512 or found[2][1] != 0:
        raise GuestError(f"requests, merges, sectors by nomerges: {found}")


def scheduler(guest, where):
    """Schedulers are changed under load; tunables are there with their scheduler alone."""
    queue = "/sys/block/vda/queue"
    guest.check(f"echo mq-deadline >{queue}/scheduler")
    want("scheduler", guest.check(f"cat {queue}/scheduler").split()[0], "[mq-deadline]")
    want("fifo_batch", guest.check(f"cat {queue}/iosched/fifo_batch").strip(), "16")
    want("read_expire", guest.check(f"cat {queue}/iosched/read_expire").strip(), "500")
    guest.check(f"echo 8 >{queue}/iosched/fifo_batch; echo 16 >{queue}/nr_requests")
    want("nr_requests", guest.check(f"cat {queue}/nr_requests").strip(), "16")
    guest.check(f"(for i in 1 2 3 4 5 6; do echo none >{queue}/scheduler; sleep 0.2; echo kyber >{queue}/scheduler; sleep 0.3; "
                f"echo mq-deadline >{queue}/scheduler; sleep 0.3; done) & true")
    verified("libaio", direct="1", iodepth="32")(guest, where)
    guest.check("wait; true")
    guest.check(f"echo kyber >{queue}/scheduler; [ ! -e {queue}/iosched/fifo_batch ]")
    want("schedulers", guest.check(f"cat {queue}/scheduler").strip(), "mq-deadline [kyber] none")
    want("wanted latencies", guest.check(f"cat {queue}/iosched/read_lat_nsec {queue}/iosched/write_lat_nsec").split(), ["2000000", "10000000"])
    # What nothing can keep to: few requests at a time, but none is lost.
    guest.check(f"echo 0 >{queue}/iosched/read_lat_nsec; echo 1 >{queue}/iosched/write_lat_nsec")
    verified("libaio", direct="1", iodepth="32")(guest, where)
    guest.check(f"echo none >{queue}/scheduler; [ ! -e {queue}/iosched ]")
    if guest.run(f"echo bogus >{queue}/scheduler")[0] == 0:
        raise GuestError("an unknown scheduler was taken")


def counters(guest, where):
    """/proc/PID/io: what a program reads and writes, and of that what comes from the disk."""
    text = guest.check(f"sh -c 'echo 3 >/proc/sys/vm/drop_caches; dd if={where} of=/dev/null bs=64k count=16 2>/dev/null; cat /proc/self/io >/dev/null; "
                       f"exec dd if={where} of=/dev/null bs=64k count=16 2>/dev/null'; dd if=/proc/self/io bs=4k 2>/dev/null")
    keys = [line.split(":")[0] for line in text.splitlines()]
    want("keys", keys, ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"])
    guest.check("echo 3 >/proc/sys/vm/drop_caches")
    script = f"dd if={where} bs=64k count=16 2>/dev/null >/dev/null; exec 3</proc/$$/io; cat <&3"
    shell = guest.check(f"sh -c '{script}'")
    if "read_bytes" not in shell:
        raise GuestError(shell)
    used = guest.check(f"echo 3 >/proc/sys/vm/drop_caches; time -v dd if={where} of=/dev/null bs=64k count=16 2>&1 | grep -i 'file system inputs' || true")
    if used and int(used.split(":")[1]) < 2048:
        raise GuestError(f"ru_inblock: {used}")


def ext4(guest, _):
    """The same on a file of ext4, buffered and, where ext4 takes it, direct."""
    guest.check("mount -t ext4 /dev/vdb /mnt")
    direct = guest.run("dd if=/dev/zero of=/mnt/d bs=4k count=1 oflag=direct 2>/dev/null")[0] == 0
    for engine in ("psync", "libaio", "io_uring"):
        for mode in ("0", "1") if direct else ("0",):
            fio(guest, engine, f"/mnt/{engine}{mode}", ioengine=engine, rw="randwrite", verify="crc32c", verify_fatal="1", direct=mode, iodepth="16",
                end_fsync="1", size="4m")
    guest.check("umount /mnt")


def deep(engine):
    """A test: 32 direct requests under way on files of ext4: to unwritten blocks, to holes, over what is there, with O_DSYNC, reading and writing
    mixed, several jobs on one file."""
    def run(guest, _):
        words = {"ioengine": engine, "direct": "1", "iodepth": "32", "verify": "crc32c", "verify_fatal": "1"}
        guest.check("mount -t ext4 /dev/vdb /mnt; rm -f /mnt/* 2>/dev/null; grep -q ' /mnt ext4 ' /proc/mounts")
        rows = {"unwritten": {"rw": "randwrite"}, "holes": {"rw": "randwrite", "fallocate": "truncate"},
                "over": {"rw": "randwrite", "overwrite": "1", "verify_backlog": "64"}, "dsync": {"rw": "randwrite", "sync": "dsync", "size": "1m"},
                "mixed": {"rw": "randrw", "bs": "16k", "fallocate": "none"}}
        try:
            for row, more in rows.items():
                fio(guest, row, f"/mnt/{row}", **words, **more)
            guest.check("dd if=/dev/zero of=/mnt/jobs bs=1k seek=8191 count=1 2>/dev/null")
            fio(guest, "jobs", "/mnt/jobs", **words, rw="randwrite", numjobs="4", size="2m", offset_increment="2m")
        finally:
            guest.run("umount /mnt")
    return run


TESTS = {
    "psync": verified("psync"),
    "psync-direct": verified("psync", direct="1"),
    "libaio": verified("libaio", direct="1", iodepth="32"),
    "libaio-1": verified("libaio", direct="1", iodepth="1"),
    "libaio-buffered": verified("libaio", iodepth="16"),
    "libaio-jobs": None,
    "io_uring": verified("io_uring", direct="1", iodepth="32"),
    "io_uring-buffered": verified("io_uring", iodepth="16"),
    "io_uring-fixed": verified("io_uring", direct="1", iodepth="32", fixedbufs="1", registerfiles="1"),
    "io_uring-hipri": verified("io_uring", direct="1", iodepth="32", hipri="1"),
    "io_uring-sqpoll": verified("io_uring", direct="1", iodepth="32", registerfiles="1", sqthread_poll="1"),
    "merges": merges,
    "scheduler": scheduler,
    "counters": counters,
    "ext4": ext4,
    "ext4-libaio": deep("libaio"),
    "ext4-io_uring": deep("io_uring"),
}


def jobs(guest, where):
    """Four jobs on as many parts of the disk."""
    read, written = fio(guest, "jobs", where, ioengine="libaio", direct="1", rw="randrw", iodepth="8", numjobs="4", size="2m", offset_increment="2m",
                        verify="crc32c")
    if read + written < 4 * 2 * 1024:
        raise GuestError(f"{read} KB read, {written} KB written")


TESTS["libaio-jobs"] = jobs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--device", default="virtio-blk-pci,drive=d0,num-queues=2")
    parser.add_argument("--disk", default="vda")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="fio-") as work:
        cpio = image.base()
        add_fio(cpio, work)
        initrd, disk = os.path.join(work, "initrd"), os.path.join(work, "disk")
        cpio.write(initrd)
        with open(disk, "wb") as f:
            f.truncate(32 * MB)
        other = os.path.join(work, "ext4")
        with open(other, "wb") as f:
            f.truncate(64 * MB)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", other], check=True, env=PATHS)
        extra = ["-drive", f"if=none,id=d0,file={disk},format=raw,cache=writeback", "-device", args.device,
                 "-drive", f"if=none,id=d1,file={other},format=raw", "-device", "virtio-blk-pci,drive=d1"]
        with Guest(args.kernel, initrd, APPEND, cpus=args.cpus, memory=512, limit=1200, extra=extra) as guest:
            guest.expect("@READY@", 120)
            for name in args.tests:
                try:
                    TESTS[name](guest, f"/dev/{args.disk}")
                    report.ok(name)
                except GuestError as error:
                    report.fail(name, error)
                    if not guest.alive():
                        break
        found = subprocess.run(["e2fsck", "-fn", other], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=PATHS)
        if found.returncode == 0:
            report.ok("e2fsck")
        else:
            report.fail("e2fsck", found.stdout[-600:])
    report.finish()


if __name__ == "__main__":
    main()
