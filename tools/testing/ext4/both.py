#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Both directions with Debian's kernel: an image filled by one kernel is read by the other, which must see the same tree (names,
modes, owners, times, links, content, extended attributes, ACLs, where the blocks are), and changed there; e2fsck finds nothing each
time. Rows are combinations of mke2fs's features; those of LARGE must be asked for by name."""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=4 panic=-1"
# Debian's kernel does the same without what costs most under emulation; string instructions go byte by byte there if they are "fast".
LINUX = tools.LINUX + " mitigations=off init_on_alloc=0"
CPU = "max,erms=off,fsrm=off"
PROGRAMS = ["setfacl", "setfattr", "getfattr", "filefrag", "chattr", "lsattr", "xfs_io", "stat", "repquota"]

# name, type to mount as, options of mke2fs, of mount
ROWS = [
    ("default", "ext4", "-t ext4", ""),
    ("1k", "ext4", "-t ext4 -b 1024 -O ea_inode,large_dir -J size=8", ""),
    ("inline", "ext4", "-t ext4 -O inline_data,orphan_file,metadata_csum_seed", ""),
    ("bigalloc", "ext4", "-t ext4 -O bigalloc,quota", ""),
    ("ext3", "ext3", "-t ext3", ""),
    ("ext2", "ext2", "-t ext2 -b 2048", ""),
    ("uninit_bg", "ext4", "-t ext4 -b 2048 -O ^metadata_csum,uninit_bg,^64bit,meta_bg,^resize_inode", ""),
    ("nojournal", "ext4", "-t ext4 -O ^has_journal,sparse_super2 -I 1024", ""),
    ("i128", "ext4", "-t ext4 -I 128 -O ^extent,^64bit,^flex_bg", ""),
    ("quota", "ext4", "-t ext4 -O quota,project -E quotatype=usrquota:grpquota:prjquota", "usrquota,grpquota,prjquota"),
    ("journal", "ext4", "-t ext4 -J size=16", "data=journal"),
    ("external", "ext4", "-t ext4 -b 4096 -O ^has_journal", "journal_path=/dev/vdc"),
    ("plain", "ext4", "-t ext4 -O ^dir_index,^filetype,^dir_nlink,^extra_isize,^sparse_super,^huge_file,^flex_bg,^resize_inode", ""),
    ("mmp", "ext4", "-t ext4 -b 4096 -G 64 -g 8192 -E stride=8,stripe-width=32 -O mmp,fast_commit", ""),
    ("async", "ext4", "-t ext4 -b 1024 -C 8192 -O bigalloc,inline_data,ea_inode",
     "data=writeback,journal_async_commit"),
    ("big", "ext4", "-t ext4 -N 300000", ""),
    ("dirs", "ext4", "-t ext4 -b 1024 -N 90000", ""),
]
# What tune2fs changes.
TUNE = {"mmp": ["-E", "hash_alg=tea"], "async": ["-E", "hash_alg=legacy"]}
# Rows with many things in them; those of `dirs` are more than a directory's link count can tell.
LARGE = {"big": 200_000, "dirs": 66_000}

