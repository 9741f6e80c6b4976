#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Images of mkfs.vfat in all widths: what mtools wrote is read in the guest, what the guest writes is read by mtools and found whole by
fsck.vfat; names, attributes, options, a full disk, damaged chains and images. --linux: the same on Debian's kernel."""

import argparse
import hashlib
import os
import random
import subprocess
import tempfile

import common
from common import GuestError, Report

DRIVERS = ["nls_ascii", "nls_cp437", "vfat"]
# name, bytes, options of mkfs.vfat
ROWS = [
    ("fat12", 4 << 20, ["-F", "12", "-s", "2"]),
    ("fat16", 24 << 20, ["-F", "16", "-s", "4"]),
    ("fat32", 48 << 20, ["-F", "32", "-s", "1"]),
    ("fat32_8k", 600 << 20, ["-F", "32", "-s", "16"]),
    ("sector4k", 300 << 20, ["-F", "32", "-S", "4096", "-s", "1"]),
]

# What is done in the guest, and on the host for comparison.
WORK = r"""
set -e
cd "$1"
mkdir -p a/b/c "Long directory name" many
for i in $(seq 1 90); do echo "content of $i" >"Long directory name/A longer file name, number $i.text"; done
for i in $(seq 1 3 90); do rm "Long directory name/A longer file name, number $i.text"; done
for i in $(seq 1 40); do echo "again $i" >"Long directory name/Another, of a different length, number $i"; done
for i in $(seq 1 60); do echo $i >many/SHORT$i.TXT; done
mv "Long directory name/A longer file name, number 5.text" a/b/moved
mv a/b a/renamed
mkdir e
mv a/renamed e/below
echo deep >e/below/c/deep
rmdir a
seq 1 20000 >big
seq 1 5000 | dd of=hole bs=1000 seek=77 2>/dev/null
dd if=big of=hole bs=512 seek=3 count=40 conv=notrunc 2>/dev/null
printf end >>big
cp big short
truncate -s 12345 short
truncate -s 20001 short
cp big over
echo small >under
mv under over
mkdir "Ünïcödé 世界"
echo text >"Ünïcödé 世界/naïve £ café"
: >empty
mkdir dir1 dir2
mv dir1 dir2
mv -f many/SHORT1.TXT many/SHORT2.TXT
rm -r many
cp big many
"""
LIST = "cd {}; {{ find . -type d | sed 's/^/dir /'; find . -type f -print0 | xargs -0 md5sum; }} | sort >{}; cd /"


