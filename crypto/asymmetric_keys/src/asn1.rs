// SPDX-License-Identifier: GPL-2.0
//! The few steps in DER that certificates and messages need. Whatever is not as expected is `EBADMSG`.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use errno::{Result, code::*};

/// The values one after the other in a constructed value.
pub(crate) struct Values<'a>(SliceReader<'a>);

/// The tag `[number]` of a constructed value.
pub(crate) const fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific { constructed: true, number }
}

impl<'a> Values<'a> {
    /// Those in `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        SliceReader::new(bytes).map(Self).map_err(|_| EBADMSG)
    }

    /// The next value, whatever it is.
    pub(crate) fn any(&mut self) -> Result<AnyRef<'a>> {
        AnyRef::decode(&mut self.0).map_err(|_| EBADMSG)
    }

    /// The contents of the next value, which has this tag.
    pub(crate) fn take(&mut self, tag: Tag) -> Result<&'a [u8]> {
        let any = self.any()?;
        if any.tag() == tag { Ok(any.value()) } else { Err(EBADMSG) }
    }

    /// The contents of the next value if it has this tag; else it stays.
    pub(crate) fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>> {
        match self.0.peek_tag() {
            Ok(next) if next == tag => self.take(tag).map(Some),
            _ => Ok(None),
        }
    }

    /// The values in the next one, a sequence.
    pub(crate) fn sequence(&mut self) -> Result<Self> {
        Self::new(self.take(Tag::Sequence)?)
    }

    /// The next value with its header, a sequence.
    pub(crate) fn whole_sequence(&mut self) -> Result<&'a [u8]> {
        let bytes = self.0.tlv_bytes().map_err(|_| EBADMSG)?;
        Self::new(bytes)?.take(Tag::Sequence)?;
        Ok(bytes)
    }

    /// The next value, the name of something.
    pub(crate) fn oid(&mut self) -> Result<ObjectIdentifier> {
        ObjectIdentifier::from_bytes(self.take(Tag::ObjectIdentifier)?).map_err(|_| EBADMSG)
    }

    /// The name that begins the next value, an `AlgorithmIdentifier`.
    pub(crate) fn algorithm(&mut self) -> Result<ObjectIdentifier> {
        self.sequence()?.oid()
    }

    /// Whether there are more.
    pub(crate) fn more(&self) -> bool {
        !self.0.is_finished()
    }

    /// `EBADMSG` if there are more.
    pub(crate) fn end(self) -> Result {
        if self.more() { Err(EBADMSG) } else { Ok(()) }
    }
}
