#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compiles and links: `build.py vmlinux|check|clippy|doc|rust-analyzer|test [arguments of cargo]`.

cargo resolves and compiles the crates; crate `init` gives a static library with the whole kernel, and `ld` links it
with arch/x86/kernel/vmlinux.lds: once without symbols, then with the table that gen_kallsyms made of the first result.
Results below objtree: vmlinux (stripped), vmlinux.debug (with symbols, for gdb), build/ (everything else).

Environment: srctree, objtree, V (1: show commands), RUSTC, CARGO, LD, OBJCOPY, IMAGE (the crate to link: init).
"""

import contextlib
import fcntl
import functools
import glob
import hashlib
import json
import os
import re
import subprocess
import sys

import certs
import exports
import kconfig
import toolchain

SRCTREE, OBJTREE = kconfig.SRCTREE, os.path.abspath(kconfig.OBJTREE)
BUILD = os.path.join(OBJTREE, "build")
# Another output directory may share what was compiled for this one by a link (guest/programs.py, `kernel_beside`): one place has one name.
CARGO_TARGET = os.path.realpath(os.path.join(BUILD, "cargo"))
VERBOSE = os.environ.get("V", "") not in ("", "0")
IMAGE = os.environ.get("IMAGE") or "init"
LDS = os.path.join(SRCTREE, "arch/x86/kernel/vmlinux.lds")
LD = os.environ.get("LD") or "ld"
OBJCOPY = os.environ.get("OBJCOPY") or "objcopy"
TARGET = toolchain.TARGET
# Options that only choose crates (features of the image): no code asks for them, so switching one compiles nothing anew.
CHOICES = tuple("--cfg=CONFIG_" + name for name in (
    "MODULES", "MODULE_SIG", "SYSTEM_TRUSTED_KEYS", "SAMPLE", "BLOCK", "EXT4", "BLK_", "PCIEPORTBUS", "HOTPLUG_", "VIRTIO",
    "NVME", "SCSI", "SATA", "ATA", "SYSVIPC", "POSIX_MQUEUE", "KERNEL_", "OVERLAY_FS", "SQUASHFS", "ISO9660_FS", "VFAT_FS", "NET_9P",
    "9P_FS", "RTC_", "HW_RANDOM", "HVC_", "HPET", "SERIAL_", "SERIO_", "SWAP", "MQ_IOSCHED_"))
BUILD_STD = ["-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem", "--target", TARGET]


def say(what, name):
    """A line as Kbuild prints it."""
    print(f"  {what:<7} {name}", flush=True)


def rustflags(config):
    """Flags for every crate of the kernel, core and alloc included."""
    cargo_home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    flags = [
        "-Crelocation-model=pie",  # a static PIE: x86_head applies the relocations, KASLR moves it
        "-Ccode-model=small",
        # All of it is in one image: call and reach everything directly, without the GOT (which x86_head's first
        # instructions could not use, since it is not relocated yet).
        "-Zplt=yes",
        "-Zdirect-access-external-data=yes",
        "-Zrelax-elf-relocations=yes",
        "-Cforce-frame-pointers=yes",  # traces walk them
        "-Cforce-unwind-tables=no",
        "-Csymbol-mangling-version=v0",
        "-Cdebuginfo=" + ("2" if config.get("CONFIG_DEBUG_INFO") == "y" else "1"),
        "-Zdwarf-version=4",
        f"--remap-path-prefix={SRCTREE}=.",
        f"--remap-path-prefix={cargo_home}=cargo",
        "-Cdebug-assertions=" + ("y" if config.get("CONFIG_RUST_DEBUG_ASSERTIONS") == "y" else "n"),
        "-Coverflow-checks=" + ("y" if config.get("CONFIG_RUST_OVERFLOW_CHECKS") == "y" else "n"),
    ]
    with open(os.path.join(OBJTREE, "include/generated/rustc_cfg")) as f:
        flags += f.read().splitlines()
    return [flag for flag in flags if flag and not flag.startswith(CHOICES)]


def kernel_environment(config):
    """What cargo needs to compile for the kernel."""
    env = toolchain.environment()
    env["CARGO_TARGET_DIR"] = CARGO_TARGET
    env["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(rustflags(config))
    lto = {"CONFIG_LTO_THIN": "thin", "CONFIG_LTO_FAT": "fat"}
    env["CARGO_PROFILE_RELEASE_LTO"] = next((v for k, v in lto.items() if config.get(k) == "y"), "false")
    # Numbers and strings of the configuration reach the code as env!("CONFIG_X").
    env.update({name: value for name, value in config.items() if value not in ("y", "m")})
    env["SYSTEM_CERTIFICATES"] = certs.certificates(config)
    return env


def host_environment(target=None):
    """What cargo needs to compile for the build machine."""
    env = toolchain.environment()
    env["CARGO_TARGET_DIR"] = target or os.path.realpath(os.path.join(BUILD, "host"))
    env.pop("CARGO_ENCODED_RUSTFLAGS", None)
    return env


def cargo(env, command, *arguments, what="RUSTC", artifacts=None):
    """Runs cargo; prints a short line for each crate that was compiled, and what the compiler says. Returns success.

    `artifacts` collects {"crates": {name: rlib}, "host": {name: library}}."""
    _, program = toolchain.find()
    line = [program, command, *arguments, "--message-format=json-diagnostic-rendered-ansi" if sys.stderr.isatty()
            else "--message-format=json"]
    if VERBOSE:
        line.append("-v")
        print(" ".join(line), flush=True)
    else:
        line.append("-q")
    process = subprocess.Popen(line, cwd=SRCTREE, env=env, stdout=subprocess.PIPE, text=True)
    for text in process.stdout:
        try:
            message = json.loads(text)
        except ValueError:
            print(text, end="", flush=True)
            continue
        if message.get("reason") == "compiler-message":
            print(message["message"]["rendered"], end="", file=sys.stderr, flush=True)
        elif message.get("reason") == "compiler-artifact" and "custom-build" not in message["target"]["kind"]:
            if artifacts is not None:
                remember(message, artifacts)
            if not message["fresh"]:
                say("HOSTRS" if host_artifact(message) else what, crate_name(message))
    return process.wait() == 0


@contextlib.contextmanager
def crates_at_rest():
    """Keeps cargo from writing crates of the kernel, which takes away those that it makes anew: another kernel may be made of them (another
    output directory, `kernel_beside`). The lock is cargo's own, which has it alone while it builds."""
    try:
        lock = open(os.path.join(CARGO_TARGET, TARGET, "release/.cargo-lock"))
    except OSError:
        # Nothing was built here.
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            say("WAIT", "another build of the same crates")
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def remember(message, artifacts):
    """Notes the file of a compiled crate."""
    files = [name for name in message["filenames"] if name.endswith((".rlib", ".so"))]
    if files:
        kind = "host" if host_artifact(message) else "crates"
        artifacts.setdefault(kind, {})[message["target"]["name"].replace("-", "_")] = files[0]