FILL = r"""
set -e
cd /mnt
P=/usr/sbin
mkdir tree deep many attrs
[ $BIG = 0 ] || { /bin/many top=/mnt/small files=$BIG threads=2; mkdir root; tar xf /dev/vdd -C root; }
[ $DIRS = 0 ] || /bin/many top=/mnt/dirs files=0 dirs=$DIRS
/bin/many top=/mnt/pieces files=0 pieces=1500
cp -a /usr/sbin /lib /etc tree/
d=deep; i=0; while [ $i -lt 30 ]; do d=$d/directory-with-a-name-$i; i=$((i+1)); done; mkdir -p $d; echo bottom >$d/file
cd many; i=0; while [ $i -lt $FILES ]; do echo $i >"a file with a name that is not short, number $i"; i=$((i+1)); done; cd ..
long=$(head -c 255 /dev/zero | tr '\0' n); echo long >$long; ln -s $long$long link-long; ln -s short link-short; ln $long hard
mkfifo fifo; mknod char c 5 1; mknod block b 8 17
dd if=/dev/urandom of=sparse bs=4096 count=1 2>/dev/null
for at in 10 1000 100000 $LAST; do dd if=/dev/urandom of=sparse bs=4096 seek=$at count=1 conv=notrunc 2>/dev/null; done
i=0; while [ $i -lt 25 ]; do
  for f in frag1 frag2 frag3; do dd if=/dev/urandom of=$f bs=8192 seek=$i count=1 conv=notrunc,fsync 2>/dev/null; done; i=$((i+1))
done
rm frag2
if [ $PROJECTS = 1 ]; then
  mkdir project; $P/chattr -p 77 +P project; cp attrs/../tree/etc/* project/ 2>/dev/null || :; mkdir project/sub; echo x >project/sub/x
fi
if [ $EXTENTS = 1 ]; then
  $P/xfs_io -f -c 'falloc 0 500000' -c 'pwrite -S 7 40000 5000' unwritten >/dev/null
  $P/xfs_io -c 'fpunch 20000 60000' frag1
fi
cd attrs
i=0; while [ $i -lt 20 ]; do echo $i >f$i; $P/setfattr -n user.number -v $i f$i; i=$((i+1)); done
$P/setfattr -n user.large -v $(head -c 900 /dev/zero | tr '\0' v) f1
$P/setfattr -n trusted.t -v 0x010203 f2; $P/setfattr -n security.s -v text f3
[ $EA = 0 ] || $P/setfattr -n user.huge -v $(head -c 9000 /dev/zero | tr '\0' h) f4
$P/setfacl -m u:1000:rw,g:50:r,m::rw f5; mkdir acl; $P/setfacl -d -m u:7:rx acl; mkdir acl/sub; echo new >acl/sub/new
chmod 4755 f6; chown 12:34 f7; chmod 1777 acl; touch -d '1969-12-31 12:00:00' f8; touch -d '2037-01-02 03:04:05' f9
touch -d '2150-01-02 03:04:05' f18; touch -d '1910-01-02 03:04:05' f19
# One block of attributes may belong to several files.
for g in 1 2 3 4; do echo $g >g$g; $P/setfattr -n user.shared -v $(head -c 700 /dev/zero | tr '\0' w) g$g; done
$P/chattr +dA f10; $P/chattr +i f16; $P/chattr +a f17
cd ..
sync
echo unsynchronised >last
"""

CHANGE = r"""
set -e
cd /mnt
[ $BIG = 0 ] || { rm -r small/d1*; mv small/crowd small/d2; cp -a root again; rm -r root/usr; }
[ $DIRS = 0 ] || { rmdir dirs/dir1*; mkdir dirs/dir1; }
rm -r tree/lib; cp -a /lib tree/again; mv many moved; rm moved/*7; echo more >>sparse; truncate -s 3000 frag1
cat frag3 frag3 >frag4; mkdir made; mv hard made/; chmod 640 attrs/f1
/usr/sbin/setfattr -x user.number attrs/f2; /usr/sbin/setfattr -n user.other -v changed attrs/f11
/usr/sbin/setfacl -b attrs/f5; /usr/sbin/setfacl -m u:9:r attrs/f12
/usr/sbin/setfattr -n user.shared -v other attrs/g2; rm attrs/g3; /usr/sbin/setfattr -n user.more -v $(head -c 50 /dev/zero | tr '\0' m) attrs/g4
! echo x 2>/dev/null >attrs/f16; ! echo x 2>/dev/null >attrs/f17; /usr/sbin/chattr -i attrs/f16; echo more >>attrs/f16; echo more >>attrs/f17
truncate -s 5000000 pieces/pieces; truncate -s 90 attrs/f13; truncate -s 9000 attrs/f14; truncate -s 1 attrs/f15
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=frag3 bs=1000 count=2 seek=$((i*17)) conv=notrunc 2>/dev/null; done
"""

