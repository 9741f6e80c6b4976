// SPDX-License-Identifier: GPL-2.0
//! How long requests take, measured in parts of what is wanted: so many requests of each part.

use crate::Domain;

/// What is wanted has so many parts, as a power of two.
pub(crate) const SHIFT: u32 = 2;
/// The first part that is too long.
pub(crate) const GOOD: u32 = 1 << SHIFT;
/// Parts that are counted; the last one is for all that is longer, too.
const BUCKETS: usize = 2 << SHIFT;
/// Samples that are enough, and the time after which fewer are.
const ENOUGH: u32 = 500;
const PATIENCE_NS: u64 = 1_000_000_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// From the request's beginning.
    Total = 0,
    /// In the device.
    Device = 1,
}

#[derive(Clone, Copy, Default)]
struct Histogram {
    buckets: [u32; BUCKETS],
    /// When fewer samples are enough, once somebody wanted to know.
    until: Option<u64>,
}

/// Samples of each kind of requests.
#[derive(Default)]
pub(crate) struct Latencies([[Histogram; 2]; 4]);

impl Latencies {
    fn of(&mut self, domain: Domain, kind: Kind) -> Option<&mut Histogram> {
        self.0.get_mut(domain as usize)?.get_mut(kind as usize)
    }

    /// A request took `ns`, where `target` is wanted.
    pub(crate) fn add(&mut self, domain: Domain, kind: Kind, ns: u64, target: u64) {
        let part = (target >> SHIFT).max(1);
        let bucket = (ns.saturating_sub(1) / part).min(BUCKETS as u64 - 1) as usize;
        if let Some(count) = self.of(domain, kind).and_then(|histogram| histogram.buckets.get_mut(bucket)) {
            *count = count.saturating_add(1);
        }
    }

    /// The part that `percent` of the requests are in or below; begins anew. None if there are not enough samples yet.
    pub(crate) fn percentile(&mut self, domain: Domain, kind: Kind, percent: u32, now: u64) -> Option<u32> {
        let histogram = self.of(domain, kind)?;
        let samples: u64 = histogram.buckets.iter().map(|&count| u64::from(count)).sum();
        if samples == 0 {
            return None;
        }
        let until = *histogram.until.get_or_insert(now.saturating_add(PATIENCE_NS));
        if samples < u64::from(ENOUGH) && now < until {
            return None;
        }
        let mut left = (samples * u64::from(percent)).div_ceil(100);
        let mut found = BUCKETS as u32 - 1;
        for (bucket, &count) in (0..).zip(&histogram.buckets) {
            if u64::from(count) >= left {
                found = bucket;
                break;
            }
            left -= u64::from(count);
        }
        *histogram = Histogram::default();
        Some(found)
    }
}