def tool(*line):
    """Runs a program of the host."""
    env = dict(os.environ, LC_ALL="C.UTF-8", MTOOLS_SKIP_CHECK="1", PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    done = subprocess.run(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise GuestError(f"{' '.join(line[:6])}: {done.stdout[-1500:]}")
    return done.stdout


def make(path, size, options):
    if os.path.exists(path):
        os.remove(path)
    with open(path, "wb") as f:
        f.truncate(size)
    tool("mkfs.vfat", "-n", "LABEL", "-i", "12345678", *options, path)


def listing(top):
    """What LIST prints of `top`."""
    lines = []
    for here, _, names in os.walk(top):
        rel = os.path.relpath(here, top)
        lines.append("dir ." if rel == "." else f"dir ./{rel}")
        for name in names:
            full = os.path.join(here, name)
            with open(full, "rb") as f:
                lines.append(f"{hashlib.md5(f.read()).hexdigest()}  ./{os.path.relpath(full, top)}")
    return sorted(lines, key=lambda line: line.encode())


def populate(top):
    """What mtools puts onto an image."""
    rng = random.Random(5)
    os.makedirs(os.path.join(top, "Some directory", "UPPER"))
    names = [f"Some directory/file with a long name {i}.dat" for i in range(70)]
    names += [f"Some directory/UPPER/NAME{i}.EXT" for i in range(30)] + ["lower.txt", "MiXed.TxT", "naïve café", "世界"]
    for name in names:
        with open(os.path.join(top, name), "wb") as f:
            f.write(rng.randbytes(rng.randrange(20000)))


def differing(one, other):
    return [line for line in one if line not in other][:6] + [line for line in other if line not in one][:6]


def both_ways(guest, args, disk, path, source, expected, out):
    """Reads what mtools wrote, writes, and lets the host read."""
    guest.check(f"mount -t vfat {disk} /mnt/a", args.step)
    guest.check(LIST.format("/mnt/a", "/tmp/seen") + "; diff /source /tmp/seen >/tmp/diff || { head -8 /tmp/diff; false; }", args.step)
    with open(path, "rb") as f:
        boot = f.read(512)
    wide = int.from_bytes(boot[22:24], "little") == 0
    if not boot[65 if wide else 37] & 1:
        raise GuestError("the boot sector does not say that it is mounted")
    guest.check("rm -r /mnt/a/* && sh /work.sh /mnt/a", 4 * args.step)
    guest.check(LIST.format("/mnt/a", "/tmp/seen") + "; diff /expected /tmp/seen >/tmp/diff || { head -8 /tmp/diff; false; }", args.step)
    guest.check("umount /mnt/a", args.step)
    with open(path, "rb") as f:
        if f.read(512)[65 if wide else 37] & 1:
            raise GuestError("the boot sector says that it is still mounted")
    tool("fsck.vfat", "-n", path)
    os.makedirs(out)
    tool("mcopy", "-s", "-n", "-i", path, "::/", out + "/")
    found = listing(out)
    if found != expected:
        raise GuestError(f"mtools see something else: {differing(found, expected)}")
    # Once more, from the disk.
    guest.check(f"echo 3 >/proc/sys/vm/drop_caches; mount -t vfat -o ro {disk} /mnt/a", args.step)
    guest.check(LIST.format("/mnt/a", "/tmp/seen") + "; diff /expected /tmp/seen >/tmp/diff || { head -8 /tmp/diff; false; }", args.step)
    guest.check("umount /mnt/a", args.step)


DEFAULT = "rw,relatime,fmask=0022,dmask=0022,codepage=437,iocharset=ascii,shortname=mixed,utf8,errors=remount-ro"
# Options, and what /proc/mounts shows of them.
SHOWN = [
    ("uid=5,gid=6,umask=077,shortname=winnt", "rw,relatime,uid=5,gid=6,fmask=0077,dmask=0077,codepage=437,iocharset=ascii,"
     "shortname=winnt,utf8,errors=remount-ro"),
    ("fmask=0111,dmask=0,utf8=0,check=s,quiet,tz=UTC,errors=continue,shortname=lower,nonumtail,usefree,showexec,flush,rodir",
     None),
    ("umask=0,allow_utime=20", "rw,relatime,fmask=0000,dmask=0000,allow_utime=0020,codepage=437,iocharset=ascii,shortname=mixed,utf8,errors=remount-ro"),
    ("ro,time_offset=-90,uni_xlate,errors=panic,shortname=win95", "ro,relatime,fmask=0022,dmask=0022,codepage=437,iocharset=ascii,"
     "shortname=win95,uni_xlate,time_offset=-90,errors=panic"),
]
# What a shell in the root of a fresh mount must find: each line is true.
TRUE = r"""
echo 1 >File.txt && [ "$(cat FILE.TXT)" = 1 ] && [ "$(ls)" = File.txt ]
[ -e fIlE.tXt ] && mv File.txt Other && ! [ -e file.txt ] && [ "$(cat OTHER)" = 1 ]
echo 2 >oTHER && [ "$(ls | wc -l)" = 1 ] && [ "$(cat other)" = 2 ]
rm OTHER && ! [ -e other ] && ! [ -e Other ] && [ -z "$(ls)" ]
! [ -e name ] && echo 3 >NAME && [ "$(cat name)" = 3 ] && rm name && ! [ -e NAME ]
! [ -e other ] && ! [ -e OTHER ] && echo 8 >x && mv x Other && [ "$(cat other)$(cat OTHER)" = 88 ] && rm other && ! [ -e Other ]
! [ -e NEGATI~1.TEX ] && ! [ -e 'negative NAME.text' ] && echo 9 >'Negative name.text' && [ "$(cat 'negative NAME.text' negati~1.tex | tr -d '\n')" = 99 ] && rm NEGATI~1.TEX
! [ -e Sub ] && mkdir sub && [ -d Sub ] && rmdir SUB && ! [ -e sub ]
echo 4 >'dots...' && [ "$(ls)" = dots ] && [ "$(cat dots.)" = 4 ] && rm dots
! touch 'a:b' 2>/dev/null && ! touch 'a*' 2>/dev/null && ! touch 'end ' 2>/dev/null && ! touch '...' 2>/dev/null
! ln -s x y 2>/dev/null && ! mkfifo p 2>/dev/null && echo 5 >f && ! ln f g 2>/dev/null && [ "$(ls)" = f ]
[ "$(stat -c '%a %u %g %h' f)" = '755 0 0 1' ] && chmod 600 f && [ "$(stat -c %a f)" = 755 ]
chmod 555 f && [ "$(stat -c %a f)" = 555 ] && chmod 755 f && [ "$(stat -c %a f)" = 755 ]
! chown 1 f 2>/dev/null && chown 0 f && ! chmod 4755 f 2>/dev/null
fatattr f | grep -q a && fatattr +rh f && fatattr f | grep -q 'r.*h\|rh' && [ "$(stat -c %a f)" = 555 ] && fatattr -rh f
touch -d '2001-09-09 01:46:41' f && [ "$(TZ=UTC stat -c '%Y %Z' f)" = '1000000000 1000000000' ]
mkdir d && [ "$(stat -c %h d)" = 2 ] && mkdir d/e && [ "$(stat -c %h d)" = 3 ] && ! rmdir d 2>/dev/null
mkdir g && mv d/e g && [ "$(stat -c %h d)" = 2 ] && [ "$(stat -c %h g)" = 3 ] && rmdir d && rm -r g
mkdir h i && echo 6 >i/x && ! mv -T h i 2>/dev/null && mv -T i h && [ "$(cat H/X)" = 6 ] && rm -r h
cd "$PWD" && mkdir Case && cd cASE && cd .. && rmdir case
[ "$(ls -a | head -2 | tr '\n' ' ')" = '. .. ' ]
echo 7 >'Some long name.text' && [ "$(cat SOMELO~1.TEX)" = 7 ] && rm 'somelo~1.tex' && ! [ -e 'Some long name.text' ]
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i >"Same begin $i.x"; done; cat Same* | wc -l | grep -q 12 && [ "$(ls *~* 2>/dev/null)" = '' ]
[ "$(cat 'same begin 12.X')" = 12 ] && rm Same*
fallocate -l 100000 f && [ "$(stat -c %s f)" = 100000 ] && [ "$(tr -d '\0' <f | wc -c)" = 2 ] && truncate -s 2 f
[ "$(cat f)" = 5 ] && rm f
"""


def semantics(guest, args, disk, path):
    guest.check(f"mount -t vfat {disk} /mnt/a", args.step)
    shown = guest.check(f"grep {disk} /proc/mounts").split()[3]
    if shown != DEFAULT:
        raise GuestError(f"/proc/mounts: {shown}")
    for line in TRUE.strip().splitlines():
        status, text = guest.run(f"cd /mnt/a; {{ {line}; }}; r=$?; cd /; [ $r = 0 ]", args.step)
        if status:
            raise GuestError(f"{line}: {text.strip()[-300:]} {guest.run('ls -la /mnt/a')[1][-500:]}")
    stat = guest.check("stat -f -c '%t %l' /mnt/a").split()
    if stat != ["4d44", "1530"]:
        raise GuestError(f"statfs: {stat}")
    guest.check("umount /mnt/a", args.step)
    for options, wanted in SHOWN:
        guest.check(f"mount -t vfat -o {options} {disk} /mnt/a", args.step)
        shown = guest.check(f"grep {disk} /proc/mounts").split()[3]
        missing = [option for option in options.split(",") if "=" not in option and option not in shown.split(",")]
        if wanted and shown != wanted or missing and not wanted:
            raise GuestError(f"{options}: /proc/mounts: {shown}")
        guest.check("umount /mnt/a", args.step)
    for option in ("uid=x", "codepage=1", "iocharset=none", "shortname=x", "errors=x", "time_offset=9999", "nonsense"):
        if guest.run(f"mount -t vfat -o {option} {disk} /mnt/a 2>/dev/null")[0] == 0:
            raise GuestError(f"{option} is taken")
    guest.check(f"mount -t vfat {disk} /mnt/a && mount -o remount,ro /mnt/a && ! touch /mnt/a/x 2>/dev/null "
                "&& mount -o remount,rw /mnt/a && echo x >/mnt/a/x && umount /mnt/a", args.step)
    tool("fsck.vfat", "-n", path)
    # Who may write in directories may set times, unless the mount says otherwise.
    touch = "su nobody -s /bin/sh -c \"touch -d '2001-02-03 04:05:06' /mnt/a/times\""
    for options, may in (("umask=0", True), ("umask=0,allow_utime=0", False), ("umask=022", False), ("gid=65534,umask=0,allow_utime=20", True)):
        guest.check(f"mount -t vfat -o {options} {disk} /mnt/a && : >/mnt/a/times && {'' if may else '! '}{touch} 2>/dev/null; r=$?; "
                    "rm /mnt/a/times; umount /mnt/a; [ $r = 0 ]", args.step)
    # What is done is on the disk at once.
    guest.check(f"mount -t vfat -o sync {disk} /mnt/a && mkdir /mnt/a/now && echo text >/mnt/a/now/one && mv /mnt/a/now/one /mnt/a/now/two "
                "&& truncate -s 3 /mnt/a/now/two", args.step)
    seen = tool("mtype", "-i", path, "::/now/two")
    if seen != "tex":
        raise GuestError(f"sync: the disk has {seen}")
    guest.check("rm /mnt/a/now/two", args.step)
    if "two" in tool("mdir", "-b", "-i", path, "::/now"):
        raise GuestError("sync: what was removed is on the disk")
    guest.check("umount /mnt/a", args.step)
    tool("fsck.vfat", "-n", path)


def full(guest, args, disk, path):
    """A full disk says so, keeps what is there, and gives all of it back."""
    guest.check(f"mount -t vfat {disk} /mnt/a && rm -rf /mnt/a/*", args.step)
    before = guest.check("stat -f -c %f /mnt/a").split()
    status, _ = guest.run("dd if=/dev/urandom of=/mnt/a/fill bs=4096 2>/dev/null", 2 * args.step)
    if status == 0 or guest.check("stat -f -c %f /mnt/a").split() != ["0"]:
        raise GuestError("the disk does not get full")
    guest.check("! mkdir /mnt/a/d 2>/dev/null && md5sum /mnt/a/fill >/tmp/sum && umount /mnt/a", args.step)
    tool("fsck.vfat", "-n", path)
    guest.check(f"mount -t vfat {disk} /mnt/a && md5sum -c /tmp/sum >/dev/null && rm /mnt/a/fill", args.step)
    after = guest.check("stat -f -c %f /mnt/a").split()
    guest.check("umount /mnt/a", args.step)
    tool("fsck.vfat", "-n", path)
    if before != after:
        raise GuestError(f"{before} clusters were free, then {after}")


def break_chains(path):
    """Cuts the chain of the file BIG with a free cluster, makes that of the directory ROUND a circle, and UP/INNER the directory that it is
    in (FAT16)."""
    with open(path, "r+b") as f:
        data = f.read(1 << 20)
        table = int.from_bytes(data[14:16], "little") * 512
        for name, skip in ((b"BIG        ", 4), (b"ROUND      ", 0)):
            entry = data.index(name)
            start = int.from_bytes(data[entry + 26:entry + 28], "little")
            f.seek(table + 2 * (start + skip))
            f.write((0 if skip else start).to_bytes(2, "little"))
        outer, inner = (data.index(name) for name in (b"UP         ", b"INNER      "))
        f.seek(inner + 26)
        f.write(data[outer + 26:outer + 28])


def damaged_chain(guest, args, disk):
    guest.check(f"mount -t vfat {disk} /mnt/a", args.step)
    if guest.run("cat /mnt/a/big >/dev/null 2>&1", args.step)[0] == 0:
        raise GuestError("a chain that leads nowhere is read")
    if not guest.check(f"grep {disk} /proc/mounts").split()[3].startswith("ro,"):
        raise GuestError("it is not read-only after an error")
    guest.check("! touch /mnt/a/new 2>/dev/null && cat /mnt/a/good >/dev/null && umount /mnt/a", args.step)
    guest.check(f"mount -t vfat -o errors=continue {disk} /mnt/a && ! cat /mnt/a/big >/dev/null 2>&1 && ! ls /mnt/a/round/x 2>/dev/null "
                "&& test -d /mnt/a/up/inner && ! ls -d /mnt/a/up/inner/inner 2>/dev/null && ! rmdir /mnt/a/up/inner/inner 2>/dev/null && "
                "touch /mnt/a/new && rm /mnt/a/new && umount /mnt/a", args.step)


def damaged(args, report, work, count):
    """Images with bytes changed: whatever they say, the kernel goes on."""
    rng = random.Random(args.seed)
    cpio = common.base(args.linux, DRIVERS)
    cpio.dir("images")
    source = os.path.join(work, "few")
    os.makedirs(os.path.join(source, "dir", "below"))
    for index in range(12):
        with open(os.path.join(source, "dir", f"a long name for number {index}"), "wb") as f:
            f.write(rng.randbytes(5000))
    for index in range(count):
        path = os.path.join(work, "one")
        # Few of the last: it is large.
        width, size = ("32", 34 << 20) if index % 10 == 9 else (("12", 1 << 20), ("16", 3 << 20))[index % 2]
        make(path, size, ["-F", width, "-s", "1"])
        tool("mcopy", "-s", "-i", path, os.path.join(source, "dir"), "::/")
        with open(path, "rb") as f:
            data = bytearray(f.read())
        for _ in range(rng.choice((1, 3, 20, 60))):
            at = rng.randrange(64) if rng.randrange(12) == 0 else rng.choice((rng.randrange(512, 0x4000), rng.randrange(512, 0x10000)))
            data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), 0, 255, rng.randrange(256)))
        cpio.file(f"images/{index}", bytes(data))
    initrd = os.path.join(work, "initrd2")
    cpio.write(initrd)
    mounted = 0
    with common.machine(args, initrd) as guest:
        guest.expect("@READY@", args.limit)
        guest.check("mkdir -p /mnt/a; dmesg -n 3 2>/dev/null; true", args.step)
        for index in range(count):
            _, text = guest.run(
                f"if mount -t vfat -o loop /images/{index} /mnt/a 2>/dev/null; then echo mounted; "
                "find /mnt/a -maxdepth 8 2>/dev/null | head -500 | xargs stat >/dev/null 2>&1; "
                "find /mnt/a -maxdepth 8 -type f -size -1000k 2>/dev/null | head -50 | xargs cat >/dev/null 2>&1; "
                "(mkdir /mnt/a/new; echo x >/mnt/a/new/x; cp /images/0 /mnt/a/copy; mv /mnt/a/dir /mnt/a/new; rm -rf /mnt/a/new/dir) "
                "2>/dev/null >/dev/null; umount /mnt/a; fi", 3 * args.step)
            mounted += "mounted" in text
        common.quiet(guest)
        guest.check("! grep -q vfat /proc/mounts", args.step)
    if not mounted:
        raise GuestError("none of the damaged images could be mounted")
    report.ok(f"damaged ({mounted} of {count} could be mounted)")


