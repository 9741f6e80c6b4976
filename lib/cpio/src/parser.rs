// SPDX-License-Identifier: GPL-2.0
//! The stream parser: pieces of an archive of any length go in, calls of the sink come out. Headers and names are
//! gathered; file data goes through as it comes. No locks.

use crate::header::LEN;
use crate::{Error, Header, Sink};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, KVec};

/// Longest name and link target, with its NUL.
const PATH_MAX: u32 = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A header is being gathered.
    Header,
    /// The name and its padding are being gathered.
    Name,
    /// The target of a symbolic link is being gathered.
    Target,
    /// So many bytes of data go to the sink.
    Data(u32),
    /// So many bytes are passed over.
    Skip(u32),
    /// After a trailer: zeros are passed over up to the next archive.
    Reset,
}

/// A file that has more names.
struct Link {
    id: [u32; 3],
    file_type: u32,
    name: KString,
}

/// A parser in the middle of a stream.
pub struct Parser {
    state: State,
    header: Header,
    gathered: KVec<u8>,
    name: KString,
    links: KVec<Link>,
    /// Bytes since the start of the buffer, modulo 4: files are aligned.
    offset: u32,
    sum: u32,
}

/// How many zeros follow `len` bytes up to a multiple of four.
const fn padding(len: u32) -> u32 {
    len.wrapping_neg() & 3
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a stream.
    pub const fn new() -> Self {
        Self {
            state: State::Reset,
            header: Header {
                ino: 0,
                mode: 0,
                uid: 0,
                gid: 0,
                nlink: 0,
                mtime: 0,
                size: 0,
                major: 0,
                minor: 0,
                rmajor: 0,
                rminor: 0,
                name_size: 0,
                check: 0,
                has_check: false,
            },
            gathered: KVec::new(),
            name: KString::new(),
            links: KVec::new(),
            offset: 0,
            sum: 0,
        }
    }

    /// Whether the parser is between archives.
    pub fn is_between(&self) -> bool {
        self.state == State::Reset
    }

    /// Whether the stream may end here: between archives, or between files of one without trailer.
    pub fn may_end(&self) -> bool {
        match self.state {
            State::Reset => true,
            State::Header => self.gathered.is_empty(),
            _ => false,
        }
    }

    /// Tells that a compressed stream starts or ended at this offset of the buffer: alignment counts from here.
    pub(crate) fn set_offset(&mut self, offset: usize) {
        self.offset = (offset & 3) as u32;
    }

    /// Takes a piece; returns how much was taken. That is all, unless something that is no plain archive follows an
    /// archive: then the caller looks what it is.
    pub fn push(&mut self, data: &[u8], sink: &mut dyn Sink) -> Result<usize, Error> {
        let mut rest = data;
        while !rest.is_empty() {
            let before = rest.len();
            match self.state {
                State::Reset => {
                    let zeros = rest.iter().take_while(|&&c| c == 0).count();
                    rest = self.eat(rest, zeros);
                    match rest.first() {
                        Some(b'0') if self.offset == 0 => self.state = State::Header,
                        Some(_) => break,
                        None => {}
                    }
                }
                State::Header => {
                    rest = self.gather(rest, LEN as u32)?;
                    if let Ok(bytes) = <&[u8; LEN]>::try_from(&self.gathered[..]) {
                        self.header = Header::parse(bytes)?;
                        self.gathered.clear();
                        self.after_header();
                    }
                }
                State::Name => {
                    let padded = self.header.name_size.saturating_add(padding(LEN as u32 + self.header.name_size));
                    rest = self.gather(rest, padded)?;
                    if self.gathered.len() == padded as usize {
                        self.after_name(sink)?;
                        self.gathered.clear();
                    }
                }
                State::Target => {
                    rest = self.gather(rest, self.header.size)?;
                    if self.gathered.len() == self.header.size as usize {
                        let target = until_nul(&self.gathered);
                        sink.symlink(&self.name, target, &self.header).map_err(Error::Sink)?;
                        self.gathered.clear();
                        self.skip(padding(self.header.size));
                    }
                }
                State::Data(left) => {
                    let n = rest.len().min(left as usize);
                    let (piece, _) = rest.split_at(n);
                    if self.header.has_check {
                        self.sum = piece.iter().fold(self.sum, |s, &b| s.wrapping_add(b.into()));
                    }
                    sink.data(piece).map_err(Error::Sink)?;
                    rest = self.eat(rest, n);
                    self.state = State::Data(left.saturating_sub(n as u32));
                    if n == left as usize {
                        if self.header.has_check && self.sum != self.header.check {
                            return Err(Error::BadChecksum);
                        }
                        sink.close(&self.header).map_err(Error::Sink)?;
                        self.skip(padding(self.header.size));
                    }
                }
                State::Skip(left) => {
                    let n = rest.len().min(left as usize);
                    rest = self.eat(rest, n);
                    self.skip(left.saturating_sub(n as u32));
                }
            }
            // A state that takes nothing has moved on to one that does.
            debug_assert!(rest.len() < before || !matches!(self.state, State::Reset));
        }
        Ok(data.len().saturating_sub(rest.len()))
    }

    fn eat<'a>(&mut self, data: &'a [u8], n: usize) -> &'a [u8] {
        self.offset = self.offset.wrapping_add(n as u32) & 3;
        data.get(n..).unwrap_or(&[])
    }

    /// Moves bytes to `gathered` until it has `len`.
    fn gather<'a>(&mut self, data: &'a [u8], len: u32) -> Result<&'a [u8], Error> {
        let want = (len as usize).saturating_sub(self.gathered.len()).min(data.len());
        self.gathered.extend_from_slice(data.get(..want).unwrap_or(&[]), GFP_KERNEL)?;
        Ok(self.eat(data, want))
    }

    /// Passes over `n` bytes, then a header comes.
    fn skip(&mut self, n: u32) {
        self.state = if n == 0 { State::Header } else { State::Skip(n) };
    }

    fn after_header(&mut self) {
        let h = &self.header;
        let body = h.size.saturating_add(padding(h.size));
        if h.name_size == 0 || h.name_size > PATH_MAX || (h.is_lnk() && h.size > PATH_MAX) {
            // Linux passes over what no path can be.
            let name = h.name_size.saturating_add(padding((LEN as u32).wrapping_add(h.name_size)));
            self.skip(name.saturating_add(body));
        } else {
            self.state = State::Name;
        }
    }

    fn after_name(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        let h = self.header;
        let field = self.gathered.get(..h.name_size as usize).unwrap_or(&[]);
        if field.last() != Some(&0) {
            return Err(Error::BadName);
        }
        let name = until_nul(field);
        let body = h.size.saturating_add(padding(h.size));
        if name == TRAILER {
            self.links.clear();
            // A trailer has no body; what claims one is passed over byte by byte as the zeros between archives are.
            self.state = State::Reset;
            return Ok(());
        }
        if h.is_lnk() {
            self.name = KString::from_bytes(name, GFP_KERNEL)?;
            self.state = State::Target;
            if h.size == 0 {
                sink.symlink(name, &[], &h).map_err(Error::Sink)?;
                self.skip(0);
            }
            return Ok(());
        }
        if !h.is_reg() && h.size != 0 {
            // Only regular files and links have bytes.
            self.skip(body);
            return Ok(());
        }
        let wanted = match find_link(&mut self.links, &h, name)? {
            Some(old) => sink.hard_link(old, name, &h),
            None => sink.create(name, &h),
        }
        .map_err(Error::Sink)?;
        self.sum = 0;
        if !wanted {
            self.skip(body);
        } else if h.size == 0 {
            sink.close(&h).map_err(Error::Sink)?;
            self.skip(0);
        } else {
            self.state = State::Data(h.size);
        }
        Ok(())
    }
}

/// The name under which the file was seen first; else it is noted under this one. Directories have no further names.
fn find_link<'a>(links: &'a mut KVec<Link>, h: &Header, name: &[u8]) -> Result<Option<&'a [u8]>, Error> {
    if h.nlink < 2 || h.is_dir() {
        return Ok(None);
    }
    let id = [h.ino, h.major, h.minor];
    match links.binary_search_by(|l| (l.id, l.file_type).cmp(&(id, h.file_type()))) {
        Ok(at) => Ok(links.get(at).map(|l| l.name.as_bytes())),
        Err(at) => {
            let name = KString::from_bytes(name, GFP_KERNEL)?;
            links.insert(at, Link { id, file_type: h.file_type(), name }, GFP_KERNEL)?;
            Ok(None)
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&c| c == 0).next().unwrap_or(&[])
}