def uts_release():
    """`uname -r`, from the bindings that crate uapi made."""
    found = glob.glob(os.path.join(CARGO_TARGET, TARGET, "release/build/uapi-*/out/*.rs"))
    for name in sorted(found, key=os.path.getmtime, reverse=True):
        match = re.search(r'UTS_RELEASE: &str = "([^"]+)"', read(name) or "")
        if match:
            return match.group(1)
    return ""


def export_table(config, artifacts, archive):
    """Makes build/exports.o and Module.symvers, if the kernel takes modules. Returns the objects to link."""
    if config.get("CONFIG_MODULES") != "y":
        return []
    crates = dict(artifacts, release=uts_release())
    kconfig.write_if_changed(os.path.join(BUILD, "crates.json"), json.dumps(crates, indent=1, sort_keys=True) + "\n")
    source, target = os.path.join(BUILD, "exports.S"), os.path.join(BUILD, "exports.o")
    mark = stamp(*sorted(crates["crates"].values()), exports.__file__, __file__)
    symvers = os.path.join(OBJTREE, "Module.symvers")
    if read(os.path.join(BUILD, "exports.stamp")) != mark or not os.path.exists(target) or not os.path.exists(symvers):
        _, program = toolchain.find()
        names = exports.closure(program, toolchain.environment(), SRCTREE, "kernel") | shared_in_image(config)
        table = exports.collect(crates["crates"], names)
        # A crate that is compiled but that nothing of the image calls (kunit without tests) is not in the archive.
        there = {name for name, _ in exports.symbols(archive)}
        table = {name: of_crate for name, of_crate in table.items() if name in there}
        # Code of crates that use `alloc` calls what only the link of the image makes.
        alloc = exports.version(crates["crates"]["alloc"])
        table.update({name: alloc for name in there if "___rust_no_alloc_shim_is_unstable" in name})
        changed = kconfig.write_if_changed(source, exports.assembly(table))
        kconfig.write_if_changed(symvers, exports.symvers(table))
        if changed or not os.path.exists(target):
            run("AS", "build/exports.o", os.environ.get("AS") or "as", "-o", target, source)
        kconfig.write_if_changed(os.path.join(BUILD, "exports.stamp"), mark)
    return [target]


