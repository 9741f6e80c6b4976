# SPDX-License-Identifier: GPL-2.0
"""Commands for gdb on a running kernel, with the names of Linux's: `gdb -x scripts/gdb/vmlinux-gdb.py vmlinux.debug`, then
`target remote :1234` (QEMU's -s). They need a kernel with CONFIG_DEBUG_INFO=y (`make gdb.config`).

lx-symbols finds where KASLR put the kernel; the others do that first themselves.
"""

import re

import gdb

MAX_CPUS = 64
STATES = [(0x402, "I"), (0x102, "D"), (0x80, "X"), (0x8, "t"), (0x4, "T"), (0x2, "D"), (0x1, "S")]
UNSET = 0xFFFFFFFFFFFFFFFF


def fields(value):
    """The fields of a structure that take room, by name."""
    kind = value.type.strip_typedefs()
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return []
    return [(field.name, value[field]) for field in kind.fields() if field.name and field.type.sizeof]


def scalar(value):
    """The number in an atomic, a cell or a wrapper of them."""
    while value.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        inner = fields(value)
        if not inner:
            raise gdb.GdbError(f"no number in a {value.type}")
        value = inner[0][1]
    return int(value)


def inside(value, name, depth=10):
    """The part of `value` whose type's name begins with `name`."""
    if str(value.type.strip_typedefs().name or "").startswith(name):
        return value
    if depth:
        for _, part in fields(value):
            found = inside(part, name, depth - 1)
            if found is not None:
                return found
    return None


def pointer(value):
    """The address in a box or a reference, and what it points to."""
    while value.type.strip_typedefs().code != gdb.TYPE_CODE_PTR:
        inner = fields(value)
        if not inner:
            raise gdb.GdbError(f"no pointer in a {value.type}")
        value = inner[0][1]
    return value


def symbol(name):
    """A static of the kernel."""
    # A static made by a closure is a name space too.
    found = next((f for f in (gdb.lookup_global_symbol(name), gdb.lookup_static_symbol(name)) if f and f.is_variable), None)
    if found is None:
        raise gdb.GdbError(f"no {name}: load vmlinux.debug of a kernel with CONFIG_DEBUG_INFO=y")
    return found.value()


class Place:
    """Where the kernel is."""

    slide = None

    @classmethod
    def find(cls):
        """Compares the interrupt table's address with that in the file, and moves the symbols."""
        if cls.slide is not None:
            return cls.slide
        try:
            text = gdb.execute("monitor info registers", to_string=True)
        except gdb.error as error:
            raise gdb.GdbError(f"only QEMU's stub says where the kernel is: {error}") from None
        found = re.search(r"^IDT= *([0-9a-f]{16})", text, re.M)
        if not found:
            raise gdb.GdbError("QEMU does not say where the interrupt table is")
        table = int(found.group(1), 16)
        linked = int(symbol("x86::idt::IDT").address)
        slide = table - linked
        if table == 0 or slide % 0x1000:
            raise gdb.GdbError("the kernel has not set up its interrupt table yet")
        if slide:
            path = gdb.objfiles()[0].filename
            gdb.execute("symbol-file", to_string=True)
            gdb.execute(f"symbol-file -o {slide:#x} {path}", to_string=True)
        cls.slide = slide
        return slide


def per_cpu(name):
    """(CPU, value) of a per-CPU variable on every CPU that has an area."""
    variable = symbol(name)
    offsets = symbol("x86_cpu::percpu::OFFSETS")
    for cpu in range(MAX_CPUS):
        offset = scalar(offsets[cpu])
        if offset != UNSET:
            address = (int(variable.address) + offset) % (1 << 64)
            yield cpu, gdb.Value(address).cast(variable.type.pointer()).dereference()


def text(array):
    """Bytes up to a NUL."""
    low, high = array.type.range()
    data = bytes(int(array[n]) for n in range(low, high + 1))
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def comm(task):
    """A task's name."""
    part = task["comm"]
    while part.type.strip_typedefs().code != gdb.TYPE_CODE_ARRAY:
        arrays = [value for _, value in fields(part) if "[u8; 16]" in describe(value)]
        if not arrays:
            raise gdb.GdbError("a task without a name")
        part = arrays[0]
    return text(part)


def describe(value, depth=6):
    """The names of the types inside a value, for a search."""
    names = [str(value.type)]
    if depth:
        names += [describe(part, depth - 1) for _, part in fields(value)]
    return " ".join(names)


