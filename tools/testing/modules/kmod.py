#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debian's kmod drives the loader: `make modules_install` and `depmod` on the host, modprobe, modinfo, lsmod, insmod and rmmod in a
guest. Modules that depend on each other; options, aliases and blacklists; loading against unloading on several CPUs; files with
random bits flipped.

The modules are samples/rust, built as m (samples.config).
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, need, programs  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
CONF = "options rust_minimal test_parameter=42\nalias shared-alias rust_shared\nblacklist rust_print\nalias quiet-print rust_print\n"


TOOLS = ("modprobe", "modinfo", "lsmod", "insmod", "rmmod", "depmod")


def install(work, top):
    """`make modules_install` into a directory; the release."""
    done = programs.make(f"O={top}", f"INSTALL_MOD_PATH={work}", "INSTALL_MOD_STRIP=1", "modules_install")
    if done.returncode:
        raise SystemExit(done.stdout)
    release = os.listdir(os.path.join(work, "lib/modules"))[0]
    if not os.path.exists(os.path.join(work, "lib/modules", release, "modules.dep")):
        # The host has no kmod: the package's, as it is unpacked for the guest.
        program, env = program_of_kmod()
        depmod = os.path.join(work, "depmod")
        os.symlink(program, depmod)
        subprocess.run([depmod, "-b", work, release], env=env, check=True)
        os.remove(depmod)
    return release


def program_of_kmod():
    """Debian's kmod, unpacked, and the environment in which its library is found."""
    directory = debian.unpack("kmod")
    program = next(p for p in (os.path.join(directory, d, "kmod") for d in ("bin", "usr/bin")) if os.path.exists(p))
    libraries = os.path.dirname(next(os.path.join(d, n) for d, _, names in os.walk(debian.unpack("libkmod2")) for n in names
                                     if n.startswith("libkmod.so.2")))
    return program, dict(os.environ, LD_LIBRARY_PATH=libraries)


def kmod(cpio):
    """Debian's kmod with its libraries."""
    program, env = program_of_kmod()
    cpio.dir("kmod")
    cpio.file("kmod/kmod", src=program, mode=0o755)
    for name, path in debian.libraries(program, env):
        parts = name.strip("/").split("/")
        for i in range(1, len(parts)):
            cpio.dir("/".join(parts[:i]))
        cpio.file(name.strip("/"), src=path, mode=0o755)
    for tool in TOOLS:
        cpio.slink(f"kmod/{tool}", "kmod")


def dependencies(guest, _):
    """modprobe loads what a module needs first, and removes what nothing needs any more."""
    guest.check("dmesg -c >/dev/null; modprobe rust_shared_user")
    need(guest.check("lsmod"), r"^rust_shared_user +\d+ +0 *$", r"^rust_shared +\d+ +1 rust_shared_user$")
    need(guest.check("cat /proc/modules"), r"^rust_shared_user \d+ 0 - Live", r"^rust_shared \d+ 1 rust_shared_user, Live")
    need(guest.check("ls /sys/module/rust_shared/holders"), r"^rust_shared_user$")
    need(guest.check("dmesg -c"), r"rust_shared: ready", r"rust_shared_user: the count is 1")
    need(guest.run("rmmod rust_shared 2>&1")[1], r"is in use by: rust_shared_user")
    guest.check("modprobe -r rust_shared_user")
    if guest.check("cat /proc/modules").strip():
        raise GuestError("modprobe -r left " + guest.check("cat /proc/modules"))
    need(guest.check("dmesg -c"), r"rust_shared: counted to 1")