def host_artifact(message):
    """Whether an artifact is for the build machine."""
    kinds = message["target"]["kind"]
    return "proc-macro" in kinds or "custom-build" in kinds or not any(TARGET in f for f in message["filenames"])


def crate_name(message):
    """Where a crate lies in the tree, else its name."""
    directory = os.path.dirname(message.get("manifest_path", ""))
    if directory.startswith(SRCTREE + os.sep):
        return os.path.relpath(directory, SRCTREE)
    return message["target"]["name"]


def run(what, name, *command):
    """Runs one command of the link, with its short line."""
    if VERBOSE:
        print(" ".join(command), flush=True)
    else:
        say(what, name)
    if subprocess.run(command).returncode != 0:
        sys.exit(f"*** {what} {name} failed")


def features(config):
    """The features of the image crate that the configuration asks for: those named as an option that is y."""
    with open(os.path.join(SRCTREE, IMAGE if IMAGE == "init" else os.environ["IMAGE_DIR"], "Cargo.toml")) as f:
        text = f.read()
    names = [line.split("=")[0].strip() for line in text.splitlines() if line.startswith("CONFIG_")]
    return [name for name in names if config.get(name) == "y"]


def parts_of_modules(config):
    """`-p name` for the pure crates of what is configured as m: those that the image does not have become part of the module."""
    if config.get("CONFIG_MODULES") != "y":
        return []
    _, program = toolchain.find()
    done = subprocess.run([program, "metadata", "--format-version", "1", "--no-deps", "--manifest-path",
                           os.path.join(SRCTREE, "Cargo.toml")], env=toolchain.environment(), stdout=subprocess.PIPE,
                          text=True, check=True)
    packages = {package["name"]: package for package in json.loads(done.stdout)["packages"]}

    def below(roots):
        wanted, found = list(roots), set()
        while wanted:
            for dep in packages[wanted.pop()]["dependencies"]:
                if dep.get("path") and dep["kind"] is None and dep["name"] in packages and dep["name"] not in found:
                    found.add(dep["name"])
                    wanted.append(dep["name"])
        return found

    modules = modules_of(config)
    names = below(modules) - below(["kernel"]) - {"kernel"} - set(modules) - shared_in_image(config)
    pure = [name for name in sorted(names) if (packages[name].get("metadata") or {}).get("rideau", {}).get("level") == 0
            and not any("proc-macro" in target["kind"] for target in packages[name]["targets"])]
    return [word for name in pure
            for word in ("-p", f"path+file://{os.path.dirname(packages[name]['manifest_path'])}#{name}@{packages[name]['version']}")]


@functools.lru_cache
def shared_packages():
    """Crates of level 4 that others of level 4 use: cores such as scsi_mod."""
    modules = [member for member in members() if member["level"] == 4]
    used = set().union(*(member["uses"] for member in modules))
    return {member["name"] for member in modules} & used


def shared_in_image(config):
    """Of these, the ones that are in the image and have their symbols exported."""
    return shared_packages() & set(modules_of(config, "y"))


def modules_of(config, answer="m"):
    """The packages of what is configured as m (or as `answer`): named by the image's features."""
    with open(os.path.join(SRCTREE, "init/Cargo.toml")) as f:
        lines = f.read().splitlines()
    wanted = []
    for line in lines:
        option, _, value = line.partition("=")
        if line.startswith("CONFIG_") and config.get(option.strip()) == answer:
            wanted += [word.removeprefix("dep:") for word in json.loads(value) if word.startswith("dep:")]
    return wanted


def link(output, archive, *objects):
    """The link proper: a static PIE without an interpreter."""
    run("LD", os.path.relpath(output, OBJTREE), LD, "-m", "elf_x86_64", "-pie", "--no-dynamic-linker", "-z", "text", "-z",
        "norelro", "-z", "noexecstack", "-z", "max-page-size=0x1000", "--build-id=sha1", "--gc-sections",
        "--orphan-handling=error" if os.environ.get("STRICT_LDS") else "--orphan-handling=place",
        "-T", LDS, "-o", output, "--whole-archive", archive, "--no-whole-archive", *objects)


