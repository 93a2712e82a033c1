//! Records: any bytes in shared data, and any life a record can have.

mod life;
mod made;

use tollgate_plugin::record::{MAX_RECORD_BYTES, Record};

use self::life::Life;
use super::{Seen, Target, law};
use crate::chance::Chance;
use crate::failure::caught;
use crate::tape::Tape;

pub(crate) const TARGET: Target = Target {
    name: "record",
    law: "bytes are a record or damage; whatever a record holds, a call is counted once or not at all",
    share: 12,
    run,
    make,
    seeds: Vec::new,
    tokens: &[],
    outcomes: &[
        "damaged",
        "decoded",
        "admitted",
        "admitted, and asks for more",
        "would have refused",
        "overdrawn",
        "refused",
        "refused by a limit",
        "empty",
        "outdated",
        "billable",
        "waived",
        "no slot",
        "granted",
        "time passed",
        "given back",
        "state taken",
        "slot forgotten",
        "flipped into another record",
    ],
};

/// Whether the input brings the bytes of a record, or only choices; then how many bytes of choices.
const BRINGS_BYTES: u8 = 0x80;

fn run(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let (kind, rest) = input.split_first().unwrap_or((&0, &[]));
    let (choices, bytes) = if kind & BRINGS_BYTES == 0 {
        (rest, &[][..])
    } else {
        rest.split_at(rest.len().min(usize::from(kind & !BRINGS_BYTES)))
    };
    let mut tape = Tape::new(choices);
    let mut life = if kind & BRINGS_BYTES == 0 {
        Life::begin(&mut tape)
    } else {
        let Ok(record) = Record::decode(bytes) else {
            seen.mark("damaged");
            return Ok(());
        };
        seen.mark("decoded");
        Life::of(record, &mut tape)
    };
    is_stored_as_it_is(&life.record)?;
    for _ in 0..24 {
        if tape.is_over() {
            break;
        }
        life.step(&mut tape, seen)?;
        is_stored_as_it_is(&life.record)?;
    }
    Ok(())
}

/// What is written is read again as the same, and fits.
pub(super) fn is_stored_as_it_is(record: &Record) -> Result<(), String> {
    let bytes = record.encode();
    let size = bytes.len();
    law(size <= MAX_RECORD_BYTES, || format!("a record of {size} bytes"))?;
    let again = Record::decode(&bytes);
    law(again.as_ref() == Ok(record), || match again {
        Ok(again) => format!("a record reads as another\n  {record:?}\n  {again:?}"),
        Err(_) => format!("a record that was written is damaged\n  {record:?}"),
    })
}

fn make(chance: &mut Chance) -> Vec<u8> {
    let length = 20 + chance.below(107);
    let choices = chance.bytes(length);
    if chance.once_in(2) {
        return [vec![chance.byte() & !BRINGS_BYTES], choices].concat();
    }
    // A record that lived as the first choices say, for other choices to go on with.
    let steps = chance.below(24);
    let lived = caught(|| {
        let mut tape = Tape::new(&choices);
        let mut life = Life::begin(&mut tape);
        let mut seen = Seen::of(&TARGET);
        for _ in 0..steps {
            let _ = life.step(&mut tape, &mut seen);
        }
        life.record.encode()
    });
    let length = chance.below(usize::from(BRINGS_BYTES));
    let choices = chance.bytes(length);
    [vec![BRINGS_BYTES | length as u8], choices, lived.unwrap_or_default()].concat()
}
