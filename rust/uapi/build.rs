// SPDX-License-Identifier: GPL-2.0
//! Makes the `uapi` bindings: runs Debian's `bindgen` over `uapi_helper.h`, then adds `FromBytes`/`AsBytes` for the
//! types that qualify, and the release string of the kernel level the headers describe.

use quote::{format_ident, quote};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, exit};
use std::{env, fs};

fn die(message: &str) -> ! {
    eprintln!("uapi: {message}");
    exit(1)
}

fn run(command: &mut Command, what: &str) -> std::process::Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => die(&format!("cannot run {what}: {error} (see `make help` for the packages that are needed)")),
    }
}

/// The directory that stands for the C library's headers.
fn include_arg(header: &Path) -> String {
    format!("-I{}/include", header.parent().unwrap_or(Path::new(".")).display())
}

/// Object-like macros whose body bindgen cannot evaluate (it needs `sizeof` or a cast), as the C preprocessor lists them.
fn macro_candidates(cc: &str, header: &Path) -> Vec<String> {
    let output = run(
        Command::new(cc).args(["-E", "-dM", "-ffreestanding", &include_arg(header)]).arg(header),
        "the C preprocessor",
    );
    if !output.status.success() {
        die(&String::from_utf8_lossy(&output.stderr));
    }
    let mut names = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, body)) = line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) else { continue };
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain && !name.starts_with("__") && !name.starts_with("_I") && body.contains('(') && !body.contains('"') {
            names.insert(name.to_string());
        }
    }
    names.into_iter().collect()
}

/// Keeps the candidates that are integer constant expressions, asking the C compiler.
fn integer_macros(cc: &str, header: &Path, out: &Path, candidates: Vec<String>) -> Vec<String> {
    let probe = out.join("probe.c");
    let mut good = candidates;
    // The compiler reports an unknown identifier once only, so it is asked again until it has nothing to say.
    for _ in 0..20 {
        let mut text = format!("#include \"{}\"\n", header.display());
        for name in &good {
            text.push_str(&format!("#line 1 \"{name}\"\nenum {{ probe_{name} = (long long)(~({name}) & 1) }};\n"));
        }
        if fs::write(&probe, text).is_err() {
            die("cannot write into OUT_DIR");
        }
        let flags = ["-fsyntax-only", "-fmax-errors=0", "-ftrack-macro-expansion=0", "-ffreestanding"];
        let output = run(Command::new(cc).args(flags).arg(include_arg(header)).arg(&probe), "the C compiler");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let errors = stderr.lines().filter(|line| line.contains("error:"));
        let bad: BTreeSet<&str> = errors.filter_map(|line| line.split(':').next()).collect();
        if bad.is_empty() {
            return good;
        }
        let before = good.len();
        good.retain(|name| !bad.contains(name.as_str()));
        if good.len() == before {
            die(&stderr);
        }
    }
    die("the UAPI headers do not compile")
}

