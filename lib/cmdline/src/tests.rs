// SPDX-License-Identifier: GPL-2.0
//! Host tests.

use super::*;
use errno::code::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

fn words(line: &str) -> Vec<(String, Option<String>)> {
    let s = |b: &[u8]| String::from_utf8_lossy(b).to_string();
    CommandLine::new(line.as_bytes()).params().map(|p| (s(p.name), p.value.map(s))).collect()
}

#[test]
fn splits() {
    let w = |n: &str, v: &str| (n.to_string(), Some(v.to_string()));
    let b = |n: &str| (n.to_string(), None);
    assert_eq!(words("  a b=c\td=e=f  "), vec![b("a"), w("b", "c"), w("d", "e=f")]);
    assert_eq!(words("x=\"a b\" \"y=c d\" \"z w\""), vec![w("x", "a b"), w("y", "c d"), b("z w")]);
    assert_eq!(words("x=a\"b c\"d =5 e="), vec![w("x", "a\"b c\"d"), b("=5"), w("e", "")]);
    assert_eq!(words("x=\"never ends"), vec![w("x", "never ends")]);
    assert_eq!(words("a -- b"), vec![b("a")]);
    assert_eq!(words("a --=1 b"), vec![b("a"), w("--", "1"), b("b")]);
    assert_eq!(words("a\0b"), vec![b("a")]);
    assert_eq!(words("\""), vec![b("")]);
}

#[test]
fn looks_up() {
    let line = CommandLine::new(b"mem=64M log_level=3 log-level=5 quiet panic=-1 nokaslr=off mem=1G");
    assert_eq!(line.size("mem"), Some(1 << 30));
    assert_eq!(line.int("log_level"), Some(5));
    assert_eq!(line.get_all("mem").count(), 2);
    assert_eq!((line.has("quiet"), line.has("debug")), (true, false));
    assert_eq!(line.int("panic"), Some(-1));
    assert_eq!((line.bool("nokaslr"), line.bool("quiet"), line.bool("mem")), (Some(false), Some(true), Some(true)));
}

#[test]
fn numbers() {
    assert_eq!(memparse(b"0x10k@3"), (16384, &b"@3"[..]));
    assert_eq!(memparse(b"16E"), (0, &b""[..]));
    assert_eq!(memparse(b"010"), (8, &b""[..]));
    assert_eq!(memparse(b"0xg"), (0, &b"xg"[..]));
    assert_eq!(kstrtou64(b"18446744073709551615\n", 10), Ok(u64::MAX));
    assert_eq!(kstrtou64(b"18446744073709551616", 10), Err(ERANGE));
    assert_eq!(kstrtou64(b"+0x1f", 0), Ok(31));
    assert_eq!(kstrtou64(b"1f", 16), Ok(31));
    for bad in [&b""[..], b"-1", b"1 ", b"++1", b"0x", b"\n", b"1\n\n"] {
        assert_eq!(kstrtou64(bad, 0), Err(EINVAL), "{bad:?}");
    }
    assert_eq!(kstrtoi64(b"-9223372036854775808", 0), Ok(i64::MIN));
    assert_eq!(kstrtoi64(b"-9223372036854775809", 0), Err(ERANGE));
    assert_eq!(kstrtoi32(b"-017", 0), Ok(-15));
    assert_eq!(kstrtoi32(b"2147483648", 0), Err(ERANGE));
    assert_eq!(kstrtou32(b"4294967295", 0), Ok(u32::MAX));
    assert_eq!((kstrtobool(b"On"), kstrtobool(b"off"), kstrtobool(b"x")), (Ok(true), Ok(false), Err(EINVAL)));
    assert_eq!(get_option(b"5,6"), (GetOption::IntComma(5), &b"6"[..]));
    assert_eq!(get_option(b"5-8"), (GetOption::Range(5), &b"8"[..]));
    assert_eq!(get_option(b"-3"), (GetOption::Int(-3), &b""[..]));
    assert_eq!(get_option(b"x"), (GetOption::None, &b"x"[..]));
}

#[test]
fn consoles() {
    let c = |name: &'static str, index, options: Option<&'static str>| Console {
        name: name.as_bytes(),
        index,
        options: options.map(str::as_bytes),
    };
    assert_eq!(parse_console(b"ttyS0,115200n8"), c("ttyS", 0, Some("115200n8")));
    assert_eq!(parse_console(b"tty0"), c("tty", 0, None));
    assert_eq!(parse_console(b"1"), c("ttyS", 1, None));
    assert_eq!(parse_console(b"hvc12,"), c("hvc", 12, Some("")));
    assert_eq!(parse_console(b""), c("ttynull", 0, None));
    assert_eq!(parse_console(b"null"), c("ttynull", 0, None));
    let o = parse_serial_options(b"115200e7r");
    assert_eq!(o, SerialOptions { baud: 115_200, parity: b'e', bits: 7, flow: true });
    assert_eq!(parse_serial_options(b""), SerialOptions::default());
    assert_eq!(parse_serial_options(b"0x9").baud, 9600);
    let e = |port, baud| EarlyConsole::Serial { port, baud };
    assert_eq!(parse_earlyprintk(b"serial,ttyS1,115200,keep"), Some((e(0x2f8, 115_200), true)));
    assert_eq!(parse_earlyprintk(b"ttyS0"), Some((e(0x3f8, 9600), false)));
    assert_eq!(parse_earlyprintk(b"serial,0x3e8,57600n8"), Some((e(0x3e8, 57600), false)));
    assert_eq!(parse_earlyprintk(b"vga,keep"), Some((EarlyConsole::Vga, true)));
    assert_eq!(parse_earlyprintk(b"xdbc"), None);
}

fn init_args(line: &str) -> (Vec<String>, Vec<String>) {
    let a = InitArgs::collect(CommandLine::new(line.as_bytes()), |p| p.is("quiet") || p.is("console")).unwrap();
    let strings = |v: &[kalloc::KString]| v.iter().map(|s| s.to_string()).collect();
    (strings(&a.args), strings(&a.env))
}

#[test]
fn goes_to_init() {
    let (args, env) =
        init_args("quiet auto init=/bin/sh console=tty0 single A=\"b c\" mod.x=1 TERM=vt100 -- -c \"x y\" k=v");
    assert_eq!(args, ["single", "-c", "x y", "k=v"]);
    assert_eq!(env, ["HOME=/", "TERM=vt100", "A=b c"]);
    let many = "w ".repeat(33);
    assert_eq!(InitArgs::collect(CommandLine::new(many.as_bytes()), |_| false).err(), Some(E2BIG));
}

proptest! {
    #[test]
    fn never_panics(line in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'"'), Just(b'='), Just(b'-'), Just(b','), any::<u8>()], 0..60)) {
        let c = CommandLine::new(&line);
        for p in c.params() {
            let _ = (memparse(p.text()), kstrtoi64(p.text(), 0), parse_console(p.text()), parse_earlyprintk(p.text()));
            let _ = (get_option(p.text()), parse_serial_options(p.text()));
        }
        let _ = InitArgs::collect(c, |_| false);
    }

    #[test]
    fn plain_words_come_back(list in proptest::collection::vec("[a-z]{1,5}(=[a-z0-9]{0,5})?", 0..8)) {
        let line = list.join(" ");
        let got: Vec<String> = words(&line).into_iter().map(|(n, v)| match v { Some(v) => n + "=" + &v, None => n }).collect();
        prop_assert_eq!(got, list);
    }
}
