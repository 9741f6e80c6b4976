#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Speed of disks and ext4 beside Debian's kernel, tuned as `make bench` does, in the same QEMU: instructions per operation, fio (sequential and
random, read and written, buffered and direct, depth 1 and 32, one job and four), unpacking a tar, `git status`, sqlite, and how loads on
ext4 scale from 1 to 4 CPUs.

By the wall clock the two kernels boot in turn, each pair gives a ratio, and the table shows the median of the ratios: above 1 is faster for
what is measured in a second, below 1 for what takes time. Without --full everything is smaller and measured once.
--write FILE puts the tables into FILE (Documentation/storage.md) between its marks.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTING = os.path.dirname(HERE)
for place in (TESTING, HERE, os.path.join(TESTING, "ext4"), os.path.join(TESTING, "block")):
    sys.path.insert(0, place)
import bench  # noqa: E402
import fio  # noqa: E402
import speed  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, debian, programs  # noqa: E402

MB = 1 << 20
APPEND = "console=ttyS0 loglevel=1 panic=-1"
PACKAGES = ("git", "sqlite3", "libsqlite3-0", "libreadline8", "libtinfo6", "zlib1g", "libpcre2-8-0")
BEGIN, END = "<!-- storage: begin (written by `tools/testing/bench/storage.py --write`) -->", "<!-- storage: end -->"
PARTS = ("instructions", "fio", "programs", "scale")

# What sqlite's speedtest does, in small: inserts in one transaction and in many, look-ups with and without an index, updates, deletes.
SQL = """PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;
CREATE TABLE t1(a INTEGER, b INTEGER, c TEXT);
BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows}) INSERT INTO t1 SELECT i, (i*7919)%100003, printf('%040d',i) FROM n; COMMIT;
{single}
SELECT count(*), avg(b) FROM t1 WHERE b BETWEEN 1000 AND 5000;
CREATE INDEX t1b ON t1(b);
SELECT sum(length(c)) FROM t1 WHERE b BETWEEN 1000 AND 50000;
BEGIN; UPDATE t1 SET b=b+1 WHERE a%3=0; COMMIT;
BEGIN; DELETE FROM t1 WHERE a%5=0; COMMIT;
VACUUM; PRAGMA integrity_check;
"""


class Size:
    """How much is done: the short form, or --full."""

    def __init__(self, full):
        self.pairs = 3 if full else 1
        self.fio_mb, self.fio_s = (256, 8) if full else (48, 1)
        self.tar_mb, self.tar_files = (1024, 20000) if full else (32, 800)
        self.git_files = 20000 if full else 1000
        self.sql_rows, self.sql_single = (100000, 500) if full else (8000, 40)
        self.memory = 1024 if full else 512
        self.disk_mb = 4096 if full else 640
        self.scale_pairs = 3 if full else 1
        self.scale = "1,2,4" if full else "1,4"
        self.rows = None if full else ["stat_deep", "create_unlink", "pread_4k", "pwrite_4k", "write_fsync_4k"]
        # Direct, depth, jobs.
        self.ways = list(itertools.product((0, 1), (1, 32), (1, 4))) if full else [(0, 1, 1), (0, 1, 4), (1, 1, 1), (1, 32, 4)]


