#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Loadable modules: `modules.py build | install`.

build    every crate that the configuration wants as a module, or with M=directory what its Makefile (or Kbuild) names in
         `obj-m`: `foo.o` is made of foo.rs. The result is foo.ko beside the source (M=), or below objtree at the crate's place.
install  copies them to $INSTALL_MOD_PATH/lib/modules/RELEASE and runs depmod.

A module is compiled by rustc against the very crates that are in the image (build/crates.json, written by build.py) and
linked with `ld -r`. See Documentation/kbuild/modules.md.
"""

import functools
import json
import os
import shutil
import subprocess
import sys

import build
import certs
import exports
import kconfig
import toolchain

OBJTREE, SRCTREE, BUILD = build.OBJTREE, build.SRCTREE, build.BUILD
AS = os.environ.get("AS") or "as"
LDS = os.path.join(SRCTREE, "scripts/module.lds")
# What Rust-for-Linux allows to code that is no abstraction.
FEATURES = "arbitrary_self_types,asm_goto"
# Crates that code outside of the tree can name, as in Rust-for-Linux; `pinned_init` is what macros of `pin_init` expand to, `kunit` what
# `#[kunit_tests]` does.
EXTERN = ["kernel", "kunit", "pin_init", "pinned_init", "zerocopy", "zerocopy_derive"]


def release():
    """`uname -r` of this kernel."""
    with open(os.path.join(BUILD, "crates.json")) as f:
        return json.load(f)["release"]


def load_crates():
    """What build.py left: files of the crates."""
    try:
        with open(os.path.join(BUILD, "crates.json")) as f:
            return json.load(f)
    except OSError:
        sys.exit("*** the kernel is not built: make vmlinux")


class Module:
    """One module to be built."""

    def __init__(self, name, root, output, in_tree, depends, file=None):
        self.name, self.root, self.output, self.in_tree = name, root, output, in_tree
        # {what its source calls a crate: the crate}
        self.depends = depends
        # What its file is called, where that is no name of a crate (9p).
        self.file = file or name
        # Crates that are part of it, as the image does not have them for modules.
        self.parts = []

    @property
    def base(self):
        """Path of its files less the ending."""
        return os.path.join(self.output, self.file)


def in_tree(config, crates):
    """The modules that the configuration wants: features of the image crate whose option is m."""
    wanted = build.modules_of(config)
    packages = {package["name"]: package for package in metadata()}
    modules = []
    for name in wanted:
        package = packages[name]
        target = next(t for t in package["targets"] if "lib" in t["kind"])
        place = os.path.relpath(os.path.dirname(package["manifest_path"]), SRCTREE)
        depends = {(dep["rename"] or dep["name"]).replace("-", "_"): dep["name"].replace("-", "_")
                   for dep in package["dependencies"] if dep["kind"] is None}
        rideau = package["metadata"]["rideau"]
        module = Module(target["name"], target["src_path"], os.path.join(OBJTREE, place), True, depends, rideau.get("module"))
        module.parts = own_parts(package["name"], crates)
        modules.append(module)
    # A module comes after those that it uses.
    names = {module.name for module in modules}
    done = []
    while modules:
        ready = [m for m in modules if not (set(m.depends.values()) & names) - {d.name for d in done}]
        done += ready
        modules = [m for m in modules if m not in ready]
        if not ready:
            sys.exit("*** modules depend on each other in a circle")
    return done


@functools.lru_cache
def below(root):
    """The names of crate `root` and of all below it."""
    _, program = toolchain.find()
    return exports.closure(program, toolchain.environment(), SRCTREE, root)


def own_parts(package, crates):
    """The files of the crates below a module's that `kernel` does not export: they are linked into the module."""
    names = below(package) - below("kernel") - {package, package.replace("-", "_")}
    # What is another module is called there; so is one that the image has.
    config = kconfig.auto_conf()
    others = {name.replace("-", "_") for name in [*build.modules_of(config), *build.shared_in_image(config)]}
    return [crates["crates"][name] for name in sorted(names - others) if name in crates["crates"]]


def metadata():
    """The workspace's packages."""
    _, program = toolchain.find()
    done = subprocess.run([program, "metadata", "--format-version", "1", "--no-deps", "--manifest-path",
                           os.path.join(SRCTREE, "Cargo.toml")], env=toolchain.environment(), stdout=subprocess.PIPE,
                          text=True, check=True)
    return json.loads(done.stdout)["packages"]


