//! Names that people give.

use super::Refusal;

/// The longest name of anything.
pub(super) const MAX_NAME_BYTES: usize = 128;

/// A name: something, not too long, on one line.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), Refusal> {
    let invalid = |found: String| Refusal::Invalid {
        what,
        expected: format!("1 to {MAX_NAME_BYTES} bytes without control characters"),
        found,
    };
    if name.trim().is_empty() {
        return Err(invalid("nothing".to_owned()));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(invalid(format!("{} bytes", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(invalid(format!("{name:?}")));
    }
    Ok(())
}
