#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debian's e2fsprogs and their neighbours (acl, attr, quota, util-linux) in the guest: making, growing, naming, defragmenting, trimming
and freezing a mounted file system; flags, ACLs, attributes, quotas; all modes of fallocate; O_DIRECT, asynchronous, too. Each group is a result; at the end
e2fsck on the host finds nothing. --linux: the same on Debian's kernel."""

import argparse
import os
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
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|EXT4-fs error).*$", re.M)
PROGRAMS = ["mke2fs", "e2fsck", "tune2fs", "resize2fs", "dumpe2fs", "debugfs", "e4defrag", "filefrag", "lsattr", "chattr",
            "e2freefrag", "fstrim", "fsfreeze", "setfacl", "getfacl", "setfattr", "getfattr", "xfs_io", "setpriv", "setquota",
            "repquota", "quotaon", "quotaoff", "edquota", "fincore"]
USER = "setpriv --reuid 1000 --regid 1000 --clear-groups "


class Failed(Exception):
    """A command did not say what it should."""


# busybox's shell would run its own applets of these names.
WORD = re.compile(rf"(?<![\w./'-])({'|'.join(PROGRAMS)})(?=\s|$)")


def full(command):
    """`command` with the paths of Debian's programs."""
    return WORD.sub(r"/usr/sbin/\1", command)


class Run:
    """Commands in the guest."""

    def __init__(self, guest, args):
        self.guest, self.step, self.linux = guest, args.step, args.linux

    def __call__(self, command, says=None, limit=None):
        """Runs `command`, which must succeed; `says`: a pattern of its output, whose match is returned."""
        out = self.guest.check(full(command), limit or self.step)
        if says is None:
            return out
        found = re.search(says, out, re.M)
        if not found:
            raise Failed(f"{command}: no {says!r} in {out!r}")
        return found

    def refused(self, command, why):
        """Runs `command`, which must fail with the message `why`."""
        status, out = self.guest.run(full(command) + " 2>&1", self.step)
        if status == 0 or not re.search(why, out):
            raise Failed(f"{command}: status {status}, {out!r}, expected {why!r}")


def make(run):
    run("mke2fs -q -t ext4 -b 1024 -J size=4 /dev/vda 96M")
    run("mount -t ext4 /dev/vda /mnt")
    run("dumpe2fs -h /dev/vda 2>/dev/null", r"^Filesystem state:\s+clean")
    run("cat /sys/fs/ext4/vda/errors_count", r"^0$")
    run("cat /sys/fs/ext4/vda/session_write_kbytes", r"^[1-9]\d*$")
    run("cat /proc/fs/ext4/vda/options", r"^errors=continue$")
    run("cat /proc/fs/jbd2/vda-8/info", r"^\d+ transactions \(\d+ requested\), each up to \d+ blocks$")


def flags(run):
    run("cd /mnt && echo x >file && mkdir dir && lsattr -d file dir", r"^-{14}e-{7} file$")
    run("chattr +i file && lsattr file", r"^----i-{9}e-{7} file$")
    run.refused("sh -c 'echo y >>file'", "Operation not permitted")
    run.refused("rm -f file", "Operation not permitted")
    run("chattr -i +a file && echo y >>file && lsattr file", r"^-{5}a-{8}e-{7} file$")
    run.refused("sh -c 'echo y >file'", "Operation not permitted")
    run("chattr -a +SdA file && lsattr file", r"^--S---dA-{6}e-{7} file$")
    run("echo z >>file; chattr =e file; lsattr -v file", r"^\d+\s+-{14}e-{7} file$")
    run.refused(f"{USER} chattr +d file", "Operation not permitted")
    # chattr itself drops D for a file.
    run("chattr +D file && lsattr file", r"^-{14}e-{7} file$")
    run.refused("chattr +T file", "Operation not supported")
    run("chattr +D dir && lsattr -d dir && echo 1 >dir/synchronous && mv dir/synchronous dir/moved && rm dir/moved", r"^---D-{10}e-{7} dir$")
    run("xfs_io -r -c 'lsattr -D' dir; xfs_io -r -c 'lsattr' file", r"^-+ file")


