# SPDX-License-Identifier: GPL-2.0
"""Builds Linux's kselftests from Debian's linux-source package, unmodified, once for each version of the package.

Everything lies below build/testing, shared by the kernels that `make check` builds: the package, the part of its tree
that the tests need, the libraries whose headers they include (unpacked, not installed) and the installed tests.
"""

import os
import re
import shutil
import subprocess

from guest import debian

PACKAGE = "linux-source-6.1"
# Collections by their names in 6.1; `vm` became `mm` later.
TARGETS = ("clone3 core exec futex kcmp membarrier mincore mount openat2 pidfd prctl proc rlimits rseq sigaltstack size "
           "splice timers tmpfs user vDSO vm x86").split()
# What the tests and `make headers` read of the tree: the whole has 1.3 GB.
PARTS = "Makefile Kbuild Kconfig scripts include arch/x86 tools usr lib/vdso lib/test_hmm_uapi.h mm/gup_test.h".split()
LIBRARIES = "libcap-dev libcap2 libcap-ng-dev libcap-ng0 libpopt-dev libpopt0 libnuma-dev libnuma1".split()
# `make install` calls rsync only to copy files and directories.
RSYNC = '#!/bin/sh\nwhile case $1 in -*) true;; *) false;; esac; do shift; done\nexec cp -a "$@"\n'


def top():
    """Where it all lies: build/testing of the tree of output that holds both of `make check`'s kernels."""
    out = os.environ.get("KBUILD_OUTPUT") or debian.SRCTREE
    return os.path.join(re.sub(r"/build/check/(debug|release)/?$", "", os.path.abspath(out)), "build", "testing")


def unpack(package):
    """`package`'s files, unpacked."""
    return debian.unpack(package, os.path.join(top(), "packages"))


def version():
    """The version of the package that was unpacked, downloaded at the first call."""
    debs = os.path.join(top(), "packages", "debs")
    unpack(PACKAGE)
    name = next(n for n in sorted(os.listdir(debs)) if n.startswith(PACKAGE + "_"))
    return name.split("_")[1]


def library_path():
    """Directories of the libraries that were unpacked."""
    return [os.path.join(unpack(p), d) for p in LIBRARIES for d in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
            if os.path.isdir(os.path.join(unpack(p), d))]


def environment():
    """make's environment: nothing of an outer make, and the unpacked libraries where the compiler looks by itself."""
    drop = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "KBUILD_OUTPUT", "O", "ARCH", "srctree", "objtree", "CFLAGS")
    env = {name: value for name, value in os.environ.items() if name not in drop}
    # A development package's libX.so is a link to the library's file, which lies in the other package.
    links = os.path.join(top(), "kselftest", "lib")
    os.makedirs(links, exist_ok=True)
    for directory in library_path():
        for name in os.listdir(directory):
            link = os.path.join(links, re.sub(r"\.so\.\d+$", ".so", name))
            if re.search(r"\.so\.\d+$", name) and not os.path.lexists(link):
                os.symlink(os.path.join(directory, name), link)
    env["CPATH"] = ":".join(os.path.join(unpack(p), "usr/include") for p in LIBRARIES if p.endswith("-dev"))
    env["LIBRARY_PATH"] = links
    env["LC_ALL"] = "C"
    return env


def _run(log, argv, **more):
    with open(log, "ab") as f:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, **more).returncode


def build():
    """The directory with the installed tests of `TARGETS`, built at the first call."""
    work = os.path.join(top(), "kselftest", version())
    installed, done = os.path.join(work, "install"), os.path.join(work, "built")
    wanted = " ".join(["2:", *TARGETS])         # the number: of the way they are built
    if os.path.exists(done) and open(done).read() == wanted:
        return installed
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.join(work, "bin"))
    log, tree, out = (os.path.join(work, n) for n in ("build.log", "linux", "out"))
    print(f"building kselftests of {PACKAGE} {version()} (log: {log})", flush=True)
    os.mkdir(tree)
    tar = os.path.join(unpack(PACKAGE), "usr/src", PACKAGE + ".tar.xz")
    names = [f"{PACKAGE}/{part}" for part in PARTS]
    subprocess.run(["tar", "-xJf", tar, "-C", tree, "--strip-components=1", *names], check=True)
    rsync = os.path.join(work, "bin", "rsync")
    with open(rsync, "w") as f:
        f.write(RSYNC)
    os.chmod(rsync, 0o755)
    env = environment()
    env["PATH"] = os.path.join(work, "bin") + ":" + env["PATH"]
    if _run(log, ["make", "-C", tree, f"O={out}", "-j2", "headers"], env=env):
        raise SystemExit(f"*** make headers failed: see {log}")
    # -k: a collection with a program that does not build here is installed without it.
    tests = os.path.join(tree, "tools/testing/selftests")
    _run(log, ["make", "-k", "-j2", "-C", tests, f"O={out}", f"KSFT_INSTALL_PATH={installed}", f"TARGETS={' '.join(TARGETS)}",
               "CAN_BUILD_I386=0", "install"], env=env)
    missing = [t for t in TARGETS if not os.path.isdir(os.path.join(installed, t))]
    if missing:
        raise SystemExit(f"*** not built: {' '.join(missing)}; see {log}")
    shutil.rmtree(out)
    with open(done, "w") as f:
        f.write(wanted)
    return installed
