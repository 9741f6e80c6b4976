#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A directory of the host by 9p over virtio, with every mode of caching: what the host has is read in the guest, what the guest does is
looked at on the host. Options, users, locks, kills, a device that is pulled out. --linux: the same on Debian's kernel."""

import argparse
import filecmp
import hashlib
import os
import random
import re
import shutil
import stat
import subprocess
import tempfile

import common
from common import GuestError, Report, debian

PROGRAMS = ["getfattr", "setfattr", "stat", "ls", "cp", "dd", "truncate", "flock", "setpriv"]
DRIVERS = ["9p", "9pnet_virtio"]
# Options of the mount, and whether changes on the host must be seen at once.
ROWS = [("none", "", True), ("none-small", "msize=8192", True), ("mmap", "cache=mmap", False), ("readahead", "cache=readahead", False),
        ("loose", "cache=loose", False), ("any", "access=any", True), ("largest", "msize=512000", True)]

# What both kernels do to an empty directory, and the host's own.
WORK = r"""
set -e
umask 022
cd "$1"
mkdir -p a/b/c d
echo one >a/one
echo two >>a/one
printf 'x%.0s' $(seq 1 5000) >a/long
cp a/long a/b/copy
mv a/b/copy d/moved
mv a/b d/b
ln a/one d/hard
ln -s ../a/one d/soft
ln -s nowhere d/dangling
chmod 640 a/one
chmod 1777 d/b
touch -d '2020-01-02 03:04:05' a/long
echo gone >a/gone
rm a/gone
mkdir a/goes
rmdir a/goes
echo first >d/replaced
echo second >d/other
mv d/other d/replaced
dd if=/dev/zero of=a/sparse bs=1 count=1 seek=100000 2>/dev/null
: >a/empty
dd if=a/long of=a/part bs=1 skip=100 count=1000 2>/dev/null
dd if=/dev/zero of=a/part bs=1 seek=10 count=5 conv=notrunc 2>/dev/null
truncate -s 300 a/part
truncate -s 9000 a/part
echo text >a/cut
: >a/cut
n=0
while [ $n -lt 150 ]; do echo $n >d/b/f$n; n=$((n + 1)); done
rm d/b/f1*
mv a/long a/name-$(printf 'n%.0s' $(seq 1 200))
(umask 0; echo locked >a/readonly; chmod 444 a/readonly)
chown 1000:1001 a/empty
"""