def acls(run):
    run("cd /mnt && umask 022 && echo secret >acl && chmod 600 acl && setfacl -m u:1000:r acl && getfacl -n acl", r"^user:1000:r--$")
    run("ls -l acl", r"^-rw-r-----\+?")
    run(f"chmod 755 /mnt; {USER} cat acl", r"^secret$")
    run(f"chmod g-r acl && getfacl -n acl", r"^user:1000:r--\s+#effective:---$")
    run.refused(f"{USER} cat acl", "Permission denied")
    run("setfacl -m g:1000:rw,m::rw acl && getfacl -n acl", r"^group:1000:rw-$")
    run(f"setfacl -x u:1000 acl && {USER} sh -c 'echo more >>acl' && cat acl", r"^more$")
    run("setfacl -b acl && getfacl -n acl | wc -l", r"^\s*7$")
    run("mkdir -p adir && setfacl -d -m u:1000:rwx,o::- adir && mkdir adir/sub && umask 077 && touch adir/new && umask 022")
    run("getfacl -n adir/sub", r"^default:user:1000:rwx$")
    run("getfacl -n adir/new", r"^user:1000:rwx\s+#effective:rw-$")
    run("ls -l adir/new", r"^-rw-rw----")
    run("cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && getfacl -n adir/new", r"^mask::rw-$")
    run("setfattr -n user.colour -v red acl && setfattr -n trusted.t -v 0x0102 acl && getfattr -d -m - acl", r'^user.colour="red"$')
    run("getfattr -e hex -n trusted.t acl", r"^trusted.t=0x0102$")
    # Without ACLs the umask holds, and what lies on the disk comes back with them.
    run("mount -o remount,noacl /mnt && grep ' /mnt ' /proc/mounts && umask 027 && touch adir/plain && umask 022 && stat -c %a adir/plain", r"^640$")
    run.refused("setfacl -m u:1000:r acl", "not supported")
    run.refused(f"chmod 600 acl && {USER} cat acl", "Permission denied")
    run("mount -o remount,acl /mnt && getfacl -n adir/new", r"^user:1000:rwx\s+#effective:rw-$")
    run(f"setfacl -m u:1000:r acl && {USER} cat acl", r"^more$")
    run.refused("setfacl -d -m u:1:r acl", "Operation not permitted|Only directories|Permission denied")


def fallocate(run):
    run("cd /mnt && dd if=/dev/urandom of=fa bs=4096 count=40 2>/dev/null && cp fa fb && sync")
    run("xfs_io -c 'fcollapse 8192 16384' fa && (head -c 8192 fb; tail -c +24577 fb) | cmp - fa")
    run("xfs_io -c 'finsert 4096 8192' fa && (head -c 4096 fb; head -c 8192 /dev/zero; tail -c +4097 fb | head -c 4096; "
        "tail -c +24577 fb) | cmp - fa")
    run("cp fb fc && sync && xfs_io -c 'fzero 5000 20000' fc && (head -c 5000 fb; head -c 20000 /dev/zero; tail -c +25001 fb) | cmp - fc")
    run("cp fb fd && xfs_io -c 'fpunch 3000 30000' fd && (head -c 3000 fb; head -c 30000 /dev/zero; tail -c +33001 fb) | cmp - fd")
    run("cp fb fe && xfs_io -c 'falloc 0 300000' fe && head -c 163840 fe | cmp - fb && stat -c %s fe", r"^300000$")
    run.refused("xfs_io -c 'fcollapse 100 1024' fe", "Invalid argument")
    run("cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt")
    run("(head -c 3000 fb; head -c 30000 /dev/zero; tail -c +33001 fb) | cmp - fd")
    run("(head -c 5000 fb; head -c 20000 /dev/zero; tail -c +25001 fb) | cmp - fc && rm fa fc fd fe")
    # Data that waits for its unwritten blocks while a part of it is cleared: what the disk gets is what the cache has.
    drop = "sync && echo 3 >/proc/sys/vm/drop_caches"
    run("xfs_io -f -c 'falloc 0 12288' -c 'pwrite -q -S 1 0 12288' -c 'fpunch 100 7000' -c 'fzero 9000 200' fa && xfs_io -f -c 'falloc 0 4096' "
        "-c 'pwrite -q -S 1 0 4096' -c 'truncate 1000' -c 'truncate 4096' fc && cp fa /tmp/fa && cp fc /tmp/fc")
    run("for f in fa fc; do tr -d '\\000' <$f | wc -c; done", r"^5088\s+1000$")
    run(f"{drop} && cmp fa /tmp/fa && cmp fc /tmp/fc && rm fa fc")
    # What a program stored behind the end is no part of the file when it grows.
    run("xfs_io -f -c 'pwrite -q -S 1 0 1000' -c 'mmap -w 0 4096' -c 'mwrite -S 2 2000 500' -c fsync -c munmap fa")
    run(f"{drop} && xfs_io -c 'pwrite -q -S 3 8192 10' fa && tr -d '\\000' <fa | wc -c", r"^1010$")
    run(f"{drop} && tr -d '\\000' <fa | wc -c && rm fa", r"^1010$")


