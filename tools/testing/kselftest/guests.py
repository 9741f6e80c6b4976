# SPDX-License-Identifier: GPL-2.0
"""The guest that runs the tests: its initramfs, and one program after another in as many boots as it takes."""

import glob
import os
import re
import shlex

from guest import Guest, GuestError, debian, image
from guest.qemu import no_ansi

from . import source
from .programs import AS_USER

# no_timer_check: else Linux panics where a busy host keeps its timer late.
APPEND = "console=ttyS0 quiet loglevel=1 panic=-1 no_timer_check"
# In the kernel's log; a program may print such words itself.
COMPLAINTS = "Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function"
# Programs that scripts call by their full names or with options that busybox lacks.
PACKAGES = {"bash": ["bin/bash"], "python3.11-minimal": ["usr/bin/python3.11"], "util-linux": ["usr/bin/unshare"],
            "coreutils": ["bin/true", "usr/bin/timeout", "usr/bin/env", "usr/bin/stdbuf"], "libc-bin": ["usr/bin/getconf"]}
PYTHON = "libpython3.11-minimal"
# Starts a program as a user.
USER = "/usr/bin/python3 -c 'import os, sys; os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])' "


def _libraries(path, env):
    """The shared libraries of a dynamic program: (name in the guest, host path)."""
    try:
        return debian.libraries(path, env)
    except Exception:               # a script, a static program, an ELF file made to be wrong
        return []


def make_image(installed, collections, path):
    """An initramfs with the tests of `collections`, what they need, and the agent as /init."""
    cpio = image.base(without=("true",))
    env = dict(os.environ, LD_LIBRARY_PATH=":".join(source.library_path()))
    cpio.dir("ks")
    needed = {}
    for collection in ["kselftest", *collections]:
        top = os.path.join(installed, collection)
        cpio.tree("ks/" + collection, top)
        for base, _, names in os.walk(top):
            for name in names:
                full = os.path.join(base, name)
                if not os.path.islink(full) and open(full, "rb").read(4) == b"\x7fELF":
                    needed.update(_libraries(full, env))
    for package, programs in PACKAGES.items():
        for program in programs:
            full = os.path.join(source.unpack(package), program)
            cpio.file(program, src=full, mode=0o755)
            needed.update(_libraries(full, env))
    # Loaded by pthread_exit when it is first called; no program names it.
    needed["/lib/x86_64-linux-gnu/libgcc_s.so.1"] = "/lib/x86_64-linux-gnu/libgcc_s.so.1"
    cpio.slink("usr/bin/python3", "python3.11")
    for directory in glob.glob(os.path.join(source.unpack(PYTHON), "usr/lib/python3.11")):
        cpio.dir("usr/lib")
        cpio.tree("usr/lib/python3.11", directory)
    for name, full in sorted(needed.items()):
        # A library of an unpacked package is found in the guest where an installed one would be.
        name = name if not name.startswith(source.top()) else "/usr/lib/x86_64-linux-gnu/" + os.path.basename(name)
        at = name.lstrip("/")
        parts = at.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            if not cpio.has("/".join(parts[:depth])):
                cpio.dir("/".join(parts[:depth]))
        cpio.file(at, src=full, mode=0o755)
    cpio.write(path)
    return path


class Runner:
    """Runs programs in a guest that is started again when a program takes it down."""

    def __init__(self, kernel, initrd, cpus, memory, logs):
        self.kernel, self.initrd, self.cpus, self.memory, self.logs = kernel, initrd, cpus, memory, logs
        self.guest, self.boots = None, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the guest."""
        if self.guest:
            self.guest.kill()
        self.guest = None

    def _start(self):
        self.boots += 1
        log = os.path.join(self.logs, f"guest-{self.boots}.log")
        self.guest = Guest(self.kernel, self.initrd, APPEND, memory=self.memory, cpus=self.cpus, limit=7200, log=log)
        self.guest.expect(r"@READY@", 120)
        self.guest.check("mkdir -p /dev/shm; mount -t tmpfs shm /dev/shm; ln -sf /proc/self/fd/1 /dev/stdout; ulimit -c 0")

    def run(self, collection, argv, limit):
        """Runs a program in its collection's directory: (what it printed, its exit status or a word)."""
        if not self.guest:
            self._start()
        words = " ".join(shlex.quote(w) for w in argv)
        user = USER if f"{collection}/{argv[0]}" in AS_USER else ""
        # Standard input is a pipe that never says anything, as in Linux's own runner it is not a terminal.
        line = (f"cd /ks/{collection}; /usr/bin/timeout -k 5 {limit} {user}./{words} </dev/null >/tmp/.out 2>&1; "
                "echo $? >/tmp/.rc; cd /; head -c 400000 /tmp/.out; echo; dmesg -c "
                f"| grep -E '{COMPLAINTS}' | sed 's/^/@KERNEL@/'; echo @RC@$(cat /tmp/.rc)@; rm -rf /tmp/.out")
        try:
            _, text = self.guest.run(line, limit + 40)
        except GuestError as why:
            text = no_ansi(self.guest.text[self.guest.mark:])
            self.stop()
            return f"{text}\n{why}", "guest-lost"
        found = re.search(r"@RC@(\d+)@", text)
        status = int(found.group(1)) if found else "no-status"
        if re.search(r"^@KERNEL@", text, re.M):
            return text, "complaint"
        return text, {124: "timeout", 137: "timeout", 143: "timeout"}.get(status, status)