def configuration(guest, _):
    """What /etc/modprobe.d says: options, aliases, blacklists."""
    guest.check("dmesg -c >/dev/null; modprobe rust_minimal; modprobe -r rust_minimal")
    need(guest.check("dmesg -c"), r"test_parameter: 42")
    # A Rust module's parameter is set once, as in Linux: the options' value and one more are refused.
    # (EEXIST, which modprobe takes for a module that is there.)
    guest.run("modprobe rust_minimal test_parameter=7")
    need(guest.check("dmesg -c"), r"`7' invalid for parameter")
    if "rust_minimal" in guest.check("lsmod"):
        raise GuestError("a value that is not the first was taken")
    guest.check("modprobe shared-alias")
    need(guest.check("lsmod"), r"^rust_shared ")
    guest.check("modprobe -r rust_shared; modprobe -b quiet-print")
    if "rust_print" in guest.check("lsmod"):
        raise GuestError("a module that is on the blacklist was loaded by an alias")
    need(guest.run("modprobe nothing_of_this_name 2>&1")[1], r"not found")


def information(guest, release):
    """modinfo reads what the build wrote."""
    text = guest.check("modinfo rust_minimal")
    need(text, rf"^filename: +/lib/modules/{re.escape(release)}/kernel/samples/rust/rust_minimal/rust_minimal.ko$")
    for pattern in (r"^license: +GPL", r"^description: +\S", r"^author: +\S", r"^name: +rust_minimal$", rf"^vermagic: +{re.escape(release)} ",
                    r"^parm: +test_parameter:.*\(i64\)", r"^intree: +Y$"):
        need(text, pattern)
    need(guest.check("modinfo -F depends rust_shared_user"), r"^rust_shared$")
    # The notes of the running module: which build it is.
    guest.check("modprobe rust_minimal")
    note = guest.check("od -An -c /sys/module/rust_minimal/notes/.note.gnu.build-id && stat -c %s /sys/module/rust_minimal/notes/.note.gnu.build-id")
    need(note, r"G +N +U", r"^36$")
    guest.check("modprobe -r rust_minimal")
    guest.check("depmod")
    need(guest.check(f"cat /lib/modules/{release}/modules.dep"), r"rust_shared_user.ko: kernel/samples/rust/rust_shared/rust_shared.ko")


def built_in(guest, _):
    """What is in the image: modprobe has nothing to do, modinfo knows it, its parameters are shown."""
    guest.check("modprobe virtio_blk && modprobe virtio:d00000002v00001AF4")
    need(guest.check("modinfo virtio_blk"), r"^filename: +\(builtin\)$", r"^description: +Virtio block driver$", r"^license: +GPL$",
         r"^parm: +queue_depth:.*\(u32\)$")
    need(guest.run("modprobe -r virtio_blk 2>&1")[1], r"is builtin")
    need(guest.check("cat /sys/module/virtio_blk/parameters/queue_depth && ls -1 /sys/module/virtio_blk"), r"^0$", r"^parameters$", r"^uevent$")
    guest.check("[ ! -e /sys/module/virtio_blk/initstate ] && [ ! -e /sys/module/kyber_iosched ] && ! grep virtio_blk /proc/modules")


def races(guest, seconds):
    """Loading and unloading of the same modules on all CPUs at once: nothing hangs, nothing is left, nothing is said."""
    guest.check("dmesg -c >/dev/null")
    loop = ("end=$(($(date +%s)+{0})); while [ $(date +%s) -lt $end ]; do modprobe rust_shared_user 2>/dev/null; "
            "rmmod rust_shared_user 2>/dev/null; rmmod rust_shared 2>/dev/null; done")
    guest.check(" ".join(f"({loop.format(seconds)}) &" for _ in range(4)) + " wait; echo done", seconds + 120)
    guest.run("rmmod rust_shared_user rust_shared 2>/dev/null")
    if guest.check("cat /proc/modules").strip():
        raise GuestError(guest.check("cat /proc/modules"))
    bad = [line for line in guest.check("dmesg").splitlines() if re.search(r"BUG|WARNING|Oops|circular|recursive", line)]
    if bad:
        raise GuestError("\n".join(bad))


def flipped(guest, number):
    """Files with bits flipped: each is refused, or loads and can be unloaded; the kernel lives on."""
    out = guest.check("n=0; l=0; for f in /flip/*.ko; do if insmod $f 2>/dev/null; then l=$((l+1)); rmmod rust_shared 2>/dev/null; fi; "
                      "n=$((n+1)); done; echo $n files, $l loaded", 600)
    need(out, rf"{number} files")
    if re.search(r"BUG|Oops|general protection", guest.check("dmesg")):
        raise GuestError(guest.check("dmesg | tail -40"))


