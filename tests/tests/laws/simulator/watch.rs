//! Watching a random world: calls are decided, VMs die, and what is seen must agree with what was
//! seen before.

use std::time::Duration;

use super::book::{Call, Fate, Lost, Moment, Refused};
use super::play::Play;
use crate::wasm::{Progress, Reply};
use crate::world::At;

/// The gate holds a request back for two seconds, and looks at it again every quarter of one.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(2_300);
/// Changes reach every gateway within this time while all is well, …
const REACH: Duration = Duration::from_millis(2_200);
/// … and it is so long after anything was wrong.
pub(super) const RECOVERY: Duration = Duration::from_secs(10);
/// How finely time passes while calls are undecided.
const STEP: Duration = Duration::from_millis(50);

impl Play {
    /// Lets time pass, and watches.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.world.monotonic() + time;
        while self.world.monotonic() < end {
            let left = end - self.world.monotonic();
            self.world.run(if self.undecided.is_empty() { left } else { left.min(STEP) });
            if !self.is_well() {
                self.is_in_trouble();
            }
            self.observe();
        }
    }

    /// Looks at every call that is undecided, and at VMs that died.
    pub(super) fn observe(&mut self) {
        let now = self.book.moment(self.world.monotonic());
        self.note_host_clock();
        self.bury(now);
        for number in std::mem::take(&mut self.unsettled) {
            let at = self.book.calls[number].at;
            if self.is_away(at) {
                self.unsettled.push(number);
            } else if self.book.calls[number].lost == Lost::Nothing {
                self.book.calls[number].settled = Some(now);
            }
        }
        for number in std::mem::take(&mut self.undecided) {
            let Call { at, stream, .. } = self.book.calls[number];
            let progress = self.world.process(at.0).progress(at.1, stream);
            let call = &mut self.book.calls[number];
            match progress {
                None => {
                    call.held_since = now.at;
                    self.undecided.push(number);
                    continue;
                }
                Some(Progress::Paused) => {
                    call.undecided = now;
                    let held = now.at - call.held_since;
                    assert!(held <= LONGEST_WAIT, "law 6: {call:?} is held back for {held:?}");
                    self.undecided.push(number);
                    continue;
                }
                Some(Progress::Forwarded) => {
                    call.fate = Fate::LetThrough;
                    self.under_way.push(number);
                }
                Some(Progress::Died) => call.fate = Fate::Died,
                Some(Progress::Answered(reply)) => call.fate = Fate::Refused(Refused::read(&reply)),
            }
            let waited = call.undecided > call.began;
            call.known = now;
            if waited {
                self.holds(6);
            }
            self.decided(number);
        }
        self.reload_some();
    }

    fn note_host_clock(&mut self) {
        if self.has_odd_clock {
            let off = self.world.host_off();
            self.off = (self.off.0.min(off), self.off.1.max(off));
        }
    }

    /// Calls that a dead VM took with it, or may not have settled.
    fn bury(&mut self, now: Moment) {
        for process in 0..self.vms.len() {
            for vm in 0..self.vms[process] {
                let at = At(process, vm);
                if self.is_away(at)
                    || self.process(process).vm(vm).alive()
                    || self.process(process).vm(vm).is_over()
                {
                    continue;
                }
                self.is_in_trouble();
                self.is_lossless = false;
                let life = self.lives[process];
                let here = |call: &Call| call.at == at && call.life == life;
                self.under_way.retain(|call| !here(&self.book.calls[*call]));
                for call in self.book.calls.iter_mut().filter(|call| here(call)) {
                    // What ended lately may wait in the VM to be settled; what had not never will.
                    let is_old = call.ended.is_some_and(|(end, _)| end.at + LONGEST_WAIT < now.at);
                    if call.lost == Lost::Nothing && !is_old {
                        call.lost = Lost::Settling;
                    }
                }
            }
        }
    }

    /// Envoy loads a VM that died again at one of the next requests.
    fn reload_some(&mut self) {
        for process in 0..self.vms.len() {
            for vm in 0..self.vms[process] {
                let is_dead = !self.is_away(At(process, vm))
                    && !self.process(process).vm(vm).alive()
                    && !self.is_retired(At(process, vm));
                if is_dead && !self.random.one_in(3) {
                    self.process(process).reload(vm);
                    self.fault("VM loaded again after a trap");
                }
            }
        }
    }

    /// A call was decided: what follows for its owner.
    fn decided(&mut self, number: usize) {
        let call = self.book.calls[number].clone();
        let owner = &mut self.owners[call.owner];
        let place = (call.life, call.at.1);
        match &call.fate {
            Fate::LetThrough => {
                if let Some(refused) = owner.refused_by.get(&place) {
                    assert!(
                        call.began < *refused,
                        "a VM that refused {} as stopped let a later call through: {call:?}",
                        owner.of.id
                    );
                }
                if let Some(stopped) = owner.stopped {
                    let reached = (stopped + REACH).max(self.trouble + RECOVERY);
                    assert!(
                        call.began.at <= reached,
                        "{} was stopped at {stopped:?}, all was well since {:?}, but {call:?}",
                        owner.of.id,
                        self.trouble
                    );
                }
                self.count("let through");
            }
            Fate::Refused(refused) => {
                let product = &self.plan.products[owner.product];
                let limit = product.limits.iter().find(|limit| limit.id == refused.limit);
                if let Some(limit) = limit.filter(|_| !owner.own_numbers) {
                    let may = limit.blocks() && limit.counts(call.operation);
                    assert!(may, "{limit:?} refused {call:?}");
                }
                let reason = &refused.reason;
                // After a second stop, a refusal may still be the first one's.
                if owner.stopped.is_some()
                    && !owner.was_resumed
                    && matches!(reason.as_str(), "subscription_inactive" | "invalid_key")
                {
                    owner.refused_by.entry(place).or_insert(call.known);
                }
                self.count(format!("refused: {reason}"));
            }
            Fate::Died => self.count("died while it was decided"),
            Fate::Undecided | Fate::Left => {}
        }
    }
}

impl Refused {
    pub(super) fn read(reply: &Reply) -> Self {
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let retry_after = reply.header("retry-after").map(|text| text.parse().expect("seconds"));
        Self { reason: text("reason"), limit: text("limit"), retry_after }
    }
}