def state(task):
    """A task's state as ps shows it."""
    bits = scalar(task["state"])
    return next((letter for mask, letter in STATES if bits & mask == mask), "R" if bits == 0 else "?")


def walk(node, shift, base=0):
    """(index, value) of everything below a node of an XArray."""
    # Payload of either kind of slots: 64 pointers, after the word that says which kind.
    slots = node["slots"]
    start = int(slots.address) + slots.type.sizeof - 64 * 8
    size = gdb.lookup_type("u64").pointer()
    present = int(node["present"])
    for n in range(64):
        if present >> n & 1:
            value = int((gdb.Value(start + 8 * n).cast(size)).dereference())
            index = base | n << shift
            if shift:
                child = gdb.Value(value).cast(node.type.pointer()).dereference()
                yield from walk(child, shift - 6, index)
            else:
                yield index, value


def tasks():
    """(thread id, task) of every thread in the table of numbers."""
    table = inside(symbol("process::pid::TABLE"), "process::pid::Table")
    threads = table["threads"]
    # The root is a box of the first node, unless there is but one entry.
    root = threads["root"]
    node = next((value for name, value in fields(root) if name == "Tree"), None)
    if node is None:
        return
    inner = gdb.lookup_type("kalloc_core::arc::ArcInner<task::task_struct::Task>")
    for tid, address in walk(pointer(node).dereference(), int(threads["shift"])):
        yield tid, gdb.Value(address).cast(inner.pointer()).dereference()["data"]


class Command(gdb.Command):
    """A command with its name and help in the class."""

    name = ""

    def __init__(self):
        super().__init__(self.name, gdb.COMMAND_DATA)

    def invoke(self, argument, _from_tty):
        """Finds the kernel, then does it."""
        Place.find()
        self.run(argument)

    def run(self, argument):
        """What the command does."""
        raise NotImplementedError


class Symbols(Command):
    """Finds where KASLR put the kernel, and moves the symbols there."""

    name = "lx-symbols"

    def run(self, argument):
        print(f"kernel at {Place.slide:#x} from where it was linked")


class Version(Command):
    """Shows the kernel's banner."""

    name = "lx-version"

    def run(self, argument):
        for _, line in log():
            if "Linux version" in line:
                print(line)
                return
        print("the log has no banner any more")


class Ps(Command):
    """Lists threads: address, id, state, CPU, name."""

    name = "lx-ps"

    def run(self, argument):
        print("      TASK           TID S CPU COMM")
        for tid, task in tasks():
            print(f"{int(task.address):#018x} {tid:>5} {state(task)} {scalar(task['cpu']):>3} {comm(task)}")


class Cpus(Command):
    """Lists CPUs and what runs on each."""

    name = "lx-cpus"

    def run(self, argument):
        for cpu, current in per_cpu("task::current::CURRENT"):
            address = scalar(current)
            if address == 0:
                print(f"CPU {cpu}: nothing yet")
                continue
            kind = gdb.lookup_type("task::task_struct::Task")
            task = gdb.Value(address).cast(kind.pointer()).dereference()
            print(f"CPU {cpu}: {address:#018x} {scalar(task['tid'])} {comm(task)}")


def log():
    """(seconds, text) of every record of the kernel's log that is there."""
    ring = symbol("printk::RING")
    head = scalar(ring["head"])
    records = ring["descriptors"]
    count = records.type.range()[1] + 1
    words = ring["text"]
    size = words.type.range()[1] + 1
    data = bytes(gdb.selected_inferior().read_memory(int(words.address), size * 8))
    end = head >> 32
    for seq in range(max(0, end - count), end):
        record = records[seq % count]
        if scalar(record["state"]) != seq + 1:
            continue
        begin = scalar(record["begin"]) % size * 8
        length = scalar(record["info"]) & 0xFFFF
        line = (data[begin:] + data[:begin])[:length]
        yield scalar(record["ts_ns"]) / 1e9, line.decode("utf-8", "replace")


class Dmesg(Command):
    """Shows the kernel's log."""

    name = "lx-dmesg"

    def run(self, argument):
        for seconds, line in log():
            print(f"[{seconds:12.6f}] {line}")


for command in (Symbols, Version, Ps, Cpus, Dmesg):
    command()