def direct(run):
    run("cd /mnt && dd if=fb of=da bs=16384 oflag=direct 2>/dev/null && cmp da fb")
    run("dd if=da of=/tmp/da bs=16384 iflag=direct 2>/dev/null && cmp /tmp/da fb")
    run("dd if=/dev/zero of=da bs=8192 seek=3 count=2 conv=notrunc oflag=direct 2>/dev/null && "
        "(head -c 24576 fb; head -c 16384 /dev/zero; tail -c +40961 fb) | cmp - da")
    run("dd if=fb of=da bs=512 count=3 seek=1 conv=notrunc oflag=direct 2>/dev/null && tail -c +513 da | head -c 1536 >/tmp/a && head -c 1536 fb | cmp - /tmp/a")
    run("dd if=fb of=db bs=4096 seek=100 oflag=direct 2>/dev/null && stat -c %s db && tail -c 163840 db | cmp - fb", r"^573440$")
    run("cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && tail -c 163840 db | cmp - fb && rm da db")


def asynchronous(run):
    run("/bin/aio dir=/mnt/aio && cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && rm -r /mnt/aio", limit=180)
    run("umount /mnt && mount -t ext4 -o nodelalloc,sync /dev/vda /mnt && /bin/aio dir=/mnt/aio && rm -r /mnt/aio && umount /mnt && mount -t ext4 /dev/vda /mnt",
        limit=300)


def defragment(run):
    run("mkdir /mnt/fill && cd /mnt/fill && i=0; while dd if=/dev/zero of=$i bs=64k count=1 2>/dev/null; do i=$((i+1)); done; sync",
        limit=240)
    run("cd /mnt/fill && rm -f *[02468] && sync && dd if=/dev/urandom of=/mnt/frag bs=64k count=160 2>/dev/null && sync", limit=240)
    run("rm -rf /mnt/fill && sync && md5sum /mnt/frag >/tmp/sum && e2freefrag /dev/vda", r"^Total blocks:")
    before = int(run("filefrag /mnt/frag", r": (\d+) extents? found")[1])
    if before < 10:
        raise Failed(f"the file has only {before} extents to begin with")
    run("ln -sf /proc/mounts /etc/mtab; e4defrag -c /mnt/frag", rf"^\s*Fragmentation score|now/best", limit=120)
    # What was in the page cache stays there, and hardly more comes in: Debian's kernel, too, has a few pages more afterwards.
    run("echo 3 >/proc/sys/vm/drop_caches; head -c 5000000 /mnt/frag >/dev/null")
    cached = int(run("fincore -n -o PAGES /mnt/frag", r"(\d+)")[1])
    run("e4defrag -v /mnt/frag", r"\[ OK \]", limit=240)
    kept = int(run("fincore -n -o PAGES /mnt/frag", r"(\d+)")[1])
    if cached < 1200 or not cached <= kept <= cached + 8:
        raise Failed(f"e4defrag: {cached} pages were in the cache before, {kept} after")
    after = int(run("filefrag /mnt/frag", r": (\d+) extents? found")[1])
    if after >= before:
        raise Failed(f"e4defrag: {before} extents before, {after} after")
    run("md5sum -c /tmp/sum && cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && md5sum -c /tmp/sum")
    return f"{before} extents before, {after} after; {cached} pages in the cache before, {kept} after"


def grow(run):
    run("resize2fs /dev/vda 200M 2>&1", r"is now 204800 \(1k\) blocks long", limit=180)
    run("df -k /mnt | tail -1", r"^/dev/vda\s+1[89]\d{4}\s")
    run("dd if=/dev/urandom of=/mnt/large bs=1M count=110 2>/dev/null && md5sum /mnt/large >/tmp/sum && cd / && umount /mnt", limit=240)
    run("e2fsck -fn /dev/vda", limit=120)
    run("mount -t ext4 /dev/vda /mnt && md5sum -c /tmp/sum && rm /mnt/large", limit=120)


def names(run):
    run("tune2fs -L newname /dev/vda && tune2fs -l /dev/vda", r"^Filesystem volume name:\s+newname$")
    run("fstrim -v /mnt", r"^/mnt: .*\(\d+ bytes\) trimmed$", limit=120)
    run("fsfreeze -f /mnt && (echo late >/mnt/frozen &) ; sleep 1; test ! -s /mnt/frozen")
    run("fsfreeze -u /mnt && sleep 1 && cat /mnt/frozen", r"^late$")
    run.refused("fsfreeze -u /mnt", "Invalid argument")