def populate(top):
    """Files of all sorts."""
    rng = random.Random(9)
    os.makedirs(os.path.join(top, "many"))
    for number in range(700):
        with open(os.path.join(top, "many", f"file-{number:04}-{'x' * (number % 60)}"), "w") as f:
            f.write(str(number))
    deep = top
    for level in range(20):
        deep = os.path.join(deep, f"d{level}")
        os.mkdir(deep)
        with open(os.path.join(deep, "here"), "w") as f:
            f.write("x" * level)
    os.mkdir(os.path.join(top, "sizes"))
    for size in (0, 1, 4095, 4096, 4097, 8168, 8192, 65536, 200001, 3_000_000):
        with open(os.path.join(top, "sizes", str(size)), "wb") as f:
            f.write(rng.randbytes(size))
    os.symlink("sizes/4096", os.path.join(top, "link"))
    os.symlink("/" + "n" * 1000, os.path.join(top, "long-link"))
    os.link(os.path.join(top, "sizes/1"), os.path.join(top, "hard"))
    os.mkfifo(os.path.join(top, "fifo"))
    for name in ("ü".encode() * 120, b"with space and 'quote", b"x" * 255):
        with open(os.path.join(os.fsencode(top), name), "w") as f:
            f.write("named")
    if os.geteuid() == 0:
        os.mknod(os.path.join(top, "null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.chown(os.path.join(top, "sizes/0"), 1234, 5678)
    os.chmod(os.path.join(top, "sizes/1"), 0o4711)
    try:
        os.setxattr(os.path.join(top, "sizes/1"), "user.colour", b"blue")
        os.setxattr(os.path.join(top, "many"), "user.big", b"z" * 3000)
    except OSError:
        pass


def manifest(top):
    """As LIST shows it; times of what was made now are not compared."""
    return "".join(line + "\n" for line in common.manifest(top))


def mount(guest, args, options, where="/mnt/a"):
    options = ",".join(filter(None, ["trans=virtio,version=9p2000.L", options]))
    guest.check(f"mount -t 9p -o {options} share {where}", args.step)


def without_times(text):
    """A manifest without the last word of the lines that end with a time."""
    return [line.rsplit(" ", 1)[0] if line.startswith(("dir ", "file ", "link ")) else line for line in text.splitlines()]


def tree(guest, args, host, _live):
    """All that the host has."""
    with open(os.path.join(host, "expected"), "w") as f:
        f.write(manifest(os.path.join(host, "tree")))
    status, text = guest.run("XATTRS=1 sh /list.sh /mnt/a/tree >/tmp/seen; sort /mnt/a/expected >/tmp/wanted; sort /tmp/seen | diff /tmp/wanted - >/tmp/diff "
                             "|| { head -8 /tmp/diff; false; }", 4 * args.step)
    if status:
        raise GuestError(f"another tree: {text.strip()}")
    guest.check("cd /mnt/a/tree/d0/d1/d2 && test $(pwd) = /mnt/a/tree/d0/d1/d2 && test -f ../../here; cd /", args.step)


def work(guest, args, host, live):
    """What the guest does is what the host would have done."""
    done, wanted = os.path.join(host, "work"), os.path.join(host, "wanted")
    for path in (done, wanted):
        shutil.rmtree(path, ignore_errors=True)
        os.mkdir(path)
    subprocess.run(["sh", os.path.join(host, "work.sh"), wanted], check=True, stdout=subprocess.DEVNULL)
    guest.check("sh /work.sh /mnt/a/work", 4 * args.step)
    guest.check("sync", args.step)
    seen, expected = without_times(manifest(done)), without_times(manifest(wanted))
    if seen != expected:
        different = [line for line in seen if line not in expected][:4] + [line for line in expected if line not in seen][:4]
        raise GuestError(f"on the host: {different}")
    if int(os.lstat(os.path.join(done, "a", "name-" + "n" * 200)).st_mtime) != 1577934245:
        raise GuestError("the time that was set is another on the host")
    # The guest sees what it did.
    with open(os.path.join(host, "expected"), "w") as f:
        f.write(manifest(done))
    # What is never asked again has the guest's times.
    strip = "cat" if live else "sed '/^dir\\|^file\\|^link/s/ [0-9]*$//'"
    status, text = guest.run(f"XATTRS=1 sh /list.sh /mnt/a/work | {strip} >/tmp/seen; {strip} </mnt/a/expected | sort >/tmp/wanted; "
                             "sort /tmp/seen | diff /tmp/wanted - >/tmp/diff || { head -8 /tmp/diff; false; }", args.step)
    if status:
        raise GuestError(f"the guest sees something else than it did: {text.strip()}")
    guest.check("rm -r /mnt/a/work/* && test -z \"$(ls -A /mnt/a/work)\"", args.step)
    if os.listdir(done):
        raise GuestError("something is left on the host")


def host_changes(guest, args, host, live):
    """What the host does meanwhile."""
    if not live:
        return
    top = os.path.join(host, "live")
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)

    def put(name, text):
        with open(os.path.join(top, name), "w") as f:
            f.write(text)

    put("file", "old")
    guest.check("cd /mnt/a/live && test $(cat file) = old && ! test -e new", args.step)
    put("file", "newer")
    put("new", "there")
    guest.check("test $(cat file) = newer && test $(stat -c %s file) = 5 && test $(cat new) = there", args.step)
    os.unlink(os.path.join(top, "file"))
    os.mkdir(os.path.join(top, "file"))
    guest.check("test -d file && test -z \"$(ls file)\"", args.step)
    os.rename(os.path.join(top, "new"), os.path.join(top, "file", "moved"))
    guest.check("! test -e new && test $(cat file/moved) = there && test $(ls file) = moved", args.step)
    os.chmod(os.path.join(top, "file", "moved"), 0o600)
    guest.check("test $(stat -c %a file/moved) = 600", args.step)
    # The guest's own directory stays what it is.
    guest.check("mkdir sub && cd sub && test $(pwd) = /mnt/a/live/sub && echo here >x && cat /mnt/a/live/sub/x && test $(pwd) = /mnt/a/live/sub", args.step)
    # An open file is read on where it grew, and one that is appended to on both sides keeps both.
    put("log", "one\n")
    guest.check("cd /mnt/a/live; exec 5<log; read line <&5; test $line = one", args.step)
    with open(os.path.join(top, "log"), "a") as f:
        f.write("two\n")
    guest.check("read line <&5; test $line = two; exec 5<&-; echo three >>log", args.step)
    with open(os.path.join(top, "log"), "a") as f:
        f.write("four\n")
    guest.check("echo five >>log; cd /", args.step)
    with open(os.path.join(top, "log")) as f:
        if f.read().split() != ["one", "two", "three", "four", "five"]:
            raise GuestError("lines of the log are lost")


def errors(guest, args, host, _live):
    """Errors are those of Linux."""
    top = os.path.join(host, "errors")
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(os.path.join(top, "full", "x"))
    with open(os.path.join(top, "file"), "w") as f:
        f.write("text")
    guest.run("cd /mnt/a/errors", args.step)
    long = "y" * 256
    rows = [("cat missing", "No such file"), ("mkdir full", "File exists"), ("rmdir full", "not empty"), ("cat full", "Is a directory"),
            ("cat file/x", "Not a directory"), (f"cat {long}", "name too long"), ("rmdir file", "Not a directory"),
            ("ln full hard", "ot permitted|not allowed"), ("mv full full/x/y", "Invalid argument|subdirectory"), ("readlink -v file", "nvalid argument|not a symlink"),
            ("getfattr -n user.none file", "No such attribute"), ("cat none/none", "No such file")]
    for command, wanted in rows:
        status, text = guest.run(f"{command} 2>&1", args.step)
        if status == 0 or not re.search(wanted, text):
            raise GuestError(f"{command}: {status}, {text.strip()}")
    guest.check("cd /", args.step)


def content(guest, args, host, _live):
    """Large files, read and written by several at once."""
    top = os.path.join(host, "content")
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)
    data = random.Random(1).randbytes(6_000_001)
    with open(os.path.join(top, "big"), "wb") as f:
        f.write(data)
    want = hashlib.md5(data).hexdigest()
    guest.check(f"cd /mnt/a/content; test $(md5sum <big | cut -c1-32) = {want}", args.step)
    guest.check("for n in 1 2 3 4; do (cp big copy$n; dd if=big of=odd$n bs=7777 2>/dev/null) & done; wait", 3 * args.step)
    guest.check("sync; cd /", args.step)
    for name in os.listdir(top):
        if not filecmp.cmp(os.path.join(top, name), os.path.join(top, "big"), shallow=False):
            raise GuestError(f"{name} is another on the host")
    guest.check("cd /mnt/a/content; for n in 1 2 3 4; do cmp big copy$n && cmp big odd$n || exit 1; done", 3 * args.step)
    # In the middle, over pages' ends.
    guest.check("dd if=/dev/urandom of=/tmp/part bs=5000 count=3 2>/dev/null; dd if=/tmp/part of=big bs=5000 seek=7 conv=notrunc 2>/dev/null; "
                "dd if=big bs=5000 skip=7 count=3 2>/dev/null | cmp - /tmp/part; cp /tmp/part part; cd /; sync", args.step)
    with open(os.path.join(top, "part"), "rb") as f:
        part = f.read()
    with open(os.path.join(top, "big"), "rb") as f:
        if f.read() != data[:35000] + part + data[50000:]:
            raise GuestError("a write in the middle came out wrong")


