#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make check`: runs every test, prints what failed, and ends with `N passed, N failed, N skipped`.

First what needs no kernel, then the builds, then tests in QEMU: the kernel's own (KUnit), and those that
tools/testing/check.list names. One step after another: builds keep both processors of a small machine busy, and tests of the
kernel measure time. A step prints its counts in that same form (or cargo test's); one that does not is one test. Whole output:
build/check/logs. `--full` adds the long tests; further words select steps by part of their name.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import kconfig
import kunit

SRCTREE, OBJTREE = kconfig.SRCTREE, os.path.abspath(kconfig.OBJTREE)
CHECK = os.path.join(OBJTREE, "build/check")
DEBUG, RELEASE = os.path.join(CHECK, "debug"), os.path.join(CHECK, "release")
LIST = os.path.join(SRCTREE, "tools/testing/check.list")
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)
WORTH_SHOWING = re.compile(r"^\s*(FAILED|error|\*\*\*|test .* FAILED|thread '.*panicked)")


class Step:
    """A command with a name, a time limit, and the kernel it is about (a directory of build output)."""

    def __init__(self, name, command, seconds, objtree=None, **env):
        self.name, self.command, self.seconds, self.objtree, self.env = name, command, seconds, objtree, env


def script(name, *arguments):
    """A command that runs one of our scripts."""
    return [sys.executable, os.path.join(SRCTREE, "scripts", name), *arguments]


def guest_steps(full):
    """The steps of tools/testing/check.list: `short|full debug|release SECONDS COMMAND...` a line."""
    if not os.path.exists(LIST):
        return
    with open(LIST) as f:
        for number, text in enumerate(f, 1):
            words = shlex.split(text, comments=True)
            if not words:
                continue
            try:
                when, kind, seconds, program, *arguments = words
                objtree = {"debug": DEBUG, "release": RELEASE}[kind]
                known = {"short": True, "full": full}[when]
            except (KeyError, ValueError):
                sys.exit(f"{LIST}:{number}: not `short|full debug|release SECONDS COMMAND...`")
            if known:
                path = os.path.join(SRCTREE, "tools/testing", program)
                name = " ".join([program, *arguments])
                yield Step(f"guest: {name}", [sys.executable, path, *arguments], int(seconds), objtree)


def host_steps():
    """The steps that need no kernel."""
    yield Step("levels and unsafe code", script("check-levels"), 60)
    yield Step("rustfmt", script("rustfmt.py", "rustfmtcheck"), 60)
    yield Step("options have help", script("kconfig.py", "check"), 30)
    yield Step("host tests", script("build.py", "test", "-q"), 1500)
    yield Step("host tests of unsafe code, checked", script("build.py", "sanitize"), 900)


def build_steps():
    """The kernels under test."""
    for objtree, fragments in ((DEBUG, ["kunit.config", "debug.config", "samples.config"]), (RELEASE, [])):
        kind = os.path.basename(objtree)
        yield Step(f"build: {kind}", [sys.executable, __file__, "--build", objtree, *fragments], 900)


def kernel_steps(full):
    """The steps that boot one of them."""
    for smp in ("1", "2", "4"):
        yield Step(f"kunit, {smp} CPUs", script("kunit.py"), 300, DEBUG, KUNIT_NO_BUILD="1", KUNIT_OUTPUT=DEBUG, KUNIT_SMP=smp)
    yield from guest_steps(full)


def count(text, status):
    """(passed, failed, skipped) of a step's output."""
    found = COUNTS.findall(text)
    if found:
        passed, failed, skipped = (int(n or 0) for n in found[-1])
    elif CARGO.search(text):
        passed, failed, skipped = (sum(int(n) for n in column) for column in zip(*CARGO.findall(text)))
    else:
        passed, failed, skipped = (1, 0, 0) if status == 0 else (0, 0, 0)
    if status != 0 and failed == 0:
        failed = 1
    return passed, failed, skipped


def run(index, step):
    """Runs a step; gives its counts."""
    objtree = step.objtree or OBJTREE
    env = dict(os.environ, srctree=SRCTREE, objtree=objtree, KBUILD_OUTPUT=objtree, **step.env)
    if step.objtree is None:
        env["objtree"] = OBJTREE
    start = time.monotonic()
    process = subprocess.Popen(step.command, cwd=SRCTREE, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        text, _ = process.communicate(timeout=step.seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 15)
        try:
            text, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            text, _ = process.communicate()
        text, status = f"{text}\nFAILED  no end after {step.seconds} seconds\n", 1
        text = COUNTS.sub("", text)
    log = os.path.join(CHECK, "logs", f"{index:02}-{re.sub('[^a-z0-9]+', '-', step.name.lower()).strip('-')[:60]}.log")
    with open(log, "w") as f:
        f.write(text)
    passed, failed, skipped = count(text, status)
    took = time.monotonic() - start
    print(f"== {step.name}: {passed} passed, {failed} failed, {skipped} skipped ({took:.0f} s)", flush=True)
    if failed:
        lines = text.splitlines()
        chosen = [line for line in lines if WORTH_SHOWING.search(line)][:40] or lines[-20:]
        print("\n".join("   " + line for line in chosen), f"\n   all of it: {os.path.relpath(log, OBJTREE)}", flush=True)
    return passed, failed, skipped


def build(objtree, fragments):
    """Builds one of the kernels under test."""
    # The default configuration, so that a run says the same on every machine.
    os.makedirs(objtree, exist_ok=True)
    kunit.make(objtree, "defconfig", quiet=True)
    for name in fragments:
        kunit.make(objtree, name, quiet=True)
    share_host_programs(objtree)
    kunit.make(objtree, "all")


def share_host_programs(objtree):
    """Gives a new build the macros and build scripts of the other one: they are the same, and take a minute to compile."""
    part = "build/cargo/release"
    for other in {DEBUG, RELEASE} - {objtree}:
        if os.path.isdir(os.path.join(other, part)) and not os.path.exists(os.path.join(objtree, part)):
            shutil.copytree(os.path.join(other, part), os.path.join(objtree, part), symlinks=True)


def main():
    if sys.argv[1:2] == ["--build"]:
        return build(sys.argv[2], sys.argv[3:])
    full = "--full" in sys.argv
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    os.makedirs(os.path.join(CHECK, "logs"), exist_ok=True)
    results = []
    for number, step in enumerate([*host_steps(), *build_steps(), *kernel_steps(full)], 1):
        if not words or any(word in step.name for word in words):
            results.append(run(number, step))
    totals = [sum(column) for column in zip(*results)] or [0, 0, 0]
    print("{} passed, {} failed, {} skipped".format(*totals), flush=True)
    sys.exit(1 if totals[1] or not totals[0] else 0)


if __name__ == "__main__":
    main()
