// SPDX-License-Identifier: GPL-2.0
//! `/proc/kallsyms`: the functions of the kernel, then those of modules, one a line. Names of the image are paths, whose blanks are `_` here,
//! as whoever reads the file takes a name to be one word. Who may not see addresses sees zeros. Source: `proc(5)`.

use cred::CAP_SYSLOG;
use errno::Result;
use kernfs::Attribute;
use vfs::{SeqBuf, seq_print};

/// Lines of a record.
const LINES: usize = 256;
/// The record of the first module.
const MODULES: u64 = 1 << 32;

pub(super) struct Kallsyms;

fn line(out: &mut SeqBuf, shown: bool, address: usize, name: &[u8], module: Option<&[u8]>) -> Result {
    seq_print!(out, "{:016x} t ", if shown { address } else { 0 })?;
    name.iter().try_for_each(|&byte| out.byte(if byte == b' ' { b'_' } else { byte }))?;
    if let Some(module) = module {
        out.put(b"\t[")?;
        out.put(module)?;
        out.byte(b']')?;
    }
    out.byte(b'\n')
}

impl Attribute for Kallsyms {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let shown = cred::capable(CAP_SYSLOG);
        if let Some(index) = at.checked_sub(MODULES) {
            let mut result = Ok(());
            let mut put = |address, name: &[u8], module: &[u8]| {
                if result.is_ok() {
                    result = line(out, shown, address, name, Some(module));
                }
            };
            let there = ::kallsyms::MODULES.get().is_some_and(|modules| modules.functions(index as usize, &mut put));
            return result.map(|()| there.then_some(at + 1));
        }
        let mut count = 0;
        for (address, _, name) in ::kallsyms::functions().skip(at as usize).take(LINES) {
            line(out, shown, address, name.as_bytes(), None)?;
            count += 1;
        }
        Ok(Some(if count == LINES { at + LINES as u64 } else { MODULES }))
    }
}
