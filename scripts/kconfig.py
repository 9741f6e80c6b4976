#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The configuration targets of make, on Debian's kconfiglib: `kconfig.py TARGET [fragment...]`.

Environment: srctree, objtree. The result is `objtree/.config`; `sync` turns it into include/generated/rustc_cfg (one
`--cfg=` a line, as Rust-for-Linux has it) and include/config/auto.conf (for make and scripts).
"""

import os
import sys

SRCTREE = os.environ.get("srctree") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OBJTREE = os.environ.get("objtree") or SRCTREE
CONFIG = os.path.join(OBJTREE, ".config")
DEFCONFIG = os.path.join(SRCTREE, "arch/x86/configs/x86_64_defconfig")
TINYCONFIG = os.path.join(SRCTREE, "kernel/configs/tiny.config")

os.environ.setdefault("srctree", SRCTREE)
os.environ["KCONFIG_CONFIG"] = CONFIG
os.environ.setdefault("KCONFIG_CONFIG_HEADER", "#\n# Automatically generated file; DO NOT EDIT.\n# Rideau kernel configuration\n#\n")

try:
    import kconfiglib
except ImportError:
    # deps.py, which installs it, takes the paths from here. Whoever calls anything is told (`load`).
    kconfiglib = None


def load():
    """The parsed Kconfig files."""
    if kconfiglib is None:
        sys.exit("*** python3-kconfiglib is missing: apt-get install python3-kconfiglib")
    os.chdir(OBJTREE)
    return kconfiglib.Kconfig(os.path.join(SRCTREE, "Kconfig"), warn_to_stderr=True)


def write_if_changed(path, text):
    """Writes `text`, leaving an equal file (and its time) alone."""
    try:
        with open(path) as f:
            if f.read() == text:
                return False
    except OSError:
        pass
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return True


def current(kconf, needed=True):
    """Loads .config into `kconf`; the default configuration where there is none."""
    if os.path.exists(CONFIG):
        kconf.load_config(CONFIG)
    elif needed:
        print(f"  DEFCONFIG {os.path.relpath(DEFCONFIG, SRCTREE)}")
        kconf.load_config(DEFCONFIG)
    return kconf


def save(kconf):
    """Writes .config and says so if that changed it."""
    message = kconf.write_config(CONFIG, save_old=True)
    print(f"#\n# {message}\n#" if "No change" not in message else f"# {message}")


def sync(kconf):
    """Writes what the build reads out of the configuration."""
    flags, lines = [], []
    for symbol in kconf.unique_defined_syms:
        value, kind = symbol.str_value, symbol.orig_type
        name = "CONFIG_" + symbol.name
        if kind in (kconfiglib.BOOL, kconfiglib.TRISTATE):
            if value == "n":
                continue
            flags += [f"--cfg={name}", f'--cfg={name}="{value}"']
            lines.append(f"{name}={value}")
        elif kind == kconfiglib.STRING:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            flags.append(f'--cfg={name}="{escaped}"')
            lines.append(f'{name}="{escaped}"')
        elif value:
            flags.append(f'--cfg={name}="{value}"')
            lines.append(f"{name}={value}")
    write_if_changed(os.path.join(OBJTREE, "include/generated/rustc_cfg"), "\n".join(flags) + "\n")
    write_if_changed(os.path.join(OBJTREE, "include/config/auto.conf"), "\n".join(lines) + "\n")


def check(kconf):
    """Every option must have a help text."""
    bad = [node.item.name for node in kconf.node_iter(unique_syms=True)
           if isinstance(node.item, kconfiglib.Symbol) and node.prompt and not node.help]
    if bad:
        sys.exit("*** options without help: " + " ".join(sorted(set(bad))))


def auto_conf():
    """The configuration as a dictionary, for the other scripts."""
    values = {}
    with open(os.path.join(OBJTREE, "include/config/auto.conf")) as f:
        for line in f:
            name, _, value = line.strip().partition("=")
            values[name] = value.strip('"')
    return values


def main():
    target, fragments = sys.argv[1], sys.argv[2:]
    kconf = load()
    if target == "defconfig":
        kconf.load_config(DEFCONFIG)
    elif target == "tinyconfig":
        kconf.warn = False
        for symbol in kconf.unique_defined_syms:
            if symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
                symbol.set_value(2 if symbol.choice else 0)
        kconf.load_config(TINYCONFIG, replace=False)
    elif target in ("olddefconfig", "sync"):
        current(kconf)
    elif target == "oldconfig":
        import oldconfig
        oldconfig.conf_changed = True
        current(kconf)
        while oldconfig.conf_changed:  # an answer may make earlier questions visible
            oldconfig.conf_changed = False
            for node in kconf.node_iter():
                oldconfig.oldconfig(node)
    elif target == "menuconfig":
        import menuconfig
        current(kconf)
        save(kconf)
        menuconfig.menuconfig(kconf)
        return
    elif target == "savedefconfig":
        current(kconf)
        print(kconf.write_min_config(os.path.join(OBJTREE, "defconfig")))
        return
    elif target == "merge":
        current(kconf)
        for name in fragments:
            kconf.load_config(os.path.join(SRCTREE, "kernel/configs", name), replace=False)
    elif target == "check":
        check(kconf)
        return
    else:
        sys.exit(f"unknown target {target}")
    if target == "sync":
        if not os.path.exists(CONFIG):
            save(kconf)
        sync(kconf)
    else:
        save(kconf)


if __name__ == "__main__":
    main()
