//! What a VM does with an answer: publishes it for the whole process.

use std::collections::HashMap;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{
    KeyAnswer, LeaseAnswer, LeaseAsk, LeaseOutcome, MAX_ANSWER_BYTES, PROTOCOL, Recall,
    RecordReport, Slot, SlotAck, SubscriptionState, SyncAnswer,
};

use super::{Question, Sent, What};
use crate::faults::{self, Fault};
use crate::gate::Gate;
use crate::host::{Host, Level};
use crate::record::Record;
use crate::shared::{self, Failed, Head, Store};

impl<H: Host> Gate<H> {
    /// Reads the answer being delivered and applies it, or says what is wrong with it. A 2xx that
    /// is no answer of a host (a proxy may invent one) changes nothing.
    pub(super) fn apply(&mut self, sent: &Sent) -> Result<(), String> {
        let status = self.host.answer_status();
        if status != Some(200) {
            return Err(problem_of(status));
        }
        let body = self.host.answer_body(MAX_ANSWER_BYTES);
        let answer: SyncAnswer =
            serde_json::from_slice(&body).map_err(|error| problem_in(&error))?;
        if answer.protocol != PROTOCOL {
            let spoken = answer.protocol;
            return Err(format!("the host speaks protocol {spoken}, this gate {PROTOCOL}"));
        }
        let head = shared::head(&self.host).unwrap_or_default();
        if head.ledger.is_some_and(|ledger| ledger != answer.ledger) {
            let known = head.ledger.unwrap_or(answer.ledger);
            let other = answer.ledger;
            return Err(format!(
                "the host has another ledger ({other}) than this process reports to ({known}): \
                 restart Envoy to report to the new one; usage not yet delivered is kept until then"
            ));
        }
        if answer.epoch != sent.epoch {
            // What was swept so far, another ledger had stored.
            self.sync.begin_again();
        }
        // What a lost ledger stored and granted, the restored one does not know of.
        let is_lost = answer.epoch < head.epoch;
        if is_lost {
            self.tell_again(sent);
        } else {
            self.apply_acknowledged(sent, &answer);
        }
        self.apply_known(sent, &answer, &head);
        for answered in answer.leases.iter().filter(|_| !is_lost) {
            self.apply_lease(sent, answered);
        }
        for recall in &answer.recalls {
            self.apply_recall(recall);
        }
        Ok(())
    }

    fn apply_acknowledged(&mut self, sent: &Sent, answer: &SyncAnswer) {
        if let Some(ack) = answer.rows {
            self.sync.rows.acknowledge(ack);
        }
        let What::Regular { reports, swept, .. } = &sent.what else { return };
        // Only what was acknowledged slot by slot is stored; another VM may have told more of it.
        let acked: HashMap<(SubscriptionId, u32), &Slot> = answer
            .slots
            .iter()
            .map(|ack| ((ack.subscription, ack.slot.number), &ack.slot))
            .collect();
        let is_stored = |report: &RecordReport| {
            let ack = |slot: &Slot| acked.get(&(report.subscription, slot.number)).copied();
            report.slots.iter().all(|slot| ack(slot).is_some_and(|ack| covers(ack, slot)))
        };
        let (stored, missing): (Vec<RecordReport>, Vec<RecordReport>) =
            reports.iter().cloned().partition(is_stored);
        self.sync.touched.extend(missing.iter().map(|report| report.subscription));
        // A sweep that began before a restore is not complete after it.
        if answer.epoch == sent.epoch {
            // What is refused does not hold up the records after it.
            self.sync.sweep.advance(*swept, missing.is_empty());
            self.sync.sweep.store(stored);
        }
        for ack in &answer.slots {
            self.forget_slot(ack);
        }
    }

    /// Drops a stored slot of a period that is over; most are of the current one, so a read comes
    /// before the write.
    fn forget_slot(&mut self, ack: &SlotAck) {
        let _ = shared::update(&self.host, ack.subscription, |record: &mut Record| {
            let forgotten = record.forget_slot(&ack.slot);
            (if forgotten { Store::Yes } else { Store::No }, ())
        });
    }

