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


def missing(text):
    """Names that the compiler did not find in this kernel's crate."""
    found = set()
    for pattern in (r"unresolved imports? (.+)", r"cannot find (?:type|trait|function|macro|module or crate|value|attribute)[^`]*`([^`]+)`",
                    r"cannot find `([^`]+)` in", r"could not find `([^`]+)` in",
                    r"no (?:method|associated function or constant|associated item|function or associated item) named `([^`]+)`"):
        for match in re.finditer(pattern, text):
            found |= set(re.findall(r"`([^`]+)`", match.group(1))) or {match.group(1)}
    return found


class Failure:
    """An example that does not compile: its file, its number there (from 1), and the names that are missing, else the first error."""

    def __init__(self, file, number, text):
        names = sorted(missing(text))
        error = re.search(r"^error(?:\[E\d+\])?: (.+)$", text, re.M)
        self.file, self.number = file, number
        self.why = ", ".join(f"`{name}`" for name in names) or (error.group(1) if error else "?").replace("|", "\\|")


def compiler(objtree):
    """The compiler's command line and environment, for the kernel that was built in `objtree`."""
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
    return line, env


def compile_all(tree, work, line, env, log=None):
    """Module of the crate: (how many compile, of how many); and what became of the others."""
    import build
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
                    jobs.append((module, os.path.join(directory, f"{base}_{at}.rs"), source(body), relative, at))
    shares, failures = {}, []
    with build.crates_at_rest(), concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda job: compile_one(line, env, job[1], job[2]), jobs)
        for (module, path, _, relative, at), (good, text) in zip(jobs, done):
            have = shares.get(module, (0, 0))
            shares[module] = (have[0] + good, have[1] + 1)
            if not good:
                failures.append(Failure(relative, at + 1, text))
                if log:
                    log.write(f"== {os.path.basename(path)}\n{text}\n")
    return shares, failures
