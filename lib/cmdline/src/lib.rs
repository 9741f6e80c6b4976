// SPDX-License-Identifier: GPL-2.0
//! The kernel command line: words, quotes, numbers, consoles, and what goes on to init. Start-up code and parameter
//! tables call it; without allocation except `InitArgs`, so it serves before memory is set up. Never panics. No locks.
//! Source: "The kernel's command-line parameters" (admin-guide), `bootparam(7)`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod console;
mod init_args;
mod numbers;

pub use console::{Console, EarlyConsole, SerialOptions, parse_console, parse_earlyprintk, parse_serial_options};
pub use init_args::{InitArgs, MAX_INIT_ARGS};
pub use numbers::{
    GetOption, get_option, kstrtobool, kstrtoi32, kstrtoi64, kstrtou32, kstrtou64, memparse, simple_strtoul,
};

/// A word of the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param<'a> {
    /// The name: up to the first `=`, without quotes around the whole word.
    pub name: &'a [u8],
    /// What follows the `=`, without quotes around it.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// Whether this is the parameter `name`: a dash and an underscore are the same.
    pub fn is(&self, name: &str) -> bool {
        parameq(self.name, name.as_bytes())
    }

    /// The value, empty if there is none.
    pub fn text(&self) -> &'a [u8] {
        self.value.unwrap_or(&[])
    }
}

/// Whether two parameter names are equal, a dash and an underscore being the same.
pub fn parameq(a: &[u8], b: &[u8]) -> bool {
    let same = |c: u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.iter().zip(b).all(|(&x, &y)| same(x) == same(y))
}

/// White space as the kernel's `isspace` has it: ASCII's and the no-break space of Latin-1.
pub fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t'..=b'\r' | 0xa0)
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let n = text.iter().take_while(|&&c| is_space(c)).count();
    text.get(n..).unwrap_or(&[])
}

/// Splits the first word off `text`, which does not start with white space; quotes keep white space in a word. Returns
/// the word and the rest, white space skipped.
pub fn next_arg(text: &[u8]) -> Option<(Param<'_>, &[u8])> {
    let (quoted, text) = match text {
        [b'"', rest @ ..] => (true, rest),
        [] => return None,
        _ => (false, text),
    };
    let (mut in_quote, mut equals, mut end) = (quoted, None, text.len());
    for (i, &c) in text.iter().enumerate() {
        match c {
            _ if is_space(c) && !in_quote => {
                end = i;
                break;
            }
            b'=' if equals.is_none() && i > 0 => equals = Some(i),
            b'"' => in_quote = !in_quote,
            _ => {}
        }
    }
    let (word, rest) = text.split_at_checked(end)?;
    let strip = |s: &'_ [u8]| -> usize { s.len() - usize::from(s.last() == Some(&b'"')) };
    let word = if quoted { word.get(..strip(word))? } else { word };
    let (name, value) = match equals.and_then(|e| word.split_at_checked(e)) {
        None => (word, None),
        Some((name, [b'=', b'"', value @ ..])) => (name, Some(value.get(..strip(value))?)),
        Some((name, [b'=', value @ ..])) => (name, Some(value)),
        Some(_) => (word, None),
    };
    Some((Param { name, value }, skip_spaces(rest)))
}

/// The words of a command line up to `--`.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    rest: &'a [u8],
    dashes: bool,
}

impl<'a> Params<'a> {
    /// After the iteration: what follows `--`.
    pub fn after_dashes(&self) -> Option<&'a [u8]> {
        self.dashes.then_some(self.rest)
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;
    fn next(&mut self) -> Option<Param<'a>> {
        if self.dashes {
            return None;
        }
        let (param, rest) = next_arg(self.rest)?;
        self.rest = rest;
        if param.name == b"--" && param.value.is_none() {
            self.dashes = true;
            return None;
        }
        Some(param)
    }
}

/// A command line.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a>(&'a [u8]);

impl<'a> CommandLine<'a> {
    /// From the loader's bytes: it ends at the first NUL.
    pub fn new(text: &'a [u8]) -> Self {
        let end = text.iter().position(|&c| c == 0).unwrap_or(text.len());
        Self(text.get(..end).unwrap_or(&[]))
    }

    /// The text.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The words before `--`.
    pub fn params(&self) -> Params<'a> {
        Params { rest: skip_spaces(self.0), dashes: false }
    }

    /// The values of all words named `name` in order (`None` for one without `=`).
    pub fn get_all(&self, name: &'a str) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.params().filter(move |p| p.is(name)).map(|p| p.value)
    }

    /// The last word named `name`: later words override earlier ones.
    pub fn get(&self, name: &'a str) -> Option<Param<'a>> {
        self.params().filter(|p| p.is(name)).last()
    }

    /// The value of the last word named `name`.
    pub fn value(&self, name: &'a str) -> Option<&'a [u8]> {
        self.get(name)?.value
    }

    /// Whether a word `name` is there, with or without a value.
    pub fn has(&self, name: &'a str) -> bool {
        self.get(name).is_some()
    }

    /// A number. `None` if it is not there or not a number.
    pub fn int(&self, name: &'a str) -> Option<i64> {
        kstrtoi64(self.value(name)?, 0).ok()
    }

    /// A size with a suffix (`mem=64M`). `None` if it is not there or does not start with a digit.
    pub fn size(&self, name: &'a str) -> Option<u64> {
        let value = self.value(name)?;
        value.first()?.is_ascii_digit().then(|| memparse(value).0)
    }

    /// A switch: true for the bare word, else what `kstrtobool` makes of the value. `None` if it is not there or neither.
    pub fn bool(&self, name: &'a str) -> Option<bool> {
        match self.get(name)?.value {
            None => Some(true),
            Some(value) => kstrtobool(value).ok(),
        }
    }
}

#[cfg(test)]
mod tests;
