//! The end of a call: what became of it, and the second change of its record.

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::Outcome;

use super::Gate;
use crate::admit::Permit;
use crate::host::{Host, Level};
use crate::metrics::Metric;
use crate::settle::{Ending, Measured, NoSlot, settle};
use crate::shared::{self, Failed, Store};
use crate::sync::rows::RowKey;

/// A call that has ended and is not counted yet.
pub(super) struct Unsettled {
    permit: Permit,
    ending: Ending,
    measured: Measured,
}

impl<H: Host> Gate<H> {
    /// The stream has ended, in whatever way: the point of metering.
    pub fn on_log(&mut self, stream: u32) {
        let Some(call) = self.going.remove(&stream) else {
            return;
        };
        let status = self.host.number(&["response", "code"]);
        let status = status.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        let outcome = match call.permit {
            None => Outcome::Open,
            Some(permit) => {
                let ending = Ending::of(self.host.has(&["upstream", "address"]), status);
                let measured = self.measure(&permit, ending);
                self.settle(Unsettled { permit, ending, measured });
                match ending {
                    Ending::Billable => Outcome::Billable,
                    Ending::Waived => Outcome::Waived,
                }
            }
        };
        let key = RowKey {
            subscription: call.whose,
            route: call.route,
            status,
            outcome,
            would_refuse: call.would_refuse,
            minute: call.minute,
        };
        let elapsed_ns = self.host.monotonic_ns().saturating_sub(call.started_ns);
        self.sync.rows.add(key, elapsed_ns);
    }

    /// What its limits count of a call that is billed. Each costs a host call.
    fn measure(&self, permit: &Permit, ending: Ending) -> Measured {
        let mut measured = Measured::default();
        if ending != Ending::Billable {
            return measured;
        }
        if permit.wants_bytes() {
            let sizes = [["request", "total_size"], ["response", "total_size"]];
            let sizes = sizes.iter().filter_map(|size| self.host.number(size));
            measured.bytes = sizes.fold(0, u64::saturating_add);
        }
        for (limit, name) in permit.wants_headers() {
            let value = self.host.bytes(&["response", "headers", name]);
            let units = value.and_then(|value| whole_number(&value));
            if units.is_none() {
                self.host.count(Metric::Unreadable, 1);
            }
            measured.headers.push((*limit, units.unwrap_or(0)));
        }
        measured
    }

    /// Settles a call, or keeps it for the next tick: a settlement is never dropped.
    fn settle(&mut self, call: Unsettled) {
        let subscription = call.permit.subscription();
        let settled = shared::update(&self.host, subscription, |record| {
            match settle(record, &call.permit, call.ending, &call.measured) {
                Ok(()) => (Store::Yes, true),
                Err(NoSlot) => (Store::No, false),
            }
        });
        match settled {
            Ok(true) => self.sync.touch(subscription),
            Ok(false) | Err(Failed::Busy) => self.unsettled.push(call),
            // There is nothing to settle in: the call stays open.
            Err(failed @ (Failed::Missing | Failed::Damaged)) => {
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
mod tests {
    use super::*;

    #[test]
    fn units_are_whole_numbers() {
        let check = |text: &[u8], number| assert_eq!(whole_number(text), number, "{text:?}");
        check(b"0", Some(0));
        check(b" 17\t", Some(17));
        check(b"007", Some(7));
        check(b"18446744073709551615", Some(u64::MAX));
        for bad in [&b""[..], b" ", b"+1", b"-1", b"1.5", b"1e3", b"1,2", b"0x1", b"\xff"] {
            check(bad, None);
        }
        check(b"18446744073709551616", None);
    }
}
