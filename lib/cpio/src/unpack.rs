// SPDX-License-Identifier: GPL-2.0
//! A whole initramfs buffer: plain and compressed archives one after another, zeros between them. No locks.

use crate::{Error, Parser, Sink};
use decompress::Error as Bad;

/// Unpacks `buffer`; `limit` bounds what one compressed archive may expand to. What was made before an error stays, as
/// in Linux.
pub fn unpack(buffer: &[u8], limit: u64, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut parser = Parser::new();
    let mut at = 0usize;
    while let Some(rest) = buffer.get(at..)
        && !rest.is_empty()
    {
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
        let used = parser.push(rest, sink)?;
        at = at.saturating_add(used);
        let rest = buffer.get(at..).unwrap_or(&[]);
        if rest.is_empty() {
            break;
        }
        // What follows a plain archive is aligned, as its files are.
        if used > zeros && at & 3 != 0 {
            return Err(Error::BrokenPadding);
        }
        let used = compressed(rest, limit, sink)?;
        at = at.saturating_add(used);
        parser.set_offset(at);
    }
    if parser.may_end() { Ok(()) } else { Err(Error::Truncated) }
}

/// Unpacks the compressed stream at the start of `data`; returns its length.
fn compressed(data: &[u8], limit: u64, sink: &mut dyn Sink) -> Result<usize, Error> {
    let method = decompress::detect(data).ok_or(Error::BadStart)?;
    let mut parser = Parser::new();
    let mut failed = None;
    let done = decompress::decompress(data, method, limit, &mut |piece| {
        match parser.push(piece, sink) {
            Ok(used) if used == piece.len() => return Ok(()),
            Ok(_) => failed = Some(Error::Junk),
            Err(e) => failed = Some(e),
        }
        Err(errno::code::EINVAL)
    });
    match (failed, done) {
        (Some(e), _) => Err(e),
        (None, Err(Bad::NoMemory)) => Err(Error::NoMemory),
        (None, Err(e)) => Err(Error::Decompress(e)),
        (None, Ok(_)) if !parser.may_end() => Err(Error::Truncated),
        (None, Ok(used)) => Ok(used),
    }
}