# One line for each thing that must be the same; reading does not change times (noatime).
TREE = r"""
/bin/tree top=/mnt threads=2
[ $BIG$DIRS = 00 ] || exit 0
cd /mnt
/usr/sbin/stat -f -c 'statfs %s %S %b %c %l' .
list() { find . -path ./lost+found -prune -o "$@" -print0 | sort -z; }
list | xargs -0 /usr/sbin/stat -c 'stat %N %f %u %g %s %h %b %t:%T %.9Y %.9Z %.9W'
list -type f ! -name sparse | xargs -0 md5sum
for at in 0 10 1000 100000 400000 7400000; do echo $at $(dd if=sparse bs=4096 skip=$at count=1 2>/dev/null | md5sum); done
/usr/sbin/getfattr -R -P -h -d -m - -e hex . 2>/dev/null | awk '/^# file:/ {f = $0; next} NF {print f, $0}'
/usr/sbin/lsattr -R $LSATTR . 2>/dev/null
[ $QUOTAS = 0 ] || { ln -sf /proc/mounts /etc/mtab; for k in u g P; do /usr/sbin/repquota -$k -n -p /mnt; done; }
for f in sparse frag1 frag3 frag4 unwritten; do [ ! -e $f ] || /usr/sbin/filefrag -v $f; done
"""


def root_tree(path):
    """A tar of what Debian's packages hold, as it is in a root file system."""
    for package in tools.PACKAGES:
        subprocess.run(["tar", "-rf", path, "--owner=0", "--group=0", "-C", debian.unpack(package), "."], check=True)


def compare(one, other, what):
    """RuntimeError unless both listings are the same."""
    if one != other:
        differ = sorted(set(one) - set(other))[:4] + sorted(set(other) - set(one))[:4]
        raise RuntimeError(f"{what}: {len(one)} and {len(other)} lines, for example " + " | ".join(differ))


