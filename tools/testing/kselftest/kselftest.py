#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Linux's own kselftests, unmodified, on this kernel, held against what Debian's kernel does in the same machine.

    kselftest.py [--short] [--kernel PATH] [--cpus N] [-v] [COLLECTION | COLLECTION/PROGRAM]...
    kselftest.py --linux [COLLECTION...]      runs Debian's kernel and renews linux-6.1.results
    kselftest.py --build                      builds the tests only
    kselftest.py --list                       the programs

The tests are built on the host from Debian's linux-source package (source.py; a minute, once). Each program runs in the
guest with a time limit; what it prints is cut into subtests (tap.py). A subtest that passes on Debian's kernel is to pass
here; `expected` lists those that do not, each with its reason. One that fails and is not listed, and one that is listed and
passes, fail the run. The last lines are a table: what passed of what passes on Linux. With -v, or one program named, the
output of what differs is shown; all of it lies in build/testing/kselftest/logs.
"""

import argparse
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Report, debian, programs as guest_programs  # noqa: E402
from kselftest import guests, programs, source, tap  # noqa: E402

RESULTS = os.path.join(HERE, "linux-6.1.results")
EXPECTED = os.path.join(HERE, "expected")


def read_results():
    """{subtest: verdict} of Debian's kernel."""
    out = {}
    if os.path.exists(RESULTS):
        with open(RESULTS) as f:
            for line in f:
                words = line.split(None, 2)
                if len(words) >= 2 and not line.startswith("#"):
                    out[words[1]] = words[0]
    return out


def read_expected():
    """{subtest: reason} of what passes on Linux and is known not to pass here. `program/*` names all of a program."""
    out = {}
    with open(EXPECTED) as f:
        for number, line in enumerate(f, 1):
            if line.strip() and not line.startswith("#"):
                name, _, reason = line.strip().partition(" ")
                if not reason.strip():
                    sys.exit(f"{EXPECTED}:{number}: no reason")
                out[name] = reason.strip()
    return out


def run_all(kernel, todo, args, logs):
    """Runs `todo`: {collection/program: {subtest: (verdict, description)}}, and the texts."""
    installed = source.build()
    os.makedirs(logs, exist_ok=True)
    initrd = guests.make_image(installed, sorted({c for c, _ in todo}), os.path.join(logs, "initrd.cpio"))
    out, texts = {}, {}
    with guests.Runner(kernel, initrd, args.cpus, args.memory, logs) as runner:
        for collection, program in todo:
            name = f"{collection}/{program}"
            start = time.monotonic()
            text, status = runner.run(collection, [program], programs.limit(collection, program))
            out[name], texts[name] = tap.subtests(text, status), text
            with open(os.path.join(logs, name.replace("/", "-") + ".log"), "w") as f:
                f.write(text)
            good = sum(v == tap.PASS for v, _ in out[name].values())
            print(f"# {name}: {good}/{len(out[name])}, status {status} ({time.monotonic() - start:.0f} s)", flush=True)
    return out, texts


def renew(args, todo):
    """Runs Debian's kernel and writes its results: passed is what passed every time."""
    kernel = debian.kernel()
    kept, seen = {}, {}
    for turn in range(args.times):
        out, _ = run_all(kernel, todo, args, os.path.join(source.top(), "kselftest", "logs", "linux"))
        for name, subtests in out.items():
            for sub, (verdict, description) in subtests.items():
                seen.setdefault(f"{name}/{sub}", []).append((verdict, description))
    ran = {f"{c}/{p}" for c, p in todo}
    if os.path.exists(RESULTS):
        with open(RESULTS) as f:
            for line in f:
                words = line.rstrip("\n").split(None, 2)
                if len(words) >= 2 and not line.startswith("#") and "/".join(words[1].split("/")[:2]) not in ran:
                    kept[words[1]] = (words[0], words[2] if len(words) > 2 else "")
    for name, verdicts in seen.items():
        words = [v for v, _ in verdicts]
        always = len(words) == args.times and len(set(words)) == 1
        kept[name] = (words[0] if always else tap.FAIL, verdicts[0][1] if always else "not the same every time")
    with open(RESULTS, "w") as f:
        f.write(f"# SPDX-License-Identifier: GPL-2.0\n# Subtests of {source.PACKAGE} {source.version()} on "
                f"{os.path.basename(kernel)}; written by kselftest.py --linux.\n")
        for name in sorted(kept):
            verdict, description = kept[name]
            f.write(f"{verdict} {name} {description}".rstrip() + "\n")
    print(f"{len(kept)} subtests, {sum(v == tap.PASS for v, _ in kept.values())} passed")


def compare(out, texts, args):
    """Holds results against Linux's and the list, prints the table and ends the program."""
    linux, expected, report, table = read_results(), read_expected(), Report(quiet=True), {}
    for program in sorted(out):
        collection, wrong = program.split("/")[0], False
        wanted = [n for n, v in linux.items() if v == tap.PASS and n.startswith(program + "/")]
        row = table.setdefault(collection, [0, 0])
        for name in wanted:
            verdict, description = out[program].get(name[len(program) + 1:], ("not run", ""))
            reason = expected.get(name) or expected.get(program + "/*")
            row[1] += 1
            row[0] += verdict == tap.PASS
            if verdict == tap.PASS and name in expected:
                report.fail(name, "passes, and is on the list of what does not: take it off")
            elif verdict == tap.PASS:
                report.ok(name)
            elif reason:
                report.skip(name, reason)
            else:
                report.fail(name, f"{verdict}: {description}")
                wrong = True
        if program + "/*" in expected and wanted and \
                all(out[program].get(n[len(program) + 1:], ("", ""))[0] == tap.PASS for n in wanted):
            report.fail(program, "all of it passes, and it is on the list of what does not: take it off")
        if wrong and (args.verbose or args.only):
            print("\n".join("    | " + line for line in texts[program].splitlines()[-60:]))
    print("\ncollection      passed here / on Linux")
    for collection, (here, there) in table.items():
        print(f"{collection:15} {here:5} / {there}")
    here, there = (sum(column) for column in zip(*table.values()))
    print(f"{'all':15} {here:5} / {there}   {100 * here / max(there, 1):.1f} %")
    report.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("only", nargs="*")
    parser.add_argument("--linux", action="store_true")
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--short", action="store_true", help="the quick programs only")
    parser.add_argument("--kernel", default=None)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", type=int, default=1024)
    parser.add_argument("--times", type=int, default=2, help="with --linux: how often each program is run")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    # So that the guest is ended when this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    installed = source.build()
    todo = programs.listed(installed, args.only, args.short)
    if args.list:
        print("\n".join("/".join(pair) for pair in todo))
    elif not args.build and not todo:
        sys.exit("no such program")
    elif args.linux:
        renew(args, todo)
    elif not args.build:
        kernel = args.kernel or guest_programs.default_kernel()
        if not args.only:
            # A program of which nothing passes on Linux proves nothing here.
            passing = {"/".join(n.split("/")[:2]) for n, verdict in read_results().items() if verdict == tap.PASS}
            todo = [pair for pair in todo if "/".join(pair) in passing]
        compare(*run_all(kernel, todo, args, os.path.join(source.top(), "kselftest", "logs")), args)


if __name__ == "__main__":
    main()