def parameters(guest, _):
    """Parameters of each kind as modprobe gives them, and as modinfo and sysfs show them."""
    guest.check("dmesg -c >/dev/null; modprobe rust_params level=0x10 offset=-9 verbose word=two-words secret=8")
    need(guest.check("dmesg -c"), r"rust_params: level 16, offset -9, verbose true$", r"rust_params: word 'two-words', secret 8$")
    shown = guest.check("cd /sys/module/rust_params/parameters && ls | tr '\\n' ' ' && cat level offset verbose word; cd /")
    if shown.split() != "level offset verbose word 16 -9 Y two-words".split():
        raise GuestError(f"sysfs: {shown}")
    guest.check("modprobe -r rust_params")
    for value, words in (("level=256", "out of range|Numerical result"), ("secret=-1", "out of range|Numerical result"),
                         ("verbose=maybe", "nvalid"), ("word=$(head -c 1025 /dev/zero | tr '\\0' x)", "[Nn]o space")):
        status, text = guest.run(f"modprobe rust_params {value} 2>&1")
        if status == 0 or not re.search(words, text):
            raise GuestError(f"{value}: status {status}, {text}")
    guest.check("modprobe rust_params word=$(head -c 1024 /dev/zero | tr '\\0' x) && modprobe -r rust_params")
    need(guest.check("modinfo rust_params"), r"^parm: +word:A text of 1024 bytes at most \(charp\)$", r"^parm: +level:.*\(u8\)$")


def timer(guest, _):
    """A timer's callback runs five times, ten milliseconds apart."""
    guest.check("dmesg -c >/dev/null; modprobe rust_timer; modprobe -r rust_timer")
    need(guest.check("dmesg -c"), r"rust_timer: 5 ticks in (4[0-9]|[5-9][0-9]|[1-9][0-9][0-9]) ms")


def mailbox(guest, _):
    """The sample device: messages, waiting, poll, ioctl, debugfs; in use it cannot be unloaded."""
    guest.check("modprobe rust_mailbox; mount -t debugfs none /sys/kernel/debug 2>/dev/null; true")
    guest.check("(sleep 1; echo later >/dev/rust-mailbox) & head -n 1 /dev/rust-mailbox >/tmp/got; wait; grep -q later /tmp/got")
    # Where somebody sleeps in a module's code has a name, too.
    guest.check("dd if=/dev/rust-mailbox of=/dev/null 2>/dev/null & reader=$!; sleep 1")
    need(guest.check("cat /proc/$reader/stack"), r"^\[<0>\] \S+\+0x[0-9a-f]+/0x[0-9a-f]+ \[rust_mailbox\]\s*$")
    need(guest.check("cat /proc/$reader/wchan; echo"), r"^[^0\s]\S+$")
    guest.check("kill $reader; wait $reader; true")
    guest.check("echo one >/dev/rust-mailbox; echo two >/dev/rust-mailbox")
    need(guest.check("cat /sys/kernel/debug/rust_mailbox/written /sys/kernel/debug/rust_mailbox/read"), r"^3$", r"^1$")
    need(guest.check("dd if=/dev/rust-mailbox bs=100 count=2 2>/dev/null"), r"^one$", r"^two$")
    guest.check("exec 9</dev/rust-mailbox")
    need(guest.run("rmmod rust_mailbox 2>&1")[1], r"in use")
    guest.check("exec 9<&-; exec 8</sys/kernel/debug/rust_mailbox/read; modprobe -r rust_mailbox")
    if guest.run("cat <&8")[0] == 0:
        raise GuestError("a file of a module that is gone could be read")
    guest.check("exec 8<&-; umount /sys/kernel/debug")


