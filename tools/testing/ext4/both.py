#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Both directions with Debian's kernel: an image filled by one kernel is read by the other, which must see the same tree (names,
modes, owners, times, links, content, extended attributes, ACLs, where the blocks are), and changed there; e2fsck finds nothing each
time."""

import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import images  # noqa: E402
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=4 panic=-1"
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
    ("big", "ext4", "-t ext4 -N 300000", ""),
    ("external", "ext4", "-t ext4 -b 4096 -O ^has_journal", "journal_path=/dev/vdc"),
]

FILL = r"""
set -e
cd /mnt
P=/usr/sbin
mkdir tree deep many attrs
[ $BIG = 0 ] || { /bin/many top=/mnt/small files=$BIG; mkdir root; tar xf /dev/vdd -C root; }
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
$P/chattr +dA f10
cd ..
sync
echo unsynchronised >last
"""

CHANGE = r"""
set -e
cd /mnt
[ $BIG = 0 ] || { rm -r small/d1*; mv small/crowd small/d2; cp -a root again; rm -r root/usr; }
rm -r tree/lib; cp -a /lib tree/again; mv many moved; rm moved/*7; echo more >>sparse; truncate -s 3000 frag1
cat frag3 frag3 >frag4; mkdir made; mv hard made/; chmod 640 attrs/f1
/usr/sbin/setfattr -x user.number attrs/f2; /usr/sbin/setfattr -n user.other -v changed attrs/f11
/usr/sbin/setfacl -b attrs/f5; /usr/sbin/setfacl -m u:9:r attrs/f12
truncate -s 90 attrs/f13; truncate -s 9000 attrs/f14; truncate -s 1 attrs/f15
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=frag3 bs=1000 count=2 seek=$((i*17)) conv=notrunc 2>/dev/null; done
"""

# One line for each thing that must be the same; reading does not change times (noatime).
TREE = r"""
/bin/tree top=/mnt
[ $BIG = 0 ] || exit 0
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


def boot(args, linux, initrd, path, out, script):
    """Mounts the image, runs the script, and gives the listing of the tree that it leaves."""
    drives = []
    for number, file in enumerate((path, out, args.log, args.tar) if args.big else (path, out, args.log)):
        drives += ["-drive", f"file={file},format=raw,if=none,id=d{number},cache=writeback",
                   "-device", f"virtio-blk-pci,drive=d{number}"]
    kernel = debian.kernel() if linux else args.kernel
    append = APPEND + (tools.LINUX if linux else "")
    with Guest(kernel, initrd, append, memory=768, cpus=args.cpus, limit=args.limit, extra=drives) as guest:
        guest.expect("@READY@", args.limit)
        mount = f"mount -t {args.kind} -o {args.options} /dev/vda /mnt"
        guest.check(mount, args.step)
        if script:
            guest.check(f"{args.env} sh /{script}", args.step)
        # Through the disk: what is delayed has a place by then.
        guest.check(f"umount /mnt && {mount}", args.step)
        guest.check(f"({args.env} sh /tree.sh 2>&1; echo @END@) >/dev/vdb && sync", args.step)
        guest.check("umount /mnt && sync", args.step)
    with open(out, "rb") as f:
        text = f.read()
    end = text.find(b"@END@")
    if end < 0:
        raise GuestError("the listing has no end")
    images.check(path, args.log if args.external else None)
    # Directories are listed in any order.
    return sorted(text[:end].decode(errors="replace").splitlines())


def root_tree(path):
    """A tar of what Debian's packages hold, as it is in a root file system."""
    for package in tools.PACKAGES:
        subprocess.run(["tar", "-rf", path, "--owner=0", "--group=0", "-C", debian.unpack(package), "."], check=True)


def compare(one, other, what):
    """RuntimeError unless both listings are the same."""
    if one != other:
        differ = sorted(set(one) - set(other))[:4] + sorted(set(other) - set(one))[:4]
        raise RuntimeError(f"{what}: {len(one)} and {len(other)} lines, for example " + " | ".join(differ))


def row(args, name, first_linux, initrds, work):
    """One image: filled by one kernel, read and changed by the other, read again by the first."""
    kind, options, more = next(row[1:] for row in ROWS if row[0] == name)
    path, out, args.log = (os.path.join(work, file) for file in ("image", "out", "log"))
    args.big = name == "big"
    for file in (out, args.log):
        with open(file, "wb") as f:
            f.truncate((160 if args.big else 16) << 20)
    args.tar = os.path.join(work, "root.tar")
    if args.big and not os.path.exists(args.tar):
        root_tree(args.tar)
    args.kind, args.options = kind, ",".join(["noatime"] + more.split())
    extents = kind == "ext4" and "^extent" not in options
    last = 7_400_000 if extents and "-b" not in options else 400_000
    projects = "project" in options
    args.env = (f"FILES={args.files} LAST={last} EXTENTS={int(extents)} EA={int('ea_inode' in options)} PROJECTS={int(projects)} "
                f"QUOTAS={int(projects)} LSATTR={'-p' if projects else ''}")
    args.env += f" BIG={args.small_files if args.big else 0}"
    images.make(path, (2000 if args.big else 400) << 20, options.split())
    args.external = "journal_path" in more
    if args.external:
        images.external_log(path, args.log)
    who = {True: "Linux", False: "Rideau"}
    filled = boot(args, first_linux, initrds[first_linux], path, out, "fill.sh")
    seen = boot(args, not first_linux, initrds[not first_linux], path, out, None)
    compare(filled, seen, f"filled by {who[first_linux]}, read by {who[not first_linux]}")
    changed = boot(args, not first_linux, initrds[not first_linux], path, out, "change.sh")
    again = boot(args, first_linux, initrds[first_linux], path, out, None)
    compare(changed, again, f"changed by {who[not first_linux]}, read by {who[first_linux]}")
    return len(filled)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=400, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--files", type=int, default=1500, help="small files in one directory")
    parser.add_argument("--small-files", type=int, default=200_000, help="small files in the row `big`, which must be asked for")
    parser.add_argument("only", nargs="*", help="names of rows")
    args = parser.parse_args()
    args.kernel = args.kernel or programs.default_kernel()
    report = Report()
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
        for name, *_ in ROWS:
            if name not in args.only if args.only else name == "big":
                continue
            for first_linux in (True, False):
                title = f"{name}: filled by {'Linux' if first_linux else 'Rideau'}"
                try:
                    lines = row(args, name, first_linux, initrds, work)
                    report.ok(f"{title}: {lines} lines the same")
                except (GuestError, RuntimeError) as error:
                    report.fail(title, error)
    report.finish()


if __name__ == "__main__":
    main()