def external(directory):
    """The modules that M= names."""
    file = next((f for f in ("Kbuild", "Makefile") if os.path.exists(os.path.join(directory, f))), None)
    if not file:
        sys.exit(f"*** {directory} has no Makefile")
    auto = os.path.join(OBJTREE, "include/config/auto.conf")
    text = f"include {auto}\nKERNELRELEASE := {release()}\nsrc := {directory}\nobj := {directory}\n" \
           f"include {os.path.join(directory, file)}\n" \
           ".PHONY: __print\n__print:\n\t@:$(foreach o,$(obj-m),$(info OBJ $(o)))$(foreach o,$(obj-m),$(foreach d,$($(o:.o=-y)),$(info PART $(o) $(d))))\n"
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-s", "-f", "-", "__print"], input=text, cwd=directory, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"*** {directory}/{file} cannot be read")
    modules = []
    for line in done.stdout.splitlines():
        word = line.split()
        if word and word[0] == "OBJ":
            name = word[1].removesuffix(".o")
            root = os.path.join(directory, f"{name}.rs")
            parts = [w.split()[2] for w in done.stdout.splitlines() if w.startswith(f"PART {word[1]} ")]
            rust = [p for p in parts if os.path.exists(os.path.join(directory, p.removesuffix(".o") + ".rs"))]
            if rust:
                root = os.path.join(directory, rust[0].removesuffix(".o") + ".rs")
            if not os.path.exists(root):
                sys.exit(f"*** {name}.o: there is no {root}")
            modules.append(Module(os.path.basename(name), root, os.path.join(directory, os.path.dirname(name)), False,
                                  {extern: extern for extern in EXTERN}))
    return modules


def flags(config):
    """Flags of the compiler for a module: as for the image, but at fixed addresses that the loader fills in."""
    replaced = ("-Crelocation-model", "-Ccode-model")
    common = [flag for flag in build.rustflags(config) if not flag.startswith(replaced)]
    return common + ["-Crelocation-model=static", "-Ccode-model=kernel", "-Cpanic=abort", "-Copt-level=3",
                     "-Ccodegen-units=1", "-Cembed-bitcode=no", "--cfg", "MODULE", "-Zunstable-options"]


def compile(module, config, crates, built):
    """Compiles a module to an object and metadata."""
    rustc, _ = toolchain.find()
    files = crates["crates"]
    line = [rustc, "--crate-name", module.name, module.root, "--crate-type", "rlib", "--target", build.TARGET,
            f"--emit=obj={module.base}.o,metadata={module.output}/lib{module.name}.rmeta,dep-info={module.base}.d",
            *flags(config), f"-Cmetadata={module.name}"]
    for name in ("core", "alloc", "compiler_builtins"):
        line += ["--extern", f"noprelude:{name}={files[name]}"]
    for called, name in module.depends.items():
        if name in built:
            line += ["--extern", f"{called}={built[name].output}/lib{name}.rmeta"]
        else:
            line += ["--extern", f"{called}={files.get(name) or crates['host'][name]}"]
    line += ["-L", f"dependency={os.path.dirname(files['core'])}"]
    line += [word for path in sorted({os.path.dirname(p) for p in crates["host"].values()}) for word in ("-L", f"dependency={path}")]
    line += [word for m in built.values() for word in ("-L", f"dependency={m.output}")]
    if module.in_tree:
        line += ["--edition=2024"]
    else:
        line += ["--edition=2021", "-Zcrate-attr=no_std", f"-Zcrate-attr=feature({FEATURES})"]
    env = build.kernel_environment(config)
    env["RUST_MODFILE"] = module.base
    os.makedirs(module.output, exist_ok=True)
    run("RUSTC [M]", module.base + ".o", line, env)


def run(what, name, line, env=None):
    """Runs a command with its short line."""
    shown = os.path.relpath(name, OBJTREE) if name.startswith(OBJTREE + os.sep) else name
    if build.VERBOSE:
        print(" ".join(line), flush=True)
    else:
        print(f"  {what:<9} {shown}", flush=True)
    if subprocess.run(line, cwd=SRCTREE, env=env).returncode != 0:
        sys.exit(f"*** {what} {shown} failed")


