// SPDX-License-Identifier: GPL-2.0
//! A request as a command: its blocks, and its pages as the controller wants them: the first where it begins, the second, or the
//! list of all others in memory that belongs to the command's place.

use crate::spec::{Command, command, io};
use errno::{Result, code::*};
use kernel::block::blk_mq::Request;
use kernel::block::{Op, OpFlags};
use kernel::hardware::mm_alloc::PAGE_SIZE;
use kernel::hardware::mm_alloc::dma::DmaBuffer;

/// Bytes of a place's list: pages of the largest transfer, but the first; or the range of a discard.
pub(crate) const LIST: usize = 1024;
/// Sectors of the largest transfer: as many pages as the list and the first, less one for a start within a page.
pub(crate) const MAX_SECTORS: u32 = ((LIST / 8) * PAGE_SIZE / 512) as u32;

/// A namespace, as its commands need it.
#[derive(Clone, Copy)]
pub(crate) struct Namespace {
    pub(crate) id: u32,
    /// Its blocks are `1 << shift` bytes.
    pub(crate) shift: u32,
}

/// Puts words into a command.
fn set(command: &mut Command, at: usize, value: u32) {
    if let Some(word) = command.get_mut(at) {
        *word = value;
    }
}

fn set_long(command: &mut Command, at: usize, value: u64) {
    set(command, at, value as u32);
    set(command, at + 1, (value >> 32) as u32);
}

/// The command for `request`, whose list begins at byte `slot` of `lists`. EOPNOTSUPP, EINVAL.
pub(crate) fn build(request: &Request, namespace: Namespace, lists: &DmaBuffer, slot: usize) -> Result<Command> {
    let first = request.sector() >> (namespace.shift - 9);
    let blocks = u32::try_from(request.len() >> namespace.shift)?;
    let opcode = match request.op() {
        Op::Read => io::READ,
        Op::Write => io::WRITE,
        Op::Flush => return Ok(command(io::FLUSH, namespace.id)),
        Op::Discard => return Ok(discard(namespace, first, blocks, lists, slot)),
        Op::WriteZeroes => io::WRITE_ZEROES,
        Op::SecureErase => return Err(EOPNOTSUPP),
    };
    let mut words = command(opcode, namespace.id);
    set_long(&mut words, 10, first);
    let mut control = blocks.checked_sub(1).filter(|&count| count <= 0xffff).ok_or(EINVAL)?;
    if request.flags().has(OpFlags::FUA) {
        control |= io::FUA;
    }
    if opcode == io::WRITE_ZEROES && !request.flags().has(OpFlags::NOUNMAP) {
        control |= io::DEAC;
    }
    set(&mut words, 12, control);
    if opcode != io::WRITE_ZEROES {
        pages(request, &mut words, lists, slot)?;
    }
    Ok(words)
}

/// One range, whose description is in the place's list.
fn discard(namespace: Namespace, first: u64, blocks: u32, lists: &DmaBuffer, slot: usize) -> Command {
    lists.write32(slot, 0);
    lists.write32(slot + 4, blocks);
    lists.write64(slot + 8, first);
    let mut words = command(io::DSM, namespace.id);
    set_long(&mut words, 6, lists.bus_addr() + slot as u64);
    // Ranges, less one.
    set(&mut words, 10, 0);
    set(&mut words, 11, io::DEALLOCATE);
    words
}

/// The request's pages. EINVAL if they are not as the limits have it.
fn pages(request: &Request, words: &mut Command, lists: &DmaBuffer, slot: usize) -> Result {
    let page = PAGE_SIZE as u64;
    let (mut count, mut second) = (0usize, 0);
    for piece in request.segments() {
        let start = piece.page.phys() + u64::from(piece.offset);
        let end = start + u64::from(piece.len);
        let mut at = start;
        while at < end {
            match count {
                0 => set_long(words, 6, at),
                n if !at.is_multiple_of(page) || (n - 1) * 8 >= LIST => return Err(EINVAL),
                n => {
                    if n == 1 {
                        second = at;
                    }
                    lists.write64(slot + (n - 1) * 8, at);
                }
            }
            count += 1;
            at = end.min((at - at % page) + page);
        }
    }
    match count {
        0 => return Err(EINVAL),
        1 => {}
        2 => set_long(words, 8, second),
        _ => set_long(words, 8, lists.bus_addr() + slot as u64),
    }
    Ok(())
}