def symbols(image, output):
    """Makes the symbol table of `image`."""
    tool = os.path.join(BUILD, "host/release/gen_kallsyms")
    run("KSYMS", os.path.relpath(output, OBJTREE), tool, image, output)
    with open(output, "rb") as f:
        return f.read()


def stamp(*files, text=""):
    """A digest that changes when one of `files` is written."""
    digest = hashlib.sha1(text.encode())
    for name in files:
        status = os.stat(name)
        digest.update(f"{name} {status.st_mtime_ns} {status.st_size}".encode())
    return digest.hexdigest()


def vmlinux(arguments):
    """Compiles everything and links the kernel, if something changed."""
    config = kconfig.auto_conf()
    wanted = features(config)
    chosen = ["--features", ",".join(wanted)] if wanted else []
    artifacts = {}
    parts = parts_of_modules(config) if IMAGE == "init" else []
    if not cargo(kernel_environment(config), "build", "--release", "-p", IMAGE, *parts, *BUILD_STD, *chosen, *arguments,
                 artifacts=artifacts):
        sys.exit(1)
    archive = os.path.join(CARGO_TARGET, TARGET, "release", f"lib{IMAGE}.a")
    extra = export_table(config, artifacts, archive) if IMAGE == "init" else []
    image, debug = os.path.join(OBJTREE, "vmlinux"), os.path.join(OBJTREE, "vmlinux.debug")
    named = config.get("CONFIG_KALLSYMS") == "y"
    mark = stamp(archive, LDS, __file__, *extra, text=f"{LD} {named}")
    mark_file = os.path.join(BUILD, "vmlinux.stamp")
    if os.path.exists(image) and os.path.exists(debug) and read(mark_file) == mark:
        return
    if named:
        if not cargo(host_environment(), "build", "--release", "-p", "gen_kallsyms", what="HOSTRS"):
            sys.exit(1)
        first, table, part = (os.path.join(BUILD, name) for name in ("vmlinux.tmp", "kallsyms.bin", "kallsyms.o"))
        link(first, archive, *extra)
        made = symbols(first, table)
        run("OBJCOPY", "build/kallsyms.o", OBJCOPY, "-I", "binary", "-O", "elf64-x86-64", "-B", "i386:x86-64",
            "--rename-section", ".data=.kallsyms,alloc,load,readonly,data,contents", "--strip-all", table, part)
        link(debug, archive, part, *extra)
        if symbols(debug, os.path.join(BUILD, "kallsyms.check")) != made:
            sys.exit("*** the second link moved code: .kallsyms must come after .text in vmlinux.lds")
        os.remove(first)
    else:
        link(debug, archive, *extra)
    run("OBJCOPY", "vmlinux", OBJCOPY, "--strip-all", f"--add-gnu-debuglink={debug}", debug, image)
    with open(mark_file, "w") as f:
        f.write(mark)


def read(path):
    """The text of a file, or None."""
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return None


def members():
    """The crates of the workspace: (name, level, directory, whether for the build machine only, has host tests)."""
    _, program = toolchain.find()
    done = subprocess.run([program, "metadata", "--format-version", "1", "--no-deps", "--manifest-path",
                           os.path.join(SRCTREE, "Cargo.toml")], env=toolchain.environment(), stdout=subprocess.PIPE,
                          text=True)
    if done.returncode != 0:
        sys.exit(1)
    found = []
    for package in json.loads(done.stdout)["packages"]:
        rideau = (package.get("metadata") or {}).get("rideau") or {}
        found.append({"name": package["name"], "level": rideau.get("level"), "host": rideau.get("host", False),
                      "container": bool(rideau.get("unsafe")),
                      "test": rideau.get("host_test", rideau.get("level") == 0),
                      "uses": {d["name"] for d in package["dependencies"] if d.get("path") and d["kind"] is None},
                      "dir": os.path.dirname(package["manifest_path"])})
    return found


def selected(condition):
    """`-p name` for the members that meet `condition`. The path tells ours from a crate of the registry."""
    chosen = []
    for member in members():
        if condition(member):
            chosen += ["-p", f"path+file://{member['dir']}#{member['name']}@0.1.0"]
    return chosen


