//! The bytes of a record in shared data: little-endian, counted lists, a schema number in front.

use tollgate_pricing::gate::MAX_LIMITS;
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{Access, MAX_SLOTS, Slot};
use tollgate_pricing::timeline::{MAX_RUNS, Run, Timeline};

use super::Record;
use crate::limit::{Kind, LimitState, bucket::Bucket, quota, quota::QuotaState, window::Window};

/// The schema of these bytes. Another one is read only by another boot.
const SCHEMA: u8 = 1;
/// The largest record: every list at its bound stays below it.
pub const MAX_RECORD_BYTES: usize = 8 * 1024;

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
        });
        out.list(&self.quotas, |out, (tag, periods)| {
            out.u32(tag.0);
            out.timeline(periods);
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
                })
            })?,
            quotas: from.list(MAX_LIMITS, |from| Ok((Tag(from.u32()?), from.timeline()?)))?,
            limits: from.list(MAX_LIMITS, Reader::limit)?,
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
            }
            Kind::Quota(quota) => {
                self.u8(2);
                self.u32(quota.entered);
                self.list(&quota.leases, |out, lease| {
                    out.u32(lease.period);
                    out.u64(lease.end_ms);
                    out.u64(lease.granted);
                    out.u64(lease.used);
                    out.u64(lease.waived);
                    out.u64(lease.returned);
                    out.u64(lease.demand.since_ns);
                    out.u64(lease.demand.used);
                    out.u64(lease.demand.per_minute);
                    out.u64(lease.asked_until_ns);
                });
            }
        }
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
            1 => Kind::Bucket(Bucket { full_at_ns: self.u64()? }),
            2 => Kind::Quota(QuotaState {
                entered: self.u32()?,
                leases: self.list(quota::MAX_LEASES, |from| {
                    Ok(quota::Lease {
                        period: from.u32()?,
                        end_ms: from.u64()?,
                        granted: from.u64()?,
                        used: from.u64()?,
                        waived: from.u64()?,
                        returned: from.u64()?,
                        demand: quota::Demand {
                            since_ns: from.u64()?,
                            used: from.u64()?,
                            per_minute: from.u64()?,
                        },
                        asked_until_ns: from.u64()?,
                    })
                })?,
            }),
            _ => return Err(Damaged),
        };
        Ok(LimitState { tag, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every list at its bound.
    fn largest() -> Record {
        let run = Run { seconds: u32::MAX, count: u8::MAX };
        let timeline = Timeline { first: 7, start_ms: u64::MAX, runs: vec![run; MAX_RUNS] };
        let lease = quota::Lease { granted: u64::MAX, ..quota::Lease::default() };
        let quota = QuotaState { entered: 9, leases: vec![lease; quota::MAX_LEASES] };
        Record {
            id: SubscriptionId(1),
            revision: 2,
            product: Tag(3),
            catalog: 4,
            access: Access::Suspended,
            expires_ms: Some(5),
            periods: timeline.clone(),
            period: 8,
            last_slot: 9,
            slots: vec![Slot { number: 1, admitted: u64::MAX, ..Slot::default() }; MAX_SLOTS],
            quotas: vec![(Tag(6), timeline); MAX_LIMITS],
            limits: vec![LimitState { tag: Tag(6), kind: Kind::Quota(quota) }; MAX_LIMITS],
        }
    }

    #[test]
    fn reads_what_it_wrote_and_stays_in_its_bound() {
        let mut window = Window::empty(17);
        window.counts = [u32::MAX; crate::limit::window::BUCKETS];
        let windows = vec![LimitState { tag: Tag(6), kind: Kind::Window(window) }; MAX_LIMITS];
        let largest_by_windows = Record { limits: windows, ..largest() };
        for record in [&largest(), &largest_by_windows] {
            let bytes = record.encode();
            assert_eq!(Record::decode(&bytes).as_ref(), Ok(record));
            assert!(bytes.len() <= MAX_RECORD_BYTES, "{}", bytes.len());
        }
        let mut mixed = largest_by_windows;
        if let Kind::Window(window) = &mut mixed.limits[0].kind {
            window.counts[5] = 0;
        }
        mixed.limits[1].kind = Kind::Bucket(Bucket { full_at_ns: 99 });
        assert_eq!(Record::decode(&mixed.encode()), Ok(mixed));
    }

    proptest! {
        #[test]
        fn any_cut_or_flip_is_damage_or_another_record(
            cut in 0_usize..2_000, place in 0_usize..2_000, bit in 0_u8..8,
        ) {
            let mut bytes = largest().encode();
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            let _ = Record::decode(&bytes);
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(Record::decode(&bytes[..cut]), Err(Damaged));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Record::decode(&bytes);
        }
    }
}
