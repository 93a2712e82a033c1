//! The end of a call: what became of it, and the second change of its record.

use tollgate_pricing::gate::{Ended, Meter};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::Outcome;

use super::{Call, Gate};
use crate::admit::Permit;
use crate::faults::{self, Fault};
use crate::host::{Host, Level};
use crate::metrics::Metric;
use crate::settle::{Ending, NoSlot, Took, settle};
use crate::shared::{self, Failed, Store};
use crate::sync::rows::{Described, Fit};

/// Envoy's response flags for a caller who left before the answer was complete: it closed its
/// connection (`DownstreamConnectionTermination`), or reset the one stream, as HTTP/2 can
/// (`DownstreamRemoteReset`).
const CALLER_LEFT: u64 = 1 << 14 | 1 << 28;

/// A call that has ended and is not counted yet, nor described.
pub(super) struct Unsettled {
    permit: Permit,
    ending: Ending,
    row: Described,
}

impl<H: Host> Gate<H> {
    /// The stream has ended, in whatever way: the point of metering.
    pub fn on_log(&mut self, stream: u32) {
        let Some(call) = self.going.remove(&stream) else {
            return;
        };
        let Call { permit, whose, route, would_refuse, country, minute, started_ns } = call;
        let status = self.host.number(&["response", "code"]);
        let mut row = Described {
            subscription: whose,
            period: permit.as_ref().map_or(0, Permit::period),
            route,
            status: status.and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
            outcome: Outcome::Open,
            would_refuse,
            minute,
            country,
            latency_us: self.micros_since(started_ns),
            bytes: 0,
            units: 0,
        };
        let metered = permit.as_ref().is_some_and(|permit| permit.meters().contains(&Meter::Bytes));
        if metered || self.settings.bytes {
            row.bytes = self.bytes();
        }
        let Some(permit) = permit else {
            return self.describe(row);
        };
        let ending = if self.is_billed(&permit, row.status) {
            let took = Took::measure(&permit, |meter| self.measure(meter, row.bytes));
            (row.outcome, row.units) = (Outcome::Billable, took.units);
            Ending::Billable(took.meters)
        } else {
            row.outcome = Outcome::Waived;
            Ending::Waived
        };
        self.settle(Unsettled { permit, ending, row });
    }

    /// Whether its product bills a call that ended so. What the rule does not ask for is not read:
    /// each property costs a host call.
    fn is_billed(&self, permit: &Permit, status: u16) -> bool {
        let rule = permit.billable();
        let flags = || self.host.number(&["response", "flags"]).unwrap_or(0);
        rule.bills(Ended {
            // Its own address in that connection: the upstream's is known once one was chosen,
            // also if it then could not be reached.
            forwarded: rule.unforwarded || self.host.has(&["upstream", "local_address"]),
            status,
            aborted: !rule.aborted && flags() & CALLER_LEFT != 0,
        })
    }

    /// What a billed call took of a meter that is known late.
    fn measure(&self, meter: &Meter, bytes: u64) -> u64 {
        match meter {
            Meter::Calls | Meter::Weight => 0,
            Meter::Bytes => bytes,
            Meter::Header(name) => {
                let value = self.host.bytes(&["response", "headers", name]);
                let units = value.and_then(|value| whole_number(&value));
                if units.is_none() {
                    self.host.count(Metric::Unreadable, 1);
                }
                units.unwrap_or(0)
            }
        }
    }

    /// Bytes of request and response, headers included.
    fn bytes(&self) -> u64 {
        let sizes = [["request", "total_size"], ["response", "total_size"]];
        let sizes = sizes.iter().filter_map(|size| self.host.number(size));
        sizes.fold(0, u64::saturating_add)
    }

    /// Adds a call to the rows.
    pub(super) fn describe(&mut self, row: Described) {
        if self.sync.rows.add(row) == Fit::Merged {
            self.host.count(Metric::RowsMerged, 1);
        }
    }

    /// Time that has passed, in microseconds.
    pub(super) fn micros_since(&self, since_ns: u64) -> u64 {
        self.host.monotonic_ns().saturating_sub(since_ns).wrapping_div(1_000)
    }

    /// Settles a call, or keeps it for the next tick: a settlement is never dropped.
    fn settle(&mut self, call: Unsettled) {
        let subscription = call.permit.subscription();
        match self.count_ended(&call) {
            Ok(true) => {
                self.sync.touch(subscription);
                self.describe(call.row);
            }
            Ok(false) | Err(Failed::Busy) => self.unsettled.push(call),
            // There is nothing to settle in: the call stays open, and is described as it ended.
            Err(failed @ (Failed::Missing | Failed::Damaged)) => {
                self.describe(call.row);
                self.host.count(Metric::Lost, 1);
                self.note_failure(subscription, failed);
                if failed == Failed::Missing {
                    let line = format!(
                        "a call of subscription {subscription} ended, and its record is gone"
                    );
                    self.say_of_record(subscription, &line);
                }
            }
        }
    }

    /// Changes the call's record. False if it has no slot for that now.
    fn count_ended(&self, call: &Unsettled) -> Result<bool, Failed> {
        if faults::is(Fault::NoSettle) {
            return Ok(true);
        }
        shared::update(&self.host, call.permit.subscription(), |record| {
            if faults::is(Fault::SettleTwice) {
                let _ = settle(record, &call.permit, &call.ending);
            }
            match settle(record, &call.permit, &call.ending) {
                Ok(()) => (Store::Yes, true),
                Err(NoSlot) => (Store::No, false),
            }
        })
    }

    /// Tries again what could not be settled.
    pub(super) fn settle_kept(&mut self) {
        for call in std::mem::take(&mut self.unsettled) {
            self.settle(call);
        }
    }

    /// Notes why a record could not be read or changed, where someone should look.
    pub(crate) fn note_failure(&mut self, subscription: SubscriptionId, failed: Failed) {
        if failed == Failed::Damaged {
            self.note_damage(subscription);
        }
    }

    /// A record cannot be read. It stays as it is, and its subscription is answered 503, until
    /// Envoy is restarted; that is said once in a process.
    pub(crate) fn note_damage(&mut self, subscription: SubscriptionId) {
        if self.noted.contains(&subscription) || !shared::note_damage(&self.host, subscription) {
            return;
        }
        self.host.count(Metric::Damaged, 1);
        let line = format!(
            "the record of subscription {subscription} cannot be read: its calls are answered 503 \
             and what it counted since the last report stays unknown, until Envoy is restarted"
        );
        self.say_of_record(subscription, &line);
    }

    /// Says something about a subscription's record, once.
    fn say_of_record(&mut self, subscription: SubscriptionId, line: &str) {
        if self.noted.len() < MAX_NOTED && self.noted.insert(subscription) {
            self.host.log(Level::Error, line);
        }
    }
}

/// Subscriptions whose records were complained about.
const MAX_NOTED: usize = 1_000;

/// Decimal digits, and nothing else but blanks around them.
fn whole_number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let digits = text.iter().all(u8::is_ascii_digit).then_some(text)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
