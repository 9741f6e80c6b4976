#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Random operations that verify, on many kinds of ext4 at once: `fsx` on the content of files (also mapped, direct, fallocated, shared
by threads), `stress` on names, both together, with memory given and taken and caches dropped; on disks that are full, under quotas, and
on disks that fail. Afterwards the tree is the same when it is mounted again, and e2fsck finds nothing. --minutes: in all, spread
over the rows. --linux: the same on Debian's kernel."""

import argparse
import os
import random
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
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|allocation failed|rcu.*stall).*$", re.M)
USER = "/usr/sbin/setpriv --reuid 1000 --regid 1000 --clear-groups "

# name, type, options of mke2fs, of mount, MiB, what may go wrong: "" (nothing), "full", "quota", "eio"
ROWS = [
    ("default", "ext4", "-t ext4", "", 96, ""),
    ("1k", "ext4", "-t ext4 -b 1024 -J size=4", "", 64, ""),
    ("full", "ext4", "-t ext4 -J size=4", "", 24, "full"),
    ("nodelalloc", "ext4", "-t ext4 -b 2048", "nodelalloc", 64, ""),
    ("inline", "ext4", "-t ext4 -O inline_data,ea_inode,orphan_file", "", 64, ""),
    ("bigalloc", "ext4", "-t ext4 -O bigalloc", "", 128, ""),
    ("ext3", "ext3", "-t ext3 -b 1024", "", 64, ""),
    ("ext2", "ext2", "-t ext2 -b 4096", "", 64, ""),
    ("journal", "ext4", "-t ext4 -J size=8", "data=journal", 64, ""),
    ("writeback", "ext4", "-t ext4 -O ^has_journal", "", 64, ""),
    ("full1k", "ext4", "-t ext4 -b 1024 -J size=4 -O ^extent,^64bit", "", 20, "full"),
    ("fullbig", "ext4", "-t ext4 -O bigalloc -J size=4", "", 40, "full"),
    ("quota", "ext4", "-t ext4 -O quota -E quotatype=usrquota:grpquota", "usrquota,grpquota", 64, "quota"),
    ("eio", "ext4", "-t ext4 -J size=4", "errors=continue", 64, "eio"),
]
SHORT = ["default", "1k", "full"]


def broken(path, work):
    """QEMU's name for the disk with some blocks that cannot be written, among those that files will get."""
    text = images.tool("dumpe2fs", path)
    free = [int(number) for span in re.findall(r"Free blocks: (.+)$", text, re.M) for number in re.findall(r"\d+", span.split("-")[0])]
    ends = [int(number) for number in re.findall(r"-(\d+)", " ".join(re.findall(r"Free blocks: (.+)$", text, re.M)))]
    first, last = min(free), max(ends)
    rules = os.path.join(work, "rules")
    rng = random.Random(1)
    with open(rules, "w") as f:
        for _ in range(60):
            block = rng.randrange(first, last)
            f.write(f'[inject-error]\nevent = "write_aio"\nerrno = "5"\nsector = "{block * 8}"\nonce = "off"\n')
    return f"blkdebug:{rules}:{path}"


def differences(text):
    """What differs between the two lines that `diff` shows of a name: its inode, and both values of each field."""
    sides = {"-": {}, "+": {}}
    for line in text.splitlines():
        found = re.match(r'([-+])"(.*?)" (\w+) (.*)', line.strip())
        if found:
            sign, name, mode, rest = found.groups()
            words = f"mode {mode} owner {rest}".split(" ")
            sides[sign][name] = dict(zip(words[::2], words[1::2]))
    said = []
    for name in sorted(sides["-"].keys() | sides["+"].keys()):
        before, after = sides["-"].get(name, {}), sides["+"].get(name, {})
        fields = [f"{key} {before.get(key)} -> {after.get(key)}" for key in dict(before, **after) if before.get(key) != after.get(key)]
        said.append(f"{name}, inode {before.get('inode') or after.get('inode')}, mode {before.get('mode')}: {', '.join(fields)}")
    return "\n".join(said) or text


