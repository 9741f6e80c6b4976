# SPDX-License-Identifier: GPL-2.0
"""Linux's Rust sources, from the newest linux-source package of Debian's backports: fetched into the build directory, never
committed, and unpacked as far as they are wanted."""

import os
import re
import subprocess

from guest import debian

SUITE = "trixie-backports"
# What is unpacked of the tree.
PARTS = ["rust/kernel", "samples/rust", "drivers/gpu/drm/drm_panic_qr.rs", "mm/kasan/kasan_test_rust.rs",
         "lib/find_bit_benchmark_rust.rs", "drivers/block/rnull", "drivers/net/phy/ax88796b_rust.rs",
         "drivers/net/phy/qt2025.rs", "drivers/cpufreq/rcpufreq_dt.rs", "drivers/pwm/pwm_th1520.rs", "drivers/android/binder"]


def top():
    """Where it all lies: shared by the kernels that `make check` builds."""
    out = os.environ.get("KBUILD_OUTPUT") or debian.SRCTREE
    return os.path.join(re.sub(r"/build/check/(debug|release)/?$", "", os.path.abspath(out)), "build", "testing", "linux-rust")


def mirror():
    """The address that this machine's apt has for Debian, and the keyring."""
    text = ""
    for directory, _, names in os.walk("/etc/apt"):
        for name in names:
            if name.endswith((".sources", ".list")):
                with open(os.path.join(directory, name)) as f:
                    text += f.read()
    found = re.search(r"(https?://\S+/debian)/?(?=\s)", text)
    return found.group(1) if found else "http://deb.debian.org/debian"


def _apt(work):
    """apt's options for the other suite: lists and cache of our own, the machine's left as they are."""
    for directory in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(work, directory), exist_ok=True)
    sources = os.path.join(work, "sources.list")
    with open(sources, "w") as f:
        f.write(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror()} {SUITE} main\n")
    return [word for option in (f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null",
                                f"Dir::State::Lists={work}/lists", f"Dir::Cache={work}/cache", "APT::Sandbox::User=root")
            for word in ("-o", option)]


def tree():
    """The directory with the sources, fetched at the first call; its name is the package's version."""
    work = top()
    have = sorted(name for name in (os.listdir(work) if os.path.isdir(work) else []) if name.startswith("linux-7"))
    if have:
        return os.path.join(work, have[-1])
    options = _apt(work)
    quiet = {"check": True, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    subprocess.run(["apt-get", *options, "update"], **quiet)
    names = subprocess.run(["apt-cache", *options, "pkgnames", "linux-source-7"], **quiet).stdout.split()
    name = max(names, key=lambda n: [int(part) for part in re.findall(r"\d+", n)])
    subprocess.run(["apt-get", *options, "download", name], cwd=work, **quiet)
    deb = next(n for n in sorted(os.listdir(work)) if n.startswith(name + "_") and n.endswith(".deb"))
    version = deb.split("_")[1].split("-")[0]
    unpacked = os.path.join(work, "package")
    subprocess.run(["dpkg-deb", "-x", os.path.join(work, deb), unpacked], check=True)
    part = os.path.join(work, "part")
    os.makedirs(part, exist_ok=True)
    subprocess.run(["tar", "-xJf", os.path.join(unpacked, "usr/src", name + ".tar.xz"), "-C", part, "--strip-components=1",
                    "--wildcards", *[f"{name}/{p}*" for p in PARTS]], check=True)
    into = os.path.join(work, "linux-" + version)
    os.rename(part, into)
    return into
