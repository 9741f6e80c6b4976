// SPDX-License-Identifier: GPL-2.0
//! The words of `execve`: argument and environment strings, kept NUL-terminated one after the other until the new stack takes
//! them; not in contiguous memory, since they may be megabytes. Limits as in `execve(2)`, "Limits on size of arguments and environment".

use crate::user::read_user;
use errno::Result;
use errno::code::{E2BIG, EFAULT, EINTR, ENOEXEC};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KVVec, KVec};
use x86_mm::uaccess::{UserPtr, strncpy_from_user};

/// Longest single string, NUL included (`MAX_ARG_STRLEN`).
const MAX_STRING: usize = 32 * 4096;
/// Most of the stack limit that strings may take, and bounds of that.
const MIN_TOTAL: u64 = 128 * 1024;
const MAX_TOTAL: u64 = 6 * 1024 * 1024;

/// Argument and environment strings.
pub(super) struct Args {
    /// Argument strings.
    pub(super) argv: KVVec<u8>,
    /// Environment strings.
    pub(super) envp: KVVec<u8>,
    /// Number of arguments.
    pub(super) argc: usize,
    /// Number of environment strings.
    pub(super) envc: usize,
    limit: usize,
}

impl Args {
    fn empty() -> Self {
        let limit = (rlimit::current(uapi::RLIMIT_STACK) / 4).clamp(MIN_TOTAL, MAX_TOTAL);
        Self { argv: KVVec::new(), envp: KVVec::new(), argc: 0, envc: 0, limit: usize::try_from(limit).unwrap_or(0) }
    }

    /// From the caller's memory.
    pub(super) fn from_user(argv: usize, envp: usize) -> Result<Self> {
        let mut args = Self::empty();
        args.argc = collect(argv, &mut args.argv, args.limit)?;
        let left = args.limit.saturating_sub(args.size());
        args.envc = collect(envp, &mut args.envp, left)?;
        if args.argc == 0 {
            // As Linux since 5.18: a program always has a name.
            args.argv.push(0, GFP_KERNEL)?;
            args.argc = 1;
        }
        Ok(args)
    }

    /// From the kernel (`/init`).
    pub(super) fn from_kernel(argv: &[&[u8]], envp: &[&[u8]]) -> Result<Self> {
        let mut args = Self::empty();
        for (words, to) in [(argv, &mut args.argv), (envp, &mut args.envp)] {
            for word in words {
                to.extend_from_slice(word, GFP_KERNEL)?;
                to.push(0, GFP_KERNEL)?;
            }
        }
        (args.argc, args.envc) = (argv.len(), envp.len());
        Ok(args)
    }

    /// Bytes the strings and the pointers to them take.
    pub(super) fn size(&self) -> usize {
        let strings = self.argv.len().saturating_add(self.envp.len());
        strings.saturating_add(self.argc.saturating_add(self.envc).saturating_mul(8))
    }

    /// Puts a word in front.
    pub(super) fn prepend(&mut self, word: &[u8]) -> Result {
        let mut argv = KVVec::with_capacity(self.argv.len().saturating_add(word.len()).saturating_add(1), GFP_KERNEL)?;
        argv.extend_from_slice(word, GFP_KERNEL)?;
        argv.push(0, GFP_KERNEL)?;
        argv.extend_from_slice(&self.argv, GFP_KERNEL)?;
        self.argv = argv;
        self.argc = self.argc.saturating_add(1);
        if self.size() > self.limit { Err(E2BIG) } else { Ok(()) }
    }

    /// Replaces the first word (a script's name takes the place of `argv[0]`).
    pub(super) fn replace_first(&mut self, word: &[u8]) -> Result {
        let end = self.argv.iter().position(|&b| b == 0).map_or(self.argv.len(), |at| at.saturating_add(1));
        let rest = KVVec::from_slice(self.argv.get(end..).unwrap_or(&[]), GFP_KERNEL)?;
        self.argv = rest;
        self.argc = self.argc.saturating_sub(1);
        self.prepend(word)
    }
}

/// Reads the strings that the null-terminated array at `array` points at; returns their number.
fn collect(array: usize, to: &mut KVVec<u8>, limit: usize) -> Result<usize> {
    if array == 0 {
        return Ok(0);
    }
    let mut count = 0usize;
    loop {
        let slot = count.checked_mul(8).and_then(|o| array.checked_add(o)).ok_or(EFAULT)?;
        let pointer: u64 = read_user(slot)?;
        if pointer == 0 {
            return Ok(count);
        }
        if crate::fatal_pending(&task::current()) {
            return Err(EINTR);
        }
        append_string(pointer as usize, to)?;
        count = count.saturating_add(1);
        if to.len().saturating_add(count.saturating_mul(8)) > limit {
            return Err(E2BIG);
        }
    }
}

/// Appends one string from user memory, NUL included.
fn append_string(mut address: usize, to: &mut KVVec<u8>) -> Result {
    let start = to.len();
    let mut chunk = [0u8; 256];
    loop {
        // Returns the length without NUL, or the whole buffer when there was none in it.
        let got = strncpy_from_user(&mut chunk, UserPtr::from(address))?;
        let part = chunk.get(..got).ok_or(EFAULT)?;
        to.extend_from_slice(part, GFP_KERNEL)?;
        if got < chunk.len() {
            to.push(0, GFP_KERNEL)?;
            return Ok(());
        }
        address = address.checked_add(got).ok_or(EFAULT)?;
        if to.len().saturating_sub(start) >= MAX_STRING {
            return Err(E2BIG);
        }
    }
}

/// What `AT_EXECFN` shows: the path, or `/dev/fd/N[/path]` for one relative to a descriptor.
pub(super) fn display_name(dirfd: i32, path: &[u8]) -> Result<KVec<u8>> {
    if dirfd == uapi::AT_FDCWD || path.starts_with(b"/") {
        return Ok(KVec::from_slice(path, GFP_KERNEL)?);
    }
    let text = kalloc::KString::from_fmt(format_args!("/dev/fd/{dirfd}"), GFP_KERNEL)?;
    let mut name = text.into_vec();
    if !path.is_empty() {
        name.push(b'/', GFP_KERNEL)?;
        name.extend_from_slice(path, GFP_KERNEL)?;
    }
    Ok(name)
}

/// The interpreter and the optional argument of a script's first line. `ENOEXEC` if there is none or the line is cut.
pub(super) fn parse_shebang(head: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    let line = head.get(2..).ok_or(ENOEXEC)?;
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let (line, cut) = match line.iter().position(|&b| b == b'\n') {
        Some(end) => (line.get(..end).ok_or(ENOEXEC)?, false),
        None => (line, head.len() >= super::HEAD),
    };
    let line = line.split(|&b| b == 0).next().unwrap_or(&[]);
    let start = line.iter().position(|b| !blank(b)).ok_or(ENOEXEC)?;
    let line = line.get(start..).ok_or(ENOEXEC)?;
    let end = line.iter().position(blank);
    if cut && end.is_none() {
        // The interpreter's path itself may be cut off.
        return Err(ENOEXEC);
    }
    let (interpreter, rest) = line.split_at(end.unwrap_or(line.len()));
    let from = rest.iter().position(|b| !blank(b));
    let argument = from.and_then(|from| {
        let rest = rest.get(from..)?;
        let to = rest.iter().rposition(|b| !blank(b))?.checked_add(1)?;
        rest.get(..to)
    });
    Ok((interpreter, argument))
}
