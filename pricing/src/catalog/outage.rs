//! What becomes of calls while the host is away.

use crate::gate::OnOutage;

use super::mistake::Log;
use super::place::Place;

/// Reads what becomes of calls that only the host could allow, while it cannot be asked.
pub(super) fn on_outage(place: &Place<'_>, log: &mut Log) -> Option<OnOutage> {
    let expected = "`deny`, `allow` or `{ allow_up_to: 1000 }`";
    match place.as_text() {
        Some("deny") => Some(OnOutage::Deny),
        Some("allow") => Some(OnOutage::Allow),
        Some(_) => {
            place.expected(log, expected);
            None
        }
        None => place.fields(log, expected, |fields, log| {
            let most = fields.required("allow_up_to").and_then(|place| place.calls(log));
            most.map(OnOutage::AllowUpTo)
        }),
    }
}