fn bindings(header: &Path, out: &Path, macros: &[String]) -> String {
    let wrapper = out.join("wrapper.h");
    let mut text = format!("#include \"{}\"\n", header.display());
    for name in macros {
        text.push_str(&format!(
            "const long long RIDEAU_CONST_{name} = (long long)({name});\n\
             const int RIDEAU_UNSIGNED_{name} = ((__typeof__(({name}) | 0))-1 > 0);\n"
        ));
    }
    if fs::write(&wrapper, text).is_err() {
        die("cannot write into OUT_DIR");
    }
    let include = include_arg(header);
    let output = run(
        Command::new("bindgen").env_remove("TARGET").arg(&wrapper).args([
            "--use-core",
            "--ctypes-prefix",
            "core::ffi",
            "--no-layout-tests",
            "--no-doc-comments",
            "--with-derive-default",
            "--with-derive-eq",
            "--explicit-padding",
            "--no-prepend-enum-name",
            "--ignore-functions",
            "--no-rustfmt-bindings",
            // Its trailing union makes bindgen compute a negative padding; the socket layer reads it by hand.
            "--blocklist-type",
            "group_filter.*|group_req.*",
            // A handler is an address in the program, never a function of ours.
            "--blocklist-type",
            "__sighandler_t|__sigrestore_t",
            "--raw-line",
            "pub type __sighandler_t = usize; pub type __sigrestore_t = usize;",
            "--",
            "--target=x86_64-linux-gnu",
            "-ffreestanding",
            &include,
        ]),
        "bindgen (package bindgen)",
    );
    if !output.status.success() {
        die(&String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The type of a constant as bindgen gives it to a plain macro of that value.
fn constant_type(value: i128) -> syn::Type {
    match value {
        v if v < i128::from(i32::MIN) => syn::parse_quote!(i64),
        v if v < 0 => syn::parse_quote!(i32),
        v if v <= i128::from(u32::MAX) => syn::parse_quote!(u32),
        _ => syn::parse_quote!(u64),
    }
}

/// Gives the constants made by `bindings` the names of their macros; where bindgen has found one by itself, ours replaces
/// it only if it is unsigned and bindgen's is negative (`RLIM_INFINITY`).
fn rename_constants(file: &mut syn::File) {
    let mut values = BTreeMap::new();
    for item in &file.items {
        if let syn::Item::Const(constant) = item {
            let expr = &constant.expr;
            values.insert(constant.ident.to_string(), quote!(#expr).to_string().replace(' ', ""));
        }
    }
    // The value of macro `name` as the C compiler sees it.
    let value_of = |name: &str| {
        let value = values.get(&format!("RIDEAU_CONST_{name}"))?.parse::<i64>().ok()?;
        let unsigned = values.get(&format!("RIDEAU_UNSIGNED_{name}")).is_some_and(|v| v == "1");
        Some(if unsigned { i128::from(value.cast_unsigned()) } else { i128::from(value) })
    };
    let is_negative = |name: &str| values.get(name).is_some_and(|v| v.starts_with('-'));
    file.items.retain_mut(|item| {
        let syn::Item::Const(constant) = item else { return !matches!(item, syn::Item::ForeignMod(_)) };
        let full = constant.ident.to_string();
        if full.starts_with("RIDEAU_UNSIGNED_") {
            return false;
        }
        let Some(name) = full.strip_prefix("RIDEAU_CONST_") else {
            return !(is_negative(&full) && value_of(&full).is_some_and(|v| v > 0));
        };
        let Some(value) = value_of(name) else { return false };
        if values.contains_key(name) && !(is_negative(name) && value > 0) {
            return false;
        }
        constant.ident = format_ident!("{name}");
        *constant.ty = constant_type(value);
        if let Ok(expr) = syn::parse_str(&value.to_string()) {
            *constant.expr = expr;
        }
        true
    });
}

/// What is known of a generated type: the types of its fields, in order.
struct Shape {
    fields: Vec<syn::Type>,
    union: bool,
    generic: bool,
}

struct Shapes {
    aliases: BTreeMap<String, syn::Type>,
    types: BTreeMap<String, Shape>,
}

impl Shapes {
    /// Whether every bit pattern is a valid value, and (with `bytes`) every byte always initialised.
    fn plain(&self, ty: &syn::Type, bytes: bool) -> bool {
        match ty {
            syn::Type::Array(array) => self.plain(&array.elem, bytes),
            syn::Type::Ptr(_) => true,
            syn::Type::Path(path) => {
                let Some(last) = path.path.segments.last() else { return false };
                let name = last.ident.to_string();
                if let Some(alias) = self.aliases.get(&name) {
                    return self.plain(alias, bytes);
                }
                if name == "__IncompleteArrayField" {
                    return true; // without a size
                }
                if let Some(shape) = self.types.get(&name) {
                    return !(shape.generic || bytes && shape.union)
                        && shape.fields.iter().all(|f| self.plain(f, bytes));
                }
                matches!(
                    name.as_str(),
                    "u8" | "i8"
                        | "u16"
                        | "i16"
                        | "u32"
                        | "i32"
                        | "u64"
                        | "i64"
                        | "usize"
                        | "isize"
                        | "__BindgenBitfieldUnit"
                ) || (name.starts_with("c_") && name != "c_void" && name != "c_double" && name != "c_float")
            }
            _ => false,
        }
    }
}

fn shapes(file: &syn::File) -> Shapes {
    let mut all = Shapes { aliases: BTreeMap::new(), types: BTreeMap::new() };
    for item in &file.items {
        match item {
            syn::Item::Type(alias) => {
                all.aliases.insert(alias.ident.to_string(), (*alias.ty).clone());
            }
            syn::Item::Struct(s) => {
                let shape = Shape {
                    fields: s.fields.iter().map(|f| f.ty.clone()).collect(),
                    union: false,
                    generic: !s.generics.params.is_empty(),
                };
                all.types.insert(s.ident.to_string(), shape);
            }
            syn::Item::Union(u) => {
                let shape = Shape {
                    fields: u.fields.named.iter().map(|f| f.ty.clone()).collect(),
                    union: true,
                    generic: !u.generics.params.is_empty(),
                };
                all.types.insert(u.ident.to_string(), shape);
            }
            _ => {}
        }
    }
    all
}

/// `FromBytes` and `AsBytes` for the types that allow it. That a type has no implicit padding is checked by the compiler.
fn trait_impls(file: &syn::File) -> String {
    let all = shapes(file);
    let mut text = String::new();
    for (name, shape) in &all.types {
        let ident = format_ident!("{name}");
        let ty: syn::Type = syn::parse_quote!(#ident);
        if shape.generic || !all.plain(&ty, false) {
            continue;
        }
        text.push_str(&format!("// SAFETY: Its fields are integers, raw pointers and such types.\nunsafe impl crate::FromBytes for {name} {{}}\n"));
        if all.plain(&ty, true) {
            let fields = &shape.fields;
            let sum = quote!(0usize #(+ size_of::<#fields>())*);
            text.push_str(&format!(
                "// SAFETY: As above, without unions; the assertion shows that there is no padding.\nunsafe impl crate::AsBytes for {name} {{}}\nconst _: () = assert!(size_of::<{name}>() == {sum}, \"padding in {name}\");\n"
            ));
        }
    }
    text
}

/// `6.1.192-rideau` out of `LINUX_VERSION_CODE`'s parts.
fn release(bindings: &syn::File) -> String {
    let value = |wanted: &str| -> u32 {
        for item in &bindings.items {
            if let syn::Item::Const(c) = item
                && c.ident == wanted
            {
                let expr = &c.expr;
                return quote!(#expr).to_string().parse().unwrap_or(0);
            }
        }
        0
    };
    let (major, minor, patch) =
        (value("LINUX_VERSION_MAJOR"), value("LINUX_VERSION_PATCHLEVEL"), value("LINUX_VERSION_SUBLEVEL"));
    format!(
        "/// `utsname.release`: the level of the headers this was built against.\npub const UTS_RELEASE: &str = \"{major}.{minor}.{patch}-rideau\";\n"
    )
}

fn main() {
    println!("cargo::rerun-if-changed=uapi_helper.h");
    println!("cargo::rerun-if-changed=include");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=/usr/include/linux/version.h");
    let (Ok(root), Ok(out)) = (env::var("CARGO_MANIFEST_DIR"), env::var("OUT_DIR")) else { die("not run by cargo") };
    let (header, out) = (Path::new(&root).join("uapi_helper.h"), Path::new(&out));
    let cc = env::var("HOSTCC").unwrap_or_else(|_| "cc".into());
    let macros = integer_macros(&cc, &header, out, macro_candidates(&cc, &header));
    let mut file = match syn::parse_file(&bindings(&header, out, &macros)) {
        Ok(file) => file,
        Err(error) => die(&format!("cannot read bindgen's output: {error}")),
    };
    rename_constants(&mut file);
    let mut text = String::new();
    for item in &file.items {
        text.push_str(&quote!(#item).to_string());
        text.push('\n');
    }
    text.push_str(&release(&file));
    text.push_str(&trait_impls(&file));
    if fs::write(out.join("bindings.rs"), text).is_err() {
        die("cannot write into OUT_DIR");
    }
}