def programs(guest, args, host, _live):
    """Programs are run, and scripts."""
    top = os.path.join(host, "programs")
    os.makedirs(top, exist_ok=True)
    shutil.copy(debian.busybox(), os.path.join(top, "busybox"))
    with open(os.path.join(top, "script"), "w") as f:
        f.write("#!/mnt/a/programs/busybox sh\necho ran $1\n")
    for name in ("busybox", "script"):
        os.chmod(os.path.join(top, name), 0o755)
    guest.check("test \"$(/mnt/a/programs/busybox echo yes)\" = yes && test \"$(/mnt/a/programs/script x)\" = 'ran x'", args.step)
    guest.check("mkdir -p /mnt/a/programs/bin && cp /bin/busybox /mnt/a/programs/bin/echo && test \"$(/mnt/a/programs/bin/echo yes)\" = yes && rm -r /mnt/a/programs/bin",
                args.step)


def xattrs(guest, args, host, _live):
    """Extended attributes."""
    top = os.path.join(host, "xattrs")
    os.makedirs(top, exist_ok=True)
    path = os.path.join(top, "file")
    with open(path, "w") as f:
        f.write("x")
    guest.check("cd /mnt/a/xattrs; setfattr -n user.one -v first file && setfattr -n user.two -v second file && setfattr -n user.one -v again file "
                "&& setfattr -x user.two file && ! setfattr -x user.two file 2>/dev/null; cd /", args.step)
    if os.listxattr(path) != ["user.one"] or os.getxattr(path, "user.one") != b"again":
        raise GuestError(f"on the host: {os.listxattr(path)}")
    os.setxattr(path, "user.host", b"h" * 2000)
    guest.check("test $(getfattr --only-values -n user.host /mnt/a/xattrs/file | wc -c) = 2000", args.step)


