# SPDX-License-Identifier: GPL-2.0
"""The examples in the documentation of Rust-for-Linux's `kernel` crate, compiled one by one against ours: only whether they compile
is looked at, nothing of them is kept. As where Linux runs them, `assert_eq!` compares alone: what it compares need not be printable."""

import concurrent.futures
import os
import re
import subprocess
import sys

from guest import programs

sys.path.insert(0, os.path.join(programs.SRCTREE, "scripts"))
# What says that a block is no test that runs.
SKIP = {"ignore", "text", "compile_fail", "c", "sh", "toml", "console", "should_panic"}
HEAD = """#![allow(dead_code, unused, unreachable_pub, non_snake_case)]
const __LOG_PREFIX: &[u8] = b"rust_doctests_kernel\\0";
static THIS: ::kernel::ThisModule = ::kernel::ThisModule::new(None);
macro_rules! assert_eq { ($left:expr, $right:expr $(,)?) => { assert!($left == $right) } }
struct LocalModule;
impl ::kernel::ModuleMetadata for LocalModule {
    const NAME: &'static ::core::ffi::CStr = c"example";
    fn this_module() -> &'static ::kernel::ThisModule { &THIS }
}
"""


def blocks(path):
    """The examples in a file."""
    found, block = [], None
    with open(path) as f:
        for line in f:
            text = re.match(r"\s*//[/!] ?(.*)", line)
            if not text:
                block = None
                continue
            text = text.group(1)
            fence = re.match(r"\s*```(.*)", text)
            if fence and block is None:
                words = set(re.findall(r"[\w-]+", fence.group(1)))
                block = (not words & SKIP, [])
            elif fence:
                if block[0] and block[1]:
                    found.append("\n".join(block[1]))
                block = None
            elif block is not None:
                hidden = re.match(r"\s*#(?: (.*))?$", text)
                block[1].append((hidden.group(1) or "") if hidden else text)
    return found


def source(body):
    """An example as a crate."""
    attributes = "".join(line + "\n" for line in body.splitlines() if line.startswith("#!["))
    body = "\n".join(line for line in body.splitlines() if not line.startswith("#!["))
    if re.search(r"\bfn main\(", body):
        return HEAD + f"use ::kernel::prelude::*;\n{body}\n"
    if body.rstrip().endswith("(())"):
        body = f"fn _inner() -> ::core::result::Result<(), impl ::core::fmt::Debug> {{\n{body}\n}}\nlet _ = _inner();"
    return HEAD + f"pub fn example() {{\nuse ::kernel::prelude::*;\n{body}\n}}\n"


def compile_one(line, env, path, text):
    with open(path, "w") as f:
        f.write(text)
    done = subprocess.run([*line, path, "-o", path + ".rmeta"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout


def compile_all(tree, work, objtree, log=None):
    """Module of the crate: (how many compile, of how many)."""
    os.environ.update({"objtree": objtree, "srctree": programs.SRCTREE})
    import build
    import kconfig
    import modules
    import toolchain
    config, crates = kconfig.auto_conf(), modules.load_crates()
    files, rustc = crates["crates"], toolchain.find()[0]
    line = [rustc, "--crate-name", "example", "--crate-type", "rlib", "--target", build.TARGET, "--emit=metadata", *modules.flags(config),
            "--edition=2021", "-Zcrate-attr=no_std", f"-Zcrate-attr=feature({modules.FEATURES})", "-Cmetadata=example"]
    for name in ("core", "alloc", "compiler_builtins"):
        line += ["--extern", f"noprelude:{name}={files[name]}"]
    for name in modules.EXTERN:
        line += ["--extern", f"{name}={files.get(name) or crates['host'][name]}"]
    line += ["-L", f"dependency={os.path.dirname(files['core'])}"]
    line += [word for path in sorted({os.path.dirname(p) for p in crates["host"].values()}) for word in ("-L", f"dependency={path}")]
    env = build.kernel_environment(config)
    env["RUST_MODFILE"] = "example"
    top, jobs = os.path.join(tree, "rust/kernel"), []
    directory = os.path.join(work, "examples")
    os.makedirs(directory, exist_ok=True)
    for place, _, names in sorted(os.walk(top)):
        for name in sorted(names):
            if name.endswith(".rs"):
                relative = os.path.relpath(os.path.join(place, name), top)
                module = relative.removesuffix(".rs").split("/")[0]
                for at, body in enumerate(blocks(os.path.join(place, name))):
                    base = re.sub(r"\W", "_", relative.removesuffix(".rs"))
                    jobs.append((module, os.path.join(directory, f"{base}_{at}.rs"), source(body)))
    shares = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (module, path, _), (good, text) in zip(jobs, pool.map(lambda job: compile_one(line, env, job[1], job[2]), jobs)):
            have = shares.get(module, (0, 0))
            shares[module] = (have[0] + good, have[1] + 1)
            if not good and log:
                log.write(f"== {os.path.basename(path)}\n{text}\n")
    return shares