def options(run):
    run("cd / && umount /mnt && tune2fs -o nodelalloc /dev/vda && mount -t ext4 /dev/vda /mnt && cat /proc/fs/ext4/vda/options",
        r"^nodelalloc$")
    run("cd /mnt && dd if=/dev/urandom of=placed bs=3000 count=90 2>/dev/null && dd if=/dev/urandom of=placed bs=700 count=9 seek=33 "
        "conv=notrunc 2>/dev/null && md5sum placed >/tmp/sum && cd / && umount /mnt")
    run("mount -t ext4 -o delalloc /dev/vda /mnt && grep ' /mnt ' /proc/mounts", r"\bdelalloc\b")
    run("cd /mnt && md5sum -c /tmp/sum && cd / && umount /mnt && tune2fs -o ^nodelalloc /dev/vda && mount -t ext4 /dev/vda /mnt")
    run("cd / && umount /mnt && mount -t ext4 -o data=writeback,commit=7,errors=remount-ro,nobarrier,discard "
        "/dev/vda /mnt && grep ' /mnt ' /proc/mounts",
        r"nobarrier,discard,errors=remount-ro,commit=7,data=writeback")
    run("mount -o remount,ro /mnt && grep ' /mnt ' /proc/mounts", r" ro,")
    run.refused("touch /mnt/x", "Read-only")
    run("mount -o remount,rw,commit=30 /mnt && touch /mnt/x && grep ' /mnt ' /proc/mounts", r"commit=30")
    run("umount /mnt && tune2fs -E stride=16,stripe_width=64 /dev/vda && mount -t ext4 /dev/vda /mnt && grep ' /mnt ' /proc/mounts", r"stripe=64\b")
    run("mount -o remount,stripe=32 /mnt && grep ' /mnt ' /proc/mounts", r"stripe=32\b")
    run("umount /mnt && tune2fs -E stride=0,stripe_width=0 /dev/vda && mount -t ext4 /dev/vda /mnt && ! grep stripe /proc/mounts && umount /mnt")
    run("mount -t ext4 -o max_dir_size_kb=8 /dev/vda /mnt && grep ' /mnt ' /proc/mounts && mkdir /mnt/small", r"max_dir_size_kb=8\b")
    run("i=0; while touch /mnt/small/a-name-of-some-length-$i 2>/dev/null && [ $i -lt 500 ]; do i=$((i+1)); done; [ $i -gt 100 ] && [ $i -lt 400 ] && "
        "[ $(stat -c %s /mnt/small) -le 8192 ]", limit=120)
    run("mount -o remount,max_dir_size_kb=0 /mnt && touch /mnt/small/one-more-name-that-needs-room && rm -r /mnt/small && umount /mnt")
    run.refused("mount -t ext4 -o nosuchthing /dev/vda /mnt", "Invalid argument")
    run("mount -t ext4 -o noload,ro /dev/vda /mnt && umount /mnt")


def journaled(run):
    run.refused("umount /mnt; mount -t ext4 -o data=journal,delalloc /dev/vda /mnt", "Invalid argument")
    run("mount -t ext4 -o data=journal /dev/vda /mnt && grep ' /mnt ' /proc/mounts", r"\bdata=journal\b")
    run("cd /mnt && dd if=/dev/urandom of=ja bs=3000 count=700 2>/dev/null && md5sum ja >/tmp/sum && cp ja jb && cmp ja jb && rm ja && "
        "cp jb ja && truncate -s 5000 jb && truncate -s 9000 jb && (head -c 5000 ja; head -c 4000 /dev/zero) | cmp - jb")
    run("echo 3 >/proc/sys/vm/drop_caches; md5sum -c /tmp/sum && cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && md5sum -c /tmp/sum")
    run("chattr +j ja && lsattr ja", r"^-{10}j-{3}e-{7} ja$")
    run("dd if=/dev/urandom of=ja bs=1000 count=50 seek=7 conv=notrunc 2>/dev/null && md5sum ja >/tmp/sum && sync && "
        "echo 3 >/proc/sys/vm/drop_caches; md5sum -c /tmp/sum")
    run("chattr -j ja && dd if=/dev/urandom of=ja bs=1000 count=5 seek=9 conv=notrunc 2>/dev/null && md5sum ja >/tmp/sum && lsattr ja",
        r"^-{14}e-+ ja$")
    run("cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && md5sum -c /tmp/sum && rm ja jb")
    run.refused(f"echo >o; chown 1000 o; {USER} chattr +j o", "Operation not permitted")
    run("rm o; cd / && umount /mnt && e2fsck -fn /dev/vda", limit=120)