def requests(guest, _):
    """What the kernel asks for: file systems and devices by their aliases, through the program that /proc/sys/kernel/modprobe names."""
    need(guest.check("cat /proc/sys/kernel/modprobe"), r"^/sbin/modprobe$")
    guest.check("printf '#!/bin/sh\\necho \"$@\" >>/tmp/asked\\n' >/tmp/probe; chmod +x /tmp/probe; echo /tmp/probe >/proc/sys/kernel/modprobe")
    guest.run("mount -t nosuchfs none /mnt 2>&1; mknod /tmp/dev c 240 7; cat /tmp/dev; mknod /tmp/misc c 10 77; cat /tmp/misc; mknod /tmp/disk b 240 7; cat /tmp/disk")
    need(guest.check("cat /tmp/asked"), r"^-q -- fs-nosuchfs$", r"^-q -- char-major-240-7$", r"^-q -- char-major-10-77$",
         r"^-q -- block-major-240-7$", r"^-q -- block-major-240$")
    guest.check("echo /kmod/modprobe >/proc/sys/kernel/modprobe; echo 'alias fs-wanted rust_shared' >>/etc/modprobe.d/test.conf")
    need(guest.run("mount -t wanted none /mnt 2>&1")[1], r"No such device")
    need(guest.check("lsmod"), r"^rust_shared ")
    guest.check("modprobe -r rust_shared; ps | grep -c '[k]module' || true")


def header_places(good):
    """Offsets of what the loader itself reads: the ELF header and the tables of names and versions. (Code, data and relocations
    with a bit flipped are another program, which without a signature may run.)"""
    import struct
    shoff, shentsize, shnum, shstrndx = (struct.unpack_from("<Q", good, 40)[0], *struct.unpack_from("<HHH", good, 58))
    sections = [struct.unpack_from("<IIQQQQ", good, shoff + i * shentsize) for i in range(shnum)]
    names = sections[shstrndx][4]
    places = list(range(64)) * 4
    for name, _, _, _, offset, size in sections:
        end = good.index(b"\0", names + name)
        if good[names + name:end] in (b".modinfo", b"__version_ext_crcs", b"__version_ext_names"):
            places += range(offset, offset + size)
    return places


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=15, help="of loading against unloading")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="kmod-") as work:
        release = install(work, os.path.abspath(top))
        cpio, initrd = image.base(), os.path.join(work, "initrd")
        base = os.path.join(work, "lib/modules", release)
        for place, _, names in os.walk(os.path.join(work, "lib")):
            cpio.dir(os.path.relpath(place, work))
            for name in names:
                cpio.file(os.path.relpath(os.path.join(place, name), work), src=os.path.join(place, name), mode=0o644)
        kmod(cpio)
        cpio.dir("etc/modprobe.d")
        conf = os.path.join(work, "conf")
        with open(conf, "w") as f:
            f.write(CONF)
        cpio.file("etc/modprobe.d/test.conf", src=conf, mode=0o644)
        chance = random.Random(args.seed)
        with open(os.path.join(base, "kernel/samples/rust/rust_shared/rust_shared.ko"), "rb") as f:
            good = f.read()
        places = header_places(good)
        cpio.dir("flip")
        for n in range(args.flips):
            data = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                data[chance.choice(places)] ^= 1 << chance.randrange(8)
            path = os.path.join(work, f"flip{n}")
            with open(path, "wb") as f:
                f.write(data)
            cpio.file(f"flip/{n}.ko", src=path, mode=0o644)
        cpio.write(initrd)
        with Guest(os.path.join(top, "vmlinux"), initrd, APPEND, cpus=args.cpus, limit=900, log=args.log) as guest:
            guest.expect("@READY@", 60)
            # busybox's shell has applets of these names, which it takes whatever PATH says.
            guest.check("; ".join(f'{tool}() {{ /kmod/{tool} "$@"; }}' for tool in TOOLS))
            for test, value in ((dependencies, None), (configuration, None), (information, release), (built_in, None), (parameters, None),
                                (timer, None), (mailbox, None), (requests, None),
                                (races, args.seconds), (flipped, args.flips)):
                with report.attempt(test.__name__):
                    test(guest, value)
    report.finish()


if __name__ == "__main__":
    main()
