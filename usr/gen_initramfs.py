#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes initramfs archives: cpio "newc" (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).

As a program it reads list files in the language of Linux's usr/gen_init_cpio:

    dir NAME MODE UID GID
    file NAME LOCATION MODE UID GID
    slink NAME TARGET MODE UID GID
    nod NAME MODE UID GID TYPE MAJOR MINOR
    pipe NAME MODE UID GID
    sock NAME MODE UID GID
    tree NAME LOCATION              (ours: a whole host directory, owned by root)

As a module, `Cpio` is what usr/ and every test under tools/testing use. Archives are reproducible: times are
zero, inode numbers count up, and entries come in the order they were added.
"""

import argparse
import gzip
import os
import shutil
import stat
import subprocess
import sys

MAGIC = b"070701"


class Cpio:
    """An archive under construction. Parents of an added path appear by themselves (0755, root)."""

    def __init__(self):
        self._out = bytearray()
        self._ino = 0
        self._seen = set()

    def _emit(self, name, mode, data=b"", uid=0, gid=0, rdev=(0, 0), nlink=1):
        if name != "TRAILER!!!":
            self._ino += 1
        raw = name.encode() + b"\0"
        fields = (self._ino if name != "TRAILER!!!" else 0, mode, uid, gid, nlink, 0, len(data),
                  0, 0, rdev[0], rdev[1], len(raw), 0)
        self._out += MAGIC + b"".join(b"%08X" % f for f in fields) + raw
        self._pad()
        self._out += data
        self._pad()

    def _pad(self):
        self._out += b"\0" * (-len(self._out) % 4)

    def _entry(self, path, mode, **kw):
        path = path.strip("/")
        if not path or path in self._seen:
            return
        parent = os.path.dirname(path)
        if parent and parent not in self._seen:
            self.dir(parent)
        self._seen.add(path)
        self._emit(path, mode, **kw)

    def dir(self, path, mode=0o755, uid=0, gid=0):
        """Adds a directory."""
        self._entry(path, stat.S_IFDIR | mode, uid=uid, gid=gid, nlink=2)

    def file(self, path, data=None, src=None, mode=0o644, uid=0, gid=0):
        """Adds a regular file from `data` (bytes or str) or from the host file `src`."""
        if data is None:
            with open(src, "rb") as f:
                data = f.read()
        if isinstance(data, str):
            data = data.encode()
        self._entry(path, stat.S_IFREG | mode, data=data, uid=uid, gid=gid)

    def slink(self, path, target, mode=0o777, uid=0, gid=0):
        """Adds a symbolic link."""
        self._entry(path, stat.S_IFLNK | mode, data=target.encode(), uid=uid, gid=gid)

    def node(self, path, kind, major, minor, mode=0o600, uid=0, gid=0):
        """Adds a device: `kind` is "c" or "b"."""
        fmt = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}[kind]
        self._entry(path, fmt | mode, rdev=(major, minor), uid=uid, gid=gid)

    def fifo(self, path, mode=0o644, uid=0, gid=0):
        """Adds a named pipe."""
        self._entry(path, stat.S_IFIFO | mode, uid=uid, gid=gid)

    def sock(self, path, mode=0o644, uid=0, gid=0):
        """Adds a socket node."""
        self._entry(path, stat.S_IFSOCK | mode, uid=uid, gid=gid)

    def tree(self, path, src):
        """Adds the host directory `src` (files, directories, symbolic links), owned by root."""
        for top, dirs, files in os.walk(src):
            dirs.sort()
            rel = os.path.normpath(os.path.join(path, os.path.relpath(top, src)))
            if rel not in (".", "/"):
                self.dir(rel, stat.S_IMODE(os.lstat(top).st_mode))
            for name in sorted(files + [d for d in dirs if os.path.islink(os.path.join(top, d))]):
                full, to = os.path.join(top, name), os.path.join(rel, name)
                st = os.lstat(full)
                if stat.S_ISLNK(st.st_mode):
                    self.slink(to, os.readlink(full))
                elif stat.S_ISREG(st.st_mode):
                    self.file(to, src=full, mode=stat.S_IMODE(st.st_mode))

    def has(self, path):
        """True if `path` is in the archive already."""
        return path.strip("/") in self._seen

    def bytes(self):
        """The finished archive, padded to 512 as cpio(1) does."""
        done = Cpio()
        done._out = bytearray(self._out)
        done._emit("TRAILER!!!", 0)
        done._out += b"\0" * (-len(done._out) % 512)
        return bytes(done._out)

    def write(self, path, how="none"):
        """Writes the archive to `path`, compressed by `how` (see `compress`)."""
        tmp = path + ".tmp"
        with open(tmp, "wb") as f:
            f.write(compress(self.bytes(), how))
        os.replace(tmp, path)


def compress(data, how):
    """Compresses `data` by "none", "gzip" or "zstd"."""
    if how == "none":
        return data
    if how == "gzip":
        return gzip.compress(data, 9, mtime=0)
    if how == "zstd":
        if not shutil.which("zstd"):
            raise SystemExit("gen_initramfs: zstd is not installed (apt-get install zstd)")
        return subprocess.run(["zstd", "-19", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    raise ValueError(f"unknown compression {how!r}")


def _line(cpio, words, base):
    kind, name, rest = words[0], words[1], words[2:]

    def ids(at):
        return {"mode": int(rest[at], 8), "uid": int(rest[at + 1]), "gid": int(rest[at + 2])}

    def host(path):
        return os.path.join(base, os.path.expandvars(path))

    if kind == "dir":
        cpio.dir(name, **ids(0))
    elif kind == "file":
        cpio.file(name, src=host(rest[0]), **ids(1))
    elif kind == "slink":
        cpio.slink(name, rest[0], **ids(1))
    elif kind == "nod":
        cpio.node(name, rest[3], int(rest[4]), int(rest[5]), **ids(0))
    elif kind == "pipe":
        cpio.fifo(name, **ids(0))
    elif kind == "sock":
        cpio.sock(name, **ids(0))
    elif kind == "tree":
        cpio.tree(name, host(rest[0]))
    else:
        raise ValueError(f"unknown word {kind!r}")


def read_list(cpio, path):
    """Adds what the list file `path` names; host paths are relative to the list and may hold $VARIABLES."""
    with open(path) as f:
        for number, text in enumerate(f, 1):
            words = text.split("#", 1)[0].split()
            if not words:
                continue
            try:
                _line(cpio, words, os.path.dirname(os.path.abspath(path)))
            except (IndexError, ValueError, KeyError) as why:
                raise SystemExit(f"{path}:{number}: {why}: {text.strip()}")


def main():
    p = argparse.ArgumentParser(description="make an initramfs from list files")
    p.add_argument("-o", "--output", required=True)
    p.add_argument("-c", "--compress", default="none", choices=["none", "gzip", "zstd"])
    p.add_argument("lists", nargs="+")
    a = p.parse_args()
    cpio = Cpio()
    for path in a.lists:
        read_list(cpio, path)
    cpio.write(a.output, a.compress)


if __name__ == "__main__":
    sys.exit(main())