    /// Takes over what the host knows, in an order in which no VM meets a record before what it
    /// names, and no change is missed by two VMs that learn of it at once: one that makes a record
    /// or publishes a key looks at the head afterwards, one that moves the head looks at records
    /// and keys again afterwards. So at least one of two sees the other.
    fn apply_known(&mut self, sent: &Sent, answer: &SyncAnswer, before: &Head) {
        let catalog = answer.catalog.as_ref();
        let published =
            catalog.is_none_or(|catalog| shared::publish_catalog(&self.host, catalog).is_ok());
        let is_complete = published && self.apply_changes(answer);
        let asked = self.make_asked(sent, answer);
        let head = self.apply_head(sent, answer, before, is_complete);
        self.apply_changes(answer);
        let is_old = head.is_none_or(|head| head.revision > answer.revision);
        self.confirm_asked(asked, answer, is_old);
    }

    /// Changes of records and keys that this process has. False if one could not be written: then
    /// the host has to say it again.
    fn apply_changes(&mut self, answer: &SyncAnswer) -> bool {
        let mut all = true;
        for state in &answer.subscriptions {
            // A state is old or new by its own revision, whenever it arrives. A record that is made
            // but not confirmed is left to who makes it, unless this is newer.
            all &= self.take_state(state) != Err(Failed::Busy);
        }
        for key in &answer.keys {
            if shared::key_owner(&self.host, key.hash).is_some() {
                let owner = key.subscription;
                all &= shared::publish_key(&self.host, key.hash, owner, answer.revision).is_ok();
            }
        }
        all
    }

    fn take_state(&self, state: &SubscriptionState) -> Result<(), Failed> {
        shared::update(&self.host, state.id, |record| {
            let behind = record.is_behind(state);
            if behind {
                record.take(state);
            }
            (if behind { Store::Yes } else { Store::No }, ())
        })
    }