def offline(run):
    run("e2fsck -fy /dev/vda; tune2fs -O ^has_journal /dev/vda && mount -t ext4 /dev/vda /mnt && echo 1 >/mnt/nojournal && umount /mnt",
        limit=120)
    run("e2fsck -fn /dev/vda && tune2fs -j /dev/vda && mount -t ext4 /dev/vda /mnt && cat /mnt/nojournal && umount /mnt", limit=120)
    run("e2fsck -fy /dev/vda && resize2fs -M /dev/vda 2>&1 && mount -t ext4 /dev/vda /mnt && cat /mnt/nojournal && umount /mnt", limit=240)
    run("debugfs -R 'stat /nojournal' /dev/vda 2>/dev/null", r"Type: regular")


def quotas(run):
    run("cd /; umount /mnt 2>/dev/null; mke2fs -q -F -t ext4 -O quota -E quotatype=usrquota:grpquota /dev/vda 64M && "
        "mount -t ext4 -o usrquota,grpquota /dev/vda /mnt && grep ' /mnt ' /proc/mounts", r"usrquota,grpquota")
    run("ln -sf /proc/mounts /etc/mtab; cd /mnt && chmod 777 . && setquota -u 1000 500 1000 5 8 /mnt && setquota -t -u 60 120 /mnt")
    run("repquota -u -n -p /mnt", r"^Block grace time: 00:01; Inode grace time: 00:02$")
    run(f"{USER} dd if=/dev/zero of=a bs=4k count=100 2>/dev/null && repquota -u -n -p /mnt", r"^#1000\s+--\s+400\s+500\s+1000\s+0\s+1\s+5\s+8\s")
    run.refused(f"{USER} dd if=/dev/zero of=b bs=4k count=200", "Disk quota exceeded")
    run("sync && repquota -u -n -p /mnt", r"^#1000\s+\+-\s+1000\s+500\s+1000\s+[1-9]\d+\s+2\s+5\s+8\s")
    run.refused(f"{USER} sh -c 'for i in 1 2 3 4 5 6 7; do : >n$i || exit 1; done'", "Disk quota exceeded")
    run("repquota -u -n -p /mnt", r"^#1000\s+\+\+\s.*\s8\s+5\s+8\s")
    run("chown 2000:2000 b && repquota -u -n -p /mnt", r"^#2000\s+--\s+600\s")
    run("repquota -g -n -p /mnt", r"^#2000\s+--\s+600\s")
    run(f"quotaon -f -u /mnt && {USER} dd if=/dev/zero of=c bs=4k count=300 2>/dev/null && rm c && quotaon -u /mnt")
    run.refused(f"{USER} dd if=/dev/zero of=c bs=4k count=300", "Disk quota exceeded")
    run("rm c; printf '#!/bin/sh\\nsed -i \"s/ 500  *1000 / 600 1200 /\" $1\\n' >/tmp/edit && chmod 755 /tmp/edit && "
        "EDITOR=/tmp/edit edquota -u 1000 && repquota -u -n -p /mnt", r"^#1000\s+-\+\s+400\s+600\s+1200\s+0\s+")
    run("setquota -u 1000 500 1000 5 8 /mnt && quotaoff -g /mnt; quotaon -p -u /mnt; quotaon -p -g /mnt; true", r"user quota on /mnt .*is on")
    run("cd / && umount /mnt && mount -t ext4 -o usrquota /dev/vda /mnt && repquota -u -n -p /mnt", r"^#1000\s+-\+\s+400\s+500\s+1000\s")
    # Read-only there are no quotas; they are there when it is writable again.
    run("mount -o remount,ro /mnt")
    run.refused("setquota -u 1000 1 1 1 1 /mnt", ".")
    run("mount -o remount,rw /mnt && repquota -u -n -p /mnt", r"^#1000\s+-\+\s+400\s+500\s+1000\s")
    run("umount /mnt && mount -t ext4 -o ro,usrquota /dev/vda /mnt")
    run.refused("setquota -u 1000 1 1 1 1 /mnt", ".")
    run("mount -o remount,rw /mnt && repquota -u -n -p /mnt", r"^#1000\s+-\+\s+400\s+500\s+1000\s")
    run("umount /mnt && e2fsck -fn /dev/vda", limit=120)


