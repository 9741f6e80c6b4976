#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Joins header.S, the stub's static library and vmlinux to a bzImage.

The kernel goes in as one flat image of its loadable segments, plain or LZ4. Needs gcc (for as), ld, objcopy and nm;
lz4 for --compress lz4. Called by build.py.
"""

import argparse
import os
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SETUP_SIZE = 4096
PAGE = 4096
PARAMS = 0x1C0
R_X86_64_RELATIVE = 8


def fail(text):
    sys.exit(f"mkbzimage: {text}")


def run(*command):
    subprocess.run(command, check=True)


def symbols(path):
    out = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    return {m[2]: int(m[1], 16) for m in re.finditer(r"^([0-9a-f]+) \w (\S+)$", out, re.M)}


def up(value, to):
    return (value + to - 1) // to * to


class Kernel:
    """vmlinux: its flat image, the memory it takes, and its entry from the start of that."""

    def __init__(self, path, tmp):
        with open(path, "rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01":
                fail(f"{path} is not a 64-bit ELF file")
            entry, phoff = struct.unpack_from("<QQ", head, 24)
            phentsize, phnum = struct.unpack_from("<HH", head, 54)
            file.seek(phoff)
            table = file.read(phentsize * phnum)
        headers = [struct.unpack_from("<IIQQQQQQ", table, i * phentsize) for i in range(phnum)]
        loads = [h for h in headers if h[0] == 1]
        start = min(h[4] for h in loads)
        end = max(h[4] + h[6] for h in loads)
        virt = min(h[3] for h in loads)
        self.size = up(end - start, PAGE)
        self.entry = entry - virt
        flat = os.path.join(tmp, "kernel.bin")
        run("objcopy", "-O", "binary", "-R", ".comment", "-S", path, flat)
        with open(flat, "rb") as file:
            self.image = file.read()
        if len(self.image) > self.size or start % (2 << 20):
            fail(f"{path} has an unexpected layout")


def compress(kernel, how, tmp):
    """The payload and its number in the stub's parameters."""
    if how == "none":
        return kernel.image, 0
    plain, packed = os.path.join(tmp, "plain"), os.path.join(tmp, "packed")
    with open(plain, "wb") as file:
        file.write(kernel.image)
    run("lz4", "-q", "-l", "-9", "-f", plain, packed)
    with open(packed, "rb") as file:
        return file.read(), 1


def link_stub(library, payload, tmp):
    """The stub with the payload in it: flat image and symbols."""
    blob, source = os.path.join(tmp, "payload"), os.path.join(tmp, "payload.S")
    with open(blob, "wb") as file:
        file.write(payload)
    with open(source, "w", encoding="ascii") as file:
        file.write(f'.section .payload, "a", @progbits\n.incbin "{blob}"\n.section .note.GNU-stack, "", @progbits\n')
    obj, elf, flat = (os.path.join(tmp, name) for name in ("payload.o", "stub.elf", "stub.bin"))
    run("gcc", "-c", source, "-o", obj)
    script = os.path.join(HERE, "stub", "stub.lds")
    run("ld", "-pie", "--no-dynamic-linker", "-z", "text", "-z", "norelro", "-z", "noexecstack", "--gc-sections",
        "--no-warn-rwx-segments", "-T", script, "-o", elf, obj, library)
    relocations = subprocess.run(["readelf", "-rW", elf], check=True, capture_output=True, text=True).stdout
    types = set(re.findall(r"\bR_X86_64_\w+", relocations))
    if types - {"R_X86_64_RELATIVE"}:
        fail(f"the stub has relocations it cannot apply itself: {types}")
    run("objcopy", "-O", "binary", elf, flat)
    with open(flat, "rb") as file:
        return bytearray(file.read()), symbols(elf)


def build_header(tmp):
    obj, flat = os.path.join(tmp, "header.o"), os.path.join(tmp, "header.bin")
    run("gcc", "-m32", "-c", os.path.join(HERE, "header.S"), "-o", obj)
    run("ld", "-m", "elf_i386", "-Ttext", "0", "-e", "0", "--oformat", "binary", obj, "-o", flat)
    with open(flat, "rb") as file:
        header = bytearray(file.read())
    if len(header) != SETUP_SIZE:
        fail("header.S has the wrong size")
    return header, symbols(obj)


def patch(header, at, sym, version, init_size, file_size):
    """The fields marked "mk" in header.S."""

    def put(name, value, form="<I"):
        struct.pack_into(form, header, at[name], value)

    text, end = sym["_stub_text_end"], sym["_stub_end"]
    put("pe_code_size", text)
    put("pe_data_size", file_size - text)
    put("pe_bss_size", end - file_size)
    put("pe_entry", SETUP_SIZE + sym["efi_pe_entry"])
    put("pe_image_size", SETUP_SIZE + end)
    struct.pack_into("<IIII", header, at["pe_text_section"] + 8, text, SETUP_SIZE, text, SETUP_SIZE)
    struct.pack_into("<IIII", header, at["pe_data_section"] + 8,
                     end - text, SETUP_SIZE + text, file_size - text, SETUP_SIZE + text)
    put("syssize", file_size // 16)
    put("init_size", init_size)
    put("handover_offset", sym["efi64_stub_entry"] - 0x200)
    put("kernel_info_offset", sym["kernel_info"])
    room = at["version_string_end"] - at["version_string"]
    text = version.encode("ascii", "replace")[:room - 1]
    header[at["version_string"]:at["version_string"] + len(text)] = text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmlinux", required=True)
    parser.add_argument("--stub", required=True, help="libbzimage_stub.a")
    parser.add_argument("--out", required=True)
    parser.add_argument("--version", default="Rideau", help="what `file` and boot loaders show")
    parser.add_argument("--compress", choices=("none", "lz4"), default="none")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        kernel = Kernel(args.vmlinux, tmp)
        payload, number = compress(kernel, args.compress, tmp)
        stub, sym = link_stub(args.stub, payload, tmp)
        header, at = build_header(tmp)
    if sym["startup_64"] != 0x200 or sym["_stub_file_end"] != len(stub) or stub[PARAMS:PARAMS + 4] != b"RDSP":
        fail("the stub is laid out wrong")
    init_size = kernel.size + sym["_stub_end"]
    struct.pack_into("<IIIIII", stub, PARAMS + 4,
                     kernel.size, len(kernel.image), init_size, sym["_stub_end"], kernel.entry, number)
    patch(header, at, sym, args.version, init_size, len(stub))
    temporary = args.out + ".tmp"
    with open(temporary, "wb") as file:
        file.write(header + stub)
    os.replace(temporary, args.out)


if __name__ == "__main__":
    main()