    /// Makes records, not confirmed yet, for owners of keys that were asked for, and publishes the
    /// keys.
    fn make_asked<'a>(&self, sent: &Sent, answer: &'a SyncAnswer) -> Vec<&'a KeyAnswer> {
        let asked = answer.keys.iter().filter(|key| sent.keys.contains(&key.hash));
        let asked: Vec<&KeyAnswer> = asked.collect();
        for key in &asked {
            let state =
                answer.subscriptions.iter().find(|state| Some(state.id) == key.subscription);
            // Without its state or a place in the directory it stays unknown, and is asked again.
            if let Some(state) = state
                && shared::create_record(&self.host, &Record::unconfirmed(state)).is_ok()
            {
                let owner = key.subscription;
                let _ = shared::publish_key(&self.host, key.hash, owner, answer.revision);
            }
        }
        asked
    }

    /// Confirms what [`Gate::make_asked`] made, unless the process learnt of later changes in
    /// between: then it is unknown again, and whoever waits for it asks again.
    fn confirm_asked(&mut self, asked: Vec<&KeyAnswer>, answer: &SyncAnswer, is_old: bool) {
        for key in asked {
            if is_old && !faults::is(Fault::ReviveKey) {
                shared::forget_key(&self.host, key.hash);
                continue;
            }
            let state =
                answer.subscriptions.iter().find(|state| Some(state.id) == key.subscription);
            if let Some(state) = state {
                let _ = self.take_state(state);
            }
            // What is older than this answer is forgotten first, and this must not be.
            self.keys.at_revision(answer.revision);
            if key.subscription.is_none() {
                self.keys.put(key.hash, None);
            }
        }
    }

    fn apply_lease(&mut self, sent: &Sent, answer: &LeaseAnswer) {
        let known = shared::update(&self.host, answer.subscription, |record: &mut Record| {
            let changed = record.grant(answer, sent.at_ns);
            (if changed { Store::Yes } else { Store::No }, ())
        });
        let is_it =
            |ask: &&LeaseAsk| ask.about() == (answer.subscription, answer.limit, answer.period);
        // Asked for twice, it is answered twice.
        for ask in sent.leases.iter().filter(is_it) {
            let (question, now_ns) = (Question::lease(ask), self.host.monotonic_ns());
            match answer.outcome {
                LeaseOutcome::Granted => {
                    self.spent.forget(ask);
                    self.sync.questions.release(question);
                }
                LeaseOutcome::Wait { retry_ms } => {
                    let until_ns = now_ns.saturating_add(retry_ms.saturating_mul(1_000_000));
                    self.sync.questions.hold(question, until_ns);
                    self.tell_to_wait(question);
                }
                LeaseOutcome::Exhausted { retry_ms } if known.is_ok() => {
                    self.sync.questions.release(question);
                    self.spent.remember(ask, retry_ms, now_ns);
                }
                // The next answer to a sync tells what this gate does not know: asked again then.
                LeaseOutcome::Exhausted { .. } | LeaseOutcome::Outdated => {}
            }
        }
    }

    /// Gives back what others need and this process can spare, and tells the host at once.
    fn apply_recall(&mut self, recall: &Recall) {
        let now = self.now(self.host.monotonic_ns());
        let given = shared::update(&self.host, recall.subscription, |record: &mut Record| {
            let given = record.give_back(recall, now);
            (if given { Store::Yes } else { Store::No }, given)
        });
        match given {
            Ok(true) => {
                self.sync.returned.insert(recall.subscription);
            }
            // That there is nothing to give is news as well.
            Ok(false) => self.sync.touch(recall.subscription),
            Err(failed) => self.note_failure(recall.subscription, failed),
        }
    }

    fn apply_head(
        &mut self,
        sent: &Sent,
        answer: &SyncAnswer,
        before: &Head,
        is_complete: bool,
    ) -> Option<Head> {
        let heard_ns = self.host.monotonic_ns();
        let swept = self.sync.sweep.take_completed();
        let restored = answer.epoch > before.epoch && before.ledger.is_some();
        let published = answer.catalog.as_ref().map_or(0, |catalog| catalog.revision);
        if restored {
            self.host.log(Level::Warn, "the ledger was restored: reporting everything again");
        }
        let head = shared::update_head(&self.host, |head| {
            if answer.epoch > head.epoch {
                if head.ledger.is_some() {
                    head.restored_ns = heard_ns;
                }
                head.epoch = answer.epoch;
                (head.swept_through_ms, head.swept_ns) = (None, 0);
            }
            head.ledger = Some(answer.ledger);
            if is_complete {
                head.revision =
                    if restored { answer.revision } else { head.revision.max(answer.revision) };
                head.catalog = head.catalog.max(published);
            }
            head.set_clock(answer.now_ms, sent.at_ns, heard_ns);
            head.heard_ns = head.heard_ns.max(heard_ns);
            if head.epoch == sent.epoch {
                head.swept_through_ms = head.swept_through_ms.max(swept.map(|now| now.wall_ms));
                head.swept_ns = head.swept_ns.max(swept.map_or(0, |now| now.mono_ns));
                head.floor_ms = head.floor_ms.max(head.swept_through_ms.unwrap_or(0));
            }
        });
        if head.is_none() {
            self.host.log(Level::Error, "the process's state could not be written");
        }
        head
    }
}

/// Whether a stored slot has at least what was reported: counters only grow.
fn covers(stored: &Slot, slot: &Slot) -> bool {
    let counters = |slot: &Slot| [slot.admitted, slot.billable, slot.waived];
    let mut pairs = counters(stored).into_iter().zip(counters(slot));
    let mut meters = slot.meters.as_slice().iter();
    stored.period == slot.period
        && pairs.all(|(stored, told)| stored >= told)
        && meters.all(|(meter, told)| stored.meters.get(*meter) >= *told)
}

/// Where an answer is not one. The error's own words may quote it, and answers hold hash keys.
fn problem_in(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    format!("the host's answer is not one: see its line {line}, column {column}")
}

fn problem_of(status: Option<u16>) -> String {
    match status {
        Some(401 | 403) => {
            "the host refuses this gateway's token: make one with `tollgate gateways \
                            add NAME`, put it into TOLLGATE_GATEWAY_TOKEN and restart Envoy"
                .to_owned()
        }
        // Envoy's own answers for a host that is not there, and for one that is too slow.
        None | Some(503 | 504) => "the host cannot be reached; usage is kept and reported later, \
                                   and keys not known here are answered 503"
            .to_owned(),
        Some(status) => format!("the host answers {status}; usage is kept and reported later"),
    }
}

#[cfg(test)]
mod tests;
