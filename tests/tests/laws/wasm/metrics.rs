//! Counters, gauges and histograms of a process, by name: all VMs share them.

use std::collections::BTreeMap;

use super::Status;

/// The kinds of metric, as the ABI numbers them.
const COUNTER: u32 = 0;
const HISTOGRAM: u32 = 2;

/// Metrics of one process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    ids: BTreeMap<(u32, String), u32>,
    /// Kind and value by id, which counts from 0. A histogram's value is its last one.
    values: Vec<(u32, u64)>,
}

impl Metrics {
    /// The id of a metric, made at its first mention.
    pub(crate) fn define(&mut self, kind: u32, name: &str) -> Result<u32, Status> {
        if kind > HISTOGRAM {
            return Err(Status::BadArgument);
        }
        let next = u32::try_from(self.values.len()).map_err(|_| Status::InternalFailure)?;
        let id = *self.ids.entry((kind, name.to_owned())).or_insert(next);
        if id == next {
            self.values.push((kind, 0));
        }
        Ok(id)
    }

    /// Adds to a counter or gauge; counters only grow.
    pub(crate) fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        let (kind, value) = self.value_of(id)?;
        if *kind == HISTOGRAM || (*kind == COUNTER && offset <= 0) {
            return Err(Status::BadArgument);
        }
        *value = value.saturating_add_signed(offset);
        Ok(())
    }

    /// Sets a gauge or records into a histogram.
    pub(crate) fn record(&mut self, id: u32, new: u64) -> Result<(), Status> {
        let (kind, value) = self.value_of(id)?;
        *value = if *kind == COUNTER { *value + new } else { new };
        Ok(())
    }

    /// The value of a metric, if the plugin has defined one of that name.
    pub(crate) fn read(&self, name: &str) -> Option<u64> {
        let mut found = self.ids.iter().filter(|((_, known), _)| known == name);
        let (_, id) = found.next()?;
        self.values.get(*id as usize).map(|(_, value)| *value)
    }

    fn value_of(&mut self, id: u32) -> Result<&mut (u32, u64), Status> {
        self.values.get_mut(id as usize).ok_or(Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_one_for_all_who_define_it() {
        let mut metrics = Metrics::default();
        let calls = metrics.define(COUNTER, "calls").unwrap();
        let open = metrics.define(1, "open").unwrap();
        assert_eq!(metrics.define(COUNTER, "calls"), Ok(calls));
        assert_eq!(metrics.define(3, "calls"), Err(Status::BadArgument));
        assert_eq!(metrics.increment(calls, 2), Ok(()));
        assert_eq!(metrics.increment(calls, -1), Err(Status::BadArgument), "counters only grow");
        assert_eq!(metrics.increment(calls, 0), Err(Status::BadArgument));
        assert_eq!(metrics.record(open, 7), Ok(()));
        assert_eq!(metrics.increment(open, -3), Ok(()));
        assert_eq!(metrics.increment(9, 1), Err(Status::NotFound));
        let values = ["calls", "open", "other"].map(|name| metrics.read(name));
        assert_eq!(values, [Some(2), Some(4), None]);
    }
}