def special(guest, args, host, _live):
    """Unlinked files that are open, files made without rights, mapped files, counts, locks."""
    top = os.path.join(host, "special")
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)
    guest.check("cd /mnt/a/special; exec 6<>open; echo text >&6; rm open; test -z \"$(ls)\"; echo more >&6; exec 6>&-", args.step)
    guest.check("(umask 777; echo secret >none) && test $(stat -c %a none) = 0", args.step)
    guest.check("mkdir dir; chmod 2770 dir; chown 0:7 dir; mkdir dir/sub; touch dir/file; test $(stat -c %g:%a dir/sub) = 7:2755 && test $(stat -c %g dir/file) = 7", args.step)
    # The server counts in larger blocks.
    size, blocks, longest = map(int, guest.check("stat -f -c '%S %b %l' .", args.step).split())
    counts = os.statvfs(top)
    if longest != 255 or not 0 <= counts.f_blocks * counts.f_frsize - size * blocks < size:
        raise GuestError(f"counts: {size} {blocks} {longest}, on the host {counts.f_frsize} {counts.f_blocks}")
    guest.check("echo a >lock; flock -x lock -c 'flock -n -x lock -c true && echo both; flock -n -s lock -c true && echo both; true' >/tmp/out; test ! -s /tmp/out; "
                "flock -n -x lock -c true", args.step)
    guest.check("test \"$(readlink -f /mnt/a/special/dir)\" = /mnt/a/special/dir; cd /", args.step)
    with open(os.path.join(top, "none")) as f:
        if f.read() != "secret\n":
            raise GuestError("what was written to a file without rights is not there")


def users(guest, args, host, _live):
    """Users are told apart, and rights are checked."""
    if os.geteuid() != 0:
        return
    top = os.path.join(host, "users")
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)
    os.chmod(top, 0o1777)
    os.mkdir(os.path.join(top, "private"), 0o700)
    su = "/usr/sbin/setpriv --reuid 65534 --regid 65534 --clear-groups sh -c"
    guest.check(f"cd /mnt/a/users; {su} 'echo mine >of-nobody' && echo mine >of-root && ! {su} 'ls private' 2>/dev/null && ! {su} 'rm -f of-root' 2>/dev/null "
                f"&& {su} 'cat of-root' >/dev/null; cd /", args.step)
    owner = os.stat(os.path.join(top, "of-nobody")).st_uid
    if "access=any" not in guest.check("grep /mnt/a /proc/mounts", args.step) and owner != 65534:
        raise GuestError(f"the file of nobody belongs to {owner}")
    if os.stat(os.path.join(top, "of-root")).st_uid != 0:
        raise GuestError("root's file is not root's")


CASES = [tree, work, host_changes, errors, content, programs, xattrs, special, users]


def kills(guest, args):
    """Programs that are killed while they wait."""
    mount(guest, args, "")
    guest.check("dd if=/dev/zero of=/mnt/a/zeros bs=1M count=30 2>/dev/null", args.step)
    guest.check("n=0; while [ $n -lt 20 ]; do cat /mnt/a/zeros >/dev/null & p=$!; find /mnt/a/tree >/dev/null & q=$!; usleep $((n * 7000)); "
                "kill -9 $p $q; wait $p $q 2>/dev/null; n=$((n + 1)); done; test $(wc -c </mnt/a/zeros) = 31457280; rm /mnt/a/zeros", 3 * args.step)
    guest.check("umount /mnt/a", args.step)


def options(guest, args):
    """Options are shown or refused."""
    for given, wanted in [("", "access=client"), ("access=user", "access=user"), ("access=any", "access=any"), ("access=7", "access=7"),
                          ("msize=16384", "msize=16384"), ("uname=me", "uname=me"), ("aname=/", "aname=/"),
                          ("dfltuid=5,dfltgid=6", "dfltuid=5,dfltgid=6")]:
        status, text = guest.run(f"mount -t 9p -o {','.join(filter(None, ['trans=virtio,version=9p2000.L', given]))} share /mnt/a 2>&1 && grep /mnt/a /proc/mounts", args.step)
        if status or wanted not in text or "trans=virtio" not in text:
            raise GuestError(f"{given}: {text.strip()}")
        if given == "" and ("msize" in text or "cache" in text):
            raise GuestError(f"what is usual is shown: {text.strip()}")
        guest.check("umount /mnt/a", args.step)
    bad = ["msize=100", "cache=none-such", "access=who", "trans=none"]
    bad += [] if args.linux else ["posixacl", "version=9p2000", "nonsense", "cache=fscache", "debug=1"]
    for given in bad:
        status, text = guest.run(f"mount -t 9p -o {given},trans=virtio share /mnt/a 2>&1" if "trans" not in given else f"mount -t 9p -o {given} share /mnt/a 2>&1", args.step)
        if status == 0:
            raise GuestError(f"{given} is not refused")
    status, text = guest.run("mount -t 9p -o trans=virtio,version=9p2000.L other /mnt/a 2>&1", args.step)
    if status == 0 or "No such" not in text:
        raise GuestError(f"a tag that is not there: {text.strip()}")
    mount(guest, args, "")
    status, text = guest.run("mkdir -p /mnt/b; mount -t 9p -o trans=virtio,version=9p2000.L share /mnt/b 2>&1", args.step)
    if status == 0 or "busy" not in text:
        raise GuestError(f"a second mount: {text.strip()}")
    guest.check("mount -o remount,ro /mnt/a && ! touch /mnt/a/x 2>/dev/null && mount -o remount,rw /mnt/a && touch /mnt/a/x && rm /mnt/a/x && umount /mnt/a", args.step)
    guest.check("test \"$(cat /sys/bus/virtio/drivers/9pnet_virtio/virtio*/mount_tag | tr -d '\\0')\" = share", args.step)


