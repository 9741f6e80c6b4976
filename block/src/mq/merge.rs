// SPDX-License-Identifier: GPL-2.0
//! Joining a bio with a request that has not been sent: at its back or at its front, within the device's limits.

use super::request::Request;
use crate::bio::{Bio, BioVec};
use crate::limits::QueueLimits;
use crate::types::{Op, OpFlags};
use kalloc::KBox;

/// Where a bio was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Merged {
    Back,
    Front,
}

/// A bio or request with one of these is alone.
const ALONE: OpFlags = OpFlags(OpFlags::NOMERGE.0 | OpFlags::PREFLUSH.0 | OpFlags::FUA.0);
/// In these both must agree.
const SAME: u32 = OpFlags::FAILFAST_DEV.0 | OpFlags::NOUNMAP.0 | OpFlags::POLLED.0;

/// Whether a bio may be joined with anything.
#[inline]
pub(super) fn is_mergeable(bio: &Bio) -> bool {
    !bio.flags().any(ALONE) && matches!(bio.op(), Op::Read | Op::Write | Op::Discard | Op::WriteZeroes)
}

/// Whether memory goes on from one piece to the next as the device wants it.
fn no_gap(limits: &QueueLimits, last: Option<&BioVec>, first: Option<&BioVec>) -> bool {
    let (Some(last), Some(first)) = (last, first) else { return true };
    limits.joins(last, first)
}

/// Joins `bio` with `request` if they are neighbours and fit; else gives it back.
pub(crate) fn try_merge(request: &mut Request, bio: KBox<Bio>, limits: &QueueLimits) -> Result<Merged, KBox<Bio>> {
    let at = if request.end_sector() == bio.sector() {
        Merged::Back
    } else if bio.end_sector() == request.sector() {
        Merged::Front
    } else {
        return Err(bio);
    };
    let alike = request.is_joinable()
        && request.op() == bio.op()
        && (request.flags().0 ^ bio.flags().0) & SAME == 0
        && request.priority() == bio.priority();
    let sectors = request.sectors().saturating_add(bio.sectors());
    let segments = request.nr_segments() as usize + bio.segments().len();
    if !alike
        || sectors > u64::from(limits.max_sectors_of(bio.op()))
        || bio.op().has_data() && segments > limits.max_segments as usize
    {
        return Err(bio);
    }
    let fits = match at {
        Merged::Back => no_gap(limits, request.last_piece(), bio.segments().first()),
        Merged::Front => no_gap(limits, bio.segments().last(), request.first_piece()),
    };
    if !fits {
        return Err(bio);
    }
    request.join(bio, at).map(|()| at)
}
