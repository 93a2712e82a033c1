//! Inputs made from inputs.

use crate::chance::Chance;
use crate::tape::ODD_NUMBERS;

/// The longest input: larger than any record, and enough for a catalog.
pub(crate) const MAX_INPUT_BYTES: usize = 16 * 1024;

/// Changes `input` in one to eight places; `others` are there to splice with.
pub(crate) fn mutate(
    input: &mut Vec<u8>,
    others: &[Vec<u8>],
    tokens: &[&[u8]],
    chance: &mut Chance,
) {
    for _ in 0..1 << chance.below(4) {
        once(input, others, tokens, chance);
    }
    input.truncate(MAX_INPUT_BYTES);
}

fn once(input: &mut Vec<u8>, others: &[Vec<u8>], tokens: &[&[u8]], chance: &mut Chance) {
    let place = chance.below(input.len() + 1);
    let is_inside = place < input.len();
    match chance.below(12) {
        0..=1 if is_inside => input[place] ^= 1 << chance.below(8),
        2 if is_inside => input[place] = chance.byte(),
        3 if is_inside => {
            input[place] = input[place].wrapping_add(chance.byte() % 9).wrapping_sub(4);
        }
        4 => {
            let number = chance.pick(&ODD_NUMBERS).to_le_bytes();
            overwrite(input, place, &number[..1 << chance.below(4)]);
        }
        5 => input.truncate(place),
        6 => {
            let end = span(input, place, chance);
            input.drain(place..end);
        }
        7 => {
            let copied = input[place..span(input, place, chance)].to_vec();
            insert(input, chance.below(input.len() + 1), &copied);
        }
        8 if !others.is_empty() => {
            let other = chance.pick(others);
            let from = chance.below(other.len() + 1);
            let to = span(other, from, chance);
            if chance.once_in(2) {
                insert(input, place, &other[from..to]);
            } else {
                input.truncate(place);
                input.extend_from_slice(&other[from..]);
            }
        }
        9..=10 if !tokens.is_empty() => {
            let token = chance.pick(tokens);
            if chance.once_in(2) {
                insert(input, place, token);
            } else {
                overwrite(input, place, token);
            }
        }
        _ => {
            let length = chance.below(9);
            insert(input, place, &chance.bytes(length));
        }
    }
}

/// The end of a stretch from `place`: mostly short.
fn span(bytes: &[u8], place: usize, chance: &mut Chance) -> usize {
    let left = bytes.len() - place;
    let most = if chance.once_in(4) { left } else { left.min(16) };
    place + chance.below(most + 1)
}

fn insert(input: &mut Vec<u8>, place: usize, bytes: &[u8]) {
    input.splice(place..place, bytes.iter().copied());
}

fn overwrite(input: &mut [u8], place: usize, bytes: &[u8]) {
    for (old, new) in input[place..].iter_mut().zip(bytes) {
        *old = *new;
    }
}
