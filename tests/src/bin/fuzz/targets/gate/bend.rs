//! JSON that is almost what it should be.

use serde_json::Value;

use crate::tape::Tape;

/// Changes some of what is in a value; most of it still has the type it had.
pub(super) fn bend(value: &mut Value, tape: &mut Tape<'_>) {
    for _ in 0..=tape.below(4) {
        once(value, tape, 0);
    }
}

fn once(value: &mut Value, tape: &mut Tape<'_>, depth: usize) {
    // Down to somewhere, by the tape.
    let stops = depth > 1 && tape.once_in(12);
    match value {
        Value::Array(items) if !items.is_empty() && !stops => {
            let place = tape.below(items.len().min(256));
            match tape.below(8) {
                0 => drop(items.remove(place)),
                1 => {
                    let times = [1, 2, 9, 40, 300][tape.below(5)];
                    let copied = items[place].clone();
                    items.extend(std::iter::repeat_n(copied, times));
                }
                _ => once(&mut items[place], tape, depth + 1),
            }
        }
        Value::Object(fields) if !fields.is_empty() && !stops => {
            let place = tape.below(fields.len().min(256));
            let Some(name) = fields.keys().nth(place).cloned() else { return };
            match tape.below(40) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert("unheard_of".to_owned(), Value::from(1))),
                _ => {
                    if let Some(inner) = fields.get_mut(&name) {
                        once(inner, tape, depth + 1);
                    }
                }
            }
        }
        other => replace(other, tape),
    }
}

fn replace(value: &mut Value, tape: &mut Tape<'_>) {
    let is_of_type = !tape.once_in(12);
    *value = match value {
        Value::Number(known) if is_of_type => {
            let known = known.as_u64().unwrap_or(0);
            match tape.below(8) {
                // Within what its field may hold, likely.
                0 => Value::from(u32::MAX),
                1 => Value::from(u16::MAX),
                2 => Value::from(u8::MAX),
                3 => Value::from(known.saturating_sub(1)),
                4 => Value::from(known.saturating_add(1)),
                5 => Value::from(known.saturating_mul(1_000)),
                _ => Value::from(tape.number()),
            }
        }
        Value::Bool(known) if is_of_type => Value::from(!*known),
        Value::String(text) if is_of_type => match tape.below(6) {
            0 => Value::from(""),
            1 => Value::from(text.to_uppercase()),
            2 => Value::from("a"),
            3 => Value::from("*"),
            4 => Value::from(text.repeat(40)),
            _ => Value::from("f".repeat(text.len())),
        },
        // Nothing becomes something, of a type that may fit.
        Value::Null if is_of_type => Value::from(tape.number()),
        _ => match tape.below(8) {
            0 => Value::Null,
            1 => Value::from(-1),
            2 => Value::from(1.5),
            3 => Value::from(u64::MAX),
            4 => Value::Array(Vec::new()),
            5 => Value::from(vec![0; 32]),
            6 => serde_json::json!({}),
            _ => Value::from("\u{0}\u{1f600}"),
        },
    };
}
