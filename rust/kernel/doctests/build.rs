// SPDX-License-Identifier: GPL-2.0
//! Makes tests of the examples in the documentation of `rust/kernel` and `rust/kalloc`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::{env, fs};

/// Where the documentation is, from this crate's directory. A path of Rust-for-Linux may be in several of them.
const PLACES: [&str; 6] =
    ["../src", "../core/src", "../base/src", "../raw/src", "../../kalloc/core/src", "../../kalloc/src"];
/// What says of a block that it is no example to be compiled.
const NOT_CODE: [&str; 8] = ["ignore", "text", "compile_fail", "should_panic", "c", "sh", "toml", "console"];

fn die(message: &str) -> ! {
    eprintln!("doctests: {message}");
    exit(1)
}

/// A block of code in a comment.
struct Example {
    line: usize,
    runs: bool,
    text: String,
}

/// The Rust files below `directory`, in order.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { die(&format!("cannot read {}", directory.display())) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The examples in a source.
fn examples(source: &str) -> Vec<Example> {
    let mut found = Vec::new();
    // The block that is open, and whether it is an example.
    let mut block: Option<(Example, bool)> = None;
    for (at, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let Some(text) = line.strip_prefix("//!").or_else(|| line.strip_prefix("///")) else {
            block = None;
            continue;
        };
        let text = text.strip_prefix(' ').unwrap_or(text);
        if let Some(info) = text.trim_start().strip_prefix("```") {
            match block.take() {
                Some((example, code)) => found.extend(code.then_some(example)),
                None => {
                    let mut words = info.split(|c: char| !c.is_alphanumeric() && c != '_');
                    let runs = !info.contains("no_run");
                    let code = !words.any(|word| NOT_CODE.contains(&word));
                    block = Some((Example { line: at + 1, runs, text: String::new() }, code));
                }
            }
        } else if let Some((example, _)) = &mut block {
            let shown = text.trim_start();
            let text = if shown == "#" { "" } else { shown.strip_prefix("# ").unwrap_or(text) };
            example.text.push_str(text);
            example.text.push('\n');
        }
    }
    found
}

/// The option without which a file is not compiled.
fn option(path: &str) -> Option<&'static str> {
    match path.split('/').next().unwrap_or_default().trim_end_matches(".rs") {
        "block" | "filesystem" => Some("CONFIG_BLOCK"),
        "pci" => Some("CONFIG_PCI"),
        _ => None,
    }
}

/// `sync/lock/mod.rs` as `sync_lock`.
fn flat(path: &str) -> String {
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "_")
}

/// Appends an example as a function.
fn write(out: &mut String, name: &str, path: &str, example: &Example) {
    let condition = option(path).map_or(String::new(), |option| format!("#[cfg({option} = \"y\")]\n"));
    let test = if example.runs { "#[test]\n" } else { "" };
    // The last expression says so if the example may fail.
    let may_fail = example.text.trim_end().ends_with("(())");
    let result = if may_fail { " -> kernel::error::Result" } else { "" };
    let line = example.line;
    let _ = write!(out, "// {path}:{line}\n{condition}{test}fn {name}(){result} {{\n{}}}\n\n", example.text);
}

fn main() {
    let mut out = String::from(
        "#[macros::kunit_tests(rust_doctests_kernel)]\n\
         #[allow(dead_code, unused_imports, unused_variables, unreachable_pub, reason = \"they show something\")]\n\
         mod examples {\nuse kernel::prelude::*;\n\n",
    );
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for place in PLACES {
        println!("cargo::rerun-if-changed={place}");
        let mut paths = Vec::new();
        files(Path::new(place), &mut paths);
        for path in paths {
            let Ok(source) = fs::read_to_string(&path) else { die(&format!("cannot read {}", path.display())) };
            let relative = path.strip_prefix(place).unwrap_or(&path).display().to_string();
            for example in examples(&source) {
                let module = flat(&relative);
                let count = counts.entry(module.clone()).or_default();
                write(&mut out, &format!("rust_doctest_kernel_{module}_rs_{count}"), &relative, &example);
                *count += 1;
            }
        }
    }
    out.push_str("}\n");
    let Some(directory) = env::var_os("OUT_DIR") else { die("no OUT_DIR") };
    if fs::write(Path::new(&directory).join("examples.rs"), out).is_err() {
        die("cannot write into OUT_DIR");
    }
}
