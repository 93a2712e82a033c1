//! A caller's key.

use std::sync::LazyLock;

use tollgate_pricing::key::{KeySecrets, RANDOM_BYTES};

use super::{Seen, Target, law};
use crate::chance::Chance;
use crate::failure::unhex;

pub(crate) const TARGET: Target = Target {
    name: "keys",
    law: "a text is recognised if and only if this ledger writes it so",
    share: 15,
    run,
    make,
    seeds: Vec::new,
    tokens: &[b"tg_", b"TG_", b"0", b"f", b"F", b"\0", b" "],
    outcomes: &["recognised", "a key of another ledger", "no key"],
};

static SECRETS: LazyLock<[KeySecrets; 2]> =
    LazyLock::new(|| [KeySecrets::derive(&[7; 32]), KeySecrets::derive(&[8; 32])]);

fn run(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let [ours, others] = &*SECRETS;
    // As it must be written: by the words of the format, not by how it is read.
    let digits = std::str::from_utf8(input).ok().and_then(|text| text.strip_prefix("tg_"));
    let random = digits
        .and_then(|digits| digits.get(..2 * RANDOM_BYTES))
        .and_then(unhex)
        .and_then(|random| <[u8; RANDOM_BYTES]>::try_from(random).ok());
    let is_by = |secrets: &KeySecrets| {
        random.is_some_and(|random| secrets.write(random).reveal().as_bytes() == input)
    };
    let expected = is_by(ours);
    law(ours.recognises(input) == expected, || format!("recognised should be {expected}"))?;
    law(ours.lookup_hash(input) == ours.lookup_hash(input), || "two hashes".to_owned())?;
    seen.mark(match (expected, is_by(others)) {
        (true, _) => "recognised",
        (false, true) => "a key of another ledger",
        (false, false) => "no key",
    });
    Ok(())
}

fn make(chance: &mut Chance) -> Vec<u8> {
    let random = std::array::from_fn(|_| chance.byte());
    let key = chance.pick(&*SECRETS).write(random);
    key.reveal().as_bytes().to_vec()
}