def sanitize():
    """Host tests of unsafe code: under Miri where a nightly toolchain has it, else AddressSanitizer. They are in the crates that hold
    it and in those that use such a container directly: containers re-export each other's types, and test what they make of them."""
    containers = {member["name"] for member in members() if member["container"]}
    chosen = selected(lambda member: member["test"]
                      and (member["container"] or member["level"] == 1 or member["uses"] & containers))
    env = host_environment(os.path.join(BUILD, "sanitize"))
    miri = subprocess.run(["cargo", "+nightly", "miri", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if miri.returncode == 0:
        say("MIRI", "crates with unsafe code")
        for name in ("RUSTC", "RUSTC_BOOTSTRAP", "RUSTDOC"):
            env.pop(name, None)
        # Property tests at full length take hours there.
        env.update(PROPTEST_CASES="8", MIRIFLAGS="-Zmiri-disable-isolation")
        return subprocess.run(["cargo", "+nightly", "miri", "test", "-q", *chosen], cwd=SRCTREE, env=env).returncode
    say("ASAN", "crates with unsafe code (no Miri here)")
    # The compiler's own run-time library is not packaged; gcc's has the same interface.
    library = subprocess.run([os.environ.get("HOSTCC") or "cc", "-print-file-name=libasan.so"], stdout=subprocess.PIPE,
                             text=True, check=True).stdout.strip()
    host = "x86_64-unknown-linux-gnu"
    env["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(["-Zsanitizer=address", "-Zexternal-clangrt", "-Clink-arg=-lasan"])
    env["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"] = f"env LD_PRELOAD={library}"
    _, program = toolchain.find()
    line = [program, "test", "-q", "--target", host, "--lib", "--tests", *chosen]
    return subprocess.run(line, cwd=SRCTREE, env=env).returncode


def main():
    goal, arguments = sys.argv[1], sys.argv[2:]
    os.makedirs(BUILD, exist_ok=True)
    kernel = lambda member: not member["host"]  # noqa: E731
    if goal == "vmlinux":
        return vmlinux(arguments)
    if goal == "test":
        _, program = toolchain.find()
        # Their documentation has no examples to run; looking for some takes longer than many of the tests.
        line = [program, "test", "--lib", "--bins", "--tests", *(selected(lambda member: member["test"])), *arguments]
        return sys.exit(subprocess.run(line, cwd=SRCTREE, env=host_environment()).returncode)
    if goal == "sanitize":
        return sys.exit(sanitize())
    config = kconfig.auto_conf()
    env = kernel_environment(config)
    if goal == "check":
        good = cargo(env, "check", "--release", *BUILD_STD, *selected(kernel), *arguments, what="CHECK")
    elif goal == "clippy":
        driver = os.path.join(os.path.dirname(env["RUSTC"]), "cargo-clippy")
        if not os.path.exists(driver):
            sys.exit("*** clippy is missing: apt-get install rust-web-clippy (rustup: component add clippy)")
        env["CARGO_TARGET_DIR"] = os.path.join(BUILD, "clippy")
        env["PATH"] = os.path.dirname(env["RUSTC"]) + ":" + env["PATH"]
        line = [driver, "clippy", "-q", "--release", *BUILD_STD, *selected(kernel), *arguments]
        good = subprocess.run(line, cwd=SRCTREE, env=env).returncode == 0
    elif goal == "doc":
        env["CARGO_ENCODED_RUSTDOCFLAGS"] = env["CARGO_ENCODED_RUSTFLAGS"]
        good = cargo(env, "doc", "--release", "--no-deps", *BUILD_STD, *selected(kernel), *arguments, what="RUSTDOC")
        say("DOC", os.path.relpath(os.path.join(CARGO_TARGET, TARGET, "doc"), OBJTREE))
    elif goal == "rust-analyzer":
        good = rust_analyzer(env, config)
    else:
        sys.exit(f"unknown goal {goal}")
    sys.exit(0 if good else 1)


def rust_analyzer(env, config):
    """Writes .vscode/settings.json-like options for rust-analyzer: any editor takes the same keys."""
    options = {
        "rust-analyzer.cargo.target": TARGET,
        "rust-analyzer.cargo.extraArgs": ["-Zbuild-std=core,alloc"],
        "rust-analyzer.cargo.extraEnv": {k: env[k] for k in ("RUSTC", "RUSTC_BOOTSTRAP", "CARGO_TARGET_DIR")},
        "rust-analyzer.cargo.cfgs": [flag.removeprefix("--cfg=") for flag in rustflags(config)
                                     if flag.startswith("--cfg=")],
        "rust-analyzer.check.workspace": False,
        "rust-analyzer.check.allTargets": False,
    }
    path = os.path.join(OBJTREE, "rust-analyzer.json")
    kconfig.write_if_changed(path, json.dumps(options, indent=2) + "\n")
    say("GEN", os.path.relpath(path, OBJTREE))
    return True


if __name__ == "__main__":
    main()