def pulled(guest, args):
    """The device goes while it is mounted. (Debian's kernel waits until it is not.)"""
    mount(guest, args, "")
    guest.check("cd /mnt/a; exec 7<tree/sizes/200001; head -c 10 <&7 >/dev/null", args.step)
    guest.check("d=$(basename /sys/bus/virtio/drivers/9pnet_virtio/virtio*); (while cat /mnt/a/tree/sizes/* >/dev/null 2>&1; do :; done; echo over >/tmp/over) & "
                "echo $d >/sys/bus/virtio/drivers/9pnet_virtio/unbind && ! ls /mnt/a 2>/dev/null && ! head -c 10 <&7 2>/dev/null; r=$?; exec 7<&-; cd /; "
                "wait; test $(cat /tmp/over) = over && umount /mnt/a && test $r = 0", args.step)
    guest.check("echo $d >/sys/bus/virtio/drivers/9pnet_virtio/bind", args.step)
    mount(guest, args, "")
    guest.check("test -d /mnt/a/tree && umount /mnt/a", args.step)


def attempt(report, name, guest, function, *arguments):
    try:
        function(guest, *arguments)
        common.quiet(guest)
        report.ok(name)
    except GuestError as error:
        report.fail(name, error)
        guest.run("cd /; exec 5<&- 6<&- 7<&-")


def main():
    parser = common.arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("only", nargs="*", help="names of rows and of cases; options, kills, pulled")
    args = common.parse(parser)
    debian.FLAVOUR = "amd64"
    report = Report()
    rows = [row for row in ROWS if row[0] in args.only] or ROWS
    if args.linux:
        # Debian's is older than this mode.
        rows = [row for row in rows if row[0] != "readahead"]
    cases = [case for case in CASES if case.__name__ in args.only] or CASES
    alone = [one for one in (options, kills, pulled) if not args.only or one.__name__ in args.only]
    if args.linux:
        alone = [one for one in alone if one is not pulled]
    if args.only and not any(row[0] in args.only for row in ROWS) and not any(case.__name__ in args.only for case in CASES):
        rows = []
    # Not in /tmp: that may be a file system without what is tested.
    with tempfile.TemporaryDirectory(prefix="ninep-", dir=os.environ.get("TMPDIR", "/var/tmp")) as host:
        os.chmod(host, 0o755)
        populate(os.path.join(host, "tree"))
        with open(os.path.join(host, "work.sh"), "w") as f:
            f.write(WORK)
        cpio = common.base(args.linux, DRIVERS, PROGRAMS)
        cpio.file("work.sh", WORK)
        initrd = os.path.join(host, "initrd")
        cpio.write(initrd)
        model = "none" if os.geteuid() == 0 else "mapped-xattr"
        extra = ["-fsdev", f"local,id=share,path={host},security_model={model},multidevs=remap",
                 "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        with common.machine(args, initrd, extra=extra) as guest:
            guest.expect("@READY@", args.limit)
            guest.check("mkdir -p /mnt/a", args.step)
            for name, mode, live in rows:
                try:
                    mount(guest, args, mode)
                except GuestError as error:
                    report.fail(name, error)
                    continue
                for case in cases:
                    attempt(report, f"{name} {case.__name__}", guest, case, args, host, live)
                    if not guest.alive():
                        report.finish()
                attempt(report, f"{name} umount", guest, lambda guest: guest.check("umount /mnt/a", args.step))
            for one in alone:
                attempt(report, one.__name__, guest, one, args)
    report.finish()


if __name__ == "__main__":
    main()
