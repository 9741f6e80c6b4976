#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The same random calls on Debian's kernel and on this one: abi-diff (src/) as the first process, results compared value by value.

    abi_diff.py [--kernel PATH] [--from SEED] [--count N] [FAMILY]...     compares the two kernels
    abi_diff.py --recorded                                               compares with `linux.hashes` and boots one kernel
    abi_diff.py --record [--count N]                                     writes linux.hashes
    abi_diff.py --show FAMILY SEED                                       what one sequence gives on both

A sequence gives a line a call: what it was, its result, what it returned, with small numbers for what no two boots have
alike. The kernels print a hash of it; this one gets Linux's and prints what differs at once, also what differs only now and then. It is
shown up to the first call that differs. What Linux itself does not give twice alike (it is run twice) is left out and counted.
`differences` lists what differs by right: `FAMILY REGEX REASON`, tabs between, the expression searched in the first lines that differ.
"""

import argparse
import collections
import hashlib
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)

# On a busy host Linux's own check of the timer interrupt fails now and then; each sequence's umount waits for RCU; of the security
# modules of Debian's kernel one lets anybody set attributes of the name space `security`.
APPEND = "console=ttyS0 quiet loglevel=1 panic=-1 no_timer_check rcupdate.rcu_expedited=1 mitigations=off lsm=capability"
# What Debian's kernel uses and changes results (a larger address space) is not there.
CPU = "max,la57=off"
RECORD = os.path.join(HERE, "linux.hashes")
DIFFERENCES = os.path.join(HERE, "differences")
HASHES = re.compile(r"^H (\w+) (\d+)((?: [0-9a-f]{8})+)$", re.M)
SHOWN = re.compile(r"^S (\w+) (\d+)\n(.*?)\nE$", re.M | re.S)
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping).*$", re.M)
# Sequences of a family shown at once.
SHOW = 60


def make_image(program, jobs, path):
    """An initramfs whose /init runs `jobs`: (family, first seed, number, hash or show, hashes that are expected)."""
    cpio = Cpio()
    for name in ("dev", "proc", "sys", "etc", "root"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.file("init", src=program, mode=0o755)
    cpio.file("list", "".join(" ".join(map(str, job)) + "\n" for job in jobs))
    cpio.write(path)
    return path


def boot(kernel, jobs, a, name):
    """Runs `jobs` on a kernel: what it printed, and what was wrong."""
    build = programs.build_dir("abi-diff")
    initrd = make_image(os.path.join(programs.build("abi-diff"), "abi-diff"), jobs, os.path.join(build, f"{name}.cpio"))
    with Guest(kernel, initrd, APPEND, cpu=CPU, memory=a.memory, cpus=a.cpus, limit=a.limit,
               log=os.path.join(build, f"{name}.log")) as g:
        wrong = None
        try:
            g.expect(r"@END@", a.limit)
        except GuestError as why:
            wrong = str(why)
        text = no_ansi(g.text)
    complaint = COMPLAINT.search(text)
    if complaint and not wrong:
        wrong = text[complaint.start():complaint.start() + 2000]
    return text, wrong


def hashes(text):
    """{(family, seed): hash}."""
    out = {}
    for family, first, words in HASHES.findall(text):
        for i, word in enumerate(words.split()):
            out[family, int(first) + i] = word
    return out


class Linux:
    """What Debian's kernel gave, kept in the build directory for as long as the program is the same."""

    def __init__(self, program, a):
        with open(program, "rb") as f:
            self.mark = hashlib.sha256(f.read() + (APPEND + CPU).encode()).hexdigest()
        self.path, self.a = os.path.join(programs.build_dir("abi-diff"), "linux.json"), a
        self.kept = {"mark": self.mark, "hash": {}, "text": {}}
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as f:
                kept = json.load(f)
            self.kept = kept if kept["mark"] == self.mark else self.kept

    def _keep(self):
        with open(self.path, "w", encoding="utf-8") as f:
            json.dump(self.kept, f)

    def hashes(self, families, first, count):
        """{(family, seed): [hash, hash]} of two runs."""
        have = self.kept["hash"]
        jobs = [(f, first, count, "hash") for f in families if any(f"{f} {s}" not in have for s in range(first, first + count))]
        for turn in (1, 2) if jobs else ():
            for (family, seed), word in hashes(boot(debian.kernel(), jobs, self.a, f"linux{turn}")[0]).items():
                key = f"{family} {seed}"
                have[key] = [word] if turn == 1 else have.get(key, [""])[:1] + [word]
        self._keep()
        return {(f, s): have.get(f"{f} {s}", []) for f in families for s in range(first, first + count)}

    def show(self, which):
        """{(family, seed): lines}."""
        have = self.kept["text"]
        todo = [key for key in which if f"{key[0]} {key[1]}" not in have]
        if todo:
            have.update({f"{f} {s}": lines for (f, s), lines in show(debian.kernel(), todo, self.a, "show-linux").items()})
            self._keep()
        return {key: have.get(f"{key[0]} {key[1]}", []) for key in which}


