#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes Documentation/abi/syscalls.md from the sources: every system call with its text, the flags its code knows and the
tests that call it. `--check` only says whether the file is up to date; `-o FILE` writes elsewhere.

- calls: the table of kernel/syscalls and the doc comment of each function;
- flags: the constants of the ABI (`uapi::NAME`, and constants of the function's file that hold some) in the function and in the
  private functions of its file that it calls;
- tests: the functions of tools/testing/selftests that call it, by the C library's name or by number (`SYS_name`).
"""

import argparse
import os
import re
import subprocess
import sys

SRCTREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUTPUT = os.path.join(SRCTREE, "Documentation", "abi", "syscalls.md")
ENTRY = re.compile(r"\((?:uapi::__)?NR_(\w+), entry!\(([\w:]+)\)\)")
# Calls that the headers do not know yet.
NUMBER = re.compile(r"^const NR_(\w+): u32 = (\d+);", re.M)
CONSTANT = re.compile(r"\b(?:uapi::)?([A-Z][A-Z0-9]*_[A-Z0-9_]+|O_\w+)\b")
# Names of the ABI that are no flags of a call.
NO_FLAG = re.compile(r"^(__NR_|IN_(ACCESS|MODIFY|OPEN|ATTRIB)$|GFP_|CAP_|RLIMIT_|PAGE_|SIG[A-Z]|S_I[RWXF]|.*_MAX$|.*_SIZE$|.*_LEN$|E[A-Z]+$|MAX_|NSEC_)")
# Calls that the C library wraps under another name.
WRAPPERS = {
    "newfstatat": ["fstatat", "stat", "lstat"], "rt_sigaction": ["sigaction", "signal"], "rt_sigprocmask": ["sigprocmask"],
    "rt_sigsuspend": ["sigsuspend"], "rt_sigtimedwait": ["sigtimedwait", "sigwaitinfo"], "rt_sigqueueinfo": ["sigqueue"],
    "rt_sigpending": ["sigpending"], "exit_group": ["_exit", "exit"], "wait4": ["waitpid", "wait"], "pselect6": ["pselect"],
    "prlimit64": ["prlimit"], "umount2": ["umount", "umount2"], "getdents64": ["readdir", "getdents64"],
    "pread64": ["pread"], "pwrite64": ["pwrite"], "signalfd4": ["signalfd"], "inotify_init1": ["inotify_init1"],
    "clone": ["fork", "clone"], "eventfd2": ["eventfd"], "dup3": ["dup3"], "epoll_create1": ["epoll_create1"],
    "openat": ["open", "openat"], "faccessat2": ["faccessat"], "brk": ["brk", "sbrk"], "sysinfo": ["sysinfo"],
    "uname": ["uname"], "fchmodat": ["fchmodat"], "setresuid": ["setresuid"], "sched_getaffinity": ["sched_getaffinity"],
    "epoll_pwait": ["epoll_pwait"], "nanosleep": ["nanosleep"], "clock_nanosleep": ["clock_nanosleep"],
}


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def crate_dirs():
    """{crate name: directory}, from the manifests."""
    names = subprocess.run(["git", "-C", SRCTREE, "ls-files", "*Cargo.toml"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.split()
    crates = {}
    for name in names:
        found = re.search(r'^name = "(\w+)"', read(os.path.join(SRCTREE, name)), re.M)
        if found and not name.startswith("tools/"):
            crates[found.group(1)] = os.path.dirname(os.path.join(SRCTREE, name))
    return crates


def sources(directory):
    """Every source file of a crate, without those of crates below it."""
    for where, below, files in os.walk(os.path.join(directory, "src")):
        for name in sorted(files):
            if name.endswith(".rs"):
                yield os.path.join(where, name)


def functions(text):
    """{name: (doc comment, body)} of the functions of a file (those that begin a line or stand in an impl)."""
    found = {}
    for match in re.finditer(r"((?:^[ \t]*///[^\n]*\n)*)^([ \t]*)(?:pub(?:\([\w ]+\))? )?(?:const )?fn (\w+)", text, re.M):
        end = re.compile(rf"^{match.group(2)}\}}", re.M).search(text, match.end())
        body = text[match.end():end.start() if end else len(text)]
        doc = " ".join(line.strip()[3:].strip() for line in match.group(1).splitlines())
        found[match.group(3)] = (doc, body)
    return found


def constants(text):
    """{name: the names its value is made of} of a file's constants."""
    return {m.group(1): m.group(2) for m in re.finditer(r"\bconst (\w+): [\w\[\]; ]+ =([^;]*);", text)}


def flags_of(name, funcs, consts):
    """The ABI's constants that a function and its file's functions below it know."""
    seen, todo, flags = set(), [name], set()
    while todo:
        function = todo.pop()
        if function in seen or function not in funcs:
            continue
        seen.add(function)
        body = re.sub(r"//[^\n]*", "", funcs[function][1])
        todo += re.findall(r"\b([a-z]\w+)\(", body)
        words = set(CONSTANT.findall(body))
        for word in list(words):
            for part in CONSTANT.findall(consts.get(word, "")):
                words.add(part)
        known = set(re.findall(r"uapi::([A-Z_0-9]+)\b", body + " ".join(consts.get(w, "") for w in words)))
        flags |= {w for w in words if w in known and w not in consts and not NO_FLAG.match(w)}
    return sorted(flags)


def tests():
    """{what a test calls: names of the tests}."""
    calls = {}
    directory = os.path.join(SRCTREE, "tools", "testing", "selftests", "src")
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".rs"):
            continue
        # A group of tests: its file, and those in the directory of its name.
        more = os.path.join(directory, name[:-3])
        paths = [os.path.join(directory, name)]
        paths += [os.path.join(more, part) for part in sorted(os.listdir(more))] if os.path.isdir(more) else []
        text = "\n".join(read(path) for path in paths)
        funcs = functions(text)
        for test, function in re.findall(r'\("([\w.]+)", (?:\w+::)?(\w+)\)', text):
            seen, todo = set(), [function]
            while todo:
                at = todo.pop()
                if at in seen or at not in funcs:
                    continue
                seen.add(at)
                body = funcs[at][1]
                todo += re.findall(r"\b([a-z]\w+)\(", body)
                for word in re.findall(r"libc::(?:SYS_)?(\w+)\b", body):
                    calls.setdefault(word, set()).add(test)
    return calls


