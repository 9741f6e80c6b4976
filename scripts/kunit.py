#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make kunit [FILTER=suite.test]`: builds a kernel with its tests, boots it in QEMU, reads the KTAP.

The kernel has the configuration at hand plus kernel/configs/kunit.config and debug.config, below build/kunit.
Environment: KUNIT_SMP (CPUs, default 2), KUNIT_TIMEOUT (seconds, default 240), KUNIT_QUIET (seconds without a line, default 60), KUNIT_RAW=1 (print what the guest prints).
Exit status 0 if every test passed, and at least one ran.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time

import kconfig

STAMP = re.compile(r"^\[\s*\d+\.\d+\]\s?")
RESULT = re.compile(r"^(\s*)(ok|not ok) (\d+) ?-? ?(\S+)(?: # (\w+) ?(.*))?$")


def configure(objtree, fragments):
    """A configuration in `objtree`: the one at hand and `fragments`."""
    os.makedirs(objtree, exist_ok=True)
    if os.path.exists(kconfig.CONFIG):
        shutil.copy(kconfig.CONFIG, os.path.join(objtree, ".config"))
    make(objtree, "-s", "syncconfig", quiet=True)
    for name in fragments:
        make(objtree, name, quiet=True)


def make(objtree, *goals, quiet=False):
    """Runs make with its output in `objtree`."""
    env = {k: v for k, v in os.environ.items() if k not in ("objtree", "srctree", "KBUILD_OUTPUT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-C", kconfig.SRCTREE, f"O={objtree}", *goals], env=env,
                          stdout=subprocess.DEVNULL if quiet else None)
    if done.returncode != 0:
        sys.exit(done.returncode)


def boot(objtree, append, smp, seconds):
    """Runs the kernel; gives the lines of its console."""
    qemu = os.environ.get("QEMU") or "qemu-system-x86_64"
    line = [qemu, "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-smp", str(smp), "-display", "none",
            "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel", os.path.join(objtree, "vmlinux"), "-append", append]
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    end = time.monotonic() + seconds
    quiet = float(os.environ.get("KUNIT_QUIET", "60"))
    timer = None
    try:
        while True:
            # A guest that says nothing for a minute, or goes on for too long, is ended.
            timer = threading.Timer(max(0.0, min(quiet, end - time.monotonic())), process.kill)
            timer.start()
            text = process.stdout.readline()
            timer.cancel()
            if not text:
                return
            yield text.rstrip("\r\n")
    finally:
        timer.cancel()
        process.kill()
        process.wait()


class Parser:
    """Reads KTAP as the console has it: other lines between are legal."""

    def __init__(self, show):
        self.show = show
        self.started = self.ended = False
        self.plan = None
        self.suites = self.passed = self.failed = self.skipped = 0
        self.bad_suites = []
        self.notes = []

    def feed(self, text):
        """One line."""
        line = STAMP.sub("", text)
        if not self.started:
            self.started = line.strip() == "KTAP version 1"
            return
        plan = re.match(r"^1\.\.(\d+)$", line)
        if plan and self.plan is None:
            self.plan = int(plan.group(1))
        if line.startswith("# Totals:"):
            self.ended = True
        result = RESULT.match(line)
        if not result:
            if "ASSERTION FAILED" in line or self.notes:
                self.notes = (self.notes + [line.strip()])[:4]
            return
        indent, word, _, name, directive, reason = result.groups()
        if not indent:
            self.suites += 1
            if word != "ok":
                self.bad_suites.append(name)
            print(f"  {'ok      ' if word == 'ok' else 'FAILED  '}{name}", flush=True)
            return
        if directive == "SKIP":
            self.skipped += 1
            print(f"    skipped {name}: {reason}", flush=True)
        elif word == "ok":
            self.passed += 1
        else:
            self.failed += 1
            print(f"    FAILED  {name}", flush=True)
            for note in self.notes:
                print(f"            {note}", flush=True)
        self.notes = []


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FILTER", "")
    objtree = os.environ.get("KUNIT_OUTPUT") or os.path.join(kconfig.OBJTREE, "build/kunit")
    if not os.environ.get("KUNIT_NO_BUILD"):
        configure(objtree, ["kunit.config", "debug.config"])
        make(objtree, "vmlinux")
    append = "console=ttyS0 kunit.enable=1 kunit_shutdown=poweroff panic=-1" + (f" kunit.filter_glob={pattern}" if pattern else "")
    smp, seconds = os.environ.get("KUNIT_SMP", "2"), int(os.environ.get("KUNIT_TIMEOUT", "240"))
    raw = os.environ.get("KUNIT_RAW", "") not in ("", "0")
    parser, lines = Parser(raw), []
    for text in boot(objtree, append, smp, seconds):
        lines.append(text)
        if raw:
            print(text, flush=True)
        parser.feed(text)
    with open(os.path.join(objtree, "kunit.log"), "w") as f:
        f.write("\n".join(lines) + "\n")
    if not parser.ended or parser.plan != parser.suites:
        parser.failed += 1
        print(f"FAILED  the run did not end ({parser.suites} of {parser.plan} suites); the console's last lines:")
        print("\n".join("        " + line for line in lines[-15:]))
    print(f"{parser.passed} passed, {parser.failed} failed, {parser.skipped} skipped")
    sys.exit(0 if parser.failed == 0 and parser.passed else 1)


if __name__ == "__main__":
    main()
