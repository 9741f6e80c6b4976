# SPDX-License-Identifier: GPL-2.0
"""What the tests of file systems share: trees on the host and what a guest must show of them; guests of either kernel, with the
modules that Debian's needs."""

import hashlib
import os
import re
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "ext4"))
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402, F401

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function).*$", re.M)
BASE = ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "loop"]

# Lists a tree, one line a fact, sorted: to be compared with `manifest`.
LIST = r"""
cd "$1"
{
find . -type d -print0 | xargs -0 stat -c 'dir %n %f %u %g %h %Y'
find . ! -type d ! -type l -print0 | xargs -0 stat -c 'file %n %f %u %g %s %h %t:%T %Y'
find . -type l -print0 | xargs -0 stat -c 'link %N %f %u %g %s %h %Y'
find . -type f -print0 | xargs -0 md5sum
[ -z "$XATTRS" ] || getfattr -R -P -h -d -m - -e hex . 2>/dev/null | awk '/^# file:/ {f = $0; next} NF {print f, $0}'
} | sort
"""


def manifest(top, xattrs=True):
    """What LIST prints of a copy of `top`."""
    lines = []
    for here, dirs, names in os.walk(top):
        rel = os.path.relpath(here, top)
        s = os.lstat(here)
        shown = "." if rel == "." else f"./{rel}"
        below = sum(not os.path.islink(os.path.join(here, name)) for name in dirs)
        lines.append(f"dir {shown} {s.st_mode:x} {s.st_uid} {s.st_gid} {2 + below} {int(s.st_mtime)}")
        lines += attributes(here, shown) if xattrs else []
        for name in names + [name for name in dirs if os.path.islink(os.path.join(here, name))]:
            full, shown = os.path.join(here, name), f"./{os.path.relpath(os.path.join(here, name), top)}"
            s = os.lstat(full)
            ids = f"{s.st_mode:x} {s.st_uid} {s.st_gid} {s.st_size} {s.st_nlink}"
            if stat.S_ISLNK(s.st_mode):
                lines.append(f"link '{shown}' -> '{os.readlink(full)}' {ids} {int(s.st_mtime)}")
                continue
            lines.append(f"file {shown} {ids} {os.major(s.st_rdev):x}:{os.minor(s.st_rdev):x} {int(s.st_mtime)}")
            lines += attributes(full, shown) if xattrs else []
            if stat.S_ISREG(s.st_mode):
                with open(full, "rb") as f:
                    lines.append(f"{hashlib.md5(f.read()).hexdigest()}  {shown}")
    return sorted(lines)


def attributes(full, shown):
    """The extended attributes of a file as LIST shows them."""
    names = [name for name in os.listxattr(full, follow_symlinks=False) if not name.startswith("security.selinux")]
    shown = shown if shown == "." else shown[2:]
    return [f"# file: {shown} {name}=0x{os.getxattr(full, name, follow_symlinks=False).hex()}" for name in names]


def modules(names):
    """Paths of Debian's modules `names` and of what they need, in the order in which they can be loaded."""
    top = os.path.dirname(os.path.dirname(debian.kernel()))
    found = {}
    for place, _, files in os.walk(top):
        found.update({name[:-3].replace("-", "_"): os.path.join(place, name) for name in files if name.endswith(".ko")})
    out = []

    def need(name):
        path = found.get(name.replace("-", "_"))
        if path is None or path in out:     # not there: it is part of the kernel
            return
        with open(path, "rb") as f:
            depends = re.search(rb"\0depends=([^\0]*)\0", f.read())
        for other in filter(None, depends.group(1).decode().split(",") if depends else ()):
            need(other)
        out.append(path)

    for name in names:
        need(name)
    return out


def base(linux=False, drivers=(), utilities=()):
    """An initramfs with `utilities` of Debian in /usr/sbin and LIST in /list.sh; `drivers`: modules of Debian's kernel that the test
    needs beside those for disks."""
    init = image.AGENT
    paths = modules(BASE + list(drivers)) if linux else []
    load = "".join(f"insmod /modules/{os.path.basename(path)}\n" for path in paths)
    cpio = image.base(init.replace("echo @READY@", f"{load}sleep {int(linux)}\necho @READY@"))
    cpio.dir("modules")
    for path in paths:
        cpio.file(f"modules/{os.path.basename(path)}", src=path)
    if utilities:
        tools.add(cpio, utilities)
    cpio.file("list.sh", LIST, mode=0o755)
    return cpio


def machine(args, initrd, disks=(), memory=768, extra=()):
    """A guest with `disks` as /dev/vda and on."""
    drives = []
    for number, path in enumerate(disks):
        drives += ["-drive", f"file={path},format=raw,if=none,id=d{number},cache=writeback",
                   "-device", f"virtio-blk-pci,drive=d{number}"]
    kernel = debian.kernel() if args.linux else args.kernel
    append = APPEND + (tools.LINUX if args.linux else "")
    return Guest(kernel, initrd, append, memory=memory, cpus=args.cpus, limit=args.limit, extra=drives + list(extra))


def arguments(parser):
    """Adds the options that all tests here have."""
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=300, help="seconds for one machine")
    parser.add_argument("--step", type=int, default=60, help="seconds for one command")
    parser.add_argument("--cpus", type=int, default=2)
    return parser


def parse(parser):
    """The arguments, with the kernel filled in."""
    args = parser.parse_args()
    args.kernel = args.kernel or programs.default_kernel()
    return args


def same(guest, args, where, expected):
    """The tree at `where` is as the file `expected` of the guest says. GuestError with the first differences."""
    status, text = guest.run(f"sh /list.sh {where} >/tmp/seen; diff {expected} /tmp/seen >/tmp/diff || {{ head -12 /tmp/diff; false; }}", args.step)
    if status:
        raise GuestError(f"another tree: {text.strip()}")


def quiet(guest):
    """GuestError if the kernel complained."""
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")