def make_tar(path, megabytes, files):
    """A tar with small files in many directories and a few large ones."""
    class Repeat:
        """A file whose bytes are a pattern."""

        def __init__(self, seed):
            self.block = (b"%08x" % seed) * 8192
            self.at = 0

        def read(self, count):
            self.at += count
            return (self.block * (count // len(self.block) + 1))[:count]

    small = megabytes * MB // 2 // files
    with tarfile.open(path, "w") as tar:
        def put(name, size, seed):
            info = tarfile.TarInfo(name)
            info.size, info.mode = size, 0o644
            tar.addfile(info, Repeat(seed))

        for n in range(files):
            put(f"tree/d{n // 200}/e{n // 20 % 10}/file{n}", small // 2 + n % small, n)
        for n in range(8):
            put(f"tree/large{n}", megabytes * MB // 16, n)


def image(work, linux):
    """The initramfs with everything the loads need."""
    cpio = tools.base(("git", "sqlite3"), linux=linux, packages=PACKAGES)
    fio.add_fio(cpio, work)
    cpio.file("bin/bench", src=os.path.join(programs.build("bench"), "bench"), mode=0o755)
    cpio.file("bin/tiny", src=os.path.join(programs.build("bench"), "tiny"), mode=0o755)
    path = os.path.join(work, f"initrd-{'linux' if linux else 'rideau'}")
    cpio.write(path)
    return path


class Machine:
    """A booted guest with a fresh ext4 on /mnt, and the tar as its second disk."""

    def __init__(self, args, work, linux, cpus, size, tar):
        self.disk = os.path.join(work, "disk")
        with open(self.disk, "wb") as f:
            f.truncate(size.disk_mb * MB)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.disk], check=True,
                       env=dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin"))
        queues = f",num-queues={cpus}"
        extra = []
        for name, path in (("d0", self.disk), ("d1", tar)):
            extra += ["-drive", f"file={path},format=raw,if=none,id={name},cache=unsafe,aio=threads", "-device", f"virtio-blk-pci,drive={name}{queues}"]
        kernel = debian.kernel() if linux else args.kernel or programs.default_kernel()
        append = APPEND + (f"{tools.LINUX} {bench.TUNED}" if linux else "")
        self.guest = Guest(kernel, args.initrd[linux], append, memory=size.memory, cpus=cpus, limit=args.limit, extra=extra)

    def __enter__(self):
        self.guest.expect("@READY@", 200)
        self.guest.check("mount -t ext4 /dev/vda /mnt && mkdir -p /mnt/w && mkdir -p /tmp", 60)
        return self.guest

    def __exit__(self, *_):
        self.guest.kill()


def timed(guest, command, limit):
    """Seconds that `command` takes by the guest's clock, to a hundredth."""
    script = f"read a b </proc/uptime; {command}; s=$?; read c d </proc/uptime; echo @ $s $a $c"
    out = guest.check(script, limit)
    found = re.search(r"@ (\d+) ([\d.]+) ([\d.]+)", out)
    if not found or found.group(1) != "0":
        raise GuestError(f"{command}: {out[-600:]}")
    return max(float(found.group(3)) - float(found.group(2)), 0.01)


def run_fio(guest, size, limit):
    """{row: KB a second}"""
    rows = {}
    for mode, (direct, depth, jobs) in itertools.product(("read", "write", "randread", "randwrite"), size.ways):
        name = f"{mode} {'direct' if direct else 'buffered'} depth {depth} jobs {jobs}"
        block = "4k" if mode.startswith("rand") else "64k"
        words = {"name": "job", "directory": "/mnt/w", "rw": mode, "direct": direct, "iodepth": depth, "numjobs": jobs, "bs": block,
                 "size": f"{size.fio_mb // jobs}m", "runtime": size.fio_s, "time_based": 1, "group_reporting": 1,
                 "ioengine": "libaio" if direct else "psync", "filename_format": "f$jobnum", "invalidate": 1, "fallocate": "none"}
        if not direct and depth != 1:
            # Buffered requests that wait for each other have no depth but io_uring's.
            words["ioengine"] = "io_uring"
        line = " ".join(f"--{key}='{value}'" for key, value in words.items())
        # A kernel that writes more in a buffered row would have more to write back during the next one.
        guest.check("sync", limit)
        status, text = guest.run(f"LD_PRELOAD=/{fio.LIB}/shm.so fio --output-format=terse --terse-version=3 {line} 2>&1", limit)
        fields = next((row.split(";") for row in text.splitlines() if row.startswith("3;fio")), None)
        if status or fields is None or fields[4] != "0":
            raise GuestError(f"{name}: {text[-600:]}")
        rows[name] = float(fields[47 if "write" in mode else 6])
    guest.check("rm -f /mnt/w/*; sync", 120)
    return rows


def run_programs(guest, size, limit):
    """{row: seconds}"""
    rows = {}
    drop = "sync; echo 3 >/proc/sys/vm/drop_caches"
    rows["tar: unpack and sync"] = timed(guest, "tar xf /dev/vdb -C /mnt/w && sync", limit)
    guest.check(drop, 60)
    rows["tar: read the tree, cold"] = timed(guest, "tar cf - -C /mnt/w tree | cat >/dev/null", limit)
    rows["rm -r of the tree"] = timed(guest, "rm -r /mnt/w/tree && sync", limit)
    git = "HOME=/tmp GIT_CONFIG_NOSYSTEM=1 git -C /mnt/w/g -c user.name=t -c user.email=t@t -c gc.auto=0 -c core.fsmonitor=false"
    guest.check(f"mkdir /mnt/w/g; HOME=/tmp git -c init.defaultBranch=main init -q --template= /mnt/w/g; i=0; while [ $i -lt {size.git_files} ]; do "
                "d=/mnt/w/g/d$((i/100)); [ -d $d ] || mkdir $d; echo \"file $i\" >$d/f$i; i=$((i+1)); done", limit)
    rows["git add and commit"] = timed(guest, f"{git} add -A && {git} commit -q -m all && sync", limit)
    guest.check(drop, 60)
    rows["git status, cold"] = timed(guest, f"{git} status --porcelain", limit)
    rows["git status, warm (5)"] = timed(guest, f"for i in 1 2 3 4 5; do {git} status --porcelain || break; done", limit)
    single = "".join(f"INSERT INTO t1 VALUES({n},{n},'one');" for n in range(size.sql_single))
    sql = SQL.format(rows=size.sql_rows, single=single)
    guest.check("rm -f /tmp/sql")
    for line in sql.splitlines():
        for at in range(0, len(line), 800):
            guest.check("printf %s '" + line[at:at + 800].replace("'", "'\\''") + "' >>/tmp/sql")
        guest.check("echo >>/tmp/sql")
    rows["sqlite"] = timed(guest, "sqlite3 /mnt/w/db </tmp/sql >/tmp/out && grep -q '^ok' /tmp/out", limit)
    guest.check("rm -rf /mnt/w/*; sync", 120)
    return rows


LOADS = "create_unlink,open_different,read_own,write_own"


def run_scale(guest, limit):
    """{row: operations a second}, with /tmp on ext4"""
    out = guest.check(f"mkdir -p /mnt/w/tmp && mount --bind /mnt/w/tmp /tmp && /bin/bench scale={LOADS}; umount /tmp", limit)
    return {name: float(value) for name, value in re.findall(r"^([a-z]\w+_\w+) ([\d.]+)\r?$", out, re.M)}


def pairs(args, work, size, tar, cpus, count, load):
    """`count` runs of `load` on both kernels in turn: [(Linux's rows, ours)]"""
    found = []
    for n in range(count):
        pair = []
        for linux in (True, False):
            began = time.monotonic()
            with Machine(args, work, linux, cpus, size, tar) as guest:
                pair.append(load(guest))
            print(f"# {'Linux' if linux else 'Rideau'}, {cpus} CPUs, run {n + 1}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        found.append(tuple(pair))
    return found


def summary(found):
    """{row: (median of Linux's figures, of ours, of the ratios)}"""
    out = {}
    for row in found[0][0]:
        both = [(theirs[row], ours[row]) for theirs, ours in found if row in ours and theirs[row] > 0]
        if both:
            out[row] = (statistics.median(t for t, _ in both), statistics.median(o for _, o in both), statistics.median(o / t for t, o in both))
    return out


def table(title, unit, better, rows):
    lines = [f"### {title}", f"{unit}; {better}.", "", "| | Linux, tuned | Rideau | ratio |", "|---|---:|---:|---:|"]
    for row, (theirs, ours, ratio) in rows.items():
        form = ",.0f" if theirs >= 100 else ",.2f"
        lines.append(f"| {row} | {theirs:{form}} | {ours:{form}} | {ratio:.2f} |")
    return "\n".join(lines)


def instructions(args, work, size):
    args.rows = size.rows
    linux = speed.measure(args, debian.kernel(), True, work)
    ours = speed.measure(args, args.kernel or programs.default_kernel(), False, work)
    return {row: (value, ours[row], ours[row] / value) for row, value in linux.items() if row in ours}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", help="our kernel, a release one (default: what make built)")
    parser.add_argument("--full", action="store_true", help="the long form: larger loads, three pairs of runs")
    parser.add_argument("--cpus", type=int, default=2, help="for fio and the programs")
    parser.add_argument("--scale", help="numbers of CPUs of the scaling table")
    parser.add_argument("--limit", type=int, default=3600, help="seconds for one machine")
    parser.add_argument("--write", metavar="FILE", help="puts the tables into this page")
    parser.add_argument("parts", nargs="*", help=f"what to measure: {', '.join(PARTS)}")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    parts, size, texts, figures = args.parts or PARTS, Size(args.full), [], {}
    with tempfile.TemporaryDirectory(prefix="storage-", dir=programs.build_dir()) as work:
        tar = os.path.join(work, "tar")
        make_tar(tar, size.tar_mb, size.tar_files)
        args.initrd = {linux: image(work, linux) for linux in (True, False)} if set(parts) - {"instructions"} else {}
        try:
            if "instructions" in parts:
                figures["instructions"] = instructions(args, work, size)
                texts.append(table("Instructions per operation on ext4", "QEMU's clock counts instructions", "below 1 is better", figures["instructions"]))
            if "fio" in parts:
                found = pairs(args, work, size, tar, args.cpus, size.pairs, lambda guest: run_fio(guest, size, args.limit))
                figures["fio"] = summary(found)
                texts.append(table(f"fio on a file of ext4, {args.cpus} CPUs", "KB a second; sequential in pieces of 64 KB, random of 4 KB", "above 1 is better", figures["fio"]))
            if "programs" in parts:
                found = pairs(args, work, size, tar, args.cpus, size.pairs, lambda guest: run_programs(guest, size, args.limit))
                figures["programs"] = summary(found)
                texts.append(table(f"Programs, {args.cpus} CPUs", "Seconds", "below 1 is better", figures["programs"]))
            if "scale" in parts:
                rows = {}
                for cpus in (int(word) for word in (args.scale or size.scale).split(",")):
                    found = pairs(args, work, size, tar, cpus, size.scale_pairs, lambda guest: run_scale(guest, args.limit))
                    rows.update({f"{row}, {cpus} CPU{'s' if cpus > 1 else ''}": value for row, value in summary(found).items()})
                figures["scale"] = dict(sorted(rows.items()))
                texts.append(table("Loads on ext4 by CPUs", "Operations a second, as many workers as CPUs", "above 1 is better", figures["scale"]))
        except GuestError as error:
            sys.exit(str(error))
    form = f"Measured by `storage.py{' --full' if args.full else ''}` on a host with {os.cpu_count()} cores, in {(time.monotonic() - began) / 60:.0f} minutes."
    text = "\n\n".join([form, *texts])
    print(text)
    with open(os.path.join(bench.BUILD, "storage.json"), "w") as f:
        json.dump(figures, f, indent=1)
    if args.write:
        bench.insert(args.write, text, BEGIN, END)


if __name__ == "__main__":
    main()