class Row:
    """A kind of image, in a directory of its own."""

    def __init__(self, args, name, initrds, work):
        self.args, self.initrds = args, initrds
        self.kind, options, more = next(row[1:] for row in ROWS if row[0] == name)
        self.large = name in LARGE
        self.path, self.out, self.log = (os.path.join(work, file) for file in ("image", "out", "log"))
        self.tar = args.tar if name == "big" else None
        for file in (self.out, self.log):
            with open(file, "wb") as f:
                f.truncate((200 if self.large else 16) << 20)
        self.options = ",".join(["noatime"] + more.split())
        extents = self.kind == "ext4" and "^extent" not in options
        last = 7_400_000 if extents and not re.search("-b|-O bigalloc", options) else 400_000
        projects = "project" in options
        many = args.small_files or LARGE.get(name, 0)
        self.env = (f"FILES={args.files} LAST={last} EXTENTS={int(extents)} EA={int('ea_inode' in options)} PROJECTS={int(projects)} "
                    f"QUOTAS={int(projects)} LSATTR={'-p' if projects else ''} BIG={many if name == 'big' else 0} "
                    f"DIRS={many if name == 'dirs' else 0}")
        images.make(self.path, (2000 if self.large else 400) << 20, options.split())
        if name in TUNE:
            images.tool("tune2fs", *TUNE[name], self.path)
        self.external = "journal_path" in more
        if self.external:
            images.external_log(self.path, self.log)

    def boot(self, linux, *scripts):
        """Mounts the image and runs the scripts (None: none) there; gives the listing of the tree that each leaves."""
        args, drives, listings = self.args, [], []
        tar = [f"{self.tar},readonly=on"] if self.tar else []
        for number, file in enumerate((self.path, self.out, self.log, *tar)):
            drives += ["-drive", f"file={file},format=raw,if=none,id=d{number},cache=unsafe",
                       "-device", f"virtio-blk-pci,drive=d{number}"]
        kernel = debian.kernel() if linux else args.kernel
        memory = 3072 if self.large else 768
        with Guest(kernel, self.initrds[linux], APPEND + (LINUX if linux else ""), memory=memory, cpu=CPU, cpus=args.cpus,
                   limit=args.limit, extra=drives) as guest:
            guest.expect("@READY@", args.limit)
            mount = f"mount -t {self.kind} -o {self.options} /dev/vda /mnt"
            guest.check(mount, args.step)
            for script in scripts:
                if script:
                    guest.check(f"{self.env} sh /{script}", args.step)
                    # What is delayed has a place then. Large trees are listed as they are in memory, others as they are on the disk.
                    guest.check("sync" if self.large else f"umount /mnt && {mount}", args.step)
                guest.check(f"({self.env} sh /tree.sh 2>&1; echo @END@) >/dev/vdb && sync", args.step)
                listings.append(self.listing())
            guest.check("umount /mnt && sync", args.step)
        images.check(self.path, self.log if self.external else None)
        return listings

    def listing(self):
        """What the guest wrote to its second disk; directories are listed in any order."""
        with open(self.out, "rb") as f:
            text = f.read()
        end = text.find(b"@END@")
        if end < 0:
            raise GuestError("the listing has no end")
        return sorted(text[:end].decode(errors="replace").splitlines())

    def check(self, first):
        """The image is filled by one kernel (`first`: Debian's), read and changed by the other, read again by the first."""
        who = {True: "Linux", False: "Rideau"}
        filled, = self.boot(first, "fill.sh")
        seen, changed = self.boot(not first, None, "change.sh")
        compare(filled, seen, f"filled by {who[first]}, read by {who[not first]}")
        again, = self.boot(first, None)
        compare(changed, again, f"changed by {who[not first]}, read by {who[first]}")
        return len(filled)


def one(args, name, first, initrds, work):
    """Both kernels on one image. Returns its title, what was wrong, and how it went."""
    title, began = f"{name}: filled by {'Linux' if first else 'Rideau'}", time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=work) as own:
            lines = Row(args, name, initrds, own).check(first)
        return title, None, f"{lines} lines the same, {time.monotonic() - began:.0f} s"
    except (GuestError, RuntimeError) as error:
        return title, error, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--limit", type=int, default=1200, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=900, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("-j", "--jobs", type=int, default=2, help="images at once")
    parser.add_argument("--files", type=int, default=1500, help="small files in one directory")
    parser.add_argument("--small-files", type=int, help=f"how many things in the rows {' '.join(LARGE)}, in place of {LARGE}")
    parser.add_argument("only", nargs="*", help="names of rows")
    args = parser.parse_args()
    args.kernel = args.kernel or programs.default_kernel()
    report = Report()
    rows = [name for name, *_ in ROWS if (name in args.only if args.only else name not in LARGE)]
    with tempfile.TemporaryDirectory(prefix="both-") as work:
        initrds = {}
        built = programs.build("ext4-tests")
        for linux in (False, True):
            cpio = tools.base(PROGRAMS, linux)
            for name in ("tree", "many"):
                cpio.file(f"bin/{name}", src=os.path.join(built, name), mode=0o755)
            for name, text in (("fill.sh", FILL), ("change.sh", CHANGE), ("tree.sh", TREE)):
                cpio.file(name, text)
            initrds[linux] = os.path.join(work, f"initrd{int(linux)}")
            cpio.write(initrds[linux])
        args.tar = os.path.join(work, "root.tar")
        if "big" in rows:
            root_tree(args.tar)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            todo = [(name, first) for name in rows for first in (True, False)]
            for title, error, said in pool.map(lambda what: one(args, *what, initrds, work), todo):
                report.add(f"{title}: {said}" if said else title, not error, error)
    report.finish()


if __name__ == "__main__":
    main()
