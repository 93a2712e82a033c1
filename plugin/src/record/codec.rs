//! The bytes of a record in shared data: little-endian, counted lists, a schema number in front.

use std::num::{NonZeroU32, NonZeroU64};

use tollgate_pricing::gate::{MAX_LIMITS, Override};
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{Access, MAX_METERS, MAX_SLOTS, Meters, Slot};
use tollgate_pricing::timeline::{MAX_RUNS, Run, Timeline};

use super::{MAX_STATES, Record};
use crate::limit::bucket::Bucket;
use crate::limit::lease::Lease;
use crate::limit::pace::Pace;
use crate::limit::quota::{MAX_LEASES, PeriodLease, QuotaState};
use crate::limit::rate::RateState;
use crate::limit::window::Window;
use crate::limit::{Kind, LimitState};

/// The schema of these bytes. Another one is read only by another boot.
const SCHEMA: u8 = 3;
/// The largest record: every list at its bound stays below it.
pub const MAX_RECORD_BYTES: usize = 12 * 1024;

/// Bytes that are no record of this schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

impl Record {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(512));
        out.u8(SCHEMA);
        out.u64(self.id.0);
        out.u64(self.revision);
        out.u32(self.product.0);
        out.u32(self.catalog);
        out.u8(match self.access {
            Access::Active => 0,
            Access::Suspended => 1,
            Access::Ended => 2,
        });
        out.u64(self.expires_ms.unwrap_or(u64::MAX));
        out.timeline(&self.periods);
        out.u32(self.period);
        out.u32(self.last_slot);
        out.list(&self.slots, |out, slot| {
            out.u32(slot.number);
            out.u32(slot.period);
            out.u64(slot.admitted);
            out.u64(slot.billable);
            out.u64(slot.waived);
            out.list(slot.meters.as_slice(), |out, (meter, units)| {
                out.u32(meter.0);
                out.u64(*units);
            });
        });
        out.list(&self.quotas, |out, (tag, periods)| {
            out.u32(tag.0);
            out.timeline(periods);
        });
        out.u64(self.forgotten_ms);
        out.list(&self.overrides, |out, own| {
            out.u32(own.limit.0);
            out.u64(own.units.get());
            out.u32(own.burst.map_or(0, NonZeroU32::get));
        });
        out.list(&self.limits, Writer::limit);
        out.0
    }

    /// Reads stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut from = Reader(bytes);
        if from.u8()? != SCHEMA {
            return Err(Damaged);
        }
        let record = Self {
            id: SubscriptionId(from.u64()?),
            revision: from.u64()?,
            product: Tag(from.u32()?),
            catalog: from.u32()?,
            access: match from.u8()? {
                0 => Access::Active,
                1 => Access::Suspended,
                2 => Access::Ended,
                _ => return Err(Damaged),
            },
            expires_ms: Some(from.u64()?).filter(|ms| *ms != u64::MAX),
            periods: from.timeline()?,
            period: from.u32()?,
            last_slot: from.u32()?,
            slots: from.list(MAX_SLOTS, |from| {
                Ok(Slot {
                    number: from.u32()?,
                    period: from.u32()?,
                    admitted: from.u64()?,
                    billable: from.u64()?,
                    waived: from.u64()?,
                    meters: from.meters()?,
                })
            })?,
            quotas: from.list(MAX_LIMITS, |from| Ok((Tag(from.u32()?), from.timeline()?)))?,
            forgotten_ms: from.u64()?,
            overrides: from.list(MAX_LIMITS, |from| {
                Ok(Override {
                    limit: Tag(from.u32()?),
                    units: NonZeroU64::new(from.u64()?).ok_or(Damaged)?,
                    burst: NonZeroU32::new(from.u32()?),
                })
            })?,
            limits: from.list(MAX_STATES, Reader::limit)?,
        };
        if from.0.is_empty() { Ok(record) } else { Err(Damaged) }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// At most 255 items, which every bound of a record is far below.
    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        let count = u8::try_from(items.len()).unwrap_or(u8::MAX);
        self.u8(count);
        items.iter().take(count.into()).for_each(|item| write(self, item));
    }

    fn timeline(&mut self, timeline: &Timeline) {
        self.u32(timeline.first);
        self.u64(timeline.start_ms);
        self.list(&timeline.runs, |out, run| {
            out.u32(run.seconds);
            out.u8(run.count);
        });
    }

    fn limit(&mut self, limit: &LimitState) {
        self.u32(limit.tag.0);
        match &limit.kind {
            Kind::Window(window) => {
                self.u8(0);
                self.u64(window.bucket_ns);
                self.u64(window.newest);
                let mut filled: u64 = 0;
                for (place, count) in window.counts.iter().enumerate() {
                    filled |= u64::from(*count > 0).rotate_left(u32::try_from(place).unwrap_or(0));
                }
                self.u64(filled);
                window.counts.iter().filter(|count| **count > 0).for_each(|count| self.u32(*count));
            }
            Kind::Bucket(bucket) => {
                self.u8(1);
                self.u64(bucket.full_at_ns);
                self.u64(bucket.interval_ns);
            }
            Kind::Quota(quota) => {
                self.u8(2);
                self.u32(quota.entered);
                self.pace(&quota.pace);
                self.list(&quota.leases, |out, kept| {
                    out.u64(kept.end_ms);
                    out.lease(&kept.lease);
                });
            }
            Kind::Rate(rate) => {
                self.u8(3);
                self.u64(rate.until_ns);
                self.pace(&rate.pace);
                self.lease(&rate.lease);
            }
        }
    }

    fn lease(&mut self, lease: &Lease) {
        self.u32(lease.period);
        self.u64(lease.granted);
        self.u64(lease.used);
        self.u64(lease.waived);
        self.u64(lease.returned);
    }

    fn pace(&mut self, pace: &Pace) {
        self.u64(pace.since_ns);
        self.u64(pace.used);
        self.u64(pace.ahead);
        self.u64(pace.asked_until_ns);
        self.u64(pace.touched_ns);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, Damaged> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damaged> {
        self.take().map(u64::from_le_bytes)
    }

    fn list<T>(
        &mut self,
        max: usize,
        read: impl Fn(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Damaged> {
        let count = usize::from(self.u8()?);
        if count > max {
            return Err(Damaged);
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn meters(&mut self) -> Result<Meters, Damaged> {
        let units = self.list(MAX_METERS, |from| Ok((Tag(from.u32()?), from.u64()?)))?;
        Meters::new(units).ok_or(Damaged)
    }

    fn timeline(&mut self) -> Result<Timeline, Damaged> {
        Ok(Timeline {
            first: self.u32()?,
            start_ms: self.u64()?,
            runs: self
                .list(MAX_RUNS, |from| Ok(Run { seconds: from.u32()?, count: from.u8()? }))?,
        })
    }

    fn limit(&mut self) -> Result<LimitState, Damaged> {
        let tag = Tag(self.u32()?);
        let kind = match self.u8()? {
            0 => {
                let mut window = Window::empty(self.u64()?.max(1));
                window.newest = self.u64()?;
                let filled = self.u64()?;
                for (place, count) in window.counts.iter_mut().enumerate() {
                    let bit = filled.rotate_right(u32::try_from(place).unwrap_or(0)) & 1;
                    if bit == 1 {
                        *count = self.u32()?;
                    }
                }
                Kind::Window(window)
            }
            1 => Kind::Bucket(Bucket { full_at_ns: self.u64()?, interval_ns: self.u64()? }),
            2 => Kind::Quota(QuotaState {
                entered: self.u32()?,
                pace: self.pace()?,
                leases: self.list(MAX_LEASES, |from| {
                    Ok(PeriodLease { end_ms: from.u64()?, lease: from.lease()? })
                })?,
            }),
            3 => Kind::Rate(RateState {
                until_ns: self.u64()?,
                pace: self.pace()?,
                lease: self.lease()?,
            }),
            _ => return Err(Damaged),
        };
        Ok(LimitState { tag, kind })
    }

    fn lease(&mut self) -> Result<Lease, Damaged> {
        Ok(Lease {
            period: self.u32()?,
            granted: self.u64()?,
            used: self.u64()?,
            waived: self.u64()?,
            returned: self.u64()?,
        })
    }

    fn pace(&mut self) -> Result<Pace, Damaged> {
        Ok(Pace {
            since_ns: self.u64()?,
            used: self.u64()?,
            ahead: self.u64()?,
            asked_until_ns: self.u64()?,
            touched_ns: self.u64()?,
        })
    }
}

#[cfg(test)]
mod tests;