def projects(run):
    run("cd /; umount /mnt 2>/dev/null; mke2fs -q -F -t ext4 -O quota,project -E quotatype=prjquota /dev/vda 64M && "
        "mount -t ext4 -o prjquota /dev/vda /mnt && grep ' /mnt ' /proc/mounts", r"prjquota")
    run("ln -sf /proc/mounts /etc/mtab; cd /mnt && chmod 777 . && mkdir p q && chmod 777 p q && chattr -p 77 +P p && lsattr -pd p", r"^\s+77 -+e-+P-+ p$")
    run("setquota -P 77 500 1000 5 8 /mnt && setquota -t -P 60 120 /mnt && repquota -P -n -p /mnt", r"^#77\s+--\s+1\s+500\s+1000\s+0\s+1\s+5\s+8\s")
    run(f"{USER} dd if=/dev/zero of=p/a bs=4k count=100 2>/dev/null && lsattr -p p/a", r"^\s+77 ")
    run("sync; repquota -P -n -p /mnt", r"^#77\s+--\s+401\s+500\s+1000\s+0\s+2\s+5\s+8\s")
    run.refused(f"{USER} dd if=/dev/zero of=p/b bs=4k count=200", "Disk quota exceeded")
    run("sync; repquota -P -n -p /mnt", r"^#77\s+\+-\s+997\s+500\s+1000\s+[1-9]\d+\s+3\s+5\s+8\s")
    run(f"{USER} dd if=/dev/zero of=q/b bs=4k count=200 2>/dev/null && rm q/b")
    run.refused(f"{USER} sh -c 'for i in 1 2 3 4 5 6 7; do : >p/n$i || exit 1; done'", "Disk quota exceeded")
    run("repquota -P -n -p /mnt", r"^#77\s+\+\+\s.*\s8\s+5\s+8\s")
    # Directories that inherit a project take nothing of another: EXDEV, so that mv copies.
    run("echo 1 >q/one; ln q/one q/two")
    run.refused("ln q/one p/three", "Invalid cross-device link|Cross-device link")
    run.refused(f"{USER} chattr -p 78 q/one", "Operation not permitted")
    run(f"{USER} chattr -p 78 p/a && repquota -P -n -p /mnt", r"^#78\s+--\s+400\s")
    # quotaon(8) says "on" of a project quota that is off, on Debian's kernel too: that it is off the limits tell.
    run("quotaoff -P /mnt && quotaon -p -P /mnt; true", r"project quota on /mnt .*is (on|off)")
    run(f"{USER} dd if=/dev/zero of=p/over bs=4k count=300 2>/dev/null && rm p/over && quotaon -P /mnt && (quotaon -p -P /mnt; true)",
        r"project quota on /mnt .*is on")
    # (Neither program of Debian's takes another project for a pattern: -p does nothing there, on Linux, too.)
    run("EDITOR=true edquota -P 77 && repquota -P -n -p /mnt", r"^#77\s+\+\+\s+\d+\s+500\s+1000\s")
    run("rm p/n1; cd / && umount /mnt && mount -t ext4 -o prjquota /dev/vda /mnt && repquota -P -n -p /mnt", r"^#77\s+\+\+\s+597\s")
    run("cd / && umount /mnt && e2fsck -fn /dev/vda", limit=120)


def orphan(run, *more):
    """Leaves a file on /dev/vda, which is not mounted, as one that was deleted and open when the machine stopped."""
    commands = "\\n".join(["sif o links_count 0", "unlink o", "ssv last_orphan $i", *more])
    run("echo data >/tmp/data && debugfs -w -R 'write /tmp/data o' /dev/vda && "
        "i=$(debugfs -R 'stat o' /dev/vda 2>/dev/null | sed -n 's/^Inode: \\([0-9]*\\) .*/\\1/p') && test \"$i\" -gt 10 && "
        f"printf \"{commands}\\n\" >/tmp/cmd && debugfs -w -f /tmp/cmd /dev/vda")


def migrate(run):
    """A file of ext3 becomes one with extents where it is; the disk is as it was found afterwards."""
    run("cd /; umount /mnt; mke2fs -q -F -t ext3 -b 1024 /dev/vda 64M && mount -t ext3 /dev/vda /mnt", limit=120)
    run("cd /mnt && mkdir d && dd if=/dev/urandom of=d/f bs=1M count=9 2>/dev/null && dd if=/dev/urandom of=d/sparse bs=1k count=3 seek=20000 2>/dev/null && "
        "md5sum d/* >/tmp/sum && lsattr d/f", r"^-{22} d/f$", limit=120)
    run("cd / && umount /mnt && tune2fs -O extents /dev/vda && mount -t ext4 /dev/vda /mnt && cd /mnt && chattr +e d/f d/sparse && lsattr d", r"^-{14}e-{7} d/f$",
        limit=120)
    run("md5sum -c /tmp/sum && echo 3 >/proc/sys/vm/drop_caches && md5sum -c /tmp/sum && echo more >>d/f && filefrag d/f", r"extents? found", limit=120)
    run("chattr +e d/f")
    run.refused("chattr -e d/sparse", "not supported")
    run("cd / && umount /mnt && e2fsck -fn /dev/vda && mke2fs -q -F -t ext4 /dev/vda 64M", limit=120)