def attempt(report, name, guest, function, *arguments):
    try:
        function(guest, *arguments)
        common.quiet(guest)
        report.ok(name)
    except GuestError as error:
        report.fail(name, error)
        guest.run("cd /; umount /mnt/a")


def main():
    parser = common.arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("--images", type=int, default=30, help="damaged images")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("only", nargs="*", help="names of rows; semantics, full, chain, damaged")
    args = common.parse(parser)
    report = Report()
    wanted = lambda name: not args.only or name in args.only  # noqa: E731
    with tempfile.TemporaryDirectory(prefix="vfat-") as work:
        source, done = os.path.join(work, "source"), os.path.join(work, "done")
        populate(source)
        os.mkdir(done)
        with open(os.path.join(work, "work.sh"), "w") as f:
            f.write(WORK)
        tool("sh", os.path.join(work, "work.sh"), done)
        expected = listing(done)
        cpio = common.base(args.linux, DRIVERS)
        cpio.file("work.sh", WORK)
        cpio.file("source", "".join(line + "\n" for line in listing(source)))
        cpio.file("expected", "".join(line + "\n" for line in expected))
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        rows = [row for row in ROWS if wanted(row[0])]
        paths = {}
        for name, size, options in rows + [("semantics", 24 << 20, ["-F", "16"]), ("full", 2 << 20, ["-F", "12"]),
                                           ("chain", 24 << 20, ["-F", "16", "-s", "1"])]:
            if wanted(name):
                paths[name] = os.path.join(work, name)
                make(paths[name], size, options)
                if name in [row[0] for row in ROWS]:
                    tool("mcopy", "-s", "-i", paths[name], *(os.path.join(source, entry) for entry in os.listdir(source)), "::/")
        if "chain" in paths:
            for name in ("big", "good"):
                with open(os.path.join(work, name), "wb") as f:
                    f.write(b"x" * 20000)
                tool("mcopy", "-i", paths["chain"], os.path.join(work, name), f"::/{name.upper()}")
            tool("mmd", "-i", paths["chain"], "::/ROUND", "::/UP", "::/UP/INNER")
            break_chains(paths["chain"])
        names = list(paths)
        # With many disks the firmware's tables grow into the room that QEMU leaves for an initramfs.
        for first in range(0, len(names), 4):
            some = names[first:first + 4]
            with common.machine(args, initrd, [paths[name] for name in some]) as guest:
                guest.expect("@READY@", args.limit)
                guest.check("mkdir -p /mnt/a; umask 022; grep -q vfat /proc/filesystems", args.step)
                for number, name in enumerate(some):
                    disk = f"/dev/vd{chr(ord('a') + number)}"
                    if name == "semantics":
                        attempt(report, name, guest, semantics, args, disk, paths[name])
                    elif name == "full":
                        attempt(report, name, guest, full, args, disk, paths[name])
                    elif name == "chain":
                        attempt(report, name, guest, damaged_chain, args, disk)
                    else:
                        out = os.path.join(work, f"out-{name}")
                        attempt(report, name, guest, both_ways, args, disk, paths[name], source, expected, out)
        if wanted("damaged"):
            try:
                damaged(args, report, work, args.images)
            except GuestError as error:
                report.fail("damaged", error)
    report.finish()


if __name__ == "__main__":
    main()
