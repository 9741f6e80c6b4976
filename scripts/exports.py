# SPDX-License-Identifier: GPL-2.0
"""The symbols of the image that modules may use: the table that is linked in, and Module.symvers.

Exported is what the compiled crates below `kernel` define as global and visible: what inline and generic code of theirs, which
is compiled into modules, may call. The version of a symbol is a digest of its crate's metadata, the one thing the compiler
reads of a crate when it compiles a user of it: equal versions mean that the module was compiled against these very crates.
See Documentation/kbuild/modules.md.
"""

import hashlib
import json
import os
import re
import subprocess

READELF = os.environ.get("READELF") or "readelf"
# Exported though their names are not Rust's: what the compiler calls by itself, and the allocator.
PLAIN = {"memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "__kalloc_alloc", "__kalloc_free",
         "__udivti3", "__umodti3", "__divti3", "__modti3", "__muloti4"}
SYMBOL = re.compile(r"^\s*\d+:\s+[0-9a-f]+\s+\S+\s+(\w+)\s+(GLOBAL|WEAK)\s+(DEFAULT|HIDDEN|PROTECTED)\s+(\d+|ABS|COM)\s+(\S+)")


def fnv1a(name):
    """The hash of a name; module_image::fnv1a."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def metadata(rlib):
    """The compiler's metadata in an rlib (an `ar` archive)."""
    with open(rlib, "rb") as f:
        data = f.read()
    at = 8
    while at + 60 <= len(data):
        name, size = data[at:at + 16].rstrip(), int(data[at + 48:at + 58])
        if name.rstrip(b"/") == b"lib.rmeta":
            return data[at + 60:at + 60 + size]
        at += 60 + size + size % 2
    return b""


def version(rlib):
    """The version of the symbols of a crate: never 0."""
    return int.from_bytes(hashlib.sha256(metadata(rlib)).digest()[:4], "little") or 1


def symbols(rlib):
    """(name, visible) of what a crate defines for others."""
    text = subprocess.run([READELF, "-sW", rlib], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    for line in text.splitlines():
        found = SYMBOL.match(line)
        if found:
            yield found.group(5), found.group(3) == "DEFAULT"


def closure(program, environment, srctree, root):
    """The library names of crate `root` and all it depends on."""
    done = subprocess.run([program, "metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-none", "--all-features",
                           "--manifest-path", os.path.join(srctree, "Cargo.toml")], env=environment, stdout=subprocess.PIPE,
                          text=True, check=True)
    data = json.loads(done.stdout)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    wanted, seen = [i for i, package in packages.items() if package["name"] == root and not package["source"]], set()
    while wanted:
        one = wanted.pop()
        if one in seen:
            continue
        seen.add(one)
        wanted += [dep["pkg"] for dep in nodes[one]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    kinds = {"lib", "rlib"}
    return {target["name"].replace("-", "_") for i in seen for target in packages[i]["targets"] if kinds & set(target["kind"])}


def collect(crates, names):
    """{symbol: version} of the crates `names`, whose files `crates` has."""
    found = {}
    for name in sorted(names | {"core", "alloc", "compiler_builtins"}):
        rlib = crates.get(name)
        if not rlib:
            continue
        of_crate = version(rlib)
        for symbol, visible in symbols(rlib):
            if symbol in PLAIN or visible and symbol.startswith("_R") and name != "compiler_builtins":
                found[symbol] = of_crate
    return found


def assembly(exports):
    """The table as a source for the assembler: 16 bytes a symbol, sorted by hash. See module_image::Exports."""
    rows = sorted((fnv1a(name), name, of_crate) for name, of_crate in exports.items())
    for (first, one, _), (second, other, _) in zip(rows, rows[1:]):
        if first == second:
            raise SystemExit(f"*** {one} and {other} have the same hash")
    lines = [f".quad {value:#x}\n.long {name} - .\n.long {of_crate:#x}" for value, name, of_crate in rows]
    return '.section .exports, "a", @progbits\n.balign 8\n' + "\n".join(lines) + "\n"


def symvers(exports):
    """Module.symvers as Linux has it."""
    return "".join(f"{of_crate:#010x}\t{name}\tvmlinux\tEXPORT_SYMBOL_GPL\t\n" for name, of_crate in sorted(exports.items()))


def read_symvers(path):
    """{symbol: (version, module)} of a Module.symvers."""
    with open(path) as f:
        rows = [line.split("\t") for line in f.read().splitlines()]
    return {row[1]: (int(row[0], 16), row[2]) for row in rows}
