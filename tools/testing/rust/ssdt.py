# SPDX-License-Identifier: GPL-2.0
"""The ACPI table that samples for platform drivers want: `\\_SB.T432` with an _HID, the HPET's memory and properties; by default what the
comment of Linux's rust_debugfs.rs has in ASL ("LNUXBEEF", "compatible"). Source: ACPI specification 5.2.6, 20 (AML encoding), 6.2.5 (_DSD).
"""

import struct
import uuid

PROPERTIES = uuid.UUID("daffd814-6eba-4d8c-8a91-bc9bbf4aa301").bytes_le


def length(body):
    """PkgLength and what it is about; the length counts itself."""
    if len(body) + 1 < 0x40:
        return bytes([len(body) + 1]) + body
    total = len(body) + 2
    return bytes([0x40 | total & 15, total >> 4]) + body


def text(value):
    """A string."""
    return b"\x0d" + value.encode() + b"\0"


def package(*items):
    """A package of these."""
    return b"\x12" + length(bytes([len(items)]) + b"".join(items))


def buffer(data):
    """A buffer."""
    return b"\x11" + length(b"\x0a" + bytes([len(data)]) + data)


def name(what, value):
    """Name (what, value)."""
    return b"\x08" + what.encode() + value


def number(value):
    """An integer below 256."""
    return b"\x0a" + bytes([value])


def table(hid="LNUXBEEF", properties=(("compatible", text("sample-debugfs")),)):
    """The whole table. A property's value is encoded already."""
    pairs = package(*(package(text(key), value) for key, value in properties))
    memory = struct.pack("<BHBII", 0x86, 9, 1, 0xFED00000, 0x1000) + b"\x79\0"
    device = b"T432" + b"".join((
        name("_HID", text(hid)), name("_UID", b"\x01"), name("_STA", b"\x0a\x0f"),
        name("_DSD", package(buffer(PROPERTIES), pairs)),
        name("_CRS", buffer(memory))))
    body = b"\x10" + length(b"\\_SB_" + b"\x5b\x82" + length(device))
    header = struct.pack("<4sIBB6s8sI4sI", b"SSDT", 36 + len(body), 2, 0, b"TEST  ", b"VIRTACPI", 1, b"TEST", 1)
    data = bytearray(header + body)
    data[9] = -sum(data) & 0xff
    return bytes(data)