def rows():
    """A line of the table for each call, in the order of numbers."""
    table = read(os.path.join(SRCTREE, "kernel", "syscalls", "src", "table.rs"))
    numbers = {m.group(1): int(m.group(2)) for m in
               re.finditer(r"^#define __NR_(\w+) (\d+)$", read("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), re.M)}
    numbers.update((name.lower(), int(number)) for name, number in NUMBER.findall(table))
    crates, cache, called = crate_dirs(), {}, tests()
    lines = []
    for name, path in ENTRY.findall(table):
        call = name.lower()
        crate, function = path.split("::")[0], path.split("::")[-1]
        directory = next((d for c, d in crates.items() if c == crate), None)
        doc, flags = "", []
        for source in sources(directory) if directory else []:
            if source not in cache:
                text = read(source)
                cache[source] = (functions(text), constants(text))
            funcs, consts = cache[source]
            if function in funcs:
                doc, flags = funcs[function][0], flags_of(function, funcs, consts)
                break
        names = set()
        for word in [call, *WRAPPERS.get(call, [])]:
            names |= called.get(word, set())
        shown = sorted(names)
        more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
        lines.append((numbers.get(call, 1 << 20), call, doc.replace("|", "\\|"), ", ".join(flags),
                      ", ".join(shown[:4]) + more))
    return sorted(lines)


def page():
    """The whole page."""
    lines = rows()
    untested = sum(not line[4] for line in lines)
    out = [
        "<!-- SPDX-License-Identifier: GPL-2.0 -->",
        "<!-- Made by scripts/abi_doc.py; change the sources, not this file. -->",
        "# System calls",
        "",
        f"{len(lines)} calls; every other number answers `ENOSYS`. *Flags* are the constants of the ABI that the call's own",
        "file knows (what it passes on is not seen here). *Tests* are those of `tools/testing/selftests` that make the call;",
        f"{untested} calls are in none of them.",
        "",
        "| number | call | what | flags | tests |",
        "|---|---|---|---|---|",
    ]
    out += [f"| {n} | `{call}` | {doc} | {flags} | {names} |" for n, call, doc, flags, names in lines]
    return "\n".join(out) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--check", action="store_true", help="only say whether the file is up to date")
    p.add_argument("-o", "--output", default=OUTPUT)
    a = p.parse_args()
    text = page()
    if a.check:
        if not os.path.exists(a.output) or read(a.output) != text:
            sys.exit(f"{os.path.relpath(a.output, SRCTREE)} is not up to date: run scripts/abi_doc.py")
        return
    os.makedirs(os.path.dirname(a.output), exist_ok=True)
    with open(a.output, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
