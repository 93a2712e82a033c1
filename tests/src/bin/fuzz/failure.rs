//! What a target found: caught, told apart from others, made small, written down.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::targets::{Seen, Target};

/// Tries to make one input smaller.
const SHRINK_TRIES: usize = 5_000;

/// An input that a target did not take.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) target: &'static str,
    pub(crate) input: Vec<u8>,
    /// What happened: a panic's place and words, or the law that was broken.
    pub(crate) what: String,
}

thread_local! {
    /// What the last panic of an attempt said; nothing outside of one.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says for its [`Failure`], instead of printing it a thousand times.
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let words = info.payload_as_str().unwrap_or("a panic without words");
        let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
        let told = format!("panicked{place}: {words}");
        PANIC.with_borrow_mut(|text| match text {
            Some(text) => *text = told,
            // A mistake of the fuzzer itself.
            None => eprintln!("{told}"),
        });
    }));
}

/// Runs what may panic; the panic's words if it did.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    PANIC.set(Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(run));
    let words = PANIC.take().unwrap_or_default();
    result.map_err(|_| words)
}

/// Gives a target one input.
pub(crate) fn attempt(target: &Target, input: &[u8], seen: &mut Seen) -> Result<(), String> {
    seen.begin();
    caught(|| (target.run)(input, seen)).and_then(|result| result)
}

/// The same fault with other numbers in it is the same fault: all but the digits and quoted text
/// of its first line.
pub(crate) fn kind(what: &str) -> String {
    let line = what.lines().next().unwrap_or_default();
    let parts = line.split('"').step_by(2);
    parts.flat_map(str::chars).filter(|c| !c.is_ascii_digit()).collect()
}

/// A shorter and simpler input from which the same fault comes.
pub(crate) fn simplest(target: &Target, failure: Failure) -> Failure {
    let sought = kind(&failure.what);
    let mut what = failure.what;
    let input = shrink(failure.input, |input| {
        let result = attempt(target, input, &mut Seen::of(target));
        let Err(found) = result else { return false };
        let is_it = kind(&found) == sought;
        if is_it {
            what = found;
        }
        is_it
    });
    Failure { target: failure.target, input, what }
}

/// Leaves out and simplifies bytes for as long as the rest still is what is sought.
pub(crate) fn shrink(mut input: Vec<u8>, mut is_it: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut tries = 0;
    let mut still = |candidate: &[u8]| {
        tries += 1;
        tries <= SHRINK_TRIES && is_it(candidate)
    };
    let mut length = input.len().next_power_of_two();
    while length > 0 {
        let mut place = 0;
        while place < input.len() {
            let mut shorter = input.clone();
            shorter.drain(place..(place + length).min(input.len()));
            if still(&shorter) {
                input = shorter;
            } else {
                place += length;
            }
        }
        length /= 2;
    }
    for place in 0..input.len() {
        for plain in [0, b'a'] {
            let mut simpler = input.clone();
            simpler[place] = plain;
            if input[place] > plain && still(&simpler) {
                input = simpler;
                break;
            }
        }
    }
    input
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    is_whole.then(|| digits.chunks(2).map(pair).collect()).flatten()
}
