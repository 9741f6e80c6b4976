#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The ABI that programs see: runs selftest (src/) as the first process of a kernel, once for each number of CPUs.

Each test is a result; --linux runs Debian's kernel, where all pass. A test that takes the machine down or stops it is one
failure: the machine is started again for the rest. The file `missing` names the tests of what is not there yet, with the
reason; one of them that passes is a failure, so that the list only shrinks. The tests of limits take long: they run when
they are named (`limits`).
"""

import argparse
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)

APPEND = "console=ttyS0 quiet loglevel=1 panic=-1"
LINE = re.compile(r"^(not )?ok (\d+) (\S+)(?: # SKIP (.*?))?\r?\n", re.M)
# A kernel that complains is wrong even if the test saw nothing.
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping).*$", re.M)
SILENCE = 130


def make_image(selftest, names, path):
    """An initramfs whose /init runs exactly the tests `names`."""
    cpio = Cpio()
    for name in ("dev", "proc", "sys", "etc", "root"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.file("init", src=selftest, mode=0o755)
    cpio.file("tests", "".join(f"={name}\n" for name in names))
    cpio.write(path)
    return path


def list_tests(selftest, only):
    """The names of the tests: those that start with one of `only`, or all but the long ones."""
    names = os.popen(f"{selftest} --list").read().split()
    return [n for n in names if (any(n.startswith(o) for o in only) if only else not n.startswith("limits."))]


def read_missing():
    """{test: reason} of what this kernel does not have yet."""
    with open(os.path.join(HERE, "missing"), encoding="utf-8") as f:
        lines = [line.strip().split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return {name: reason for name, reason in lines}


def boot(kernel, append, initrd, cpus, cpu, memory, limit, log, results):
    """One boot; adds {name: (verdict, text)} to results. Gives what ended it early, if so, and the test that ran then."""
    running = None
    with Guest(kernel, initrd, append, cpu=cpu, memory=memory, cpus=cpus, limit=limit, log=log) as g:
        try:
            while True:
                found = g.expect(r"^# (run (\S+)|end of tests)\r?\n", SILENCE)
                if not found.group(2):
                    return None, None
                running = found.group(2)
                end = g.expect(LINE, SILENCE)
                text = no_ansi(g.before).strip()
                verdict = "skipped" if end.group(4) else "failed" if end.group(1) else "passed"
                if COMPLAINT.search(text):
                    verdict = "failed"
                results[end.group(3)] = (verdict, end.group(4) or text)
                running = None
        except GuestError as why:
            return f"{why}", running


def run(kernel, append, selftest, names, missing, cpus, cpu, memory, limit, report):
    """All `names` on `cpus` CPUs, in as many boots as it takes."""
    build = programs.build_dir("selftests")
    left, results, boots = list(names), {}, 0
    while left and boots < 12:
        boots += 1
        log = os.path.join(build, f"guest-{cpus}-{boots}.log")
        initrd = make_image(selftest, left, os.path.join(build, f"initrd-{cpus}.cpio"))
        why, running = boot(kernel, append, initrd, cpus, cpu, memory, limit, log, results)
        if why and not running:
            results.setdefault(left[0], ("failed", "does not start: " + why))
        elif why:
            results[running] = ("failed", why)
        elif not any(n in results for n in left):
            break
        left = [n for n in left if n not in results]
    for name in names:
        verdict, text = results.get(name, ("failed", "did not run: too many restarts"))
        title = f"{name} ({cpus} CPU{'s' * (cpus > 1)})"
        if verdict != "skipped" and name in missing:
            if verdict == "passed":
                report.fail(title, "passes now: take it off the list `missing`")
            else:
                report.skip(title, missing[name])
        elif verdict == "passed":
            report.ok(title)
        elif verdict == "skipped":
            report.skip(title, text)
        else:
            report.fail(title, text)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kernel", help="the kernel (default: what make built)")
    p.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    p.add_argument("--cpus", default="1,2,4", help="numbers of CPUs, with commas")
    p.add_argument("--cpu", help="QEMU's -cpu, for what only some have: `max,pku=off`")
    p.add_argument("--memory", type=int, default=512)
    p.add_argument("--append", default="", help="more for the command line, as transparent_hugepage=always (with --memory 768)")
    p.add_argument("--limit", type=int, default=600, help="seconds for one boot")
    p.add_argument("--list", action="store_true", help="list the tests, and stop")
    p.add_argument("-q", "--quiet", action="store_true", help="print only what did not pass")
    p.add_argument("only", nargs="*", help="starts of test names")
    a = p.parse_args()
    selftest = os.path.join(programs.build("selftests"), "selftest")
    names = list_tests(selftest, a.only)
    if a.list:
        print("\n".join(names))
        return
    kernel = debian.kernel() if a.linux else a.kernel or programs.default_kernel()
    # On a busy host Linux's own check of the timer interrupt fails now and then.
    # Debian's kernel has a security module that lets anybody set attributes of the name space `security`.
    append = APPEND + " no_timer_check lsm=capability" * a.linux + f" {a.append}".rstrip()
    report = Report(quiet=a.quiet)
    for cpus in a.cpus.split(","):
        run(kernel, append, selftest, names, {} if a.linux else read_missing(), int(cpus), a.cpu, a.memory, a.limit,
            report)
    report.finish()


if __name__ == "__main__":
    main()