def show(kernel, which, a, name):
    """{(family, seed): lines} of the sequences `which`."""
    return shown(boot(kernel, [(family, seed, 1, "show") for family, seed in which], a, name)[0])


def shown(text):
    """{(family, seed): lines} of what a kernel has shown."""
    return {(family, int(seed)): body.splitlines() for family, seed, body in SHOWN.findall(text)}


def expecting(families, linux, first):
    """Jobs that show what is not as it was on Linux."""
    words = {family: [word[0] if word else "0" for (f, _), word in linux.items() if f == family] for family in families}
    return [(family, first, len(some), "hash", *some) for family, some in words.items()]


def first_difference(linux, here):
    """The number of the first line that differs, and the two lines."""
    for i, (one, two) in enumerate(zip(linux, here)):
        if one != two:
            return i, one, two
    i = min(len(linux), len(here))
    return i, (linux[i:] or ["(end)"])[0], (here[i:] or ["(end)"])[0]


def read_differences():
    """[(family, expression, reason)] of what differs by right."""
    with open(DIFFERENCES, encoding="utf-8") as f:
        lines = [line.rstrip("\n").split("\t") for line in f if line.strip() and not line.startswith("#")]
    return [(family, re.compile(regex), reason) for family, regex, reason in lines]


def reason_for(key, linux, here, known):
    """Why the sequence `key` may differ; None if there is no reason. And where the two texts part."""
    n, one, two = first_difference(linux, here)
    return next((r for f, regex, r in known if f == key[0] and regex.search(one + "\n" + two)), None), n, one, two


def by_right(which, linux_runs, a):
    """Those of the sequences `which` that differ by right."""
    known, out = read_differences(), set()
    for at in range(0, len(which), SHOW * 4):
        some = which[at:at + SHOW * 4]
        linux, here = linux_runs.show(some), show(a.kernel, some, a, "show-here")
        out.update(key for key in some if reason_for(key, linux.get(key, []), here.get(key, []), known)[0])
    return out


def explain(which, linux_runs, here, report, a):
    """Runs differing sequences again on Linux and reports where they and those that our kernel has shown part: as many as it takes to
    find one that does not differ by right."""
    while which:
        some, later, per = [], [], collections.Counter()
        for family, seed in which:
            per[family] += 1
            (some if per[family] <= SHOW else later).append((family, seed))
        if not explain_some(some, linux_runs, here, report, a):
            return
        which = later


def explain_some(some, linux_runs, here, report, a):
    """Whether all of them differ by right."""
    linux = linux_runs.show(some)
    known, groups = read_differences(), collections.defaultdict(list)
    for key in some:
        if linux.get(key) == here.get(key) and key in linux:
            groups[key[0], "is not the same each time on Linux"].append((key, "", ""))
            continue
        reason, n, one, two = reason_for(key, linux.get(key, []), here.get(key, []), known)
        call = reason or " ".join(one.split(" ")[1:2]) + " " + tail(one) + " / " + tail(two)
        groups[key[0], call].append((key, "\n".join(linux.get(key, [])[max(1, n - a.context):n]), f"linux {one}\nhere  {two}", reason))
    for (family, call), found in sorted(groups.items(), key=lambda g: -len(g[1])):
        key, before, lines = found[0][:3]
        title = f"{family}: {call}: {len(found)} of {len(some)} shown, as seed {key[1]}"
        if found[0][-1] and len(found[0]) == 4:
            report.skip(title, lines.replace("\n", " | ") if a.verbose else "by right")
        else:
            report.fail(title, before + "\n" + lines)
    return all(one[-1] and len(one) == 4 for found in groups.values() for one in found)