def mounts(run):
    free, said = r"mmp_sequence:\s+0xff4d4d50", "dumpe2fs -h /dev/vda 2>/dev/null"
    run("cd /; umount /mnt 2>/dev/null; mke2fs -q -F -t ext4 -O mmp -E mmp_update_interval=1 /dev/vda 64M && mount -t ext4 /dev/vda /mnt", limit=120)
    first = run(f"sleep 2; {said}", r"mmp_sequence:\s+0x(?!ff4d4d50)([0-9a-f]+)")[1]
    second = run(f"sleep 3; {said}", r"mmp_sequence:\s+0x(?!ff4d4d50)([0-9a-f]+)")[1]
    if first == second:
        raise Failed(f"mmp: the block does not change: {first}")
    run(f"umount /mnt && {said}", free)
    run(f"mount -t ext4 -o ro /dev/vda /mnt && {said}", free)
    run(f"mount -o remount,rw /mnt && touch /mnt/x && sleep 2 && {said}", r"mmp_sequence:\s+0x(?!ff4d4d50)")
    run(f"mount -o remount,ro /mnt && {said}", free)
    run("umount /mnt && e2fsck -fn /dev/vda", limit=120)
    # An orphan: finished at a read-only mount too.
    left, last = r"^First orphan inode:\s+\d+", "dmesg | tail -n 6"
    orphan(run)
    run(said, left)
    run(f"mount -t ext4 -o ro /dev/vda /mnt && test -z \"$({said} | grep 'First orphan')\" && {last}",
        r"orphan cleanup on readonly fs\n(.*\n)*.*1 orphan inode deleted\n(.*\n)*.*recovery complete")
    run("mount -o remount,rw /mnt && touch /mnt/y && umount /mnt && e2fsck -fn /dev/vda", limit=120)
    # Not if the device cannot be written: then the mount does not become writable, but another mount does.
    orphan(run)
    run(f"blockdev --setro /dev/vda && mount -t ext4 -o ro /dev/vda /mnt && {last}", r"write access unavailable, skipping orphan cleanup")
    run("mount -o remount,rw /mnt; grep ' /mnt ' /proc/mounts", r" ro,")
    run("blockdev --setrw /dev/vda")
    run.refused("mount -o remount,rw /mnt", "Invalid argument")
    run(last, r"Couldn't remount RDWR because of unprocessed orphan inode list\.  Please umount/remount instead")
    run(f"grep ' /mnt ' /proc/mounts; {said}", left)
    run(f"umount /mnt && mount -t ext4 /dev/vda /mnt && umount /mnt && {last}", r"1 orphan inode deleted")
    run("e2fsck -fn /dev/vda", limit=120)
    # Nor if the file system has errors; a mount for writing drops the list.
    orphan(run, "ssv state 3")
    run("mount -t ext4 -o ro /dev/vda /mnt")
    run.refused("mount -o remount,rw /mnt", "Invalid argument")
    run(f"umount /mnt && {said}", left)
    run(f"mount -t ext4 /dev/vda /mnt && umount /mnt && {last}", r"Errors on filesystem, clearing orphan list")
    run(f"test -z \"$({said} | grep 'First orphan')\"; e2fsck -fy /dev/vda; e2fsck -fn /dev/vda", limit=120)
    # In the file of orphans: deleted, but open when the file system was shut down, which is no error to the next mount.
    run("mke2fs -q -F -t ext4 -O orphan_file /dev/vda 64M && mount -t ext4 /dev/vda /mnt", limit=120)
    run("(exec 3>/mnt/o && echo data >&3 && rm /mnt/o && sync && xfs_io -x -c 'shutdown -f' /mnt); umount /mnt")
    run(said, r"orphan_present")
    run(f"mount -t ext4 -o ro /dev/vda /mnt && {last}", r"orphan cleanup on readonly fs\n(.*\n)*.*1 orphan inode deleted")
    run(f"test -z \"$({said} | grep -E 'orphan_present|needs_recovery')\" && mount -o remount,rw /mnt && touch /mnt/y && umount /mnt")
    run("e2fsck -fn /dev/vda", limit=120)
    # A file system that was shut down gives nothing any more, also to who has a file open.
    run("mount -t ext4 /dev/vda /mnt && echo text >/mnt/seen && sync && (exec 4</mnt/seen; xfs_io -x -c shutdown /mnt; cat <&4; cat /mnt/seen; "
        "touch /mnt/new) >/tmp/said 2>&1; umount /mnt; grep -c 'Input/output error' /tmp/said", r"^3$")
    run("mount -t ext4 /dev/vda /mnt && grep text /mnt/seen && umount /mnt && e2fsck -fn /dev/vda", limit=120)
    # What the log has follows the options of this mount, not of one before.
    log = "dumpe2fs -h /dev/vda 2>/dev/null | grep '^Journal features:'"
    run(f"mount -t ext4 -o data=journal,journal_async_commit /dev/vda /mnt && touch /mnt/z && sync && umount /mnt && {log}", r"journal_async_commit")
    run(f"mount -t ext4 -o nojournal_checksum /dev/vda /mnt && grep -c ' /mnt .*,nojournal_checksum' /proc/mounts && touch /mnt/z && sync && umount /mnt && "
        f"{log} | grep -v -e async -e checksum", r"^Journal features")
    run(f"mount -t ext4 /dev/vda /mnt && touch /mnt/z && sync && umount /mnt && {log} | grep -v async", r"journal_checksum_v3")
    # What a kernel does not know it must not write; busybox's mount takes EROFS for an answer, and mounts read-only.
    orphan(run, "feature FEATURE_R31")
    run.refused("mount -t ext4 /dev/vda /mnt", "Invalid argument")
    run(f"mount -t ext4 -o ro /dev/vda /mnt && {last}", r"Skipping orphan cleanup due to unknown ROCOMPAT features")
    run("mount -o remount,rw /mnt; grep ' /mnt ' /proc/mounts", r" ro,")
    run(last, r"couldn't mount RDWR because of unsupported optional features \(80000000\)")
    # Without a journal: what was not unmounted, and not checked since, stays so.
    run("umount /mnt && mke2fs -q -F -t ext4 -O ^has_journal /dev/vda 64M && debugfs -w -R 'ssv state 0' /dev/vda", limit=120)
    run(f"mount -t ext4 /dev/vda /mnt && touch /mnt/x && umount /mnt && {said}", r"^Filesystem state:\s+not clean$")
    run(last, r"warning: mounting unchecked fs, running e2fsck is recommended")
    run("e2fsck -fy /dev/vda; mount -t ext4 /dev/vda /mnt && touch /mnt/x", limit=120)
    run(said, r"^Filesystem state:\s+not clean$")
    run(f"umount /mnt && {said}", r"^Filesystem state:\s+clean$")
    # One that says so itself is mounted read-only.
    run("tune2fs -O read-only /dev/vda && mount -t ext4 /dev/vda /mnt && grep ' /mnt ' /proc/mounts", r" ro,")
    run("dmesg | tail -n 6", r"filesystem is read-only")
    run("mount -o remount,rw /mnt; grep ' /mnt ' /proc/mounts", r" ro,")
    run.refused("touch /mnt/z", "Read-only")
    run("umount /mnt && mke2fs -q -F -t ext4 /dev/vda 64M", limit=120)


