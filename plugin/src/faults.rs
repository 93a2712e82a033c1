//! Mistakes made on purpose, to show that the tests notice them: compiled only with the feature
//! `faults`, which no released file has.

#[cfg(feature = "faults")]
mod told;

#[cfg(feature = "faults")]
pub(crate) use self::told::{count_unchecked, is, trap_if_told};

#[cfg(not(feature = "faults"))]
use crate::record::Record;

/// A mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A call is counted before it is known whether it may go on.
    ChargeBeforeCheck,
    /// Units that were handed back to the host are spent here, too.
    ReuseReturned,
    /// A record that exists is made again.
    RecreateRecord,
    /// An old answer about a key is taken for the newest.
    ReviveKey,
    /// A call is counted twice at its end.
    SettleTwice,
    /// No call is counted at its end.
    NoSettle,
    /// A request with a certain header traps the VM.
    #[cfg(feature = "faults")]
    Trap,
}

/// Whether the gate is to make it: never.
#[cfg(not(feature = "faults"))]
pub(crate) const fn is(_fault: Fault) -> bool {
    false
}

/// Counts a call that does not go on, if the gate is to: never.
#[cfg(not(feature = "faults"))]
pub(crate) const fn count_unchecked(_record: &mut Record) {}

/// Traps the VM, if the gate is to and the request asks for it: never.
#[cfg(not(feature = "faults"))]
pub(crate) const fn trap_if_told(_headers: &[u8]) {}