def row(guest, args, index, seconds, seed):
    """Both programs on one disk. Returns what they did."""
    name, kind, _, options, size, trouble = ROWS[index]
    disk = "/dev/vd" + chr(ord("a") + args.rows.index(name))
    mount = f"mount -t {kind} -o {options or 'rw'} {disk} /mnt"
    errors = {"": "", "full": "errors=full", "quota": "errors=full", "eio": "errors=any"}[trouble]
    user = ""
    guest.check(f"{mount} && chmod 777 /mnt && mkdir -p /mnt/x{seed} && mkdir -p /mnt/s{seed} && chmod 777 /mnt/x{seed} /mnt/s{seed}", args.step)
    if trouble == "full":
        # Little is left from the beginning.
        guest.run(f"[ -e /mnt/fill ] || dd if=/dev/zero of=/mnt/fill bs=1M count={size * 2 // 3 - 4} 2>/dev/null", args.step)
    if trouble == "quota":
        user = USER
        guest.check("ln -sf /proc/mounts /etc/mtab; /usr/sbin/setquota -u 1000 1500 2500 150 200 /mnt", args.step)
    threads = max(2, args.cpus)
    words = f"seconds={seconds} seed={seed} threads={threads} {errors}"
    # Of files with block pointers some blocks of those are filled in one go.
    most = "max=200000" if trouble else "max=300000" if kind == "ext4" else "max=1500000"
    keys = "" if kind == "ext4" else "chattr=0"
    line = (f"({user}/bin/fsx dir=/mnt/x{seed} {words} {most} pressure={args.pressure} drop=1 >/tmp/fsx 2>&1; echo fsx $? >>/tmp/fsx) & "
            f"({user}/bin/stress dir=/mnt/s{seed} {words} {keys} >/tmp/stress 2>&1; echo stress $? >>/tmp/stress) & wait; cat /tmp/fsx /tmp/stress")
    out = guest.run(line, seconds + args.step)[1]
    said = COMPLAINT.search(guest.text)
    if said:
        raise GuestError(f"the kernel says: {said.group(0)}\n{guest.text[-3000:]}")
    if trouble != "eio" and "EXT4-fs error" in guest.text:
        raise GuestError(guest.text[-2000:])
    if not re.search(r"^fsx 0$", out, re.M) or not re.search(r"^stress 0$", out, re.M):
        raise GuestError(out[-6000:])
    if trouble != "eio":
        listing = "/bin/tree top=/mnt places=0 numbers=1 access=0"
        guest.check(f"{listing} >/tmp/before && umount /mnt && {mount}", args.step)
        # Of long names the ends.
        short = "sed 's/\"[^\"]*\\([^\"]\\{80\\}\\)\"/\"..\\1\"/'"
        differ = guest.run(f"{listing} >/tmp/after; cmp -s /tmp/before /tmp/after || diff /tmp/before /tmp/after | grep '^[-+]\"' | {short} | cut -c1-900 | head -40",
                           args.step)[1]
        if differ.strip():
            raise GuestError(f"mounted again, the tree differs:\n{differences(differ)[-6000:]}")
        guest.check(f"rm -rf /mnt/x{seed} /mnt/s{seed}", args.step)
    guest.run("umount /mnt", args.step)
    sums = [sum(map(int, found)) for found in zip(*re.findall(r": (\d+) operations, (\d+) refused", out))]
    if trouble in ("full", "quota") and not sums[1]:
        raise GuestError("the disk was never full")
    return f"{sums[0]} operations, {sums[1]} of them refused"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--minutes", type=float, help="in all (default: 4 seconds for each row, 3 with --short)")
    parser.add_argument("--short", action="store_true", help=f"only {' '.join(SHORT)}")
    parser.add_argument("--rounds", type=int, help="how often each row runs: what is mounted again often shows more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step", type=int, default=240, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", type=int, default=192)
    parser.add_argument("--pressure", type=int, default=40, help="MiB taken and given back")
    parser.add_argument("only", nargs="*", help="names of rows")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    args.rows = [row[0] for row in ROWS if (row[0] in args.only if args.only else not args.short or row[0] in SHORT)]
    with tempfile.TemporaryDirectory(prefix="fsx-") as work:
        initrd = os.path.join(work, "initrd")
        cpio = tools.base(["setquota", "setpriv"], args.linux)
        built = programs.build("ext4-tests")
        for name in ("fsx", "stress", "tree"):
            cpio.file(f"bin/{name}", src=os.path.join(built, name), mode=0o755)
        cpio.write(initrd)
        drives = []
        for number, (name, _, options, _, size, trouble) in enumerate(row for row in ROWS if row[0] in args.rows):
            path = os.path.join(work, name)
            images.make(path, size << 20, options.split())
            file = broken(path, work) if trouble == "eio" else path
            drives += ["-drive", f"file={file},format=raw,if=none,id=d{number},cache=unsafe,rerror=report,werror=report",
                       "-device", f"virtio-blk-pci,drive=d{number}"]
        rounds = args.rounds or 1
        seconds = 3 if args.short else 4
        if args.minutes:
            rounds = args.rounds or max(1, int(args.minutes * 60 / len(args.rows) / 45))
            seconds = int(args.minutes * 60 / len(args.rows) / rounds)
        append = APPEND + (tools.LINUX if args.linux else "")
        limit = 300 + 4 * rounds * len(args.rows) * (seconds + 30)
        with Guest(args.kernel, initrd, append, memory=args.memory, cpus=args.cpus, limit=limit, extra=drives) as guest:
            try:
                guest.expect("@READY@", args.step)
                for number in range(rounds):
                    for index, (name, *_) in enumerate(ROWS):
                        if name in args.rows:
                            done = row(guest, args, index, seconds, args.seed + number)
                            report.ok(f"{name}, seed {args.seed + number}: {done}, in {seconds} s, {args.cpus} CPUs")
            except GuestError as error:
                report.fail(f"{name}, seed {args.seed + number}", error)
        for name in args.rows:
            trouble = next(row[5] for row in ROWS if row[0] == name)
            try:
                if trouble == "eio":
                    images.tool("e2fsck", "-fy", os.path.join(work, name), codes=(0, 1))
                if not report.failed:
                    images.check(os.path.join(work, name))
                    report.ok(f"e2fsck: {name}")
            except RuntimeError as error:
                report.fail(f"e2fsck: {name}", error)
    report.finish()


if __name__ == "__main__":
    main()