GROUPS = [make, flags, acls, fallocate, direct, asynchronous, defragment, grow, names, options, journaled, offline, projects, quotas,
          migrate, mounts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=900, help="seconds for the machine")
    parser.add_argument("--step", type=int, default=60, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file for the console's output")
    parser.add_argument("only", nargs="*", help="names of groups (`make` is always run)")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="ext4-") as work:
        initrd = os.path.join(work, "initrd")
        cpio = tools.base(PROGRAMS, args.linux)
        cpio.file("bin/aio", src=os.path.join(programs.build("ext4-tests"), "aio"), mode=0o755)
        cpio.write(initrd)
        path = os.path.join(work, "image")
        with open(path, "wb") as f:
            f.truncate(256 << 20)
        drive = ("-drive", f"file={path},format=raw,if=none,id=d0,cache=writeback,discard=unmap",
                 "-device", "virtio-blk-pci,drive=d0")
        with Guest(args.kernel, initrd, APPEND + (tools.LINUX if args.linux else ""), memory=512, cpus=args.cpus, limit=args.limit, extra=drive, log=args.log) as guest:
            guest.expect("@READY@", args.limit)
            run = Run(guest, args)
            for group in GROUPS:
                if args.only and group.__name__ not in args.only and group is not make:
                    continue
                try:
                    more = group(run)
                    found = COMPLAINT.search(guest.text)
                    if found:
                        raise Failed(f"the kernel says: {found.group(0)}")
                    report.ok(f"{group.__name__}: {more}" if more else group.__name__)
                except (GuestError, Failed) as error:
                    report.fail(group.__name__, error)
                    if not guest.alive() or COMPLAINT.search(guest.text):
                        break
            if guest.alive():
                guest.run("cd /; umount /mnt; sync", args.step)
        try:
            images.check(path)
            report.ok("e2fsck on the host")
        except RuntimeError as error:
            report.fail("e2fsck on the host", error)
    report.finish()


if __name__ == "__main__":
    main()
