//! The one place of this program that reads the clock and draws random bytes.

use std::io;

use jiff::Timestamp;

/// The time.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Random bytes fit for keys and tokens.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], io::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