def undefined(path):
    """Symbols that an object wants from elsewhere, in its order."""
    text = subprocess.run([exports.READELF, "-sW", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return [row[7] for row in rows if len(row) == 8 and row[6] == "UND" and row[4] in ("GLOBAL", "WEAK")]


def join(module):
    """Puts the crates that are part of a module into its object; their symbols are nobody else's."""
    if not module.parts:
        return
    crate = module.base + ".crate.o"
    os.replace(module.base + ".o", crate)
    run("LD [M]", module.base + ".o", [build.LD, "-m", "elf_x86_64", "-r", "-o", module.base + ".o", crate,
                                      "--start-group", *module.parts, "--end-group"])
    own = {name for name, _ in exports.symbols(crate)}
    others = sorted({name for name, _ in exports.symbols(module.base + ".o")} - own)
    if not others:
        # All of it was inlined; objcopy fails on an empty list.
        return
    with open(module.base + ".local", "w") as f:
        f.writelines(name + "\n" for name in others)
    run("OBJCOPY", module.base + ".o", [build.OBJCOPY, f"--localize-symbols={module.base}.local", module.base + ".o"])


def modpost(module, known):
    """The second object of a module: what it depends on, and the versions of the symbols that it uses."""
    wanted = undefined(module.base + ".o")
    missing = [name for name in wanted if name not in known]
    for name in missing:
        print(f'ERROR: modpost: "{name}" [{module.base}.ko] undefined!', file=sys.stderr)
    if missing:
        sys.exit(1)
    depends = sorted({known[name][1] for name in wanted} - {"vmlinux"})
    # As in Linux a module is called as its file is, whatever its source calls it.
    info = ["name=" + module.file.replace("-", "_"), "depends=" + ",".join(depends)] + (["intree=Y"] if module.in_tree else [])
    info += [f"symversion={own_version(module):08x}"]
    lines = ['.section .modinfo, "a", @progbits'] + [f'.asciz "{text}"' for text in info]
    lines += ['.section __version_ext_crcs, "a", @progbits', ".balign 4"] + [f".long {known[name][0]:#x}" for name in wanted]
    lines += ['.section __version_ext_names, "a", @progbits'] + [f'.asciz "{name}"' for name in wanted]
    # Where depmod looks for what a module has for others.
    own = sorted(own_symbols(module))
    if own:
        lines += ['.section __ksymtab_strings, "", @progbits'] + [f'.asciz "{name}"' for name in own]
    lines += ['.section .note.GNU-stack, "", @progbits']
    with open(module.base + ".mod.S", "w") as f:
        f.write("\n".join(lines) + "\n")
    run("AS [M]", module.base + ".mod.o", [AS, "-o", module.base + ".mod.o", module.base + ".mod.S"])


def own_version(module):
    """The version of the symbols that a module has for others."""
    import hashlib
    with open(f"{module.output}/lib{module.name}.rmeta", "rb") as f:
        return int.from_bytes(hashlib.sha256(f.read()).digest()[:4], "little") or 1


def link(module):
    """The module's file."""
    run("LD [M]", module.base + ".ko", [build.LD, "-m", "elf_x86_64", "-r", "-z", "noexecstack", "--build-id=sha1", "-T", LDS,
                                       "-o", module.base + ".ko", module.base + ".o", module.base + ".mod.o"])
    certs.sign_configured(kconfig.auto_conf(), module.base + ".ko")


def own_symbols(module):
    """What other modules may use of this one."""
    path = module.base + (".crate.o" if module.parts else ".o")
    return {name for name, visible in exports.symbols(path) if visible and name.startswith("_R")}


def make():
    """Builds all."""
    config = kconfig.auto_conf()
    if config.get("CONFIG_MODULES") != "y":
        if not os.environ.get("M"):
            return  # `make all` of a kernel without modules
        sys.exit("*** The present kernel configuration has modules disabled: CONFIG_MODULES is not set.")
    crates = load_crates()
    directory = os.environ.get("M")
    modules = external(os.path.abspath(directory)) if directory else in_tree(config, crates)
    symvers = os.path.join(OBJTREE, "Module.symvers")
    known = exports.read_symvers(symvers)
    for extra in os.environ.get("KBUILD_EXTRA_SYMBOLS", "").split():
        known.update(exports.read_symvers(extra))
    certificates = os.path.join(OBJTREE, "certs/certificates.der")
    built, own = {}, []
    for module in modules:
        stamp = build.stamp(symvers, __file__, LDS, certificates, os.path.join(OBJTREE, "include/generated/rustc_cfg"),
                            *sources(module), *module.parts, *[m.base + ".ko" for m in built.values()])
        if build.read(module.base + ".stamp") != stamp or not os.path.exists(module.base + ".ko"):
            compile(module, config, crates, built)
            join(module)
            modpost(module, known)
            link(module)
            stamp = build.stamp(symvers, __file__, LDS, certificates, os.path.join(OBJTREE, "include/generated/rustc_cfg"),
                                *sources(module), *module.parts, *[m.base + ".ko" for m in built.values()])
            with open(module.base + ".stamp", "w") as f:
                f.write(stamp)
        version = own_version(module)
        for name in own_symbols(module):
            known.setdefault(name, (version, module.file))
            own.append((version, name, module.file))
        built[module.name] = module
    top = os.path.abspath(directory) if directory else OBJTREE
    with open(os.path.join(top, "modules.order"), "w") as f:
        f.writelines(os.path.relpath(m.base, top) + ".o\n" for m in modules)
    if directory:
        with open(os.path.join(top, "Module.symvers"), "w") as f:
            f.writelines(f"{v:#010x}\t{n}\t{m}\tEXPORT_SYMBOL_GPL\t\n" for v, n, m in sorted(own, key=lambda o: o[1]))


def sources(module):
    """The files that a module was compiled from, as the compiler listed them; at first its root."""
    try:
        with open(module.base + ".d") as f:
            first = f.readline()
    except OSError:
        return [module.root]
    names = first.partition(":")[2].split()
    names = [os.path.join(SRCTREE, name) for name in names]
    return [name for name in names if os.path.exists(name)] or [module.root]


def install():
    """`make modules_install`."""
    top = os.path.join(os.environ.get("INSTALL_MOD_PATH") or "/", "lib/modules", release())
    directory = os.environ.get("M")
    source = os.path.abspath(directory) if directory else OBJTREE
    into = os.path.join(top, os.environ.get("INSTALL_MOD_DIR") or ("updates" if directory else "kernel"))
    with open(os.path.join(source, "modules.order")) as f:
        names = [line.strip().removesuffix(".o") + ".ko" for line in f]
    if not directory:
        shutil.rmtree(into, ignore_errors=True)
        os.makedirs(top, exist_ok=True)
    for name in names:
        target = os.path.join(into, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        print(f"  INSTALL {target}", flush=True)
        shutil.copy(os.path.join(source, name), target)
        if os.environ.get("INSTALL_MOD_STRIP"):
            subprocess.run(["strip", "--strip-debug", target], check=True)
            certs.sign_configured(kconfig.auto_conf(), target)
    if not directory:
        with open(os.path.join(top, "modules.order"), "w") as f:
            f.writelines(f"kernel/{name}\n" for name in names)
        builtin(kconfig.auto_conf(), top)
    depmod = shutil.which("depmod") or shutil.which("depmod", path="/usr/sbin:/sbin")
    if not depmod:
        print("depmod is missing (package kmod): modules.dep was not made", file=sys.stderr)
        return
    print(f"  DEPMOD  {top}", flush=True)
    base = os.environ.get("INSTALL_MOD_PATH") or "/"
    subprocess.run([depmod, "-b", base, release()], check=True)


def builtin(config, top):
    """`modules.builtin` and `modules.builtin.modinfo`: what modprobe and modinfo say of modules that are in the image."""
    in_image, packages = build.modules_of(config, "y"), {package["name"]: package for package in metadata()}
    files = {}
    for name in in_image:
        rideau = packages[name]["metadata"]["rideau"]
        if rideau.get("level") == 4:
            place = os.path.relpath(os.path.dirname(packages[name]["manifest_path"]), SRCTREE)
            target = next(t for t in packages[name]["targets"] if "lib" in t["kind"])
            file = rideau.get("module") or target["name"]
            files[file.replace("-", "_")] = os.path.join(place, file)
    with open(os.path.join(top, "modules.builtin"), "w") as f:
        f.writelines(f"kernel/{path}.ko\n" for path in sorted(files.values()))
    info = between(os.path.join(OBJTREE, "vmlinux.debug"), "__start_modinfo", "__stop_modinfo")
    # kmod reads what stands together of a module.
    lines = [line for line in info.split(b"\0") if line]
    for name, path in sorted(files.items()):
        own = [line for line in lines if line.startswith(name.encode() + b".")]
        lines = [line for line in lines if line not in own] + [f"{name}.file={path}".encode(), *own]
    with open(os.path.join(top, "modules.builtin.modinfo"), "wb") as f:
        f.write(b"".join(line + b"\0" for line in lines))


def between(path, start, stop):
    """What an ELF file has between two of its symbols."""
    def rows(option):
        done = subprocess.run([exports.READELF, option, path], stdout=subprocess.PIPE, text=True, check=True)
        return [line.split() for line in done.stdout.splitlines()]

    places = {row[7]: int(row[1], 16) for row in rows("-sW") if len(row) == 8 and row[7] in (start, stop)}
    first, last = places[start], places[stop]
    for row in rows("-lW"):
        if row[:1] == ["LOAD"]:
            offset, address, size = (int(row[i], 16) for i in (1, 2, 4))
            if address <= first and last <= address + size:
                with open(path, "rb") as f:
                    f.seek(offset + first - address)
                    return f.read(last - first)
    sys.exit(f"*** {path}: no {start}")


if __name__ == "__main__":
    if sys.argv[1] == "build":
        with build.crates_at_rest():
            make()
    else:
        install()