def tail(line):
    """The result of a line, without the data."""
    return (line.split(" = ") + [""])[1].split(" : ")[0]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kernel", help="our kernel (default: what make built)")
    p.add_argument("--cpus", type=int, default=1)
    p.add_argument("--memory", type=int, default=512)
    p.add_argument("--limit", type=int, default=3000, help="seconds for one boot")
    p.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    p.add_argument("--count", type=int, default=200, help="sequences a family")
    p.add_argument("--context", type=int, default=6, help="calls shown before one that differs")
    p.add_argument("--recorded", action="store_true", help="compare with linux.hashes")
    p.add_argument("--record", action="store_true", help="write linux.hashes")
    p.add_argument("--show", action="store_true", help="show the sequence FAMILY SEED")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("families", nargs="*")
    a = p.parse_args()
    a.kernel = a.kernel or programs.default_kernel()
    program = os.path.join(programs.build("abi-diff"), "abi-diff")
    if a.show:
        key = (a.families[0], int(a.families[1]))
        linux, here = Linux(program, a).show([key])[key], show(a.kernel, [key], a, "one").get(key, [])
        n, one, two = first_difference(linux, here)
        print("\n".join(linux[:n] + [f"linux {one}", f"here  {two}"]))
        return
    families = a.families or os.popen(f"{program} --list").read().split()
    report = Report()
    linux_runs = Linux(program, a)
    if a.recorded:
        with open(RECORD, encoding="utf-8") as f:
            linux = {k: [v, v] for k, v in hashes(f.read()).items() if k[0] in families}
        a.first = 0
    else:
        linux = linux_runs.hashes(families, a.first, a.count)
    text, wrong = boot(a.kernel, expecting(families, linux, a.first), a, "here")
    here = hashes(text)
    if wrong:
        report.fail("the kernel ran all sequences without a complaint", wrong)
    differ = []
    for family in families:
        keys = [k for k in linux if k[0] == family]
        steady = [k for k in keys if len(set(linux[k])) == 1 and linux[k][0] != "0" * 8]
        bad = [k for k in steady if here.get(k) != linux[k][0]]
        differ += bad
        if a.record:
            continue
        report.add(f"{family}: {len(steady) - len(bad)} of {len(steady)} sequences alike"
                   + f" ({len(keys) - len(steady)} not steady on Linux)" * (len(keys) != len(steady)), not bad or not wrong)
    if a.record and wrong:
        sys.exit(f"not recorded: {wrong}")
    if a.record:
        record(families, a.count, linux, by_right(differ, linux_runs, a))
        return
    if differ and not a.recorded:
        explain(differ, linux_runs, shown(text), report, a)
    elif differ:
        report.fail("as recorded", " ".join(f"{f}:{s}" for f, s in differ[:40]))
    report.finish()


def record(families, count, linux, left_out):
    """Writes what two boots of Linux agree on; zeroes stand for the rest, and for what differs here by right (`left_out`)."""
    for key in left_out:
        linux[key] = []
    with open(RECORD, "w", encoding="utf-8") as f:
        f.write("# SPDX-License-Identifier: GPL-2.0\n# Hashes of sequences on Debian's kernel; written by abi_diff.py --record.\n")
        for family in families:
            words = [linux[family, s][0] if len(set(linux[family, s])) == 1 else "0" * 8 for s in range(count)]
            for at in range(0, count, 16):
                f.write(f"H {family} {at} " + " ".join(words[at:at + 16]) + "\n")


if __name__ == "__main__":
    main()
