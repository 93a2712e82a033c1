//! What must hold after each step of a story, and what is noted of it.

use tollgate_pricing::sync::{MAX_ASKS, MAX_RECORDS, MAX_REQUEST_BYTES, MAX_SLOTS, SyncRequest};

use super::super::{Seen, law};
use super::story::{Story, family};

impl Story<'_> {
    /// What came of a step.
    pub(super) fn look(&mut self) -> Result<(), String> {
        if let Some(what) = self.world.broken.borrow_mut().take() {
            return Err(what);
        }
        for status in self.world.replies.borrow_mut().drain(..) {
            match status {
                400 | 401 | 403 | 404 | 429 | 503 => self.seen.mark(&format!("refused {status}")),
                // A bent catalog may choose its own.
                _ => {}
            }
        }
        let posts: Vec<Vec<u8>> = {
            let mut posts = self.world.posts.borrow_mut();
            let new = posts.iter_mut().filter(|post| !post.is_judged);
            new.map(|post| {
                post.is_judged = true;
                post.body.clone()
            })
            .collect()
        };
        for body in posts {
            // When it is sent: what arrives later may have been read earlier.
            self.judge(&body)?;
        }
        if self.world.resumed.take() {
            self.seen.mark("resumed");
        }
        if self.world.answered_late.take() {
            self.seen.mark("answered after waiting");
        }
        if self.world.lost.take() {
            self.seen.mark("write lost");
        }
        for key in self.world.shared.borrow().keys() {
            match family(key) {
                "catalog" => self.seen.mark("catalog told"),
                "record" => self.seen.mark("subscription told"),
                _ => {}
            }
        }
        Ok(())
    }

    /// What a VM says fits the host's bounds, and no counter ever shrinks.
    fn judge(&mut self, body: &[u8]) -> Result<(), String> {
        law(body.len() <= MAX_REQUEST_BYTES, || format!("a request of {} bytes", body.len()))?;
        let request: SyncRequest = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let asks = request.keys.len().max(request.leases.len());
        law(asks <= MAX_ASKS, || format!("{asks} asks"))?;
        law(request.records.len() <= MAX_RECORDS, || "too many records".to_owned())?;
        let mark = |seen: &mut Seen, holds: bool, name: &str| {
            if holds {
                seen.mark(name);
            }
        };
        mark(self.seen, !request.keys.is_empty(), "asked for a key");
        mark(self.seen, !request.leases.is_empty(), "asked for a lease");
        mark(self.seen, request.rows.is_some(), "rows reported");
        for report in &request.records {
            law(report.slots.len() <= MAX_SLOTS, || "too many slots".to_owned())?;
            let id = report.subscription.0;
            for slot in &report.slots {
                mark(self.seen, slot.billable > 0, "billable reported");
                mark(self.seen, slot.waived > 0, "waived reported");
                self.grows((id, slot.number, slot.period, "admitted"), slot.admitted)?;
                self.grows((id, slot.number, slot.period, "billable"), slot.billable)?;
                self.grows((id, slot.number, slot.period, "waived"), slot.waived)?;
            }
            for lease in &report.leases {
                mark(self.seen, lease.granted > 0, "lease reported");
                let about = |what| (id, lease.limit.0, lease.period, what);
                self.grows(about("granted"), lease.granted)?;
                self.grows(about("used"), lease.used)?;
                self.grows(about("waived units"), lease.waived)?;
                self.grows(about("returned"), lease.returned)?;
            }
        }
        Ok(())
    }

    fn grows(&mut self, what: (u64, u32, u32, &'static str), now: u64) -> Result<(), String> {
        let most = self.reported.entry(what).or_default();
        let shrank = now < *most && !self.garbage;
        let was = std::mem::replace(most, now.max(*most));
        law(!shrank, || format!("{} went back from {was} to {now}\n  {what:?}", what.3))
    }
}
